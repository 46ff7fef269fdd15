"""A namespace as a whole: still being deleted, or which of its workloads lack pods."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from bot.analyzers.fields import clock, items, name_of, plural, short, text, when
from bot.analyzers.findings import finding
from bot.analyzers.reading import cite, objects, whole
from bot.analyzers.scene import Scene
from bot.analyzers.workloads import counts_of
from domain.diagnosis import Finding

_KINDS = ("Deployment", "StatefulSet", "DaemonSet")


def analyze_namespaces(scene: Scene) -> tuple[Finding, ...]:
    """The namespace that is asked about; which of its workloads is ill has findings of its own."""
    if scene.target.kind != "Namespace":
        return ()
    deleted = when(scene.workload.data, "metadata", "deletionTimestamp") if scene.workload.ok else None
    return (_terminating(scene, deleted),) if deleted else _workloads(scene)


def _terminating(scene: Scene, deleted: datetime) -> Finding:
    failing = [item for item in items(scene.workload.data, "status", "conditions") if text(item, "status") == "True"]
    said = "; ".join(f"{text(item, 'type')}: {short(text(item, 'message'), 250)}" for item in failing)
    return finding(
        "namespace.terminating",
        scene.target,
        f"Namespace {scene.target.name} is still being deleted: {said or 'nothing says what holds it'}",
        f"Deleted {clock(deleted)}. {said}",
        [cite(scene.workload, f"Namespace {scene.target.name}", said or "deletionTimestamp")],
        next_steps=[
            "Look at the named objects and at what should remove their finalizers, or at the API that is down."
        ],
    )


def _workloads(scene: Scene) -> tuple[Finding, ...]:
    """That every workload has its pods; where one lacks some, or not all could be listed, nothing."""
    lists = [scene.near(kind) for kind in _KINDS]
    found: list[tuple[str, Mapping[str, Any]]] = [
        (kind, item) for kind, listed in zip(_KINDS, lists, strict=True) for item in objects(listed) if name_of(item)
    ]
    if not all(map(whole, lists)) or any(counts_of(item).ready < counts_of(item).desired for _, item in found):
        return ()
    idle = [f"{kind} {name_of(item)}" for kind, item in found if counts_of(item).desired == 0]
    rest = f"; {len(idle)} scaled to 0" if idle else ""
    more = f" Scaled to 0: {', '.join(idle[:8])}." if idle else ""
    return (
        finding(
            "namespace.healthy",
            scene.target,
            f"Every workload of namespace {scene.target.name} has its pods ready{rest}",
            f"{plural(len(found), 'workload')} looked at.{more} Nothing is proposed: nothing is broken now.",
            [cite(listed, f"the {kind}s of the namespace") for kind, listed in zip(_KINDS, lists, strict=True)],
            healthy=True,
            idle=idle[:20],
        ),
    )
