"""A scan in Slack: asked for, ranked, a finding proposed, approved and verified, another snoozed, and nothing twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.commands import demo_scan
from bot.local.cluster import Cluster
from bot.local.gitlab import GitLab
from bot.local.prometheus import Prometheus
from bot.local.scenarios import CONFIGURATION
from bot.local.usage import used_for_a_week
from domain.decisions import Actor, ApprovalState
from domain.events import FindingSnoozed, RunStarted, WorkUnitRecorded
from domain.runs import Origin, RunOutcome
from domain.weeks import appointment
from domain.work import WorkKind, WorkOutcome
from tests.stories.telling import GITA, JONAS, MARA, Story, scenario_named, telling

WASTE = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}


@asynccontextmanager
async def measured(folder: Path, **more: str) -> AsyncIterator[Story]:
    """A story in a cluster whose Prometheus knows what was used, and in which `web` asks for far more."""
    async with Prometheus() as prometheus:
        used_for_a_week(prometheus)
        async with telling(folder, PROMETHEUS_URL=prometheus.url, **more) as story:
            await oversized(story.stage.cluster)
            yield story


async def oversized(cluster: Cluster, name: str = "web") -> None:
    container = {"name": name, "resources": WASTE}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    url = f"{cluster.url}/apis/apps/v1/namespaces/shop/deployments/{name}"
    kind = {"Content-Type": "application/strategic-merge-patch+json", "Authorization": f"Bearer {cluster.admin_token}"}
    async with aiohttp.ClientSession() as session, session.patch(url, json=patch, headers=kind) as answer:
        assert answer.status == 200


async def scan(story: Story, namespace: str = "shop") -> dict[str, Any]:
    """Ask for a scan; its message, once the list stands in it."""
    before = len(await story.journal.runs())
    await story.stage.workspace.command(MARA, "incidents", f"scan {namespace}")

    async def listed() -> dict[str, Any] | None:
        rows = await story.journal.runs()
        if len(rows) == before or not rows[0].finished_at:
            return None
        return await message(story, rows[0].spec.id)

    found = await story.until(listed)
    assert found is not None
    return found


async def message(story: Story, run_id: str) -> dict[str, Any] | None:
    """A scan's message as Slack has it, once the list has taken the place of the progress."""
    row = await story.journal.message(f"progress:{run_id}")
    if row is None or not row.ts or row.sent_revision < row.revision or "Configuration scan" not in row.text:
        return None
    return next(one for one in story.stage.workspace.messages("incidents") if one["ts"] == row.ts)


def words(message: dict[str, Any]) -> str:
    return str(message["blocks"]).replace("\u2060", "")


async def choose(story: Story, listed: dict[str, Any], title: str, what: str, who: str = MARA) -> None:
    """Open the menu of the finding with this title and choose an entry."""
    [block] = [one for one in listed["blocks"] if "accessory" in one and title in words({"blocks": [one]})]
    values = [option["value"] for option in block["accessory"]["options"]]
    value = next(one for one in values if one.startswith(what))
    room = story.stage.workspace
    await room.click(who, "incidents", listed["ts"], "scan.finding", value=value, block_id=block["block_id"])


async def whispered(story: Story, part: str, who: str = MARA) -> None:
    room = story.stage.workspace
    await room.until(lambda: part in str(room.ephemerals(who)))


