"""Create, update and delete as the API server does them: defaults, checks, preconditions, dry run."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from bot.local.cluster.defaults import default
from bot.local.cluster.errors import bad_request, conflict, invalid, invalid_value, not_found
from bot.local.cluster.pace import timestamp
from bot.local.cluster.resources import CLAIMS, NAMESPACES, PODS, SERVICES, Obj, Resource
from bot.local.cluster.store import Store, at, bumped, copied, key, suffix
from bot.local.cluster.validation import check, check_types, right_kind, same_name

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
POLICIES = ("Orphan", "Background", "Foreground")


@dataclass(frozen=True, slots=True)
class Deletion:
    """How to delete. grace: seconds, None for the object's own."""

    uid: str | None = None
    resource_version: str | None = None
    grace: int | None = None
    propagation: str = "Background"
    dry_run: bool = False


class Objects:
    """The API server's side of the store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._addresses = (f"10.96.{i // 250}.{i % 250 + 1}" for i in itertools.count(40))

    def get(self, resource: Resource, namespace: str, name: str) -> Obj:
        """The object; ApiError 404."""
        found = self.store.get(resource, namespace, name)
        if found is None:
            raise not_found(resource.plural, resource.group, name)
        return found

    def create(self, resource: Resource, namespace: str, body: Obj, *, dry_run: bool) -> Obj:
        """Stores a new object and answers it; with dry_run only answers what it would be."""
        right_kind(resource, body)
        body = copied(body)
        meta = body.setdefault("metadata", {})
        check_types(resource, body)
        same_name(body, meta.get("name", ""), namespace)
        if resource.namespaced:
            meta["namespace"] = namespace
            if self.store.get(NAMESPACES, "", namespace) is None:
                raise not_found(NAMESPACES.plural, NAMESPACES.group, namespace)
        for field in ("uid", "resourceVersion", "creationTimestamp", "generation", "deletionTimestamp", "selfLink"):
            meta.pop(field, None)
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + suffix()
        default(body | {"kind": resource.kind})
        self._first_status(resource, body)
        check(resource, body, None)
        new = self.store.prepared(resource, body)
        if dry_run and self.store.get(resource, *key(new)) is None:
            return new
        return self.store.create(resource, new)

    def update(self, resource: Resource, before: Obj, new: Obj, *, part: str = "", dry_run: bool) -> Obj:
        """Replaces an object, or with part="status" only its status. `new` is the caller's own and is changed."""
        right_kind(resource, new)
        meta = new.setdefault("metadata", {})
        check_types(resource, new)
        namespace, name = key(before)
        same_name(new, name, namespace)
        self._preconditions(resource, before, meta.get("uid"), meta.get("resourceVersion"))
        for field in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "generation"):
            meta.pop(field, None)
            if field in before["metadata"]:
                meta[field] = before["metadata"][field]
        if part == "status":
            new["spec"], meta["labels"] = before.get("spec", {}), before["metadata"].get("labels", {})
        elif "status" in resource.subresources:
            new["status"] = before.get("status", {})
        new |= {"apiVersion": resource.api_version, "kind": resource.kind}
        default(new)
        if resource is SERVICES and not new["spec"].get("clusterIP"):
            new["spec"] |= {k: v for k, v in before["spec"].items() if k in ("clusterIP", "clusterIPs")}
        check(resource, new, before)
        meta["resourceVersion"] = before["metadata"]["resourceVersion"]
        bumped(resource, new, before)
        return new if dry_run else self.store.update(resource, new)

    def delete(self, resource: Resource, before: Obj, how: Deletion) -> Obj | None:
        """Deletes an object. Answers it when it stays for a while (grace, finalizers), None when it is gone."""
        self._preconditions(resource, before, how.uid, how.resource_version, deleting=True)
        grace = how.grace if how.grace is not None else at(before, "spec.terminationGracePeriodSeconds")
        waits = resource is PODS and grace and at(before, "spec.nodeName")
        finalizers = list(before["metadata"].get("finalizers") or ())
        finalizers += {"Foreground": [FOREGROUND], "Orphan": [ORPHAN]}.get(how.propagation, [])
        if not waits and not finalizers:
            if not how.dry_run:
                self.store.delete(resource, *key(before))
            return None
        new = copied(before)
        new["metadata"] |= {"deletionTimestamp": timestamp(), "deletionGracePeriodSeconds": grace if waits else 0}
        if finalizers:
            new["metadata"]["finalizers"] = finalizers
        if before["metadata"].get("deletionTimestamp") and waits:
            return before
        return new if how.dry_run else self.store.update(resource, new)

    def _preconditions(
        self, resource: Resource, before: Obj, uid: str | None, version: str | None, *, deleting: bool = False
    ) -> None:
        meta = before["metadata"]
        name = meta["name"]
        if uid is not None and uid != meta["uid"]:
            why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {meta['uid']}"
            raise conflict(resource.plural, resource.group, name, why)
        if version not in (None, "") and version != meta["resourceVersion"]:
            if not deleting:
                raise conflict(resource.plural, resource.group, name)
            why = (
                "Precondition failed: ResourceVersion in precondition:"
                f" {version}, ResourceVersion in object meta: {meta['resourceVersion']}"
            )
            raise conflict(resource.plural, resource.group, name, why)

    def _first_status(self, resource: Resource, body: Obj) -> None:
        """What a new object's status is: never what the caller sent."""
        if "status" in resource.subresources:
            body["status"] = {"phase": "Pending", "qosClass": qos(body["spec"])} if resource is PODS else {}
        if resource is NAMESPACES:
            body["spec"], body["status"] = {"finalizers": ["kubernetes"]}, {"phase": "Active"}
        if resource is CLAIMS:
            body["status"] = {"phase": "Pending"}
        if resource is SERVICES:
            body["status"] = {"loadBalancer": {}}
            if "clusterIP" not in body["spec"]:
                address = next(self._addresses)
                body["spec"] |= {"clusterIP": address, "clusterIPs": [address]}


def qos(spec: Obj) -> str:
    """The quality-of-service class of a pod."""
    resources = [c.get("resources") or {} for c in spec.get("containers") or ()]
    if not any(r.get("limits") or r.get("requests") for r in resources):
        return "BestEffort"
    full = all(
        set(r.get("limits") or ()) >= {"cpu", "memory"} and (r.get("requests") or r["limits"]) == r["limits"]
        for r in resources
    )
    return "Guaranteed" if full else "Burstable"


def deletion(body: Obj | None, query: dict[str, str], dry_run: list[str]) -> Deletion:
    """DeleteOptions from a body, or from the query when there is none, as the real server reads them."""
    options = body or {
        "gracePeriodSeconds": query.get("gracePeriodSeconds"),
        "propagationPolicy": query.get("propagationPolicy"),
    }
    grace, propagation = options.get("gracePeriodSeconds"), options.get("propagationPolicy") or "Background"
    if propagation not in POLICIES:
        named = f"the valid values are {', '.join(POLICIES)}"
        raise invalid("DeleteOptions", "meta.k8s.io", "", [invalid_value("propagationPolicy", propagation, named)])
    if grace is not None and not str(grace).isdigit():
        raise bad_request(f'strconv.ParseInt: parsing "{grace}": invalid syntax')
    limits = options.get("preconditions") or {}
    dry = [*(options.get("dryRun") or ()), *dry_run]
    return Deletion(
        limits.get("uid"), limits.get("resourceVersion"), None if grace is None else int(grace), propagation, bool(dry)
    )
