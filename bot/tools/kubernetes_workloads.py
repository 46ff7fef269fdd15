"""What belongs to a workload: its pods, its ReplicaSets, its revisions, the autoscaler that also sets its size."""

from __future__ import annotations

from typing import Any

from bot.tools.kubernetes_client import KubernetesClient, Obj
from bot.tools.kubernetes_kinds import AUTOSCALER, POD, REPLICASET
from bot.tools.kubernetes_objects import REVISION, at, controller_of
from domain.errors import ToolError

HASH = "pod-template-hash"


def selector(workload: Obj) -> str:
    """A workload's label selector as the API's query parameter."""
    found = at(workload, "spec", "selector") or {}
    parts = [f"{key}={value}" for key, value in (found.get("matchLabels") or {}).items()]
    for term in found.get("matchExpressions") or ():
        key, values = term.get("key", ""), ",".join(term.get("values") or ())
        parts.append({
            "In": f"{key} in ({values})",
            "NotIn": f"{key} notin ({values})",
            "Exists": key,
            "DoesNotExist": f"!{key}",
        }[term.get("operator", "Exists")])  # fmt: skip
    return ",".join(parts)


async def replica_sets(client: KubernetesClient, deployment: Obj) -> list[Obj]:
    """A Deployment's ReplicaSets, newest revision first."""
    namespace, uid = at(deployment, "metadata", "namespace"), at(deployment, "metadata", "uid")
    found, _ = await client.objects(REPLICASET, namespace, labels=selector(deployment))
    mine = [item for item in found if controller_of(item).get("uid") == uid]
    return sorted(mine, key=revision_of, reverse=True)


async def pods_of(client: KubernetesClient, workload: Obj, owners: set[str]) -> list[Obj]:
    """The pods behind a workload's selector that one of these owners (uids) controls and that are not going away."""
    found, _ = await client.objects(POD, at(workload, "metadata", "namespace"), labels=selector(workload))
    return [
        pod for pod in found if controller_of(pod).get("uid") in owners and not at(pod, "metadata", "deletionTimestamp")
    ]


def revision_of(obj: Obj) -> int:
    """The revision that a Deployment or ReplicaSet carries, 0 where it has none yet."""
    text = str((at(obj, "metadata", "annotations") or {}).get(REVISION, ""))
    return int(text) if text.isascii() and text.isdigit() else 0


def template_of(replica_set: Obj) -> Obj:
    """A ReplicaSet's pod template as the Deployment had it: without the hash label that the controller adds."""
    template: Obj = at(replica_set, "spec", "template") or {}
    metadata: Obj = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH}
    return {**template, "metadata": {**metadata, "labels": labels}}


def current_of(deployment: Obj, sets: list[Obj]) -> Obj | None:
    """The ReplicaSet of the Deployment's present template, None while the controller has not made it."""
    wanted = _comparable(at(deployment, "spec", "template") or {})
    return next((item for item in sets if _comparable(template_of(item)) == wanted), None)


def _comparable(template: Obj) -> Any:
    # an empty map and none are the same to the controller
    return {key: {k: v for k, v in (part or {}).items() if v not in (None, {}, [])} for key, part in template.items()}


async def autoscaler_of(client: KubernetesClient, workload: Obj) -> Obj | None:
    """The HorizontalPodAutoscaler that sets this workload's size, None where none does or none may be read."""
    kind, name = workload.get("kind"), at(workload, "metadata", "name")
    try:
        found, _ = await client.objects(AUTOSCALER, at(workload, "metadata", "namespace"))
    except ToolError:
        return None  # a cluster without autoscaling, or a Role without it: nothing to warn of
    targets = [
        (at(item, "spec", "scaleTargetRef", "kind"), at(item, "spec", "scaleTargetRef", "name")) for item in found
    ]
    return next((item for item, target in zip(found, targets, strict=True) if target == (kind, name)), None)


def bounds(autoscaler: Obj) -> str:
    """`HorizontalPodAutoscaler "x" also sets the size (2 to 10)`."""
    spec = autoscaler.get("spec") or {}
    name = at(autoscaler, "metadata", "name")
    return f'HorizontalPodAutoscaler "{name}" also sets the size ({spec.get("minReplicas", 1)} to {spec.get("maxReplicas")})'
