"""Keeps as many pods as each ReplicaSet asks for."""

from __future__ import annotations

from bot.local.cluster.objects import Deletion, Objects
from bot.local.cluster.recorder import Recorder
from bot.local.cluster.resources import PODS, REPLICASETS, Obj, Resource
from bot.local.cluster.store import Store, at, copied

COMPONENT = "replicaset-controller"


def owner_reference(owner: Obj) -> Obj:
    """The controller reference to an object."""
    meta = owner["metadata"]
    named = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    return named | {"controller": True, "blockOwnerDeletion": True}


def controller_of(obj: Obj) -> Obj | None:
    """The reference to the controller of an object."""
    references = obj["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def owned(store: Store, resource: Resource, owner: Obj) -> list[Obj]:
    """The objects of a kind that an object controls."""
    uid = owner["metadata"]["uid"]
    found = store.list(resource, owner["metadata"]["namespace"])
    return [obj for obj in found if (controller_of(obj) or {}).get("uid") == uid]


def is_ready(pod: Obj) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in at(pod, "status.conditions") or ())


def is_active(pod: Obj) -> bool:
    """Whether a pod counts: neither finished nor being deleted."""
    return at(pod, "status.phase") not in ("Succeeded", "Failed") and not pod["metadata"].get("deletionTimestamp")


def pod_from(template: Obj, owner: Obj, name: str = "") -> Obj:
    """A new pod of a template, named after its owner unless a name is given."""
    labels, annotations = at(template, "metadata.labels") or {}, at(template, "metadata.annotations") or {}
    named = {"name": name} if name else {"generateName": f"{owner['metadata']['name']}-"}
    meta = {**named, "namespace": owner["metadata"]["namespace"], "labels": labels, "annotations": annotations}
    pod = {"metadata": {k: v for k, v in meta.items() if v}, "spec": copied(template["spec"])}
    pod["metadata"]["ownerReferences"] = [owner_reference(owner)]
    return pod


class ReplicaSets:
    """The ReplicaSet controller."""

    def __init__(self, objects: Objects, recorder: Recorder) -> None:
        self._objects, self._store, self._recorder = objects, objects.store, recorder

    def reconcile(self, at_: tuple[str, str]) -> None:
        """Creates or deletes pods of one ReplicaSet and writes its status."""
        replicaset = self._store.get(REPLICASETS, *at_)
        if replicaset is None:
            return
        pods = [pod for pod in owned(self._store, PODS, replicaset) if is_active(pod)]
        if not replicaset["metadata"].get("deletionTimestamp"):
            missing = replicaset["spec"]["replicas"] - len(pods)
            for _ in range(missing):
                self._create(replicaset)
            for pod in sorted(pods, key=_worth)[: max(0, -missing)]:
                self._delete(replicaset, pod)
        self._write_status(at_)

    def _create(self, replicaset: Obj) -> None:
        namespace = replicaset["metadata"]["namespace"]
        body = pod_from(replicaset["spec"]["template"], replicaset)
        pod = self._objects.create(PODS, namespace, body, dry_run=False)
        name = pod["metadata"]["name"]
        self._recorder.record(replicaset, "Normal", "SuccessfulCreate", f"Created pod: {name}", COMPONENT)

    def _delete(self, replicaset: Obj, pod: Obj) -> None:
        self._objects.delete(PODS, pod, Deletion())
        name = pod["metadata"]["name"]
        self._recorder.record(replicaset, "Normal", "SuccessfulDelete", f"Deleted pod: {name}", COMPONENT)

    def _write_status(self, at_: tuple[str, str]) -> None:
        replicaset = self._store.get(REPLICASETS, *at_)
        if replicaset is None:
            return
        pods = [pod for pod in owned(self._store, PODS, replicaset) if is_active(pod)]
        ready = sum(map(is_ready, pods))
        counts = {"fullyLabeledReplicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}
        status: Obj = {"replicas": len(pods), "observedGeneration": replicaset["metadata"]["generation"]}
        new = copied(replicaset)
        new["status"] = status | {name: count for name, count in counts.items() if count}
        self._store.update(REPLICASETS, new)


def _worth(pod: Obj) -> tuple[bool, bool, bool, int, str]:
    """Which pod goes first when there are too many: unassigned, pending, unready, crashing, young."""
    restarts = sum(c.get("restartCount", 0) for c in at(pod, "status.containerStatuses") or ())
    # Later timestamps sort first, so their characters are turned round.
    age = "".join(chr(255 - ord(c)) for c in pod["metadata"]["creationTimestamp"])
    return bool(at(pod, "spec.nodeName")), at(pod, "status.phase") != "Pending", is_ready(pod), -restarts, age


def scaled(store: Store, replicaset: Obj, replicas: int, annotations: dict[str, str]) -> Obj:
    """A ReplicaSet with another size; a change of the size is a new generation."""
    new = copied(replicaset)
    if new["spec"]["replicas"] != replicas:
        new["spec"]["replicas"] = replicas
        new["metadata"]["generation"] += 1
    new["metadata"]["annotations"] = (new["metadata"].get("annotations") or {}) | annotations
    return store.update(REPLICASETS, new)
