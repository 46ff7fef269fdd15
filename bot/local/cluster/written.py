"""A cluster as it is written down: objects with their status, logs and events, for a world in which nothing moves by itself.

Workloads may be given in short: what a Deployment with so many pods in such a state looks like is written out here, as the API
server and the controllers would have it. Everything else is given as whole objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zlib import crc32

from bot.local.cluster.pace import timestamp
from bot.local.cluster.resources import Obj

LogKey = tuple[str, str, str, bool]
"""Namespace, pod, container, and whether it is the log of the run before."""

_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_HASHES = ("6f7c9d4b8d", "5b8f7c6d9f")
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIXES = ("x2x4q", "b7k2m", "zq8wv", "h5n9t", "c4d6f", "j8l2p", "r9s3v", "w6x7z")


@dataclass(frozen=True)
class Written:
    """Everything there is: objects in the order in which they are stored, and log lines by container."""

    objects: tuple[Obj, ...] = ()
    logs: Mapping[LogKey, tuple[str, ...]] = field(default_factory=dict)


def ago(text: str, now: datetime | None = None) -> str:
    """The timestamp of so long ago: `5m`, `90s`, `3d`. Raises ValueError."""
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no time such as 90s, 5m, 3h or 2d")
    return timestamp((now or datetime.now(UTC)) - timedelta(seconds=float(match[1]) * _UNITS[match[2]]))


def workload(said: Mapping[str, Any]) -> Written:
    """A workload in short, written out. Raises ValueError for a state that is not known.

    Its keys: kind (Deployment), name, namespace (shop), image, replicas, age, limit, request, and `pods`, a list of {count,
    state, revision, exit, restarts, log, message, reason, age, node, digest, events}. A Deployment may have a `previous`
    revision: {image, age, cause}. `set` is merged into its spec, `template` into its pods' spec, `container` into their
    container; `events` are about the workload itself.
    """
    pods = list(_pods(said))
    objects: list[Obj] = [_owner(said, [pod for pod, _ in pods])]
    if said.get("kind", "Deployment") == "Deployment":
        objects += _replicasets(said, [pod for pod, _ in pods])
    logs: dict[LogKey, tuple[str, ...]] = {}
    for pod, lines in pods:
        objects.append(pod)
        container = pod["spec"]["containers"][0]["name"]
        state = pod["status"].get("containerStatuses", [{}])[0] if pod["status"].get("containerStatuses") else {}
        previous = "waiting" in state.get("state", {})
        key = (pod["metadata"]["namespace"], pod["metadata"]["name"], container)
        if lines:
            logs[(*key, previous)] = lines
    objects += [event(objects[0], one) for one in said.get("events") or ()]
    for pod, entry in zip((pod for pod, _ in pods), _entries(said), strict=True):
        objects += [event(pod, one) for one in entry.get("events") or ()]
    return Written(tuple(objects), logs)


def _suffix(index: int) -> str:
    if index < len(_SUFFIXES):
        return _SUFFIXES[index]
    return "".join(_ALPHABET[index // len(_ALPHABET) ** place % len(_ALPHABET)] for place in range(5))


def event(about: Obj, said: Mapping[str, Any]) -> Obj:
    """An event about an object: {reason, message, type (Warning), count, since, age}."""
    meta = about["metadata"]
    reason = str(said["reason"])
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{meta['name']}.{crc32(f'{reason} {said}'.encode()):08x}",
            "namespace": meta["namespace"],
        },
        "involvedObject": {
            "kind": about["kind"],
            "name": meta["name"],
            "namespace": meta["namespace"],
            "apiVersion": "v1",
        },
        "reason": reason,
        "message": str(said.get("message", "")),
        "type": str(said.get("type", "Warning")),
        "count": int(said.get("count", 1)),
        "firstTimestamp": ago(str(said.get("since", said.get("age", "5m")))),
        "lastTimestamp": ago(str(said.get("age", "30s"))),
    }


def _labels(said: Mapping[str, Any]) -> dict[str, str]:
    return {"app": str(said["name"])}


def _hash(revision: str) -> str:
    return _HASHES[0] if revision == "current" else _HASHES[1]


def _owner(said: Mapping[str, Any], pods: list[Obj]) -> Obj:
    kind, name, replicas = str(said.get("kind", "Deployment")), str(said["name"]), int(said.get("replicas", 1))
    ready = sum(_is_ready(pod) for pod in pods)
    current = [pod for pod in pods if pod["metadata"]["labels"].get("pod-template-hash", _HASHES[0]) == _HASHES[0]]
    generation, revision = int(said.get("generation", 3)), 2 if said.get("previous") else 1
    meta: Obj = {
        "name": name,
        "namespace": str(said.get("namespace", "shop")),
        "uid": f"uid-{kind}-{name}".lower(),
        "labels": _labels(said),
        "creationTimestamp": ago(str(said.get("created", "30d"))),
        "generation": generation,
        "annotations": {"deployment.kubernetes.io/revision": str(revision)} if kind == "Deployment" else {},
    }
    template = {"metadata": {"labels": _labels(said)}, "spec": _pod_spec(said, {})}
    spec: Obj = {"replicas": replicas, "selector": {"matchLabels": _labels(said)}, "template": template}
    if kind == "DaemonSet":
        spec.pop("replicas")
    status: Obj = {
        "observedGeneration": generation,
        "replicas": len([pod for pod in pods if pod["status"].get("phase") != "Failed"]),
        "updatedReplicas": len(current),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(0, replicas - ready),
        "conditions": _conditions(said, ready, replicas),
    }
    if kind == "DaemonSet":
        status |= {"desiredNumberScheduled": replicas, "numberReady": ready, "currentNumberScheduled": len(pods)}
    api = "apps/v1"
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": meta,
        "spec": spec | dict(said.get("set") or {}),
        "status": status,
    }


def _conditions(said: Mapping[str, Any], ready: int, replicas: int) -> list[Obj]:
    if said.get("conditions") is not None:
        return list(said["conditions"])
    available, since = ready >= replicas, ago(str(said.get("age", "10m")))
    return [
        _condition(
            "Available", available, "MinimumReplicasAvailable" if available else "MinimumReplicasUnavailable", since
        ),
        _condition("Progressing", True, "NewReplicaSetAvailable" if available else "ReplicaSetUpdated", since),
    ]


def _condition(kind: str, holds: bool, reason: str, since: str) -> Obj:
    return {"type": kind, "status": str(holds), "reason": reason, "lastUpdateTime": since, "lastTransitionTime": since}


def _replicasets(said: Mapping[str, Any], pods: list[Obj]) -> Iterator[Obj]:
    revisions = [("previous", 1), ("current", 2)] if said.get("previous") else [("current", 1)]
    for revision, number in revisions:
        own = [pod for pod in pods if pod["metadata"]["labels"]["pod-template-hash"] == _hash(revision)]
        age = (
            str((said.get("previous") or {}).get("age", "20d"))
            if revision == "previous"
            else str(said.get("age", "10m"))
        )
        labels = _labels(said) | {"pod-template-hash": _hash(revision)}
        more = dict(said.get("previous") or {}) if revision == "previous" else {}
        ready = sum(map(_is_ready, own))
        yield {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{said['name']}-{_hash(revision)}",
                "uid": f"uid-replicaset-{said['name']}-{_hash(revision)}",
                "namespace": str(said.get("namespace", "shop")),
                "labels": labels,
                "creationTimestamp": ago(age),
                "annotations": {"deployment.kubernetes.io/revision": str(number)}
                | ({"kubernetes.io/change-cause": str(more.get("cause", said.get("cause", "")))}),
                "ownerReferences": [
                    {
                        "apiVersion": "apps/v1",
                        "kind": "Deployment",
                        "name": said["name"],
                        "controller": True,
                        "uid": f"uid-deployment-{said['name']}",
                    }
                ],
            },
            "spec": {
                "replicas": len(own),
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": _pod_spec({**said, **more}, {})},
            },
            "status": {"replicas": len(own), "readyReplicas": ready, "availableReplicas": ready},
        }


def _entries(said: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for entry in said.get("pods") or [{"count": int(said.get("replicas", 1))}]:
        for _ in range(int(entry.get("count", 1))):
            yield entry


def _pods(said: Mapping[str, Any]) -> Iterator[tuple[Obj, tuple[str, ...]]]:
    kind = str(said.get("kind", "Deployment"))
    for index, entry in enumerate(_entries(said)):
        revision = str(entry.get("revision", "current"))
        name, labels = str(said["name"]), _labels(said)
        if kind == "Deployment":
            labels |= {"pod-template-hash": _hash(revision)}
            owner = {"kind": "ReplicaSet", "name": f"{name}-{_hash(revision)}"}
            pod_name = f"{name}-{_hash(revision)}-{_suffix(index)}"
        else:
            owner = {"kind": kind, "name": name}
            pod_name = f"{name}-{index}" if kind == "StatefulSet" else f"{name}-{_suffix(index)}"
        image = (said.get("previous") or {}) if revision == "previous" else {}
        yield _pod({**said, **image}, entry, pod_name, labels, owner), tuple(map(str, entry.get("log") or ()))


def _pod_spec(said: Mapping[str, Any], entry: Mapping[str, Any]) -> Obj:
    resources: Obj = {}
    for part in ("limit", "request"):
        amount = entry.get(part, said.get(part))
        if amount:
            resources[f"{part}s"] = {"memory": str(amount)} if isinstance(amount, str) else dict(amount)
    container: Obj = {"name": "app", "image": str(said.get("image", f"registry.acme.dev/shop/{said['name']}:1.0.0"))}
    container |= {"resources": resources} | dict(said.get("container") or {})
    spec: Obj = {"restartPolicy": "Always", "containers": [container]}
    return spec | dict(said.get("template") or {})


def _pod(said: Mapping[str, Any], entry: Mapping[str, Any], name: str, labels: Mapping[str, str], owner: Obj) -> Obj:
    state = str(entry.get("state", "running"))
    if state not in _STATES:
        raise ValueError(f"a pod's state is one of {', '.join(_STATES)}, not {state!r}")
    meta: Obj = {
        "name": name,
        "namespace": str(said.get("namespace", "shop")),
        "labels": dict(labels),
        "creationTimestamp": ago(str(entry.get("age", said.get("age", "10m")))),
        "ownerReferences": [
            {
                "apiVersion": "apps/v1",
                "controller": True,
                "uid": f"uid-{owner['kind']}-{owner['name']}".lower(),
                **owner,
            }
        ],
    }
    spec = _pod_spec(said, entry)
    if state != "pending":
        spec["nodeName"] = str(entry.get("node", "node-a"))
    status = _STATES[state](said, entry, spec)
    if state == "terminating":
        meta |= {"deletionTimestamp": ago(str(entry.get("deleted", "10m"))), "deletionGracePeriodSeconds": 30}
        meta |= {"finalizers": list(entry.get("finalizers") or ())} if entry.get("finalizers") else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": spec,
        "status": status | dict(entry.get("status") or {}),
    }


def _status(
    spec: Obj, entry: Mapping[str, Any], state: Obj, *, ready: bool, phase: str = "Running", last: Obj | None = None
) -> Obj:
    container = spec["containers"][0]
    conditions = [
        {"type": "PodScheduled", "status": "True"},
        {"type": "Ready", "status": str(ready), "lastTransitionTime": ago(str(entry.get("since", "5m")))},
        {"type": "ContainersReady", "status": str(ready)},
    ]
    own: Obj = {
        "name": container["name"],
        "image": container["image"],
        "imageID": f"{container['image'].split(':')[0]}@sha256:{str(entry.get('digest', 'ab')) * 32}",
        "ready": ready,
        "restartCount": int(entry.get("restarts", 0)),
        "state": state,
        "lastState": {"terminated": last} if last else {},
    }
    return {"phase": phase, "conditions": conditions, "containerStatuses": [own]}


def _ended(entry: Mapping[str, Any], code: int, reason: str) -> Obj:
    return {
        "exitCode": int(entry.get("exit", code)),
        "reason": str(entry.get("reason", reason)),
        "startedAt": ago(str(entry.get("began", "40s"))),
        "finishedAt": ago(str(entry.get("ended", "30s"))),
        **({"message": str(entry["message"])} if entry.get("message") else {}),
    }


def _running(said: Mapping[str, Any], entry: Mapping[str, Any], spec: Obj) -> Obj:
    since = ago(str(entry.get("running", entry.get("age", said.get("age", "10m")))))
    last = _ended(entry, 1, "Error") if entry.get("restarts") else None
    return _status(spec, entry, {"running": {"startedAt": since}}, ready=True, last=last)


def _unready(said: Mapping[str, Any], entry: Mapping[str, Any], spec: Obj) -> Obj:
    since = ago(str(entry.get("age", said.get("age", "10m"))))
    return _status(spec, entry, {"running": {"startedAt": since}}, ready=False)


def _crash(said: Mapping[str, Any], entry: Mapping[str, Any], spec: Obj) -> Obj:
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 1m20s restarting failed container"}}
    entry = {"restarts": 5, **entry}
    return _status(spec, entry, waiting, ready=False, last=_ended(entry, 1, "Error"))


def _oom(said: Mapping[str, Any], entry: Mapping[str, Any], spec: Obj) -> Obj:
    return _crash(said, {"exit": 137, "reason": "OOMKilled", **entry}, spec)


def _waiting(reason: str) -> Any:
    def status(said: Mapping[str, Any], entry: Mapping[str, Any], spec: Obj) -> Obj:
        waiting = {"waiting": {"reason": str(entry.get("reason", reason)), "message": str(entry.get("message", ""))}}
        return _status(spec, entry, waiting, ready=False, phase="Pending")

    return status


def _pending(said: Mapping[str, Any], entry: Mapping[str, Any], spec: Obj) -> Obj:
    unschedulable = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": str(entry.get("message", "0/3 nodes are available: 3 Insufficient memory.")),
        "lastTransitionTime": ago(str(entry.get("since", "5m"))),
    }
    return {"phase": "Pending", "conditions": [unschedulable]}


def _evicted(said: Mapping[str, Any], entry: Mapping[str, Any], spec: Obj) -> Obj:
    message = str(entry.get("message", "The node was low on resource: memory."))
    return {"phase": "Failed", "reason": "Evicted", "message": message, "conditions": []}


def _is_ready(pod: Obj) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))


_STATES = {
    "running": _running,
    "unready": _unready,
    "crash": _crash,
    "oom": _oom,
    "image": _waiting("ImagePullBackOff"),
    "config": _waiting("CreateContainerConfigError"),
    "creating": _waiting("ContainerCreating"),
    "pending": _pending,
    "evicted": _evicted,
    "terminating": _running,
}
