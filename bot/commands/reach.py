"""Part of `doctor`: the systems beside Slack, the cluster and the model, looked at over the wire."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.config import Settings
from bot.tools import gitlab_access
from bot.tools.alertmanager import open_alertmanager
from bot.tools.gitlab_client import PAGE, GitLabClient
from bot.tools.jenkins_access import Access, access
from bot.tools.jenkins_client import JenkinsClient
from bot.tools.objectives import error_budget
from bot.tools.objectives_file import read_objectives
from bot.tools.prometheus_alerts import alerts
from bot.tools.prometheus_api import a_map, ask, open_prometheus
from bot.tools.prometheus_series import clean
from bot.tools.rest import RestClient
from domain.errors import AgentError, SettingsError
from handlers.checkup import Answer

SOON_DAYS = 14
"""How long before a token's end it is time for another one."""


async def traces(settings: Settings) -> Answer:
    """Whether the collector takes an export with nothing in it."""
    url = settings.otel_exporter_otlp_endpoint
    if not url:
        return Answer("traces", ok=True, sentence="no traces are exported (OTEL_EXPORTER_OTLP_ENDPOINT is not set)")
    headers = {**settings.otlp_headers, "content-type": "application/x-protobuf"}
    collector = RestClient("The collector", url, fix="check OTEL_EXPORTER_OTLP_HEADERS", headers=headers)
    try:
        await collector.send("POST", "/v1/traces", doing="take a trace")
    except AgentError as error:
        return Answer("traces", ok=False, sentence=str(error), fix="check OTEL_EXPORTER_OTLP_ENDPOINT")
    finally:
        await collector.close()
    return Answer("traces", ok=True, sentence=f"the collector at {url} takes them")


async def prometheus(settings: Settings) -> Answer:
    """Whether it answers, its version, and whether its rules can be read."""
    if not settings.prometheus_url:
        return Answer("prometheus", ok=True, sentence="not set up (PROMETHEUS_URL is not set): no series are read")
    try:
        client = open_prometheus(settings.prometheus_url, settings.prometheus_token.get_secret_value())
    except AgentError as error:
        return Answer("prometheus", ok=False, sentence=str(error), fix="check PROMETHEUS_URL")
    try:
        build = await ask(client, "/api/v1/status/buildinfo", {}, "say its version")
        rules = await alerts(client, {"name": ""})
    except AgentError as error:
        return Answer("prometheus", ok=False, sentence=str(error), fix="check PROMETHEUS_URL and PROMETHEUS_TOKEN")
    finally:
        await client.close()
    version = clean(a_map(a_map(build).get("data")).get("version") or "of unknown version", 40)
    targets = f"{rules['down_count']} of {rules['targets']} targets are down"
    return Answer("prometheus", ok=True, sentence=f"Prometheus {version}: queries and rules can be read, {targets}")


async def alertmanager(settings: Settings) -> Answer:
    """Whether it answers, its version, and whether its silences can be read."""
    if not settings.alertmanager_url:
        return Answer("alertmanager", ok=True, sentence="not set up (ALERTMANAGER_URL is not set): nothing is silenced")
    try:
        client = open_alertmanager(settings.alertmanager_url, settings.alertmanager_token.get_secret_value())
    except AgentError as error:
        return Answer("alertmanager", ok=False, sentence=str(error), fix="check ALERTMANAGER_URL")
    try:
        status = await client.get("/api/v2/status", doing="say its version")
        known = await client.get("/api/v2/silences", doing="list its silences")
    except AgentError as error:
        return Answer(
            "alertmanager", ok=False, sentence=str(error), fix="check ALERTMANAGER_URL and ALERTMANAGER_TOKEN"
        )
    finally:
        await client.close()
    version = clean(a_map(a_map(status).get("versionInfo")).get("version") or "of unknown version", 40)
    listed = known if isinstance(known, list) else []
    active = sum(a_map(a_map(each).get("status")).get("state") == "active" for each in listed)
    sentence = f"Alertmanager {version}: alerts and silences can be read; active silences: {active}"
    return Answer("alertmanager", ok=True, sentence=sentence)


async def objectives(settings: Settings) -> Answer:
    """Whether the queries of each objective give what they must, and how much of each error budget is left."""
    if not settings.agent_objectives:
        return Answer("objectives", ok=True, sentence="none (AGENT_OBJECTIVES is not set): releases are not watched")
    try:
        left = await _budgets(settings)
    except AgentError as error:
        return Answer("objectives", ok=False, sentence=str(error), fix="check AGENT_OBJECTIVES and PROMETHEUS_URL")
    unknown = [service for service, percent in left if not percent]
    if unknown:
        sentence = f"no request was measured for {', '.join(unknown)}: the error budget is unknown"
        return Answer("objectives", ok=False, sentence=sentence, fix="check what error_ratio counts")
    said = ", ".join(f"{service} {percent} %" for service, percent in left)
    return Answer("objectives", ok=True, sentence=f"error budgets left: {said}")


