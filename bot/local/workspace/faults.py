"""What can go wrong on Slack's side, on request."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

KINDS = ("429", "500", "timeout", "reset_after_commit")


@dataclass
class _Fault:
    method: str
    left: int
    kind: str
    retry_after: int


class Faults:
    """Failures waiting for the next calls, and the states in which everything fails."""

    def __init__(self) -> None:
        self.is_down = False
        self.acks_held = False
        self.duplicate_events = 0
        self._faults: list[_Fault] = []
        self._released = asyncio.Event()
        self._held: dict[str, asyncio.Event] = {}
        self.waiting = 0

    def hold(self, method: str) -> None:
        """Calls of `method` do not begin until `let_go`; `waiting` is how many there are."""
        self._held[method] = asyncio.Event()

    def let_go(self, method: str) -> None:
        self._held.pop(method).set()

    async def turn(self, method: str) -> None:
        """Until a call of `method` may begin."""
        if method in self._held:
            self.waiting += 1
            await self._held[method].wait()
            self.waiting -= 1

    def fail(self, method: str, times: int = 1, kind: str = "429", retry_after: int = 1) -> None:
        """The next `times` calls of `method` ("*": of any) fail.

        `429` carries Retry-After in seconds, `500` is Slack's own error, `timeout` never answers,
        `reset_after_commit` does the work and breaks the connection; any other kind is the `error` of a
        refusal, such as "is_archived".
        """
        self._faults.append(_Fault(method, times, kind, retry_after))

    def take(self, method: str) -> tuple[str, int] | None:
        """The kind and Retry-After of the fault meant for this call, used up by asking."""
        for fault in self._faults:
            if fault.left > 0 and fault.method in (method, "*"):
                fault.left -= 1
                return fault.kind, fault.retry_after
        return None

    async def hang(self) -> None:
        """Waits as a server that never answers does, until the workspace closes."""
        await self._released.wait()

    def release(self) -> None:
        self._released.set()
        for method in tuple(self._held):
            self.let_go(method)
