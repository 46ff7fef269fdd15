"""What is wrong with a pod, as its own status says it. Pure: one pod in, problems out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from bot.analyzers.fields import condition, count, items, labels, mapping, name_of, number, text, when

LONG_RUN = timedelta(minutes=10)
"""A container that has run this long since its last crash is taken as recovered, however long it ran before."""

RECENT = timedelta(hours=1)
"""A crash longer ago than this has nothing to do with what is asked about now."""

BACK_OFF = "CrashLoopBackOff"
RESTARTED = "Restarted"
"""Our word for a container that runs again after a crash: Kubernetes has no reason for it."""

_IMAGE = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_CONFIG = frozenset({"CreateContainerConfigError"})
_START = frozenset(
    {"CreateContainerError", "RunContainerError", "PreCreateHookError", "PreStartHookError", "PostStartHookError"}
)


_TAKEN_AWAY = (
    "Evicted",
    "Terminated",
    "NodeShutdown",
    "Shutdown",
    "Preempting",
    "NodeAffinity",
    "UnexpectedAdmissionError",
)
"""Reasons of a failed pod that the kubelet or the scheduler ended; `OutOfcpu` and its like are more of them."""


class Trouble(StrEnum):
    """Kinds of problem; the value is the finding's code."""

    OOM = "pod.oom_killed"
    CRASH = "pod.crash_loop"
    EXITED = "pod.exited"
    IMAGE = "pod.image_pull"
    CONFIG = "pod.config_missing"
    START = "pod.cannot_start"
    UNSCHEDULABLE = "pod.unschedulable"
    EVICTED = "pod.evicted"
    TERMINATING = "pod.terminating"
    NODE_LOST = "pod.node_lost"
    NOT_READY = "pod.not_ready"
    STARTING = "pod.starting"


@dataclass(frozen=True)
class Problem:
    """One problem of one pod. `container` is empty where the whole pod has it; `first_run` is the crashed run's start."""

    trouble: Trouble
    pod: str
    container: str = ""
    init: bool = False
    reason: str = ""
    message: str = ""
    image: str = ""
    exit_code: int | None = None
    restarts: int = 0
    limit: str = ""
    request: str = ""
    node: str = ""
    template_hash: str = ""
    created_at: datetime | None = None
    failed_at: datetime | None = None
    ready_between: bool = False

    def as_crash(self) -> Problem:
        """The same problem taken as a mere crash: any change of the pod template can explain one."""
        return replace(self, trouble=Trouble.CRASH)


def problems_of(pod: Mapping[str, Any], now: datetime | None) -> tuple[Problem, ...]:
    """Every problem that a pod's status states. A pod that completed, or recovered by `now`, has none."""
    phase, name = text(pod, "status", "phase"), name_of(pod)
    if not name:
        return ()
    if text(pod, "metadata", "deletionTimestamp"):  # what its containers say on the way out is no problem
        return (_problem(pod, Trouble.TERMINATING, message=_finalizers(pod)),) if _overdue(pod, now) else ()
    if text(pod, "status", "reason") == "NodeLost":
        return (_problem(pod, Trouble.NODE_LOST, message=text(pod, "status", "message")),)
    if _taken_away(pod, phase):
        message = text(pod, "status", "message") or text(condition(pod, "DisruptionTarget"), "message")
        return (_problem(pod, Trouble.EVICTED, reason=text(pod, "status", "reason"), message=message),)
    scheduled = condition(pod, "PodScheduled")
    if text(scheduled, "status") == "False":
        reason, message = text(scheduled, "reason"), text(scheduled, "message")
        return (_problem(pod, Trouble.UNSCHEDULABLE, reason=reason, message=message),)
    found = tuple(_of_containers(pod, now))
    return found or _of_silent_pod(pod, phase)


