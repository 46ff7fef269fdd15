"""Worlds in short: nodes, Services, claims, Jobs and events as the API writes them."""

from __future__ import annotations

import pytest

from bot.commands.eval import written
from bot.evaluation import read_scenario
from bot.local.cluster.short import claim, job, node, service, told
from bot.local.cluster.written import workload
from domain.errors import SettingsError


def test_a_node_is_healthy_unless_it_says_otherwise() -> None:
    one = node({"name": "node-a", "conditions": {"DiskPressure": ["True", "disk is full"], "Ready": "False"}})
    states = {item["type"]: (item["status"], item["message"]) for item in one["status"]["conditions"]}
    assert states["DiskPressure"] == ("True", "disk is full")
    assert states["Ready"] == ("False", "")
    assert states["MemoryPressure"] == ("False", "")
    assert one["spec"] == {"taints": []}


def test_a_cordoned_node_with_a_gpu_says_both() -> None:
    one = node({"name": "node-a", "cordoned": True, "allocatable": {"nvidia.com/gpu": 1}})
    assert one["spec"]["unschedulable"] is True
    assert one["status"]["allocatable"] == {"cpu": "4", "memory": "16Gi", "pods": "110", "nvidia.com/gpu": "1"}


def test_a_service_selects_the_workload_of_its_name() -> None:
    one = service({"name": "web", "target": "http"})
    assert one["spec"]["selector"] == {"app": "web"}
    assert one["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": "http"}]


def test_a_claim_has_a_size_only_once_it_is_bound() -> None:
    assert claim({"name": "data"})["status"] == {"phase": "Bound", "capacity": {"storage": "10Gi"}}
    waits = claim({"name": "data", "phase": "Pending", "class": "fast"})
    assert waits["status"] == {"phase": "Pending"}
    assert waits["spec"]["storageClassName"] == "fast"
    assert "storageClassName" not in claim({"name": "data"})["spec"]


@pytest.mark.parametrize(
    ("state", "condition", "phases"),
    [
        ("complete", "Complete", ["Failed", "Failed", "Succeeded"]),
        ("failed", "Failed", ["Failed", "Failed"]),
        ("running", "", ["Failed", "Failed"]),
    ],
)
def test_a_job_has_its_condition_and_its_pods(state: str, condition: str, phases: list[str]) -> None:
    own, *pods = job({"name": "nightly", "state": state, "failed": 2, "exit": 3, "cron": "every-night"})
    assert [item["type"] for item in own["status"]["conditions"]] == ([condition] if condition else [])
    assert [pod["status"]["phase"] for pod in pods] == phases
    assert own["metadata"]["ownerReferences"][0]["name"] == "every-night"
    assert pods[0]["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3
    assert all(pod["metadata"]["labels"] == {"job-name": "nightly"} for pod in pods)


def test_an_event_may_be_about_anything_and_a_workload_has_its_own() -> None:
    one = told({"about": "Node//node-a", "reason": "Rebooted", "message": "kernel"})
    assert (one["involvedObject"]["kind"], one["metadata"]["namespace"]) == ("Node", "default")
    made = workload({"name": "web", "events": [{"reason": "FailedCreate", "message": "quota"}]})
    events = [item for item in made.objects if item["kind"] == "Event"]
    assert [item["involvedObject"]["kind"] for item in events] == ["Deployment"]


def test_every_short_form_of_a_scenario_is_written_out() -> None:
    text = """
alert: {name: A}
expect: {cause: x}
world:
  nodes: [{name: node-a}]
  services: [{name: web}]
  claims: [{name: data}]
  jobs: [{name: nightly, state: complete}]
  events: [{about: Node//node-a, reason: Rebooted}]
"""
    kinds = [item["kind"] for item in written(read_scenario("all", text)).objects]
    assert kinds == ["Namespace", "Namespace", "Node", "Service", "PersistentVolumeClaim", "Event", "Job", "Pod"]


@pytest.mark.parametrize("part", ["nodes: [{}]", "events: [{about: Node}]", "claims: [7]", "jobs: [{state: failed}]"])
def test_a_short_form_that_says_too_little_names_its_scenario(part: str) -> None:
    with pytest.raises(SettingsError, match=r"^odd: world: "):
        written(read_scenario("odd", f"alert: {{name: A}}\nexpect: {{cause: x}}\nworld: {{{part}}}"))


def test_a_workload_of_hundreds_of_pods_has_as_many_names() -> None:
    made = workload({"name": "web", "replicas": 600})
    names = {item["metadata"]["name"] for item in made.objects if item["kind"] == "Pod"}
    assert len(names) == 600


def test_pods_of_one_tag_may_have_several_digests() -> None:
    made = workload({"name": "web", "pods": [{"count": 1}, {"count": 1, "digest": "cd"}]})
    pods = [item for item in made.objects if item["kind"] == "Pod"]
    assert len({pod["status"]["containerStatuses"][0]["imageID"] for pod in pods}) == 2
    assert len({pod["spec"]["containers"][0]["image"] for pod in pods}) == 1
