"""Gateways and HTTPRoutes: accepted or not, with the class, listener, Service or port that is at fault."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bot.analyzers.fields import at, items, name_of, number, short, text
from bot.analyzers.findings import finding
from bot.analyzers.reading import cite, objects, whole
from bot.analyzers.scene import Scene
from domain.diagnosis import Finding

_GATEWAY = ("Accepted", "Programmed")
_LISTENER = ("Accepted", "ResolvedRefs", "Programmed")
_ROUTE = ("Accepted", "ResolvedRefs")


def analyze_gateways(scene: Scene) -> tuple[Finding, ...]:
    """A Gateway or an HTTPRoute, where it is what is asked about."""
    if scene.target.kind not in ("Gateway", "HTTPRoute") or not scene.workload.ok:
        return ()
    found = list(_gateway(scene) if scene.target.kind == "Gateway" else _route(scene))
    return tuple(found) or (_healthy(scene),)


def _cited(scene: Scene, excerpt: str) -> Any:
    return cite(scene.workload, f"{scene.target.kind} {scene.target.name}", excerpt)


def _false(value: Any, kinds: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """The conditions that should hold and do not, with their words. Unknown is not yet a no."""
    for item in items(value, "conditions"):
        if text(item, "type") in kinds and text(item, "status") == "False":
            yield text(item, "type"), f"{text(item, 'reason')}: {short(text(item, 'message'), 300)}".rstrip(": ")


def _gateway(scene: Scene) -> Iterator[Finding]:
    data, classes = scene.workload.data, scene.near("GatewayClass")
    wanted = text(data, "spec", "gatewayClassName")
    have = ", ".join(sorted(map(name_of, objects(classes)))) or "none"
    if whole(classes) and wanted and wanted not in map(name_of, objects(classes)):
        yield finding(
            "gateway.class_missing",
            scene.target,
            f"GatewayClass {wanted} of Gateway {scene.target.name} does not exist",
            f"spec.gatewayClassName is {wanted}; the cluster has: {have}.",
            [_cited(scene, f"gatewayClassName {wanted}"), cite(classes, "GatewayClasses", have)],
            next_steps=["Correct gatewayClassName, or install the controller that brings the class."],
        )
        return
    own = next((item for item in objects(classes) if name_of(item) == wanted), {})
    told = [(f"class {wanted}: {kind}", why) for kind, why in _false(at(own, "status"), ("Accepted",))]
    told += _false(at(data, "status"), _GATEWAY)
    for listener in items(data, "status", "listeners"):
        told += [(f"listener {text(listener, 'name')}: {kind}", why) for kind, why in _false(listener, _LISTENER)]
    for what, why in told[-3:]:
        yield finding(
            "gateway.not_accepted",
            scene.target,
            f"Gateway {scene.target.name}: {what} is False, {why}",
            f"{what} is False. {why}",
            [_cited(scene, f"{what}=False, {why}")],
            next_steps=["Correct what the condition names."],
        )


def _route(scene: Scene) -> Iterator[Finding]:
    yield from _parents(scene)
    yield from _backends(scene)
    for parent in items(scene.workload.data, "status", "parents"):
        for kind, why in _false(parent, _ROUTE):
            yield finding(
                "route.not_accepted",
                scene.target,
                f"HTTPRoute {scene.target.name}: {kind} is False, {why}",
                f"Gateway {text(parent, 'parentRef', 'name')} says {kind} is False. {why}",
                [_cited(scene, f"{kind}=False, {why}")],
                next_steps=["Correct what the condition names."],
            )


def _parents(scene: Scene) -> Iterator[Finding]:
    gateways = scene.near("Gateway")
    for ref in items(scene.workload.data, "spec", "parentRefs")[:1]:
        name = text(ref, "name")
        if text(ref, "kind") in ("", "Gateway") and whole(gateways) and name not in map(name_of, objects(gateways)):
            have = ", ".join(sorted(map(name_of, objects(gateways)))) or "none"
            yield finding(
                "route.no_such_gateway",
                scene.target,
                f"Gateway {name} of HTTPRoute {scene.target.name} does not exist",
                f"spec.parentRefs names Gateway {text(ref, 'namespace') or scene.target.namespace}/{name}; there: {have}.",
                [_cited(scene, f"parentRef {name}"), cite(gateways, "the Gateways", have)],
                next_steps=["Correct parentRefs."],
            )


def _backends(scene: Scene) -> Iterator[Finding]:
    services = scene.near("Service")
    have: dict[str, Mapping[str, Any]] = {name_of(item): item for item in objects(services)}
    refs = [ref for rule in items(scene.workload.data, "spec", "rules") for ref in items(rule, "backendRefs")]
    for ref in refs if whole(services) else ():
        name, port = text(ref, "name"), number(ref, "port")
        if text(ref, "kind") not in ("", "Service") or text(ref, "namespace") not in ("", scene.target.namespace):
            continue
        ports = [number(one, "port") for one in items(have.get(name), "spec", "ports")]
        if name not in have or (port is not None and port not in ports):
            lacks = f"Service {name} has no port {port}" if name in have else f"Service {name} does not exist"
            there = (
                f"its ports: {', '.join(map(str, ports))}" if name in have else f"there: {', '.join(sorted(have)[:12])}"
            )
            yield finding(
                "route.no_such_backend",
                scene.target,
                f"{lacks}, and HTTPRoute {scene.target.name} sends traffic to it",
                f"spec.rules.backendRefs names {name}:{port}; {there}.",
                [_cited(scene, f"backendRef {name}:{port}"), cite(services, "the Services of the namespace", there)],
                next_steps=["Correct the backendRef, or create what it names."],
                service=name,
            )


def _healthy(scene: Scene) -> Finding:
    code = "gateway.healthy" if scene.target.kind == "Gateway" else "route.healthy"
    return finding(
        code,
        scene.target,
        f"{scene.target.kind} {scene.target.name} is accepted",
        "No condition says otherwise, and what it names is there. Nothing is proposed.",
        [_cited(scene, "accepted")],
        healthy=True,
    )
