"""The connection to one cluster: kubernetes.aio's ApiClient with plain JSON, time limits and sentences for errors.

The typed models of that package cost about ten times the CPU of plain JSON and stall the event loop for as long, so they
are not used; lists are read in pages, because decoding one page is what blocks the loop.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Awaitable, Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from bot.tools.kubernetes_errors import Call, Reply, refusal, unanswered, unreachable
from bot.tools.kubernetes_kinds import POD, REVIEW, Kind
from domain.errors import SettingsError, ToolError

if TYPE_CHECKING:
    from kubernetes.aio.client import ApiClient, Configuration

Obj = dict[str, Any]

FIELD_MANAGER = "personal-agent"
JSON_PATCH = "application/json-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
PAGE = 100
"""Objects per request of a list: about 0.5 MB of pods, some 5 ms of decoding."""

_METHODS = {"get": "GET", "list": "GET", "patch": "PATCH", "delete": "DELETE", "create": "POST"}


@dataclass(frozen=True)
class Limits:
    """Time limits of one request, seconds."""

    connect: float = 3.0
    read: float = 10.0


class KubernetesClient:
    """One cluster. Every method raises ToolError with a sentence; `close` it at the end."""

    def __init__(self, api: ApiClient, reload: Callable[[], Awaitable[None]], limits: Limits) -> None:
        self._api = api
        self._reload = reload
        self._limits = limits
        self._timeout = aiohttp.ClientTimeout(
            total=limits.connect + limits.read, sock_connect=limits.connect, sock_read=limits.read
        )

    @property
    def url(self) -> str:
        """The API server's address."""
        return str(self._api.configuration.host)

    async def close(self) -> None:
        """End the connections."""
        await self._api.close()

    async def get(self, kind: Kind, namespace: str, name: str) -> Obj:
        """One object, as the server stores it."""
        reply = await self._send(Call("get", kind, namespace, name))
        return await asyncio.to_thread(decode, reply.body)

    async def objects(
        self,
        kind: Kind,
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        limit: int = 500,
        keep: Callable[[Obj], Obj] = lambda item: item,
    ) -> tuple[list[Obj], bool]:
        """Up to `limit` objects, each reduced by `keep` off the event loop, and whether there are more.

        A list that expires while it is read is read once more, by a `keep` that has seen nothing of the first reading.
        """
        for attempt in (1, 2):
            try:
                return await self._pages(Call("list", kind, namespace), labels, fields, limit, deepcopy(keep))
            except _ListExpired as error:
                if attempt == 2:
                    raise error.refusal from None
        raise AssertionError("unreachable")

    async def log(self, namespace: str, pod: str, query: list[tuple[str, str]]) -> str:
        """A container's log as text."""
        reply = await self._send(Call("get", POD, namespace, pod, part="log"), query)
        return reply.body.decode("utf-8", "replace")

    async def patch(
        self, kind: Kind, namespace: str, name: str, patch: Any, *, dry_run: bool
    ) -> tuple[Obj, tuple[str, ...]]:
        """Patch one object (a list is a JSON patch, a map a strategic merge patch): the object after it, and warnings.

        Unknown fields are refused, not dropped. Raises TargetMoved where the patch's resourceVersion is not the
        present one, OutcomeUnknown where no answer came and it was no dry run.
        """
        query = [("fieldManager", FIELD_MANAGER), ("fieldValidation", "Strict")] + [("dryRun", "All")] * dry_run
        media = JSON_PATCH if isinstance(patch, list) else STRATEGIC_PATCH
        reply = await self._send(Call("patch", kind, namespace, name, changes=not dry_run), query, patch, media)
        return await asyncio.to_thread(decode, reply.body), reply.warnings

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str, *, dry_run: bool) -> None:
        """Delete the object that has this uid, no other of its name."""
        options: Obj = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid}}
        query = []
        if dry_run:  # in both places: with a body the server reads the body only, proxies and audit logs the query
            options["dryRun"], query = ["All"], [("dryRun", "All")]
        await self._send(Call("delete", kind, namespace, name, changes=not dry_run), query, options)

    async def may(self, attributes: Obj) -> bool:
        """Whether the cluster would allow this agent what RBAC calls these attributes."""
        review = {
            "apiVersion": REVIEW.api_version,
            "kind": REVIEW.name,
            "spec": {"resourceAttributes": attributes},
        }
        reply = await self._send(Call("create", REVIEW), [], review)
        answer = await asyncio.to_thread(decode, reply.body)
        return bool((answer.get("status") or {}).get("allowed"))

    async def _pages(
        self, call: Call, labels: str, fields: str, limit: int, keep: Callable[[Obj], Obj]
    ) -> tuple[list[Obj], bool]:
        items: list[Obj] = []
        token = ""
        while True:
            query = [("limit", str(min(PAGE, limit - len(items))))]
            query += [(key, value) for key, value in (("labelSelector", labels), ("fieldSelector", fields)) if value]
            query += [("continue", token)] if token else []
            reply = await self._send(call, query)
            page, token = await asyncio.to_thread(_page, reply.body, keep, call.kind)
            items += page
            if not token or len(items) >= limit:
                return items[:limit], bool(token) or len(items) > limit

    async def _send(
        self, call: Call, query: list[tuple[str, str]] | None = None, body: Any = None, media: str = "application/json"
    ) -> Reply:
        """One request; once more where the credentials were renewed or the server said when to come back."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._limits.read
        reply = await self._once(call, query or [], body, media)
        if reply.status == 401:
            await self._reload()
            reply = await self._once(call, query or [], body, media)
        if reply.status == 429 and loop.time() + (wait := _seconds(reply.retry_after)) < give_up:
            await asyncio.sleep(wait)
            reply = await self._once(call, query or [], body, media)
        if reply.status == 410 and call.verb == "list":
            raise _ListExpired(refusal(call, reply))
        if reply.status >= 400:
            raise refusal(call, reply)
        return reply

    async def _once(self, call: Call, query: list[tuple[str, str]], body: Any, media: str) -> Reply:
        path = call.kind.path(call.namespace, call.name, call.part)
        headers = {"Accept": "*/*" if call.part else "application/json", "Content-Type": media}
        try:
            request = await self._api.param_serialize(
                _METHODS[call.verb],
                path,
                query_params=query,
                header_params=headers,
                body=body,
                auth_settings=["BearerToken"],
            )
        except OSError as error:  # the service account's token file is read again every minute
            raise ToolError(f"The Kubernetes token cannot be read: {error}") from error
        try:
            response = await self._api.call_api(*request, _request_timeout=self._timeout)
            data = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise unreachable(self.url, error) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unanswered(call, error) from error
        found = response.headers
        return Reply(response.status, data, found.get("Retry-After", ""), tuple(found.getall("Warning", ())))


class _ListExpired(Exception):
    def __init__(self, refused: ToolError) -> None:
        super().__init__()
        self.refusal = refused


def decode(body: bytes) -> Obj:
    """An object's JSON without floats, which canonical JSON has not. Raises ToolError for anything else."""
    try:
        found = json.loads(body, parse_float=str)
    except ValueError as error:
        raise ToolError(f"Kubernetes answered something that is not JSON: {body[:80]!r}") from error
    if not isinstance(found, dict):
        raise ToolError(f"Kubernetes answered JSON that is no object: {body[:80]!r}")
    return found


