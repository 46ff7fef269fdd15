"""Recorded runs through today's code: unchanged, nothing is otherwise, whatever course a run took."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import expiry
from bot.replay.compared import compare
from bot.voting import cast, edit
from domain.actions import Mode
from domain.decisions import SYSTEM, Actor, ApprovalState, ExecutionOutcome, Verdict, Vote, shown_digest
from domain.errors import ModelError, OutcomeUnknown, TargetMoved, ToolError
from domain.events import (
    DecisionMade,
    DiagnosisConcluded,
    Draft,
    ExecutionFinished,
    RunFinished,
    StepPlanned,
    VoteRefused,
)
from domain.runs import Answer, Budget, RunOutcome, Usage
from tests.unit.journeys import ALLOWING, DENYING, RULES, Place, calling, concluded, place, policy_of
from tests.unit.replays import again, how, record, said

LOOK_A, LOOK_B = ("look", '{"name":"a"}'), ("look", '{"name":"b"}')
TURN_A, TURN_B = ("turn", '{"name":"a","to":1}'), ("turn", '{"name":"b","to":2}')


async def unchanged(spot: Place) -> None:
    compared = await again(spot)
    assert said(compared) == []
    assert (compared.again.unanswerable, compared.again.not_known, compared.again.notes) == ((), (), ())


async def test_reads_and_a_conclusion(tmp_path: Path) -> None:
    async with place(
        tmp_path, calling(LOOK_A, LOOK_B), calling(("look", '{"name":"a","lines":3}')), concluded()
    ) as spot:
        await spot.advance()
        await unchanged(spot)


async def test_a_read_that_failed_fails_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK_A), concluded()) as spot:
        spot.plant.unreachable = "the valve does not answer"
        await spot.advance()
        await unchanged(spot)


async def test_calls_that_were_refused_are_refused_again(tmp_path: Path) -> None:
    turns = [calling(("look", "{")), calling(("lock", "{}")), calling(LOOK_A), calling(LOOK_A), concluded()]
    async with place(tmp_path, *turns) as spot:
        await spot.advance()
        await unchanged(spot)


@pytest.mark.parametrize("verdict", [Verdict.APPROVE, Verdict.DENY])
async def test_a_vote_counts_again(tmp_path: Path, verdict: Verdict) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        await spot.vote(verdict, reason="because")
        await spot.advance()
        await unchanged(spot)


async def test_what_was_denied_and_proposed_again_is_refused_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling((*TURN_A, "one")), calling((*TURN_A, "two")), concluded()) as spot:
        await spot.advance()
        await spot.vote(Verdict.DENY, reason="no")
        await spot.advance()
        assert "It is not asked again" in str(await spot.run())
        await unchanged(spot)


async def test_two_votes_a_withdrawal_and_a_third(tmp_path: Path) -> None:
    policy = RULES.replace("groups: [approvers]", "groups: [approvers], quorum: 2")
    async with place(tmp_path, calling(TURN_A), concluded(), policy=policy) as spot:
        spot.club.groups["@sre"] |= {"U3"}
        await spot.advance()
        await spot.vote(user="U1")
        await spot.vote(Verdict.WITHDRAW, user="U1")
        await spot.vote(user="U2")
        await spot.vote(user="U3")
        await spot.advance()
        await unchanged(spot)


async def test_a_question_that_expired_expires_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        spot.ahead = timedelta(minutes=31)
        assert await expiry.expire(spot.world)
        await spot.advance()
        await unchanged(spot)


async def test_a_question_that_was_withdrawn_is_withdrawn_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        assert await expiry.end(
            spot.world, await spot.pending(), ApprovalState.CANCELLED, "the alert resolved by itself"
        )
        await spot.advance()
        await unchanged(spot)


async def test_an_edit_is_made_again_and_its_votes_count(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        await edit(spot.world, (await spot.pending()).request.id, "U2", {"name": "a", "to": 7})
        await spot.vote(user="U1")
        await spot.advance()
        assert spot.plant.executed == [("a", 7)]
        await unchanged(spot)


async def test_a_target_that_moved_is_asked_about_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        spot.plant.version = 9
        await spot.vote()
        await spot.advance()
        assert (await spot.pending()).request.supersedes
        await spot.vote()
        await spot.advance()
        await unchanged(spot)


@pytest.mark.parametrize(
    ("error", "shows"),
    [(ToolError("refused"), True), (OutcomeUnknown(), True), (OutcomeUnknown(), None), (TargetMoved("it moved"), True)],
)
async def test_an_execution_comes_to_the_same_again(tmp_path: Path, error: Exception, shows: bool | None) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        spot.plant.shows_keys = shows

        async def fail(_: Any) -> None:
            raise error

        spot.plant.before = fail
        await spot.advance()
        await spot.vote()
        await spot.advance()
        await unchanged(spot)


async def test_a_call_whose_answer_was_lost_after_it_took_effect_is_found_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:

        async def lose(_: Any) -> None:
            raise OutcomeUnknown

        spot.plant.after = lose
        await spot.advance()
        await spot.vote()
        await spot.advance()
        await unchanged(spot)


class Killed(BaseException):
    """The process died here, or something that nobody expected."""


async def die(_: Any) -> None:
    raise Killed


async def test_a_crash_between_intent_and_answer_leaves_the_same_run(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        await spot.vote()
        spot.plant.before = die
        with pytest.raises(Killed):
            await spot.advance()
        spot.plant.before = None
        await spot.advance()
        assert spot.plant.executed == [("a", 1)]
        await unchanged(spot)


async def test_a_run_that_a_surprise_ended_ends_there_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        await spot.vote()
        spot.plant.before = die
        with pytest.raises(Killed):
            await spot.advance()
        [execution] = (await spot.run()).executions
        lost = ExecutionFinished(execution.id, ExecutionOutcome.UNKNOWN, "a surprise")
        ended = RunFinished(RunOutcome.FAILED, "a surprise")
        await spot.journal.append(*(Draft(event, SYSTEM, "", "run-1") for event in (lost, ended)))
        compared = await again(spot)
    assert said(compared) == []
    assert compared.again.notes[0].startswith("a surprise ended the recorded run")


async def test_a_click_that_came_too_late_holds_nothing_up(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        approval = await spot.vote()
        refused = VoteRefused(approval.request.id, "U2", "too late")
        await spot.journal.append(Draft(refused, Actor("person", "U2"), "", "run-1"))
        await spot.advance()
        assert spot.plant.executed == [("a", 1)]
        await unchanged(spot)


async def test_an_approval_taken_back_before_the_agent_came_to_it_is_taken_back_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        await spot.vote()
        [approval] = await spot.journal.approvals()
        vote = Vote("U1", Verdict.WITHDRAW, spot.now(), digest=approval.request.digest)
        await cast(spot.world, approval.request.id, vote, channel="C1", message_ts=approval.request.id)
        await spot.advance()
        await spot.vote(Verdict.DENY, user="U2", reason="no")
        await spot.advance()
        assert spot.plant.executed == []
        await unchanged(spot)


async def test_an_approval_that_expired_before_the_agent_came_to_it_expires_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        await spot.vote()
        spot.ahead = timedelta(minutes=31)
        await spot.advance()
        assert spot.plant.executed == []
        await unchanged(spot)


async def test_a_target_that_moved_and_then_was_gone(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        await spot.vote()
        spot.plant.version = 9
        tool, looked = spot.plant.tools()["turn"], 0

        async def once(arguments: Any) -> Any:
            nonlocal looked
            looked += 1
            if looked > 1:
                raise ToolError("it is gone")
            return await tool.preview(arguments)

        spot.world = replace(spot.world, tools={**spot.world.tools, "turn": replace(tool, previewer=once)})
        await spot.advance()
        assert spot.plant.executed == []
        await unchanged(spot)


async def test_a_change_that_is_allowed_or_denied_or_only_recorded(tmp_path: Path) -> None:
    for number, (policy, mode) in enumerate(
        [(ALLOWING, Mode.ACT), (ALLOWING, Mode.PROPOSE), (DENYING, Mode.ACT), (RULES, Mode.OBSERVE)]
    ):
        (tmp_path / str(number)).mkdir()
        async with place(tmp_path / str(number), calling(TURN_A), concluded(), policy=policy, mode=mode) as spot:
            spot.mode = mode
            await spot.advance()
            await unchanged(spot)


async def test_a_mode_that_changed_meanwhile_changes_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        spot.mode = Mode.OBSERVE
        await spot.vote()
        await spot.advance()
        await unchanged(spot)


async def test_a_model_that_failed_fails_again_and_the_rules_conclude(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK_A), ModelError("did not answer")) as spot:
        run = await spot.advance()
        assert run.model_failure
        await unchanged(spot)


async def test_an_answer_that_said_nothing_costs_the_same_again(tmp_path: Path) -> None:
    async with place(tmp_path, Answer(usage=Usage(100, 1, cost_micros=7))) as spot:
        assert (await spot.advance()).usage.cost_micros == 7
        await unchanged(spot)


async def test_a_run_out_of_steps_and_one_out_of_time_conclude_where_they_did(tmp_path: Path) -> None:
    turns = [calling(("look", f'{{"name":"a","lines":{n + 1}}}')) for n in range(9)]
    for number, budget in enumerate((Budget(steps=3), Budget(seconds=60))):
        (tmp_path / str(number)).mkdir()
        async with place(tmp_path / str(number), *turns, budget=budget) as spot:

            async def slowly(spot: Place = spot) -> None:
                spot.ahead += timedelta(seconds=25)

            spot.plant.reading = slowly
            await spot.advance()
            await unchanged(spot)


async def test_a_run_that_still_waits_waits_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        await unchanged(spot)


async def test_a_run_that_still_goes_on_is_gone_through_as_far_as_it_came(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK_A), calling(TURN_A), concluded()) as spot:
        await spot.advance()
        await spot.vote()
        await spot.advance()
        found = await record(spot)
    for end in range(2, len(found.own)):
        compared = await compare(replace(found, own=found.own[:end]), how(policy_of(RULES)))
        last = found.own[end - 1].event
        needs_nothing_more = isinstance(last, DecisionMade) and last.action.tool == "turn"
        needs_nothing_more |= (isinstance(last, StepPlanned) and last.step == 3) or isinstance(last, DiagnosisConcluded)
        assert (said(compared) == []) is not needs_nothing_more, (last, said(compared))
        assert compared.again.unanswerable == (), end


async def test_a_person_who_might_no_longer_decide_stops_it_again(tmp_path: Path) -> None:
    for number, change in enumerate(("groups", "guests")):
        (tmp_path / str(number)).mkdir()
        async with place(tmp_path / str(number), calling(TURN_A), concluded()) as spot:
            await spot.advance()
            await spot.vote()
            spot.club.groups["@sre"] -= {"U1"} if change == "groups" else set()
            spot.club.guests |= {"U1"} if change == "guests" else set()
            await spot.advance()
            assert spot.plant.executed == []
            await unchanged(spot)


async def test_a_target_that_could_not_be_looked_at_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        await spot.vote()
        spot.plant.unreachable = "no route to the valve"
        await spot.advance()
        await unchanged(spot)


async def test_a_change_whose_target_was_not_there_cannot_be_proposed_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        spot.plant.unreachable = "no route to the valve"
        await spot.advance()
        await unchanged(spot)


async def test_changes_of_one_card_are_voted_on_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A, TURN_B), concluded()) as spot:
        await spot.advance()
        items = await spot.journal.approvals(pending=True)
        batch = items[0].request.batch
        assert batch
        of_batch = await spot.journal.of_batch(batch)
        vote = Vote("U1", Verdict.APPROVE, spot.now(), digest=shown_digest(of_batch))
        await cast(spot.world, batch, vote, channel="C1", message_ts=batch)
        await spot.advance()
        assert spot.plant.executed == [("a", 1)], "the plant is another by then, so the second is asked again"
        await spot.vote()
        await spot.advance()
        assert spot.plant.executed == [("a", 1), ("b", 2)]
        await unchanged(spot)
