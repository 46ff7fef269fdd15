"""Reading GitLab over the wire: pipelines since the last green one, the failing job of one, what a deployment would change."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from bot.analyzers import analyze
from bot.analyzers.pipelines import flakes
from bot.analyzers.reading import Reading
from bot.local.gitlab import Outcome, Pipeline, Project
from bot.local.gitlab.model import REPORTER, Bridge, now
from bot.local.gitlab.world import BROKEN_TAX, MARA, PRIYA, TAX, push
from bot.tools import gitlab_compare, gitlab_facts as facts, gitlab_fetch, gitlab_pipeline
from domain.alerts import Alert
from domain.canonical import plain
from domain.diagnosis import Finding
from domain.errors import ToolError
from tests.contracts.gitlab_world import World, world

CHECKOUT = "shop/checkout"
RATED = "tests.unit.test_tax.test_total_with_regional_tax"
RESERVED = "tests.integration.test_stock.test_reservation_expires"


@pytest.fixture
async def shop() -> AsyncIterator[World]:
    async with world() as running:
        yield running


def project(shop: World) -> Project:
    return shop.gitlab.projects[CHECKOUT]


def pushed(shop: World, files: dict[str, bytes], message: str, *, minutes: int = 5, branch: str = "main") -> Pipeline:
    """A commit and its pipeline, both of the past, so that nothing has to be waited for."""
    at = now() - timedelta(minutes=minutes)
    made = push(project(shop), branch, files, message, PRIYA, at)
    return shop.gitlab.engine.record(project(shop), branch, made.sha, PRIYA, at)


def again(shop: World, line: Pipeline, *, job: str, outcome: Outcome) -> Pipeline:
    """Another pipeline of the same commit, a job of which ends so."""
    project(shop).troubles.setdefault(job, []).append(outcome)
    return shop.gitlab.engine.record(project(shop), line.ref, line.sha, MARA, now())


def flaked() -> Outcome:
    failure = "AssertionError: reservation 8231 is still held"
    tests = (
        ("tests.integration.test_orders", "test_an_order_is_paid_once", ""),
        ("tests.integration.test_stock", "test_reservation_expires", failure),
    )
    return Outcome("script_failure", 1, ("FAILED tests/integration/test_stock.py::test_reservation_expires",), tests)


def text(shop: World, tool: str, seen: Any) -> str:
    shown: str = shop.tools[tool].render(seen)
    return shown


# --- pipelines


async def test_a_branchs_pipelines_come_with_what_came_in_since_it_was_green(shop: World) -> None:
    last = list(project(shop).pipelines)[-1]
    pushed(shop, {"checkout/tax.py": BROKEN_TAX}, "Unknown regions pay no tax\n\nAs agreed.", minutes=9)
    second = pushed(shop, {"README.md": b"# Checkout\n"}, "Capital letters", minutes=4)
    seen = await shop.read("gitlab_pipelines", project=CHECKOUT)
    assert [each["result"] for each in seen["builds"][:3]] == ["FAILURE", "FAILURE", "SUCCESS"]
    assert (seen["ref"], seen["last_green"]["number"]) == ("main", last)
    assert [(each["message"], each["author"], each["build"]) for each in seen["since_green"]["commits"]] == [
        ("Unknown regions pay no tax", "Priya Nair", second.id - 1),
        ("Capital letters", "Priya Nair", second.id),
    ]
    assert (seen["since_green"]["builds"], seen["since_green"]["complete"]) == (2, True)
    newest = seen["builds"][0]
    assert [each["message"] for each in newest["changes"]] == ["Capital letters"]
    assert newest["causes"] == [{"text": "push by Priya Nair", "user": "priya"}]
    assert newest["revision"] == {"commit": second.sha, "branch": "main"}
    assert (newest["sha"], newest["status"], newest["duration_ms"]) == (second.sha, "failed", 160_000)
    shown = text(shop, "gitlab_pipelines", seen)
    assert f"#{second.id} failed" in shown
    assert f"last green: #{last} " in shown


async def test_a_last_green_pipeline_that_is_not_listed_is_found_all_the_same(shop: World) -> None:
    green = list(project(shop).pipelines)[-1]
    for n in range(3):
        pushed(shop, {"checkout/tax.py": BROKEN_TAX, "README.md": b"#" * n}, f"Try {n}", minutes=9 - n)
    last = pushed(shop, {"README.md": b"# Checkout\n"}, "The last one", minutes=1)
    seen = await shop.read("gitlab_pipelines", project=CHECKOUT, limit=1)
    assert [each["number"] for each in seen["builds"]] == [last.id]
    assert seen["last_green"]["number"] == green
    assert [each["message"] for each in seen["builds"][0]["changes"]] == ["The last one"]
    assert [each["message"] for each in seen["since_green"]["commits"]] == ["Try 0", "Try 1", "Try 2", "The last one"]


async def test_a_merge_brings_its_branchs_commits_in_with_the_pipeline_of_the_merge(shop: World) -> None:
    repository, at = project(shop).repository, now()
    start = repository.branches["main"].head
    aside = [push(project(shop), "taxes", {"a.txt": b"%d" % n}, f"On the side {n}", PRIYA, at - timedelta(minutes=9 - 3 * n))
             for n in (0, 1)]  # fmt: skip
    straight = pushed(shop, {"b.txt": b"1"}, "Straight on", minutes=7)
    merge = repository.commit("main", {"m.txt": b"1"}, "Merge taxes", "Priya Nair", "p@acme.dev", at)
    both = type(merge)(**{**vars(merge), "parents": (straight.sha, aside[1].sha)})
    repository.commits[merge.sha] = both
    merged = shop.gitlab.engine.record(project(shop), "main", merge.sha, PRIYA, at)
    seen = await shop.read("gitlab_pipelines", project=CHECKOUT)
    came = {each["number"]: [one["message"] for one in each["changes"]] for each in seen["builds"]}
    assert start != merge.sha
    assert came[straight.id] == ["Straight on"]
    assert came[merged.id] == ["On the side 0", "On the side 1", "Merge taxes"]


async def test_a_pipeline_that_waits_for_a_person_is_green_as_far_as_it_went(shop: World) -> None:
    pushed(shop, {"checkout/tax.py": BROKEN_TAX}, "Unknown regions pay no tax", minutes=9)
    waits = pushed(shop, {"checkout/tax.py": TAX}, "And they do", minutes=6)
    waits.status = "manual"
    red = again(shop, waits, job="integration", outcome=flaked())
    seen = await shop.read("gitlab_pipelines", project=CHECKOUT, failed_tests=True)
    assert seen["last_green"]["number"] == waits.id
    assert [each["result"] for each in seen["builds"][:3]] == ["FAILURE", "MANUAL", "FAILURE"]
    assert flakes(seen)[RESERVED].passed_in == waits.id
    assert seen["since_green"] == {"builds": 1, "commits": [], "complete": True}
    assert red.id == seen["builds"][0]["number"]


async def test_where_a_branch_was_never_green_it_is_said_so(shop: World) -> None:
    pushed(shop, {"checkout/tax.py": BROKEN_TAX}, "Unknown regions pay no tax", branch="taxes")
    seen = await shop.read("gitlab_pipelines", project=CHECKOUT, ref="taxes")
    assert (seen["last_green"], len(seen["builds"])) == (None, 1)
    assert "never green" in text(shop, "gitlab_pipelines", seen)
    none = await shop.read("gitlab_pipelines", project=CHECKOUT, ref="nowhere")
    assert (none["builds"], none["since_green"]["commits"]) == ([], [])
    assert "no pipelines" in text(shop, "gitlab_pipelines", none)


async def test_a_commit_that_was_pushed_away_leaves_the_rest_readable_and_says_so(shop: World) -> None:
    pushed(shop, {"checkout/tax.py": BROKEN_TAX}, "Unknown regions pay no tax")
    shop.gitlab.fail("GET", "/repository/commits$", "404")
    seen = await shop.read("gitlab_pipelines", project=CHECKOUT)
    assert not seen["since_green"]["complete"]
    assert "and more: not all pipelines since then were read" in text(shop, "gitlab_pipelines", seen)


async def test_a_test_that_failed_and_passed_at_one_commit_can_be_told_from_the_pipelines(shop: World) -> None:
    green = list(project(shop).pipelines.values())[-1]
    red = again(shop, green, job="integration", outcome=flaked())
    seen = await shop.read("gitlab_pipelines", project=CHECKOUT, failed_tests=True)
    by_number = {each["number"]: each for each in seen["builds"]}
    assert by_number[red.id]["failed_tests"] == [RESERVED]
    assert (by_number[green.id]["tests"]["total"], by_number[green.id]["tests"]["failed"]) == (5, 0)
    flake = flakes(seen)[RESERVED]
    assert (flake.failed_in, flake.passed_in, flake.commit) == (red.id, green.id, green.sha)
    assert seen["builds"][0]["changes"] == []


async def test_the_number_of_requests_is_bounded(shop: World) -> None:
    for n in range(40):
        pushed(shop, {"checkout/tax.py": BROKEN_TAX, "README.md": b"#" * n}, f"Try {n}", minutes=50 - n)
    await shop.read("gitlab_pipelines", project=CHECKOUT, limit=50, failed_tests=True)
    assert len(shop.asked) == 5 + 10 + 8  # project, list, last green twice, commits; whole pipelines; reports
    before = len(shop.asked)
    await shop.read("gitlab_pipeline", project=CHECKOUT)
    assert len(shop.asked) - before <= 18
    assert {asked.method for asked in shop.asked} == {"GET"}


# --- one pipeline


async def test_the_failing_job_its_command_and_the_words_of_its_log_are_found(shop: World) -> None:
    line = pushed(shop, {"checkout/tax.py": BROKEN_TAX}, "Unknown regions pay no tax")
    seen = await shop.read("gitlab_pipeline", project=CHECKOUT, pipeline=line.id)
    failure = seen["failure"]
    assert (failure["stage"], failure["step"], failure["reason"]) == ("test", "unit", "script_failure")
    assert (failure["command"], failure["exit_code"]) == ("pytest -q --junitxml=report.xml tests/unit", 1)
    assert "AssertionError: assert 1019 == 1190" in failure["excerpt"]
    assert "Uploading artifacts" not in failure["excerpt"]
    assert not failure["infrastructure"]
    assert (seen["status"], seen["result"], seen["agent"]) == ("failed", "FAILURE", "linux-3")
    assert seen["agent_state"] == {"name": "linux-3", "offline": False, "reason": "online"}
    assert [(stage["name"], stage["status"]) for stage in seen["stages"]] == [
        ("build", "SUCCESS"), ("test", "FAILED"), ("deploy", "NOT_EXECUTED"), ("release", "NOT_EXECUTED"),
    ]  # fmt: skip
    assert [each["message"] for each in seen["changes"]] == ["Unknown regions pay no tax"]
    assert "failed in: test / unit: ERROR: Job failed: exit code 1" in text(shop, "gitlab_pipeline", seen)


async def test_a_failed_test_says_since_when_it_fails(shop: World) -> None:
    first = pushed(shop, {"checkout/tax.py": BROKEN_TAX}, "Unknown regions pay no tax", minutes=9)
    pushed(shop, {"README.md": b"# Checkout\n"}, "Capital letters", minutes=6)
    last = pushed(shop, {"README.md": b"# The checkout\n"}, "Articles", minutes=3)
    seen = await shop.read("gitlab_pipeline", project=CHECKOUT)
    [case] = seen["tests"]["failing"]
    assert (seen["number"], case["test"], case["suite"]) == (last.id, RATED, "unit")
    assert (case["since"], case["age"]) == (first.id, 3)
    assert case["details"] == "AssertionError: assert 1019 == 1190"
    assert (seen["tests"]["failed"], seen["tests"]["passed"], seen["tests"]["total"]) == (1, 4, 5)
    assert f"- {RATED}: since #{first.id} (3 pipelines)" in text(shop, "gitlab_pipeline", seen)


async def test_where_nothing_is_known_of_the_time_before_a_test_is_not_called_new(shop: World) -> None:
    line = pushed(shop, {"checkout/tax.py": BROKEN_TAX}, "Unknown regions pay no tax", branch="taxes")
    seen = await shop.read("gitlab_pipeline", project=CHECKOUT, pipeline=line.id)
    assert seen["tests"]["failing"][0]["since"] == 0
    assert "not known since when" in text(shop, "gitlab_pipeline", seen)


async def test_of_more_failed_tests_than_are_named_before_it_is_not_claimed_when_one_began(shop: World) -> None:
    many = tuple(("t", f"test_{n}", "boom") for n in range(facts.MOST_TESTS + 1))
    last = ("t", f"test_{facts.MOST_TESTS}", "boom")
    line = list(project(shop).pipelines.values())[-1]
    again(shop, line, job="unit", outcome=Outcome("script_failure", 1, (), many))
    again(shop, line, job="unit", outcome=Outcome("script_failure", 1, (), (last, many[0])))
    seen = await shop.read("gitlab_pipeline", project=CHECKOUT)
    assert [(case["test"], case["age"]) for case in seen["tests"]["failing"]] == [(f"t.{last[1]}", 0), ("t.test_0", 2)]


async def test_a_lost_runner_is_the_machinerys_fault(shop: World) -> None:
    line = list(project(shop).pipelines.values())[-1]
    lost = Outcome("runner_system_failure", lines=("prepare environment: waiting for pod running: timed out",))
    again(shop, line, job="unit", outcome=lost)
    seen = await shop.read("gitlab_pipeline", project=CHECKOUT)
    assert (seen["failure"]["step"], seen["failure"]["reason"]) == ("unit", "runner_system_failure")
    assert "timed out" in seen["failure"]["infrastructure"]
    assert seen["failure"]["tests"] == []


async def test_a_log_that_cannot_be_read_leaves_job_and_reason(shop: World) -> None:
    pushed(shop, {"checkout/tax.py": BROKEN_TAX}, "Unknown regions pay no tax")
    shop.gitlab.fail("GET", "/trace$", "403")
    seen = await shop.read("gitlab_pipeline", project=CHECKOUT)
    assert (seen["failure"]["step"], seen["failure"]["excerpt"]) == ("unit", "")
    assert "does not let this agent read the log of job" in seen["failure"]["error"]


async def test_a_log_without_end_is_read_so_far_and_no_further(shop: World) -> None:
    line = pushed(shop, {"checkout/tax.py": BROKEN_TAX}, "Unknown regions pay no tax")
    unit = next(job for job in line.jobs if job.name == "unit")
    unit.trace += "x" * 99 * (gitlab_pipeline.LARGEST_LOG // 90)
    seen = await shop.read("gitlab_pipeline", project=CHECKOUT)
    assert seen["failure"]["log_cut"]
    assert seen["failure"]["log_bytes"] == gitlab_pipeline.LARGEST_LOG


async def test_a_pipeline_that_could_not_be_made_says_what_is_wrong_with_its_configuration(shop: World) -> None:
    line = pushed(shop, {".gitlab-ci.yml": b"unit: [\n"}, "Quicker tests")
    line.jobs, line.status, line.yaml_errors = [], "failed", "(<unknown>): did not find expected node content"
    seen = await shop.read("gitlab_pipeline", project=CHECKOUT)
    assert seen["failure"]["error"] == "(<unknown>): did not find expected node content"
    assert (seen["jobs"], seen["tests"], seen["failure"]["job"]) == ([], None, 0)


async def test_a_pipeline_that_failed_because_one_below_it_did_says_which(shop: World) -> None:
    line = list(project(shop).pipelines.values())[-1]
    line.bridges.append(Bridge(99001, "acceptance", "accept", "failed", "shop/acceptance", 8123))
    line.status = "failed"
    seen = await shop.read("gitlab_pipeline", project=CHECKOUT)
    assert (seen["failure"]["stage"], seen["failure"]["step"]) == ("accept", "acceptance")
    assert seen["failure"]["error"].endswith("/shop/acceptance/-/pipelines/8123")
    assert not [asked for asked in shop.asked if asked.path.endswith("/trace")]


async def test_of_a_green_pipeline_no_log_is_read_and_retries_are_told(shop: World) -> None:
    retried = list(project(shop).pipelines.values())[-2]
    seen = await shop.read("gitlab_pipeline", project=CHECKOUT, pipeline=retried.id)
    assert (seen["result"], seen["failure"], seen["tests"]["failed"]) == ("SUCCESS", None, 0)
    tried = {job["name"]: job["attempts"] for job in seen["jobs"]}
    assert (tried["integration"], tried["unit"], len(seen["jobs"])) == (2, 1, 6)
    assert not [asked for asked in shop.asked if asked.path.endswith(("/trace", "/test_report"))]
    assert "integration: success" in text(shop, "gitlab_pipeline", seen)
    assert "tried 2 times" in text(shop, "gitlab_pipeline", seen)


async def test_a_job_that_waits_for_a_person_tells_where_it_deploys_and_what_is_there_now(shop: World) -> None:
    line = pushed(shop, {"README.md": b"# Checkout\n"}, "Capital letters")
    seen = await shop.read("gitlab_pipeline", project=CHECKOUT)
    deploy = next(job for job in line.jobs if job.name == "deploy-production")
    assert seen["waits_for_person"] == [
        {"id": deploy.id, "name": "deploy-production", "stage": "release", "environment": "production"}
    ]
    by_name = {each["name"]: each for each in seen["environments"]}
    released = list(project(shop).pipelines.values())[-3]
    last = by_name["production"]["last"]
    assert (last["sha"], last["pipeline"], last["job_name"]) == (released.sha, released.id, "deploy-production")
    assert by_name["staging"]["last"]["sha"] == line.sha
    assert f"waits for a person: job {deploy.id} deploy-production to production" in text(shop, "gitlab_pipeline", seen)


async def test_what_is_deployed_is_what_was_over_last_and_not_what_was_asked_for_last(shop: World) -> None:
    first, second = list(project(shop).pipelines.values())[-2:]
    engine, at = shop.gitlab.engine, now()
    engine.record_play(second, "deploy-production", MARA, at - timedelta(minutes=30))
    engine.record_play(first, "deploy-production", MARA, at - timedelta(minutes=10))  # back to what was before
    seen = await shop.read("gitlab_pipeline", project=CHECKOUT, pipeline=second.id)
    last = next(each["last"] for each in seen["environments"] if each["name"] == "production")
    assert (last["pipeline"], last["sha"]) == (first.id, first.sha)


async def test_a_project_whose_deployments_may_not_be_seen_says_so(shop: World) -> None:
    shop.gitlab.fail("GET", "/deployments$", "403", times=9)
    seen = await shop.read("gitlab_pipeline", project=CHECKOUT)
    assert (seen["environments"], seen["deployments_seen"]) == ([], False)
    assert "deployments: this agent may not see them" in text(shop, "gitlab_pipeline", seen)


async def test_a_running_pipeline_says_what_it_waits_for(shop: World) -> None:
    line = shop.gitlab.push(CHECKOUT, {"README.md": b"# Checkout\n"}, "Capital letters")
    seen = await shop.read("gitlab_pipeline", project=CHECKOUT)
    assert (seen["number"], seen["building"], seen["result"], seen["failure"]) == (line.id, True, "", None)
    assert seen["waits"] == "build waits for a runner"


async def test_an_id_that_is_none_and_a_project_that_is_none_are_said_so_with_what_may_be_wrong(shop: World) -> None:
    with pytest.raises(ToolError, match=r"There is no pipeline 3 in shop/checkout.*by its id, which stands in its URL"):
        await shop.read("gitlab_pipeline", project=CHECKOUT, pipeline=3)
    for tool in ("gitlab_pipelines", "gitlab_pipeline"):
        with pytest.raises(ToolError, match="There is no project shop/none in GitLab, or this agent is no member"):
            await shop.read(tool, project="shop/none")
    with pytest.raises(ToolError, match="shop/checkout has no pipeline on nowhere"):
        await shop.read("gitlab_pipeline", project=CHECKOUT, ref="nowhere")


async def test_of_a_report_that_is_too_large_the_counts_are_told(shop: World) -> None:
    line = pushed(shop, {"checkout/tax.py": BROKEN_TAX}, "Unknown regions pay no tax")
    unit = next(job for job in line.jobs if job.name == "unit")
    many = tuple(("t", f"test_{n}", "x" * 5000) for n in range(gitlab_fetch.LARGEST_REPORT // 5000))
    unit.outcome = Outcome("script_failure", 1, unit.outcome.lines, many)
    seen = await shop.read("gitlab_pipeline", project=CHECKOUT)
    assert (seen["tests"]["failed"], seen["tests"]["failing"]) == (len(many), [])


# --- what the built-in rules make of it


async def found(shop: World, what: Pipeline) -> Finding:
    """What the analyzers say of a pipeline, by these reads."""
    numbers = count(1)

    async def read(tool: str, arguments: Mapping[str, Any]) -> Reading:
        return Reading(f"E{next(numbers)}", ok=True, data=plain(await shop.read(tool, **arguments)))

    labels = {"pipeline": str(what.id), "ref": what.ref}
    about = shop.tools["gitlab_pipelines"].understand({"project": CHECKOUT}).target
    alert = Alert(
        "f", firing=True, name="GitLabPipelineFailed", source="gitlab", starts_at=now(), labels=labels, target=about
    )
    [finding] = await analyze(about, alert, read)
    return finding


async def test_the_rules_read_a_broken_test_a_flaky_one_and_a_lost_runner_off_these_reads(shop: World) -> None:
    green = list(project(shop).pipelines.values())[-1]
    flaky = await found(shop, again(shop, green, job="integration", outcome=flaked()))
    assert (flaky.code, flaky.proposal and flaky.proposal.tool) == ("build.flaky_test", "gitlab_retry_pipeline")
    broken = await found(shop, pushed(shop, {"checkout/tax.py": BROKEN_TAX}, "Unknown regions pay no tax"))
    assert (broken.code, broken.facts["tests"]) == ("build.broken_test", [RATED])
    assert "by Priya Nair: Unknown regions pay no tax" in broken.detail
    lost = Outcome("runner_system_failure", lines=("prepare environment: waiting for pod running: timed out",))
    machinery = await found(shop, again(shop, green, job="unit", outcome=lost))
    assert (machinery.code, machinery.facts["agent"]) == ("build.infrastructure", "linux-3")


# --- comparisons


async def compared(shop: World, old: str, new: str, **more: Any) -> Any:
    return await shop.read("gitlab_compare", project=CHECKOUT, **{"from": old, "to": new}, **more)


async def test_a_comparison_tells_commits_files_and_lines(shop: World) -> None:
    deployed = list(project(shop).pipelines.values())[-1].sha
    pushed(shop, {"checkout/tax.py": BROKEN_TAX, "checkout/new.py": b"A = 1\nB = 2\n"}, "Unknown regions pay no tax")
    seen = await compared(shop, deployed, "main")
    assert [each["message"] for each in seen["commits"]] == ["Unknown regions pay no tax"]
    assert [(each["path"], each["change"], each["added"], each["removed"]) for each in seen["files"]] == [
        ("checkout/new.py", "new", 2, 0),
        ("checkout/tax.py", "changed", 1, 1),
    ]
    assert seen["totals"] == {"commits": 1, "files": 2, "added": 3, "removed": 1}
    assert "+    return net + net * RATES.get(region, 0) // 1000" in seen["diffs"][1]["diff"]
    assert (seen["complete"], seen["left_out"], seen["behind"]) == (True, [], [])


async def test_where_the_two_have_parted_what_the_newer_one_lacks_is_told(shop: World) -> None:
    pushed(shop, {"checkout/tax.py": BROKEN_TAX}, "On the branch", branch="taxes")
    pushed(shop, {"README.md": b"# Checkout\n"}, "On main")
    seen = await compared(shop, "main", "taxes")
    assert [each["message"] for each in seen["commits"]] == ["On the branch"]
    assert [each["message"] for each in seen["behind"]] == ["On main"]
    assert [each["path"] for each in seen["files"]] == ["checkout/tax.py"]
    straight = await compared(shop, "main", "taxes", straight=True)
    assert [each["path"] for each in straight["files"]] == ["README.md", "checkout/tax.py"]
    assert "commits that taxes lacks" in text(shop, "gitlab_compare", seen)


async def test_diffs_are_bounded_and_what_was_cut_is_said(shop: World) -> None:
    before = project(shop).repository.branches["main"].head
    lines = b"".join(b"line %d of many\n" % n for n in range(4000))
    pushed(shop, {f"src/{n:02}.txt": lines for n in range(12)}, "A lot")
    seen = await compared(shop, before, "main")
    assert seen["totals"] == {"commits": 1, "files": 12, "added": 48_000, "removed": 0}
    assert sum(len(each["diff"].encode()) for each in seen["diffs"]) <= gitlab_compare.DIFFS_BYTES
    assert all(each["cut"] and len(each["diff"]) <= gitlab_compare.DIFF_BYTES for each in seen["diffs"])
    assert len(seen["diffs"]) < 12
    assert len(seen["files"]) == 12


async def test_a_comparison_that_gitlab_cut_short_or_that_is_too_large_is_not_called_whole(shop: World) -> None:
    before = project(shop).repository.branches["main"].head
    pushed(shop, {"big.txt": b"0123456789abcdef\n" * (gitlab_compare.LARGEST // 16)}, "Data")
    large = await compared(shop, before, "main")
    assert ([each["message"] for each in large["commits"]], large["files"], large["complete"]) == (["Data"], [], False)
    assert "NOT TOLD: The comparison is larger than 8 MB" in text(shop, "gitlab_compare", large)
    project(shop).compare_overflows = True
    pushed(shop, {"big.txt": b""}, "No data")
    cut = await compared(shop, next(iter(project(shop).pipelines.values())).sha, "main")
    assert not cut["complete"]
    assert "GitLab gave up before the end" in cut["left_out"][0]


async def test_the_same_commit_and_one_that_is_none(shop: World) -> None:
    head = project(shop).repository.branches["main"].head
    same = await compared(shop, head, "main")
    assert (same["same"], same["commits"], same["files"]) == (True, [], [])
    with pytest.raises(ToolError, match=r"or no v9\.9 or main in it"):
        await compared(shop, "v9.9", "main")


# --- who may see what, and what policy sees


async def test_the_scope_read_api_and_the_role_reporter_suffice_to_look(shop: World) -> None:
    token = shop.gitlab.tokens[shop.gitlab.token]
    token.scopes, token.projects = ("read_api",), {CHECKOUT: REPORTER}
    assert (await shop.read("gitlab_pipelines", project=CHECKOUT))["builds"]
    assert (await shop.read("gitlab_pipeline", project=CHECKOUT))["jobs"]
    assert (await compared(shop, "main", "main"))["same"]


async def test_what_a_read_is_about_is_the_project_and_its_environment(shop: World) -> None:
    def target(name: str) -> tuple[str, ...]:
        about = shop.tools["gitlab_pipelines"].understand({"project": name}).target
        return about.system, about.environment, about.namespace, about.kind, about.name

    assert target(CHECKOUT) == ("gitlab", "production", "shop", "GitLabProject", "checkout")
    assert target("shop/web") == ("gitlab", "development", "shop", "GitLabProject", "web")
    assert target("acme/shop/web") == ("gitlab", "production", "acme/shop", "GitLabProject", "web")


async def test_a_server_that_asks_to_wait_is_said_so(shop: World) -> None:
    shop.gitlab.fail("GET", "/pipelines", "429")
    with pytest.raises(ToolError, match="try again in 30 s") as caught:
        await shop.read("gitlab_pipelines", project=CHECKOUT)
    assert caught.value.retryable
