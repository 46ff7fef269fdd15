"""Workers: each run advanced by one worker at a time, none forgotten, none twice for one request."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from bot.workers import Workers


@asynccontextmanager
async def working(count: int, advance: Callable[[str], Awaitable[None]]) -> AsyncIterator[Workers]:
    workers = Workers(count, advance)
    workers.start()
    try:
        yield workers
    finally:
        await workers.stop()


async def test_runs_are_advanced_by_as_many_workers_as_there_are() -> None:
    met = asyncio.Barrier(3)

    async def advance(_run: str) -> None:
        async with asyncio.timeout(5):
            await met.wait()
        done.append(1)
        if len(done) == 2:
            over.set()

    done: list[int] = []
    over = asyncio.Event()
    async with working(2, advance) as workers:
        workers.enqueue("a")
        workers.enqueue("b")
        async with asyncio.timeout(5):
            await met.wait()
            await over.wait()


async def test_a_run_that_is_asked_for_twice_before_its_turn_is_advanced_once() -> None:
    seen: Counter[str] = Counter()
    over = asyncio.Event()

    async def advance(run: str) -> None:
        seen[run] += 1
        if run == "last":
            over.set()

    async with working(1, advance) as workers:
        for run in ("a", "a", "b", "a", "last"):
            workers.enqueue(run)
        async with asyncio.timeout(5):
            await over.wait()
    assert seen == {"a": 1, "b": 1, "last": 1}


async def test_a_run_that_is_asked_for_while_it_is_advanced_is_advanced_once_more_and_never_by_two() -> None:
    at_once = most = times = 0
    started, release, over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def advance(_run: str) -> None:
        nonlocal at_once, most, times
        at_once += 1
        most = max(most, at_once)
        started.set()
        await release.wait()
        at_once -= 1
        times += 1
        if times == 2:
            over.set()

    async with working(4, advance) as workers:
        workers.enqueue("a")
        async with asyncio.timeout(5):
            await started.wait()
            assert workers.busy("a")
            workers.enqueue("a")
            workers.enqueue("a")
            release.set()
            await over.wait()
    assert (times, most) == (2, 1)


async def test_stopping_ends_what_is_under_way_at_once() -> None:
    started = asyncio.Event()
    ended: list[str] = []

    async def advance(run: str) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(run)

    workers = Workers(1, advance)
    workers.start()
    workers.enqueue("a")
    async with asyncio.timeout(5):
        await started.wait()
        await workers.stop()
    assert ended == ["a"]
    assert not workers.busy("a")


async def test_a_run_that_only_waits_for_a_system_keeps_no_other_from_being_advanced() -> None:
    waiting, release, over = asyncio.Event(), asyncio.Event(), asyncio.Event()
    at_once = most = 0
    order: list[str] = []

    async def advance(run: str) -> None:
        nonlocal at_once, most
        if run == "build":
            async with workers.aside():
                waiting.set()
                await release.wait()
        at_once += 1
        most = max(most, at_once)
        for _ in range(20):
            await asyncio.sleep(0)
        at_once -= 1
        order.append(run)
        if len(order) == 3:
            over.set()

    workers = Workers(1, advance)
    workers.start()
    async with asyncio.timeout(5):
        workers.enqueue("build")
        await waiting.wait()
        assert workers.busy("build")
        workers.enqueue("a")
        while order != ["a"]:
            await asyncio.sleep(0)
        release.set()
        workers.enqueue("b")
        await over.wait()
    await workers.stop()
    assert sorted(order) == ["a", "b", "build"]
    assert most == 1, "its place is taken again before it goes on"


async def test_a_run_that_waits_aside_is_stopped_at_once_too() -> None:
    waiting = asyncio.Event()

    async def advance(run: str) -> None:
        if run == "busy":
            await asyncio.Event().wait()
        async with workers.aside():
            waiting.set()
            await asyncio.Event().wait()

    workers = Workers(1, advance)
    workers.start()
    async with asyncio.timeout(5):
        workers.enqueue("build")
        await waiting.wait()
        workers.enqueue("busy")
        while not workers.busy("busy") or "busy" in workers._queued:
            await asyncio.sleep(0)
        await workers.stop()
    assert not workers.busy("build")
