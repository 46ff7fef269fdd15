"""Pods: what keeps the containers of the target from running or from being ready."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bot.analyzers.fields import clock, name_of, plural, sentence, short
from bot.analyzers.findings import finding
from bot.analyzers.groups import (
    Group,
    cite_events,
    cite_logs,
    cite_pod,
    facts_of,
    groups_of,
    last_lines,
    share,
    warning,
)
from bot.analyzers.memory import oom_killed
from bot.analyzers.nodes import troubles_of
from bot.analyzers.pending import cannot_start, config_missing, image_pull, starting, unschedulable
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


def analyze_pods(scene: Scene) -> tuple[Finding, ...]:
    """One finding for each kind of trouble among the target's pods; a lone healthy pod is said to be so."""
    if not scene.pods.ok:
        return ()
    groups = groups_of(scene.problems)
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
    title = f"{sentence(group.called)} of {share(scene, group)} {verb} with exit {code}"
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
        [cite_pod(scene, group, f"exit {code}, {plural(worst.restarts, 'restart')}"), cite_logs(logs, group, lines)],
        confidence=Confidence.LIKELY if lines else Confidence.NOT_PROVEN,
        hypotheses=[_from_logs(lines)],
        next_steps=["Read the last lines of the crashed container's log and what changed since it last ran."],
        **facts_of(group),
    )


def _liveness(scene: Scene, group: Group, message: str, cited: tuple[Evidence, ...]) -> Finding:
    title = f"{sentence(group.called)} of {share(scene, group)} is killed by its liveness probe"
    detail = f"{short(message)}. {sentence(plural(group.restarts, 'restart'))} in all, image {group.worst.image or 'unknown'}."
    return finding(
        "pod.liveness_probe",
        scene.target,
        title,
        detail,
        [cite_pod(scene, group, message), cited],
        hypotheses=[
            (
                "The process hangs or is slower than the probe allows",
                "Compare the probe's delay with how long a start takes",
            )
        ],
        confidence=Confidence.LIKELY,
        **facts_of(group),
    )


def _exited(scene: Scene, group: Group) -> Finding:
    worst, (lines, logs) = group.worst, last_lines(scene, group)
    code = "unknown" if worst.exit_code is None else str(worst.exit_code)
    what = f"{sentence(group.called)} of {share(scene, group)}" if group.container else sentence(share(scene, group))
    detail = f"Exit code {code}{_meaning(worst.exit_code)} at {clock(worst.failed_at)}, not restarted. {short(worst.message)}"
    return finding(
        Trouble.EXITED.value,
        scene.target,
        f"{what} failed with exit code {code}",
        detail.rstrip() + _quoted(lines),
        [cite_pod(scene, group, f"exit code {code}"), cite_logs(logs, group, lines)],
        confidence=Confidence.LIKELY if lines else Confidence.NOT_PROVEN,
        hypotheses=[_from_logs(lines)],
        **facts_of(group),
    )


def _evicted(scene: Scene, group: Group) -> Finding:
    message = short(group.worst.message, 400) or "no reason was given"
    about, cited = _node_words(scene, group)
    return finding(
        Trouble.EVICTED.value,
        scene.target,
        f"{sentence(share(scene, group))} evicted: {message}",
        f"Evicted from node {group.worst.node or 'unknown'}: {message}{about}",
        [cite_pod(scene, group, message), cited],
        next_steps=["Relieve the node, and give the pods requests that match what they use, so that others go first."],
        **facts_of(group),
    )


def _terminating(scene: Scene, group: Group) -> Finding:
    about, cited = _node_words(scene, group)
    finalizers = group.worst.message
    why = f"Finalizers hold it: {finalizers}." if finalizers else "No finalizer holds it, so its node has to confirm."
    return finding(
        Trouble.TERMINATING.value,
        scene.target,
        f"{sentence(share(scene, group))} still terminating after the grace period",
        f"Pod {group.worst.pod} on node {group.worst.node or 'unknown'}. {why}{about}",
        [cite_pod(scene, group, "deletionTimestamp has passed"), cited],
        next_steps=[
            "Look at the node and at the finalizers' owner before forcing anything: a forced delete can run it twice."
        ],
        **facts_of(group),
    )


def _node_lost(scene: Scene, group: Group) -> Finding:
    about, cited = _node_words(scene, group)
    return finding(
        Trouble.NODE_LOST.value,
        scene.target,
        f"The node of {share(scene, group)} does not answer",
        f"Node {group.worst.node or 'unknown'}: {short(group.worst.message, 400)}{about}",
        [cite_pod(scene, group, group.worst.message), cited],
        next_steps=[f"Look at node {group.worst.node or 'of the pod'}."],
        **facts_of(group),
    )


def _not_ready(scene: Scene, group: Group) -> Finding:
    message, events = warning(scene, group, "Unhealthy")
    lines, logs = last_lines(scene, group)
    cited = [
        cite_pod(scene, group, "Ready is False"),
        cite_events(events, group, message),
        cite_logs(logs, group, lines),
    ]
    if not message:
        return finding(
            Trouble.NOT_READY.value,
            scene.target,
            f"{sentence(share(scene, group))} running but not ready",
            f"{group.worst.reason or 'Not ready'}; no event says that a probe fails.{_quoted(lines)}",
            cited,
            confidence=Confidence.NOT_PROVEN,
            hypotheses=[
                ("It is still starting, or a readiness gate is not met", "Look again, and at the pod's conditions")
            ],
            **facts_of(group),
        )
    return finding(
        "pod.probe_failing",
        scene.target,
        f"{sentence(share(scene, group))} failing a probe: {message}",
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
        **facts_of(group),
    )


def _healthy(scene: Scene) -> tuple[Finding, ...]:
    own = scene.own_pods
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


def _node_words(scene: Scene, group: Group) -> tuple[str, tuple[Evidence, ...]]:
    reading = scene.nodes.get(group.worst.node, NOTHING)
    troubles = troubles_of(reading.data) if reading.ok else ()
    if not troubles:
        return "", ()
    words = "; ".join(f"{trouble.kind}: {short(trouble.message)}" for trouble in troubles)
    return f" Node {group.worst.node} reports {words}", cite(reading, f"conditions of node {group.worst.node}", words)


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


_ABOUT: Mapping[Trouble, Callable[[Scene, Group], Finding]] = {
    Trouble.OOM: oom_killed,
    Trouble.CRASH: _crash_loop,
    Trouble.EXITED: _exited,
    Trouble.IMAGE: image_pull,
    Trouble.CONFIG: config_missing,
    Trouble.START: cannot_start,
    Trouble.UNSCHEDULABLE: unschedulable,
    Trouble.EVICTED: _evicted,
    Trouble.TERMINATING: _terminating,
    Trouble.NODE_LOST: _node_lost,
    Trouble.NOT_READY: _not_ready,
    Trouble.STARTING: starting,
}
