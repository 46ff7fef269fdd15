"""The weekly message: due once a week, from rows, silent about a week without work, patient for its chart and no longer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from pathlib import Path

from bot import weekly
from bot.policy_files import read_folder
from bot.tools import schemas
from domain.decisions import SYSTEM
from domain.errors import ChatError
from domain.events import Draft, MessageWanted, WorkUnitRecorded
from domain.report import Report, Wrong
from domain.weeks import Appointment
from domain.work import Rollup, WorkKind, WorkOutcome, WorkUnit
from storage.journal import SqliteJournal, open_journal
from tests.contracts.journal_samples import NOON, Clock, run_started
from tests.unit.test_autonomy import RESOURCES, worked
from tests.week_samples import MONDAY, lived


@dataclass
class Channel:
    """A chat that keeps its weekly messages as the outbox does. While `busy`, it takes no charts."""

    journal: SqliteJournal
    told: list[Report] = field(default_factory=list)
    charts: list[bytes] = field(default_factory=list)
    busy: bool = False

    async def weekly(self, report: Report, chart: bytes, *, patient: bool) -> None:
        if chart and self.busy:
            if patient:
                raise ChatError("Slack did not take the picture (ratelimited).")
            chart = b""
        self.told.append(report)
        self.charts.append(chart)
        await self.journal.append(Draft(MessageWanted(report.week.key, 1, "C1", "", "the week", ()), SYSTEM))


@asynccontextmanager
async def week(tmp_path: Path, *, units: int) -> AsyncIterator[Channel]:
    async with open_journal(tmp_path / "week.db", "T1") as journal:
        await work(journal, units, MONDAY - timedelta(days=2))
        yield Channel(journal)


async def work(journal: SqliteJournal, units: int, done: datetime) -> None:
    unit = WorkUnit(WorkKind.REMEDIATION, WorkOutcome.ACCEPTED, done, done, worth=True)
    for _ in range(units):
        await journal.append(Draft(WorkUnitRecorded(unit), SYSTEM))


async def tell(chat: Channel, now: datetime, appointment: Appointment = Appointment(0, time(9))) -> None:  # noqa: B008
    async def draw(rollup: Rollup) -> bytes:
        return f"a chart of {rollup.n}".encode()

    known = (read_folder(""), schemas(), {"AGENT_APPROVERS": ("@sre",)})
    await weekly.tell(chat.journal, chat, draw, now, appointment, *known)  # type: ignore[arg-type]


async def test_a_week_is_told_once_however_often_it_is_looked_at(tmp_path: Path) -> None:
    async with week(tmp_path, units=3) as chat:
        for later in (timedelta(), timedelta(minutes=15), timedelta(days=3)):
            await tell(chat, MONDAY + later)
        [report] = chat.told
        assert (report.week.key, report.rollup.n) == ("weekly:2026-W48", 3)
        assert (report.rollup.since, report.rollup.until) == (report.week.since, report.week.until)
        assert chat.charts == [b"a chart of 3"]


async def test_a_message_that_nobody_was_there_to_send_is_sent_later_in_the_week(tmp_path: Path) -> None:
    async with week(tmp_path, units=1) as chat:
        await tell(chat, MONDAY + timedelta(days=4))
        assert len(chat.told) == 1


async def test_before_its_moment_nothing_is_said_of_the_week(tmp_path: Path) -> None:
    async with week(tmp_path, units=1) as chat:
        await tell(chat, MONDAY - timedelta(seconds=1))
        assert chat.told == []


async def test_a_week_without_work_is_not_talked_about(tmp_path: Path) -> None:
    async with week(tmp_path, units=0) as chat:
        await tell(chat, MONDAY)
        assert chat.told == []


async def test_the_next_week_is_told_again_with_its_own_figures(tmp_path: Path) -> None:
    async with week(tmp_path, units=1) as chat:
        await tell(chat, MONDAY)
        await work(chat.journal, 2, MONDAY + timedelta(days=1))
        await tell(chat, MONDAY + timedelta(days=7))
        assert [report.rollup.n for report in chat.told] == [1, 2]


async def test_work_of_the_day_itself_belongs_to_the_next_week(tmp_path: Path) -> None:
    async with week(tmp_path, units=1) as chat:
        await work(chat.journal, 5, MONDAY - timedelta(hours=2))
        await tell(chat, MONDAY)
        assert chat.told[0].rollup.n == 1


async def test_in_another_zone_the_week_is_that_zones(tmp_path: Path) -> None:
    async with week(tmp_path, units=0) as chat:
        await work(chat.journal, 1, datetime.fromisoformat("2026-11-22T23:30:00Z"))  # Monday in Berlin
        await work(chat.journal, 2, datetime.fromisoformat("2026-11-22T22:30:00Z"))
        await tell(chat, MONDAY, Appointment(0, time(9), "Europe/Berlin"))
        assert chat.told[0].rollup.n == 2


async def test_it_waits_for_its_chart_for_an_hour_and_then_goes_without(tmp_path: Path) -> None:
    async with week(tmp_path, units=1) as chat:
        chat.busy = True
        for minutes in (0, 5, 59):
            await tell(chat, MONDAY + timedelta(minutes=minutes))
        assert chat.told == []
        await tell(chat, MONDAY + timedelta(minutes=60))
        assert chat.charts == [b""]


async def test_a_policy_that_does_not_load_costs_the_suggestions_and_not_the_message(tmp_path: Path) -> None:
    async with week(tmp_path, units=1) as chat:
        known = ({"policy.yaml": "rules: nonsense"}, schemas(), {"AGENT_APPROVERS": ("@sre",)})

        async def undrawn(rollup: Rollup) -> bytes:
            return b""

        await weekly.tell(chat.journal, chat, undrawn, MONDAY, Appointment(0, time(9)), *known)  # type: ignore[arg-type]
        assert chat.told[0].suggestions == ()


async def test_what_the_record_says_of_policy_is_suggested(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "week.db", "T1", clock=lambda: NOON) as journal:
        await journal.append(run_started())
        await worked(journal, RESOURCES, "staging", 25)
        await work(journal, 1, NOON - timedelta(days=2))
        chat = Channel(journal)
        await tell(chat, NOON + timedelta(hours=1), Appointment(6, time(12)))
        assert (
            chat.told[0]
            .suggestions[0]
            .startswith(f"{RESOURCES} in staging could run without asking: verified 25 of 25")
        )


async def test_a_busy_week_names_what_went_wrong_what_people_said_and_where_the_journal_stood(tmp_path: Path) -> None:
    clock = Clock()
    async with open_journal(tmp_path / "week.db", "T1", clock=clock) as journal:
        await lived(journal, clock)
        chat, head = Channel(journal), (await journal.since(0, 10_000))[-1]
        await tell(chat, MONDAY)
        [report] = chat.told
        assert [each.wrong for each in report.mishaps] == [Wrong.UNKNOWN, Wrong.REVERTED, Wrong.UNVERIFIED]
        assert {each.incident_id for each in report.mishaps} == {"inc-0012", "inc-0009", "inc-0006"}
        assert (report.quality.share.good, report.quality.share.n) == (10, 13)
        assert report.head
        assert (report.head.seq, report.head.hash) == (head.seq, head.hash)
