"""Problems of many pods told as one: the same trouble of the same container."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.analyzers.fields import at, count, items, plural, text, when
from bot.analyzers.problems import Problem, Trouble
from bot.analyzers.reading import NOTHING, Reading, cite, objects
from bot.analyzers.scene import Scene, log_lines
from domain.diagnosis import Evidence

LOG_EXCERPT = 5


@dataclass(frozen=True)
class Group:
    """One trouble of one container in one or more pods; the first problem is the one with most restarts."""

    trouble: Trouble
    container: str
    problems: tuple[Problem, ...]

    @property
    def worst(self) -> Problem:
        """The pod to show."""
        return self.problems[0]

    @property
    def pods(self) -> int:
        """How many pods have it."""
        return len({problem.pod for problem in self.problems})

    @property
    def restarts(self) -> int:
        """Restarts of this container in all of them."""
        return sum(problem.restarts for problem in self.problems)

    @property
    def called(self) -> str:
        """The container in words."""
        return f"{'init container' if self.worst.init else 'container'} {self.container}"


def groups_of(problems: Iterable[Problem]) -> tuple[Group, ...]:
    """The problems grouped, in the order of Trouble."""
    found: dict[tuple[Trouble, str], list[Problem]] = {}
    for problem in problems:
        found.setdefault((problem.trouble, problem.container), []).append(problem)
    groups = (
        Group(trouble, container, tuple(sorted(same, key=lambda problem: -problem.restarts)))
        for (trouble, container), same in found.items()
    )
    return tuple(sorted(groups, key=lambda group: (list(Trouble).index(group.trouble), group.container)))


def share(scene: Scene, group: Group) -> str:
    """How much of the target has it: `pod web-1`, `2 of 4 pods`; a list that was cut says so."""
    total = max(len(scene.own_pods), count(scene.pods.data, "total"))
    if total == 1:
        return f"pod {group.worst.pod}"
    cut = "the first " if at(scene.pods.data, "more") is True else ""
    return f"{group.pods} of {cut}{plural(total, 'pod')}"


def last_lines(scene: Scene, group: Group) -> tuple[list[str], Reading | None]:
    """The last telling log lines of a pod of the group that was looked at, and the read they come from."""
    for problem in group.problems:
        reading = scene.logs.get((problem.pod, problem.container))
        if reading is not None and reading.ok:
            return telling(reading), reading
    return [], None


def telling(reading: Reading) -> list[str]:
    """The last lines of a log read that can name a cause."""
    lines = [line.rstrip() for line in log_lines(reading.data) if _tells(line)] if reading.ok else []
    return lines[-LOG_EXCERPT:]


def warning(scene: Scene, group: Group, *reasons: str, holds: str = "") -> tuple[str, Reading | None]:
    """The newest warning about a pod of the group with one of these reasons, whose message holds a text."""
    for problem in group.problems:
        reading = scene.events.get(problem.pod)
        if reading is None:
            continue
        fitting = [
            item
            for item in objects(reading)
            if text(item, "reason") in reasons and holds in text(item, "message").lower()
        ]
        if fitting:
            newest = max(fitting, key=lambda item: text(item, "last"))
            return text(newest, "message"), reading
    return "", None


def began(scene: Scene, group: Group) -> datetime | None:
    """The first sign of the trouble: an alert, a warning, or the crash that a container remembers."""
    warnings = (
        when(item, "first")
        for problem in group.problems
        for item in objects(scene.events.get(problem.pod, NOTHING))
        if text(item, "type") == "Warning"
    )
    crashes = (problem.failed_at for problem in group.problems)
    alert = scene.alert.starts_at if scene.alert else None
    return min((moment for moment in (*warnings, *crashes, alert) if moment), default=None)


def cite_logs(reading: Reading | None, group: Group, lines: list[str]) -> tuple[Evidence, ...]:
    """The logs as evidence."""
    return cite(reading, f"logs of {group.worst.pod}/{group.container}", " | ".join(lines)) if reading else ()


def cite_events(reading: Reading | None, group: Group, message: str) -> tuple[Evidence, ...]:
    """The events as evidence."""
    return cite(reading, f"events of {group.worst.pod}", message) if reading else ()


def containers_of(scene: Scene) -> set[str]:
    """The names of the containers in the workload's template."""
    template = scene.workload.data if scene.workload.ok else None
    return {text(item, "name") for item in items(template, "spec", "template", "spec", "containers")}


def _tells(line: str) -> bool:
    # frames of a Java or Node stack trace name no cause and would push the exception out of the excerpt
    return bool(line.strip()) and not line.lstrip().startswith(("at ", "... "))


def facts_of(group: Group) -> dict[str, Any]:
    """What a finding about a group carries for programs."""
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


def cite_pod(scene: Scene, group: Group, excerpt: str) -> tuple[Evidence, ...]:
    """The status of the group's worst pod as evidence."""
    return cite(scene.pods, f"status of pod {group.worst.pod}", excerpt)
