"""`/agent policy …` and *Why?*: the same rules in the same words, and a sentence for every mistake."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.explain import explain, why
from domain.errors import BadInput
from handlers.commands import action_of
from tests.unit.journeys import RULES, calling, concluded, place, policy_of

OWNED = (
    RULES
    + "  - {id: late, decision: ask, match: {effects: [write]}, when: args.to > 5, mode: warn, owner: ops, reason: Far.}\n"
)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("turn name=a to=3", {"name": "a", "to": 3}),
        ('turn {"name": "a", "to": 3}', {"name": "a", "to": 3}),
        ("turn {“name”: “a”}", {"name": "a"}),
        ('turn note="two words" flag=true', {"note": "two words", "flag": True}),
        ("turn note=“two words”", {"note": "two words"}),
        ("""turn limits='{"memory": "1Gi"}' list='[1, 2]'""", {"limits": {"memory": "1Gi"}, "list": [1, 2]}),
        ("`turn`", {}),
    ],
)
def test_an_action_is_written_in_pairs_or_as_json(text: str, arguments: dict[str, Any]) -> None:
    assert action_of(text) == ("turn", arguments)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Say which action"),
        ("turn {bad", "The arguments are not JSON"),
        ("turn " + "[" * 100_000, "Write arguments as name=value"),
        ("turn {" + '"a":{' * 50_000, "The arguments are not JSON"),
        ("turn a", "Write arguments as name=value: a is not."),
        ("turn =3", "Write arguments as name=value: 3 is not."),
        ("turn a=1 a=2", "a is given twice."),
        ('turn note="open', "A quote is opened and not closed."),
        ("turn limits={memory:1Gi}", "limits is not JSON"),
    ],
)
def test_a_malformed_command_gets_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        action_of(text)
    assert str(caught.value).startswith(sentence)


@given(text=st.text(max_size=60))
def test_no_text_gets_anything_but_an_action_or_a_sentence(text: str) -> None:
    with contextlib.suppress(BadInput):
        tool, arguments = action_of(text)
        assert tool
        assert isinstance(arguments, dict)


async def test_both_list_every_rule_in_order_with_what_its_condition_read(tmp_path: Path) -> None:
    async with place(tmp_path, calling(("turn", '{"name":"a","to":9}')), concluded(), policy=OWNED) as spot:
        now = await explain(spot.world, "turn", {"name": "a", "to": 9}, "U1")
        await spot.advance()
        then = await why(spot.world, (await spot.pending()).request.id)
        for said in (now, then):
            rules = [line for line in said.splitlines() if line.startswith("•")]
            assert [line.split()[1] for line in rules] == ["look", "turn", "late"]
            assert rules[0].endswith("did not match – it is about other tools or effects")
            assert rules[2] == (
                "• late (ask, warn, owned by ops): matched – its condition is true: args.to > 5, where args.to is 9"
            )
        assert "args: name=a, note=, to=9" in then


async def test_why_after_a_change_of_policy_tells_the_rules_of_then_and_says_so(tmp_path: Path) -> None:
    async with place(tmp_path, calling(("turn", '{"name":"a","to":9}')), concluded(), policy=OWNED) as spot:
        await spot.advance()
        request = (await spot.pending()).request
        spot.policy = policy_of(RULES.replace("id: turn", "id: other"))
        said = await why(spot.world, request.id)
        assert "• turn (ask): matched" in said
        assert "other" not in said
        assert "The policy has changed since" in said


async def test_what_a_warning_rule_would_have_said_stands_on_the_card(tmp_path: Path) -> None:
    async with place(tmp_path, calling(("turn", '{"name":"a","to":9}')), concluded(), policy=OWNED) as spot:
        await spot.advance()
        assert (await spot.pending()).request.decision.warnings == ("late would ask: Far.",)


async def test_a_tool_that_there_is_none_of_gets_the_nearest_name(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        with pytest.raises(BadInput, match="There is no tool trun; did you mean 'turn'"):
            await explain(spot.world, "trun", {}, "U1")
