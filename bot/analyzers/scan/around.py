"""What stands around workloads: autoscalers and budgets that cannot act, certificates, what nobody uses, old interfaces.

Single objects are judged by the analyzers that judge them in a diagnosis; here is only what is seen across objects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

from bot.analyzers.autoscalers import analyze_autoscalers
from bot.analyzers.certificates import certificate_trouble
from bot.analyzers.fields import at, items, labels, mapping, number, owner_of, when
from bot.analyzers.findings import finding
from bot.analyzers.reading import cite
from bot.analyzers.scan.inventory import WORKLOADS, Inventory, Thing
from bot.analyzers.scan.making import about
from bot.analyzers.scan.usage import size
from bot.analyzers.scene import Scene
from domain.diagnosis import Finding

SETTLED = timedelta(days=7)
"""Younger objects may be about to be used."""

LARGE = 512 * 1024
"""Characters of one ConfigMap: half of what the API takes."""

_USERS = frozenset({*WORKLOADS, "Job", "Pod", "ReplicaSet"})
_GENERATED = ("kube-root-ca.crt", "istio-ca-root-cert", "openshift-service-ca.crt")
_WORSE = {
    "autoscaler.cannot_scale": ("config.autoscaler_cannot_act", "spec.scaleTargetRef", "high"),
    "autoscaler.no_metrics": ("config.autoscaler_cannot_act", "status.conditions[ScalingActive]", "high"),
    "budget.never_allows": ("config.budget_blocks", "spec", "medium"),
    "budget.selects_nothing": ("config.unused", "spec.selector", "low"),
    "certificate.expired": ("config.certificate_expires", "status.notAfter", "high"),
    "certificate.not_renewed": ("config.certificate_expires", "status.notAfter", "high"),
    "certificate.not_issued": ("config.certificate_expires", "status.conditions[Ready]", "high"),
}
"""Findings of the diagnosis that stand for as long as nobody changes the configuration; what else it finds passes by itself."""


def surroundings(inventory: Inventory) -> Iterator[Finding]:
    """Everything that is no workload."""
    for thing in inventory.of("HorizontalPodAutoscaler", "PodDisruptionBudget"):
        for found in analyze_autoscalers(Scene(thing.target, workload=thing.alone(), now=inventory.now)):
            yield from _worse(thing, found)
    for thing in inventory.of("HorizontalPodAutoscaler"):
        yield from _fixed(thing)
    for thing in inventory.of("Certificate"):
        scene = Scene(thing.target, workload=thing.alone(), now=inventory.now)
        if (trouble := certificate_trouble(scene, thing.obj, "")) is not None:
            yield from _worse(thing, trouble)
    for thing in inventory.of("ConfigMap"):
        yield from _large(thing)
    yield from _unused(inventory)
    yield from _deprecated(inventory)


def _worse(thing: Thing, found: Finding) -> Iterator[Finding]:
    """A diagnosis' finding as one about the configuration."""
    if found.code in _WORSE:
        code, where, risk = _WORSE[found.code]
        yield finding(
            code,
            thing.target,
            found.title,
            found.detail,
            [found.evidence],
            next_steps=[str(step) for step in found.facts.get("next_steps", ())],
            field=where,
            value=found.code,
            risk=risk,
        )


def _fixed(thing: Thing) -> Iterator[Finding]:
    """An autoscaler without room; 0 to 0 is how one is switched off."""
    least, most = number(thing.obj, "spec", "minReplicas"), number(thing.obj, "spec", "maxReplicas")
    least = 1 if least is None else least
    if most and least >= most:
        yield about(
            "config.autoscaler_cannot_act", thing, f"{thing.name}: at least {least} and at most {most} replicas",
            "spec.maxReplicas", str(most), f"more than {least}", "There is nothing between for it to do.",
        )  # fmt: skip


