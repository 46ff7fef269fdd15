"""Pods: each trouble by its own evidence, with numbers, and nothing claimed that the status does not say."""

from __future__ import annotations

from typing import Any

import pytest

from bot.analyzers import analyze
from domain.actions import Target
from domain.diagnosis import Finding
from tests.unit.kube import (
    CHECKOUT,
    IMAGE_CHANGE,
    World,
    ago,
    crashing_pod,
    deployment,
    event,
    good_pod,
    history,
    node,
    oom_pod,
    pod,
    status,
    terminated,
)

LONE = Target("kubernetes", "production", "shop", "Pod", "tool")


async def trouble(*objects: dict[str, Any], **world: Any) -> Finding:
    """The heaviest finding about checkout, of which these are the pods."""
    found = await analyze(CHECKOUT, None, World(deployment(ready=2), *objects, **world).read)
    return found[0]


def waiting(reason: str, message: str = "", name: str = "checkout-new-a") -> dict[str, Any]:
    return pod(name, status(waiting=reason, message=message), phase="Pending")


def lone(*statuses: dict[str, Any], **more: Any) -> dict[str, Any]:
    made = pod("tool", *statuses, **more)
    made["metadata"]["ownerReferences"] = []
    return made


# --- crashes ----------------------------------------------------------------------------------------------------------


async def test_a_crash_loop_tells_exit_code_restarts_and_the_last_log_lines() -> None:
    lines = [f"line {number}" for number in range(9)]
    found = await trouble(crashing_pod(), good_pod(), logs={("checkout-new-a", True): lines})
    assert found.code == "pod.crash_loop"
    assert found.title == "Container app of 1 of 2 pods keeps crashing with exit code 1"
    assert "4 restarts" in found.detail
    assert found.detail.split("Last log lines:\n")[1].split("\n") == lines[-5:]
    assert found.facts["exit_code"] == 1
    assert [item.title for item in found.evidence] == ["status of pod checkout-new-a", "logs of checkout-new-a/app"]


async def test_stack_frames_do_not_push_the_exception_out_of_the_last_lines() -> None:
    trace = [
        "java.lang.IllegalStateException: no tax table",
        *(f"\tat com.shop.Tax.load(Tax.java:{n})" for n in range(20)),
    ]
    found = await trouble(crashing_pod(), logs={("checkout-new-a", True): trace})
    assert "no tax table" in found.detail
    assert "Tax.java" not in found.detail


@pytest.mark.parametrize(
    ("exit_code", "said"),
    [
        (0, "ends without an error, though it should stay up"),
        (127, "the command was not found in the image"),
        (139, "segmentation fault"),
    ],
)
async def test_an_exit_code_is_explained_where_it_has_a_meaning(exit_code: int, said: str) -> None:
    assert said in (await trouble(crashing_pod(exit_code=exit_code))).detail


async def test_a_crash_without_a_readable_log_is_not_proven() -> None:
    found = await analyze(CHECKOUT, None, World(deployment(), crashing_pod(), refuse=("kubernetes_logs",)).read)
    assert found[0].facts["confidence"] == "not_proven"
    assert "could not be read" in found[0].facts["hypotheses"][0][0]
    assert "read.failed" in [item.code for item in found]


async def test_a_first_crash_is_not_called_a_loop_of_crashes() -> None:
    assert "has crashed" in (await trouble(crashing_pod(restarts=1))).title


async def test_a_container_killed_by_its_liveness_probe_is_told_apart_from_a_crash() -> None:
    killed = event("checkout-new-a", "Killing", "Container app failed liveness probe, will be restarted")
    found = await trouble(crashing_pod(exit_code=137), events=(killed,))
    assert found.code == "pod.liveness_probe"
    assert found.facts["confidence"] == "likely"


async def test_an_init_container_that_fails_is_named_as_one() -> None:
    broken = status("init", waiting="CrashLoopBackOff", last=terminated(2), restarts=5)
    waits = status(waiting="PodInitializing")
    found = await trouble(pod("checkout-new-a", waits, init=(broken,), phase="Pending"))
    assert found.code == "pod.crash_loop"
    assert found.title == "Init container init of pod checkout-new-a keeps crashing with exit code 2"
    assert found.facts["init"] is True


async def test_the_memory_limit_of_an_init_container_is_not_proposed() -> None:
    broken = status("init", waiting="CrashLoopBackOff", last=terminated(137, "OOMKilled"), restarts=5)
    starved = pod("checkout-new-a", status(waiting="PodInitializing"), init=(broken,), phase="Pending")
    starved["spec"]["initContainers"][0]["resources"] = {"limits": {"memory": "64Mi"}}
    found = await trouble(starved)
    assert found.code == "pod.oom_killed"
    assert found.proposal is None
    assert "init container" in found.detail


