"""Nodes: their conditions judged by polarity, because what is healthy when True differs from condition to condition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.analyzers.fields import clock, condition, items, short, text, when
from bot.analyzers.findings import finding
from bot.analyzers.reading import NOTHING, Reading, cite
from bot.analyzers.scene import Scene
from domain.actions import Target
from domain.diagnosis import Evidence, Finding

_GOOD_WHEN_TRUE = {
    "Ready": "node.not_ready",
    "AcceleratedHardwareReady": "node.problem",
    "ContainerRuntimeReady": "node.problem",
    "KernelReady": "node.problem",
    "NetworkingReady": "node.problem",
    "StorageReady": "node.problem",
}
_BAD_WHEN_TRUE = {
    "MemoryPressure": "node.pressure",
    "DiskPressure": "node.pressure",
    "PIDPressure": "node.pressure",
    "NetworkUnavailable": "node.network_unavailable",
    "CorruptDockerOverlay2": "node.problem",
    "FrequentContainerdRestart": "node.problem",
    "FrequentDockerRestart": "node.problem",
    "FrequentKubeletRestart": "node.problem",
    "FrequentUnregisterNetDevice": "node.problem",
    "KernelDeadlock": "node.problem",
    "ReadonlyFilesystem": "node.problem",
}
"""A condition type in neither table is not judged: nobody but its author knows which value is the healthy one."""

_NEXT = {
    "node.not_ready": "Look at the machine: is it up, does its kubelet run, does it reach the API server?",
    "node.pressure": "Find what uses the resource on this node; pods without requests are evicted first.",
    "node.network_unavailable": "Look at the network plugin's pod on this node.",
    "node.problem": "Look at the node's own log for what its condition names.",
}


@dataclass(frozen=True)
class NodeTrouble:
    """One condition with the wrong value. `code` is the finding's."""

    code: str
    kind: str
    status: str
    message: str
    since: str


def troubles_of(node: Any) -> tuple[NodeTrouble, ...]:
    """The conditions of a node that have the unhealthy value."""
    found = []
    for item in items(node, "status", "conditions"):
        kind, status = text(item, "type"), text(item, "status")
        good = kind in _GOOD_WHEN_TRUE and status in {"False", "Unknown"}
        # a pressure that is Unknown only repeats that the kubelet is silent, which Ready says already
        bad = kind in _BAD_WHEN_TRUE and status == "True"
        if good or bad:
            code = _GOOD_WHEN_TRUE.get(kind) or _BAD_WHEN_TRUE[kind]
            message = text(item, "message") or text(item, "reason")
            found.append(NodeTrouble(code, kind, status, message, clock(when(item, "lastTransitionTime"))))
    return tuple(found)


def analyze_nodes(scene: Scene) -> tuple[Finding, ...]:
    """The target where it is a node, and the nodes that the target's problems point at."""
    about = [(name, reading) for name, reading in scene.nodes.items() if reading.ok]
    found = [item for name, reading in about for item in _troubles(scene, name, reading)]
    if scene.target.kind == "Node" and scene.node.ok:
        found += _troubles(scene, scene.target.name, scene.node) or _healthy(scene)
        found += _cordoned(scene)
    return tuple(found)


def _troubles(scene: Scene, name: str, reading: Reading) -> list[Finding]:
    target = Target(scene.target.system, scene.target.environment, "", "Node", name)
    return [_trouble(scene, target, trouble, reading) for trouble in troubles_of(reading.data)]


def _trouble(scene: Scene, target: Target, trouble: NodeTrouble, reading: Reading) -> Finding:
    said = short(trouble.message, 300) or "no message"
    return finding(
        trouble.code,
        target,
        f"Node {target.name}: {trouble.kind} is {trouble.status}",
        f"{trouble.kind} is {trouble.status} since {trouble.since}: {said}",
        [
            cite(reading, f"conditions of node {target.name}", f"{trouble.kind}={trouble.status}: {said}"),
            _last_warning(scene, target.name),
        ],
        next_steps=[_NEXT[trouble.code]],
        condition=trouble.kind,
        status=trouble.status,
    )


def _last_warning(scene: Scene, name: str) -> tuple[Evidence, ...]:
    reading = scene.events.get(name, NOTHING)
    warnings = [item for item in items(reading.data, "items") if text(item, "type") == "Warning"]
    if not reading.ok or not warnings:
        return ()
    newest = max(warnings, key=lambda item: text(item, "last"))
    return cite(reading, f"events of node {name}", f"{text(newest, 'reason')}: {text(newest, 'message')}")


def _cordoned(scene: Scene) -> list[Finding]:
    spec = scene.node.data.get("spec") if isinstance(scene.node.data, Mapping) else None
    if not isinstance(spec, Mapping) or spec.get("unschedulable") is not True:
        return []
    return [
        finding(
            "node.cordoned",
            scene.target,
            f"Node {scene.target.name} is cordoned: no new pods are put on it",
            "spec.unschedulable is true. Somebody set it; whether it is still wanted is theirs to say.",
            [cite(scene.node, f"node {scene.target.name}", "unschedulable: true")],
            next_steps=["Ask who cordoned it before it is uncordoned."],
        )
    ]


def _healthy(scene: Scene) -> list[Finding]:
    state = condition(scene.node.data, "Ready")
    if text(state, "status") != "True":
        return []
    return [
        finding(
            "node.healthy",
            scene.target,
            f"Node {scene.target.name} is ready and under no pressure",
            f"Ready since {clock(when(state, 'lastTransitionTime'))}. Nothing is proposed: nothing is broken now.",
            [cite(scene.node, f"conditions of node {scene.target.name}", "Ready=True")],
            healthy=True,
        )
    ]
