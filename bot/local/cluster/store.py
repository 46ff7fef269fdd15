"""The cluster's memory: objects with one rising revision, and the log that watches are served from."""

from __future__ import annotations

import asyncio
import bisect
import json
import random
import uuid
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bot.local.cluster.errors import already_exists, expired, not_found
from bot.local.cluster.pace import timestamp
from bot.local.cluster.resources import Obj, Resource

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # what Kubernetes makes name suffixes from: no vowels, no look-alikes
FIRST_REVISION = 184_200


@dataclass(frozen=True, slots=True)
class Change:
    """One committed write. `before` is None for an addition; `obj` of a deletion carries its revision."""

    revision: int
    type: str
    resource: Resource
    obj: Obj
    before: Obj | None


def copied(obj: Obj) -> Obj:
    """An independent copy of a JSON object, cheaper than copy.deepcopy."""
    found: Obj = json.loads(json.dumps(obj))
    return found


def key(obj: Obj) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def suffix(length: int = 5) -> str:
    return "".join(random.choices(ALPHABET, k=length))  # noqa: S311 - a name, not a secret


class Store:
    """Objects by resource, namespace and name.

    What `get`, `list` and `Change` hand out is shared and must not be changed: writers take `copied(obj)`.
    """

    def __init__(self, history: int = 4096) -> None:
        self.revision = FIRST_REVISION
        self.compacted = FIRST_REVISION
        self._objects: dict[str, dict[tuple[str, str], Obj]] = {}
        self._log: deque[Change] = deque()
        self._history = history
        self._listeners: list[Callable[[Change], None]] = []
        self._advanced = asyncio.Event()

    def get(self, resource: Resource, namespace: str, name: str) -> Obj | None:
        return self._table(resource).get((namespace, name))

    def list(self, resource: Resource, namespace: str = "") -> list[Obj]:
        """All objects of a kind (of one namespace when given), by namespace and name."""
        table = self._table(resource)
        return [table[at] for at in sorted(table) if not namespace or at[0] == namespace]

    def create(self, resource: Resource, obj: Obj) -> Obj:
        """Stores a new object under a fresh uid; ApiError 409 when the name is taken."""
        new = self.prepared(resource, obj)
        if key(new) in self._table(resource):
            raise already_exists(resource.plural, resource.group, new["metadata"]["name"])
        return self._commit("ADDED", resource, new, None)

    def prepared(self, resource: Resource, obj: Obj) -> Obj:
        """The object as `create` would store it, without a revision."""
        new = copied(obj)
        meta = new["metadata"]
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + suffix()
        meta.setdefault("uid", str(uuid.uuid4()))
        meta.setdefault("creationTimestamp", timestamp())
        if resource.generation:
            meta.setdefault("generation", 1)
        return {"apiVersion": resource.api_version, "kind": resource.kind} | new

    def update(self, resource: Resource, obj: Obj) -> Obj:
        """Replaces an object; ApiError 404 when it is gone. Writing what is there already changes nothing."""
        before = self._present(resource, obj)
        new = copied(obj)
        new["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"]
        if new == before:
            return before
        if new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers") and not graceful(new):
            return self.delete(resource, *key(new))
        return self._commit("MODIFIED", resource, new, before)

    def delete(self, resource: Resource, namespace: str, name: str) -> Obj:
        """Removes an object and answers its last state; ApiError 404 when it is gone."""
        before = self._present(resource, {"metadata": {"namespace": namespace, "name": name}})
        return self._commit("DELETED", resource, copied(before), before)

    def subscribe(self, listener: Callable[[Change], None]) -> None:
        """Calls `listener` after each commit, in order."""
        self._listeners.append(listener)

    def since(self, revision: int) -> Iterable[Change]:
        """The changes after a revision; ApiError 410 when some of them are forgotten."""
        if revision < self.compacted:
            raise expired(f"too old resource version: {revision} ({self.compacted})")
        start = bisect.bisect_right(self._log, revision, key=lambda change: change.revision)
        return [self._log[i] for i in range(start, len(self._log))]

    async def advanced(self, revision: int) -> None:
        """Returns once the store is past `revision`."""
        while self.revision <= revision:
            await self._advanced.wait()

    def compact(self) -> None:
        """Forgets the log, as etcd does every five minutes: older watches and lists get 410."""
        self._log.clear()
        self.compacted = self.revision

    def _present(self, resource: Resource, obj: Obj) -> Obj:
        found = self._table(resource).get(key(obj))
        if found is None:
            raise not_found(resource.plural, resource.group, obj["metadata"]["name"])
        return found

    def _table(self, resource: Resource) -> dict[tuple[str, str], Obj]:
        return self._objects.setdefault(f"{resource.plural}.{resource.group}", {})

    def _commit(self, type_: str, resource: Resource, obj: Obj, before: Obj | None) -> Obj:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        if type_ == "DELETED":
            del self._table(resource)[key(obj)]
        else:
            self._table(resource)[key(obj)] = obj
        change = Change(self.revision, type_, resource, obj, before)
        self._log.append(change)
        while len(self._log) > self._history:
            self.compacted = self._log.popleft().revision
        for listener in self._listeners:
            listener(change)
        self._advanced.set()
        self._advanced = asyncio.Event()
        return obj


def graceful(obj: Obj) -> bool:
    """Whether a deleted object waits for its kubelet instead of its finalizers."""
    return bool(obj["metadata"].get("deletionGracePeriodSeconds"))


def at(obj: Any, path: str) -> Any:
    """The value at a dotted path, None when a part is absent."""
    for part in path.split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


def bumped(resource: Resource, new: Obj, before: Obj) -> Obj:
    """`new` with the next metadata.generation if a part that counts was changed."""
    changed = any((at(new, path) or {}) != (at(before, path) or {}) for path in resource.generation)
    if resource.generation:
        new["metadata"]["generation"] = before["metadata"].get("generation", 1) + changed
    return new
