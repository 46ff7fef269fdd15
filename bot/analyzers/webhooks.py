"""Admission webhooks: whether anything answers where they are called, because nothing can be created while it does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.analyzers.fields import at, items, plural, text
from bot.analyzers.findings import finding
from bot.analyzers.problems import ready
from bot.analyzers.reading import cite, objects
from bot.analyzers.scene import Scene
from domain.diagnosis import Finding

KINDS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")


def receiver_of(hook: Mapping[str, Any]) -> tuple[str, str]:
    """Namespace and name of the Service that a webhook is called at, empty where it is a URL."""
    service = at(hook, "clientConfig", "service")
    return text(service, "namespace"), text(service, "name")


def receiver_words(scene: Scene, namespace: str, name: str) -> str:
    """What is wrong with a webhook's Service, empty where pods of it are ready or nothing is known."""
    service, pods = (scene.near(f"{what}Service/{namespace}/{name}") for what in ("", "pods behind "))
    if service.absent:
        return f"Service {namespace}/{name} does not exist"
    if not service.ok or not pods.ok:
        return ""
    found = objects(pods)
    if not found:
        return f"Service {namespace}/{name} selects no pods"
    return (
        ""
        if any(map(ready, found))
        else f"none of {plural(len(found), 'pod')} behind Service {namespace}/{name} is ready"
    )


def analyze_webhooks(scene: Scene) -> tuple[Finding, ...]:
    """The webhooks of a configuration, where it is what is asked about."""
    if scene.target.kind not in KINDS or not scene.workload.ok:
        return ()
    found = [said for hook in items(scene.workload.data, "webhooks") if (said := _dead(scene, hook))]
    return tuple(found) or (
        finding(
            "webhook.healthy",
            scene.target,
            f"{scene.target.name} has receivers that are ready",
            f"{plural(len(items(scene.workload.data, 'webhooks')), 'webhook')} looked at. Nothing is proposed.",
            [cite(scene.workload, f"{scene.target.kind} {scene.target.name}")],
            healthy=True,
        ),
    )


def _dead(scene: Scene, hook: Mapping[str, Any]) -> Finding | None:
    namespace, service = receiver_of(hook)
    words = receiver_words(scene, namespace, service) if service else ""
    if not words:
        return None
    policy, named = text(hook, "failurePolicy") or "Fail", text(hook, "name")
    effect = (
        "whatever it is asked about cannot be created or changed"
        if policy == "Fail"
        else "its check is left out, because failurePolicy is Ignore"
    )
    return finding(
        "webhook.unreachable" if policy == "Fail" else "webhook.ignored",
        scene.target,
        f"Webhook {named} does not answer: {words}",
        f"{scene.target.kind} {scene.target.name}, webhook {named}, failurePolicy {policy}: {words}; {effect}.",
        [
            cite(scene.workload, f"{scene.target.kind} {scene.target.name}", f"{named}, failurePolicy {policy}"),
            cite(scene.near(f"pods behind Service/{namespace}/{service}"), f"pods behind Service {service}", words),
        ],
        next_steps=[f"Bring back what answers for Service {namespace}/{service}."],
        webhook=named,
    )
