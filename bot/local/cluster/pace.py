"""Time in the cluster: how fast it passes, timestamps, and timers that end with the cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta

SQUEEZE = 60  # deadlines given in real seconds (progressDeadlineSeconds) pass this many times faster


def timestamp(moment: datetime | None = None) -> str:
    """RFC 3339 in UTC with whole seconds, as metav1.Time prints it."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def micro_timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with nine decimals, as log lines carry it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "000Z"


def ago(**parts: float) -> datetime:
    return datetime.now(UTC) - timedelta(**parts)


class Pace:
    """Timers by key. At speed 1 a second is a second; at speed 10 it is a tenth of one."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self._timers: dict[Hashable, asyncio.TimerHandle] = {}

    def after(self, key: Hashable, seconds: float, call: Callable[[], None]) -> None:
        """Calls `call` once, `seconds` from now; a pending timer of the same key is replaced."""
        self.cancel(key)

        def fire() -> None:
            self._timers.pop(key, None)
            call()

        self._timers[key] = asyncio.get_running_loop().call_later(seconds / self.speed, fire)

    def pending(self, key: Hashable) -> bool:
        return key in self._timers

    def cancel(self, key: Hashable) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()

    def close(self) -> None:
        for key in list(self._timers):
            self.cancel(key)
