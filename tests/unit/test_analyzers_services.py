"""Services, nodes and jobs: the fault is named where it is, and what is well stays silent."""

from __future__ import annotations

from typing import Any

import pytest

from bot.analyzers import analyze
from domain.actions import Target
from domain.diagnosis import Finding
from tests.unit.kube import (
    IMAGE_CHANGE,
    World,
    ago,
    crashing_pod,
    deployment,
    event,
    good_pod,
    history,
    node,
    pod,
    status,
    terminated,
)


def target(kind: str, name: str = "checkout") -> Target:
    return Target("kubernetes", "production", "" if kind == "Node" else "shop", kind, name)


def service(selector: dict[str, str] | None, *, port: Any = 8080, kind: str = "ClusterIP") -> dict[str, Any]:
    spec: dict[str, Any] = {"type": kind, "ports": [{"port": 80, "targetPort": port}]}
    return {
        "kind": "Service",
        "metadata": {"name": "checkout", "namespace": "shop"},
        "spec": spec | ({"selector": selector} if selector else {}),
    }


async def of_service(*objects: dict[str, Any], **world: Any) -> tuple[Finding, ...]:
    return await analyze(target("Service"), None, World(*objects, **world).read)


# --- services ---------------------------------------------------------------------------------------------------------


async def test_a_selector_that_matches_nothing_names_the_labels_that_differ() -> None:
    found = await of_service(service({"app": "checkout", "tier": "front"}), deployment(), good_pod())
    assert found[0].code == "service.no_matching_pods"
    assert "app=checkout,tier=front" in found[0].title
    assert "Deployment checkout, whose pods differ in tier=(unset)" in found[0].detail
    assert found[0].proposal is None


async def test_a_selector_whose_deployment_has_no_pods_leads_to_the_deployment() -> None:
    found = await of_service(service({"app": "checkout"}), deployment(desired=0, ready=0))
    assert [item.code for item in found] == ["deployment.scaled_to_zero", "service.no_matching_pods"]


async def test_unready_pods_are_the_pods_fault_and_their_cause_comes_first() -> None:
    found = await of_service(
        service({"app": "checkout"}), deployment(ready=0), crashing_pod(), history=history(IMAGE_CHANGE)
    )
    codes = [item.code for item in found]
    assert codes[0] == "deployment.bad_rollout"
    assert "service.no_ready_pods" in codes
    assert found[0].proposal is not None


async def test_a_named_port_that_no_pod_has_is_the_services_fault() -> None:
    named = good_pod()
    named["spec"]["containers"][0]["ports"] = [{"name": "http", "containerPort": 8080}]
    found = await of_service(service({"app": "checkout"}, port="web"), deployment(), named)
    assert found[0].code == "service.no_such_port"
    assert "the pods name these ports: http" in found[0].detail


async def test_a_port_number_that_no_container_declares_proves_nothing() -> None:
    found = await of_service(service({"app": "checkout"}, port=9999), deployment(), good_pod())
    assert {item.code for item in found} == {"deployment.healthy", "service.healthy"}


@pytest.mark.parametrize(("kind", "said"), [("ExternalName", "alias"), ("ClusterIP", "kept by hand")])
async def test_a_service_without_a_selector_is_not_judged(kind: str, said: str) -> None:
    found = await of_service(service(None, kind=kind))
    assert [item.code for item in found] == ["service.not_judged"]
    assert said in found[0].title


async def test_pods_that_finished_are_not_behind_a_service() -> None:
    done = pod("checkout-new-a", status(ended=terminated(0, "Completed")), phase="Succeeded")
    assert (await of_service(service({"app": "checkout"}), done))[0].code == "service.no_matching_pods"


async def test_an_alert_whose_service_label_is_the_applications_name_finds_the_deployment() -> None:
    found = await of_service(deployment(ready=2), crashing_pod(), good_pod(), history=history(IMAGE_CHANGE))
    assert found[0].code == "deployment.bad_rollout"


async def test_a_service_that_is_nothing_at_all_is_a_failed_read() -> None:
    assert [item.code for item in await of_service()] == ["read.failed"]


async def test_where_the_pods_may_not_be_listed_no_claim_is_made_of_them() -> None:
    found = await of_service(service({"app": "checkout"}), deployment(), refuse=("kubernetes_list",))
    assert {item.code for item in found} == {"read.failed"}


# --- nodes ------------------------------------------------------------------------------------------------------------

READY = ("Ready", "True", "kubelet is posting ready status")


async def of_node(*conditions: tuple[str, str, str], **more: Any) -> tuple[Finding, ...]:
    events = more.pop("events", ())
    return await analyze(target("Node", "node-1"), None, World(node("node-1", *conditions, **more), events=events).read)


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        (("Ready", "False", "container runtime is down"), "node.not_ready"),
        (("Ready", "Unknown", "Kubelet stopped posting node status."), "node.not_ready"),
        (("MemoryPressure", "True", "insufficient memory"), "node.pressure"),
        (("DiskPressure", "True", "no space"), "node.pressure"),
        (("NetworkUnavailable", "True", "no route"), "node.network_unavailable"),
        (("KernelDeadlock", "True", "task blocked"), "node.problem"),
        (("KernelReady", "False", "soft lockup"), "node.problem"),
    ],
)
async def test_a_condition_with_its_unhealthy_value_is_told(condition: tuple[str, str, str], code: str) -> None:
    found = await of_node(condition)
    assert [item.code for item in found] == [code]
    assert condition[2] in found[0].detail
    assert found[0].proposal is None


