"""The workspace's own time: real, faster, or moved by a test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import Any


class Clock:
    """Seconds since the epoch that may run `speed` times as fast as the world and can be moved forward.

    Everything in the workspace that waits (acks, retries, expiries) waits on this clock.
    """

    def __init__(self, speed: float = 1.0) -> None:
        self._speed = speed
        self._began = time.monotonic()
        self._base = time.time()
        self._moved = asyncio.Event()

    def now(self) -> float:
        return self._base + (time.monotonic() - self._began) * self._speed

    def advance(self, seconds: float) -> None:
        """Moves the time forward and wakes whatever was waiting for a moment now past."""
        self._base += seconds
        self._moved.set()
        self._moved = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await self._sleep_until(self.now() + seconds)

    async def _sleep_until(self, moment: float) -> None:
        while (left := moment - self.now()) > 0:
            try:
                await asyncio.wait_for(self._moved.wait(), left / self._speed)
            except TimeoutError:
                continue

    async def within(self, seconds: float, result: Awaitable[Any]) -> Any:
        """What `result` comes to, or TimeoutError once `seconds` of this clock have passed."""
        answer = asyncio.ensure_future(result)
        alarm = asyncio.ensure_future(self._sleep_until(self.now() + seconds))
        try:
            await asyncio.wait({answer, alarm}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise TimeoutError
            return answer.result()
        finally:
            alarm.cancel()
            answer.cancel()
