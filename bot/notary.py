"""Signs checkpoints of the journal, and sees to it that places outside hold them.

A checkpoint is due every 5 minutes and every 500 events, at the start and at a clean stop, where anything was recorded
since but checkpoints and what they cause. Each place has a lane of its own: it takes the newest checkpoint, and is asked
again while it fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, suppress

from bot import metrics
from bot.agent.world import log
from bot.anchors import Place
from domain.audit import CHECKPOINT_MESSAGES, AnchorFailed, AnchorWritten, CheckpointSigned
from domain.decisions import SYSTEM
from domain.errors import AgentError
from domain.events import Draft, Envelope
from domain.messages import MessageFailed, MessageSent, MessageWanted
from storage.copies import line_of
from storage.journal import SqliteJournal
from storage.keys import Keys

EVERY_SECONDS = 300.0
EVERY_EVENTS = 500
RETRY_SECONDS = 60.0
"""After a place took nothing: how long until it is asked again, unless a newer checkpoint comes first."""

STOP_SECONDS = 5.0
"""How long the last checkpoint may take to reach its places when the service stops."""

_LONGEST_TRAIL = 20_000  # events: a place that is new, or was away for long, gets a trail of the newest only


class Notary:
    """`start` after the journal is open, `stop` when nobody records any more; `look` is the clock's turn."""

    def __init__(
        self,
        journal: SqliteJournal,
        keys: Keys,
        places: Sequence[Place],
        *,
        every: int = EVERY_EVENTS,
        retry_s: float = RETRY_SECONDS,
    ) -> None:
        self._journal = journal
        self._keys = keys
        self._every = every
        self._lanes = [_Lane(journal, place, retry_s) for place in places]
        self._news = 0  # the last event that is a reason for a checkpoint
        self._size = 0  # of the last checkpoint
        self._due = every
        self._signing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._subscribed = ExitStack()

    async def start(self) -> None:
        """Sign what an earlier process left, and go on from there."""
        events = self._subscribed.enter_context(self._journal.subscribe())
        last = await self._journal.last(CheckpointSigned)
        if last is not None and isinstance(last.event, CheckpointSigned):
            self._take(last.event)
        stand = {anchor.place: anchor.size for anchor in await self._journal.anchors()}
        for lane in self._lanes:
            lane.size = stand.get(lane.place.name, 0)
        await self._catch_up()
        watch = asyncio.create_task(self._watch(aiter(events)), name="notary")
        self._tasks = [watch, *(asyncio.create_task(lane.run(), name=lane.place.name) for lane in self._lanes)]

    async def look(self) -> None:
        """Sign, where there is anything new. Raises JournalError where the last checkpoint does not hold."""
        async with self._signing:
            if self._news <= self._size:
                return
            envelope = await self._journal.sign(self._keys)
            if envelope is not None and isinstance(envelope.event, CheckpointSigned):
                self._take(envelope.event)

    async def stop(self) -> None:
        """A last checkpoint; what a place does not take in time, it takes after the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._subscribed.close()
        if self._tasks:
            await self._catch_up()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.gather(*(lane.bring() for lane in self._lanes))

    async def _catch_up(self) -> None:
        """Sign what nobody told of. What stands after the last checkpoint and is no reason for another is little."""
        seq = self._size
        while self._news <= self._size and (envelopes := await self._journal.since(seq, 100)):
            seq = envelopes[-1].seq
            self._news = max((each.seq for each in envelopes if not _is_own(each)), default=self._news)
        await self._sign()

    async def _sign(self) -> None:
        try:
            await self.look()
        except AgentError as error:
            self._due = self._news + self._every  # the clock's next turn tries again
            metrics.checkpoint_failures.inc()
            log.error("no checkpoint was signed", extra={"reason": str(error)})

    def _take(self, event: CheckpointSigned) -> None:
        self._size = event.size
        self._due = event.size + self._every
        metrics.checkpointed_events.set(event.size)
        for lane in self._lanes:
            lane.offer(event)

    async def _watch(self, events: AsyncIterator[Envelope]) -> None:
        before = 0
        async for envelope in events:
            missed = 0 < before < envelope.seq - 1  # and may have been a reason
            if missed or not _is_own(envelope):
                self._news = envelope.seq
            before = envelope.seq
            if self._news > self._size and envelope.seq >= self._due:
                await self._sign()


class _Lane:
    """One place: `size` is what it holds, and the newest checkpoint is what it should."""

    def __init__(self, journal: SqliteJournal, place: Place, retry_s: float) -> None:
        self.place = place
        self._retry_s = retry_s
        self.size = 0
        self._journal = journal
        self._newest: CheckpointSigned | None = None
        self._wake = asyncio.Event()
        self._failed = ""

    def offer(self, event: CheckpointSigned) -> None:
        """There is a newer checkpoint."""
        self._newest = event
        self._wake.set()

    async def run(self) -> None:
        """Bring it whatever is newest, as long as the service lives."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while not await self.bring():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._retry_s):
                        await self._wake.wait()
                self._wake.clear()

    async def bring(self) -> bool:
        """See to it that the place holds the newest checkpoint; whether it does. What fails is recorded once per reason."""
        event = self._newest
        if event is None or event.size <= self.size:
            return True
        first = max(self.size + 1, event.size - _LONGEST_TRAIL + 1)
        try:
            line = line_of(event.note, first, await self._journal.hashes(first, event.size))
            reference = await self.place.write(event, line)
        except AgentError as error:
            await self._not_taken(event, str(error))
            return False
        self.size, self._failed = event.size, ""
        metrics.anchor_success.labels(self.place.name).set_to_current_time()
        metrics.anchored_events.labels(self.place.name).set(event.size)
        await self._record(AnchorWritten(self.place.name, event.size, reference))
        return self._newest is event

    async def _not_taken(self, event: CheckpointSigned, reason: str) -> None:
        metrics.anchor_failures.labels(self.place.name).inc()
        if reason != self._failed:
            self._failed = reason
            log.warning("a place did not take a checkpoint", extra={"place": self.place.name, "reason": reason})
            await self._record(AnchorFailed(self.place.name, event.size, reason))

    async def _record(self, event: AnchorWritten | AnchorFailed) -> None:
        try:
            await self._journal.append(Draft(event, SYSTEM))
        except AgentError as error:
            log.error("the journal did not take how an anchor stands", extra={"reason": str(error)})


def _is_own(envelope: Envelope) -> bool:
    """Checkpoints and what they cause: were they reasons for another checkpoint, there would be no end."""
    event = envelope.event
    if isinstance(event, MessageWanted | MessageSent | MessageFailed):
        return event.key.startswith(CHECKPOINT_MESSAGES)
    return isinstance(event, CheckpointSigned | AnchorWritten | AnchorFailed)
