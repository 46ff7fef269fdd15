"""What the symptoms ask to be read beside the target: quotas, storage, webhooks, nodes, policies. No judgement here."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import replace
from typing import Any

from bot.analyzers.fields import at, items, name_of, text
from bot.analyzers.needs import claims_of, hosts_in, missing_in, symptoms_in
from bot.analyzers.problems import Trouble
from bot.analyzers.reading import LIST, Read, Reading, events_of, get, listing, objects, pods_of, together
from bot.analyzers.refused import Cause, refusals_of, short_of_pods
from bot.analyzers.scene import WORKLOADS, Scene, timed
from bot.analyzers.workloads import counts_of, selector_text

NODES = 500
_HOOKS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
_OF_REFUSAL: Mapping[Cause, tuple[str, ...]] = {
    Cause.QUOTA: ("ResourceQuota",),
    Cause.LIMIT_RANGE: ("LimitRange",),
    Cause.WEBHOOK_DOWN: _HOOKS,
}
_CLUSTER_WIDE = frozenset({"StorageClass", "Node", "PersistentVolume", *_HOOKS})


async def surroundings(scene: Scene, read: Read) -> Scene:
    """The scene with what its symptoms ask for; a healthy workload costs no further read."""
    if scene.target.kind not in (*WORKLOADS, "Pod", "Job"):
        return scene
    scene = await _own_events(scene, read)
    kinds = _kinds(scene)
    found = await together(_list(read, kind, scene.target.namespace) for kind in kinds)
    scene = replace(scene, around={**scene.around, **dict(zip(kinds, found, strict=True))})
    closer = (*_claims(scene, read), *_receivers(scene, read), *_needed(scene, read))
    seen = await asyncio.gather(*closer)
    return timed(
        replace(scene, around={key: reading for part in (scene.around, *seen) for key, reading in part.items()})
    )


async def _own_events(scene: Scene, read: Read) -> Scene:
    """The workload's own events, where it lacks pods and no condition says why."""
    target = scene.target
    if not short_of_pods(scene) or refusals_of(scene):
        return scene
    told = await events_of(read, target.namespace, target.kind, target.name)
    return replace(scene, events={**scene.events, target.name: told})


def _kinds(scene: Scene) -> list[str]:
    """The kinds to list."""
    wanted = [kind for refusal in refusals_of(scene) for kind in _OF_REFUSAL.get(refusal.cause, ())]
    troubles = {problem.trouble for problem in scene.problems}
    if troubles & {Trouble.UNSCHEDULABLE, Trouble.STARTING} and claims_of(scene):
        wanted += ["PersistentVolumeClaim", "StorageClass"]
    if Trouble.UNSCHEDULABLE in troubles or _wants_no_node(scene):
        wanted += ["Node"]
    wanted += ["ConfigMap"] if any(need.kind == "ConfigMap" for need in missing_in(scene)) else []
    lacking = scene.target.kind == "StatefulSet" and scene.workload.ok and bool(scene.problems)
    wanted += ["Service"] if lacking or hosts_in(scene) else []
    wanted += ["NetworkPolicy"] if symptoms_in(scene) else []
    return list(dict.fromkeys(wanted))


def _wants_no_node(scene: Scene) -> bool:
    return scene.target.kind == "DaemonSet" and scene.workload.ok and counts_of(scene.workload.data).desired == 0


_Look = Coroutine[Any, Any, Mapping[str, Reading]]
"""Reads that follow one another, by what they are of."""


def _claims(scene: Scene, read: Read) -> Iterable[_Look]:
    """The events of one claim that waits, and the volume of one that is lost."""
    wanted = claims_of(scene)
    own = [claim for claim in objects(scene.near("PersistentVolumeClaim")) if name_of(claim) in wanted]
    waits = [claim for claim in own if text(claim, "status", "phase") == "Pending"]
    lost = [claim for claim in own if text(claim, "status", "phase") == "Lost" and text(claim, "spec", "volumeName")]
    if waits:
        yield claim_events(read, scene.target.namespace, name_of(waits[0]))
    if bound := [text(claim, "spec", "volumeName") for claim in (*lost, *waits) if text(claim, "spec", "volumeName")]:
        yield volume(read, bound[0])


async def claim_events(read: Read, namespace: str, name: str) -> Mapping[str, Reading]:
    """What the cluster says about a claim."""
    return {f"events of PersistentVolumeClaim/{name}": await events_of(read, namespace, "PersistentVolumeClaim", name)}


async def volume(read: Read, name: str) -> Mapping[str, Reading]:
    """A PersistentVolume."""
    return {f"PersistentVolume/{name}": await get(read, "PersistentVolume", "", name)}


def _receivers(scene: Scene, read: Read) -> Iterable[_Look]:
    """The Service that a webhook which did not answer is called at, and its pods."""
    named = {refusal.named for refusal in refusals_of(scene) if refusal.cause is Cause.WEBHOOK_DOWN}
    hooks = (hook for kind in _HOOKS for config in objects(scene.near(kind)) for hook in items(config, "webhooks"))
    services = (at(hook, "clientConfig", "service") for hook in hooks if text(hook, "name") in named)
    for service in [found for found in services if text(found, "name")][:1]:
        yield behind(read, text(service, "namespace"), text(service, "name"))


def _needed(scene: Scene, read: Read) -> Iterable[_Look]:
    """The Services that the pods' last words name, where they are there, and their pods."""
    known = {name_of(item): item for item in objects(scene.near("Service"))}
    for host in hosts_in(scene)[:2]:
        if host.namespace != scene.target.namespace:
            yield behind(read, host.namespace, host.name)
        elif host.name in known:
            yield _pods_of(read, known[host.name], host.namespace, host.name)


async def behind(read: Read, namespace: str, name: str) -> Mapping[str, Reading]:
    """A Service and the pods that it selects."""
    service = await get(read, "Service", namespace, name)
    pods = await _pods_of(read, service.data, namespace, name) if service.ok else {}
    return {f"Service/{namespace}/{name}": service, **pods}


async def _pods_of(read: Read, service: Any, namespace: str, name: str) -> Mapping[str, Reading]:
    selector = selector_text(service)
    return {f"pods behind Service/{namespace}/{name}": await pods_of(read, namespace, selector)} if selector else {}


async def _list(read: Read, kind: str, namespace: str) -> Reading:
    limit = NODES if kind == "Node" else LIST
    return await listing(read, kind, "" if kind in _CLUSTER_WIDE else namespace, limit=limit)
