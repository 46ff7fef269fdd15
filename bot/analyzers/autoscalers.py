"""Autoscalers and disruption budgets: what keeps them from scaling or from letting a pod go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.analyzers.fields import at, condition, count, items, number, plural, short, text
from bot.analyzers.findings import finding
from bot.analyzers.reading import cite
from bot.analyzers.scene import Scene
from domain.diagnosis import Confidence, Finding


def analyze_autoscalers(scene: Scene) -> tuple[Finding, ...]:
    """A HorizontalPodAutoscaler or a PodDisruptionBudget, where it is what is asked about."""
    if not scene.workload.ok:
        return ()
    if scene.target.kind == "HorizontalPodAutoscaler":
        return (_autoscaler(scene, scene.workload.data),)
    return (_budget(scene, scene.workload.data),) if scene.target.kind == "PodDisruptionBudget" else ()


def _autoscaler(scene: Scene, data: Any) -> Finding:
    able, active, limited = (condition(data, kind) for kind in ("AbleToScale", "ScalingActive", "ScalingLimited"))
    if text(able, "status") == "False":
        return _unable(scene, data, able)
    # scaled to zero is how an autoscaler is switched off, not a failure of it
    if text(active, "status") == "False" and text(active, "reason") != "ScalingDisabled":
        return _blind(scene, active)
    # limited from below is an autoscaler at rest
    if text(limited, "status") == "True" and text(limited, "reason") == "TooManyReplicas":
        return _at_maximum(scene, data)
    now, low, high = _replicas(data)
    return finding(
        "autoscaler.healthy",
        scene.target,
        f"HorizontalPodAutoscaler {scene.target.name} scales: {now} pods, {low} to {high} allowed",
        f"{_metrics(data) or 'No metric is told.'} At its minimum it rests. Nothing is proposed: nothing is broken now.",
        [cite(scene.workload, f"HorizontalPodAutoscaler {scene.target.name}", f"{now} of {low} to {high}")],
        healthy=True,
    )


def _replicas(data: Any) -> tuple[int, int, int]:
    lowest = number(data, "spec", "minReplicas")
    return count(data, "status", "currentReplicas"), 1 if lowest is None else lowest, count(data, "spec", "maxReplicas")


def _scaled(data: Any) -> str:
    return f"{text(data, 'spec', 'scaleTargetRef', 'kind')} {text(data, 'spec', 'scaleTargetRef', 'name')}"


def _unable(scene: Scene, data: Any, able: Mapping[str, Any]) -> Finding:
    message = short(text(able, "message"), 300) or text(able, "reason")
    return finding(
        "autoscaler.cannot_scale",
        scene.target,
        f"HorizontalPodAutoscaler {scene.target.name} cannot scale {_scaled(data)}: {message}",
        f"AbleToScale is False, {text(able, 'reason')}: {message}. spec.scaleTargetRef is {_scaled(data)}.",
        [cite(scene.workload, "condition AbleToScale", message)],
        next_steps=["Correct scaleTargetRef, or bring back what it names."],
        target_ref=_scaled(data),
    )


def _blind(scene: Scene, active: Mapping[str, Any]) -> Finding:
    message = short(text(active, "message"), 400) or text(active, "reason")
    step = (
        "Give every container of the pods a request for that resource."
        if "missing request" in message
        else "Look at metrics-server or the metrics adapter: it is what the autoscaler asks."
    )
    return finding(
        "autoscaler.no_metrics",
        scene.target,
        f"HorizontalPodAutoscaler {scene.target.name} gets no metrics: {message}",
        f"ScalingActive is False, {text(active, 'reason')}: {message}. Until then the number of pods stays as it is.",
        [cite(scene.workload, "condition ScalingActive", message)],
        next_steps=[step],
        reason=text(active, "reason"),
    )


def _at_maximum(scene: Scene, data: Any) -> Finding:
    now, _, high = _replicas(data)
    measured = _metrics(data)
    return finding(
        "autoscaler.at_maximum",
        scene.target,
        f"HorizontalPodAutoscaler {scene.target.name} is at its maximum: {now} of maxReplicas {high}",
        f"It wants more pods of {_scaled(data)} than maxReplicas {high} allows. {measured}".rstrip(),
        [cite(scene.workload, "condition ScalingLimited", f"TooManyReplicas; {measured}")],
        next_steps=[
            "Find out why there is so much load before the maximum is raised.",
            "Nothing is proposed: more pods are a decision about cost.",
        ],
        maximum=high,
    )


def _metrics(data: Any) -> str:
    """`cpu 96 % of 70 % wanted`."""
    wanted = {
        text(one, "resource", "name"): number(one, "resource", "target", "averageUtilization")
        for one in items(data, "spec", "metrics")
    }
    told = [
        f"{name} {used} % of {wanted[name]} % wanted"
        for one in items(data, "status", "currentMetrics")
        if (name := text(one, "resource", "name"))
        and (used := number(one, "resource", "current", "averageUtilization")) is not None
        and wanted.get(name) is not None
    ]
    return f"Measured: {', '.join(told)}." if told else ""


def _budget(scene: Scene, data: Any) -> Finding:
    allowed, expected = count(data, "status", "disruptionsAllowed"), count(data, "status", "expectedPods")
    healthy, wanted = count(data, "status", "currentHealthy"), count(data, "status", "desiredHealthy")
    field = "maxUnavailable" if at(data, "spec", "maxUnavailable") is not None else "minAvailable"
    rule = f"{field} {at(data, 'spec', field)}"
    state = f"{healthy} of {plural(expected, 'pod')} healthy, {wanted} have to be"
    cited = [cite(scene.workload, f"PodDisruptionBudget {scene.target.name}", f"{rule}; {state}")]
    name = f"PodDisruptionBudget {scene.target.name}"
    if not expected:
        return finding(
            "budget.selects_nothing",
            scene.target,
            f"{name} selects no pods, so it protects nothing",
            f"{rule}, and its selector matches no pod.",
            cited,
            next_steps=["Compare its selector with the pods' labels."],
        )
    if not allowed and healthy < wanted:
        return finding(
            "budget.unhealthy_pods",
            scene.target,
            f"{name} lets no pod go: {state} ({rule})",
            f"{rule}: {state}. A drain of their nodes waits until the pods are healthy again.",
            cited,
            confidence=Confidence.LIKELY,
            next_steps=["Look at why the pods are not healthy; the budget does what it is for."],
        )
    if not allowed and wanted >= expected:
        return finding(
            "budget.never_allows",
            scene.target,
            f"{name} can never let a pod go: {rule} of {plural(expected, 'pod')}",
            f"All pods are healthy, and {rule} still allows no disruption: no node under them can be drained.",
            cited,
            next_steps=["Run one pod more than the budget keeps, or allow one to be unavailable."],
        )
    return finding(
        "budget.healthy",
        scene.target,
        f"{name} allows {plural(allowed, 'disruption')}: {state}",
        f"{rule}: {state}. Nothing is proposed: nothing is broken now.",
        cited,
        healthy=True,
    )
