"""The stand-in GitLab itself: strict where the real one is, so that what passes here is likely to pass there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from bot.local.gitlab import world
from bot.local.gitlab.model import DEVELOPER, MAINTAINER, REPORTER
from tests.contracts.gitlab_desk import CHECKOUT, ORDERS, Desk, job, newest, open_desk, waiting

MINE = (
    "query($project: ID!, $job: JobID!) { project(fullPath: $project) { job(id: $job) "
    "{ manualVariables { nodes { key value } } } } }"
)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as made:
        yield made


# --- who asks


async def test_a_token_comes_in_its_own_header_or_as_a_bearer(desk: Desk) -> None:
    assert (await desk.ask("GET", CHECKOUT))[0] == 200
    bearer = {"Authorization": f"Bearer {desk.gitlab.token}"}
    assert (await desk.ask("GET", CHECKOUT, token="", headers=bearer))[0] == 200
    assert (await desk.ask("GET", CHECKOUT, token="wrong"))[:2] == (401, {"message": "401 Unauthorized"})
    assert (await desk.ask("GET", CHECKOUT, token=""))[:2] == (404, {"message": "404 Project Not Found"})
    assert (await desk.ask("GET", "/user", token=""))[0] == 401


@pytest.mark.parametrize(("ended", "says"), [("revoked", "Token was revoked."), ("expired", "Token is expired.")])
async def test_a_token_that_was_valid_once_says_why_it_is_not_any_more(desk: Desk, ended: str, says: str) -> None:
    setattr(desk.gitlab.tokens[desk.gitlab.token], ended, True)
    status, body, _ = await desk.ask("GET", CHECKOUT)
    assert (status, body["error"]) == (401, "invalid_token")
    assert body["error_description"].startswith(says)


async def test_a_scope_that_is_missing_and_a_role_that_is_too_low_are_two_refusals(desk: Desk) -> None:
    read = desk.gitlab.issue(world.AGENT, {"shop/checkout": DEVELOPER}, ("read_api",)).value
    status, body, _ = await desk.ask("POST", f"{CHECKOUT}/pipelines/{newest(desk).id}/retry", token=read)
    assert (status, body["error"], body["scope"]) == (403, "insufficient_scope", "api")
    assert (await desk.ask("GET", f"{CHECKOUT}/pipelines", token=read))[0] == 200
    reporter = desk.gitlab.issue(world.AGENT, {"shop/checkout": REPORTER}).value
    refused = await desk.ask("POST", f"{CHECKOUT}/pipelines/{newest(desk).id}/retry", token=reporter)
    assert refused[:2] == (403, {"message": "403 Forbidden"})
    blind = desk.gitlab.issue(world.AGENT, {"shop/checkout": DEVELOPER}, ("read_user",)).value
    assert (await desk.ask("GET", CHECKOUT, token=blind))[1]["error"] == "insufficient_scope"
    assert (await desk.ask("GET", "/personal_access_tokens/self", token=blind))[1]["scopes"] == ["read_user"]


async def test_who_is_no_member_sees_no_project(desk: Desk) -> None:
    stranger = desk.gitlab.issue(world.AGENT, {"shop/web": DEVELOPER}).value
    assert (await desk.ask("GET", CHECKOUT, token=stranger))[:2] == (404, {"message": "404 Project Not Found"})
    assert (await desk.ask("GET", "/projects/7/pipelines", token=stranger))[0] == 404
    assert (await desk.ask("GET", "/projects/shop%2Fnone"))[0] == 404


async def test_on_a_protected_branch_only_who_may_merge_runs_and_stops_jobs(desk: Desk) -> None:
    line = desk.gitlab.break_build()
    await desk.over(line)
    desk.gitlab.projects["shop/checkout"].repository.branches["main"].developers_can_merge = False
    failed = f"{CHECKOUT}/jobs/{job(line, 'unit').id}"
    assert (await desk.ask("POST", f"{failed}/retry"))[:2] == (403, {"message": "403 Forbidden"})
    assert (await desk.ask("POST", f"{failed}/cancel"))[0] == 403
    maintainer = desk.gitlab.issue(world.AGENT, {"shop/checkout": MAINTAINER}).value
    assert (await desk.ask("POST", f"{failed}/retry", token=maintainer))[0] == 201


# --- the form of it


async def test_lists_come_in_pages_with_counts_and_links(desk: Desk) -> None:
    status, first, headers = await desk.ask("GET", f"{CHECKOUT}/pipelines?per_page=2&page=1")
    assert (status, len(first)) == (200, 2)
    assert (headers["x-total"], headers["x-total-pages"], headers["x-next-page"], headers["x-prev-page"]) == (
        "7", "4", "2", "",
    )  # fmt: skip
    assert f'{desk.gitlab.url}/api/v4{CHECKOUT}/pipelines?per_page=2&page=2>; rel="next"' in headers["link"]
    _, last, headers = await desk.ask("GET", f"{CHECKOUT}/pipelines?per_page=2&page=4")
    assert (len(last), headers["x-next-page"]) == (1, "")
    assert 'rel="next"' not in headers["link"]
    ids = [each["id"] for each in first]
    assert ids == sorted(ids, reverse=True)


async def test_jobs_by_keyset_come_after_a_cursor_until_there_is_no_link(desk: Desk) -> None:
    seen, path = [], f"{CHECKOUT}/jobs?pagination=keyset&per_page=20"
    while path:
        _, body, headers = await desk.ask("GET", path)
        assert "x-total" not in headers
        seen += [each["id"] for each in body]
        path = headers.get("link", "").partition(">")[0].removeprefix("<")
    assert seen == [each.id for each in desk.gitlab.projects["shop/checkout"].jobs()]


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/nothing", 404, {"error": "404 Not Found"}),
        (f"{CHECKOUT}/pipelines/1", 404, {"message": "404 Not found"}),
        (f"{CHECKOUT}/pipelines/x", 400, {"error": "pipeline_id is invalid"}),
        (f"{CHECKOUT}/pipelines?status=green", 400, {"error": "status does not have a valid value"}),
        (f"{CHECKOUT}/pipelines?page=x", 400, {"error": "page is invalid"}),
        (f"{CHECKOUT}/repository/files/none.py?ref=main", 404, {"message": "404 File Not Found"}),
        (f"{CHECKOUT}/repository/files/README.md", 400, {"error": "ref is missing"}),
        (f"{CHECKOUT}/repository/compare?from=main", 400, {"error": "to is missing"}),
        (f"{CHECKOUT}/repository/commits/0000000", 404, {"message": "404 Commit Not Found"}),
        (f"{CHECKOUT}/pipeline", 405, {"error": "405 Not Allowed"}),
    ],
)
async def test_what_does_not_go_is_refused_in_gitlabs_words(desk: Desk, path: str, status: int, body: Any) -> None:
    assert (await desk.ask("GET", path))[:2] == (status, body)


async def test_too_many_requests_are_429_with_when_to_come_again(desk: Desk) -> None:
    desk.gitlab.throttle(2, retry_after=7)
    answers = [await desk.ask("GET", CHECKOUT) for _ in range(6)]  # a minute may end among them
    status, text, headers = next(answer for answer in answers if answer[0] != 200)
    assert (status, text, headers["retry-after"], headers["ratelimit-remaining"]) == (429, "Retry later\n", "7", "0")


async def test_a_fault_drops_the_answer_after_the_work_or_refuses_before_it(desk: Desk) -> None:
    line = await desk.over(desk.gitlab.break_build())
    retry = f"{CHECKOUT}/pipelines/{line.id}/retry"
    desk.gitlab.fail("POST", "retry$", "502")
    assert (await desk.ask("POST", retry))[0] == 502
    assert not any(each.retried for each in line.jobs)
    desk.gitlab.fail("POST", "retry$", "drop")
    with pytest.raises(aiohttp.ClientError):
        await desk.ask("POST", retry)
    assert sum(each.retried for each in line.jobs) == 1


# --- pipelines


async def test_a_pipeline_runs_in_time_stage_after_stage(desk: Desk) -> None:
    desk.gitlab.engine.hold("unit")
    _, made, _ = await desk.ask("POST", f"{CHECKOUT}/pipeline", json={"ref": "main"})
    assert (made["source"], made["user"]["username"]) == ("api", world.AGENT.username)
    line = newest(desk)
    await desk.until(lambda: job(line, "unit").status == "running" and job(line, "lint").status == "success")
    seen = await desk.get(f"{CHECKOUT}/pipelines/{line.id}/jobs")
    assert {each["name"]: each["status"] for each in seen}["deploy-staging"] == "created"
    assert (await desk.get(f"{CHECKOUT}/pipelines/{line.id}"))["status"] == "running"
    desk.gitlab.engine.let_go()
    await desk.over(line)
    whole = await desk.get(f"{CHECKOUT}/pipelines/{line.id}")
    assert (whole["status"], whole["detailed_status"]["text"]) == ("success", "Passed")
    assert whole["duration"] is not None
    assert (await desk.get(f"{CHECKOUT}/pipelines/latest"))["id"] == line.id
    manual = (await desk.get(f"{CHECKOUT}/jobs/{job(line, 'deploy-production').id}"))["status"]
    assert manual == "manual", "an optional manual job waits, and the pipeline has passed without it"
    assert (await desk.ask("POST", f"{CHECKOUT}/pipeline", json={"ref": "nope"}))[0] == 400


async def test_a_failed_job_skips_what_comes_after_it_and_says_why_in_its_log_and_report(desk: Desk) -> None:
    line = await desk.over(desk.gitlab.break_build())
    seen = {each["name"]: each for each in await desk.get(f"{CHECKOUT}/pipelines/{line.id}/jobs")}
    assert (line.status, seen["unit"]["status"], seen["unit"]["failure_reason"]) == (
        "failed",
        "failed",
        "script_failure",
    )
    assert seen["deploy-staging"]["status"] == seen["deploy-production"]["status"] == "skipped"
    assert "failure_reason" not in seen["lint"]
    log = (await desk.ask("GET", f"{CHECKOUT}/jobs/{job(line, 'unit').id}/trace"))[1]
    assert "\x1b[0Ksection_end:" in log
    assert "section_start:" in log
    assert ":step_script\r\x1b[0K" in log
    assert log.endswith("\x1b[31;1mERROR: Job failed: exit code 1\n\x1b[0;m")
    report = await desk.get(f"{CHECKOUT}/pipelines/{line.id}/test_report")
    assert (report["total_count"], report["failed_count"]) == (5, 1)
    [suite] = [each for each in report["test_suites"] if each["name"] == "unit"]
    [case] = [each for each in suite["test_cases"] if each["status"] == "failed"]
    assert (case["classname"], case["name"]) == ("tests.unit.test_tax", "test_total_with_regional_tax")
    assert case["system_output"].startswith("AssertionError")


async def test_a_lost_runner_ends_a_job_before_its_script(desk: Desk) -> None:
    line = await desk.over(desk.gitlab.lose_runner())
    lost = job(line, "unit")
    assert lost.failure_reason == "runner_system_failure"
    log = (await desk.ask("GET", f"{CHECKOUT}/jobs/{lost.id}/trace"))[1]
    assert "ERROR: Job failed (system failure): prepare environment" in log
    assert "step_script" not in log
    report = await desk.get(f"{CHECKOUT}/pipelines/{line.id}/test_report")
    assert [suite["name"] for suite in report["test_suites"]] == ["integration"]


async def test_a_retry_is_a_new_job_and_the_old_one_is_kept_apart(desk: Desk) -> None:
    line = await desk.over(desk.gitlab.flake())
    old = job(line, "integration")
    status, fresh, _ = await desk.ask("POST", f"{CHECKOUT}/jobs/{old.id}/retry")
    assert (status, fresh["status"]) == (201, "pending")
    assert fresh["id"] != old.id
    again = await desk.ask("POST", f"{CHECKOUT}/jobs/{old.id}/retry")
    assert again[:2] == (403, {"message": "403 Forbidden - Job is not retryable"}), "it was retried already"
    assert (await desk.ask("POST", f"{CHECKOUT}/jobs/{fresh['id']}/retry"))[0] == 403, "it is not over"
    await desk.over(line)
    assert line.status == "success"
    path = f"{CHECKOUT}/pipelines/{line.id}/jobs"
    latest = [each["id"] for each in await desk.get(path) if each["name"] == "integration"]
    assert latest == [fresh["id"]]
    assert old.id in {each["id"] for each in await desk.get(f"{path}?include_retried=true")}
    failed = await desk.get(f"{path}?include_retried=true&scope[]=failed")
    assert [each["id"] for each in failed] == [old.id]


async def test_a_pipelines_retry_runs_what_failed_and_what_was_skipped_after_it(desk: Desk) -> None:
    line = await desk.over(desk.gitlab.flake())
    status, body, _ = await desk.ask("POST", f"{CHECKOUT}/pipelines/{line.id}/retry")
    assert (status, body["status"]) == (201, "running")
    await desk.over(line)
    assert job(line, "deploy-staging").status == "success"
    count = len(line.jobs)
    assert (await desk.ask("POST", f"{CHECKOUT}/pipelines/{line.id}/retry"))[0] == 201
    assert len(line.jobs) == count, "nothing had failed"


async def test_a_cancel_ends_what_runs_and_says_nothing_of_what_is_over(desk: Desk) -> None:
    desk.gitlab.engine.hold("unit")
    line = desk.gitlab.flake()
    await desk.until(lambda: job(line, "unit").status == "running")
    assert (await desk.ask("POST", f"{CHECKOUT}/jobs/{job(line, 'unit').id}/cancel"))[1]["status"] == "canceled"
    status, body, _ = await desk.ask("POST", f"{CHECKOUT}/pipelines/{line.id}/cancel")
    assert (status, body["status"]) == (200, "canceled")
    done = list(desk.gitlab.projects["shop/checkout"].pipelines)[-2]
    status, body, _ = await desk.ask("POST", f"{CHECKOUT}/pipelines/{done}/cancel")
    assert (status, body["status"]) == (200, "success")
    assert (await desk.ask("POST", f"{CHECKOUT}/jobs/{job(line, 'build').id}/cancel"))[1]["status"] == "success"


# --- manual jobs


async def test_a_blocking_manual_job_is_played_with_variables_and_what_needs_it_waits_after_it(desk: Desk) -> None:
    line = await waiting(desk)
    canary = job(line, "deploy-canary")
    seen = {each["name"]: each for each in await desk.get(f"{ORDERS}/pipelines/{line.id}/jobs")}
    assert (seen["deploy-canary"]["status"], seen["deploy-canary"]["allow_failure"]) == ("manual", False)
    assert seen["deploy-production"]["status"] == "created"
    play, later = f"{ORDERS}/jobs/{canary.id}/play", f"{ORDERS}/jobs/{job(line, 'deploy-production').id}/play"
    assert (await desk.ask("POST", later))[:2] == (400, {"message": "400 Bad request - Unplayable Job"})
    status, body, _ = await desk.ask("POST", play, json={"job_variables_attributes": [{"key": "WEIGHT"}]})
    assert (status, body["error"]) == (400, "job_variables_attributes[0][value] is missing")
    assert (await desk.ask("POST", play, json={"job_variables_attributes": ["x"]}))[0] == 400
    given = [{"key": "WEIGHT", "value": "10"}]
    status, body, _ = await desk.ask("POST", play, json={"job_variables_attributes": given})
    assert (status, body["id"], body["status"]) == (200, canary.id, "pending")
    assert body["user"]["username"] == world.AGENT.username
    await desk.over(line)
    assert (line.status, job(line, "deploy-production").status) == ("manual", "manual")
    assert (await desk.ask("POST", later))[0] == 200
    await desk.until(lambda: line.status == "success")
    query = {"query": MINE, "variables": {"project": "shop/orders", "job": f"gid://gitlab/Ci::Build/{canary.id}"}}
    answer = (await desk.ask("POST", f"{desk.gitlab.url}/api/graphql", json=query))[1]
    assert answer == {"data": {"project": {"job": {"manualVariables": {"nodes": given}}}}}
    desk.gitlab.delivered.variables_role = MAINTAINER
    answer = (await desk.ask("POST", f"{desk.gitlab.url}/api/graphql", json=query))[1]
    assert answer["data"]["project"]["job"]["manualVariables"] is None


async def test_a_played_job_that_is_played_again_runs_once_more_and_the_answer_does_not_say_so(desk: Desk) -> None:
    line = await waiting(desk)
    canary = job(line, "deploy-canary")
    play = f"{ORDERS}/jobs/{canary.id}/play"
    assert (await desk.ask("POST", play))[1]["status"] == "pending"
    assert (await desk.ask("POST", play))[0] == 400, "it is about to run"
    await desk.over(line)
    status, body, _ = await desk.ask("POST", play)
    assert (status, body["id"], body["status"]) == (200, canary.id, "success"), "the old one is shown"
    assert job(line, "deploy-canary").id != canary.id, "and a new one runs"
    assert (await desk.ask("POST", play))[0] == 400


async def test_variables_take_the_role_that_the_project_asks_for(desk: Desk) -> None:
    line = await waiting(desk)
    desk.gitlab.delivered.variables_role = MAINTAINER
    play = f"{ORDERS}/jobs/{job(line, 'deploy-canary').id}/play"
    given = {"job_variables_attributes": [{"key": "A", "value": "b"}]}
    assert (await desk.ask("POST", play, json=given))[:2] == (403, {"message": "403 Forbidden"})
    assert job(line, "deploy-canary").status == "manual"
    desk.gitlab.delivered.protected_environments.add("production/canary")
    assert (await desk.ask("POST", play))[0] == 403
