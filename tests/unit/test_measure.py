"""From events to metrics: over a real journal, whose writer tells every transaction."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import metrics
from bot.measure import Measures
from bot.schedule import Job, Schedule
from domain.actions import Action, Effect, Mode, Target
from domain.alerts import Alert
from domain.control import BreakerOpened, BreakerReset, PolicyRejected
from domain.decisions import ApprovalState, Decision, Outcome, Verdict
from domain.diagnosis import Confidence, Diagnosis
from domain.errors import Conflict, JournalError
from domain.events import (
    AlertReceived,
    ApprovalClosed,
    DecisionMade,
    DiagnosisConcluded,
    Draft,
    Envelope,
    Event,
    FindingsReported,
    IncidentResolved,
    MessageFailed,
    MessageSent,
    ModelFailed,
    RunFinished,
    RunStarted,
    StepPlanned,
    ToolCallFinished,
    VerificationPassed,
)
from domain.runs import Answer, Origin, RunOutcome, RunSpec, ToolCall, ToolResult, Usage
from storage.journal import Commit, SqliteJournal, open_journal
from tests.contracts.journal_samples import (
    NOON,
    Clock,
    ended,
    execution,
    message,
    opened,
    payload,
    requested,
    run_started,
    vote,
)
from tests.scraping import Scrape, page

READ = Action("kubernetes_get", {}, Effect.READ, Target("kubernetes", "production", "shop", "Pod", "a"))


class Bench:
    """A journal whose commits are measured, and what was measured since the beginning."""

    def __init__(self, journal: SqliteJournal, measures: Measures, clock: Clock) -> None:
        self.journal, self.measures, self.clock = journal, measures, clock
        self._before = page()

    async def record(self, *drafts: Draft) -> None:
        await self.journal.append(*drafts)

    async def of_run(self, *events: Event) -> None:
        await self.journal.append(*(Draft(event, incident_id="i1", run_id="r1") for event in events))

    async def told(self) -> Scrape:
        """What was added; gauges stand as they are."""
        await asyncio.sleep(0)  # the writer tells of its commit on the loop's next turn
        return page().since(self._before)

    async def now(self) -> Scrape:
        await asyncio.sleep(0)
        self.measures.refresh(self.clock())
        return page()


@asynccontextmanager
async def bench(folder: Path, clock: Clock | None = None) -> AsyncIterator[Bench]:
    clock, measures = clock or Clock(), Measures()
    async with open_journal(folder / "agent.db", "local", clock=clock, watch=measures.committed) as journal:
        await measures.start(journal, clock())
        yield Bench(journal, measures, clock)


# --- what is under way over a restart ---------------------------------------------------------------------------------


async def test_what_an_earlier_process_left_open_is_measured_from_its_beginning(tmp_path: Path) -> None:
    clock = Clock()
    async with bench(tmp_path, clock) as first:
        await first.record(
            opened("i1", "f1"), run_started(), requested(), message(), Draft(BreakerOpened("agent", "x"))
        )
    clock.forward(minutes=4)
    metrics.breaker_open.labels("agent").set(0)
    async with bench(tmp_path, clock) as second:
        standing = await second.now()
        assert standing("open_incidents") == standing("approvals_pending") == standing("outbox_messages") == 1
        assert standing("outbox_oldest_seconds") == 240
        assert standing("breaker_open", scope="agent") == 1
        await second.record(vote(), execution(), ended())
        await second.of_run(VerificationPassed("x1", (), 10), DiagnosisConcluded(DIAGNOSIS))
        await second.record(Draft(IncidentResolved("it ceased"), incident_id="i1"))
        told = await second.told()
        assert told("approval_seconds_sum", state="approved") == 240
        assert told("alert_to_verified_seconds_sum") == told("alert_to_diagnosis_seconds_sum") == 240
        assert told("incident_seconds_sum") == 240
        assert told("executions_total", tool="kubernetes_rollback", outcome="succeeded") == 1
        assert told("incidents_opened_total") == told("runs_started_total") == told("approvals_requested_total") == 0


DIAGNOSIS = Diagnosis("It is old.", "", Confidence.NOT_PROVEN, "rules")


async def test_a_run_that_a_person_asked_for_is_no_alert_s_way(tmp_path: Path) -> None:
    async with bench(tmp_path) as spot:
        spec = RunSpec("r1", "i1", Origin.MENTION, "rules", Mode.PROPOSE, Target())
        await spot.record(opened("i1", "f1"), Draft(RunStarted(spec), incident_id="i1", run_id="r1"))
        await spot.of_run(DiagnosisConcluded(DIAGNOSIS), RunFinished(RunOutcome.DIAGNOSED, "done", 1500))
        told = await spot.told()
        assert told("alert_to_diagnosis_seconds_count") == 0
        assert told("run_machine_seconds_sum") == 1.5


# --- runs -------------------------------------------------------------------------------------------------------------


async def test_reads_are_measured_and_what_was_denied_is_none(tmp_path: Path) -> None:
    async with bench(tmp_path) as spot:
        await spot.record(opened("i1", "f1"), run_started())
        calls = tuple(ToolCall(name, "kubernetes_get", "{}") for name in ("a", "b", "c"))
        await spot.of_run(FindingsReported((), 30), StepPlanned(1, "gpt", Answer(calls=calls, first_token_ms=40), 700))
        for name, outcome in (("a", Outcome.ALLOW), ("b", Outcome.ALLOW), ("c", Outcome.DENY)):
            await spot.of_run(DecisionMade(name, READ, Decision(outcome, "r", "", "p"), {}))
        for name, ok in (("a", True), ("b", False), ("c", False)):
            await spot.of_run(ToolCallFinished(ToolResult(name, "kubernetes_get", ok, "…", took_ms=250)))
        told = await spot.told()
        assert told("tool_seconds_sum", tool="kubernetes_get", outcome="ok") == 0.25
        assert told("tool_seconds_count", tool="kubernetes_get") == 2
        assert told("decisions_total", outcome="deny", effect="read") == 1
        assert told("model_seconds_sum", model="gpt", outcome="ok") == 0.7
        assert told("model_first_token_seconds_sum", model="gpt") == 0.04
        assert told("analysis_seconds_sum") == 0.03


async def test_an_answer_that_was_of_no_use_has_cost_money_all_the_same(tmp_path: Path) -> None:
    async with bench(tmp_path) as spot:
        await spot.record(opened("i1", "f1"), run_started())
        await spot.of_run(ModelFailed(1, "gpt", "is vague", 900, Usage(1000, 50, 200, 30_000)))
        told = await spot.told()
        assert told("model_cost_dollars_total", model="gpt") == 0.03
        assert told("model_tokens_total", direction="input") == 1000
        assert told("model_tokens_total", direction="cached") == 200
        assert told("model_seconds_sum", outcome="error") == 0.9
        assert told("model_first_token_seconds_count") == 0


# --- people -----------------------------------------------------------------------------------------------------------


async def test_an_approve_that_is_taken_back_waits_again(tmp_path: Path) -> None:
    clock = Clock()
    async with bench(tmp_path, clock) as spot:
        await spot.record(opened("i1", "f1"), run_started(), requested())
        clock.forward(seconds=60)
        await spot.record(vote())
        assert (await spot.now())("approvals_pending") == 0
        await spot.record(vote(verdict=Verdict.WITHDRAW, closes=ApprovalState.PENDING))
        assert (await spot.now())("approvals_pending") == 1
        clock.forward(seconds=30)
        await spot.of_run(ApprovalClosed("a1", ApprovalState.EXPIRED, "nobody decided in time"))
        told = await spot.told()
        assert told("approval_seconds_sum", state="approved") == 60
        assert told("approval_seconds_sum", state="expired") == 30
        assert [told("approvals_total", state=state) for state in ("approved", "taken_back", "expired")] == [1, 1, 1]


async def test_what_nobody_could_answer_is_observed_and_not_expired(tmp_path: Path) -> None:
    async with bench(tmp_path) as spot:
        await spot.record(opened("i1", "f1"), run_started(), requested(observe_only=True))
        assert (await spot.now())("approvals_pending") == 0
        await spot.of_run(ApprovalClosed("a1", ApprovalState.EXPIRED, "nobody decided in time"))
        told = await spot.told()
        assert told("approvals_total", state="observed") == 1
        assert told("approvals_total", state="expired") == told("approval_seconds_count") == 0


# --- Slack ------------------------------------------------------------------------------------------------------------


async def test_a_message_waits_until_slack_has_its_newest_revision(tmp_path: Path) -> None:
    clock = Clock()
    async with bench(tmp_path, clock) as spot:
        await spot.record(message())
        clock.forward(seconds=10)
        await spot.record(message(revision=2))
        clock.forward(seconds=10)
        standing = await spot.now()
        assert (standing("outbox_messages"), standing("outbox_oldest_seconds")) == (1, 20)
        await spot.record(Draft(MessageSent("incident:i1", 1, "C1", "1.1")))
        standing = await spot.now()
        assert (standing("outbox_messages"), standing("outbox_oldest_seconds")) == (1, 0)
        clock.forward(seconds=5)
        await spot.record(Draft(MessageSent("incident:i1", 2, "C1", "1.1")))
        assert (await spot.now())("outbox_messages") == 0
        assert (await spot.told())("outbox_delivery_seconds_sum") == 20 + 5


async def test_a_message_that_failed_for_good_waits_no_longer_and_its_error_is_counted(tmp_path: Path) -> None:
    async with bench(tmp_path) as spot:
        await spot.record(message(), Draft(MessageFailed("incident:i1", 1, "ratelimited", final=False)))
        assert (await spot.now())("outbox_messages") == 1
        await spot.record(Draft(MessageFailed("incident:i1", 1, "no_text", final=True)))
        assert (await spot.now())("outbox_messages") == 0
        told = await spot.told()
        assert told("slack_errors_total", error="ratelimited") == told("slack_errors_total", error="no_text") == 1


# --- the journal itself -----------------------------------------------------------------------------------------------


async def test_a_refusal_and_a_disk_that_fails_are_told_apart(tmp_path: Path) -> None:
    async with bench(tmp_path) as spot:
        await spot.record(payload("k1"))
        with pytest.raises(Conflict):
            await spot.record(payload("k1"))
        told = await spot.told()
        assert told("journal_append_failures_total", reason="refused") == 1
        await spot.journal._writing.run(lambda db: db.execute("PRAGMA query_only = ON"))
        with pytest.raises(JournalError, match="read-only"):
            await spot.record(payload("k2"))
        told = await spot.told()
        assert told("journal_append_failures_total", reason="error") == 1
        assert told("journal_commit_events_sum") == told("journal_events_total", kind="PayloadReceived") == 1
        assert told("journal_append_seconds_count") == 2


async def test_a_watcher_that_raises_disturbs_no_append(tmp_path: Path) -> None:
    heard: list[Commit] = []
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["exception"]))

    def watch(commit: Commit) -> None:
        heard.append(commit)
        raise ValueError("a watcher's own mistake")

    async with open_journal(tmp_path / "agent.db", "local", watch=watch) as journal:
        for number in range(3):
            await journal.append(payload(f"k{number}"))
    assert [commit.envelopes[0].seq for commit in heard] == [1, 2, 3]
    assert len(complaints) == 3


async def test_every_envelope_is_heard_in_order_however_many_come_at_once(tmp_path: Path) -> None:
    heard: list[int] = []
    watch = lambda commit: heard.extend(envelope.seq for envelope in commit.envelopes)  # noqa: E731
    async with open_journal(tmp_path / "agent.db", "local", watch=watch) as journal:
        await asyncio.gather(*(journal.append(*(payload(f"{a}-{b}") for b in range(40))) for a in range(60)))
    assert heard == list(range(1, 2401))


# --- labels -----------------------------------------------------------------------------------------------------------


async def test_what_a_stranger_calls_itself_makes_no_series_without_end(tmp_path: Path) -> None:
    async with bench(tmp_path) as spot:
        sources = [f"monitor-{number}" for number in range(80)]
        await spot.record(*(Draft(AlertReceived(Alert(name, True, "Down", name, NOON))) for name in sources))
        told = await spot.told()
        assert told("alerts_received_total", source="monitor-49", state="firing") == 1
        assert told("alerts_received_total", source="other", state="firing") == 30


def test_few_values_keep_the_names_they_had() -> None:
    few = metrics.Few(2)
    assert [few(name) for name in ("a", "b", "c", "a", "d", "b")] == ["a", "b", "other", "a", "other", "b"]


async def test_brakes_and_policies_are_counted(tmp_path: Path) -> None:
    async with bench(tmp_path) as spot:
        await spot.record(Draft(BreakerOpened("kubernetes_scale", "x")), Draft(PolicyRejected(("no rules",))))
        assert (await spot.now())("breaker_open", scope="kubernetes_scale") == 1
        await spot.record(Draft(BreakerReset("kubernetes_scale")))
        assert (await spot.now())("breaker_open", scope="kubernetes_scale") == 0
        assert (await spot.told())("policy_loads_total", result="refused") == 1


# --- the clock's work -------------------------------------------------------------------------------------------------


async def test_a_job_s_turns_and_failures_are_counted_and_a_failure_stops_nothing() -> None:
    before, twice = page(), asyncio.Event()
    turns = 0

    async def work() -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            raise JournalError("the disk is full")
        twice.set()

    schedule = Schedule((Job("test of jobs", 0.02, work),))
    schedule.start()
    async with asyncio.timeout(10):
        await twice.wait()
        while not page()("job_last_success_timestamp_seconds", task="test of jobs"):
            await asyncio.sleep(0)
    schedule.stop()
    told = page().since(before)
    assert told("job_failures_total", task="test of jobs") == 1
    assert told("job_seconds_count", task="test of jobs") >= 2
    assert abs(page()("job_last_success_timestamp_seconds", task="test of jobs") - time.time()) < 60


def test_times_are_never_below_zero_when_the_clock_is_set_back() -> None:
    measures, before = Measures(), page()
    asked, answered = requested(), vote()
    for draft, at in ((asked, NOON), (answered, NOON - timedelta(hours=1))):
        measures.committed(Commit([Envelope(1, "local", "i1", "r1", at, "system", draft.event)], [0.0]))
    assert page().since(before)("approval_seconds_sum") == 0
