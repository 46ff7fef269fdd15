"""A changed policy over recorded decisions: what would have come out otherwise, the dangerous changes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from domain.actions import Effect, Mode
from domain.decisions import Outcome
from policies.calendars import calendar_facts
from policies.drift import Drift
from policies.gate import concerns, decide
from policies.recorded import Recorded, Said
from policies.rules import Policy

EXAMPLES = 10
_LOOSE = {Outcome.DENY: 0, Outcome.ASK: 1, Outcome.ALLOW: 2}


@dataclass(frozen=True)
class Example:
    """One recorded decision that comes out otherwise."""

    seq: int
    at: datetime
    situation: Mapping[str, Any]


@dataclass
class Flip:
    """One way in which decisions change, how often, and up to ten of them."""

    before: Outcome
    before_rule: str
    after: Outcome
    after_rule: str
    destructive: bool
    count: int = 0
    examples: list[Example] = field(default_factory=list)

    @property
    def loosens(self) -> bool:
        """Whether more is let through than before."""
        return _LOOSE[self.after] > _LOOSE[self.before]

    @property
    def newly_allowed(self) -> bool:
        """Whether what needed a person, or was denied, now happens by itself."""
        return self.after is Outcome.ALLOW and self.before is not Outcome.ALLOW


@dataclass(frozen=True)
class Flips:
    """A back-test's result. `asked_before` and `asked_after` count the questions put to each group, over `days` days.

    `broken` are the invariants that the new rules would have broken, with how often; `drifted` is how many situations
    had other rates or trust because earlier decisions changed (counterfactual only).
    """

    decisions: int
    flips: tuple[Flip, ...]
    asked_before: Mapping[str, int]
    asked_after: Mapping[str, int]
    broken: Mapping[str, int]
    days: float
    drifted: int = 0

    @property
    def changed(self) -> int:
        """How many decisions have another outcome."""
        return sum(flip.count for flip in self.flips if flip.before is not flip.after)


class Backtest:
    """Takes recorded decisions one by one, oldest first, and keeps counts and few examples: memory does not grow.

    Each is decided again by `new`. It is compared with what was recorded, or with what `old` says where that is given.
    The invariants of `in_force` are checked besides the new policy's own. `counterfactual`: rates and trust are recomputed,
    because earlier decisions that changed would have changed them.
    """

    def __init__(
        self, new: Policy, *, old: Policy | None = None, in_force: Policy | None = None, counterfactual: bool = False
    ) -> None:
        self._new, self._old, self._in_force = new, old, in_force
        self._drift = Drift() if counterfactual else None
        self._flips: dict[tuple[Any, ...], Flip] = {}
        self._asked: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._broken: Counter[str] = Counter()
        self._first: datetime | None = None
        self._last: datetime | None = None
        self._total = 0

    def take(self, recorded: Recorded) -> None:
        """Decide one recorded situation again."""
        self._total += 1
        self._first, self._last = self._first or recorded.at, recorded.at
        before = recorded.said if self._old is None else self._say(self._old, recorded, recorded.situation)
        situation = recorded.situation
        if self._drift is not None and recorded.effect != Effect.READ.value:
            situation = self._drift.seen(recorded.at, situation)
        after = self._say(self._new, recorded, situation)
        for counter, each in zip(self._asked, (before, after), strict=True):
            if each.left is Outcome.ASK:
                counter.update(each.groups)
        self._check_invariants(after, situation)
        if self._drift is not None and recorded.effect != Effect.READ.value:
            self._drift.note(recorded, before.left, after.left)
        if (before.outcome, before.rule) != (after.outcome, after.rule):
            self._note(recorded, before, after)

    def result(self) -> Flips:
        """What came of it so far."""
        span = (self._last - self._first).total_seconds() if self._first and self._last else 0.0
        return Flips(
            self._total,
            tuple(sorted(self._flips.values(), key=_danger)),
            dict(self._asked[0]),
            dict(self._asked[1]),
            dict(self._broken),
            days=max(1.0, span / 86_400),
            drifted=self._drift.drifted if self._drift else 0,
        )

    def _say(self, policy: Policy, recorded: Recorded, situation: Mapping[str, Any]) -> Said:
        """What a policy says, with its own calendars; a brake that held the record back holds here too."""
        decision = decide(policy, _on_calendar(policy, recorded.at, situation))
        left, groups = decision.outcome, decision.terms.groups if decision.terms else ()
        held = recorded.said.outcome is not recorded.said.left
        if left is Outcome.ALLOW and recorded.effect != Effect.READ.value and (held or _asks_everything(situation)):
            left, groups = Outcome.ASK, policy.default_terms(Effect.WRITE).groups
        return Said(decision.outcome, decision.rule, left, groups)

    def _check_invariants(self, after: Said, situation: Mapping[str, Any]) -> None:
        if after.rule.startswith("invariant:"):
            self._broken[after.rule.removeprefix("invariant:")] += 1
        policy = self._in_force
        if policy is None or after.outcome is Outcome.DENY:
            return
        for invariant in policy.invariants:
            if after.outcome in invariant.never and concerns(policy, invariant, situation):
                self._broken[invariant.name] += 1

    def _note(self, recorded: Recorded, before: Said, after: Said) -> None:
        destructive = recorded.effect == Effect.DESTRUCTIVE.value
        key = (before.outcome, before.rule, after.outcome, after.rule, destructive)
        flip = self._flips.setdefault(key, Flip(*key))
        flip.count += 1
        if len(flip.examples) < EXAMPLES:
            flip.examples.append(Example(recorded.seq, recorded.at, recorded.situation))


def _on_calendar(policy: Policy, at: datetime, situation: Mapping[str, Any]) -> Mapping[str, Any]:
    """Calendars and freezes belong to the policy, so a changed one counts; everything else is as it was recorded."""
    target = situation.get("target")
    if not isinstance(target, Mapping):
        return situation
    environment = str(target.get("environment", ""))
    return {**situation, "calendar": calendar_facts(policy.calendars, policy.freezes, at, environment)}


def _asks_everything(situation: Mapping[str, Any]) -> bool:
    run = situation.get("run")
    return not isinstance(run, Mapping) or run.get("mode") != Mode.ACT.value


def _danger(flip: Flip) -> tuple[bool, bool, bool, int]:
    """Newly allowed destruction first, then whatever else is loosened, then the rest; the frequent before the rare."""
    return (not (flip.newly_allowed and flip.destructive), not flip.newly_allowed, not flip.loosens, -flip.count)
