"""A scan of 5,000 objects in 50 namespaces: how long it takes, what it stalls, and what the journal grows by.

The stand-in cluster and a stand-in Prometheus, in a process of their own, serve it. Measured is the whole run, from its first
row to its list: the real client, tools, gate, redactor and journal; Slack is left out. The stall is the longest time that a
task which only wants to run every millisecond has to wait beyond it.

    python -m benchmarks.scan [--rounds 1]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.agents import NoChat, NoDirectory
from benchmarks.kubernetes_list import kubeconfig
from benchmarks.measure import Figure, at_most, table
from bot import scans
from bot.agent.loop import advance
from bot.agent.world import World
from bot.local.cluster import Cluster, Written
from bot.local.cluster.written import workload
from bot.local.prometheus import Prometheus
from bot.models.rules import Rules
from bot.policy_files import PolicyFiles
from bot.tools import Systems, connect, schemas
from domain.actions import Mode
from domain.runs import Run, RunOutcome
from policies.redaction import Redactor
from storage.journal import open_journal

NAMESPACES = 50
AIM_S, STALL_MS = 60.0, 250.0
OLD = "2026-01-01T00:00:00Z"


def objects(namespace: str) -> Iterator[dict[str, Any]]:
    """A hundred objects: ten workloads with their ReplicaSets and pods, and what stands around them."""
    for number in range(10):
        name = f"app-{number}"
        probe = {"readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}}}
        said = {
            "name": name,
            "namespace": namespace,
            "replicas": 4,
            "request": "1Gi",
            "limit": "2Gi",
            "container": probe,
        }
        made = workload({**said, "pods": [{"count": 4}]})
        yield from made.objects
        ports = [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]
        yield _obj("v1", "Service", namespace, name, spec={"selector": {"app": name}, "ports": ports})
        yield _obj(
            "v1", "ConfigMap", namespace, name, data={f"key-{key}": "a value of some length" for key in range(20)}
        )
        if number % 2:
            selector = {"matchLabels": {"app": name}}
            spec = {"minAvailable": 1, "selector": selector}
            yield _obj("policy/v1", "PodDisruptionBudget", namespace, name, spec=spec)
    for number in range(15):
        yield _obj("v1", "ConfigMap", namespace, f"left-over-{number}", data={"key": "a value of some length"})


def _obj(version: str, kind: str, namespace: str, name: str, **parts: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "creationTimestamp": OLD}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **parts}


def world() -> Written:
    """The namespaces and everything in them."""
    found: list[dict[str, Any]] = []
    for number in range(NAMESPACES):
        namespace = f"team-{number:02}"
        metadata = {"name": namespace, "creationTimestamp": OLD}
        found.append({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata, "status": {"phase": "Active"}})
        found += objects(namespace)
    return Written(tuple(found))


def serve(ready: Connection) -> None:
    """The stand-ins, until they are ended."""

    async def run() -> None:
        written = world()
        used = [({"workload": f"app-{number}", "container": "app"}, 0.2) for number in range(10)]
        sized = [(labels, 3e8) for labels, _ in used]
        async with Cluster(written=written) as cluster, Prometheus() as prometheus:
            prometheus.tell("working_set_bytes", lambda at: sized)
            prometheus.tell("cpu_usage", lambda at: used)
            prometheus.tell("count_over_time", lambda at: [(labels, 7.0) for labels, _ in used])
            ready.send((cluster.url, cluster.token, prometheus.url, len(written.objects)))
            await asyncio.Event().wait()

    asyncio.run(run())


async def one_scan(url: str, token: str, prometheus: str) -> tuple[float, float, float, int]:
    """Seconds, milliseconds of the longest stall, MB of the journal, and how many findings."""
    with tempfile.TemporaryDirectory() as folder:
        config = kubeconfig(Path(folder), url)
        config.write_text(config.read_text().replace("token: t\n", f"token: {token}\n"))
        box = await connect(Systems(kubeconfig=str(config), prometheus_url=prometheus), lambda *_: "production")
        policy = PolicyFiles("", schemas(), {"AGENT_APPROVERS": ("@sre",)})
        policy.reload()
        path = Path(folder) / "agent.db"
        async with open_journal(path, "bench") as journal:
            around = World(
                journal=journal,
                chat=NoChat(),
                directory=NoDirectory(),
                tools={tool.name: tool for tool in box.tools},
                model=Rules(),
                rules=Rules(),
                redactor=Redactor(key=b"bench"),
                policy=lambda: policy.current,
                environment=lambda *_: "production",
                mode=lambda: Mode.PROPOSE,
                paused=lambda: "",
                clock=lambda: datetime.now(UTC),
            )
            run_id = await scans.begin(around, Mode.PROPOSE, user="U1", channel="C1", namespace="", key="bench")
            stalls: list[float] = []
            watch = asyncio.create_task(_watch(stalls))
            began = time.perf_counter()
            run = await advance(around, run_id)
            took = time.perf_counter() - began
            watch.cancel()
            _check(run)
            grown = sum(file.stat().st_size for file in Path(folder).glob("agent.db*")) / 1e6
        await box.close()
    return took, max(stalls) * 1000, grown, len(run.findings or ())


def _check(run: Run) -> None:
    assert run.outcome is RunOutcome.DIAGNOSED, run.reason
    codes = {found.code for found in run.findings or ()}
    assert {"config.requests_high", "config.unused", "config.no_budget"} <= codes, codes
    assert "read.failed" not in codes


async def _watch(stalls: list[float]) -> None:
    while True:
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        stalls.append(time.perf_counter() - began - 0.001)


def measured(rounds: int = 1) -> list[Figure]:
    """Seconds, stall and megabytes."""
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    url, token, prometheus, count = here.recv()
    try:
        found = [asyncio.run(one_scan(url, token, prometheus)) for _ in range(rounds)]
    finally:
        server.terminate()
    took, stall, grown, findings = (statistics.median(values) for values in zip(*found, strict=True))
    return [
        at_most(f"a scan of {count:,} objects in {NAMESPACES} namespaces, {findings:.0f} findings", took, AIM_S, "s"),
        at_most("it: the event loop's longest stall", stall, STALL_MS, "ms"),
        Figure("it: what the journal grows by", grown, "MB"),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 where a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=1)
    figures = measured(parser.parse_args(argv).rounds)
    print(table(figures))
    return int(any(figure.held is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
