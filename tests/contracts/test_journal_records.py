"""A run with all that it rested on: its own events, what held for every run, and what others left in its incident."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from domain.actions import Mode
from domain.decisions import Actor
from domain.errors import JournalError
from domain.events import (
    AgentPaused,
    AlertJoined,
    BreakerOpened,
    Draft,
    Event,
    IncidentResolved,
    MessageSent,
    ModeChanged,
    PolicyLoaded,
    RunFinished,
    RunStarted,
    StepPlanned,
    VoteCast,
)
from domain.runs import RunOutcome
from storage.journal import SqliteJournal, open_journal
from storage.reader import read_journal
from storage.records import RunRecord
from storage.tombstones import erase
from tests.contracts.journal_samples import (
    NOON,
    Clock,
    denied,
    message,
    opened,
    requested,
    run_started,
    step,
)


def over(run_id: str, incident_id: str = "i1") -> Draft:
    return Draft(RunFinished(RunOutcome.DIAGNOSED, "done"), incident_id=incident_id, run_id=run_id)


async def record(journal: SqliteJournal, run_id: str) -> RunRecord:
    found = await journal.record(run_id)
    assert found is not None
    return found


def kinds(envelopes: tuple[object, ...]) -> list[type[Event]]:
    return [type(each.event) for each in envelopes]  # type: ignore[attr-defined]


async def test_its_own_events_are_there_in_order_without_what_slack_was_told(journal: SqliteJournal) -> None:
    await journal.append(opened(), run_started("r1"))
    shown = message()
    await journal.append(Draft(shown.event, incident_id="i1", run_id="r1"))
    await journal.append(Draft(MessageSent("incident:i1", 1, "c", "1.0")), step(), over("r1"))
    assert kinds((await record(journal, "r1")).own) == [RunStarted, StepPlanned, RunFinished]


async def test_what_holds_for_every_run_is_there_until_the_run_s_end(journal: SqliteJournal) -> None:
    await journal.append(Draft(ModeChanged(Mode.ACT)), Draft(PolicyLoaded("h", ())))
    await journal.append(opened(), run_started("r1"))
    await journal.append(Draft(BreakerOpened("agent", "too many")))
    await journal.append(over("r1"))
    await journal.append(Draft(AgentPaused("later")))
    around = (await record(journal, "r1")).around
    assert [kind.__name__ for kind in kinds(around)] == ["ModeChanged", "IncidentOpened", "BreakerOpened"]


async def test_what_other_runs_of_the_incident_left_is_there_and_other_incidents_are_not(
    journal: SqliteJournal,
) -> None:
    await journal.append(opened("i1"), run_started("r1"), step(1, "r1"))
    await journal.append(requested("a1", "r1"), replace(denied("a1", run_id="r1"), incident_id="i1"), over("r1"))
    await journal.append(opened("i2"), run_started("r9", "i2"), over("r9", "i2"))
    await journal.append(Draft(AlertJoined("f1", True), incident_id="i1"))
    await journal.append(run_started("r2", "i1"), over("r2"))
    around = (await record(journal, "r2")).around
    assert {each.run_id for each in around} == {"", "r1"}
    assert {each.incident_id for each in around} == {"i1"}
    assert VoteCast in kinds(around)
    assert AlertJoined not in kinds(around)


async def test_a_no_that_stood_in_another_open_incident_is_there_until_that_is_resolved(
    journal: SqliteJournal, clock: Clock
) -> None:
    await journal.append(opened("i1"), run_started("r1", "i1"), step(1, "r1"))
    await journal.append(requested("a1", "r1"), denied("a1", run_id="r1"))
    clock.forward(minutes=1)
    await journal.append(opened("i2"), run_started("r2", "i2"), over("r2", "i2"))
    assert "r1" in {each.run_id for each in (await record(journal, "r2")).around}
    clock.forward(minutes=1)
    await journal.append(Draft(IncidentResolved("over"), incident_id="i1"))
    assert "r1" in {each.run_id for each in (await record(journal, "r2")).around}, "it was open while r2 went on"
    clock.forward(minutes=1)
    await journal.append(opened("i3"), run_started("r3", "i3"), over("r3", "i3"))
    assert "r1" not in {each.run_id for each in (await record(journal, "r3")).around}


async def test_events_of_kinds_that_are_not_known_are_counted(journal: SqliteJournal, tmp_path: Path) -> None:
    await journal.append(run_started("r1", ""), step(1, "r1"), over("r1", ""))
    await journal.close()
    with closing(sqlite3.connect(tmp_path / "agent.db")) as db:
        db.execute("DROP TRIGGER events_never_change")
        db.execute("UPDATE events SET kind = 'ValvePolished' WHERE kind = 'StepPlanned'")
        db.commit()
    async with read_journal(tmp_path / "agent.db", "local") as reader:
        found = await reader.record("r1")
        with pytest.raises(JournalError, match="ValvePolished"):
            await reader.of_run("r1")
    assert found is not None
    assert (kinds(found.own), found.unknown) == ([RunStarted, RunFinished], {"ValvePolished": 1})


async def test_events_whose_words_were_erased_are_counted(tmp_path: Path, clock: Clock) -> None:
    async with open_journal(tmp_path / "agent.db", "local", clock=clock) as journal:
        await journal.append(run_started("r1", ""), step(1, "r1", size=40), over("r1", ""))
    erase(tmp_path / "agent.db", "local", [2], "a person asked for it", Actor("person", "U1"), NOON)
    async with read_journal(tmp_path / "agent.db", "local") as reader:
        found = await reader.record("r1")
    assert found is not None
    assert (kinds(found.own), found.erased) == ([RunStarted, StepPlanned, RunFinished], 1)


async def test_there_is_no_record_of_a_run_that_never_was(journal: SqliteJournal) -> None:
    await journal.append(opened(), run_started("r1"))
    assert await journal.record("r2") is None
    assert await journal.record("") is None


async def test_runs_of_a_period_are_the_finished_ones_without_undos_oldest_first(
    journal: SqliteJournal, clock: Clock
) -> None:
    await journal.append(opened(), run_started("r1"), over("r1"))
    clock.forward(hours=1)
    await journal.append(run_started("r2"), run_started("r3"), over("r3"))
    undo = run_started("r4")
    assert isinstance(undo.event, RunStarted)
    spec = replace(undo.event.spec, undoes="x1")
    await journal.append(replace(undo, event=RunStarted(spec)), over("r4"))
    clock.forward(hours=1)
    await journal.append(run_started("r5"), over("r5"))
    assert await journal.runs_between(NOON, NOON + timedelta(hours=9)) == ["r1", "r3", "r5"]
    assert await journal.runs_between(NOON + timedelta(minutes=1), NOON + timedelta(hours=2)) == ["r3"]
