"""Pods: what keeps the containers of the target from running or from being ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bot.analyzers.fields import clock, name_of, plural, short
from bot.analyzers.findings import finding
from bot.analyzers.groups import (
    Group,
    cite_events,
    cite_logs,
    groups_of,
    last_lines,
    share,
    warning,
)
from bot.analyzers.memory import oom_killed
from bot.analyzers.nodes import troubles_of
from bot.analyzers.problems import Trouble, ready, restarts
from bot.analyzers.reading import NOTHING, cite
from bot.analyzers.scene import Scene
from domain.diagnosis import Confidence, Evidence, Finding

_EXIT_CODES = {
    126: "the command cannot be executed",
    127: "the command was not found in the image",
    134: "aborted, SIGABRT",
    137: "killed, SIGKILL; the kernel did not report it as out of memory",
    139: "segmentation fault, SIGSEGV",
    143: "ended by SIGTERM",
}
_PULL_FAILURES = (
    ("the registry refuses access", ("unauthorized", "denied", "forbidden", "no basic auth")),
    ("the registry does not have it", ("not found", "notfound", "manifest unknown")),
    ("the registry does not answer", ("timeout", "connection refused", "no such host", "deadline exceeded")),
    ("the reference is malformed", ("invalid reference", "couldn't parse image", "invalidimagename")),
)
"""Words in a pull's error that say what kind of failure it was, the more specific first."""


def analyze_pods(scene: Scene) -> tuple[Finding, ...]:
    """One finding for each kind of trouble among the target's pods; a lone healthy pod is said to be so."""
    if not scene.pods.ok:
        return ()
    groups = groups_of(scene.problems())
    if not groups and scene.target.kind == "Pod":
        return _healthy(scene)
    return tuple(_ABOUT[group.trouble](scene, group) for group in groups)


def _crash_loop(scene: Scene, group: Group) -> Finding:
    message, events = warning(scene, group, "Unhealthy", "Killing", holds="liveness probe")
    if message:
        return _liveness(scene, group, message, cite_events(events, group, message))
    worst, (lines, logs) = group.worst, last_lines(scene, group)
    code = "an unknown code" if worst.exit_code is None else f"code {worst.exit_code}"
    verb = "keeps crashing" if worst.restarts > 1 else "has crashed"
    title = f"{_upper(group.called)} of {share(scene, group)} {verb} with exit {code}"
    meaning = _meaning(worst.exit_code)
    detail = (
        f"Exit {code}{meaning}, {plural(group.restarts, 'restart')} in all, last at {clock(worst.failed_at)}, "
        f"image {worst.image or 'unknown'}."
    )
    if worst.ready_between:
        detail += " It runs right now, but for less time than before its last crash."
    return finding(
        Trouble.CRASH.value,
        scene.target,
        title,
        detail + _quoted(lines),
        [_pods(scene, group, f"exit {code}, {plural(worst.restarts, 'restart')}"), cite_logs(logs, group, lines)],
        confidence=Confidence.LIKELY if lines else Confidence.NOT_PROVEN,
        hypotheses=[_from_logs(lines)],
        next_steps=["Read the last lines of the crashed container's log and what changed since it last ran."],
        **_facts(group),
    )


def _liveness(scene: Scene, group: Group, message: str, cited: tuple[Evidence, ...]) -> Finding:
    title = f"{_upper(group.called)} of {share(scene, group)} is killed by its liveness probe"
    detail = (
        f"{short(message)}. {_upper(plural(group.restarts, 'restart'))} in all, image {group.worst.image or 'unknown'}."
    )
    return finding(
        "pod.liveness_probe",
        scene.target,
        title,
        detail,
        [_pods(scene, group, message), cited],
        hypotheses=[
            (
                "The process hangs or is slower than the probe allows",
                "Compare the probe's delay with how long a start takes",
            )
        ],
        confidence=Confidence.LIKELY,
        **_facts(group),
    )


def _exited(scene: Scene, group: Group) -> Finding:
    worst, (lines, logs) = group.worst, last_lines(scene, group)
    code = "unknown" if worst.exit_code is None else str(worst.exit_code)
    what = f"{_upper(group.called)} of {share(scene, group)}" if group.container else _upper(share(scene, group))
    detail = f"Exit code {code}{_meaning(worst.exit_code)} at {clock(worst.failed_at)}, not restarted. {short(worst.message)}"
    return finding(
        Trouble.EXITED.value,
        scene.target,
        f"{what} failed with exit code {code}",
        detail.rstrip() + _quoted(lines),
        [_pods(scene, group, f"exit code {code}"), cite_logs(logs, group, lines)],
        confidence=Confidence.LIKELY if lines else Confidence.NOT_PROVEN,
        hypotheses=[_from_logs(lines)],
        **_facts(group),
    )


