"""kubernetes_delete_pod: one pod, exactly the one that was looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.tools import kubernetes_arguments as given
from bot.tools.kubernetes_client import KubernetesClient, Obj
from bot.tools.kubernetes_errors import Call, Missing
from bot.tools.kubernetes_kinds import DAEMONSET, JOB, POD, REPLICASET, STATEFULSET, Kind
from bot.tools.kubernetes_objects import age_s, at, controller_of, images
from bot.tools.kubernetes_probe import probe_replaced
from bot.tools.spec import Arguments, WriteTool
from domain.actions import Action, Effect, Target
from domain.decisions import Check
from domain.errors import OutcomeUnknown, TargetMoved, ToolError
from domain.ports import Preview, Probe

_OWNERS = {kind.name: kind for kind in (REPLICASET, STATEFULSET, DAEMONSET, JOB)}
NO_UNDO = "a deleted pod does not come back; its owner makes another one"
BARE = "a deleted pod does not come back, and nothing owns this one: it is gone for good"


def delete_pod_tool(client: KubernetesClient, environment: Callable[[str], str]) -> WriteTool:
    """The tool for one cluster."""

    def about(arguments: Arguments) -> Target:
        namespace = arguments["namespace"]
        return Target("kubernetes", environment(namespace), namespace, "Pod", arguments["name"])

    async def preview(arguments: Arguments) -> Preview:
        return await _preview(client, arguments)

    async def execute(action: Action, key: str) -> str:
        return await _execute(client, action)

    async def arrived(action: Action, key: str) -> bool | None:
        try:
            return _gone(await _find(client, action.arguments), action)
        except ToolError:
            return None

    async def probe(action: Action) -> Probe:
        return await _probe(client, action)

    return WriteTool(
        "kubernetes_delete_pod",
        "Delete one pod; its owner makes another one. A pod without an owner is lost.",
        Effect.DESTRUCTIVE,
        given.DeletePod,
        about,
        preview,
        execute,
        arrived,
        probe,
        180,
    )


async def _preview(client: KubernetesClient, arguments: Arguments) -> Preview:
    pod = await client.get(POD, arguments["namespace"], arguments["name"])
    if at(pod, "metadata", "deletionTimestamp"):
        raise ToolError(f"{_call(arguments).thing} is being deleted already.")
    await client.delete(POD, arguments["namespace"], arguments["name"], at(pod, "metadata", "uid"), dry_run=True)
    owner = controller_of(pod)
    after = f"{owner['kind']} {owner['name']} makes another pod" if owner else BARE
    return Preview(
        observed=_observed(pod),
        diff=f"- Pod {arguments['name']} ({at(pod, 'status', 'phase')}, {', '.join(images(pod))})\n# {after}",
        touches=1,
        facts={
            "replicas": 1,
            "ready": int(_is_ready(pod)),
            "age_s": age_s(pod),
            "owner": f"{owner['kind']}/{owner['name']}" if owner else "",
            "no_undo": NO_UNDO if owner else BARE,
        },
    )


async def _execute(client: KubernetesClient, action: Action) -> str:
    arguments = action.arguments
    pod = await _find(client, arguments)
    if pod is None or _observed(pod) != action.observed or at(pod, "metadata", "deletionTimestamp"):
        raise TargetMoved(f"{_call(arguments).thing} is gone or another one by now, so nothing was done.")
    try:
        await client.delete(POD, arguments["namespace"], arguments["name"], str(action.observed["uid"]), dry_run=False)
    except (Missing, TargetMoved) as error:
        # aiohttp repeats a DELETE whose connection broke, so this can be the answer to our own second try
        raise OutcomeUnknown(f"{_call(arguments).thing} went away meanwhile; by whom cannot be told.") from error
    return f"Deleted {_call(arguments).thing}."


async def _probe(client: KubernetesClient, action: Action) -> Probe:
    arguments = action.arguments
    gone = _gone(await _find(client, arguments), action, wholly=True)
    check = Check("pod gone", gone, "the pod is gone" if gone else "the pod is still there")
    owner = str(action.observed.get("owner") or "")
    kind, _, name = owner.partition("/")
    if owner and kind not in _OWNERS:
        return Probe((check,))
    found: Kind | None = _OWNERS.get(kind)
    if found is JOB:  # a Job makes a new pod only where it is not done
        return Probe((check,))
    replaced = await probe_replaced(client, found, arguments["namespace"], name)
    return Probe((check, *replaced.checks), replaced.settled)


async def _find(client: KubernetesClient, arguments: Arguments) -> Obj | None:
    try:
        return await client.get(POD, arguments["namespace"], arguments["name"])
    except Missing:
        return None


def _gone(pod: Obj | None, action: Action, *, wholly: bool = False) -> bool:
    if pod is None or at(pod, "metadata", "uid") != action.observed["uid"]:
        return True
    return not wholly and bool(at(pod, "metadata", "deletionTimestamp"))


def _observed(pod: Obj) -> dict[str, Any]:
    owner = controller_of(pod)
    return {
        "uid": str(at(pod, "metadata", "uid") or ""),
        "images": images(pod),
        "owner": f"{owner['kind']}/{owner['name']}" if owner else "",
    }


def _is_ready(pod: Obj) -> bool:
    found = at(pod, "status", "conditions") or ()
    return any(item.get("type") == "Ready" and item.get("status") == "True" for item in found)


def _call(arguments: Arguments) -> Call:
    return Call("delete", POD, arguments["namespace"], arguments["name"])
