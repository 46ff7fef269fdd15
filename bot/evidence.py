"""The evidence of an incident as an archive, made beside the running service: it reads the database for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from domain.evidence import EvidenceFile
from storage.evidence import export
from storage.keys import raw, signing_key


async def of_reference(
    database: Path, workspace: str, key: Path, clock: Callable[[], datetime], reference: str
) -> EvidenceFile | None:
    """The archive of an incident or a run, on a thread of its own; None where there is neither.

    Raises JournalError where the database cannot be read, SettingsError where there is no key to sign with.
    """
    return await asyncio.to_thread(_made, database, workspace, key, clock(), reference)


def _made(database: Path, workspace: str, key: Path, now: datetime, reference: str) -> EvidenceFile | None:
    signing = signing_key(key)
    found = export.of_reference(database, workspace, reference, signing, now)
    if found is None:
        return None
    public = raw(signing.public_key()).hex()
    return EvidenceFile(f"{found.name}.zip", found.title, found.verdict, found.events, found.archive(), public)
