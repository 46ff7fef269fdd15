"""Puts pods on nodes, or says why no node takes them."""

from __future__ import annotations

from collections import Counter

from bot.local.cluster.pace import Pace, timestamp
from bot.local.cluster.quantities import quantity, total
from bot.local.cluster.recorder import Recorder
from bot.local.cluster.resources import CLAIMS, NODES, PODS, Obj
from bot.local.cluster.store import Change, Store, at, copied, key

DELAY = 0.05
COMPONENT = "default-scheduler"
_DONE = ("Succeeded", "Failed")


class Scheduler:
    """Binds each pod without a node; one that fits nowhere is tried again when the cluster changes."""

    def __init__(self, store: Store, pace: Pace, recorder: Recorder) -> None:
        self._store, self._pace, self._recorder = store, pace, recorder
        self._waiting: set[tuple[str, str]] = set()

    def on_change(self, change: Change) -> None:
        if change.resource is PODS and change.type == "ADDED" and not at(change.obj, "spec.nodeName"):
            self._soon(key(change.obj))
        elif change.resource in (NODES, CLAIMS) or (change.resource is PODS and change.type == "DELETED"):
            for pod in self._waiting:
                self._soon(pod)

    def _soon(self, pod: tuple[str, str]) -> None:
        self._pace.after(("schedule", pod), DELAY, lambda: self._schedule(pod))

    def _schedule(self, at_: tuple[str, str]) -> None:
        pod = self._store.get(PODS, *at_)
        self._waiting.discard(at_)
        if pod is None or at(pod, "spec.nodeName"):
            return
        nodes, why = self._feasible(pod)
        if not nodes:
            self._waiting.add(at_)
            self._refuse(pod, why)
            return
        load = Counter(at(p, "spec.nodeName") for p in self._store.list(PODS))
        node = min(nodes, key=lambda name: (load[name], name))
        bound = copied(pod)
        bound["spec"]["nodeName"] = node
        bound["status"]["conditions"] = [_condition("True")]
        self._store.update(PODS, bound)
        message = f"Successfully assigned {at_[0]}/{at_[1]} to {node}"
        self._recorder.record(pod, "Normal", "Scheduled", message, COMPONENT)

    def _feasible(self, pod: Obj) -> tuple[list[str], str]:
        nodes = self._store.list(NODES)
        if claims := self._unbound(pod):
            return [], f"0/{len(nodes)} nodes are available: {claims}. {_preemption(len(nodes), len(nodes))}"
        refusals = {node["metadata"]["name"]: self._refusal(node, pod) for node in nodes}
        counted = Counter(why for why in refusals.values() if why)
        listed = ", ".join(f"{count} {why}" for why, count in sorted(counted.items()))
        lacking = sum(count for why, count in counted.items() if why.startswith("Insufficient"))
        text = f"0/{len(nodes)} nodes are available: {listed}. {_preemption(len(nodes), len(nodes) - lacking)}"
        return [name for name, why in refusals.items() if not why], text

    def _refusal(self, node: Obj, pod: Obj) -> str:
        """Why a node does not take a pod; empty when it does."""
        if at(node, "spec.unschedulable"):
            return "node(s) were unschedulable"
        if not any(c["type"] == "Ready" and c["status"] == "True" for c in at(node, "status.conditions") or ()):
            return "node(s) had untolerated taint {node.kubernetes.io/not-ready: }"
        wanted: dict[str, str] = at(pod, "spec.nodeSelector") or {}
        labels = node["metadata"].get("labels") or {}
        if any(labels.get(name) != value for name, value in wanted.items()):
            return "node(s) didn't match Pod's node affinity/selector"
        here = [p for p in self._store.list(PODS) if at(p, "spec.nodeName") == node["metadata"]["name"]]
        here = [p for p in here if at(p, "status.phase") not in _DONE]
        for name in ("cpu", "memory"):
            used = sum(total(p["spec"]["containers"], "requests", name) for p in here)
            free = (quantity(at(node, f"status.allocatable.{name}")) or 0.0) - used
            if total(pod["spec"]["containers"], "requests", name) > free:
                return f"Insufficient {name}"
        return "" if len(here) < int(at(node, "status.allocatable.pods") or 110) else "Too many pods"

    def _unbound(self, pod: Obj) -> str:
        for volume in at(pod, "spec.volumes") or ():
            name = at(volume, "persistentVolumeClaim.claimName")
            if not name:
                continue
            claim = self._store.get(CLAIMS, pod["metadata"]["namespace"], name)
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if at(claim, "status.phase") != "Bound":
                return "pod has unbound immediate PersistentVolumeClaims"
        return ""

    def _refuse(self, pod: Obj, why: str) -> None:
        new = copied(pod)
        new["status"]["conditions"] = [_condition("False") | {"reason": "Unschedulable", "message": why}]
        if at(pod, "status.conditions") is None or pod["status"]["conditions"][0].get("message") != why:
            self._store.update(PODS, new)
        self._recorder.record(pod, "Warning", "FailedScheduling", why, COMPONENT)


def _condition(status: str) -> Obj:
    return {"type": "PodScheduled", "status": status, "lastProbeTime": None, "lastTransitionTime": timestamp()}


def _preemption(nodes: int, hopeless: int) -> str:
    reasons = [
        f"{nodes - hopeless} No preemption victims found for incoming pod" if nodes > hopeless else "",
        f"{hopeless} Preemption is not helpful for scheduling" if hopeless else "",
    ]
    return f"preemption: 0/{nodes} nodes are available: {', '.join(r for r in reasons if r)}."
