"""What the cluster's contract tests share: unmodified clients, raw HTTP, and ways to wait for a state."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import client, config

from bot.local.cluster import Cluster

SHOP = "/apis/apps/v1/namespaces/shop/deployments"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


@dataclass
class Http:
    """Plain requests with a bearer token: what a client library might hide is seen here."""

    session: aiohttp.ClientSession

    async def ask(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> tuple[int, Any, Any]:
        headers = {"Content-Type": content_type} if body is not None else {}
        raw = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        data = None if raw is None else io.BytesIO(raw)
        async with self.session.request(method, path, data=data, headers=headers) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return response.status, (json.loads(text) if is_json else text), response.headers

    async def get(self, path: str) -> Any:
        status, body, _ = await self.ask("GET", path)
        assert status == 200, body
        return body

    async def patch(self, path: str, body: Any, content_type: str = STRATEGIC) -> tuple[int, Any]:
        status, answer, _ = await self.ask("PATCH", path, body, content_type)
        return status, answer


@asynccontextmanager
async def http(cluster: Cluster, token: str | None = None) -> AsyncIterator[Http]:
    headers = {"Authorization": f"Bearer {token or cluster.token}"}
    async with aiohttp.ClientSession(cluster.url, headers=headers) as session:
        yield Http(session)


@asynccontextmanager
async def api(cluster: Cluster, folder: Path) -> AsyncIterator[client.ApiClient]:
    """The unmodified asynchronous client, set up from the cluster's kubeconfig."""
    kubeconfig = cluster.write_kubeconfig(folder / "kubeconfig")
    found = await config.new_client_from_config(str(kubeconfig))
    async with found:
        yield found


def image_patch(name: str, image: str) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": name, "image": image}]}}}}


def complete(deployment: dict[str, Any]) -> bool:
    """Whether a deployment's rollout is observed, complete and available."""
    status, wanted = deployment["status"], deployment["spec"]["replicas"]
    counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
    return status.get("observedGeneration") == deployment["metadata"]["generation"] and counts == {wanted}


def condition(obj: dict[str, Any], type_: str) -> dict[str, Any]:
    found = obj["status"].get("conditions") or []
    return next((c for c in found if c["type"] == type_), {})


def pod_manifest(name: str, image: str = "nginx:1.29", **spec: Any) -> dict[str, Any]:
    container = {"name": "main", "image": image}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"run": name}},
        "spec": {"containers": [container], **spec},
    }


def deployment_manifest(name: str, image: str = "nginx:1.29", replicas: int = 2, **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": image}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template, **spec},
    }
