"""Services: whether anything stands behind them, and if not, whether the selector or the pods are at fault."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.analyzers.fields import at, items, labels, name_of, plural, text
from bot.analyzers.findings import finding
from bot.analyzers.problems import ready
from bot.analyzers.reading import cite, objects
from bot.analyzers.scene import Scene
from bot.analyzers.workloads import selector_text, selects
from domain.diagnosis import Confidence, Finding

_BEHIND = "pods that the selector matches"


def analyze_services(scene: Scene) -> tuple[Finding, ...]:
    """What a Service's traffic would find."""
    if scene.target.kind != "Service" or not scene.service.ok:
        return ()
    selector = labels(scene.service.data, "spec", "selector")
    if not selector:
        return (_not_judged(scene),)
    if not scene.pods.ok:
        return ()
    pods = [pod for pod in objects(scene.pods) if text(pod, "status", "phase") not in {"Succeeded", "Failed"}]
    if not pods:
        return (_no_pods(scene, selector),)
    behind = [pod for pod in pods if ready(pod)]
    if not behind:
        return (_none_ready(scene, len(pods)),)
    return tuple(_missing_ports(scene, behind)) or (_healthy(scene, len(behind), len(pods)),)


def _not_judged(scene: Scene) -> Finding:
    kind = text(scene.service.data, "spec", "type")
    why = (
        "is an alias for a name outside the cluster"
        if kind == "ExternalName"
        else "has no selector: its endpoints are kept by hand"
    )
    return finding(
        "service.not_judged",
        scene.target,
        f"Service {scene.target.name} {why}",
        "No pod of this cluster can be held against it.",
        [cite(scene.service, f"Service {scene.target.name}", f"type {kind or 'ClusterIP'}, no selector")],
        next_steps=["Check the address that it leads to."],
    )


def _no_pods(scene: Scene, selector: Mapping[str, str]) -> Finding:
    wanted = selector_text(scene.service.data)
    matching = [name_of(item) for item in objects(scene.siblings) if selects(selector, item)]
    near = _nearest(scene, selector)
    if matching:
        detail = f"Deployment {', '.join(matching)} would make such pods, and has none."
    elif near:
        detail = f"The nearest is Deployment {near[0]}, whose pods differ in {near[1]}."
    else:
        detail = "No Deployment of the namespace makes pods like that."
    return finding(
        "service.no_matching_pods",
        scene.target,
        f"Service {scene.target.name} selects no pods: {wanted}",
        f"The selector {wanted} matches no pod of namespace {scene.target.namespace}. {detail}",
        [
            cite(scene.service, f"Service {scene.target.name}", f"selector {wanted}"),
            cite(scene.pods, _BEHIND, "none"),
            cite(scene.siblings, "Deployments of the namespace", detail) if matching or near else (),
        ],
        next_steps=[_mend(matching, near)],
    )


def _mend(matching: list[str], near: tuple[str, str] | None) -> str:
    if matching:
        return f"Find out why Deployment {matching[0]} has no pods."
    if near:
        return "Correct the Service's selector or the pods' labels, whichever was changed last."
    return "Find out where the workload behind this Service went."


def _nearest(scene: Scene, selector: Mapping[str, str]) -> tuple[str, str] | None:
    """The Deployment that the selector was probably meant for, and the labels that differ."""
    ranked = []
    for item in objects(scene.siblings):
        made = labels(item, "spec", "template", "metadata", "labels")
        shared = sum(made.get(key) == value for key, value in selector.items())
        if shared or name_of(item) == scene.target.name:
            differs = [f"{k}={made.get(k, '(unset)')}" for k, v in sorted(selector.items()) if made.get(k) != v]
            ranked.append((-shared, name_of(item), ", ".join(differs)))
    return min(ranked)[1:] if ranked else None


def _none_ready(scene: Scene, pods: int) -> Finding:
    return finding(
        "service.no_ready_pods",
        scene.target,
        f"Service {scene.target.name} has no ready pod to send traffic to",
        f"The selector matches {plural(pods, 'pod')}, none of them ready: the Service is not at fault.",
        [cite(scene.pods, _BEHIND, f"0 of {pods} ready"), cite(scene.service, f"Service {scene.target.name}")],
        confidence=Confidence.NOT_PROVEN,
        next_steps=["Look at why the pods are not ready."],
    )


def _missing_ports(scene: Scene, pods: list[Mapping[str, Any]]) -> list[Finding]:
    """Named target ports that no ready pod has. A number need not be declared by a container, so it proves nothing."""
    named = {
        text(port, "name")
        for pod in pods
        for field in ("containers", "initContainers")
        for container in items(pod, "spec", field)
        for port in items(container, "ports")
    }
    wanted = [at(port, "targetPort") for port in items(scene.service.data, "spec", "ports")]
    missing = sorted({port for port in wanted if isinstance(port, str) and not port.isdigit() and port not in named})
    return [
        finding(
            "service.no_such_port",
            scene.target,
            f"Service {scene.target.name} targets port {port}, which no pod has",
            f"targetPort {port}; the pods name these ports: {', '.join(sorted(named - {''})) or 'none'}.",
            [cite(scene.service, f"Service {scene.target.name}", f"targetPort {port}"), cite(scene.pods, _BEHIND)],
            next_steps=["Correct the Service's targetPort or the container port's name."],
            port=port,
        )
        for port in missing
    ]


def _healthy(scene: Scene, ready_pods: int, pods: int) -> Finding:
    return finding(
        "service.healthy",
        scene.target,
        f"{ready_pods} of {plural(pods, 'pod')} behind Service {scene.target.name} ready",
        "Its selector matches pods that are ready. Nothing is proposed for the Service itself.",
        [
            cite(scene.pods, _BEHIND, f"{ready_pods} of {pods} ready"),
            cite(scene.service, f"Service {scene.target.name}"),
        ],
        healthy=ready_pods == pods,
    )
