"""What can go wrong between Jenkins and whoever asks it, on request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

KINDS = ("lose", "hang", "starting", "429", "500", "502", "403", "login")


@dataclass
class Fault:
    """What happens to the next matching requests. `then` runs first, as somebody else who is quicker."""

    method: str
    part: str
    kind: str
    left: int
    then: Callable[[], None] | None = None


class Faults:
    """Faults that wait for their requests."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._over = asyncio.Event()

    def add(self, method: str, part: str, kind: str, times: int = 1, then: Callable[[], None] | None = None) -> None:
        """The next `times` requests of this method (`*`: any) whose path holds `part`.

        `lose`: the work is done and the connection broken. `hang`: no answer ever. `starting`: 503 as while Jenkins starts.
        `429`, `500`, `502`, `403` answer so and do nothing, `login` leads to a proxy's login. `pass` goes on, after `then`.
        """
        if kind not in (*KINDS, "pass"):
            raise ValueError(f"{kind} is no fault; faults are {', '.join(KINDS)}")
        self._waiting.append(Fault(method, part, kind, times, then))

    def take(self, method: str, path: str) -> str:
        """The kind of the fault that is meant for this request; empty where none is."""
        for fault in self._waiting:
            if fault.left > 0 and fault.method in ("*", method) and fault.part in path:
                fault.left -= 1
                if fault.then is not None:
                    fault.then()
                return "" if fault.kind == "pass" else fault.kind
        return ""

    async def hang(self) -> None:
        """Until Jenkins ends."""
        await self._over.wait()

    def release(self) -> None:
        """Jenkins ends."""
        self._over.set()
