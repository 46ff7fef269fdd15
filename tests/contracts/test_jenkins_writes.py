"""Changes in Jenkins over the wire: what is sent and what is not, the key, crumbs, lost answers, moved targets, ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.config import load
from bot.local.jenkins import commit
from bot.local.jenkins.security import JOB_READ, READ
from bot.tools.jenkins_arguments import KEY
from bot.tools.jenkins_reads import target_of
from domain.actions import Action, Effect
from domain.errors import ArgumentsRefused, OutcomeUnknown, TargetMoved, ToolError
from tests.contracts.jenkins_world import World, world

DEPLOY: dict[str, Any] = {
    "job": "shop/deploy",
    "parameters": {"SERVICE": "web", "VERSION": "5.8.0", "TARGET": "production"},
}
PAYMENTS = {"job": "shop/payments/main"}
CART = {"job": "shop/cart"}


@pytest.fixture
async def shop() -> AsyncIterator[World]:
    async with world() as running:
        yield running


async def ended(shop: World, action: Action) -> Any:
    """The probe once it has passed or waiting changes nothing."""
    async with asyncio.timeout(10):
        while True:
            probe = await shop.probe(action)
            if probe.passed or probe.settled:
                return probe
            await asyncio.sleep(0.02)


# --- what is shown and what is sent


async def test_a_preview_says_what_will_be_called_and_asks_for_nothing(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **DEPLOY)
    assert action.diff.splitlines()[:6] == [
        "POST /job/shop/job/deploy/buildWithParameters",
        "+ SERVICE=web",
        "+ VERSION=5.8.0",
        "+ TARGET=production",
        "+ DRY_RUN=false",
        f"+ {KEY}=<the id of this execution>",
    ]
    assert "last build #42 SUCCESS; nothing of it in the queue; the next one is #43" in action.diff
    assert (action.effect, action.touches, str(action.target)) == (Effect.WRITE, 1, "jenkins:shop/deploy")
    assert action.target.key == "jenkins/shop/JenkinsJob/deploy"
    assert {key: action.observed[key] for key in ("next_build", "last_build", "running", "queued", "buildable")} == {
        "next_build": 43, "last_build": 42, "running": [], "queued": [], "buildable": True,
    }  # fmt: skip
    assert shop.changes == []


async def test_what_was_approved_is_what_runs_and_the_key_stands_in_the_build(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **DEPLOY)
    said = await shop.execute(action, "exe-77")
    build = await shop.jenkins.built("shop/deploy", 43)
    assert said == "Asked for shop/deploy: build #43 has started."
    assert build.parameters == {
        "SERVICE": "web", "VERSION": "5.8.0", "TARGET": "production", "DRY_RUN": "false",
        "DEPLOY_TOKEN": "not-shown-anywhere", KEY: "exe-77",
    }  # fmt: skip
    [sent] = shop.changes
    assert (sent.path, sent.query) == ("/jenkins/job/shop/job/deploy/buildWithParameters", {"delay": "0sec"})
    assert "DEPLOY_TOKEN" not in sent.form
    assert (await ended(shop, action)).passed
    assert await shop.arrived(action, "exe-77") is True


async def test_a_job_without_parameters_is_built_without(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **CART)
    assert action.diff.startswith("POST /job/shop/job/cart/build\n")
    assert f"declares no {KEY}" in action.diff
    await shop.execute(action)
    assert (await ended(shop, action)).passed
    assert [asked.path for asked in shop.changes] == ["/jenkins/job/shop/job/cart/build"]


async def test_an_earlier_build_is_built_again_with_its_parameters_and_what_is_given_overrides_them(
    shop: World,
) -> None:
    again = {"job": "shop/deploy", "rebuild": 42, "parameters": {"TARGET": "production", "DRY_RUN": "true"}}
    action = await shop.propose("jenkins_trigger", **again)
    assert "again as #42 (SUCCESS)" in action.diff
    assert "DEPLOY_TOKEN takes its default, which Jenkins shows nobody" in action.diff
    await shop.execute(action)
    build = await shop.jenkins.built("shop/deploy", 43)
    given = {name: build.parameters[name] for name in ("SERVICE", "VERSION", "TARGET", "DRY_RUN")}
    assert given == {"SERVICE": "web", "VERSION": "5.7.2", "TARGET": "production", "DRY_RUN": "true"}


async def test_a_rebuild_of_a_branch_says_that_the_branch_may_have_moved_on(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **PAYMENTS, rebuild=88)
    assert (
        "again as #88 (FAILURE), which built commit 05a12fc843de; now the branch is built as it is then" in action.diff
    )


# --- what is refused before anybody is asked


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"job": "shop/deploy", "parameters": {"VERSOIN": "1"}}, "has no parameter VERSOIN; it has SERVICE, VERSION"),
        ({"job": "shop/cart", "parameters": {"X": "1"}}, "it has no parameters"),
        (
            {"job": "shop/deploy", "parameters": {"SERVICE": "billing"}},
            "is one of checkout, payments, web, cart, not 'billing'",
        ),
        (
            {"job": "shop/deploy", "parameters": {"DRY_RUN": "yes"}},
            "DRY_RUN of shop/deploy is true or false, not 'yes'",
        ),
        ({"job": "shop/deploy", "parameters": {"DEPLOY_TOKEN": "x"}}, "is a password: this agent sets none"),
        ({"job": "shop/nightly"}, "cannot be built: it is disabled"),
        ({"job": "shop/checkout"}, "a project with branches, and not a job that can be built"),
        ({"job": "shop/none"}, r"There is no job shop/none in Jenkins, or this agent may not see it \(Job/Read\)"),
        ({"job": "shop/checkout/feature/taxes"}, "a slash is written %2F"),
        ({"job": "shop/deploy", "rebuild": 7}, "There is no build shop/deploy #7 to build again"),
    ],
)
async def test_what_jenkins_would_drop_or_refuse_is_refused_with_what_would_be_right(
    shop: World, arguments: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ToolError, match=sentence):
        await shop.propose("jenkins_trigger", **arguments)
    assert shop.changes == []


async def test_jenkins_itself_drops_an_unknown_name_without_a_word_which_is_why_it_is_refused(shop: World) -> None:
    reply = await shop.client.post("/job/shop/job/deploy/buildWithParameters", doing="build", form={"VERSOIN": "1"})
    assert reply.status == 201
    assert (await shop.jenkins.built("shop/deploy", 43)).parameters["VERSION"] == ""


async def test_a_running_build_cannot_be_built_again_yet(shop: World) -> None:
    shop.jenkins.engine.hold()
    shop.jenkins.started_by("shop/web", "Jonas")
    await shop.until(lambda: shop.jenkins.job("shop/web").builds[-1].number == 513)
    with pytest.raises(ToolError, match="#513 is still running"):
        await shop.propose("jenkins_trigger", job="shop/web", rebuild=513)


# --- which environment it is


async def test_the_environment_is_the_operators_by_path_or_by_a_parameters_value(shop: World) -> None:
    def environment(**arguments: Any) -> str:
        named: str = shop.tools["jenkins_trigger"].understand(arguments).target.environment
        return named

    assert environment(job="shop/deploy", parameters={"TARGET": "staging"}) == "staging"
    assert environment(job="shop/deploy", parameters={"TARGET": "production"}) == "production"
    assert environment(job="shop/deploy") == "production"
    assert environment(job="shop/checkout/feature%2Fx") == "development"
    assert environment(job="elsewhere/job") == "production"


def test_a_value_cannot_pass_for_another_parameters() -> None:
    wide = {"AGENT_ENVIRONMENTS": "jenkins:*@TARGET:staging=staging"}
    tricked = {"TARGET": "production", "VERSION": "@TARGET:staging"}
    places = load(wide, env_file=None).environment
    assert target_of("shop/deploy", places, tricked).environment == "production"
    assert target_of("shop/deploy", places, {"TARGET": "staging"}).environment == "staging"


async def test_a_default_or_an_earlier_build_does_not_lead_elsewhere_unseen(shop: World) -> None:
    with pytest.raises(ToolError, match=r"TARGET=staging.*acts on staging, not on production: give the parameter"):
        await shop.propose("jenkins_trigger", job="shop/deploy", parameters={"VERSION": "5.8.0"})
    with pytest.raises(ToolError, match="give the parameter that decides it"):
        await shop.propose("jenkins_trigger", job="shop/deploy", rebuild=41)
    action = await shop.propose("jenkins_trigger", job="shop/deploy", rebuild=41, parameters={"TARGET": "staging"})
    assert action.target.environment == "staging"


# --- a moved target


async def test_another_build_since_the_card_refuses_the_execution(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **DEPLOY)
    shop.jenkins.started_by("shop/deploy", "Jonas", VERSION="5.7.9")
    await shop.jenkins.built("shop/deploy", 43)
    with pytest.raises(TargetMoved, match="last build 42 -> 43; next build 43 -> 44"):
        await shop.execute(action)
    assert len(shop.jenkins.job("shop/deploy").builds) == 3


async def test_a_queue_item_of_somebody_else_refuses_it_too(shop: World) -> None:
    shop.jenkins.engine.quieting_down = True
    action = await shop.propose("jenkins_trigger", **CART)
    assert "Jenkins is about to shut down: the build waits until it is up again" in action.diff
    shop.jenkins.started_by("shop/cart", "Jonas")
    with pytest.raises(TargetMoved, match="queued none -> "):
        await shop.execute(action)
    assert shop.changes == []


@pytest.mark.parametrize("what", ["disabled", "parameters"])
async def test_a_job_that_was_reconfigured_refuses_it(shop: World, what: str) -> None:
    action = await shop.propose("jenkins_trigger", **DEPLOY)
    job = shop.jenkins.job("shop/deploy")
    if what == "disabled":
        job.disabled = True
    else:
        job.parameters = job.parameters[1:]
    with pytest.raises(TargetMoved, match="changed since it was looked at"):
        await shop.execute(action)
    assert shop.changes == []


# --- answers that are lost


async def test_a_lost_answer_is_unknown_and_the_key_is_found_once_in_queue_or_builds(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **DEPLOY)
    shop.jenkins.faults.add("POST", "buildWithParameters", "lose")
    with pytest.raises(OutcomeUnknown, match="may or may not have taken effect"):
        await shop.execute(action, "exe-9")
    assert await shop.arrived(action, "exe-9") is True
    await shop.jenkins.built("shop/deploy", 43)
    assert await shop.arrived(action, "exe-9") is True
    assert len(shop.jenkins.job("shop/deploy").builds) == 3


async def test_a_key_that_waits_in_the_queue_has_arrived(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **DEPLOY)
    shop.jenkins.engine.quieting_down = True
    shop.jenkins.faults.add("POST", "buildWithParameters", "lose")
    with pytest.raises(OutcomeUnknown):
        await shop.execute(action, "exe-9")
    assert shop.jenkins.job("shop/deploy").builds[-1].number == 42
    assert await shop.arrived(action, "exe-9") is True


async def test_a_request_that_never_came_is_said_not_to_have(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **DEPLOY)
    shop.jenkins.faults.add("POST", "buildWithParameters", "502")
    with pytest.raises(OutcomeUnknown):
        await shop.execute(action, "exe-9")
    assert await shop.arrived(action, "exe-9") is False


async def test_where_others_built_meanwhile_and_nothing_shows_the_key_it_cannot_be_told(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **DEPLOY)
    shop.jenkins.started_by("shop/deploy", "Jonas")
    await shop.jenkins.built("shop/deploy", 43)
    assert await shop.arrived(action, "exe-9") is None


async def test_another_execution_of_this_agent_is_not_taken_for_this_one(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **DEPLOY)
    await shop.execute(action, "exe-other")
    await shop.jenkins.built("shop/deploy", 43)
    assert await shop.arrived(action, "exe-9") is None


async def test_without_a_parameter_for_the_key_the_agents_own_user_tells(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **CART)
    shop.jenkins.faults.add("POST", "/build", "lose")
    with pytest.raises(OutcomeUnknown):
        await shop.execute(action)
    assert await shop.arrived(action) is True
    other = await shop.propose("jenkins_trigger", job="shop/web")
    shop.jenkins.started_by("shop/web", "Jonas")
    await shop.jenkins.built("shop/web", 513)
    assert await shop.arrived(other) is None, "somebody else's build says nothing"


async def test_an_error_while_scheduling_is_no_certain_refusal(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **DEPLOY)
    shop.jenkins.faults.add("POST", "buildWithParameters", "500")
    with pytest.raises(OutcomeUnknown, match="No space left on device"):
        await shop.execute(action)


async def test_a_jenkins_that_answers_too_late_is_looked_at_for_a_while(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **DEPLOY)

    async def late() -> None:
        await asyncio.sleep(0.1)
        form = {"VERSION": "5.8.0", KEY: "exe-9"}
        await shop.client.post("/job/shop/job/deploy/buildWithParameters", doing="build", form=form)

    task = asyncio.create_task(late())
    assert await shop.arrived(action, "exe-9") is True
    await task


# --- refusals


async def test_while_jenkins_starts_nothing_is_done_and_it_says_so(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **DEPLOY)
    shop.jenkins.faults.add("POST", "buildWithParameters", "starting")
    with pytest.raises(
        ToolError, match=r"Jenkins is not ready: it is starting or restarting\. It did not build shop/deploy"
    ) as caught:
        await shop.execute(action)
    assert not isinstance(caught.value, OutcomeUnknown)
    assert caught.value.retryable


async def test_a_look_that_finds_jenkins_starting_is_no_moved_target(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **DEPLOY)
    shop.jenkins.faults.add("GET", "/job/shop/job/deploy/api", "starting")
    with pytest.raises(ToolError, match="not ready") as caught:
        await shop.execute(action)
    assert not isinstance(caught.value, TargetMoved)


async def test_a_missing_permission_is_named(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **DEPLOY)
    shop.jenkins.agent.permissions = frozenset({READ, JOB_READ})
    with pytest.raises(ToolError, match="personal-agent is missing the Job/Build permission"):
        await shop.execute(action)
    assert await shop.arrived(action) is False


async def test_a_wrong_token_is_said_to_be_one(shop: World) -> None:
    shop.jenkins.agent.token = "another"
    with pytest.raises(ToolError, match=r"does not accept this agent's credentials \(401\): check JENKINS_USER"):
        await shop.propose("jenkins_trigger", **DEPLOY)


async def test_too_many_requests_say_when_to_come_back(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **DEPLOY)
    shop.jenkins.faults.add("POST", "buildWithParameters", "429")
    with pytest.raises(ToolError, match="try again in 7 s"):
        await shop.execute(action)


# --- crumbs


async def test_an_api_token_needs_no_crumb(shop: World) -> None:
    await shop.execute(await shop.propose("jenkins_trigger", **CART))
    assert not [asked for asked in shop.jenkins.asked if "crumbIssuer" in asked.path]


async def test_a_password_gets_a_crumb_within_its_session_once_jenkins_asks_for_it() -> None:
    async with world(password=True) as shop:
        await shop.execute(await shop.propose("jenkins_trigger", **CART))
        await shop.jenkins.built("shop/cart", 79)
        await shop.execute(await shop.propose("jenkins_trigger", **CART), "exe-2")
        assert [asked.status for asked in shop.jenkins.asked if asked.method == "POST"] == [403, 201, 201]
        assert len([asked for asked in shop.jenkins.asked if "crumbIssuer" in asked.path]) == 1


async def test_an_expired_crumb_is_renewed_and_the_build_is_asked_for_once() -> None:
    async with world(password=True) as shop:
        await shop.execute(await shop.propose("jenkins_trigger", **CART))
        await shop.jenkins.built("shop/cart", 79)
        shop.jenkins.security.forget_sessions()
        await shop.execute(await shop.propose("jenkins_trigger", **CART), "exe-2")
        await shop.jenkins.built("shop/cart", 80)
        assert [asked.status for asked in shop.jenkins.asked if asked.method == "POST"] == [403, 201, 403, 201]
        assert shop.jenkins.job("shop/cart").builds[-1].number == 80


async def test_a_crumb_that_is_never_taken_ends_in_a_sentence_and_not_in_a_loop() -> None:
    async with world(password=True) as shop:
        action = await shop.propose("jenkins_trigger", **CART)
        shop.jenkins.faults.add("GET", "crumbIssuer", "pass", 5, shop.jenkins.security.forget_sessions)
        shop.jenkins.faults.add("POST", "/build", "pass", 5, shop.jenkins.security.forget_sessions)
        with pytest.raises(ToolError, match="does not take its own crumb"):
            await shop.execute(action)
        assert len([asked for asked in shop.jenkins.asked if asked.method == "POST"]) == 2


# --- to the end


async def test_the_probe_follows_queue_and_build_to_a_green_end(shop: World) -> None:
    shop.jenkins.engine.quieting_down = True
    action = await shop.propose("jenkins_trigger", **DEPLOY)
    said = await shop.execute(action)
    assert "waits: Jenkins is about to shut down" in said
    [waits] = (await shop.probe(action)).checks
    assert (waits.name, waits.passed) == ("build started", False)
    assert "Jenkins is about to shut down" in waits.detail
    shop.jenkins.engine.quieting_down = False
    shop.jenkins.engine.maintain()
    probe = await ended(shop, action)
    assert [(check.name, check.passed, check.detail) for check in probe.checks] == [
        ("build started", True, "shop/deploy #43"),
        ("build succeeded", True, "#43 ended SUCCESS"),
    ]


async def test_a_red_end_settles_as_failed(shop: World) -> None:
    broken = {**DEPLOY, "parameters": {**DEPLOY["parameters"], "VERSION": "9.9.9"}}
    action = await shop.propose("jenkins_trigger", **broken)
    await shop.execute(action)
    probe = await ended(shop, action)
    assert probe.settled
    assert not probe.passed
    assert probe.checks[-1].detail == "#43 ended FAILURE"


async def test_an_item_that_somebody_took_out_of_the_queue_settles_as_failed(shop: World) -> None:
    shop.jenkins.engine.quieting_down = True
    action = await shop.propose("jenkins_trigger", **DEPLOY)
    await shop.execute(action)
    [item] = shop.jenkins.engine.waiting()
    shop.jenkins.engine.cancel(item)
    probe = await shop.probe(action)
    assert probe.settled
    assert "somebody took it out of the queue" in probe.checks[0].detail


async def test_somebody_elses_later_build_is_not_the_one_that_is_followed(shop: World) -> None:
    action = await shop.propose("jenkins_trigger", **PAYMENTS)
    await shop.execute(action)  # #92 is one of those in which the flaky test fails
    await shop.jenkins.built("shop/payments/main", 92)
    shop.jenkins.push("shop/payments/main", commit("Priya Nair", "Unrelated", "README.md"))
    await shop.jenkins.built("shop/payments/main", 93)
    assert (await ended(shop, action)).checks[-1].detail == "#92 ended FAILURE"


# --- abort


async def running(shop: World) -> Action:
    shop.jenkins.engine.hold()
    shop.jenkins.started_by("shop/deploy", "Jonas", VERSION="5.8.0", TARGET="staging")
    await shop.until(lambda: shop.jenkins.job("shop/deploy").builds[-1].number == 43)
    return await shop.propose("jenkins_abort", job="shop/deploy", build=43)


async def test_a_running_build_is_asked_to_stop_and_the_probe_sees_it_end(shop: World) -> None:
    action = await running(shop)
    assert action.diff.startswith("POST /job/shop/job/deploy/43/stop\n- #43 runs since ")
    assert "Started by user Jonas" in action.diff
    assert "a person has to terminate or kill it" in action.diff
    assert action.undo is None
    assert action.facts["no_undo"] == "a stopped build does not go on; jenkins_trigger can rebuild 43"
    assert await shop.arrived(action) is None, "it may have been asked and still be at it"
    assert await shop.execute(action) == "Asked shop/deploy #43 to stop."
    assert (await ended(shop, action)).passed
    assert await shop.arrived(action) is True
    assert [asked.path for asked in shop.changes] == ["/jenkins/job/shop/job/deploy/43/stop"]


async def test_a_build_that_does_not_listen_is_neither_terminated_nor_killed(shop: World) -> None:
    shop.jenkins.job("shop/deploy").stubborn = True
    action = await running(shop)
    await shop.execute(action)
    probe = await shop.probe(action)
    assert (probe.passed, probe.settled, probe.checks[0].detail) == (False, False, "it still runs")
    assert [asked.path.rpartition("/")[2] for asked in shop.changes] == ["stop"]


async def test_a_build_that_ended_by_itself_is_not_stopped(shop: World) -> None:
    with pytest.raises(ToolError, match="#42 is not running: it ended SUCCESS"):
        await shop.propose("jenkins_abort", job="shop/deploy", build=42)
    action = await running(shop)
    build = shop.jenkins.job("shop/deploy").build(43)
    assert build is not None
    build.result = "SUCCESS"
    with pytest.raises(TargetMoved, match=r"#43 is not running: it ended SUCCESS\. Nothing was done"):
        await shop.execute(action)
    assert shop.changes == []
    probe = await shop.probe(action)
    assert probe.settled
    assert probe.checks[0].detail == "it ended SUCCESS before it could be stopped"


async def test_the_undo_of_a_trigger_stops_what_it_started_and_nothing_else(shop: World) -> None:
    started = await shop.propose("jenkins_trigger", **DEPLOY)
    assert started.undo is not None
    with pytest.raises(ToolError, match="This agent asked for no build of shop/deploy after #42"):
        await shop.propose(started.undo.tool, **started.undo.arguments)
    shop.jenkins.engine.hold()
    await shop.execute(started)
    undo = await shop.propose(started.undo.tool, **started.undo.arguments)
    assert undo.observed["build"] == 43
    await shop.execute(undo)
    assert (await shop.jenkins.built("shop/deploy", 43)).result == "ABORTED"
    probe = await ended(shop, started)
    assert probe.checks[-1].detail == "#43 ended ABORTED"


async def test_what_still_waits_is_taken_out_of_the_queue(shop: World) -> None:
    shop.jenkins.engine.quieting_down = True
    started = await shop.propose("jenkins_trigger", **DEPLOY)
    await shop.execute(started)
    assert started.undo is not None
    undo = await shop.propose(started.undo.tool, **started.undo.arguments)
    assert undo.diff.startswith("POST /queue/cancelItem?id=")
    assert await shop.arrived(undo) is False
    assert (await shop.execute(undo)).endswith("out of the queue.")
    assert list(shop.jenkins.engine.waiting()) == []
    assert (await ended(shop, undo)).passed
    assert await shop.arrived(undo) is True


async def test_a_login_instead_of_a_cancellation_does_not_count_as_done(shop: World) -> None:
    shop.jenkins.engine.quieting_down = True
    started = await shop.propose("jenkins_trigger", **DEPLOY)
    await shop.execute(started)
    assert started.undo is not None
    undo = await shop.propose(started.undo.tool, **started.undo.arguments)
    shop.jenkins.faults.add("POST", "/queue/cancelItem", "login")
    with pytest.raises(OutcomeUnknown, match=r"leads to https://sso\.acme\.dev/login"):
        await shop.execute(undo)
    assert len(list(shop.jenkins.engine.waiting())) == 1


async def test_a_build_is_not_asked_for_while_one_of_the_agents_own_waits(shop: World) -> None:
    shop.jenkins.engine.quieting_down = True
    await shop.execute(await shop.propose("jenkins_trigger", **DEPLOY))
    with pytest.raises(ToolError, match="that this agent asked for waits already"):
        await shop.propose("jenkins_trigger", **DEPLOY)


async def test_an_item_that_became_a_build_meanwhile_is_another_thing(shop: World) -> None:
    shop.jenkins.engine.quieting_down = True
    started = await shop.propose("jenkins_trigger", **DEPLOY)
    await shop.execute(started)
    assert started.undo is not None
    undo = await shop.propose(started.undo.tool, **started.undo.arguments)
    shop.jenkins.engine.hold()
    shop.jenkins.engine.quieting_down = False
    shop.jenkins.engine.maintain()
    await shop.until(lambda: shop.jenkins.job("shop/deploy").builds[-1].number == 43)
    with pytest.raises(TargetMoved, match="build 0 -> 43"):
        await shop.execute(undo)
    probe = await shop.probe(undo)
    assert (probe.settled, probe.checks[0].detail) == (True, "started as #43")


async def test_a_lost_answer_to_a_stop_is_unknown_until_the_build_has_ended(shop: World) -> None:
    action = await running(shop)
    shop.jenkins.faults.add("POST", "/stop", "lose")
    with pytest.raises(OutcomeUnknown):
        await shop.execute(action)
    await shop.jenkins.built("shop/deploy", 43)
    assert await shop.arrived(action) is True


async def test_stopping_needs_its_own_permission(shop: World) -> None:
    action = await running(shop)
    shop.jenkins.agent.permissions = frozenset({READ, JOB_READ, "Job/Build"})
    with pytest.raises(ToolError, match="personal-agent is missing the Job/Cancel permission"):
        await shop.execute(action)


async def test_a_build_and_the_agents_own_are_not_asked_for_at_once(shop: World) -> None:
    with pytest.raises(ArgumentsRefused, match="give either build, or after"):
        shop.tools["jenkins_abort"].understand({"job": "shop/deploy", "build": 3, "after": 2})


async def test_an_answer_that_leads_to_a_login_does_not_count_as_done(shop: World) -> None:
    action = await running(shop)
    shop.jenkins.faults.add("POST", "/stop", "login")
    with pytest.raises(OutcomeUnknown, match=r"leads to https://sso\.acme\.dev/login"):
        await shop.execute(action)
    assert await shop.arrived(action) is None
    started = await shop.propose("jenkins_trigger", job="shop/web")
    shop.jenkins.faults.add("POST", "/build", "login")
    with pytest.raises(ToolError, match="put nothing into its queue"):
        await shop.execute(started)
    shop.jenkins.faults.add("GET", "/job/shop/job/web/api", "login")
    with pytest.raises(ToolError, match="set its real base URL"):
        await shop.propose("jenkins_trigger", job="shop/web")
