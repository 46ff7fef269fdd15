"""The real Prometheus and Alertmanager around one incident: a rule fires on what is scraped, and the fix resolves it."""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from bot.commands.stage import stage
from bot.local.cluster import Cluster
from domain.diagnosis import Finding
from domain.events import DiagnosisConcluded, FindingsReported, RunStarted
from domain.runs import Origin, RunOutcome
from tests.real_monitors import alertmanager, free_port, needs_both, prometheus
from tests.scraping import PROMTOOL
from tests.stories.telling import MARA, Story, Watch
from tests.stories.test_incident import words

pytestmark = needs_both

ALERTMANAGER = """
route: {{receiver: agent, group_by: [alertname, deployment], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers:
  - name: agent
    webhook_configs:
      - url: http://127.0.0.1:{port}/alerts/alertmanager
        http_config: {{authorization: {{type: Bearer, credentials: from-the-monitor}}}}
"""
PROMETHEUS = """
global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}
alerting:
  alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]
scrape_configs:
  - job_name: shop
    static_configs: [{{targets: ["{exporter}"]}}]
rule_files: [{rules}]
"""
RULES = """
groups:
  - name: shop
    rules:
      - alert: TooManyErrors
        expr: |
          sum by (namespace, deployment) (rate(http_requests_total{code="500"}[4s]))
            / sum by (namespace, deployment) (rate(http_requests_total[4s])) > 0.05
        for: 1s
        labels: {severity: critical}
        annotations:
          summary: Too many requests fail
          description: '{{ $value | humanizePercentage }} of the requests to {{ $labels.deployment }} fail.'
"""


def history(folder: Path) -> None:
    """An hour of requests that went well, as Prometheus would have scraped it: what is normal shows in the chart."""
    now = int(time.time())
    lines = ["# TYPE http_requests counter"]
    for code, rate in (("200", 60), ("500", 0.3)):
        labels = f'namespace="shop",deployment="checkout",code="{code}",instance="earlier"'
        lines += [
            f"http_requests_total{{{labels}}} {rate * (at - now + 3900)} {at}" for at in range(now - 3900, now - 2, 2)
        ]
    (folder / "history").write_text("\n".join([*lines, "# EOF", ""]))
    made = [str(PROMTOOL), "tsdb", "create-blocks-from", "openmetrics", str(folder / "history"), str(folder / "tsdb")]
    subprocess.run(made, check=True, capture_output=True)


@dataclass
class Exporter:
    """The shop's request counters, derived from its pods: each scrape brings forty requests, and unready pods fail theirs."""

    cluster: Cluster | None = None
    requests: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    async def metrics(self, _: web.Request) -> web.Response:
        for pod in await self._pods():
            name = pod["metadata"]["ownerReferences"][0]["name"].rpartition("-")[0]
            statuses = pod["status"].get("containerStatuses") or []
            ready = bool(statuses) and all(status["ready"] for status in statuses)
            self.requests[(pod["metadata"]["namespace"], name, "200" if ready else "500")] += 10
            self.requests[(pod["metadata"]["namespace"], name, "500")] += 0
        lines = ["# HELP http_requests_total Requests by their answer.", "# TYPE http_requests_total counter"]
        lines += [
            f'http_requests_total{{namespace="{namespace}",deployment="{deployment}",code="{code}"}} {count}'
            for (namespace, deployment, code), count in self.requests.items()
        ]
        return web.Response(text="\n".join([*lines, ""]))

    async def _pods(self) -> list[dict[str, Any]]:
        if self.cluster is None:
            return []
        headers = {"Authorization": f"Bearer {self.cluster.admin_token}"}
        url = f"{self.cluster.url}/api/v1/namespaces/shop/pods"
        async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as response:
            pods = (await response.json())["items"]
        return [pod for pod in pods if pod["metadata"].get("ownerReferences")]


@asynccontextmanager
async def serving(exporter: Exporter) -> AsyncIterator[str]:
    application = web.Application()
    application.add_routes([web.get("/metrics", exporter.metrics)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def monitored(folder: Path) -> AsyncIterator[Story]:
    """A story whose alerts come from Prometheus by way of Alertmanager; the stand-in monitor looks once and sleeps."""
    exporter, port, watch = Exporter(), free_port(), Watch()
    (folder / "rules.yml").write_text(RULES)
    history(folder)
    async with serving(exporter) as target:
        with alertmanager(folder, ALERTMANAGER.format(port=port)) as told:
            config = PROMETHEUS.format(
                alertmanager=told.removeprefix("http://"), exporter=target, rules=folder / "rules.yml"
            )
            with prometheus(folder, config) as queried:
                settings = {
                    "AGENT_PORT": str(port), "AGENT_ALERT_TOKEN": "from-the-monitor",
                    "PROMETHEUS_URL": queried, "ALERTMANAGER_URL": told,
                }  # fmt: skip
                async with stage(folder, speed=4.0, interval_s=3600, clock=watch.now, **settings) as world:
                    exporter.cluster = world.cluster
                    yield Story(world, watch)


async def test_a_rule_fires_the_diagnosis_cites_its_series_and_the_approved_rollback_resolves_it(
    tmp_path: Path,
) -> None:
    async with monitored(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        assert approval.request.action.tool == "kubernetes_rollback"
        [started] = await story.recorded(RunStarted)
        assert (started.spec.origin, started.spec.alert.name) == (Origin.ALERT, "TooManyErrors")
        assert started.spec.alert.labels["deployment"] == "checkout"

        [reported] = await story.recorded(FindingsReported)
        measured = one(reported.findings, "measured.alert")
        assert "above 0.05 since" in measured.title
        assert measured.facts["labels"] == {"deployment": "checkout", "namespace": "shop"}
        assert reported.findings[0].code == "deployment.bad_rollout"

        await story.press(MARA, approval)
        assert (await story.finished()).outcome is RunOutcome.REMEDIATED
        [concluded] = await story.recorded(DiagnosisConcluded)
        cited = {item.title for item in concluded.diagnosis.evidence}
        assert {"the series behind TooManyErrors", "the rule TooManyErrors"} <= cited
        assert " Measured: TooManyErrors: 0." in concluded.diagnosis.cause

        [chart] = [message for message in await story.thread() if "slack_file" in str(message["blocks"])]
        assert chart["text"].startswith(measured.title)
        [picture] = [file for file in story.stage.workspace.files() if file["name"] == f"{started.spec.id}.png"]
        assert picture["content"][:4] == b"\x89PNG"

        incident = await story.resolved()
        assert (incident.title, incident.source) == ("checkout: Too many requests fail", "alertmanager")
        assert "above 0.05 since" in words(await story.thread())

        async def said() -> bool:
            return "Resolved" in words(story.stage.workspace.messages(incident.channel))

        assert await story.until(said)


def one(findings: tuple[Finding, ...], code: str) -> Finding:
    [found] = [found for found in findings if found.code == code]
    return found