def _image_pull(scene: Scene, group: Group) -> Finding:
    worst = group.worst
    event, events = warning(scene, group, "Failed", holds="failed to pull")
    message = event or worst.message
    why = _pull_failure(message)
    title = f"{_upper(group.called)} cannot pull {worst.image or 'its image'}" + (f": {why}" if why else "")
    return finding(
        Trouble.IMAGE.value,
        scene.target,
        title,
        f"{worst.reason} in {share(scene, group)}, image {worst.image or 'unknown'}: {short(message, 500)}",
        [_pods(scene, group, f"{worst.reason}: {worst.message}"), cite_events(events, group, event)],
        next_steps=[
            f"Check that {worst.image or 'the image'} exists in the registry and that the namespace's pull secret may read it."
        ],
        reason=worst.reason,
        **_facts(group),
    )


def _config(scene: Scene, group: Group) -> Finding:
    worst = group.worst
    missing = short(worst.message) or "a ConfigMap, Secret or key that it names"
    return finding(
        Trouble.CONFIG.value,
        scene.target,
        f"{_upper(group.called)} cannot start: {missing}",
        f"{worst.reason} in {share(scene, group)}: {missing}",
        [_pods(scene, group, f"{worst.reason}: {missing}")],
        next_steps=[
            "Create what is missing, or correct the reference in the pod template; the kubelet retries by itself.",
            "Nothing is proposed: what belongs in it is not for the agent to invent.",
        ],
        reason=worst.reason,
        **_facts(group),
    )


def _cannot_start(scene: Scene, group: Group) -> Finding:
    worst = group.worst
    message = short(worst.message, 400) or "no reason was given"
    return finding(
        Trouble.START.value,
        scene.target,
        f"{_upper(group.called)} cannot be started: {message}",
        f"{worst.reason} in {share(scene, group)}, image {worst.image or 'unknown'}: {message}",
        [_pods(scene, group, f"{worst.reason}: {message}")],
        next_steps=["Check the command, the mounts and the security context of the container against its image."],
        reason=worst.reason,
        **_facts(group),
    )


def _unschedulable(scene: Scene, group: Group) -> Finding:
    worst = group.worst
    message, events = warning(scene, group, "FailedScheduling")
    reason = short(worst.message or message, 400) or "the scheduler gave no reason"
    return finding(
        Trouble.UNSCHEDULABLE.value,
        scene.target,
        f"{_upper(share(scene, group))} cannot be scheduled: {reason}",
        f"{worst.reason or 'Unschedulable'}: {reason}",
        [_pods(scene, group, reason), cite_events(events, group, message)],
        next_steps=[
            "Make room (add or uncordon nodes, remove other load), or change what the pods ask for.",
            "Nothing is proposed: capacity is a decision about cost that the cluster's state does not answer.",
        ],
        **_facts(group),
    )


def _evicted(scene: Scene, group: Group) -> Finding:
    message = short(group.worst.message, 400) or "no reason was given"
    about, cited = _node_words(scene, group)
    return finding(
        Trouble.EVICTED.value,
        scene.target,
        f"{_upper(share(scene, group))} evicted: {message}",
        f"Evicted from node {group.worst.node or 'unknown'}: {message}{about}",
        [_pods(scene, group, message), cited],
        next_steps=["Relieve the node, and give the pods requests that match what they use, so that others go first."],
        **_facts(group),
    )


def _terminating(scene: Scene, group: Group) -> Finding:
    about, cited = _node_words(scene, group)
    finalizers = group.worst.message
    why = f"Finalizers hold it: {finalizers}." if finalizers else "No finalizer holds it, so its node has to confirm."
    return finding(
        Trouble.TERMINATING.value,
        scene.target,
        f"{_upper(share(scene, group))} should be gone and is still terminating",
        f"Pod {group.worst.pod} on node {group.worst.node or 'unknown'}. {why}{about}",
        [_pods(scene, group, "deletionTimestamp has passed"), cited],
        next_steps=[
            "Look at the node and at the finalizers' owner before forcing anything: a forced delete can run it twice."
        ],
        **_facts(group),
    )


def _node_lost(scene: Scene, group: Group) -> Finding:
    about, cited = _node_words(scene, group)
    return finding(
        Trouble.NODE_LOST.value,
        scene.target,
        f"The node of {share(scene, group)} does not answer",
        f"Node {group.worst.node or 'unknown'}: {short(group.worst.message, 400)}{about}",
        [_pods(scene, group, group.worst.message), cited],
        next_steps=[f"Look at node {group.worst.node or 'of the pod'}."],
        **_facts(group),
    )


