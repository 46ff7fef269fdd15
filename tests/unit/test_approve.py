"""What an approval rests on, looked at again right before execution: time, mode, target, policy, and who said yes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.actions import Mode, Target
from domain.decisions import ApprovalState
from domain.diagnosis import Finding, Proposal
from domain.errors import ToolError
from domain.events import ApprovalClosed, ApprovalRequested, DecisionMade, ExecutionStarted, FindingsReported
from domain.runs import Budget, RunOutcome, RunStatus
from tests.unit.journeys import DENYING, RULES, Place, calling, concluded, place, policy_of

TURN_A, TURN_B = ("turn", '{"name":"a","to":1}'), ("turn", '{"name":"b","to":1}')


async def approved(spot: Place) -> Any:
    """A card that was approved while the agent was paused: nothing has run yet."""
    await spot.advance()
    return await spot.vote()


async def closed(spot: Place) -> ApprovalClosed:
    [event] = await spot.events(ApprovalClosed)
    assert isinstance(event, ApprovalClosed)
    return event


async def test_a_card_binds_what_was_decided_and_seen(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        await spot.advance()
        request = (await spot.pending()).request
        assert request.action.observed == {"version": 1, "at": 0}
        assert (request.action.diff, request.action.touches) == ("- 0\n+ 1", 1)
        assert request.action.undo is not None
        assert (request.terms.groups, request.requester) == (("approvers",), "U9")
        assert request.expires_at - request.requested_at == timedelta(minutes=30)
        assert request.action.target.environment == "production", "the server's own word, not the tool's"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ('{"to": 1, "name": "a"}', "It leaks."),
        ('{"name":"a","to":1,"note":""}', "It leaks."),
        ('{"name":"b","to":1}', "looking"),
        ('{"name":"a","to":9}', "looking"),
    ],
    ids=["the same change", "the same with its default", "another target", "another position"],
)
async def test_a_card_has_a_findings_reason_only_for_the_very_change_that_the_finding_proposes(
    tmp_path: Path, arguments: str, why: str
) -> None:
    async with place(tmp_path, calling(("turn", arguments)), concluded()) as spot:
        proposals = (
            Proposal("turn", {"valve": "a"}, "No such arguments."),
            Proposal("look", {"name": "a"}, "Another tool."),
            Proposal("turn", {"name": "a", "to": 1}, "It leaks."),
        )
        found = tuple(Finding("valve", "Valve a leaks", "", Target(), proposal=each) for each in proposals)
        await spot.record(FindingsReported(found, 0))
        await spot.advance()
        assert (await spot.pending()).request.action.why == why


async def test_what_was_approved_runs_once_all_still_holds(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        assert (await spot.advance()).outcome is RunOutcome.REMEDIATED
        assert spot.plant.executed == [("a", 1)]


async def test_an_approval_past_its_expiry_does_not_run(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        spot.ahead = timedelta(minutes=31)
        assert (await spot.advance()).outcome is RunOutcome.NOT_REMEDIATED
        assert (await closed(spot)).state is ApprovalState.EXPIRED
        assert spot.plant.executed == []


async def test_observe_mode_stops_what_was_approved_before(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        spot.mode = Mode.OBSERVE
        await spot.advance()
        assert (await closed(spot)).reason == "the agent is in observe mode and cannot execute"
        assert spot.plant.executed == []


async def test_in_observe_mode_a_card_is_only_a_record(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        spot.mode = Mode.OBSERVE
        run = await spot.advance()
        [requested] = await spot.events(ApprovalRequested)
        assert requested.request.observe_only
        assert (await closed(spot)).state is ApprovalState.CANCELLED
        spot.mode = Mode.ACT
        assert (await spot.advance()).status is run.status is RunStatus.FINISHED
        assert spot.plant.executed == []


async def test_a_changed_policy_asks_again_with_a_new_digest(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        old = await approved(spot)
        spot.policy = policy_of(RULES.replace("expires: 30m", "expires: 20m"))
        assert (await spot.advance()).status is RunStatus.WAITING
        assert (await closed(spot)).reason == "the policy changed since the card was shown"
        new = (await spot.pending()).request
        assert new.supersedes == old.request.id
        assert new.digest != old.request.digest
        assert new.note == "Asked again: the policy changed since the card was shown."
        assert spot.plant.executed == []


async def test_a_target_that_moved_asks_again_with_what_is_there_now(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        old = await approved(spot)
        spot.plant.positions["a"], spot.plant.version = 7, 2
        assert (await spot.advance()).status is RunStatus.WAITING
        assert await spot.state(old) is ApprovalState.SUPERSEDED
        assert (await spot.pending()).request.action.diff == "- 7\n+ 1"
        await spot.vote()
        assert (await spot.advance()).outcome is RunOutcome.REMEDIATED
        assert spot.plant.executed == [("a", 1)]


async def test_a_policy_that_now_denies_it_cancels_the_approval(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        spot.policy = policy_of(DENYING)
        await spot.advance()
        assert (await closed(spot)).reason == "policy now denies it: Not on a Friday."
        assert spot.plant.executed == []


async def test_a_target_that_cannot_be_looked_at_again_cancels_the_approval(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        spot.plant.unreachable = "The cluster does not answer."
        await spot.advance()
        assert "could not be looked at again: The cluster does not answer." in (await closed(spot)).reason
        assert spot.plant.executed == []


@pytest.mark.parametrize("change", ["left the group", "became a guest", "turned out to be the requester's own vote"])
async def test_an_approver_who_is_none_any_more_does_not_count(tmp_path: Path, change: str) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        if change == "left the group":
            spot.club.groups["@sre"] = {"U2"}
        elif change == "became a guest":
            spot.club.guests.add("U1")
        else:
            spot.policy = policy_of(RULES.replace("expires: 30m", "expires: 30m, exclude: [approvers]"))
        await spot.advance()
        assert (await closed(spot)).state in (ApprovalState.CANCELLED, ApprovalState.SUPERSEDED)
        assert spot.plant.executed == []


async def test_while_slack_cannot_say_who_may_the_approval_stays_for_a_later_try(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        approval = await approved(spot)
        spot.club.silent = True
        run = await spot.advance()
        assert (run.status, spot.plant.executed) == (RunStatus.RUNNING, [])
        assert await spot.state(approval) is ApprovalState.APPROVED
        spot.club.silent = False
        assert (await spot.advance()).outcome is RunOutcome.REMEDIATED
        assert len(await spot.events(ExecutionStarted)) == 1


async def test_people_are_asked_no_more_than_the_run_may_change(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A, TURN_B), concluded(), budget=Budget(actions=1)) as spot:
        await spot.advance()
        assert len(await spot.journal.approvals()) == 1
        await spot.vote()
        await spot.advance()
        assert spot.plant.executed == [("a", 1)]
        assert await spot.journal.approvals(pending=True) == []


async def test_each_decision_stands_in_the_journal_with_the_facts_it_was_made_on(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        [made] = await spot.events(DecisionMade)
        assert made.situation["tool"]["name"] == "turn"
        assert made.situation["args"] == {"name": "a", "to": 1, "note": ""}
        assert made.situation["target"]["environment"] == "production"
        assert (made.situation["run"]["mode"], made.situation["run"]["tainted"]) == ("propose", False)


async def test_a_dry_run_that_is_refused_on_the_second_look_leaves_no_open_card(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        looks: list[int] = []

        async def preview(arguments: Any) -> Any:
            looks.append(1)
            if len(looks) == 2:  # the first look sees that it moved, the second, to ask again, sees nothing
                raise ToolError("It is gone.")
            return await spot.plant.preview(arguments)

        turn = replace(spot.plant.tools()["turn"], previewer=preview)
        spot.world = replace(spot.world, tools=spot.world.tools | {"turn": turn})
        spot.plant.version = 2
        run = await spot.advance()
        assert (run.status, spot.plant.executed) == (RunStatus.FINISHED, [])
        assert await spot.journal.approvals(pending=True) == []
