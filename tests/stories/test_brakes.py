"""The brakes on the whole service, with Slack and restarts: what stops stays stopped, says why, and a person lets it go."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.app import running
from bot.commands.stage import QUICK, Stage, settings_for
from bot.local.cluster import Cluster
from bot.local.monitor import Monitor
from bot.local.workspace import Workspace
from domain.actions import Mode
from domain.decisions import SYSTEM, Actor, ApprovalState
from domain.errors import NotAllowed
from domain.events import AutonomyRestored, BreakerOpened, BreakerReset, Draft, ExecutionStarted, VoteRefused
from domain.runs import RunOutcome
from handlers.manifest import manifest
from tests.stories.telling import JONAS, MARA, PRIYA, Story, Watch, telling

ROLLBACK = "patch /apis/apps/v1/namespaces/shop/deployments/checkout"
TOOL = "kubernetes_rollback"


class House:
    """A workspace, a cluster and a monitor that go on while the service is restarted."""

    def __init__(self, folder: Path, workspace: Workspace, cluster: Cluster, port: int) -> None:
        self.folder, self.workspace, self.cluster, self.port = folder, workspace, cluster, port

    @asynccontextmanager
    async def life(self, **settings: str) -> AsyncIterator[Story]:
        """One life of the service."""
        watch = Watch()
        given = settings_for(
            self.workspace, self.folder / "kubeconfig", self.folder / "agent.db",
            AGENT_PORT=str(self.port), AGENT_ALERT_TOKEN="t", **settings,
        )  # fmt: skip
        webhook = f"http://127.0.0.1:{self.port}/alerts/alertmanager"
        async with (
            running(given, pace=QUICK, clock=watch.now) as app,
            Monitor(self.cluster.url, self.cluster.admin_token, webhook, "t", interval=0.15) as monitor,
        ):
            yield Story(Stage(self.workspace, self.cluster, monitor, app), watch)


@pytest.fixture
async def house(tmp_path: Path, unused_tcp_port: int) -> AsyncIterator[House]:
    async with Workspace(manifest=manifest("minimal")) as workspace, Cluster(speed=4.0) as cluster:
        cluster.write_kubeconfig(tmp_path / "kubeconfig")
        yield House(tmp_path, workspace, cluster, unused_tcp_port)


def words(said: object) -> str:
    """Slack messages as text, without the word joiners that keep identifiers literal."""
    return json.dumps(said, ensure_ascii=False).replace("\u2060", "")


async def command(story: Story, text: str, who: str = MARA) -> str:
    """What the person is shown."""
    room = story.stage.workspace
    before = len(room.ephemerals(who))
    await room.command(who, "incidents", text)
    await room.until(lambda: len(room.ephemerals(who)) > before)
    return words(room.ephemerals(who)[before:])


async def channel(story: Story, part: str) -> str:
    """Everything in the incidents' channel, once this part stands in it."""
    room = story.stage.workspace
    home = story.stage.app.services.channel
    await room.until(lambda: part in words(room.messages(home)))
    return words(room.messages(home))


def everything(story: Story) -> list[object]:
    """The messages of the incidents' channel itself, without the threads."""
    room = story.stage.workspace
    return [m for m in room.messages(story.stage.app.services.channel) if m.get("thread_ts", m["ts"]) == m["ts"]]


# --- the kill switch --------------------------------------------------------------------------------------------------


async def test_a_pause_stops_what_is_approved_over_a_restart_until_somebody_resumes(house: House) -> None:
    async with house.life() as story:
        await story.begin()
        approval = await story.approval()
        await command(story, "pause too many changes at once")
        await story.press(MARA, approval)
        await story.approval(ApprovalState.APPROVED)
    async with house.life() as story:
        assert story.plane.paused == "too many changes at once"
        await story.plane.sweep()
        assert "too many changes at once" in await command(story, "status")
        assert await story.recorded(ExecutionStarted) == []
        assert story.changes() == []
        await channel(story, "paused the agent: too many changes at once")
        await command(story, "resume")
        await channel(story, "resumed the agent")
        assert (await story.finished()).outcome is RunOutcome.REMEDIATED
        assert story.changes() == [ROLLBACK]


# --- observe mode -----------------------------------------------------------------------------------------------------


