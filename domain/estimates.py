"""What work by hand is taken to cost, and what follows for the work that was done. Estimates, each with its assumption."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.figures import at_quantile, figure, ranks
from domain.work import Baseline, Estimated, Figure, WorkKind

ASSUMED_S: Mapping[WorkKind, int] = {
    WorkKind.DIAGNOSIS: 20 * 60,
    WorkKind.REMEDIATION: 35 * 60,
    WorkKind.PIPELINE_TRIAGE: 15 * 60,
    WorkKind.CONFIGURATION_FINDING: 10 * 60,
    WorkKind.QUESTION: 5 * 60,
}
"""Shipped, and nobody's measurement: seconds of one person's work by hand. A team's own figures replace them."""

LEAST = 8
"""Fewer incidents than this are no baseline."""

OWN_DAYS = 90
"""How many days before a period's end its own incidents may be baselines."""

SENSITIVITY = "what if: baselines at ½ and at 1½ times"
MEASURED = "baselines at the ends of their 95 % intervals; those not measured at ½ and at 1½ times"


_SPAN = re.compile(r"([0-9]{1,5})([smh])")
_UNITS_S = {"s": 1, "m": 60, "h": 3600}


def parse_baselines(text: str) -> dict[str, int]:
    """`diagnosis=20m,question=90s` as seconds by kind of work. Raises ValueError that names the part that is wrong."""
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (word.strip() for word in part.partition("="))
        span = _SPAN.fullmatch(value)
        if name not in list(WorkKind):
            raise ValueError(f"{name!r} is no kind of work: {', '.join(WorkKind)}")
        if span is None or not int(span[1]):
            raise ValueError(f"{part!r} is not KIND=TIME, such as {name}=20m")
        if name in found:
            raise ValueError(f"{name} stands there twice")
        found[name] = int(span[1]) * _UNITS_S[span[2]]
    return found


@dataclass(frozen=True)
class Worth:
    """Of one kind of work: how many units replaced work and stayed good, and how many count against."""

    kind: WorkKind
    credited: int
    charged: int


def baseline(kind: WorkKind, given_s: int | None, history_ms: Sequence[int], own_ms: Sequence[int]) -> Baseline:
    """What the team set; else measured before the agent; else measured where it changed nothing; else assumed.

    The times are ascending milliseconds from opened to resolved.
    """
    if given_s is not None:
        return Baseline(kind, given_s, given_s // 2, given_s * 3 // 2, "set", 0, "set by the team in AGENT_BASELINES")
    for source, times, words in (
        ("history", history_ms, "median of the team's imported incidents from before the agent, opened to resolved"),
        (
            "own",
            own_ms,
            f"median of incidents of the {OWN_DAYS} days in which the agent changed nothing, opened to resolved",
        ),
    ):
        if len(times) >= LEAST:
            return _measured(kind, source, times, words)
    assumed = ASSUMED_S[kind]
    return Baseline(kind, assumed, assumed // 2, assumed * 3 // 2, "assumed", 0, "an assumption that is shipped")


def _measured(kind: WorkKind, source: str, times: Sequence[int], words: str) -> Baseline:
    n, middle = len(times), at_quantile(times) or 0
    low, high = ranks(n, 500)
    return Baseline(
        kind, middle // 1000, times[(low or 1) - 1] // 1000, -(-times[(high or n) - 1] // 1000), source, n, words
    )


def estimated(worths: Sequence[Worth], attention_s: int, votes: int, baselines: Sequence[Baseline]) -> Estimated:
    """The estimates of a period: each names the baselines that it rests on."""
    of_kind = {each.kind: each for each in baselines}
    credited, charged = sum(each.credited for each in worths), sum(each.charged for each in worths)
    return Estimated(
        attention=figure(
            "attention",
            attention_s,
            votes,
            interval="none: a sum with a cap",
            note="who read a card and did not answer is not in it",
        ),
        replaced=_sum("replaced", credited, [(each.credited, of_kind[each.kind]) for each in worths], 0),
        charged=_sum("charged", charged, [(each.charged, of_kind[each.kind]) for each in worths], 0),
        net=_sum(
            "net",
            credited + charged,
            [(each.credited - each.charged, of_kind[each.kind]) for each in worths],
            attention_s,
        ),
        break_even=figure(
            "break_even",
            -(-attention_s // (credited - charged)) if credited > charged else None,
            credited + charged,
            interval="none: it needs no baseline",
            note="as much was spoiled as replaced: no baseline makes the net positive"
            if charged >= credited > 0
            else "",
        ),
    )


def _sum(name: str, n: int, units: Sequence[tuple[int, Baseline]], less: int) -> Figure:
    """Units times baselines less what was spent. Each end takes every baseline at the end that is worse (or better) for us."""
    used = [(count, one) for count, one in units if count]
    interval = MEASURED if any(one.n for _, one in used) else SENSITIVITY if used else "none: nothing to estimate"
    return figure(
        name,
        sum(count * one.seconds for count, one in used) - less,
        n,
        low=sum(min(count * one.low, count * one.high) for count, one in used) - less,
        high=sum(max(count * one.low, count * one.high) for count, one in used) - less,
        interval=interval,
        note="; ".join(_words(one) for _, one in used),
    )


def _words(one: Baseline) -> str:
    """`remediation 35 min (assumed)`."""
    how = f"{one.source}, n = {one.n}" if one.n else one.source
    minutes = f"{one.seconds / 60:.1f}".removesuffix(".0")
    return f"{one.kind.replace('_', ' ')} {minutes} min ({how})"
