"""The first findings about one Deployment of 500 and of 5,000 pods: how long they take, and how much memory.

The stand-in cluster, in a process of its own, serves the Deployment with pods of about 5 KB, three of which crash. Measured is
everything from the alert's target to the findings: the real client, the tools, the analyzers. Memory is the peak of what
Python allocated meanwhile, in a round of its own, because measuring it costs time.

    python -m benchmarks.first_findings [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.kubernetes_list import kubeconfig, pod
from benchmarks.measure import Figure, at_most, table
from bot.analyzers import Reading, analyze
from bot.local.cluster import Cluster, Written
from bot.local.cluster.written import workload
from bot.tools import Systems, connect
from domain.actions import Target
from domain.canonical import plain
from domain.errors import AgentError

AIMS = {500: 2.0, 5000: 6.0}
MEGABYTES = 20.0
"""How much more memory than before the first findings on the larger one may take."""

TARGET = Target("kubernetes", "production", "shop", "Deployment", "checkout")
CRASH = {"count": 3, "state": "crash", "log": ["dial tcp: lookup stock on 10.96.0.10:53: no such host"]}


def world(pods: int) -> Written:
    """A Deployment of so many pods of the usual size."""
    made = workload({"name": "checkout", "replicas": pods, "pods": [{"count": pods - 3}, CRASH]})
    heavy = pod(0)
    for obj in made.objects:
        if obj["kind"] == "Pod":
            obj["metadata"]["managedFields"] = heavy["metadata"]["managedFields"]
            obj["spec"]["containers"][0] |= {k: v for k, v in heavy["spec"]["containers"][0].items() if k != "image"}
            obj["spec"] |= {"volumes": heavy["spec"]["volumes"], "tolerations": heavy["spec"]["tolerations"]}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}, "status": {"phase": "Active"}}
    return Written((namespace, *made.objects), made.logs)


def serve(pods: int, ready: Connection) -> None:
    """The stand-in, until it is ended."""

    async def run() -> None:
        async with Cluster(written=world(pods)) as cluster:
            ready.send((cluster.url, cluster.token))
            await asyncio.Event().wait()

    asyncio.run(run())


async def findings(url: str, token: str, pods: int, rounds: int) -> tuple[float, float]:
    """Median seconds of the rounds after a first one, and the peak of allocated memory of another, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        config = kubeconfig(Path(folder), url)
        config.write_text(config.read_text().replace("token: t\n", f"token: {token}\n"))
        box = await connect(Systems(kubeconfig=str(config)), lambda name: "production")
    tools: dict[str, Any] = {tool.name: tool for tool in box.tools}

    async def read(name: str, arguments: Mapping[str, Any]) -> Reading:
        try:
            data = await tools[name].read(tools[name].understand(arguments).arguments)
        except AgentError as error:
            return Reading("", ok=False, error=str(error))
        return Reading("E1", ok=True, data=plain(data))

    async def look() -> float:
        began = time.perf_counter()
        found = await analyze(TARGET, None, read)
        passed = time.perf_counter() - began
        assert f"3 of {pods} pods" in found[0].title + found[1].title, found[0].title
        return passed

    await look()
    took = statistics.median([await look() for _ in range(rounds)])
    tracemalloc.start()
    await look()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    await box.close()
    return took, peak


def measured(rounds: int = 3) -> list[Figure]:
    """Seconds and megabytes for each size."""
    figures = []
    for pods, aim in AIMS.items():
        here, there = multiprocessing.Pipe()
        server = multiprocessing.get_context("spawn").Process(target=serve, args=(pods, there), daemon=True)
        server.start()
        url, token = here.recv()
        try:
            took, peak = asyncio.run(findings(url, token, pods, rounds))
        finally:
            server.terminate()
        figures.append(at_most(f"first findings, {pods:,} pods", took, aim, "s"))
        figures.append(at_most(f"first findings, {pods:,} pods: memory", peak, MEGABYTES, "MB"))
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 where a target was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    figures = measured(parser.parse_args(argv).rounds)
    print(table(figures))
    return int(any(figure.held is False for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
