"""Deployments and their kin: what changed between the last good and the bad revision, and what is missing to be whole."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from bot.analyzers.fields import clock, condition, mapping, number, plural, short, text, when
from bot.analyzers.findings import finding
from bot.analyzers.groups import Group, began, cite_logs, groups_of, last_lines, share, telling, warning
from bot.analyzers.memory import changed_before
from bot.analyzers.problems import Trouble, last_crash, restarts
from bot.analyzers.proposals import rollback
from bot.analyzers.reading import NOTHING, cite
from bot.analyzers.rollouts import Blame, Change, Rollout, blame, parse_history
from bot.analyzers.scene import WORKLOADS, Scene
from bot.analyzers.workloads import Counts, counts_of
from domain.diagnosis import Confidence, Finding

PATIENCE = timedelta(seconds=60)
"""How long a pod may be unready or unscheduled before its revision is blamed."""

_SHOWN_CHANGES = 3
_MAY_PASS = frozenset({Trouble.NOT_READY, Trouble.STARTING, Trouble.UNSCHEDULABLE})
_MOUNTS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
_IN_PROGRESS = frozenset({"ReplicaSetUpdated", "NewReplicaSetCreated", "FoundNewReplicaSet"})
_WHAT = {
    Trouble.CRASH: "crashes",
    Trouble.EXITED: "fails",
    Trouble.IMAGE: "cannot pull its image",
    Trouble.CONFIG: "misses its configuration",
    Trouble.START: "cannot start",
    Trouble.UNSCHEDULABLE: "cannot be scheduled",
    Trouble.NOT_READY: "does not become ready",
    Trouble.STARTING: "does not start",
}


def analyze_deployments(scene: Scene) -> tuple[Finding, ...]:
    """The rollout that explains the pods' problems, the state of the workload, or that it is well."""
    if scene.target.kind not in WORKLOADS or not scene.workload.ok:
        return ()
    groups = groups_of(scene.problems())
    found = [*_rollout(scene, groups), *_conditions(scene), *_counts(scene, groups)]
    return tuple(found)


def _rollout(scene: Scene, groups: tuple[Group, ...]) -> list[Finding]:
    rollout = parse_history(scene.history.data) if scene.history.ok else None
    verdicts = [(group, _verdict(scene, group, rollout)) for group in groups]
    blamed = [(group, verdict) for group, verdict in verdicts if isinstance(verdict, Blame)]
    memory = [group for group in groups if group.trouble is Trouble.OOM]
    if blamed and not memory:
        return [_bad_rollout(scene, *blamed[0])]
    if memory:
        return _changed_before(scene, memory[0])
    reasons = [verdict for _, verdict in verdicts if isinstance(verdict, str) and verdict]
    return [_not_blamed(scene, reasons[0])] if reasons else []


def _verdict(scene: Scene, group: Group, rollout: Rollout | None) -> Blame | str:
    """`blame`, after it is certain that the pods are not merely slow to start or waiting for a new node."""
    start = began(scene, group)
    if group.trouble in _MAY_PASS and rollout is not None:
        if group.trouble is Trouble.NOT_READY and not warning(scene, group, "Unhealthy")[0]:
            return "no event says that a probe fails"
        if group.trouble is Trouble.STARTING and not warning(scene, group, *_MOUNTS)[0]:
            return "no event says that anything failed"
        waited = scene.now - start if scene.now and start else timedelta(0)
        if waited < PATIENCE and not _deadline_exceeded(scene.workload.data):
            return f"this has lasted less than {PATIENCE.seconds} seconds and may pass by itself"
    return blame(group.problems, rollout, start)


def _deadline_exceeded(workload: Any) -> bool:
    return text(condition(workload, "Progressing"), "reason") == "ProgressDeadlineExceeded"


def _bad_rollout(scene: Scene, group: Group, found: Blame) -> Finding:
    lines, logs = last_lines(scene, group)
    good, bad = found.good, found.bad
    what = f"container {group.container} {_WHAT[group.trouble]}" if group.container else f"a pod {_WHAT[group.trouble]}"
    known = (
        f"has {plural(good.ready, 'ready pod')} right now"
        if found.proven
        else "was rolled out before; it has no pods now, so that they were ready is not proven"
    )
    why = f"Revision {good.number} ({_images(good.images)}) {known}. Changed since then: {_told(found.changes)}."
    detail = (
        f"{_upper(share(scene, group))} affected, all of revision {bad.number} "
        f"({_images(bad.images)}), started {clock(bad.created_at)}. {why}"
    )
    code = group.worst.exit_code
    seen = group.worst.reason if code is None else f"exit code {code}, {plural(group.worst.restarts, 'restart')}"
    if bad.change_cause:
        detail += f" Change cause: {bad.change_cause}."
    if lines:
        detail += f" Its last words: “{short(lines[-1])}”."
    return finding(
        "deployment.bad_rollout",
        scene.target,
        f"Revision {bad.number} of {scene.target.name} is bad: {what}",
        detail,
        [
            cite(scene.history, "rollout history", _told(found.changes)),
            cite(scene.pods, f"status of pod {group.worst.pod}", f"{seen}, revision {bad.number}"),
            cite_logs(logs, group, lines),
        ],
        proposal=rollback(scene.target, good.number, why) if scene.target.kind == "Deployment" else None,
        confidence=Confidence.PROVEN if found.proven else Confidence.LIKELY,
        next_steps=[f"Find in the change to revision {bad.number} what breaks it, before it is rolled out again."],
        revision=bad.number,
        good_revision=good.number,
        changes=[str(change) for change in found.changes[:20]],
    )


