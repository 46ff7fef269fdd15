"""The buttons of the approval card, clicked by people over a real socket."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from domain.decisions import ApprovalState
from tests.slack_harness import running


async def test_an_approvers_click_approves_and_the_card_says_who(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.card()
        assert await bot.w.click("mara", "incidents", ts, "approval.approve") == {}
        await bot.settled()
        approval = await bot.journal.approval("a1")
        assert approval
        assert approval.state is ApprovalState.APPROVED
        card = next(message for message in bot.in_channel() if message["ts"] == ts)
        assert "Approved: roll back checkout" in str(card)
        assert f"<@{bot.w.user('mara')}>" in str(card)
        assert "approval.approve" not in str(card), "the buttons are gone"


async def test_deny_asks_why_and_the_reason_stands_on_the_card(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.card(reason="on_deny")
        await bot.w.click("mara", "incidents", ts, "approval.deny")
        view = (await bot.w.until(lambda: bot.w.views("mara")))[-1]
        answer = await bot.w.submit("mara", view["id"], {"reason": {"value": "wait for hunter2"}})
        assert answer == {}
        await bot.settled()
        approval = await bot.journal.approval("a1")
        assert approval
        assert approval.state is ApprovalState.DENIED
        assert approval.votes[0].reason == "wait for [redacted]"
        assert "Denied" in str(bot.in_channel()[-1])


async def test_a_policy_that_always_wants_a_reason_asks_approvers_too(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.card(reason="always")
        await bot.w.click("mara", "incidents", ts, "approval.approve")
        view = (await bot.w.until(lambda: bot.w.views("mara")))[-1]
        await bot.w.submit("mara", view["id"], {"reason": {"value": "known bad release"}})
        await bot.settled()
        approval = await bot.journal.approval("a1")
        assert approval
        assert approval.votes[0].reason == "known bad release"


async def test_an_edit_becomes_a_new_proposal_by_its_editor(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.card()
        await bot.w.click("mara", "incidents", ts, "approval.edit")
        view = (await bot.w.until(lambda: bot.w.views("mara")))[-1]
        values = {"argument.revision": {"value": "2"}}
        assert await bot.w.submit("mara", view["id"], values) == {}
        assert bot.plane.edits == [("a1", bot.w.user("mara"), {"name": "checkout", "namespace": "shop", "revision": 2})]


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [("two", "whole number"), ("0", "no revision 0"), ("3", "Nothing was changed")],
)
async def test_an_edit_that_cannot_be_used_is_explained_in_the_dialog(
    tmp_path: Path, typed: str, sentence: str
) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.card()
        await bot.w.click("mara", "incidents", ts, "approval.edit")
        view = (await bot.w.until(lambda: bot.w.views("mara")))[-1]
        answer = await bot.w.submit("mara", view["id"], {"argument.revision": {"value": typed}})
        assert answer["response_action"] == "errors"
        assert sentence in str(answer["errors"])
        assert not bot.plane.edits


async def test_an_edit_that_takes_long_closes_the_dialog_and_goes_on(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.card()
        go = asyncio.Event()
        bot.plane.before = go.wait
        await bot.w.click("mara", "incidents", ts, "approval.edit")
        view = (await bot.w.until(lambda: bot.w.views("mara")))[-1]
        assert await bot.w.submit("mara", view["id"], {"argument.revision": {"value": "0"}}) == {}
        go.set()
        await bot.settled()
        assert "no revision 0" in bot.whispers("mara")


async def test_why_answers_the_asker_alone_and_literally(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.card()
        await bot.w.click("priya", "incidents", ts, "approval.why")
        await bot.settled()
        said = bot.w.ephemerals("priya")[-1]
        assert said["blocks"][0]["elements"][0]["type"] == "rich_text_preformatted"
        assert "<!channel>" not in said["text"]
        assert not bot.w.ephemerals("mara")


async def test_undo_is_asked_of_the_control_plane(tmp_path: Path) -> None:
    from handlers.cards_approval import value_of
    from handlers.kit import Body, actions, button
    from tests.slack_harness import request_of

    async with running(tmp_path) as bot:
        row = actions(button("Propose undo", "approval.undo", value_of(request_of())))
        await bot.chat.want("x", Body("Failed", (row,)), channel=bot.w.channel("incidents"), priority=1)
        await bot.settled()
        await bot.w.click("mara", "incidents", bot.in_channel()[-1]["ts"], "approval.undo")
        await bot.settled()
        assert bot.plane.undone == [("a1", bot.w.user("mara"))]