def settled(status: Mapping[str, Any], now: datetime | None) -> bool:
    """Whether a running container has outlived its last crash: longer than the run that crashed, or LONG_RUN.

    A container between two crashes looks like a healthy one, ready included; only time tells them apart.
    """
    started = when(status, "state", "running", "startedAt")
    crashed = mapping(status, "lastState", "terminated")
    if started is None or now is None:
        return status.get("ready") is True and count(status, "restartCount") <= 1
    began, ended = when(crashed, "startedAt"), when(crashed, "finishedAt")
    ran, before = now - started, ended - began if began and ended else LONG_RUN
    return ran >= LONG_RUN or ran > max(before * 2, timedelta(seconds=2))


def ready(pod: Mapping[str, Any]) -> bool:
    """Whether the pod's Ready condition holds."""
    return text(condition(pod, "Ready"), "status") == "True"


def restarts(pod: Mapping[str, Any]) -> int:
    """Restarts of all its containers."""
    return sum(count(status, "restartCount") for status in items(pod, "status", "containerStatuses"))


@dataclass(frozen=True)
class Crash:
    """The end that a container which runs again remembers."""

    pod: str
    container: str
    reason: str
    exit_code: int | None
    ended_at: datetime | None
    runs_since: datetime | None


def last_crash(pods: Iterable[Mapping[str, Any]], now: datetime | None) -> Crash | None:
    """The most recent crash that the pods' running containers remember, if it is not older than RECENT."""
    ends = [
        (pod, status)
        for pod in pods
        for status in items(pod, "status", "containerStatuses")
        if mapping(status, "state", "running") and _recent(mapping(status, "lastState", "terminated"), now)
    ]
    if not ends:
        return None
    pod, status = max(ends, key=lambda pair: text(pair[1], "lastState", "terminated", "finishedAt"))
    ended = mapping(status, "lastState", "terminated")
    return Crash(
        pod=name_of(pod),
        container=text(status, "name"),
        reason=text(ended, "reason"),
        exit_code=number(ended, "exitCode"),
        ended_at=when(ended, "finishedAt"),
        runs_since=when(status, "state", "running", "startedAt"),
    )


def _taken_away(pod: Mapping[str, Any], phase: str) -> bool:
    """Whether the machinery ended a pod: the exit codes of its containers then say nothing about the application."""
    reason = text(pod, "status", "reason")
    disrupted = text(condition(pod, "DisruptionTarget"), "status") == "True"
    return reason == "Evicted" or (
        phase == "Failed" and (disrupted or reason in _TAKEN_AWAY or reason.startswith("OutOf"))
    )


def _overdue(pod: Mapping[str, Any], now: datetime | None) -> bool:
    # deletionTimestamp is when the grace period ends, not when it began
    due = when(pod, "metadata", "deletionTimestamp")
    return due is not None and now is not None and now - due > timedelta(minutes=1)


def _of_containers(pod: Mapping[str, Any], now: datetime | None) -> Iterable[Problem]:
    for field, init in (("initContainerStatuses", True), ("containerStatuses", False)):
        for status in items(pod, "status", field):
            problem = _of_container(pod, status, init, now)
            if problem is not None:
                yield problem


def _of_container(
    pod: Mapping[str, Any], status: Mapping[str, Any], init: bool, now: datetime | None
) -> Problem | None:
    waiting, ended = mapping(status, "state", "waiting"), mapping(status, "state", "terminated")
    crashed = mapping(status, "lastState", "terminated")
    reason = text(waiting, "reason")
    for reasons, trouble in ((_IMAGE, Trouble.IMAGE), (_CONFIG, Trouble.CONFIG), (_START, Trouble.START)):
        if reason in reasons:
            return _container(pod, status, init, trouble, crashed, reason=reason, message=text(waiting, "message"))
    if reason == BACK_OFF:
        return _container(pod, status, init, _how(crashed), crashed, reason=reason, message=text(waiting, "message"))
    if ended:
        return _of_ended(pod, status, init, ended)
    if mapping(status, "state", "running") and count(status, "restartCount") and _bad_exit(crashed):
        if settled(status, now) and (init or status.get("ready") is True):
            return None
        between = status.get("ready") is True
        return _container(pod, status, init, _how(crashed), crashed, reason=RESTARTED, ready_between=between)
    return None


