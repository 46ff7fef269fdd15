"""Quotas, network policies and ConfigMaps that are asked about themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bot.analyzers.fields import at, items, labels, mapping, name_of, plural, text
from bot.analyzers.findings import finding
from bot.analyzers.network import restricts
from bot.analyzers.quantities import parse_amount
from bot.analyzers.reading import cite, objects, whole
from bot.analyzers.scene import Scene
from domain.diagnosis import Confidence, Finding

NEARLY = 0.9


def analyze_limits(scene: Scene) -> tuple[Finding, ...]:
    """The object itself, where nothing else is known about its kind."""
    about = _ABOUT.get(scene.target.kind)
    return (about(scene, scene.workload.data),) if about and scene.workload.ok else ()


def _quota(scene: Scene, data: Any) -> Finding:
    hard, used = labels(data, "status", "hard"), labels(data, "status", "used")
    shares = []
    for name, limit in hard.items():
        have, most = parse_amount(used.get(name, "0")), parse_amount(limit)
        if have is not None and most:
            shares.append((have / most, name, f"{name} {used.get(name, '0')} of {limit}"))
    shares.sort(reverse=True)
    told = "; ".join(words for _, _, words in shares[:5]) or "nothing is counted"
    full = [words for share, _, words in shares if share >= 1]
    near = [words for share, _, words in shares if NEARLY <= share < 1]
    code = "quota.full" if full else "quota.nearly_full" if near else "quota.healthy"
    words = f"is used up: {full[0]}" if full else f"is nearly used up: {near[0]}" if near else f"has room: {told}"
    return finding(
        code,
        scene.target,
        f"ResourceQuota {scene.target.name} {words}",
        f"In namespace {scene.target.namespace}: {told}."
        + (" New pods that count against it are refused." if full else ""),
        [cite(scene.workload, f"ResourceQuota {scene.target.name}", told)],
        healthy=not full and not near,
        next_steps=["Find what uses it, then free some or raise it: what a namespace may use is a person's decision."]
        if full or near
        else (),
        resources=[name for share, name, _ in shares if share >= NEARLY],
    )


def _policy(scene: Scene, data: Any) -> Finding:
    pods, name = objects(scene.near("Pod")), scene.target.name
    told = "; ".join(filter(None, (restricts(data, "Ingress"), restricts(data, "Egress")))) or "it restricts nothing"
    more = bool(items(data, "spec", "podSelector", "matchExpressions"))
    lonely = whole(scene.near("Pod")) and not pods and not more
    selector = ", ".join(f"{k}={v}" for k, v in sorted(labels(data, "spec", "podSelector", "matchLabels").items()))
    return finding(
        "network_policy.selects_nothing" if lonely else "network_policy.told",
        scene.target,
        f"NetworkPolicy {name} selects no pods: {selector}" if lonely else f"NetworkPolicy {name}: {told}",
        f"podSelector {selector or 'all pods'}, {plural(len(pods), 'pod')}; {told}.",
        [
            cite(scene.workload, f"NetworkPolicy {name}", told),
            cite(scene.near("Pod"), "pods that it selects", str(len(pods))),
        ],
        healthy=not lonely,
        confidence=Confidence.PROVEN,
        next_steps=["Compare its podSelector with the pods' labels."] if lonely else (),
    )


def _config_map(scene: Scene, data: Any) -> Finding:
    keys = sorted({*map(str, mapping(data, "data")), *map(str, mapping(data, "binaryData"))})
    name = scene.target.name
    lacking = [
        (name_of(item), text(ref, "key"))
        for item in objects(scene.near("Deployment"))
        for container in items(item, "spec", "template", "spec", "containers")
        for variable in items(container, "env")
        if text(ref := at(variable, "valueFrom", "configMapKeyRef"), "name") == name
        and text(ref, "key") not in keys
        and at(ref, "optional") is not True
    ]
    told = ", ".join(keys[:12]) or "none"
    words = (
        f"has no key {lacking[0][1]}, which Deployment {lacking[0][0]} names"
        if lacking
        else f"has {plural(len(keys), 'key')}"
    )
    return finding(
        "config.lacks_key" if lacking else "config.healthy",
        scene.target,
        f"ConfigMap {name} {words}",
        f"Its keys: {told}. Values are not read.",
        [
            cite(scene.workload, f"ConfigMap {name}", told),
            cite(scene.near("Deployment"), "Deployments of the namespace", words) if lacking else (),
        ],
        healthy=not lacking,
        next_steps=["Add the key, or correct the reference: pods that start anew cannot."] if lacking else (),
    )


_ABOUT: Mapping[str, Callable[[Scene, Any], Finding]] = {
    "ResourceQuota": _quota,
    "NetworkPolicy": _policy,
    "ConfigMap": _config_map,
}
