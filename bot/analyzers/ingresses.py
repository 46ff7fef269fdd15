"""Ingresses: whether their class, their backends and their ports are there; what is behind them is looked at as Services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bot.analyzers.certificates import certificate_trouble
from bot.analyzers.fields import at, items, labels, name_of, number, plural, short, text
from bot.analyzers.findings import finding
from bot.analyzers.reading import cite, objects, whole
from bot.analyzers.scene import Scene
from domain.diagnosis import Finding

_DEFAULT = "ingressclass.kubernetes.io/is-default-class"
_ANNOTATION = "kubernetes.io/ingress.class"
_ACTION = "use-annotation"
"""The port's name by which a backend of the AWS controller is an action in the annotations, and no Service."""

Obj = Mapping[str, Any]


def analyze_ingresses(scene: Scene) -> tuple[Finding, ...]:
    """What an Ingress names that is not there."""
    if scene.target.kind != "Ingress" or not scene.workload.ok:
        return ()
    found = [*_class(scene), *_backends(scene), *_tls(scene), *_told(scene)]
    return tuple(found) or (_healthy(scene),)


def _cited(scene: Scene, excerpt: str) -> Any:
    return cite(scene.workload, f"Ingress {scene.target.name}", excerpt)


def _class(scene: Scene) -> Iterator[Finding]:
    data, classes = scene.workload.data, scene.near("IngressClass")
    if not whole(classes):
        return
    wanted, old = text(data, "spec", "ingressClassName"), labels(data, "metadata", "annotations").get(_ANNOTATION, "")
    have = {name_of(item): item for item in objects(classes)}
    named = ", ".join(sorted(have)) or "none"
    if wanted and wanted not in have:
        yield finding(
            "ingress.class_missing",
            scene.target,
            f"IngressClass {wanted} of Ingress {scene.target.name} does not exist",
            f"spec.ingressClassName is {wanted}; the cluster has: {named}. No controller serves the Ingress.",
            [_cited(scene, f"ingressClassName {wanted}"), cite(classes, "IngressClasses", named)],
            next_steps=["Correct ingressClassName, or install the controller that brings the class."],
            ingress_class=wanted,
        )
    elif not wanted and not old and have:
        default = [one for one in have.values() if labels(one, "metadata", "annotations").get(_DEFAULT) == "true"]
        if not default:
            yield finding(
                "ingress.no_class",
                scene.target,
                f"Ingress {scene.target.name} names no class, and none is the default",
                f"spec.ingressClassName is not set; the cluster has: {named}, none marked as default.",
                [_cited(scene, "no ingressClassName"), cite(classes, "IngressClasses", named)],
                next_steps=["Name a class in the Ingress."],
            )


def _routes(data: Any) -> Iterator[tuple[str, Obj]]:
    """Where each backend is named, and its Service part."""
    if service := at(data, "spec", "defaultBackend", "service"):
        yield "defaultBackend", service
    for rule in items(data, "spec", "rules"):
        for path in items(rule, "http", "paths"):
            service = at(path, "backend", "service")
            if isinstance(service, Mapping):
                yield f"{text(rule, 'host') or '*'}{text(path, 'path') or '/'}", service


def _backends(scene: Scene) -> Iterator[Finding]:
    services = scene.near("Service")
    if not whole(services):
        return
    have = {name_of(item): item for item in objects(services)}
    for where, service in _routes(scene.workload.data):
        name, port = text(service, "name"), at(service, "port")
        if text(port, "name") == _ACTION:
            continue
        if name and name not in have:
            yield _no_service(scene, where, name, ", ".join(sorted(have)[:12]) or "none")
        elif name and not _has_port(have[name], port):
            yield _no_port(scene, where, name, port, have[name])


def _no_service(scene: Scene, where: str, name: str, named: str) -> Finding:
    return finding(
        "ingress.no_such_service",
        scene.target,
        f"Service {name} behind Ingress {scene.target.name} does not exist ({where})",
        f"{where} leads to Service {name}; namespace {scene.target.namespace} has: {named}.",
        [_cited(scene, f"{where} → {name}"), cite(scene.near("Service"), "the Services of the namespace", named)],
        next_steps=["Correct the backend's name, or create the Service."],
        service=name,
    )


def _has_port(service: Any, port: Any) -> bool:
    ports = items(service, "spec", "ports")
    if not ports and text(service, "spec", "type") == "ExternalName":  # it is a name in DNS, and needs no ports
        return True
    if name := text(port, "name"):
        return any(text(one, "name") == name for one in ports)
    wanted = number(port, "number")
    return wanted is None or any(number(one, "port") == wanted for one in ports)


def _no_port(scene: Scene, where: str, name: str, port: Any, service: Any) -> Finding:
    wanted = text(port, "name") or str(number(port, "number"))
    ports = items(service, "spec", "ports")
    have = ", ".join(f"{number(one, 'port')} {text(one, 'name')}".strip() for one in ports) or "none"
    return finding(
        "ingress.no_such_port",
        scene.target,
        f"Ingress {scene.target.name} asks Service {name} for port {wanted}, which it does not have",
        f"{where} leads to port {wanted} of Service {name}; its ports: {have}.",
        [_cited(scene, f"{where} → {name}:{wanted}"), cite(scene.near("Service"), f"Service {name}", have)],
        next_steps=["Correct the backend's port in the Ingress; it is the Service's port, not the container's."],
        service=name,
        port=wanted,
    )


def _tls(scene: Scene) -> Iterator[Finding]:
    """The certificates of the Secrets that it names. Secrets themselves are never read."""
    secrets = {text(entry, "secretName") for entry in items(scene.workload.data, "spec", "tls")} - {""}
    for one in objects(scene.near("Certificate")):
        if text(one, "spec", "secretName") in secrets and (said := certificate_trouble(scene, one, "Certificate")):
            yield said


def _told(scene: Scene) -> Iterator[Finding]:
    reading = scene.near(f"events of Ingress/{scene.target.name}")
    warnings = [item for item in objects(reading) if text(item, "type") == "Warning"]
    if warnings:
        newest = max(warnings, key=lambda item: text(item, "last"))
        message = short(text(newest, "message"), 400)
        yield finding(
            "ingress.warning",
            scene.target,
            f"The controller of Ingress {scene.target.name} says: {message}",
            f"{text(newest, 'reason')}: {message}",
            [cite(reading, f"events of Ingress {scene.target.name}", message)],
            next_steps=["Correct what the controller names."],
        )


def _healthy(scene: Scene) -> Finding:
    n = len(list(_routes(scene.workload.data)))
    return finding(
        "ingress.healthy",
        scene.target,
        f"Ingress {scene.target.name} names a class, Services and ports that are there",
        f"{plural(n, 'backend')} looked at. Nothing is proposed for the Ingress itself.",
        [_cited(scene, plural(n, "backend"))],
        healthy=True,
    )
