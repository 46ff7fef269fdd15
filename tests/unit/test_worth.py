"""What a run is measured as: the clock starts at the alert, people's time is theirs, and nothing is credited lightly."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.agent.worth import Bill, work_unit
from domain.actions import Mode
from domain.alerts import Alert
from domain.decisions import ApprovalState, Check, ExecutionOutcome, Verdict, Vote
from domain.diagnosis import Confidence, Diagnosis, Finding
from domain.events import (
    ApprovalClosed,
    ApprovalRequested,
    DiagnosisConcluded,
    Envelope,
    Event,
    ExecutionFinished,
    ExecutionStarted,
    FindingsReported,
    ModelFailed,
    RunStarted,
    StepPlanned,
    VerificationFailed,
    VerificationPassed,
    VoteCast,
    WorkUnitRecorded,
)
from domain.fold import fold
from domain.runs import Answer, Origin, RunOutcome, RunSpec, ToolCall, Usage
from domain.work import WorkKind, WorkOutcome, WorkUnit
from tests.contracts.journal_samples import CART, NOON, action, request
from tests.unit.journeys import ALLOWING, calling, concluded, place

Told = Sequence[tuple[float, Event]]
END = 900.0
NO_BILL = Bill()


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def measured(
    *told: tuple[float, Event],
    outcome: RunOutcome = RunOutcome.DIAGNOSED,
    bill: Bill = NO_BILL,
    **spec: Any,
) -> WorkUnit:
    """The unit of a run in which these things happened, seconds after its start."""
    alert = Alert("f", True, "CartDown", "alertmanager", at(-40))
    fields: dict[str, Any] = {"origin": Origin.ALERT, "alert": alert} | spec
    begun = RunSpec("r1", "i1", fields.pop("origin"), "rules", Mode.PROPOSE, CART, **fields)
    envelopes = [Envelope(0, "", "i1", "r1", at(when), "", event) for when, event in ((0, RunStarted(begun)), *told)]
    return work_unit(fold(envelopes), outcome, at(END), bill)


def planned(**usage: Any) -> Event:
    calls = tuple(ToolCall(f"c{n}", "kubernetes_rollback", "{}") for n in (1, 2))
    return StepPlanned(1, "rules", Answer("", calls, usage=Usage(**usage)), 1)


def asked(when: float, approval_id: str = "a1", call_id: str = "c1", **more: Any) -> tuple[float, Event]:
    return when, ApprovalRequested(request(approval_id, call_id=call_id, **({"requested_at": at(when)} | more)))


def voted(
    when: float, approval_id: str = "a1", user: str = "U1", verdict: Verdict = Verdict.APPROVE, closes: bool = True
) -> tuple[float, Event]:
    state = {Verdict.APPROVE: ApprovalState.APPROVED, Verdict.DENY: ApprovalState.DENIED}[verdict]
    return when, VoteCast(approval_id, Vote(user, verdict, at(when)), state if closes else None)


def done(when: float, approval_id: str = "a1", call_id: str = "c1", *, holds: bool | None = True) -> Told:
    started = ExecutionStarted(f"x-{call_id}", call_id, action(), "key", "digest", approval_id)
    told: list[tuple[float, Event]] = [
        (when, started),
        (when + 2, ExecutionFinished(f"x-{call_id}", ExecutionOutcome.SUCCEEDED, "")),
    ]
    if holds is not None:
        kind = VerificationPassed if holds else VerificationFailed
        told.append((when + 30, kind(f"x-{call_id}", (Check("ready", holds),), 1)))
    return told


def said(when: float, confidence: Confidence = Confidence.PROVEN) -> tuple[float, Event]:
    return when, DiagnosisConcluded(Diagnosis("It leaks.", "It is old.", confidence, "rules"))


FOUND = (3.0, FindingsReported((Finding("pod.crash_loop", "It crashes", "", CART),), 1))
FIXED = RunOutcome.REMEDIATED


# --- times ------------------------------------------------------------------------------------------------------------


def test_every_time_runs_from_the_alert_s_receipt_and_in_the_order_in_which_things_happen() -> None:
    unit = measured(FOUND, (4, planned()), asked(5), voted(65), *done(70), said(110), outcome=FIXED)
    assert (unit.to_first_finding_ms, unit.to_diagnosis_ms, unit.to_approval_ms, unit.to_verified_ms) == (
        3_000, 5_000, 65_000, 100_000,
    )  # fmt: skip
    assert (unit.alert_age_ms, unit.by_alert, unit.started_at, unit.finished_at) == (40_000, True, NOON, at(END))


def test_a_cause_is_first_stated_by_the_change_that_rests_on_it_not_by_the_conclusion_after_it() -> None:
    assert measured(FOUND, said(20)).to_diagnosis_ms == 20_000
    assert measured(FOUND, (4, planned()), *done(9, ""), said(99), outcome=FIXED).to_diagnosis_ms == 9_000


def test_what_did_not_happen_has_no_time() -> None:
    unit = measured((3, FindingsReported((), 1)), (4, planned()), asked(5), voted(8, verdict=Verdict.DENY), said(9))
    assert (unit.to_first_finding_ms, unit.to_approval_ms, unit.to_verified_ms) == (None, None, None)
    expired = (65.0, ApprovalClosed("a1", ApprovalState.EXPIRED, "late"))
    assert measured(FOUND, (4, planned()), asked(5), expired, said(66)).to_approval_ms is None


def test_a_question_s_clock_starts_at_the_question_and_is_no_alert_s() -> None:
    unit = measured(FOUND, said(20), origin=Origin.THREAD, alert=None, requester="U9")
    assert (unit.kind, unit.by_alert, unit.alert_age_ms, unit.to_diagnosis_ms) == (
        WorkKind.QUESTION,
        False,
        None,
        20_000,
    )


# --- people and bills -------------------------------------------------------------------------------------------------


def test_people_s_time_is_from_the_card_in_slack_to_each_person_s_last_word() -> None:
    told = (FOUND, (4, planned()), asked(5), voted(60, user="U1", closes=False), voted(90, user="U2"), *done(91))
    unit = measured(*told, outcome=FIXED, bill=Bill({"a1": at(10)}))
    assert (unit.people_ms, unit.attention_s, unit.votes) == (50_000 + 80_000, 130, 2)
    assert (
        measured(*told, outcome=FIXED).people_ms == 55_000 + 85_000
    )  # a card that Slack never had: since it was asked


def test_one_person_s_cards_that_wait_at_the_same_time_count_once() -> None:
    told = (FOUND, (4, planned()), asked(5), asked(5, "a2", "c2"), voted(65), voted(75, "a2"))
    assert measured(*told).people_ms == 70_000


def test_a_night_is_waiting_and_at_most_a_quarter_of_an_hour_of_it_is_taken_for_attention() -> None:
    unit = measured((4, planned()), asked(5), voted(8 * 3600 + 5), *done(8 * 3600 + 6), outcome=FIXED)
    assert (unit.people_ms, unit.attention_s) == (8 * 3_600_000, 15 * 60)


def test_votes_on_a_request_that_another_took_the_place_of_are_not_forgotten_nor_is_the_edit() -> None:
    told = (
        (4.0, planned()),
        asked(5),
        voted(25, user="U1", closes=False),
        (65.0, ApprovalClosed("a1", ApprovalState.SUPERSEDED, "edited")),
        asked(65, "a2", editor="U2", supersedes="a1"),
        voted(95, "a2", user="U1"),
        *done(96, "a2"),
        said(130),
    )
    unit = measured(*told, outcome=FIXED)
    assert (unit.people_ms, unit.votes) == ((20_000 + 30_000) + 60_000, 3)
    assert (unit.outcome, unit.to_diagnosis_ms) == (WorkOutcome.EDITED, 5_000)
    assert unit.machine_ms == round((END - (65 - 5) - (95 - 65)) * 1000)  # both cards' waits are people's


def test_tokens_without_a_price_are_counted_apart_and_computing_without_one_not_at_all() -> None:
    priced = planned(input_tokens=100, output_tokens=10, cost_micros=7)
    lost = ModelFailed(1, "m", "cut off", usage=Usage(50, 5, priced=False))
    unit = measured(FOUND, (4, priced), (5, lost), said(9))
    assert (unit.input_tokens, unit.output_tokens, unit.unpriced_tokens, unit.cost_micros) == (150, 15, 55, 7)
    assert unit.compute_micros is None
    assert measured(FOUND, said(9), bill=Bill(hour_micros=40_000)).compute_micros == 10_000  # 900 s of an hour


# --- kinds, outcomes and what is credited -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "how", "ended", "worth"),
    [
        ((said(9),), RunOutcome.DIAGNOSED, WorkOutcome.NO_ACTION, True),
        ((said(9, Confidence.LIKELY),), RunOutcome.DIAGNOSED, WorkOutcome.NO_ACTION, False),
        ((said(9, Confidence.NOT_PROVEN),), RunOutcome.DIAGNOSED, WorkOutcome.NO_ACTION, False),
        ((), RunOutcome.FAILED, WorkOutcome.FAILED, False),
        ((asked(5), voted(9), *done(10)), FIXED, WorkOutcome.ACCEPTED, True),
        ((*done(10, ""),), FIXED, WorkOutcome.ACCEPTED, True),
        ((asked(5), voted(9), *done(10, holds=False)), RunOutcome.NOT_REMEDIATED, WorkOutcome.FAILED, False),
        ((asked(5), voted(9), *done(10, holds=None)), RunOutcome.FAILED, WorkOutcome.FAILED, False),
        ((asked(5), voted(9, verdict=Verdict.DENY), said(10)), RunOutcome.NOT_REMEDIATED, WorkOutcome.REJECTED, False),
        (
            (asked(5), (9.0, ApprovalClosed("a1", ApprovalState.EXPIRED, "late")), said(10)),
            RunOutcome.NOT_REMEDIATED,
            WorkOutcome.NO_ACTION,
            False,
        ),
    ],
)
def test_an_outcome_is_what_became_of_it_and_only_what_surely_helped_is_worth_something(
    told: Told, how: RunOutcome, ended: WorkOutcome, worth: bool
) -> None:
    unit = measured((4, planned()), *told, outcome=how)
    assert (unit.outcome, unit.worth) == (ended, worth)


def test_taking_its_own_change_back_saves_nobody_anything() -> None:
    unit = measured((4, planned()), asked(5), voted(9), *done(10), outcome=FIXED, origin=Origin.THREAD, undoes="x0")
    assert (unit.kind, unit.outcome, unit.worth) == (WorkKind.REMEDIATION, WorkOutcome.ACCEPTED, False)


@pytest.mark.parametrize("kind", [WorkKind.PIPELINE_TRIAGE, WorkKind.CONFIGURATION_FINDING])
def test_a_run_may_say_itself_what_kind_of_work_it_is(kind: WorkKind) -> None:
    spec: dict[str, Any] = {"origin": Origin.SCHEDULE, "alert": None, "work": kind}
    assert measured((4, planned()), *done(10, ""), outcome=FIXED, **spec).kind is kind
    found = measured(said(9), **spec)
    assert (found.kind, found.worth) == (kind, kind is WorkKind.PIPELINE_TRIAGE)


# --- through the loop -------------------------------------------------------------------------------------------------


async def test_a_run_s_unit_has_what_the_journal_knows_of_its_card(tmp_path: Path) -> None:
    async with place(tmp_path, calling(("turn", '{"name":"a","to":1}')), concluded("Turned.")) as spot:
        await spot.advance()
        spot.ahead = timedelta(minutes=20)
        await spot.vote()
        run = await spot.advance()
        [unit] = await spot.events(WorkUnitRecorded)
        shown = (await spot.journal.shown("run-1"))[(await spot.journal.approvals())[0].request.id]
        waited = run.approvals[0].votes[0].at - shown
        assert unit.unit.people_ms == round(waited.total_seconds() * 1000)
        assert (unit.unit.attention_s, unit.unit.machine_ms) == (15 * 60, run.machine_ms)
        week = await spot.journal.rollup(spot.now() - timedelta(days=1), spot.now())
        assert week.measured.people.value == unit.unit.people_ms
        assert week.measured.wait_p50.value == pytest.approx(unit.unit.people_ms, abs=100)  # to where it was recorded
        assert week.measured.compute_cost.note == "not counted: 1 of 1 units, for want of AGENT_COMPUTE_PRICE"


async def test_a_change_that_policy_allows_takes_nobody_s_time(tmp_path: Path) -> None:
    async with place(tmp_path, calling(("turn", '{"name":"a","to":1}')), concluded(), policy=ALLOWING) as spot:
        spot.mode = Mode.ACT
        await spot.advance()
        [unit] = await spot.events(WorkUnitRecorded)
        assert (unit.unit.people_ms, unit.unit.votes, unit.unit.outcome) == (0, 0, WorkOutcome.ACCEPTED)
