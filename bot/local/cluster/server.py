"""The HTTP face: authentication, authorization, discovery, and each verb's way into the store."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from bot.local.cluster import resources, subresources
from bot.local.cluster.errors import (
    ApiError,
    bad_request,
    invalid,
    invalid_value,
    no_such_resource,
    too_many_requests,
    unauthorized,
)
from bot.local.cluster.kubelet import Kubelet
from bot.local.cluster.objects import Objects, deletion
from bot.local.cluster.patches import patched
from bot.local.cluster.rbac import User
from bot.local.cluster.reading import Lists, selected, watch
from bot.local.cluster.request import MAX_BODY, Call, check_route, understood
from bot.local.cluster.resources import Obj

_REVIEWS: dict[str, Callable[[Obj, User], Obj]] = {
    resources.ACCESS_REVIEWS.plural: subresources.access_review,
    resources.RULES_REVIEWS.plural: subresources.rules_review,
    resources.SUBJECT_REVIEWS.plural: subresources.subject_review,
}
_HEALTH = ("/healthz", "/livez", "/readyz")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it was answered: what a test or an auditor wants to know of it."""

    user: str
    verb: str
    path: str
    dry_run: bool
    code: int


class Server:
    """The API over a store. `users`: who each bearer token is."""

    def __init__(self, objects: Objects, kubelet: Kubelet, users: dict[str, User]) -> None:
        self._objects, self._kubelet, self._users = objects, kubelet, users
        self.lists = Lists(objects.store)
        self.asked: deque[Asked] = deque(maxlen=5000)
        self.throttled = 0
        self.retry_after = 1
        self._verbs: dict[str, Callable[[Call], Awaitable[tuple[int, Obj]]]] = {
            "get": self._get,
            "list": self._list,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }

    def application(self) -> web.Application:
        """The aiohttp application; it serves every path."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        user, verb = "", http.method.lower()
        try:
            if http.path in _HEALTH or http.path.startswith(("/livez/", "/readyz/")):
                return web.Response(text="ok")
            person = self._authenticated(http)
            user = person.name
            self._throttle()
            call = understood(http, person)
            if call is None:
                person.authorize_path(verb, http.path)
                return _json(200, _document(http))
            verb = call.verb
            person.authorize(call.attributes())
            check_route(call)
            response = await self._answer(call)
        except ApiError as refusal:
            response = _refused(refusal)
        except ConnectionResetError:
            response = web.Response(status=499)  # the client went away in the middle of a stream
        self.asked.append(Asked(user, verb, http.path, "dryRun" in http.query, response.status))
        return response

    def _authenticated(self, http: web.Request) -> User:
        scheme, _, token = http.headers.get("Authorization", "").partition(" ")
        found = self._users.get(token.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            raise unauthorized()
        return found

    def _throttle(self) -> None:
        if self.throttled > 0:
            self.throttled -= 1
            why = "Too many requests: please try again later"
            raise too_many_requests(why, self.retry_after)

    async def _answer(self, call: Call) -> web.StreamResponse:
        if call.verb == "watch":
            return await watch(call, self._objects.store)
        if call.subresource == "log":
            return await subresources.log(call, self._objects, self._kubelet)
        if call.subresource == "scale":
            return _json(200, await subresources.scale(call, self._objects))
        if call.subresource == "eviction":
            return _json(201, await subresources.evict(call, self._objects))
        return _json(*await self._verbs[call.verb](call))

    async def _get(self, call: Call) -> tuple[int, Obj]:
        return 200, self._objects.get(call.resource, call.namespace, call.name)

    async def _list(self, call: Call) -> tuple[int, Obj]:
        return 200, self.lists.answer(call)

    async def _create(self, call: Call) -> tuple[int, Obj]:
        dry, body = call.dry_run(), await call.body()
        if review := _REVIEWS.get(call.resource.plural):
            return 201, review(body, call.user)
        return 201, self._objects.create(call.resource, call.namespace, body, dry_run=dry)

    async def _update(self, call: Call) -> tuple[int, Obj]:
        dry, body = call.dry_run(), await call.body()
        before = self._objects.get(call.resource, call.namespace, call.name)
        if not (body.get("metadata") or {}).get("name"):
            raise bad_request("name must be provided")
        if not call.resource.unconditional_update and not body["metadata"].get("resourceVersion"):
            raise _version_missing(call)
        return 200, self._objects.update(call.resource, before, body, part=call.subresource, dry_run=dry)

    async def _patch(self, call: Call) -> tuple[int, Obj]:
        dry = call.dry_run()
        patch, media_type = await call.patch()
        before = self._objects.get(call.resource, call.namespace, call.name)
        new = patched(before, patch, media_type)
        return 200, self._objects.update(call.resource, before, new, part=call.subresource, dry_run=dry)

    async def _delete(self, call: Call) -> tuple[int, Obj]:
        dry = call.dry_run()
        how = deletion(await call.options(), call.query, ["All"] if dry else [])
        before = self._objects.get(call.resource, call.namespace, call.name)
        staying = self._objects.delete(call.resource, before, how)
        return 200, staying or _deleted(call, before)

    async def _delete_collection(self, call: Call) -> tuple[int, Obj]:
        dry = call.dry_run()
        how = deletion(await call.options(), call.query, ["All"] if dry else [])
        matches = selected(call)
        listed = self.lists.answer(call)
        for obj in self._objects.store.list(call.resource, call.namespace):
            if matches(obj):
                self._objects.delete(call.resource, obj, how)
        return 200, listed


def _version_missing(call: Call) -> ApiError:
    error = invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
    return invalid(call.resource.kind, call.resource.group, call.name, [error])


def _deleted(call: Call, obj: Obj) -> Obj:
    details = {"name": call.name, "group": call.resource.group, "kind": call.resource.plural}
    details = {k: v for k, v in details.items() if v} | {"uid": obj["metadata"]["uid"]}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _document(http: web.Request) -> Obj:
    """Discovery. ApiError 404 for a group or version that is not served."""
    parts = [part for part in http.path.split("/") if part]
    if parts == ["version"]:
        return dict(resources.VERSION)
    if parts == ["api"]:
        return resources.api_versions(http.host)
    if parts == ["api", "v1"]:
        return resources.resource_list("", "v1")
    if parts == ["apis"]:
        return resources.group_list()
    if len(parts) == 2 and parts[1] in resources.GROUPS:
        return resources.group_document(parts[1])
    if len(parts) == 3 and resources.GROUPS.get(parts[1]) == parts[2]:
        return resources.resource_list(parts[1], parts[2])
    raise no_such_resource()


def _json(code: int, body: Obj) -> web.Response:
    raw = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    headers = {"Audit-Id": str(uuid.uuid4()), "Cache-Control": "no-cache, private"}
    return web.Response(status=code, body=raw, content_type="application/json", headers=headers)


def _refused(refusal: ApiError) -> web.Response:
    response = _json(refusal.code, refusal.status())
    if refusal.retry_after:
        response.headers["Retry-After"] = str(refusal.retry_after)
    return response


async def listening(server: Server, port: int) -> tuple[web.AppRunner, int]:
    """Starts the server on loopback and answers its runner and port."""
    runner = web.AppRunner(server.application(), access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    await asyncio.sleep(0)
    return runner, runner.addresses[0][1]
