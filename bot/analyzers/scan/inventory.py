"""What a scan looks at: workloads, what stands around them, and what their containers used. No judgement here."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from bot.analyzers.fields import at, items, labels, mapping, name_of, owner_of, text, when
from bot.analyzers.reading import NOTHING, Read, Reading, cite, objects, whole
from bot.analyzers.scan.measures import DEPRECATED, MEASURES, MOST_SERIES, measure_of
from domain.actions import Target
from domain.diagnosis import Evidence

WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet", "CronJob")
KINDS = (
    *WORKLOADS, "Job", "ReplicaSet", "Pod", "Service", "ConfigMap", "PersistentVolumeClaim", "PodDisruptionBudget",
    "HorizontalPodAutoscaler", "LimitRange", "Certificate",
)  # fmt: skip
OPTIONAL = frozenset({"Certificate"})
"""Kinds that not every cluster serves, or lets the agent read: that there are none of them to be seen says nothing."""

_NOT_GIVEN = " does not let "

LIST, QUERY, MOST = "kubernetes_list", "prometheus_query", 500
AT_ONCE = 6
"""Reads under way at the same time: a scan takes its turn behind nobody's incident."""

SYSTEM = frozenset({"kube-system", "kube-public", "kube-node-lease"})
"""Namespaces that a scan of everything leaves to whoever runs the cluster."""

MANIFEST = "personal-agent.dev/manifest"
"""The annotation that says where a workload's manifest is kept: `shop/deploy@main:orders/deployment.yaml`."""

_MANIFEST = re.compile(
    r"(?P<project>[\w.-]+(?:/[\w.-]+)+)@(?P<branch>[^\s:@]{1,200}):(?P<path>[^\s:]{1,400}\.ya?ml)", re.ASCII
)

Unread = tuple[tuple[str, Reading], ...]
"""What could not be read, and the read that says why."""


@dataclass(frozen=True)
class Thing:
    """One object and the read that showed it."""

    obj: Mapping[str, Any]
    reading: Reading
    environment: str

    @property
    def kind(self) -> str:
        """Its kind."""
        return text(self.obj, "kind")

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return text(self.obj, "metadata", "namespace")

    @property
    def name(self) -> str:
        """Its name."""
        return name_of(self.obj)

    @property
    def target(self) -> Target:
        """What findings about it are about."""
        return Target("kubernetes", self.environment, self.namespace, self.kind, self.name)

    @property
    def template(self) -> Mapping[str, Any]:
        """The pod template of a workload."""
        return mapping(self.obj, *_TEMPLATE.get(self.kind, ("spec", "template")))

    def containers(self) -> list[Mapping[str, Any]]:
        """Its containers, without those that only run at the start."""
        return items(self.template, "spec", "containers")

    def manifest(self) -> dict[str, str]:
        """Where its manifest is kept, as its annotation says: project, branch and path in GitLab; empty where it does not."""
        match = _MANIFEST.fullmatch(text(self.obj, "metadata", "annotations", MANIFEST))
        return match.groupdict() if match else {}

    def alone(self) -> Reading:
        """The read as if it had been of this object only: what a judge of single objects takes."""
        return replace(self.reading, data=self.obj)

    def cite(self, excerpt: str) -> tuple[Evidence, ...]:
        """The read, with what it showed."""
        return cite(self.reading, f"{self.kind} {self.namespace}/{self.name}", excerpt)


_TEMPLATE = {"CronJob": ("spec", "jobTemplate", "spec", "template")}


@dataclass(frozen=True)
class Inventory:
    """Everything that was read. `used` is by namespace, workload and container: bytes, cores, days with samples.

    `whole` are the kinds of which everything was read: only of those does a missing object prove anything.
    """

    scope: Target
    things: tuple[Thing, ...] = ()
    whole: frozenset[str] = frozenset()
    used: Mapping[tuple[str, str, str], Mapping[str, float]] = field(default_factory=dict)
    measures: Mapping[tuple[str, str], Reading] = field(default_factory=dict)
    deprecated: Reading = NOTHING
    unread: Unread = ()

    def of(self, *kinds: str) -> Iterator[Thing]:
        """The things of these kinds."""
        return (thing for thing in self.things if thing.kind in kinds)

    def beside(self, thing: Thing, *kinds: str) -> Iterator[Thing]:
        """The things of these kinds in the same namespace."""
        return (other for kind in kinds for other in self._placed.get((kind, thing.namespace), ()))

    def pods_of(self, thing: Thing) -> list[Thing]:
        """The pods of a workload, a Deployment's by its ReplicaSets."""
        owners = {(thing.kind, thing.name)}
        if thing.kind == "Deployment":
            sets = (
                one.name for one in self.beside(thing, "ReplicaSet") if owner_of(one.obj) == (thing.kind, thing.name)
            )
            owners = {("ReplicaSet", name) for name in sets}
        return [pod for owner in sorted(owners) for pod in self._owned.get((thing.namespace, *owner), ())]

    def mentioned(self, thing: Thing) -> bool:
        """Whether a manifest that makes pods, or a pod, of its namespace has its name in it, wherever."""
        return thing.name in self._manifests.get(thing.namespace, "")

    @property
    def now(self) -> datetime | None:
        """When it was read: time of the reads, not of a clock."""
        readings = {id(thing.reading): thing.reading for thing in self.things}
        return max((moment for one in readings.values() if (moment := when(one.data, "read_at"))), default=None)

    @cached_property
    def _placed(self) -> Mapping[tuple[str, str], list[Thing]]:
        placed: dict[tuple[str, str], list[Thing]] = {}
        for thing in self.things:
            placed.setdefault((thing.kind, thing.namespace), []).append(thing)
        return placed

    @cached_property
    def _owned(self) -> Mapping[tuple[str, str, str], list[Thing]]:
        owned: dict[tuple[str, str, str], list[Thing]] = {}
        for pod in self.of("Pod"):
            owned.setdefault((pod.namespace, *owner_of(pod.obj)), []).append(pod)
        return owned

    @cached_property
    def _manifests(self) -> Mapping[str, str]:
        said: dict[str, list[str]] = {}
        for thing in self.of(*WORKLOADS, "Job", "ReplicaSet", "Pod"):
            said.setdefault(thing.namespace, []).append(json.dumps(thing.obj.get("spec"), ensure_ascii=False))
        return {namespace: "\n".join(texts) for namespace, texts in said.items()}