def _page(body: bytes, keep: Callable[[Obj], Obj], kind: Kind) -> tuple[list[Obj], str]:
    page = decode(body)
    token = (page.get("metadata") or {}).get("continue") or ""
    # the items of a list carry neither; every reader expects them
    named = {"apiVersion": kind.api_version, "kind": kind.name}
    return [keep({**named, **item}) for item in page.get("items") or ()], str(token)


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 1.0


async def open_client(kubeconfig: str, limits: Limits = Limits()) -> KubernetesClient:
    """Connect as a kubeconfig says, or as the pod's service account where `kubeconfig` is empty. Raises SettingsError."""
    await asyncio.to_thread(importlib.import_module, "kubernetes.aio.config")  # 0.3 s of imports
    from kubernetes.aio import client

    configuration = client.Configuration()

    async def load() -> None:
        await _configure(configuration, kubeconfig)

    await load()
    return KubernetesClient(client.ApiClient(configuration), load, limits)


async def _configure(configuration: Configuration, kubeconfig: str) -> None:
    from kubernetes.aio import config

    try:
        if kubeconfig:
            await config.load_kube_config(kubeconfig, client_configuration=configuration, persist_config=False)
        else:
            config.load_incluster_config(client_configuration=configuration)
    except (config.ConfigException, OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        source = f"KUBECONFIG {kubeconfig!r}" if kubeconfig else "The pod's service account"
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise SettingsError(f"{source} cannot be used: {reason}. Point KUBECONFIG at a working kubeconfig.") from error
