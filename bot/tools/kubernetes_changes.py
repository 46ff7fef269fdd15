"""What each Kubernetes write would send: pure functions from an object and arguments to a Change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.tools.kubernetes_client import Obj
from bot.tools.kubernetes_errors import Call
from bot.tools.kubernetes_kinds import Kind
from bot.tools.kubernetes_merge import NoInverse, inverse, missing, quantity
from bot.tools.kubernetes_objects import ACTION_AT, CHANGE_CAUSE, at, clean, fingerprint, managed_by
from bot.tools.kubernetes_rollout import find
from bot.tools.kubernetes_workloads import bounds, current_of, revision_of, template_of
from bot.tools.spec import Arguments
from domain.actions import Undo
from domain.errors import ToolError

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"


@dataclass(frozen=True)
class Seen:
    """A target as it is now. `sets` are a Deployment's ReplicaSets, newest first, where the change needs them."""

    kind: Kind
    live: Obj
    now: str
    autoscaler: Obj | None = None
    sets: list[Obj] = field(default_factory=list)

    @property
    def thing(self) -> str:
        """`Deployment "checkout" in namespace "shop"`."""
        metadata = self.live.get("metadata") or {}
        return Call("", self.kind, metadata.get("namespace", ""), metadata.get("name", "")).thing

    @property
    def size(self) -> int:
        """How many pods the target is to have."""
        wanted = at(self.live, "spec", "replicas")
        return int(at(self.live, "status", "desiredNumberScheduled") or 0) if wanted is None else int(wanted)


@dataclass(frozen=True)
class Change:
    """One write. A list in `patch` is a JSON patch, a map a strategic merge patch; `annotations` go on the metadata.

    `observed` is what the change relies on beyond the target itself. `no_undo` says why `undo` is None.
    """

    patch: Any
    touches: int
    done: str
    undo: Undo | None = None
    no_undo: str = ""
    annotations: Mapping[str, str | None] = field(default_factory=dict)
    observed: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def roll_back(seen: Seen, arguments: Arguments) -> Change:
    """The pod template of an earlier revision, as `kubectl rollout undo` sends it."""
    _not_paused(seen)
    name, revision = arguments["name"], arguments["to_revision"]
    wanted = find(seen.sets, revision, name)
    current = current_of(seen.live, seen.sets)
    if wanted is current:
        raise ToolError(f"Revision {revision} is what {seen.thing} runs already; nothing to roll back.")
    template = template_of(wanted)
    cause = (at(wanted, "metadata", "annotations") or {}).get(CHANGE_CAUSE)
    return Change(
        patch=[{"op": "replace", "path": "/spec/template", "value": template}],
        touches=seen.size,
        done=f"Rolled {seen.thing} back to revision {revision}.",
        undo=_undo_of_rollback(current, arguments),
        no_undo="" if current else "the present template has no revision yet",
        annotations={CHANGE_CAUSE: cause},
        observed={"to_replica_set": at(wanted, "metadata", "uid"), "to_template": fingerprint(template)},
        notes=_managed(seen),
    )


def restart(seen: Seen, arguments: Arguments) -> Change:
    """New pods from the same template, as `kubectl rollout restart` does it."""
    _not_paused(seen)
    if at(seen.live, "spec", "updateStrategy", "type") == "OnDelete":
        raise ToolError(
            f"{seen.thing} updates its pods only when they are deleted (OnDelete): a restart would do nothing."
        )
    stamp = {"metadata": {"annotations": {RESTARTED_AT: seen.now}}}
    return Change(
        patch={"spec": {"template": stamp}},
        touches=seen.size,
        done=f"Restarted the pods of {seen.thing}.",
        no_undo="a restart has no inverse: the old pods are gone",
        notes=_managed(seen),
    )


def scale(seen: Seen, arguments: Arguments) -> Change:
    """Another number of replicas."""
    wanted, present = arguments["replicas"], seen.size
    if wanted == present:
        raise ToolError(f"{seen.thing} has {present} replicas already; nothing to change.")
    notes = ((f"{bounds(seen.autoscaler)} and may set it again",) if seen.autoscaler else ()) + _managed(seen)
    return Change(
        patch={"spec": {"replicas": wanted}},
        touches=abs(wanted - present),
        done=f"Scaled {seen.thing} from {present} to {wanted}.",
        undo=Undo("kubernetes_scale", {**arguments, "replicas": present}, f"back to {present} replicas"),
        observed={"replicas": present},
        notes=notes,
    )


