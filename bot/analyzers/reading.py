"""What analyzers look through: one read-only tool call and what came of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.analyzers.fields import items, short
from domain.diagnosis import Evidence

# a failed call's text begins with the tool's name
_ABSENT = re.compile(r"(?:\w+ failed: )?(?:There is no |This cluster does not serve )")


@dataclass(frozen=True)
class Reading:
    """One read. `evidence_id` is empty where nothing was stored; `error` is a sentence where `ok` is False."""

    evidence_id: str
    ok: bool
    data: Any = None
    error: str = ""

    @property
    def absent(self) -> bool:
        """Whether the answer was that there is no such object, not that it could not be read."""
        return not self.ok and _ABSENT.match(self.error) is not None


Read = Callable[[str, Mapping[str, Any]], Awaitable[Reading]]
"""Calls a read-only tool by name. Never raises: a refused or failed read is a Reading that says so."""

LIST = 200

NOTHING = Reading("", ok=False)
"""A read that was not made."""


def objects(reading: Reading) -> list[Mapping[str, Any]]:
    """The objects of a list read; empty where it failed."""
    return items(reading.data, "items") if reading.ok else []


def cite(reading: Reading, title: str, excerpt: str = "") -> tuple[Evidence, ...]:
    """The evidence that a reading is, nothing where the read was not stored."""
    return (Evidence(reading.evidence_id, title, short(excerpt, 300)),) if reading.ok and reading.evidence_id else ()


async def get(read: Read, kind: str, namespace: str, name: str) -> Reading:
    """One object; `namespace` empty for a kind without one."""
    arguments = {"kind": kind, "name": name} | ({"namespace": namespace} if namespace else {})
    return await read("kubernetes_get", arguments)


async def listing(read: Read, kind: str, namespace: str, selector: str = "", limit: int = LIST) -> Reading:
    """The objects of one kind, at most `limit`."""
    arguments = {"kind": kind, "limit": limit} | ({"namespace": namespace} if namespace else {})
    return await read("kubernetes_list", arguments | ({"label_selector": selector} if selector else {}))


async def pods_of(read: Read, namespace: str, selector: str) -> Reading:
    """The pods of a workload, those in trouble first: at most LIST of them, all counted."""
    arguments = {"kind": "Pod", "namespace": namespace, "limit": LIST, "troubled_first": True}
    return await read("kubernetes_list", arguments | ({"label_selector": selector} if selector else {}))


async def events_of(read: Read, namespace: str, kind: str, name: str) -> Reading:
    """The events of one object."""
    return await read("kubernetes_events", {"namespace": namespace, "kind": kind, "name": name})


async def together(reads: Iterable[Any]) -> list[Reading]:
    """Reads that do not depend on one another, at once."""
    return list(await asyncio.gather(*reads))


def whole(reading: Reading) -> bool:
    """Whether a list read is all there is: only then does a name that is not in it prove that there is none."""
    return reading.ok and isinstance(reading.data, Mapping) and not reading.data.get("more")
