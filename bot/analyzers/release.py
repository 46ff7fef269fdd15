"""A deployment that waits for a person: what it would change, what its tests say, what is open, and the risk of all that."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.analyzers import risk
from bot.analyzers.fields import at, count, items, mapping, number, plural, sentence, short, text
from bot.analyzers.findings import finding
from bot.analyzers.pipelines import flakes
from bot.analyzers.reading import NOTHING, Read, Reading, cite
from bot.analyzers.scene import Scene
from domain.actions import Target
from domain.alerts import Alert
from domain.diagnosis import Evidence, Finding
from domain.releases import ASSESSED, is_canary

WAITING = "DeploymentWaiting"
"""The alert that GitLab's webhook makes of a pipeline in which a deployment waits."""

COMPARE, BUDGET, INCIDENTS = "gitlab_compare", "prometheus_error_budget", "incident_list"
_HEX = 12
_ASKED = re.compile(r"^\W*(?:please\s+)?(?:deploy|release|roll ?out|ship|promote)\b", re.IGNORECASE)
"""An order, and no question about a deployment: why did the release fail?"""


@dataclass(frozen=True)
class Release:
    """The pipeline and its branch's history, and what was read around it; NOTHING where a system is not set up."""

    pipeline: Reading
    history: Reading
    changes: Reading = NOTHING
    budget: Reading = NOTHING
    incidents: Reading = NOTHING

    def readings(self) -> tuple[tuple[str, Reading], ...]:
        """What was read beside the pipeline, where it had to be readable: an objective need not be set."""
        made = (("what the deployment would change", self.changes), ("the open incidents", self.incidents))
        return tuple((what, reading) for what, reading in made if reading is not NOTHING)


async def look_at_release(
    scenes: Iterable[Scene], alert: Alert | None, question: str, read: Read, offered: Collection[str]
) -> Release | None:
    """Read what the risk rests on; None where no deployment waits, and nobody asked for one."""
    scene = next((each for each in scenes if each.target.system == "gitlab"), None)
    if scene is None or not scene.build.ok or not _wanted(alert, question):
        return None
    project, pipeline = _project(scene.target), scene.build.data
    whole, canary = jobs(pipeline)
    known = deployed(pipeline, text(whole or canary, "environment"))
    sha = text(pipeline, "sha")
    changes, budget, incidents = await asyncio.gather(
        read(COMPARE, {"project": project, "from": known, "to": sha, "straight": True})
        if known and sha
        else _nothing(),
        read(BUDGET, {"service": project}) if BUDGET in offered else _nothing(),
        read(INCIDENTS, {}) if INCIDENTS in offered else _nothing(),
    )
    return Release(scene.build, scene.builds, changes, budget, incidents)


def _wanted(alert: Alert | None, question: str) -> bool:
    """Whether it is about a deployment: GitLab's webhook says that one waits, or a person asks for one."""
    if alert is None:
        return _ASKED.search(question) is not None
    return alert.name == WAITING and alert.source == "gitlab"