async def test_a_scan_lists_what_to_free_and_a_finding_becomes_an_approved_and_verified_change(tmp_path: Path) -> None:
    async with measured(tmp_path) as story:
        listed = await scan(story)
        told = words(listed)
        assert "Configuration scan in shop" in told
        assert "web: memory 1Gi → 64Mi, CPU 1000m → 80m" in told
        assert "Uses 40 MiB of memory and 60m of CPU in the 95th percentile of 7 days" in told
        assert "Frees 1.9 GiB of memory and 1840m of CPU over 2 replicas" in told
        assert "of requests could be freed" in told
        assert story.changes() == []

        await choose(story, listed, "web: memory", "propose")
        approval = await story.approval()
        card = await story.journal.message(f"approval:{approval.request.id}")
        assert card.thread_ts == listed["ts"]  # below the list that it is from
        action = approval.request.action
        assert (action.tool, str(action.target)) == ("kubernetes_set_resources", "shop/deployment/web")
        assert action.arguments["requests"] == {"cpu": "80m", "memory": "64Mi"}
        await story.press(MARA, approval)
        await whispered(story, "You asked for this, so somebody else has to decide")
        await story.press(JONAS, approval)
        done = await story.finished()
        assert (done.outcome, done.spec.work) == (RunOutcome.REMEDIATED, WorkKind.CONFIGURATION_FINDING)
        assert len(story.changes()) == 1
        [approval] = await story.journal.approvals()
        assert (approval.state, approval.execution.verified) == (ApprovalState.CONSUMED, True)

        again = await scan(story)
        assert "web: memory" not in words(again)
        units = [event.unit for event in await story.recorded(WorkUnitRecorded)]
        kinds = [(unit.kind, unit.outcome, unit.worth) for unit in units]
        scanned = (WorkKind.CONFIGURATION_FINDING, WorkOutcome.NO_ACTION, False)
        assert kinds == [scanned, (WorkKind.CONFIGURATION_FINDING, WorkOutcome.ACCEPTED, True), scanned]
        [group] = [one for one in (await story.plane.status()).week.by_kind if one.name == "configuration_finding"]
        assert (group.n, group.credited) == (3, 1)


async def test_a_finding_is_snoozed_with_an_owner_and_the_next_scan_shows_nothing_twice(tmp_path: Path) -> None:
    async with measured(tmp_path) as story:
        listed = await scan(story)
        await choose(story, listed, "web: memory", "snooze")
        room = story.stage.workspace
        await room.until(lambda: room.views(MARA))
        view = room.views(MARA)[-1]
        until = datetime.now(UTC).date() + timedelta(days=90)
        values = {
            "owner": {"value": room.user(JONAS)},
            "until": {"value": until.isoformat()},
            "reason": {"value": "load test on Friday"},
        }
        assert await room.submit(MARA, view["id"], values) == {}
        await whispered(story, "Snoozed until")
        [event] = await story.recorded(FindingSnoozed)
        assert (event.owner, event.reason) == (room.user(JONAS), "load test on Friday")
        assert event.until.date() == until

        async def gone() -> bool:
            run_id = (await story.journal.runs())[0].spec.id
            now = await message(story, run_id)
            return now is not None and "1 finding snoozed" in words(now)

        await story.until(gone)
        again = await scan(story)
        assert "web: memory" not in words(again)
        assert "1 finding snoozed" in words(again)
        known = await story.journal.config_findings()
        assert len({one.key for one in known}) == len(known)


async def test_a_guest_may_neither_propose_nor_snooze(tmp_path: Path) -> None:
    async with measured(tmp_path) as story:
        listed = await scan(story)
        await choose(story, listed, "web: memory", "propose", GITA)
        await whispered(story, "Only full members of this workspace may propose a change", GITA)
        assert await story.journal.approvals() == []


async def test_a_change_is_proposed_once_a_day(tmp_path: Path) -> None:
    async with measured(tmp_path) as story:
        listed = await scan(story)
        await choose(story, listed, "web: memory", "propose")
        await story.approval()
        await choose(story, listed, "web: memory", "propose")
        await whispered(story, "proposed today already")
        assert len(await story.journal.approvals()) == 1


async def test_what_is_no_namespace_is_refused(tmp_path: Path) -> None:
    async with measured(tmp_path) as story:
        await story.stage.workspace.command(MARA, "incidents", "scan ../etc")
        await whispered(story, "is not a namespace")
        assert await story.recorded(RunStarted) == []


