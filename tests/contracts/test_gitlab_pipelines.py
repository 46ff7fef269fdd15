"""Pipelines of GitLab run again or canceled over the wire: what is shown and sent, moved targets, lost answers, ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bot.local.gitlab import Pipeline
from bot.local.gitlab.model import REPORTER, Bridge, now
from bot.local.gitlab.world import JONAS
from domain.actions import Effect
from domain.errors import ArgumentsRefused, OutcomeUnknown, TargetMoved, ToolError
from tests.contracts.gitlab_shop import CHECKOUT, Shop, job, shop

RETRY, CANCEL = "gitlab_retry_pipeline", "gitlab_cancel_pipeline"


@pytest.fixture
async def gitlab() -> AsyncIterator[Shop]:
    async with shop() as running:
        yield running


async def flaked(gitlab: Shop) -> Pipeline:
    """A pipeline of which the integration test failed this once."""
    return await gitlab.over(gitlab.gitlab.flake())


async def running(gitlab: Shop) -> Pipeline:
    """A pipeline of which the tests run, and go on running."""
    gitlab.gitlab.engine.hold("integration")
    line = gitlab.gitlab.push(CHECKOUT, {"README.md": b"# checkout, again\n"}, "Say it again")
    await gitlab.until(lambda: job(line, "integration").status == "running")
    return line


# --- run again


async def test_a_preview_lists_what_would_run_again_and_asks_for_nothing(gitlab: Shop) -> None:
    line = await flaked(gitlab)
    action = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    assert action.diff.splitlines() == [
        f"POST /projects/shop%2Fcheckout/pipelines/{line.id}/retry",
        "+ integration of stage test: failed (script_failure)",
        "# and then, as their turn comes (a manual one waits for a person):",
        "+ deploy-staging of stage deploy: skipped, deploys to staging",
        "+ deploy-production of stage release: skipped, deploys to production",
        f"# pipeline {line.id} of main at {line.sha[:12]} is failed",
        "# GitLab takes no key with this: after a lost answer it is known only by who ran the jobs again",
    ]
    assert (action.effect, action.touches, str(action.target)) == (Effect.WRITE, 3, "gitlab:shop/checkout")
    assert action.target.environment == "production"
    assert action.observed["deploys"] == ["deploy-staging to staging", "deploy-production to production"]
    assert action.undo is not None
    assert (action.undo.tool, action.undo.arguments) == (CANCEL, {"project": CHECKOUT, "pipeline": line.id})
    assert gitlab.changes == []


async def test_what_failed_runs_again_once_and_is_followed_until_it_is_green(gitlab: Shop) -> None:
    line = await flaked(gitlab)
    action = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    said = await gitlab.execute(action)
    assert said == f"Asked for pipeline {line.id} of shop/checkout again: integration."
    probe = await gitlab.ended(action)
    assert [(check.name, check.passed) for check in probe.checks] == [
        ("jobs ran again", True), ("pipeline succeeded", True),
    ]  # fmt: skip
    assert [asked.path.rpartition("/")[2] for asked in gitlab.changes] == ["retry"]
    assert await gitlab.arrived(action) is True
    assert job(line, "deploy-staging").status == "success", "what was skipped has followed"


async def test_a_red_end_settles_as_failed_and_names_the_job(gitlab: Shop) -> None:
    line = await gitlab.over(gitlab.gitlab.break_build())
    action = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    await gitlab.execute(action)
    probe = await gitlab.ended(action)
    assert (probe.passed, probe.settled) == (False, True)
    assert probe.checks[-1].detail == f"pipeline {line.id} is failed with unit failed"


async def test_the_old_end_is_not_taken_for_the_new_one(gitlab: Shop) -> None:
    line = await flaked(gitlab)
    action = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    probe = await gitlab.probe(action)
    assert (probe.passed, probe.settled, probe.checks[0].detail) == (False, False, "not yet: integration")


async def test_where_nothing_failed_there_is_nothing_to_run_again(gitlab: Shop) -> None:
    line = max(gitlab.project.pipelines.values(), key=lambda each: each.id)
    with pytest.raises(ToolError, match=rf"Nothing of pipeline {line.id} .* it is success, and no job of it failed"):
        await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)


async def test_a_pipeline_that_is_not_there_is_said_to_be_named_by_its_id(gitlab: Shop) -> None:
    with pytest.raises(ToolError, match=r"There is no pipeline 3 in shop/checkout.*Give its id"):
        await gitlab.propose(RETRY, project=CHECKOUT, pipeline=3)


async def test_a_newer_pipeline_moves_the_target_where_an_older_commit_would_be_deployed(gitlab: Shop) -> None:
    line = await flaked(gitlab)
    action = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    newer = gitlab.gitlab.push(CHECKOUT, {"README.md": b"# newer\n"}, "Newer")
    with pytest.raises(TargetMoved, match=f"newest {line.id} -> {newer.id}"):
        await gitlab.execute(action)
    assert gitlab.changes == []
    again = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    assert f"is failed; a newer one of main is {newer.id}" in again.diff


async def test_somebody_who_was_first_moves_the_target(gitlab: Shop) -> None:
    line = await flaked(gitlab)
    action = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    gitlab.gitlab.engine.hold("integration")
    gitlab.gitlab.engine.retry(line, JONAS, 40)
    with pytest.raises(TargetMoved, match=r"Nothing was done|changed since it was looked at"):
        await gitlab.execute(action)
    assert await gitlab.arrived(action) is None, "the jobs that run again are somebody else's"


async def test_a_lost_answer_is_unknown_and_then_known_by_who_ran_the_jobs(gitlab: Shop) -> None:
    line = await flaked(gitlab)
    action = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    gitlab.gitlab.fail("POST", "/retry", "drop")
    with pytest.raises(OutcomeUnknown, match="may or may not have taken effect"):
        await gitlab.execute(action)
    assert await gitlab.arrived(action) is True
    assert len([each for each in line.jobs if each.name == "integration"]) == 2


async def test_a_request_that_never_came_is_said_not_to_have(gitlab: Shop) -> None:
    line = await flaked(gitlab)
    action = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    gitlab.gitlab.fail("POST", "/retry", "502")
    with pytest.raises(OutcomeUnknown):
        await gitlab.execute(action)
    assert await gitlab.arrived(action) is False


@pytest.mark.parametrize(("status", "sentence"), [("429", "turning requests away"), ("503", "not ready, or in maint")])
async def test_while_gitlab_turns_requests_away_nothing_is_sent_twice_nor_called_unknown(
    gitlab: Shop, status: str, sentence: str
) -> None:
    line = await flaked(gitlab)
    action = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    gitlab.gitlab.fail("POST", "/retry", status)
    with pytest.raises(ToolError, match=sentence) as caught:
        await gitlab.execute(action)
    assert caught.value.retryable
    assert not isinstance(caught.value, OutcomeUnknown | TargetMoved)
    assert len([asked for asked in gitlab.gitlab.asked if asked.path.endswith("/retry")]) == 1


@pytest.mark.parametrize("tool", [RETRY, CANCEL])
async def test_a_conflict_says_that_nothing_was_done(gitlab: Shop, tool: str) -> None:
    line = await (flaked if tool == RETRY else running)(gitlab)
    action = await gitlab.propose(tool, project=CHECKOUT, pipeline=line.id)
    gitlab.gitlab.fail("POST", "/(retry|cancel)", "409")
    with pytest.raises(TargetMoved, match="because it changed in the meantime"):
        await gitlab.execute(action)
    assert await gitlab.arrived(action) is False


async def test_a_pipeline_that_deploys_nothing_may_run_again_beside_a_newer_one(gitlab: Shop) -> None:
    line = await flaked(gitlab)
    gitlab.project.deployments.clear()
    action = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    assert (action.observed["deploys"], action.observed["newest"]) == ([], 0)
    gitlab.gitlab.push(CHECKOUT, {"README.md": b"# newer\n"}, "Newer")
    gitlab.project.deployments.clear()
    await gitlab.execute(action)


async def test_a_job_that_starts_another_pipeline_runs_again_too_and_is_said_to(gitlab: Shop) -> None:
    line = await flaked(gitlab)
    failed = job(line, "integration")
    line.bridges.append(Bridge(99001, "deploy-all", "deploy", "failed", "shop/all", 0))
    action = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    assert "+ deploy-all of stage deploy: failed, starts another pipeline" in action.diff
    assert f"{failed.id} integration failed" in action.observed["again"]


async def test_a_deployment_that_was_canceled_before_its_turn_is_said_to_be_one(gitlab: Shop) -> None:
    line = await running(gitlab)
    gitlab.gitlab.engine.cancel(line)
    stopped = job(line, "deploy-staging")
    assert stopped.status == "canceled"
    assert not any(made.job is stopped for made in gitlab.project.deployments)
    action = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    assert "+ deploy-staging of stage deploy: canceled, deploys to staging\n" in action.diff
    assert "deploy-staging to staging" in action.observed["deploys"]


async def test_what_is_archived_does_not_run_again(gitlab: Shop) -> None:
    line = await flaked(gitlab)
    job(line, "integration").archived = True
    with pytest.raises(ToolError, match="is archived: GitLab runs nothing of it again"):
        await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    with pytest.raises(ToolError, match="is archived: GitLab does not run it any more"):
        await gitlab.propose("gitlab_play_job", project=CHECKOUT, job=job(line, "integration").id)


async def test_a_jobs_name_is_one_line_of_the_card_whatever_it_says(gitlab: Shop) -> None:
    line = await flaked(gitlab)
    failed = job(line, "integration")
    failed.step = replace(failed.step, name="integration\n# deploys nothing\u202e")
    action = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    assert action.diff.split("\n")[1] == "+ integration # deploys nothing  of stage test: failed (script_failure)"


async def test_of_a_list_that_is_too_long_nothing_is_guessed(gitlab: Shop) -> None:
    line = await flaked(gitlab)
    made = gitlab.project.deployments[-1]
    gitlab.project.deployments += [replace(made, updated_at=now()) for _ in range(1000)]
    with pytest.raises(ToolError, match=r"has too many deployments since .* to tell what this one deploys"):
        await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    del gitlab.project.deployments[-1000:]
    line.jobs += [job(line, "integration")] * 1000
    with pytest.raises(ToolError, match=f"Pipeline {line.id} of shop/checkout has more than 1000 jobs"):
        await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)


async def test_a_look_that_is_turned_away_is_no_moved_target(gitlab: Shop) -> None:
    line = await flaked(gitlab)
    action = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    gitlab.gitlab.fail("GET", "/pipelines/", "503")
    with pytest.raises(ToolError) as caught:
        await gitlab.execute(action)
    assert not isinstance(caught.value, TargetMoved)


async def test_a_role_that_is_too_low_is_a_refusal(gitlab: Shop) -> None:
    line = await flaked(gitlab)
    action = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    gitlab.gitlab.tokens[gitlab.gitlab.token].projects[CHECKOUT] = REPORTER
    with pytest.raises(ToolError, match=r"does not let this agent retry pipeline .* role in the project is too low"):
        await gitlab.execute(action)


async def test_what_is_called_development_does_not_deploy_to_production_unseen(gitlab: Shop) -> None:
    from_here = gitlab.gitlab.flake("shop/cart")
    await gitlab.over(from_here)
    action = await gitlab.propose(RETRY, project="shop/cart", pipeline=from_here.id)
    assert action.target.environment == "development", "the operator said so of everything in it"
    gitlab.use("gitlab:shop/cart@environment:production=production,gitlab:shop/cart=development")
    with pytest.raises(ToolError, match=r"called development .* deploys to production, which is production: a person"):
        await gitlab.propose(RETRY, project="shop/cart", pipeline=from_here.id)


@pytest.mark.parametrize(
    "project", ["checkout", "shop/../admin", "shop/checkout.git", "/shop/checkout", "shop/ch eckout"]
)
def test_only_a_full_path_is_a_project(gitlab: Shop, project: str) -> None:
    with pytest.raises(ArgumentsRefused, match="project"):
        gitlab.tools[RETRY].understand({"project": project, "pipeline": 1})


# --- canceled


async def test_what_runs_and_waits_is_listed_and_canceled(gitlab: Shop) -> None:
    line = await running(gitlab)
    action = await gitlab.propose(CANCEL, project=CHECKOUT, pipeline=line.id)
    assert "- integration of stage test: running\n" in action.diff
    assert "- deploy-staging of stage deploy: created, deploys to staging\n" in action.diff
    assert action.undo is None
    assert "gitlab_retry_pipeline runs it again from its beginning" in action.facts["no_undo"]
    assert await gitlab.execute(action) == f"Asked GitLab to cancel pipeline {line.id} of shop/checkout."
    probe = await gitlab.ended(action)
    assert probe.passed
    assert probe.checks[0].detail.startswith("stopped: ")
    assert line.status == "canceled"
    assert await gitlab.arrived(action) is True


async def test_a_pipeline_that_is_over_is_not_canceled(gitlab: Shop) -> None:
    line = await flaked(gitlab)
    with pytest.raises(ToolError, match=f"Pipeline {line.id} of shop/checkout does not run: it is failed"):
        await gitlab.propose(CANCEL, project=CHECKOUT, pipeline=line.id)


async def test_one_that_ended_by_itself_is_a_moved_target_and_no_success(gitlab: Shop) -> None:
    line = await running(gitlab)
    action = await gitlab.propose(CANCEL, project=CHECKOUT, pipeline=line.id)
    gitlab.gitlab.engine.let_go()
    await gitlab.over(line)
    with pytest.raises(TargetMoved, match=r"does not run: it is success\. Nothing was done"):
        await gitlab.execute(action)
    assert gitlab.changes == []
    assert await gitlab.arrived(action) is False
    probe = await gitlab.probe(action)
    assert (probe.settled, probe.checks[0].detail) == (True, "it ended success before it could be canceled")


async def test_a_deployment_that_began_since_the_card_asks_again(gitlab: Shop) -> None:
    line = await running(gitlab)
    action = await gitlab.propose(CANCEL, project=CHECKOUT, pipeline=line.id)
    gitlab.gitlab.engine.let_go("integration")
    gitlab.gitlab.engine.hold("deploy-staging")
    await gitlab.until(lambda: job(line, "deploy-staging").status == "running")
    with pytest.raises(TargetMoved, match="deploying none -> deploy-staging to staging"):
        await gitlab.execute(action)
    again = await gitlab.propose(CANCEL, project=CHECKOUT, pipeline=line.id)
    assert "deploy-staging is deploying to staging: it stops half-way, in whatever state that leaves" in again.diff


async def test_a_lost_answer_to_a_cancellation_is_unknown_until_it_is_looked_at(gitlab: Shop) -> None:
    line = await running(gitlab)
    action = await gitlab.propose(CANCEL, project=CHECKOUT, pipeline=line.id)
    gitlab.gitlab.fail("POST", "/cancel", "drop")
    with pytest.raises(OutcomeUnknown):
        await gitlab.execute(action)
    assert await gitlab.arrived(action) is True


async def test_a_job_that_was_canceled_before_is_not_taken_for_this_cancellation(gitlab: Shop) -> None:
    line = await running(gitlab)
    gitlab.gitlab.engine.cancel_job(job(line, "unit"))
    action = await gitlab.propose(CANCEL, project=CHECKOUT, pipeline=line.id)
    assert await gitlab.arrived(action) is False


async def test_a_pipeline_with_a_failed_job_is_canceled_although_gitlab_calls_it_failed(gitlab: Shop) -> None:
    line = await running(gitlab)
    action = await gitlab.propose(CANCEL, project=CHECKOUT, pipeline=line.id)
    await gitlab.execute(action)
    job(line, "lint").status = "failed"
    line.status = "failed"
    assert (await gitlab.probe(action)).passed


async def test_the_undo_of_a_retry_stops_what_runs_again(gitlab: Shop) -> None:
    line = await flaked(gitlab)
    action = await gitlab.propose(RETRY, project=CHECKOUT, pipeline=line.id)
    gitlab.gitlab.engine.hold("integration")
    await gitlab.execute(action)
    assert action.undo is not None
    undo = await gitlab.propose(action.undo.tool, **action.undo.arguments)
    await gitlab.execute(undo)
    assert (await gitlab.ended(undo)).passed
    probe = await gitlab.ended(action)
    assert (probe.settled, probe.passed) == (True, False)


async def test_only_who_may_cancel_does(gitlab: Shop) -> None:
    line = await running(gitlab)
    action = await gitlab.propose(CANCEL, project=CHECKOUT, pipeline=line.id)
    gitlab.gitlab.tokens[gitlab.gitlab.token].scopes = ("read_api",)
    with pytest.raises(ToolError, match="insufficient_scope"):
        await gitlab.execute(action)
