"""Why: the rule, the facts and the people behind one action, as the journal has them; and what policy would say now."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.explain import explain, why
from bot.voting import edit
from domain.actions import Mode
from domain.errors import ArgumentsRefused, BadInput, ToolError
from domain.events import ApprovalRequested, DecisionMade
from tests.unit.journeys import DENYING, calling, concluded, place

TURN_A = ("turn", '{"name":"a","to":1}')


async def test_why_names_the_rule_its_reason_the_facts_and_the_state(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        await spot.advance()
        said = await why(spot.world, (await spot.pending()).request.id)
        for part in (
            "turn on shop/deployment/a (production)",
            "Decision: ask by rule turn: Turning needs a person.",
            "• turn (ask): matched",
            "State: pending",
            "args: name=a, note=, to=1",
        ):
            assert part in said


async def test_why_tells_who_voted_and_what_became_of_it(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        approval = await spot.vote(reason="looks right")
        await spot.advance()
        said = await why(spot.world, approval.request.id)
        assert "State: consumed by Person U1" in said
        assert "Person U1: approve: looks right" in said
        assert "succeeded, verified. turned a to 1" in said


async def test_why_shows_the_facts_of_this_very_decision_not_of_the_one_that_it_replaced(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        await spot.advance()
        request = await edit(spot.world, (await spot.pending()).request.id, "U1", {"name": "a", "to": 2})
        assert request is not None
        assert "args: name=a, note=, to=2" in await why(spot.world, request.id)


async def test_the_start_of_an_id_or_of_a_digest_is_enough_where_it_is_unique(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A, ("turn", '{"name":"b","to":1}'))) as spot:
        await spot.advance()
        one, other = [approval.request for approval in await spot.journal.approvals()]
        for reference in (one.id[:9], one.id.removeprefix("apr-")[:6], one.digest[:12], f" {one.id} "):
            assert str(one.action.target) in await why(spot.world, reference)
        assert one.id != other.id
        with pytest.raises(BadInput, match="2 approval requests match 'apr-'"):
            await why(spot.world, "apr-")


@pytest.mark.parametrize("reference", ["", "  ", "apr-unknown"])
async def test_a_reference_that_names_nothing_is_refused(tmp_path: Path, reference: str) -> None:
    async with place(tmp_path) as spot:
        with pytest.raises(BadInput):
            await why(spot.world, reference)


async def test_what_policy_would_say_is_told_rule_by_rule_and_proposes_nothing(tmp_path: Path) -> None:
    async with place(tmp_path, policy=DENYING) as spot:
        said = await explain(spot.world, "turn", {"name": "a", "to": 1}, "U1")
        assert said.splitlines()[0] == ("turn on shop/deployment/a, mode propose: deny (rule never). Not on a Friday.")
        assert "• look (allow): did not match" in said
        assert await spot.events(DecisionMade, ApprovalRequested) == []
        assert spot.plant.executed == []


async def test_what_policy_would_say_counts_the_mode(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        spot.mode = Mode.OBSERVE
        assert "mode observe" in await explain(spot.world, "turn", {"name": "a", "to": 1}, "U1")


async def test_an_unknown_tool_unusable_arguments_and_a_silent_cluster_are_sentences(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        with pytest.raises(BadInput, match="There is no tool rm; the tools are look, turn"):
            await explain(spot.world, "rm", {}, "U1")
        with pytest.raises(ArgumentsRefused, match="to is required"):
            await explain(spot.world, "turn", {"name": "a"}, "U1")
        spot.plant.unreachable = "The cluster does not answer."
        with pytest.raises(ToolError, match="does not answer"):
            await explain(spot.world, "turn", {"name": "a", "to": 1}, "U1")
