"""Everything that an API server can answer, or not answer, is a plain sentence, and never a wrong one about what was done."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.tools.kubernetes_client import Limits, open_client
from bot.tools.kubernetes_kinds import DEPLOYMENT, POD
from domain.errors import OutcomeUnknown, SettingsError, TargetMoved, ToolError
from tests.contracts.kubernetes_world import Fault, World, kubeconfig, path, world

SCALE: dict[str, Any] = {"namespace": "shop", "kind": "Deployment", "name": "cart", "replicas": 4}
RBAC = (
    'deployments.apps "cart" is forbidden: User "system:serviceaccount:personal-agent:personal-agent" cannot patch'
    ' resource "deployments" in API group "apps" in the namespace "shop"'
)


@pytest.fixture
async def shop() -> AsyncIterator[World]:
    async with world() as found:
        yield found


@pytest.fixture
async def hasty() -> AsyncIterator[World]:
    async with world(Limits(connect=1.0, read=0.3)) as found:
        yield found


READ_SENTENCES = [
    (400, "container not found", "Kubernetes refuses to get"),
    (401, "Unauthorized", "does not accept this agent's credentials"),
    (403, "pods is forbidden: exceeded", "Kubernetes refuses to get"),
    (404, 'deployments.apps "cart" not found', 'There is no Deployment "cart" in namespace "shop"'),
    (404, "the server could not find the requested resource", "This cluster does not serve deployments"),
    (418, "teapot", "HTTP 418"),
    (422, "limit: Invalid value", "limit: Invalid value"),
    (500, "Internal error", "The Kubernetes API failed"),
    (503, "apiserver is shutting down", "The Kubernetes API failed"),
    (504, "Timeout: request did not complete", "The Kubernetes API failed"),
]


@pytest.mark.parametrize(("status", "message", "sentence"), READ_SENTENCES)
async def test_a_refused_read_says_what_was_refused(shop: World, status: int, message: str, sentence: str) -> None:
    shop.front.faults += [Fault("GET", status=status, message=message)] * 2
    with pytest.raises(ToolError, match=sentence) as caught:
        await shop.read("kubernetes_get", kind="Deployment", namespace="shop", name="cart")
    assert not isinstance(caught.value, OutcomeUnknown)
    assert caught.value.retryable is (status >= 500)


REFUSED_WRITES = [
    (400, "strict decoding error: unknown field", "unknown field"),
    (401, "Unauthorized", "credentials"),
    (403, RBAC, 'lacks the rule {apiGroups: ["apps"], resources: ["deployments"], verbs: ["patch"]}'),
    (403, "exceeded quota: compute", "Kubernetes refuses to patch .*: exceeded quota: compute"),
    (404, 'deployments.apps "cart" not found', "There is no Deployment"),
    (422, "spec.replicas: Invalid value", "spec.replicas: Invalid value"),
    (429, "slow down", "turning requests away"),
    (500, 'failed calling webhook "x"', "failed calling webhook"),
    (503, "no endpoints", "HTTP 503"),
]


@pytest.mark.parametrize(("status", "message", "sentence"), REFUSED_WRITES)
async def test_a_refused_write_is_an_error_and_nothing_was_done(
    shop: World, status: int, message: str, sentence: str
) -> None:
    action = await shop.propose("kubernetes_scale", **SCALE)
    headers = {"Retry-After": "60"}
    shop.front.faults += [Fault("PATCH", status=status, message=message, headers=headers)] * 2
    with pytest.raises(ToolError) as caught:
        await shop.execute(action)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert sentence.split(".*")[-1] in str(caught.value)
    assert (await shop.object("deployments", "cart"))["spec"]["replicas"] == 2
    assert await shop.arrived(action) is False


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, "etcdserver: request timed out"),
        (500, "context deadline exceeded"),
        (502, "bad gateway"),
        (504, "Timeout"),
    ],
)
async def test_a_write_that_may_have_gone_through_is_unknown(shop: World, status: int, message: str) -> None:
    action = await shop.propose("kubernetes_scale", **SCALE)
    shop.front.faults.append(Fault("PATCH", status=status, message=message))
    with pytest.raises(OutcomeUnknown, match=message):
        await shop.execute(action)


async def test_a_preview_is_never_unknown(shop: World) -> None:
    for fault in (
        Fault("PATCH", status=504, message="Timeout", dry_run=True),
        Fault("PATCH", act="lose", dry_run=True),
    ):
        shop.front.faults.append(fault)
        with pytest.raises(ToolError) as caught:
            await shop.propose("kubernetes_scale", **SCALE)
        assert not isinstance(caught.value, OutcomeUnknown)
        assert caught.value.retryable


async def test_a_conflict_that_does_not_end_is_a_moved_target(shop: World) -> None:
    action = await shop.propose("kubernetes_scale", **SCALE)
    shop.front.faults += [Fault("PATCH", status=409, message="the object has been modified")] * 3
    with pytest.raises(TargetMoved, match="changed in the meantime, so nothing was done"):
        await shop.execute(action)
    assert shop.front.faults == []
    assert (await shop.object("deployments", "cart"))["spec"]["replicas"] == 2


async def test_a_cluster_that_hangs_ends_at_the_time_limit(hasty: World) -> None:
    began = time.monotonic()
    hasty.front.faults.append(Fault("GET", act="hang"))
    with pytest.raises(ToolError, match=r"did not answer the request to get Deployment .* \(time limit\)") as caught:
        await hasty.read("kubernetes_get", kind="Deployment", namespace="shop", name="cart")
    assert caught.value.retryable
    assert time.monotonic() - began < 3


async def test_a_write_that_hangs_is_unknown(hasty: World) -> None:
    action = await hasty.propose("kubernetes_scale", **SCALE)
    hasty.front.faults.append(Fault("PATCH", act="hang"))
    with pytest.raises(OutcomeUnknown, match="time limit"):
        await hasty.execute(action)
    assert await hasty.arrived(action) is False


async def test_an_unreachable_cluster_is_said_so_and_nothing_was_sent(tmp_path: Path, unused_tcp_port: int) -> None:
    client = await open_client(str(kubeconfig(tmp_path, f"http://127.0.0.1:{unused_tcp_port}", "t")), Limits(1, 1))
    for attempt in (
        client.get(DEPLOYMENT, "shop", "cart"),
        client.patch(DEPLOYMENT, "shop", "cart", {"spec": {"replicas": 1}}, dry_run=False),
    ):
        with pytest.raises(ToolError, match=r"cannot be reached .*; nothing was sent") as caught:
            await attempt
        assert not isinstance(caught.value, OutcomeUnknown)
        assert caught.value.retryable
    await client.close()


async def test_a_short_retry_after_is_waited_for_once(shop: World) -> None:
    shop.front.faults.append(Fault("GET", status=429, message="slow down", headers={"Retry-After": "0"}))
    found = await shop.read("kubernetes_get", kind="Deployment", namespace="shop", name="cart")
    assert found["metadata"]["name"] == "cart"
    assert len(shop.front.sent) == 2


async def test_a_write_turned_away_is_sent_once_more_and_no_oftener(shop: World) -> None:
    action = await shop.propose("kubernetes_scale", **SCALE)
    shop.front.faults += [Fault("PATCH", status=429, headers={"Retry-After": "0"})] * 2
    with pytest.raises(ToolError, match="turning requests away"):
        await shop.execute(action)
    shop.front.faults.append(Fault("PATCH", status=429, headers={"Retry-After": "0"}))
    await shop.execute(action)
    assert (await shop.object("deployments", "cart"))["spec"]["replicas"] == 4


async def test_a_long_retry_after_is_not_waited_for(shop: World) -> None:
    shop.cluster.throttle(1, retry_after=60)
    began = time.monotonic()
    with pytest.raises(ToolError, match="429") as caught:
        await shop.read("kubernetes_list", kind="Pod", namespace="shop")
    assert caught.value.retryable
    assert time.monotonic() - began < 3


async def test_renewed_credentials_are_read_again(tmp_path: Path) -> None:
    async with world() as shop:
        client = await open_client(str(kubeconfig(tmp_path, shop.cluster.url, "expired")))
        with pytest.raises(ToolError, match="Renew the token or certificate"):
            await client.get(DEPLOYMENT, "shop", "cart")
        kubeconfig(tmp_path, shop.cluster.url, shop.cluster.token)
        assert (await client.get(DEPLOYMENT, "shop", "cart"))["kind"] == "Deployment"
        await client.close()


async def test_a_list_whose_continue_token_expired_starts_again(shop: World) -> None:
    _many_pods(shop, 120)

    async def compact() -> None:
        shop.cluster.seed({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late", "namespace": "shop"}})
        shop.cluster.compact()

    shop.front.faults += [Fault("GET", "/pods"), Fault("GET", "/pods", then=compact)]
    found, more = await shop.client.objects(POD, "shop", limit=500)
    assert (len(found), more) == (120 + 9, False)
    assert [("continue" in sent.query) for sent in shop.front.sent] == [False, True, False, True]


async def test_a_list_that_starts_again_keeps_as_much_as_one_that_did_not(shop: World) -> None:
    _many_pods(shop, 120)

    async def compact() -> None:
        shop.cluster.seed({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late", "namespace": "shop"}})
        shop.cluster.compact()

    shop.front.faults += [Fault("GET", "/pods"), Fault("GET", "/pods", then=compact)]
    data = await shop.read("kubernetes_list", kind="Pod", namespace="shop", troubled_first=True, limit=50)
    assert (data["total"], len(data["items"])) == (120 + 9, 50)


async def test_a_list_that_keeps_expiring_says_so(shop: World) -> None:
    shop.front.faults += [Fault("GET", "/pods", status=410, message="too old resource version")] * 2
    with pytest.raises(ToolError, match="changed while it was read") as caught:
        await shop.read("kubernetes_list", kind="Pod", namespace="shop")
    assert caught.value.retryable


def _many_pods(shop: World, number: int) -> None:
    for index in range(number):
        shop.cluster.seed(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"many-{index:03}", "namespace": "shop", "labels": {"app": "many"}},
                "spec": {"containers": [{"name": "c", "image": "x"}], "nodeName": "none"},
                "status": {"phase": "Running"},
            }
        )


@pytest.mark.parametrize("body", ["[]", '"text"', 5])
async def test_an_answer_that_is_no_object_is_said_so(shop: World, body: Any) -> None:
    shop.front.faults.append(Fault("GET", status=200, body=body))
    with pytest.raises(ToolError, match="no object"):
        await shop.read("kubernetes_get", kind="Deployment", namespace="shop", name="cart")


async def test_a_forbidden_log_names_the_subresource(shop: World) -> None:
    message = (
        'pods "x" is forbidden: User "agent" cannot get resource "pods/log" in API group "" in the namespace "shop"'
    )
    shop.front.faults.append(Fault("GET", status=403, message=message))
    rule = (
        r'Role for namespace "shop" lacks the rule \{apiGroups: \[""\], resources: \["pods/log"\], verbs: \["get"\]\}'
    )
    with pytest.raises(ToolError, match=rule):
        await shop.read("kubernetes_logs", namespace="shop", pod="x")


async def test_a_probe_of_what_is_gone_is_an_error_not_a_pass(shop: World) -> None:
    action = await shop.propose("kubernetes_scale", **SCALE)
    await shop.execute(action)
    await shop.admin("DELETE", path("deployments", "cart", "shop"))
    with pytest.raises(ToolError, match="There is no Deployment"):
        await shop.probe(action)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "KUBECONFIG"),
        ("just text", "KUBECONFIG"),
        ("apiVersion: v1\nkind: Config\n", "KUBECONFIG"),
        ("apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\ncurrent-context: nope\n", "nope"),
    ],
)
async def test_an_unusable_kubeconfig_is_a_settings_error(tmp_path: Path, content: str, reason: str) -> None:
    found = tmp_path / "config"
    found.write_text(content)
    with pytest.raises(SettingsError, match=reason):
        await open_client(str(found))


async def test_a_missing_kubeconfig_is_a_settings_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Point KUBECONFIG at a working kubeconfig"):
        await open_client(str(tmp_path / "nowhere"))
