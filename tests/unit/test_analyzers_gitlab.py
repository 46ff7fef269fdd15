"""What is said of a failed pipeline of GitLab: a retry is proposed where nothing is wrong with the code, else a revert."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from bot.analyzers import analyze
from bot.analyzers.reading import Reading
from domain.actions import Target
from domain.diagnosis import Finding

CHECKOUT = Target("gitlab", "production", "shop", "GitLabProject", "checkout")
TAX, STOCK = "tests.unit.test_tax.test_total", "tests.integration.test_stock.test_reservation_expires"
COMMIT = {"commit": "c" * 40, "author": "Priya Nair", "message": "Unknown regions pay no tax\x07", "paths": []}


def line(number: int, result: str, sha: str, *failed: str, **more: Any) -> dict[str, Any]:
    """A pipeline as gitlab_pipelines tells it."""
    found: dict[str, Any] = {
        "number": number, "result": result, "status": result.lower(), "building": False, "sha": sha, "source": "push",
        "revision": {"commit": sha, "branch": "main"}, "changes": [], "causes": [{"text": "push by Priya Nair"}],
        "tests": {"total": 5, "failed": len(failed)},
    }  # fmt: skip
    return found | ({"failed_tests": list(failed)} if failed else {}) | more


def closer(number: int, sha: str, *failed: tuple[str, int], **more: Any) -> dict[str, Any]:
    """A pipeline as gitlab_pipeline tells it."""
    cases = [{"test": name, "since": since, "details": "assert 1019 == 1190"} for name, since in failed]
    failure = {
        "stage": "test", "step": "unit", "command": "pytest -q", "error": "exit code 1", "errors": [], "infrastructure": "",
    }  # fmt: skip
    tests = {"total": 5, "failed": len(cases), "failing": cases}
    return line(number, "FAILURE", sha) | {"tests": tests, "failure": failure, "agent_state": {}, "jobs": []} | more


class Read:
    def __init__(self, one: Any, lines: list[Any]) -> None:
        self.answers = {"gitlab_pipeline": one, "gitlab_pipelines": {"builds": lines, "waits": "", "since_green": {}}}

    async def __call__(self, tool: str, arguments: Mapping[str, Any]) -> Reading:
        return Reading("E1" if tool == "gitlab_pipeline" else "E2", ok=True, data=self.answers[tool])


async def found(one: Any, *lines: Any) -> Finding:
    [finding] = await analyze(CHECKOUT, None, Read(one, list(lines)))
    return finding


async def test_a_flaky_test_is_tried_again_in_the_same_pipeline() -> None:
    seen = await found(
        closer(42, "a" * 40, (STOCK, 42)), line(42, "FAILURE", "a" * 40, STOCK), line(41, "SUCCESS", "a" * 40)
    )
    assert (seen.code, seen.title.partition(":")[0]) == (
        "build.flaky_test",
        "Pipeline #42 of checkout failed on a flaky test",
    )
    assert seen.proposal is not None
    assert (seen.proposal.tool, seen.proposal.arguments) == (
        "gitlab_retry_pipeline",
        {"project": "shop/checkout", "pipeline": 42},
    )


async def test_a_broken_test_with_one_suspect_is_reverted_by_a_merge_request() -> None:
    broken = closer(42, COMMIT["commit"], (TAX, 42), changes=[COMMIT])
    seen = await found(broken, line(42, "FAILURE", COMMIT["commit"], TAX), line(41, "SUCCESS", "b" * 40))
    assert seen.code == "build.broken_test"
    assert seen.proposal is not None
    assert seen.proposal.tool == "gitlab_open_merge_request"
    asked = seen.proposal.arguments
    assert (asked["target_branch"], asked["revert"]) == ("main", "c" * 40)
    assert asked["title"] == 'Revert "Unknown regions pay no tax"'


@pytest.mark.parametrize(
    ("changes", "more"),
    [
        ([COMMIT, COMMIT | {"commit": "d" * 40}], {}),
        ([], {}),
        ([COMMIT], {"source": "merge_request_event"}),
        ([COMMIT | {"commit": ""}], {}),
    ],
)
async def test_where_the_suspect_is_not_certain_or_still_under_work_nothing_is_proposed(
    changes: list[Any], more: dict[str, Any]
) -> None:
    seen = await found(closer(42, "c" * 40, (TAX, 42), changes=changes, **more), line(42, "FAILURE", "c" * 40, TAX))
    assert seen.code == "build.broken_test"
    assert seen.proposal is None


async def test_tests_that_broke_at_different_times_have_no_one_commit_to_revert() -> None:
    both = closer(42, COMMIT["commit"], (TAX, 42), (STOCK, 41), changes=[COMMIT])
    before = line(41, "FAILURE", "b" * 40, STOCK, changes=[COMMIT | {"commit": "b" * 40}])
    seen = await found(both, line(42, "FAILURE", COMMIT["commit"], TAX, STOCK), before)
    assert seen.proposal is None
    assert f"{STOCK} fails since #41" in seen.detail
    assert f"{TAX} fails since #42 only" in seen.detail


async def test_a_test_that_another_try_never_came_to_did_not_pass_there() -> None:
    seen = await found(
        closer(42, "a" * 40, (STOCK, 42)),
        line(42, "FAILURE", "a" * 40, STOCK),
        line(41, "FAILURE", "a" * 40, TAX),
    )
    assert seen.code == "build.broken_test"


async def test_since_when_a_test_fails_is_said_only_where_it_is_known() -> None:
    one = closer(42, COMMIT["commit"], (TAX, 0), changes=[COMMIT])
    seen = await found(one, line(42, "FAILURE", COMMIT["commit"], TAX))
    assert "since when is not known" in seen.detail
    assert seen.proposal is None


async def test_a_runner_that_failed_is_no_fault_of_the_code_and_is_tried_again() -> None:
    lost = closer(42, "a" * 40)
    lost["failure"] |= {"infrastructure": "runner system failure"}
    seen = await found(lost, line(42, "FAILURE", "a" * 40))
    assert (seen.code, seen.proposal and seen.proposal.tool) == ("build.infrastructure", "gitlab_retry_pipeline")


async def test_on_a_runner_that_is_away_nothing_is_tried_again() -> None:
    lost = closer(42, "a" * 40, agent_state={"name": "linux-1", "offline": True, "reason": "offline"})
    lost["failure"] |= {"infrastructure": "runner system failure"}
    assert (await found(lost, line(42, "FAILURE", "a" * 40))).proposal is None


async def test_a_newer_pipeline_makes_another_try_pointless() -> None:
    seen = await found(
        closer(42, "a" * 40, (STOCK, 42)),
        line(43, "", "d" * 40, building=True),
        line(42, "FAILURE", "a" * 40, STOCK),
        line(41, "SUCCESS", "a" * 40),
    )
    assert (seen.code, seen.proposal) == ("build.flaky_test", None)


async def test_a_pipeline_that_waits_for_a_person_is_nothing_that_is_wrong() -> None:
    waits = line(42, "MANUAL", "a" * 40, jobs=[{"id": 7, "name": "deploy-production", "status": "manual"}])
    seen = await found(waits)
    assert (seen.code, seen.healthy, seen.proposal) == ("build.waits_for_people", True, None)
    assert seen.title == "Pipeline #42 of checkout waits for a person to start deploy-production"
