"""Whether two runs of one recording name the same cause and want the same change. By code alone, and in doubt: no.

The cause of a conclusion is the heaviest finding that it rests on: one of the analyzers' findings that speaks of something
wrong, and all of whose evidence the conclusion cites. Two conclusions that claim a cause name the same one where that is the
same finding about the same target, or where both cite exactly the same evidence. Words are not compared.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.replay.differences import Trace
from bot.replay.recording import Key
from domain.diagnosis import Confidence, Diagnosis
from domain.figures import wilson

NEITHER = "neither proposes one"


@dataclass(frozen=True)
class Verdict:
    """The answer, and what it rests on. `same` is None where one side came to no conclusion."""

    same: bool | None
    why: str


UNKNOWN = Verdict(None, "")


def same_cause(then: Trace, now: Trace) -> Verdict:
    """Whether both runs name the same cause."""
    before, after = then.run.diagnosis, now.run.diagnosis
    if before is None or after is None:
        return Verdict(None, "no conclusion" if after is None else "none was recorded")
    claims = [diagnosis.confidence is not Confidence.NOT_PROVEN for diagnosis in (before, after)]
    if not any(claims):
        return Verdict(True, "neither claims one")
    if not all(claims):
        return Verdict(False, "only one of them claims one")
    one, other = _finding(then, before), _finding(now, after)
    if one is not None and one == other:
        return Verdict(True, f"{one[0]} on {one[1]}")
    cited = _evidence(then, before)
    if cited and cited == _evidence(now, after):
        return Verdict(True, "the same evidence")
    return Verdict(False, f"{_shown(one)} then, {_shown(other)} now")


def same_action(then: Trace, now: Trace) -> Verdict:
    """Whether both runs proposed the same changes: the same tools with the same arguments."""
    before, after = _changes(then), _changes(now)
    if not before and not after:
        return Verdict(True, NEITHER)
    return Verdict(before == after, "" if before == after else "other changes")


@dataclass(frozen=True)
class Share:
    """How many of how many, with Wilson's interval: where the true share lies, by 95 %, if these runs are like others."""

    count: int
    of: int

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends, between 0 and 1; everything is possible where nothing was counted."""
        return wilson(self.count, self.of)

    def __str__(self) -> str:
        low, high = self.interval
        share = f"{self.count / self.of:.0%}" if self.of else "–"
        return f"{self.count} of {self.of} ({share}, 95 % interval {low:.0%} to {high:.0%})"


def _finding(trace: Trace, diagnosis: Diagnosis) -> tuple[str, str] | None:
    """The code and the target of the heaviest finding that a conclusion rests on; findings stand in order of their weight."""
    cited = {each.id for each in diagnosis.evidence}
    for found in trace.run.findings or ():
        rests_on = {each.id for each in found.evidence}
        if rests_on and rests_on <= cited and not found.healthy:
            return found.code, found.target.key
    return None


def _evidence(trace: Trace, diagnosis: Diagnosis) -> frozenset[tuple[Key, int]]:
    """The reads behind what a conclusion cites."""
    cited = {each.id for each in diagnosis.evidence}
    return frozenset(
        name for name, traced in trace.calls.items() if traced.call.result and traced.call.result.evidence_id in cited
    )


def _changes(trace: Trace) -> frozenset[Key]:
    """The changes that were proposed, whatever became of them."""
    return frozenset(key for (key, _), traced in trace.calls.items() if traced.change)


def _shown(finding: tuple[str, str] | None) -> str:
    return f"{finding[0]} on {finding[1]}" if finding else "none of the findings"
