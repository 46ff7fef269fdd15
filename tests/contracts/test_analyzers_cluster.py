"""The analyzers against the stand-in cluster, through the real Kubernetes tools: each scenario's cause comes first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.analyzers import Read, Reading, analyze
from bot.local.cluster import Cluster
from bot.local.scenarios import SCENARIOS, Scenario
from bot.tools import Systems, connect
from domain.actions import Target
from domain.canonical import canonical, plain
from domain.codec import encode
from domain.diagnosis import Finding
from domain.errors import AgentError
from domain.ports import Tool

SPEED = 8.0
PATIENCE_SECONDS = 20.0

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def reader(tools: Mapping[str, Tool]) -> Read:
    """Reads as the loop makes them: arguments understood, data made plain, a refusal told as a sentence."""
    made = 0

    async def read(name: str, arguments: Mapping[str, Any]) -> Reading:
        nonlocal made
        made += 1
        number = made
        tool: Any = tools[name]
        try:
            data = await tool.read(tool.understand(plain(arguments)).arguments)
        except AgentError as error:
            return Reading("", ok=False, error=str(error))
        return Reading(f"E{number}", ok=True, data=plain(data))

    return read


@asynccontextmanager
async def cluster_and_tools(folder: Path, **options: Any) -> AsyncIterator[tuple[Cluster, dict[str, Tool]]]:
    async with Cluster(**({"speed": SPEED} | options)) as cluster:
        toolbox = await connect(
            Systems(kubeconfig=str(cluster.write_kubeconfig(folder / "kubeconfig"))), lambda namespace: "production"
        )
        try:
            yield cluster, {tool.name: tool for tool in toolbox.tools}
        finally:
            await toolbox.close()


def about(scenario: Scenario) -> Target:
    return Target("kubernetes", "production", scenario.namespace, "Deployment", scenario.workload)


async def until(look: Callable[[], Any], holds: Callable[[tuple[Finding, ...]], bool]) -> tuple[Finding, ...]:
    """The findings once they are as wanted; the last ones where they never are."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found: tuple[Finding, ...] = await look()
        if holds(found) or time.monotonic() > deadline:
            return found
        await asyncio.sleep(0.02)  # the cluster's time passes by itself


@pytest.mark.parametrize(
    ("name", "code", "arguments", "said"),
    [
        (
            "bad-rollout",
            "deployment.bad_rollout",
            {"namespace": "shop", "name": "checkout", "to_revision": 3},
            "migration 0041, this build needs 0042_add_tax_region",
        ),
        (
            "oom",
            "pod.oom_killed",
            {
                "namespace": "shop",
                "kind": "Deployment",
                "name": "payments",
                "container": "payments",
                "limits": {"memory": "384Mi"},
                "requests": {"memory": "384Mi"},
            },
            "at its memory limit of 256Mi",
        ),
        (
            "image-typo",
            "deployment.bad_rollout",
            {"namespace": "shop", "name": "web", "to_revision": 3},
            "5.8.0-rcl",
        ),
    ],
)
async def test_a_scenarios_cause_comes_first_with_the_change_that_mends_it(
    tmp_path: Path, name: str, code: str, arguments: dict[str, Any], said: str
) -> None:
    scenario = BY_NAME[name]
    async with cluster_and_tools(tmp_path) as (cluster, tools):
        await scenario.start(cluster)
        read = reader(tools)
        found = await until(
            lambda: analyze(about(scenario), None, read),
            # between its crash and the kept log of it a container has said nothing of the cause yet
            lambda findings: findings[0].proposal is not None and said in findings[0].detail,
        )
        assert found[0].code == code
        assert found[0].proposal is not None
        assert found[0].proposal.tool == scenario.expected_tool
        assert found[0].proposal.arguments == arguments
        assert said in found[0].detail
        assert all(item.proposal is None for item in found[1:])
        understood = tools[found[0].proposal.tool].understand(found[0].proposal.arguments)
        assert understood.target.name == scenario.workload
        canonical(encode(found))