def _large(thing: Thing) -> Iterator[Finding]:
    """How long the values are is all that was read of them."""
    told = re.compile(r"\((\d+) characters, not read\)")
    parts = (mapping(thing.obj, "data"), mapping(thing.obj, "binaryData"))
    found = [match for part in parts for value in part.values() if (match := told.fullmatch(str(value)))]
    characters = sum(int(match[1]) for match in found)
    if characters > LARGE:
        yield about(
            "config.oversized", thing, f"ConfigMap {thing.name} holds {size(characters)}",
            "data", size(characters), f"below {size(LARGE)}",
            "The API takes 1 MiB; every node that mounts it keeps a copy, and the next addition may be refused.",
        )  # fmt: skip


def _unused(inventory: Inventory) -> Iterator[Finding]:
    if not inventory.whole >= _USERS:
        return  # what was not read may be who uses it
    settled = partial(_settled, inventory)
    for thing in filter(settled, inventory.of("ConfigMap")):
        if thing.name not in _GENERATED and not inventory.mentioned(thing) and not _read_by_name(thing):
            yield _nobody(thing, "No pod and no workload of its namespace has its name anywhere in its manifest.")
    for thing in filter(settled, inventory.of("PersistentVolumeClaim")):
        if not inventory.mentioned(thing) and not _of_a_set(inventory, thing):
            held = str(at(thing.obj, "spec", "resources", "requests", "storage") or "an unknown size")
            yield _nobody(thing, f"No pod and no workload of its namespace mounts it, and it holds {held}.")
    for thing in filter(settled, inventory.of("Service")):
        selector = labels(thing.obj, "spec", "selector")
        makers = inventory.beside(thing, *WORKLOADS, "Job", "ReplicaSet")
        pods = [labels(one.template, "metadata", "labels") for one in makers]
        pods += [labels(one.obj, "metadata", "labels") for one in inventory.beside(thing, "Pod")]
        if selector and not any(selector.items() <= own.items() for own in pods):
            yield _nobody(thing, "Its selector matches the pods of no workload, so it sends requests nowhere.")


def _settled(inventory: Inventory, thing: Thing) -> bool:
    """Whether it has stood long enough, and nobody else's controller looks after it."""
    made = when(thing.obj, "metadata", "creationTimestamp")
    old = inventory.now is not None and made is not None and inventory.now - made > SETTLED
    return old and not owner_of(thing.obj)[0] and not items(thing.obj, "metadata", "ownerReferences")


def _read_by_name(thing: Thing) -> bool:
    """Whether somebody looks for ConfigMaps of its kind through the API: dashboards, rules, locks are marked for that."""
    marks = (*labels(thing.obj, "metadata", "labels"), *labels(thing.obj, "metadata", "annotations"))
    known = ("grafana", "dashboard", "datasource", "prometheus", "leader", "owner", "sidecar")
    return any(word in mark.rpartition("/")[2].lower() or "leader" in mark for mark in marks for word in known)


def _of_a_set(inventory: Inventory, thing: Thing) -> bool:
    """Whether a StatefulSet made it and takes it again when it grows."""
    sets = [one.name for one in inventory.beside(thing, "StatefulSet")]
    return any(re.search(rf"-{re.escape(name)}-\d+$", thing.name) for name in sets)


def _nobody(thing: Thing, why: str) -> Finding:
    return about(
        "config.unused", thing, f"{thing.kind} {thing.name} is used by nobody",
        "metadata.name", thing.name, "gone, unless somebody outside this namespace uses it", why,
    )  # fmt: skip


def _deprecated(inventory: Inventory) -> Iterator[Finding]:
    for series in items(inventory.deprecated.data, "series") if inventory.deprecated.ok else ():
        names = labels(series, "labels")
        api = "/".join(filter(None, (names.get("group"), names.get("version"), names.get("resource"))))
        removed = names.get("removed_release", "")
        if not api or not removed:
            continue
        yield finding(
            "config.deprecated_api",
            inventory.scope,
            f"{api} is still called, and gone in {removed}",
            f"The API server counts calls of {api}; Kubernetes {removed} does not serve it any more.",
            [cite(inventory.deprecated, "deprecated interfaces in use", f"{api}: removed in {removed}")],
            next_steps=[f"Find who calls {api} in the audit log, and move it to the served version."],
            field=api,
            value=names.get("version", ""),
            wanted="the served version",
            risk="medium",
        )
