"""Unmodified Kubernetes clients work against the stand-in cluster: the asynchronous one, the synchronous one, kubectl."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import kubernetes
import pytest
from aiohttp import web
from kubernetes.aio import client, watch
from kubernetes.aio.client.exceptions import ApiException
from kubernetes.informer import SharedInformer

from bot.local.cluster import Cluster
from tests.contracts.cluster_support import (
    JSON_PATCH,
    MERGE,
    api,
    complete,
    deployment_manifest,
    image_patch,
    pod_manifest,
)

BAD = "registry.acme.dev/shop/checkout:2.5.0"


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with Cluster(speed=20) as found:
        yield found


@pytest.fixture
async def aio(cluster: Cluster, tmp_path: Path) -> AsyncIterator[client.ApiClient]:
    async with api(cluster, tmp_path) as found:
        yield found


@pytest.fixture
def sync(cluster: Cluster, tmp_path: Path) -> Any:
    path = str(cluster.write_kubeconfig(tmp_path / "sync"))
    return kubernetes.config.new_client_from_config(path)


# --- kubernetes.aio


async def test_the_kubeconfig_is_the_owners_alone(cluster: Cluster, tmp_path: Path) -> None:
    path = cluster.write_kubeconfig(tmp_path / "config")
    assert path.stat().st_mode & 0o077 == 0


async def test_every_kind_parses_into_the_clients_models(aio: client.ApiClient) -> None:
    core, apps = client.CoreV1Api(aio), client.AppsV1Api(aio)
    assert len((await core.list_node()).items) == 3
    assert {ns.metadata.name for ns in (await core.list_namespace()).items} >= {"shop", "monitoring"}
    pods = (await core.list_pod_for_all_namespaces()).items
    assert all(pod.status.container_statuses[0].state.running.started_at for pod in pods)
    assert (await core.list_namespaced_service("shop")).items[0].spec.ports[0].port == 80
    assert (await core.list_namespaced_endpoints("shop")).items[0].subsets[0].addresses
    assert (await core.list_namespaced_config_map("shop")).items[0].data == {"currency": "EUR"}
    assert (await apps.list_namespaced_replica_set("shop")).items
    slices = await client.DiscoveryV1Api(aio).list_namespaced_endpoint_slice("shop")
    assert slices.items[0].endpoints[0].conditions.ready
    budgets = await client.PolicyV1Api(aio).list_namespaced_pod_disruption_budget("shop")
    assert budgets.items[0].status.disruptions_allowed == 1
    for listed in (
        apps.list_stateful_set_for_all_namespaces(),
        apps.list_daemon_set_for_all_namespaces(),
        client.BatchV1Api(aio).list_job_for_all_namespaces(),
        client.BatchV1Api(aio).list_cron_job_for_all_namespaces(),
        client.AutoscalingV2Api(aio).list_horizontal_pod_autoscaler_for_all_namespaces(),
        core.list_persistent_volume_claim_for_all_namespaces(),
    ):
        assert (await listed).items == []


async def test_an_error_carries_status_reason_and_body(aio: client.ApiClient) -> None:
    with pytest.raises(ApiException) as caught:
        await client.CoreV1Api(aio).read_namespaced_secret("db", "shop")
    assert caught.value.status == 403
    assert caught.value.reason == "Forbidden"
    assert 'cannot get resource \\"secrets\\"' in caught.value.body


async def test_a_replace_with_an_old_version_conflicts(aio: client.ApiClient) -> None:
    apps = client.AppsV1Api(aio)
    read = await apps.read_namespaced_deployment("cart", "shop")
    read.spec.replicas = 3
    await apps.replace_namespaced_deployment("cart", "shop", read)
    read.spec.replicas = 4
    with pytest.raises(ApiException) as caught:
        await apps.replace_namespaced_deployment("cart", "shop", read)
    assert caught.value.status == 409


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        (JSON_PATCH, [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "x:1"}]),
        (MERGE, {"spec": {"paused": True}}),
        ("application/strategic-merge-patch+json", image_patch("checkout", "x:1")),
    ],
)
async def test_each_patch_type_passes_through_the_client(aio: client.ApiClient, content_type: str, body: Any) -> None:
    apps = client.AppsV1Api(aio)
    answer = await apps.patch_namespaced_deployment(
        "checkout", "shop", body, dry_run="All", field_manager="agent", _content_type=content_type
    )
    assert answer.spec.paused or answer.spec.template.spec.containers[0].image == "x:1"
    assert len(answer.spec.template.spec.containers) == 1
    stored = await apps.read_namespaced_deployment("checkout", "shop")
    assert stored.spec.template.spec.containers[0].image.endswith(":2.4.1"), "it was a dry run"


async def test_a_rollout_and_its_rollback_through_the_client(cluster: Cluster, aio: client.ApiClient) -> None:
    apps = client.AppsV1Api(aio)
    await apps.patch_namespaced_deployment("checkout", "shop", image_patch("checkout", BAD))
    await cluster.until("Deployment", "shop", "checkout", lambda d: d["status"].get("updatedReplicas") == 2)
    sets = (await apps.list_namespaced_replica_set("shop", label_selector="app=checkout")).items
    good = next(r for r in sets if r.metadata.annotations["deployment.kubernetes.io/revision"] == "3")
    template = aio.sanitize_for_serialization(good.spec.template)
    del template["metadata"]["labels"]["pod-template-hash"]
    patch = [{"op": "replace", "path": "/spec/template", "value": template}]
    await apps.patch_namespaced_deployment("checkout", "shop", patch, _content_type=JSON_PATCH)
    await cluster.until("Deployment", "shop", "checkout", complete)
    status = (await apps.read_namespaced_deployment("checkout", "shop")).status
    assert (status.ready_replicas, status.unavailable_replicas) == (3, None)


async def test_logs_of_a_crashed_container_through_the_client(cluster: Cluster, aio: client.ApiClient) -> None:
    apps, core = client.AppsV1Api(aio), client.CoreV1Api(aio)
    await apps.patch_namespaced_deployment("checkout", "shop", image_patch("checkout", BAD))
    async with watch.Watch().stream(core.list_namespaced_pod, "shop", label_selector="app=checkout") as events:
        async for event in events:
            status = (event["object"].status.container_statuses or [None])[0]
            if status and status.state.waiting and status.state.waiting.reason == "CrashLoopBackOff":
                break
    name = event["object"].metadata.name
    text = await core.read_namespaced_pod_log(name, "shop", previous=True, tail_lines=1)
    assert "this build needs 0042_add_tax_region" in text
    with pytest.raises(ApiException) as caught:
        await core.read_namespaced_pod_log(name, "shop", container="other")
    assert caught.value.status == 400


async def test_an_eviction_through_the_client(cluster: Cluster, aio: client.ApiClient) -> None:
    core = client.CoreV1Api(aio)
    names = [p.metadata.name for p in (await core.list_namespaced_pod("shop", label_selector="app=checkout")).items]

    async def evict(name: str) -> None:
        eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name=name, namespace="shop"))
        await core.create_namespaced_pod_eviction(name, "shop", eviction)

    await evict(names[0])
    await cluster.until("PodDisruptionBudget", "shop", "checkout", lambda b: b["status"]["disruptionsAllowed"] == 0)
    with pytest.raises(ApiException) as caught:
        await evict(names[1])
    assert caught.value.status == 429


async def test_five_hundred_pods_come_in_pages_of_one_snapshot(cluster: Cluster, aio: client.ApiClient) -> None:
    for number in range(500):
        pod = pod_manifest(f"load-{number:03d}")
        pod["metadata"] |= {"namespace": "default", "labels": {"run": "load"}}
        cluster.seed(pod | {"status": {"phase": "Succeeded"}})
    core = client.CoreV1Api(aio)
    names: list[str] = []
    token, sizes, versions = None, [], set()
    while True:
        page = await core.list_namespaced_pod("default", label_selector="run=load", limit=120, _continue=token)
        names += [pod.metadata.name for pod in page.items]
        sizes.append(len(page.items))
        versions.add(page.metadata.resource_version)
        token = page.metadata._continue
        if not token:
            break
    assert sizes == [120, 120, 120, 120, 20]
    assert names == [f"load-{number:03d}" for number in range(500)]
    assert len(versions) == 1


async def test_a_watch_sees_objects_come_change_and_go(aio: client.ApiClient) -> None:
    core = client.CoreV1Api(aio)
    seen: list[tuple[str, str]] = []
    since = (await core.list_namespaced_config_map("shop")).metadata.resource_version
    async with watch.Watch().stream(core.list_namespaced_config_map, "shop", resource_version=since) as events:
        body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="flags"), data={"a": "1"})
        await core.create_namespaced_config_map("shop", body)
        await core.patch_namespaced_config_map("flags", "shop", {"data": {"a": "2"}}, dry_run="All")
        await core.patch_namespaced_config_map("flags", "shop", {"data": {"a": "3"}})
        await core.delete_namespaced_config_map("flags", "shop")
        async for event in events:
            seen.append((event["type"], event["object"].data["a"]))
            if event["type"] == "DELETED":
                break
    assert seen == [("ADDED", "1"), ("MODIFIED", "3"), ("DELETED", "3")]


async def test_a_watch_with_a_selector_sees_objects_enter_and_leave(aio: client.ApiClient) -> None:
    core = client.CoreV1Api(aio)
    since = (await core.list_namespaced_config_map("shop")).metadata.resource_version
    stream = watch.Watch().stream(
        core.list_namespaced_config_map, "shop", label_selector="on=yes", resource_version=since
    )
    async with stream as events:
        for value in ("no", "yes", "no"):
            patch = {"metadata": {"labels": {"on": value}}}
            await core.patch_namespaced_config_map("shop-settings", "shop", patch)
        seen = []
        async for event in events:
            seen.append(event["type"])
            if event["type"] == "DELETED":
                break
    assert seen == ["ADDED", "DELETED"]


async def test_a_watch_from_a_forgotten_version_is_410(cluster: Cluster, aio: client.ApiClient) -> None:
    core = client.CoreV1Api(aio)
    old = (await core.list_namespaced_pod("shop")).metadata.resource_version
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="flags"))
    await core.create_namespaced_config_map("shop", body)
    cluster.compact()
    with pytest.raises(ApiException) as caught:
        async with watch.Watch().stream(
            core.list_namespaced_pod, "shop", resource_version=old, timeout_seconds=2
        ) as events:
            async for _ in events:
                pass
    assert caught.value.status == 410
    assert "too old resource version" in str(caught.value.reason)


async def test_a_watch_ends_after_its_timeout_with_a_bookmark(cluster: Cluster, aio: client.ApiClient) -> None:
    core = client.CoreV1Api(aio)
    response = await core.list_namespaced_config_map_without_preload_content(
        "shop", watch=True, timeout_seconds=1, allow_watch_bookmarks=True, resource_version="0"
    )
    lines = [line async for line in response.content]
    assert b'"ADDED"' in lines[0]
    assert b'"BOOKMARK"' in lines[-1]
    assert b'"resourceVersion"' in lines[-1]


async def test_a_streaming_list_ends_its_initial_events_with_a_bookmark(aio: client.ApiClient) -> None:
    response = await client.CoreV1Api(aio).list_namespaced_config_map_without_preload_content(
        "shop",
        watch=True,
        timeout_seconds=1,
        allow_watch_bookmarks=True,
        send_initial_events=True,
        resource_version_match="NotOlderThan",
    )
    lines = [line async for line in response.content]
    assert b'"k8s.io/initial-events-end":"true"' in lines[1]


async def test_the_dynamic_client_finds_resources_by_discovery(aio: client.ApiClient) -> None:
    dynamic = await kubernetes.aio.dynamic.DynamicClient(aio)
    deployments = await dynamic.resources.get(api_version="apps/v1", kind="Deployment")
    assert (await deployments.get(name="checkout", namespace="shop")).spec.replicas == 3


# --- the synchronous client, from a thread


async def test_the_synchronous_client_reads_patches_and_deletes(cluster: Cluster, sync: Any) -> None:
    def use() -> tuple[int, str, int]:
        apps = kubernetes.client.AppsV1Api(sync)
        apps.create_namespaced_deployment("shop", deployment_manifest("fresh", replicas=1))
        scaled = apps.patch_namespaced_deployment_scale("fresh", "shop", {"spec": {"replicas": 2}})
        deleted = apps.delete_namespaced_deployment("fresh", "shop", propagation_policy="Background")
        with pytest.raises(kubernetes.client.ApiException) as caught:
            apps.read_namespaced_deployment("fresh", "shop")
        return scaled.spec.replicas, deleted["status"], caught.value.status

    assert await asyncio.to_thread(use) == (2, "Success", 404)


async def test_an_informer_follows_the_pods_of_a_namespace(cluster: Cluster, sync: Any) -> None:
    core = kubernetes.client.CoreV1Api(sync)
    arrived, loop = asyncio.Event(), asyncio.get_running_loop()
    informer = SharedInformer(core.list_namespaced_pod, namespace="shop", label_selector="app=informed")
    informer.add_event_handler("ADDED", lambda pod: loop.call_soon_threadsafe(arrived.set))
    informer.start()
    try:
        pod = pod_manifest("informed")
        pod["metadata"]["labels"] = {"app": "informed"}
        await asyncio.to_thread(core.create_namespaced_pod, "shop", pod)
        await asyncio.wait_for(arrived.wait(), 10)
        assert informer.cache.get_by_key("shop/informed").metadata.name == "informed"
    finally:
        await asyncio.to_thread(informer.stop)


# --- kubectl


@asynccontextmanager
async def with_token(cluster: Cluster) -> AsyncIterator[str]:
    """kubectl sends no token over plain HTTP, so a forwarder puts it on; answers the forwarder's URL."""
    session = aiohttp.ClientSession(cluster.url, headers={"Authorization": f"Bearer {cluster.token}"})

    async def forward(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": request.headers.get("Content-Type", "application/json")}
        body = await request.read()
        async with session.request(request.method, request.path_qs, data=body, headers=headers) as answer:
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()
    await session.close()


async def kubectl(server: str, home: Path, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "kubectl",
        f"--server={server}",
        *arguments,
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
async def test_kubectl_can_look_roll_out_undo_and_explain(cluster: Cluster, tmp_path: Path) -> None:
    async with with_token(cluster) as server:
        await use_kubectl(cluster, partial(kubectl, server, tmp_path))


async def use_kubectl(cluster: Cluster, kubectl: Callable[..., Awaitable[str]]) -> None:
    assert "checkout" in await kubectl("-n", "shop", "get", "deploy", "-o", "name")
    await kubectl("-n", "shop", "set", "image", "deploy/checkout", f"checkout={BAD}")
    await cluster.until("Deployment", "shop", "checkout", lambda d: d["status"].get("updatedReplicas") == 2)
    history = await kubectl("-n", "shop", "rollout", "history", "deploy/checkout")
    assert "CI #1902" in history
    assert history.rstrip().splitlines()[-1].startswith("4")
    await kubectl("-n", "shop", "rollout", "undo", "deploy/checkout")
    # As with the real controller, a missed deadline is still in the status until the first old pod is gone.
    await cluster.until("Deployment", "shop", "checkout", complete)
    status = await kubectl("-n", "shop", "rollout", "status", "deploy/checkout", "--timeout=20s")
    assert "successfully rolled out" in status
    await kubectl("-n", "shop", "rollout", "restart", "deploy/checkout")
    await kubectl("-n", "shop", "scale", "deploy/cart", "--replicas=3")
    described = await kubectl("-n", "shop", "describe", "deploy/checkout")
    assert "ScalingReplicaSet" in described
    await kubectl("cordon", "node-a")
    assert "Unschedulable:      true" in await kubectl("describe", "node", "node-a")