def _of_ended(
    pod: Mapping[str, Any], status: Mapping[str, Any], init: bool, ended: Mapping[str, Any]
) -> Problem | None:
    if not _bad_exit(ended):
        again = not init and text(pod, "spec", "restartPolicy") == "Always" and count(status, "restartCount") > 0
        return _container(pod, status, init, Trouble.CRASH, ended, reason="Completed") if again else None
    trouble = _how(ended)
    if trouble is Trouble.CRASH and text(pod, "status", "phase") == "Failed":
        trouble = Trouble.EXITED
    return _container(pod, status, init, trouble, ended, reason=text(ended, "reason"), message=text(ended, "message"))


def _of_silent_pod(pod: Mapping[str, Any], phase: str) -> tuple[Problem, ...]:
    if phase == "Failed":
        reason, message = text(pod, "status", "reason"), text(pod, "status", "message")
        return (_problem(pod, Trouble.EXITED, reason=reason, message=message),)
    if phase == "Pending":
        # a sidecar among the init containers is ready while it runs, an ordinary one never is
        runs = (one for one in items(pod, "status", "initContainerStatuses") if mapping(one, "state", "running"))
        name = next((text(one, "name") for one in runs if one.get("ready") is not True), "")
        return (_problem(pod, Trouble.STARTING, container=name, init=bool(name), image=_image(pod, name)),)
    if phase == "Running" and text(condition(pod, "Ready"), "status") == "False":
        reason = text(condition(pod, "Ready"), "reason")
        waits = [status for status in items(pod, "status", "containerStatuses") if status.get("ready") is False]
        container = text(waits[0], "name") if waits else ""
        return (_problem(pod, Trouble.NOT_READY, container=container, reason=reason, image=_image(pod, container)),)
    return ()


def _how(terminated: Mapping[str, Any]) -> Trouble:
    # Exit code 137 alone is any SIGKILL: only the kernel's word makes it an OOM.
    return Trouble.OOM if text(terminated, "reason") == "OOMKilled" else Trouble.CRASH


def _recent(terminated: Mapping[str, Any], now: datetime | None) -> bool:
    ended = when(terminated, "finishedAt")
    return _bad_exit(terminated) and ended is not None and now is not None and now - ended <= RECENT


def _bad_exit(terminated: Mapping[str, Any]) -> bool:
    return bool(terminated) and (number(terminated, "exitCode") != 0 or text(terminated, "reason") == "OOMKilled")


def _container(
    pod: Mapping[str, Any],
    status: Mapping[str, Any],
    init: bool,
    trouble: Trouble,
    terminated: Mapping[str, Any],
    **more: Any,
) -> Problem:
    name = text(status, "name")
    spec = _spec(pod, name)
    return _problem(
        pod,
        trouble,
        container=name,
        init=init,
        image=text(spec, "image") or text(status, "image"),
        exit_code=number(terminated, "exitCode"),
        restarts=count(status, "restartCount"),
        limit=text(spec, "resources", "limits", "memory"),
        request=text(spec, "resources", "requests", "memory"),
        failed_at=when(terminated, "finishedAt"),
        **more,
    )


def _problem(pod: Mapping[str, Any], trouble: Trouble, **more: Any) -> Problem:
    return Problem(
        trouble,
        name_of(pod),
        node=text(pod, "spec", "nodeName"),
        template_hash=labels(pod, "metadata", "labels").get("pod-template-hash", ""),
        created_at=when(pod, "metadata", "creationTimestamp"),
        **more,
    )


def _spec(pod: Mapping[str, Any], container: str) -> Mapping[str, Any]:
    specs = [*items(pod, "spec", "containers"), *items(pod, "spec", "initContainers")]
    return next((spec for spec in specs if text(spec, "name") == container), {})


def _image(pod: Mapping[str, Any], container: str) -> str:
    return text(_spec(pod, container), "image")


def _finalizers(pod: Mapping[str, Any]) -> str:
    found = mapping(pod, "metadata").get("finalizers")
    return ", ".join(str(item) for item in found) if isinstance(found, list) else ""
