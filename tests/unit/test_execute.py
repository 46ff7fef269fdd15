"""The one time an action touches a real system: intent first, one call, an honest outcome, and a check that it helped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.agent import execute
from domain.actions import Action
from domain.decisions import Check, Execution, ExecutionOutcome
from domain.errors import Conflict, OutcomeUnknown, TargetMoved, ToolError
from domain.events import ExecutionFinished, ExecutionProbed, ExecutionStarted, VerificationFailed, VerificationPassed
from domain.ports import Probe
from domain.runs import RunOutcome
from tests.unit.journeys import SECRET, Place, calling, concluded, place

TURN_A = ("turn", '{"name":"a","to":1}')
SUCCEEDED, FAILED, UNKNOWN = ExecutionOutcome.SUCCEEDED, ExecutionOutcome.FAILED, ExecutionOutcome.UNKNOWN


def raising(error: Exception) -> Any:
    async def fail(_action: Action) -> None:
        raise error

    return fail


async def approved(spot: Place) -> Place:
    await spot.advance()
    await spot.vote()
    return spot


async def intended(spot: Place) -> Execution:
    """An intent that is written and nothing more: what a crash before the call leaves."""
    await approved(spot)
    journey = await spot.journey()
    [call] = journey.run.calls.values()
    assert call.action is not None
    await execute.start(journey, call, call.action)
    [execution] = journey.run.executions
    return execution


async def outcomes(spot: Place) -> list[ExecutionOutcome]:
    return [event.outcome for event in await spot.events(ExecutionFinished)]


async def test_the_intent_is_in_the_journal_before_the_call(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        seen: list[list[ExecutionStarted]] = []

        async def look(action: Action) -> None:
            seen.append(await spot.events(ExecutionStarted))

        spot.plant.before = look
        await (await approved(spot)).advance()
        [[started]] = seen
        assert (started.key, started.action.arguments["to"]) == (next(iter(spot.plant.keys)), 1)


async def test_an_approval_is_consumed_by_its_intent_so_that_a_second_one_is_a_conflict(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        one, two = await spot.journey(), await spot.journey()
        [call] = one.run.calls.values()
        assert call.action is not None
        await execute.start(one, call, call.action)
        with pytest.raises(Conflict):
            await execute.start(two, call, call.action)
        assert len(await spot.events(ExecutionStarted)) == 1


@pytest.mark.parametrize(
    ("shows_keys", "outcome", "detail"),
    [
        (True, SUCCEEDED, "the answer was lost, and the target shows that the call took effect"),
        (None, UNKNOWN, "the answer was lost and the target cannot show whether the call took effect"),
    ],
)
async def test_a_lost_answer_is_looked_up_in_the_target(
    tmp_path: Path, shows_keys: bool | None, outcome: ExecutionOutcome, detail: str
) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        spot.plant.after, spot.plant.shows_keys = raising(OutcomeUnknown()), shows_keys
        await (await approved(spot)).advance()
        [probed], [finished] = await spot.events(ExecutionProbed), await spot.events(ExecutionFinished)
        assert (probed.arrived, finished.outcome, finished.detail) == (shows_keys, outcome, detail)
        assert spot.plant.executed == [("a", 1)]


async def test_a_call_that_surely_did_not_arrive_has_failed_and_is_not_verified(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        spot.plant.before = raising(OutcomeUnknown())
        run = await (await approved(spot)).advance()
        assert await outcomes(spot) == [FAILED]
        assert (spot.plant.executed, spot.plant.probed) == ([], 0)
        assert run.outcome is RunOutcome.NOT_REMEDIATED


async def test_an_unknown_outcome_that_proves_to_hold_is_verified(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        spot.plant.after, spot.plant.shows_keys = raising(OutcomeUnknown()), None
        run = await (await approved(spot)).advance()
        assert [execution.verified for execution in run.executions] == [True]
        assert run.outcome is RunOutcome.REMEDIATED


async def test_a_target_that_moved_is_left_alone_and_the_sentence_says_so(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        spot.plant.before = raising(TargetMoved(f"Somebody else turned it with {SECRET}."))
        run = await (await approved(spot)).advance()
        [finished] = await spot.events(ExecutionFinished)
        assert finished.outcome is FAILED
        assert finished.detail.startswith("Somebody else turned it with [secret:")
        assert run.outcome is RunOutcome.NOT_REMEDIATED


async def test_a_precondition_that_our_own_earlier_call_broke_is_a_success(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        spot.plant.after = raising(TargetMoved("It is at version 2."))  # the client retried what had arrived
        await (await approved(spot)).advance()
        assert await outcomes(spot) == [SUCCEEDED]


async def test_a_refusal_is_a_failure_with_its_sentence(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        spot.plant.before = raising(ToolError("The cluster forbids it (403)."))
        run = await (await approved(spot)).advance()
        [call] = run.calls.values()
        assert call.result is not None
        assert call.result.text == "Approved by Person U1. Failed, nothing was changed: The cluster forbids it (403)."


# --- after a crash ----------------------------------------------------------------------------------------------------


async def test_an_intent_whose_call_never_left_is_probed_first_and_then_executed_once(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await intended(spot)
        run = await spot.advance()
        assert (spot.plant.executed, await outcomes(spot)) == ([("a", 1)], [SUCCEEDED])
        kinds = [type(each.event) for each in await spot.journal.since(0)]
        assert kinds.index(ExecutionStarted) < kinds.index(ExecutionProbed) < kinds.index(ExecutionFinished)
        assert run.outcome is RunOutcome.REMEDIATED


async def test_an_intent_whose_call_arrived_is_not_executed_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        execution = await intended(spot)
        await spot.plant.execute(execution.action, execution.key)  # and the service died before the answer
        await spot.advance()
        assert (spot.plant.executed, await outcomes(spot)) == ([("a", 1)], [SUCCEEDED])


async def test_an_intent_that_nobody_can_look_up_is_unknown_and_never_executed_blindly(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await intended(spot)
        spot.plant.shows_keys = None
        await spot.advance()
        assert (spot.plant.executed, await outcomes(spot)) == ([], [UNKNOWN])


@pytest.mark.parametrize("arrived", [False, True])
async def test_a_second_crash_after_the_probe_probes_again_and_still_executes_once(
    tmp_path: Path, arrived: bool
) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        execution = await intended(spot)
        await spot.record(ExecutionProbed(execution.id, False, "it did not reach the target"))
        if arrived:
            await spot.plant.execute(execution.action, execution.key)  # and the service died once more
        await spot.advance()
        assert (spot.plant.executed, await outcomes(spot)) == ([("a", 1)], [SUCCEEDED])


# --- verification -----------------------------------------------------------------------------------------------------


def probe(passed: bool, *, settled: bool = False) -> Probe:
    return Probe((Check("position", passed, "looked"),), settled)


@pytest.mark.parametrize(
    ("probes", "kind", "looks"),
    [
        ([probe(True, settled=True)], VerificationPassed, 1),
        ([probe(False), probe(True, settled=True)], VerificationPassed, 2),
        ([probe(True), probe(False, settled=True)], VerificationFailed, 2),
        ([probe(False, settled=True), probe(True)], VerificationFailed, 1),
        ([Probe((), settled=True)], VerificationFailed, 1),
    ],
    ids=["holds", "holds soon", "held for a moment", "surely will not hold", "nothing was checked"],
)
async def test_a_change_is_looked_at_until_it_holds_or_surely_will_not(
    tmp_path: Path, probes: list[Probe], kind: type, looks: int
) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        spot.plant.probes = probes
        run = await (await approved(spot)).advance()
        [verified] = await spot.events(VerificationPassed, VerificationFailed)
        assert type(verified) is kind
        assert spot.plant.probed == looks
        won = RunOutcome.REMEDIATED if kind is VerificationPassed else RunOutcome.NOT_REMEDIATED
        assert run.outcome is won


async def test_a_probe_that_cannot_look_is_a_check_that_does_not_hold(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:

        async def blind(_action: Action) -> Probe:
            raise ToolError("The cluster does not answer.")

        turn = replace(spot.plant.tools()["turn"], probe_seconds=0, prober=blind)
        spot.world = replace(spot.world, tools=spot.world.tools | {"turn": turn})
        run = await (await approved(spot)).advance()
        [failed] = await spot.events(VerificationFailed)
        assert failed.checks == (Check("the target can be looked at", False, "The cluster does not answer."),)
        assert "not verified" in run.reason
