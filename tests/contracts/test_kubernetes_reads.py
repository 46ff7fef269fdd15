"""The Kubernetes reads over real HTTP: plain JSON in Kubernetes' own shape, without noise and without secrets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.tools.kubernetes_reads import Kept, in_trouble, plain_lines
from bot.tools.kubernetes_render import show_list
from domain.canonical import canonical
from domain.errors import ArgumentsRefused, ToolError
from tests.contracts.kubernetes_world import Fault, World, path, world


@pytest.fixture
async def shop() -> AsyncIterator[World]:
    async with world() as found:
        yield found


KINDS = [
    "Pod", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job", "CronJob", "Service", "Endpoints",
    "EndpointSlice", "Node", "Namespace", "ConfigMap", "HorizontalPodAutoscaler", "PodDisruptionBudget",
    "PersistentVolumeClaim", "Event", "PersistentVolume", "StorageClass", "ResourceQuota", "LimitRange", "Ingress",
    "IngressClass", "NetworkPolicy", "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "GatewayClass",
    "Gateway", "HTTPRoute", "Certificate",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_is_listed_as_canonical_json_and_rendered(shop: World, kind: str) -> None:
    data = await shop.read("kubernetes_list", kind=kind)
    assert canonical(data)
    assert {item["kind"] for item in data["items"]} <= {kind}
    text = shop.tools["kubernetes_list"].render(data)
    assert text.startswith(f"{len(data['items'])} of kind {kind}")
    assert len(text.split("\n")) == 1 + len(data["items"])


async def test_a_kind_that_the_cluster_does_not_serve_is_said_so(shop: World) -> None:
    shop.front.faults.append(
        Fault("GET", "gateways", status=404, message="the server could not find the requested resource")
    )
    with pytest.raises(ToolError, match=r"does not serve gateways \(gateway.networking.k8s.io/v1\)"):
        await shop.read("kubernetes_list", kind="Gateway", namespace="shop")


async def test_a_list_of_pods_says_what_kubectl_would(shop: World) -> None:
    await shop.break_checkout()
    data = await shop.read("kubernetes_list", kind="Pod", namespace="shop", label_selector="app=checkout")
    text = shop.tools["kubernetes_list"].render(data)
    assert "CrashLoopBackOff" in text
    assert "1/1 ready  Running  0 restarts" in text
    assert all(item["metadata"]["labels"]["app"] == "checkout" for item in data["items"])


async def test_listed_pods_keep_what_a_diagnosis_needs(shop: World) -> None:
    await shop.break_checkout()
    data = await shop.read("kubernetes_list", kind="Pod", namespace="shop", label_selector="app=checkout")
    pod = next(item for item in data["items"] if "2.5.0" in json.dumps(item["spec"]))
    state = pod["status"]["containerStatuses"][0]
    assert state["restartCount"] >= 1
    assert state["lastState"]["terminated"]["exitCode"] == 1
    assert pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == "512Mi"
    assert pod["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"
    assert {condition["type"] for condition in pod["status"]["conditions"]} >= {"Ready", "PodScheduled"}
    assert "env" not in pod["spec"]["containers"][0]


async def test_long_lists_are_read_in_pages_up_to_the_limit(shop: World) -> None:
    for index in range(230):
        shop.cluster.seed(a_pod(f"many-{index:03}"))
    shop.front.sent.clear()
    data = await shop.read("kubernetes_list", kind="Pod", namespace="shop", label_selector="app=many", limit=220)
    assert len(data["items"]) == 220
    assert len({item["metadata"]["name"] for item in data["items"]}) == 220
    assert data["more"] is True
    assert [sent.query["limit"] for sent in shop.front.sent] == ["100", "100", "20"]
    assert "there are more" in shop.tools["kubernetes_list"].render(data)
    whole = await shop.read("kubernetes_list", kind="Pod", namespace="shop", label_selector="app=many", limit=500)
    assert (len(whole["items"]), whole["more"]) == (230, False)


def a_pod(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": "many"}},
        "spec": {"containers": [{"name": "c", "image": "x"}], "nodeName": "none"},
        "status": {"phase": "Running"},
    }


async def test_an_object_comes_without_noise(shop: World) -> None:
    note = {"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "team": "cart"}}}
    await shop.admin("PATCH", path("deployments", "cart", "shop"), note)
    data = await shop.read("kubernetes_get", kind="Deployment", namespace="shop", name="cart")
    assert data["metadata"]["annotations"]["team"] == "cart"
    assert "kubectl.kubernetes.io/last-applied-configuration" not in data["metadata"]["annotations"]
    assert "managedFields" not in data["metadata"]
    assert shop.tools["kubernetes_get"].render(data).startswith("apiVersion: apps/v1\nkind: Deployment\n")


async def test_values_of_secret_looking_variables_are_never_read(shop: World) -> None:
    env = [
        {"name": "DB_PASSWORD", "value": "hunter2"},
        {"name": "DATABASE_URL", "value": "postgres://cart:hunter2@db/cart"},
        {"name": "GREETING", "value": "hello"},
    ]
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "cart", "env": env}]}}}}
    await shop.admin("PATCH", path("deployments", "cart", "shop"), patch)
    await shop.until(lambda: _rolled(shop))
    everything = [
        await shop.read("kubernetes_get", kind="Deployment", namespace="shop", name="cart"),
        await shop.read("kubernetes_list", kind="Deployment", namespace="shop"),
        await shop.read("kubernetes_list", kind="ReplicaSet", namespace="shop"),
        await shop.read("kubernetes_list", kind="Pod", namespace="shop"),
        await shop.read("kubernetes_rollout_history", namespace="shop", name="cart"),
    ]
    text = json.dumps(everything)
    assert "hunter2" not in text
    assert "postgres://(hidden)@db/cart" in text
    assert "hello" in text


async def _rolled(shop: World) -> bool:
    status = (await shop.object("deployments", "cart"))["status"]
    return bool(status.get("updatedReplicas") == 2 and status.get("replicas") == 2)


async def test_secrets_are_refused_before_anything_is_sent(shop: World) -> None:
    for kind in ("Secret", "secrets"):
        with pytest.raises(ArgumentsRefused, match="Secrets are never read"):
            await shop.read("kubernetes_get", kind=kind, namespace="shop", name="x")
        with pytest.raises(ArgumentsRefused, match="Secrets are never read"):
            await shop.read("kubernetes_list", kind=kind)
    assert shop.front.sent == []


async def test_config_maps_show_their_keys_only(shop: World) -> None:
    shop.cluster.seed(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "settings", "namespace": "shop"},
            "data": {"app.ini": "password = hunter2"},
        }
    )
    one = await shop.read("kubernetes_get", kind="ConfigMap", namespace="shop", name="settings")
    all_of_them = await shop.read("kubernetes_list", kind="ConfigMap", namespace="shop")
    assert one["data"] == {"app.ini": "(18 characters, not read)"}
    assert "hunter2" not in json.dumps(all_of_them)


# --- events


async def test_events_come_newest_first_and_are_narrowed_to_one_object(shop: World) -> None:
    await shop.break_checkout()
    data = await shop.read("kubernetes_events", namespace="shop")
    moments = [item["last"] for item in data["items"]]
    assert moments == sorted(moments, reverse=True)
    pod = next(item for item in data["items"] if item["reason"] == "BackOff")
    assert (pod["type"], pod["kind"]) == ("Warning", "Pod")
    narrowed = await shop.read("kubernetes_events", namespace="shop", kind="Deployment", name="checkout")
    assert {(item["kind"], item["name"]) for item in narrowed["items"]} == {("Deployment", "checkout")}
    assert "Warning  BackOff" in shop.tools["kubernetes_events"].render(data)


async def test_the_newest_events_are_shown_where_there_are_too_many(shop: World) -> None:
    for index in range(120):
        shop.cluster.seed(
            an_event(f"e{index:03}", {"lastTimestamp": f"2026-01-01T{index // 60:02}:{index % 60:02}:00Z"})
        )
    data = await shop.read("kubernetes_events", namespace="shop", kind="Widget", limit=3)
    assert [item["last"] for item in data["items"]] == [f"2026-01-01T01:{minute}:00Z" for minute in (59, 58, 57)]
    assert data["more"] is True


async def test_events_of_the_newer_api_have_their_time_and_count_too(shop: World) -> None:
    series = {"count": 7, "lastObservedTime": "2026-01-01T00:05:00.123456Z"}
    shop.cluster.seed(an_event("new", {"eventTime": "2026-01-01T00:00:00.000000Z", "series": series}))
    shop.cluster.seed(an_event("bare", {"metadata": {"creationTimestamp": "2026-01-01T00:01:00Z"}}))
    data = await shop.read("kubernetes_events", namespace="shop", kind="Widget")
    new, bare = data["items"]
    assert (new["first"], new["last"], new["count"]) == ("2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z", 7)
    assert (bare["first"], bare["last"], bare["count"]) == ("2026-01-01T00:01:00Z", "2026-01-01T00:01:00Z", 1)


def an_event(name: str, more: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "shop", **more.pop("metadata", {})}
    involved = {"kind": "Widget", "namespace": "shop", "name": "w", "uid": "u"}
    base = {"apiVersion": "v1", "kind": "Event", "metadata": metadata, "involvedObject": involved}
    return {**base, "type": "Normal", "reason": "Turned", "message": "it turned", **more}


# --- logs


async def test_the_log_of_the_crashed_run_says_why(shop: World) -> None:
    await shop.break_checkout()
    pods = await shop.pods("checkout")
    bad = next(pod["metadata"]["name"] for pod in pods if "2.5.0" in json.dumps(pod["spec"]))

    async def crashed() -> bool:
        status = (await shop.object("pods", bad))["status"]["containerStatuses"][0]
        return bool(status["restartCount"])

    await shop.until(crashed)
    data = await shop.read("kubernetes_logs", namespace="shop", pod=bad, previous=True, tail_lines=2)
    assert len(data["lines"]) == 2
    assert "this build needs 0042_add_tax_region" in data["lines"][-1]
    assert shop.tools["kubernetes_logs"].render(data).endswith("exit=1")


async def test_a_log_that_does_not_exist_is_said_in_the_servers_words(shop: World) -> None:
    pod = (await shop.pods("cart"))[0]["metadata"]["name"]
    with pytest.raises(ToolError, match="previous terminated container"):
        await shop.read("kubernetes_logs", namespace="shop", pod=pod, previous=True)
    with pytest.raises(ToolError, match="container nope is not valid"):
        await shop.read("kubernetes_logs", namespace="shop", pod=pod, container="nope")
    with pytest.raises(ToolError, match='There is no Pod "nope"'):
        await shop.read("kubernetes_logs", namespace="shop", pod="nope")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("a\nb\n", ["a", "b"]),
        ("a\n\nb", ["a", "", "b"]),
        ("\x1b[31mred\x1b[0m\n", ["red"]),
        ("10%\r50%\r100%\n", ["100%"]),
        ("windows\r\n", ["windows"]),
        ("a\x00b\x07\tc\n", ["ab\tc"]),
    ],
)
def test_a_log_is_what_a_terminal_would_leave_standing(text: str, lines: list[str]) -> None:
    assert plain_lines(text) == lines


# --- revisions


async def test_the_history_of_a_bad_rollout_names_the_good_revision_and_what_changed(shop: World) -> None:
    await shop.break_checkout()
    data = await shop.read("kubernetes_rollout_history", namespace="shop", name="checkout")
    assert (data["current"], data["good"], data["good_basis"]) == (4, 3, "its pods are ready now")
    assert data["from_revision"] == 3
    assert data["changes"] == [
        {
            "path": "spec.containers[checkout].image",
            "before": "registry.acme.dev/shop/checkout:2.4.1",
            "after": "registry.acme.dev/shop/checkout:2.5.0",
        }
    ]
    assert "--- revision 3\n+++ revision 4" in data["diff"]
    current = data["revisions"][0]
    assert (current["revision"], current["current"], current["ready"]) == (4, True, 0)
    assert current["images"] == ["checkout=registry.acme.dev/shop/checkout:2.5.0"]
    assert data["revisions"][1]["change_cause"].startswith("CI #1937")
    assert data["revisions"][1]["age_s"] >= 6 * 86400 - 60


async def test_without_ready_pods_elsewhere_the_revision_before_is_named_as_such(shop: World) -> None:
    data = await shop.read("kubernetes_rollout_history", namespace="shop", name="checkout")
    assert (data["current"], data["good"]) == (3, 2)
    assert data["good_basis"] == "the revision before; it has no pods now"
    text = shop.tools["kubernetes_rollout_history"].render(data)
    assert "revision 3 (current)  3/3 ready  6d old" in text
    assert "last good revision: 2 (the revision before; it has no pods now)" in text


async def test_any_revision_is_compared_with_the_current(shop: World) -> None:
    data = await shop.read("kubernetes_rollout_history", namespace="shop", name="checkout", revision=1)
    assert data["from_revision"] == 1
    assert data["changes"][0]["before"].endswith(":2.3.9")
    with pytest.raises(ToolError, match="no revision 7"):
        await shop.read("kubernetes_rollout_history", namespace="shop", name="checkout", revision=7)


async def test_a_deployment_with_one_revision_has_nothing_to_compare(shop: World) -> None:
    data = await shop.read("kubernetes_rollout_history", namespace="staging-shop", name="checkout")
    assert (data["good"], data["from_revision"], data["changes"], data["diff"]) == (None, None, [], "")
    assert "no other revision" in shop.tools["kubernetes_rollout_history"].render(data)


async def test_replica_sets_of_others_are_no_revisions(shop: World) -> None:
    shop.cluster.seed(
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "stray", "namespace": "shop", "labels": {"app": "cart"}},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "cart"}}, "template": {}},
        }
    )
    data = await shop.read("kubernetes_rollout_history", namespace="shop", name="cart")
    assert "stray" not in json.dumps(data)


async def test_a_target_names_system_environment_and_object(shop: World) -> None:
    tool = shop.tools["kubernetes_logs"]
    target = tool.understand({"namespace": "shop", "pod": "cart-1"}).target
    assert (target.environment, target.key) == ("production", "kubernetes/shop/Pod/cart-1")


def listed_pod(
    name: str, phase: str = "Running", ready: str = "True", restarts: int = 0, **meta: Any
) -> dict[str, Any]:
    status = {
        "phase": phase,
        "conditions": [{"type": "Ready", "status": ready}],
        "containerStatuses": [{"name": "c", "restartCount": restarts}],
    }
    return {"kind": "Pod", "metadata": {"name": name, **meta}, "spec": {}, "status": status}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (listed_pod("well"), False),
        (listed_pod("done", "Succeeded", "False"), False),
        (listed_pod("unready", ready="False"), True),
        (listed_pod("waits", "Pending", "False"), True),
        (listed_pod("ended", "Failed", "False"), True),
        (listed_pod("again", restarts=1), True),
        (listed_pod("leaving", deletionTimestamp="2026-03-10T12:00:00Z"), True),
        ({"kind": "Pod"}, True),
    ],
)
def test_a_pod_in_trouble_is_any_that_a_diagnosis_may_ask_about(pod: dict[str, Any], expected: bool) -> None:
    assert in_trouble(pod) is expected


def test_of_many_pods_only_so_many_are_kept_whether_in_trouble_or_not() -> None:
    kept = Kept(2)
    pods = [listed_pod(f"well-{n}") for n in range(5)] + [listed_pod(f"bad-{n}", ready="False") for n in range(5)]
    names = [item["metadata"]["name"] if (item := kept(pod)) else "" for pod in pods]
    assert names == ["well-0", "well-1", "", "", "", "bad-0", "bad-1", "", "", ""]


async def test_troubled_first_counts_all_pods_and_shows_the_troubled_ones(shop: World) -> None:
    await shop.break_checkout()
    data = await shop.read("kubernetes_list", kind="Pod", namespace="shop", troubled_first=True, limit=2)
    everything = await shop.read("kubernetes_list", kind="Pod", namespace="shop", limit=500)
    assert data["total"] == len(everything["items"]) > 2
    assert len(data["items"]) == 2
    assert in_trouble(data["items"][0])
    text = show_list(data)
    assert f"2 of kind Pod of {data['total']}, those in trouble first" in text


async def test_troubled_first_is_for_pods_alone(shop: World) -> None:
    with pytest.raises(ArgumentsRefused, match="troubled_first is for pods"):
        await shop.read("kubernetes_list", kind="Service", namespace="shop", troubled_first=True)
