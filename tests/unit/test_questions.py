"""What a question is about: its own words first, then its thread's incident; the cluster's names help where they can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.questions import target_of_question
from bot.tools.spec import Model, ReadTool
from domain.actions import Target
from domain.alerts import Incident, Severity
from domain.errors import ToolError
from tests.unit.journeys import forever

CHECKOUT = Target("kubernetes", "production", "shop", "Deployment", "checkout")
INCIDENT = Incident("i1", "local", "checkout", Severity.CRITICAL, CHECKOUT, "", datetime(2026, 3, 10, tzinfo=UTC))


class Listing(Model):
    """Which kind."""

    kind: str


@dataclass
class Cluster:
    """Deployments by name and namespace."""

    names: tuple[tuple[str, str], ...] = (("shop", "checkout"), ("shop", "web"), ("staging-web", "web"))
    problem: Exception | None = None
    silent: bool = False

    async def read(self, _arguments: Mapping[str, Any]) -> Any:
        if self.silent:
            await forever()
        if self.problem:
            raise self.problem
        return {"items": [{"metadata": {"namespace": space, "name": name}} for space, name in self.names]}

    def tools(self) -> dict[str, Any]:
        tool = ReadTool("kubernetes_list", "", Listing, lambda _: Target(), self.read, str)
        return {tool.name: tool}


def environment(namespace: str) -> str:
    return "staging" if namespace.startswith("staging") else "production"


async def ask(text: str, incident: Incident | None = None, cluster: Cluster | None = None) -> Target:
    tools = (cluster or Cluster()).tools()
    return await target_of_question(text, incident, tools, environment)


async def test_a_name_that_one_namespace_has_is_enough() -> None:
    assert await ask("why does checkout crash?") == CHECKOUT


async def test_the_environment_is_the_servers_word() -> None:
    found = await ask("what about deployment/web in staging-web?")
    assert (found.namespace, found.name, found.environment) == ("staging-web", "web", "staging")


async def test_a_question_that_names_nothing_is_about_its_threads_incident() -> None:
    assert await ask("why?", INCIDENT) == CHECKOUT


async def test_its_own_words_go_before_the_threads_incident() -> None:
    assert (await ask("and deployment/web in shop?", INCIDENT)).name == "web"


async def test_outside_of_a_thread_a_question_that_names_nothing_has_no_target() -> None:
    assert (await ask("good morning")).key == ""


@pytest.mark.parametrize(
    "cluster",
    [Cluster(problem=ToolError("The cluster does not answer.")), Cluster(silent=True)],
    ids=["down", "silent"],
)
async def test_without_the_clusters_names_its_own_words_have_to_do(cluster: Cluster) -> None:
    found = await ask("why does deployment/checkout in shop crash?", None, cluster)
    assert (found.namespace, found.kind, found.name) == ("shop", "Deployment", "checkout")


async def test_without_a_cluster_it_still_reads_the_words() -> None:
    found = await target_of_question("deployment/checkout in shop", None, {}, environment)
    assert found == CHECKOUT
