"""The recording as it runs: its clock, what was handed out of it, and what it was asked for and does not hold."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime

from bot.models.recorded import RecordingEnds
from bot.replay.recording import Change, Counted, Key, Look, Output, Recording
from domain.actions import Mode
from domain.decisions import Actor
from domain.errors import Conflict
from domain.events import Draft
from domain.ports import Journal

NO_OUTPUT = "the recording has no such output"
ENDS = "the recording ends here"
TURNS = 64
"""So many turns of the event loop a result waits for those that were recorded before it: by then whoever asks for them at
the same time has asked. Counted anew whenever one of them is handed out; no journal here waits for anything but such turns."""


class Reel:
    """One pass through a recording. Its clock is the recorded time of the last thing that was handed out.

    `open_end`: the recording is of a run that still goes on, so that what it does not hold is where it ends.
    """

    def __init__(self, recording: Recording, *, open_end: bool = False) -> None:
        self.recording = recording
        self._open_end = open_end
        self.now = recording.began
        self.unanswerable: list[Key] = []
        self.not_known: dict[str, None] = {}
        self._journal: Journal | None = None
        self._during = list(recording.during)
        self._phase = 0
        self._handed: set[int] = set()
        self._waiting = sorted(each.place for outputs in recording.reads.values() for each in outputs)
        self._executed: dict[Key, int] = {}
        self._looked: dict[Key, int] = {}

    def onto(self, journal: Journal) -> None:
        """The journal that is told what others recorded meanwhile."""
        self._journal = journal

    # --- time ---------------------------------------------------------------------------------------------------------

    def clock(self) -> datetime:
        """The time of the recording."""
        return self.now

    async def reach(self, at: datetime | None) -> None:
        """Time goes on, never back; what others recorded until then is told to the journal."""
        if at is not None and at > self.now:
            self.now = at
        while self._during and self._during[0].at <= self.now:
            each = self._during.pop(0)
            await self.tell(Draft(each.event, actor_of(each.actor), each.incident_id, each.run_id))

    async def tell(self, draft: Draft) -> bool:
        """Record what somebody else did, where it still fits: a replay that went another way may be past it."""
        if self._journal is None:
            return False
        try:
            await self._journal.append(draft)
        except Conflict:
            return False
        return True

    def mode(self) -> Mode:
        """How far the agent might go then."""
        return [mode for at, mode in self.recording.modes if at <= self.now][-1]

    # --- what the ports answered --------------------------------------------------------------------------------------

    async def read(self, key: Key) -> Output | None:
        """A read's recorded output, of the same state of the world: between the same changes. Given again, the last one again.

        Results that were asked for at the same time come in the order in which they were recorded.
        """
        found = [each for each in self.recording.reads.get(key, ()) if each.phase == self._phase]
        fresh = [each for each in found if each.place not in self._handed]
        if not found:
            self.lacks(key)
            return None
        output = fresh[0] if fresh else found[-1]
        self._handed.add(output.place)
        await self._in_turn(output.place)
        await self.reach(output.at)
        self._waiting = [each for each in self._waiting if each > output.place]
        return output

    async def _in_turn(self, place: int) -> None:
        turns, left = 0, len(self._waiting)
        while turns < TURNS and self._waiting and self._waiting[0] < place:
            await asyncio.sleep(0)
            turns = turns + 1 if len(self._waiting) == left else 0
            left = len(self._waiting)

    async def look(self, key: Key) -> Look | None:
        """What looking at a change's target came to: the next that was recorded from now on, else the last."""
        looks = self.recording.looks.get(key, [])
        first = self._looked.get(key, 0)
        place = next((place for place in range(first, len(looks)) if looks[place].at >= self.now), len(looks) - 1)
        if place < 0:
            self.lacks(key)
            return None
        self._looked[key] = place + 1
        await self.reach(looks[place].at)
        return looks[place]

    def execution(self, key: Key) -> Change | None:
        """What executing a change came to, each recorded one once."""
        self._phase += 1
        self._executed[key] = self._executed.get(key, 0) + 1
        change = self.executed(key)
        if change is None:
            self.lacks(key)
        return change

    def executed(self, key: Key) -> Change | None:
        """The recorded execution behind the last one of this pass; None where it was never made."""
        place, changes = self._executed.get(key, 0), self.recording.changes.get(key, [])
        return changes[place - 1] if 0 < place <= len(changes) else None

    def lacks(self, key: Key) -> None:
        """The recording holds no output for this. Raises RecordingEnds where that is because the run still goes on."""
        if self._open_end:
            raise RecordingEnds(ENDS)
        self.unanswerable.append(key)

    # --- what the rest of the journal said (storage.scratch.Beyond) -----------------------------------------------------

    def rates(self, target_key: str) -> Mapping[str, int]:
        """The counts of the last hour, as the decision on the same target saw them."""
        counted = self._counted(target_key)
        if counted is None:
            self.not_known[f"how often {target_key} and the agent had been acted on within the hour"] = None
        return counted.rates if counted else {}

    def trust(self, tool: str, environment: str) -> Mapping[str, int]:
        """The record of the tool in the environment, as a decision saw it."""
        counted = self._counted(f"{tool} {environment}")
        if counted is None:
            self.not_known[f"what had become of {tool} in {environment} before"] = None
        return counted.trust if counted else {}

    def acted(self, problems: Sequence[str]) -> int | None:
        """How often the same problems had been acted on."""
        return self.recording.acted.get(tuple(problems))

    def _counted(self, subject: str) -> Counted | None:
        counted = self.recording.counted.get(subject, ())
        return next((each for each in counted if each.at >= self.now), counted[-1] if counted else None)


def actor_of(text: str) -> Actor:
    """The actor behind the words that the journal keeps of one."""
    kind, _, name = text.partition(":")
    return Actor(kind, name)
