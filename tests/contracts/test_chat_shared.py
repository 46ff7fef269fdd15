"""What several services say under one key stands once; and pictures, which Slack takes its time with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.local.workspace import Workspace
from domain.errors import ChatError
from domain.events import MessageFailed, PictureSent, PictureWanted
from handlers import kit
from handlers.kit import Body
from tests.slack_harness import Bot, running

KEY = "weekly:2026-W48"
PNG = b"\x89PNG chart"


async def say(bot: Bot, text: str = "The week", since: datetime | None = None, *blocks: kit.Block) -> None:
    since = since or datetime.now(UTC)
    body = Body(text, (kit.section(text), *blocks))
    await bot.chat.want(KEY, body, channel=bot.w.channel("incidents"), priority=3, shared_since=since)


@asynccontextmanager
async def services(folder: Path, count: int) -> AsyncIterator[list[Bot]]:
    """Services with databases of their own on one workspace."""
    async with AsyncExitStack() as stack:
        w = await stack.enter_async_context(Workspace())
        folders = [folder / str(number) for number in range(count)]
        for each in folders:
            each.mkdir()
        yield [await stack.enter_async_context(running(each, w)) for each in folders]


async def standing(bots: list[Bot]) -> str:
    """The ts of the one message, which every service knows."""
    await asyncio.gather(*(bot.sender.idle() for bot in bots))
    [message] = bots[0].in_channel()
    known = [await bot.journal.message(KEY) for bot in bots]
    assert {row.ts for row in known if row} == {message["ts"]}
    return str(message["ts"])


async def posted_by_another(bot: Bot, key: str = KEY) -> str:
    metadata = {
        "event_type": "agent_outbox",
        "event_payload": {"id": key, "workspace": bot.w.team_id, "revision": 1},
    }
    answer = await bot.services.client.chat_postMessage(
        channel=bot.w.channel("incidents"), text="The week", metadata=metadata
    )
    return str(answer["ts"])


async def test_three_services_of_which_none_saw_another_leave_one_message(tmp_path: Path) -> None:
    async with services(tmp_path, 3) as bots:
        faults = bots[0].w.faults
        faults.hold("chat.postMessage")
        await asyncio.gather(*(say(bot, f"The week of {number}") for number, bot in enumerate(bots)))
        async with asyncio.timeout(5):
            while faults.waiting < 3:
                await asyncio.sleep(0.01)
        faults.let_go("chat.postMessage")
        await standing(bots)
        assert len([call for call in bots[0].w.calls if call.method == "chat.delete"]) >= 2


async def test_the_earliest_of_several_stays_and_the_others_are_taken_away(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        first, second = await posted_by_another(bot), await posted_by_another(bot)
        await say(bot)
        assert await standing([bot]) == first
        assert second not in {message["ts"] for message in bot.in_channel()}


async def test_a_service_that_comes_hours_later_finds_what_was_said(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        first = await posted_by_another(bot)
        bot.w.clock.advance(7 * 3600)
        for number in range(450):  # more than two pages of other people's words
            await bot.w.say("mara", "incidents", f"{number}")
        await say(bot, since=datetime.now(UTC) - timedelta(hours=1))
        assert await standing([bot]) == first
        assert not [call for call in bot.w.calls if call.method == "chat.delete"], "nobody heard it twice"


async def test_what_stands_from_an_earlier_week_or_under_another_key_is_left_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        other, earlier = await posted_by_another(bot, "weekly:2026-W47"), await posted_by_another(bot)
        bot.w.clock.advance(7 * 86400)
        await say(bot, since=datetime.now(UTC) + timedelta(days=7))
        await bot.sender.idle()
        row = await bot.journal.message(KEY)
        assert row
        assert row.ts not in ("", other, earlier)
        assert len(bot.in_channel()) == 3


async def test_a_post_that_broke_off_stands_once(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w.faults.fail("chat.postMessage", times=1, kind="reset_after_commit")
        await say(bot)
        await standing([bot])


async def test_a_copy_that_somebody_else_takes_away_first_is_no_failure(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        first, _ = await posted_by_another(bot), await posted_by_another(bot)
        bot.w.faults.fail("chat.delete", times=1, kind="message_not_found")
        await say(bot)
        await bot.sender.idle()
        row = await bot.journal.message(KEY)
        assert row
        assert row.ts == first


# --- pictures ---------------------------------------------------------------------------------------------------------


def shown(file_id: str) -> kit.Block:
    return {"type": "image", "slack_file": {"id": file_id}, "alt_text": "Nine of ten fixes held"}


async def failures(bot: Bot) -> list[Any]:
    return [each.event for each in await bot.journal.since(0) if isinstance(each.event, MessageFailed)]


async def test_a_picture_is_in_the_journal_before_slack_has_it(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w.faults.fail("files.getUploadURLExternal", times=1, kind="missing_scope")
        assert await bot.chat.picture(KEY, "week.png", "Nine of ten fixes held", PNG) == ""
        file_id = await bot.chat.picture(KEY, "week.png", "Nine of ten fixes held", PNG)
        events = [each.event for each in await bot.journal.since(0)]
        wanted = [event for event in events if isinstance(event, PictureWanted)]
        [sent] = [event for event in events if isinstance(event, PictureSent)]
        assert len(wanted) == 2
        assert (sent.file_id, sent.sha256) == (file_id, wanted[0].sha256)
        [file] = bot.w.files()
        assert (file["content"], file["alt_txt"]) == (PNG, "Nine of ten fixes held")
        assert bot.in_channel() == [], "a picture alone stands nowhere"


@pytest.mark.parametrize("kind", ["429", "500"])
async def test_a_picture_that_slack_may_take_later_is_an_error_until_then(tmp_path: Path, kind: str) -> None:
    async with running(tmp_path) as bot:
        bot.w.faults.fail("files.completeUploadExternal", times=1, kind=kind)
        with pytest.raises(ChatError, match=r"did not take the picture week\.png"):
            await bot.chat.picture(KEY, "week.png", "Nine of ten fixes held", PNG)
        assert await bot.chat.picture(KEY, "week.png", "Nine of ten fixes held", PNG)


async def test_a_message_waits_until_slack_has_processed_its_picture(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        file_id = await bot.chat.picture(KEY, "week.png", "Nine of ten fixes held", PNG)
        await say(bot, "The week", None, shown(file_id))
        await bot.sender.idle()
        [message] = bot.in_channel()
        assert message["blocks"][1]["slack_file"] == {"id": file_id}
        assert all(not failure.final for failure in await failures(bot))


async def test_other_messages_do_not_wait_for_a_picture(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await say(bot, "The week", None, shown("F0NOTTHERE"))
        await bot.chat.want("other", Body("Other"), channel=bot.w.channel("incidents"), priority=7)
        await bot.sender.idle()
        assert [message["text"] for message in bot.in_channel()] == ["Other", "The week"]


async def test_a_picture_that_never_comes_leaves_its_words(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await say(bot, "The week", None, shown("F0NOTTHERE"))
        await bot.sender.idle()
        [message] = bot.in_channel()
        assert message["blocks"][1]["elements"][0]["text"] == "*Nine of ten fixes held*"
