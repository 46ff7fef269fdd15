"""StatefulSets, DaemonSets and Jobs in the stand-in cluster, and what is deleted with a namespace or an owner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.local.cluster import Behaviour, Cluster
from tests.contracts.cluster_support import MERGE, Http, condition, deployment_manifest, http, image_patch

APPS, BATCH, PODS = (
    "/apis/apps/v1/namespaces/default",
    "/apis/batch/v1/namespaces/default",
    "/api/v1/namespaces/default/pods",
)
IMAGE = "registry.acme.dev/lab/thing:1"


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(speed=20, world=False) as found:
        found.images[IMAGE] = Behaviour()
        yield found


@pytest.fixture
async def web(cluster: Cluster) -> AsyncIterator[Http]:
    async with http(cluster) as found:
        yield found


def manifest(kind: str, **spec: Any) -> dict[str, Any]:
    body = deployment_manifest("db", IMAGE) | {"kind": kind}
    del body["spec"]["replicas"]
    body["spec"] |= spec
    return body


def job(name: str = "report", **spec: Any) -> dict[str, Any]:
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": IMAGE}]}
    return {"metadata": {"name": name}, "spec": {"template": {"spec": pod}, **spec}}


async def names(web: Http) -> list[str]:
    return [pod["metadata"]["name"] for pod in (await web.get(PODS))["items"]]


async def ready(cluster: Cluster, count: int, generation: int = 1) -> dict[str, Any]:
    def holds(found: dict[str, Any]) -> bool:
        status = found["status"]
        counts = {status.get(n) for n in ("replicas", "readyReplicas", "updatedReplicas")}
        return counts == {count} and status["observedGeneration"] == generation

    return await cluster.until("StatefulSet", "default", "db", holds)


async def test_a_stateful_set_creates_its_pods_in_order(cluster: Cluster, web: Http) -> None:
    assert (await web.ask("POST", f"{APPS}/statefulsets", manifest("StatefulSet", replicas=3)))[0] == 201
    await cluster.until("Pod", "default", "db-0", lambda pod: True)
    assert await names(web) == ["db-0"], "the second waits for the first"
    found = await ready(cluster, 3)
    assert await names(web) == ["db-0", "db-1", "db-2"]
    assert found["status"]["currentRevision"] == found["status"]["updateRevision"]


async def test_a_stateful_set_scales_down_from_the_top(cluster: Cluster, web: Http) -> None:
    assert (await web.ask("POST", f"{APPS}/statefulsets", manifest("StatefulSet", replicas=3)))[0] == 201
    await ready(cluster, 3)
    assert (await web.patch(f"{APPS}/statefulsets/db/scale", {"spec": {"replicas": 1}}, MERGE))[0] == 200
    await ready(cluster, 1, generation=2)
    assert await names(web) == ["db-0"]


async def test_a_stateful_set_keeps_its_names_through_an_update(cluster: Cluster, web: Http) -> None:
    assert (await web.ask("POST", f"{APPS}/statefulsets", manifest("StatefulSet", replicas=2)))[0] == 201
    before = await ready(cluster, 2)
    uids = {pod["metadata"]["uid"] for pod in (await web.get(PODS))["items"]}
    assert (await web.patch(f"{APPS}/statefulsets/db", image_patch("main", "nginx:2")))[0] == 200
    after = await ready(cluster, 2, generation=2)
    pods = (await web.get(PODS))["items"]
    assert [pod["metadata"]["name"] for pod in pods] == ["db-0", "db-1"]
    assert {pod["spec"]["containers"][0]["image"] for pod in pods} == {"nginx:2"}
    assert not uids & {pod["metadata"]["uid"] for pod in pods}
    assert after["status"]["updateRevision"] != before["status"]["updateRevision"]


async def test_a_daemon_set_has_one_pod_on_each_node_and_replaces_them(cluster: Cluster, web: Http) -> None:
    assert (await web.ask("POST", f"{APPS}/daemonsets", manifest("DaemonSet")))[0] == 201

    def rolled(found: dict[str, Any]) -> bool:
        status, wanted = found["status"], found["metadata"]["generation"]
        counts = {status.get(n) for n in ("desiredNumberScheduled", "numberReady", "updatedNumberScheduled")}
        return counts == {3} and status["observedGeneration"] == wanted

    await cluster.until("DaemonSet", "default", "db", rolled)
    nodes = {pod["spec"]["nodeName"] for pod in (await web.get(PODS))["items"]}
    assert nodes == {"node-a", "node-b", "node-c"}
    assert (await web.patch(f"{APPS}/daemonsets/db", image_patch("main", "nginx:2")))[0] == 200
    await cluster.until("DaemonSet", "default", "db", rolled)
    live = [p for p in (await web.get(PODS))["items"] if "deletionTimestamp" not in p["metadata"]]
    assert {pod["spec"]["containers"][0]["image"] for pod in live} == {"nginx:2"}


async def test_a_broken_daemon_can_be_replaced(cluster: Cluster, web: Http) -> None:
    cluster.images[IMAGE] = Behaviour(crash_exit_code=1)
    assert (await web.ask("POST", f"{APPS}/daemonsets", manifest("DaemonSet")))[0] == 201
    await cluster.until("DaemonSet", "default", "db", lambda d: d["status"].get("currentNumberScheduled") == 3)
    assert (await web.patch(f"{APPS}/daemonsets/db", image_patch("main", "nginx:2")))[0] == 200
    await cluster.until("DaemonSet", "default", "db", lambda d: d["status"].get("numberReady") == 3)


async def test_a_job_completes(cluster: Cluster, web: Http) -> None:
    cluster.images[IMAGE] = Behaviour(crash_exit_code=0)
    code, _, _ = await web.ask("POST", f"{BATCH}/jobs", job(completions=3, parallelism=2))
    assert code == 201
    done = await cluster.until("Job", "default", "report", lambda j: bool(condition(j, "Complete")))
    assert done["status"]["succeeded"] == 3
    assert done["status"]["completionTime"] >= done["status"]["startTime"]
    assert "active" not in done["status"]


async def test_a_job_that_keeps_failing_reaches_its_limit(cluster: Cluster, web: Http) -> None:
    cluster.images[IMAGE] = Behaviour(crash_exit_code=4)
    assert (await web.ask("POST", f"{BATCH}/jobs", job(backoffLimit=1)))[0] == 201
    failed = await cluster.until("Job", "default", "report", lambda j: bool(condition(j, "Failed")))
    assert failed["status"]["failed"] == 2
    assert condition(failed, "Failed")["reason"] == "BackoffLimitExceeded"
    events = await web.get("/api/v1/namespaces/default/events?fieldSelector=involvedObject.kind%3DJob")
    assert "BackoffLimitExceeded" in {event["reason"] for event in events["items"]}


async def test_a_suspended_job_starts_nothing(cluster: Cluster, web: Http) -> None:
    assert (await web.ask("POST", f"{BATCH}/jobs", job(suspend=True)))[0] == 201
    await cluster.until("Job", "default", "report", lambda j: "startTime" in j["status"])
    assert await names(web) == []


async def test_a_job_must_not_restart_always(web: Http) -> None:
    body = job()
    body["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    code, status, _ = await web.ask("POST", f"{BATCH}/jobs", body)
    assert code == 422
    assert 'spec.template.spec.restartPolicy: Unsupported value: "Always"' in status["message"]


async def test_cron_jobs_autoscalers_and_claims_are_kept_with_their_defaults(web: Http) -> None:
    schedule = {"metadata": {"name": "nightly"}, "spec": {"schedule": "0 3 * * *", "jobTemplate": job()}}
    _, made, _ = await web.ask("POST", f"{BATCH}/cronjobs", schedule)
    assert made["spec"]["concurrencyPolicy"] == "Allow"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "db"}
    scaler = {"metadata": {"name": "db"}, "spec": {"scaleTargetRef": target, "maxReplicas": 5}}
    path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    assert (await web.ask("POST", path, scaler))[1]["spec"]["minReplicas"] == 1
    claim = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
    _, made, _ = await web.ask("POST", "/api/v1/namespaces/default/persistentvolumeclaims", claim)
    assert made["status"]["phase"] == "Pending"


async def test_a_service_gets_an_address_and_keeps_it(web: Http) -> None:
    path = "/api/v1/namespaces/default/services"
    body = {"metadata": {"name": "db"}, "spec": {"selector": {"app": "db"}, "ports": [{"port": 5432}]}}
    _, made, _ = await web.ask("POST", path, body)
    address = made["spec"]["clusterIP"]
    assert address.startswith("10.96.")
    assert made["spec"]["ports"][0] == {"port": 5432, "protocol": "TCP", "targetPort": 5432}
    body["metadata"] = made["metadata"]
    _, kept, _ = await web.ask("PUT", f"{path}/db", body)
    assert kept["spec"]["clusterIP"] == address
    code, _ = await web.patch(f"{path}/db", {"spec": {"clusterIP": "10.96.1.1"}}, MERGE)
    assert code == 422


async def test_a_deleted_namespace_takes_everything_with_it(cluster: Cluster, web: Http) -> None:
    assert (await web.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "brief"}}))[0] == 201
    path = "/apis/apps/v1/namespaces/brief/deployments"
    assert (await web.ask("POST", path, deployment_manifest("app")))[0] == 201
    await cluster.until("Deployment", "brief", "app", lambda d: d["status"].get("readyReplicas") == 2)
    assert (await web.ask("DELETE", "/api/v1/namespaces/brief"))[0] == 200
    await cluster.until_gone("Deployment", "brief", "app")
    assert (await web.get("/api/v1/namespaces/brief/pods"))["items"] == []


async def test_a_foreground_deletion_removes_the_owner_last(cluster: Cluster, web: Http) -> None:
    path = f"{APPS}/deployments"
    assert (await web.ask("POST", path, deployment_manifest("app", IMAGE)))[0] == 201
    await cluster.until("Deployment", "default", "app", lambda d: d["status"].get("readyReplicas") == 2)
    _, leaving, _ = await web.ask("DELETE", f"{path}/app", {"propagationPolicy": "Foreground"})
    assert leaving["metadata"]["finalizers"] == ["foregroundDeletion"]
    await cluster.until_gone("Deployment", "default", "app")
    assert await names(web) == []
