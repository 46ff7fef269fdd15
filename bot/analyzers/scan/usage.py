"""Requests and limits against what was used: a week's 95th percentile and a margin, and only where it is worth a change."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.analyzers.fields import at, items, text
from bot.analyzers.findings import finding
from bot.analyzers.quantities import format_memory, parse_amount, parse_memory
from bot.analyzers.reading import NOTHING, cite
from bot.analyzers.scan.inventory import Inventory, Thing
from bot.analyzers.scan.measures import WINDOW_DAYS
from bot.analyzers.workloads import counts_of
from domain.diagnosis import Finding, Proposal

MARGIN = 1.2
"""A request is the 95th percentile of use and a fifth more."""

HEADROOM = 1.3
"""A memory limit stands three tenths above the highest use of the window."""

CLOSE = 0.9
"""The share of its memory limit from which a highest use is close to it."""

SHORT = 1.2
"""How many times its request a container uses in the 95th percentile when the request is too low."""

LEAST_DAYS = 3
"""With fewer days of samples nothing is said: a weekend is no week."""

WORTH = {"memory": 128 * 2**20, "cpu": 100}
"""Bytes and millicores over all replicas from which a lower request is worth a change, if it frees a third as well."""

LACK = {"memory": 64 * 2**20, "cpu": 50}
"""Bytes and millicores of one replica from which a higher request is worth a change."""

_MI = 2**20
_SETTABLE = ("Deployment", "StatefulSet", "DaemonSet")


@dataclass(frozen=True)
class Fit:
    """One resource of one container: what is asked for, what its use asks for. Bytes or millicores."""

    resource: str
    now: int
    wanted: int
    p95: float
    with_limit: bool = False
    """The limit equals the request, and is lowered with it: the pod keeps its quality of service."""

    @property
    def called(self) -> str:
        """Its name as people write it."""
        return "CPU" if self.resource == "cpu" else self.resource

    @property
    def freed(self) -> int:
        """What one replica gives back."""
        return self.now - self.wanted

    def shown(self, amount: float) -> str:
        """An amount as people read it."""
        return f"{amount:.0f}m" if self.resource == "cpu" else size(amount)

    def quantity(self, amount: int) -> str:
        """An amount as Kubernetes reads it."""
        return f"{amount}m" if self.resource == "cpu" else format_memory(amount)


@dataclass(frozen=True)
class Case:
    """One container with what it used."""

    inventory: Inventory
    thing: Thing
    container: Mapping[str, Any]
    used: Mapping[str, float]

    @property
    def name(self) -> str:
        """The container's name."""
        return text(self.container, "name")

    @property
    def replicas(self) -> int:
        """How many of it there are to be."""
        return counts_of(self.thing.obj).desired

    def said(self, part: str, resource: str) -> str:
        """What the manifest says, empty where it says nothing."""
        found = at(self.container, "resources", part, resource)
        return str(found) if isinstance(found, str | int | float) and not isinstance(found, bool) else ""


def sized(inventory: Inventory) -> Iterator[Finding]:
    """Each container whose request is far from its use, or whose limit its use comes close to, of what runs at all."""
    for thing in inventory.of(*_SETTABLE):
        for container in thing.containers():
            used = inventory.used.get((thing.namespace, thing.name, text(container, "name")), {})
            case = Case(inventory, thing, container, used)
            if not case.replicas:
                continue
            measured = used.get("days", 0) >= LEAST_DAYS
            if measured:
                yield from _requests(case)
                yield from _limit(case)
            yield from _unset(case, measured=measured)


def _requests(case: Case) -> Iterator[Finding]:
    driven = _autoscaled(case)  # the share of its request is what an autoscaler counts with
    fits = [fit for fit in (_memory(case), _cpu(case)) if fit is not None and fit.resource not in driven]
    high = [fit for fit in fits if fit.freed >= fit.now / 3 and fit.freed * case.replicas >= WORTH[fit.resource]]
    low = [fit for fit in fits if fit.p95 > fit.now * SHORT and -fit.freed >= LACK[fit.resource]]
    if high:
        freed = _listed(high, [fit.freed * case.replicas for fit in high])
        over = f" over {case.replicas} replicas" if case.replicas > 1 else ""
        yield _sized(case, "config.requests_high", high, f"Frees {freed}{over}.", risk="low")
    if low:
        why = "Where the node is full it is evicted or slowed down, while it only does its usual work."
        yield _sized(case, "config.requests_low", low, why, risk="medium")


