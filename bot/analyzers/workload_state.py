"""The state of a workload beside its pods' troubles: what its conditions say, how many pods are ready, or that it is well."""

from __future__ import annotations

from typing import Any

from bot.analyzers.fields import clock, condition, mapping, number, plural, short, text, when
from bot.analyzers.findings import finding
from bot.analyzers.groups import Group, telling
from bot.analyzers.problems import Trouble, last_crash, restarts
from bot.analyzers.reading import NOTHING, cite
from bot.analyzers.refused import refusals_of
from bot.analyzers.scene import Scene
from bot.analyzers.workloads import Counts, counts_of
from domain.diagnosis import Confidence, Evidence, Finding

MAY_PASS = frozenset({Trouble.NOT_READY, Trouble.STARTING, Trouble.UNSCHEDULABLE})
"""Troubles that a pod may come out of by itself."""

_IN_PROGRESS = frozenset({"ReplicaSetUpdated", "NewReplicaSetCreated", "FoundNewReplicaSet"})


def state_of(scene: Scene, groups: tuple[Group, ...]) -> list[Finding]:
    """What the workload's own status says; that it is healthy only where nothing else is to be said."""
    checks = (_cannot_create, _stalled, _paused, _not_observed)
    found = [said for check in checks if (said := check(scene))]
    have = counts_of(scene.workload.data)
    if have.desired == 0:
        return [*found, _scaled_to_zero(scene)]
    if have.ready < have.desired:
        return [*found, _incomplete(scene, groups, have)]
    return found if groups or found else [_whole(scene, have)]


def deadline_exceeded(workload: Any) -> bool:
    """Whether a rollout ran out of its own time."""
    return text(condition(workload, "Progressing"), "reason") == "ProgressDeadlineExceeded"


def _cited(scene: Scene, excerpt: str = "") -> tuple[Evidence, ...]:
    return cite(scene.workload, f"status of {scene.target.kind} {scene.target.name}", excerpt)


def _cannot_create(scene: Scene) -> Finding | None:
    failure = condition(scene.workload.data, "ReplicaFailure")
    if text(failure, "status") != "True" or refusals_of(scene):
        return None
    message = short(text(failure, "message"), 400) or text(failure, "reason")
    return finding(
        "deployment.cannot_create_pods",
        scene.target,
        f"{scene.target.name} cannot create pods: {message}",
        f"{text(failure, 'reason')}: {message}",
        [cite(scene.workload, "condition ReplicaFailure", message)],
        next_steps=["Correct what the message names: a quota, an admission rule or a service account."],
    )


def _stalled(scene: Scene) -> Finding | None:
    if not deadline_exceeded(scene.workload.data):
        return None
    progressing = condition(scene.workload.data, "Progressing")
    message = short(text(progressing, "message"), 400)
    return finding(
        "deployment.progress_deadline",
        scene.target,
        f"The rollout of {scene.target.name} made no progress in its time",
        f"{message or 'ProgressDeadlineExceeded'} Last progress {clock(when(progressing, 'lastUpdateTime'))}.",
        [cite(scene.workload, "condition Progressing", message)],
        confidence=Confidence.NOT_PROVEN,
    )


def _paused(scene: Scene) -> Finding | None:
    if mapping(scene.workload.data, "spec").get("paused") is not True:
        return None
    return finding(
        "deployment.paused",
        scene.target,
        f"{scene.target.name} is paused: changes to it are not rolled out",
        "spec.paused is true. Somebody paused it; resuming is theirs to decide.",
        [_cited(scene, "paused: true")],
        next_steps=[f"Ask who paused it, then: kubectl rollout resume deployment/{scene.target.name}."],
    )


def _not_observed(scene: Scene) -> Finding | None:
    seen = number(scene.workload.data, "status", "observedGeneration")
    wanted = number(scene.workload.data, "metadata", "generation")
    if seen is None or wanted is None or seen >= wanted:
        return None
    return finding(
        "deployment.not_observed",
        scene.target,
        f"The controller has not acted on the newest change of {scene.target.name}",
        f"Generation {wanted} is wanted, {seen} was observed: what the status says is about the one before.",
        [_cited(scene, f"observed generation {seen} of {wanted}")],
        next_steps=["Look again; if it stays so, look at kube-controller-manager."],
    )


