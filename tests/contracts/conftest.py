"""A journal in a file of its own, by a clock that a test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.journal import SqliteJournal, open_journal
from tests.contracts.journal_samples import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def journal(tmp_path: Path, clock: Clock) -> AsyncIterator[SqliteJournal]:
    async with open_journal(tmp_path / "agent.db", "local", clock=clock) as opened:
        yield opened