def _changed_before(scene: Scene, group: Group) -> list[Finding]:
    """A new revision before the memory ran out: told as the alternative, because raising the limit changes least."""
    found = changed_before(scene, group)
    if found is None:
        return []
    return [
        finding(
            "deployment.changed",
            scene.target,
            f"Revision {found.bad.number} came before {scene.target.name} ran out of memory",
            f"Changed since revision {found.good.number}: {_told(found.changes)}. Going back to it is the alternative.",
            [cite(scene.history, "rollout history", _told(found.changes))],
            confidence=Confidence.LIKELY,
            revision=found.bad.number,
            good_revision=found.good.number,
        )
    ]


def _not_blamed(scene: Scene, reason: str) -> Finding:
    return finding(
        "deployment.rollout_not_blamed",
        scene.target,
        "A rollback is not proposed",
        f"No rollback: {reason}.",
        [
            cite(scene.history, "rollout history", reason),
            cite(scene.workload, f"{scene.target.kind} {scene.target.name}"),
        ],
    )


def _conditions(scene: Scene) -> list[Finding]:
    workload, target, found = scene.workload.data, scene.target, []
    cited = [cite(scene.workload, f"status of {target.kind} {target.name}")]
    failure = condition(workload, "ReplicaFailure")
    if text(failure, "status") == "True":
        message = short(text(failure, "message"), 400) or text(failure, "reason")
        found.append(
            finding(
                "deployment.cannot_create_pods",
                target,
                f"{target.name} cannot create pods: {message}",
                f"{text(failure, 'reason')}: {message}",
                [cite(scene.workload, "condition ReplicaFailure", message)],
                next_steps=["Correct what the message names: a quota, an admission rule or a service account."],
            )
        )
    progressing = condition(workload, "Progressing")
    if _deadline_exceeded(workload):
        message = short(text(progressing, "message"), 400)
        found.append(
            finding(
                "deployment.progress_deadline",
                target,
                f"The rollout of {target.name} made no progress in its time",
                f"{message or 'ProgressDeadlineExceeded'} Last progress {clock(when(progressing, 'lastUpdateTime'))}.",
                [cite(scene.workload, "condition Progressing", message)],
                confidence=Confidence.NOT_PROVEN,
            )
        )
    if mapping(workload, "spec").get("paused") is True:
        found.append(
            finding(
                "deployment.paused",
                target,
                f"{target.name} is paused: changes to it are not rolled out",
                "spec.paused is true. Somebody paused it; resuming is theirs to decide.",
                cited,
                next_steps=[f"Ask who paused it, then: kubectl rollout resume deployment/{target.name}."],
            )
        )
    seen, wanted = number(workload, "status", "observedGeneration"), number(workload, "metadata", "generation")
    if seen is not None and wanted is not None and seen < wanted:
        found.append(
            finding(
                "deployment.not_observed",
                target,
                f"The controller has not acted on the newest change of {target.name}",
                f"Generation {wanted} is wanted, {seen} was observed: what the status says is about the one before.",
                cited,
                next_steps=["Look again; if it stays so, look at kube-controller-manager."],
            )
        )
    return found


def _counts(scene: Scene, groups: tuple[Group, ...]) -> list[Finding]:
    have, target = counts_of(scene.workload.data), scene.target
    cited = [cite(scene.workload, f"status of {target.kind} {target.name}", f"{have.ready} of {have.desired} ready")]
    if have.desired == 0:
        return [
            finding(
                "deployment.scaled_to_zero",
                target,
                f"{target.name} is scaled to 0, so no pod of it runs",
                "spec.replicas is 0. Whether that is meant cannot be told from the cluster.",
                cited,
                next_steps=["Ask who scaled it down; an autoscaler at 0 needs its own look."],
            )
        ]
    if have.ready < have.desired:
        rolling = text(condition(scene.workload.data, "Progressing"), "reason") in _IN_PROGRESS and all(
            group.trouble in _MAY_PASS for group in groups
        )
        code, words = (
            ("deployment.rolling_out", "is still rolling out")
            if rolling
            else ("deployment.unready_pods", "is short of pods")
        )
        return [
            finding(
                code,
                target,
                f"{target.name} {words}: {have.ready} of {have.desired} pods ready",
                f"Ready {have.ready}, wanted {have.desired}, of the newest revision {have.updated}, in all {have.total}.",
                cited,
                confidence=Confidence.NOT_PROVEN,
                hypotheses=[
                    (
                        "The missing pods are still starting",
                        "Look again in a minute, and at the namespace's events",
                    )
                ],
            )
        ]
    return [] if groups or _conditions(scene) else [_whole(scene, have)]


def _whole(scene: Scene, have: Counts) -> Finding:
    pods, target = scene.own_pods(), scene.target
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


def _told(changes: tuple[Change, ...]) -> str:
    if not changes:
        return "the pod template changed, in what is not recorded"
    more = len(changes) - _SHOWN_CHANGES
    return "; ".join(map(str, changes[:_SHOWN_CHANGES])) + (f"; and {more} more" if more > 0 else "")


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]


def _images(images: dict[str, str]) -> str:
    return ", ".join(images.values()) or "image unknown"