async def test_a_lone_pod_out_of_memory_has_no_workload_to_change() -> None:
    starved = lone(status(waiting="CrashLoopBackOff", last=terminated(137, "OOMKilled"), restarts=2))
    starved["spec"]["containers"][0]["resources"] = {"limits": {"memory": "64Mi"}}
    found = await analyze(LONE, None, World(starved).read)
    assert found[0].code == "pod.oom_killed"
    assert found[0].proposal is None


# --- before it runs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ('failed to pull "x": not found', "the registry does not have it"),
        ("manifest unknown", "the registry does not have it"),
        ("pull access denied, repository does not exist or may require authorization", "the registry refuses access"),
        ("401 Unauthorized", "the registry refuses access"),
        ("dial tcp: i/o timeout", "the registry does not answer"),
        ("something new", "registry.test/checkout:2.0"),
    ],
)
async def test_a_failed_pull_says_which_image_and_what_kind_of_failure(message: str, why: str) -> None:
    found = await trouble(waiting("ImagePullBackOff", message))
    assert found.code == "pod.image_pull"
    assert found.title.startswith("Container app cannot pull registry.test/checkout:2.0")
    assert found.title.endswith(why)
    assert message in found.detail


async def test_a_pulls_own_event_says_more_than_the_back_off() -> None:
    said = 'Failed to pull image "registry.test/checkout:2.0": manifest unknown'
    told = (
        event("checkout-new-a", "Failed", said),
        event("checkout-new-a", "Failed", "Error: ImagePullBackOff", last=1),
    )
    found = await trouble(waiting("ImagePullBackOff", "Back-off pulling image"), events=told)
    assert found.title.endswith("the registry does not have it")
    assert found.evidence[1].excerpt == said


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("ErrImagePull", "pod.image_pull"),
        ("InvalidImageName", "pod.image_pull"),
        ("ErrImageNeverPull", "pod.image_pull"),
        ("CreateContainerConfigError", "pod.config_missing"),
        ("CreateContainerError", "pod.cannot_start"),
        ("RunContainerError", "pod.cannot_start"),
    ],
)
async def test_a_container_that_waits_for_a_reason_is_told_by_it(reason: str, code: str) -> None:
    found = await trouble(waiting(reason, "because of something"))
    assert found.code == code
    assert "because of something" in found.detail
    assert found.proposal is None
    assert found.facts["next_steps"]


async def test_an_unschedulable_pod_tells_the_schedulers_reason() -> None:
    reason = "0/3 nodes are available: 3 Insufficient memory."
    state = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": reason}]
    found = await trouble(pod("checkout-new-a", phase="Pending", conditions=state))
    assert found.code == "pod.unschedulable"
    assert reason in found.title
    assert found.proposal is None


async def test_a_gated_pod_is_told_by_its_gate() -> None:
    state = [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "gated by quota"}]
    assert "SchedulingGated" in (await trouble(pod("checkout-new-a", phase="Pending", conditions=state))).detail


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        ("FailedMount", "pod.mount_failed"),
        ("FailedCreatePodSandBox", "pod.sandbox_failed"),
        ("Pulling", "pod.starting"),
    ],
)
async def test_a_pod_that_does_not_start_is_told_by_its_events(reason: str, code: str) -> None:
    told = event("checkout-new-a", reason, 'MountVolume.SetUp failed: configmap "tax" not found')
    every = await analyze(CHECKOUT, None, World(deployment(), waiting("ContainerCreating"), events=(told,)).read)
    assert code in [item.code for item in every]


# --- while it runs ----------------------------------------------------------------------------------------------------


