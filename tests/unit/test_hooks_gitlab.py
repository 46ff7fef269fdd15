"""Pipelines and deployments of GitLab -> alerts, from what the stand-in sends, and from whatever else may be sent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.local.gitlab import GitLab, Job, Outcome, Pipeline
from domain.alerts import Alert, Severity
from domain.canonical import canonical
from domain.codec import encode
from domain.errors import BadInput
from domain.events import AlertJoined, IncidentOpened
from handlers.hooks import HOOKS, secret_token
from handlers.sources import Reading
from tests.unit.test_incidents import desk
from tests.unit.test_intake import JSON, taken


def reading() -> Reading:
    def environment(*places: str) -> str:
        return "staging" if any(place.endswith("@environment:staging") for place in places) else "production"

    return Reading(lambda text: text.replace("hunter2", "[redacted]"), environment)


def read(payload: Any) -> list[Alert]:
    return HOOKS["gitlab"].parser(payload, reading())


def build(number: int, name: str, status: str, to: str = "", **more: Any) -> dict[str, Any]:
    place = {"name": to, "action": "start", "deployment_tier": "production"} if to else None
    return {"id": number, "name": name, "stage": "x", "status": status, "manual": bool(to), "allow_failure": False,
            "failure_reason": None, "environment": place} | more  # fmt: skip


BUILDS = [build(1, "unit", "success"), build(2, "deploy-canary", "manual", "production/canary"),
          build(3, "deploy-production", "created", "production")]  # fmt: skip


def event(status: str = "manual", builds: Any = None, **more: Any) -> dict[str, Any]:
    """What GitLab sends of a pipeline."""
    attributes = {
        "id": 42, "iid": 7, "ref": "main", "tag": False, "sha": "c" * 40, "source": "push", "status": status,
        "created_at": "2026-03-10 12:00:00 UTC", "finished_at": None, "url": "https://gitlab.acme.dev/shop/orders/-/pipelines/42",
    }  # fmt: skip
    return {
        "object_kind": "pipeline",
        "object_attributes": attributes | more,
        "project": {"id": 21, "path_with_namespace": "shop/orders", "default_branch": "main"},
        "commit": {"title": "Wait longer", "id": "c" * 40},
        "builds": BUILDS if builds is None else builds,
    }


def deployment(status: str = "failed", **more: Any) -> dict[str, Any]:
    """What GitLab sends of a deployment."""
    return {
        "object_kind": "deployment", "status": status, "status_changed_at": "2026-03-10 12:00:00 +0200", "deployment_id": 9,
        "deployable_id": 3, "deployable_url": "https://gitlab.acme.dev/shop/orders/-/jobs/3", "environment": "production",
        "project": {"path_with_namespace": "shop/orders"}, "ref": "main", "short_sha": "c" * 8, "commit_title": "Wait longer",
    } | more  # fmt: skip


@pytest.fixture
async def gitlab() -> AsyncIterator[GitLab]:
    async with GitLab(speed=60) as made:
        made.add_hook("http://127.0.0.1:9/")  # nobody takes them, but they are kept
        yield made


def told(gitlab: GitLab, *, since: int = 0) -> list[tuple[str, bool, str]]:
    sent = [json.loads(each.body) for each in gitlab.hooks.deliveries[since:]]
    return [(one.name, one.firing, one.fingerprint) for payload in sent for one in read(payload)]


def job(line: Pipeline, name: str) -> Job:
    return next(each for each in line.latest if each.name == name)


# --- what the stand-in sends


async def test_a_pipeline_that_failed_fires_about_its_ref_and_the_next_green_one_resolves_it(gitlab: GitLab) -> None:
    broken = await gitlab.finished(gitlab.break_build())
    [failed] = [one for each in gitlab.hooks.deliveries for one in read(json.loads(each.body)) if one.firing]
    assert (failed.name, failed.fingerprint, failed.severity) == (
        "GitLabPipelineFailed", "gitlab:shop/checkout@main", Severity.WARNING,
    )  # fmt: skip
    assert failed.summary == f"Pipeline #{broken.id} of shop/checkout (main) failed"
    assert failed.description == "Failed: unit (script_failure)."
    assert (failed.target.system, failed.target.namespace, failed.target.kind, failed.target.name) == (
        "gitlab", "shop", "GitLabProject", "checkout",
    )  # fmt: skip
    assert failed.labels["pipeline"] == str(broken.id)
    assert (failed.labels["ref"], failed.labels["sha"]) == ("main", broken.sha)
    assert failed.url == f"{gitlab.url}/shop/checkout/-/pipelines/{broken.id}"
    before = len(gitlab.hooks.deliveries)
    await gitlab.finished(gitlab.push("shop/checkout", {"checkout/tax.py": b"fixed"}, "Fixed"))
    assert ("GitLabPipelineFailed", False, failed.fingerprint) in told(gitlab, since=before)


async def test_a_delivery_is_one_matter_from_the_canary_to_the_whole(gitlab: GitLab) -> None:
    line = await gitlab.finished(gitlab.release_small())
    waits = ("DeploymentWaiting", True, f"gitlab:shop/orders#{line.id}:deployment")
    green = ("GitLabPipelineFailed", False, "gitlab:shop/orders@main")
    assert told(gitlab) == [green, waits]
    before = len(gitlab.hooks.deliveries)
    gitlab.engine.play(job(line, "deploy-canary"), line.user, {}, 40)
    await gitlab.finished(line)
    canary = ("GitLabDeploymentFailed", False, "gitlab:shop/orders@environment:production/canary")
    assert told(gitlab, since=before) == [canary, green, waits], "the whole waits now"
    before = len(gitlab.hooks.deliveries)
    gitlab.engine.play(job(line, "deploy-production"), line.user, {}, 40)
    await gitlab.until(lambda: line.status == "success")
    await gitlab.hooks.settled()
    whole = ("GitLabDeploymentFailed", False, "gitlab:shop/orders@environment:production")
    assert told(gitlab, since=before) == [whole, green, (waits[0], False, waits[2])]


async def test_a_pipeline_that_was_canceled_is_no_failure(gitlab: GitLab) -> None:
    gitlab.engine.hold("unit")
    line = gitlab.release_small()
    await gitlab.until(lambda: job(line, "unit").status == "running")
    gitlab.engine.cancel(line)
    await gitlab.finished(line)
    assert told(gitlab) == [("DeploymentWaiting", False, f"gitlab:shop/orders#{line.id}:deployment")]


async def test_a_deployment_that_failed_outside_of_gitlab_is_one_too(gitlab: GitLab) -> None:
    gitlab.report_deployment("shop/orders", "staging", "failed")
    await gitlab.hooks.settled()
    [one] = read(json.loads(gitlab.hooks.deliveries[0].body))
    assert (one.name, one.target.environment, one.url) == ("GitLabDeploymentFailed", "staging", "")
    assert one.summary == "Deployment of shop/orders (main) to staging failed"


async def test_a_canary_that_fails_ends_the_wait_and_is_one_incident_of_its_pipeline(
    gitlab: GitLab, tmp_path: Path
) -> None:
    line = await gitlab.finished(gitlab.release_small())
    gitlab.delivered.troubles["deploy-canary"] = [Outcome("script_failure", 1, ("timed out waiting for the rollout",))]
    gitlab.engine.play(job(line, "deploy-canary"), line.user, {}, 40)
    await gitlab.until(lambda: line.status == "failed")
    await gitlab.hooks.settled()
    async with desk(tmp_path) as it:
        for each in gitlab.hooks.deliveries:
            await it.receive(*read(json.loads(each.body)))
        opened = await it.events(IncidentOpened)
        assert [each.incident.title for each in opened] == [
            f"Pipeline #{line.id} of shop/orders (main) waits to deploy to production/canary",
            "Deployment of shop/orders (main) to production/canary failed",
        ]
        assert len(it.index) == 1
        assert [each.fingerprint for each in await it.events(AlertJoined) if each.firing] == ["gitlab:shop/orders@main"]


async def test_a_newer_pipeline_that_waits_takes_the_place_of_the_older_one(gitlab: GitLab, tmp_path: Path) -> None:
    lines = [await gitlab.finished(start()) for start in (gitlab.release_small, gitlab.release_with_migration)]
    async with desk(tmp_path) as it:
        for each in gitlab.hooks.deliveries:
            await it.receive(*read(json.loads(each.body)))
        assert len(await it.events(IncidentOpened)) == 2
        [entry] = [it.index.find(one) for one in read(json.loads(gitlab.hooks.deliveries[-1].body)) if one.firing]
        assert entry is not None
        assert (entry.fingerprints, len(it.index)) == ({f"gitlab:shop/orders#{lines[1].id}:deployment"}, 1)


# --- which status is what


@pytest.mark.parametrize(
    ("status", "alerts"),
    [
        ("failed", [("GitLabPipelineFailed", True), ("DeploymentWaiting", False)]),
        ("success", [("GitLabPipelineFailed", False), ("DeploymentWaiting", False)]),
        ("canceled", [("DeploymentWaiting", False)]),
        ("skipped", [("DeploymentWaiting", False)]),
        ("manual", [("GitLabPipelineFailed", False), ("DeploymentWaiting", True)]),
        *(
            (each, [])
            for each in ("created", "waiting_for_resource", "preparing", "pending", "running", "scheduled", "new")
        ),
    ],
)
def test_a_pipelines_status_is_what_it_means(status: str, alerts: list[tuple[str, bool]]) -> None:
    assert [(one.name, one.firing) for one in read(event(status))] == alerts


def test_what_waits_names_the_job_that_a_person_would_play_and_where_it_deploys() -> None:
    [_, one] = read(event())
    assert dict(one.labels) == {
        "alertname": "DeploymentWaiting", "project": "shop/orders", "pipeline": "42", "ref": "main", "sha": "c" * 40,
        "status": "manual", "source": "push", "job": "deploy-canary", "job_id": "2", "environment": "production/canary",
    }  # fmt: skip
    assert (one.severity, one.replaces, one.group) == (Severity.INFO, True, "gitlab:shop/orders@main:deployment")
    assert one.summary == "Pipeline #42 of shop/orders (main) waits to deploy to production/canary"
    assert one.description == "Job deploy-canary. The last commit: Wait longer."
    assert one.starts_at.isoformat() == "2026-03-10T12:00:00+00:00"
    both = [*BUILDS[:2], build(4, "deploy-production", "manual", "production"), build(3, "first", "manual", "staging")]
    [_, one] = read(event(builds=both))
    assert (one.labels["job"], one.target.environment) == ("deploy-production", "production"), (
        "the last that is no canary"
    )


@pytest.mark.parametrize(
    "waiting",
    [
        [],
        "none",
        [7, None],
        [build(1, "approve", "manual", manual=True)],
        [build(1, "stop", "manual", environment={"name": "production", "action": "stop"}, manual=True)],
        [build(1, "deploy", "manual", environment={"name": 7, "action": "start"}, manual=True)],
        [build(1, "deploy", "pending", "production", manual=False)],
    ],
)
def test_what_waits_for_something_else_is_no_deployment(waiting: Any) -> None:
    assert [one.name for one in read(event(builds=waiting))] == ["GitLabPipelineFailed"]
    assert [one.name for one in read(event("failed", builds=waiting))] == ["GitLabPipelineFailed"]


def test_a_pipeline_that_waits_resolves_only_where_nothing_in_it_has_failed() -> None:
    assert [one.name for one in read(event(builds=[*BUILDS, build(4, "lint", "failed")]))] == ["DeploymentWaiting"]
    tolerated = build(4, "lint", "failed", allow_failure=True)
    assert [one.name for one in read(event(builds=[*BUILDS, tolerated]))] == [
        "GitLabPipelineFailed",
        "DeploymentWaiting",
    ]


def test_a_merge_request_a_child_and_a_tag_say_nothing_of_the_branch_of_that_name() -> None:
    apart = [
        event("failed", [], **more)
        for more in ({}, {"source": "merge_request_event"}, {"source": "parent_pipeline"}, {"tag": True})
    ]
    assert len({read(each)[0].fingerprint for each in apart}) == 4
    assert read(event("failed", [], source="schedule"))[0].fingerprint == read(apart[0])[0].fingerprint


def test_a_failed_deployment_is_one_incident_with_its_pipeline_and_the_next_success_resolves_it() -> None:
    [failed], [well] = read(deployment()), read(deployment("success"))
    assert (failed.firing, well.firing, failed.fingerprint) == (True, False, well.fingerprint)
    assert failed.group == read(event("failed", []))[0].group
    assert failed.starts_at.isoformat() == "2026-03-10T10:00:00+00:00"
    assert failed.labels["job_id"] == "3"
    assert (failed.description, failed.url) == (
        "The commit: Wait longer.", "https://gitlab.acme.dev/shop/orders/-/jobs/3",
    )  # fmt: skip
    for status in ("created", "running", "canceled", "blocked", "skipped"):
        assert read(deployment(status)) == []


@pytest.mark.parametrize(
    "kind", ["build", "push", "tag_push", "merge_request", "note", "issue", "work_item", "release"]
)
def test_what_means_nothing_here_is_taken_all_the_same(kind: str) -> None:
    assert read({"object_kind": kind}) == []


# --- what is hostile


def test_secrets_and_hidden_characters_are_taken_out_of_every_part() -> None:
    jobs = [build(1, "hunter2\u202e", "failed", failure_reason="hunter2")]
    payload = event("failed", jobs, ref="hunter2", sha="hunter2", url="https://x/hunter2")
    [one] = read(payload)
    assert "hunter2" not in repr(one)
    assert "⟨U+202E⟩" in one.description
    assert "hunter2" not in repr(read(event(builds=[build(2, "hunter2", "manual", "hunter2")])))
    assert "hunter2" not in repr(read(deployment(environment="hunter2", commit_title="hunter2", ref="hunter2")))


@pytest.mark.parametrize("url", ["javascript:alert(1)", "ftp://x", 7, None])
def test_only_a_link_is_a_link(url: Any) -> None:
    assert read(event("failed", [], url=url))[0].url == ""
    assert read(deployment(deployable_url=url))[0].url == ""


def test_an_environment_with_an_at_sign_is_not_taken_for_another_place() -> None:
    assert read(deployment(environment="staging"))[0].target.environment == "staging"
    assert read(deployment(environment="x@environment:staging"))[0].target.environment == "production"
    [_, one] = read(event(builds=[build(2, "deploy", "manual", "x@environment:staging")]))
    assert one.target.environment == "production"


@pytest.mark.parametrize(
    ("said", "is_"),
    [
        ("2026-03-10 12:00:00 UTC", "2026-03-10T12:00:00+00:00"),
        ("2026-03-10 12:00:00 +0200", "2026-03-10T10:00:00+00:00"),
        ("2026-03-10T12:00:00.123Z", "2026-03-10T12:00:00.123000+00:00"),
        ("2026-03-10 12:00:00", "2026-03-10T12:00:00+00:00"),
    ],
)
def test_gitlabs_times_are_read_however_it_writes_them(said: str, is_: str) -> None:
    assert read(deployment(status_changed_at=said))[0].starts_at.isoformat() == is_


@pytest.mark.parametrize("said", [None, 7, "", "soon", "0001-01-01 00:00:00 +2359", "9999-12-31 23:59:59 -2359"])
def test_a_time_that_is_none_is_now(said: Any) -> None:
    assert abs((read(deployment(status_changed_at=said))[0].starts_at - datetime.now(UTC)).total_seconds()) < 60


def test_an_endless_ref_is_cut_and_still_one_problem() -> None:
    one, again = (read(event("failed", [], ref="x" * 5000))[0] for _ in range(2))
    assert len(one.fingerprint) <= 128
    assert one.fingerprint == again.fingerprint
    assert "ref had 5000 characters" in one.description


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (None, "body"),
        ([], "body"),
        ({}, "object_kind"),
        ({"object_kind": 7}, "object_kind"),
        ({"object_kind": ["pipeline"]}, "object_kind"),
        ({"object_kind": "party"}, "object_kind"),
        ({"object_kind": "pipeline"}, "object_attributes"),
        (event() | {"project": 7}, "project"),
        (event() | {"project": {}}, "project.path_with_namespace"),
        (event() | {"project": {"path_with_namespace": "shop/a@b"}}, "project.path_with_namespace"),
        (event() | {"project": {"path_with_namespace": "shop/hunter2"}}, "project.path_with_namespace"),
        (event(id="42"), "object_attributes.id"),
        (event(id=True), "object_attributes.id"),
        (event(id=0), "object_attributes.id"),
        (event(status=None), "object_attributes.status"),  # type: ignore[arg-type]
        (event(ref=" "), "object_attributes.ref"),
        (deployment(status=1), "status"),  # type: ignore[arg-type]
        (deployment(environment=None), "environment"),
        (deployment(ref=None), "ref"),
    ],
)
def test_a_wrong_field_is_named(payload: Any, field: str) -> None:
    with pytest.raises(BadInput) as error:
        read(payload)
    assert error.value.field == field


STATUS = st.sampled_from(["failed", "success", "manual", "canceled", "running"])
PLACES = st.fixed_dictionaries(
    {"name": st.text() | JSON}, optional={"action": st.sampled_from(["start", "stop"]) | JSON}
)
JOBS = st.fixed_dictionaries(
    {}, optional={"id": JSON, "name": st.text() | JSON, "status": STATUS | JSON, "manual": st.booleans() | JSON,
                  "allow_failure": JSON, "failure_reason": JSON, "environment": PLACES | JSON},
)  # fmt: skip
ATTRIBUTES = st.fixed_dictionaries(
    {"id": st.integers(1, 99) | JSON, "status": STATUS | JSON, "ref": st.text(min_size=1) | JSON},
    optional={
        "sha": JSON,
        "source": JSON,
        "tag": JSON,
        "created_at": st.text() | JSON,
        "finished_at": JSON,
        "url": JSON,
    },
)
PROJECT = st.just({"path_with_namespace": "shop/orders"}) | st.fixed_dictionaries(
    {"path_with_namespace": st.text() | JSON}
)
PIPELINES = st.fixed_dictionaries(
    {"object_kind": st.just("pipeline"), "object_attributes": ATTRIBUTES | JSON, "project": PROJECT | JSON},
    optional={"builds": st.lists(JOBS | JSON, max_size=5) | JSON, "commit": JSON},
)
DEPLOYMENTS = st.fixed_dictionaries(
    {"object_kind": st.just("deployment"), "status": STATUS | JSON, "project": PROJECT,
     "environment": st.text(min_size=1) | JSON, "ref": st.text(min_size=1) | JSON},
    optional={"status_changed_at": st.text() | JSON, "deployable_url": JSON, "short_sha": JSON, "commit_title": JSON,
              "deployable_id": JSON, "deployment_id": JSON},
)  # fmt: skip


@given(payload=PIPELINES | DEPLOYMENTS)
def test_any_pipeline_and_deployment_is_alerts_that_the_journal_can_hold_or_bad_input(payload: Any) -> None:
    alerts, _ = taken(lambda: read(payload))
    for one in alerts:
        assert canonical(encode(one))
        assert one.target.key.startswith("gitlab/shop/GitLabProject/")
        assert one.url == "" or one.url.startswith("http")


# --- how a request shows that it may


@pytest.mark.parametrize(
    ("headers", "shown"),
    [
        ({"x-gitlab-token": "abc"}, "abc"),
        ({"x-gitlab-token": "abc", "authorization": "Bearer x"}, "abc"),
        ({"authorization": "Bearer abc"}, "abc"),
        ({"x-gitlab-token": ""}, ""),
        ({}, ""),
    ],
)
def test_a_secret_is_gitlabs_token_or_a_bearer_token(headers: dict[str, str], shown: str) -> None:
    assert secret_token(headers) == shown
