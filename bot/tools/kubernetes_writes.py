"""The Kubernetes tools that change something by a patch: observed, dry-run, sent once on a condition, marked, probed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.tools import kubernetes_arguments as given, kubernetes_changes as change
from bot.tools.kubernetes_changes import Change, Seen
from bot.tools.kubernetes_client import KubernetesClient, Obj
from bot.tools.kubernetes_delete import delete_pod_tool
from bot.tools.kubernetes_errors import Conflicted, Missing
from bot.tools.kubernetes_kinds import DAEMONSET, DEPLOYMENT, KINDS, NODE, STATEFULSET, Kind
from bot.tools.kubernetes_objects import (
    ACTION_AT,
    ACTION_ID,
    age_s,
    at,
    difference,
    fingerprint,
    images,
    managed_by,
    now_text,
    relevant,
)
from bot.tools.kubernetes_probe import probe_rollout
from bot.tools.kubernetes_workloads import autoscaler_of, replica_sets
from bot.tools.spec import Arguments, Model, WriteTool
from domain.actions import Action, Effect, Target
from domain.decisions import Check
from domain.errors import TargetMoved, ToolError
from domain.ports import Preview, Probe

Environment = Callable[[str], str]

ROLLOUT_SECONDS = 300
_TRIES = 3
_ROLLED = (DEPLOYMENT, STATEFULSET, DAEMONSET)


@dataclass(frozen=True)
class Recipe:
    """One write: its words, its arguments, and the pure function that works out what to send."""

    name: str
    description: str
    model: type[Model]
    change: Callable[[Seen, Arguments], Change]
    kind: Kind | None = None
    effect: Effect = Effect.WRITE
    probe_seconds: int = ROLLOUT_SECONDS

    def kind_of(self, arguments: Arguments) -> Kind:
        """The kind of the target."""
        return self.kind or KINDS[arguments["kind"]]


RECIPES: tuple[Recipe, ...] = (
    Recipe(
        "kubernetes_rollback",
        "Roll a Deployment back to the pod template of an earlier revision (see kubernetes_rollout_history).",
        given.Rollback,
        change.roll_back,
        DEPLOYMENT,
    ),
    Recipe(
        "kubernetes_restart",
        "Replace all pods of a workload, gradually, without changing it.",
        given.Restart,
        change.restart,
    ),
    Recipe("kubernetes_scale", "Set the number of replicas of a workload.", given.Scale, change.scale),
    Recipe(
        "kubernetes_set_resources",
        "Set requests and limits of one container of a workload; its pods are replaced gradually.",
        given.SetResources,
        change.set_resources,
    ),
    Recipe(
        "kubernetes_cordon",
        "Keep new pods off a node (or let them come again). Pods on it keep running.",
        given.Cordon,
        change.cordon,
        NODE,
        probe_seconds=30,
    ),
    Recipe(
        "kubernetes_patch",
        "Change an object by a strategic merge patch, where no other tool fits. Not status, owners, finalizers or Secrets.",
        given.Patch,
        change.patch,
        effect=Effect.DESTRUCTIVE,
    ),
)


def write_tools(client: KubernetesClient, environment: Environment) -> tuple[WriteTool, ...]:
    """Every write of one cluster. `environment` names the environment of a namespace."""
    patches = tuple(_tool(client, recipe, environment) for recipe in RECIPES)
    return (*patches, delete_pod_tool(client, environment))


def _tool(client: KubernetesClient, recipe: Recipe, environment: Environment) -> WriteTool:
    def about(arguments: Arguments) -> Target:
        namespace = str(arguments.get("namespace", ""))
        kind = recipe.kind_of(arguments).name
        return Target("kubernetes", environment(namespace), namespace, kind, arguments["name"])

    async def preview(arguments: Arguments) -> Preview:
        return await _preview(client, recipe, arguments)

    async def execute(action: Action, key: str) -> str:
        return await _execute(client, recipe, action, key)

    async def arrived(action: Action, key: str) -> bool | None:
        return await _arrived(client, recipe, action, key)

    async def probe(action: Action) -> Probe:
        return await _probe(client, recipe, action)

    return WriteTool(
        recipe.name,
        recipe.description,
        recipe.effect,
        recipe.model,
        about,
        preview,
        execute,
        arrived,
        probe,
        recipe.probe_seconds,
    )


async def _preview(client: KubernetesClient, recipe: Recipe, arguments: Arguments) -> Preview:
    seen = await look(client, recipe.kind_of(arguments), arguments)
    wanted = recipe.change(seen, arguments)
    after, warnings = await client.patch(
        seen.kind, arguments.get("namespace", ""), arguments["name"], _with_annotations(seen, wanted), dry_run=True
    )
    before, new = relevant(seen.live), relevant(after)
    if before == new:
        raise ToolError(f"{recipe.name} would change nothing: {seen.thing} is like that already.")
    notes = [f"# {note}" for note in (*wanted.notes, *(f"Kubernetes warns: {text}" for text in warnings))]
    return Preview(
        observed=observed(seen, wanted),
        diff="\n".join([*notes, difference(before, new, "now", "after")]),
        touches=wanted.touches,
        undo=wanted.undo,
        facts=_facts(seen, wanted),
    )


async def look(client: KubernetesClient, kind: Kind, arguments: Arguments) -> Seen:
    """The target as it is now, with what its changes are worked out from."""
    live = await client.get(kind, arguments.get("namespace", ""), arguments["name"])
    autoscaler = await autoscaler_of(client, live) if kind in (DEPLOYMENT, STATEFULSET) else None
    sets = await replica_sets(client, live) if "to_revision" in arguments else []
    return Seen(kind, live, now_text(), autoscaler, sets)


def observed(seen: Seen, wanted: Change) -> dict[str, Any]:
    """What an approval is bound to. Not resourceVersion: every status update moves it.

    `generation` counts changes of the spec, a changed size among them; where an autoscaler sets the size, the rest of the
    spec counts instead, or no approval would outlive the next scaling.
    """
    metadata, spec = seen.live.get("metadata") or {}, dict(seen.live.get("spec") or {})
    state: dict[str, Any] = {"uid": str(metadata.get("uid", ""))}
    if seen.kind is NODE:  # the rest of a node's spec belongs to the control plane
        state["unschedulable"] = bool(spec.get("unschedulable"))
    elif "generation" in metadata and seen.autoscaler is None:
        state["generation"] = metadata["generation"]
    else:
        spec.pop("replicas", None)
        state["spec"] = fingerprint(spec)
    if "template" in spec:
        state["images"] = images(spec["template"])
    if "replicas" in spec:
        state["replicas"] = spec["replicas"]
    return {**state, **wanted.observed}


def _facts(seen: Seen, wanted: Change) -> dict[str, Any]:
    status = seen.live.get("status") or {}
    facts: dict[str, Any] = {
        "replicas": seen.size,
        "ready": int(status.get("readyReplicas", status.get("numberReady")) or 0),
        "age_s": age_s(seen.live),
        "owner": managed_by(seen.live),
        "autoscaled": seen.autoscaler is not None,
    }
    return {**facts, "no_undo": wanted.no_undo} if wanted.no_undo else facts


async def _execute(client: KubernetesClient, recipe: Recipe, action: Action, key: str) -> str:
    for _ in range(_TRIES - 1):
        with contextlib.suppress(Conflicted):  # a status update came between: look again, the target may be as it was
            return await _attempt(client, recipe, action, key)
    return await _attempt(client, recipe, action, key)


async def _attempt(client: KubernetesClient, recipe: Recipe, action: Action, key: str) -> str:
    arguments, kind = action.arguments, recipe.kind_of(action.arguments)
    seen = await _look_again(client, kind, arguments)
    try:
        wanted = recipe.change(seen, arguments)
    except ToolError as error:  # it could be worked out when it was proposed
        raise TargetMoved(f"{seen.thing} changed since it was looked at, so nothing was done: {error}") from error
    if moved := _moved(action.observed, observed(seen, wanted)):
        raise TargetMoved(f"{seen.thing} changed since it was looked at ({moved}), so nothing was done.")
    body = _with_annotations(seen, wanted, {ACTION_ID: key, ACTION_AT: seen.now})
    await client.patch(kind, arguments.get("namespace", ""), arguments["name"], _conditioned(seen, body), dry_run=False)
    return wanted.done


async def _look_again(client: KubernetesClient, kind: Kind, arguments: Arguments) -> Seen:
    try:
        return await look(client, kind, arguments)
    except Missing as error:
        raise TargetMoved(f"{error} It was there when it was looked at; nothing was done.") from error


def _moved(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two observed states, in words; empty where nothing does."""
    keys = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    return "; ".join(f"{key} {_shown(before.get(key))} -> {_shown(now.get(key))}" for key in keys)


