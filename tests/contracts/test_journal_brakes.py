"""The journal's side of the brakes: a pause refuses executions, breakers and demotions are state machines, and what counts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from domain.actions import Mode
from domain.brakes import AGENT_SCOPE, TrackRecord
from domain.decisions import ExecutionOutcome
from domain.errors import Conflict, Paused
from domain.events import (
    AgentPaused,
    AgentResumed,
    AutonomyDemoted,
    AutonomyRestored,
    BreakerOpened,
    BreakerReset,
    Draft,
    ExecutionStarted,
    RunStarted,
    VerificationFailed,
    VerificationPassed,
)
from domain.runs import Origin, RunSpec
from storage.journal import SqliteJournal, migrate, open_journal
from tests.contracts.journal_samples import (
    CART,
    NOON,
    Clock,
    action,
    denied,
    ended,
    execution,
    requested,
    run_started,
    vote,
)

ROLLBACK, RESTART = "kubernetes_rollback", "kubernetes_restart"
HOUR = timedelta(hours=1)


def failed(execution_id: str, tool: str = ROLLBACK, outcome: ExecutionOutcome = ExecutionOutcome.FAILED) -> list[Draft]:
    return [execution(execution_id, "", f"c-{execution_id}", action=action(tool)), ended(execution_id, outcome)]


def undoing(execution_id: str, undone: str) -> Draft:
    started = ExecutionStarted(execution_id, "undo", action(), "k", "d", undoes=undone)
    return Draft(started, run_id=f"undo-of-{undone}")


def meant_for(execution_id: str, *problems: str) -> Draft:
    started = ExecutionStarted(execution_id, execution_id, action(), "k", "d", problems=problems)
    return Draft(started, run_id="r1")


def verified(execution_id: str) -> Draft:
    return Draft(VerificationPassed(execution_id, (), 5))


# --- the kill switch --------------------------------------------------------------------------------------------------


async def test_a_pause_refuses_every_execution_in_the_journal_itself(journal: SqliteJournal) -> None:
    await journal.append(run_started(), requested(), vote(), Draft(AgentPaused("too much at once")))
    for started in (execution(), execution("x2", "", "c2")):
        with pytest.raises(Paused, match="too much at once"):
            await journal.append(started)
    await journal.append(Draft(AgentResumed()), execution())


async def test_what_was_under_way_when_the_pause_came_still_ends(journal: SqliteJournal) -> None:
    await journal.append(execution("x1", ""), Draft(AgentPaused("stop")), ended("x1"), verified("x1"))


async def test_a_pause_holds_after_the_database_is_opened_again(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        await journal.append(Draft(AgentPaused("stop")))
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        with pytest.raises(Paused):
            await journal.append(execution("x1", ""))


# --- breakers ---------------------------------------------------------------------------------------------------------


async def test_a_breaker_opens_once_and_is_reset_once(journal: SqliteJournal, clock: Clock) -> None:
    opening, resetting = Draft(BreakerOpened(ROLLBACK, "3 failed", ("x1",))), Draft(BreakerReset(ROLLBACK))
    for _ in range(2):
        with pytest.raises(Conflict):
            await journal.append(resetting)
        await journal.append(opening)
        with pytest.raises(Conflict):
            await journal.append(opening)
        [breaker] = (await journal.brakes(NOON)).breakers
        assert (breaker.scope, breaker.reason, breaker.opened_at) == (ROLLBACK, "3 failed", clock.now)
        await journal.append(resetting)
        assert (await journal.brakes(NOON)).breakers == ()
        clock.forward(minutes=1)


async def test_failures_count_for_their_tool_and_for_the_agent(journal: SqliteJournal) -> None:
    await journal.append(*failed("x1"), *failed("x2", RESTART, ExecutionOutcome.UNKNOWN))
    await journal.append(execution("x3", "", "c3"), ended("x3"), Draft(VerificationFailed("x3", (), 5)))
    await journal.append(execution("x4", "", "c4"), ended("x4"), verified("x4"))
    found = (await journal.brakes(NOON)).failures
    assert found == {ROLLBACK: ("x1", "x3"), RESTART: ("x2",), AGENT_SCOPE: ("x1", "x2", "x3")}


async def test_a_failure_counts_from_when_it_was_known_and_not_when_it_turned_out_well(
    journal: SqliteJournal, clock: Clock
) -> None:
    await journal.append(execution("x1", "", "c1"), *failed("x2", outcome=ExecutionOutcome.UNKNOWN))
    clock.forward(hours=2)
    await journal.append(ended("x1", ExecutionOutcome.FAILED), verified("x2"))
    assert (await journal.brakes(clock.now - HOUR)).failures == {ROLLBACK: ("x1",), AGENT_SCOPE: ("x1",)}
    clock.forward(hours=2)
    assert (await journal.brakes(clock.now - HOUR)).failures == {}


async def test_after_a_reset_the_count_begins_anew_for_that_scope_alone(journal: SqliteJournal) -> None:
    await journal.append(
        *failed("x1"), Draft(BreakerOpened(ROLLBACK, "")), Draft(BreakerReset(ROLLBACK)), *failed("x2")
    )
    assert (await journal.brakes(NOON)).failures == {ROLLBACK: ("x2",), AGENT_SCOPE: ("x1", "x2")}


# --- reverts and autonomy ---------------------------------------------------------------------------------------------


async def test_an_undo_that_took_effect_reverts_what_it_takes_back_once(journal: SqliteJournal) -> None:
    await journal.append(execution("x1", "", "c1"), ended("x1"), verified("x1"))
    await journal.append(undoing("u1", "x1"), ended("u1", ExecutionOutcome.FAILED))
    assert (await journal.brakes(NOON)).reverts == ()
    await journal.append(replace(undoing("u2", "x1"), run_id="again"), ended("u2"), verified("u2"))
    brakes = await journal.brakes(NOON)
    assert [(revert.tool, revert.environment, revert.execution_id) for revert in brakes.reverts] == [
        (ROLLBACK, "production", "x1")
    ]
    assert "x1" in brakes.failures[ROLLBACK]
    trust = await journal.trust(ROLLBACK, "production")
    assert (trust["executed"], trust["verified"], trust["reverted"]) == (1, 1, 1)


async def test_an_undo_whose_answer_was_lost_reverts_once_it_is_verified(journal: SqliteJournal) -> None:
    await journal.append(execution("x1", "", "c1"), ended("x1"), verified("x1"))
    await journal.append(undoing("u1", "x1"), ended("u1", ExecutionOutcome.UNKNOWN))
    assert (await journal.brakes(NOON)).reverts == ()
    await journal.append(verified("u1"))
    assert len((await journal.brakes(NOON)).reverts) == 1


async def test_a_demotion_answers_its_reverts_and_only_a_new_one_counts_after_it_was_lifted(
    journal: SqliteJournal,
) -> None:
    demoting = Draft(AutonomyDemoted(ROLLBACK, "production", "x1", "taken back"))
    lifting = Draft(AutonomyRestored(ROLLBACK, "production"))
    await journal.append(execution("x1", "", "c1"), ended("x1"), undoing("u1", "x1"), ended("u1"))
    with pytest.raises(Conflict):
        await journal.append(lifting)
    await journal.append(demoting)
    with pytest.raises(Conflict):
        await journal.append(demoting)
    brakes = await journal.brakes(NOON)
    assert ([each.reason for each in brakes.demotions], brakes.reverts) == (["taken back"], ())
    await journal.append(lifting)
    assert (await journal.brakes(NOON)).reverts == ()
    await journal.append(execution("x2", "", "c2"), ended("x2"), undoing("u2", "x2"), ended("u2"))
    assert [revert.execution_id for revert in (await journal.brakes(NOON)).reverts] == ["x2"]


# --- the same problem, and blast radius -------------------------------------------------------------------------------


async def test_executions_for_the_same_problem_are_counted_but_those_that_changed_nothing(
    journal: SqliteJournal, clock: Clock
) -> None:
    await journal.append(meant_for("x1", "alert f1", "finding a"), meant_for("x2", "finding a"), ended("x2"))
    await journal.append(meant_for("x3", "alert f1"), ended("x3", ExecutionOutcome.FAILED), meant_for("x4", "other"))
    assert await journal.acted(["alert f1", "finding a"], NOON) == 2
    assert await journal.acted([], NOON) == 0
    clock.forward(minutes=61)
    assert await journal.acted(["alert f1", "finding a"], clock.now - HOUR) == 0


async def test_touches_of_the_window_are_summed(journal: SqliteJournal, clock: Clock) -> None:
    for number in (1, 2, 3):
        started = execution(f"x{number}", "", f"c{number}", action=replace(action(), touches=number * 10))
        await journal.append(started)
        clock.forward(minutes=31)
    assert (await journal.rates(CART.key, clock.now - HOUR))["touches"] == 30


# --- the record -------------------------------------------------------------------------------------------------------


async def test_the_record_counts_what_people_and_the_world_answered(journal: SqliteJournal) -> None:
    await journal.append(run_started(), requested("a1"), vote("a1"), execution(), ended(), verified("x1"))
    await journal.append(requested("a2", call_id="c2"), denied("a2"))
    await journal.append(requested("a3", call_id="c3", editor="U2", supersedes="a2"), vote("a3"))
    await journal.append(execution("x3", "a3", "c3"), ended("x3"), verified("x3"))
    undo = RunSpec("u", "i1", Origin.THREAD, "rules", Mode.ACT, CART, undoes="x3")
    await journal.append(Draft(RunStarted(undo), run_id="u"), requested("a4", "u", "c4"), vote("a4", run_id="u"))
    await journal.append(undoing("u1", "x3"), ended("u1"), verified("u1"), *failed("x4", RESTART))
    rollback = TrackRecord(
        ROLLBACK, "production", "write", proposed=2, approved=1, edited=1, denied=1, executed=2, verified=1, reverted=1
    )
    restart = TrackRecord(RESTART, "production", "write", executed=1, failed=1)
    assert await journal.track_records(NOON) == [restart, rollback]
    assert await journal.track_records(NOON + HOUR) == []
    trust = await journal.trust(ROLLBACK, "production")
    assert (trust["edited"], trust["reverted"], trust["executed"]) == (1, 1, 2)


async def test_the_brakes_are_folded_again_from_the_log(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "agent.db"
    async with open_journal(path, "local", clock=clock) as journal:
        await journal.append(*failed("x1"), execution("x2", "", "c2"), ended("x2"), undoing("u1", "x2"), ended("u1"))
        await journal.append(Draft(BreakerOpened(ROLLBACK, "why")), meant_for("x5", "p"))
        before = await journal.brakes(NOON), await journal.acted(["p"], NOON), await journal.track_records(NOON)
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE meta SET value = 'older' WHERE name = 'projections'")
        db.commit()
    migrate(path)
    async with open_journal(path, "local", clock=clock) as journal:
        after = await journal.brakes(NOON), await journal.acted(["p"], NOON), await journal.track_records(NOON)
    assert after == before
