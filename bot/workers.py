"""Workers: so many runs are advanced at the same time, each by one task. Nothing waits here for a person."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from bot import metrics


class Workers:
    """A queue of run ids without repeats; a run that is asked for while it is being advanced is advanced once more."""

    def __init__(self, count: int, advance: Callable[[str], Awaitable[None]]) -> None:
        self._advance = advance
        self._places = asyncio.Semaphore(count)
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued: dict[str, float] = {}
        self._active: set[str] = set()
        self._again: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start taking runs."""
        self._tasks.add(asyncio.create_task(self._dispatch(), name="workers"))

    async def stop(self) -> None:
        """Stop at once: every run goes on from its journal at the next start."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

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

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """For a run that only waits for a system, such as for a build to end: another may take its place meanwhile."""
        self._places.release()
        try:
            yield
        finally:
            await self._places.acquire()

    async def _dispatch(self) -> None:
        while True:
            run_id = await self._queue.get()
            await self._places.acquire()
            task = asyncio.create_task(self._work(run_id), name=f"run {run_id}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _work(self, run_id: str) -> None:
        metrics.queue_seconds.observe(time.perf_counter() - self._queued.pop(run_id))
        metrics.runs_queued.set(len(self._queued))
        self._active.add(run_id)
        metrics.runs_active.set(len(self._active))
        try:
            await self._advance(run_id)
        finally:
            self._active.discard(run_id)
            metrics.runs_active.set(len(self._active))
            self._places.release()
        if run_id in self._again:
            self._again.discard(run_id)
            self.enqueue(run_id)


async def in_turn(*steps: Awaitable[object]) -> None:
    """Steps, one after the other. One that fails keeps none of the others from its turn.

    Raises an ExceptionGroup in the end, with what went wrong in each.
    """
    failed = list[Exception]()
    for step in steps:
        try:
            await step
        except Exception as error:  # noqa: BLE001 – raised again below
            failed.append(error)
    if failed:
        raise ExceptionGroup("could not do everything", failed)
