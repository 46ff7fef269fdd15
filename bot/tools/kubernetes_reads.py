"""The Kubernetes tools that only look."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bot.tools import kubernetes_arguments as given
from bot.tools.kubernetes_client import KubernetesClient, Obj
from bot.tools.kubernetes_kinds import EVENT, KINDS, POD
from bot.tools.kubernetes_objects import at, clean, listed, now_text, time_text, when
from bot.tools.kubernetes_render import show_events, show_history, show_list, show_log, show_object
from bot.tools.kubernetes_rollout import history
from bot.tools.spec import Arguments, Model, ReadTool
from domain.actions import Target

Environment = Callable[[str], str]

_EVENTS = 2000
_PODS = 20_000
_LOG_BYTES = 1024 * 1024
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\-_]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True)
class Recipe:
    """One read: its words, its arguments, what it asks and how that is shown. `kind` and `named` say what it is about."""

    name: str
    description: str
    model: type[Model]
    read: Callable[[KubernetesClient, Arguments], Awaitable[Any]]
    show: Callable[[Any], str]
    kind: str = ""
    named: str = "name"


def read_tools(client: KubernetesClient, environment: Environment) -> tuple[ReadTool, ...]:
    """Every read of one cluster. `environment` names the environment of a namespace."""
    return tuple(_tool(client, recipe, environment) for recipe in _recipes())


def _tool(client: KubernetesClient, recipe: Recipe, environment: Environment) -> ReadTool:
    def about(arguments: Arguments) -> Target:
        namespace = str(arguments.get("namespace", ""))
        kind, name = str(arguments.get("kind") or recipe.kind), str(arguments.get(recipe.named, ""))
        return Target("kubernetes", environment(namespace), namespace, kind, name)

    async def read(arguments: Arguments) -> Any:
        return await recipe.read(client, arguments)

    return ReadTool(recipe.name, recipe.description, recipe.model, about, read, recipe.show)


def _recipes() -> tuple[Recipe, ...]:
    return (
        Recipe(
            "kubernetes_get",
            "One Kubernetes object with its spec and status. ConfigMaps show keys only; Secrets are never read.",
            given.Get,
            _get,
            show_object,
        ),
        Recipe(
            "kubernetes_list",
            "Kubernetes objects of one kind with their state, one line each. Narrow with a namespace and label selector.",
            given.List,
            _list,
            show_list,
        ),
        Recipe(
            "kubernetes_events",
            "Recent Kubernetes events of a namespace, newest first; kind and name narrow to events of exactly that object"
            " (a Deployment's pods have their own).",
            given.Events,
            _events,
            show_events,
        ),
        Recipe(
            "kubernetes_logs",
            "The last lines of a container's log; previous=true for the run before its last restart (why it crashed).",
            given.Logs,
            _logs,
            show_log,
            "Pod",
            "pod",
        ),
        Recipe(
            "kubernetes_rollout_history",
            "A Deployment's revisions with images and ready pods, the last good one, and what changed from it to the"
            " current one.",
            given.History,
            _history,
            show_history,
            "Deployment",
        ),
    )


async def _get(client: KubernetesClient, arguments: Arguments) -> Obj:
    return clean(await client.get(KINDS[arguments["kind"]], arguments["namespace"], arguments["name"]))


async def _history(client: KubernetesClient, arguments: Arguments) -> Obj:
    return await history(client, arguments["namespace"], arguments["name"], arguments["revision"])


async def _list(client: KubernetesClient, arguments: Arguments) -> Obj:
    kind = KINDS[arguments["kind"]]
    if arguments["troubled_first"]:
        return await _troubled_first(client, arguments)
    items, more = await client.objects(
        kind, arguments["namespace"], labels=arguments["label_selector"], limit=arguments["limit"], keep=listed
    )
    return {
        "kind": kind.name,
        "namespace": arguments["namespace"],
        "items": items,
        "more": more,
        "read_at": now_text(),
    }


async def _troubled_first(client: KubernetesClient, arguments: Arguments) -> Obj:
    """All pods counted, and the first `limit` of them kept: those in trouble before those that are well."""
    kept = Kept(arguments["limit"])
    found, more = await client.objects(
        POD, arguments["namespace"], labels=arguments["label_selector"], limit=_PODS, keep=kept
    )
    items = sorted(filter(None, found), key=lambda pod: not in_trouble(pod))
    return {
        "kind": POD.name,
        "namespace": arguments["namespace"],
        "items": items[: arguments["limit"]],
        "total": len(found),
        "more": more,
        "read_at": now_text(),
    }


class Kept:
    """Reduces pods to what is kept of them: at most `limit` in trouble and as many that are well, nothing of the others."""

    def __init__(self, limit: int) -> None:
        self._room = {True: limit, False: limit}

    def __call__(self, pod: Obj) -> Obj:
        """The pod as it is listed, or an empty map."""
        troubled = in_trouble(pod)
        self._room[troubled] -= 1
        return listed(pod) if self._room[troubled] >= 0 else {}


def in_trouble(pod: Obj) -> bool:
    """Whether a pod is on its way out, not ready, failed, or was restarted: whatever a diagnosis may ask about."""
    status, phase = pod.get("status") or {}, at(pod, "status", "phase")
    if at(pod, "metadata", "deletionTimestamp") or phase not in ("Running", "Succeeded"):
        return True
    ready = any(item.get("type") == "Ready" and item.get("status") == "True" for item in status.get("conditions") or ())
    return (phase == "Running" and not ready) or any(
        item.get("restartCount") for item in status.get("containerStatuses") or ()
    )


async def _events(client: KubernetesClient, arguments: Arguments) -> Obj:
    wanted = (("involvedObject.kind", arguments["kind"]), ("involvedObject.name", arguments["name"]))
    fields = ",".join(f"{key}={value}" for key, value in wanted if value)
    # the API lists events by name, not by time: all of them are needed to find the newest
    found, more = await client.objects(EVENT, arguments["namespace"], fields=fields, limit=_EVENTS, keep=kube_event)
    found.sort(key=lambda item: item["last"], reverse=True)
    limit = arguments["limit"]
    return {
        "namespace": arguments["namespace"],
        "items": found[:limit],
        "more": more or len(found) > limit,
        "read_at": now_text(),
    }


def kube_event(event: Obj) -> Obj:
    """A KubeEvent in the few fields that matter; `first` and `last` are RFC 3339 whatever wrote it."""
    series, involved = event.get("series") or {}, event.get("involvedObject") or {}
    moments = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    made = at(event, "metadata", "creationTimestamp")
    last = next((found for found in (when(text) for text in (*moments, made) if text) if found), None)
    first = when(event.get("firstTimestamp") or event.get("eventTime") or made)
    return {
        "type": str(event.get("type") or "Normal"),
        "reason": str(event.get("reason") or ""),
        "message": str(event.get("message") or event.get("note") or "")[:1024],
        "count": int(series.get("count") or event.get("count") or 1),
        "first": time_text(first),
        "last": time_text(last),
        "kind": str(involved.get("kind") or ""),
        "name": str(involved.get("name") or ""),
        "uid": str(involved.get("uid") or ""),
        "source": str(at(event, "source", "component") or event.get("reportingComponent") or ""),
    }


async def _logs(client: KubernetesClient, arguments: Arguments) -> Obj:
    query = [("tailLines", str(arguments["tail_lines"])), ("limitBytes", str(_LOG_BYTES))]
    query += [("container", arguments["container"])] if arguments["container"] else []
    query += [("previous", "true")] if arguments["previous"] else []
    text = await client.log(arguments["namespace"], arguments["pod"], query)
    return {
        "namespace": arguments["namespace"],
        "pod": arguments["pod"],
        "container": arguments["container"],
        "previous": arguments["previous"],
        "lines": plain_lines(text),
        "cut": len(text.encode()) >= _LOG_BYTES,
        "read_at": now_text(),
    }


def plain_lines(text: str) -> list[str]:
    """A log as a terminal would leave it standing: no colours or control characters, the last state of a rewritten line."""
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return [_ESCAPES.sub("", line) for line in (lines if lines[-1] else lines[:-1])]
