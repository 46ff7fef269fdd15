"""Pods in the stand-in cluster fail and speak as kubelet and scheduler make them: states, events, logs, nodes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.local.cluster import Behaviour, Cluster
from tests.contracts.cluster_support import MERGE, Http, condition, http, pod_manifest

PODS = "/api/v1/namespaces/default/pods"
IMAGE = "registry.acme.dev/lab/thing:1"


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(speed=20, world=False) as found:
        yield found


@pytest.fixture
async def web(cluster: Cluster) -> AsyncIterator[Http]:
    async with http(cluster) as found:
        yield found


def state(pod: dict[str, Any]) -> tuple[str, str]:
    """What the first container is doing: (waiting | running | terminated, reason)."""
    statuses = pod["status"].get("containerStatuses") or [{"state": {}}]
    name = next(iter(statuses[0]["state"]), "")
    return name, statuses[0]["state"].get(name, {}).get("reason", "")


def main(pod: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pod["status"]["containerStatuses"][0]
    return found


async def start(web: Http, behaviour: Behaviour, cluster: Cluster, **container: Any) -> None:
    """Starts the pod `solo`, whose image behaves like that."""
    cluster.images[IMAGE] = behaviour
    body = pod_manifest("solo", IMAGE)
    body["spec"]["containers"][0] |= container
    code, answer, _ = await web.ask("POST", PODS, body)
    assert code == 201, answer


async def reaches(cluster: Cluster, *wanted: str, name: str = "solo") -> dict[str, Any]:
    return await cluster.until("Pod", "default", name, lambda pod: state(pod) == wanted)


async def events(web: Http, reason: str) -> list[Any]:
    return list((await web.get(f"/api/v1/namespaces/default/events?fieldSelector=reason%3D{reason}"))["items"])


# --- how containers go wrong


async def test_a_healthy_pod_becomes_running_and_ready(cluster: Cluster, web: Http) -> None:
    await start(web, Behaviour(), cluster, readinessProbe={"httpGet": {"port": 80}})
    running = await reaches(cluster, "running", "")
    assert not main(running)["ready"]
    pod = await cluster.until("Pod", "default", "solo", lambda p: condition(p, "Ready").get("status") == "True")
    assert pod["status"]["phase"] == "Running"
    assert pod["status"]["podIP"].startswith("10.42.")
    types = [c["type"] for c in pod["status"]["conditions"]]
    assert types == ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"]


async def test_without_a_readiness_probe_a_running_container_is_ready(cluster: Cluster, web: Http) -> None:
    await start(web, Behaviour(), cluster)
    assert main(await reaches(cluster, "running", ""))["ready"]


async def test_a_crash_is_restarted_at_once_and_then_backed_off(cluster: Cluster, web: Http) -> None:
    await start(web, Behaviour(crash_exit_code=3), cluster)
    crashed = await reaches(cluster, "terminated", "Error")
    assert main(crashed)["state"]["terminated"]["exitCode"] == 3
    assert main(crashed)["restartCount"] == 0
    looping = await reaches(cluster, "waiting", "CrashLoopBackOff")
    uid = looping["metadata"]["uid"]
    assert main(looping)["state"]["waiting"]["message"] == (
        f"back-off 10s restarting failed container=main pod=solo_default({uid})"
    )
    assert main(looping)["lastState"]["terminated"]["exitCode"] == 3
    assert main(looping)["restartCount"] == 1
    assert looping["status"]["phase"] == "Running"
    again = await cluster.until(
        "Pod", "default", "solo", lambda p: "back-off 20s" in main(p)["state"].get("waiting", {}).get("message", "")
    )
    assert main(again)["restartCount"] == 2


async def test_more_memory_than_the_limit_is_oom_killed(cluster: Cluster, web: Http) -> None:
    await start(web, Behaviour(memory_mib=200), cluster, resources={"limits": {"memory": "128Mi"}})
    pod = await reaches(cluster, "terminated", "OOMKilled")
    assert main(pod)["state"]["terminated"]["exitCode"] == 137
    (event,) = await events(web, "OOMKilling")
    assert event["involvedObject"]["kind"] == "Node"
    assert event["involvedObject"]["name"] == pod["spec"]["nodeName"]
    assert "Memory cgroup out of memory: Killed process" in event["message"]
    looping = await reaches(cluster, "waiting", "CrashLoopBackOff")
    assert main(looping)["lastState"]["terminated"]["reason"] == "OOMKilled"


async def test_enough_memory_is_not_killed(cluster: Cluster, web: Http) -> None:
    await start(web, Behaviour(memory_mib=128), cluster, resources={"limits": {"memory": "128Mi"}})
    assert main(await reaches(cluster, "running", ""))["ready"]
    assert await events(web, "OOMKilling") == []


async def test_an_unknown_tag_of_a_known_repository_cannot_be_pulled(cluster: Cluster, web: Http) -> None:
    cluster.images[IMAGE] = Behaviour()
    typo = "registry.acme.dev/lab/thing:1-typo"
    assert (await web.ask("POST", PODS, pod_manifest("solo", typo)))[0] == 201
    failing = await reaches(cluster, "waiting", "ErrImagePull")
    assert f'failed to pull and unpack image "{typo}"' in main(failing)["state"]["waiting"]["message"]
    pod = await reaches(cluster, "waiting", "ImagePullBackOff")
    assert main(pod)["state"]["waiting"]["message"].startswith(f'Back-off pulling image "{typo}": ErrImagePull: ')
    assert pod["status"]["phase"] == "Pending"
    assert main(pod)["imageID"] == ""
    messages = {event["message"] for event in await events(web, "Failed")}
    assert {"Error: ErrImagePull", "Error: ImagePullBackOff"} <= messages


async def test_an_image_that_appears_later_is_pulled_then(cluster: Cluster, web: Http) -> None:
    await start(web, Behaviour(pull_error="unauthorized: authentication required"), cluster)
    await reaches(cluster, "waiting", "ImagePullBackOff")
    cluster.images[IMAGE] = Behaviour()
    assert main(await reaches(cluster, "running", ""))["ready"]


async def test_a_missing_config_map_keeps_the_container_from_being_created(cluster: Cluster, web: Http) -> None:
    reference = {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}}
    await start(web, Behaviour(), cluster, env=[reference])
    pod = await reaches(cluster, "waiting", "CreateContainerConfigError")
    assert main(pod)["state"]["waiting"]["message"] == 'configmap "settings" not found'
    maps = "/api/v1/namespaces/default/configmaps"
    assert (await web.ask("POST", maps, {"metadata": {"name": "settings"}, "data": {"other": "x"}}))[0] == 201
    await cluster.until(
        "Pod",
        "default",
        "solo",
        lambda p: (
            main(p)["state"].get("waiting", {}).get("message") == "couldn't find key mode in ConfigMap default/settings"
        ),
    )
    assert (await web.patch(f"{maps}/settings", {"data": {"mode": "fast"}}, MERGE))[0] == 200
    assert await reaches(cluster, "running", "")


async def test_a_missing_volume_source_is_a_failed_mount(cluster: Cluster, web: Http) -> None:
    body = pod_manifest("solo", volumes=[{"name": "certs", "secret": {"secretName": "tls"}}])
    assert (await web.ask("POST", PODS, body))[0] == 201
    pod = await reaches(cluster, "waiting", "ContainerCreating")
    async with web.session.get("/api/v1/namespaces/default/events?watch=true") as response:
        async for line in response.content:
            event = json.loads(line)["object"]
            if event["reason"] == "FailedMount":
                break
    assert event["message"] == 'MountVolume.SetUp failed for volume "certs" : secret "tls" not found'
    assert pod["status"]["phase"] == "Pending"


async def test_init_containers_run_one_after_the_other_and_first(cluster: Cluster, web: Http) -> None:
    cluster.images[IMAGE] = Behaviour()
    inits = [{"name": "one", "image": IMAGE}, {"name": "two", "image": IMAGE}]
    assert (await web.ask("POST", PODS, pod_manifest("solo", IMAGE, initContainers=inits)))[0] == 201
    waiting = await reaches(cluster, "waiting", "PodInitializing")
    assert condition(waiting, "Initialized")["reason"] == "ContainersNotInitialized"
    pod = await reaches(cluster, "running", "")
    codes = [s["state"]["terminated"]["exitCode"] for s in pod["status"]["initContainerStatuses"]]
    assert codes == [0, 0]
    assert condition(pod, "Initialized")["status"] == "True"


async def test_a_failing_init_container_blocks_the_pod(cluster: Cluster, web: Http) -> None:
    cluster.images[IMAGE] = Behaviour(crash_exit_code=2)
    inits = [{"name": "migrate", "image": IMAGE}]
    assert (await web.ask("POST", PODS, pod_manifest("solo", "nginx:1", initContainers=inits)))[0] == 201
    pod = await cluster.until(
        "Pod",
        "default",
        "solo",
        lambda p: any(
            "waiting" in s["state"] and s["restartCount"] for s in p["status"].get("initContainerStatuses", ())
        ),
    )
    assert pod["status"]["initContainerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert pod["status"]["phase"] == "Pending"


async def test_failing_probes_are_events(cluster: Cluster, web: Http) -> None:
    probe = {"httpGet": {"port": 80}}
    await start(web, Behaviour(not_ready="HTTP probe failed with statuscode: 503"), cluster, readinessProbe=probe)
    await reaches(cluster, "running", "")
    async with web.session.get("/api/v1/namespaces/default/events?watch=true") as response:
        async for line in response.content:
            event = json.loads(line)["object"]
            if event["reason"] == "Unhealthy" and event["count"] > 1:
                break
    assert event["message"] == "Readiness probe failed: HTTP probe failed with statuscode: 503"
    assert not main(await web.get(f"{PODS}/solo"))["ready"]


async def test_a_failing_liveness_probe_restarts_the_container(cluster: Cluster, web: Http) -> None:
    probe = {"httpGet": {"port": 80}}
    await start(web, Behaviour(dies="context deadline exceeded"), cluster, readinessProbe=probe)
    pod = await cluster.until("Pod", "default", "solo", lambda p: bool(p["status"].get("containerStatuses"))
                              and main(p)["restartCount"] > 0)  # fmt: skip
    assert pod
    (killing,) = await events(web, "Killing")
    assert killing["message"] == "Container main failed liveness probe, will be restarted"


@pytest.mark.parametrize(
    ("policy", "code", "phase"), [("Never", 0, "Succeeded"), ("Never", 1, "Failed"), ("OnFailure", 0, "Succeeded")]
)
async def test_a_pod_that_need_not_run_on_ends(cluster: Cluster, web: Http, policy: str, code: int, phase: str) -> None:
    cluster.images[IMAGE] = Behaviour(crash_exit_code=code)
    assert (await web.ask("POST", PODS, pod_manifest("solo", IMAGE, restartPolicy=policy)))[0] == 201
    pod = await cluster.until("Pod", "default", "solo", lambda p: p["status"]["phase"] == phase)
    assert main(pod)["restartCount"] == 0


# --- logs


async def test_logs_follow_the_behaviour_and_the_options(cluster: Cluster, web: Http) -> None:
    await start(web, Behaviour(log_lines=("one", "two", "three"), crash_exit_code=1), cluster)
    await reaches(cluster, "waiting", "CrashLoopBackOff")
    _, text, headers = await web.ask("GET", f"{PODS}/solo/log")
    assert text == "one\ntwo\nthree\n"
    assert headers["Content-Type"].startswith("text/plain")
    assert (await web.ask("GET", f"{PODS}/solo/log?previous=true"))[1] == "one\ntwo\nthree\n"
    assert (await web.ask("GET", f"{PODS}/solo/log?tailLines=1"))[1] == "three\n"
    assert (await web.ask("GET", f"{PODS}/solo/log?tailLines=0"))[1] == ""
    assert (await web.ask("GET", f"{PODS}/solo/log?limitBytes=5"))[1] == "one\nt"
    assert len((await web.ask("GET", f"{PODS}/solo/log?sinceSeconds=3600"))[1]) == len(text)
    assert (await web.ask("GET", f"{PODS}/solo/log?sinceTime=2999-01-01T00:00:00Z"))[1] == ""
    stamped = (await web.ask("GET", f"{PODS}/solo/log?timestamps=true&tailLines=1"))[1]
    moment, line = stamped.rstrip().split(" ")
    assert line == "three"
    assert moment.endswith("Z")
    assert len(moment) == len("2026-11-23T03:21:30.565392000Z")


async def test_a_running_container_goes_on_writing(cluster: Cluster, web: Http) -> None:
    await start(web, Behaviour(log_lines=("up",), steady_lines=("beat",), ready_after=0.1), cluster)
    await reaches(cluster, "running", "")
    async with web.session.get(f"{PODS}/solo/log?follow=true") as response:
        lines = [await response.content.readline() for _ in range(3)]
    assert lines == [b"up\n", b"beat\n", b"beat\n"]


async def test_follow_ends_with_the_container(cluster: Cluster, web: Http) -> None:
    await start(web, Behaviour(log_lines=("up",), steady_lines=("beat",)), cluster)
    await reaches(cluster, "running", "")
    async with web.session.get(f"{PODS}/solo/log?follow=true") as response:
        assert await response.content.readline() == b"up\n"
        assert (await web.ask("DELETE", f"{PODS}/solo"))[0] == 200
        await response.content.read()


async def test_a_container_that_never_started_has_no_log(cluster: Cluster, web: Http) -> None:
    await start(web, Behaviour(pull_error="not found"), cluster)
    await reaches(cluster, "waiting", "ImagePullBackOff")
    code, status, _ = await web.ask("GET", f"{PODS}/solo/log")
    assert (code, status["reason"]) == (400, "BadRequest")
    assert status["message"] == ('container "main" in pod "solo" is waiting to start: trying and failing to pull image')
    _, status, _ = await web.ask("GET", f"{PODS}/solo/log?previous=true")
    assert status["message"] == 'previous terminated container "main" in pod "solo" not found'


async def test_the_container_of_a_log_must_be_known_and_named_if_there_are_several(cluster: Cluster, web: Http) -> None:
    body = pod_manifest("solo")
    body["spec"]["containers"].append({"name": "side", "image": "envoy:1"})
    assert (await web.ask("POST", PODS, body))[0] == 201
    await cluster.until("Pod", "default", "solo", lambda p: p["status"]["phase"] == "Running")
    code, status, _ = await web.ask("GET", f"{PODS}/solo/log")
    assert (code, status["message"]) == (
        400,
        "a container name must be specified for pod solo, choose one of: [main side]",
    )
    _, status, _ = await web.ask("GET", f"{PODS}/solo/log?container=other")
    assert status["message"] == "container other is not valid for pod solo"
    assert (await web.ask("GET", f"{PODS}/solo/log?container=side"))[0] == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("tailLines=-1", 422),
        ("sinceSeconds=0", 422),
        ("sinceSeconds=5&sinceTime=2026-01-01T00:00:00Z", 422),
        ("tailLines=few", 400),
        ("sinceTime=yesterday", 400),
        ("follow=perhaps", 400),
    ],
)
async def test_unusable_log_options_are_refused(cluster: Cluster, web: Http, query: str, code: int) -> None:
    await start(web, Behaviour(), cluster)
    await reaches(cluster, "running", "")
    assert (await web.ask("GET", f"{PODS}/solo/log?{query}"))[0] == code


# --- nodes and scheduling


async def test_a_pod_too_big_for_every_node_says_so(cluster: Cluster, web: Http) -> None:
    body = pod_manifest("solo")
    body["spec"]["containers"][0]["resources"] = {"requests": {"memory": "100Gi"}}
    assert (await web.ask("POST", PODS, body))[0] == 201
    pod = await cluster.until("Pod", "default", "solo", lambda p: condition(p, "PodScheduled").get("status") == "False")
    found = condition(pod, "PodScheduled")
    assert found["reason"] == "Unschedulable"
    assert found["message"] == (
        "0/3 nodes are available: 3 Insufficient memory. preemption: 0/3 nodes are available:"
        " 3 No preemption victims found for incoming pod."
    )
    (event,) = await events(web, "FailedScheduling")
    assert event["message"] == found["message"]
    assert event["source"]["component"] == "default-scheduler"


async def test_a_cordoned_node_takes_no_pod_and_an_uncordoned_one_does(cluster: Cluster, web: Http) -> None:
    for node in ("node-a", "node-b", "node-c"):
        assert (await web.patch(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": True}}))[0] == 200
    assert (await web.ask("POST", PODS, pod_manifest("solo")))[0] == 201
    pod = await cluster.until("Pod", "default", "solo", lambda p: condition(p, "PodScheduled").get("status") == "False")
    assert "3 node(s) were unschedulable" in condition(pod, "PodScheduled")["message"]
    assert len((await web.get("/api/v1/nodes?fieldSelector=spec.unschedulable%3Dtrue"))["items"]) == 3
    assert (await web.patch("/api/v1/nodes/node-b", {"spec": {"unschedulable": None}}))[0] == 200
    pod = await cluster.until("Pod", "default", "solo", lambda p: bool(p["spec"].get("nodeName")))
    assert pod["spec"]["nodeName"] == "node-b"


async def test_a_node_that_is_not_ready_takes_no_pod(cluster: Cluster, web: Http) -> None:
    status = {"status": {"conditions": [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}]}}
    for node in ("node-a", "node-b", "node-c"):
        code, answer = await web.patch(f"/api/v1/nodes/{node}/status", status)
        assert code == 200
        assert len(answer["status"]["conditions"]) == 4, "conditions merge by type"
    assert (await web.ask("POST", PODS, pod_manifest("solo")))[0] == 201
    pod = await cluster.until("Pod", "default", "solo", lambda p: condition(p, "PodScheduled").get("status") == "False")
    assert "untolerated taint {node.kubernetes.io/not-ready: }" in condition(pod, "PodScheduled")["message"]


async def test_an_unbound_claim_keeps_a_pod_from_being_scheduled(cluster: Cluster, web: Http) -> None:
    body = pod_manifest("solo", volumes=[{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}])
    assert (await web.ask("POST", PODS, body))[0] == 201
    pod = await cluster.until("Pod", "default", "solo", lambda p: condition(p, "PodScheduled").get("status") == "False")
    assert 'persistentvolumeclaim "data" not found' in condition(pod, "PodScheduled")["message"]
    claims = "/api/v1/namespaces/default/persistentvolumeclaims"
    assert (await web.ask("POST", claims, {"metadata": {"name": "data"}}))[0] == 201
    await cluster.until(
        "Pod",
        "default",
        "solo",
        lambda p: "unbound immediate PersistentVolumeClaims" in condition(p, "PodScheduled").get("message", ""),
    )
    assert (await web.patch(f"{claims}/data/status", {"status": {"phase": "Bound"}}))[0] == 200
    assert await reaches(cluster, "running", "")


async def test_a_node_selector_nobody_matches_says_so(cluster: Cluster, web: Http) -> None:
    assert (await web.ask("POST", PODS, pod_manifest("solo", nodeSelector={"gpu": "yes"})))[0] == 201
    pod = await cluster.until("Pod", "default", "solo", lambda p: condition(p, "PodScheduled").get("status") == "False")
    assert "3 node(s) didn't match Pod's node affinity/selector" in condition(pod, "PodScheduled")["message"]
    assert "3 Preemption is not helpful for scheduling" in condition(pod, "PodScheduled")["message"]


# --- eviction


async def test_an_eviction_within_the_budget_deletes_the_pod_and_beyond_it_is_429(cluster: Cluster, web: Http) -> None:
    assert (await web.ask("POST", PODS, pod_manifest("solo")))[0] == 201
    assert (await web.ask("POST", PODS, pod_manifest("second")))[0] == 201
    for name in ("solo", "second"):
        assert (await web.patch(f"{PODS}/{name}", {"metadata": {"labels": {"app": "pair"}}}))[0] == 200
        await reaches(cluster, "running", "", name=name)
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    budget = {"metadata": {"name": "pair"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "pair"}}}}
    assert (await web.ask("POST", budgets, budget))[0] == 201
    await cluster.until("PodDisruptionBudget", "default", "pair", lambda b: b["status"].get("disruptionsAllowed") == 1)
    code, status, _ = await web.ask("POST", f"{PODS}/solo/eviction", {"metadata": {"name": "solo"}})
    assert (code, status["status"]) == (201, "Success")
    await cluster.until_gone("Pod", "default", "solo")
    code, status, _ = await web.ask("POST", f"{PODS}/second/eviction", {"metadata": {"name": "second"}})
    assert (code, status["reason"]) == (429, "TooManyRequests")
    assert status["message"] == "Cannot evict pod as it would violate the pod's disruption budget."
    assert status["details"]["causes"] == [
        {"reason": "DisruptionBudget", "message": "The disruption budget pair needs 1 healthy pods and has 1 currently"}
    ]


async def test_an_eviction_must_name_its_pod(cluster: Cluster, web: Http) -> None:
    await start(web, Behaviour(), cluster)
    code, status, _ = await web.ask("POST", f"{PODS}/solo/eviction", {"metadata": {"name": "other"}})
    assert (code, status["message"]) == (400, "name in URL does not match name in Eviction object")
    assert (await web.ask("POST", f"{PODS}/none/eviction", {"metadata": {"name": "none"}}))[0] == 404


async def test_a_seeded_object_is_stored_as_it_is(cluster: Cluster, web: Http) -> None:
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "report", "namespace": "default"},
        "spec": {"template": {"spec": {"containers": []}}},
        "status": {"failed": 3, "conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]},
    }
    cluster.seed(job)
    assert (await web.get("/apis/batch/v1/namespaces/default/jobs/report"))["status"] == job["status"]
