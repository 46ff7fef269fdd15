"""SIGKILL at every event of a run, one restart an event: the same end, and one execution."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

from bot.commands.stage import settings_for
from bot.local.cluster import AGENT, Cluster
from bot.local.monitor import Monitor
from bot.local.workspace import Workspace
from domain.decisions import ApprovalState
from domain.errors import JournalError
from domain.events import ExecutionStarted, VerificationPassed, VoteCast
from domain.runs import RunOutcome, RunStatus
from handlers.manifest import manifest
from storage.reader import read_journal
from storage.verify import verify
from tests.stories.telling import MARA, scenario_named

LIVES = 120


class World:
    """The world that goes on while the service dies."""

    def __init__(self, folder: Path, workspace: Workspace, cluster: Cluster, port: int) -> None:
        self.workspace, self.cluster, self.port = workspace, cluster, port
        self.database = folder / "personal-agent.db"
        self.seen = folder / "seen"
        self.settings_file = folder / "settings.json"
        cluster.write_kubeconfig(folder / "kubeconfig")
        given = settings_for(
            workspace, folder / "kubeconfig", self.database, AGENT_ALERT_TOKEN="t", AGENT_PORT=str(port)
        )
        secrets = {name: getattr(given, name).get_secret_value() for name in ("slack_bot_token", "slack_app_token")}
        plain = {name: str(getattr(given, name)) for name in WANTED}
        settings = {**plain, **secrets, "agent_alert_token": "t", "agent_mode": given.agent_mode.value}
        self.settings_file.write_text(json.dumps({name.upper(): value for name, value in settings.items()}))

    async def one_life(self) -> int:
        """Start the service; its exit code once it is dead, or 0 once the run is over."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.stories.mortal", str(self.settings_file), str(self.seen),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        dead = asyncio.create_task(process.wait())
        try:
            while not dead.done():
                await self._click()
                if await self.over():
                    return 0
                await asyncio.wait([dead], timeout=0.2)
            return dead.result()
        finally:
            if process.returncode is None:
                process.kill()
            await dead

    async def over(self) -> bool:
        """Whether the incident is resolved and its run has ended."""
        if not self.database.exists():
            return False
        try:
            async with read_journal(self.database, self.workspace.team_id) as journal:
                incidents, runs = await journal.incidents(), await journal.runs()
        except JournalError:
            return False  # it is being laid out
        return bool(incidents) and not incidents[0].open and all(row.status is RunStatus.FINISHED for row in runs)

    async def _click(self) -> None:
        """Mara presses Approve where a card still asks: a click that died with the service has to be made again."""
        if not self.database.exists():
            return
        try:
            async with read_journal(self.database, self.workspace.team_id) as journal:
                pending = await journal.approvals(pending=True)
                messages = [await journal.message(f"approval:{approval.request.id}") for approval in pending]
        except JournalError:
            return  # it is being laid out: looked at again soon
        for message in messages:
            if message is not None and message.ts and self.workspace.connections:
                await self.workspace.click(MARA, message.channel, message.ts, "approval.approve")


WANTED = (
    "slack_api_url", "kubeconfig", "agent_database", "agent_port", "agent_channel", "agent_approvers", "agent_environments",
)  # fmt: skip


async def test_a_service_killed_at_every_event_of_a_run_ends_it_with_one_execution(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    async with Workspace(manifest=manifest("minimal")) as workspace, Cluster(speed=4.0) as cluster:
        world = World(tmp_path, workspace, cluster, unused_tcp_port)
        webhook = f"http://127.0.0.1:{unused_tcp_port}/alerts/alertmanager"
        async with Monitor(cluster.url, cluster.admin_token, webhook, "t", interval=0.15):
            await scenario_named("bad-rollout").start(cluster)
            deaths = 0
            for _ in range(LIVES):
                code = await world.one_life()
                if code == 0:
                    break
                assert code == -signal.SIGKILL
                deaths += 1
                print(deaths, world.seen.read_text().splitlines()[-1])
    assert deaths > 20, "it died at too few events to mean anything"
    await check_the_end(world)


async def check_the_end(world: World) -> None:
    async with read_journal(world.database, world.workspace.team_id) as journal:
        events: list[Any] = [envelope.event for envelope in await journal.since(0, limit=100_000)]
        [row], [incident] = await journal.runs(), await journal.incidents()
        approvals = await journal.approvals()
    assert row.outcome is RunOutcome.REMEDIATED
    assert [approval.state for approval in approvals] == [ApprovalState.CONSUMED]
    for kind in (VoteCast, ExecutionStarted, VerificationPassed):
        assert sum(isinstance(event, kind) for event in events) == 1, kind
    asked = [call for call in world.cluster.asked if call.user == AGENT and not call.dry_run and call.code < 300]
    changes = [call.path for call in asked if call.verb == "patch"]
    assert changes == ["/apis/apps/v1/namespaces/shop/deployments/checkout"]
    thread = world.workspace.messages(incident.channel, incident.thread_ts)
    posted = [message["metadata"]["event_payload"]["id"] for message in thread if message.get("metadata")]
    assert len(posted) == len(set(posted)), "a message stands twice in the thread"
    assert verify(world.database).ok
