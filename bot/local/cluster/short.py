"""More of a written-out world in short: nodes, Services, claims, Jobs, and events about anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bot.local.cluster.resources import Obj
from bot.local.cluster.written import ago, event

_HEALTHY = (("MemoryPressure", "False"), ("DiskPressure", "False"), ("PIDPressure", "False"), ("Ready", "True"))


def node(said: Mapping[str, Any]) -> Obj:
    """A node: {name, labels, taints, cpu, memory, allocatable, cordoned, conditions: {type: status or [status, message]}}."""
    name = str(said["name"])
    states: dict[str, Any] = {**dict(_HEALTHY), **dict(said.get("conditions") or {})}
    since = ago(str(said.get("since", "20m")))
    offered = {"cpu": str(said.get("cpu", "4")), "memory": str(said.get("memory", "16Gi")), "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **dict(said.get("labels") or {})}},
        "spec": {"taints": list(said.get("taints") or ())} | ({"unschedulable": True} if said.get("cordoned") else {}),
        "status": {
            "allocatable": offered | {key: str(value) for key, value in (said.get("allocatable") or {}).items()},
            "conditions": [_state(kind, value, since) for kind, value in states.items()],
        },
    }


def _state(kind: str, value: Any, since: str) -> Obj:
    status, message = value if isinstance(value, list) else (value, "")
    return {"type": kind, "status": str(status), "message": str(message), "lastTransitionTime": since}


def service(said: Mapping[str, Any]) -> Obj:
    """A Service: {name, namespace, selector (app: name), port (80), target (8080), set}."""
    name = str(said["name"])
    port = {"name": "http", "port": int(said.get("port", 80)), "targetPort": said.get("target", 8080)}
    spec: Obj = {"type": "ClusterIP", "ports": [port], "selector": dict(said.get("selector") or {"app": name})}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": str(said.get("namespace", "shop"))},
        "spec": spec | dict(said.get("set") or {}),
    }


def claim(said: Mapping[str, Any]) -> Obj:
    """A PersistentVolumeClaim: {name, namespace, phase (Bound), class, volume, size (10Gi)}; without `class` it names none."""
    size = {"storage": str(said.get("size", "10Gi"))}
    spec: Obj = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": size}}
    spec |= {"storageClassName": str(said["class"])} if "class" in said else {}
    spec |= {"volumeName": str(said["volume"])} if "volume" in said else {}
    phase = str(said.get("phase", "Bound"))
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": str(said["name"]), "namespace": str(said.get("namespace", "shop"))},
        "spec": spec,
        "status": {"phase": phase} | ({"capacity": size} if phase == "Bound" else {}),
    }


def job(said: Mapping[str, Any]) -> Iterator[Obj]:
    """A Job and its pods: {name, namespace, state (complete, failed, running), image, limit, exit, reason, failed, cron}.

    `failed` says how many pods failed, `cron` which CronJob made it.
    """
    name, namespace = str(said["name"]), str(said.get("namespace", "shop"))
    failed, state = int(said.get("failed", 0)), str(said.get("state", "running"))
    container = {"name": "app", "image": str(said.get("image", f"registry.acme.dev/shop/{name}:1.0.0"))}
    resources: Obj = {"limits": {"memory": str(said["limit"])}} if said.get("limit") else {}
    spec: Obj = {"restartPolicy": "Never", "containers": [container | {"resources": resources}]}
    spec |= dict(said.get("template") or {})
    ends = {"complete": ("Complete", ""), "failed": ("Failed", "BackoffLimitExceeded")}
    kind, reason = ends.get(state, ("", ""))
    conditions = [{"type": kind, "status": "True", "reason": reason, "lastTransitionTime": ago("2m")}] if kind else []
    status: Obj = {"startTime": ago("10m"), "failed": failed, "conditions": conditions}
    status |= {"succeeded": 1, "completionTime": ago("2m")} if state == "complete" else {}
    meta: Obj = {"name": name, "namespace": namespace, "uid": f"uid-job-{name}", "creationTimestamp": ago("10m")}
    if said.get("cron"):
        owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": str(said["cron"]), "controller": True}
        meta["ownerReferences"] = [owner | {"uid": f"uid-cronjob-{said['cron']}"}]
    template = {"metadata": {"labels": {"job-name": name}}, "spec": spec}
    limit = {"backoffLimit": int(said.get("backoff", 6)), "template": template}
    yield {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": limit, "status": status}
    for number in range(failed):
        yield _job_pod(said, f"{name}-f{number}", namespace, spec, done=False)
    if state == "complete":
        yield _job_pod(said, f"{name}-ok", namespace, spec, done=True)


def _job_pod(said: Mapping[str, Any], name: str, namespace: str, spec: Obj, *, done: bool) -> Obj:
    code, reason = (0, "Completed") if done else (int(said.get("exit", 1)), str(said.get("reason", "Error")))
    ended = {"exitCode": code, "reason": reason, "startedAt": ago("6m"), "finishedAt": ago("5m")}
    state = {"name": "app", "image": "", "ready": False, "restartCount": 0, "state": {"terminated": ended}}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": str(said["name"]), "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": ago("7m"),
            "labels": {"job-name": str(said["name"])},
            "ownerReferences": [owner | {"uid": f"uid-job-{said['name']}"}],
        },
        "spec": spec | {"nodeName": "node-a"},
        "status": {"phase": "Succeeded" if done else "Failed", "conditions": [], "containerStatuses": [state]},
    }


def told(said: Mapping[str, Any]) -> Obj:
    """An event about anything: {about: Kind/namespace/name, reason, message, type, count, since, age}."""
    kind, namespace, name = str(said["about"]).split("/")
    return event({"kind": kind, "metadata": {"name": name, "namespace": namespace or "default"}}, said)