def _shown(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else "none" if value is None else str(value)


def _with_annotations(seen: Seen, wanted: Change, more: Mapping[str, str] | None = None) -> Any:
    """The patch with the annotations of the object's own metadata; None removes one."""
    new: dict[str, str | None] = {**wanted.annotations, **(more or {})}
    if isinstance(wanted.patch, list):
        merged = {**(at(seen.live, "metadata", "annotations") or {}), **new}
        kept = {name: value for name, value in merged.items() if value is not None}
        return [*wanted.patch, {"op": "add", "path": "/metadata/annotations", "value": kept}]
    if not new:
        return wanted.patch
    metadata = wanted.patch.get("metadata") or {}
    return {**wanted.patch, "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **new}}}


def _conditioned(seen: Seen, patch: Any) -> Any:
    """The patch on the condition that nobody wrote the object since it was read: 409 otherwise."""
    version = at(seen.live, "metadata", "resourceVersion")
    if isinstance(patch, list):
        return [{"op": "replace", "path": "/metadata/resourceVersion", "value": version}, *patch]
    return {**patch, "metadata": {**patch["metadata"], "resourceVersion": version}}


async def _arrived(client: KubernetesClient, recipe: Recipe, action: Action, key: str) -> bool | None:
    try:
        seen = await look(client, recipe.kind_of(action.arguments), action.arguments)
    except ToolError:
        return None
    marks = at(seen.live, "metadata", "annotations") or {}
    if marks.get(ACTION_ID) == key:
        return True
    try:
        state = observed(seen, recipe.change(seen, action.arguments))
    except ToolError:
        return None
    # untouched: it did not arrive. Touched by others: who knows what they overwrote
    return False if not _moved(action.observed, state) else None


async def _probe(client: KubernetesClient, recipe: Recipe, action: Action) -> Probe:
    kind, arguments = recipe.kind_of(action.arguments), action.arguments
    live: Obj = await client.get(kind, arguments.get("namespace", ""), arguments["name"])
    lost = change.holds(action.tool, live, arguments, action.observed)
    check = Check("change in place", not lost, lost or "the object shows the change")
    if kind not in _ROLLED:
        return Probe((check,))
    rollout = await probe_rollout(client, kind, live)
    return Probe((check, *rollout.checks), rollout.settled)
