"""A namespace in which a scan finds nothing, the ways to spoil it, and what its containers used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from bot.analyzers import analyze
from domain.actions import Target
from domain.diagnosis import Finding
from domain.scans import CONFIGURATION
from tests.unit.kube import NOW, Obj, World, ago, progressing, stamp

GI, MI = 2**30, 2**20
SHOP = Target(CONFIGURATION, "production", "shop")
EVERYWHERE = Target(CONFIGURATION, "production")

USUAL = {"memory": 400 * MI, "memory_max": 500 * MI, "cpu": 0.4, "days": 7}
"""What fits a request of 512Mi and 500m, and a limit of 1Gi."""


class Measured(World):
    """A world with a Prometheus that knows what the container `app` of `checkout` used, and the interfaces that are called."""

    def __init__(
        self, *objects: Obj, used: Mapping[str, float] | None = None, deprecated: tuple[Obj, ...] = (), **more: Any
    ):
        super().__init__(*objects, **more)
        self.used, self.deprecated = {**USUAL, **(used or {})}, deprecated

    def _prometheus_query(self, arguments: Mapping[str, Any]) -> Obj:
        query = arguments["query"]
        if "deprecated" in query:
            return {"series": [{"labels": labels, "value": "1"} for labels in self.deprecated], "read_at": stamp(NOW)}
        what = next(name for name, mark in MARKS.items() if re.search(mark, query))
        labels = {"workload": "checkout", "container": "app"}
        known = 'namespace="shop"' in query and what in self.used
        return {"series": [{"labels": labels, "value": str(self.used[what])}] if known else [], "read_at": stamp(NOW)}


MARKS = {"memory_max": "max_over_time", "cpu": "cpu_usage", "days": "count_over_time", "memory": "quantile_over_time"}


def obj(kind: str, name: str, *, labels: Mapping[str, str] | None = None, age_days: float = 30, **parts: Any) -> Obj:
    metadata = {
        "name": name,
        "namespace": "shop",
        "labels": dict(labels or {}),
        "creationTimestamp": ago(days=age_days),
    }
    return {"kind": kind, "metadata": metadata, **parts}


def app(**changes: Any) -> Obj:
    """The container of `checkout`, as it should be."""
    return {
        "name": "app",
        "image": "registry.test/checkout:2.4.1",
        "ports": [{"containerPort": 8080, "name": "http"}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
        "resources": {"requests": {"memory": "512Mi", "cpu": "500m"}, "limits": {"memory": "1Gi"}},
    } | changes


def sized(requests: Obj, limits: Obj | None = None) -> Obj:
    return app(resources={"requests": requests, "limits": limits or {}})


def workload(
    *containers: Obj,
    kind: str = "Deployment",
    name: str = "checkout",
    replicas: int = 3,
    pod: Obj | None = None,
    **spec: Any,
) -> Obj:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": list(containers) or [app()], **(pod or {})},
    }
    made = obj(kind, name)
    made["metadata"]["generation"] = 4
    done = {"observedGeneration": 4, "replicas": replicas, "conditions": [progressing("NewReplicaSetAvailable")]}
    return made | {"spec": {"replicas": replicas, "template": template, **spec}, "status": done}


def service(name: str = "checkout", selects: str = "checkout", port: Any = "http", **more: Any) -> Obj:
    return obj(
        "Service", name, spec={"selector": {"app": selects}, "ports": [{"port": 80, "targetPort": port}]}, **more
    )


def budget(allowed: int = 1, wanted: int = 2, expected: int = 3) -> Obj:
    status = {
        "disruptionsAllowed": allowed,
        "currentHealthy": expected,
        "desiredHealthy": wanted,
        "expectedPods": expected,
    }
    spec = {"minAvailable": wanted, "selector": {"matchLabels": {"app": "checkout"}}}
    return obj("PodDisruptionBudget", "checkout", spec=spec, status=status)


def autoscaler(*conditions: Obj, least: int = 3, most: int = 9, resource: str = "cpu") -> Obj:
    target = {"kind": "Deployment", "name": "checkout"}
    metric = {"type": "Resource", "resource": {"name": resource, "target": {"averageUtilization": 70}}}
    spec = {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": most, "metrics": [metric]}
    return obj(
        "HorizontalPodAutoscaler", "checkout", spec=spec, status={"currentReplicas": 3, "conditions": list(conditions)}
    )


def limit_range(**rule: Any) -> Obj:
    return obj("LimitRange", "defaults", spec={"limits": [{"type": "Container", **rule}]})


def replica_set(hashed: str, replicas: int) -> Obj:
    made = obj("ReplicaSet", f"checkout-{hashed}", spec={"replicas": replicas})
    made["metadata"]["ownerReferences"] = [{"kind": "Deployment", "name": "checkout", "controller": True}]
    return made


def pod(number: int, digest: str, hashed: str = "7d9c5b8f4d") -> Obj:
    made = obj("Pod", f"checkout-{hashed}-{number}", labels={"app": "checkout", "pod-template-hash": hashed})
    owner = {"kind": "ReplicaSet", "name": f"checkout-{hashed}", "controller": True}
    made["metadata"]["ownerReferences"] = [owner]
    state = {"name": "app", "ready": True, "restartCount": 0, "imageID": f"registry.test/checkout@sha256:{digest}"}
    ready = [{"type": "Ready", "status": "True"}]
    status = {"phase": "Running", "containerStatuses": [state], "conditions": ready}
    return made | {"spec": {"containers": [app(image="registry.test/checkout:2.4")]}, "status": status}


def config_map(name: str = "old-flags", size: int = 100, **more: Any) -> Obj:
    return obj("ConfigMap", name, data={"flags.json": f"({size} characters, not read)"}, **more)


def claim(name: str = "old-data") -> Obj:
    return obj("PersistentVolumeClaim", name, spec={"resources": {"requests": {"storage": "100Gi"}}})


def certificate(*, ends: str, renews: str = "", ready: str = "True") -> Obj:
    status = {"notAfter": ends, "renewalTime": renews, "conditions": [{"type": "Ready", "status": ready}]}
    return obj("Certificate", "shop-tls", spec={"secretName": "shop-tls"}, status=status)


def healthy(*instead: Obj) -> list[Obj]:
    """The namespace without fault; of a kind and name that is given, what is given."""
    usual = [workload(), service(), budget()]
    given = {(one["kind"], one["metadata"]["name"]) for one in instead}
    return [*(one for one in usual if (one["kind"], one["metadata"]["name"]) not in given), *instead]


async def scanned(
    *instead: Obj,
    scope: Target = SHOP,
    offered: tuple[str, ...] = ("kubernetes_list", "prometheus_query"),
    **world: Any,
) -> dict[str, Finding]:
    """What a scan says of the namespace with these objects in it."""
    found = await analyze(scope, None, Measured(*deepcopy(healthy(*instead)), **world).read, offered)
    return {one.code: one for one in found}
