"""Kubernetes objects as the API writes them, by hand, and a world of them that answers reads as the tools do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.analyzers import Reading
from domain.actions import Target

Obj = dict[str, Any]

NOW = datetime(2026, 3, 10, 12, 0, 0, tzinfo=UTC)
CHECKOUT = Target("kubernetes", "production", "shop", "Deployment", "checkout")


def ago(**parts: float) -> str:
    return stamp(NOW - timedelta(**parts))


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def terminated(exit_code: int = 1, reason: str = "Error", *, ran: float = 5, ended: float = 30) -> Obj:
    """A terminated state; `ran` and `ended` (ago) are seconds."""
    return {
        "exitCode": exit_code,
        "reason": reason,
        "startedAt": ago(seconds=ended + ran),
        "finishedAt": ago(seconds=ended),
    }


def status(
    name: str = "app",
    *,
    waiting: str = "",
    message: str = "",
    running: float | None = None,
    ended: Obj | None = None,
    last: Obj | None = None,
    restarts: int = 0,
    ready: bool = False,
) -> Obj:
    """A container's status; `running` is since how many seconds."""
    state: Obj = {}
    if waiting:
        state = {"waiting": {"reason": waiting} | ({"message": message} if message else {})}
    elif ended is not None:
        state = {"terminated": ended}
    elif running is not None:
        state = {"running": {"startedAt": ago(seconds=running)}}
    return {
        "name": name,
        "ready": ready,
        "restartCount": restarts,
        "state": state,
        "lastState": {"terminated": last} if last else {},
    }


def container(name: str = "app", image: str = "registry.test/checkout:2.0", limit: str = "", request: str = "") -> Obj:
    resources: Obj = {}
    if limit:
        resources["limits"] = {"memory": limit}
    if request:
        resources["requests"] = {"memory": request}
    return {"name": name, "image": image, "resources": resources}


