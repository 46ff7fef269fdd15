"""How a Deployment's template, its ReplicaSets and their revisions belong together, and what its status says."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

from bot.local.cluster.pace import timestamp
from bot.local.cluster.replicasets import owner_reference
from bot.local.cluster.resources import Obj
from bot.local.cluster.store import ALPHABET, at, copied

HASH_LABEL = "pod-template-hash"
PREFIX = "deployment.kubernetes.io/"
REVISION, HISTORY = f"{PREFIX}revision", f"{PREFIX}revision-history"
DESIRED, MAX = f"{PREFIX}desired-replicas", f"{PREFIX}max-replicas"
_NOT_COPIED = (REVISION, HISTORY, DESIRED, MAX, "kubectl.kubernetes.io/last-applied-configuration")


def template_hash(template: Obj) -> str:
    """A short name for a pod template: FNV-1a over its canonical JSON, in the alphabet of Kubernetes."""
    value = 2166136261
    for byte in json.dumps(template, sort_keys=True, separators=(",", ":")).encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return "".join(ALPHABET[int(digit) % len(ALPHABET)] for digit in str(value))


def template_of(workload: Obj) -> Obj:
    """A workload's pod template without the hash label: what a ReplicaSet was made from."""
    template = copied(workload["spec"]["template"])
    (at(template, "metadata.labels") or {}).pop(HASH_LABEL, None)
    return template


def revision_of(obj: Obj) -> int:
    return int((obj["metadata"].get("annotations") or {}).get(REVISION, 0))


def new_replicaset(deployment: Obj, revision: int) -> Obj:
    """The ReplicaSet of a deployment's present template, with no replicas yet."""
    meta, spec = deployment["metadata"], deployment["spec"]
    template = template_of(deployment)
    name_hash = template_hash(template)
    template.setdefault("metadata", {}).setdefault("labels", {})[HASH_LABEL] = name_hash
    selector = copied(spec["selector"])
    selector.setdefault("matchLabels", {})[HASH_LABEL] = name_hash
    new_meta = {
        "name": f"{meta['name']}-{name_hash}",
        "namespace": meta["namespace"],
        "labels": template["metadata"]["labels"],
        "annotations": copied_annotations(deployment) | {REVISION: str(revision)} | sizes(deployment),
        "ownerReferences": [owner_reference(deployment)],
    }
    return {"metadata": new_meta, "spec": {"replicas": 0, "selector": selector, "template": template}}


def present_of(deployment: Obj, replicasets: list[Obj]) -> Obj | None:
    """The ReplicaSet of a deployment's present template, if there is one."""
    template = template_of(deployment)
    return next((r for r in replicasets if template_of(r) == template), None)


def copied_annotations(deployment: Obj) -> dict[str, str]:
    found: dict[str, str] = deployment["metadata"].get("annotations") or {}
    return {name: value for name, value in found.items() if name not in _NOT_COPIED}


def sizes(deployment: Obj) -> dict[str, str]:
    """The annotations by which the controller recognises a change of size."""
    surge, _ = bounds(deployment)
    replicas = deployment["spec"]["replicas"]
    return {DESIRED: str(replicas), MAX: str(replicas + surge)}


def bounds(deployment: Obj) -> tuple[int, int]:
    """How many pods a rolling update may have too many and too few; surge rounds up, unavailable down."""
    if deployment["spec"]["strategy"]["type"] == "Recreate":
        return 0, 0
    rolling, replicas = deployment["spec"]["strategy"]["rollingUpdate"], deployment["spec"]["replicas"]
    surge = _resolved(rolling.get("maxSurge", 0), replicas, math.ceil)
    unavailable = min(replicas, _resolved(rolling.get("maxUnavailable", 0), replicas, math.floor))
    return surge, (1 if surge == 0 and unavailable == 0 else unavailable)


def _resolved(value: int | str, replicas: int, rounded: Callable[[float], int]) -> int:
    return value if isinstance(value, int) else rounded(replicas * int(value.rstrip("%")) / 100)


def status_counts(replicasets: list[Obj], present: Obj | None) -> dict[str, int]:
    """The replica counts of a deployment's status."""

    def total(name: str) -> int:
        return sum(at(r, f"status.{name}") or 0 for r in replicasets)

    wanted, ready = sum(r["spec"]["replicas"] for r in replicasets), total("availableReplicas")
    return {
        "replicas": total("replicas"),
        "updatedReplicas": (at(present, "status.replicas") or 0) if present else 0,
        "readyReplicas": total("readyReplicas"),
        "availableReplicas": ready,
        "unavailableReplicas": max(0, wanted - ready),
    }


Condition = tuple[str, str, str, str]


def available(deployment: Obj, counts: dict[str, int]) -> Condition:
    """The Available condition: type, status, reason, message."""
    _, unavailable = bounds(deployment)
    if counts["availableReplicas"] >= deployment["spec"]["replicas"] - unavailable:
        return "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability."
    return "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."


def progressing(deployment: Obj, counts: dict[str, int], present: Obj | None, in_time: bool) -> Condition | None:
    """The Progressing condition if it is to be set again: complete, further than before, or out of time.

    A rollout that was complete once is not judged again until its template changes, as in the real controller.
    """
    if deployment["spec"].get("paused"):
        return "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused"
    if present is None:
        return None
    before: Obj = deployment.get("status") or {}
    reason = next((c["reason"] for c in before.get("conditions") or () if c["type"] == "Progressing"), "")
    if reason == "NewReplicaSetAvailable" and counts["replicas"] == counts["updatedReplicas"]:
        return None
    name, desired = f'ReplicaSet "{present["metadata"]["name"]}"', deployment["spec"]["replicas"]
    if {counts["updatedReplicas"], counts["replicas"], counts["availableReplicas"]} == {desired}:
        return "Progressing", "True", "NewReplicaSetAvailable", f"{name} has successfully progressed."
    if _further(before, counts):
        return "Progressing", "True", "ReplicaSetUpdated", f"{name} is progressing."
    if in_time or reason in ("", "NewReplicaSetAvailable"):
        return None
    return "Progressing", "False", "ProgressDeadlineExceeded", f"{name} has timed out progressing."


def _further(before: Obj, counts: dict[str, int]) -> bool:
    def gained(name: str) -> bool:
        return bool(counts[name] > before.get(name, 0))

    old_before = before.get("replicas", 0) - before.get("updatedReplicas", 0)
    old_now = counts["replicas"] - counts["updatedReplicas"]
    return old_now < old_before or any(map(gained, ("updatedReplicas", "readyReplicas", "availableReplicas")))


def with_condition(conditions: list[Obj], type_: str, status: str, reason: str, message: str) -> list[Obj]:
    """The conditions with one set; its transition time moves only when its status does."""
    old = next((c for c in conditions if c["type"] == type_), None)
    now = timestamp()
    if old and (old["status"], old["reason"], old["message"]) == (status, reason, message):
        return conditions
    since = old["lastTransitionTime"] if old and old["status"] == status else now
    new = {"type": type_, "status": status, "lastUpdateTime": now, "lastTransitionTime": since}
    return [*(c for c in conditions if c["type"] != type_), new | {"reason": reason, "message": message}]