@pytest.mark.parametrize(
    "condition",
    [
        ("MemoryPressure", "False", "kubelet has sufficient memory"),
        ("MemoryPressure", "Unknown", "NodeStatusUnknown"),
        ("KernelDeadlock", "False", "kernel has no deadlock"),
        ("KernelReady", "True", "monitoring is active"),
        ("NetworkingReady", "True", "monitoring is active"),
        ("EtcdIsVoter", "True", "member is a voter"),
        ("SomethingNew", "False", "nobody knows"),
    ],
)
async def test_a_condition_that_is_healthy_or_unknown_to_us_is_no_finding(condition: tuple[str, str, str]) -> None:
    found = await of_node(READY, condition)
    assert [item.code for item in found] == ["node.healthy"]


async def test_a_cordoned_node_is_told_and_not_uncordoned() -> None:
    found = await of_node(READY, unschedulable=True)
    assert [item.code for item in found] == ["node.cordoned", "node.healthy"]
    assert all(item.proposal is None for item in found)


async def test_the_nodes_last_warning_is_cited() -> None:
    told = event("node-1", "SystemOOM", "System OOM encountered, victim process: java", kind="Node")
    found = await of_node(("MemoryPressure", "True", "insufficient memory"), events=(told,))
    assert found[0].evidence[1].excerpt == "SystemOOM: System OOM encountered, victim process: java"


# --- jobs -------------------------------------------------------------------------------------------------------------


def job(
    name: str = "report", *, conditions: tuple[tuple[str, str], ...] = (), owner: str = "", **status_: Any
) -> dict[str, Any]:
    spec = {"backoffLimit": 3} | status_.pop("spec", {})
    owners = [{"kind": "CronJob", "name": owner, "controller": True}] if owner else []
    return {
        "kind": "Job",
        "metadata": {"name": name, "namespace": "shop", "creationTimestamp": ago(minutes=9), "ownerReferences": owners},
        "spec": spec,
        "status": status_
        | {
            "conditions": [
                {"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": ago(minutes=1)}
                for kind, reason in conditions
            ]
        },
    }


def job_pod(name: str = "report-x", **more: Any) -> dict[str, Any]:
    made = pod(name, status("app", ended=terminated(2)), phase="Failed", owner="report", **more)
    made["metadata"]["labels"] = {"job-name": "report"}
    made["metadata"]["ownerReferences"] = [{"kind": "Job", "name": "report", "controller": True}]
    made["spec"]["restartPolicy"] = "Never"
    return made


async def of_job(
    *objects: dict[str, Any], kind: str = "Job", name: str = "report", **world: Any
) -> tuple[Finding, ...]:
    return await analyze(target(kind, name), None, World(*objects, **world).read)


async def test_a_failed_job_is_told_with_the_crash_that_failed_it_first() -> None:
    gave_up = job(conditions=(("Failed", "BackoffLimitExceeded"),), failed=4)
    found = await of_job(gave_up, job_pod(), logs={("report-x", False): ["no such table: orders"]})
    assert [item.code for item in found] == ["pod.exited", "job.failed"]
    assert "no such table" in found[0].detail
    assert found[1].title == "Job report has failed: it used up its retries"
    assert "4 failed pods, backoff limit 3" in found[1].detail


async def test_a_failed_job_whose_pods_are_gone_is_still_told() -> None:
    found = await of_job(job(conditions=(("Failed", "DeadlineExceeded"),)))
    assert [item.code for item in found] == ["job.failed"]
    assert found[0].title.endswith("it ran out of time")
    assert found[0].facts["confidence"] == "not_proven"


@pytest.mark.parametrize("done", ["Complete", "SuccessCriteriaMet"])
async def test_a_job_that_completed_after_retries_is_healthy(done: str) -> None:
    found = await of_job(job(conditions=((done, ""),), failed=2, succeeded=1), job_pod())
    assert [item.code for item in found] == ["job.complete"]
    assert found[0].healthy
    assert "after 2 failed pods" in found[0].title


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (job(spec={"suspend": True}), "job.suspended"),
        (job(failed=1, active=1), "job.retrying"),
        (job(active=1), "job.running"),
    ],
)
async def test_a_job_that_is_not_over_is_told_as_it_is(made: dict[str, Any], code: str) -> None:
    found = await of_job(made)
    assert [item.code for item in found] == [code]
    assert found[0].proposal is None


def cron_job(**spec: Any) -> dict[str, Any]:
    return {
        "kind": "CronJob",
        "metadata": {"name": "nightly", "namespace": "shop"},
        "spec": {"schedule": "0 3 * * *"} | spec,
        "status": {"lastScheduleTime": ago(hours=9)},
    }


async def test_a_cron_jobs_latest_job_is_looked_at() -> None:
    older = job("nightly-1", owner="nightly", conditions=(("Complete", ""),))
    older["metadata"]["creationTimestamp"] = ago(days=1)
    latest = job("nightly-2", owner="nightly", conditions=(("Failed", "BackoffLimitExceeded"),))
    found = await of_job(cron_job(), older, latest, job("other"), kind="CronJob", name="nightly")
    assert [item.code for item in found] == ["job.failed", "cron_job.healthy"]
    assert found[0].target.name == "nightly-2"
    assert "2 Jobs kept" in found[1].detail


async def test_a_suspended_cron_job_is_told() -> None:
    found = await of_job(cron_job(suspend=True), kind="CronJob", name="nightly")
    assert [item.code for item in found] == ["cron_job.suspended"]
