"""The one time an action touches a real system: intent first, one call, an honest outcome, and a check that it helped."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.agent import execute
from domain.actions import Action, Mode
from domain.decisions import Check, Execution, ExecutionOutcome
from domain.errors import Conflict, OutcomeUnknown, TargetMoved, ToolError
from domain.events import ExecutionFinished, ExecutionProbed, ExecutionStarted, VerificationFailed, VerificationPassed
from domain.ports import Probe
from domain.runs import Budget, RunOutcome
from tests.unit.journeys import ALLOWING, DENYING, RULES, SECRET, Place, calling, concluded, place, policy_of

TURN_A = ("turn", '{"name":"a","to":1}')
SUCCEEDED, FAILED, UNKNOWN = ExecutionOutcome.SUCCEEDED, ExecutionOutcome.FAILED, ExecutionOutcome.UNKNOWN


def raising(error: BaseException) -> Any:
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


@pytest.mark.parametrize(
    ("shows_keys", "outcome"), [(True, SUCCEEDED), (None, UNKNOWN)], ids=["arrived", "nobody can tell"]
)
async def test_a_call_that_breaks_unexpectedly_is_looked_for_like_a_lost_answer(
    tmp_path: Path, shows_keys: bool | None, outcome: ExecutionOutcome, caplog: pytest.LogCaptureFixture
) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        spot.plant.after, spot.plant.shows_keys = raising(KeyError("status")), shows_keys  # an answer of another shape
        run = await (await approved(spot)).advance()
        assert (await outcomes(spot), spot.plant.executed) == ([outcome], [("a", 1)])
        assert len(await spot.events(ExecutionProbed)) == 1
        assert run.outcome is RunOutcome.REMEDIATED, "it was looked at afterwards, and holds"
        assert "a call broke unexpectedly" in caplog.text


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


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("time", "it expired before it was executed"),
        ("policy", "policy now denies it: Not on a Friday."),
        ("terms", "the policy changed since the card was shown"),
        ("rights", "Person U1 may no longer decide on this"),
        ("Slack", "Slack cannot say who may approve right now"),
        ("target", "the target changed since the card was shown"),
        ("mode", "the agent is in observe mode and cannot execute"),
    ],
)
async def test_an_intent_that_never_left_is_not_taken_up_where_its_approval_holds_no_more(
    tmp_path: Path, change: str, why: str
) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await intended(spot)
        match change:
            case "time":
                spot.ahead = timedelta(days=2)
            case "policy":
                spot.policy = policy_of(DENYING)
            case "terms":
                spot.policy = policy_of(RULES.replace("expires: 30m", "expires: 20m"))
            case "rights":
                spot.club.groups["@sre"] = {"U2"}
            case "Slack":
                spot.club.silent = True
            case "target":
                spot.plant.positions["a"] = 7
            case _:
                spot.mode = Mode.OBSERVE
        await spot.advance()
        [finished] = await spot.events(ExecutionFinished)
        assert (spot.plant.executed, finished.outcome) == ([], FAILED)
        assert finished.detail.startswith(
            "the call did not reach the target; nothing was changed. It is not made any more:"
        )
        assert why in finished.detail


async def test_an_intent_counts_neither_against_its_own_budget_nor_against_its_own_rate(tmp_path: Path) -> None:
    rule = (
        "  - {id: busy, decision: deny, match: {effects: [write]}, when: 'rate.agent_1h > 0 || rate.touches_1h > 0'}\n"
    )
    busy = RULES.replace("  - id: turn\n", f"{rule}  - id: turn\n")
    async with place(tmp_path, calling(TURN_A), concluded(), policy=busy, budget=Budget(actions=1)) as spot:
        await intended(spot)
        assert (await spot.advance()).outcome is RunOutcome.REMEDIATED
        assert spot.plant.executed == [("a", 1)]


@pytest.mark.parametrize("policy", [ALLOWING, RULES, DENYING], ids=["allowed", "asks by now", "denied by now"])
async def test_an_intent_without_an_approval_is_decided_again(tmp_path: Path, policy: str) -> None:
    async with place(tmp_path, calling(TURN_A), concluded(), policy=ALLOWING) as spot:
        spot.mode = Mode.ACT
        spot.plant.before = raising(KeyboardInterrupt())  # the process ends between the intent and the call
        with pytest.raises(KeyboardInterrupt):
            await spot.advance()
        spot.plant.before, spot.policy = None, policy_of(policy)
        await spot.advance()
        [finished] = await spot.events(ExecutionFinished)
        done = policy is ALLOWING
        assert (spot.plant.executed, finished.outcome) == (([("a", 1)], SUCCEEDED) if done else ([], FAILED))
        assert ("policy does not allow it any more" in finished.detail) is not done


async def test_a_refusal_after_a_crash_is_unknown_where_the_target_cannot_tell_whose_change_it_was(
    tmp_path: Path,
) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await intended(spot)

        async def overtaken(_action: Action) -> None:
            spot.plant.shows_keys = None
            raise TargetMoved("It changed since it was looked at, so nothing was done.")

        spot.plant.before = overtaken  # the earlier process' call lands after the probe, and is overwritten
        await spot.advance()
        assert await outcomes(spot) == [UNKNOWN]


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
