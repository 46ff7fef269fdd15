"""A period's figures are those of its rows, wherever in a day it begins and ends."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from domain.decisions import ApprovalState, ExecutionOutcome, Verdict
from domain.diagnosis import Confidence, Diagnosis
from domain.errors import BadInput
from domain.estimates import ASSUMED_S
from domain.events import (
    AlertJoined,
    BaselineImported,
    BaselinesSet,
    DiagnosisConcluded,
    Draft,
    ExecutionStarted,
    FeedbackGiven,
    IncidentResolved,
    MessageSent,
    VerificationFailed,
    VerificationPassed,
    WorkUnitRecorded,
)
from domain.feedback import FeedbackCategory, FeedbackVerdict
from domain.figures import again
from domain.work import BAD, Basis, Rollup, WorkKind, WorkOutcome, WorkUnit
from domain.worth import PastIncident
from storage.journal import SqliteJournal, open_journal
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
    requested,
    run_started,
    unit,
    vote,
    worked,
)

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
TIMES = ("alert_age", "to_first_finding", "to_diagnosis", "to_approval", "to_verified")
SUMS = {
    "people": "people_ms",
    "machine": "machine_ms",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "model_cost": "cost_micros",
    "compute_cost": "compute_micros",
}

# instants that like the edges of days
INSTANTS = st.builds(
    lambda day, hour, microsecond: MIDNIGHT + timedelta(days=day, hours=hour, microseconds=microsecond),
    st.integers(0, 5),
    st.sampled_from([0, 0, 12, 23]),
    st.sampled_from([-1, 0, 0, 1]),
)
MAYBE_MS = st.none() | st.integers(0, 10**7)
AMOUNTS = st.integers(0, 10**9)


def _billed(one: WorkUnit, unpriced: str) -> WorkUnit:
    """No bill without a price, and no price without tokens."""
    used = one.input_tokens + one.output_tokens
    missing = {"none": 0, "some": used // 2, "all": used}[unpriced]
    return replace(one, unpriced_tokens=missing, cost_micros=one.cost_micros if used > missing else 0)


UNITS = st.builds(
    _billed,
    st.builds(
        unit,
        INSTANTS,
        kind=st.sampled_from(WorkKind),
        outcome=st.sampled_from(WorkOutcome),
        service=st.sampled_from(["cart", "checkout"]),
        by_alert=st.booleans(),
        worth=st.booleans(),
        undo=st.booleans(),
        compute_micros=MAYBE_MS,
        votes=st.integers(1, 3),
        **dict.fromkeys([f"{name}_ms" for name in TIMES], MAYBE_MS),
        **dict.fromkeys(
            ["people_ms", "attention_s", "machine_ms", "input_tokens", "output_tokens", "cost_micros"], AMOUNTS
        ),
    ),
    st.sampled_from(["none", "some", "all"]),
)


def summed(units: Sequence[WorkUnit], since: datetime, until: datetime) -> dict[str, int | None]:
    """The same figures the slow and obvious way."""
    found = [one for one in units if since <= one.finished_at < until]
    pieces = [one for one in found if not one.undo]
    values: dict[str, int | None] = {"work": len(pieces)}
    for name in TIMES:
        times = [
            time
            for one in found
            if one.by_alert and (time := getattr(one, f"{name}_ms")) is not None
            if name != "to_verified" or one.outcome not in BAD
        ]
        values[name] = int(statistics.median(times)) if times else None
    asked = [one for one in found if one.kind is WorkKind.QUESTION]
    answers = [one.to_diagnosis_ms for one in asked if one.to_diagnosis_ms is not None]
    values["to_answer"] = int(statistics.median(answers)) if answers else None
    for name, column in SUMS.items():
        values[name] = sum(getattr(one, column) or 0 for one in found)
    if found and all(one.compute_micros is None for one in found):
        values["compute_cost"] = None  # nothing is known, which is not 0
    if found and all(one.unpriced_tokens == one.input_tokens + one.output_tokens > 0 for one in found):
        values["model_cost"] = None
    good = sum(ASSUMED_S[one.kind] for one in found if one.worth and one.outcome not in BAD)
    bad = sum(ASSUMED_S[one.kind] for one in pieces if one.outcome in BAD)
    attention = sum(one.attention_s for one in found)
    return values | {"attention": attention, "replaced": good, "charged": bad, "net": good - bad - attention}


async def recorded(units: Sequence[WorkUnit], periods: Sequence[tuple[datetime, datetime]]) -> list[Rollup]:
    with tempfile.TemporaryDirectory() as folder:
        async with open_journal(Path(folder) / "agent.db", "local") as journal:
            await journal.append(*(Draft(WorkUnitRecorded(one)) for one in units))
            return [await journal.rollup(*period) for period in periods]


@settings(max_examples=15, deadline=None)
@given(st.lists(UNITS, max_size=40), st.lists(st.tuples(INSTANTS, INSTANTS), min_size=5, max_size=12))
def test_any_periods_figures_are_the_sums_of_its_units(
    units: list[WorkUnit], periods: list[tuple[datetime, datetime]]
) -> None:
    for period, rollup in zip(periods, asyncio.run(recorded(units, periods)), strict=True):
        assert (rollup.since, rollup.until) == period
        shown = {figure.name: figure.value for figure in rollup.figures}
        expected = summed(units, *period)
        assert {name: shown[name] for name in expected} == expected
        for attribute in ("kind", "outcome", "service"):
            groups = {group.name: group.n for group in getattr(rollup, f"by_{attribute}")}
            assert groups == Counter(
                str(getattr(one, attribute))
                for one in units
                if period[0] <= one.finished_at < period[1] and not one.undo
            )
        assert sum(n for day in rollup.days for _, n in day.outcomes) == rollup.n


async def test_incidents_alerts_and_executions_are_counted_when_they_begin(tmp_path: Path) -> None:
    clock = Clock()
    async with open_journal(tmp_path / "agent.db", "local", clock=clock) as journal:
        await journal.append(alert("f0"), opened("i0", "f0"), execution("x0", "", "c0"), ended("x0"))
        clock.forward(hours=20)
        await journal.append(alert("f1"), alert("f1"), opened("i1", "f1"))
        await journal.append(execution("x1", "", "c1"), ended("x1"), Draft(VerificationPassed("x1", (), 1)))
        await journal.append(execution("x2", "", "c2"), ended("x2"), Draft(VerificationFailed("x2", (), 1)))
        await journal.append(execution("x3", "", "c3"), ended("x3", ExecutionOutcome.UNKNOWN))
        week = await journal.rollup(NOON + timedelta(hours=1), NOON + timedelta(days=7))
        counted = week.counted
        assert [counted.incidents.n, counted.alerts.n] == [1, 2]
        assert [counted.executions.n, counted.verified.n, counted.failed.n] == [3, 1, 2]
        both = await journal.rollup(NOON, clock.now + timedelta(microseconds=1))
        assert [one.n for one in (both.counted.incidents, both.counted.alerts, both.counted.executions)] == [2, 3, 4]
        assert (await journal.rollup(NOON, clock.now)).counted.incidents.n == 1  # up to, not including


async def test_a_period_without_work_has_zeros_and_no_medians(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        empty = await journal.rollup(NOON, NOON + timedelta(days=7))
    assert (empty.n, empty.by_kind, empty.days, empty.best, empty.worst) == (0, (), (), None, None)
    assert (empty.measured.model_cost.value, empty.measured.to_verified.value, empty.estimated.net.value) == (
        0,
        None,
        0,
    )


async def test_a_unit_counts_on_the_day_it_ended_in_utc(tmp_path: Path) -> None:
    late = datetime(2026, 3, 2, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        await journal.append(worked(late, cost_micros=5))
        assert (await journal.rollup(MIDNIGHT, MIDNIGHT + timedelta(days=1))).measured.model_cost.value == 5
        assert (await journal.rollup(MIDNIGHT + timedelta(days=1), MIDNIGHT + timedelta(days=2))).n == 0


def undone(execution_id: str = "x1") -> list[Draft]:
    """The undo of an execution, up to where it took effect."""
    took_back = ExecutionStarted("u1", "undo", action(), "key-u1", "d", undoes=execution_id)
    return [Draft(took_back, run_id="u"), Draft(ended("u1").event, run_id="u")]


async def outcomes(journal: SqliteJournal) -> dict[str, int]:
    week = await journal.rollup(NOON - timedelta(days=1), NOON + timedelta(days=2))
    return {group.name: group.n for group in week.by_outcome}


async def test_work_that_is_taken_back_later_counts_against_from_that_commit_on(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local", clock=Clock()) as journal:
        await journal.append(execution("x1", ""), ended("x1"), Draft(VerificationPassed("x1", (), 1)))
        await journal.append(worked(NOON, worth=True, to_verified_ms=5, by_alert=True))
        assert await outcomes(journal) == {"accepted": 1}
        before = await journal.rollup(NOON, NOON + timedelta(days=2))
        await journal.append(*undone())
        assert await outcomes(journal) == {"reverted": 1}
        after = await journal.rollup(NOON, NOON + timedelta(days=2))
    assert (before.estimated.net.value, after.estimated.net.value) == (20 * 60, -20 * 60)
    assert (before.measured.to_verified.value, after.measured.to_verified.n) == (5, 0)
    assert after.counted.reverted.value == 1
    assert after.worst is not None
    assert (after.worst.outcome, after.worst.run_id) == (WorkOutcome.REVERTED, "r1")


async def test_work_that_was_taken_back_before_it_was_recorded_is_recorded_so(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local", clock=Clock()) as journal:
        await journal.append(execution("x1", ""), ended("x1"), *undone(), worked(NOON, worth=True))
        assert await outcomes(journal) == {"reverted": 1}


async def test_a_verification_that_fails_later_makes_the_work_failed(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local", clock=Clock()) as journal:
        await journal.append(execution("x1", ""), ended("x1"), worked(NOON, worth=True))
        await journal.append(Draft(VerificationFailed("x1", (), 1)))
        assert await outcomes(journal) == {"failed": 1}
        await journal.append(*undone())
        assert await outcomes(journal) == {"failed": 1}  # it is bad already, and never gets better


async def test_alerts_that_join_an_open_incident_are_noise_and_repeats_are_told_from_groups(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local", clock=Clock()) as journal:
        await journal.append(opened("i1", "f1"))
        for fingerprint, firing in (("f1", True), ("f2", True), ("f2", True), ("f1", False)):
            await journal.append(Draft(AlertJoined(fingerprint, firing), incident_id="i1"))
        day = await journal.rollup(NOON, NOON + timedelta(days=1))
    assert (day.counted.repeated.value, day.counted.grouped.value) == (2, 1)


async def test_people_s_wait_runs_from_the_card_in_slack_to_the_decision_that_stands(tmp_path: Path) -> None:
    clock = Clock()
    async with open_journal(tmp_path / "agent.db", "local", clock=clock) as journal:
        await journal.append(
            run_started(), requested("a1"), requested("a2", call_id="c2", batch="b"), message("approval:a1")
        )
        clock.forward(minutes=1)
        await journal.append(Draft(MessageSent("approval:a1", 1, "C1", "1.1")))
        clock.forward(minutes=2)
        await journal.append(vote("a1"))
        day = await journal.rollup(NOON, NOON + timedelta(days=1))
        assert (day.measured.wait_p50.value, day.counted.approved_share.value) == (120_000, 1000)
        await journal.append(vote("a1", verdict=Verdict.WITHDRAW, closes=ApprovalState.PENDING))
        assert (await journal.rollup(NOON, NOON + timedelta(days=1))).measured.wait_p50.n == 0
        clock.forward(minutes=2)
        await journal.append(denied("a1", "U2"), denied("a2"))
        day = await journal.rollup(NOON, NOON + timedelta(days=1))
    assert [day.measured.wait_p90.value, day.counted.approved_share.value] == [300_000, 0]  # a2 was never shown


async def test_incidents_are_resolved_with_a_change_of_the_agent_s_or_without(tmp_path: Path) -> None:
    clock = Clock()
    async with open_journal(tmp_path / "agent.db", "local", clock=clock) as journal:
        await journal.append(opened("i1", "f1"), opened("i2", "f2"))
        await journal.append(Draft(execution("x1", "").event, incident_id="i1", run_id="r1"))
        clock.forward(minutes=3)
        await journal.append(Draft(IncidentResolved("ceased"), incident_id="i1"))
        clock.forward(minutes=30)
        await journal.append(Draft(IncidentResolved("ceased"), incident_id="i2"))
        day = await journal.rollup(NOON, NOON + timedelta(days=1))
    assert (day.measured.resolved_with.value, day.measured.resolved_without.value) == (180_000, 33 * 60_000)


# --- the rows behind the figures --------------------------------------------------------------------------------------


async def a_busy_day(journal: SqliteJournal, clock: Clock, units: Sequence[WorkUnit]) -> None:
    """Some of everything that a figure counts, around the units."""
    await journal.append(
        *(Draft(WorkUnitRecorded(one), incident_id="i1", run_id=f"u{n}") for n, one in enumerate(units))
    )
    await journal.append(alert("f1"), opened("i1", "f1"), opened("i2", "f2"), run_started())
    for fingerprint, storm in (("f1", False), ("f3", False), ("f4", True)):
        await journal.append(Draft(AlertJoined(fingerprint, firing=True, storm=storm), incident_id="i1"))
    asked = [requested(f"a{n}", call_id=f"c{n}") for n in range(3)]
    await journal.append(*asked, message("approval:a1"), Draft(MessageSent("approval:a1", 1, "C1", "1.1")))
    for n in range(2):
        clock.forward(minutes=1)
        await journal.append(vote(f"a{n}"), execution(f"x{n}", f"a{n}", f"c{n}"), ended(f"x{n}"))
    await journal.append(Draft(VerificationPassed("x0", (), 1)), Draft(VerificationFailed("x1", (), 1)), denied("a2"))
    await journal.append(*undone("x0"))
    clock.forward(minutes=5)
    await journal.append(Draft(IncidentResolved("ceased"), incident_id="i1"))


@settings(max_examples=10, deadline=None)
@given(st.lists(UNITS, max_size=25), st.tuples(INSTANTS, INSTANTS).map(sorted))
def test_every_figure_is_what_the_rows_behind_it_add_up_to(units: list[WorkUnit], period: list[datetime]) -> None:
    async def story(path: Path) -> None:
        clock = Clock(MIDNIGHT + timedelta(days=2))
        async with open_journal(path, "local", clock=clock) as journal:
            await a_busy_day(journal, clock, units)
            hashes = {each.seq: (each.hash, each.at) for each in await journal.since(0, 10_000)}
            whole = await journal.rollup(period[0], period[1])
            for figure in whole.figures:
                drilled = await journal.drill(figure.name, period[0], period[1])
                values = [row.value for row in drilled.rows]
                assert drilled.figure == figure
                assert all(hashes[row.seq] == (row.hash, row.at) for row in drilled.rows)
                if figure.name == "break_even":
                    good = len((await journal.drill("replaced", period[0], period[1])).rows)
                    bad = len((await journal.drill("charged", period[0], period[1])).rows)
                    assert figure.value == (-(-sum(values) // (good - bad)) if good > bad else None)
                else:
                    assert again(figure, values) == (
                        figure.value or (0 if values or figure.unit == "micros" else figure.value)
                    )
                if figure.unit == "count" or (figure.low is not None and figure.basis is not Basis.ESTIMATED):
                    assert figure.n == len(values)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(story(Path(folder) / "agent.db"))


async def test_a_figure_that_there_is_not_is_named_with_the_nearest(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        with pytest.raises(BadInput, match="no figure to_diagnose; did you mean to_diagnosis"):
            await journal.drill("to_diagnose", NOON, NOON)


async def test_a_diagnosis_that_a_person_calls_wrong_replaced_no_work_while_that_stands(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local") as journal:

        async def replaced() -> int | None:
            return (await journal.rollup(NOON, NOON + timedelta(days=1))).estimated.replaced.value

        said = Draft(DiagnosisConcluded(Diagnosis("A.", "B.", Confidence.PROVEN, "rules")), run_id="r1")
        no = Draft(FeedbackGiven("r1", "U1", FeedbackVerdict.BAD, FeedbackCategory.WRONG_CAUSE), run_id="r1")
        await journal.append(run_started(), said, worked(outcome=WorkOutcome.NO_ACTION, worth=True))
        assert await replaced() == 1200
        await journal.append(no)
        assert await replaced() == 0
        await journal.append(Draft(FeedbackGiven("r1", "U1", FeedbackVerdict.GOOD), run_id="r1"))
        assert await replaced() == 1200
        await journal.append(no, worked(outcome=WorkOutcome.ACCEPTED, worth=True))
        assert await replaced() == 1200  # the change that held stands whatever is said of the diagnosis


async def test_what_the_team_sets_stands_above_its_history_and_that_above_its_own_incidents(tmp_path: Path) -> None:
    clock = Clock()
    async with open_journal(tmp_path / "agent.db", "local", clock=clock) as journal:

        async def baseline() -> tuple[str, int, int]:
            week = await journal.rollup(NOON, clock.now + timedelta(seconds=1))
            [found] = [one for one in week.baselines if one.kind is WorkKind.REMEDIATION]
            return found.source, found.n, found.seconds

        await journal.append(*(opened(f"i{n}", f"f{n}") for n in range(8)))
        assert await baseline() == ("assumed", 0, 2100)
        for n in range(8):
            clock.forward(minutes=10)
            await journal.append(Draft(IncidentResolved("ceased"), incident_id=f"i{n}"))
        assert await baseline() == ("own", 8, 45 * 60)
        past = [PastIncident(NOON - timedelta(days=400, minutes=n), NOON - timedelta(days=400)) for n in range(1, 10)]
        await journal.append(Draft(BaselineImported("old.csv", "0" * 64, (*past, past[0]))))
        assert await baseline() == ("history", 10, 270)
        await journal.append(Draft(BaselineImported("again.csv", "1" * 64, tuple(past))))
        assert await baseline() == ("history", 9, 300)  # in place of what was imported before
        await journal.append(Draft(BaselinesSet({"remediation": 90})))
        assert await baseline() == ("set", 0, 90)
        await journal.append(Draft(BaselinesSet({})))
        assert await baseline() == ("history", 9, 300)
