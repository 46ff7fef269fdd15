"""Each scenario brings about its trouble by ordinary API calls, and what should mend it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.local.cluster import Cluster
from bot.local.scenarios import SCENARIOS, Scenario
from tests.contracts.cluster_support import JSON_PATCH, SHOP, Http, complete, http

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(speed=20) as found:
        yield found


@pytest.fixture
async def web(cluster: Cluster) -> AsyncIterator[Http]:
    async with http(cluster) as found:
        yield found


async def trouble(cluster: Cluster, web: Http, scenario: Scenario, reason: str) -> dict[str, Any]:
    """Starts a scenario and answers the first pod of its workload whose container waits for that reason."""
    await scenario.start(cluster)
    path = f"/api/v1/namespaces/{scenario.namespace}/pods?labelSelector=app%3D{scenario.workload}"
    while True:
        for pod in (await web.get(path))["items"]:
            statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
            if statuses[0]["state"].get("waiting", {}).get("reason") == reason:
                found: dict[str, Any] = pod
                return found
        await asyncio.sleep(0.01)


async def roll_back(web: Http, scenario: Scenario, revision: str) -> None:
    selector = f"labelSelector=app%3D{scenario.workload}"
    sets = (await web.get(f"/apis/apps/v1/namespaces/{scenario.namespace}/replicasets?{selector}"))["items"]
    good = next(r for r in sets if r["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == revision)
    patch = [{"op": "replace", "path": "/spec/template", "value": good["spec"]["template"]}]
    assert (await web.patch(f"{SHOP}/{scenario.workload}", patch, JSON_PATCH))[0] == 200


def test_names_are_unique_and_the_bad_rollout_is_first() -> None:
    assert len(BY_NAME) == len(SCENARIOS)
    assert SCENARIOS[0].name == "bad-rollout"


async def test_a_bad_rollout_says_why_in_its_log_and_a_rollback_mends_it(cluster: Cluster, web: Http) -> None:
    scenario = BY_NAME["bad-rollout"]
    pod = await trouble(cluster, web, scenario, "CrashLoopBackOff")
    _, text, _ = await web.ask("GET", f"/api/v1/namespaces/shop/pods/{pod['metadata']['name']}/log?previous=true")
    assert "this build needs 0042_add_tax_region" in text
    assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1
    deployment = await web.get(f"{SHOP}/checkout")
    assert deployment["metadata"]["annotations"]["kubernetes.io/change-cause"].startswith("CI #1958")
    await roll_back(web, scenario, "3")
    await cluster.until("Deployment", "shop", "checkout", complete)


async def test_out_of_memory_is_mended_by_a_higher_limit(cluster: Cluster, web: Http) -> None:
    scenario = BY_NAME["oom"]
    pod = await trouble(cluster, web, scenario, "CrashLoopBackOff")
    ended = pod["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)
    resources = {"requests": {"memory": "512Mi"}, "limits": {"memory": "512Mi"}}
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "payments", "resources": resources}]}}}}
    assert (await web.patch(f"{SHOP}/payments", patch))[0] == 200
    deployment = await cluster.until("Deployment", "shop", "payments", complete)
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":3.2.0")


async def test_an_image_typo_cannot_be_pulled_and_a_rollback_mends_it(cluster: Cluster, web: Http) -> None:
    scenario = BY_NAME["image-typo"]
    pod = await trouble(cluster, web, scenario, "ImagePullBackOff")
    assert "5.8.0-rcl: not found" in pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
    await roll_back(web, scenario, "3")
    await cluster.until("Deployment", "shop", "web", complete)


async def test_what_recovers_by_itself_needs_no_write(cluster: Cluster, web: Http) -> None:
    scenario = BY_NAME["recovered"]
    pod = await trouble(cluster, web, scenario, "CrashLoopBackOff")
    deployment = await cluster.until("Deployment", "shop", "cart", complete)
    assert deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
    healed = await web.get(f"/api/v1/namespaces/shop/pods/{pod['metadata']['name']}")
    assert healed["status"]["containerStatuses"][0]["ready"]
    _, text, _ = await web.ask("GET", f"/api/v1/namespaces/shop/pods/{pod['metadata']['name']}/log?previous=true")
    assert "connection refused" in text


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_only_the_named_workload_suffers(cluster: Cluster, scenario: Scenario) -> None:
    await scenario.start(cluster)
    others = {"checkout", "cart", "payments", "web"} - {scenario.workload}
    await cluster.until("Deployment", "shop", scenario.workload, lambda d: not complete(d))
    for name in others:
        await cluster.until("Deployment", "shop", name, complete)
    users = {asked.user for asked in cluster.asked}
    assert users == {"kubernetes-admin"}
