"""The Deployment controller: revisions, rolling updates, progress and status, as kube-controller-manager does it."""

from __future__ import annotations

from bot.local.cluster.objects import Objects
from bot.local.cluster.pace import SQUEEZE, Pace
from bot.local.cluster.recorder import Recorder
from bot.local.cluster.replicasets import owned, scaled
from bot.local.cluster.resources import DEPLOYMENTS, PODS, REPLICASETS, Obj
from bot.local.cluster.revisions import (
    HISTORY,
    REVISION,
    available,
    bounds,
    copied_annotations,
    new_replicaset,
    present_of,
    progressing,
    revision_of,
    sizes,
    status_counts,
    with_condition,
)
from bot.local.cluster.store import at, copied, key

COMPONENT = "deployment-controller"


class Deployments:
    """The Deployment controller."""

    def __init__(self, objects: Objects, pace: Pace, recorder: Recorder) -> None:
        self._store, self._pace, self._recorder = objects.store, pace, recorder

    def reconcile(self, at_: tuple[str, str]) -> None:
        """One step towards the deployment's spec, and its status."""
        deployment = self._store.get(DEPLOYMENTS, *at_)
        if deployment is None or deployment["metadata"].get("deletionTimestamp"):
            return
        replicasets = owned(self._store, REPLICASETS, deployment)
        present = present_of(deployment, replicasets)
        if present is None and not deployment["spec"].get("paused"):
            present = self._create(deployment, replicasets)
        elif present is not None:
            present = self._promoted(deployment, present, replicasets)
        if present is not None:
            self._annotate(deployment, present)
        self._roll(deployment, present)
        self._clean(deployment, present)
        self._write_status(at_)

    # --- revisions

    def _create(self, deployment: Obj, replicasets: list[Obj]) -> Obj:
        revision = max(map(revision_of, replicasets), default=0) + 1
        new = self._store.create(REPLICASETS, new_replicaset(deployment, revision))
        self._progressing(deployment, "NewReplicaSetCreated", f'Created new replica set "{new["metadata"]["name"]}"')
        return new

    def _promoted(self, deployment: Obj, present: Obj, replicasets: list[Obj]) -> Obj:
        """The ReplicaSet of the present template under the newest revision: a rollback makes an old one the newest."""
        newest = max((revision_of(r) for r in replicasets if r is not present), default=0) + 1
        annotations = dict(present["metadata"].get("annotations") or {})
        wanted = annotations | copied_annotations(deployment)
        if (old := revision_of(present)) < newest:
            earlier = annotations.get(HISTORY, "")
            wanted |= {REVISION: str(newest), HISTORY: f"{earlier},{old}" if earlier else str(old)}
        new = copied(present)
        new["metadata"]["annotations"] = wanted
        return self._store.update(REPLICASETS, new)

    def _annotate(self, deployment: Obj, present: Obj) -> None:
        new = copied(self._store.get(DEPLOYMENTS, *key(deployment)) or deployment)
        new["metadata"]["annotations"] = (new["metadata"].get("annotations") or {}) | {
            REVISION: str(revision_of(present))
        }
        self._store.update(DEPLOYMENTS, new)

    def _clean(self, deployment: Obj, present: Obj | None) -> None:
        """Deletes what is beyond revisionHistoryLimit, oldest first."""
        others = [r for r in owned(self._store, REPLICASETS, deployment) if r["metadata"]["name"] != _name(present)]
        empty = [r for r in others if not r["spec"]["replicas"] and not at(r, "status.replicas")]
        extra = len(others) - int(deployment["spec"].get("revisionHistoryLimit", 10))
        for replicaset in sorted(empty, key=revision_of)[: max(0, extra)]:
            self._store.delete(REPLICASETS, *key(replicaset))

    # --- rolling

    def _roll(self, deployment: Obj, present: Obj | None) -> None:
        everything = owned(self._store, REPLICASETS, deployment)
        old = [r for r in everything if r["metadata"]["name"] != _name(present)]
        if deployment["spec"].get("paused"):
            active = [r for r in everything if r["spec"]["replicas"]]
            if len(active) == 1:
                self._scale(deployment, active[0], deployment["spec"]["replicas"])
            return
        if present is None:
            return
        if deployment["spec"]["strategy"]["type"] == "Recreate":
            self._recreate(deployment, present, old)
            return
        if not self._scale_up(deployment, present, old):
            self._scale_down(deployment, present, old)

    def _recreate(self, deployment: Obj, present: Obj, old: list[Obj]) -> None:
        for replicaset in old:
            self._scale(deployment, replicaset, 0)
        if not any(owned(self._store, PODS, replicaset) for replicaset in old):
            self._scale(deployment, present, deployment["spec"]["replicas"])

    def _scale_up(self, deployment: Obj, present: Obj, old: list[Obj]) -> bool:
        """Grows the new ReplicaSet as far as maxSurge allows; whether it changed."""
        desired, now = deployment["spec"]["replicas"], present["spec"]["replicas"]
        if now >= desired:
            return self._scale(deployment, present, desired)
        surge, _ = bounds(deployment)
        room = desired + surge - now - sum(r["spec"]["replicas"] for r in old)
        return self._scale(deployment, present, now + max(0, min(room, desired - now)))

    def _scale_down(self, deployment: Obj, present: Obj, old: list[Obj]) -> None:
        """Shrinks the old ReplicaSets, unhealthy pods first, without going below what must be available."""
        _, unavailable = bounds(deployment)
        minimum = deployment["spec"]["replicas"] - unavailable
        everything = [present, *old]
        total = sum(r["spec"]["replicas"] for r in everything)
        fresh = present["spec"]["replicas"] - (at(present, "status.availableReplicas") or 0)
        budget = total - minimum - fresh
        sized = {r["metadata"]["name"]: r["spec"]["replicas"] for r in old}
        for replicaset in sorted(old, key=_created):
            broken = replicaset["spec"]["replicas"] - (at(replicaset, "status.availableReplicas") or 0)
            taken = max(0, min(broken, budget))
            budget -= taken
            sized[replicaset["metadata"]["name"]] -= taken
        spare = sum(at(r, "status.availableReplicas") or 0 for r in everything) - minimum
        for replicaset in sorted(old, key=_created):
            taken = max(0, min(sized[replicaset["metadata"]["name"]], spare, budget))
            spare, budget = spare - taken, budget - taken
            sized[replicaset["metadata"]["name"]] -= taken
        for replicaset in old:
            self._scale(deployment, replicaset, sized[replicaset["metadata"]["name"]])

    def _scale(self, deployment: Obj, replicaset: Obj, replicas: int) -> bool:
        now, name = replicaset["spec"]["replicas"], replicaset["metadata"]["name"]
        scaled(self._store, replicaset, replicas, sizes(deployment))
        if now == replicas:
            return False
        way = "up" if replicas > now else "down"
        message = f"Scaled {way} replica set {name} from {now} to {replicas}"
        self._recorder.record(deployment, "Normal", "ScalingReplicaSet", message, COMPONENT)
        return True

    # --- status

    def _write_status(self, at_: tuple[str, str]) -> None:
        deployment = self._store.get(DEPLOYMENTS, *at_)
        if deployment is None:
            return
        replicasets = owned(self._store, REPLICASETS, deployment)
        present = present_of(deployment, replicasets)
        counts = status_counts(replicasets, present)
        before: Obj = deployment.get("status") or {}
        conditions = with_condition(before.get("conditions") or [], *available(deployment, counts))
        timed = self._pace.pending(("progress", deployment["metadata"]["uid"]))
        if progress := progressing(deployment, counts, present, timed):
            conditions = with_condition(conditions, *progress)
            if progress[2] == "ReplicaSetUpdated":
                self._restart_deadline(deployment)
        new = copied(deployment)
        new["status"] = {"observedGeneration": deployment["metadata"]["generation"], "conditions": conditions}
        new["status"] |= {name: count for name, count in counts.items() if count}
        self._store.update(DEPLOYMENTS, new)

    def _progressing(self, deployment: Obj, reason: str, message: str) -> None:
        new = copied(self._store.get(DEPLOYMENTS, *key(deployment)) or deployment)
        conditions = at(new, "status.conditions") or []
        new.setdefault("status", {})["conditions"] = with_condition(conditions, "Progressing", "True", reason, message)
        self._store.update(DEPLOYMENTS, new)
        self._restart_deadline(deployment)

    def _restart_deadline(self, deployment: Obj) -> None:
        seconds = deployment["spec"]["progressDeadlineSeconds"] / SQUEEZE
        timer = ("progress", deployment["metadata"]["uid"])
        self._pace.after(timer, seconds, lambda: self._write_status(key(deployment)))


def _name(obj: Obj | None) -> str:
    return obj["metadata"]["name"] if obj else ""


def _created(obj: Obj) -> tuple[str, str]:
    return obj["metadata"]["creationTimestamp"], obj["metadata"]["name"]