def set_resources(seen: Seen, arguments: Arguments) -> Change:
    """Other requests and limits of one container."""
    container = _container(seen, arguments["container"])
    patch: Obj = {}
    old: Obj = {}
    for part in ("requests", "limits"):
        present = at(container, "resources", part) or {}
        given = {unit: amount for unit, amount in arguments[part].items() if amount}
        patch[part] = {unit: None if amount == "none" else amount for unit, amount in given.items()}
        old[part] = {unit: str(present.get(unit, "none")) if unit in given else "" for unit in arguments[part]}
    wanted = {part: amounts for part, amounts in patch.items() if amounts}
    containers = [{"name": arguments["container"], "resources": wanted}]
    return Change(
        patch={"spec": {"template": {"spec": {"containers": containers}}}},
        touches=seen.size,
        done=f"Set the resources of container {arguments['container']} of {seen.thing}.",
        undo=Undo("kubernetes_set_resources", {**arguments, **old}, "the requests and limits as they were"),
        notes=_managed(seen),
    )


def cordon(seen: Seen, arguments: Arguments) -> Change:
    """Whether new pods may come to a node."""
    wanted = arguments["unschedulable"]
    present = bool(at(seen.live, "spec", "unschedulable"))
    if wanted == present:
        raise ToolError(f"{seen.thing} is {'cordoned' if present else 'schedulable'} already; nothing to change.")
    return Change(
        patch={"spec": {"unschedulable": wanted or None}},
        touches=1,
        done=f"{'Cordoned' if wanted else 'Uncordoned'} {seen.thing}.",
        undo=Undo("kubernetes_cordon", {**arguments, "unschedulable": present}, "schedulable as it was"),
    )


def patch(seen: Seen, arguments: Arguments) -> Change:
    """Any other change, as a strategic merge patch."""
    wanted = arguments["patch"]
    templated = "template" in (wanted.get("spec") or {})
    back, reason = _undo_of_patch(seen, arguments)
    return Change(
        patch=wanted,
        touches=max(1, seen.size) if templated else 1,
        done=f"Patched {seen.thing}.",
        undo=back,
        no_undo=reason,
        notes=_managed(seen),
    )


def holds(tool: str, live: Obj, arguments: Arguments, observed: Mapping[str, Any]) -> str:
    """What of an executed change the object does not show (any more); empty where all of it is in place."""
    if tool == "kubernetes_rollback":
        template = at(live, "spec", "template") or {}
        return "" if fingerprint(template) == observed.get("to_template") else "the pod template is another one"
    if tool == "kubernetes_restart":
        stamp = at(live, "spec", "template", "metadata", "annotations", RESTARTED_AT)
        since = (at(live, "metadata", "annotations") or {}).get(ACTION_AT, "")
        return "" if stamp and stamp >= since else "the restart's mark is gone from the pod template"
    if tool == "kubernetes_scale":
        found = at(live, "spec", "replicas")
        return "" if found == arguments["replicas"] else f"replicas are {found}"
    if tool == "kubernetes_cordon":
        found = bool(at(live, "spec", "unschedulable"))
        return "" if found == arguments["unschedulable"] else f"unschedulable is {str(found).lower()}"
    if tool == "kubernetes_set_resources":
        return _resources_missing(live, arguments)
    lost = missing(live, arguments["patch"])
    return f"{lost} is another one" if lost else ""


def _resources_missing(live: Obj, arguments: Arguments) -> str:
    containers = at(live, "spec", "template", "spec", "containers") or []
    container: Obj = next((item for item in containers if item.get("name") == arguments["container"]), {})
    for part in ("requests", "limits"):
        for unit, wanted in arguments[part].items():
            found = at(container, "resources", part, unit)
            if wanted and quantity(found) != (None if wanted == "none" else quantity(wanted)):
                return f"{part}.{unit} is {found or 'not set'}"
    return ""


def _container(seen: Seen, name: str) -> Obj:
    containers: list[Obj] = at(seen.live, "spec", "template", "spec", "containers") or []
    found = next((item for item in containers if item.get("name") == name), None)
    if found is None:
        known = ", ".join(str(item.get("name")) for item in containers)
        raise ToolError(f'{seen.thing} has no container "{name}"; it has {known}.')
    return found


def _undo_of_rollback(current: Obj | None, arguments: Arguments) -> Undo | None:
    if current is None:
        return None
    revision = revision_of(current)
    return Undo("kubernetes_rollback", {**arguments, "to_revision": revision}, f"forward to revision {revision}")


def _undo_of_patch(seen: Seen, arguments: Arguments) -> tuple[Undo | None, str]:
    try:
        back = inverse(seen.live, arguments["patch"])
    except NoInverse as error:
        return None, f"{error} has no exact inverse"
    if clean(back) != back:  # it would stand in the journal and on the card
        return None, "it would hold a value that is never shown"
    return Undo("kubernetes_patch", {**arguments, "patch": back}, "as it was"), ""


def _not_paused(seen: Seen) -> None:
    if at(seen.live, "spec", "paused"):
        raise ToolError(f"The rollout of {seen.thing} is paused: no change of its pods would start. Resume it first.")


def _managed(seen: Seen) -> tuple[str, ...]:
    manager = managed_by(seen.live)
    return (f"managed by {manager}, which may put the old state back",) if manager else ()