async def _budgets(settings: Settings) -> list[tuple[str, str]]:
    """Each service with what is left of its error budget, percent as text. Raises AgentError."""
    told = read_objectives(settings.agent_objectives)
    if not settings.prometheus_url:
        raise SettingsError("PROMETHEUS_URL is not set: objectives cannot be measured, nor releases watched")
    client = open_prometheus(settings.prometheus_url, settings.prometheus_token.get_secret_value())
    try:
        return [(one.service, (await error_budget(client, one))["remaining"]) for one in told]
    finally:
        await client.close()


async def jenkins(settings: Settings) -> Answer:
    """Whether it answers, its version, whom it takes the agent for, and what that one may do too little or too much."""
    if not settings.jenkins_url:
        return Answer("jenkins", ok=True, sentence="not set up (JENKINS_URL is not set): no builds are read or started")
    user = settings.jenkins_user
    try:
        client = JenkinsClient(settings.jenkins_url, user, settings.jenkins_token.get_secret_value())
    except AgentError as error:
        return Answer("jenkins", ok=False, sentence=str(error), fix="check JENKINS_URL")
    try:
        seen = await access(client)
    except AgentError as error:
        return Answer("jenkins", ok=False, sentence=str(error), fix="check JENKINS_URL, JENKINS_USER and JENKINS_TOKEN")
    finally:
        await client.close()
    wrong, fix = _wrong_with(seen, user)
    if wrong:
        return Answer("jenkins", ok=False, sentence=wrong, fix=fix)
    quiet = "; it is about to shut down" if seen.quieting_down else ""
    told = "it tells Job/Build and Job/Cancel only to who tries"
    sentence = (
        f"Jenkins {seen.version} as {seen.user}: {seen.visible} jobs and folders at the top can be read; {told}{quiet}"
    )
    return Answer("jenkins", ok=True, sentence=sentence)


def _wrong_with(seen: Access, user: str) -> tuple[str, str]:
    if seen.anonymous:
        return "Jenkins takes this agent for nobody in particular", "set JENKINS_USER and JENKINS_TOKEN"
    if seen.user.lower() != user.lower():
        return (
            f"Jenkins takes this agent for {seen.user}, so that it would not know its own builds",
            "set JENKINS_USER to that",
        )
    if seen.administrator:
        fix = "give the agent a user of its own with Overall/Read, Job/Read, Job/Build and Job/Cancel"
        return f"{seen.user} is an administrator: its token can run any script on Jenkins", fix
    if not seen.visible:
        return f"{seen.user} sees no job", "grant it Job/Read where it shall look"
    return "", ""


async def gitlab(settings: Settings) -> Answer:
    """Whether it answers, its version, whose the token is, how long it lasts, and what it may do too little or too much."""
    if not settings.gitlab_url:
        return Answer(
            "gitlab", ok=True, sentence="not set up (GITLAB_URL is not set): no pipelines are read or changed"
        )
    try:
        client = GitLabClient(settings.gitlab_url, settings.gitlab_token.get_secret_value())
    except AgentError as error:
        return Answer("gitlab", ok=False, sentence=str(error), fix="check GITLAB_URL")
    try:
        seen = await gitlab_access.access(client)
    except AgentError as error:
        return Answer("gitlab", ok=False, sentence=str(error), fix="check GITLAB_URL and GITLAB_TOKEN")
    finally:
        await client.close()
    left = (seen.expires - datetime.now(UTC).date()).days if seen.expires else None
    wrong, fix = _wrong_with_token(seen, left)
    if wrong:
        return Answer("gitlab", ok=False, sentence=wrong, fix=fix)
    may = "it may look and change" if seen.may_change else "it may look only (the scope read_api)"
    lasts = f"the token lasts until {seen.expires}" if seen.expires else "the token does not expire"
    many = f"{seen.projects} projects" if seen.projects < PAGE else f"{PAGE} projects or more"
    return Answer("gitlab", ok=True, sentence=f"GitLab {seen.version} as {seen.user}: member of {many}, {may}; {lasts}")


def _wrong_with_token(seen: gitlab_access.Access, left: int | None) -> tuple[str, str]:
    """What is wrong, the gravest first. `left` is how many days the token still lasts."""
    if not seen.may_look:
        scopes = ", ".join(seen.scopes or ()) or "none"
        return f"the token's scopes are {scopes}: it can read no pipeline", "make one with read_api, or api for changes"
    if seen.too_much:
        fix = "give the agent a project or group access token with api, of the role that docs/gitlab.md names"
        return f"{seen.user}'s token has {' and '.join(seen.too_much)}, which no tool needs", fix
    if not seen.projects:
        return f"{seen.user} is a member of no project", "make it a member where it shall look"
    if left is not None and left < SOON_DAYS:
        return f"the token expires on {seen.expires}, in {left} days", "make a new one and set GITLAB_TOKEN to it"
    return "", ""
