"""What a payload causes, after its ack: ordered by Slack's ts within one lane, and never forgotten half-way."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext

Job = Callable[[], Awaitable[None]]


class Work:
    """Bolt starts listeners at once, in no order, and keeps no reference to them; this does.

    At most `at_once` lanes work at a time, so that a burst's acks go before its work; urgent lanes do not wait.
    """

    def __init__(self, at_once: int = 8) -> None:
        self._slots = asyncio.Semaphore(at_once)
        self._queues: dict[str, list[tuple[tuple[int, int], int, Job]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._count = 0

    def submit(self, lane: str, ts: str, job: Job, *, urgent: bool = False) -> None:
        """Run `job` after every earlier one of this lane; `ts` is Slack's. `job` handles its own errors."""
        self._count += 1
        running = lane in self._queues
        heapq.heappush(self._queues.setdefault(lane, []), (order(ts), self._count, job))
        if not running:
            self._begin(lane, nullcontext() if urgent else self._slots)

    def _begin(self, lane: str, turn: AbstractAsyncContextManager[None]) -> None:
        task = asyncio.create_task(self._run(lane, turn), name=f"slack-work-{lane}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Until everything submitted so far is done."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, lane: str, turn: AbstractAsyncContextManager[None]) -> None:
        queue = self._queues[lane]
        try:
            while queue:
                async with turn:
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