def _scaled_to_zero(scene: Scene) -> Finding:
    if scene.target.kind == "DaemonSet":
        return _nowhere(scene)
    return finding(
        "deployment.scaled_to_zero",
        scene.target,
        f"{scene.target.name} is scaled to 0, so no pod of it runs",
        "spec.replicas is 0. Whether that is meant cannot be told from the cluster.",
        [_cited(scene, "0 replicas wanted")],
        next_steps=["Ask who scaled it down; an autoscaler at 0 needs its own look."],
    )


def _nowhere(scene: Scene) -> Finding:
    return finding(
        "daemon_set.no_nodes",
        scene.target,
        f"DaemonSet {scene.target.name} wants no pod on any node",
        "desiredNumberScheduled is 0: no node fits its selector, affinity and tolerations. "
        "Whether that is meant cannot be told.",
        [_cited(scene, "0 pods wanted")],
        next_steps=["Compare its nodeSelector and tolerations with the nodes' labels and taints."],
    )


def _incomplete(scene: Scene, groups: tuple[Group, ...], have: Counts) -> Finding:
    progress = text(condition(scene.workload.data, "Progressing"), "reason")
    rolling = progress in _IN_PROGRESS and all(group.trouble in MAY_PASS for group in groups)
    words = "is still rolling out" if rolling else "is short of pods"
    return finding(
        "deployment.rolling_out" if rolling else "deployment.unready_pods",
        scene.target,
        f"{scene.target.name} {words}: {have.ready} of {have.desired} pods ready",
        f"Ready {have.ready}, wanted {have.desired}, of the newest revision {have.updated}, in all {have.total}.",
        [_cited(scene, f"{have.ready} of {have.desired} ready")],
        confidence=Confidence.NOT_PROVEN,
        hypotheses=[("The missing pods are still starting", "Look again in a minute, and at the namespace's events")],
    )


def _whole(scene: Scene, have: Counts) -> Finding:
    pods, target = scene.own_pods, scene.target
    crash, times = last_crash(pods, scene.now), sum(map(restarts, pods))
    since = clock(when(condition(scene.workload.data, "Available"), "lastTransitionTime"))
    state = f"{have.ready} of {have.desired} pods ready"
    cited = [
        cite(scene.workload, f"status of {target.kind} {target.name}", state),
        cite(scene.pods, "pods", f"{plural(times, 'restart')}") if times else (),
    ]
    if crash is None:
        return finding(
            "deployment.healthy",
            target,
            f"{target.name} is healthy: {state}",
            f"Available since {since}, {plural(times, 'restart')}. Nothing is proposed: nothing is broken now.",
            cited,
            healthy=True,
            restarts=times,
        )
    lines = telling(scene.logs.get((crash.pod, crash.container), NOTHING))
    said = f" Its last words before that: “{short(lines[-1])}”." if lines else ""
    code = "unknown" if crash.exit_code is None else str(crash.exit_code)
    return finding(
        "deployment.recovered",
        target,
        f"{target.name} has recovered by itself: {state}",
        f"Container {crash.container} last ended at {clock(crash.ended_at)} ({crash.reason or 'ended'}, exit code {code}) and "
        f"has run since {clock(crash.runs_since)}; {plural(times, 'restart')} in all.{said} "
        "Nothing is proposed: nothing is broken now.",
        [
            *cited,
            cite(scene.logs.get((crash.pod, crash.container), NOTHING), f"logs of {crash.pod}", " | ".join(lines)),
        ],
        healthy=True,
        confidence=Confidence.NOT_PROVEN,
        hypotheses=[
            ("Why it crashed is not proven; what it needs may have been away", "Read its log and its neighbours'")
        ],
        restarts=times,
    )
