"""StatefulSets and DaemonSets: pods with a place of their own, replaced one by one."""

from __future__ import annotations

from bot.local.cluster.objects import Deletion, Objects
from bot.local.cluster.recorder import Recorder
from bot.local.cluster.replicasets import is_active, is_ready, owned, pod_from
from bot.local.cluster.resources import DAEMONSETS, NODES, PODS, STATEFULSETS, Obj, Resource
from bot.local.cluster.revisions import template_hash
from bot.local.cluster.store import at, copied

HASH_LABEL = "controller-revision-hash"


class Sets:
    """The StatefulSet and DaemonSet controllers."""

    def __init__(self, objects: Objects, recorder: Recorder) -> None:
        self._objects, self._store, self._recorder = objects, objects.store, recorder

    def reconcile_stateful(self, at_: tuple[str, str]) -> None:
        """Ordinals are created upwards, each when those below are ready, and deleted and updated downwards.

        As in the real controller a pod that never becomes ready blocks the update, also the one that would mend it.
        """
        found = self._store.get(STATEFULSETS, *at_)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return
        replicas, name = found["spec"]["replicas"], found["metadata"]["name"]
        pods = {pod["metadata"]["name"]: pod for pod in owned(self._store, PODS, found)}
        wanted = [f"{name}-{i}" for i in range(replicas)]
        parallel = found["spec"].get("podManagementPolicy") == "Parallel"
        for i, pod_name in enumerate(wanted):
            if pod_name not in pods:
                labels = {"statefulset.kubernetes.io/pod-name": pod_name, "apps.kubernetes.io/pod-index": str(i)}
                self._create(found, pod_name, labels, f"create Pod {pod_name} in StatefulSet {name} successful")
            elif is_ready(pods[pod_name]) and is_active(pods[pod_name]):
                continue
            if not parallel:
                break
        extra = sorted((n for n in pods if n not in wanted), key=_ordinal)
        if extra:
            self._delete(found, pods[extra[-1]])
        elif len(pods) == replicas and all(is_ready(p) and is_active(p) for p in pods.values()):
            stale = [n for n in wanted if not _fresh(found, pods[n])]
            if stale and at(found, "spec.updateStrategy.type") != "OnDelete":
                self._delete(found, pods[stale[-1]])
        self._write_stateful(found)

    def reconcile_daemon(self, at_: tuple[str, str]) -> None:
        """One pod on each node it may run on; an update replaces one after the other."""
        found = self._store.get(DAEMONSETS, *at_)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return
        wanted: dict[str, str] = at(found, "spec.template.spec.nodeSelector") or {}
        nodes = [
            node["metadata"]["name"]
            for node in self._store.list(NODES)
            if wanted.items() <= (node["metadata"].get("labels") or {}).items()
        ]
        pods = [pod for pod in owned(self._store, PODS, found) if is_active(pod)]
        here = {at(pod, "spec.nodeName") for pod in pods}
        for node in nodes:
            if node not in here:
                self._create(found, "", {}, "", node)
        for pod in pods:
            if at(pod, "spec.nodeName") not in nodes:
                self._delete(found, pod)
        stale = [pod for pod in pods if not _fresh(found, pod)]
        broken = [pod for pod in stale if not is_ready(pod)]
        if broken or (stale and all(map(is_ready, pods))):
            self._delete(found, (broken or stale)[0])
        self._write_daemon(found, len(nodes))

    def _create(self, owner: Obj, name: str, labels: dict[str, str], message: str, node: str = "") -> None:
        body = pod_from(owner["spec"]["template"], owner, name)
        body["metadata"]["labels"] = body["metadata"].get("labels", {}) | labels | {HASH_LABEL: _hash(owner)}
        if node:
            body["spec"]["nodeName"] = node
        pod = self._objects.create(PODS, owner["metadata"]["namespace"], body, dry_run=False)
        message = message or f"Created pod: {pod['metadata']['name']}"
        self._recorder.record(owner, "Normal", "SuccessfulCreate", message, f"{owner['kind'].lower()}-controller")

    def _delete(self, owner: Obj, pod: Obj) -> None:
        if not pod["metadata"].get("deletionTimestamp"):
            self._objects.delete(PODS, pod, Deletion())
            message = f"Deleted pod: {pod['metadata']['name']}"
            component = f"{owner['kind'].lower()}-controller"
            self._recorder.record(owner, "Normal", "SuccessfulDelete", message, component)

    def _write_stateful(self, owner: Obj) -> None:
        there = owned(self._store, PODS, owner)
        pods = [pod for pod in there if is_active(pod)]
        ready, fresh = sum(map(is_ready, pods)), sum(_fresh(owner, pod) for pod in pods)
        before: Obj = owner.get("status") or {}
        update = f"{owner['metadata']['name']}-{_hash(owner)}"
        done = fresh == ready == len(pods) == owner["spec"]["replicas"]
        status = {
            "replicas": len(there),  # here a pod counts until it is gone
            "readyReplicas": ready,
            "availableReplicas": ready,
            "updatedReplicas": fresh,
            "currentReplicas": fresh if done else len(pods) - fresh,
            "currentRevision": update if done else before.get("currentRevision", update),
            "updateRevision": update,
            "collisionCount": 0,
        }
        self._write(STATEFULSETS, owner, status)

    def _write_daemon(self, owner: Obj, nodes: int) -> None:
        pods = [pod for pod in owned(self._store, PODS, owner) if is_active(pod)]
        ready = sum(map(is_ready, pods))
        status = {
            "desiredNumberScheduled": nodes,
            "currentNumberScheduled": len(pods),
            "updatedNumberScheduled": sum(_fresh(owner, pod) for pod in pods),
            "numberReady": ready,
            "numberAvailable": ready,
            "numberMisscheduled": 0,
        }
        self._write(DAEMONSETS, owner, status | ({"numberUnavailable": nodes - ready} if nodes > ready else {}))

    def _write(self, resource: Resource, owner: Obj, status: Obj) -> None:
        new = copied(owner)
        new["status"] = status | {"observedGeneration": owner["metadata"]["generation"]}
        self._store.update(resource, new)


def _hash(owner: Obj) -> str:
    return template_hash(owner["spec"]["template"])


def _fresh(owner: Obj, pod: Obj) -> bool:
    """Whether a pod is of its owner's present template."""
    labels: dict[str, str] = pod["metadata"].get("labels") or {}
    return labels.get(HASH_LABEL) == _hash(owner)


def _ordinal(name: str) -> int:
    return int(name.rpartition("-")[2])
