"""What the model is shown: one line per object, the words of kubectl, and the same again at every replay."""

from __future__ import annotations

from typing import Any

import pytest

from bot.tools.kubernetes_render import show_events, show_history, show_list, show_log

READ_AT = "2026-01-02T00:00:00Z"


def lines(kind: str, *items: dict[str, Any], **more: Any) -> list[str]:
    """The rendered lines of a list, without the count."""
    made = {"creationTimestamp": "2026-01-01T00:00:00Z", "name": "x", "namespace": "shop"}
    named = [{**item, "metadata": {**made, **item.get("metadata", {})}} for item in items]
    data = {"kind": kind, "namespace": "shop", "items": named, "read_at": READ_AT, **more}
    return show_list(data).split("\n")[1:]


def pod(**status: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "c"}], "nodeName": "n"}, "status": {"phase": "Pending", **status}}


def waiting(reason: str) -> list[dict[str, Any]]:
    return [{"name": "c", "restartCount": 4, "state": {"waiting": {"reason": reason}}}]


def ended(code: int, reason: str = "") -> list[dict[str, Any]]:
    return [{"name": "c", "state": {"terminated": {"exitCode": code, "reason": reason}}}]


@pytest.mark.parametrize(
    ("item", "word"),
    [
        (pod(), "Pending"),
        (pod(containerStatuses=waiting("CrashLoopBackOff")), "CrashLoopBackOff"),
        (pod(initContainerStatuses=waiting("ErrImagePull"), containerStatuses=waiting("PodInitializing")), "ErrImagePull"),
        (pod(containerStatuses=ended(137, "OOMKilled")), "OOMKilled"),
        (pod(containerStatuses=ended(3)), "ExitCode:3"),
        (pod(phase="Failed", reason="Evicted"), "Evicted"),
        ({**pod(), "metadata": {"deletionTimestamp": READ_AT}}, "Terminating"),
        ({}, "Unknown"),
    ],
)  # fmt: skip
def test_a_pods_word_is_the_one_that_kubectl_shows(item: dict[str, Any], word: str) -> None:
    assert lines("Pod", item)[0].split("  ")[2] == word


def test_a_pod_has_readiness_restarts_node_and_age() -> None:
    found = lines("Pod", pod(containerStatuses=waiting("CrashLoopBackOff")))
    assert found == ["x  0/1 ready  CrashLoopBackOff  4 restarts  n  24h old"]
    assert "no node" in lines("Pod", {"spec": {}, "status": {}})[0]


@pytest.mark.parametrize(
    ("kind", "item", "text"),
    [
        (
            "StatefulSet",
            {"spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "c", "image": "i:1"}]}}}},
            "x  0/3 ready  c=i:1  24h old",
        ),
        ("DaemonSet", {"spec": {}, "status": {"desiredNumberScheduled": 2, "numberReady": 1}}, "x  1/2 ready  24h old"),
        ("Job", {"status": {"failed": 2}}, "x  0 succeeded  2 failed  24h old"),
        (
            "Node",
            {
                "spec": {"unschedulable": True},
                "status": {
                    "conditions": [{"type": "Ready", "status": "False"}, {"type": "DiskPressure", "status": "True"}]
                },
            },
            "x  Ready=False, DiskPressure=True, cordoned  24h old",
        ),
        (
            "Node",
            {
                "status": {
                    "conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "False"}]
                }
            },
            "x  Ready  24h old",
        ),
        (
            "Node",
            {
                "status": {
                    "conditions": [
                        {"type": "KernelReady", "status": "True"},
                        {"type": "StorageReady", "status": "False"},
                    ]
                }
            },
            "x  StorageReady=False  24h old",
        ),
        (
            "Service",
            {"spec": {"type": "ClusterIP", "ports": [{"port": 80}, {"port": 443}], "selector": {"app": "x"}}},
            "x  ClusterIP  ports 80,443  selects app=x  24h old",
        ),
        ("Service", {"spec": {"type": "ExternalName"}}, "x  ExternalName  ports   selects nothing  24h old"),
        (
            "EndpointSlice",
            {"endpoints": [{"conditions": {"ready": False}}, {"conditions": {}}, {"conditions": {"ready": True}}]},
            "x  2/3 ready  24h old",
        ),
        (
            "Endpoints",
            {"subsets": [{"addresses": [{}], "notReadyAddresses": [{}, {}]}]},
            "x  1 ready  2 not ready  24h old",
        ),
        (
            "HorizontalPodAutoscaler",
            {"spec": {"scaleTargetRef": {"kind": "Deployment", "name": "x"}, "maxReplicas": 9}},
            "x  Deployment/x  1 to 9  now 0  24h old",
        ),
        ("PersistentVolumeClaim", {"status": {"phase": "Lost"}}, "x  Lost  no class  no volume  24h old"),
        (
            "ResourceQuota",
            {"status": {"hard": {"pods": "4", "requests.cpu": "2"}, "used": {"pods": "4"}}},
            "x  pods 4/4  requests.cpu 0/2  24h old",
        ),
        (
            "Ingress",
            {"spec": {"ingressClassName": "nginx", "rules": [{"host": "a.test"}, {}]}},
            "x  class nginx  a.test, *  24h old",
        ),
        (
            "PodDisruptionBudget",
            {"status": {"currentHealthy": 1, "desiredHealthy": 2, "disruptionsAllowed": 0}},
            "x  1/2 healthy  0 disruptions allowed  24h old",
        ),
        (
            "Gateway",
            {"status": {"conditions": [{"type": "Programmed", "status": "False"}]}},
            "x  Programmed=False  24h old",
        ),
        ("ValidatingWebhookConfiguration", {"webhooks": [{"name": "a.test"}]}, "x  a.test (Fail)  24h old"),
        ("ConfigMap", {}, "x  24h old"),
    ],
)
def test_each_kind_has_the_columns_that_matter(kind: str, item: dict[str, Any], text: str) -> None:
    assert lines(kind, item) == [text]


def test_without_a_namespace_names_carry_theirs() -> None:
    assert lines("ConfigMap", {}, namespace="")[0].startswith("shop/x")


@pytest.mark.parametrize(
    ("made", "age"), [("23:59:30", "30s"), ("23:57:00", "180s"), ("21:00:00", "3h"), ("23:30:00", "30m")]
)
def test_ages_are_relative_to_the_reading_not_to_now(made: str, age: str) -> None:
    item = {"metadata": {"creationTimestamp": f"2026-01-01T{made}Z"}}
    assert lines("ConfigMap", item) == [f"x  {age} old".replace("180s", "3m")]


def test_empty_results_say_so() -> None:
    assert show_list({"kind": "Pod", "items": [], "read_at": READ_AT}) == "0 of kind Pod"
    assert show_events({"items": []}) == "no events"
    assert show_log({"lines": []}) == "the log is empty"
    assert "no other revision" in show_history({"revisions": []})


def test_an_event_is_one_line() -> None:
    event = {
        "last": READ_AT,
        "type": "Warning",
        "reason": "BackOff",
        "count": 3,
        "kind": "Pod",
        "name": "p",
        "message": "m",
    }
    assert show_events({"items": [event]}) == f"{READ_AT}  Warning  BackOff  x3  Pod/p  m"
