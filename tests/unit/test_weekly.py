"""The weekly message: once a week, from rows, and silent about a week in which nothing was done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from bot import weekly
from bot.policy_files import read_folder
from bot.tools import schemas
from domain.decisions import SYSTEM
from domain.events import Draft, MessageWanted, WorkUnitRecorded
from domain.weeks import Appointment
from domain.work import WorkKind, WorkOutcome, WorkUnit
from storage.journal import SqliteJournal, open_journal

MONDAY = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)


class Channel:
    """A chat that keeps its notices as the outbox does."""

    def __init__(self, journal: SqliteJournal) -> None:
        self.journal, self.said = journal, list[str]()

    async def notice(self, incident_id: str, key: str, text: str) -> None:
        self.said.append(text)
        await self.journal.append(Draft(MessageWanted(f"notice:{incident_id}:{key}", 1, "C1", "", text, ()), SYSTEM))


@asynccontextmanager
async def week(tmp_path: Path, *, units: int) -> AsyncIterator[tuple[SqliteJournal, Channel]]:
    async with open_journal(tmp_path / "week.db", "T1") as journal:
        done = MONDAY - timedelta(days=2)
        unit = WorkUnit(
            WorkKind.REMEDIATION, WorkOutcome.ACCEPTED, done, done, worth=True, people_ms=120_000, attention_s=120
        )
        for _ in range(units):
            await journal.append(Draft(WorkUnitRecorded(unit), SYSTEM))
        yield journal, Channel(journal)


async def tell(journal: SqliteJournal, chat: Channel, now: datetime) -> None:
    when = Appointment(0, time(9))
    await weekly.tell(journal, chat, now, when, read_folder(""), schemas(), {"AGENT_APPROVERS": ("@sre",)})  # type: ignore[arg-type]


async def test_a_week_is_told_once_however_often_it_is_looked_at(tmp_path: Path) -> None:
    async with week(tmp_path, units=3) as (journal, chat):
        for later in (timedelta(), timedelta(minutes=15), timedelta(days=3)):
            await tell(journal, chat, MONDAY + later)
        assert len(chat.said) == 1
        assert "3 pieces of work (3 accepted)" in chat.said[0]
        assert "people decided for 6 min" in chat.said[0]
        assert "Estimated, not measured: a net saving of 99 min" in chat.said[0]


async def test_a_message_that_nobody_was_there_to_send_is_sent_later_in_the_week(tmp_path: Path) -> None:
    async with week(tmp_path, units=1) as (journal, chat):
        await tell(journal, chat, MONDAY + timedelta(days=4))
        assert len(chat.said) == 1


async def test_before_monday_nine_nothing_is_said_of_the_week(tmp_path: Path) -> None:
    async with week(tmp_path, units=1) as (journal, chat):
        await tell(journal, chat, MONDAY - timedelta(hours=1))
        assert chat.said == []


async def test_a_week_without_work_is_not_talked_about(tmp_path: Path) -> None:
    async with week(tmp_path, units=0) as (journal, chat):
        await tell(journal, chat, MONDAY)
        assert chat.said == []


async def test_the_next_week_is_told_again(tmp_path: Path) -> None:
    async with week(tmp_path, units=1) as (journal, chat):
        await tell(journal, chat, MONDAY)
        done = MONDAY + timedelta(days=1)
        unit = WorkUnit(WorkKind.DIAGNOSIS, WorkOutcome.NO_ACTION, done, done)
        await journal.append(Draft(WorkUnitRecorded(unit), SYSTEM))
        await tell(journal, chat, MONDAY + timedelta(days=7))
        assert len(chat.said) == 2
        assert "1 no action" in chat.said[1]
