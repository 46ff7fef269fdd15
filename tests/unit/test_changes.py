"""Where a change stands, from its events: every state in the product's words, and the sentence that the first page says."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.actions import Mode
from domain.decisions import ApprovalState, ExecutionOutcome, Outcome, Verdict
from domain.events import (
    ApprovalClosed,
    ApprovalRequested,
    DecisionMade,
    Envelope,
    Event,
    ExecutionFinished,
    ExecutionStarted,
    RunStarted,
    VerificationFailed,
    VerificationPassed,
)
from domain.runs import Origin, RunSpec
from storage.evidence.changes import Change, State, changes_of
from storage.evidence.head import sentence, verdict
from storage.evidence.story import Story, story_of
from tests.contracts.evidence_samples import (
    JONAS,
    MARA,
    NIGHT,
    PAYMENTS,
    UGLY,
    UGLY_INCIDENT,
    Telling,
    asked,
    change,
    decided,
    executing,
    vote,
)

TELLING = Telling(UGLY_INCIDENT, UGLY)
MADE = decided("c1", change("kubernetes_restart", {"name": "payments"}))
REQUEST = asked(TELLING, "apr-1", MADE, 1)
ASKED = ApprovalRequested(REQUEST)
APPROVED = vote(TELLING, REQUEST, MARA, 2)
STARTED = executing(REQUEST, "exe-1")
DONE = ExecutionFinished("exe-1", ExecutionOutcome.SUCCEEDED, "restarted", 10)
HOLDS, FAILS = VerificationPassed("exe-1", (), 1), VerificationFailed("exe-1", (), 1)
OBSERVED = replace(MADE, decision=replace(MADE.decision, observe="the agent only observes"))
ALLOWED = replace(MADE, decision=replace(MADE.decision, outcome=Outcome.ALLOW, terms=None))


def happened(*events: Event, run_id: str = UGLY) -> list[Envelope]:
    return [
        Envelope(seq, "local", UGLY_INCIDENT, run_id, NIGHT + timedelta(seconds=seq), "agent", event, f"{seq:064x}")
        for seq, event in enumerate(events, 1)
    ]


def only(*events: Event) -> Change:
    (found,) = changes_of(happened(*events))
    return found


def told(*events: Event) -> Story:
    return story_of(happened(*events), UGLY)


def closed(state: ApprovalState, reason: str = "because") -> ApprovalClosed:
    return ApprovalClosed("apr-1", state, reason)


STATES: list[tuple[State, str, tuple[Event, ...]]] = [
    (State.WAITING, "waiting for a person", (MADE, ASKED)),
    (State.ALLOWED, "allowed by policy, not executed yet", (ALLOWED,)),
    (State.OBSERVED, "only recorded as what would have been asked", (OBSERVED,)),
    (State.APPROVED, "approved by mara, not executed yet", (MADE, ASKED, APPROVED)),
    (State.EXPIRED, "nobody decided in time, so nothing was executed", (MADE, ASKED, closed(ApprovalState.EXPIRED))),
    (State.CANCELLED, "cancelled (because), so nothing", (MADE, ASKED, closed(ApprovalState.CANCELLED))),
    (State.SUPERSEDED, "superseded (because), so nothing", (MADE, ASKED, closed(ApprovalState.SUPERSEDED))),
    (State.EXECUTING, "started, and no outcome is recorded", (MADE, ASKED, APPROVED, STARTED)),
    (State.EXECUTED, "executed once, not verified yet", (MADE, ASKED, APPROVED, STARTED, DONE)),
    (State.VERIFIED, "executed once and verified at", (MADE, ASKED, APPROVED, STARTED, DONE, HOLDS)),
    (State.FAILED, "its effect did not hold", (MADE, ASKED, APPROVED, STARTED, DONE, FAILS)),
    (
        State.FAILED,
        "and failed: the API server refused",
        (MADE, ASKED, APPROVED, STARTED, ExecutionFinished("exe-1", ExecutionOutcome.FAILED, "the API server refused")),
    ),
    (
        State.UNKNOWN,
        "the answer was lost",
        (MADE, ASKED, APPROVED, STARTED, ExecutionFinished("exe-1", ExecutionOutcome.UNKNOWN, "?"), HOLDS),
    ),
]


@pytest.mark.parametrize(("state", "words", "events"), STATES, ids=lambda value: str(value)[:20])
def test_each_state_and_its_sentence(state: State, words: str, events: tuple[Event, ...]) -> None:
    assert only(*events).state is state
    assert words in sentence(told(*events))


def test_an_answer_that_was_lost_stays_unknown_until_the_log_says_otherwise() -> None:
    lost = ExecutionFinished("exe-1", ExecutionOutcome.UNKNOWN, "?")
    assert only(MADE, ASKED, APPROVED, STARTED, lost, DONE, HOLDS).state is State.VERIFIED


def test_an_approval_that_was_taken_back_waits_again_and_nobody_has_approved() -> None:
    back = vote(TELLING, REQUEST, MARA, 3, verdict=Verdict.WITHDRAW, closes=ApprovalState.PENDING)
    found = only(MADE, ASKED, APPROVED, back)
    assert (found.state, found.approvers, len(found.votes)) == (State.WAITING, (), 2)


def test_what_policy_allows_runs_without_a_request_and_says_so() -> None:
    started = ExecutionStarted("exe-1", "c1", ALLOWED.action, "exe-1", "digest")
    story = told(ALLOWED, started, DONE, HOLDS)
    assert verdict(story) == ("Verified", "good")
    assert "allowed by policy without a person, executed once" in sentence(story)
    assert story.changes[0].digest == "digest"


def test_a_target_that_moved_is_decided_and_asked_afresh_as_another_change() -> None:
    again = asked(TELLING, "apr-2", MADE, 5, supersedes="apr-1")
    events = (MADE, ASKED, closed(ApprovalState.SUPERSEDED), MADE, ApprovalRequested(again))
    assert [each.state for each in changes_of(happened(*events))] == [State.SUPERSEDED, State.WAITING]


def test_a_change_that_was_undone_later_says_so() -> None:
    undo = ExecutionStarted("exe-2", "undo", MADE.action, "exe-2", "digest", undoes="exe-1")
    later = (
        replace(happened(undo)[0], run_id="run-undo", seq=50),
        replace(
            happened(ExecutionFinished("exe-2", ExecutionOutcome.SUCCEEDED, "undone"))[0], run_id="run-undo", seq=51
        ),
    )
    story = story_of([*happened(MADE, ASKED, APPROVED, STARTED, DONE, HOLDS), *later], UGLY)
    assert verdict(story) == ("Verified, then undone", "bad")
    assert "taken back later" in sentence(story)
    failed = replace(later[1], event=ExecutionFinished("exe-2", ExecutionOutcome.FAILED, "no"))
    story = story_of([*happened(MADE, ASKED, APPROVED, STARTED, DONE, HOLDS), later[0], failed], UGLY)
    assert verdict(story) == ("Verified", "good")


def test_each_change_of_a_run_takes_its_own_events() -> None:
    other = decided("c2", change("kubernetes_scale", {"name": "cart", "replicas": 3}))
    second = asked(TELLING, "apr-2", other, 2)
    no = vote(TELLING, second, JONAS, 4, verdict=Verdict.DENY, closes=ApprovalState.DENIED)
    events = (MADE, other, ASKED, ApprovalRequested(second), no, APPROVED, STARTED, DONE, HOLDS)
    first, denied = changes_of(happened(*events))
    assert (first.state, denied.state) == (State.VERIFIED, State.DENIED)
    assert verdict(told(*events)) == ("Verified", "good")
    assert [fact.seq for fact in denied.events] == [2, 4, 5]


def test_the_worst_execution_counts_whatever_came_after_it() -> None:
    other = decided("c2", change("kubernetes_scale", {"name": "cart", "replicas": 3}))
    second = asked(TELLING, "apr-2", other, 2)
    good = (
        *(other, ApprovalRequested(second), vote(TELLING, second, MARA, 9), executing(second, "exe-2")),
        *(ExecutionFinished("exe-2", ExecutionOutcome.SUCCEEDED, ""), VerificationPassed("exe-2", (), 1)),
    )
    assert verdict(told(MADE, ASKED, APPROVED, STARTED, DONE, FAILS, *good)) == ("Failed", "bad")


def test_a_read_is_no_change() -> None:
    read = replace(MADE, action=replace(MADE.action, effect=type(MADE.action.effect).READ))
    assert changes_of(happened(read)) == ()


def test_events_of_what_is_not_known_here_are_passed_over() -> None:
    strays: tuple[Any, ...] = (APPROVED, STARTED, DONE, HOLDS, closed(ApprovalState.EXPIRED))
    assert changes_of(happened(*strays)) == ()


def test_who_asked_is_named_where_some_event_knows_the_name() -> None:
    spec = RunSpec(UGLY, UGLY_INCIDENT, Origin.MENTION, "rules", Mode.PROPOSE, PAYMENTS, "why?", MARA[0])
    story = told(RunStarted(spec), MADE, ASKED, APPROVED)
    assert (story.name(MARA[0]), story.name("U404"), story.title) == ("mara", "U404", "why?")
    assert isinstance(MADE, DecisionMade)
