"""A period's figures are those of its rows, wherever in a day it begins and ends."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from hypothesis import given, settings, strategies as st

from domain.decisions import ExecutionOutcome
from domain.events import Draft, VerificationFailed, VerificationPassed, WorkUnitRecorded
from domain.work import Rollup, WorkKind, WorkOutcome, WorkUnit
from storage.journal import open_journal
from tests.contracts.journal_samples import NOON, Clock, alert, ended, execution, opened, unit, worked

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
DURATIONS = ("to_first_finding_ms", "to_diagnosis_ms", "to_approval_ms", "to_verified_ms")
SUMS = ("people_ms", "input_tokens", "output_tokens", "cost_micros", "estimated_saved_s")

# instants that like the edges of days
INSTANTS = st.builds(
    lambda day, hour, microsecond: MIDNIGHT + timedelta(days=day, hours=hour, microseconds=microsecond),
    st.integers(0, 5),
    st.sampled_from([0, 0, 12, 23]),
    st.sampled_from([-1, 0, 0, 1]),
)
MAYBE_MS = st.none() | st.integers(0, 10**7)
UNITS = st.builds(
    unit,
    INSTANTS,
    kind=st.sampled_from(WorkKind),
    outcome=st.sampled_from(WorkOutcome),
    people_ms=MAYBE_MS,
    **dict.fromkeys(DURATIONS, MAYBE_MS),
    **dict.fromkeys(SUMS[1:], st.integers(0, 10**9)),
)


def summed(units: Sequence[WorkUnit], since: datetime, until: datetime) -> dict[str, object]:
    """The same figures the slow and obvious way."""
    found = [one for one in units if since <= one.finished_at < until]
    medians: dict[str, int | None] = {}
    for name in DURATIONS:
        times = [time for one in found if (time := getattr(one, name)) is not None]
        medians[f"median_{name}"] = int(statistics.median(times)) if times else None
    return {
        "n": len(found),
        "by_kind": tuple(sorted(Counter(one.kind.value for one in found).items())),
        "by_outcome": tuple(sorted(Counter(one.outcome.value for one in found).items())),
        **medians,
        **{name: sum(getattr(one, name) or 0 for one in found) for name in SUMS},
    }


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
        expected = summed(units, *period)
        assert {name: getattr(rollup, name) for name in expected} == expected


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
        assert (week.incidents, week.alerts, week.executions, week.verified, week.failed) == (1, 2, 3, 1, 2)
        both = await journal.rollup(NOON, clock.now + timedelta(microseconds=1))
        assert (both.incidents, both.alerts, both.executions) == (2, 3, 4)
        assert (await journal.rollup(NOON, clock.now)).incidents == 1  # up to, not including


async def test_a_period_without_work_has_zeros_and_no_medians(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        empty = await journal.rollup(NOON, NOON + timedelta(days=7))
    assert (empty.n, empty.by_kind, empty.cost_micros, empty.median_to_verified_ms) == (0, (), 0, None)


async def test_a_unit_counts_on_the_day_it_ended_in_utc(tmp_path: Path) -> None:
    late = datetime(2026, 3, 2, 1, 0, tzinfo=timezone(timedelta(hours=2)))
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        await journal.append(worked(late, cost_micros=5))
        assert (await journal.rollup(MIDNIGHT, MIDNIGHT + timedelta(days=1))).cost_micros == 5
        assert (await journal.rollup(MIDNIGHT + timedelta(days=1), MIDNIGHT + timedelta(days=2))).n == 0
