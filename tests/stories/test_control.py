"""/agent on a running service: what stands, why, what policy says, what it was worth; pause, resume and mode that hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.actions import Mode
from domain.events import RunStarted
from domain.runs import RunOutcome, RunStatus
from tests.stories.telling import GITA, MARA, Story, telling


async def command(story: Story, text: str, who: str = MARA) -> str:
    """What the person is shown."""
    room = story.stage.workspace
    before = len(room.ephemerals(who))
    await room.command(who, "incidents", text)
    await room.until(lambda: len(room.ephemerals(who)) > before)
    return str(room.ephemerals(who)[before:]).replace("\u2060", "")


async def test_commands_tell_what_the_journal_has(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        assert "1" in await command(story, "status")
        assert "checkout" in await command(story, "incidents")
        why = await command(story, f"why {approval.request.id}")
        for said in ("kubernetes_rollback", "change-production", "State: pending"):
            assert said in why
        policy = await command(story, "policy kubernetes_restart kind=Deployment namespace=shop name=checkout")
        assert "change-production" in policy
        assert "There is no tool rm" in await command(story, "policy rm name=checkout")
        assert "What the agent's work was worth" in await command(story, "roi 7d")
        assert "a full member of this workspace" in await command(story, "whoami")
        assert "Guests" in await command(story, "whoami", GITA)
        assert story.changes() == []


@pytest.mark.parametrize("before_the_run", [True, False], ids=["no new run works", "no approved change runs"])
async def test_a_pause_holds_until_it_is_resumed(tmp_path: Path, before_the_run: bool) -> None:
    async with telling(tmp_path) as story:
        if before_the_run:
            await command(story, "pause maintenance")
            await story.begin()
            await story.until(lambda: story.recorded(RunStarted))
            assert "maintenance" in await command(story, "status")
            [row] = await story.journal.runs()
            assert (row.status, row.steps) == (RunStatus.RUNNING, 0)
            await command(story, "resume")
            await story.approval()
        else:
            await story.begin()
            approval = await story.approval()
            await command(story, "pause")
            await story.press(MARA, approval)
            await story.plane.sweep()
            assert story.changes() == []
            await command(story, "resume")
            assert (await story.finished()).outcome is RunOutcome.REMEDIATED


async def test_observe_mode_holds_over_a_restart(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        assert "The mode is observe" in await command(story, "mode observe")
        assert "observe, propose, act" in await command(story, "mode sideways")
    async with telling(tmp_path) as story:
        assert story.plane.mode is Mode.OBSERVE
        await story.begin()
        assert (await story.finished()).outcome is RunOutcome.NOT_REMEDIATED
        assert story.changes() == []
