"""A run's chart in Slack: in the thread, once, with words for those who do not see it, and without it where Slack refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from domain.actions import Mode
from domain.errors import ChatError
from domain.events import PictureWanted
from domain.runs import Origin, Run, RunSpec
from tests.slack_harness import CHECKOUT, Bot, incident_of, running

PNG = b"\x89PNG a chart"
ALT = "TooManyErrors: 0.31 now. A line chart of shop:error_ratio, password hunter2"


def run_in(bot: Bot) -> Run:
    spec = RunSpec("r1", "i1", Origin.ALERT, "rules", Mode.PROPOSE, CHECKOUT)
    return Run(spec, incident_of("i1", bot.w.team_id).opened_at)


def charts(bot: Bot) -> list[dict[str, Any]]:
    """The messages that show a picture."""
    return [dict(m) for m in bot.in_channel() if any(block["type"] == "image" for block in m["blocks"])]


async def test_it_stands_in_the_thread_once_and_says_in_words_what_it_shows(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        incident = await bot.open_incident()
        for _ in range(2):
            await bot.chat.chart(run_in(bot), ALT, PNG)
            await bot.sender.idle()
        [message] = charts(bot)
        assert message["thread_ts"] == incident.thread_ts
        [block] = message["blocks"]
        assert block["alt_text"] == message["text"] == ALT.replace("hunter2", "[redacted]")
        [file, *_] = bot.w.files()
        assert (block["slack_file"]["id"], file["content"]) == (file["id"], PNG)
        [wanted] = [e.event for e in await bot.journal.since(0) if isinstance(e.event, PictureWanted)][:1]
        assert wanted.key == "chart:r1"


@pytest.mark.parametrize("kind", ["missing_scope", "429"])
async def test_where_slack_takes_no_file_the_thread_goes_on_without_it(tmp_path: Path, kind: str) -> None:
    async with running(tmp_path) as bot:
        await bot.open_incident()
        bot.w.faults.fail("files.getUploadURLExternal", times=1, kind=kind)
        if kind == "429":
            with pytest.raises(ChatError):
                await bot.chat.chart(run_in(bot), ALT, PNG)
        else:
            await bot.chat.chart(run_in(bot), ALT, PNG)
        await bot.sender.idle()
        assert charts(bot) == []
        await bot.chat.chart(run_in(bot), ALT, PNG)
        await bot.sender.idle()
        assert len(charts(bot)) == 1
