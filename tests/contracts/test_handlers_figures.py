"""The figures over a real socket: /agent roi with its chart, and the rows behind a figure to whoever asks."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.errors import BadInput
from domain.figures import SHAPES
from domain.work import Rollup
from handlers import cards_figures
from handlers.kit import Body
from handlers.services import Services
from storage.journal import open_journal
from tests.contracts.journal_samples import Clock
from tests.slack_harness import Bot, running
from tests.unit.worth_samples import rollup_of
from tests.week_samples import MONDAY, WEEK, lived

PNG = b"\x89PNG chart"
PERIOD = (MONDAY - timedelta(days=8), MONDAY)


async def drawn(rollup: Rollup) -> bytes:
    return PNG


async def lived_week(tmp_path: Path, monday: datetime = MONDAY) -> None:
    clock = Clock()
    async with open_journal(tmp_path / "journal.db", "T07ACME0001", clock=clock) as journal:
        await lived(journal, clock, monday)


async def menu(bot: Bot) -> str:
    """The ts of a message with the menu of the week's figures."""
    body = Body("Figures", (cards_figures.asking(await bot.journal.rollup(*PERIOD), frozenset(SHAPES)),))
    await bot.chat.want("figures", body, channel=bot.w.channel("incidents"), priority=3)
    await bot.sender.idle()
    return str(bot.in_channel()[-1]["ts"])


async def pick(bot: Bot, ts: str, figure: str, who: str = "priya") -> dict[str, Any]:
    """What the person alone is shown of one figure."""
    options = [
        option["value"]
        for group in cards_figures.asking(await bot.journal.rollup(*PERIOD), frozenset(SHAPES))["elements"][0][
            "option_groups"
        ]
        for option in group["options"]
    ]
    [value] = [value for value in options if value.startswith(f"{figure} ")]
    await bot.w.click(who, "incidents", ts, cards_figures.ROWS, value=value)
    await bot.settled()
    return dict(bot.w.ephemerals(who)[-1])


async def test_the_rows_behind_a_figure_are_shown_to_the_one_who_asked_with_their_threads(tmp_path: Path) -> None:
    await lived_week(tmp_path)
    async with running(tmp_path) as bot:
        said = await pick(bot, await menu(bot), "to_verified")
        incident = await bot.journal.incident("inc-0001")
        assert incident
        link = f"{bot.w.url}archives/{incident.channel}/p{incident.thread_ts.replace('.', '')}"
        assert "Alert to verified: 3 min · n 8" in said["text"]
        assert f"<{link}|thread>" in str(said["blocks"])
        assert str(said["blocks"]).count("• ") == 8
        assert bot.w.ephemerals("mara") == []


async def test_every_figure_of_the_menu_has_its_rows(tmp_path: Path) -> None:
    await lived_week(tmp_path)
    async with running(tmp_path) as bot:
        ts, rollup = await menu(bot), await bot.journal.rollup(*PERIOD)
        for figure in rollup.figures:
            said = await pick(bot, ts, figure.name)
            assert cards_figures.said(figure) in said["text"], figure.name


async def test_of_many_rows_the_newest_are_shown_and_the_rest_is_named(tmp_path: Path) -> None:
    await lived_week(tmp_path)
    async with running(tmp_path) as bot:
        said = str((await pick(bot, await menu(bot), "alerts"))["blocks"])
        alerts = sum(1 + story.repeats for story in WEEK)
        assert f"The newest {cards_figures.MOST_ROWS} of {alerts}" in said
        assert said.count("• ") == cards_figures.MOST_ROWS


def test_an_option_that_nobody_made_is_refused() -> None:
    for option in ("", "alerts", "alerts yesterday today", f"alerts {10**30} 5", "alerts 1 2 3"):
        with pytest.raises(BadInput, match="not known here"):
            cards_figures.asked(option)
    since, until = PERIOD
    asked = cards_figures.asking(replace(rollup_of(), since=since, until=until))["elements"][0]["option_groups"]
    assert cards_figures.asked(asked[0]["options"][0]["value"]) == ("alerts", since, until)


# --- /agent roi -------------------------------------------------------------------------------------------------------


async def asked_for(bot: Bot, text: str = "roi 30d") -> dict[str, Any]:
    await bot.w.command("mara", "incidents", text)
    await bot.settled()
    return dict(bot.w.ephemerals("mara")[-1])


def pictures(message: dict[str, Any]) -> list[Any]:
    return [block for block in message["blocks"] if block["type"] == "image"]


def drawing(services: Services) -> None:
    """Services are frozen: listeners keep the one they were given, and this is the test's way to give it a chart."""
    object.__setattr__(services, "draw", drawn)


async def test_the_figures_come_with_their_chart_once_slack_has_processed_it(tmp_path: Path) -> None:
    await lived_week(tmp_path, datetime.now(UTC))
    async with running(tmp_path) as bot:
        drawing(bot.services)
        said = await asked_for(bot)
        [picture] = pictures(said)
        assert picture["slack_file"]["id"] == bot.w.files()[0]["id"]
        assert len(bot.w.ephemerals("mara")) == 1
        assert bot.in_channel() == [], "nobody else sees it"


async def test_figures_whose_chart_slack_does_not_take_come_in_words(tmp_path: Path) -> None:
    await lived_week(tmp_path, datetime.now(UTC))
    async with running(tmp_path) as bot:
        drawing(bot.services)
        bot.w.faults.fail("files.getUploadURLExternal", times=1, kind="429")
        said = await asked_for(bot)
        assert pictures(said) == []
        assert "What the agent's work was worth" in str(said["blocks"])


async def test_a_period_without_work_has_no_chart(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        drawing(bot.services)
        assert pictures(await asked_for(bot, "roi 7d")) == []
        assert bot.w.files() == []
