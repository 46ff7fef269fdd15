"""Running pods and their containers as the node sees them, and the PodStatus that follows from that."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from bot.local.cluster.behaviour import Behaviour, Process
from bot.local.cluster.objects import qos
from bot.local.cluster.pace import timestamp
from bot.local.cluster.resources import Obj
from bot.local.cluster.store import at


@dataclass(slots=True)
class Container:
    """One container of a running pod, as its runtime sees it."""

    spec: Obj
    behaviour: Behaviour
    init: bool
    state: Obj
    last: Obj = field(default_factory=dict)
    ready: bool = False
    restarts: int = 0
    pulls: int = 0
    process: Process | None = None
    previous: Process | None = None

    @property
    def name(self) -> str:
        name: str = self.spec["name"]
        return name

    @property
    def image(self) -> str:
        image: str = self.spec["image"]
        return image

    @property
    def field_path(self) -> str:
        return f"spec.{'initContainers' if self.init else 'containers'}{{{self.name}}}"


@dataclass(slots=True)
class Run:
    """A pod on its node."""

    pod: Obj
    started: datetime
    address: str
    containers: list[Container]
    stopping: bool = False

    @property
    def uid(self) -> str:
        uid: str = self.pod["metadata"]["uid"]
        return uid

    @property
    def mains(self) -> list[Container]:
        return [c for c in self.containers if not c.init]

    @property
    def inits(self) -> list[Container]:
        return [c for c in self.containers if c.init]


def pod_status(run: Run, before: Obj) -> Obj:
    """The whole PodStatus. Conditions keep their transition time while their status stays."""
    host = f"10.0.0.{sum(run.pod['spec']['nodeName'].encode()) % 200 + 10}"
    status: Obj = {
        "phase": _phase(run),
        "conditions": _conditions(run, before),
        "hostIP": host,
        "hostIPs": [{"ip": host}],
        "podIP": run.address,
        "podIPs": [{"ip": run.address}],
        "startTime": timestamp(run.started),
        "qosClass": qos(run.pod["spec"]),
        "containerStatuses": [_container(run, c) for c in run.mains],
    }
    if run.inits:
        status["initContainerStatuses"] = [_container(run, c) for c in run.inits]
    return status


def _phase(run: Run) -> str:
    if any(not c.last and ("waiting" in c.state) for c in run.mains):
        return "Pending"
    codes = [at(c.state, "terminated.exitCode") for c in run.mains]
    if any(code is None for code in codes) or run.pod["spec"].get("restartPolicy") == "Always":
        return "Running"
    if run.pod["spec"].get("restartPolicy") == "OnFailure" and any(codes):
        return "Running"
    return "Failed" if any(codes) else "Succeeded"


def _conditions(run: Run, before: Obj) -> list[Obj]:
    unready = [c.name for c in run.mains if not c.ready]
    why = {"reason": "ContainersNotReady", "message": f"containers with unready status: [{' '.join(unready)}]"}
    waiting = [c.name for c in run.inits if at(c.state, "terminated.exitCode") != 0 and not c.ready]
    init_why = {
        "reason": "ContainersNotInitialized",
        "message": f"containers with incomplete status: [{' '.join(waiting)}]",
    }
    return [
        _condition(before, "PodReadyToStartContainers", {}),
        _condition(before, "Initialized", init_why if waiting else {}),
        _condition(before, "Ready", why if unready else {}),
        _condition(before, "ContainersReady", why if unready else {}),
        _condition(before, "PodScheduled", {}),
    ]


def _condition(before: Obj, type_: str, why: Obj) -> Obj:
    status = "False" if why else "True"
    old: Obj = next((c for c in before.get("conditions") or () if c["type"] == type_), {})
    since = old.get("lastTransitionTime") if old.get("status") == status else None
    common = {"type": type_, "status": status, "lastProbeTime": None, "lastTransitionTime": since or timestamp()}
    return common | why


def _container(run: Run, c: Container) -> Obj:
    digest = hashlib.sha256(c.image.encode()).hexdigest()
    status = {
        "name": c.name,
        "image": c.image,
        "imageID": f"{c.image.partition(':')[0]}@sha256:{digest}" if c.last or "waiting" not in c.state else "",
        "ready": c.ready,
        "started": "running" in c.state,
        "restartCount": c.restarts,
        "state": c.state,
        "lastState": c.last,
    }
    if c.last or "waiting" not in c.state:
        status["containerID"] = f"containerd://{run.pod['metadata']['uid']}{c.restarts:04d}"
    return status
