"""What a workload's own manifest says that will hurt one day: probes, replicas, tags, rights, and drift of what runs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from bot.analyzers.drift import analyze_drift
from bot.analyzers.fields import at, condition, items, labels, mapping, number, owner_of, text
from bot.analyzers.findings import finding
from bot.analyzers.scan.inventory import WORKLOADS, Inventory, Thing
from bot.analyzers.scan.making import about
from bot.analyzers.scene import Scene
from domain.diagnosis import Finding

_TAGGED = re.compile(r"[^/]+:(?P<tag>[^/:@]+)$")
_MUTABLE = frozenset({"latest", "main", "master", "dev", "develop", "stable", "edge", "nightly", "head"})
_STRONG = frozenset({"SYS_ADMIN", "ALL", "SYS_PTRACE", "SYS_MODULE"})
_HOST = ("/", "/etc", "/proc", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/var/lib/kubelet")
_SERVED = ("Deployment", "StatefulSet")


def manifests(inventory: Inventory) -> Iterator[Finding]:
    """Every workload by its manifest."""
    for thing in inventory.of(*WORKLOADS):
        for container in thing.containers():
            yield from _tag(thing, container)
        if thing.kind != "DaemonSet":  # agents of the node itself need it
            yield from _rights(thing)
        if thing.kind in _SERVED:
            yield from _served(inventory, thing)
        if thing.kind == "Deployment":
            yield from _revisions(inventory, thing)
        yield from _digests(inventory, thing)


def _tag(thing: Thing, container: Mapping[str, Any]) -> Iterator[Finding]:
    name, image = text(container, "name"), text(container, "image")
    tag = _TAGGED.search(image)
    said = "no tag" if tag is None else f"tag {tag['tag']}"
    if image and "@" not in image and (tag is None or tag["tag"].lower() in _MUTABLE):
        yield about(
            "config.mutable_tag", thing, f"{thing.name}: image by {said}",
            f"containers[{name}].image", image, "a version or a digest",
            "What runs after the next restart is whatever the tag points at then, and a rollback cannot go back to it.",
        )  # fmt: skip


def _rights(thing: Thing) -> Iterator[Finding]:
    spec = at(thing.template, "spec")
    for switch in ("hostPID", "hostNetwork", "hostIPC"):
        if at(spec, switch) is True:
            yield _unsafe(thing, f"spec.{switch}", "true", f"It shares the node's own {switch[4:]} namespace.")
    for container in (*thing.containers(), *items(spec, "initContainers")):
        context = f"containers[{text(container, 'name')}].securityContext"
        if at(container, "securityContext", "privileged") is True:
            yield _unsafe(thing, f"{context}.privileged", "true", "Whoever gets into it has the node.")
        if strong := _strong(at(container, "securityContext", "capabilities", "add")):
            why = "With these capabilities whoever gets into it comes close to root on the node."
            yield _unsafe(thing, f"{context}.capabilities.add", ", ".join(strong), why)
    for volume in items(spec, "volumes"):
        path = text(volume, "hostPath", "path")
        if path in _HOST:
            yield _unsafe(thing, f"volumes[{text(volume, 'name')}].hostPath", path, "It can change the node itself.")


def _strong(added: Any) -> list[str]:
    """Of added capabilities those that come close to root."""
    names = {str(one).upper().removeprefix("CAP_") for one in added} if isinstance(added, list) else set()
    return sorted(_STRONG & names)


def _unsafe(thing: Thing, where: str, value: str, why: str) -> Finding:
    title = f"{thing.name}: {where.rpartition('.')[2]} {value}"
    return about("config.unsafe_context", thing, title, where, value, "(unset)", why, risk="high")


def _served(inventory: Inventory, thing: Thing) -> Iterator[Finding]:
    """A workload behind a Service: whether it can say that it is ready, and whether one of it may go."""
    services = [one for one in inventory.beside(thing, "Service") if _sends_to(one, thing)]
    if not services:
        return
    for container in thing.containers():
        if not at(container, "readinessProbe") and _answers(container, thing, services):
            yield about(
                "config.no_readiness_probe", thing, f"{thing.name}: no readiness probe",
                f"containers[{text(container, 'name')}].readinessProbe", "(unset)", "a probe",
                f"Service {services[0].name} sends it requests as soon as it has started, also while it cannot answer.",
                risk="medium",
            )  # fmt: skip
    replicas = number(thing.obj, "spec", "replicas")
    replicas = 1 if replicas is None else replicas
    if replicas == 1 and thing.kind == "Deployment" and not _meant_alone(inventory, thing):
        yield about(
            "config.single_replica", thing, f"{thing.name}: one replica behind a Service",
            "spec.replicas", "1", "2 or more",
            f"Every drained node is an outage of Service {services[0].name}.", risk="medium",
        )  # fmt: skip
    elif replicas >= 2 and "PodDisruptionBudget" in inventory.whole and not _protected(inventory, thing):
        yield about(
            "config.no_budget", thing, f"{thing.name}: no disruption budget",
            "PodDisruptionBudget", "(none)", "one with maxUnavailable 1",
            f"Draining nodes may take all of its {replicas} replicas at once.",
        )  # fmt: skip


def _sends_to(service: Thing, thing: Thing) -> bool:
    selector = labels(service.obj, "spec", "selector")
    return bool(selector) and selector.items() <= labels(thing.template, "metadata", "labels").items()


def _answers(container: Mapping[str, Any], thing: Thing, services: list[Thing]) -> bool:
    """Whether a Service's port is this container's. Where ports are not declared, only a container that is alone is certain."""
    ports = items(container, "ports")
    if not ports:
        return len(thing.containers()) == 1
    own = {number(port, "containerPort") for port in ports} | {text(port, "name") for port in ports} - {""}
    asked = [port for service in services for port in items(service.obj, "spec", "ports")]
    named = {text(port, "targetPort") for port in asked} | {number(port, "targetPort") for port in asked}
    named |= {number(port, "port") for port in asked if at(port, "targetPort") is None}
    return bool((named - {"", None}) & own)


def _meant_alone(inventory: Inventory, thing: Thing) -> bool:
    """Whether one is on purpose: it may not run twice at a time, or an autoscaler says how many there are."""
    claims = [one for one in items(thing.template, "spec", "volumes") if at(one, "persistentVolumeClaim")]
    return (
        text(thing.obj, "spec", "strategy", "type") == "Recreate"
        or bool(claims)
        or "HorizontalPodAutoscaler" not in inventory.whole
        or any(
            text(one.obj, "spec", "scaleTargetRef", "name") == thing.name
            for one in inventory.beside(thing, "HorizontalPodAutoscaler")
        )
    )


def _protected(inventory: Inventory, thing: Thing) -> bool:
    """Whether a budget is about its pods. A selector by expressions is taken to be."""
    own = labels(thing.template, "metadata", "labels")
    for budget in inventory.beside(thing, "PodDisruptionBudget"):
        selector = mapping(budget.obj, "spec", "selector")
        if items(selector, "matchExpressions") or labels(selector, "matchLabels").items() <= own.items():
            return True
    return False


def _revisions(inventory: Inventory, thing: Thing) -> Iterator[Finding]:
    """Two revisions run beside each other although no rollout is under way."""
    sets = [
        one
        for one in inventory.beside(thing, "ReplicaSet")
        if owner_of(one.obj) == ("Deployment", thing.name) and (number(one.obj, "spec", "replicas") or 0) > 0
    ]
    seen = (number(thing.obj, "status", "observedGeneration") or 0) >= (
        number(thing.obj, "metadata", "generation") or 0
    )
    over = text(condition(thing.obj, "Progressing"), "reason") in ("ProgressDeadlineExceeded", "NewReplicaSetAvailable")
    if len(sets) > 1 and ((over and seen) or at(thing.obj, "spec", "paused") is True):
        names = ", ".join(sorted(f"{one.name} ({number(one.obj, 'spec', 'replicas')})" for one in sets))
        yield about(
            "config.revision_drift", thing, f"{thing.name}: {len(sets)} revisions run beside each other",
            "ReplicaSets with replicas", names, "one",
            "No rollout is going on, so this stays: requests are answered by different versions.", risk="medium",
        )  # fmt: skip


def _digests(inventory: Inventory, thing: Thing) -> Iterator[Finding]:
    """One tag with two images, as the diagnosis judges it."""
    pods = inventory.pods_of(thing) if thing.kind != "CronJob" and "ReplicaSet" in inventory.whole else []
    if len(pods) < 2:
        return
    read = replace(pods[0].reading, data={"items": [pod.obj for pod in pods]})
    for found in analyze_drift(Scene(thing.target, workload=thing.alone(), pods=read, now=inventory.now)):
        if found.code in ("image.drift", "image.moved_tag"):
            yield finding(
                "config.image_drift",
                thing.target,
                found.title,
                f"{found.detail} Requests are answered by different builds, and nothing says which.",
                [found.evidence],
                next_steps=["Name the image by its digest and roll out once, so that every pod runs the same."],
                field=f"image {found.facts.get('image', '')}",
                value=", ".join(map(str, found.facts.get("digests", ()))),
                wanted="one digest",
                risk="medium",
            )
