"""What the weekly message reads of a journal besides its figures: what went wrong, where it stands, what was said last."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from domain.audit import AnchorFailed, AnchorWritten, CheckpointSigned
from domain.decisions import Check, ExecutionOutcome
from domain.events import Draft, ExecutionStarted, RunFinished, VerificationFailed, VerificationPassed
from domain.report import Mishap, Wrong
from domain.runs import RunOutcome
from storage.journal import SqliteJournal, open_journal
from tests.contracts.journal_samples import NOON, Clock, action, ended, execution, message, opened, run_started

WEEK = (NOON, NOON + timedelta(days=7))
HELD = (Check("ready", passed=True, detail="3 of 3"),)
MISSED = (Check("ready", passed=False, detail="1 of 3"), Check("errors", passed=True, detail="none"))


@pytest.fixture
async def journal(journal: SqliteJournal) -> SqliteJournal:
    await journal.append(opened("i1", "f1"), run_started("r1", "i1"))
    return journal


async def changed(journal: SqliteJournal, name: str, *drafts: Draft) -> None:
    await journal.append(execution(name, "", f"c-{name}"), *drafts)


def found(mishaps: list[Mishap]) -> dict[str, tuple[Wrong, str]]:
    return {each.execution_id: (each.wrong, each.detail) for each in mishaps}


async def test_each_change_that_went_wrong_is_named_with_why_and_the_others_are_not(journal: SqliteJournal) -> None:
    await changed(journal, "good", ended("good"), Draft(VerificationPassed("good", HELD, 1)))
    await changed(journal, "failed", ended("failed", ExecutionOutcome.FAILED))
    await changed(journal, "unsure", ended("unsure", ExecutionOutcome.UNKNOWN))
    await changed(journal, "missed", ended("missed"), Draft(VerificationFailed("missed", MISSED, 1)))
    await changed(journal, "taken", ended("taken"), Draft(VerificationPassed("taken", HELD, 1)))
    undo = Draft(ExecutionStarted("undo", "u", action(), "k", "d", undoes="taken"), run_id="r1")
    await journal.append(undo, ended("undo"), Draft(VerificationPassed("undo", HELD, 1)))
    mishaps = list(await journal.mishaps(*WEEK))
    assert found(mishaps) == {
        "failed": (Wrong.FAILED, "done"),
        "unsure": (Wrong.UNKNOWN, "done"),
        "missed": (Wrong.UNVERIFIED, "ready 1 of 3"),
        "taken": (Wrong.REVERTED, ""),
    }
    assert {(each.run_id, each.incident_id, each.action.tool) for each in mishaps} == {
        ("r1", "i1", "kubernetes_rollback")
    }


async def test_a_change_belongs_to_the_period_in_which_it_began(journal: SqliteJournal, clock: Clock) -> None:
    await changed(journal, "early", ended("early", ExecutionOutcome.FAILED))
    clock.forward(days=7)
    await changed(journal, "late", ended("late", ExecutionOutcome.FAILED))
    assert list(found(list(await journal.mishaps(*WEEK)))) == ["early"]
    newest_first = await journal.mishaps(NOON, NOON + timedelta(days=30))
    assert [each.execution_id for each in newest_first] == ["late", "early"]


async def test_runs_that_ended_with_an_error_are_counted_when_they_ended(journal: SqliteJournal, clock: Clock) -> None:
    await journal.append(Draft(RunFinished(RunOutcome.FAILED, "a surprise"), run_id="r1"))
    await journal.append(run_started("r2"), Draft(RunFinished(RunOutcome.DIAGNOSED, "fine"), run_id="r2"))
    assert await journal.broken(*WEEK) == 1
    assert await journal.broken(NOON - timedelta(days=7), NOON) == 0


async def test_the_head_is_the_last_event_and_says_what_is_signed_and_where_that_is_held(
    journal: SqliteJournal,
) -> None:
    head, last = await journal.head(), (await journal.since(0))[-1]
    assert head
    assert (head.seq, head.hash, head.signed) == (last.seq, last.hash, 0)
    await journal.append(Draft(CheckpointSigned("note", 1, ("ab" * 32,))))
    for place in ("git", "s3", "desk"):
        await journal.append(Draft(AnchorWritten(place, 1, f"{place}-1")))
    await journal.append(Draft(AnchorFailed("desk", 1, "unplugged")))
    head = await journal.head()
    assert head
    assert (head.signed, head.signed_at, head.places) == (1, NOON, ("git", "s3"))


async def test_an_empty_journal_has_no_head(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "empty.db", "local") as empty:
        assert await empty.head() is None


async def test_the_newest_message_of_a_kind_is_the_one_whose_key_comes_last(journal: SqliteJournal) -> None:
    for key in ("weekly:2026-W48", "weekly:2026-W47", "weeklyx:1", "week:9"):
        await journal.append(message(key))
    newest = await journal.newest_message("weekly")
    assert newest
    assert newest.key == "weekly:2026-W48"
    assert await journal.newest_message("nothing") is None
