"""Deployments and their kin: what changed between the last good and the bad revision, and what is missing to be whole."""

from __future__ import annotations

from datetime import timedelta

from bot.analyzers.fields import at, clock, plural, sentence, short
from bot.analyzers.findings import finding
from bot.analyzers.groups import Group, began, cite_logs, groups_of, last_lines, share, warning
from bot.analyzers.memory import changed_before
from bot.analyzers.problems import Trouble
from bot.analyzers.proposals import rollback
from bot.analyzers.reading import cite
from bot.analyzers.rollouts import Blame, Change, Rollout, blame, parse_history
from bot.analyzers.scene import WORKLOADS, Scene
from bot.analyzers.workload_state import MAY_PASS, deadline_exceeded, state_of
from domain.diagnosis import Confidence, Finding

PATIENCE = timedelta(seconds=60)
"""How long a pod may be unready or unscheduled before its revision is blamed."""

_SHOWN_CHANGES = 3
_MOUNTS = ("FailedMount", "FailedAttachVolume", "FailedMapVolume")
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
    groups = groups_of(scene.problems)
    found = [*_rollout(scene, groups), *state_of(scene, groups)]
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
    if group.trouble in MAY_PASS and rollout is not None:
        if group.trouble is Trouble.NOT_READY and not warning(scene, group, "Unhealthy")[0]:
            return "no event says that a probe fails"
        if group.trouble is Trouble.STARTING and not warning(scene, group, *_MOUNTS)[0]:
            return "no event says that anything failed"
        waited = scene.now - start if scene.now and start else timedelta(0)
        if waited < PATIENCE and not deadline_exceeded(scene.workload.data):
            return f"this has lasted less than {PATIENCE.seconds} seconds and may pass by itself"
    return blame(group.problems, rollout, start)


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
        f"{sentence(share(scene, group))} affected, all of revision {bad.number} "
        f"({_images(bad.images)}), started {clock(bad.created_at)}. {why}"
    )
    code = group.worst.exit_code
    seen = group.worst.reason if code is None else f"exit code {code}, {plural(group.worst.restarts, 'restart')}"
    if bad.change_cause and bad.change_cause != good.change_cause:  # an old cause stays on the Deployment
        detail += f" Change cause: {bad.change_cause}."
    if lines:
        detail += f" Its last words: “{short(lines[-1])}”."
    unfit = _no_rollback(scene, found)
    return finding(
        "deployment.bad_rollout",
        scene.target,
        f"Revision {bad.number} of {scene.target.name} is bad: {what}",
        f"{detail} {unfit}".rstrip(),
        [
            cite(scene.history, "rollout history", _told(found.changes)),
            cite(scene.pods, f"status of pod {group.worst.pod}", f"{seen}, revision {bad.number}"),
            cite_logs(logs, group, lines),
        ],
        proposal=None if unfit or scene.target.kind != "Deployment" else rollback(scene.target, good.number, why),
        confidence=Confidence.PROVEN if found.proven else Confidence.LIKELY,
        next_steps=[f"Find in the change to revision {bad.number} what breaks it, before it is rolled out again."],
        revision=bad.number,
        good_revision=good.number,
        changes=[str(change) for change in found.changes[:20]],
    )


def _no_rollback(scene: Scene, found: Blame) -> str:
    """Why a rollback would not help though the revision is to blame; empty where it would."""
    good, bad = found.good, found.bad
    if at(scene.workload.data, "spec", "paused") is True:
        return "Nothing is proposed: the Deployment is paused, so that no rollout would happen."
    if bad.returned and not found.proven:
        return f"Nothing is proposed: revision {bad.number} came by going back, and {good.number} is what was left."
    return ""


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
        f"No rollback: {reason}",
        f"A rollback is not proposed: {reason}.",
        [
            cite(scene.history, "rollout history", reason),
            cite(scene.workload, f"{scene.target.kind} {scene.target.name}"),
        ],
    )


def _told(changes: tuple[Change, ...]) -> str:
    if not changes:
        return "the pod template changed, in what is not recorded"
    more = len(changes) - _SHOWN_CHANGES
    return "; ".join(map(str, changes[:_SHOWN_CHANGES])) + (f"; and {more} more" if more > 0 else "")


def _images(images: dict[str, str]) -> str:
    return ", ".join(images.values()) or "image unknown"
