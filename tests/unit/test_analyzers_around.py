"""What stands around a workload: the quota, webhook, Secret, probe, Service, node or volume is named, or nothing is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.analyzers import Reading, analyze
from bot.analyzers.around import behind
from domain.diagnosis import Confidence, Finding
from tests.unit.kube import (
    CHECKOUT,
    Obj,
    World,
    ago,
    crashing_pod,
    deployment,
    event,
    good_pod,
    pod,
    status,
    terminated,
)


async def found(world: World, target: Any = CHECKOUT) -> dict[str, Finding]:
    return {item.code: item for item in await analyze(target, None, world.read)}


def refused(message: str, ready: int = 1) -> Obj:
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    return deployment(ready=ready, conditions=[failure])


def plain(kind: str, name: str, **parts: Any) -> Obj:
    return {"kind": kind, "metadata": {"name": name, "namespace": "shop", **parts.pop("meta", {})}, **parts}


QUOTA = (
    'pods "checkout-new-x" is forbidden: exceeded quota: team, requested: limits.memory=1Gi,pods=1, used: '
    "limits.memory=8Gi,pods=3, limited: limits.memory=8Gi,pods=9"
)


async def test_a_quota_is_named_with_its_field_and_what_it_holds_now() -> None:
    status = {"hard": {"limits.memory": "8Gi"}, "used": {"limits.memory": "8Gi"}}
    said = await found(World(refused(QUOTA), good_pod(), plain("ResourceQuota", "team", status=status)))
    assert said["quota.exceeded"].title == "ResourceQuota team is used up: limits.memory 8Gi of 8Gi"
    assert "limits.memory: hard 8Gi, used 8Gi, a pod asks for 1Gi" in said["quota.exceeded"].detail
    assert len(said["quota.exceeded"].evidence) == 2
    assert "deployment.cannot_create_pods" not in said


async def test_a_quota_that_could_not_be_read_is_still_named_from_the_refusal() -> None:
    world = World(refused(QUOTA), good_pod())
    assert "used 8Gi" in (await found(world))["quota.exceeded"].detail


async def test_a_deployment_that_has_all_its_pods_reads_no_quota_and_blames_none() -> None:
    world = World(
        deployment(ready=3),
        *(good_pod(f"checkout-new-{n}", revision="new") for n in "abc"),
        plain("ResourceQuota", "q"),
    )
    assert list(await found(world)) == ["deployment.healthy"]
    assert len(world.asked) == 3


@pytest.mark.parametrize(
    ("message", "code", "words"),
    [
        ("failed quota: team: must specify limits.cpu for: app", "quota.demands", "limits.cpu"),
        (
            'pods "x" is forbidden: [minimum cpu usage per Container is 100m, but request is 5m]',
            "limit_range.refuses",
            "5m",
        ),
        ('admission webhook "check.acme.dev" denied the request: no owner label', "admission.denied", "no owner label"),
        (
            'pods "x" is forbidden: violates PodSecurity "baseline:v1.30": hostNetwork',
            "admission.denied",
            "baseline:v1.30",
        ),
        (
            'error looking up service account shop/bot: serviceaccount "bot" not found',
            "account.missing",
            "ServiceAccount bot",
        ),
    ],
)
async def test_a_refused_creation_names_what_refuses(message: str, code: str, words: str) -> None:
    said = (await found(World(refused(message), good_pod())))[code]
    assert words in said.title + said.detail


async def test_a_refusal_that_nobody_knows_stays_in_its_own_words() -> None:
    said = await found(World(refused("etcdserver: request timed out"), good_pod()))
    assert "etcdserver" in said["deployment.cannot_create_pods"].title


HOOK = 'failed calling webhook "v.guard.dev": Post "https://guard.guard.svc:443": no endpoints available'


def guarded(*behind: Obj, policy: str = "Fail") -> list[Obj]:
    service = {"name": "guard", "namespace": "guard"}
    hook = {"name": "v.guard.dev", "failurePolicy": policy, "clientConfig": {"service": service}}
    return [
        plain("ValidatingWebhookConfiguration", "guards", webhooks=[hook]),
        plain("Service", "guard", spec={"selector": {"app": "guard"}}),
        *behind,
    ]


async def test_a_webhook_without_a_ready_receiver_is_named_with_its_service() -> None:
    down = crashing_pod("guard-1")
    down["metadata"]["labels"] = {"app": "guard"}
    said = await found(World(refused(HOOK), good_pod(), *guarded(down)))
    assert "ValidatingWebhookConfiguration guards, failurePolicy Fail" in said["webhook.unreachable"].detail
    assert "none of 1 pod behind Service guard/guard is ready" in said["webhook.unreachable"].detail


@pytest.mark.parametrize(("policy", "code"), [("Fail", "webhook.unreachable"), ("Ignore", "webhook.ignored")])
async def test_a_configuration_asked_about_tells_its_dead_webhooks(policy: str, code: str) -> None:
    target = replace(CHECKOUT, kind="ValidatingWebhookConfiguration", name="guards", namespace="")
    assert code in await found(World(*guarded(policy=policy)), target)


async def test_a_configuration_with_ready_receivers_is_healthy() -> None:
    target = replace(CHECKOUT, kind="ValidatingWebhookConfiguration", name="guards", namespace="")
    up = good_pod("guard-1", owner="guard")
    assert list(await found(World(*guarded(up)), target)) == ["webhook.healthy"]


def lacking(message: str, **template: Any) -> list[Obj]:
    waits = pod("checkout-new-a", status(waiting="CreateContainerConfigError", message=message), phase="Pending")
    workload = deployment(ready=0)
    workload["spec"].setdefault("template", {})["spec"] = template
    return [workload, waits]


async def test_a_missing_secret_is_named_with_the_variable_that_asks_for_it() -> None:
    variable = {"name": "DB", "valueFrom": {"secretKeyRef": {"name": "db", "key": "url"}}}
    objects = lacking('secret "db" not found', containers=[{"name": "app", "env": [variable]}])
    title = (await found(World(*objects)))["config.missing"].title
    assert title == "Secret db does not exist in shop (container app, env DB)"


async def test_a_missing_config_map_tells_the_name_that_was_probably_meant() -> None:
    objects = lacking(
        'configmap "settings" not found',
        containers=[{"name": "app", "envFrom": [{"configMapRef": {"name": "settings"}}]}],
    )
    said = (await found(World(*objects, plain("ConfigMap", "setting"), plain("ConfigMap", "other"))))["config.missing"]
    assert "There is setting." in said.detail
    assert "envFrom" in said.title


def probed(message: str, probe: Obj, ports: list[Obj]) -> World:
    container = {"name": "app", "image": "x:1", "ports": ports, "readinessProbe": probe}
    unready = pod("checkout-new-a", status(running=600), containers=(container,))
    return World(deployment(ready=0), unready, events=(event("checkout-new-a", "Unhealthy", message),))


REFUSES = 'Readiness probe failed: Get "http://10.0.0.1:81/": dial tcp 10.0.0.1:81: connect: connection refused'


async def test_a_probe_on_an_undeclared_port_that_refuses_is_named() -> None:
    said = await found(probed(REFUSES, {"httpGet": {"path": "/", "port": 81}}, [{"containerPort": 80}]))
    assert said["probe.wrong_port"].title == "readinessProbe of container app asks port 81; the container has 80"


@pytest.mark.parametrize(
    ("message", "port", "ports"),
    [
        (REFUSES, 81, []),  # none declared: that proves nothing
        (REFUSES, 81, [{"containerPort": 81}]),
        ("Readiness probe failed: HTTP probe failed with statuscode: 503", 81, [{"containerPort": 80}]),
    ],
)
async def test_a_probe_whose_port_may_be_right_is_not_blamed(message: str, port: int, ports: list[Obj]) -> None:
    said = await found(probed(message, {"httpGet": {"path": "/", "port": port}}, ports))
    assert "probe.wrong_port" not in said
    assert "probe.wrong_path" not in said
    assert "pod.probe_failing" in said


async def test_a_path_that_answers_404_is_named() -> None:
    message = "Readiness probe failed: HTTP probe failed with statuscode: 404"
    said = await found(probed(message, {"httpGet": {"path": "/helthz", "port": 80}}, [{"containerPort": 80}]))
    assert "/helthz" in said["probe.wrong_path"].title


def crashing(line: str, *objects: Obj) -> World:
    return World(deployment(ready=0), crashing_pod(), *objects, logs={("checkout-new-a", True): [line]})


async def test_a_name_that_does_not_resolve_and_no_service_has_is_named() -> None:
    said = await found(crashing("dial tcp: lookup stock on 10.96.0.10:53: no such host", plain("Service", "stocks")))
    assert said["needs.no_such_service"].title == "Service stock does not exist in shop, and container app asks for it"
    assert "stocks" in said["needs.no_such_service"].detail


@pytest.mark.parametrize(
    "line",
    [
        "lookup stock on 10.96.0.10:53: no such host",  # it is there by now
        "lookup api.stripe.com on 10.96.0.10:53: no such host",
        "dial tcp 10.0.0.7:5432: connection refused",
        "connect to localhost:5432: connection refused",
        "connect to host-outside:5432: connection refused",  # it resolves, so somebody knows it
    ],
)
async def test_a_name_that_is_there_or_outside_is_no_missing_service(line: str) -> None:
    said = await found(
        crashing(line, plain("Service", "stock", spec={"selector": {"app": "stock"}}), good_pod(owner="stock"))
    )
    assert not {"needs.no_such_service", "needs.not_ready"} & set(said)
    assert "pod.crash_loop" in said


async def test_services_of_one_name_in_two_namespaces_are_kept_apart() -> None:
    world = World(plain("Service", "db", spec={"selector": {"app": "db"}}))
    shop, stock = await behind(world.read, "shop", "db"), await behind(world.read, "stock", "db")
    assert len(shop) == len(stock) == 2
    assert not set(shop) & set(stock)


async def test_a_service_that_refuses_and_has_no_ready_pod_is_named() -> None:
    down = crashing_pod("db-1")
    down["metadata"] |= {"labels": {"app": "db"}, "ownerReferences": []}
    said = await found(
        crashing(
            "connect to db:5432: connection refused", plain("Service", "db", spec={"selector": {"app": "db"}}), down
        )
    )
    assert "none of its 1 pod is ready" in said["needs.not_ready"].title


def policy(name: str, **spec: Any) -> Obj:
    return plain("NetworkPolicy", name, spec={"podSelector": {}, **spec})


TIMEOUT = "Post https://10.9.8.7/charge: i/o timeout"


async def test_a_policy_that_lets_nothing_out_is_named_where_pods_time_out() -> None:
    said = await found(crashing(TIMEOUT, policy("shut", policyTypes=["Egress"])))
    assert said["network_policy.blocks"].title.startswith("NetworkPolicy shut allows the pods no egress at all")
    assert said["network_policy.blocks"].facts["confidence"] == Confidence.LIKELY.value


@pytest.mark.parametrize(
    "other",
    [
        policy("open", policyTypes=["Egress"], egress=[{}]),
        policy("inward", policyTypes=["Ingress"]),
        policy("others", policyTypes=["Egress"], podSelector={"matchLabels": {"app": "web"}}),
    ],
)
async def test_a_policy_that_lets_everything_out_or_is_not_about_the_pods_is_not_blamed(other: Obj) -> None:
    assert "network_policy.blocks" not in await found(crashing(TIMEOUT, other))


async def test_a_policy_that_lets_nothing_out_beside_one_that_lets_everything_out_is_not_blamed() -> None:
    both = policy("shut", policyTypes=["Egress"]), policy("open", policyTypes=["Egress"], egress=[{}])
    assert "network_policy.blocks" not in await found(crashing(TIMEOUT, *both))


async def test_without_timeouts_no_policy_is_read() -> None:
    world = crashing("panic: nil", policy("shut", policyTypes=["Egress"]))
    assert "network_policy.blocks" not in await found(world)
    assert not [arguments for _, arguments in world.asked if arguments.get("kind") == "NetworkPolicy"]


def digests(*shas: tuple[str, bool]) -> World:
    pods = []
    for number, (sha, works) in enumerate(shas):
        name = f"checkout-new-{number}"
        one = good_pod(name, revision="new") if works else crashing_pod(name)
        one["status"]["containerStatuses"][0]["imageID"] = f"registry.test/checkout@sha256:{sha * 32}"
        pods.append(one)
    return World(deployment(ready=sum(works for _, works in shas), desired=len(shas)), *pods)


async def test_a_tag_that_was_moved_is_blamed_where_only_its_new_image_fails() -> None:
    assert "sha256:cdcd" in (await found(digests(("ab", True), ("cd", False))))["image.moved_tag"].title


async def test_different_digests_that_all_run_are_no_trouble() -> None:
    said = await found(digests(("ab", True), ("cd", True)))
    assert list(said) == ["deployment.healthy", "image.drift"]
    assert said["image.drift"].healthy


async def test_one_digest_is_no_drift_whoever_fails() -> None:
    assert not {"image.moved_tag", "image.drift"} & set(await found(digests(("ab", True), ("ab", False))))


def restarted(times: int, hours: float, last_hours: float) -> World:
    ended = terminated(1, ended=last_hours * 3600)
    one = pod("checkout-new-a", status(running=last_hours * 3600, last=ended, restarts=times, ready=True), ready=True)
    one["metadata"]["creationTimestamp"] = ago(hours=hours)
    return World(deployment(ready=1, desired=1), one)


async def test_a_container_that_keeps_restarting_is_told_by_its_rate() -> None:
    assert "2.5 times an hour, 20 restarts" in (await found(restarted(20, 8, 1.5)))["pod.restarts_often"].title


@pytest.mark.parametrize("past", [(4, 2, 1.5), (20, 240, 1.5), (20, 12, 8)], ids=["few", "rare", "long ago"])
async def test_few_rare_or_old_restarts_are_not_told(past: tuple[int, float, float]) -> None:
    assert "pod.restarts_often" not in await found(restarted(*past))


async def test_a_pod_that_waits_for_its_init_container_names_it_and_what_that_waits_for() -> None:
    waits = pod("checkout-new-a", status(), init=(status("init", running=3000),), phase="Pending")
    line = "waiting for db:5432: connection refused"
    database = plain("Service", "db", spec={"selector": {"app": "db"}})
    world = World(deployment(ready=0), waits, database, logs={("checkout-new-a", False): [line]})
    said = await found(world)
    assert "waiting for its init container init" in said["pod.initializing"].title
    assert "Service db in shop does not answer checkout: it has no pods" in said["needs.not_ready"].title


async def test_a_sidecar_among_the_init_containers_is_not_waited_for() -> None:
    sidecar = status("init", running=3000, ready=True)
    waits = pod("checkout-new-a", status(), init=(sidecar,), phase="Pending")
    said = await found(World(deployment(ready=0), waits))
    assert "pod.initializing" not in said
    assert "pod.starting" in said


def evicted() -> Obj:
    return pod("checkout-old-z", phase="Failed", reason="Evicted", message="low on memory")


async def test_evicted_pods_that_were_replaced_are_no_trouble() -> None:
    pods = [good_pod(f"checkout-new-{n}", revision="new") for n in "abc"]
    assert list(await found(World(deployment(ready=3), *pods, evicted()))) == ["deployment.healthy"]


async def test_evicted_pods_that_are_missed_are() -> None:
    pods = [good_pod(f"checkout-new-{n}", revision="new") for n in "ab"]
    assert "pod.evicted" in await found(World(deployment(ready=2), *pods, evicted()))


@pytest.mark.parametrize(
    ("error", "absent"),
    [
        ('There is no Service "db" in namespace "shop".', True),
        ('kubernetes_get failed: There is no Service "db" in namespace "shop".', True),
        ("kubernetes_list failed: This cluster does not serve gateways (gateway.networking.k8s.io/v1).", True),
        ("kubernetes_get failed: no answer within 5 s", False),
        ('Kubernetes does not let "agent" get it. There is no rule.', False),
        ("", False),
    ],
)
def test_only_the_answer_that_there_is_none_is_absence(error: str, absent: bool) -> None:
    assert Reading("", ok=False, error=error).absent is absent


NAMESPACE = replace(CHECKOUT, kind="", name="")


async def test_a_namespace_whose_workloads_have_their_pods_is_healthy_and_names_those_scaled_to_nothing() -> None:
    idle = deployment(ready=0, desired=0)
    idle["metadata"]["name"] = "batch"
    said = await found(World(plain("Namespace", "shop"), deployment(ready=3), idle), NAMESPACE)
    assert list(said) == ["namespace.healthy"]
    assert "Scaled to 0: Deployment batch." in said["namespace.healthy"].detail


async def test_a_namespace_with_a_workload_that_lacks_pods_is_not_called_healthy() -> None:
    said = await found(World(plain("Namespace", "shop"), deployment(ready=0), crashing_pod()), NAMESPACE)
    assert "namespace.healthy" not in said
    assert "pod.crash_loop" in said


async def test_a_namespace_that_is_still_being_deleted_says_what_holds_it() -> None:
    held = {
        "type": "NamespaceFinalizersRemaining",
        "status": "True",
        "message": "acme.dev/hold in 2 resource instances",
    }
    fine = {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "all well"}
    own = plain("Namespace", "shop", meta={"deletionTimestamp": ago(hours=2)}, status={"conditions": [held, fine]})
    said = (await found(World(own), NAMESPACE))["namespace.terminating"]
    assert "acme.dev/hold" in said.title + said.detail
    assert "all well" not in said.detail


async def test_a_service_label_that_is_a_stateful_sets_name_leads_to_it() -> None:
    database = plain("StatefulSet", "db", spec={"replicas": 1, "selector": {"matchLabels": {"app": "db"}}})
    database |= {"status": {"readyReplicas": 1, "replicas": 1}}
    said = await found(World(database), replace(CHECKOUT, kind="Service", name="db"))
    assert said["deployment.healthy"].target.kind == "StatefulSet"


async def test_a_namespace_that_could_not_be_listed_whole_is_not_called_healthy() -> None:
    assert await found(World(plain("Namespace", "shop"), deployment(ready=3), more=True), NAMESPACE) == {}
