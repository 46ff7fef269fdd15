"""Deployments in the stand-in cluster roll, stall, roll back, scale and restart as under kube-controller-manager."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.local.cluster import Behaviour, Cluster
from tests.contracts.cluster_support import (
    JSON_PATCH,
    MERGE,
    SHOP,
    Http,
    complete,
    condition,
    deployment_manifest,
    http,
    image_patch,
)

CHECKOUT = f"{SHOP}/checkout"
SETS = "/apis/apps/v1/namespaces/shop/replicasets?labelSelector=app%3Dcheckout"
PODS = "/api/v1/namespaces/shop/pods?labelSelector=app%3Dcheckout"
REVISION = "deployment.kubernetes.io/revision"
GOOD, BAD = "registry.acme.dev/shop/checkout:2.4.1", "registry.acme.dev/shop/checkout:2.5.0"


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(speed=20) as found:
        yield found


@pytest.fixture
async def web(cluster: Cluster) -> AsyncIterator[Http]:
    async with http(cluster) as found:
        yield found


async def rolled(cluster: Cluster, name: str = "checkout", namespace: str = "shop") -> dict[str, Any]:
    return await cluster.until("Deployment", namespace, name, complete)


async def stalled(cluster: Cluster) -> dict[str, Any]:
    return await cluster.until(
        "Deployment", "shop", "checkout", lambda d: condition(d, "Progressing").get("status") == "False"
    )


def revision(obj: dict[str, Any]) -> int:
    return int(obj["metadata"]["annotations"][REVISION])


async def by_revision(web: Http) -> dict[int, Any]:
    return {revision(replicaset): replicaset for replicaset in (await web.get(SETS))["items"]}


# --- the world at the start


async def test_the_shop_is_healthy_at_the_start(cluster: Cluster, web: Http) -> None:
    for name in ("checkout", "cart", "payments", "web"):
        deployment = await rolled(cluster, name)
        assert condition(deployment, "Available")["reason"] == "MinimumReplicasAvailable"
        assert condition(deployment, "Progressing")["reason"] == "NewReplicaSetAvailable"
        endpoints = await web.get(f"/api/v1/namespaces/shop/endpoints/{name}")
        assert len(endpoints["subsets"][0]["addresses"]) == deployment["spec"]["replicas"]
    assert (await web.get("/api/v1/namespaces/shop/events"))["items"] == []


async def test_checkout_has_three_revisions_with_their_causes(web: Http) -> None:
    found = await by_revision(web)
    images = {
        number: replicaset["spec"]["template"]["spec"]["containers"][0]["image"].rpartition(":")[2]
        for number, replicaset in found.items()
    }
    assert images == {1: "2.3.9", 2: "2.4.0", 3: "2.4.1"}
    assert all("kubernetes.io/change-cause" in r["metadata"]["annotations"] for r in found.values())
    assert [found[number]["spec"]["replicas"] for number in (1, 2, 3)] == [0, 0, 3]
    ages = [found[number]["metadata"]["creationTimestamp"] for number in (1, 2, 3)]
    assert ages == sorted(ages)


async def test_seeded_pods_belong_to_the_replicaset_of_the_deployment(web: Http) -> None:
    newest = (await by_revision(web))[3]
    deployment = await web.get(CHECKOUT)
    assert newest["metadata"]["ownerReferences"][0]["uid"] == deployment["metadata"]["uid"]
    for pod in (await web.get(PODS))["items"]:
        assert pod["metadata"]["ownerReferences"][0]["uid"] == newest["metadata"]["uid"]
        template_hash = pod["metadata"]["labels"]["pod-template-hash"]
        assert pod["metadata"]["name"].startswith(f"checkout-{template_hash}-")


# --- a rollout


async def test_a_good_image_replaces_every_pod(cluster: Cluster, web: Http) -> None:
    cluster.images["registry.acme.dev/shop/checkout:2.4.2"] = Behaviour(ready_after=0.5)
    patch = image_patch("checkout", "registry.acme.dev/shop/checkout:2.4.2")
    patch["metadata"] = {"annotations": {"kubernetes.io/change-cause": "CI #2000"}}
    assert (await web.patch(CHECKOUT, patch))[0] == 200
    deployment = await rolled(cluster)
    assert revision(deployment) == 4
    newest = (await by_revision(web))[4]
    assert newest["metadata"]["annotations"]["kubernetes.io/change-cause"] == "CI #2000"
    assert condition(deployment, "Progressing")["message"] == (
        f'ReplicaSet "{newest["metadata"]["name"]}" has successfully progressed.'
    )
    names = {pod["metadata"]["labels"]["pod-template-hash"] for pod in (await web.get(PODS))["items"]
             if "deletionTimestamp" not in pod["metadata"]}  # fmt: skip
    assert names == {newest["metadata"]["labels"]["pod-template-hash"]}


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "most", "fewest"),
    [(4, "25%", "25%", 5, 3), (3, 1, 0, 4, 3), (10, "30%", "10%", 13, 9), (2, 0, 1, 2, 1), (5, "1%", "1%", 6, 5)],
)
async def test_a_rolling_update_keeps_to_its_bounds(
    cluster: Cluster, web: Http, replicas: int, surge: Any, unavailable: Any, most: int, fewest: int
) -> None:
    strategy = {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    body = deployment_manifest("roll", replicas=replicas, strategy=strategy)
    assert (await web.ask("POST", SHOP, body))[0] == 201
    deployment = await rolled(cluster, "roll")
    since = deployment["metadata"]["resourceVersion"]
    assert (await web.patch(f"{SHOP}/roll", image_patch("main", "nginx:1.30")))[0] == 200
    seen = [(d["status"]["replicas"], d["status"].get("availableReplicas", 0)) for d in await until_rolled(web, since)]
    assert max(total for total, _ in seen) <= most
    assert min(available for _, available in seen) >= fewest
    assert len(seen) > 3


async def until_rolled(web: Http, since: str) -> list[Any]:
    """Every state of the deployment `roll` that a watch sees until its rollout is complete."""
    states = []
    selector = "fieldSelector=metadata.name%3Droll"
    async with web.session.get(f"{SHOP}?watch=true&{selector}&resourceVersion={since}") as response:
        async for line in response.content:
            states.append(json.loads(line)["object"])
            if complete(states[-1]) and states[-1]["metadata"]["generation"] == 2:
                break
    return states


async def test_broken_pods_are_replaced_within_the_bounds_too(cluster: Cluster, web: Http) -> None:
    strategy = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    body = deployment_manifest("roll", BAD, replicas=3, strategy=strategy)
    body["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = {"httpGet": {"port": 80}}
    assert (await web.ask("POST", SHOP, body))[0] == 201
    deployment = await cluster.until("Deployment", "shop", "roll", lambda d: d["status"].get("replicas") == 3)
    since = deployment["metadata"]["resourceVersion"]
    assert (await web.patch(f"{SHOP}/roll", image_patch("main", GOOD)))[0] == 200
    states = await until_rolled(web, since)

    def kept(status: dict[str, Any]) -> int:
        """Old pods still there plus new ones that are available."""
        counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
        return counts[0] - counts[1] + counts[2]

    seen = [state["status"] for state in states if state["status"]["observedGeneration"] == 2]
    assert min(map(kept, seen)) >= 3


async def test_recreate_stops_the_old_pods_first(cluster: Cluster, web: Http) -> None:
    body = deployment_manifest("roll", strategy={"type": "Recreate"})
    assert (await web.ask("POST", SHOP, body))[0] == 201
    since = (await rolled(cluster, "roll"))["metadata"]["resourceVersion"]
    assert (await web.patch(f"{SHOP}/roll", image_patch("main", "nginx:1.30")))[0] == 200
    states = await until_rolled(web, since)
    assert max(state["status"].get("replicas", 0) for state in states) == 2
    assert any(not state["status"].get("availableReplicas") for state in states)


async def test_observed_generation_lags_behind_the_write(cluster: Cluster, web: Http) -> None:
    _, answer = await web.patch(CHECKOUT, {"spec": {"replicas": 4}}, MERGE)
    assert answer["status"]["observedGeneration"] < answer["metadata"]["generation"]
    assert (await rolled(cluster))["status"]["replicas"] == 4


# --- a bad rollout


async def test_a_crashing_image_stalls_with_the_old_pods_serving(cluster: Cluster, web: Http) -> None:
    assert (await web.patch(CHECKOUT, image_patch("checkout", BAD)))[0] == 200
    await crashing(cluster, web)
    deployment = await stalled(cluster)
    progress = condition(deployment, "Progressing")
    assert progress["reason"] == "ProgressDeadlineExceeded"
    assert progress["message"].endswith("has timed out progressing.")
    assert deployment["status"]["availableReplicas"] == 2
    assert deployment["status"]["updatedReplicas"] == 2
    assert deployment["status"]["unavailableReplicas"] == 2
    assert condition(deployment, "Available")["status"] == "True"
    endpoints = await web.get("/api/v1/namespaces/shop/endpoints/checkout")
    assert len(endpoints["subsets"][0]["addresses"]) == 2
    assert len(endpoints["subsets"][0]["notReadyAddresses"]) == 2
    slices = await web.get(
        "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?labelSelector=kubernetes.io/service-name%3Dcheckout"
    )
    ready = [endpoint["conditions"]["ready"] for endpoint in slices["items"][0]["endpoints"]]
    assert sorted(ready) == [False, False, True, True]


async def test_a_rollback_by_template_brings_the_old_replicaset_back_as_the_newest_revision(
    cluster: Cluster, web: Http
) -> None:
    assert (await web.patch(CHECKOUT, image_patch("checkout", BAD)))[0] == 200
    await stalled(cluster)
    good = (await by_revision(web))[3]
    patch = [{"op": "replace", "path": "/spec/template", "value": good["spec"]["template"]}]
    # kubectl removes the hash label; a template that still carries it means the same ReplicaSet.
    assert (await web.patch(CHECKOUT, patch, JSON_PATCH))[0] == 200
    deployment = await rolled(cluster)
    assert revision(deployment) == 5
    found = await by_revision(web)
    assert set(found) == {1, 2, 4, 5}
    assert found[5]["metadata"]["uid"] == good["metadata"]["uid"]
    assert found[5]["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "3"
    assert found[4]["spec"]["replicas"] == 0
    assert condition(deployment, "Progressing")["reason"] == "NewReplicaSetAvailable"


async def test_a_crash_after_a_complete_rollout_does_not_undo_progressing(cluster: Cluster, web: Http) -> None:
    deployment = await rolled(cluster)
    pod = (await web.get(PODS))["items"][0]["metadata"]["name"]
    cluster.images[GOOD] = Behaviour(crash_exit_code=1)
    assert (await web.ask("DELETE", f"/api/v1/namespaces/shop/pods/{pod}"))[0] == 200
    deployment = await cluster.until(
        "Deployment", "shop", "checkout", lambda d: d["status"].get("unavailableReplicas") == 1
    )
    await crashing(cluster, web)
    deployment = await web.get(CHECKOUT)
    assert condition(deployment, "Progressing")["reason"] == "NewReplicaSetAvailable"
    assert condition(deployment, "Available")["status"] == "True"


async def crashing(cluster: Cluster, web: Http) -> None:
    """Waits until some pod of checkout is in CrashLoopBackOff."""
    async with web.session.get(f"{PODS}&watch=true") as response:
        async for line in response.content:
            statuses = json.loads(line)["object"]["status"].get("containerStatuses") or [{"state": {}}]
            if statuses[0]["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff":
                return


async def test_no_available_pod_means_not_available(cluster: Cluster, web: Http) -> None:
    cluster.images[BAD] = Behaviour(not_ready="HTTP probe failed with statuscode: 503")
    body = deployment_manifest("cold", BAD)
    body["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = {"httpGet": {"port": 80}}
    assert (await web.ask("POST", SHOP, body))[0] == 201
    deployment = await cluster.until(
        "Deployment", "shop", "cold", lambda d: condition(d, "Available").get("status") == "False"
    )
    assert condition(deployment, "Available")["reason"] == "MinimumReplicasUnavailable"


# --- the other things that are done to deployments


async def test_the_restart_annotation_replaces_every_pod(cluster: Cluster, web: Http) -> None:
    before = {pod["metadata"]["name"] for pod in (await web.get(PODS))["items"]}
    stamp = {"kubectl.kubernetes.io/restartedAt": "2026-11-23T03:00:00Z"}
    patch = {"spec": {"template": {"metadata": {"annotations": stamp}}}}
    assert (await web.patch(CHECKOUT, patch))[0] == 200
    assert revision(await rolled(cluster)) == 4
    after = {p["metadata"]["name"] for p in (await web.get(PODS))["items"] if "deletionTimestamp" not in p["metadata"]}
    assert len(after) == 3
    assert not before & after


async def test_new_limits_are_a_rollout(cluster: Cluster, web: Http) -> None:
    container = {"name": "checkout", "resources": {"limits": {"memory": "1Gi"}}}
    patch = {"spec": {"template": {"spec": {"containers": [container]}}}}
    code, answer = await web.patch(CHECKOUT, patch)
    assert code == 200
    changed = answer["spec"]["template"]["spec"]["containers"][0]
    assert changed["resources"]["limits"]["memory"] == "1Gi"
    assert changed["image"] == GOOD
    assert revision(await rolled(cluster)) == 4


async def test_scaling_is_no_new_revision(cluster: Cluster, web: Http) -> None:
    scale = await web.get(f"{CHECKOUT}/scale")
    assert scale["kind"] == "Scale"
    assert scale["spec"]["replicas"] == scale["status"]["replicas"] == 3
    assert scale["status"]["selector"] == "app=checkout"
    scale["spec"]["replicas"] = 5
    code, answer, _ = await web.ask("PUT", f"{CHECKOUT}/scale", scale)
    assert (code, answer["spec"]["replicas"]) == (200, 5)
    assert revision(await rolled(cluster)) == 3
    code, _, _ = await web.ask("PUT", f"{CHECKOUT}/scale", scale)
    assert code == 409, "the version that was read is old by now"
    assert (await web.patch(f"{CHECKOUT}/scale", {"spec": {"replicas": 1}}, MERGE))[0] == 200
    assert (await rolled(cluster))["status"]["replicas"] == 1


@pytest.mark.parametrize(("replicas", "code"), [(-1, 422), ("many", 400), (True, 400)])
async def test_a_scale_that_is_no_size_is_refused(web: Http, replicas: Any, code: int) -> None:
    status, _ = await web.patch(f"{CHECKOUT}/scale", {"spec": {"replicas": replicas}}, MERGE)
    assert status == code


async def test_scaling_to_zero_leaves_the_service_without_endpoints(cluster: Cluster, web: Http) -> None:
    assert (await web.patch(CHECKOUT, {"spec": {"replicas": 0}}, MERGE))[0] == 200
    await cluster.until("Endpoints", "shop", "checkout", lambda e: not e["subsets"])


async def test_a_paused_deployment_scales_but_does_not_roll(cluster: Cluster, web: Http) -> None:
    patch = image_patch("checkout", BAD)
    patch["spec"] |= {"paused": True, "replicas": 4}
    assert (await web.patch(CHECKOUT, patch))[0] == 200
    deployment = await cluster.until(
        "Deployment", "shop", "checkout", lambda d: d["status"].get("availableReplicas") == 4
    )
    assert condition(deployment, "Progressing")["reason"] == "DeploymentPaused"
    assert 4 not in await by_revision(web)
    assert (await web.patch(CHECKOUT, {"spec": {"paused": False}}, MERGE))[0] == 200
    await stalled(cluster)


async def test_a_deleted_pod_is_replaced(cluster: Cluster, web: Http) -> None:
    name = (await web.get(PODS))["items"][0]["metadata"]["name"]
    assert (await web.ask("DELETE", f"/api/v1/namespaces/shop/pods/{name}"))[0] == 200
    await cluster.until_gone("Pod", "shop", name)
    assert (await rolled(cluster))["status"]["availableReplicas"] == 3


async def test_old_revisions_beyond_the_limit_are_deleted(cluster: Cluster, web: Http) -> None:
    oldest = (await by_revision(web))[1]["metadata"]["name"]
    assert (await web.patch(CHECKOUT, {"spec": {"revisionHistoryLimit": 1}}, MERGE))[0] == 200
    await cluster.until_gone("ReplicaSet", "shop", oldest)
    assert set(await by_revision(web)) == {2, 3}


async def test_the_events_of_a_rollout_are_the_real_ones(cluster: Cluster, web: Http) -> None:
    assert (await web.patch(CHECKOUT, image_patch("checkout", BAD)))[0] == 200
    await crashing(cluster, web)
    events = (await web.get("/api/v1/namespaces/shop/events"))["items"]
    of_deployment = [e for e in events if e["involvedObject"]["kind"] == "Deployment"]
    assert {e["reason"] for e in of_deployment} == {"ScalingReplicaSet"}
    assert any(e["message"].startswith("Scaled up replica set checkout-") for e in of_deployment)
    assert any(e["message"].endswith(" from 3 to 2") for e in of_deployment)
    pod = next(e for e in events if e["reason"] == "BackOff")
    assert pod["type"] == "Warning"
    assert pod["involvedObject"]["fieldPath"] == "spec.containers{checkout}"
    assert pod["source"]["component"] == "kubelet"
    assert pod["firstTimestamp"] <= pod["lastTimestamp"]
    started = next(e for e in events if e["reason"] == "Started" and e["involvedObject"] == pod["involvedObject"])
    assert started["count"] >= 2, "repeats are counted, not stored again"
    path = f"/api/v1/namespaces/shop/events?fieldSelector=involvedObject.uid%3D{pod['involvedObject']['uid']}"
    reasons = {e["reason"] for e in (await web.get(f"{path},type%3DNormal"))["items"]}
    assert reasons == {"Scheduled", "Pulling", "Pulled", "Created", "Started"}


async def test_nothing_happens_in_a_cluster_at_rest(cluster: Cluster, web: Http) -> None:
    await rolled(cluster)
    async with web.session.get("/api/v1/pods?watch=true&resourceVersion=0&timeoutSeconds=1") as response:
        lines = [json.loads(line) async for line in response.content]
    assert {line["type"] for line in lines} == {"ADDED"}
