"""What is in the cluster at the start: three nodes, a shop that has been running for weeks, and its surroundings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.local.cluster.behaviour import Behaviour
from bot.local.cluster.defaults import default
from bot.local.cluster.kubelet import Kubelet
from bot.local.cluster.pace import timestamp
from bot.local.cluster.replicasets import pod_from
from bot.local.cluster.resources import (
    BUDGETS,
    CONFIGMAPS,
    DEPLOYMENTS,
    NAMESPACES,
    NODES,
    PODS,
    REPLICASETS,
    SECRETS,
    SERVICES,
    Obj,
)
from bot.local.cluster.revisions import REVISION, new_replicaset, with_condition
from bot.local.cluster.store import Store, suffix

REGISTRY = "registry.acme.dev"
NODE_NAMES = ("node-a", "node-b", "node-c")


def _requests(*paths: str) -> tuple[str, ...]:
    return tuple(
        f'level=info msg="request" path={path} status=200 duration_ms={7 + 3 * i}' for i, path in enumerate(paths)
    )


_CHECKOUT = Behaviour(
    ready_after=2.0,
    log_lines=('level=info msg="connected to postgres" host=db.shop:5432', 'level=info msg="listening" port=8080'),
    steady_lines=_requests("/cart/8231/checkout", "/cart/9120/checkout", "/healthz", "/cart/7755/checkout"),
    memory_mib=140,
)
_CART = Behaviour(
    log_lines=('level=info msg="connected to redis" host=redis.shop:6379', 'level=info msg="listening" port=8080'),
    steady_lines=_requests("/cart/8231", "/cart/9120/items", "/healthz"),
)
_PAYMENTS = Behaviour(
    log_lines=('level=info msg="loaded 214 fraud rules"', 'level=info msg="listening" port=8080'),
    steady_lines=_requests("/charge", "/charge", "/refund", "/healthz"),
    memory_mib=170,
)
_WEB = Behaviour(
    log_lines=("nginx: configuration file /etc/nginx/nginx.conf test is successful", "start worker processes"),
    steady_lines=('10.42.0.9 "GET / HTTP/1.1" 200 5120', '10.42.0.9 "GET /assets/app.js HTTP/1.1" 200 88102'),
    memory_mib=40,
)

IMAGES: dict[str, Behaviour] = {
    **{f"{REGISTRY}/shop/checkout:{tag}": _CHECKOUT for tag in ("2.3.9", "2.4.0", "2.4.1")},
    f"{REGISTRY}/shop/checkout:2.5.0": Behaviour(
        crash_exit_code=1,
        log_lines=(
            'level=info msg="starting checkout" version=2.5.0 commit=9f31c2e',
            'level=info msg="connected to postgres" host=db.shop:5432',
            'level=error msg="startup query failed" error="column \\"tax_region\\" of relation \\"orders\\" does not exist"',
            'level=fatal msg="database schema is at migration 0041, this build needs 0042_add_tax_region" exit=1',
        ),
        memory_mib=90,
    ),
    **{f"{REGISTRY}/shop/cart:{tag}": _CART for tag in ("1.8.2", "1.9.0")},
    **{f"{REGISTRY}/shop/payments:{tag}": _PAYMENTS for tag in ("3.1.3", "3.1.4")},
    f"{REGISTRY}/shop/payments:3.2.0": Behaviour(
        log_lines=(
            'level=info msg="starting payments" version=3.2.0',
            'level=info msg="loading fraud model into memory" file=fraud-v7.onnx size_mib=212',
            'level=info msg="listening" port=8080',
        ),
        steady_lines=_requests("/charge", "/refund", "/healthz"),
        memory_mib=331,
    ),
    **{f"{REGISTRY}/shop/web:{tag}": _WEB for tag in ("5.6.0", "5.7.0", "5.7.1")},
}


@dataclass(frozen=True, slots=True)
class App:
    """One seeded deployment. history: (image tag, days ago, change cause), oldest first; the last one runs."""

    namespace: str
    name: str
    image: str
    history: tuple[tuple[str, float, str], ...]
    replicas: int = 2
    memory: str = "256Mi"
    port: int = 8080
    env: tuple[tuple[str, str], ...] = ()
    max_unavailable: int | str = "25%"
    service: bool = True


SHOP = (
    App(
        "shop",
        "checkout",
        f"{REGISTRY}/shop/checkout",
        (
            ("2.3.9", 41, "CI #1841: checkout 2.3.9"),
            ("2.4.0", 16, "CI #1902: checkout 2.4.0, new tax engine behind a flag"),
            ("2.4.1", 6, "CI #1937: checkout 2.4.1, retry of payment webhooks"),
        ),
        replicas=3,
        memory="512Mi",
        env=(("DATABASE_HOST", "db.shop:5432"), ("TAX_ENGINE", "legacy")),
        max_unavailable=1,
    ),
    App(
        "shop",
        "cart",
        f"{REGISTRY}/shop/cart",
        (("1.8.2", 33, "CI #1866: cart 1.8.2"), ("1.9.0", 12, "CI #1911: cart 1.9.0")),
        env=(("REDIS_HOST", "redis.shop:6379"),),
    ),
    App(
        "shop",
        "payments",
        f"{REGISTRY}/shop/payments",
        (("3.1.3", 28, "CI #1873: payments 3.1.3"), ("3.1.4", 9, "CI #1925: payments 3.1.4")),
    ),
    App(
        "shop",
        "web",
        f"{REGISTRY}/shop/web",
        (
            ("5.6.0", 35, "CI #1859: web 5.6.0"),
            ("5.7.0", 14, "CI #1908: web 5.7.0"),
            ("5.7.1", 3, "CI #1949: web 5.7.1"),
        ),
        memory="128Mi",
        port=80,
    ),
    App(
        "staging-shop", "checkout", f"{REGISTRY}/shop/checkout", (("2.4.1", 8, "CI #1930: checkout 2.4.1"),), replicas=1
    ),
    App("monitoring", "prometheus", "quay.io/prometheus/prometheus", (("v3.5.0", 60, ""),), 1, "2Gi", 9090),
    App("monitoring", "alertmanager", "quay.io/prometheus/alertmanager", (("v0.28.1", 60, ""),), 1, "256Mi", 9093),
    App("kube-system", "coredns", "registry.k8s.io/coredns/coredns", (("v1.12.1", 90, ""),), 2, "170Mi", 53),
)


def seed(store: Store, kubelet: Kubelet, *, shop: bool) -> None:
    """Fills an empty store. shop: also the workloads, running for days already."""
    for name in ("default", "kube-system", *(("monitoring", "shop", "staging-shop") if shop else ())):
        store.create(NAMESPACES, _namespace(name))
    for i, name in enumerate(NODE_NAMES):
        store.create(NODES, _node(i, name))
    for app in SHOP if shop else ():
        _seed_app(store, kubelet, app)
    if shop:
        _seed_configuration(store)


def _namespace(name: str) -> Obj:
    labels = {"kubernetes.io/metadata.name": name}
    meta = {"name": name, "labels": labels, "creationTimestamp": _days(120)}
    return {"metadata": meta, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}


def _days(days: float) -> str:
    return timestamp(datetime.now(UTC) - timedelta(days=days))


def _node(index: int, name: str) -> Obj:
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "topology.kubernetes.io/zone": f"eu-central-1{'abc'[index]}",
    }
    healthy = (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    )
    conditions = [
        {"type": t, "status": s, "reason": r, "message": m}
        | {"lastHeartbeatTime": timestamp(), "lastTransitionTime": _days(90)}
        for t, s, r, m in healthy
    ]
    capacity = {"cpu": "4", "memory": "16384000Ki", "pods": "500", "ephemeral-storage": "102400Mi"}
    info = {
        "machineID": f"{index:032x}",
        "systemUUID": f"{index:032x}",
        "bootID": f"{index:032x}",
        "kernelVersion": "6.8.0-45-generic",
        "osImage": "Ubuntu 24.04.1 LTS",
        "containerRuntimeVersion": "containerd://2.0.5",
        "kubeletVersion": "v1.33.4",
        "kubeProxyVersion": "v1.33.4",
        "operatingSystem": "linux",
        "architecture": "amd64",
    }
    addresses = [{"type": "InternalIP", "address": f"10.0.0.{11 + index}"}, {"type": "Hostname", "address": name}]
    status = {"capacity": capacity, "allocatable": dict(capacity), "conditions": conditions}
    meta = {"name": name, "labels": labels, "creationTimestamp": _days(120)}
    return {"metadata": meta, "spec": {}, "status": status | {"addresses": addresses, "nodeInfo": info}}


def _deployment(app: App, tag: str, cause: str, days: float) -> Obj:
    labels = {"app": app.name}
    container: Obj = {
        "name": app.name,
        "image": f"{app.image}:{tag}",
        "ports": [{"containerPort": app.port, "name": "http"}],
        "resources": {"requests": {"cpu": "100m", "memory": app.memory}, "limits": {"memory": app.memory}},
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 2},
    }
    if app.env:
        container["env"] = [{"name": name, "value": value} for name, value in app.env]
    meta: Obj = {
        "name": app.name,
        "namespace": app.namespace,
        "labels": {**labels, "app.kubernetes.io/part-of": "shop"},
    }
    meta["creationTimestamp"] = _days(days)
    if cause:
        meta["annotations"] = {"kubernetes.io/change-cause": cause}
    spec: Obj = {
        "replicas": app.replicas,
        "selector": {"matchLabels": labels},
        "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": app.max_unavailable}},
        "progressDeadlineSeconds": 240,
        "template": {"metadata": {"labels": dict(labels)}, "spec": {"containers": [container]}},
    }
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}
    default(deployment)
    return deployment


def _seed_app(store: Store, kubelet: Kubelet, app: App) -> None:
    first, (tag, days, cause) = app.history[0][1], app.history[-1]
    present = _deployment(app, tag, cause, first)
    present["metadata"] |= {"generation": 2 * len(app.history) - 1}
    present["metadata"]["annotations"] = present["metadata"].get("annotations", {}) | {REVISION: str(len(app.history))}
    present["status"] = {"conditions": _complete(days)}
    if app.service:
        _service(store, app)
    deployment = store.create(DEPLOYMENTS, present)
    for revision, (old_tag, old_days, old_cause) in enumerate(app.history, 1):
        version = _deployment(app, old_tag, old_cause, old_days)
        version["metadata"]["uid"] = deployment["metadata"]["uid"]
        replicaset = new_replicaset(version, revision)
        replicaset["metadata"]["creationTimestamp"] = _days(old_days)
        if revision == len(app.history):
            replicaset["spec"]["replicas"] = app.replicas
        stored = store.create(REPLICASETS, replicaset)
    for i in range(app.replicas):
        _seed_pod(store, kubelet, stored, NODE_NAMES[i % len(NODE_NAMES)], days)


def _complete(days: float) -> list[Obj]:
    found = with_condition([], "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    found = with_condition(
        found, "Progressing", "True", "NewReplicaSetAvailable", "ReplicaSet has successfully progressed."
    )
    return [c | {"lastUpdateTime": _days(days), "lastTransitionTime": _days(days)} for c in found]


def _seed_pod(store: Store, kubelet: Kubelet, replicaset: Obj, node: str, days: float) -> None:
    pod = pod_from(replicaset["spec"]["template"], replicaset) | {"apiVersion": "v1", "kind": "Pod"}
    pod["metadata"] |= {"name": f"{replicaset['metadata']['name']}-{suffix()}", "creationTimestamp": _days(days)}
    default(pod)
    pod["spec"]["nodeName"] = node
    pod["status"] = {"phase": "Running"}
    started = datetime.now(UTC) - timedelta(days=days)
    kubelet.adopt(store.create(PODS, pod), started)


def _service(store: Store, app: App) -> None:
    meta = {"name": app.name, "namespace": app.namespace, "labels": {"app": app.name}, "creationTimestamp": _days(90)}
    address = f"10.96.0.{len(store.list(SERVICES)) + 10}"
    spec = {
        "type": "ClusterIP",
        "clusterIP": address,
        "clusterIPs": [address],
        "selector": {"app": app.name},
        "ports": [{"name": "http", "port": 80, "targetPort": app.port, "protocol": "TCP"}],
    }
    service = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec, "status": {"loadBalancer": {}}}
    default(service)
    store.create(SERVICES, service)


def _seed_configuration(store: Store) -> None:
    settings = {"metadata": {"name": "shop-settings", "namespace": "shop"}, "data": {"currency": "EUR"}}
    store.create(CONFIGMAPS, settings)
    secret = {"metadata": {"name": "db", "namespace": "shop"}, "type": "Opaque", "data": {"password": "Y2hhbmdlLW1l"}}
    store.create(SECRETS, secret)
    selector = {"matchLabels": {"app": "checkout"}}
    budget = {"metadata": {"name": "checkout", "namespace": "shop"}, "spec": {"minAvailable": 2, "selector": selector}}
    store.create(BUDGETS, budget)
