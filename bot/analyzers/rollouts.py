"""Revisions of a workload: which was good, which is bad, what changed between them, and whether that explains a problem."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.analyzers.fields import at, clock, count, items, number, short, text, when
from bot.analyzers.problems import Problem, Trouble

SOON = timedelta(hours=1)
"""A revision that was rolled out completely is suspected only of what begins within this time of its start."""

SKEW = timedelta(minutes=1)
"""How much earlier than the rollout a trouble may seem to begin by clocks that disagree; what is older is not its doing."""

_EXPLAINS = {
    Trouble.IMAGE: (".image",),
    Trouble.CONFIG: ("env", "volume", "configmap", "secret"),
    Trouble.UNSCHEDULABLE: (
        "resources", "nodeselector", "nodename", "affinity", "toleration", "topologyspread", "scheduler", "hostport",
        "spec.volumes", "priorityclass",
    ),
    Trouble.CRASH: ("",),
    Trouble.EXITED: ("",),
    Trouble.START: ("",),
    Trouble.NOT_READY: ("",),
    Trouble.STARTING: ("volume",),
}  # fmt: skip
"""Words in a changed field's path that let the change explain a problem. Memory and lost nodes have findings of their own."""

_LACKS = re.compile(r"Insufficient ([-\w./]*\w)")
_MISSES = re.compile(
    r"""(?:secret|configmap) "([^"]+)"|key (\S+) in (?:Secret|ConfigMap) (?:[^/\s]+/)?([^\s,;]+)""", re.IGNORECASE
)
"""What the kubelet says of a Secret, a ConfigMap or a key that is not there."""

_NO_CHANGE = ("restartedAt", "pod-template-hash", "change-cause")


@dataclass(frozen=True)
class Revision:
    """One revision as the history read tells it. `ready` counts its pods that are ready now.

    `returned` means that a rollback brought it back, so that it is older than its rollout.
    """

    number: int
    images: dict[str, str]
    template_hash: str
    ready: int
    created_at: datetime | None
    change_cause: str
    returned: bool


@dataclass(frozen=True)
class Change:
    """One field of the pod template that differs."""

    path: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.path}: {self.old or '(unset)'} → {self.new or '(unset)'}"


@dataclass(frozen=True)
class Rollout:
    """The revision that is rolled out, the last good one, and what changed from that to this.

    `completed` means that the controller once saw all of `bad` available.
    """

    bad: Revision
    good: Revision | None
    changes: tuple[Change, ...]
    completed: bool


@dataclass(frozen=True)
class Blame:
    """A revision that explains problems: the last good one, what changed since, and whether it is more than likely."""

    good: Revision
    bad: Revision
    changes: tuple[Change, ...]
    proven: bool


def parse_history(data: Any) -> Rollout | None:
    """The rollout in a history read, None where it names no current revision."""
    revisions = {revision.number: revision for revision in map(_revision, items(data, "revisions"))}
    bad = revisions.get(number(data, "current") or 0)
    if bad is None:
        return None
    good = revisions.get(number(data, "good") or 0)
    changes = tuple(
        Change(short(text(item, "path"), 120), short(text(item, "before"), 120), short(text(item, "after"), 120))
        for item in items(data, "changes")
        if not any(word in text(item, "path") for word in _NO_CHANGE)
    )
    compared = good is not None and number(data, "from_revision") == good.number
    return Rollout(bad, good if good is not bad else None, changes if compared else (), _completed(data))


def blame(problems: Iterable[Problem], rollout: Rollout | None, began: datetime | None) -> Blame | str:
    """The rollout, where it explains these problems of one kind; else why it is not blamed, empty where there is none.

    It is not blamed where pods of an earlier revision have the problem too, where there is no earlier revision, where
    nothing that changed can cause such a problem, where it began before the rollout, or where the revision had run well for
    SOON before.
    """
    problems = [problem for problem in problems if problem.trouble in _EXPLAINS]
    if rollout is None or not problems:
        return ""
    good, bad = rollout.good, rollout.bad
    if good is None:
        return "there is no earlier revision to go back to"
    if any(problem.template_hash and problem.template_hash != bad.template_hash for problem in problems):
        return f"pods of a revision before {bad.number} have the same problem"
    if not any(explains(change, problem) for change in rollout.changes for problem in problems):
        return f"nothing that changed between revisions {good.number} and {bad.number} can cause this"
    if rollout.completed:
        start = _start(bad, problems)
        if began is None or start is None or began - start > SOON:
            return f"revision {bad.number} was complete before this began, it has run since {clock(bad.created_at)}"
        if began < start - SKEW:
            return f"this began at {clock(began)}, before revision {bad.number} was rolled out"
    return Blame(good, bad, rollout.changes, proven=good.ready > 0)


def explains(change: Change, problem: Problem) -> bool:
    """Whether a changed field can cause this kind of problem at all."""
    path = change.path.lower()
    if problem.trouble is Trouble.IMAGE and problem.container and f"[{problem.container}]" not in change.path:
        return False
    values = (change.old, change.new)
    if problem.trouble is Trouble.CONFIG and (missing := _missing(problem.message)):
        return any(name == value or f'"{name}"' in value for name in missing for value in values)
    if problem.trouble is Trouble.UNSCHEDULABLE and "resources" in path:
        lacking = _LACKS.findall(problem.message)
        return not lacking or any(path.endswith(name.lower()) or name in change.new for name in lacking)
    if any(len(value) > 2 and f'"{value}"' in problem.message for value in values):
        return True
    return any(word in path for word in _EXPLAINS.get(problem.trouble, ()))


def _missing(message: str) -> set[str]:
    """The Secrets and ConfigMaps that a message names as missing, or as lacking a key, and that key."""
    return {name for pair in _MISSES.findall(message) for name in pair if name}


def _start(bad: Revision, problems: Iterable[Problem]) -> datetime | None:
    """When the revision was rolled out."""
    # A pod may be younger than its revision because it was moved, which says nothing about the revision; only where the
    # revision was brought back does its oldest troubled pod tell when.
    first = min((problem.created_at for problem in problems if problem.created_at), default=None)
    return first if bad.returned else bad.created_at


def _completed(data: Any) -> bool:
    conditions = items(data, "deployment", "conditions")
    return any(text(item, "reason") == "NewReplicaSetAvailable" for item in conditions)


def _revision(item: Any) -> Revision:
    named = at(item, "images")
    pairs = [entry.partition("=") for entry in named if isinstance(entry, str)] if isinstance(named, list) else []
    return Revision(
        number=count(item, "revision"),
        images={container: short(image, 200) for container, _, image in pairs},
        template_hash=text(item, "pod_template_hash"),
        ready=count(item, "ready"),
        created_at=when(item, "created"),
        change_cause=short(text(item, "change_cause")),
        returned=bool(at(item, "earlier")),
    )
