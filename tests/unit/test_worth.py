"""What a run is measured as: the clock starts at the alert, people's time is theirs, and nothing is credited lightly."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.agent.worth import Bill, work_unit
from bot.intake import run_for
from domain.actions import Mode, Target
from domain.alerts import Alert, Incident, Severity
from domain.decisions import ApprovalState, Check, ExecutionOutcome, Verdict, Vote
from domain.diagnosis import Confidence, Diagnosis, Finding
from domain.events import (
    ApprovalClosed,
    ApprovalRequested,
    DiagnosisConcluded,
    Draft,
    Envelope,
    Event,
    ExecutionFinished,
    ExecutionStarted,
    FindingsReported,
    MessageSent,
    ModelFailed,
    RunStarted,
    SecondLookTaken,
    StepPlanned,
    VerificationFailed,
    VerificationPassed,
    VoteCast,
    WorkUnitRecorded,
)
from domain.fold import fold
from domain.runs import Answer, Origin, RunOutcome, RunSpec, SecondLook, ToolCall, Usage
from domain.work import Wait, WorkKind, WorkOutcome, WorkUnit
from storage.journal import open_journal
from tests.contracts.journal_samples import CART, NOON, Clock, action, message, request, requested, run_started, vote
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


def wait(user: str, since: float, until: float, card: str = "a1") -> Wait:
    return Wait(user, card, at(since), at(until))


def test_people_s_time_is_each_person_s_and_one_person_s_cards_at_the_same_time_count_once() -> None:
    waits = (wait("U1", 10, 60), wait("U2", 10, 90), wait("U2", 40, 95, "a2"), wait("U2", 200, 201, "a3"))
    unit = measured(FOUND, said(9), bill=Bill(waits))
    assert (unit.people_ms, unit.attention_s, unit.votes) == (50_000 + 85_000 + 1_000, 136, 4)


def test_a_night_is_waiting_and_at_most_a_quarter_of_an_hour_of_it_is_taken_for_attention() -> None:
    unit = measured(FOUND, said(9), bill=Bill((wait("U1", 5, 8 * 3600 + 5), wait("U1", 8 * 3600, 8 * 3600 + 60, "a2"))))
    assert (unit.people_ms, unit.attention_s) == ((8 * 3600 + 55) * 1000, 15 * 60 + 60)


async def test_whoever_answers_a_card_has_waited_since_slack_had_it_also_on_one_that_was_edited(tmp_path: Path) -> None:
    clock = Clock()
    async with open_journal(tmp_path / "agent.db", "local", clock=clock) as journal:
        await journal.append(run_started(), requested("a1"), message("approval:a1"))
        clock.forward(seconds=5)
        await journal.append(Draft(MessageSent("approval:a1", 1, "C1", "1.1")))
        for seconds, drafts in (
            (20, [vote("a1", "U1", closes=None)]),
            (20, [vote("a1", "U1", Verdict.WITHDRAW, closes=None)]),
            (20, [Draft(ApprovalClosed("a1", ApprovalState.SUPERSEDED, "edited"), run_id="r1")]),
            (
                0,
                [
                    requested(
                        "a2", call_id="c1", editor="U2", supersedes="a1", requested_at=clock.now + timedelta(seconds=60)
                    )
                ],
            ),
            (30, [vote("a2", "U1")]),
        ):
            clock.forward(seconds=seconds)
            await journal.append(*drafts)
        waits = {
            (one.user, one.approval_id): (one.until - one.since).total_seconds() for one in await journal.waits("r1")
        }
    assert waits == {("U1", "a1"): 40, ("U2", "a1"): 60, ("U1", "a2"): 30}


def test_waiting_for_people_is_no_machine_time_also_on_a_card_that_another_took_the_place_of() -> None:
    told = (
        (4.0, planned()),
        asked(5),
        (65.0, ApprovalClosed("a1", ApprovalState.SUPERSEDED, "edited")),
        asked(65, "a2", editor="U2", supersedes="a1"),
        voted(95, "a2", user="U1"),
        *done(96, "a2"),
        said(130),
    )
    unit = measured(*told, outcome=FIXED)
    assert (unit.outcome, unit.to_diagnosis_ms) == (WorkOutcome.EDITED, 5_000)
    assert unit.machine_ms == round((END - (65 - 5) - (95 - 65)) * 1000)


def test_tokens_without_a_price_are_counted_apart_and_computing_without_one_not_at_all() -> None:
    priced = planned(input_tokens=100, output_tokens=10, cost_micros=7)
    lost = ModelFailed(1, "m", "cut off", usage=Usage(50, 5, priced=False))
    unit = measured(FOUND, (4, priced), (5, lost), said(9))
    assert (unit.input_tokens, unit.output_tokens, unit.unpriced_tokens, unit.cost_micros) == (150, 15, 55, 7)
    look = SecondLookTaken("m2", SecondLook("supported"), Usage(20, 2, priced=False), 900)
    assert measured(FOUND, (4, priced), (5, lost), said(9), (10, look)).unpriced_tokens == 55 + 22
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
    assert (unit.kind, unit.outcome, unit.worth, unit.undo) == (WorkKind.REMEDIATION, WorkOutcome.ACCEPTED, False, True)


@pytest.mark.parametrize("kind", [WorkKind.PIPELINE_TRIAGE, WorkKind.CONFIGURATION_FINDING])
def test_a_run_may_say_itself_what_kind_of_work_it_is(kind: WorkKind) -> None:
    spec: dict[str, Any] = {"origin": Origin.SCHEDULE, "alert": None, "work": kind}
    assert measured((4, planned()), *done(10, ""), outcome=FIXED, **spec).kind is kind
    found = measured(said(9), **spec)
    assert (found.kind, found.worth) == (kind, kind is WorkKind.PIPELINE_TRIAGE)


@pytest.mark.parametrize(("system", "kind"), [("jenkins", WorkKind.PIPELINE_TRIAGE), ("kubernetes", None)])
def test_an_alert_about_a_pipeline_starts_pipeline_triage(system: str, kind: WorkKind | None) -> None:
    target = Target(system, "production", "shop", "Thing", "deploy")
    alert = Alert("f", True, "BuildFailed", system, NOON, target=target)
    incident = Incident("i1", "local", "It failed", Severity.WARNING, target, "", NOON)
    assert run_for(incident, alert, "rules", Mode.PROPOSE).work is kind


# --- through the loop -------------------------------------------------------------------------------------------------


async def test_a_run_s_unit_has_what_the_journal_knows_of_its_card(tmp_path: Path) -> None:
    async with place(tmp_path, calling(("turn", '{"name":"a","to":1}')), concluded("Turned.")) as spot:
        await spot.advance()
        spot.ahead = timedelta(minutes=20)
        await spot.vote()
        run = await spot.advance()
        [unit] = await spot.events(WorkUnitRecorded)
        [waited] = await spot.journal.waits("run-1")
        assert unit.unit.people_ms == round((waited.until - waited.since).total_seconds() * 1000)
        assert unit.unit.people_ms > 19 * 60_000
        assert (unit.unit.attention_s, unit.unit.machine_ms) == (15 * 60, run.machine_ms)
        week = await spot.journal.rollup(spot.now() - timedelta(days=1), spot.now())
        assert week.measured.people.value == unit.unit.people_ms
        assert week.measured.wait_p50.value == unit.unit.people_ms
        assert week.measured.compute_cost.note == "not counted: 1 of 1 units, for want of AGENT_COMPUTE_PRICE"


async def test_a_change_that_policy_allows_takes_nobody_s_time(tmp_path: Path) -> None:
    async with place(tmp_path, calling(("turn", '{"name":"a","to":1}')), concluded(), policy=ALLOWING) as spot:
        spot.mode = Mode.ACT
        await spot.advance()
        [unit] = await spot.events(WorkUnitRecorded)
        assert (unit.unit.people_ms, unit.unit.votes, unit.unit.outcome) == (0, 0, WorkOutcome.ACCEPTED)