def _memory(case: Case) -> Fit | None:
    request, limit = parse_memory(case.said("requests", "memory")), parse_memory(case.said("limits", "memory"))
    p95, peak = case.used.get("memory"), case.used.get("memory_max")
    if not request or p95 is None or peak is None:
        return None
    if limit == request:
        wanted = round_memory(max(p95 * MARGIN, peak * HEADROOM))
        return Fit("memory", request, wanted, min(p95, float(request)), with_limit=True)
    wanted = round_memory(p95 * MARGIN)
    return Fit("memory", request, min(wanted, limit) if limit else wanted, p95)


def _cpu(case: Case) -> Fit | None:
    asked, limit = (parse_amount(case.said(part, "cpu")) for part in ("requests", "limits"))
    p95 = case.used.get("cpu")
    if not asked or p95 is None or limit == asked:  # a limit is a cut, and how high single bursts were is not measured
        return None
    wanted = max(10, math.ceil(p95 * 1000 * MARGIN / 10) * 10)
    return Fit("cpu", round(asked * 1000), min(wanted, round(limit * 1000)) if limit else wanted, p95 * 1000)


def _limit(case: Case) -> Iterator[Finding]:
    request, limit = (parse_memory(case.said(part, "memory")) for part in ("requests", "limits"))
    peak = case.used.get("memory_max")
    if not limit or peak is None or peak <= CLOSE * limit:
        return
    wanted = max(round_memory(peak * HEADROOM), limit + 16 * _MI)
    because = f"Its highest use in {WINDOW_DAYS} days was {size(peak)}, {peak / limit:.0%} of the limit"
    yield _made(
        case,
        "config.memory_limit_close",
        "limits.memory",
        f"{case.thing.name}: memory limit {format_memory(limit)} is close to its use",
        (format_memory(limit), format_memory(wanted)),
        f"{because}; {HEADROOM - 1:.0%} above that is {format_memory(wanted)}. A little more load and it is killed.",
        {part: {"memory": format_memory(wanted)} for part in (["requests"] if limit == request else []) + ["limits"]},
        risk="medium",
        measures=["memory_max"],
    )


def _unset(case: Case, *, measured: bool) -> Iterator[Finding]:
    given = _defaults(case)
    if given is None:
        return
    request, limit = (case.said(part, "memory") or part in given for part in ("requests", "limits"))
    if not request and not limit:  # a limit alone is the request too
        p95 = case.used.get("memory") if measured else None
        wanted = "" if p95 is None else format_memory(round_memory(p95 * MARGIN))
        rule = "" if p95 is None else f" {_rule(f'{size(p95)} of memory')}, which is {wanted}."
        yield _made(
            case,
            "config.no_memory_request",
            "requests.memory",
            f"{case.thing.name}: no memory request",
            ("(unset)", wanted or "what it uses"),
            f"The scheduler places it as if it needed nothing, and it is the first to be evicted.{rule}",
            {"requests": {"memory": wanted}} if wanted else {},
            risk="medium",
            measures=["memory"] if wanted else [],
        )
    elif not limit:
        yield _made(
            case,
            "config.no_memory_limit",
            "limits.memory",
            f"{case.thing.name}: no memory limit",
            ("(unset)", "a limit above its highest use"),
            "A leak takes the node's memory, and its neighbours with it.",
            {},
            risk="low",
        )


def _defaults(case: Case) -> set[str] | None:
    """What a LimitRange gives pods that say nothing; None where it is not known."""
    if "LimitRange" not in case.inventory.whole:
        return None
    ranges = (one.obj for one in case.inventory.beside(case.thing, "LimitRange"))
    rules = [rule for one in ranges for rule in items(one, "spec", "limits") if text(rule, "type") == "Container"]
    named = {"default": "limits", "defaultRequest": "requests"}
    return {part for rule in rules for name, part in named.items() if at(rule, name, "memory")}


