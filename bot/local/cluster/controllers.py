"""The controller manager: notes what a change concerns and reconciles it once the change's caller has its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bot.local.cluster.deployments import Deployments
from bot.local.cluster.endpoints import Endpoints
from bot.local.cluster.garbage import Garbage
from bot.local.cluster.jobs import Jobs
from bot.local.cluster.objects import Objects
from bot.local.cluster.pace import Pace
from bot.local.cluster.recorder import Recorder
from bot.local.cluster.replicasets import ReplicaSets, controller_of
from bot.local.cluster.resources import BUDGETS, DAEMONSETS, NODES, PODS, SERVICES, Obj
from bot.local.cluster.selecting import object_selector
from bot.local.cluster.sets import Sets
from bot.local.cluster.store import Change, Store, at, key

Key = tuple[str, str]


class Controllers:
    """Every controller, driven by the changes of one store."""

    def __init__(self, objects: Objects, pace: Pace, recorder: Recorder) -> None:
        self._store: Store = objects.store
        self._garbage = Garbage(objects)
        endpoints, sets = Endpoints(objects.store), Sets(objects, recorder)
        self._reconcile: dict[str, Callable[[Key], None]] = {
            "Deployment": Deployments(objects, pace, recorder).reconcile,
            "ReplicaSet": ReplicaSets(objects, recorder).reconcile,
            "StatefulSet": sets.reconcile_stateful,
            "DaemonSet": sets.reconcile_daemon,
            "Job": Jobs(objects, pace, recorder).reconcile,
            "Service": endpoints.reconcile_service,
            "PodDisruptionBudget": endpoints.reconcile_budget,
        }
        # A dict keeps the order in which things were noted and each of them once.
        self._noted: dict[tuple[str, Key], None] = {}
        self._changes: list[Change] = []
        self._soon: asyncio.Handle | None = None

    def on_change(self, change: Change) -> None:
        """Notes what to look at again, and looks in the next turn of the event loop."""
        obj = change.obj
        if change.resource.kind in self._reconcile:
            self._noted[change.resource.kind, key(obj)] = None
        owner = controller_of(obj)
        if owner and owner["kind"] in self._reconcile:
            self._noted[owner["kind"], (obj["metadata"].get("namespace", ""), owner["name"])] = None
        if change.resource is PODS:
            self._note_followers(obj)
        if change.resource is NODES and change.type != "MODIFIED":
            self._noted |= {("DaemonSet", key(daemon)): None for daemon in self._store.list(DAEMONSETS)}
        if change.type == "DELETED" or obj["metadata"].get("deletionTimestamp"):
            self._changes.append(change)
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_soon(self._work)

    def close(self) -> None:
        if self._soon is not None:
            self._soon.cancel()

    def _note_followers(self, pod: Obj) -> None:
        namespace, labels = pod["metadata"]["namespace"], pod["metadata"].get("labels") or {}
        for service in self._store.list(SERVICES, namespace):
            if object_selector({"matchLabels": at(service, "spec.selector")})(labels):
                self._noted["Service", key(service)] = None
        for budget in self._store.list(BUDGETS, namespace):
            if object_selector(budget["spec"].get("selector"))(labels):
                self._noted["PodDisruptionBudget", key(budget)] = None

    def _work(self) -> None:
        """One round. What it changes is the next round's, so other work of the loop gets its turn in between."""
        self._soon = None
        changes, noted = self._changes, self._noted
        self._changes, self._noted = [], {}
        for change in changes:
            self._garbage.collect(change)
            self._garbage.again(change)
        for kind, at_ in noted:
            self._reconcile[kind](at_)
