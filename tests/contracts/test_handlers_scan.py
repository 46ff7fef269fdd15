"""A scan's commands, menu and dialog over a real socket: what is asked of the plane, and what a person is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from domain.actions import Mode, Target
from domain.decisions import SYSTEM
from domain.errors import BadInput
from domain.events import Draft, FindingsReported, RunStarted
from domain.fold import fold
from domain.runs import Origin, Run, RunSpec
from domain.scans import CONFIGURATION
from tests.contracts.test_handlers_commands import run
from tests.slack_harness import Bot, running
from tests.unit.test_scan_findings import found

ONE = found("config.unused")


@asynccontextmanager
async def listed(folder: Path, origin: Origin = Origin.COMMAND) -> AsyncIterator[tuple[Bot, Run]]:
    """A bot whose journal knows a scan that found one thing."""
    async with running(folder) as bot:
        spec = RunSpec("run-1", "", origin, "rules", Mode.PROPOSE, Target(CONFIGURATION, "production", "shop"))
        events = [Draft(event, SYSTEM, run_id="run-1") for event in (RunStarted(spec), FindingsReported((ONE,), 1))]
        yield bot, fold(await bot.journal.append(*events))


async def told(bot: Bot, run: Run) -> None:
    await bot.services.chat.scan(run, await bot.journal.config_findings(run.spec.id), run.started_at)
    await bot.settled()


@pytest.mark.parametrize(("text", "namespace"), [("scan", ""), ("scan shop", "shop"), ("scan `shop` now", "shop")])
async def test_a_scan_is_asked_of_the_plane(tmp_path: Path, text: str, namespace: str) -> None:
    async with running(tmp_path) as bot:
        assert "Follow it in" in await run(bot, text)
        assert bot.plane.control == [("scan", namespace)]


async def test_what_the_plane_refuses_is_said_to_the_person_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.plane.problem = BadInput("'x y' is not a namespace.")
        assert "is not a namespace" in await run(bot, "scan x")
        assert bot.in_channel() == []


async def test_the_list_takes_the_place_of_the_progress_and_is_edited_in_place(tmp_path: Path) -> None:
    async with listed(tmp_path) as (bot, scan):
        await bot.services.chat.progress(scan)
        await bot.settled()
        [first] = bot.in_channel()
        await told(bot, scan)
        [second] = bot.in_channel()
        assert (first["ts"], "1 finding" in second["text"]) == (second["ts"], True)


async def test_a_scheduled_scan_has_no_progress_and_no_list_without_news(tmp_path: Path) -> None:
    async with listed(tmp_path, Origin.SCHEDULE) as (bot, scan):
        await bot.services.chat.progress(scan)
        await bot.services.chat.scan(scan, [], scan.started_at)
        await bot.settled()
        assert bot.in_channel() == []
        await told(bot, scan)
        assert len(bot.in_channel()) == 1


async def choose(bot: Bot, scan: Run, value: str) -> str:
    """What the person is told who chose this entry of the finding's menu."""
    await told(bot, scan)
    [message] = bot.in_channel()
    await bot.w.click("mara", "incidents", message["ts"], "scan.finding", value=value)
    await bot.settled()
    return bot.whispers("mara")


def entry(scan_message: dict[str, Any]) -> str:
    menu = next(block["accessory"] for block in scan_message["blocks"] if "accessory" in block)
    return str(menu["options"][-1]["value"])


async def test_the_dialog_opens_with_the_finding_and_what_cannot_be_snoozed_says_so(tmp_path: Path) -> None:
    async with listed(tmp_path) as (bot, scan):
        await told(bot, scan)
        await choose(bot, scan, entry(dict(bot.in_channel()[0])))
        [view] = bot.w.views("mara")
        assert ONE.title in str(view["blocks"])
        values = {
            "owner": {"value": bot.w.user("jonas")},
            "until": {"value": "2030-01-01"},
            "reason": {"value": "sale"},
        }
        assert await bot.w.submit("mara", view["id"], values) == {}
        await bot.settled()
        assert "no longer finds this" in bot.whispers("mara")
