"""Jobs of GitLab started over the wire: what deploys where, the key, protected and outdated, lost answers, rolling back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from bot.local.gitlab import Job, Outcome
from bot.local.gitlab.model import MAINTAINER, now
from bot.local.gitlab.world import JONAS
from bot.tools.gitlab_write_arguments import KEY
from domain.actions import Action
from domain.errors import ArgumentsRefused, OutcomeUnknown, TargetMoved, ToolError
from tests.contracts.gitlab_shop import CHECKOUT, Shop, job, shop

PLAY = "gitlab_play_job"


@pytest.fixture
async def gitlab() -> AsyncIterator[Shop]:
    async with shop() as running:
        yield running


def waiting(gitlab: Shop) -> Job:
    """The deployment to production that waits in the newest pipeline."""
    return job(max(gitlab.project.pipelines.values(), key=lambda line: line.id), "deploy-production")


def live(gitlab: Shop) -> Job:
    """The job that deployed what is in production now."""
    made = [each for each in gitlab.project.deployments if each.environment == "production"]
    ended = [each for each in made if each.status == "success"]
    found = max(ended, key=lambda each: each.finished_at or each.updated_at).job
    assert found is not None
    return found


async def proposed(gitlab: Shop, wanted: Job, **more: Any) -> Action:
    given: dict[str, Any] = {"project": CHECKOUT, "job": wanted.id, "environment": "production", **more}
    return await gitlab.propose(PLAY, **given)


# --- what is shown and what is sent


async def test_a_preview_says_what_goes_where_and_what_is_there_now(gitlab: Shop) -> None:
    wanted, before = waiting(gitlab), live(gitlab)
    action = await proposed(gitlab, wanted)
    lines = action.diff.splitlines()
    assert lines[:4] == [
        f"POST /projects/shop%2Fcheckout/jobs/{wanted.id}/play",
        f"+ {KEY}=<the id of this execution>, where the project lets this agent set variables",
        f"# deploy-production of stage release, pipeline {wanted.pipeline.id} of main: manual",
        f"# deploys {wanted.pipeline.sha[:12]} to production",
    ]
    assert lines[4].startswith(f"# there now: {before.pipeline.sha[:12]} of main, by Mara Lindqvist at ")
    assert (action.touches, str(action.target), action.target.environment) == (1, "gitlab:shop/checkout", "production")
    assert lines[-1].startswith(f"# undo: runs job {before.id} again, which deployed {before.pipeline.sha[:12]}")
    assert action.observed["sha"] == wanted.pipeline.sha
    assert action.observed["deployed"].endswith(before.pipeline.sha)
    assert gitlab.changes == []


async def test_what_was_approved_is_played_with_the_key_and_followed_until_the_environment_has_it(gitlab: Shop) -> None:
    wanted = waiting(gitlab)
    action = await proposed(gitlab, wanted, variables={"WAVE": "1"})
    assert "+ WAVE=1" in action.diff
    said = await gitlab.execute(action, "exe-77")
    assert said == (
        f"Asked for deploy-production ({wanted.id}) of shop/checkout, which deploys {wanted.pipeline.sha[:12]} to production."
    )
    assert wanted.variables == {"WAVE": "1", KEY: "exe-77"}
    probe = await gitlab.ended(action)
    assert [(check.name, check.passed) for check in probe.checks] == [
        ("job started", True), ("job succeeded", True), ("production has it", True),
    ]  # fmt: skip
    assert await gitlab.arrived(action, "exe-77") is True
    assert len(gitlab.changes) == 1


async def test_the_environment_that_policy_decides_on_is_the_one_that_the_job_deploys_to(gitlab: Shop) -> None:
    def decided(environment: str) -> str:
        given = {"project": CHECKOUT, "job": 1, "environment": environment}
        named: str = gitlab.tools[PLAY].understand(given).target.environment
        return named

    assert (decided("staging"), decided("production"), decided("")) == ("staging", "production", "production")
    for other in ("staging", ""):
        with pytest.raises(ToolError, match=r"deploys to production, and not to .*give environment='production'"):
            await proposed(gitlab, waiting(gitlab), environment=other)
    assert gitlab.changes == []


async def test_one_that_was_canceled_before_its_turn_is_known_by_its_namesakes_or_is_for_a_person(gitlab: Shop) -> None:
    gitlab.gitlab.engine.hold("integration")
    line = gitlab.gitlab.push(CHECKOUT, {"README.md": b"# more\n"}, "More")
    await gitlab.until(lambda: job(line, "integration").status == "running")
    gitlab.gitlab.engine.cancel(line)
    stopped = job(line, "deploy-staging")
    with pytest.raises(ToolError, match="deploys to staging, and not to none"):
        await proposed(gitlab, stopped, environment="")
    assert (await proposed(gitlab, stopped, environment="staging")).target.environment == "staging"
    other = next(made for made in gitlab.project.deployments if made.environment == "staging")
    other.environment = "production"
    with pytest.raises(ToolError, match="its namesakes deploy to several environments: a person has to run it"):
        await proposed(gitlab, stopped, environment="staging")


async def test_a_name_cannot_pass_for_another_place(gitlab: Shop) -> None:
    with pytest.raises(ArgumentsRefused, match="is not the name of an environment"):
        gitlab.tools[PLAY].understand({"project": CHECKOUT, "job": 1, "environment": "production@environment:staging"})


async def test_a_job_that_deploys_nothing_has_no_undo_and_says_so(gitlab: Shop) -> None:
    line = await gitlab.over(gitlab.gitlab.flake())
    failed = job(line, "integration")
    action = await proposed(gitlab, failed, environment="")
    assert f"POST /projects/shop%2Fcheckout/jobs/{failed.id}/retry" in action.diff
    assert KEY not in action.diff
    assert action.undo is None
    assert action.facts["no_undo"] == "GitLab takes nothing back of what a job did"
    assert "# no undo: GitLab takes nothing back of what a job did" in action.diff
    await gitlab.execute(action)
    assert (await gitlab.ended(action)).checks[-1].detail == f"job {job(line, 'integration').id} is success"
    assert await gitlab.arrived(action) is True


@pytest.mark.parametrize("name", [KEY, "A-B", "1A", ""])
async def test_a_variable_has_a_name_that_gitlab_takes_and_the_key_is_the_agents(gitlab: Shop, name: str) -> None:
    with pytest.raises(ArgumentsRefused, match=r"variable|set by the agent itself"):
        gitlab.tools[PLAY].understand({"project": CHECKOUT, "job": 1, "variables": {name: "1"}})


async def test_a_variable_that_a_card_would_not_show_as_it_is_is_refused(gitlab: Shop) -> None:
    with pytest.raises(ToolError, match="looks like a secret, which a card would not show"):
        await proposed(gitlab, waiting(gitlab), variables={"DEPLOY_TOKEN": "glpat-abcDEF123456ghiJKL78"})
    for value in ("1\n# deploys nothing", "1\u202e2"):
        with pytest.raises(ArgumentsRefused, match="WAVE has a line break or a character that nobody sees"):
            gitlab.tools[PLAY].understand({"project": CHECKOUT, "job": 1, "variables": {"WAVE": value}})


async def test_a_job_that_runs_or_cannot_yet_is_not_started(gitlab: Shop) -> None:
    gitlab.gitlab.engine.hold("integration")
    line = gitlab.gitlab.push(CHECKOUT, {"README.md": b"# more\n"}, "More")
    await gitlab.until(lambda: job(line, "integration").status == "running")
    with pytest.raises(ToolError, match=r"integration \(\d+\) of shop/checkout cannot be started: it is running"):
        await proposed(gitlab, job(line, "integration"), environment="")
    with pytest.raises(ToolError, match=r"it is created \(its turn has not come\)"):
        await proposed(gitlab, job(line, "deploy-production"))
    with pytest.raises(ToolError, match="There is no job 7 in shop/checkout"):
        await gitlab.propose(PLAY, project=CHECKOUT, job=7)


# --- refusals of GitLab's


async def test_a_protected_environment_is_named_among_the_reasons(gitlab: Shop) -> None:
    action = await proposed(gitlab, waiting(gitlab))
    gitlab.project.protected_environments.add("production")
    with pytest.raises(ToolError, match=r"\(403\).*the environment production may be protected") as caught:
        await gitlab.execute(action)
    assert not isinstance(caught.value, TargetMoved | OutcomeUnknown)
    assert waiting(gitlab).status == "manual"
    assert await gitlab.arrived(action) is False


async def test_an_outdated_deployment_is_announced_and_refused(gitlab: Shop) -> None:
    lines = sorted(gitlab.project.pipelines.values(), key=lambda line: line.id)
    manual = [found for line in lines if (found := job(line, "deploy-production")).status == "manual"]
    older = next(each for each in manual if each.pipeline.id < live(gitlab).pipeline.id)
    action = await proposed(gitlab, older)
    assert f"# a newer pipeline of main is {lines[-1].id}; GitLab may refuse this one as outdated" in action.diff
    with pytest.raises(ToolError, match="a newer deployment to it may make this one outdated"):
        await gitlab.execute(action)


async def test_where_the_project_lets_it_set_no_variables_the_job_is_played_without_the_key(gitlab: Shop) -> None:
    gitlab.project.variables_role = MAINTAINER
    wanted = waiting(gitlab)
    action = await proposed(gitlab, wanted)
    await gitlab.execute(action)
    assert wanted.variables == {}
    assert len(gitlab.changes) == 1
    assert await gitlab.arrived(action) is True, "known by who started it"


async def test_variables_that_were_approved_are_never_left_out(gitlab: Shop) -> None:
    gitlab.project.variables_role = MAINTAINER
    action = await proposed(gitlab, waiting(gitlab), variables={"WAVE": "1"})
    with pytest.raises(ToolError, match="the project may not let this agent set variables"):
        await gitlab.execute(action)
    assert gitlab.changes == []


# --- moved targets


async def test_a_newer_pipeline_moves_the_target(gitlab: Shop) -> None:
    action = await proposed(gitlab, waiting(gitlab))
    gitlab.gitlab.push(CHECKOUT, {"README.md": b"# newer\n"}, "Newer")
    with pytest.raises(TargetMoved, match="newest "):
        await gitlab.execute(action)
    assert gitlab.changes == []


async def test_another_deployment_meanwhile_moves_the_target(gitlab: Shop) -> None:
    action = await proposed(gitlab, waiting(gitlab))
    gitlab.gitlab.report_deployment(CHECKOUT, "production", "success")
    with pytest.raises(TargetMoved, match="deployed "):
        await gitlab.execute(action)
    action = await proposed(gitlab, waiting(gitlab))
    assert action.undo is None, "what reported the last deployment is no job that could run again"
    gitlab.gitlab.report_deployment(CHECKOUT, "production", "running")
    with pytest.raises(TargetMoved, match="deploying none -> "):
        await gitlab.execute(action)
    assert gitlab.changes == []


async def test_somebody_who_plays_it_first_moves_the_target(gitlab: Shop) -> None:
    wanted = waiting(gitlab)
    action = await proposed(gitlab, wanted)
    gitlab.gitlab.engine.hold("deploy-production")
    gitlab.gitlab.engine.play(wanted, JONAS, {}, MAINTAINER)
    with pytest.raises(TargetMoved, match=r"cannot be started: it is (pending|running)"):
        await gitlab.execute(action)
    assert await gitlab.arrived(action) is None, "it is somebody else's, so far as can be seen"


# --- lost answers


async def test_a_lost_answer_is_unknown_and_the_key_is_found_in_the_job(gitlab: Shop) -> None:
    wanted = waiting(gitlab)
    action = await proposed(gitlab, wanted)
    gitlab.gitlab.fail("POST", "/play", "drop")
    with pytest.raises(OutcomeUnknown, match="may or may not have taken effect"):
        await gitlab.execute(action, "exe-9")
    assert await gitlab.arrived(action, "exe-9") is True
    assert await gitlab.arrived(action, "exe-other") is None, "another execution of this agent's"
    assert len([asked for asked in gitlab.gitlab.asked if asked.path.endswith("/play")]) == 1


async def test_a_request_that_never_came_is_said_not_to_have(gitlab: Shop) -> None:
    action = await proposed(gitlab, waiting(gitlab))
    gitlab.gitlab.fail("POST", "/play", "502")
    with pytest.raises(OutcomeUnknown):
        await gitlab.execute(action)
    assert await gitlab.arrived(action) is False


async def test_an_error_of_gitlabs_own_is_no_certain_refusal(gitlab: Shop) -> None:
    action = await proposed(gitlab, waiting(gitlab))
    gitlab.gitlab.fail("POST", "/play", "500")
    with pytest.raises(OutcomeUnknown):
        await gitlab.execute(action)


async def test_too_many_requests_are_not_repeated(gitlab: Shop) -> None:
    action = await proposed(gitlab, waiting(gitlab))
    gitlab.gitlab.fail("POST", "/play", "429")
    with pytest.raises(ToolError, match="try again in 30 s") as caught:
        await gitlab.execute(action)
    assert caught.value.retryable
    assert len([asked for asked in gitlab.gitlab.asked if asked.path.endswith("/play")]) == 1


# --- to the end, and back


async def test_a_deployment_that_fails_settles_as_failed(gitlab: Shop) -> None:
    action = await proposed(gitlab, waiting(gitlab))
    gitlab.project.troubles["deploy-production"] = [Outcome("script_failure", 1)]
    await gitlab.execute(action)
    probe = await gitlab.ended(action)
    assert (probe.passed, probe.settled) == (False, True)
    assert probe.checks[-1].detail == f"job {action.arguments['job']} is failed (script_failure)"


async def test_one_that_nobody_started_does_not_hold(gitlab: Shop) -> None:
    action = await proposed(gitlab, waiting(gitlab))
    probe = await gitlab.probe(action)
    assert (probe.passed, probe.settled, probe.checks[0].detail) == (False, False, "it has not been started")


async def test_the_undo_of_a_deployment_runs_the_earlier_ones_job_again(gitlab: Shop) -> None:
    wanted, before = waiting(gitlab), live(gitlab)
    action = await proposed(gitlab, wanted)
    assert action.undo is not None
    assert action.undo.arguments["job"] == before.id
    await gitlab.execute(action)
    await gitlab.ended(action)
    assert live(gitlab) is wanted
    undo = await gitlab.propose(action.undo.tool, **action.undo.arguments)
    assert undo.diff.startswith(f"POST /projects/shop%2Fcheckout/jobs/{before.id}/retry\n")
    assert f"# there now: {wanted.pipeline.sha[:12]} of main" in undo.diff
    await gitlab.execute(undo)
    assert (await gitlab.ended(undo)).passed
    assert live(gitlab).pipeline is before.pipeline
    assert await gitlab.arrived(undo) is True


async def test_what_is_there_is_what_was_over_last_and_not_what_was_touched_last(gitlab: Shop) -> None:
    before = live(gitlab)
    older = next(
        made for made in gitlab.project.deployments if made.environment == "production" and made.status == "success"
    )
    assert older.job is not before
    older.updated_at = now()
    action = await proposed(gitlab, waiting(gitlab))
    assert action.undo is not None
    assert action.undo.arguments["job"] == before.id


async def test_a_job_that_ran_again_already_is_not_run_twice_by_its_old_id(gitlab: Shop) -> None:
    before = live(gitlab)
    fresh = gitlab.gitlab.engine.retry_job(before, JONAS, MAINTAINER)
    await gitlab.until(lambda: fresh.status == "success")
    with pytest.raises(ToolError, match=f"was run again already, as job {fresh.id}, which is success"):
        await proposed(gitlab, before)


async def test_a_project_that_allows_no_rollback_refuses_it(gitlab: Shop) -> None:
    gitlab.project.rollback_by_retry = False
    action = await proposed(gitlab, waiting(gitlab))
    assert action.undo is not None
    await gitlab.execute(action)
    await gitlab.ended(action)
    undo = await gitlab.propose(action.undo.tool, **action.undo.arguments)
    with pytest.raises(ToolError, match="outdated"):
        await gitlab.execute(undo)


async def test_a_rollback_whose_answer_is_lost_is_known_by_who_ran_it(gitlab: Shop) -> None:
    before = live(gitlab)
    action = await proposed(gitlab, before)
    assert action.facts["no_undo"] == "production has the same commit already"
    assert await gitlab.arrived(action) is False
    gitlab.gitlab.fail("POST", "/retry", "drop")
    with pytest.raises(OutcomeUnknown):
        await gitlab.execute(action)
    assert await gitlab.arrived(action) is True


async def test_run_again_a_job_takes_no_variables(gitlab: Shop) -> None:
    with pytest.raises(ToolError, match="has run already: run again it takes no variables"):
        await proposed(gitlab, live(gitlab), variables={"WAVE": "1"})


async def test_where_nothing_was_deployed_before_there_is_nothing_to_go_back_to(gitlab: Shop) -> None:
    for made in gitlab.project.deployments:
        made.environment = made.environment.replace("production", "elsewhere")
    wanted = waiting(gitlab)
    own = next(made for made in gitlab.project.deployments if made.job is wanted)
    own.environment, own.updated_at = "production", now() + timedelta(seconds=1)
    action = await proposed(gitlab, wanted)
    assert "# nothing was deployed there before" in action.diff
    assert action.facts["no_undo"].startswith("nothing is known in GitLab that deployed to production before")
