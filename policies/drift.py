"""What changed decisions change later on: the executions that would not have been, or would have been besides.

A recorded rate is an exact count, so only the difference is kept: an hour of executions, and one counter per tool and
environment. A question that nobody was asked in fact counts as unanswered, so nothing follows from it; what a changed
policy allows counts as executed at once, neither verified nor failed, because nobody can know.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from domain.decisions import Outcome
from policies.recorded import Recorded

HOUR = timedelta(hours=1)
_REMEMBERED = 10_000


@dataclass(order=True)
class _Change:
    """One more or one less from `at` on. `rates` count for an hour, `trust` for good."""

    at: datetime
    target: str = field(compare=False)
    subject: tuple[str, str] = field(compare=False)
    executed: int = field(compare=False)
    failed: int = field(compare=False)
    touches: int = field(compare=False)
    trust: Mapping[str, int] = field(compare=False)


class Drift:
    """The difference between the rates and trust that were and those that would have been."""

    def __init__(self) -> None:
        self.drifted = 0
        self._ahead: list[_Change] = []
        self._hour: list[_Change] = []
        self._trust: dict[tuple[str, str], Counter[str]] = {}
        self._settled: OrderedDict[str, None] = OrderedDict()

    def seen(self, at: datetime, situation: Mapping[str, Any]) -> Mapping[str, Any]:
        """The situation as it would have been at that moment."""
        self._pass(at)
        trust = self._trust.get(_subject(situation), Counter())
        if not self._hour and not any(trust.values()):
            return situation
        key = _key(situation)
        deltas = {
            "agent_1h": sum(change.executed for change in self._hour),
            "failed_1h": sum(change.failed for change in self._hour),
            "touches_1h": sum(change.touches for change in self._hour),
            "target_1h": sum(change.executed for change in self._hour if change.target == key),
        }
        changed = {
            **situation,
            "rate": _shifted(situation.get("rate") or {}, deltas),
            "trust": _shifted(situation.get("trust") or {}, trust),
        }
        self.drifted += changed != situation
        return changed

    def note(self, past: Recorded, before: Outcome, after: Outcome) -> None:
        """Take in what one decision that came out otherwise would have led to."""
        if before is after:
            return
        trust = _asked(past, -1) if before is Outcome.ASK else Counter({"proposed": int(after is Outcome.ASK)})
        executes = after is Outcome.ALLOW
        executed, failed, when = 0, 0, past.at
        if executes != (past.executed_at is not None) and past.call not in self._settled:
            self._settle(past.call)
            executed = 1 if executes else -1
            when = past.executed_at or past.at
            failed = 0 if executes else -int(past.failed)
            trust.update({"executed": executed, "failed": failed, "verified": 0 if executes else -int(past.verified)})
        if executed or any(trust.values()):
            touches = executed * int((past.situation.get("target") or {}).get("touches") or 0)
            about = _key(past.situation), _subject(past.situation)
            insort(self._ahead, _Change(when, *about, executed, failed, touches, trust))

    def _settle(self, call: str) -> None:
        """A call executes once, however often it was decided."""
        self._settled[call] = None
        if len(self._settled) > _REMEMBERED:
            self._settled.popitem(last=False)

    def _pass(self, now: datetime) -> None:
        while self._ahead and self._ahead[0].at < now:
            change = self._ahead.pop(0)
            self._trust.setdefault(change.subject, Counter()).update(change.trust)
            if change.executed:
                self._hour.append(change)
        self._hour = [change for change in self._hour if change.at >= now - HOUR]


def _asked(past: Recorded, by: int) -> Counter[str]:
    return Counter({"proposed": by, **({past.answer: by} if past.answer else {})})


def _shifted(counts: Mapping[str, Any], deltas: Mapping[str, int]) -> dict[str, Any]:
    """Counts that were recorded, with the difference; a fact that was absent stays absent."""
    return {name: max(0, value + deltas.get(name, 0)) for name, value in counts.items()}


def _key(situation: Mapping[str, Any]) -> str:
    target = situation.get("target") or {}
    return "/".join(str(target[part]) for part in ("system", "namespace", "kind", "name") if target.get(part))


def _subject(situation: Mapping[str, Any]) -> tuple[str, str]:
    tool, target = situation.get("tool") or {}, situation.get("target") or {}
    return str(tool.get("name", "")), str(target.get("environment", ""))
