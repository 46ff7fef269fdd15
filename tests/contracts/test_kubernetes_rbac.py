"""The shipped roles allow what the tools do, and nothing else: derived from the requests that the tools really send."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.tools.kubernetes_access import NODE_WRITES, READS, WRITES, lacking
from bot.tools.kubernetes_kinds import READABLE
from domain.errors import ToolError
from tests.contracts.kubernetes_world import Fault, Sent, World, world

DEPLOY = Path(__file__).parents[2] / "deploy"
RBAC = DEPLOY / "rbac.yaml"
Rule = tuple[str, str, str]


@pytest.fixture
async def shop() -> AsyncIterator[World]:
    async with world() as found:
        found.cluster.load_role(RBAC)
        yield found


def shipped(role: str) -> set[Rule]:
    """Group, resource and verb of every line of a shipped role."""
    documents = [item for item in yaml.safe_load_all(RBAC.read_text()) if item["kind"] == "ClusterRole"]
    rules = next(item["rules"] for item in documents if item["metadata"]["name"] == role)
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def used(sent: Sent) -> Rule:
    """What RBAC calls a request."""
    parts = sent.path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    if rest[0] == "namespaces" and len(rest) > 2:
        rest = rest[2:]
    resource, name, part = (*rest, "", "")[:3]
    verbs = {"GET": "get" if name else "list", "PATCH": "patch", "DELETE": "delete", "POST": "create"}
    return group, f"{resource}/{part}" if part else resource, verbs[sent.method]


def workload(kind: str) -> dict[str, Any]:
    labels = {"app": "thing"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "x:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "thing", "namespace": "shop"},
        "spec": {"selector": {"matchLabels": labels}, "template": template},
    }


JOB = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x:1"}]}}}
OTHERS: list[dict[str, Any]] = [
    workload("StatefulSet"),
    workload("DaemonSet"),
    {"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": JOB}}},
    {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}], "selector": {"app": "thing"}}},
    {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "spec": {"maxReplicas": 3}},
    {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "spec": {"maxUnavailable": 1}},
]
LABEL = {"metadata": {"labels": {"touched": "yes"}}}


async def every_read(shop: World) -> None:
    for kind in READABLE:
        for tool, arguments in (("kubernetes_list", {}), ("kubernetes_get", {"name": "thing"})):
            place = {"namespace": "shop"} if kind.namespaced else {}
            with suppress(ToolError):  # there may be no such object: the request was sent and allowed
                await shop.read(tool, kind=kind.name, **place, **arguments)
    pod = (await shop.pods("cart"))[0]["metadata"]["name"]
    await shop.read("kubernetes_logs", namespace="shop", pod=pod)
    await shop.read("kubernetes_events", namespace="shop")
    await shop.read("kubernetes_rollout_history", namespace="shop", name="cart")


async def every_write(shop: World) -> None:
    cart = {"namespace": "shop", "kind": "Deployment", "name": "cart"}
    pod = (await shop.pods("payments"))[0]["metadata"]["name"]
    for tool, arguments in (
        ("kubernetes_scale", {**cart, "replicas": 3}),
        ("kubernetes_restart", cart),
        ("kubernetes_set_resources", {**cart, "container": "cart", "limits": {"memory": "1Gi"}}),
        ("kubernetes_rollback", {"namespace": "shop", "name": "cart", "to_revision": 1}),
        ("kubernetes_delete_pod", {"namespace": "shop", "name": pod}),
    ):
        action = await shop.propose(tool, **arguments)
        await shop.execute(action)
        assert await shop.arrived(action)
        await shop.settled(action)
    for other in OTHERS:
        shop.cluster.seed({**other, "metadata": {"name": "thing", "namespace": "shop"}})
        await patch(shop, other["kind"])
    ingress = {"kind": "Ingress", "metadata": {"name": "thing", "namespace": "shop", "uid": "u"}, "spec": {}}
    labelled = {**ingress, "metadata": {**ingress["metadata"], **LABEL["metadata"]}}
    shop.front.faults += [Fault("GET", "ingresses", status=200, body=ingress)] * 2
    shop.front.faults += [Fault("PATCH", "ingresses", status=200, body=labelled, dry_run=dry) for dry in (True, False)]
    await patch(shop, "Ingress")


async def patch(shop: World, kind: str) -> None:
    action = await shop.propose("kubernetes_patch", namespace="shop", kind=kind, name="thing", patch=LABEL)
    await shop.execute(action)


async def test_the_read_role_is_exactly_what_reads_use(shop: World) -> None:
    await every_read(shop)
    assert {used(sent) for sent in shop.front.sent} == shipped("personal-agent-read")
    assert {asked.code for asked in shop.cluster.asked} <= {200, 404}


async def test_the_write_role_is_exactly_what_writes_use_beyond_reading(shop: World) -> None:
    await every_write(shop)
    assert {used(sent) for sent in shop.front.sent} - shipped("personal-agent-read") == shipped("personal-agent-write")


async def test_the_cordon_role_is_exactly_what_cordoning_uses(shop: World) -> None:
    action = await shop.propose("kubernetes_cordon", name="node-a", unschedulable=True)
    await shop.execute(action)
    assert {used(sent) for sent in shop.front.sent} - shipped("personal-agent-read") == shipped("personal-agent-cordon")


async def test_outside_the_bound_namespaces_nothing_can_be_changed(shop: World) -> None:
    rule = r'Its Role for namespace "staging-shop" lacks the rule .* verbs: \["patch"\]'
    with pytest.raises(ToolError, match=rule):
        await shop.propose("kubernetes_scale", namespace="staging-shop", kind="Deployment", name="checkout", replicas=2)
    assert (await shop.object("deployments", "checkout", "staging-shop"))["spec"]["replicas"] == 1


def test_the_table_of_permissions_is_the_shipped_roles() -> None:
    assert {permission.rule for permission in READS} == shipped("personal-agent-read")
    assert {permission.rule for permission in WRITES} == shipped("personal-agent-write")
    assert {permission.rule for permission in NODE_WRITES} == shipped("personal-agent-cordon")


def test_no_role_has_wildcards_secrets_or_roles() -> None:
    for role in ("personal-agent-read", "personal-agent-write", "personal-agent-cordon"):
        for group, resource, verb in shipped(role):
            assert "*" not in (group, resource, verb)
            assert resource.partition("/")[0] not in ("secrets", "serviceaccounts", "pods/exec", "pods/attach")
            assert group not in ("rbac.authorization.k8s.io", "certificates.k8s.io")
            # who is asked before an object is created is often why nothing can be: that is read, never written
            assert group != "admissionregistration.k8s.io" or verb in ("get", "list")


async def test_what_is_lacking_is_found_by_asking_the_cluster(shop: World) -> None:
    assert await lacking(shop.client, READS) == []
    assert await lacking(shop.client, WRITES, "shop") == []
    assert await lacking(shop.client, NODE_WRITES) == []
    assert await lacking(shop.client, WRITES, "staging-shop") == list(WRITES)


# --- the deployment


def documents() -> dict[str, Any]:
    return {item["kind"]: item for item in yaml.safe_load_all((DEPLOY / "personal-agent.yaml").read_text())}


def test_one_pod_at_a_time_owns_the_database() -> None:
    spec = documents()["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    claims = [volume.get("persistentVolumeClaim") for volume in spec["template"]["spec"]["volumes"]]
    assert {"claimName": documents()["PersistentVolumeClaim"]["metadata"]["name"]} in claims


def test_the_pod_runs_without_privileges_on_a_read_only_disk() -> None:
    pod = documents()["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {probe for probe in container if probe.endswith("Probe")} == {
        "startupProbe",
        "livenessProbe",
        "readinessProbe",
    }


def test_the_role_bindings_name_the_pods_service_account() -> None:
    account = documents()["ServiceAccount"]["metadata"]
    assert documents()["Deployment"]["spec"]["template"]["spec"]["serviceAccountName"] == account["name"]
    bindings = [item for item in yaml.safe_load_all(RBAC.read_text()) if item["kind"].endswith("RoleBinding")]
    assert len(bindings) == 3
    for binding in bindings:
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
        ]


def test_the_config_map_holds_settings_that_exist_and_no_secrets() -> None:
    from bot.config import Settings

    secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)}
    data = documents()["ConfigMap"]["data"]
    assert {name.lower() for name in data} <= set(Settings.model_fields) - secret
    Settings(**{name.lower(): value for name, value in data.items()}, agent_alert_token="x")
