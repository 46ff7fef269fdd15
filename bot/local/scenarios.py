"""What goes wrong in the stand-in cluster, each brought about the way it happens in a real one."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp

from bot.local.cluster import Behaviour, Cluster

STRATEGIC = "application/strategic-merge-patch+json"
REGISTRY = "registry.acme.dev/shop"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One trouble. `start` brings it about and returns at once; expected_tool: what mends it, None if nothing need be."""

    name: str
    title: str
    description: str
    namespace: str
    workload: str
    start: Callable[[Cluster], Awaitable[None]]
    expected_tool: str | None


async def _bad_rollout(cluster: Cluster) -> None:
    await _deploy(cluster, "checkout", "2.5.0", "CI #1958: checkout 2.5.0, regional taxes")


async def _oom(cluster: Cluster) -> None:
    await _deploy(cluster, "payments", "3.2.0", "CI #1960: payments 3.2.0, fraud model v7 in memory")


async def _image_typo(cluster: Cluster) -> None:
    await _deploy(cluster, "web", "5.8.0-rcl", "CI #1961: web 5.8.0-rcl")


OUTAGE = Behaviour(
    crash_exit_code=1,
    log_lines=(
        'level=info msg="starting cart" version=1.9.0',
        'level=warn msg="redis not reachable, trying again" host=redis.shop:6379 attempt=1',
        'level=fatal msg="dial tcp 10.96.0.77:6379: connect: connection refused" exit=1',
    ),
)


async def _recovered(cluster: Cluster) -> None:
    """While Redis fails over, a cart pod is moved to another node and cannot start at first."""
    cluster.behave(f"{REGISTRY}/cart:1.9.0", OUTAGE, seconds=4.0)
    pods = await _request(cluster, "GET", "/api/v1/namespaces/shop/pods?labelSelector=app%3Dcart")
    name = pods["items"][0]["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "shop"}}
    await _request(cluster, "POST", f"/api/v1/namespaces/shop/pods/{name}/eviction", eviction)


async def _configuration(cluster: Cluster) -> None:
    """CI rolls out web with the requests of a load test; it comes up well."""
    wanted = {"cpu": "1", "memory": "1Gi"}
    container = {"name": "web", "resources": {"requests": wanted, "limits": {"memory": "1Gi"}}}
    patch = {
        "metadata": {"annotations": {"kubernetes.io/change-cause": "CI #1963: web, requests as in the load test"}},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    path = "/apis/apps/v1/namespaces/shop/deployments/web"
    await _request(cluster, "PATCH", f"{path}?fieldManager=ci", patch, STRATEGIC)


async def _deploy(cluster: Cluster, name: str, tag: str, cause: str) -> None:
    """What a CI job does: sets the image and says why."""
    container = {"name": name, "image": f"{REGISTRY}/{name}:{tag}"}
    patch = {
        "metadata": {"annotations": {"kubernetes.io/change-cause": cause}},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    path = f"/apis/apps/v1/namespaces/shop/deployments/{name}?fieldManager=ci"
    await _request(cluster, "PATCH", path, patch, STRATEGIC)


async def _request(
    cluster: Cluster, method: str, path: str, body: Any = None, content_type: str = "application/json"
) -> Any:
    headers = {"Authorization": f"Bearer {cluster.admin_token}", "Content-Type": content_type}
    data = None if body is None else json.dumps(body)
    async with (
        aiohttp.ClientSession(cluster.url, headers=headers, raise_for_status=True) as session,
        session.request(method, path, data=data) as response,
    ):
        return await response.json()


SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        "bad-rollout",
        "A bad rollout of checkout",
        "CI rolls out checkout 2.5.0. It needs a database migration that did not run, so it exits at start and loops.",
        "shop",
        "checkout",
        _bad_rollout,
        "kubernetes_rollback",
    ),
    Scenario(
        "oom",
        "payments runs out of memory",
        "payments 3.2.0 keeps a bigger fraud model in memory than its limit of 256Mi allows, so it is OOM-killed.",
        "shop",
        "payments",
        _oom,
        "kubernetes_set_resources",
    ),
    Scenario(
        "image-typo",
        "An image that does not exist",
        "CI rolls out web 5.8.0-rcl, a tag nobody pushed. The new pods cannot pull it.",
        "shop",
        "web",
        _image_typo,
        "kubernetes_rollback",
    ),
    Scenario(
        "recovered",
        "cart recovers by itself",
        "A cart pod is moved while Redis fails over. It crashes for some seconds, the alert fires, then all is well.",
        "shop",
        "cart",
        _recovered,
        None,
    ),
)
CONFIGURATION = Scenario(
    "configuration",
    "web asks for far more than it uses",
    "CI rolled out web with the requests of a load test. Nothing is broken; a scan of the configuration finds it.",
    "shop",
    "web",
    _configuration,
    "kubernetes_set_resources",
)
"""Nothing alerts here: somebody asks for a scan."""
