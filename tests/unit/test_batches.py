"""Requests that share a card: one click is a vote on each as shown, and each is checked, consumed and superseded alone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from bot import escalation, explain
from bot.voting import cast, edit
from domain.decisions import Approval, ApprovalState, Verdict, Vote, shown_digest
from domain.errors import NotAllowed
from domain.events import VoteCast
from domain.runs import Budget
from handlers.cards_batch import batch as card
from tests.unit.journeys import RULES, Place, calling, concluded, place
from tests.unit.test_cards import accepted, tame

NAMES = "abcdefghijklmnopqrstuvwxyz"


def turns(count: int, **more: str) -> tuple[tuple[str, str], ...]:
    note = f', "note": "{more["note"]}"' if more else ""
    return tuple(("turn", f'{{"name": "{name}", "to": 1{note}}}') for name in NAMES[:count])


@asynccontextmanager
async def asked(folder: Path, count: int = 3, policy: str = RULES, **more: str) -> AsyncIterator[Place]:
    """A run that proposed so many turns in one step and waits."""
    budget = Budget(actions=40)
    async with place(folder, calling(*turns(count, **more)), concluded(), policy=policy, budget=budget) as spot:
        spot.plant.positions = dict.fromkeys(NAMES, 0)

        async def one_valve_moves_no_other(_: object) -> None:
            spot.plant.version = 1

        spot.plant.after = one_valve_moves_no_other
        await spot.advance()
        yield spot


async def items(spot: Place) -> Sequence[Approval]:
    approvals = await spot.journal.approvals()
    return await spot.journal.of_batch(max(each.request.batch for each in approvals))


async def vote(spot: Place, verdict: Verdict = Verdict.APPROVE, user: str = "U1", digest: str = "") -> Approval:
    shown = await items(spot)
    ballot = Vote(user, verdict, spot.now(), "said so", digest or shown_digest(shown))
    name = shown[0].request.batch
    return await cast(spot.world, name, ballot, channel="C1", message_ts=name)


async def states(spot: Place) -> list[str]:
    return [item.state.value for item in await items(spot)]


async def test_a_steps_like_requests_share_one_card_and_one_click_votes_on_each(tmp_path: Path) -> None:
    async with asked(tmp_path) as spot:
        shown = await items(spot)
        assert len(shown) == 3
        assert len({item.request.digest for item in shown}) == 3, "each has its own digest"
        assert {each.request.card for each in spot.chat.approvals} == {shown[0].request.batch}
        await vote(spot)
        votes = await spot.events(VoteCast)
        assert [event.vote.digest for event in votes] == [item.request.digest for item in shown]
        await spot.advance()
        assert sorted(spot.plant.executed) == [("a", 1), ("b", 1), ("c", 1)]
        consumed = {item.execution.approval_id: item.request.id for item in await items(spot) if item.execution}
        assert len(consumed) == 3
        assert all(approval_id == own for approval_id, own in consumed.items()), "each consumed its own approval"


async def test_an_item_whose_target_moved_is_superseded_alone(tmp_path: Path) -> None:
    async with asked(tmp_path) as spot:
        before = await items(spot)
        spot.plant.positions["b"] = 5
        await vote(spot)
        await spot.advance()
        after = {item.request.action.arguments["name"]: item for item in await items(spot)}
        assert after["b"].state is ApprovalState.SUPERSEDED
        assert spot.plant.executed == [("a", 1), ("c", 1)]
        [again] = await spot.journal.approvals(pending=True)
        assert again.request.supersedes == before[1].request.id
        assert again.request.batch == "", "what is asked again has a card of its own"


async def test_a_vote_on_a_card_that_showed_something_else_is_refused_whole(tmp_path: Path) -> None:
    async with asked(tmp_path) as spot:
        shown = await items(spot)
        for wrong in ("0" * 64, shown[0].request.digest, shown_digest(shown[:2])):
            with pytest.raises(NotAllowed, match="has changed"):
                await vote(spot, digest=wrong)
        assert await spot.events(VoteCast) == []


async def test_who_may_not_vote_votes_on_none(tmp_path: Path) -> None:
    async with asked(tmp_path) as spot:
        for user in ("U5", "U9"):
            with pytest.raises(NotAllowed):
                await vote(spot, user=user)
        with pytest.raises(NotAllowed, match="current card"):
            shown = await items(spot)
            ballot = Vote("U1", Verdict.APPROVE, spot.now(), digest=shown_digest(shown))
            await cast(spot.world, shown[0].request.batch, ballot, channel="C1", message_ts="another")
        with pytest.raises(NotAllowed, match="current card"):
            one = shown[0].request
            ballot = Vote("U1", Verdict.APPROVE, spot.now(), digest=one.digest)
            await cast(spot.world, one.id, ballot, channel="C1", message_ts=one.batch)
        assert await spot.events(VoteCast) == []


async def test_a_deny_and_a_taking_back_are_about_each(tmp_path: Path) -> None:
    async with asked(tmp_path) as spot:
        spot.pause = "wait"
        await vote(spot)
        assert set(await states(spot)) == {"approved"}
        await vote(spot, Verdict.WITHDRAW)
        assert set(await states(spot)) == {"pending"}
        await vote(spot, Verdict.DENY, user="U2")
        assert set(await states(spot)) == {"denied"}
        spot.pause = ""
        await spot.advance()
        assert spot.plant.executed == []


async def test_at_most_twenty_share_a_card(tmp_path: Path) -> None:
    async with asked(tmp_path, 23) as spot:
        sizes: dict[str, int] = {}
        for each in await spot.journal.approvals():
            sizes[each.request.batch] = sizes.get(each.request.batch, 0) + 1
        assert sorted(sizes.values()) == [3, 20]


async def test_a_change_too_long_to_be_read_among_others_has_a_card_of_its_own(tmp_path: Path) -> None:
    async with asked(tmp_path, note="x" * 400) as spot:
        assert {each.request.batch for each in await spot.journal.approvals()} == {""}


async def test_what_different_rules_ask_does_not_share_a_card(tmp_path: Path) -> None:
    other = RULES + (
        "  - {id: b, decision: ask, match: {effects: [write]}, when: 'args.name == \"b\"',"
        " approval: {groups: [approvers], quorum: 2}, reason: Two for b.}\n"
    )
    async with asked(tmp_path, 3, policy=other) as spot:
        cards = {each.request.action.arguments["name"]: each.request.batch for each in await spot.journal.approvals()}
        assert cards["a"] == cards["c"] != ""
        assert cards["b"] == ""


async def test_one_of_several_is_not_edited_and_why_explains_each(tmp_path: Path) -> None:
    async with asked(tmp_path) as spot:
        shown = await items(spot)
        with pytest.raises(NotAllowed, match="one of several"):
            await edit(spot.world, shown[0].request.id, "U1", {"name": "a", "to": 2})
        why = await explain.why(spot.world, shown[0].request.batch)
        assert why.count("Decision: ask by rule turn") == 3


async def test_a_batch_that_waits_calls_people_once_per_card(tmp_path: Path) -> None:
    async with asked(tmp_path) as spot:
        for each in await items(spot):
            assert not each.reminded_at
        await escalation.call_people(spot.world, spot.now() + timedelta(minutes=16))
        assert all(each.reminded_at for each in await items(spot))


# --- the card -------------------------------------------------------------------------------------------------------------


async def test_the_card_lists_every_change_literally_and_fits(tmp_path: Path) -> None:
    async with asked(tmp_path, 20, note="y" * 330) as spot:
        shown = await items(spot)
        assert len(shown) == 20
        body = card(shown)
        accepted(body)
        tame(body)
        said = str(body.blocks)
        assert body.text.startswith("Approval needed: 20 × turn")
        for name in NAMES[:20]:
            assert f'name = "{name}"' in said
        assert said.count("y" * 330) == 20
        assert "Approve all 20" in said
        assert f"{shown[0].request.batch} {shown_digest(shown)}" in said
        assert "approval.edit" not in said


async def test_the_card_says_what_became_of_each(tmp_path: Path) -> None:
    async with asked(tmp_path) as spot:
        await vote(spot)
        await spot.advance()
        body = card(await items(spot))
        accepted(body)
        assert "approval.approve" not in str(body.blocks)
        assert "Verified" in str(body.blocks)
