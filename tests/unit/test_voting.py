"""Votes and edits: who may, on which card, and what the loser of a race is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import undo
from bot.voting import cast, edit
from domain.actions import Mode
from domain.decisions import Approval, ApprovalState, Verdict, Vote
from domain.errors import BadInput, NotAllowed
from domain.events import ApprovalClosed, DecisionMade, RunStarted, VoteCast, VoteRefused
from domain.runs import RunOutcome
from tests.unit.journeys import RULES, Place, calling, concluded, place, policy_of

TURN_A = ("turn", '{"name":"a","to":1}')


async def asked(spot: Place) -> Approval:
    await spot.advance()
    return await spot.pending()


def vote_of(spot: Place, approval: Approval, user: str = "U1", **more: Any) -> Vote:
    fields = {"verdict": Verdict.APPROVE, "at": spot.now(), "digest": approval.request.digest} | more
    return Vote(user, **fields)


async def on_card(spot: Place, approval: Approval, vote: Vote, ts: str = "") -> Approval:
    return await cast(spot.world, approval.request.id, vote, channel="C1", message_ts=ts or approval.request.id)


async def test_a_vote_of_a_member_decides_and_carries_the_name_that_slack_says(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        approval = await asked(spot)
        assert (await on_card(spot, approval, vote_of(spot, approval, name="Somebody Else"))).state is (
            ApprovalState.APPROVED
        )
        [cast_vote] = await spot.events(VoteCast)
        assert (cast_vote.vote.name, cast_vote.closes) == ("Person U1", ApprovalState.APPROVED)


@pytest.mark.parametrize(
    ("user", "more", "sentence"),
    [
        ("U9", {}, "You asked for this"),
        ("U7", {}, "Only members of approvers can decide"),
        ("UG", {}, "Guests cannot decide"),
        ("U1", {"digest": "0" * 64}, "This card has changed"),
        ("U1", {"verdict": Verdict.DENY}, "Please say why"),
    ],
)
async def test_a_refused_vote_says_why_is_recorded_and_changes_nothing(
    tmp_path: Path, user: str, more: dict[str, Any], sentence: str
) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        spot.club.groups["@sre"] |= {"U9", "UG"}
        spot.club.guests.add("UG")
        approval = await asked(spot)
        with pytest.raises(NotAllowed, match=sentence):
            await on_card(spot, approval, vote_of(spot, approval, user, **more))
        [refused] = await spot.events(VoteRefused)
        assert (refused.user, sentence in refused.reason) == (user, True)
        assert await spot.state(approval) is ApprovalState.PENDING


async def test_a_click_on_another_message_than_the_current_card_is_refused(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        approval = await asked(spot)
        with pytest.raises(NotAllowed, match="not the current card"):
            await on_card(spot, approval, vote_of(spot, approval), ts="1.2")
        assert await spot.state(approval) is ApprovalState.PENDING


async def test_while_slack_does_not_answer_nobody_votes(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        approval = await asked(spot)
        spot.club.silent = True
        with pytest.raises(NotAllowed, match="Slack does not answer"):
            await on_card(spot, approval, vote_of(spot, approval))
        assert await spot.events(VoteCast) == []


async def test_the_second_voter_is_told_who_was_first(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        approval = await asked(spot)
        await on_card(spot, approval, vote_of(spot, approval))
        with pytest.raises(NotAllowed, match="already approved by Person U1"):
            await on_card(spot, approval, vote_of(spot, approval, "U2"))


async def test_a_late_vote_is_refused_also_before_the_sweep_has_closed_the_request(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        approval = await asked(spot)
        spot.ahead = timedelta(minutes=31)
        with pytest.raises(NotAllowed, match="expired"):
            await on_card(spot, approval, vote_of(spot, approval))


async def test_an_unknown_card_is_refused(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        vote = Vote("U1", Verdict.APPROVE, spot.now())
        with pytest.raises(NotAllowed, match="belongs to no approval request"):
            await cast(spot.world, "apr-none", vote, channel="C1", message_ts="1")


# --- at the same moment ------------------------------------------------------------------------------------------------


def together(people: int) -> Callable[[], Awaitable[None]]:
    """Holds what so many clicks ask Slack until all of them ask: each has read the votes before any other is recorded."""
    met, left = asyncio.Barrier(people), people

    async def asked() -> None:
        nonlocal left
        if left:
            left -= 1
            async with asyncio.timeout(5):
                await met.wait()

    return asked


@pytest.mark.parametrize(
    ("verdict", "becomes"), [(Verdict.APPROVE, ApprovalState.APPROVED), (Verdict.DENY, ApprovalState.DENIED)]
)
async def test_two_votes_at_the_same_moment_settle_a_request_that_needs_two(
    tmp_path: Path, verdict: Verdict, becomes: ApprovalState
) -> None:
    two = RULES.replace("expires: 30m", "expires: 30m, quorum: 2, deny_quorum: 2")
    async with place(tmp_path, calling(TURN_A), policy=two) as spot:
        approval = await asked(spot)
        spot.club.asked = together(2)
        votes = [vote_of(spot, approval, user, verdict=verdict, reason="so") for user in ("U1", "U2")]
        states = await asyncio.gather(*(on_card(spot, approval, vote) for vote in votes))
        assert becomes in {each.state for each in states}
        assert await spot.state(approval) is becomes
        cast = await spot.events(VoteCast)
        assert ([event.seen for event in cast], [event.closes for event in cast]) == ([0, 1], [None, becomes])
        assert await spot.events(VoteRefused) == []


async def test_an_approve_that_was_taken_back_in_the_same_moment_does_not_count(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), policy=RULES.replace("expires: 30m", "quorum: 2")) as spot:
        approval = await asked(spot)
        await on_card(spot, approval, vote_of(spot, approval))

        async def taken_back() -> None:
            spot.club.asked = None
            await on_card(spot, approval, vote_of(spot, approval, verdict=Verdict.WITHDRAW))

        spot.club.asked = taken_back
        after = await on_card(spot, approval, vote_of(spot, approval, "U2"))
        assert (after.state, [vote.user for vote in after.approvers]) == (ApprovalState.PENDING, ["U2"])


async def test_of_two_deciding_votes_at_the_same_moment_one_decides_and_the_other_is_told_by_whom(
    tmp_path: Path,
) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        approval = await asked(spot)
        spot.club.asked = together(2)
        votes = [vote_of(spot, approval, "U1"), vote_of(spot, approval, "U2", verdict=Verdict.DENY, reason="no")]
        told = await asyncio.gather(*(on_card(spot, approval, vote) for vote in votes), return_exceptions=True)
        [first, *more] = await spot.events(VoteCast)
        settled = ApprovalState.APPROVED if first.vote.user == "U1" else ApprovalState.DENIED
        if settled is ApprovalState.DENIED:  # a deny still stops what is approved; an approve changes no denial
            [refusal] = [each for each in told if isinstance(each, NotAllowed)]
            assert ("denied by Person U2" in str(refusal), more) == (True, [])
        else:
            assert ([event.closes for event in more], told[1].state) == ([ApprovalState.DENIED], ApprovalState.DENIED)


# --- edits ------------------------------------------------------------------------------------------------------------


async def test_an_edit_is_a_new_proposal_with_a_new_digest_decided_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        old = await asked(spot)
        request = await edit(spot.world, old.request.id, "U1", {"name": "a", "to": 2})
        assert request is not None
        assert request.digest != old.request.digest
        assert (request.action.arguments["to"], request.action.diff) == (2, "- 0\n+ 2")
        assert (request.supersedes, request.editor) == (old.request.id, "U1")
        assert await spot.state(old) is ApprovalState.SUPERSEDED
        assert len(await spot.events(DecisionMade)) == 2
        await spot.vote(user="U2")
        run = await spot.advance()
        assert (spot.plant.executed, run.outcome) == ([("a", 2)], RunOutcome.REMEDIATED)


async def test_its_editor_cannot_vote_on_an_edit(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        old = await asked(spot)
        await edit(spot.world, old.request.id, "U1", {"name": "a", "to": 2})
        with pytest.raises(NotAllowed, match="You edited this"):
            await spot.vote(user="U1")


async def test_the_old_card_of_an_edit_decides_nothing(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        old = await asked(spot)
        await edit(spot.world, old.request.id, "U1", {"name": "a", "to": 2})
        with pytest.raises(NotAllowed, match="replaced by a newer request"):
            await on_card(spot, old, vote_of(spot, old, "U2"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "b", "to": 1}, "the target must stay the same"),
        ({"name": "a", "to": "two"}, "to:"),
        ({"name": "a", "to": 1, "force": True}, "unknown argument 'force'"),
    ],
)
async def test_an_edit_that_cannot_be_is_refused_with_its_field_and_the_card_stays(
    tmp_path: Path, arguments: dict[str, Any], sentence: str
) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        old = await asked(spot)
        with pytest.raises(BadInput, match=sentence):
            await edit(spot.world, old.request.id, "U1", arguments)
        assert await spot.state(old) is ApprovalState.PENDING


async def test_an_edit_that_policy_denies_is_refused_with_its_reason(tmp_path: Path) -> None:
    denying = RULES + "  - {id: high, decision: deny, match: {tools: [turn]}, when: args.to > 5, reason: Too far.}\n"
    async with place(tmp_path, calling(TURN_A), policy=denying) as spot:
        old = await asked(spot)
        with pytest.raises(BadInput, match="Policy denies this: Too far"):
            await edit(spot.world, old.request.id, "U1", {"name": "a", "to": 6})
        assert await spot.state(old) is ApprovalState.PENDING


@pytest.mark.parametrize("who", ["guest", "unknown to Slack"])
async def test_only_full_members_edit(tmp_path: Path, who: str) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        old = await asked(spot)
        spot.club.guests.add("UG")
        spot.club.silent = who != "guest"
        with pytest.raises(NotAllowed):
            await edit(spot.world, old.request.id, "UG", {"name": "a", "to": 2})
        assert await spot.state(old) is ApprovalState.PENDING


async def test_what_is_decided_cannot_be_edited(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        old = await asked(spot)
        await on_card(spot, old, vote_of(spot, old))
        with pytest.raises(NotAllowed, match="already approved by Person U1"):
            await edit(spot.world, old.request.id, "U2", {"name": "a", "to": 2})


# --- undo -------------------------------------------------------------------------------------------------------------


async def executed(spot: Place) -> Approval:
    approval = await asked(spot)
    await spot.vote()
    await spot.advance()
    return approval


async def test_an_undo_is_a_run_of_its_own_that_asks_like_any_other_change(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        done = await executed(spot)
        spot.run_id = await undo.propose_undo(spot.world, done.request.id, "U2", Mode.PROPOSE)
        await spot.advance()
        assert (await spot.pending()).request.action.arguments["to"] == 0
        with pytest.raises(NotAllowed, match="You asked for this"):
            await spot.vote(user="U2")
        await spot.vote(user="U1")
        assert (await spot.advance()).outcome is RunOutcome.REMEDIATED
        assert spot.plant.executed == [("a", 1), ("a", 0)]


async def test_an_undo_is_asked_for_once(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        done = await executed(spot)
        await undo.propose_undo(spot.world, done.request.id, "U2", Mode.PROPOSE)
        with pytest.raises(BadInput, match="asked for already"):
            await undo.propose_undo(spot.world, done.request.id, "U1", Mode.PROPOSE)
        assert len(await spot.events(RunStarted)) == 2


async def test_an_undo_that_nobody_took_may_be_asked_for_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        done = await executed(spot)
        for number in (1, 2):
            spot.run_id = await undo.propose_undo(spot.world, done.request.id, "U2", Mode.PROPOSE)
            await spot.advance()
            if number == 1:
                await spot.vote(Verdict.DENY, user="U1", reason="not yet")
                await spot.advance()
        await spot.vote(user="U1")
        await spot.advance()
        assert spot.plant.executed == [("a", 1), ("a", 0)]
        with pytest.raises(BadInput, match="asked for already"):
            await undo.propose_undo(spot.world, done.request.id, "U1", Mode.PROPOSE)


async def test_what_was_never_executed_has_no_undo(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        approval = await asked(spot)
        for reference in (approval.request.id, "apr-none"):
            with pytest.raises(BadInput, match="Nothing was executed here"):
                await undo.propose_undo(spot.world, reference, "U1", Mode.PROPOSE)


async def test_a_guest_cannot_ask_for_an_undo(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        done = await executed(spot)
        spot.club.guests.add("UG")
        with pytest.raises(NotAllowed, match="Only full members"):
            await undo.propose_undo(spot.world, done.request.id, "UG", Mode.PROPOSE)


async def test_a_policy_change_between_card_and_edit_is_decided_by_the_new_policy(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        old = await asked(spot)
        spot.policy = policy_of(RULES.replace("expires: 30m", "quorum: 2, expires: 10m"))
        request = await edit(spot.world, old.request.id, "U1", {"name": "a", "to": 2})
        assert request is not None
        assert (request.terms.quorum, request.terms.expires_s) == (2, 600)
        closed = await spot.events(ApprovalClosed)
        assert [event.reason for event in closed] == ["edited by Person U1"]
