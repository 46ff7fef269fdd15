"""/agent on a running service: what stands, why, what policy says, what it was worth; pause, resume and mode that hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from domain.actions import Mode
from domain.alerts import Alert
from domain.events import AlertHeld, IncidentOpened, MaintenanceStarted, RunStarted
from domain.noise import Suppression
from domain.runs import RunOutcome, RunStatus
from tests.stories.telling import GITA, MARA, Story, telling


async def command(story: Story, text: str, *said: str, who: str = MARA) -> None:
    """Type a command, and wait until the person is shown all of `said`."""
    room = story.stage.workspace
    before = len(room.ephemerals(who))
    await room.command(who, "incidents", text)

    def shown() -> bool:
        seen = str(room.ephemerals(who)[before:]).replace("\u2060", "")
        return all(part in seen for part in said)

    await room.until(shown)


async def test_commands_tell_what_the_journal_has(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        await command(story, "status", "*propose*")
        await command(story, "incidents", "checkout")
        await command(story, f"why {approval.request.id}", "kubernetes_rollback", "change-production", "State: pending")
        restart = "kubernetes_restart kind=Deployment namespace=shop name=checkout"
        await command(story, f"policy {restart}", "kubernetes_restart on shop", "change-production")
        await command(story, "policy rm name=checkout", "There is no tool rm")
        await command(story, "roi 7d", "What the agent's work was worth")
        await command(story, "whoami", "a full member of this workspace")
        await command(story, "whoami", "Guests", who=GITA)
        assert story.changes() == []


@pytest.mark.parametrize("before_the_run", [True, False], ids=["no new run works", "no approved change runs"])
async def test_a_pause_holds_until_it_is_resumed(tmp_path: Path, before_the_run: bool) -> None:
    async with telling(tmp_path) as story:
        if before_the_run:
            await command(story, "pause maintenance", "Paused")
            await story.begin()
            await story.until(lambda: story.recorded(RunStarted))
            await command(story, "status", "maintenance")
            [row] = await story.journal.runs()
            assert (row.status, row.steps) == (RunStatus.RUNNING, 0)
            await command(story, "resume", "Resumed")
            await story.approval()
        else:
            await story.begin()
            approval = await story.approval()
            await command(story, "pause", "Paused")
            await story.press(MARA, approval)
            await story.plane.sweep()
            assert story.changes() == []
            await command(story, "resume", "Resumed")
            assert (await story.finished()).outcome is RunOutcome.REMEDIATED


async def test_observe_mode_holds_over_a_restart(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await command(story, "mode observe", "The mode is observe")
        await command(story, "mode sideways", "observe, propose, act")
    async with telling(tmp_path) as story:
        assert story.plane.mode is Mode.OBSERVE
        await story.begin()
        assert (await story.finished()).outcome is RunOutcome.NOT_REMEDIATED
        assert story.changes() == []


async def test_the_service_is_not_ready_when_nothing_keeps_its_messages_true(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        assert await story.stage.app.readiness() == []
        await story.plane.narrator.stop()
        assert await story.stage.app.readiness() == ["the messages of incidents are not kept up to date"]


async def test_announced_maintenance_opens_nothing_until_it_is_ended(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await command(story, "maintenance shop", "/agent maintenance <namespace> <2h> [reason]")
        await command(story, "maintenance shop 3d", "a number and m or h")
        await command(story, "maintenance shop 2h", "may", who=GITA)
        await command(story, "maintenance shop 2h a new database", "alerts of shop open nothing")
        [started] = await story.recorded(MaintenanceStarted)
        await command(story, "status", "Maintenance", "a new database", started.window.id)
        await story.begin()
        held = await story.until(lambda: story.recorded(AlertHeld))
        assert held[0].why is Suppression.MAINTENANCE
        assert await story.journal.incidents() == []
        await command(story, "maintenance end mnt-none", "There is no maintenance window")
        await command(story, f"maintenance end {started.window.id}", "What still fires opens incidents now")
        approval = await story.approval()
        assert approval.request.action.tool == "kubernetes_rollback"
        assert await story.recorded(IncidentOpened) != []


async def test_an_alert_that_comes_back_is_told_in_its_own_thread_and_opens_an_incident_when_its_time_is_up(
    tmp_path: Path,
) -> None:
    slow = Alert("f1", True, "SlowQueue", "alertmanager", datetime.now(UTC), summary="the queue is slow")
    async with telling(tmp_path) as story:
        await story.plane.receive([slow])
        await story.plane.receive([replace(slow, firing=False)])
        story.watch.ahead = timedelta(minutes=2)
        await story.plane.receive([slow])
        said = await story.until(lambda: again(story))
        assert "If it still does at" in said
        story.watch.ahead = timedelta(minutes=20)
        await story.plane.sweep()
        assert len(await story.journal.incidents(open_only=True)) == 1
        assert len(await story.journal.incidents()) == 2


async def again(story: Story) -> str:
    """What the thread of the first incident says of its alert firing again."""
    first = (await story.journal.incidents())[-1]
    thread = story.stage.workspace.messages(first.channel, first.thread_ts) if first.thread_ts else ()
    return next((str(message) for message in thread if "It fires again" in str(message)), "")
