"""A Deployment's revisions: which are known, which was good, and what changed between two of them."""

from __future__ import annotations

from typing import Any

from bot.tools.kubernetes_client import KubernetesClient, Obj
from bot.tools.kubernetes_kinds import DEPLOYMENT
from bot.tools.kubernetes_objects import CHANGE_CAUSE, age_s, at, changes, difference, images, now_text
from bot.tools.kubernetes_workloads import current_of, replica_sets, revision_of, template_of
from domain.errors import ToolError

READY_NOW = "its pods are ready now"
BEFORE = "the revision before; it has no pods now"
_HISTORY = "deployment.kubernetes.io/revision-history"


async def history(client: KubernetesClient, namespace: str, name: str, revision: int = 0) -> Obj:
    """The revisions of a Deployment, newest first, and the difference of one of them to the current one.

    `good` is the newest other revision with ready pods, else the one before the current; `good_basis` says which of the
    two. `changes` and `diff` go from `from_revision` (`revision` where given, else `good`) to `current`.
    """
    deployment = await client.get(DEPLOYMENT, namespace, name)
    sets = await replica_sets(client, deployment)
    current = current_of(deployment, sets)
    good, basis = last_good(sets, current)
    result = {
        "deployment": _deployment(deployment),
        "current": revision_of(current) if current else revision_of(deployment),
        "good": revision_of(good) if good else None,
        "good_basis": basis,
        "revisions": [_revision(item, item is current) for item in sets],
        "read_at": now_text(),
    }
    compared = find(sets, revision, name) if revision else good
    return {**result, **_comparison(compared, current, deployment)}


def find(sets: list[Obj], revision: int, name: str) -> Obj:
    """The ReplicaSet of a revision. Raises ToolError, naming those there are."""
    for item in sets:
        if revision_of(item) == revision or str(revision) in _earlier(item):
            return item
    known = ", ".join(str(revision_of(item)) for item in sets) or "none"
    raise ToolError(f'Deployment "{name}" has no revision {revision} any more; it has {known}.')


def last_good(sets: list[Obj], current: Obj | None) -> tuple[Obj | None, str]:
    """The newest other revision with ready pods, else the one before the current, and which of the two it is."""
    others = [item for item in sets if item is not current]
    ready = next((item for item in others if at(item, "status", "readyReplicas")), None)
    if ready is not None:
        return ready, READY_NOW
    older = [item for item in others if current is None or revision_of(item) < revision_of(current)]
    return (older[0], BEFORE) if older else (None, "")


def _earlier(replica_set: Obj) -> list[str]:
    # a rollback renumbers a ReplicaSet; the numbers that it had are kept beside
    return str((at(replica_set, "metadata", "annotations") or {}).get(_HISTORY, "")).split(",")


def _comparison(compared: Obj | None, current: Obj | None, deployment: Obj) -> Obj:
    if compared is None or compared is current:
        return {"from_revision": None, "changes": [], "diff": ""}
    before, after = template_of(compared), at(deployment, "spec", "template") or {}
    old, new = revision_of(compared), revision_of(current) if current else "current"
    return {
        "from_revision": old,
        "changes": changes(before, after),
        "diff": difference(before, after, f"revision {old}", f"revision {new}"),
    }


def _deployment(deployment: Obj) -> Obj:
    metadata, spec, status = (deployment.get(part) or {} for part in ("metadata", "spec", "status"))
    return {
        "namespace": metadata.get("namespace", ""),
        "name": metadata.get("name", ""),
        "uid": metadata.get("uid", ""),
        "generation": metadata.get("generation", 0),
        "observed_generation": status.get("observedGeneration", 0),
        "paused": bool(spec.get("paused")),
        "replicas": spec.get("replicas", 1),
        "updated": status.get("updatedReplicas", 0),
        "ready": status.get("readyReplicas", 0),
        "available": status.get("availableReplicas", 0),
        "images": images(spec.get("template")),
        "conditions": status.get("conditions") or [],
    }


def _revision(replica_set: Obj, current: bool) -> Obj:
    metadata, status = replica_set.get("metadata") or {}, replica_set.get("status") or {}
    annotations: dict[str, Any] = metadata.get("annotations") or {}
    return {
        "revision": revision_of(replica_set),
        "earlier": [int(text) for text in _earlier(replica_set) if text.isascii() and text.isdigit()],
        "replica_set": metadata.get("name", ""),
        "pod_template_hash": str((metadata.get("labels") or {}).get("pod-template-hash", "")),
        "images": images(at(replica_set, "spec", "template")),
        "change_cause": str(annotations.get(CHANGE_CAUSE, "")),
        "created": metadata.get("creationTimestamp"),
        "age_s": age_s(replica_set),
        "replicas": at(replica_set, "spec", "replicas") or 0,
        "ready": status.get("readyReplicas", 0),
        "available": status.get("availableReplicas", 0),
        "current": current,
    }
