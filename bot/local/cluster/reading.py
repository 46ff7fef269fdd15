"""LIST with selectors and pages, and WATCH with bookmarks: how clients read many objects."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from aiohttp import web

from bot.local.cluster.errors import ApiError, bad_request, expired, forbidden_field, future_version, invalid
from bot.local.cluster.request import Call
from bot.local.cluster.resources import Obj, Resource
from bot.local.cluster.selecting import field_selector, label_selector
from bot.local.cluster.store import Change, Store, key

SNAPSHOTS = 32
BOOKMARK_EVERY = 60.0
WATCH_SECONDS = 1800
TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list"
    " without the continue parameter, or use the continue token in this response to retrieve the remainder of the"
    " results. Continuing with the provided token results in an inconsistent list - objects that were created,"
    " modified, or deleted between the time the first chunk was returned and now may show up in the list."
)


def selected(call: Call) -> Callable[[Obj], bool]:
    """The request's selectors and namespace as one predicate."""
    labels = label_selector(call.http.query.get("labelSelector", ""))
    fields = field_selector(call.resource, call.http.query.get("fieldSelector", ""))

    def matches(obj: Obj) -> bool:
        meta = obj["metadata"]
        inside = not call.namespace or meta.get("namespace") == call.namespace
        return inside and labels(meta.get("labels") or {}) and fields(obj)

    return matches


def revision(call: Call, name: str = "resourceVersion") -> int | None:
    """A resourceVersion from the query, None when it is not given; ApiError 422 when it is no number."""
    text = call.http.query.get(name, "")
    if text and not text.isdigit():
        why = f'Invalid value: "{text}": strconv.ParseUint: parsing "{text}": invalid syntax'
        raise invalid("ListOptions", "meta.k8s.io", "", [forbidden_field(name, why)])
    return int(text) if text else None


class Lists:
    """Serves LIST; pages after the first come from the snapshot the first one was taken of."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._snapshots: OrderedDict[tuple[str, int], list[Obj]] = OrderedDict()

    def answer(self, call: Call) -> Obj:
        """The answer to a LIST. ApiError 410 for a continue token or resourceVersion that is gone."""
        limit = call.number("limit") or 0
        token = call.http.query.get("continue", "")
        at, start = self._continued(call, token) if token else (self._revision(call), None)
        matches = selected(call)
        found = [o for o in self._snapshot(call.resource, at) if matches(o) and (not start or key(o) >= start)]
        page = found[:limit] if limit > 0 else found
        meta: Obj = {"resourceVersion": str(at)}
        if len(page) < len(found):
            meta["continue"] = _token(at, key(found[len(page)]))
            if not call.http.query.get("labelSelector") and not call.http.query.get("fieldSelector"):
                meta["remainingItemCount"] = len(found) - len(page)
            self._keep(call.resource, at)
        bare = [{k: v for k, v in o.items() if k not in ("apiVersion", "kind")} for o in page]
        kind, version = f"{call.resource.kind}List", call.resource.api_version
        return {"kind": kind, "apiVersion": version, "metadata": meta, "items": bare}

    def _revision(self, call: Call) -> int:
        wanted, match = revision(call), call.http.query.get("resourceVersionMatch", "")
        if match not in ("", "Exact", "NotOlderThan"):
            raise bad_request(f"resourceVersionMatch: Unsupported value: {match!r}")
        if wanted is not None and wanted > self._store.revision:
            raise future_version(wanted, self._store.revision)
        if match == "Exact" and wanted is not None and wanted != self._store.revision:
            raise expired(f"The resourceVersion for the provided list is too old: {wanted}")
        return self._store.revision

    def _continued(self, call: Call, token: str) -> tuple[int, tuple[str, str]]:
        try:
            found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            at, start = int(found["rv"]), (str(found["start"][0]), str(found["start"][1]))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise bad_request(f"continue key is not valid: {error}") from error
        if at != self._store.revision and (call.resource.plural, at) not in self._snapshots:
            raise expired(TOO_OLD)
        return at, start

    def _snapshot(self, resource: Resource, at: int) -> list[Obj]:
        return self._snapshots.get((resource.plural, at)) or self._store.list(resource)

    def _keep(self, resource: Resource, at: int) -> None:
        # The objects themselves are never changed, so a snapshot is a list of references.
        self._snapshots.setdefault((resource.plural, at), self._store.list(resource))
        while len(self._snapshots) > SNAPSHOTS:
            self._snapshots.popitem(last=False)

    def forget(self) -> None:
        """Compaction: every snapshot is gone."""
        self._snapshots.clear()


def _token(at: int, start: tuple[str, str]) -> str:
    raw = json.dumps({"v": "meta.k8s.io/v1", "rv": at, "start": start}).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


async def watch(call: Call, store: Store) -> web.StreamResponse:
    """Streams changes as JSON lines until the client leaves or timeoutSeconds is over."""
    wanted, matches = revision(call), selected(call)
    bookmarks, seconds = call.flag("allowWatchBookmarks"), call.number("timeoutSeconds") or WATCH_SECONDS
    initial = wanted in (None, 0) or call.flag("sendInitialEvents")
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"})
    await response.prepare(call.http)
    at = store.revision if initial or wanted is None else wanted
    if initial:
        found = [("ADDED", obj) for obj in store.list(call.resource) if matches(obj)]
        if call.flag("sendInitialEvents"):
            found.append(("BOOKMARK", _bookmark(call.resource, at, {"k8s.io/initial-events-end": "true"})))
        await _send(response, found)
    try:
        async with asyncio.timeout(seconds):
            await _follow(call, store, response, at, matches, bookmarks)
    except TimeoutError:
        if bookmarks:
            await _send(response, [("BOOKMARK", _bookmark(call.resource, store.revision))])
    except ApiError as gone:
        await _send(response, [("ERROR", gone.status())])
    await response.write_eof()
    return response


async def _follow(
    call: Call, store: Store, response: web.StreamResponse, at: int, matches: Callable[[Obj], bool], bookmarks: bool
) -> None:
    while True:
        changes = [change for change in store.since(at) if change.resource is call.resource]
        at = store.revision
        await _send(response, [event for change in changes if (event := _event(change, matches))])
        try:
            async with asyncio.timeout(BOOKMARK_EVERY):
                await store.advanced(at)
        except TimeoutError:
            if bookmarks:
                await _send(response, [("BOOKMARK", _bookmark(call.resource, at))])


def _event(change: Change, matches: Callable[[Obj], bool]) -> tuple[str, Obj] | None:
    """What a watch with a selector sees of a change: entering it is ADDED, leaving it is DELETED."""
    was = change.before is not None and matches(change.before)
    now = change.type != "DELETED" and matches(change.obj)
    if now:
        return ("MODIFIED" if was else "ADDED"), change.obj
    return ("DELETED", change.obj) if was else None


def _bookmark(resource: Resource, at: int, annotations: dict[str, str] | None = None) -> Obj:
    meta: Obj = {"resourceVersion": str(at), "creationTimestamp": None}
    if annotations:
        meta["annotations"] = annotations
    return {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}


async def _send(response: web.StreamResponse, events: list[tuple[str, Obj]]) -> None:
    lines = [json.dumps({"type": type_, "object": obj}, separators=(",", ":")) + "\n" for type_, obj in events]
    if lines:
        await response.write("".join(lines).encode())