def pod(
    name: str,
    *statuses: Obj,
    containers: tuple[Obj, ...] = (),
    init: tuple[Obj, ...] = (),
    revision: str = "new",
    owner: str = "checkout",
    phase: str = "Running",
    ready: bool = False,
    **more: Any,
) -> Obj:
    """A pod of a Deployment's ReplicaSet. `revision` is its template hash; `more` goes into its status."""
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}, *more.pop("conditions", [])]
    metadata: Obj = {
        "name": name,
        "namespace": "shop",
        "creationTimestamp": ago(minutes=3),
        "labels": {"app": owner, "pod-template-hash": revision},
        "ownerReferences": [{"kind": "ReplicaSet", "name": f"{owner}-{revision}", "controller": True}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {
            "nodeName": "node-1",
            "restartPolicy": "Always",
            "containers": list(containers) or [container()],
            "initContainers": [container("init", "registry.test/migrate:1")] if init else [],
        },
        "status": {
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": list(statuses),
            "initContainerStatuses": list(init),
            **more,
        },
    }


def good_pod(name: str = "checkout-old-a", revision: str = "old", owner: str = "checkout") -> Obj:
    return pod(name, status(running=86400, ready=True), revision=revision, owner=owner, ready=True)


def crashing_pod(name: str = "checkout-new-a", exit_code: int = 1, revision: str = "new", restarts: int = 4) -> Obj:
    """A pod between two crashes, in back-off."""
    waits = status(waiting="CrashLoopBackOff", last=terminated(exit_code), restarts=restarts)
    return pod(name, waits, revision=revision)


def oom_pod(name: str = "checkout-new-a", limit: str = "256Mi", request: str = "", revision: str = "new") -> Obj:
    waits = status(waiting="CrashLoopBackOff", last=terminated(137, "OOMKilled"), restarts=3)
    return pod(name, waits, containers=(container(limit=limit, request=request),), revision=revision)


def deployment(
    name: str = "checkout", *, desired: int = 3, ready: int = 3, updated: int | None = None, **more: Any
) -> Obj:
    """A Deployment. `more`: conditions, spec (merged), generation, observed."""
    selector = more.get("labels", {"app": name})
    template = {"metadata": {"labels": selector}, "spec": {"containers": [container()]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "shop", "generation": more.get("generation", 4)},
        "spec": {
            "replicas": desired,
            "selector": {"matchLabels": selector},
            "template": template,
            **more.get("spec", {}),
        },
        "status": {
            "observedGeneration": more.get("observed", 4),
            "replicas": desired,
            "readyReplicas": ready,
            "updatedReplicas": desired if updated is None else updated,
            "conditions": more.get("conditions", [available()]),
        },
    }


def available() -> Obj:
    return {"type": "Available", "status": "True", "lastTransitionTime": ago(days=2)}


def progressing(reason: str, ok: str = "True", message: str = "") -> Obj:
    moments = {"lastUpdateTime": ago(minutes=1), "lastTransitionTime": ago(minutes=1)}
    return {"type": "Progressing", "status": ok, "reason": reason, "message": message, **moments}


IMAGE_CHANGE = {
    "path": "spec.containers[app].image",
    "before": "registry.test/checkout:1.9",
    "after": "registry.test/checkout:2.0",
}


def history(
    *changes: Obj, good_ready: int = 2, new_age: float = 180, completed: bool = False, earlier: tuple[int, ...] = ()
) -> Obj:
    """A rollout history as its tool tells it: revision 4 (hash new) is current, revision 3 (hash old) the good one."""
    return {
        "deployment": {"conditions": [progressing("NewReplicaSetAvailable")] if completed else []},
        "current": 4,
        "good": 3,
        "good_basis": "its pods are ready now" if good_ready else "the revision before; it has no pods now",
        "revisions": [
            _revision(4, "new", "2.0", ready=0, age=new_age) | {"earlier": list(earlier), "current": True},
            _revision(3, "old", "1.9", ready=good_ready, age=900_000),
        ],
        "from_revision": 3,
        "changes": list(changes),
        "diff": "",
    }


def _revision(number: int, template_hash: str, tag: str, *, ready: int, age: float) -> Obj:
    return {
        "revision": number,
        "pod_template_hash": template_hash,
        "images": [f"app=registry.test/checkout:{tag}"],
        "change_cause": f"CI: checkout {tag}",
        "created": ago(seconds=age),
        "ready": ready,
        "replicas": ready,
        "earlier": [],
    }


def event(name: str, reason: str, message: str, *, first: float = 120, last: float = 5, kind: str = "Pod") -> Obj:
    """A warning as the events tool tells it; `first` and `last` are seconds ago."""
    return {
        "type": "Warning",
        "reason": reason,
        "message": message,
        "count": 3,
        "first": ago(seconds=first),
        "last": ago(seconds=last),
        "kind": kind,
        "name": name,
    }


def node(name: str = "node-1", *conditions: tuple[str, str, str], unschedulable: bool = False) -> Obj:
    """A node; each condition is type, status and message."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"unschedulable": True} if unschedulable else {},
        "status": {
            "conditions": [
                {"type": kind, "status": value, "message": message, "lastTransitionTime": ago(minutes=7)}
                for kind, value, message in conditions
            ]
        },
    }


class World:
    """Objects, logs, events and a history, read as the Kubernetes tools would tell them. `asked` is what was read."""

    def __init__(
        self,
        *objects: Obj,
        history: Obj | None = None,
        events: tuple[Obj, ...] = (),
        logs: Mapping[tuple[str, bool], list[str]] | None = None,
        refuse: tuple[str, ...] = (),
        more: bool = False,
    ) -> None:
        self.objects, self.history, self.events = objects, history, events
        self.logs, self.refuse, self.more = dict(logs or {}), refuse, more
        self.asked: list[tuple[str, Obj]] = []

    async def read(self, tool: str, arguments: Mapping[str, Any]) -> Reading:
        self.asked.append((tool, dict(arguments)))
        if tool in self.refuse:
            return Reading("", ok=False, error=f"The API server refuses {tool}: forbidden.")
        found = getattr(self, f"_{tool.removeprefix('kubernetes_')}")(arguments)
        if found is None:
            return Reading("", ok=False, error=f"There is no {arguments.get('kind', 'such thing')} of that name.")
        return Reading(f"E{len(self.asked)}", ok=True, data=found)

    def _get(self, arguments: Mapping[str, Any]) -> Obj | None:
        return next(
            (o for o in self.objects if o["kind"] == arguments["kind"] and o["metadata"]["name"] == arguments["name"]),
            None,
        )

    def _list(self, arguments: Mapping[str, Any]) -> Obj:
        terms = [term.split("=", 1) for term in arguments.get("label_selector", "").split(",") if term]
        items = [
            item
            for item in self.objects
            if item["kind"] == arguments["kind"]
            and all(item["metadata"].get("labels", {}).get(key) == value for key, value in terms)
        ]
        return {"items": items, "more": self.more, "read_at": stamp(NOW)}

    def _events(self, arguments: Mapping[str, Any]) -> Obj:
        items = [item for item in self.events if item["name"] == arguments["name"]]
        return {"items": items, "more": False, "read_at": stamp(NOW)}

    def _logs(self, arguments: Mapping[str, Any]) -> Obj:
        return {"lines": self.logs.get((arguments["pod"], arguments["previous"]), []), "read_at": stamp(NOW)}

    def _rollout_history(self, arguments: Mapping[str, Any]) -> Obj:
        return self.history or {"current": 4, "good": None, "revisions": [_revision(4, "new", "2.0", ready=3, age=9e5)]}
