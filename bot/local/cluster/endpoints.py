"""Follows readiness: Endpoints and EndpointSlices of services, and the status of disruption budgets."""

from __future__ import annotations

from bot.local.cluster.quantities import percent
from bot.local.cluster.replicasets import is_active, is_ready, owner_reference
from bot.local.cluster.resources import BUDGETS, ENDPOINTS, PODS, SERVICES, SLICES, Obj, Resource
from bot.local.cluster.selecting import object_selector
from bot.local.cluster.store import Store, at, bumped, copied, key


class Endpoints:
    """The endpoint, endpoint-slice and disruption controllers."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def reconcile_service(self, at_: tuple[str, str]) -> None:
        """Writes a service's endpoints: ready pods, and those not ready beside them."""
        service = self._store.get(SERVICES, *at_)
        selector = at(service, "spec.selector")
        if service is None or not selector:
            return
        matches = object_selector({"matchLabels": selector})
        pods = [p for p in self._store.list(PODS, at_[0]) if matches(p["metadata"].get("labels") or {})]
        pods = [p for p in pods if at(p, "status.podIP") and is_active(p)]
        ports = service["spec"].get("ports") or []
        labels = service["metadata"].get("labels") or {}
        self._write(ENDPOINTS, _endpoints(at_, labels, pods, ports))
        self._write(SLICES, _slice(service, pods, ports))

    def reconcile_budget(self, at_: tuple[str, str]) -> None:
        """Counts how many pods a disruption budget can spare."""
        budget = self._store.get(BUDGETS, *at_)
        if budget is None:
            return
        matches = object_selector(budget["spec"].get("selector"))
        pods = [p for p in self._store.list(PODS, at_[0]) if matches(p["metadata"].get("labels") or {})]
        pods = [p for p in pods if is_active(p)]
        healthy, expected = sum(map(is_ready, pods)), len(pods)
        spec = budget["spec"]
        if "minAvailable" in spec:
            desired = percent(spec["minAvailable"], expected)
        else:
            desired = expected - percent(spec.get("maxUnavailable", 0), expected)
        new = copied(budget)
        new["status"] = {
            "currentHealthy": healthy,
            "desiredHealthy": max(0, desired),
            "disruptionsAllowed": max(0, healthy - max(0, desired)),
            "expectedPods": expected,
            "observedGeneration": budget["metadata"]["generation"],
        }
        self._store.update(BUDGETS, new)

    def _write(self, resource: Resource, wanted: Obj) -> None:
        present = self._store.get(resource, *key(wanted))
        if present is None:
            self._store.create(resource, wanted)
            return
        new = present | {k: v for k, v in wanted.items() if k != "metadata"}
        self._store.update(resource, bumped(resource, copied(new), present))


def _address(pod: Obj) -> Obj:
    meta = pod["metadata"]
    target = {"kind": "Pod", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}
    return {"ip": pod["status"]["podIP"], "nodeName": pod["spec"]["nodeName"], "targetRef": target}


def _ports(ports: list[Obj]) -> list[Obj]:
    targets = ((p, p.get("targetPort")) for p in ports)
    return [
        {"name": p.get("name", ""), "port": t if isinstance(t, int) else p["port"], "protocol": "TCP"}
        for p, t in targets
    ]


def _endpoints(at_: tuple[str, str], labels: dict[str, str], pods: list[Obj], ports: list[Obj]) -> Obj:
    meta = {"namespace": at_[0], "name": at_[1], "labels": labels}
    subset: Obj = {}
    for name, ready in (("addresses", True), ("notReadyAddresses", False)):
        if found := [_address(p) for p in pods if is_ready(p) is ready]:
            subset[name] = found
    return {"metadata": meta, "subsets": [subset | {"ports": _ports(ports)}] if subset else []}


def _slice(service: Obj, pods: list[Obj], ports: list[Obj]) -> Obj:
    namespace, name = key(service)
    meta = {
        "namespace": namespace,
        "name": f"{name}-{service['metadata']['uid'][:5]}",
        "labels": {
            "kubernetes.io/service-name": name,
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        },
        "ownerReferences": [owner_reference(service)],
    }
    return {"metadata": meta, "addressType": "IPv4", "endpoints": [_endpoint(p) for p in pods], "ports": _ports(ports)}


def _endpoint(pod: Obj) -> Obj:
    address, ready = _address(pod), is_ready(pod)
    conditions = {"ready": ready, "serving": ready, "terminating": False}
    target = {"nodeName": address["nodeName"], "targetRef": address["targetRef"]}
    return {"addresses": [address["ip"]], "conditions": conditions} | target
