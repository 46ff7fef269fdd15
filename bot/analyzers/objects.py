"""The reads for targets that are no workloads: claims, autoscalers, Ingresses, Gateways, quotas, policies, certificates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from bot.analyzers.around import behind, claim_events, volume
from bot.analyzers.fields import at, items, labels, name_of, text
from bot.analyzers.reading import NOTHING, Read, Reading, events_of, get, listing, objects
from bot.analyzers.scene import CLOSE_LOOKS, Scene, look, timed
from bot.analyzers.webhooks import KINDS as HOOKS, receiver_of
from bot.analyzers.workloads import selector_text
from domain.actions import Target
from domain.alerts import Alert

_OPTIONAL = frozenset({"Certificate", "Gateway", "GatewayClass", "HTTPRoute"})
"""Kinds of extensions: where they are not served or not to be read, nothing is missing."""

_SCALED = frozenset({"Deployment", "StatefulSet", "ReplicaSet"})
Around = Mapping[str, Reading]
Scenes = tuple[Scene, ...]


async def look_at(target: Target, alert: Alert | None, read: Read) -> Scenes:
    """The scene of such an object, and of the workloads that it leads to; nothing for a kind that is not known."""
    around = _AROUND.get(target.kind)
    if around is None or not target.name or target.system not in ("", "kubernetes"):
        return ()
    namespace = "" if target.kind in _CLUSTER_WIDE else target.namespace
    if not namespace and target.kind not in _CLUSTER_WIDE:
        return ()
    own = await get(read, target.kind, namespace, target.name)
    if not own.ok:
        return (Scene(target, alert, workload=own),)
    scene = Scene(target, alert, workload=own, around=_told(await around(target, own.data, read)))
    return (timed(scene), *await _further(scene, alert, read))


def _told(around: Around) -> Around:
    return {what: found for what, found in around.items() if found.ok or what.partition("/")[0] not in _OPTIONAL}


async def _further(scene: Scene, alert: Alert | None, read: Read) -> Scenes:
    """The workloads behind: an autoscaler's, a budget's, the Services of an Ingress or a route."""
    target, data = scene.target, scene.workload.data
    if target.kind == "HorizontalPodAutoscaler":
        scaled = at(data, "spec", "scaleTargetRef")
        kind, name = text(scaled, "kind"), text(scaled, "name")
        return await look(replace(target, kind=kind, name=name), alert, read) if kind in _SCALED and name else ()
    if target.kind == "PodDisruptionBudget":
        pod = next((name_of(pod) for pod in objects(scene.near("Pod")) if name_of(pod)), "")
        return await look(replace(target, kind="Pod", name=pod), alert, read) if pod else ()
    if target.kind in ("Ingress", "HTTPRoute"):
        there = set(map(name_of, objects(scene.near("Service"))))
        behind_it = [name for name in dict.fromkeys(backends_of(data)) if name in there][:CLOSE_LOOKS]
        found = await asyncio.gather(
            *(look(replace(target, kind="Service", name=name), alert, read) for name in behind_it)
        )
        return tuple(one for scenes in found for one in scenes)
    return ()


def backends_of(data: Any) -> list[str]:
    """The Services of its own namespace that an Ingress or an HTTPRoute sends traffic to."""
    default = text(data, "spec", "defaultBackend", "service", "name")
    paths = (path for rule in items(data, "spec", "rules") for path in items(rule, "http", "paths"))
    refs = (ref for rule in items(data, "spec", "rules") for ref in items(rule, "backendRefs"))
    place = text(data, "metadata", "namespace")
    routed = [text(ref, "name") for ref in refs if text(ref, "namespace") in ("", place)]
    return [name for name in (default, *(text(path, "backend", "service", "name") for path in paths), *routed) if name]


async def _gathered(**reads: Awaitable[Reading]) -> dict[str, Reading]:
    return dict(zip(reads, await asyncio.gather(*reads.values()), strict=True))


async def _claim(target: Target, data: Any, read: Read) -> Around:
    found = await _gathered(
        StorageClass=listing(read, "StorageClass", ""), Pod=listing(read, "Pod", target.namespace, limit=500)
    )
    told = await claim_events(read, target.namespace, target.name)
    name = text(data, "spec", "volumeName")
    unwell = text(data, "status", "phase") in ("Pending", "Lost")
    return {**found, **told, **(await volume(read, name) if name and unwell else {})}


async def _nothing(target: Target, data: Any, read: Read) -> Around:
    return {}


async def _budget(target: Target, data: Any, read: Read) -> Around:
    selector = selector_text(data)
    return {"Pod": await listing(read, "Pod", target.namespace, selector)} if selector else {}


async def _policy(target: Target, data: Any, read: Read) -> Around:
    chosen = labels(data, "spec", "podSelector", "matchLabels")
    selector = ",".join(f"{key}={value}" for key, value in sorted(chosen.items()))
    return {"Pod": await listing(read, "Pod", target.namespace, selector)}


async def _ingress(target: Target, data: Any, read: Read) -> Around:
    return await _gathered(
        IngressClass=listing(read, "IngressClass", ""),
        Service=listing(read, "Service", target.namespace),
        Certificate=listing(read, "Certificate", target.namespace) if at(data, "spec", "tls") else _none(),
        **{f"events of Ingress/{target.name}": events_of(read, target.namespace, "Ingress", target.name)},
    )


async def _none() -> Reading:
    return NOTHING


async def _gateway(target: Target, data: Any, read: Read) -> Around:
    return await _gathered(GatewayClass=listing(read, "GatewayClass", ""))


async def _route(target: Target, data: Any, read: Read) -> Around:
    first = next(iter(items(data, "spec", "parentRefs")), {})  # the one that is judged
    place = text(first, "namespace") or target.namespace
    return await _gathered(Gateway=listing(read, "Gateway", place), Service=listing(read, "Service", target.namespace))


async def _hooks(target: Target, data: Any, read: Read) -> Around:
    called = dict.fromkeys(receiver_of(hook) for hook in items(data, "webhooks"))
    found = await asyncio.gather(*(behind(read, *service) for service in list(called)[:5] if all(service)))
    return {what: reading for part in found for what, reading in part.items()}


async def _certificate(target: Target, data: Any, read: Read) -> Around:
    told = await events_of(read, target.namespace, "Certificate", target.name)
    return {f"events of Certificate/{target.name}": told}


async def _config_map(target: Target, data: Any, read: Read) -> Around:
    return await _gathered(Deployment=listing(read, "Deployment", target.namespace))


_AROUND: Mapping[str, Callable[[Target, Any, Read], Awaitable[Around]]] = {
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": _nothing,
    "HorizontalPodAutoscaler": _nothing,
    "PodDisruptionBudget": _budget,
    "NetworkPolicy": _policy,
    "Ingress": _ingress,
    "Gateway": _gateway,
    "HTTPRoute": _route,
    "ResourceQuota": _nothing,
    "ConfigMap": _config_map,
    "Certificate": _certificate,
    **dict.fromkeys(HOOKS, _hooks),
}
_CLUSTER_WIDE = frozenset({"PersistentVolume", *HOOKS})
