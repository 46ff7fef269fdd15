"""The weekly message on its way to Slack: with its chart, without one where it cannot be had, linked to what it names."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Any

import pytest

from domain.errors import ChatError
from domain.report import Report
from domain.weeks import Appointment
from storage.journal import open_journal
from tests.contracts.journal_samples import Clock
from tests.slack_harness import Bot, running
from tests.week_samples import MONDAY, lived

PNG = b"\x89PNG chart"


async def lived_week(tmp_path: Path) -> None:
    clock = Clock()
    async with open_journal(tmp_path / "journal.db", "T07ACME0001", clock=clock) as journal:
        await lived(journal, clock)


async def report_of(bot: Bot) -> Report:
    week = Appointment(0, time(9)).last(MONDAY)
    since, until = week.since, week.until
    rollup, quality = await bot.journal.rollup(since, until), await bot.journal.quality(since, until)
    return Report(week, rollup, quality, tuple(await bot.journal.mishaps(since, until)), head=await bot.journal.head())


async def told(bot: Bot, chart: bytes = PNG, *, patient: bool = True) -> dict[str, Any]:
    """The message that stands in the channel; what else is there are the threads of the week, which Slack never saw."""
    await bot.chat.weekly(await report_of(bot), chart, patient=patient)
    await bot.sender.idle()
    [message] = bot.in_channel()
    return dict(message)


def pictures(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [block for block in message["blocks"] if block["type"] == "image"]


async def test_it_stands_in_the_channel_with_its_chart_and_says_the_same_to_a_screen_reader(tmp_path: Path) -> None:
    await lived_week(tmp_path)
    async with running(tmp_path) as bot:
        message = await told(bot)
        [picture] = pictures(message)
        [file] = bot.w.files()
        assert (picture["slack_file"]["id"], file["content"]) == (file["id"], PNG)
        assert "8 of 11 changes held, 3 did not" in picture["alt_text"]
        assert message["text"].startswith("Week 48, 16 to 22 November 2026: About ")
        assert message["metadata"]["event_payload"]["id"] == "weekly:2026-W48"


async def test_what_it_names_is_linked_to_where_it_was_talked_about(tmp_path: Path) -> None:
    await lived_week(tmp_path)
    async with running(tmp_path) as bot:
        said = str((await told(bot))["blocks"])
        incident = await bot.journal.incident("inc-0012")
        assert incident
        link = f"{bot.w.url}archives/{incident.channel}/p{incident.thread_ts.replace('.', '')}"
        assert f"Unknown: roll back payments: sent, and no answer came (<{link}|thread>)" in said


async def test_without_the_scope_for_files_it_goes_as_text(tmp_path: Path) -> None:
    await lived_week(tmp_path)
    async with running(tmp_path) as bot:
        bot.w.faults.fail("files.getUploadURLExternal", times=1, kind="missing_scope")
        message = await told(bot)
        assert pictures(message) == []
        assert "8 of 11 changes held" in message["text"]


async def test_while_slack_is_busy_it_waits_for_its_chart_and_then_no_longer(tmp_path: Path) -> None:
    await lived_week(tmp_path)
    async with running(tmp_path) as bot:
        bot.w.faults.fail("files.getUploadURLExternal", times=2, kind="429")
        with pytest.raises(ChatError, match="ratelimited"):
            await bot.chat.weekly(await report_of(bot), PNG, patient=True)
        assert await bot.journal.message("weekly:2026-W48") is None
        assert pictures(await told(bot, patient=False)) == []


async def test_said_again_it_is_the_same_message(tmp_path: Path) -> None:
    await lived_week(tmp_path)
    async with running(tmp_path) as bot:
        first = await told(bot, b"")
        assert (await told(bot, b""))["ts"] == first["ts"]
