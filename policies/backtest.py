"""A changed policy over recorded decisions: what would have been decided otherwise, the dangerous changes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.actions import Effect
from domain.decisions import Decision, Outcome
from policies.gate import decide
from policies.rules import Policy

EXAMPLES = 10
_LOOSE = {Outcome.DENY: 0, Outcome.ASK: 1, Outcome.ALLOW: 2}


@dataclass
class Flip:
    """One way in which decisions change, how often, and up to ten situations in which they do."""

    before: Outcome
    before_rule: str
    after: Outcome
    after_rule: str
    destructive: bool
    count: int = 0
    examples: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def loosens(self) -> bool:
        """Whether more is let through than before."""
        return _LOOSE[self.after] > _LOOSE[self.before]


@dataclass(frozen=True)
class Flips:
    """A back-test's result. `asked_before` and `asked_after` count the questions put to each group.

    `broken` are the new policy's invariants that its rules would have broken, with how often.
    """

    decisions: int
    flips: tuple[Flip, ...]
    asked_before: Mapping[str, int]
    asked_after: Mapping[str, int]
    broken: Mapping[str, int]

    @property
    def changed(self) -> int:
        """How many decisions come out otherwise."""
        return sum(flip.count for flip in self.flips if flip.before is not flip.after)


def backtest(old: Policy | None, new: Policy, recorded: Iterable[tuple[Mapping[str, Any], Decision]]) -> Flips:
    """Decide every recorded situation again. Without `old` the decision as recorded is what it is compared with.

    Takes the records one by one and keeps counts and few examples, so that memory does not grow with them.
    """
    flips: dict[tuple[Any, ...], Flip] = {}
    asked: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    broken: Counter[str] = Counter()
    total = 0
    for situation, decision in recorded:
        total += 1
        before = decide(old, situation) if old is not None else decision
        after = decide(new, situation)
        for counter, each in zip(asked, (before, after), strict=True):
            if each.outcome is Outcome.ASK and each.terms:
                counter.update(each.terms.groups)
        if after.rule.startswith("invariant:"):
            broken[after.rule.removeprefix("invariant:")] += 1
        if (before.outcome, before.rule) != (after.outcome, after.rule):
            _note(flips, before, after, situation)
    ordered = sorted(flips.values(), key=_danger)
    return Flips(total, tuple(ordered), dict(asked[0]), dict(asked[1]), dict(broken))


def _note(flips: dict[tuple[Any, ...], Flip], before: Decision, after: Decision, situation: Mapping[str, Any]) -> None:
    destructive = situation.get("tool", {}).get("effect") == Effect.DESTRUCTIVE.value
    key = (before.outcome, before.rule, after.outcome, after.rule, destructive)
    flip = flips.setdefault(key, Flip(*key))
    flip.count += 1
    if len(flip.examples) < EXAMPLES:
        flip.examples.append(situation)


def _danger(flip: Flip) -> tuple[bool, bool, bool, int]:
    """Newly allowed destruction first, then whatever else is loosened, then the rest; the frequent before the rare."""
    newly_allowed = flip.after is Outcome.ALLOW and flip.before is not Outcome.ALLOW
    return (not (newly_allowed and flip.destructive), not newly_allowed, not flip.loosens, -flip.count)
