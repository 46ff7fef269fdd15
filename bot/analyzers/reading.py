"""What analyzers look through: one read-only tool call and what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.analyzers.fields import items, short
from domain.diagnosis import Evidence


@dataclass(frozen=True)
class Reading:
    """One read. `evidence_id` is empty where nothing was stored; `error` is a sentence where `ok` is False."""

    evidence_id: str
    ok: bool
    data: Any = None
    error: str = ""


Read = Callable[[str, Mapping[str, Any]], Awaitable[Reading]]
"""Calls a read-only tool by name. Never raises: a refused or failed read is a Reading that says so."""

NOTHING = Reading("", ok=False)
"""A read that was not made."""


def objects(reading: Reading) -> list[Mapping[str, Any]]:
    """The objects of a list read; empty where it failed."""
    return items(reading.data, "items") if reading.ok else []


def cite(reading: Reading, title: str, excerpt: str = "") -> tuple[Evidence, ...]:
    """The evidence that a reading is, nothing where the read was not stored."""
    return (Evidence(reading.evidence_id, title, short(excerpt, 300)),) if reading.ok and reading.evidence_id else ()
