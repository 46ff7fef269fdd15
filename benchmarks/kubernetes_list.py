"""A list of 500 pods: how long it stalls the event loop, and what it costs, against the client's typed list.

A canned API on loopback, in a process of its own, serves 500 pods of 5.2 KB, whole or in pages. The stall is the longest
time that a task which only wants to run every millisecond has to wait beyond it. Floors in the same run: the same bytes
through aiohttp and json.loads in one piece, and kubernetes.aio's typed list, each in a process of
its own. Figures are medians of the rounds.

    python -m benchmarks.kubernetes_list [--pods 500] [--rounds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from bot.tools import Systems, connect

AIM_MS = 50.0
URL = "/api/v1/namespaces/{namespace}/pods"


@dataclass(frozen=True)
class Cost:
    """Milliseconds: the longest stall of the loop, CPU of the process, and wall clock."""

    stall: float
    cpu: float
    wall: float


def pod(number: int) -> dict[str, Any]:
    """One pod of about 5.2 KB, with what real ones carry: managed fields, variables, probes, volumes, conditions."""
    name = f"checkout-7f9c6d5b8-{number:05}"
    labels = {"app": "checkout", "pod-template-hash": "7f9c6d5b8", "version": "v1"}
    fields = {
        f"f:{part}": {"f:value": {}, "f:name": {}} for part in ("spec", "status", "labels", "conditions", "image")
    }
    probe = {"httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10, "timeoutSeconds": 1}
    container = {
        "name": "app",
        "image": "registry.example.com/shop/checkout:1.2.3",
        "env": [{"name": f"SETTING_{index}", "value": f"a value of setting {index}"} for index in range(32)],
        "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}},
        "livenessProbe": probe,
        "readinessProbe": probe,
        "volumeMounts": [{"name": f"v{index}", "mountPath": f"/etc/v{index}", "readOnly": True} for index in range(4)],
    }
    status = {
        "name": "app",
        "ready": True,
        "restartCount": 0,
        "image": container["image"],
        "imageID": "sha256:" + "a" * 64,
    }
    conditions = [
        {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled", "PodReadyToStartContainers")
    ]
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"00000000-0000-4000-8000-{number:012}",
            "resourceVersion": str(number),
            "labels": labels,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [
                {"manager": manager, "operation": "Update", "apiVersion": "v1", "fieldsV1": fields}
                for manager in ("kubelet", "kube-controller-manager", "kube-scheduler")
            ],
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "checkout-7f9c6d5b8",
                    "uid": "u",
                    "controller": True,
                }
            ],
        },
        "spec": {
            "containers": [container],
            "nodeName": f"node-{number % 20}",
            "restartPolicy": "Always",
            "volumes": [
                {"name": f"v{index}", "configMap": {"name": f"v{index}", "defaultMode": 420}} for index in range(4)
            ],
            "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "tolerationSeconds": 300}],
        },
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "conditions": conditions,
            "containerStatuses": [{**status, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}],
        },
    }


def serve(pods: int, ready: Connection) -> None:
    """The canned API, in its own process, until it is ended."""
    items = [pod(number) for number in range(pods)]
    head = {"kind": "PodList", "apiVersion": "v1"}
    bodies: dict[tuple[int, int], bytes] = {}

    async def answer(request: web.Request) -> web.Response:
        limit, start = int(request.query.get("limit", pods)), int(request.query.get("continue", 0))
        if (limit, start) not in bodies:
            more = {"continue": str(start + limit)} if start + limit < pods else {}
            page = {**head, "metadata": {"resourceVersion": "1", **more}, "items": items[start : start + limit]}
            bodies[limit, start] = json.dumps(page).encode()
        return web.Response(body=bodies[limit, start], content_type="application/json")

    async def run() -> None:
        app = web.Application()
        app.router.add_get(URL, answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        ready.send((runner.addresses[0][1], sum(len(json.dumps(item)) for item in items)))
        await asyncio.Event().wait()

    asyncio.run(run())


async def cost(work: Callable[[], Awaitable[Any]]) -> Cost:
    """What one piece of work costs, and how it treats everybody else on the loop."""
    worst, over = 0.0, False

    async def tick() -> None:
        nonlocal worst
        while not over:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            worst = max(worst, time.perf_counter() - began - 0.001)

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0.01)
    worst, cpu, wall = 0.0, time.process_time(), time.perf_counter()
    await work()
    spent, passed = time.process_time() - cpu, time.perf_counter() - wall
    over = True
    await ticker
    return Cost(worst * 1000, spent * 1000, passed * 1000)


def kubeconfig(folder: Path, url: str) -> Path:
    """A kubeconfig for the canned API."""
    found = folder / "config"
    context = {"cluster": "c", "user": "u"}
    content = {
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": context}],
        "current-context": "x",
    }
    found.write_text(yaml.safe_dump(content))
    return found


async def ours(url: str, pods: int, rounds: int) -> list[Cost]:
    """The tool, as the agent calls it."""
    with tempfile.TemporaryDirectory() as folder:
        systems = Systems(kubeconfig=str(kubeconfig(Path(folder), url)))
        box = await connect(systems, lambda name: "production")
    listing: Any = next(tool for tool in box.tools if tool.name == "kubernetes_list")
    arguments = listing.understand({"kind": "Pod", "namespace": "shop", "limit": pods}).arguments

    async def work() -> None:
        assert len((await listing.read(arguments))["items"]) == pods

    found = [await cost(work) for _ in range(rounds + 1)]
    await box.close()
    return found[1:]  # the first warms up


async def whole(url: str, pods: int, rounds: int) -> list[Cost]:
    """The same bytes in one piece."""
    async with aiohttp.ClientSession() as session:

        async def work() -> None:
            async with session.get(url + URL.format(namespace="shop")) as answer:
                assert len(json.loads(await answer.read())["items"]) == pods

        return [await cost(work) for _ in range(rounds + 1)][1:]


async def models(url: str, pods: int, rounds: int) -> list[Cost]:
    """The client's own typed list."""
    from kubernetes.aio import client  # heavy, and of no use to the other two

    async with client.ApiClient(client.Configuration(host=url)) as api:
        typed = client.CoreV1Api(api)

        async def work() -> None:
            assert len((await typed.list_namespaced_pod("shop")).items) == pods

        return [await cost(work) for _ in range(rounds + 1)][1:]


