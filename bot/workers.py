"""Workers: a few tasks that advance runs. One run is advanced by one worker at a time; nothing waits here for a person."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from bot import metrics


class Workers:
    """A queue of run ids without repeats; a run that is asked for while it is being advanced is advanced once more."""

    def __init__(self, count: int, advance: Callable[[str], Awaitable[None]]) -> None:
        self._count = count
        self._advance = advance
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued: dict[str, float] = {}
        self._active: set[str] = set()
        self._again: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the tasks."""
        self._tasks = [asyncio.create_task(self._work(), name=f"worker-{number}") for number in range(self._count)]

    async def stop(self) -> None:
        """Stop at once: every run goes on from its journal at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def enqueue(self, run_id: str) -> None:
        """Have a run advanced soon."""
        if run_id in self._active:
            self._again.add(run_id)
        elif run_id not in self._queued:
            self._queued[run_id] = time.perf_counter()
            self._queue.put_nowait(run_id)
            metrics.runs_queued.set(len(self._queued))

    def busy(self, run_id: str) -> bool:
        """Whether a run is being advanced or about to be."""
        return run_id in self._active or run_id in self._queued

    async def _work(self) -> None:
        while True:
            run_id = await self._queue.get()
            metrics.queue_seconds.observe(time.perf_counter() - self._queued.pop(run_id))
            metrics.runs_queued.set(len(self._queued))
            self._active.add(run_id)
            metrics.runs_active.set(len(self._active))
            try:
                await self._advance(run_id)
            finally:
                self._active.discard(run_id)
                metrics.runs_active.set(len(self._active))
            if run_id in self._again:
                self._again.discard(run_id)
                self.enqueue(run_id)
