"""One HTTP request, understood as the API server does: verb, resource, namespace, name, subresource, options."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import yaml
from aiohttp import web

from bot.local.cluster.errors import (
    ApiError,
    bad_request,
    method_not_allowed,
    no_such_resource,
    unsupported_media_type,
)
from bot.local.cluster.patches import ACCEPTED
from bot.local.cluster.rbac import Attributes, User
from bot.local.cluster.resources import BY_PATH, NAMESPACES, Obj, Resource
from bot.local.cluster.validation import check_options

MAX_BODY = 3 * 1024 * 1024
_BODIES = ("application/json", "application/yaml")
_METHODS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_OPTIONS = {"create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"}


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a resource."""

    http: web.Request
    user: User
    verb: str
    resource: Resource
    namespace: str
    name: str
    subresource: str

    @property
    def query(self) -> dict[str, str]:
        return dict(self.http.query)

    def attributes(self) -> Attributes:
        r = self.resource
        namespace = self.name if r is NAMESPACES else self.namespace
        return Attributes(self.verb, r.group, r.plural, self.subresource, namespace, self.name)

    def flag(self, name: str) -> bool:
        """A boolean query option; anything but a known spelling is an ApiError 400."""
        value = self.http.query.get(name, "false")
        if value.lower() not in ("", "1", "0", "t", "f", "true", "false"):
            raise bad_request(f'strconv.ParseBool: parsing "{value}": invalid syntax')
        return value.lower() in ("1", "t", "true")

    def number(self, name: str) -> int | None:
        """A whole number from the query; ApiError 400 when it is none."""
        value = self.http.query.get(name, "")
        if not value:
            return None
        if not value.lstrip("-").isdigit():
            raise bad_request(f'strconv.ParseInt: parsing "{value}": invalid syntax')
        return int(value)

    def dry_run(self) -> bool:
        """The write's options, checked; whether it is a dry run."""
        query = self.http.query
        chosen = [value for value in query.getall("dryRun", []) if value]
        kind = _OPTIONS.get(self.verb, "DeleteOptions")
        check_options(kind, chosen, query.get("fieldManager", ""), query.get("fieldValidation", ""))
        return bool(chosen)

    async def body(self) -> Obj:
        """The body as an object; ApiError 415 for an unknown media type, 400 for what is no object."""
        if self.http.content_type not in (*_BODIES, "application/octet-stream"):
            raise unsupported_media_type((*_BODIES, "application/vnd.kubernetes.protobuf"))
        found = parsed(await read(self.http), self.http.content_type)
        if not isinstance(found, dict):
            raise bad_request("couldn't get version/kind; json parse error: json: cannot unmarshal into Go value")
        return found

    async def patch(self) -> tuple[Any, str]:
        """The patch and its media type; ApiError 415 for a type that is not served."""
        if self.http.content_type not in ACCEPTED:
            raise unsupported_media_type(ACCEPTED)
        return parsed(await read(self.http), "application/json"), self.http.content_type

    async def options(self) -> Obj | None:
        """The optional DeleteOptions body."""
        raw = await read(self.http)
        found = parsed(raw, self.http.content_type) if raw.strip() else None
        return found if isinstance(found, dict) else None


async def read(http: web.Request) -> bytes:
    """The raw body; ApiError 413 above the API server's limit of 3 MiB."""
    try:
        return await http.read()
    except web.HTTPRequestEntityTooLarge as error:
        message = f"Request entity too large: limit is {MAX_BODY}"
        raise ApiError(413, "RequestEntityTooLarge", message) from error


def parsed(raw: bytes, content_type: str) -> Any:
    try:
        return yaml.safe_load(raw) if content_type == "application/yaml" else json.loads(raw)
    except (ValueError, yaml.YAMLError) as error:
        raise bad_request(f"couldn't get version/kind; json parse error: {error}") from error


def understood(http: web.Request, user: User) -> Call | None:
    """The request as a call to a resource, None for a path that is none (discovery, health, unknown)."""
    parts = [part for part in http.path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    resource = BY_PATH.get((group, version, rest[0]))
    if resource is None or len(rest) > 3 or (namespace and not resource.namespaced):
        raise no_such_resource()
    name, subresource = ([*rest[1:], "", ""])[:2]
    if name and resource.namespaced and not namespace:
        raise no_such_resource()
    return Call(http, user, _verb(http, name, namespace, resource), resource, namespace, name, subresource)


def _verb(http: web.Request, name: str, namespace: str, resource: Resource) -> str:
    if http.method in ("GET", "HEAD"):
        watching = http.query.get("watch", "").lower() in ("1", "t", "true")
        return "get" if name else "watch" if watching else "list"
    verb = _METHODS.get(http.method)
    if verb is None:
        raise method_not_allowed()
    return "deletecollection" if verb == "delete" and not name else verb


def check_route(call: Call) -> None:
    """ApiError 404 for a subresource that is not served, 405 for a verb that this path does not take."""
    if call.subresource and call.subresource not in call.resource.subresources:
        raise no_such_resource()
    if call.subresource:
        allowed: tuple[str, ...] = {"log": ("get",), "eviction": ("create",)}.get(
            call.subresource, ("get", "patch", "update")
        )
    elif call.name:
        allowed = tuple(set(call.resource.verbs) & {"get", "update", "patch", "delete"})
    else:
        allowed = tuple(set(call.resource.verbs) & {"list", "watch", "create", "deletecollection"})
    if call.verb not in allowed or (
        call.verb == "create" and call.resource.namespaced and not (call.namespace or call.name)
    ):
        raise method_not_allowed()
