"""The scan: what each judge has to find, with field, value and rule, and the healthy things at which it has to be silent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bot.analyzers import Reading, analyze
from bot.analyzers.findings import WEIGHTS
from bot.analyzers.scan import in_place
from bot.analyzers.scan.measures import MEASURES, measure_of
from domain.diagnosis import Finding
from tests.unit.kube import Obj, ago, progressing
from tests.unit.scan_samples import (
    EVERYWHERE,
    GI,
    MI,
    SHOP,
    Measured,
    app,
    autoscaler,
    budget,
    certificate,
    claim,
    config_map,
    healthy,
    limit_range,
    obj,
    pod,
    replica_set,
    scanned,
    service,
    sized,
    workload,
)


async def test_a_namespace_without_fault_has_no_findings() -> None:
    assert await scanned() == {}


def unable(reason: str, kind: str = "ScalingActive") -> Obj:
    return {"type": kind, "status": "False", "reason": reason, "message": "missing request for cpu in container app"}


def rights(**context: Any) -> Obj:
    return workload(app(securityContext=context))


DAY = 24 * 3600.0
SOON = ago(seconds=-5 * DAY)
OLD_API = {"group": "policy", "version": "v1beta1", "resource": "podsecuritypolicies", "removed_release": "1.25"}

FIRES: list[tuple[str, str, list[Obj], dict[str, Any]]] = [
    (
        "requests far above use",
        "config.requests_high",
        [workload(sized({"memory": "2Gi", "cpu": "2"}, {"memory": "4Gi"}))],
        {},
    ),
    (
        "memory used above its request",
        "config.requests_low",
        [],
        {"used": {"memory": 700 * MI, "memory_max": 800 * MI}},
    ),
    ("CPU used above its request", "config.requests_low", [], {"used": {"cpu": 1.1}}),
    ("a highest use close to the limit", "config.memory_limit_close", [], {"used": {"memory_max": 980 * MI}}),
    ("neither request nor limit", "config.no_memory_request", [workload(sized({"cpu": "500m"}))], {}),
    ("no limit", "config.no_memory_limit", [workload(sized({"memory": "512Mi", "cpu": "500m"}))], {}),
    ("no probe behind a Service", "config.no_readiness_probe", [workload(app(readinessProbe=None))], {}),
    ("one replica behind a Service", "config.single_replica", [workload(replicas=1)], {}),
    (
        "a budget about others",
        "config.no_budget",
        [budget() | {"spec": {"selector": {"matchLabels": {"app": "web"}}}}],
        {},
    ),
    ("the tag latest", "config.mutable_tag", [workload(app(image="registry.test:5000/checkout:latest"))], {}),
    ("no tag", "config.mutable_tag", [workload(app(image="registry.test:5000/checkout"))], {}),
    ("privileged", "config.unsafe_context", [rights(privileged=True)], {}),
    ("CAP_SYS_ADMIN", "config.unsafe_context", [rights(capabilities={"add": ["CAP_SYS_ADMIN"]})], {}),
    ("the host's network", "config.unsafe_context", [workload(pod={"hostNetwork": True})], {}),
    (
        "the runtime's socket",
        "config.unsafe_context",
        [workload(pod={"volumes": [{"name": "d", "hostPath": {"path": "/var/run/docker.sock"}}]})],
        {},
    ),
    ("two revisions at rest", "config.revision_drift", [replica_set("aaa", 2), replica_set("bbb", 1)], {}),
    (
        "one tag, two images",
        "config.image_drift",
        [
            workload(app(image="registry.test/checkout:2.4")),
            replica_set("7d9c5b8f4d", 2),
            pod(1, "a" * 64),
            pod(2, "b" * 64),
        ],
        {},
    ),
    (
        "an autoscaler without a target",
        "config.autoscaler_cannot_act",
        [autoscaler(unable("FailedGetScale", "AbleToScale"))],
        {},
    ),
    (
        "an autoscaler without metrics",
        "config.autoscaler_cannot_act",
        [autoscaler(unable("FailedGetResourceMetric"))],
        {},
    ),
    ("an autoscaler without room", "config.autoscaler_cannot_act", [autoscaler(least=3, most=3)], {}),
    ("a budget that allows nothing", "config.budget_blocks", [budget(allowed=0, wanted=3)], {}),
    ("an overdue certificate", "config.certificate_expires", [certificate(ends=SOON, renews=ago(days=2))], {}),
    ("an expired certificate", "config.certificate_expires", [certificate(ends=ago(days=1))], {}),
    ("a ConfigMap that nobody names", "config.unused", [config_map()], {}),
    ("a claim that nobody mounts", "config.unused", [claim()], {}),
    ("a Service without pods", "config.unused", [service("old", selects="gone")], {}),
    (
        "a ConfigMap of 800 KB",
        "config.oversized",
        [config_map("checkout-data", 800_000), workload(pod={"x": "checkout-data"})],
        {},
    ),
    ("an interface that goes", "config.deprecated_api", [], {"deprecated": (OLD_API,), "scope": EVERYWHERE}),
]


@pytest.mark.parametrize(("code", "objects", "world"), [case[1:] for case in FIRES], ids=[case[0] for case in FIRES])
async def test_the_scan_finds_it_and_nothing_else(code: str, objects: list[Obj], world: dict[str, Any]) -> None:
    found = await scanned(*objects, **world)
    assert list(found) == [code]
    facts = found[code].facts
    assert facts["field"]
    assert facts["risk"] in ("high", "medium", "low")
    assert found[code].evidence


def test_each_code_of_the_scan_has_a_case_in_which_it_fires() -> None:
    others = {"config.missing", "config.lacks_key", "config.healthy"}  # of a diagnosis
    assert {case[1] for case in FIRES} == {code for code in WEIGHTS if code.startswith("config.")} - others


SILENT: list[tuple[str, list[Obj], dict[str, Any]]] = [
    ("use that fits within a third", [workload(sized({"memory": "640Mi", "cpu": "600m"}, {"memory": "1Gi"}))], {}),
    (
        "a saving of a few MiB",
        [workload(sized({"memory": "64Mi"}, {"memory": "1Gi"}), replicas=2)],
        {"used": {"memory": 20 * MI, "memory_max": 25 * MI}},
    ),
    ("two days of samples", [workload(sized({"memory": "8Gi"}, {"memory": "9Gi"}))], {"used": {"days": 2}}),
    (
        "CPU that an autoscaler counts with",
        [workload(sized({"memory": "512Mi", "cpu": "4"}, {"memory": "1Gi"})), autoscaler()],
        {},
    ),
    (
        "CPU whose limit is its request",
        [workload(sized({"memory": "512Mi", "cpu": "4"}, {"memory": "1Gi", "cpu": "4"}))],
        {},
    ),
    ("a limit that is the request too", [workload(app(resources={"limits": {"memory": "1Gi"}}))], {}),
    ("a namespace that gives limits", [workload(sized({"cpu": "500m"})), limit_range(default={"memory": "1Gi"})], {}),
    (
        "what is scaled to zero",
        [
            workload(sized({"memory": "8Gi"}, {"memory": "9Gi"}), replicas=0),
            workload(sized({}), name="web", replicas=0),
        ],
        {},
    ),
    (
        "memory that an autoscaler counts with",
        [workload(), autoscaler(resource="memory")],
        {"used": {"memory": 700 * MI, "memory_max": 800 * MI}},
    ),
    (
        "a tiny request that is a little short",
        [workload(sized({"memory": "512Mi", "cpu": "10m"}, {"memory": "1Gi"}))],
        {"used": {"cpu": 0.03}},
    ),
    ("no measurements", [workload(sized({"memory": "8Gi"}, {"memory": "9Gi"}))], {"offered": ("kubernetes_list",)}),
    ("a sidecar that no Service asks", [workload(app(), app(name="log", readinessProbe=None, ports=[]))], {}),
    (
        "a sidecar with a port of its own",
        [workload(app(), app(name="exporter", readinessProbe=None, ports=[{"containerPort": 9100}]))],
        {},
    ),
    (
        "a worker behind no Service",
        [workload(app(readinessProbe=None), replicas=1), service(selects="gone", age_days=1), budget()],
        {},
    ),
    ("one replica that must be alone", [workload(replicas=1, strategy={"type": "Recreate"})], {}),
    (
        "one replica with a disk",
        [workload(replicas=1, pod={"volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}]})],
        {},
    ),
    ("one replica that is scaled", [workload(replicas=1), autoscaler(least=1)], {}),
    (
        "one replica of a StatefulSet",
        [workload(replicas=0, name="checkout"), workload(kind="StatefulSet", replicas=1)],
        {},
    ),
    ("a version as a tag", [workload(app(image="registry.test:5000/checkout:v2.4.1-rc1"))], {}),
    ("a digest", [workload(app(image=f"registry.test/checkout:latest@sha256:{'a' * 64}"))], {}),
    (
        "a node agent",
        [
            workload(
                app(name="agent", securityContext={"privileged": True}),
                kind="DaemonSet",
                name="agent",
                pod={"hostNetwork": True},
            )
        ],
        {},
    ),
    ("a harmless capability", [rights(capabilities={"add": ["NET_BIND_SERVICE"]}, privileged=False)], {}),
    ("a folder of the host", [workload(pod={"volumes": [{"name": "d", "hostPath": {"path": "/mnt/models"}}]})], {}),
    (
        "a rollout under way",
        [
            workload() | {"status": {"observedGeneration": 4, "conditions": [progressing("ReplicaSetUpdated")]}},
            replica_set("aaa", 2),
            replica_set("bbb", 1),
        ],
        {},
    ),
    (
        "a rollout not seen yet",
        [
            workload() | {"status": {"observedGeneration": 3, "conditions": [progressing("NewReplicaSetAvailable")]}},
            replica_set("aaa", 2),
            replica_set("bbb", 1),
        ],
        {},
    ),
    ("an old revision without pods", [replica_set("aaa", 3), replica_set("bbb", 0)], {}),
    ("pods of one image", [replica_set("7d9c5b8f4d", 2), pod(1, "a" * 64), pod(2, "a" * 64)], {}),
    (
        "an autoscaler at rest",
        [autoscaler({"type": "ScalingLimited", "status": "True", "reason": "TooFewReplicas"})],
        {},
    ),
    ("an autoscaler that is off", [autoscaler(unable("ScalingDisabled"), least=0, most=0)], {}),
    (
        "a budget while pods are ill",
        [
            budget(allowed=0)
            | {"status": {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 2, "expectedPods": 3}}
        ],
        {},
    ),
    ("a certificate of a day, renewed in time", [certificate(ends=ago(hours=-20), renews=ago(hours=-4))], {}),
    ("a young ConfigMap", [config_map(age_days=2)], {}),
    ("a ConfigMap in an argument", [config_map(), workload(app(args=["--flags=configmap/old-flags"]))], {}),
    ("a ConfigMap that a sidecar looks for", [config_map(labels={"grafana_dashboard": "1"})], {}),
    (
        "a ConfigMap that a controller made",
        [
            config_map()
            | {"metadata": config_map()["metadata"] | {"ownerReferences": [{"kind": "Kafka", "name": "events"}]}}
        ],
        {},
    ),
    ("the cluster's own ConfigMap", [config_map("kube-root-ca.crt")], {}),
    ("a StatefulSet's claim", [claim("data-db-0"), workload(kind="StatefulSet", name="db", replicas=0)], {}),
    (
        "a mounted claim",
        [claim(), workload(pod={"volumes": [{"persistentVolumeClaim": {"claimName": "old-data"}}]})],
        {},
    ),
    ("a Service without a selector", [obj("Service", "outside", spec={"ports": [{"port": 443}]})], {}),
    ("a Service of a bare pod", [service("bare", "bare"), obj("Pod", "bare", labels={"app": "bare"}, spec={})], {}),
    ("a ConfigMap of 300 KB", [config_map("checkout-data", 300_000), workload(pod={"x": "checkout-data"})], {}),
    ("old interfaces, one namespace", [], {"deprecated": (OLD_API,)}),
]


@pytest.mark.parametrize(("objects", "world"), [case[1:] for case in SILENT], ids=[case[0] for case in SILENT])
async def test_the_scan_is_silent_at(objects: list[Obj], world: dict[str, Any]) -> None:
    assert await scanned(*objects, **world) == {}


# --- what is said


async def of(code: str, *objects: Obj, **world: Any) -> Finding:
    return (await scanned(*objects, **world))[code]


async def test_the_rule_and_the_saving_stand_in_the_finding_and_the_change_is_exact() -> None:
    found = await of("config.requests_high", workload(sized({"memory": "2Gi", "cpu": "2"}, {"memory": "4Gi"})))
    assert found.title == "checkout: memory 2Gi → 480Mi, CPU 2000m → 480m"
    assert (
        "Uses 400 MiB of memory and 400m of CPU in the 95th percentile of 7 days; a fifth more is the rule"
        in found.detail
    )
    assert "Frees 4.6 GiB of memory and 4560m of CPU over 3 replicas." in found.detail
    assert found.detail.endswith("containers[app].resources.requests: memory 2Gi, CPU 2000m.")
    assert found.proposal is not None
    assert (found.proposal.tool, found.proposal.arguments) == (
        "kubernetes_set_resources",
        {
            "namespace": "shop",
            "kind": "Deployment",
            "name": "checkout",
            "container": "app",
            "requests": {"memory": "480Mi", "cpu": "480m"},
        },
    )
    assert (found.facts["saved_bytes"], found.facts["saved_millicores"]) == (3 * (2 * GI - 480 * MI), 3 * 1520)


async def test_where_autoscalers_could_not_be_read_no_request_is_proposed() -> None:
    class Without(Measured):
        async def read(self, tool: str, arguments: Mapping[str, Any]) -> Reading:
            if arguments.get("kind") == "HorizontalPodAutoscaler":
                return Reading("", ok=False, error="Kubernetes did not answer.")
            return await super().read(tool, arguments)

    waste = healthy(workload(sized({"memory": "2Gi", "cpu": "2"}, {"memory": "4Gi"})))
    for world, code in ((Measured, True), (Without, False)):
        found = await analyze(SHOP, None, world(*waste).read, ("kubernetes_list", "prometheus_query"))
        assert ("config.requests_high" in {one.code for one in found}) is code


async def test_a_limit_that_equals_the_request_is_lowered_with_it_and_stays_above_the_highest_use() -> None:
    found = await of("config.requests_high", workload(sized({"memory": "2Gi"}, {"memory": "2Gi"})))
    assert found.proposal is not None
    assert found.proposal.arguments["requests"] == found.proposal.arguments["limits"] == {"memory": "704Mi"}


async def test_a_limit_that_equals_the_request_is_raised_with_it() -> None:
    same = workload(sized({"memory": "1Gi"}, {"memory": "1Gi"}))
    found = await of("config.memory_limit_close", same, used={"memory_max": 1000 * MI})
    assert found.proposal is not None
    assert found.proposal.arguments["requests"] == found.proposal.arguments["limits"] == {"memory": "1344Mi"}


async def test_a_request_is_never_raised_above_its_limit() -> None:
    used = {"memory": 1000 * MI, "memory_max": 1010 * MI}
    found = await of("config.requests_low", workload(sized({"memory": "512Mi"}, {"memory": "1Gi"})), used=used)
    assert found.proposal is not None
    assert found.proposal.arguments["requests"] == {"memory": "1Gi"}


async def test_a_missing_request_is_proposed_where_use_is_known_and_only_told_where_it_is_not() -> None:
    unset = workload(sized({"cpu": "500m"}))
    known, unknown = (
        await of("config.no_memory_request", unset),
        await of("config.no_memory_request", unset, used={"days": 1}),
    )
    assert known.proposal is not None
    assert known.proposal.arguments["requests"] == {"memory": "480Mi"}
    assert unknown.proposal is None
    assert "should" not in unknown.detail


async def test_high_risk_comes_first_then_what_saves_most() -> None:
    found = await scanned(
        workload(
            app(
                image="checkout",
                securityContext={"privileged": True},
                resources={"requests": {"memory": "8Gi"}, "limits": {"memory": "9Gi"}},
            )
        )
    )
    assert list(found) == ["config.unsafe_context", "config.requests_high", "config.mutable_tag"]


async def test_a_finding_has_its_namespace_s_environment_and_elsewhere_one_replica_is_no_fault() -> None:
    alone = workload(app(image="checkout"), replicas=1)
    found = (await scanned(alone)).values()
    assert [one.code for one in in_place(found, lambda _: "production")] == [
        "config.single_replica",
        "config.mutable_tag",
    ]
    [left] = in_place(found, lambda namespace: "staging" if namespace == "shop" else "production")
    assert (left.code, left.target.environment) == ("config.mutable_tag", "staging")


# --- what cannot be seen


async def test_what_could_not_be_read_is_said_and_nothing_is_concluded_from_it() -> None:
    found = await scanned(config_map(), refuse=("kubernetes_list",))
    assert list(found) == ["read.failed"]


async def test_measurements_that_fail_are_said_once_and_the_manifests_are_judged_all_the_same() -> None:
    found = await scanned(workload(app(image="checkout")), refuse=("prometheus_query",))
    assert list(found) == ["config.mutable_tag", "read.failed"]


@pytest.mark.parametrize("replicas", [1, 3])
async def test_a_list_that_is_cut_proves_nothing_unused_and_nothing_unprotected(replicas: int) -> None:
    there = healthy(config_map(), claim(), workload(replicas=replicas))
    objects = [one for one in there if one["kind"] != "PodDisruptionBudget"]
    found = await analyze(SHOP, None, Measured(*objects, more=True).read, ("kubernetes_list", "prometheus_query"))
    assert {one.code for one in found} == {"read.failed"}
    assert "more than 500" in found[0].detail


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("This cluster does not serve certificates.", False),
        ('Kubernetes does not let "agent" list certificates in all namespaces.', False),
        ("Kubernetes did not answer the request to list certificates (time limit).", True),
    ],
)
async def test_certificates_that_are_not_there_to_be_read_are_nothing_and_those_that_failed_are_told(
    error: str, told: bool
) -> None:
    class Without(Measured):
        async def read(self, tool: str, arguments: Mapping[str, Any]) -> Reading:
            if arguments.get("kind") == "Certificate":
                return Reading("", ok=False, error=error)
            return await super().read(tool, arguments)

    found = await analyze(SHOP, None, Without(*healthy()).read, ("kubernetes_list", "prometheus_query"))
    assert bool(found) is told


async def test_more_containers_than_the_answer_holds_are_said() -> None:
    class Many(Measured):
        def _prometheus_query(self, arguments: Mapping[str, Any]) -> Obj:
            return super()._prometheus_query(arguments) | {"more": 3}

    found = await analyze(SHOP, None, Many(*healthy()).read, ("kubernetes_list", "prometheus_query"))
    assert [one.title for one in found] == ["Could not look at what the containers used"]


@pytest.mark.parametrize("what", list(MEASURES))
def test_a_query_is_about_its_namespace_and_fits_the_tool(what: str) -> None:
    query = measure_of(what, "shop")
    assert 'namespace="shop"' in query
    assert "%" not in query
    assert len(query) < 2000
