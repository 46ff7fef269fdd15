"""Out of memory: which limit was hit, and the limit to try next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bot.analyzers.fields import clock, items, plural, text
from bot.analyzers.findings import finding
from bot.analyzers.groups import Group, began, cite_logs, containers_of, last_lines, share
from bot.analyzers.proposals import memory_limit
from bot.analyzers.quantities import format_memory, parse_memory, raised
from bot.analyzers.reading import cite
from bot.analyzers.rollouts import Blame, Change, blame, parse_history
from bot.analyzers.scene import Scene
from domain.diagnosis import Confidence, Finding, Proposal

_CAN_SET = frozenset({"Deployment", "StatefulSet", "DaemonSet"})
_LIMIT_PATH = re.compile(r"limits\W+memory", re.IGNORECASE)


def oom_killed(scene: Scene, group: Group) -> Finding:
    """The kernel killed a container at its memory limit: the limit, and a computed higher one."""
    worst, (lines, logs) = group.worst, last_lines(scene, group)
    at_limit = f"at its memory limit of {worst.limit}" if worst.limit else "though it has no memory limit"
    proposal, reckoning = _raise(scene, group)
    detail = (
        f"The kernel ended it {at_limit} (memory request: {worst.request or 'none'}); {share(scene, group)}, "
        f"{plural(group.restarts, 'restart')} in all, last at {clock(worst.failed_at)}. {reckoning}"
    )
    if lines:
        detail += "\nLast log lines:\n" + "\n".join(line[:200] for line in lines)
    return finding(
        "pod.oom_killed",
        scene.target,
        f"{group.called[:1].upper()}{group.called[1:]} is killed {at_limit}",
        detail,
        [
            cite(scene.pods, f"status of pod {worst.pod}", f"OOMKilled, limit {worst.limit or 'none'}"),
            cite_logs(logs, group, lines),
            cite(scene.history, "rollout history", "the limit before")
            if proposal and "revision" in proposal.why
            else (),
        ],
        proposal=proposal,
        confidence=Confidence.PROVEN if worst.limit else Confidence.LIKELY,
        next_steps=_next_steps(proposal),
        container=group.container,
        limit=worst.limit,
        restarts=group.restarts,
        pods=sorted({problem.pod for problem in group.problems})[:10],
    )


def changed_before(scene: Scene, group: Group) -> Blame | None:
    """The new revision before which the container did not run out of memory, if there is one."""
    rollout = parse_history(scene.history.data) if scene.history.ok else None
    # to a crash any change of the template can matter, and so it can to memory
    verdict = blame([problem.as_crash() for problem in group.problems], rollout, began(scene, group))
    return verdict if isinstance(verdict, Blame) else None


def _raise(scene: Scene, group: Group) -> tuple[Proposal | None, str]:
    """The proposal with its reckoning, or none with the reason."""
    worst = max(group.problems, key=lambda problem: parse_memory(problem.limit) or 0)
    limit = parse_memory(worst.limit)
    if limit is None:
        return None, "Without a limit of its own, the node or a parent ran out: nothing is proposed."
    if worst.init:
        return None, "Nothing is proposed: the limit of an init container is set by hand."
    if scene.target.kind not in _CAN_SET:
        return None, "Nothing is proposed: there is no single workload here whose limit could be raised."
    template = next((one for one in _template(scene) if text(one, "name") == group.container), None)
    if template is None:
        return None, f"Nothing is proposed: {scene.target.name}'s template has no container {group.container}."
    set_by_now = text(template, "resources", "limits", "memory")
    if (parse_memory(set_by_now) or 0) > limit:
        return None, f"Nothing is proposed: the template sets {set_by_now} by now, which this pod did not have yet."
    lowered = _lowered(scene, group, worst.template_hash, limit)
    if lowered is not None:
        before, bad = lowered
        why = f"Revision {bad} lowered the memory limit of {group.container} from {before} to {worst.limit}; this restores it."
        return memory_limit(scene.target, group.container, before, _request(worst.request, limit, before), why), why
    higher = format_memory(raised(limit))
    factor = raised(limit) * 10 // limit
    why = (
        f"{group.container} was killed at {worst.limit}, {plural(group.restarts, 'restart')}; {higher} is "
        f"{factor // 10}.{factor % 10} times that. How much it needs is not known: if it grows without end, this only buys "
        "time."
    )
    new = changed_before(scene, group)
    if new is not None:
        why += (
            f" The alternative is a rollback to revision {new.good.number}, before which it did not run out of memory."
        )
    return memory_limit(scene.target, group.container, higher, _request(worst.request, limit, higher), why), why


def _template(scene: Scene) -> list[Mapping[str, Any]]:
    """The containers that the workload makes; a sidecar that a webhook puts in is none of them."""
    return items(scene.workload.data, "spec", "template", "spec", "containers")


def _lowered(scene: Scene, group: Group, template_hash: str, limit: int) -> tuple[str, int] | None:
    """The limit before, and the revision that lowered it."""
    rollout = parse_history(scene.history.data) if scene.history.ok else None
    if rollout is None or template_hash not in {"", rollout.bad.template_hash}:
        return None
    for change in rollout.changes:
        old, new = parse_memory(change.old), parse_memory(change.new)
        if _LIMIT_PATH.search(change.path) and _names(scene, change, group) and new == limit and old and old > limit:
            return change.old, rollout.bad.number
    return None


def _names(scene: Scene, change: Change, group: Group) -> bool:
    return f"[{group.container}]" in change.path or containers_of(scene) == {group.container}


def _request(request: str, limit: int, higher: str) -> str:
    """A request that equals the limit is raised with it, so that the pod keeps its quality of service."""
    return higher if parse_memory(request) == limit else ""


def _next_steps(proposal: Proposal | None) -> list[str]:
    if proposal is None:
        return ["Set a memory limit from what the container is measured to use."]
    return ["Compare the container's memory over time with the new limit: a leak needs a fix in the code."]
