"""Pods that do not get to run: no node, no volumes, no image, no configuration, or a container that cannot be started."""

from __future__ import annotations

from bot.analyzers.fields import sentence, short
from bot.analyzers.findings import finding
from bot.analyzers.groups import Group, cite_events, cite_logs, cite_pod, facts_of, last_lines, share, warning
from bot.analyzers.problems import Trouble
from bot.analyzers.scene import Scene
from domain.diagnosis import Confidence, Finding

_PULL_FAILURES = (
    ("the registry refuses access", ("unauthorized", "denied", "forbidden", "no basic auth")),
    ("the registry does not have it", ("not found", "notfound", "manifest unknown")),
    ("the registry does not answer", ("timeout", "connection refused", "no such host", "deadline exceeded")),
    ("the reference is malformed", ("invalid reference", "couldn't parse image", "invalidimagename")),
)
"""Words in a pull's error that say what kind of failure it was, the more specific first."""


def image_pull(scene: Scene, group: Group) -> Finding:
    """The image, and what kind of failure its pull was."""
    worst = group.worst
    event, events = warning(scene, group, "Failed", holds="failed to pull")
    message = event or worst.message
    why = _pull_failure(message)
    title = f"{sentence(group.called)} cannot pull {worst.image or 'its image'}" + (f": {why}" if why else "")
    return finding(
        Trouble.IMAGE.value,
        scene.target,
        title,
        f"{worst.reason} in {share(scene, group)}, image {worst.image or 'unknown'}: {short(message, 500)}",
        [cite_pod(scene, group, f"{worst.reason}: {worst.message}"), cite_events(events, group, event)],
        next_steps=[
            f"Check that {worst.image or 'the image'} exists in the registry and that the namespace's pull secret may read it."
        ],
        reason=worst.reason,
        **facts_of(group),
    )


def config_missing(scene: Scene, group: Group) -> Finding:
    """A ConfigMap, Secret or key that is not there."""
    worst = group.worst
    missing = short(worst.message) or "a ConfigMap, Secret or key that it names"
    return finding(
        Trouble.CONFIG.value,
        scene.target,
        f"{sentence(group.called)} cannot start: {missing}",
        f"{worst.reason} in {share(scene, group)}: {missing}",
        [cite_pod(scene, group, f"{worst.reason}: {missing}")],
        next_steps=[
            "Create what is missing, or correct the reference in the pod template; the kubelet retries by itself.",
            "Nothing is proposed: what belongs in it is not for the agent to invent.",
        ],
        reason=worst.reason,
        **facts_of(group),
    )


def cannot_start(scene: Scene, group: Group) -> Finding:
    """The container runtime refuses to start it."""
    worst = group.worst
    message = short(worst.message, 400) or "no reason was given"
    return finding(
        Trouble.START.value,
        scene.target,
        f"{sentence(group.called)} cannot be started: {message}",
        f"{worst.reason} in {share(scene, group)}, image {worst.image or 'unknown'}: {message}",
        [cite_pod(scene, group, f"{worst.reason}: {message}")],
        next_steps=["Check the command, the mounts and the security context of the container against its image."],
        reason=worst.reason,
        **facts_of(group),
    )


def unschedulable(scene: Scene, group: Group) -> Finding:
    """The scheduler's own reason."""
    worst = group.worst
    message, events = warning(scene, group, "FailedScheduling")
    reason = short(worst.message or message, 400) or "the scheduler gave no reason"
    return finding(
        Trouble.UNSCHEDULABLE.value,
        scene.target,
        f"{sentence(share(scene, group))} cannot be scheduled: {reason}",
        f"{worst.reason or 'Unschedulable'}: {reason}",
        [cite_pod(scene, group, reason), cite_events(events, group, message)],
        next_steps=[
            "Make room (add or uncordon nodes, remove other load), or change what the pods ask for.",
            "Nothing is proposed: capacity is a decision about cost that the cluster's state does not answer.",
        ],
        **facts_of(group),
    )


def starting(scene: Scene, group: Group) -> Finding:
    """What its events say that it waits for, else that nothing says that anything failed."""
    for code, reasons, what in (
        ("pod.mount_failed", ("FailedMount", "FailedAttachVolume", "FailedMapVolume"), "cannot mount the volumes"),
        ("pod.sandbox_failed", ("FailedCreatePodSandBox",), "cannot get a sandbox"),
    ):
        message, events = warning(scene, group, *reasons)
        if message:
            return finding(
                code,
                scene.target,
                f"{sentence(share(scene, group))} {what}: {message}",
                short(message, 500),
                [cite_pod(scene, group, "Pending"), cite_events(events, group, message)],
                next_steps=["Correct what the message names; the kubelet retries by itself."],
                **facts_of(group),
            )
    if group.container:
        return _initializing(scene, group)
    return finding(
        Trouble.STARTING.value,
        scene.target,
        f"{sentence(share(scene, group))} still starting",
        "Pending, and no event says that anything failed.",
        [cite_pod(scene, group, "Pending")],
        confidence=Confidence.NOT_PROVEN,
        next_steps=["Look again in a minute."],
        **facts_of(group),
    )


def _initializing(scene: Scene, group: Group) -> Finding:
    lines, logs = last_lines(scene, group)
    said = f" Its last words: “{short(lines[-1])}”." if lines else ""
    return finding(
        "pod.initializing",
        scene.target,
        f"{sentence(share(scene, group))} waiting for its {group.called}, which still runs",
        f"The containers start once {group.called} has ended; image {group.worst.image or 'unknown'}.{said}",
        [cite_pod(scene, group, f"{group.called} is running"), cite_logs(logs, group, lines)],
        confidence=Confidence.LIKELY if lines else Confidence.NOT_PROVEN,
        hypotheses=[("It waits for something that is not there yet", "Check what its last line names")],
        next_steps=[f"Look at what {group.called} waits for."],
        **facts_of(group),
    )


def _pull_failure(message: str) -> str:
    said = message.lower()
    return next((words for words, signs in _PULL_FAILURES if any(sign in said for sign in signs)), "")
