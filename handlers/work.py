"""What a payload causes, after its ack: ordered by Slack's ts within one lane, and never forgotten half-way."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

Job = Callable[[], Awaitable[None]]
Turn = Callable[[], AbstractAsyncContextManager[None]]


class Work:
    """Bolt starts listeners at once, in no order, and keeps no reference to them; this does.

    Only `at_once` jobs are begun at a time, so that a burst's acks go before its work. A job that takes long makes room
    after `patience_s`; urgent lanes do not wait at all.
    """

    def __init__(self, at_once: int = 2, patience_s: float = 0.1) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._patience = patience_s
        self._queues: dict[str, list[tuple[tuple[int, int], int, Job]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0

    def submit(self, lane: str, ts: str, job: Job, *, urgent: bool = False) -> None:
        """Run `job` after every earlier one of this lane; `ts` is Slack's. `job` handles its own errors."""
        self._count += 1
        running = lane in self._queues
        heapq.heappush(self._queues.setdefault(lane, []), (order(ts), self._count, job))
        if not running:
            self._begin(lane, nullcontext if urgent else self._turn)

    def _begin(self, lane: str, turn: Turn) -> None:
        task = asyncio.create_task(self._run(lane, turn), name=f"slack-work-{lane}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Until everything submitted so far is done."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        await self._slots.acquire()
        loop = asyncio.get_running_loop()
        overdue = loop.call_later(self._patience, self._slots.release)
        try:
            yield
        finally:
            if loop.time() < overdue.when():
                overdue.cancel()
                self._slots.release()

    async def _run(self, lane: str, turn: Turn) -> None:
        queue = self._queues[lane]
        try:
            while queue:
                async with turn():
                    _, _, job = heapq.heappop(queue)
                    await job()
        finally:
            if queue:
                self._begin(lane, turn)
            else:
                self._queues.pop(lane, None)


def order(ts: str) -> tuple[int, int]:
    """A ts as numbers to sort by: seconds and counter, exact where a float is not."""
    seconds, _, counter = ts.partition(".")
    if not seconds.isdigit():
        return (0, 0)
    return (int(seconds), int(counter) if counter.isdigit() else 0)
