"""A journal in memory, for what is tried and not kept: the same rows, chain and refusals, no file, no thread, no disk."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from datetime import datetime
from functools import cache
from typing import Protocol, TypeVar

from domain.events import Draft, Envelope
from storage import views
from storage.database import run_script, scripts, transaction
from storage.journal import SqliteJournal

T = TypeVar("T")


class Beyond(Protocol):
    """What the rest of the record says: the counts that a journal of one run cannot know by itself."""

    def rates(self, target_key: str) -> Mapping[str, int]:
        """As the Journal port's; empty where nobody knows."""
        ...

    def trust(self, tool: str, environment: str) -> Mapping[str, int]:
        """As the Journal port's; empty where nobody knows."""
        ...

    def acted(self, problems: Sequence[str]) -> int | None:
        """As the Journal port's; None where nobody knows, and then this journal's own executions count."""
        ...


@asynccontextmanager
async def open_scratch(
    workspace: str, *, clock: Callable[[], datetime], beyond: Beyond
) -> AsyncIterator[ScratchJournal]:
    """A fresh one, gone on the way out. Everything runs where it is called, so the same calls come in the same order."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.deserialize(_laid())
        journal = ScratchJournal(_Here(db), _Here(db), workspace, clock)
        journal.beyond, journal.recorded = beyond, []
        try:
            yield journal
        finally:
            await journal.close()


class ScratchJournal(SqliteJournal):
    """The Journal port in memory. What it cannot know of itself it answers from beyond; `recorded` is all that it took."""

    beyond: Beyond
    recorded: list[Envelope]

    async def append(self, *drafts: Draft) -> Sequence[Envelope]:
        """As every journal's."""
        envelopes = await super().append(*drafts)
        self.recorded.extend(envelopes)
        return envelopes

    async def rates(self, target_key: str, since: datetime) -> Mapping[str, int]:
        """As the record says; `since` is the record's own."""
        return self.beyond.rates(target_key)

    async def trust(self, tool: str, environment: str) -> Mapping[str, int]:
        """As the record says."""
        return self.beyond.trust(tool, environment)

    async def acted(self, problems: Sequence[str], since: datetime) -> int:
        """As the record says, else what was executed here."""
        known = self.beyond.acted(problems)
        return await super().acted(problems, since) if known is None else known


class _Here:
    """A connection whose work is done where it is asked for."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return work(self._db)


@cache
def _laid() -> bytes:
    """An empty database of this version: laid once, copied for each journal."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for _, _, script in scripts():
            with transaction(db):
                run_script(db, script)
        views.rebuild(db)
        return db.serialize()
