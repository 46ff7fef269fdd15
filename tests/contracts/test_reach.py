"""`doctor` on the systems beside Slack and the cluster: a sentence for each, and a fix where something is wrong."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.commands import reach
from bot.config import Settings, load
from bot.local.gitlab import GitLab, Token
from bot.local.gitlab.world import AGENT
from bot.local.jenkins import Jenkins
from bot.local.jenkins.security import ADMINISTER
from bot.local.prometheus import Prometheus
from handlers.checkup import Answer
from tests.otlp_receiver import receiving
from tests.real_monitors import alertmanager, needs_both, prometheus


async def test_a_collector_that_takes_traces_one_that_refuses_and_one_that_is_not_there() -> None:
    async with receiving() as receiver:
        settings = load({"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_OTLP_HEADERS": "x-scope=a"}, None)
        assert (await reach.traces(settings)).ok
        assert receiver.headers[0]["x-scope"] == "a"
        assert receiver.spans == []
        receiver.status = 401
        refused = await reach.traces(settings)
        assert not refused.ok
        assert "check OTEL_EXPORTER_OTLP_HEADERS" in refused.sentence
    gone = await reach.traces(settings)
    assert (gone.ok, gone.fix) == (False, "check OTEL_EXPORTER_OTLP_ENDPOINT")
    assert "cannot be reached" in gone.sentence
    assert (await reach.traces(load({}, None))).ok


@needs_both
async def test_prometheus_and_alertmanager_say_their_versions_and_what_can_be_read(tmp_path: Path) -> None:
    config = 'scrape_configs: [{job_name: gone, static_configs: [{targets: ["127.0.0.1:1"]}]}]'
    receivers = "{route: {receiver: nobody}, receivers: [{name: nobody}]}"
    with prometheus(tmp_path, config) as prometheus_url, alertmanager(tmp_path, receivers) as alertmanager_url:
        settings = load({"PROMETHEUS_URL": prometheus_url, "ALERTMANAGER_URL": alertmanager_url}, None)
        one, other = await reach.prometheus(settings), await reach.alertmanager(settings)
        assert (one.ok, other.ok) == (True, True)
        assert re.match(r"Prometheus 2\.\d+.*: queries and rules can be read, \d of \d targets are down", one.sentence)
        assert re.match(r"Alertmanager 0\.\d+.*silences can be read; active silences: 0", other.sentence)
        wrong = load({"PROMETHEUS_URL": alertmanager_url, "ALERTMANAGER_URL": prometheus_url}, None)
        assert not (await reach.prometheus(wrong)).ok
        assert not (await reach.alertmanager(wrong)).ok


async def test_systems_that_are_not_there_and_systems_that_are_not_set_up() -> None:
    gone = load({"PROMETHEUS_URL": "http://127.0.0.1:1", "ALERTMANAGER_URL": "http://127.0.0.1:1"}, None)
    unusable = load({"PROMETHEUS_URL": "prometheus:9090", "ALERTMANAGER_URL": "alertmanager:9093"}, None)
    for look in (reach.prometheus, reach.alertmanager):
        assert "cannot be reached" in (await look(gone)).sentence
        assert "is not an http or https URL" in (await look(unusable)).sentence
        assert not (await look(gone)).ok
        assert (await look(load({}, None))).ok


def _login(jenkins: Jenkins, user: str = "", token: str = "") -> dict[str, str]:
    agent = jenkins.agent
    return {"JENKINS_URL": jenkins.url, "JENKINS_USER": user or agent.id, "JENKINS_TOKEN": token or agent.token}


async def test_jenkins_says_its_version_and_whom_it_takes_the_agent_for_and_is_asked_for_nothing_else() -> None:
    async with Jenkins(prefix="/jenkins") as jenkins:
        seen = await reach.jenkins(load(_login(jenkins), None))
        assert seen.ok
        assert seen.sentence.startswith("Jenkins 2.528.2 as personal-agent: 1 jobs and folders at the top can be read")
        assert {asked.method for asked in jenkins.asked} == {"GET"}
        jenkins.engine.quieting_down = True
        assert "about to shut down" in (await reach.jenkins(load(_login(jenkins), None))).sentence


async def test_a_jenkins_that_lets_the_agent_do_too_much_or_too_little_is_a_problem_with_a_fix() -> None:
    async with Jenkins() as jenkins:
        wrong = await reach.jenkins(load(_login(jenkins, token="wrong"), None))
        assert "does not accept this agent's credentials (401)" in wrong.sentence
        jenkins.agent.folders = ("elsewhere",)
        assert (await reach.jenkins(load(_login(jenkins), None))).fix == "grant it Job/Read where it shall look"
        jenkins.agent.permissions = frozenset({ADMINISTER})
        admin = await reach.jenkins(load(_login(jenkins), None))
        assert (admin.ok, "can run any script" in admin.sentence) == (False, True)
        jenkins.faults.add("GET", "/api/json", "starting")
        assert "Jenkins is not ready" in (await reach.jenkins(load(_login(jenkins), None))).sentence
        jenkins.agent.permissions = frozenset()
        assert "who is not logged in" in (await reach.jenkins(load(_login(jenkins), None))).sentence


async def test_a_jenkins_that_is_none_or_not_there_is_said_so() -> None:
    async with receiving() as receiver:
        other = await reach.jenkins(load({"JENKINS_URL": receiver.url}, None))
        assert not other.ok
    assert "cannot be reached" in (await reach.jenkins(load({"JENKINS_URL": "http://127.0.0.1:1"}, None))).sentence
    assert "is not an http or https URL" in (await reach.jenkins(load({"JENKINS_URL": "ci:8080"}, None))).sentence
    assert (await reach.jenkins(load({}, None))).ok


def _agents(gitlab: GitLab) -> tuple[Token, Settings]:
    return gitlab.tokens[gitlab.token], load({"GITLAB_URL": gitlab.url, "GITLAB_TOKEN": gitlab.token}, None)


def _in(days: int) -> str:
    return (datetime.now(UTC).date() + timedelta(days=days)).isoformat()


async def test_gitlab_says_its_version_whose_the_token_is_and_how_long_it_lasts_and_is_asked_for_nothing_else() -> None:
    async with GitLab() as gitlab:
        token, settings = _agents(gitlab)
        token.expires_on = _in(90)
        seen = await reach.gitlab(settings)
        many = len(gitlab.projects)
        assert (seen.ok, seen.fix) == (True, "")
        assert seen.sentence == (
            f"GitLab 18.4.0 as {AGENT.username}: member of {many} projects, it may look and change; "
            f"the token lasts until {_in(90)}"
        )
        assert {asked.method for asked in gitlab.asked} == {"GET"}
        token.scopes, token.expires_on = ("read_api",), ""
        assert (
            "it may look only (the scope read_api); the token does not expire"
            in (await reach.gitlab(settings)).sentence
        )


async def test_a_token_of_gitlab_that_ends_soon_ended_or_was_revoked_is_a_problem() -> None:
    async with GitLab() as gitlab:
        token, settings = _agents(gitlab)
        token.expires_on = _in(13)
        soon = await reach.gitlab(settings)
        assert (soon.ok, soon.fix) == (False, "make a new one and set GITLAB_TOKEN to it")
        assert f"expires on {_in(13)}, in 13 days" in soon.sentence
        token.expires_on = _in(14)
        assert (await reach.gitlab(settings)).ok
        token.expired = True
        assert "it is expired" in (await reach.gitlab(settings)).sentence
        token.revoked = True
        assert "it was revoked" in (await reach.gitlab(settings)).sentence
        wrong = load({"GITLAB_URL": gitlab.url, "GITLAB_TOKEN": "glpat-wrong"}, None)
        assert "check GITLAB_TOKEN" in (await reach.gitlab(wrong)).sentence


async def test_a_token_of_gitlab_that_may_do_too_much_or_too_little_is_a_problem_with_a_fix() -> None:
    async with GitLab() as gitlab:
        token, settings = _agents(gitlab)
        token.scopes = ("api", "sudo", "admin_mode")
        powerful = await reach.gitlab(settings)
        assert "the scope sudo and the scope admin_mode, which no tool needs" in powerful.sentence
        token.scopes, token.user = ("api",), replace(AGENT, administrator=True)
        assert "has an administrator's rights" in (await reach.gitlab(settings)).sentence
        token.scopes, token.user = ("read_user",), AGENT
        blind = await reach.gitlab(settings)
        assert (blind.ok, blind.fix) == (False, "make one with read_api, or api for changes")
        assert "the token's scopes are read_user" in blind.sentence
        token.scopes, token.projects = ("api",), {}
        assert (await reach.gitlab(settings)).fix == "make it a member where it shall look"


async def test_a_gitlab_that_does_not_tell_scopes_or_is_not_there_is_said_so() -> None:
    async with GitLab() as gitlab:
        _, settings = _agents(gitlab)
        gitlab.fail("GET", "/personal_access_tokens/self", "404")
        assert "it may look and change; the token does not expire" in (await reach.gitlab(settings)).sentence
    assert "cannot be reached" in (await reach.gitlab(load({"GITLAB_URL": "http://127.0.0.1:1"}, None))).sentence
    assert "is not an http or https URL" in (await reach.gitlab(load({"GITLAB_URL": "gitlab:80"}, None))).sentence
    assert (await reach.gitlab(load({}, None))).ok


async def test_objectives_are_asked_for_what_is_left_of_their_error_budgets(tmp_path: Path) -> None:
    told = tmp_path / "objectives.yaml"
    told.write_text("services: {orders: {objective: 99.5, error_ratio: 'failed[$window]'}}")
    assert (await reach.objectives(load({}, None))).ok
    async with Prometheus() as metrics:
        settings = load({"AGENT_OBJECTIVES": str(told), "PROMETHEUS_URL": metrics.url}, None)
        nothing = await reach.objectives(settings)
        assert not nothing.ok
        assert "no request was measured for orders" in nothing.sentence
        metrics.tell("failed", lambda at: [({}, 0.001)])
        assert await reach.objectives(settings) == Answer(
            "objectives", ok=True, sentence="error budgets left: orders 80 %"
        )
        metrics.tell("failed", lambda at: [({}, 12.0)])
        assert "between 0 and 1" in (await reach.objectives(settings)).sentence
    alone = await reach.objectives(load({"AGENT_OBJECTIVES": str(told)}, None))
    assert "PROMETHEUS_URL is not set" in alone.sentence