async def test_a_failing_probe_tells_the_kubelets_words() -> None:
    told = event("checkout-new-a", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")
    found = await trouble(pod("checkout-new-a", status(running=300, ready=False)), events=(told,))
    assert found.code == "pod.probe_failing"
    assert "statuscode: 503" in found.title
    assert len(found.facts["hypotheses"]) == 2


async def test_an_unready_pod_without_an_event_is_not_proven() -> None:
    found = await trouble(pod("checkout-new-a", status(running=300, ready=False)))
    assert found.code == "pod.not_ready"
    assert found.facts["confidence"] == "not_proven"


async def test_an_eviction_is_linked_with_its_nodes_pressure() -> None:
    evicted = pod("checkout-new-a", phase="Failed", reason="Evicted", message="The node was low on resource: memory.")
    pressed = node("node-1", ("Ready", "True", ""), ("MemoryPressure", "True", "kubelet has insufficient memory"))
    found = await analyze(CHECKOUT, None, World(deployment(ready=2), evicted, good_pod(), pressed).read)
    codes = {item.code: item for item in found}
    assert "Node node-1 reports MemoryPressure" in codes["pod.evicted"].detail
    assert codes["node.pressure"].target.name == "node-1"


@pytest.mark.parametrize(
    "more",
    [
        {"reason": "Terminated"},
        {"reason": "NodeShutdown"},
        {"reason": "Preempting"},
        {"reason": "OutOfcpu"},
        {"reason": "NodeAffinity"},
        {"reason": "UnexpectedAdmissionError"},
        {"conditions": [{"type": "DisruptionTarget", "status": "True", "message": "preempted by a pod"}]},
    ],
    ids=str,
)
async def test_a_pod_that_the_machinery_ended_is_no_exit_of_its_application(more: dict[str, Any]) -> None:
    ended = pod("checkout-new-a", status(ended=terminated(137, "Error")), phase="Failed", **more)
    world = World(deployment(ready=2), ended, good_pod(), history=history(IMAGE_CHANGE))
    codes = {item.code: item for item in await analyze(CHECKOUT, None, world.read)}
    assert "pod.evicted" in codes
    assert not {"pod.exited", "pod.crash_loop", "deployment.bad_rollout"} & set(codes)


async def test_a_pod_stuck_terminating_tells_its_finalizers() -> None:
    stuck = good_pod("checkout-new-a")
    stuck["metadata"] |= {"deletionTimestamp": ago(minutes=10), "finalizers": ["example.com/backup"]}
    found = await trouble(stuck)
    assert found.code == "pod.terminating"
    assert "example.com/backup" in found.detail
    assert found.proposal is None


async def test_a_lost_node_is_named() -> None:
    lost = pod(
        "checkout-new-a",
        status(running=900, ready=True),
        reason="NodeLost",
        message="Node node-1 which was running pod",
    )
    assert (await trouble(lost)).code == "pod.node_lost"


async def test_a_failed_pod_that_is_not_restarted_tells_its_exit_code() -> None:
    failed = lone(status(ended=terminated(3)), phase="Failed")
    found = (await analyze(LONE, None, World(failed, logs={("tool", False): ["no such table"]}).read))[0]
    assert found.code == "pod.exited"
    assert found.title == "Container app of pod tool failed with exit code 3"
    assert "no such table" in found.detail


# --- which pods, and which target -------------------------------------------------------------------------------------


async def test_a_pods_alert_leads_to_its_deployment() -> None:
    target = Target("kubernetes", "production", "shop", "Pod", "checkout-new-a")
    found = await analyze(target, None, World(deployment(ready=2), crashing_pod(), good_pod()).read)
    assert found[0].target == CHECKOUT


async def test_a_lone_pod_is_looked_at_by_itself() -> None:
    found = await analyze(LONE, None, World(lone(status(running=900, ready=True), ready=True)).read)
    assert [item.code for item in found] == ["pod.healthy"]
    assert found[0].healthy


async def test_a_pod_that_completed_has_no_problem() -> None:
    done = lone(status(ended=terminated(0, "Completed")), phase="Succeeded")
    assert await analyze(LONE, None, World(done).read) == ()


async def test_a_list_that_was_cut_says_that_it_was() -> None:
    found = await trouble(crashing_pod(), crashing_pod("checkout-new-b"), more=True)
    assert "2 of the first 2 pods" in found.title


async def test_only_one_pod_of_a_kind_is_looked_at_closely() -> None:
    pods = [crashing_pod(f"checkout-new-{number}", restarts=number) for number in range(1, 7)]
    world = World(deployment(), *pods, logs={("checkout-new-6", True): ["boom"]})
    found = await analyze(CHECKOUT, None, world.read)
    assert [arguments["pod"] for tool, arguments in world.asked if tool == "kubernetes_logs"] == ["checkout-new-6"]
    assert found[0].title == "Container app of 6 of 6 pods keeps crashing with exit code 1"
    assert "21 restarts in all" in found[0].detail


async def test_titles_are_short_whatever_the_message() -> None:
    found = await trouble(waiting("CreateContainerConfigError", "x" * 3000))
    assert len(found.title) <= 100
    assert len(found.detail) <= 1500


async def test_out_of_memory_is_told_with_limit_request_and_times() -> None:
    found = await trouble(oom_pod(limit="256Mi", request="128Mi"), good_pod())
    assert found.title == "Container app is killed at its memory limit of 256Mi"
    for said in ("memory request: 128Mi", "1 of 2 pods", "3 restarts"):
        assert said in found.detail
