"""Reading Jenkins over the wire: builds since the last green one, and the failing stage, step and tests of one build."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from bot.local.jenkins import REFUND, TAX, Jenkins, commit
from bot.local.jenkins.model import Build, Case, Step
from bot.local.jenkins.world import JONAS, MARA, branch_event
from bot.tools.jenkins_reads import WINDOW
from domain.errors import ToolError
from tests.contracts.jenkins_world import World, world

BRANCH = "shop/checkout/feature%2Fregional-taxes"


@pytest.fixture
async def shop() -> AsyncIterator[World]:
    async with world() as running:
        yield running


# --- builds


async def test_a_jobs_builds_come_with_what_came_in_since_it_was_green(shop: World) -> None:
    seen = await shop.read("jenkins_builds", job=BRANCH, failed_tests=True)
    assert [(build["number"], build["result"]) for build in seen["builds"]] == [
        (4, "FAILURE"), (3, "FAILURE"), (2, "SUCCESS"), (1, "SUCCESS"),
    ]  # fmt: skip
    assert seen["last_green"]["number"] == 2
    assert [(each["build"], each["message"], each["author"]) for each in seen["since_green"]["commits"]] == [
        (3, "Round regional taxes half up", MARA),
        (4, "Spell out VAT in the receipt", JONAS),
    ]
    assert seen["since_green"]["complete"]
    assert seen["builds"][0]["failed_tests"] == [TAX]
    assert seen["builds"][0]["revision"]["branch"] == "feature/regional-taxes"
    assert seen["builds"][0]["causes"] == [{"text": "Push event to branch feature/regional-taxes"}]


async def test_where_not_every_build_since_then_was_read_it_says_so(shop: World) -> None:
    seen = await shop.read("jenkins_builds", job=BRANCH, limit=1)
    assert not seen["since_green"]["complete"]
    assert "and more: not all builds since then were read" in shop.tools["jenkins_builds"].render(seen)


async def test_only_what_is_shown_is_asked_for(shop: World) -> None:
    await shop.read("jenkins_builds", job=BRANCH)
    await shop.read("jenkins_build", job=BRANCH)
    exported = [asked for asked in shop.jenkins.asked if asked.path.endswith("/api/json")]
    assert len(exported) == 4
    assert all("tree" in asked.query for asked in exported)


async def test_parameters_their_choices_and_the_queue_are_told_and_a_passwords_value_is_not(shop: World) -> None:
    shop.jenkins.engine.quieting_down = True
    shop.jenkins.started_by("shop/deploy", JONAS, VERSION="5.8.0")
    await shop.until(lambda: any("shut down" in item.why for item in shop.jenkins.engine.waiting()))
    seen = await shop.read("jenkins_builds", job="shop/deploy")
    definitions = {each["name"]: each for each in seen["parameters"]}
    assert definitions["TARGET"] == {
        "name": "TARGET", "type": "Choice", "choices": ["staging", "production"], "default": "staging",
    }  # fmt: skip
    assert definitions["DEPLOY_TOKEN"]["default"] is None
    assert definitions["DRY_RUN"]["default"] == "false"
    assert seen["waits"] == "Jenkins is about to shut down"
    assert "DEPLOY_TOKEN" not in seen["builds"][0]["parameters"]
    assert "not-shown-anywhere" not in str(seen)


async def test_of_a_folder_or_a_project_with_branches_its_jobs_are_listed(shop: World) -> None:
    seen = await shop.read("jenkins_builds", job="shop/checkout")
    assert [(each["job"], each["color"]) for each in seen["jobs"]] == [
        ("shop/checkout/main", "blue"),
        (BRANCH, "red"),
    ]
    assert "- shop/checkout/main (blue): #233 SUCCESS" in shop.tools["jenkins_builds"].render(seen)


async def test_a_job_that_is_not_there_is_said_so_with_what_the_name_may_lack(shop: World) -> None:
    with pytest.raises(
        ToolError, match=r"There is no job shop/checkout/feature/regional-taxes .*a slash is written %2F"
    ):
        await shop.read("jenkins_builds", job="shop/checkout/feature/regional-taxes")
    with pytest.raises(ToolError, match="There is no shop/cart #9 in Jenkins"):
        await shop.read("jenkins_build", job="shop/cart", number=9)


async def test_a_job_that_the_agent_may_not_see_looks_like_none(shop: World) -> None:
    shop.jenkins.agent.folders = ("shop/web",)
    with pytest.raises(ToolError, match="may not see it"):
        await shop.read("jenkins_builds", job="shop/cart")
    assert (await shop.read("jenkins_builds", job="shop/web"))["builds"]


# --- one build


async def test_the_failing_stage_and_step_are_found_and_not_the_end_of_the_log(shop: World) -> None:
    seen = await shop.read("jenkins_build", job=BRANCH, number=4)
    failure = seen["failure"]
    assert (failure["stage"], failure["step"], failure["command"]) == (
        "Test", "Shell Script", "./gradlew --console=plain test",
    )  # fmt: skip
    assert (failure["error"], failure["exit_code"]) == ("script returned exit code 1", 1)
    assert "TaxTest > regionalTaxIsRounded() FAILED" in failure["excerpt"]
    assert "WS-CLEANUP" not in failure["excerpt"]
    assert failure["tests"] == ["com.acme.checkout.TaxTest > regionalTaxIsRounded()"]
    assert not failure["infrastructure"]


async def test_a_failed_test_says_since_when_so_that_its_commit_is_known(shop: World) -> None:
    seen = await shop.read("jenkins_build", job=BRANCH)
    assert seen["number"] == 4
    [case] = seen["tests"]["failing"]
    assert (case["test"], case["since"], case["age"]) == (TAX, 3, 2)
    assert (seen["tests"]["failed"], seen["tests"]["passed"]) == (1, 2)
    assert [each["message"] for each in seen["changes"]] == ["Spell out VAT in the receipt"]
    assert f"- {TAX}: since #3 (2 builds)" in shop.tools["jenkins_build"].render(seen)


async def test_stages_that_never_ran_are_not_the_failing_one_though_jenkins_calls_them_failed(shop: World) -> None:
    seen = await shop.read("jenkins_build", job=BRANCH)
    assert [(stage["name"], stage["status"]) for stage in seen["stages"]] == [
        ("Build", "SUCCESS"), ("Test", "FAILED"), ("Publish", "FAILED"), ("Declarative: Post Actions", "UNSTABLE"),
    ]  # fmt: skip
    assert seen["failure"]["stage"] == "Test"


async def test_without_the_stage_view_plugin_the_log_alone_names_stage_and_step(shop: World) -> None:
    shop.jenkins.switches.wfapi = False
    seen = await shop.read("jenkins_build", job=BRANCH)
    assert seen["stages"] == []
    assert (seen["failure"]["stage"], seen["failure"]["command"]) == ("Test", "./gradlew --console=plain test")


async def test_of_a_green_build_no_log_is_read(shop: World) -> None:
    seen = await shop.read("jenkins_build", job="shop/checkout/main")
    assert (seen["result"], seen["failure"], seen["tests"]["failing"]) == ("SUCCESS", None, [])
    assert not [asked for asked in shop.jenkins.asked if "logText" in asked.path]


async def test_an_unstable_freestyle_build_names_its_tests_and_its_agent(shop: World) -> None:
    broken = commit(JONAS, "Count twice", "src/Cart.java", breaks=["dev.acme.cart.CartTest.addsItems"])
    shop.jenkins.push("shop/cart", broken)
    await shop.jenkins.built("shop/cart", 79)
    seen = await shop.read("jenkins_build", job="shop/cart", number=79)
    assert (seen["result"], seen["agent"], seen["stages"]) == ("UNSTABLE", "linux-1", [])
    assert [case["test"] for case in seen["tests"]["failing"]] == ["dev.acme.cart.CartTest.addsItems"]
    assert seen["failure"]["command"] == "mvn -B -Dmaven.test.failure.ignore verify"
    assert [each["commit"] for each in seen["changes"]] == [broken.id]


async def test_an_unstable_pipeline_names_the_stage_whose_tests_failed_and_not_the_one_that_counted_them(
    shop: World,
) -> None:
    failed = Case("tests.test_a", "test_b", failed=True, details="assert 1 == 2")

    def script(build: Build) -> list[Step]:
        return [
            Step("Test", "sh", 0.1, ["FAILED tests/test_a.py::test_b - assert 1 == 2"], "pytest || true"),
            Step("Deploy", "sh", 0.1, ["deployed"], "./deploy.sh"),
            Step("Declarative: Post Actions", "junit", 0.1, ["Recording test results"], always=True, cases=(failed,)),
        ]

    job = shop.jenkins.job("shop/web")
    job.script = script
    build = shop.jenkins.engine.past(job, timedelta(minutes=5), branch_event(job))
    seen = await shop.read("jenkins_build", job="shop/web", number=build.number)
    assert seen["result"] == "UNSTABLE"
    assert (seen["failure"]["stage"], seen["failure"]["command"]) == ("Test", "pytest || true")


async def test_an_agent_that_went_away_is_what_the_failure_blames(shop: World) -> None:
    shop.jenkins.engine.hold()
    shop.jenkins.push("shop/web", commit(JONAS, "Wider buttons", "src/Button.tsx"))
    await shop.until(lambda: bool(shop.jenkins.engine.agents[1].running))
    shop.jenkins.engine.release()
    shop.jenkins.engine.take_offline("linux-2", "Connection was broken: java.io.EOFException")
    await shop.jenkins.built("shop/web", 513)
    seen = await shop.read("jenkins_build", job="shop/web")
    assert seen["failure"]["stage"] == "Install"
    assert "Cannot contact linux-2" in seen["failure"]["infrastructure"]
    assert seen["agent_state"] == {
        "name": "linux-2", "offline": True, "reason": "Connection was broken: java.io.EOFException",
    }  # fmt: skip


async def test_a_build_that_waits_for_an_agent_says_for_which(shop: World) -> None:
    shop.jenkins.engine.take_offline("linux-2", "the machine is gone")
    shop.jenkins.push("shop/web", commit(JONAS, "Wider buttons", "src/Button.tsx"))
    await shop.until(lambda: bool(shop.jenkins.job("shop/web").builds[-1].waits_for))
    seen = await shop.read("jenkins_build", job="shop/web")
    assert (seen["building"], seen["waits"], seen["failure"]) == (True, "‘linux-2’ is offline", None)


async def test_an_aborted_build_is_no_failure_of_the_code(shop: World) -> None:
    shop.jenkins.engine.hold()
    shop.jenkins.started_by("shop/web", JONAS)
    await shop.until(lambda: bool(shop.jenkins.engine.agents[1].running))
    shop.jenkins.engine.stop(shop.jenkins.job("shop/web").builds[-1], MARA)
    await shop.jenkins.built("shop/web", 513)
    seen = await shop.read("jenkins_build", job="shop/web")
    assert (seen["result"], seen["failure"]["stage"]) == ("ABORTED", "Install")


# --- long logs


def noisy(jenkins: Jenkins, *, before: int, after: int) -> Build:
    """A build whose failing step lies between so many bytes of other output."""
    line = "x" * 99
    cases = (Case("a.B", "c", failed=True, details="boom"),)

    def script(build: Build) -> list[Step]:
        return [
            Step("Build", "sh", 1.0, [line] * (before // 100), "make all"),
            Step(
                "Test",
                "sh",
                1.0,
                ["ERROR: the disk of the tests is on fire"],
                "make test",
                error="script returned exit code 2",
            ),
            Step("Declarative: Post Actions", "junit", 0.1, [line] * (after // 100), always=True, cases=cases),
        ]

    job = jenkins.job("shop/web")
    job.script = script
    return jenkins.engine.past(job, timedelta(minutes=5), branch_event(job))


@pytest.mark.parametrize(("before", "after"), [(1000, 6 * WINDOW), (6 * WINDOW, 1000), (3 * WINDOW, 4 * WINDOW)])
async def test_of_a_log_of_many_megabytes_the_failing_step_is_found_wherever_it_is(
    shop: World, before: int, after: int
) -> None:
    build = noisy(shop.jenkins, before=before, after=after)
    seen = await shop.read("jenkins_build", job="shop/web", number=build.number)
    failure = seen["failure"]
    assert (failure["stage"], failure["command"]) == ("Test", "make test")
    assert "ERROR: the disk of the tests is on fire" in failure["excerpt"]
    assert (failure["log_cut"], failure["log_bytes"]) == (True, len(build.log))
    reads = [asked for asked in shop.jenkins.asked if "logText" in asked.path]
    assert [asked.query["start"] for asked in reads] == ["0", str(len(build.log) - 3 * WINDOW)]


async def test_where_nothing_tells_of_the_part_that_was_not_read_the_cut_is_admitted(shop: World) -> None:
    shop.jenkins.switches.wfapi = False
    build = noisy(shop.jenkins, before=3 * WINDOW, after=4 * WINDOW)
    seen = await shop.read("jenkins_build", job="shop/web", number=build.number)
    assert seen["failure"]["log_cut"]
    assert "the middle was not read" in shop.tools["jenkins_build"].render(seen)


@pytest.mark.parametrize("size", [WINDOW - 20_000, WINDOW + 5000, 2 * WINDOW])
async def test_a_log_a_little_longer_than_what_is_read_at_once_is_read_whole(shop: World, size: int) -> None:
    build = noisy(shop.jenkins, before=1000, after=size)
    seen: Any = await shop.read("jenkins_build", job="shop/web", number=build.number)
    assert seen["failure"]["log_cut"] is False
    assert seen["failure"]["log_bytes"] == len(build.log)
    assert seen["failure"]["command"] == "make test"


# --- flaky by history


async def test_a_test_that_failed_and_passed_at_one_commit_can_be_told_from_the_builds(shop: World) -> None:
    seen = await shop.read("jenkins_builds", job="shop/payments/main", failed_tests=True)
    by_number = {build["number"]: build for build in seen["builds"]}
    assert by_number[88]["failed_tests"] == [REFUND]
    assert by_number[88]["revision"] == by_number[89]["revision"]
    assert by_number[89]["result"] == "SUCCESS"


# --- refusals


async def test_while_jenkins_starts_a_read_says_so(shop: World) -> None:
    shop.jenkins.faults.add("GET", "/api/json", "starting")
    with pytest.raises(ToolError, match="Jenkins is not ready") as caught:
        await shop.read("jenkins_builds", job=BRANCH)
    assert caught.value.retryable


async def test_a_login_page_is_a_sentence_about_the_login() -> None:
    async with world() as shop:
        shop.jenkins.agent.permissions = frozenset()
        with pytest.raises(ToolError, match=r"Jenkins lets nobody read job .* who is not logged in \(403\)"):
            await shop.read("jenkins_builds", job=BRANCH)


async def test_a_context_path_and_none_are_both_fine() -> None:
    for prefix in ("", "/ci/jenkins"):
        async with world(prefix=prefix) as shop:
            assert (await shop.read("jenkins_build", job=BRANCH))["number"] == 4
