"""Evidence as it leaves the agent: one archive that proves itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class EvidenceFile:
    """An archive. `events` are in it, `verdict` says in words how it ended, `public_key` (hex) is what it is signed by."""

    name: str
    title: str
    verdict: str
    events: int
    content: bytes
    public_key: str


EvidenceOf = Callable[[str], Awaitable[EvidenceFile | None]]
"""The evidence of an incident or a run, by id; None where there is neither. Raises JournalError, SettingsError."""


async def no_evidence(reference: str) -> EvidenceFile | None:
    """Where nothing makes evidence: there is none."""
    return None