async def take(scope: Target, read: Read, offered: Collection[str]) -> Inventory:
    """Read everything: lists of all namespaces first, namespace by namespace only where a list is too long."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def paced(name: str, arguments: Mapping[str, Any]) -> Reading:
        async with slots:
            return await read(name, arguments)

    listed = await _listed(scope.namespace, paced) if LIST in offered else []
    failed = {kind for kind, reading in listed if not whole(reading)}
    inventory = Inventory(
        scope,
        tuple(_things(listed, scope)),
        frozenset({kind for kind, _ in listed} - failed),
        unread=tuple(_unread(listed)),
    )
    return await _measured(inventory, paced) if QUERY in offered else inventory


def _unread(listed: Iterable[tuple[str, Reading]]) -> Iterator[tuple[str, Reading]]:
    """Lists that failed, and lists that were cut: what stands behind their end is not judged either."""
    for kind, one in listed:
        if one.ok and not whole(one):
            yield f"every {kind}", replace(one, ok=False, error=f"There are more than {MOST} in one namespace.")
        elif not one.ok and not (kind in OPTIONAL and (one.absent or _NOT_GIVEN in one.error)):
            yield f"every {kind}", one


async def _listed(namespace: str, read: Read) -> list[tuple[str, Reading]]:
    found = await asyncio.gather(*(read(LIST, {"kind": kind, "namespace": namespace, "limit": MOST}) for kind in KINDS))
    long = [kind for kind, one in zip(KINDS, found, strict=True) if one.ok and at(one.data, "more") and not namespace]
    listed = [(kind, one) for kind, one in zip(KINDS, found, strict=True) if kind not in long]
    if not long:
        return listed
    spaces = await read(LIST, {"kind": "Namespace", "limit": MOST})
    if not spaces.ok:
        return [*listed, *((kind, spaces) for kind in long)]
    names = [name_of(space) for space in objects(spaces) if name_of(space) not in SYSTEM]
    asked = [(kind, name) for kind in long for name in names]
    parts = await asyncio.gather(
        *(read(LIST, {"kind": kind, "namespace": name, "limit": MOST}) for kind, name in asked)
    )
    return [*listed, *((kind, part) for (kind, _), part in zip(asked, parts, strict=True))]


def _things(listed: Iterable[tuple[str, Reading]], scope: Target) -> Iterator[Thing]:
    for kind, reading in listed:
        for obj in objects(reading):
            thing = Thing({**obj, "kind": kind}, reading, scope.environment)
            if thing.name and (scope.namespace or thing.namespace not in SYSTEM):
                yield thing


async def _measured(inventory: Inventory, read: Read) -> Inventory:
    """What the containers used over the window, as Prometheus knows it; and old interfaces that are still called."""
    spaces = sorted({thing.namespace for thing in inventory.of("Deployment", "StatefulSet", "DaemonSet")})
    asked = [(what, space) for space in spaces for what in MEASURES]
    answers = await asyncio.gather(
        *(read(QUERY, {"query": measure_of(what, space), "limit": MOST_SERIES}) for what, space in asked)
    )
    used: dict[tuple[str, str, str], dict[str, float]] = {}
    for (what, space), reading in zip(asked, answers, strict=True):
        for workload, container, value in _samples(reading):
            used.setdefault((space, workload, container), {})[what] = value
    deprecated = NOTHING if inventory.scope.namespace else await read(QUERY, {"query": DEPRECATED})
    missed = [("what the containers used", one) for one in answers if not one.ok or at(one.data, "more")][:1]
    missed += [] if deprecated.ok or inventory.scope.namespace else [("old interfaces that are called", deprecated)]
    return replace(
        inventory,
        used=used,
        measures=dict(zip(asked, answers, strict=True)),
        deprecated=deprecated,
        unread=(*inventory.unread, *((what, _failed(one)) for what, one in missed)),
    )


def _failed(reading: Reading) -> Reading:
    error = f"There are more than {MOST_SERIES} containers in one namespace."
    return replace(reading, ok=False, error=error) if reading.ok else reading


def _samples(reading: Reading) -> Iterator[tuple[str, str, float]]:
    for series in items(reading.data, "series") if reading.ok else ():
        names = labels(series, "labels")
        try:
            value = float(text(series, "value"))
        except ValueError:
            continue
        if 0 <= value < 1e18:  # neither NaN nor without end
            yield names.get("workload", ""), names.get("container", ""), value
