"""The real Alertmanager: its own webhook opens the incident, and its own resolved closes it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from domain.alerts import Severity
from domain.events import AlertJoined, IncidentResolved, RunStarted
from tests.stories.telling import telling

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
CONFIG = """
route: {{receiver: agent, group_by: [alertname, namespace], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}
receivers:
  - name: agent
    webhook_configs:
      - url: {webhook}
        send_resolved: true
        http_config: {{authorization: {{type: Bearer, credentials: {token}}}}}
"""
LABELS = {"alertname": "KubePodCrashLooping", "namespace": "shop", "deployment": "cart", "severity": "critical"}

pytestmark = pytest.mark.skipif(PROGRAM is None and not os.environ.get("CI"), reason="Alertmanager is not installed")


@asynccontextmanager
async def alertmanager(folder: Path, webhook: str, token: str, port: int) -> AsyncIterator[str]:
    """A running Alertmanager that notifies `webhook`; its address."""
    assert PROGRAM is not None, "prometheus-alertmanager must be there in CI"
    config = folder / "alertmanager.yml"
    config.write_text(CONFIG.format(webhook=webhook, token=token))
    process = await asyncio.create_subprocess_exec(
        PROGRAM, f"--config.file={config}", f"--storage.path={folder / 'alerts'}", "--cluster.listen-address=",
        f"--web.listen-address=127.0.0.1:{port}", stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            while b"Listening on" not in (line := await process.stderr.readline()):
                assert line, "Alertmanager ended while it was starting"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.communicate()


async def send(url: str, pod: str, *, ends: bool = False) -> None:
    """What Prometheus sends Alertmanager about a rule that fires, or has ceased to."""
    alert = {
        "labels": {**LABELS, "pod": pod},
        "annotations": {"summary": "Pod is crash looping.", "description": f"{pod} restarts again and again."},
        "generatorURL": "http://prometheus.example/graph",
        **({"endsAt": datetime.now(UTC).isoformat()} if ends else {}),
    }
    async with (
        aiohttp.ClientSession(raise_for_status=True) as session,
        session.post(f"{url}/api/v2/alerts", json=[alert]),
    ):
        pass


async def test_a_real_alertmanager_opens_one_incident_for_its_group_and_resolves_it(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    async with telling(tmp_path, AGENT_ALERT_TOKEN="from-the-monitor") as story:
        webhook = f"{story.stage.app.url}/alerts/alertmanager"
        async with alertmanager(tmp_path, webhook, "from-the-monitor", unused_tcp_port) as url:
            await send(url, "cart-a")
            await story.until(lambda: story.recorded(RunStarted))
            await send(url, "cart-b")
            await story.until(lambda: story.recorded(AlertJoined))
            [incident] = await story.journal.incidents()
            assert (incident.title, incident.severity) == ("cart: Pod is crash looping", Severity.CRITICAL)
            assert str(incident.target) == "shop/deployment/cart"
            assert len(incident.firing) == 2
            for pod in ("cart-a", "cart-b"):
                await send(url, pod, ends=True)
            assert not (await story.resolved()).open
        assert len(await story.recorded(RunStarted)) == len(await story.recorded(IncidentResolved)) == 1