def _sized(case: Case, code: str, fits: Sequence[Fit], why: str, *, risk: str) -> Finding:
    high = code == "config.requests_high"
    change = ", ".join(f"{fit.called} {fit.quantity(fit.now)} → {fit.quantity(fit.wanted)}" for fit in fits)
    rule = _rule(_listed(fits, [fit.p95 for fit in fits]))
    wanted: dict[str, dict[str, str]] = {"requests": {fit.resource: fit.quantity(fit.wanted) for fit in fits}}
    limits = {fit.resource: fit.quantity(fit.wanted) for fit in fits if fit.with_limit}
    kept = f" The limit follows its request, and stays {HEADROOM - 1:.0%} above the highest use." if limits else ""
    saved = {fit.resource: fit.freed * case.replicas for fit in fits} if high else {}
    return _made(
        case,
        code,
        "requests",
        f"{case.thing.name}: {change}",
        (
            ", ".join(f"{fit.called} {fit.quantity(fit.now)}" for fit in fits),
            ", ".join(f"{fit.called} {fit.quantity(fit.wanted)}" for fit in fits),
        ),
        f"{why} {rule}.{kept}",
        wanted | ({"limits": limits} if limits else {}),
        risk=risk,
        measures=(*(fit.resource for fit in fits), *(["memory_max"] if limits else [])),
        saved_bytes=saved.get("memory", 0),
        saved_millicores=saved.get("cpu", 0),
    )


def _made(
    case: Case,
    code: str,
    field: str,
    title: str,
    change: tuple[str, str],
    why: str,
    arguments: Mapping[str, Any],
    *,
    measures: Sequence[str] = (),
    **facts: Any,
) -> Finding:
    thing, (value, wanted) = case.thing, change
    path = f"containers[{case.name}].resources.{field}"
    whole = {"namespace": thing.namespace, "kind": thing.kind, "name": thing.name, "container": case.name, **arguments}
    restart = f"{why} Its pods are replaced one after the other."
    used = [case.inventory.measures.get((measure, thing.namespace), NOTHING) for measure in measures]
    if arguments and (kept := thing.manifest()):
        facts["manifest"] = kept
    return finding(
        code,
        thing.target,
        title,
        f"{why} {path}: {value}.",
        [thing.cite(f"{path}: {value}"), *(cite(one, f"use over {WINDOW_DAYS} days", why) for one in used)],
        proposal=Proposal("kubernetes_set_resources", whole, restart) if arguments else None,
        next_steps=() if arguments else [f"{thing.kind} {thing.namespace}/{thing.name}: set {path} to {wanted}."],
        why=why,
        field=path,
        value=value,
        wanted=wanted,
        **facts,
    )


def _autoscaled(case: Case) -> set[str]:
    """The resources by which an autoscaler sets this workload's size; each of them where autoscalers were not all read."""
    if "HorizontalPodAutoscaler" not in case.inventory.whole:
        return set(WORTH)
    return {
        text(metric, source, "name")
        for one in case.inventory.beside(case.thing, "HorizontalPodAutoscaler")
        if text(one.obj, "spec", "scaleTargetRef", "kind") == case.thing.kind
        and text(one.obj, "spec", "scaleTargetRef", "name") == case.thing.name
        for metric in items(one.obj, "spec", "metrics")
        for source in ("resource", "containerResource")
    }


def _rule(used: str) -> str:
    return f"Uses {used} in the 95th percentile of {WINDOW_DAYS} days; a fifth more is the rule"


def _listed(fits: Sequence[Fit], amounts: Sequence[float]) -> str:
    """`1.9 GiB of memory and 1840m of CPU`."""
    return " and ".join(f"{fit.shown(amount)} of {fit.called}" for fit, amount in zip(fits, amounts, strict=True))


def round_memory(amount: float) -> int:
    """Rounded up to a step that people use: 16Mi below 512Mi, 64Mi from there on; never below 32Mi."""
    step = 16 * _MI if amount < 512 * _MI else 64 * _MI
    return max(32 * _MI, math.ceil(amount / step) * step)


def size(amount: float) -> str:
    """Bytes as people read them."""
    return f"{amount / 2**30:.1f} GiB" if amount >= 2**30 else f"{amount / 2**20:.0f} MiB"
