"""Events to a run: what each event changes, and that nothing else is needed to know where a run stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from domain.codec import decode, encode
from domain.decisions import ApprovalState, ExecutionOutcome, Verdict, Vote
from domain.errors import JournalError
from domain.events import (
    ApprovalClosed,
    ApprovalRequested,
    Envelope,
    Event,
    ExecutionFinished,
    ExecutionProbed,
    ExecutionStarted,
    FindingsReported,
    MessageSent,
    ModelFailed,
    RunFinished,
    RunStarted,
    StepPlanned,
    ToolCallFinished,
    ToolCallRefused,
    VerificationFailed,
    VerificationPassed,
    VoteCast,
    body_of,
    event_of,
)
from domain.fold import after, fold, waits
from domain.runs import Answer, Run, RunOutcome, RunStatus, ToolCall, ToolResult, Usage
from tests.slack_harness import action_of, request_of
from tests.unit.journeys import calling, concluded, place, spec_of

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
REQUEST = replace(request_of("a1"), call_id="c1", run_id="run-1")
PLANNED = StepPlanned(1, "m", Answer(calls=(ToolCall("c1", "turn", "{}"), ToolCall("c2", "look", "{}"))), 5)
APPROVE = Vote("U1", Verdict.APPROVE, AT, name="Mara")
STARTED = ExecutionStarted("x1", "c1", action_of(), "key", "d", "a1")


def run_of(*events: Event) -> Run:
    chain = (RunStarted(spec_of()), *events)
    return fold(
        Envelope(place, "local", "", "run-1", AT + timedelta(seconds=place), "agent", event)
        for place, event in enumerate(chain)
    )


def test_a_run_begins_with_its_start_and_with_nothing_else() -> None:
    assert run_of().status is RunStatus.RUNNING
    with pytest.raises(JournalError, match="there is no such run"):
        fold([])
    with pytest.raises(JournalError, match="does not begin with RunStarted"):
        fold([Envelope(1, "local", "", "run-1", AT, "agent", PLANNED)])


def test_steps_bring_calls_and_add_up_what_they_used() -> None:
    usage = Usage(10, 5, 2, 7)
    run = run_of(
        *(StepPlanned(n, "m", Answer(calls=(ToolCall(f"c{n}", "look", "{}"),), usage=usage), 1) for n in (1, 2))
    )
    assert (run.step, list(run.calls), run.usage) == (2, ["c1", "c2"], Usage(20, 10, 4, 14))
    unpriced = run_of(StepPlanned(1, "m", Answer(usage=Usage(1, priced=False)), 1), StepPlanned(2, "m", Answer(), 1))
    assert not unpriced.usage.priced


def test_results_settle_their_calls_and_count_as_evidence_where_they_are_cited() -> None:
    run = run_of(
        PLANNED,
        ToolCallFinished(ToolResult("c2", "look", True, "seen", evidence_id="E1", data={})),
        ToolCallRefused("c1", "turn", "no"),
    )
    results = [call.result for call in run.calls.values() if call.result]
    assert [(result.ok, result.text) for result in results] == [(False, "no"), (True, "seen")]
    assert (run.evidence, run.tainted) == (1, True)


def test_a_run_waits_for_people_exactly_while_a_request_is_pending() -> None:
    asked = (PLANNED, ApprovalRequested(REQUEST))
    assert waits(run_of(*asked))
    assert run_of(*asked).status is RunStatus.WAITING
    assert run_of(*asked, VoteCast("a1", APPROVE)).status is RunStatus.WAITING
    decided = run_of(*asked, VoteCast("a1", APPROVE, ApprovalState.APPROVED))
    assert decided.status is RunStatus.RUNNING
    approval = decided.calls["c1"].approval
    assert approval is not None
    assert (approval.closed_by, [vote.user for vote in approval.approvers]) == ("Mara", ["U1"])
    for state in (ApprovalState.EXPIRED, ApprovalState.CANCELLED, ApprovalState.SUPERSEDED):
        assert run_of(*asked, ApprovalClosed("a1", state, "why")).status is RunStatus.RUNNING


def test_a_run_that_has_finished_stays_so_whatever_comes_after() -> None:
    ended = RunFinished(RunOutcome.FAILED, "an unexpected error")
    late = (VoteCast("a1", APPROVE, ApprovalState.APPROVED), STARTED)
    for length in range(3):
        assert run_of(PLANNED, ApprovalRequested(REQUEST), ended, *late[:length]).status is RunStatus.FINISHED


def test_an_execution_consumes_its_approval_and_carries_what_became_of_it() -> None:
    begun = (PLANNED, ApprovalRequested(REQUEST), VoteCast("a1", APPROVE, ApprovalState.APPROVED), STARTED)
    run = run_of(*begun, ExecutionProbed("x1", None, "?"), ExecutionFinished("x1", ExecutionOutcome.UNKNOWN, "lost"))
    call = run.calls["c1"]
    assert call.approval is not None
    assert call.execution is not None
    assert call.approval.state is ApprovalState.CONSUMED
    assert (call.execution.outcome, call.execution.verified) == (ExecutionOutcome.UNKNOWN, None)
    for event, verified in ((VerificationPassed("x1", (), 1), True), (VerificationFailed("x1", (), 1), False)):
        [execution] = run_of(*begun, event).executions
        assert execution.verified is verified


def test_events_about_something_else_change_nothing() -> None:
    run = run_of(PLANNED)
    for event in (
        MessageSent("k", 1, "C", "1.0"), ApprovalClosed("unknown", ApprovalState.EXPIRED, ""),
        VoteCast("unknown", APPROVE), ExecutionFinished("unknown", ExecutionOutcome.FAILED, ""),
    ):  # fmt: skip
        assert after(run, Envelope(9, "local", "", "run-1", AT, "agent", event)) == run


def test_the_end_and_the_failure_of_the_model_are_kept_in_words() -> None:
    run = run_of(
        ModelFailed(1, "gpt", "is out of quota"), FindingsReported((), 3), RunFinished(RunOutcome.DIAGNOSED, "done", 42)
    )
    assert (run.model_failure, run.reason, run.machine_ms) == ("gpt: is out of quota", "done", 42)
    assert (run.status, run.finished_at) == (RunStatus.FINISHED, AT + timedelta(seconds=3))


EVENTS = st.lists(
    st.sampled_from(
        [
            ApprovalRequested(REQUEST), VoteCast("a1", APPROVE, ApprovalState.APPROVED), STARTED,
            ApprovalClosed("a1", ApprovalState.EXPIRED, "late"), ToolCallRefused("c2", "look", "no"),
            ExecutionFinished("x1", ExecutionOutcome.SUCCEEDED, "ok"), VerificationPassed("x1", (), 1),
        ]
    ),
    max_size=8,
)  # fmt: skip


@given(EVENTS)
def test_folding_is_the_same_step_by_step_and_after_a_trip_through_json(events: list[Event]) -> None:
    run = run_of(PLANNED, *events)
    again = run_of(
        *(event_of(type(event).__name__, decode(dict, encode(body_of(event)))) for event in (PLANNED, *events))
    )
    assert again == run
    assert waits(run) is (run.status is RunStatus.WAITING)


async def test_a_real_run_folds_to_what_its_passage_ended_with(tmp_path: Path) -> None:
    async with place(tmp_path, calling(("look", '{"name":"a"}')), concluded()) as spot:
        ended = await spot.advance()
        assert replace(await spot.run(), findings=ended.findings) == replace(
            ended, started_at=(await spot.run()).started_at
        )