def _not_ready(scene: Scene, group: Group) -> Finding:
    message, events = warning(scene, group, "Unhealthy")
    lines, logs = last_lines(scene, group)
    cited = [_pods(scene, group, "Ready is False"), cite_events(events, group, message), cite_logs(logs, group, lines)]
    if not message:
        return finding(
            Trouble.NOT_READY.value,
            scene.target,
            f"{_upper(share(scene, group))} is running but not ready",
            f"{group.worst.reason or 'Not ready'}; no event says that a probe fails.{_quoted(lines)}",
            cited,
            confidence=Confidence.NOT_PROVEN,
            hypotheses=[
                ("It is still starting, or a readiness gate is not met", "Look again, and at the pod's conditions")
            ],
            **_facts(group),
        )
    return finding(
        "pod.probe_failing",
        scene.target,
        f"{_upper(share(scene, group))} fails its probe: {message}",
        f"{short(message, 400)}{_quoted(lines)}",
        cited,
        confidence=Confidence.LIKELY,
        hypotheses=[
            ("The application does not answer where the probe asks", "Compare the probe's path and port with its own"),
            (
                "Something that the application needs does not answer",
                "Read its log for refused connections and timeouts",
            ),
        ],
        **_facts(group),
    )


def _starting(scene: Scene, group: Group) -> Finding:
    for code, reasons, what in (
        ("pod.mount_failed", ("FailedMount", "FailedAttachVolume", "FailedMapVolume"), "cannot get its volumes"),
        ("pod.sandbox_failed", ("FailedCreatePodSandBox",), "cannot get its network or sandbox"),
    ):
        message, events = warning(scene, group, *reasons)
        if message:
            return finding(
                code,
                scene.target,
                f"{_upper(share(scene, group))} {what}: {message}",
                short(message, 500),
                [_pods(scene, group, "Pending"), cite_events(events, group, message)],
                next_steps=["Correct what the message names; the kubelet retries by itself."],
                **_facts(group),
            )
    return finding(
        Trouble.STARTING.value,
        scene.target,
        f"{_upper(share(scene, group))} is still starting",
        "Pending, and no event says that anything failed.",
        [_pods(scene, group, "Pending")],
        confidence=Confidence.NOT_PROVEN,
        next_steps=["Look again in a minute."],
        **_facts(group),
    )


def _healthy(scene: Scene) -> tuple[Finding, ...]:
    own = scene.own_pods()
    if not own or not all(ready(pod) for pod in own):
        return ()
    times = restarts(own[0])
    return (
        finding(
            "pod.healthy",
            scene.target,
            f"Pod {scene.target.name} is ready",
            f"Ready, {plural(times, 'restart')}. Nothing is proposed: nothing is broken now.",
            [cite(scene.pods, f"pod {name_of(own[0])}", "Ready is True")],
            healthy=True,
            restarts=times,
        ),
    )


def _facts(group: Group) -> dict[str, Any]:
    worst = group.worst
    facts: dict[str, Any] = {
        "pods": sorted({problem.pod for problem in group.problems})[:10],
        "restarts": group.restarts,
    }
    if group.container:
        facts |= {"container": group.container, "image": worst.image, "init": worst.init}
    if worst.exit_code is not None:
        facts["exit_code"] = worst.exit_code
    return facts


def _pods(scene: Scene, group: Group, excerpt: str) -> tuple[Evidence, ...]:
    return cite(scene.pods, f"status of pod {group.worst.pod}", excerpt)


def _node_words(scene: Scene, group: Group) -> tuple[str, tuple[Evidence, ...]]:
    reading = scene.nodes.get(group.worst.node, NOTHING)
    troubles = troubles_of(reading.data) if reading.ok else ()
    if not troubles:
        return "", ()
    words = "; ".join(f"{trouble.kind}: {short(trouble.message)}" for trouble in troubles)
    return f" Node {group.worst.node} reports {words}", cite(reading, f"conditions of node {group.worst.node}", words)


def _pull_failure(message: str) -> str:
    said = message.lower()
    return next((words for words, signs in _PULL_FAILURES if any(sign in said for sign in signs)), "")


def _quoted(lines: list[str]) -> str:
    return "\nLast log lines:\n" + "\n".join(short(line) for line in lines) if lines else ""


def _from_logs(lines: list[str]) -> tuple[str, str]:
    if not lines:
        return (
            "The reason is in the application's own log, which could not be read",
            "Read the crashed container's log",
        )
    return (f"What its last line says: {short(lines[-1])}", "Check that line against the code and the configuration")


def _meaning(code: int | None) -> str:
    if code == 0:
        return " (it ends without an error, though it should stay up)"
    return f" ({_EXIT_CODES[code]})" if code in _EXIT_CODES else ""


def _upper(words: str) -> str:
    return words[:1].upper() + words[1:]


_ABOUT: Mapping[Trouble, Callable[[Scene, Group], Finding]] = {
    Trouble.OOM: oom_killed,
    Trouble.CRASH: _crash_loop,
    Trouble.EXITED: _exited,
    Trouble.IMAGE: _image_pull,
    Trouble.CONFIG: _config,
    Trouble.START: _cannot_start,
    Trouble.UNSCHEDULABLE: _unschedulable,
    Trouble.EVICTED: _evicted,
    Trouble.TERMINATING: _terminating,
    Trouble.NODE_LOST: _node_lost,
    Trouble.NOT_READY: _not_ready,
    Trouble.STARTING: _starting,
}