async def test_an_approval_from_before_executes_nothing_after_a_restart_in_observe_mode(house: House) -> None:
    async with house.life() as story:
        await story.begin()
        approval = await story.approval()
        await command(story, "pause wait")
        await story.press(MARA, approval)
        await story.approval(ApprovalState.APPROVED)
    async with house.life(AGENT_MODE="observe") as story:
        await command(story, "resume")
        assert (await story.finished()).outcome is RunOutcome.NOT_REMEDIATED
        assert (await story.journal.approval(approval.request.id)).state is ApprovalState.CANCELLED
        assert story.changes() == []


async def test_agent_mode_observe_is_a_ceiling_that_nobody_lifts_from_slack(house: House) -> None:
    async with house.life() as story:
        await command(story, "mode act")
        assert story.plane.mode is Mode.ACT
    async with house.life(AGENT_MODE="observe") as story:
        assert story.plane.mode is Mode.OBSERVE
        assert "AGENT_MODE=observe" in await command(story, "mode act")
        with pytest.raises(NotAllowed):
            await story.plane.set_mode(Actor("person", story.stage.workspace.user(MARA)), Mode.PROPOSE)
        assert story.plane.mode is Mode.OBSERVE
        await story.begin()
        await story.finished()
        assert story.changes() == []


# --- circuit breakers -------------------------------------------------------------------------------------------------


async def test_an_open_breaker_is_announced_once_holds_over_a_restart_and_is_reset_by_an_approver(house: House) -> None:
    async with house.life() as story:
        await story.journal.append(Draft(BreakerOpened(TOOL, "Three rollbacks failed.", ("exe-1",)), SYSTEM))
    async with house.life() as story:
        await channel(story, "Three rollbacks failed.")
        await story.begin()
        row = await story.finished()
        assert row.outcome is RunOutcome.NOT_REMEDIATED
        await story.approval(ApprovalState.CANCELLED)
        assert await story.recorded(ExecutionStarted) == []
        card = words(await story.thread())
        assert "It cannot execute" in card
        assert f"/agent reset {TOOL}" in card
        assert "Three rollbacks failed." in await command(story, "status")
        assert "may let a brake go" in await command(story, f"reset {TOOL}", PRIYA)
        assert await story.recorded(BreakerReset) == []
        assert "its count begins anew" in await command(story, f"reset {TOOL}")
        await channel(story, "reset the circuit breaker")
        told = [message for message in everything(story) if "Three rollbacks failed. Nothing of it" in words(message)]
        assert len(told) == 1
        assert "is not open" in await command(story, f"reset {TOOL}")
        assert "Say which" in await command(story, "reset")


# --- demotion ---------------------------------------------------------------------------------------------------------

ALLOWING = """
groups: {approvers: $AGENT_APPROVERS}
rules:
  - {id: all, decision: allow, match: {effects: [read, write]}, reason: Everything goes.}
"""


async def test_what_policy_allows_runs_by_itself_until_it_is_taken_back_and_asks_from_then_on(house: House) -> None:
    (house.folder / "policy").mkdir()
    (house.folder / "policy" / "all.yaml").write_text(ALLOWING)
    async with house.life(AGENT_MODE="act", AGENT_POLICY=str(house.folder / "policy")) as story:
        await story.begin()
        assert (await story.finished()).outcome is RunOutcome.REMEDIATED
        assert await story.journal.approvals() == []
        assert len(await story.recorded(ExecutionStarted)) == 1
        [row] = await story.journal.runs()
        assert "Proposed to take it back" in await command(story, f"undo {row.spec.id}")
        assert "asked for already" in await command(story, f"undo {row.spec.id}")
        await channel(story, f"{TOOL} asks a person in production")
        assert len(await story.recorded(ExecutionStarted)) == 2
        assert "may let a brake go" in await command(story, f"restore {TOOL} production", PRIYA)
        assert "policy decides again" in await command(story, f"restore {TOOL} production", JONAS)
        assert len(await story.recorded(AutonomyRestored)) == 1
        assert await story.recorded(VoteRefused) == []


async def test_protected_namespaces_are_refused_whatever_policy_says(tmp_path: Path) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "all.yaml").write_text(ALLOWING)
    async with telling(tmp_path, AGENT_MODE="act", AGENT_POLICY=str(tmp_path / "policy")) as story:
        for namespace, outcome in (
            ("kube-system", "deny (rule builtin:protected-namespace)"),
            ("shop", "allow (rule all)"),
        ):
            name = {"kube-system": "coredns", "shop": "checkout"}[namespace]
            arguments = {"kind": "Deployment", "namespace": namespace, "name": name, "replicas": 1}
            said = await story.plane.explain("kubernetes_scale", arguments, story.stage.workspace.user(MARA))
            assert outcome in said