def jobs(pipeline: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The job that deploys everything and the one that deploys a canary, of those that wait; empty where there is none.

    A canary's environment says so in its name, as in production/canary. Of several others the last is the one: stages come in
    the order in which they are run. Where the pipeline lets the whole begin only after the canary, its turn has not come yet.
    """
    deploying = [job for job in items(pipeline, "jobs") if text(job, "environment")]
    waiting = [job for job in deploying if text(job, "status") == "manual"]
    canaries = [job for job in waiting if is_canary(text(job, "environment"))]
    wholes = [job for job in waiting if not is_canary(text(job, "environment"))]
    if canaries and not wholes:
        later = (job for job in deploying if text(job, "status") == "created")
        wholes = [job for job in later if not is_canary(text(job, "environment"))]
    return (wholes or [{}])[-1], (canaries or [{}])[0]


def deployed(pipeline: Any, environment: str) -> str:
    """The commit that an environment runs now, as its last successful deployment says; empty where none is known."""
    found = (each for each in items(pipeline, "environments") if text(each, "name") == environment)
    return next((text(each, "last", "sha") for each in found), "")


def analyze_release(release: Release | None, target: Target, calendar: Mapping[str, Any]) -> tuple[Finding, ...]:
    """The risk of a deployment that waits, with each factor and its evidence. What is proposed follows from policy."""
    if release is None:
        return ()
    pipeline = release.pipeline.data
    whole, canary = jobs(pipeline)
    if not whole and not canary:
        return ()
    cited = _Cited(release)
    factors = _factors(release, target, calendar, cited)
    score, sha = risk.total(factors), text(pipeline, "sha")
    to = text(whole or canary, "environment")
    return (
        finding(
            ASSESSED,
            target,
            f"{short(target.name, 30)} {sha[:_HEX]} to {short(to, 30)}, risk {score} of {risk.MOST}",
            "\n".join(_line(factor) for factor in sorted(factors, key=lambda each: -each.points)),
            [cited.pipeline, cited.changes, cited.history, cited.budget, cited.incidents],
            next_steps=_steps(factors),
            risk=score,
            commit=sha,
            whole=_play(target, whole),
            canary=_play(target, canary),
            canary_first=text(whole, "status") != "manual",
            factors=[[factor.name, factor.points, factor.most, factor.says] for factor in factors],
        ),
    )


class _Cited:
    """The evidence of each read, cited once."""

    def __init__(self, release: Release) -> None:
        pipeline, changes, budget = release.pipeline, release.changes, release.budget
        number_ = count(pipeline.data, "number")
        self.pipeline = cite(pipeline, f"pipeline {number_}", text(pipeline.data, "sha"))
        self.history = cite(release.history, "the branch's last pipelines")
        self.changes = cite(changes, "what the deployment would change", _changed(changes.data))
        self.budget = cite(budget, "the error budget", f"{text(budget.data, 'remaining') or 'not known'} % left")
        self.incidents = cite(release.incidents, "the open incidents")


def _factors(release: Release, target: Target, calendar: Mapping[str, Any], cited: _Cited) -> tuple[risk.Factor, ...]:
    return (
        *_of_changes(release.changes, _ids(cited.changes)),
        _of_tests(release, _ids(cited.pipeline, cited.history)),
        risk.moment(calendar),
        _of_incidents(release.incidents, target, _ids(cited.incidents)),
        _of_budget(release.budget, _ids(cited.budget)),
    )


def _of_changes(changes: Reading, evidence: tuple[str, ...]) -> tuple[risk.Factor, ...]:
    if not changes.ok:
        unknown = (
            "not known: nothing was deployed there yet" if changes is NOTHING else "not known: it could not be read"
        )
        return (
            risk.Factor("size", 20, 30, unknown, evidence),
            risk.Factor("kind", 10, 15, unknown, evidence),
            risk.Factor("migration", 15, 30, unknown, evidence),
        )
    shown = {
        text(each, "path"): text(each, "diff") for each in items(changes.data, "diffs") if each.get("cut") is not True
    }
    cut = {text(each, "path"): text(each, "diff") for each in items(changes.data, "diffs") if each.get("cut") is True}
    files = [
        risk.File(
            text(each, "path"),
            count(each, "added"),
            count(each, "removed"),
            cut.get(text(each, "path")) or shown.get(text(each, "path"), ""),
            whole=text(each, "path") in shown,
        )
        for each in items(changes.data, "files")
        if each.get("generated") is not True
    ]
    complete = at(changes.data, "complete") is not False
    return (
        risk.size(files, evidence, complete=complete),
        risk.kind(files, evidence),
        risk.migration(files, evidence),
    )


def _of_tests(release: Release, evidence: tuple[str, ...]) -> risk.Factor:
    tests = mapping(release.pipeline.data, "tests")
    ended = [
        each
        for each in items(release.history.data, "builds")
        if text(each, "result") in ("SUCCESS", "FAILURE", "MANUAL")
    ]
    red = [each for each in ended if text(each, "result") == "FAILURE"]
    known = flakes(release.history.data)
    return risk.history(count(tests, "total"), count(tests, "failed"), len(ended), len(red), len(known), evidence)


def _of_incidents(incidents: Reading, target: Target, evidence: tuple[str, ...]) -> risk.Factor:
    if not incidents.ok:
        return risk.Factor("incidents", 5, 20, "not known", evidence)
    others = [
        each
        for each in items(incidents.data, "incidents")
        if text(each, "environment") == target.environment and text(each, "system") != "gitlab"
    ]
    same = [text(each, "title") for each in others if text(each, "name") == target.name]
    return risk.incidents(same, len(others), evidence)


def _of_budget(budget: Reading, evidence: tuple[str, ...]) -> risk.Factor:
    said = text(budget.data, "remaining") if budget.ok else ""
    try:
        remaining = int(said)
    except ValueError:
        remaining = None
    return risk.error_budget(remaining, text(budget.data, "window") if budget.ok else "", evidence)


def _play(target: Target, job: Mapping[str, Any]) -> dict[str, Any] | None:
    """The call that starts a job."""
    if not job or number(job, "id") is None:
        return None
    return {"project": _project(target), "job": count(job, "id"), "environment": text(job, "environment")}


def _line(factor: risk.Factor) -> str:
    cited = f" ({', '.join(factor.evidence)})" if factor.evidence else ""
    return f"{sentence(factor.name)} {factor.points} of {factor.most}: {factor.says}{cited}"


def _steps(factors: Iterable[risk.Factor]) -> list[str]:
    """What would lower it: of the two heaviest factors that somebody can do something about."""
    said = {
        "size": "Release it in parts.",
        "migration": "Deploy the migration by itself, before the code that needs it.",
        "tests": "Mend the tests that fail, or fail now and then.",
        "time": "Wait for business hours.",
        "incidents": "Wait until the open incident is over.",
        "error budget": "Wait until the error budget has recovered.",
    }
    heavy = sorted((each for each in factors if each.points >= 10), key=lambda each: -each.points)
    return [said[each.name] for each in heavy if each.name in said][:2]


def _changed(data: Any) -> str:
    files, added, removed = (count(data, "totals", key) for key in ("files", "added", "removed"))
    return f"{plural(files, 'file')}, {added} lines added, {removed} removed"


def _ids(*groups: tuple[Evidence, ...]) -> tuple[str, ...]:
    return tuple(item.id for group in groups for item in group)


def _project(target: Target) -> str:
    return "/".join(part for part in (target.namespace, target.name) if part)


async def _nothing() -> Reading:
    return NOTHING
