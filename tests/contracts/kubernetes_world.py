"""The stand-in cluster behind a front that loses answers, hangs and refuses on demand, and the tools connected to it."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from aiohttp import web

from bot.local.cluster import Cluster
from bot.tools import Clients, build_tools
from bot.tools.kubernetes_client import KubernetesClient, Limits, open_client
from domain.actions import Action
from domain.ports import Probe
from tests.contracts.tool_driver import Driver

STRATEGIC = "application/strategic-merge-patch+json"


@dataclass
class Fault:
    """What happens to the next matching request: `lose` its answer, `hang`, or answer `status` without asking the cluster.

    `then` runs before the request goes on to the cluster.
    """

    method: str
    part: str = ""
    act: str = "pass"
    status: int = 0
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    dry_run: bool = False
    then: Callable[[], Any] | None = None

    def matches(self, request: web.Request) -> bool:
        return (
            request.method == self.method and self.part in request.path and ("dryRun" in request.query) == self.dry_run
        )


@dataclass(frozen=True)
class Sent:
    """One request as the front saw it."""

    method: str
    path: str
    query: Mapping[str, str]
    media: str
    body: Any


class Front:
    """A reverse proxy on loopback that plays faults."""

    def __init__(self, upstream: str) -> None:
        self.upstream, self.faults, self.sent = upstream, list[Fault](), list[Sent]()
        self.url = ""
        self._over = asyncio.Event()

    async def start(self) -> None:
        self._session = aiohttp.ClientSession()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        self._over.set()
        await self._runner.cleanup()
        await self._session.close()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        given = await request.read()
        parsed = json.loads(given) if given else None
        self.sent.append(Sent(request.method, request.path, dict(request.query), request.content_type, parsed))
        fault = next((fault for fault in self.faults if fault.matches(request)), None)
        if fault is not None:
            self.faults.remove(fault)
            if fault.act == "hang":
                await self._over.wait()
            if fault.status:
                status = {"kind": "Status", "status": "Failure", "message": fault.message, "code": fault.status}
                body = status if fault.body is None else fault.body
                return web.json_response(body, status=fault.status, headers=fault.headers)
            if fault.then is not None:
                await fault.then()
        answer = await self._forward(request, given)
        if fault is not None:
            answer.headers.update(fault.headers)
            if fault.act == "lose" and request.transport is not None:
                request.transport.abort()
        return answer

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        async with self._session.request(
            request.method, self.upstream + request.path_qs, data=body, headers=headers
        ) as found:
            kept = {name: found.headers[name] for name in ("Content-Type", "Retry-After") if name in found.headers}
            return web.Response(status=found.status, body=await found.read(), headers=kept)


class World(Driver):
    """A cluster, the front before it, and the tools that talk through the front."""

    def __init__(
        self, cluster: Cluster, front: Front, client: KubernetesClient, session: aiohttp.ClientSession
    ) -> None:
        self.cluster, self.front, self.client = cluster, front, client
        super().__init__(
            build_tools(Clients(kubernetes=client), lambda name: "staging" if "staging" in name else "production")
        )
        self._session = session

    async def settled(self, action: Action) -> Probe:
        """The probe once it has passed or waiting changes nothing."""
        result: list[Probe] = []

        async def done() -> bool:
            result.append(await self.probe(action))
            return result[-1].passed or result[-1].settled

        await self.until(done)
        return result[-1]

    async def until(self, holds: Callable[[], Any], seconds: float = 15.0) -> None:
        """Wait for something, looking again whenever the cluster has changed."""
        store = self.cluster._store
        async with asyncio.timeout(seconds):
            while True:
                revision = store.revision
                if await holds():
                    return
                await store.advanced(revision)

    async def admin(self, method: str, path: str, body: Any = None, media: str = STRATEGIC) -> Any:
        """Somebody else's request."""
        headers = {"Authorization": f"Bearer {self.cluster.admin_token}", "Content-Type": media}
        data = None if body is None else json.dumps(body)
        async with self._session.request(method, self.cluster.url + path, data=data, headers=headers) as answer:
            found = await answer.json()
            assert answer.status < 300, found
            return found

    async def object(self, kind: str, name: str, namespace: str = "shop") -> Any:
        """An object as the cluster stores it now."""
        return await self.admin("GET", path(kind, name, namespace))

    async def set_image(self, name: str, tag: str, namespace: str = "shop") -> None:
        """Somebody rolls out another image."""
        image = f"registry.acme.dev/shop/{name}:{tag}"
        patch = {"spec": {"template": {"spec": {"containers": [{"name": name, "image": image}]}}}}
        await self.admin("PATCH", path("deployments", name, namespace), patch)

    async def pods(self, app: str, namespace: str = "shop") -> list[Any]:
        """The pods of an app as the cluster stores them."""
        found = await self.admin("GET", f"/api/v1/namespaces/{namespace}/pods?labelSelector=app={app}")
        items: list[Any] = found["items"]
        return items

    async def break_checkout(self) -> None:
        """The demo's bad rollout: checkout 2.5.0 crashes at its start."""
        await self.set_image("checkout", "2.5.0")

        async def crashing() -> bool:
            states = [pod["status"].get("containerStatuses", [{}])[0] for pod in await self.pods("checkout")]
            reasons = [state.get("state", {}).get("waiting", {}).get("reason") for state in states]
            return "CrashLoopBackOff" in reasons

        await self.until(crashing)


def path(kind: str, name: str, namespace: str) -> str:
    """The API path of an object; `kind` is the plural."""
    group = {"pods": "/api/v1", "nodes": "/api/v1", "services": "/api/v1"}.get(kind, "/apis/apps/v1")
    return f"{group}/nodes/{name}" if kind == "nodes" else f"{group}/namespaces/{namespace}/{kind}/{name}"


@asynccontextmanager
async def world(limits: Limits | None = None, speed: float = 20.0) -> AsyncIterator[World]:
    """Everything running, for the length of a test."""
    async with Cluster(speed=speed) as cluster, aiohttp.ClientSession() as session:
        front = Front(cluster.url)
        await front.start()
        with tempfile.TemporaryDirectory() as folder:
            client = await open_client(str(kubeconfig(Path(folder), front.url, cluster.token)), limits or Limits())
            try:
                yield World(cluster, front, client, session)
            finally:
                await client.close()
                await front.stop()


def kubeconfig(folder: Path, url: str, token: str) -> Path:
    """A kubeconfig for one server and token."""
    found = folder / "config"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    found.write_text(yaml.safe_dump(content))
    return found
