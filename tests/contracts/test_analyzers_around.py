"""What stands around a workload, over HTTP through the real tools: absent objects, missing rights, how much is read."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from bot.analyzers import analyze
from bot.commands.eval import written
from bot.evaluation import read_scenario
from bot.local.cluster import Cluster
from bot.tools import Systems, connect
from domain.actions import Target
from domain.alerts import Alert
from domain.diagnosis import Finding
from domain.ports import Tool
from tests.contracts.test_analyzers_cluster import reader

ROLE = Path(__file__).parents[2] / "deploy" / "rbac.yaml"


@asynccontextmanager
async def shop(folder: Path, world: str) -> AsyncIterator[tuple[Cluster, Mapping[str, Tool]]]:
    """A world in a scenario's words, read with exactly the shipped rights."""
    scenario = read_scenario("shop", f"alert: {{name: A}}\nexpect: {{cause: x}}\nworld:\n{world}")
    async with Cluster(written=written(scenario)) as cluster:
        cluster.load_role(ROLE)
        systems = Systems(kubeconfig=str(cluster.write_kubeconfig(folder / "kubeconfig")))
        toolbox = await connect(systems, lambda namespace: "production")
        try:
            yield cluster, {tool.name: tool for tool in toolbox.tools}
        finally:
            await toolbox.close()


def about(kind: str, name: str, namespace: str = "shop") -> Target:
    return Target("kubernetes", "production", namespace, kind, name)


async def found(tools: Mapping[str, Tool], target: Target, alert: Alert | None = None) -> dict[str, Finding]:
    return {item.code: item for item in await analyze(target, alert, reader(tools))}


REFUSED = """
  namespaces: [default, shop, guard]
  workloads:
    - name: web
      replicas: 2
      pods: [{count: 1}]
      conditions:
        - type: ReplicaFailure
          status: "True"
          reason: FailedCreate
          message: 'failed calling webhook "v.guard.dev": failed to call webhook: service "guard" not found'
  objects:
    - apiVersion: admissionregistration.k8s.io/v1
      kind: MutatingWebhookConfiguration
      metadata: {name: guards}
      webhooks: [{name: v.guard.dev, clientConfig: {service: {namespace: guard, name: guard}}}]
"""


async def test_a_webhook_whose_service_does_not_exist_is_named_and_nothing_failed(tmp_path: Path) -> None:
    async with shop(tmp_path, REFUSED) as (_, tools):
        said = await found(tools, about("Deployment", "web"))
    assert "Service guard/guard does not exist" in said["webhook.unreachable"].title
    assert "read.failed" not in said


async def test_a_webhook_configuration_asked_about_says_the_same(tmp_path: Path) -> None:
    async with shop(tmp_path, REFUSED) as (_, tools):
        said = await found(tools, about("MutatingWebhookConfiguration", "guards", ""))
    assert list(said) == ["webhook.unreachable"]


CLAIM = """
  claims: [{name: data, phase: Lost, class: fast, volume: pv-1}]
"""


async def test_a_lost_claim_says_that_its_volume_is_gone(tmp_path: Path) -> None:
    async with shop(tmp_path, CLAIM) as (_, tools):
        said = await found(tools, about("PersistentVolumeClaim", "data"))
    assert list(said) == ["storage.claim_lost"]
    assert "pv-1 does not exist any more" in said["storage.claim_lost"].title


INGRESS = """
  workloads: [{name: web, replicas: 1}]
  services: [{name: web}]
  objects:
    - {apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {name: nginx}}
    - apiVersion: networking.k8s.io/v1
      kind: Ingress
      metadata: {name: web, namespace: shop}
      spec:
        ingressClassName: nginx
        tls: [{secretName: web-tls}]
        defaultBackend: {service: {name: web, port: {number: 80}}}
"""


@pytest.mark.parametrize("taken", ["certificates", "ingressclasses"])
async def test_a_right_that_is_missing_is_told_unless_it_is_an_extensions(tmp_path: Path, taken: str) -> None:
    role = tmp_path / "role.yaml"
    documents = [item for item in yaml.safe_load_all(ROLE.read_text()) if item]
    for rule in (rule for item in documents for rule in item.get("rules", ())):
        rule["resources"] = [name for name in rule["resources"] if name != taken]
    role.write_text(yaml.safe_dump_all(documents))
    async with shop(tmp_path, INGRESS) as (cluster, tools):
        cluster.load_role(role)
        said = await found(tools, about("Ingress", "web"))
    assert "ingress.healthy" in said
    assert ("read.failed" in said) is (taken == "ingressclasses")


async def test_an_ingress_leads_to_its_service_and_to_the_deployment_behind_it(tmp_path: Path) -> None:
    async with shop(tmp_path, INGRESS) as (_, tools):
        said = await found(tools, about("Ingress", "web"))
    assert set(said) == {"ingress.healthy", "service.healthy", "deployment.healthy"}
    assert said["deployment.healthy"].target == about("Deployment", "web")


WORKLOAD = """
  workloads:
    - {name: web, replicas: 2}
    - {name: api, replicas: 1, pods: [{count: 1, state: crash, log: ["panic: nil map"]}]}
    - {name: cron, replicas: 1, pods: [{count: 1, state: config, message: 'secret "db" not found'}]}
    - name: big
      replicas: 1
      pods: [{count: 1, state: pending}]
"""


@pytest.mark.parametrize(("name", "requests"), [("web", 4), ("api", 6), ("cron", 5), ("big", 6)])
async def test_only_what_the_symptom_asks_for_is_read(tmp_path: Path, name: str, requests: int) -> None:
    async with shop(tmp_path, WORKLOAD) as (cluster, tools):
        before = len(cluster.asked)
        await found(tools, about("Deployment", name))
        asked = [one.path for one in list(cluster.asked)[before:]]
    assert len(asked) <= requests, asked


async def test_no_secret_is_ever_asked_for(tmp_path: Path) -> None:
    async with shop(tmp_path, WORKLOAD + INGRESS.partition("objects:")[0]) as (cluster, tools):
        for name in ("web", "cron"):
            await found(tools, about("Deployment", name))
        asked = [one.path for one in cluster.asked]
    assert asked
    assert not [path for path in asked if "secrets" in path]


async def test_the_service_of_another_namespace_is_looked_at_there(tmp_path: Path) -> None:
    world = """
  namespaces: [default, shop, data]
  workloads:
    - {name: web, replicas: 1, pods: [{count: 1, state: crash, log: ["connect to db.data.svc:5432: connection refused"]}]}
    - {name: db, namespace: data, replicas: 1, pods: [{count: 1, state: unready}]}
  services: [{name: db, namespace: data}]
"""
    async with shop(tmp_path, world) as (_, tools):
        said = await found(tools, about("Deployment", "web"))
    assert "Service db in data does not answer web: none of its 1 pod is ready" in said["needs.not_ready"].title


def crowd(pods: int) -> str:
    bad = "{count: 3, state: crash, log: ['dial tcp: lookup stock on 10.96.0.10:53: no such host']}"
    return f"""
  workloads:
    - name: web
      replicas: {pods}
      pods: [{{count: {pods - 3}}}, {bad}]
"""


async def test_first_findings_on_500_pods_take_less_than_two_seconds(tmp_path: Path) -> None:
    async with shop(tmp_path, crowd(500)) as (_, tools):
        began = time.perf_counter()
        said = await found(tools, about("Deployment", "web"))
        took = time.perf_counter() - began
    assert "needs.no_such_service" in said
    assert "3 of 500 pods" in said["pod.crash_loop"].title
    assert took < 2.0, took
