"""The brakes: what keeps failing stops, what comes back asks, what was reverted asks, a pause has the last word."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import brakes
from bot.agent.loop import advance
from bot.voting import cast
from domain.actions import Action, Mode
from domain.alerts import Alert
from domain.brakes import AGENT_SCOPE
from domain.decisions import Actor, ApprovalState, Check, ExecutionOutcome, Outcome, Verdict, Vote
from domain.errors import BadInput, NotAllowed, ToolError
from domain.events import (
    AgentPaused,
    AgentResumed,
    ApprovalClosed,
    AutonomyDemoted,
    AutonomyRestored,
    BreakerOpened,
    BreakerReset,
    DecisionMade,
    Draft,
    ExecutionFinished,
    ExecutionStarted,
    StepPlanned,
)
from domain.ports import Probe
from domain.runs import Run, RunOutcome, RunStatus
from policies.brakes import AGENT_FAILURES, TOOL_FAILURES
from tests.unit.journeys import ALLOWING, Place, calling, concluded, place, policy_of

NOT_HELD = Probe((Check("position", passed=False, detail="it slipped"),), settled=True)
SRE, STRANGER = Actor("person", "U1"), Actor("person", "U7")
WITH_GROUP = ALLOWING.replace("rules:", "groups: {approvers: $AGENT_APPROVERS}\nrules:", 1)


def turn(to: int, name: str = "a") -> tuple[str, str]:
    return "turn", f'{{"name":"{name}","to":{to}}}'


async def another(spot: Place, number: int, **more: Any) -> Run:
    """One more run that turns valve a and concludes."""
    run_id = f"run-{number}"
    spot.model.turns[:] = [calling(turn(number)), concluded()]
    await spot.start(run_id, **more)
    return await advance(spot.world, run_id)


async def fail(spot: Place, times: int, *, first: int = 2) -> None:
    for number in range(first, first + times):
        spot.plant.probes.append(NOT_HELD)
        await another(spot, number)


@pytest.fixture
async def acting(tmp_path: Path) -> Any:
    """A world in mode act whose policy allows everything."""
    async with place(tmp_path, policy=WITH_GROUP) as spot:
        spot.mode = Mode.ACT
        spot.policy = policy_of(WITH_GROUP)
        yield spot


def said(spot: Place) -> str:
    return "\n".join(text for _, text in spot.chat.notices)


def last(events: Sequence[Any]) -> Any:
    return events[-1]


# --- circuit breakers -------------------------------------------------------------------------------------------------


async def test_a_tool_that_keeps_failing_only_observes_until_a_person_resets_it(acting: Place) -> None:
    await fail(acting, TOOL_FAILURES - 1)
    assert await acting.events(BreakerOpened) == []
    await fail(acting, 1, first=TOOL_FAILURES + 1)
    [opened] = await acting.events(BreakerOpened)
    assert (opened.scope, len(opened.executions)) == ("turn", TOOL_FAILURES)
    assert "/agent reset turn" in said(acting)

    executed = list(acting.plant.executed)
    run = await another(acting, 20)
    [approval] = await acting.journal.approvals()
    assert (approval.request.observe_only, approval.state) == (True, ApprovalState.CANCELLED)
    assert "Circuit breaker" in approval.closed_reason
    assert (run.outcome, acting.plant.executed) == (RunOutcome.NOT_REMEDIATED, executed)

    assert "turn" in await brakes.reset(acting.world, SRE, "turn")
    assert (await another(acting, 21)).outcome is RunOutcome.REMEDIATED


async def test_an_open_breaker_outlives_the_hour_and_the_process(acting: Place) -> None:
    await fail(acting, TOOL_FAILURES)
    acting.ahead = timedelta(hours=30)
    await acting.journal.rebuild()
    await another(acting, 20)
    assert last(await acting.events(DecisionMade)).decision.observe
    assert len(acting.plant.executed) == TOOL_FAILURES


async def test_a_breaker_brakes_although_nobody_got_to_record_that_it_opened(acting: Place) -> None:
    await fail(acting, TOOL_FAILURES - 1)
    spot, before = acting, await acting.events(ExecutionStarted)
    await spot.start("crashed")
    started = ExecutionStarted("exe-crashed", "c", before[0].action, "k", "d")
    await spot.record(started, ExecutionFinished("exe-crashed", ExecutionOutcome.FAILED, "no"), run_id="crashed")
    assert await spot.events(BreakerOpened) == []
    await another(spot, 20)
    assert last(await spot.events(DecisionMade)).decision.observe
    await brakes.settle(spot.world)
    await brakes.settle(spot.world)
    assert len(await spot.events(BreakerOpened)) == 1


async def test_an_approval_given_before_the_breaker_opened_executes_nothing_after_it(tmp_path: Path) -> None:
    async with place(tmp_path, calling(turn(1)), concluded()) as spot:
        await spot.advance()
        await spot.vote()
        await spot.journal.append(Draft(BreakerOpened(AGENT_SCOPE, "5 failed.")))
        assert (await spot.advance()).outcome is RunOutcome.NOT_REMEDIATED
        [closed] = await spot.events(ApprovalClosed)
        assert "5 failed." in closed.reason
        assert spot.plant.executed == []


async def test_many_failures_of_all_tools_together_stop_the_agent(acting: Place) -> None:
    for number in range(AGENT_FAILURES):  # each time somebody resets the tool, and the agent goes on failing
        await fail(acting, 1, first=30 + number)
        for breaker in (await acting.journal.brakes(acting.now() - timedelta(hours=1))).breakers:
            if breaker.scope == "turn":
                await brakes.reset(acting.world, SRE, "turn")
    assert [event.scope for event in await acting.events(BreakerOpened)] == ["turn", AGENT_SCOPE]
    await another(acting, 40)
    assert "/agent reset agent" in last(await acting.events(DecisionMade)).decision.observe


async def test_only_people_who_may_approve_let_a_brake_go(acting: Place) -> None:
    await fail(acting, TOOL_FAILURES)
    acting.club.groups["@sre"].add("U8")
    acting.club.guests.add("U8")
    for who in (STRANGER, Actor("person", "U8")):
        with pytest.raises(NotAllowed):
            await brakes.reset(acting.world, who, "turn")
        with pytest.raises(NotAllowed):
            await brakes.restore(acting.world, who, "turn", "production")
    acting.club.silent = True
    with pytest.raises(NotAllowed, match="Slack cannot say"):
        await brakes.reset(acting.world, SRE, "turn")
    assert await acting.events(BreakerReset, AutonomyRestored) == []


async def test_resetting_what_is_not_open_says_what_is(acting: Place) -> None:
    await fail(acting, TOOL_FAILURES)
    with pytest.raises(BadInput, match="Open: turn"):
        await brakes.reset(acting.world, SRE, "look")
    with pytest.raises(BadInput, match="Demoted: none"):
        await brakes.restore(acting.world, SRE, "look", "production")


# --- the same problem again -------------------------------------------------------------------------------------------


async def test_the_same_alert_acted_on_twice_within_the_hour_asks_a_person_where_policy_allows(acting: Place) -> None:
    alert = Alert("f1", True, "Leak", "alertmanager", acting.now())
    for number in (2, 3):
        assert (await another(acting, number, alert=alert)).outcome is RunOutcome.REMEDIATED
    assert (await another(acting, 4, alert=alert)).status is RunStatus.WAITING
    decided = last(await acting.events(DecisionMade))
    assert decided.decision.outcome is Outcome.ASK
    assert "acted on 2 times within the hour and is back" in decided.decision.reason
    assert decided.situation["rate"]["problem_1h"] == 2
    assert (await another(acting, 5, alert=Alert("f2", True, "Other", "alertmanager", acting.now()))).outcome is (
        RunOutcome.REMEDIATED
    )
    acting.ahead = timedelta(minutes=61)
    assert (await another(acting, 6, alert=alert)).outcome is RunOutcome.REMEDIATED


# --- demotion ---------------------------------------------------------------------------------------------------------


async def take_back(spot: Place, execution_id: str, number: int = 50) -> Run:
    return await another(spot, number, undoes=execution_id)


async def test_a_revert_makes_the_tool_ask_until_a_person_restores_it(acting: Place) -> None:
    await another(acting, 2)
    [first] = await acting.events(ExecutionStarted)
    await take_back(acting, first.execution_id)
    [demoted] = await acting.events(AutonomyDemoted)
    assert (demoted.tool, demoted.environment, demoted.execution_id) == ("turn", "production", first.execution_id)
    assert "/agent restore turn production" in said(acting)

    assert (await another(acting, 3)).status is RunStatus.WAITING
    request = (await acting.pending()).request
    assert "was taken back" in request.decision.reason
    assert not request.observe_only
    vote = Vote("U1", Verdict.APPROVE, acting.now(), digest=request.digest)
    await cast(acting.world, request.id, vote, channel="C1", message_ts=request.id)
    assert (await advance(acting.world, "run-3")).outcome is RunOutcome.REMEDIATED

    await brakes.restore(acting.world, SRE, "turn", "production")
    assert (await another(acting, 4)).outcome is RunOutcome.REMEDIATED
    assert await acting.journal.approvals(pending=True) == []


async def test_an_undo_that_failed_demotes_nothing(acting: Place) -> None:
    await another(acting, 2)
    [first] = await acting.events(ExecutionStarted)

    async def refuse(_: Action) -> None:
        raise ToolError("the valve is stuck")

    acting.plant.before = refuse
    await take_back(acting, first.execution_id)
    assert await acting.events(AutonomyDemoted) == []


# --- the kill switch --------------------------------------------------------------------------------------------------


async def test_a_pause_that_comes_between_the_last_look_and_the_intent_wins(tmp_path: Path) -> None:
    async with place(tmp_path, calling(turn(1)), concluded()) as spot:
        await spot.advance()
        await spot.vote()
        await spot.journal.append(Draft(AgentPaused("stop")))  # recorded, and this process has not noticed yet
        run = await spot.advance()
        assert (run.status, spot.plant.executed) == (RunStatus.RUNNING, [])
        assert (await spot.journal.approvals())[0].state is ApprovalState.APPROVED
        await spot.journal.append(Draft(AgentResumed()))
        assert (await spot.advance()).outcome is RunOutcome.REMEDIATED
        assert spot.plant.executed == [("a", 1)]


# --- observe mode -----------------------------------------------------------------------------------------------------


async def test_an_allow_from_before_a_restart_in_observe_mode_executes_nothing(acting: Place) -> None:
    run = await another(acting, 2)
    decided = last(await acting.events(DecisionMade))
    await acting.start("run-3")
    answer = calling(("turn", '{"name":"a","to":9}', "c9"))
    made = DecisionMade("c9", decided.action, decided.decision, decided.situation)
    await acting.record(StepPlanned(1, "script", answer, 1), made, run_id="run-3")
    acting.mode = Mode.OBSERVE
    executed = list(acting.plant.executed)
    acting.model.turns[:] = [concluded()]
    await advance(acting.world, "run-3")
    assert acting.plant.executed == executed
    assert (await acting.journal.approvals())[0].request.observe_only
    assert run.outcome is RunOutcome.REMEDIATED


@pytest.mark.parametrize("breaker", [False, True], ids=["observe mode", "an open breaker"])
async def test_an_intent_that_never_left_is_not_taken_up_again_by_who_only_observes(
    acting: Place, breaker: bool
) -> None:
    await another(acting, 2)
    [started] = await acting.events(ExecutionStarted)
    decided = last(await acting.events(DecisionMade))
    await acting.start("run-3")
    answer = calling(("turn", '{"name":"a","to":9}', "c9"))
    made = DecisionMade("c9", decided.action, decided.decision, decided.situation)
    intent = ExecutionStarted("exe-9", "c9", started.action, "key-9", "d")
    await acting.record(StepPlanned(1, "script", answer, 1), made, intent, run_id="run-3")
    if breaker:
        await acting.journal.append(Draft(BreakerOpened("turn", "3 failed.")))
    else:
        acting.mode = Mode.OBSERVE
    executed = list(acting.plant.executed)
    acting.model.turns[:] = [concluded()]
    await advance(acting.world, "run-3")
    assert acting.plant.executed == executed
    assert last(await acting.events(ExecutionFinished)).outcome.value == "failed"
