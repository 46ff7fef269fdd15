"""The weekly message of the whole service: once, whatever dies when, and whoever else is there to say it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

from bot.app import running
from bot.commands.stage import QUICK, settings_for
from bot.config import Settings
from bot.local.workspace import Workspace
from domain.errors import JournalError
from domain.events import Draft, MessageSent, MessageWanted, WorkUnitRecorded
from domain.weeks import Appointment
from domain.work import WorkKind, WorkOutcome, WorkUnit
from handlers.manifest import manifest
from storage.journal import open_journal
from storage.reader import read_journal

LIVES = 15
WEEK = Appointment(0, time()).last(datetime.now(UTC))
SECRETS = ("slack_bot_token", "slack_app_token")
PLAIN = ("slack_api_url", "agent_database", "agent_port", "agent_channel", "agent_approvers", "agent_weekly")


async def worked(settings: Settings, team: str) -> None:
    """Something was done last week."""
    done = WEEK.until - timedelta(days=1)
    unit = WorkUnit(WorkKind.REMEDIATION, WorkOutcome.ACCEPTED, done, done, worth=True, service="shop/checkout")
    async with open_journal(settings.agent_database, team) as journal:
        await journal.append(Draft(WorkUnitRecorded(unit)))


def setting_up(workspace: Workspace, folder: Path) -> Settings:
    folder.mkdir(exist_ok=True)
    database = folder / "personal-agent.db"
    return settings_for(workspace, folder / "kubeconfig", database, KUBECONFIG="", AGENT_WEEKLY="mon 00:00 UTC")


def weekly_messages(workspace: Workspace) -> list[dict[str, Any]]:
    return [message for message in workspace.messages("incidents") if message.get("bot_id") == workspace.bot_id]


async def test_a_service_killed_at_every_event_of_it_says_it_once(tmp_path: Path) -> None:
    async with Workspace(manifest=manifest("minimal")) as workspace:
        settings = setting_up(workspace, tmp_path)
        await worked(settings, workspace.team_id)
        # Slack takes the first post, and the answer never comes
        workspace.faults.fail("chat.postMessage", times=1, kind="reset_after_commit")
        deaths = [await one_life(settings, tmp_path, workspace.team_id)]
        while deaths[-1] and len(deaths) < LIVES:
            deaths.append(await one_life(settings, tmp_path, workspace.team_id))
        assert set(deaths[:-1]) == {-signal.SIGKILL}
        assert len(deaths) > 3, "it died at too few events to mean anything"
        assert len(weekly_messages(workspace)) == 1
        async with read_journal(settings.agent_database, workspace.team_id) as journal:
            events = [each.event for each in await journal.since(0, limit=10_000)]
        for kind in (MessageWanted, MessageSent):
            assert sum(isinstance(event, kind) and event.key == WEEK.key for event in events) == 1, kind


async def one_life(settings: Settings, folder: Path, team: str) -> int:
    """Start the service; its exit code once it is dead, or 0 once it has found nothing more to say."""
    said_before = await said(settings, team)
    given = {name: str(getattr(settings, name)) for name in PLAIN}
    given |= {name: getattr(settings, name).get_secret_value() for name in SECRETS} | {"agent_alert_token": "t"}
    (folder / "settings.json").write_text(json.dumps({name.upper(): value for name, value in given.items()}))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.stories.mortal", str(folder / "settings.json"), str(folder / "seen"),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(2.0 if said_before else 30.0):
            return await process.wait()
    except TimeoutError:
        return 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(settings: Settings, team: str) -> bool:
    """Whether the journal knows where the message stands."""
    try:
        async with read_journal(settings.agent_database, team) as journal:
            row = await journal.message(WEEK.key)
    except JournalError:
        return False
    return row is not None and bool(row.ts)


async def test_two_services_with_journals_of_their_own_leave_one_message(tmp_path: Path) -> None:
    async with Workspace(manifest=manifest("minimal")) as workspace, AsyncExitStack() as stack:
        both = [setting_up(workspace, tmp_path / name) for name in ("one", "two")]
        for settings in both:
            await worked(settings, workspace.team_id)
        workspace.faults.hold("chat.postMessage")
        apps = [await stack.enter_async_context(running(settings, pace=QUICK)) for settings in both]
        await until(lambda: asyncio.sleep(0, workspace.faults.waiting == 2))
        workspace.faults.let_go("chat.postMessage")
        await until(lambda: all_said(both, workspace.team_id))
        for app in apps:
            await app.services.sender.idle()
        assert len(weekly_messages(workspace)) == 1


async def all_said(settings: list[Settings], team: str) -> bool:
    return all([await said(each, team) for each in settings])


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await look():
            await asyncio.sleep(0.02)