async def test_a_scheduled_scan_speaks_once_and_then_only_of_news(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    due = f"{now:%a %H:%M} UTC"
    async with measured(tmp_path, AGENT_SCAN=due) as story:

        async def told(number: int) -> dict[str, Any] | None:
            rows = list(reversed(await story.journal.runs()))
            return await message(story, rows[number].spec.id) if len(rows) > number else None

        first = await story.until(lambda: told(0))
        assert first is not None
        assert "in all namespaces" in words(first)
        places = {
            one.finding.target.namespace: one.finding.target.environment
            for one in await story.journal.config_findings()
        }
        assert places["shop"] == "production"
        assert places.get("staging-shop", "staging") == "staging"
        [row] = await story.journal.runs()
        assert (row.spec.origin, row.spec.channel) == (Origin.SCHEDULE, story.stage.workspace.channel("incidents"))

        weekly = appointment(due)
        await story.plane.scan_weekly(weekly, story.watch.now)
        assert len(await story.journal.runs()) == 1  # once a week, however often it is looked at

        async def next_week() -> str:
            story.watch.ahead += timedelta(days=7)
            await story.plane.scan_weekly(weekly, story.watch.now)
            return str((await story.finished()).spec.id)

        await scan(story, "")
        quiet = await next_week()
        assert await story.journal.message(f"progress:{quiet}") is None
        await oversized(story.stage.cluster, "cart")
        loud = await next_week()
        listed = await story.until(lambda: message(story, loud))
        assert listed is not None
        assert "*worse*" in words(listed)

        scans = len(await story.journal.runs())
        story.watch.ahead += timedelta(days=9)
        await story.plane.scan_weekly(weekly, story.watch.now)  # two days late: left to the next week
        story.watch.ahead += timedelta(days=5)
        await story.plane.pause(Actor("person", story.stage.workspace.user(MARA)), "")
        await story.plane.scan_weekly(weekly, story.watch.now)
        assert len(await story.journal.runs()) == scans


async def test_the_demo_of_a_scan_ends_well_only_where_its_change_is_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    async with demo_scan.measured(CONFIGURATION) as url, telling(tmp_path, PROMETHEUS_URL=url) as story:
        await CONFIGURATION.start(story.stage.cluster)
        with story.journal.subscribe() as events:
            code = await demo_scan.play(
                story.stage, CONFIGURATION, events, lambda one: seen.append(type(one.event).__name__)
            )
        assert code == 0
        assert "executed and verified" in capsys.readouterr().out
        assert "VerificationPassed" in seen
        other = replace(CONFIGURATION, expected_tool="kubernetes_rollback")
        assert await demo_scan._problem(story.stage, other) == "Expected one kubernetes_rollback to be executed."


async def test_other_demos_have_no_prometheus() -> None:
    async with demo_scan.measured(scenario_named("oom")) as url:
        assert url == ""


async def test_where_the_manifest_is_kept_in_gitlab_the_change_becomes_a_merge_request_with_its_exact_diff(
    tmp_path: Path,
) -> None:
    async with GitLab(speed=10) as gitlab:
        login = {"GITLAB_URL": gitlab.url, "GITLAB_TOKEN": gitlab.token}
        async with measured(tmp_path, **login) as story:
            gitlab.push("shop/web", {"deploy.yaml": MANIFEST}, "As it runs")
            await annotated(story.stage.cluster, {"personal-agent.dev/manifest": "shop/web@main:deploy.yaml"})
            listed = await scan(story)
            assert "shop/web deploy.yaml" in words(listed)
            await choose(story, listed, "web: memory", "propose")
            approval = await story.approval()
            action = approval.request.action
            assert (action.tool, str(action.target)) == ("gitlab_open_merge_request", "gitlab:shop/web")
            for line in ("-              memory: 1Gi", "+              memory: 64Mi", '+              cpu: "80m"'):
                assert line in action.diff.splitlines(), action.diff
            await story.press(JONAS, approval)
            assert (await story.finished()).outcome is RunOutcome.REMEDIATED
            assert story.changes() == [], "the cluster is changed by whoever merges, not by the agent"
            [request] = gitlab.projects["shop/web"].merge_requests
            assert (request.target, request.state) == ("main", "opened")


MANIFEST = b"""apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  template:
    spec:
      containers:
        - name: web
          resources:
            requests:
              cpu: "1"
              memory: 1Gi
            limits:
              memory: 1Gi
"""


async def annotated(cluster: Cluster, notes: dict[str, str], name: str = "web") -> None:
    url = f"{cluster.url}/apis/apps/v1/namespaces/shop/deployments/{name}"
    kind = {"Content-Type": "application/merge-patch+json", "Authorization": f"Bearer {cluster.admin_token}"}
    patch = {"metadata": {"annotations": notes}}
    async with aiohttp.ClientSession() as session, session.patch(url, json=patch, headers=kind) as answer:
        assert answer.status == 200
