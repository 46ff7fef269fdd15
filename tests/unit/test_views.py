"""Projections hold nothing of their own: folding the log again from zero gives the same rows, whatever was appended."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from domain.actions import Mode
from domain.decisions import ApprovalState, Check, ExecutionOutcome
from domain.diagnosis import Confidence, Diagnosis
from domain.errors import AgentError, JournalError
from domain.events import (
    AgentPaused,
    AgentResumed,
    AlertJoined,
    ApprovalClosed,
    AutonomyDemoted,
    AutonomyRestored,
    BaselineImported,
    BaselinesSet,
    BreakerOpened,
    BreakerReset,
    DiagnosisConcluded,
    Draft,
    ExecutionProbed,
    ExecutionStarted,
    FeedbackGiven,
    IncidentResolved,
    MessageFailed,
    MessageSent,
    ModeChanged,
    RunFinished,
    VerificationFailed,
    VerificationPassed,
)
from domain.feedback import FeedbackCategory, FeedbackVerdict
from domain.fold import fold
from domain.runs import RunOutcome
from domain.work import WorkOutcome
from domain.worth import PastIncident
from storage.journal import SqliteJournal, migrate, open_journal
from storage.views.times import OF_UNIT, unpack
from storage.views.units import OF_SERVICE, SUMS
from tests.contracts.journal_samples import (
    NOON,
    Clock,
    action,
    alert,
    denied,
    ended,
    execution,
    message,
    opened,
    payload,
    requested,
    run_started,
    step,
    vote,
    worked,
)

CHECKS = (Check("ready", passed=True, detail="3 of 3"),)
SLOW_DISK = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that the projections hold."""
    with closing(sqlite3.connect(path)) as db:
        names = db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        return {
            name: sorted(db.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for (name,) in names
            if name not in {"events", "event_bodies", "meta"}
        }


def life_of_an_incident(n: int) -> list[Draft]:
    incident, root = f"i{n}", f"incident:i{n}"
    return [
        opened(incident, f"f{n}", f"g{n}"),
        message(root, 1, incident),
        Draft(AlertJoined(f"h{n}", firing=True), incident_id=incident),
        Draft(MessageSent(root, 1, "C1", f"{n}.1")),
        message(root, 2, incident),
        Draft(MessageFailed(root, 2, "ratelimited", final=False)),
        Draft(AlertJoined(f"f{n}", firing=False), incident_id=incident),
        Draft(MessageFailed(root, 2, "invalid_blocks", final=True)),
        message(root, 3, incident),
        Draft(IncidentResolved("ceased"), incident_id=incident),
        opened(f"{incident}-again", f"f{n}"),
    ]


def life_of_a_run(n: int) -> list[Draft]:
    run, call, asked = f"r{n}", f"c{n}", f"a{n}"
    return [
        run_started(run, f"i{n}"),
        step(n, run),
        requested(asked, run, call, incident_id=f"i{n}"),
        vote(asked, "U1", closes=None, run_id=run),
        vote(asked, "U2", run_id=run),
        execution(f"x{n}", asked, call, run),
        Draft(ExecutionProbed(f"x{n}", None, "nobody can tell"), run_id=run),
        Draft(ended(f"x{n}", ExecutionOutcome.UNKNOWN).event, run_id=run),
        Draft(ended(f"x{n}").event, run_id=run),
        Draft((VerificationPassed if n % 2 else VerificationFailed)(f"x{n}", CHECKS, 5), run_id=run),
        Draft(DiagnosisConcluded(Diagnosis("It leaks.", "", Confidence.LIKELY, "rules")), run_id=run),
        worked_in(
            run, NOON + timedelta(days=n % 2), people_ms=n, cost_micros=7, to_verified_ms=n, to_diagnosis_ms=n % 2
        ),
        Draft(RunFinished(RunOutcome.REMEDIATED, "fixed", 5), run_id=run),
        Draft(FeedbackGiven(run, "U1", FeedbackVerdict.GOOD), run_id=run),
        Draft(FeedbackGiven(run, "U1", FeedbackVerdict.BAD, FeedbackCategory.OTHER, "no"), run_id=run),
    ]


def worked_in(run: str, ended_at: datetime, **more: Any) -> Draft:
    return Draft(worked(ended_at, worth=True, **more).event, incident_id="i1", run_id=run)


def lives_of_requests(n: int) -> list[Draft]:
    return [
        requested(f"b{n}", f"q{n}", f"d{n}"),
        denied(f"b{n}"),
        requested(f"e{n}", f"q{n}", f"e{n}", observe_only=True),
        Draft(ApprovalClosed(f"e{n}", ApprovalState.EXPIRED, "late")),
        Draft(ModeChanged(Mode.ACT)),
        payload(f"k{n}", f"also{n}"),
    ]


LIVES = [life(n) for n in (1, 2, 3) for life in (life_of_an_incident, life_of_a_run, lives_of_requests)]
BRAKES = [  # a pause refuses executions, so it has no place in a life that is always taken
    Draft(AgentPaused("stop")),
    Draft(AgentResumed()),
    Draft(BreakerOpened("kubernetes_rollback", "3 failed")),
    Draft(BreakerReset("kubernetes_rollback")),
    Draft(AutonomyDemoted("kubernetes_rollback", "production", "x1", "taken back")),
    Draft(AutonomyRestored("kubernetes_rollback", "production")),
    Draft(ExecutionStarted("u1", "undo", action(), "k", "d", problems=("p",), undoes="x1"), run_id="u"),
    ended("u1"),
]
PAST = (PastIncident(NOON - timedelta(hours=1), NOON), PastIncident(NOON - timedelta(hours=1), NOON))
WORTH = [
    alert("f1"),
    Draft(BaselinesSet({"diagnosis": 60, "question": 5})),
    Draft(BaselinesSet({"diagnosis": 90})),
    Draft(BaselineImported("a.csv", "0" * 64, PAST)),
    Draft(BaselineImported("b.csv", "1" * 64, PAST[:1])),
    worked_in("r1", NOON, outcome=WorkOutcome.NO_ACTION, to_diagnosis_ms=1, alert_age_ms=-5),
    worked_in("r2", NOON, by_alert=False, to_diagnosis_ms=2),
]
EVERYTHING = [*(draft for life in LIVES for draft in life), *BRAKES, *WORTH]


def sums_and_times(path: Path) -> list[list[tuple[Any, ...]]]:
    """What the days' sums and packed times hold, each beside the same computed from the units and events alone."""
    with closing(sqlite3.connect(path)) as db:

        def grouped(table: str, keys: str, sums: Mapping[str, str]) -> list[list[tuple[Any, ...]]]:
            columns, totals = ", ".join(sums), ", ".join(f"sum({expression})" for expression in sums.values())
            held = f"SELECT day, {keys}, {columns} FROM {table} WHERE n > 0 ORDER BY 1, 2, 3"
            day = "substr(finished_at, 1, 10)"
            computed = f"SELECT {day}, {keys}, {totals} FROM work_units GROUP BY 1, {keys} ORDER BY 1, 2, 3"
            return [db.execute(held).fetchall(), db.execute(computed).fetchall()]

        packed: list[tuple[Any, ...]] = []
        single: list[tuple[Any, ...]] = []
        for name, expression in OF_UNIT.items():
            for day, values in db.execute(f"SELECT day, {name} FROM daily_times ORDER BY day"):
                packed += [(name, day, ms) for ms in unpack([values])]
            found = (
                f"SELECT '{name}', substr(finished_at, 1, 10), {expression} AS ms FROM work_units WHERE ms IS NOT NULL"
            )
            single += db.execute(f"{found} ORDER BY 2, 3").fetchall()
        tallied = db.execute("SELECT what, sum(n) FROM tallies GROUP BY what ORDER BY what").fetchall()
        there_were = db.execute(
            "SELECT iif(kind = 'AlertReceived', 'alert', 'incident') AS what, count(*) FROM events"
            " WHERE kind IN ('AlertReceived', 'IncidentOpened') GROUP BY 1 UNION SELECT why, count(*) FROM noise GROUP BY 1"
            " ORDER BY 1"
        ).fetchall()
        return [
            *grouped("daily", "kind, outcome", SUMS), *grouped("daily_services", "service", OF_SERVICE),
            packed, single, tallied, there_were,
        ]  # fmt: skip


async def _fill(journal: SqliteJournal, appends: Sequence[Sequence[Draft]], clock: Clock) -> int:
    refusals = 0
    for drafts in appends:
        clock.forward(seconds=1)
        try:
            await journal.append(*drafts)
        except AgentError:
            refusals += 1
    return refusals


def refusals_and_rebuild(appends: Sequence[Sequence[Draft]]) -> int:
    """Append all of it; the number refused, after the rebuilt rows were found to be the rows before."""

    async def story(path: Path) -> int:
        clock = Clock()
        async with open_journal(path, "local", clock=clock) as journal:
            refusals = await _fill(journal, appends, clock)
            before = rows(path)
            kept = iter(sums_and_times(path))
            assert all(held == computed for held, computed in zip(kept, kept, strict=True))
            events = await journal.since(0)
            assert await journal.rebuild() == len(events)
            assert rows(path) == before
            assert await journal.since(0) == events
            await journal.append(payload("still open"))
        return refusals

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(story(Path(folder) / "agent.db"))


@SLOW_DISK
@given(st.permutations([place for place, life in enumerate(LIVES) for _ in life]))
def test_any_interleaving_of_whole_lives_is_taken_and_folds_again_to_the_same_rows(order: list[int]) -> None:
    lives = [iter(life) for life in LIVES]
    drafts = [next(lives[place]) for place in order]
    assert refusals_and_rebuild([drafts[start : start + 5] for start in range(0, len(drafts), 5)]) == 0


@SLOW_DISK
@given(st.lists(st.lists(st.sampled_from(EVERYTHING), min_size=1, max_size=3), min_size=10, max_size=60))
def test_whatever_order_events_come_in_what_was_taken_folds_again_to_the_same_rows(appends: list[list[Draft]]) -> None:
    refusals_and_rebuild(appends)


async def test_the_approvals_table_says_what_the_run_folds_to(tmp_path: Path) -> None:
    clock = Clock()
    async with open_journal(tmp_path / "agent.db", "local", clock=clock) as journal:
        for draft in life_of_a_run(1):
            clock.forward(seconds=1)
            await journal.append(draft)
            run = fold(await journal.of_run("r1"))
            call = run.calls.get("c1")
            if call and call.approval:
                assert await journal.approval("a1") == call.approval
            row = await journal.run("r1")
            assert row is not None
            assert (row.status, row.outcome, row.finished_at) == (run.status, run.outcome, run.finished_at)


async def test_projections_of_another_version_are_folded_again_when_the_database_opens(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with open_journal(path, "local") as journal:
        for draft in EVERYTHING:
            await journal.append(draft)
    before = rows(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE meta SET value = 'the digest of an older schema.sql' WHERE name = 'projections'")
        db.execute("DROP TABLE outbox")
        db.execute("ALTER TABLE runs DROP COLUMN steps")
        db.execute("CREATE TABLE gone_since (x)")
    assert migrate(path) == ["projections"]
    assert rows(path) == before
    assert migrate(path) == []


async def test_a_log_that_does_not_fold_leaves_the_projections_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with open_journal(path, "local") as journal:
        for draft in EVERYTHING[:10]:
            await journal.append(draft)
        before = rows(path)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("DROP TRIGGER events_never_change")
            db.execute("UPDATE events SET kind = 'IncidentClosedByAlien' WHERE seq = 3")
        with pytest.raises(JournalError, match="IncidentClosedByAlien"):
            await journal.rebuild()
        assert rows(path) == before


async def test_no_read_scans_a_table(tmp_path: Path) -> None:
    """What a click costs must not grow with the history: every read goes through an index, and sorts only a few rows."""
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        asked: list[str] = []
        await journal._reading.run(lambda db: db.set_trace_callback(asked.append))
        await journal.append(*life_of_an_incident(1)[:4], *life_of_a_run(1), message("unsent"))
        for read in (
            journal.of_run("r1"), journal.since(3), journal.incident("i1"), journal.incident_at("C1", "1.1"),
            journal.incidents(), journal.incidents(open_only=True), journal.run("r1"), journal.runs(),
            journal.runs(unfinished=True), journal.runs(incident_id="i1"), journal.approval("a1"), journal.approvals(),
            journal.approvals(pending=True), journal.approvals(run_id="r1"), journal.approvals(incident_id="i1"),
            journal.expired(NOON), journal.rates("k", NOON), journal.trust("t", "e"), journal.refused("t", "k", "d"),
            journal.break_glass("g"), journal.unreviewed(), journal.delegations(NOON),
            journal.control(), journal.message("k"), journal.unsent(), journal.message_at("C1", "1.1"),
            journal.rollup(NOON, NOON + timedelta(days=90)),
        ):  # fmt: skip
            await read
        await journal._reading.run(lambda db: db.set_trace_callback(None))
        queries = {sql for sql in asked if sql.startswith(("SELECT", "\n"))}
        assert len(queries) > 25
        for sql in queries:
            plan = await journal._reading.run(lambda db, sql=sql: db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall())
            steps = [detail for *_, detail in plan]
            scans = [
                step for step in steps if step.startswith("SCAN ") and not step.startswith(("SCAN CONSTANT", "SCAN ("))
            ]
            assert not scans, (sql, steps)
            sorts = any("USE TEMP B-TREE FOR ORDER BY" in step for step in steps)
            assert not sorts or any(few in sql for few in ("FROM votes", "FROM incident_alerts")), (
                sql,
                steps,
            )
