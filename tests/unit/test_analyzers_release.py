"""The risk of a deployment that waits: of what GitLab, Prometheus and the journal say, each factor with its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from bot.analyzers import analyze
from bot.analyzers.reading import Reading
from domain.actions import Target
from domain.alerts import Alert, Severity
from domain.diagnosis import Finding

CHECKOUT = Target("gitlab", "production", "shop", "GitLabProject", "checkout")
HEAD, DEPLOYED = "c6d86dc654b12425e706bcf951adfe5a8627a517", "0123456789abcdef0123456789abcdef01234567"
ALERT = Alert(
    "gitlab:shop/checkout#42:deployment",
    firing=True,
    name="DeploymentWaiting",
    source="gitlab",
    starts_at=datetime(2026, 3, 10, 12, tzinfo=UTC),
    severity=Severity.INFO,
    labels={"pipeline": "42", "ref": "main"},
    target=CHECKOUT,
)
NOON = {"date": "2026-03-10", "weekday": 2, "hour": 12, "business": True, "frozen": False, "freezes": []}
ALL = ("gitlab_pipeline", "gitlab_pipelines", "gitlab_compare", "prometheus_error_budget", "incident_list")


def job(number: int, name: str, environment: str, status: str = "manual") -> dict[str, Any]:
    return {"id": number, "name": name, "stage": "deploy", "status": status, "environment": environment}


class World:
    """Answers the reads of a pipeline that waits, and remembers them."""

    def __init__(self, *jobs: dict[str, Any], **more: Any) -> None:
        last = {"sha": DEPLOYED, "status": "success", "pipeline": 40}
        names = dict.fromkeys(each["environment"] for each in jobs if each["environment"])
        self.answers: dict[str, Any] = {
            "gitlab_pipeline": {
                "number": 42, "status": "manual", "result": "MANUAL", "building": False, "sha": HEAD, "causes": [],
                "tests": {"total": 40, "failed": 0, "failing": []}, "jobs": list(jobs),
                "environments": [{"name": name, "jobs": [], "last": last} for name in names],
            },
            "gitlab_pipelines": {"builds": [{"number": 41, "result": "SUCCESS", "sha": DEPLOYED}]},
            "gitlab_compare": {
                "files": [{"path": "checkout/tax.py", "added": 12, "removed": 3}],
                "diffs": [{"path": "checkout/tax.py", "diff": "+rate = 19", "cut": False}],
                "totals": {"files": 1, "added": 12, "removed": 3}, "complete": True,
            },
            "prometheus_error_budget": {"remaining": "80", "window": "30d"},
            "incident_list": {"incidents": []},
        } | more  # fmt: skip
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    async def __call__(self, tool: str, arguments: Mapping[str, Any]) -> Reading:
        self.asked.append((tool, arguments))
        answer = self.answers[tool]
        if isinstance(answer, str):
            return Reading("", ok=False, error=answer)
        return Reading(f"E{len(self.asked)}", ok=True, data=answer)


BOTH = (job(11, "deploy-canary", "production/canary"), job(12, "deploy-production", "production"))


async def assessed(world: World, alert: Alert = ALERT, calendar: Mapping[str, Any] = NOON) -> list[Finding]:
    found = await analyze(CHECKOUT, alert, world, ALL, calendar)
    return [each for each in found if each.code == "release.risk"]


def points(found: Finding) -> dict[str, int]:
    return {name: number for name, number, _, _ in found.facts["factors"]}


async def test_a_small_change_at_noon_is_little_risk() -> None:
    [found] = await assessed(World(*BOTH))
    assert found.facts["risk"] == 5
    assert points(found) == {
        "size": 0, "kind": 5, "migration": 0, "tests": 0, "time": 0, "incidents": 0, "error budget": 0,
    }  # fmt: skip
    assert found.title == "checkout c6d86dc654b1 to production, risk 5 of 100"


async def test_every_factor_but_the_time_names_its_evidence() -> None:
    [found] = await assessed(World(*BOTH))
    for line in found.detail.splitlines():
        assert ("(E" in line) is (not line.startswith("Time")), line
    cited = {item.id for item in found.evidence}
    assert len(cited) == 5


async def test_what_would_change_is_what_lies_between_what_is_deployed_and_the_pipeline() -> None:
    world = World(*BOTH)
    await assessed(world)
    [asked] = [arguments for tool, arguments in world.asked if tool == "gitlab_compare"]
    assert asked == {"project": "shop/checkout", "from": DEPLOYED, "to": HEAD, "straight": True}


async def test_the_whole_and_the_canary_are_told_apart_by_their_environments() -> None:
    [found] = await assessed(World(*reversed(BOTH)))
    assert found.facts["whole"] == {"project": "shop/checkout", "job": 12, "environment": "production"}
    assert found.facts["canary"] == {"project": "shop/checkout", "job": 11, "environment": "production/canary"}
    assert found.facts["commit"] == HEAD
    [alone] = await assessed(World(BOTH[1]))
    assert alone.facts["canary"] is None


async def test_a_job_that_ran_already_or_deploys_nothing_is_not_asked_for() -> None:
    assert await assessed(World(job(12, "deploy-production", "production", "success"), job(13, "notify", ""))) == []


async def test_a_large_migration_at_night_during_an_incident_is_much_risk() -> None:
    changed = {
        "files": [
            {"path": "db/migrate/0042_regions.sql", "added": 3, "removed": 0},
            {"path": "checkout/tax.py", "added": 400, "removed": 20},
        ],
        "diffs": [
            {"path": "db/migrate/0042_regions.sql", "diff": "+ALTER TABLE carts DROP COLUMN country;", "cut": False}
        ],
        "complete": True,
    }
    opened = {
        "incidents": [
            {"title": "checkout is slow", "environment": "production", "system": "kubernetes", "name": "checkout"}
        ]
    }
    night = NOON | {"business": False, "hour": 23}
    [found] = await assessed(World(*BOTH, gitlab_compare=changed, incident_list=opened), calendar=night)
    assert points(found) == {
        "size": 20, "kind": 5, "migration": 30, "tests": 0, "time": 10, "incidents": 20, "error budget": 0,
    }  # fmt: skip
    assert found.facts["next_steps"] == [
        "Deploy the migration by itself, before the code that needs it.",
        "Release it in parts.",
    ]


async def test_a_migration_whose_diff_was_cut_may_hold_anything() -> None:
    changed = {
        "files": [{"path": "db/migrate/0042_regions.sql", "added": 900, "removed": 0}],
        "diffs": [{"path": "db/migrate/0042_regions.sql", "diff": "+CREATE TABLE regions (code text);", "cut": True}],
        "complete": True,
    }
    [found] = await assessed(World(*BOTH, gitlab_compare=changed))
    assert points(found)["migration"] == 30


@pytest.mark.parametrize("missing", ["gitlab_compare", "prometheus_error_budget", "incident_list"])
async def test_what_cannot_be_read_counts_and_is_never_nothing(missing: str) -> None:
    [known] = await assessed(World(*BOTH))
    [found] = await assessed(World(*BOTH, **{missing: "no answer within 5 s"}))
    assert found.facts["risk"] > known.facts["risk"]


async def test_without_an_earlier_deployment_nothing_is_known_of_the_size() -> None:
    world = World(*BOTH)
    for each in world.answers["gitlab_pipeline"]["environments"]:
        each["last"] = None
    [found] = await assessed(world)
    assert points(found)["size"] == 20
    assert "nothing was deployed there yet" in found.detail


@pytest.mark.parametrize(
    ("question", "assessed_"),
    [
        ("deploy gitlab shop/checkout", True),
        ("Please release https://gitlab.acme.dev/shop/checkout/-/pipelines/42", True),
        ("why did the deploy of gitlab shop/checkout fail?", False),
        ("what is wrong with gitlab shop/checkout", False),
        ("", False),
    ],
)
async def test_a_person_may_ask_for_a_deployment_and_only_an_order_is_one(question: str, assessed_: bool) -> None:
    found = await analyze(CHECKOUT, None, World(*BOTH), ALL, NOON, question)
    assert any(each.code == "release.risk" for each in found) is assessed_


@pytest.mark.parametrize(
    ("question", "number"),
    [
        ("release https://gitlab.acme.dev/shop/checkout/-/pipelines/41", 41),
        ("release <https://gitlab.acme.dev/shop/checkout/-/pipelines/41|this>", 41),
        ("release gitlab shop/checkout", 0),
        ("release https://g.dev/a/b/-/pipelines/41 or https://g.dev/a/b/-/pipelines/42", 0),
    ],
)
async def test_the_pipeline_that_a_link_names_is_the_one_that_is_looked_at(question: str, number: int) -> None:
    world = World(*BOTH)
    await analyze(CHECKOUT, None, world, ALL, NOON, question)
    [asked] = [arguments for tool, arguments in world.asked if tool == "gitlab_pipeline"]
    assert asked["pipeline"] == number


async def test_another_alert_assesses_nothing() -> None:
    failed = Alert(**{**vars(ALERT), "name": "GitLabPipelineFailed"})
    assert await assessed(World(*BOTH), failed) == []


async def test_an_alert_that_only_calls_itself_so_assesses_nothing() -> None:
    other = Alert(**{**vars(ALERT), "source": "generic"})
    assert await assessed(World(*BOTH), other) == []


async def test_the_deployment_itself_is_no_incident_that_speaks_against_it() -> None:
    opened = {"incidents": [{"title": "waits", "environment": "production", "system": "gitlab", "name": "checkout"}]}
    [found] = await assessed(World(*BOTH, incident_list=opened))
    assert points(found)["incidents"] == 0
