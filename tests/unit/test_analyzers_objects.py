"""Targets that are no workloads: what they name that is not there, and that healthy ones which look ill stay silent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.analyzers import analyze
from domain.alerts import Alert
from domain.diagnosis import Finding
from tests.unit.kube import CHECKOUT, NOW, Obj, World, ago, crashing_pod, deployment, event, good_pod


def plain(kind: str, name: str, *, annotations: dict[str, str] | None = None, **parts: Any) -> Obj:
    return {"kind": kind, "metadata": {"name": name, "namespace": "shop", "annotations": annotations or {}}, **parts}


async def about(
    kind: str, name: str, *objects: Obj, alert: str = "", events: tuple[Obj, ...] = ()
) -> dict[str, Finding]:
    """What is said of one object, the first of `objects` included."""
    target = replace(CHECKOUT, kind=kind, name=name)
    fired = Alert("f", True, alert, "alertmanager", NOW, target=target) if alert else None
    return {item.code: item for item in await analyze(target, fired, World(*objects, events=events).read)}


async def test_an_object_that_does_not_exist_is_a_failed_read() -> None:
    assert list(await about("Ingress", "gone")) == ["read.failed"]


async def test_a_kind_that_nobody_knows_is_not_looked_at() -> None:
    assert await about("Kafka", "events") == {}


# --- autoscalers


def autoscaler(*conditions: tuple[str, str, str, str], now: int = 3) -> Obj:
    told = [dict(zip(("type", "status", "reason", "message"), one, strict=True)) for one in conditions]
    wanted = {"resource": {"name": "cpu", "target": {"averageUtilization": 70}}}
    used = {"resource": {"name": "cpu", "current": {"averageUtilization": 96}}}
    return plain(
        "HorizontalPodAutoscaler",
        "checkout",
        spec={
            "scaleTargetRef": {"kind": "Deployment", "name": "checkout"},
            "minReplicas": 2,
            "maxReplicas": 5,
            "metrics": [wanted],
        },
        status={"currentReplicas": now, "conditions": told, "currentMetrics": [used]},
    )


async def test_an_autoscaler_at_its_maximum_says_what_it_measures() -> None:
    own = autoscaler(("ScalingLimited", "True", "TooManyReplicas", "the desired count is more than the maximum"), now=5)
    said = await about("HorizontalPodAutoscaler", "checkout", own, deployment(ready=3))
    assert "5 of maxReplicas 5" in said["autoscaler.at_maximum"].title
    assert "cpu 96 % of 70 % wanted" in said["autoscaler.at_maximum"].detail
    assert said["autoscaler.at_maximum"].proposal is None


@pytest.mark.parametrize(
    "state",
    [
        ("ScalingLimited", "True", "TooFewReplicas", "the desired count is less than the minimum"),
        ("ScalingActive", "False", "ScalingDisabled", "scaling is disabled since the replica count is zero"),
        ("ScalingLimited", "False", "DesiredWithinRange", ""),
    ],
)
async def test_an_autoscaler_at_its_minimum_or_switched_off_is_healthy(state: tuple[str, str, str, str]) -> None:
    said = await about("HorizontalPodAutoscaler", "checkout", autoscaler(state), deployment(ready=3))
    assert "autoscaler.healthy" in said
    assert all(item.healthy for item in said.values())


async def test_an_autoscaler_without_metrics_says_which_request_is_missing() -> None:
    own = autoscaler(("ScalingActive", "False", "FailedGetResourceMetric", "missing request for cpu in container app"))
    said = (await about("HorizontalPodAutoscaler", "checkout", own, deployment(ready=3)))["autoscaler.no_metrics"]
    assert "missing request for cpu in container app" in said.title
    assert said.facts["next_steps"] == ["Give every container of the pods a request for that resource."]


async def test_an_autoscaler_whose_target_is_gone_names_it() -> None:
    own = autoscaler(("AbleToScale", "False", "FailedGetScale", 'deployments.apps "checkout" not found'))
    said = await about("HorizontalPodAutoscaler", "checkout", own)
    assert "cannot scale Deployment checkout" in said["autoscaler.cannot_scale"].title


# --- budgets


def budget(allowed: int, healthy: int, wanted: int, expected: int = 3) -> Obj:
    figures = {
        "disruptionsAllowed": allowed,
        "currentHealthy": healthy,
        "desiredHealthy": wanted,
        "expectedPods": expected,
    }
    spec = {"minAvailable": wanted, "selector": {"matchLabels": {"app": "checkout"}}}
    return plain("PodDisruptionBudget", "checkout", spec=spec, status=figures)


@pytest.mark.parametrize(
    ("own", "code"),
    [
        (budget(0, 3, 3), "budget.never_allows"),
        (budget(0, 1, 2), "budget.unhealthy_pods"),
        (budget(0, 0, 2, expected=0), "budget.selects_nothing"),
        (budget(1, 3, 2), "budget.healthy"),
    ],
)
async def test_a_budget_tells_which_of_its_figures_holds_pods_back(own: Obj, code: str) -> None:
    assert list(await about("PodDisruptionBudget", "checkout", own)) == [code]


async def test_a_budget_of_crashing_pods_leads_to_what_crashes_them() -> None:
    said = await about("PodDisruptionBudget", "checkout", budget(0, 0, 2), deployment(ready=0), crashing_pod())
    assert {"pod.crash_loop", "budget.unhealthy_pods"} <= set(said)
    assert next(iter(said)) == "pod.crash_loop"


# --- Ingresses


def ingress(*backends: tuple[str, Any], **spec: Any) -> Obj:
    paths = [{"path": f"/{name}", "backend": {"service": {"name": name, "port": port}}} for name, port in backends]
    rule = {"host": "acme.test", "http": {"paths": paths}}
    return plain("Ingress", "web", spec={"ingressClassName": "nginx", "rules": [rule], **spec})


NGINX = plain("IngressClass", "nginx")
WEB = plain("Service", "web", spec={"ports": [{"port": 80, "name": "http"}], "selector": {"app": "web"}})


@pytest.mark.parametrize(
    ("own", "others", "code", "words"),
    [
        (
            ingress(("web", {"number": 80}), ingressClassName="haproxy"),
            [NGINX, WEB],
            "ingress.class_missing",
            "haproxy",
        ),
        (
            ingress(("web", {"number": 80}), ingressClassName=None),
            [NGINX, WEB],
            "ingress.no_class",
            "none is the default",
        ),
        (ingress(("wbe", {"number": 80})), [NGINX, WEB], "ingress.no_such_service", "Service wbe"),
        (ingress(("web", {"number": 8080})), [NGINX, WEB], "ingress.no_such_port", "port 8080"),
        (ingress(("web", {"name": "https"})), [NGINX, WEB], "ingress.no_such_port", "port https"),
    ],
)
async def test_what_an_ingress_names_and_is_not_there_is_said(
    own: Obj, others: list[Obj], code: str, words: str
) -> None:
    assert words in (await about("Ingress", "web", own, *others))[code].title


async def test_a_whole_ingress_is_healthy_and_leads_to_what_is_behind_it() -> None:
    pods = [good_pod("web-new-a", revision="new", owner="web")]
    said = await about("Ingress", "web", ingress(("web", {"name": "http"})), NGINX, WEB, *pods)
    assert {"ingress.healthy", "service.healthy"} == set(said)


@pytest.mark.parametrize(
    "own",
    [
        plain("Ingress", "web", annotations={"kubernetes.io/ingress.class": "nginx"}, spec={"rules": []}),
        plain(
            "Ingress",
            "web",
            spec={"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}, "ingressClassName": "nginx"},
        ),
    ],
)
async def test_the_old_annotation_and_a_default_backend_are_no_faults(own: Obj) -> None:
    assert "ingress.healthy" in await about("Ingress", "web", own, NGINX, WEB)


@pytest.mark.parametrize(
    ("own", "service"),
    [
        (ingress(("to-https", {"name": "use-annotation"})), WEB),
        (
            ingress(("web", {"number": 443})),
            plain("Service", "web", spec={"type": "ExternalName", "externalName": "a.test"}),
        ),
    ],
)
async def test_an_action_of_the_controller_and_a_name_in_dns_are_no_faults(own: Obj, service: Obj) -> None:
    assert "ingress.healthy" in await about("Ingress", "web", own, NGINX, service)


async def test_without_a_class_the_default_class_serves() -> None:
    default = plain("IngressClass", "nginx", annotations={"ingressclass.kubernetes.io/is-default-class": "true"})
    assert "ingress.healthy" in await about("Ingress", "web", ingress(ingressClassName=None), default, WEB)


async def test_the_certificate_behind_an_ingress_is_looked_at_by_its_secret() -> None:
    own = ingress(("web", {"number": 80}), tls=[{"secretName": "web-tls"}])
    expired = plain("Certificate", "web", spec={"secretName": "web-tls"}, status={"notAfter": ago(hours=2)})
    other = plain("Certificate", "shop", spec={"secretName": "shop-tls"}, status={"notAfter": ago(hours=2)})
    said = await about("Ingress", "web", own, NGINX, WEB, expired, other)
    assert said["certificate.expired"].title.startswith("Certificate web expired")


async def test_the_controllers_own_warning_is_told() -> None:
    warned = event("web", "Rejected", "invalid annotation proxy-body-size", kind="Ingress")
    said = await about("Ingress", "web", ingress(), NGINX, WEB, events=(warned,))
    assert "proxy-body-size" in said["ingress.warning"].title


# --- certificates


def certificate(ready: str = "True", **status: Any) -> Obj:
    conditions = [{"type": "Ready", "status": ready, "reason": "Pending", "message": "the order is invalid"}]
    return plain("Certificate", "web", spec={"secretName": "web-tls"}, status={"conditions": conditions, **status})


@pytest.mark.parametrize(
    ("own", "code"),
    [
        (certificate(notAfter=ago(days=1)), "certificate.expired"),
        (certificate("False"), "certificate.not_issued"),
        (certificate(notAfter=ago(days=-9), renewalTime=ago(days=3)), "certificate.not_renewed"),
        (certificate(notAfter=ago(days=-3)), "certificate.not_renewed"),
        (
            certificate(notAfter=ago(hours=-9), renewalTime=ago(hours=-1)),
            "certificate.healthy",
        ),  # a short life is no fault
        (certificate(notAfter=ago(days=-60), renewalTime=ago(minutes=10)), "certificate.healthy"),
        (certificate(notAfter=ago(days=-60)), "certificate.healthy"),
    ],
)
async def test_a_certificate_is_judged_by_its_renewal_not_by_its_age(own: Obj, code: str) -> None:
    assert list(await about("Certificate", "web", own)) == [code]


# --- Gateways


def route(backend: str = "web", port: int = 80, parent: str = "edge", **status: Any) -> Obj:
    spec = {"parentRefs": [{"name": parent}], "rules": [{"backendRefs": [{"name": backend, "port": port}]}]}
    return plain("HTTPRoute", "web", spec=spec, status=status)


EDGE = plain("Gateway", "edge", spec={"gatewayClassName": "cilium"})
REFUSED = {
    "parentRef": {"name": "edge"},
    "conditions": [{"type": "Accepted", "status": "False", "reason": "NoMatchingListenerHostname"}],
}


@pytest.mark.parametrize(
    ("own", "code", "words"),
    [
        (route(parent="egde"), "route.no_such_gateway", "Gateway egde"),
        (route(backend="wbe"), "route.no_such_backend", "Service wbe does not exist"),
        (route(port=81), "route.no_such_backend", "has no port 81"),
        (route(parents=[REFUSED]), "route.not_accepted", "NoMatchingListenerHostname"),
        (route(), "route.healthy", "accepted"),
    ],
)
async def test_what_a_route_names_and_is_not_there_is_said(own: Obj, code: str, words: str) -> None:
    assert words in (await about("HTTPRoute", "web", own, EDGE, WEB))[code].title


async def test_a_route_with_parents_in_two_namespaces_is_judged_by_the_first_ones_namespace() -> None:
    own = route()
    own["spec"]["parentRefs"].append({"name": "inner", "namespace": "infra"})
    world = World(own, EDGE, WEB)
    await analyze(replace(CHECKOUT, kind="HTTPRoute", name="web"), None, world.read)
    read = [arguments["namespace"] for _, arguments in world.asked if arguments.get("kind") == "Gateway"]
    assert read == ["shop"]


def gateway(*states: tuple[str, str], **listener: str) -> Obj:
    told = [{"type": kind, "status": value, "reason": "Why", "message": "because"} for kind, value in states]
    own = [{"name": "https", "conditions": [{"type": k, "status": v, "reason": "BadRef"} for k, v in listener.items()]}]
    return plain("Gateway", "edge", spec={"gatewayClassName": "cilium"}, status={"conditions": told, "listeners": own})


@pytest.mark.parametrize(
    ("own", "code", "words"),
    [
        (gateway(("Programmed", "False")), "gateway.not_accepted", "Programmed is False, Why: because"),
        (gateway(ResolvedRefs="False"), "gateway.not_accepted", "listener https: ResolvedRefs"),
        (gateway(("Accepted", "Unknown"), ("Programmed", "True")), "gateway.healthy", "accepted"),
    ],
)
async def test_a_gateway_says_which_condition_fails(own: Obj, code: str, words: str) -> None:
    assert words in (await about("Gateway", "edge", own, plain("GatewayClass", "cilium")))[code].title


async def test_a_gateway_class_that_does_not_exist_is_named() -> None:
    said = await about("Gateway", "edge", gateway(), plain("GatewayClass", "istio"))
    assert "GatewayClass cilium" in said["gateway.class_missing"].title
    assert "istio" in said["gateway.class_missing"].detail


async def test_a_class_that_no_controller_accepted_is_said_of_its_gateway() -> None:
    refused = {"type": "Accepted", "status": "False", "reason": "InvalidParameters", "message": "no such config"}
    own = plain("GatewayClass", "cilium", status={"conditions": [refused]})
    said = await about("Gateway", "edge", gateway(), own)
    assert "class cilium: Accepted is False, InvalidParameters: no such config" in said["gateway.not_accepted"].title


# --- quotas, policies, ConfigMaps, namespaces


@pytest.mark.parametrize(
    ("used", "code"),
    [("4", "quota.full"), ("3700m", "quota.nearly_full"), ("2", "quota.healthy"), ("odd", "quota.healthy")],
)
async def test_a_quota_is_judged_by_its_fullest_resource(used: str, code: str) -> None:
    figures = {"hard": {"requests.cpu": "4", "pods": "10"}, "used": {"requests.cpu": used, "pods": "1"}}
    assert list(await about("ResourceQuota", "team", plain("ResourceQuota", "team", status=figures))) == [code]


async def test_a_policy_that_selects_no_pods_is_said() -> None:
    own = plain(
        "NetworkPolicy", "web", spec={"podSelector": {"matchLabels": {"app": "wbe"}}, "policyTypes": ["Ingress"]}
    )
    assert "app=wbe" in (await about("NetworkPolicy", "web", own, good_pod()))["network_policy.selects_nothing"].title


async def test_a_policy_that_selects_pods_is_told_and_is_no_fault() -> None:
    own = plain("NetworkPolicy", "web", spec={"podSelector": {}, "policyTypes": ["Ingress"]})
    said = await about("NetworkPolicy", "web", own, good_pod())
    assert said["network_policy.told"].healthy
    assert "no ingress at all" in said["network_policy.told"].title


def keyed(optional: bool = False) -> Obj:
    ref = {"name": "settings", "key": "smtp.host"} | ({"optional": True} if optional else {})
    one = deployment(ready=3)
    one["spec"]["template"] = {
        "spec": {"containers": [{"name": "app", "env": [{"name": "H", "valueFrom": {"configMapKeyRef": ref}}]}]}
    }
    return one


async def test_a_key_that_a_deployment_names_and_a_config_map_lacks_is_said() -> None:
    said = await about("ConfigMap", "settings", plain("ConfigMap", "settings", data={"smtp.hostname": "x"}), keyed())
    assert "no key smtp.host, which Deployment checkout" in said["config.lacks_key"].title


@pytest.mark.parametrize(("data", "optional"), [({"smtp.host": "x"}, False), ({}, True)])
async def test_a_key_that_is_there_or_optional_is_no_fault(data: dict[str, str], optional: bool) -> None:
    said = await about("ConfigMap", "settings", plain("ConfigMap", "settings", data=data), keyed(optional))
    assert list(said) == ["config.healthy"]


# --- storage


def claim(phase: str = "Pending", **spec: Any) -> Obj:
    status: Obj = {"phase": phase} | ({"capacity": {"storage": "10Gi"}} if phase == "Bound" else {})
    return plain("PersistentVolumeClaim", "data", spec=spec, status=status)


FAST = plain("StorageClass", "fast", provisioner="csi.acme.dev", allowVolumeExpansion=True)
LOCAL = plain("StorageClass", "local", provisioner="kubernetes.io/no-provisioner")
LAZY = plain("StorageClass", "lazy", provisioner="csi.acme.dev", volumeBindingMode="WaitForFirstConsumer")
RELEASED = plain("PersistentVolume", "pv-1", status={"phase": "Released"}, spec={"claimRef": {"name": "old"}})


@pytest.mark.parametrize(
    ("own", "code", "words"),
    [
        (claim(storageClassName="slow"), "storage.class_missing", "StorageClass slow"),
        (claim(), "storage.no_class", "none is the default"),
        (claim(storageClassName="local"), "storage.no_volume", "StorageClass local makes no volumes"),
        (claim(storageClassName="fast", volumeName="pv-1"), "storage.volume_unusable", "is Released for claim old"),
        (claim(storageClassName="fast", volumeName="pv-9"), "storage.volume_unusable", "does not exist"),
        (claim("Lost", volumeName="pv-9"), "storage.claim_lost", "PersistentVolume pv-9 does not exist any more"),
        (claim(storageClassName="lazy"), "storage.healthy", "Pending"),  # it waits for its first pod, as it should
        (claim(storageClassName="fast"), "storage.waits", "nothing says what it waits for"),
        (claim("Bound", storageClassName="fast"), "storage.healthy", "bound: 10Gi"),
    ],
)
async def test_a_claim_says_what_it_waits_for(own: Obj, code: str, words: str) -> None:
    said = await about("PersistentVolumeClaim", "data", own, FAST, LOCAL, LAZY, RELEASED)
    assert words in said[code].title
    assert list(said) == [code]


async def test_the_provisioners_own_words_are_told() -> None:
    failed = event("data", "ProvisioningFailed", "quota of disks exceeded", kind="PersistentVolumeClaim")
    said = await about("PersistentVolumeClaim", "data", claim(storageClassName="fast"), FAST, events=(failed,))
    assert "quota of disks exceeded" in said["storage.provisioning_failed"].title


async def test_a_claim_whose_volume_is_bound_to_it_already_only_has_to_wait() -> None:
    given = plain(
        "PersistentVolume",
        "pv-1",
        status={"phase": "Bound"},
        spec={"claimRef": {"name": "data", "namespace": "shop"}},
    )
    said = await about("PersistentVolumeClaim", "data", claim(storageClassName="fast", volumeName="pv-1"), FAST, given)
    assert "storage.volume_unusable" not in said


async def test_an_alert_about_a_full_volume_tells_its_size_and_whether_it_can_grow() -> None:
    mounting = good_pod()
    mounting["spec"]["volumes"] = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
    own = claim("Bound", storageClassName="fast")
    said = await about("PersistentVolumeClaim", "data", own, FAST, mounting, alert="KubePersistentVolumeFillingUp")
    assert (
        said["storage.filling"].title == "PersistentVolumeClaim data of 10Gi is filling up, mounted by checkout-old-a"
    )
    assert "can be grown" in said["storage.filling"].detail


async def test_a_claim_that_is_being_deleted_names_its_finalizer_and_its_pods() -> None:
    own = claim("Bound")
    own["metadata"] |= {"deletionTimestamp": ago(hours=1), "finalizers": ["kubernetes.io/pvc-protection"]}
    mounting = good_pod()
    mounting["spec"]["volumes"] = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
    said = await about("PersistentVolumeClaim", "data", own, mounting)
    assert "pvc-protection; pods that still mount it: checkout-old-a" in said["storage.claim_terminating"].detail


# --- scheduling


def stuck(message: str = "0/1 nodes are available", **template: Any) -> list[Obj]:
    waits = crashing_pod("checkout-new-a")
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    waits["status"] = {"phase": "Pending", "conditions": [scheduled]}
    waits["spec"] |= {"volumes": template.get("volumes", [])}
    workload = deployment(ready=0, desired=1)
    workload["spec"]["template"] = {"spec": template}
    return [workload, waits]


def machine(name: str = "node-1", *taints: Obj, pool: str = "", cordoned: bool = False, **has: str) -> Obj:
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": {"pool": pool} if pool else {}},
        "spec": {"taints": list(taints)} | ({"unschedulable": True} if cordoned else {}),
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", **has}},
    }


def asking(**requests: str) -> list[Obj]:
    return [{"name": "app", "resources": {"requests": requests}}]


TAINT = {"key": "team", "value": "data", "effect": "NoSchedule"}
GPU = {"nodeSelectorTerms": [{"matchExpressions": [{"key": "pool", "operator": "In", "values": ["gpu"]}]}]}
AFFINITY = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": GPU}}


@pytest.mark.parametrize(
    ("template", "nodes", "code", "words"),
    [
        ({"nodeSelector": {"pool": "gpu"}}, [machine(pool="cpu")], "schedule.no_such_node", "nodeSelector pool=gpu"),
        ({"affinity": AFFINITY}, [machine(pool="cpu")], "schedule.no_such_node", "node affinity pool In gpu"),
        ({"containers": asking(memory="9Gi")}, [machine()], "schedule.too_big", "requests.memory is 9Gi"),
        ({"containers": asking(**{"nvidia.com/gpu": "1"})}, [machine()], "schedule.too_big", "no node has any"),
        ({}, [machine("node-1", TAINT)], "schedule.taints", "team=data:NoSchedule"),
        ({"containers": asking(cpu="3500m")}, [machine()], "schedule.full", "cpu 3500m"),
        (
            {"tolerations": [{"key": "team", "operator": "Exists"}]},
            [machine("node-1", TAINT)],
            "schedule.full",
            "no resources",
        ),
        ({"affinity": AFFINITY}, [machine(pool="gpu")], "schedule.full", "no resources"),
        ({}, [machine("node-1", TAINT), machine("node-2")], "schedule.full", "no resources"),
        ({}, [machine("node-1", {**TAINT, "effect": "PreferNoSchedule"})], "schedule.full", "no resources"),
    ],
)
async def test_the_one_thing_that_rules_every_node_out_is_named(
    template: Obj, nodes: list[Obj], code: str, words: str
) -> None:
    said = await about("Deployment", "checkout", *stuck(**template), *nodes)
    assert {found for found in said if found.startswith("schedule.")} == {code}
    assert words in said[code].title


async def test_where_not_all_nodes_are_known_no_node_is_judged() -> None:
    target = replace(CHECKOUT, kind="Deployment", name="checkout")
    world = World(*stuck(nodeSelector={"pool": "gpu"}), machine(), more=True)
    codes = {item.code for item in await analyze(target, None, world.read)}
    assert not {code for code in codes if code.startswith("schedule.")}


async def test_a_claim_that_a_waiting_pod_mounts_and_nobody_made_is_named() -> None:
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "data-9"}}]
    said = await about("Deployment", "checkout", *stuck(volumes=volumes), machine(), claim("Bound"))
    assert said["storage.claim_missing"].title == "PersistentVolumeClaim data-9 does not exist"


async def test_where_not_all_claims_are_known_none_is_called_missing() -> None:
    volumes = [{"name": "d", "persistentVolumeClaim": {"claimName": "data-9"}}]
    target = replace(CHECKOUT, kind="Deployment", name="checkout")
    world = World(*stuck(volumes=volumes), claim("Bound"), more=True)
    assert "storage.claim_missing" not in {item.code for item in await analyze(target, None, world.read)}


async def test_a_provisioner_that_only_says_that_it_is_asked_is_quoted() -> None:
    asked = event("data", "ExternalProvisioning", "waiting for csi.acme.dev", kind="PersistentVolumeClaim")
    said = await about("PersistentVolumeClaim", "data", claim(storageClassName="fast"), FAST, events=(asked,))
    assert "waiting for csi.acme.dev" in said["storage.waits"].title


async def test_a_daemon_set_for_nodes_that_do_not_exist_says_which() -> None:
    own = plain("DaemonSet", "checkout", spec={"selector": {"matchLabels": {"app": "checkout"}}})
    own |= {"status": {"desiredNumberScheduled": 0}}
    own["spec"]["template"] = {"spec": {"nodeSelector": {"pool": "gpu"}}}
    said = await about("DaemonSet", "checkout", own, machine(pool="cpu"))
    assert "runs nowhere" in said["schedule.no_such_node"].title
    assert "deployment.scaled_to_zero" not in said