async def test_a_workload_that_recovers_is_never_proposed_a_change_for(tmp_path: Path) -> None:
    scenario = BY_NAME["recovered"]
    async with cluster_and_tools(tmp_path) as (cluster, tools):
        await scenario.start(cluster)
        read, seen = reader(tools), []

        async def look() -> tuple[Finding, ...]:
            found = await analyze(about(scenario), None, read)
            seen.extend(found)
            return found

        found = await until(look, lambda findings: findings[0].code == "deployment.recovered")
        assert [item.code for item in found] == ["deployment.recovered"]
        assert "connection refused" in found[0].detail
        assert "pod.crash_loop" in {item.code for item in seen}
        assert all(item.proposal is None for item in seen)


async def test_healthy_workloads_are_healthy(tmp_path: Path) -> None:
    async with cluster_and_tools(tmp_path) as (_, tools):
        for name in ("checkout", "payments", "web", "cart"):
            found = await analyze(Target("kubernetes", "production", "shop", "Deployment", name), None, reader(tools))
            assert [item.code for item in found] == ["deployment.healthy"], name
            assert found[0].proposal is None


async def test_the_pod_the_service_and_the_namespace_lead_to_the_same_cause(tmp_path: Path) -> None:
    scenario = BY_NAME["bad-rollout"]
    async with cluster_and_tools(tmp_path) as (cluster, tools):
        await scenario.start(cluster)
        read = reader(tools)
        first = await until(lambda: analyze(about(scenario), None, read), lambda found: found[0].proposal is not None)
        pod = next(item.facts["pods"][0] for item in first if item.code == "pod.crash_loop")
        for kind, name in (("Pod", pod), ("Service", "checkout"), ("", "")):
            found = await analyze(Target("kubernetes", "production", "shop", kind, name), None, read)
            assert found[0].code == "deployment.bad_rollout", kind
            assert found[0].target == about(scenario)


async def test_nodes_are_healthy(tmp_path: Path) -> None:
    async with cluster_and_tools(tmp_path) as (_, tools):
        nodes = await reader(tools)("kubernetes_list", {"kind": "Node"})
        name = nodes.data["items"][0]["metadata"]["name"]
        found = await analyze(Target("kubernetes", "production", "", "Node", name), None, reader(tools))
        assert [item.code for item in found] == ["node.healthy"]


async def test_a_workload_that_is_not_there_is_a_failed_read(tmp_path: Path) -> None:
    async with cluster_and_tools(tmp_path) as (_, tools):
        target = Target("kubernetes", "production", "shop", "Deployment", "nothing")
        found = await analyze(target, None, reader(tools))
        assert [item.code for item in found] == ["read.failed"]
        assert "nothing" in found[0].detail


async def test_a_cluster_that_is_not_there_is_a_failed_read(tmp_path: Path) -> None:
    async with Cluster() as cluster:
        kubeconfig = cluster.write_kubeconfig(tmp_path / "kubeconfig")
    toolbox = await connect(Systems(kubeconfig=str(kubeconfig)), lambda namespace: "production")
    try:
        read = reader({tool.name: tool for tool in toolbox.tools})
        found = await analyze(about(BY_NAME["bad-rollout"]), None, read)
    finally:
        await toolbox.close()
    assert {item.code for item in found} == {"read.failed"}
    assert found[0].title == "Could not look at Deployment checkout"


async def test_first_findings_take_a_few_reads_and_far_less_than_a_second(tmp_path: Path) -> None:
    scenario = BY_NAME["bad-rollout"]
    async with cluster_and_tools(tmp_path) as (cluster, tools):
        await scenario.start(cluster)
        read = reader(tools)
        await until(lambda: analyze(about(scenario), None, read), lambda found: found[0].proposal is not None)
        before, began = len(cluster.asked), time.perf_counter()
        await analyze(about(scenario), None, read)
        assert time.perf_counter() - began < 1.0
        assert len(cluster.asked) - before <= 8
