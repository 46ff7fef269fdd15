"""Deletes what belongs to a deleted owner or namespace."""

from __future__ import annotations

from bot.local.cluster.objects import FOREGROUND, ORPHAN, Deletion, Objects
from bot.local.cluster.resources import NAMESPACES, RESOURCES, Obj, Resource
from bot.local.cluster.store import Change, copied, key


class Garbage:
    """The garbage collector and the namespace controller."""

    def __init__(self, objects: Objects) -> None:
        self._objects, self._store = objects, objects.store

    def collect(self, change: Change) -> None:
        """Acts on one change: a removed owner, an owner that is being removed, an emptied namespace."""
        meta = change.obj["metadata"]
        if change.type == "DELETED" and change.resource is NAMESPACES:
            for resource in RESOURCES:
                for obj in self._store.list(resource, meta["name"]) if resource.namespaced else ():
                    self._objects.delete(resource, obj, Deletion(grace=0))
        elif change.type == "DELETED":
            for resource, dependent in self._dependents(meta["uid"]):
                self._objects.delete(resource, dependent, Deletion())
        elif meta.get("deletionTimestamp") and ORPHAN in meta.get("finalizers", ()):
            self._orphan(change.resource, change.obj)
        elif meta.get("deletionTimestamp") and FOREGROUND in meta.get("finalizers", ()):
            self._delete_dependents(change.resource, change.obj)

    def again(self, change: Change) -> None:
        """A removed dependent may free an owner that waits for it."""
        references = change.obj["metadata"].get("ownerReferences") or () if change.type == "DELETED" else ()
        for reference in references:
            for resource in RESOURCES:
                if (resource.api_version, resource.kind) == (reference["apiVersion"], reference["kind"]):
                    namespace = change.obj["metadata"].get("namespace", "")
                    owner = self._store.get(resource, namespace, reference["name"])
                    if owner and FOREGROUND in owner["metadata"].get("finalizers", ()):
                        self._delete_dependents(resource, owner)

    def _delete_dependents(self, resource: Resource, owner: Obj) -> None:
        dependents = self._dependents(owner["metadata"]["uid"])
        for kind, dependent in dependents:
            if not dependent["metadata"].get("deletionTimestamp"):
                self._objects.delete(kind, dependent, Deletion(propagation="Foreground"))
        if not dependents:
            self._release(resource, owner, FOREGROUND)

    def _orphan(self, resource: Resource, owner: Obj) -> None:
        uid = owner["metadata"]["uid"]
        for kind, dependent in self._dependents(uid):
            new = copied(dependent)
            kept = [r for r in new["metadata"]["ownerReferences"] if r["uid"] != uid]
            new["metadata"]["ownerReferences"] = kept
            self._store.update(kind, new)
        self._release(resource, owner, ORPHAN)

    def _release(self, resource: Resource, owner: Obj, finalizer: str) -> None:
        present = self._store.get(resource, *key(owner))
        if present is not None:
            new = copied(present)
            new["metadata"]["finalizers"] = [f for f in new["metadata"]["finalizers"] if f != finalizer]
            self._store.update(resource, new)

    def _dependents(self, uid: str) -> list[tuple[Resource, Obj]]:
        return [
            (resource, obj)
            for resource in RESOURCES
            for obj in self._store.list(resource)
            if any(r["uid"] == uid for r in obj["metadata"].get("ownerReferences") or ())
        ]