WAYS = {"kubernetes_list": ours, "floor: aiohttp, json.loads": whole, "kubernetes.aio, typed list": models}


def alone(name: str, url: str, pods: int, rounds: int) -> list[Cost]:
    """One way of listing, in this process, which nothing else has filled with modules and objects."""
    return asyncio.run(WAYS[name](url, pods, rounds))


def measure(url: str, pods: int, rounds: int) -> dict[str, Cost]:
    """Every way of listing, each in a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    found = {}
    for name in WAYS:
        with ProcessPoolExecutor(1, spawn) as pool:
            found[name] = middle(pool.submit(alone, name, url, pods, rounds).result())
    return found


def middle(costs: list[Cost]) -> Cost:
    """The median of each figure."""
    return Cost(*(statistics.median(getattr(one, name) for one in costs) for name in ("stall", "cpu", "wall")))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where the aim was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.kubernetes_list", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--pods", type=int, default=500, choices=range(1, 501), metavar="1-500")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(options.pods, there), daemon=True)
    server.start()
    port, size = here.recv()
    try:
        costs = measure(f"http://127.0.0.1:{port}", options.pods, options.rounds)
    finally:
        server.terminate()
        server.join()
    print(f"{options.pods} pods, {size / 1e6:.2f} MB; milliseconds, medians of {options.rounds} rounds")
    print(f"  {'':<30}{'stall':>8}{'CPU':>8}{'wall':>8}")
    for name, one in costs.items():
        print(f"  {name:<30}{one.stall:>8.0f}{one.cpu:>8.0f}{one.wall:>8.0f}")
    ours, typed = costs["kubernetes_list"], costs["kubernetes.aio, typed list"]
    held = ours.stall <= AIM_MS
    print(
        f"{'✓' if held else '✗'} stall {ours.stall:.0f} ms (aim {AIM_MS:.0f}); {typed.cpu / ours.cpu:.1f} x less CPU than typed"
    )
    return int(not held)


if __name__ == "__main__":
    sys.exit(main())
