"""The monitor notifies as Prometheus and Alertmanager do: holds, groups, true payloads, retries, resolution."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, strategies as st

from bot.local.cluster import Behaviour, Cluster
from bot.local.monitor import Monitor, fingerprint, healthy, rules
from bot.local.scenarios import SCENARIOS
from tests.contracts.cluster_support import MERGE, SHOP, http, image_patch, pod_manifest

SCENARIO = {scenario.name: scenario for scenario in SCENARIOS}
INTERVAL = 0.05


@dataclass
class Hook:
    """A webhook that remembers what it was sent; `answers` are given in turn before 202."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    got: list[Any] = field(default_factory=list)
    headers: list[Any] = field(default_factory=list)


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    found = Hook()

    async def receive(request: web.Request) -> web.Response:
        found.got.append(await request.json())
        found.headers.append(request.headers)
        return web.Response(status=found.answers.pop(0) if found.answers else 202)

    app = web.Application()
    app.router.add_post("/alerts/alertmanager", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/alerts/alertmanager"
    yield found
    await runner.cleanup()


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(speed=10) as found:
        yield found


@pytest.fixture
async def monitor(cluster: Cluster, hook: Hook) -> AsyncIterator[Monitor]:
    async with Monitor(cluster.url, cluster.admin_token, hook.url, "hook-token", interval=INTERVAL) as found:
        yield found


async def test_a_notification_has_the_full_shape_of_version_4(cluster: Cluster, hook: Hook, monitor: Monitor) -> None:
    await SCENARIO["bad-rollout"].start(cluster)
    payload = await monitor.until_fired()
    assert payload == hook.got[0]
    assert set(payload) == {
        "version",
        "groupKey",
        "truncatedAlerts",
        "status",
        "receiver",
        "groupLabels",
        "commonLabels",
        "commonAnnotations",
        "externalURL",
        "alerts",
    }
    assert payload["version"] == "4"
    assert payload["groupKey"] == '{}:{deployment="checkout", namespace="shop"}'
    assert payload["groupLabels"] == {"namespace": "shop", "deployment": "checkout"}
    assert payload["status"] == "firing"
    for alert in payload["alerts"]:
        assert set(alert) == {
            "status",
            "labels",
            "annotations",
            "startsAt",
            "endsAt",
            "generatorURL",
            "fingerprint",
        }
        assert alert["endsAt"] == "0001-01-01T00:00:00Z"
        assert datetime.fromisoformat(alert["startsAt"]).tzinfo is not None
        assert alert["labels"]["severity"] == "warning"
        assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
        assert alert["labels"].items() >= payload["commonLabels"].items()
    assert hook.headers[0]["Authorization"] == "Bearer hook-token"
    assert hook.headers[0]["User-Agent"].startswith("Alertmanager/")


@pytest.mark.parametrize(
    ("scenario", "alertname"),
    [
        ("bad-rollout", "KubePodCrashLooping"),
        ("bad-rollout", "KubeDeploymentRolloutStuck"),
        ("bad-rollout", "KubeDeploymentReplicasMismatch"),
        ("oom", "KubeContainerOOMKilled"),
        ("image-typo", "KubeContainerWaiting"),
        ("image-typo", "KubeDeploymentRolloutStuck"),
    ],
)
async def test_each_trouble_fires_its_alert(
    cluster: Cluster, hook: Hook, monitor: Monitor, scenario: str, alertname: str
) -> None:
    await SCENARIO[scenario].start(cluster)
    await monitor.until_fired()
    while alertname not in {alert["labels"]["alertname"] for alert in hook.got[-1]["alerts"]}:
        await asyncio.sleep(INTERVAL)
    alert = next(alert for alert in hook.got[-1]["alerts"] if alert["labels"]["alertname"] == alertname)
    assert alert["labels"]["namespace"] == "shop"
    assert alert["labels"]["deployment"] == SCENARIO[scenario].workload


async def test_a_healthy_cluster_fires_nothing(hook: Hook, cluster: Cluster, monitor: Monitor) -> None:
    looks = len(cluster.asked) + 30
    while len(cluster.asked) < looks:
        await asyncio.sleep(INTERVAL)
    assert hook.got == []
    assert monitor.sent == []


async def test_it_resolves_when_the_rollback_is_complete_and_not_before(
    cluster: Cluster, hook: Hook, monitor: Monitor
) -> None:
    await SCENARIO["bad-rollout"].start(cluster)
    await monitor.until_fired()
    async with http(cluster) as client:
        good = "registry.acme.dev/shop/checkout:2.4.1"
        assert (await client.patch(f"{SHOP}/checkout", image_patch("checkout", good)))[0] == 200
        last = await monitor.until_resolved()
        deployment = await client.get(f"{SHOP}/checkout")
    assert healthy(deployment)
    assert last["status"] == "resolved"
    assert {alert["status"] for alert in last["alerts"]} == {"resolved"}
    assert all(alert["endsAt"] > alert["startsAt"] for alert in last["alerts"])
    assert last["groupKey"] == hook.got[0]["groupKey"]
    fired = {alert["fingerprint"] for payload in monitor.fired for alert in payload["alerts"]}
    ended = {a["fingerprint"] for payload in hook.got for a in payload["alerts"] if a["status"] == "resolved"}
    assert ended == fired, "every alert that fired is reported resolved, once it is"


async def test_a_trouble_that_passes_by_itself_is_resolved_by_the_monitor(
    cluster: Cluster, hook: Hook, monitor: Monitor
) -> None:
    await SCENARIO["recovered"].start(cluster)
    await monitor.until_resolved()
    assert hook.got[0]["status"] == "firing"
    assert hook.got[-1]["status"] == "resolved"


async def test_an_alert_in_between_two_crashes_stays(cluster: Cluster, hook: Hook, monitor: Monitor) -> None:
    await SCENARIO["bad-rollout"].start(cluster)
    await monitor.until_fired()
    crashes = 0
    async with http(cluster) as client:
        path = "/api/v1/namespaces/shop/pods?labelSelector=app%3Dcheckout"
        while crashes < 4:
            for pod in (await client.get(path))["items"]:
                crashes = max(crashes, pod["status"]["containerStatuses"][0]["restartCount"])
            await asyncio.sleep(INTERVAL)
    assert all(payload["status"] == "firing" for payload in hook.got)


def resolved(hook: Hook) -> set[str]:
    return {a["labels"]["alertname"] for p in hook.got for a in p["alerts"] if a["status"] == "resolved"}


async def looked(cluster: Cluster, looks: int) -> None:
    """Waits until the monitor has looked that many times more; each look is two requests."""
    monitors = "kubernetes-admin"
    until = sum(asked.user == monitors for asked in cluster.asked) + 2 * looks
    while sum(asked.user == monitors for asked in cluster.asked) < until:
        await asyncio.sleep(INTERVAL)


async def test_an_alert_stays_while_its_deployment_is_unwell_for_another_reason(
    cluster: Cluster, hook: Hook, monitor: Monitor
) -> None:
    await SCENARIO["image-typo"].start(cluster)
    await monitor.until_fired()
    image = "registry.acme.dev/shop/web:5.8.0"
    cluster.images[image] = Behaviour(not_ready="HTTP probe failed with statuscode: 503")
    async with http(cluster) as client:
        assert (await client.patch(f"{SHOP}/web", image_patch("web", image)))[0] == 200
        typo = "labelSelector=app%3Dweb&fieldSelector=status.phase%3DPending"
        while (await client.get(f"/api/v1/namespaces/shop/pods?{typo}"))["items"]:
            await asyncio.sleep(INTERVAL)
        await looked(cluster, 12)
        assert resolved(hook) == set()
        good = image_patch("web", "registry.acme.dev/shop/web:5.7.1")
        assert (await client.patch(f"{SHOP}/web", good))[0] == 200
        await monitor.until_resolved()
    assert "KubeContainerWaiting" in resolved(hook)


async def test_a_bare_pod_between_two_crashes_is_not_resolved(cluster: Cluster, hook: Hook, monitor: Monitor) -> None:
    cluster.images["lab/thing:1"] = Behaviour(crash_exit_code=1, crash_after=1.2)
    async with http(cluster) as client:
        assert (await client.ask("POST", "/api/v1/namespaces/default/pods", pod_manifest("solo", "lab/thing:1")))[
            0
        ] == 201
    payload = await monitor.until_fired()
    assert "deployment" not in payload["commonLabels"]
    await cluster.until("Pod", "default", "solo", lambda p: p["status"]["containerStatuses"][0]["restartCount"] >= 4)
    assert resolved(hook) == set()


async def test_an_unchanged_group_is_not_notified_again(cluster: Cluster, hook: Hook, monitor: Monitor) -> None:
    await SCENARIO["image-typo"].start(cluster)
    while len(hook.got[-1]["alerts"] if hook.got else ()) < 2:
        await asyncio.sleep(INTERVAL)
    count, looks = len(hook.got), len(cluster.asked) + 40
    while len(cluster.asked) < looks:
        await asyncio.sleep(INTERVAL)
    assert len(hook.got) == count


@pytest.mark.parametrize("answer", [500, 503, 429])
async def test_a_failing_webhook_is_tried_again(cluster: Cluster, hook: Hook, monitor: Monitor, answer: int) -> None:
    hook.answers += [answer, answer]
    await SCENARIO["image-typo"].start(cluster)
    payload = await monitor.until_fired()
    assert len(hook.got) == 3
    assert hook.got[0]["alerts"][0]["fingerprint"] == payload["alerts"][0]["fingerprint"]


async def test_a_refused_notification_is_not_tried_again(cluster: Cluster, hook: Hook, monitor: Monitor) -> None:
    hook.answers += [400]
    await SCENARIO["image-typo"].start(cluster)
    await monitor.until_fired()
    assert len(hook.got) == 1


async def test_a_silent_webhook_and_a_silent_cluster_stop_nothing(cluster: Cluster) -> None:
    async with Monitor(cluster.url, cluster.admin_token, "http://127.0.0.1:9/", interval=INTERVAL) as deaf:
        await SCENARIO["image-typo"].start(cluster)
        cluster.throttle(6)
        looks = len(cluster.asked) + 40
        while len(cluster.asked) < looks:
            await asyncio.sleep(INTERVAL)
        assert deaf.sent == []


async def test_a_scaled_down_deployment_is_healthy(cluster: Cluster, hook: Hook, monitor: Monitor) -> None:
    async with http(cluster) as client:
        assert (await client.patch(f"{SHOP}/cart", {"spec": {"replicas": 0}}, MERGE))[0] == 200
        deployment = await cluster.until("Deployment", "shop", "cart", healthy)
    assert deployment["status"].get("replicas") is None
    assert hook.got == []


# --- the rules and fingerprints themselves


def test_a_pod_that_cannot_be_created_for_its_configuration_fires() -> None:
    waiting = {"reason": "CreateContainerConfigError", "message": "x"}
    status = {"name": "main", "ready": False, "state": {"waiting": waiting}, "lastState": {}}
    pod = {"metadata": {"namespace": "a", "name": "p"}, "status": {"initContainerStatuses": [status]}}
    ((labels, annotations),) = rules([], [pod])
    assert labels["alertname"] == "KubeContainerWaiting"
    assert labels["reason"] == "CreateContainerConfigError"
    assert "deployment" not in labels
    assert "a/p (main)" in annotations["description"]


def test_both_halves_of_a_failing_pull_are_one_alert() -> None:
    found = set()
    for reason in ("ErrImagePull", "ImagePullBackOff"):
        status = {"name": "main", "ready": False, "state": {"waiting": {"reason": reason}}}
        pod = {"metadata": {"namespace": "a", "name": "p"}, "status": {"containerStatuses": [status]}}
        found |= {fingerprint(labels) for labels, _ in rules([], [pod])}
    assert len(found) == 1


labels = st.dictionaries(st.text("abcé", min_size=1, max_size=3), st.text("xyz", max_size=3), max_size=4)


@given(labels)
def test_a_fingerprint_is_sixteen_hex_digits_whatever_the_order(found: dict[str, str]) -> None:
    shuffled = dict(reversed(found.items()))
    assert fingerprint(found) == fingerprint(shuffled)
    assert len(fingerprint(found)) == 16
    int(fingerprint(found), 16)


@given(labels, labels)
def test_other_labels_have_another_fingerprint(one: dict[str, str], other: dict[str, str]) -> None:
    assert (fingerprint(one) == fingerprint(other)) is (one == other)


def test_the_fingerprint_is_the_one_of_alertmanager() -> None:
    # FNV-1a of nothing: the offset basis, as prometheus/common computes it for an empty label set.
    assert fingerprint({}) == "cbf29ce484222325"
