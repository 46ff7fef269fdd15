"""What is deployed is watched: a canary beside the rest, a whole release against the time before; what policy may know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

from bot.config import load
from bot.local.gitlab import Job
from bot.local.prometheus import Prometheus
from bot.tools.gitlab_play import play_tool
from bot.tools.objectives import Watch
from bot.tools.objectives_file import Canary, Objective
from bot.tools.prometheus_api import open_prometheus
from domain.actions import Action
from domain.ports import Probe
from tests.contracts.gitlab_shop import CHECKOUT, ENVIRONMENTS, Shop, job, shop

PLAY = "gitlab_play_job"
OBJECTIVE = Objective(
    "checkout", CHECKOUT, Decimal("99.5"), "30d", "all[$window]", watch_s=6, worse_by=Decimal(1),
    canary=Canary("canary[$window]", "stable[$window]"),
)  # fmt: skip


@pytest.fixture
async def metrics() -> AsyncIterator[Prometheus]:
    async with Prometheus() as server:
        yield server


@asynccontextmanager
async def watched(metrics: Prometheus, objective: Objective = OBJECTIVE) -> AsyncIterator[Shop]:
    client = open_prometheus(metrics.url, "")
    try:
        async with shop() as gitlab:
            environment = load({"AGENT_ENVIRONMENTS": ENVIRONMENTS}, env_file=None).environment
            gitlab.tools[PLAY] = play_tool(gitlab.client, environment, Watch(client, (objective,)))
            yield gitlab
    finally:
        await client.close()


def waiting(gitlab: Shop) -> Job:
    newest = max(gitlab.project.pipelines.values(), key=lambda line: line.id)
    return job(newest, "deploy-production")


async def deployed(gitlab: Shop) -> tuple[Action, Probe]:
    """A deployment to production, followed until its verification is over."""
    wanted = waiting(gitlab)
    action = await gitlab.propose(PLAY, project=CHECKOUT, job=wanted.id, environment="production")
    await gitlab.execute(action)
    async with asyncio.timeout(20):
        while True:
            probe = await gitlab.probe(action)
            if probe.settled:
                return action, probe
            await asyncio.sleep(0.2)


async def test_a_deployment_passes_only_at_the_end_of_its_watch(metrics: Prometheus) -> None:
    metrics.tell("all", lambda at: [({}, 0.001)])
    async with watched(metrics) as gitlab:
        action, probe = await deployed(gitlab)
    assert "# it is watched for 6 s: checkout may have 1 percentage point more errors" in action.diff
    assert probe.passed
    assert [check.name for check in probe.checks] == [
        "job started", "job succeeded", "production has it", "errors after the release",
    ]  # fmt: skip


async def test_a_deployment_that_makes_it_worse_fails_before_the_watch_is_over(metrics: Prometheus) -> None:
    asked: list[float] = []

    def worse(at: float) -> list[tuple[dict[str, str], float]]:
        asked.append(at)
        return [({}, 0.001 if at == min(asked) else 0.2)]

    metrics.tell("all", worse)
    async with watched(metrics, replace(OBJECTIVE, watch_s=60)) as gitlab:
        _, probe = await deployed(gitlab)
    assert not probe.passed
    assert "20 % against 0.1 % before" in probe.checks[-1].detail


async def test_where_no_objective_is_set_the_card_says_that_nobody_watches(metrics: Prometheus) -> None:
    async with watched(metrics, replace(OBJECTIVE, project="shop/cart")) as gitlab:
        action = await gitlab.propose(PLAY, project=CHECKOUT, job=waiting(gitlab).id, environment="production")
        assert "# nobody watches how it does afterwards: no objective is set for this project" in action.diff
        await gitlab.execute(action)
        assert (await gitlab.ended(action)).passed


async def test_policy_may_know_the_commit_and_whether_it_was_deployed_there_before(metrics: Prometheus) -> None:
    async with watched(metrics) as gitlab:
        wanted = waiting(gitlab)
        fresh = await gitlab.propose(PLAY, project=CHECKOUT, job=wanted.id, environment="production")
        assert fresh.facts == {"commit": wanted.pipeline.sha, "canary": False, "deployed_before": False}
        assert fresh.undo is not None
        back = await gitlab.propose(PLAY, **fresh.undo.arguments)
        assert back.facts["deployed_before"] is True
