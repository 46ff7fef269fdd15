"""What GitLab's API answers -> plain facts: pipelines, jobs, stages, tests, commits, deployments. Pure; nothing need be there.

Fields that mean the same as a Jenkins build's are called alike: one diagnosis reads both. `status` is GitLab's own word.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bot.tools.ci_logs import shortened

Obj = Mapping[str, Any]

GREEN, FAILED = ("success", "manual"), "failed"
"""A pipeline that waits for a person is green as far as it went: a failed job would have made it failed."""

ACTIVE = frozenset(
    {
        "created",
        "waiting_for_resource",
        "preparing",
        "waiting_for_callback",
        "pending",
        "running",
        "canceling",
        "scheduled",
    }
)
RESULTS = {"success": "SUCCESS", "failed": "FAILURE", "canceled": "ABORTED", "skipped": "NOT_BUILT"}
STAGES = {
    "success": "SUCCESS", "failed": "FAILED", "canceled": "ABORTED", "skipped": "NOT_EXECUTED",
    "manual": "PAUSED_PENDING_INPUT",
}  # fmt: skip
"""Jenkins' words for how a build and a stage ended. What is not over has no result, and a stage of it is IN_PROGRESS."""

MACHINERY = frozenset(
    {
        *("runner_system_failure", "runner_unsupported", "stuck_or_timeout_failure", "no_matching_runner"),
        *("scheduler_failure", "api_failure", "data_integrity_failure", "unmet_prerequisites", "ci_quota_exceeded"),
        *("stale_schedule", "environment_creation_failure", "runner_provisioning_timeout", "server_failure"),
    }
)
"""Reasons of a failed job that say nothing of the code."""

MOST_COMMITS, MOST_TESTS, MOST_JOBS, MOST_SUITES = 20, 50, 100, 20
NOBODY = "0" * 40
"""The commit before a branch's first one."""


def pipeline_facts(raw: Obj) -> dict[str, Any]:
    """One pipeline, as it is listed or whole: a list tells neither who began it nor how long it took."""
    status, sha, ref = text(raw.get("status")), text(raw.get("sha")), text(raw.get("ref"), 255)
    user = _part(raw, "user")
    return {
        "number": number(raw.get("id")),
        "iid": number(raw.get("iid")),
        "status": status,
        "result": "" if status in ACTIVE else RESULTS.get(status, status.upper()),
        "building": status in ACTIVE,
        "source": text(raw.get("source"), 40),
        "sha": sha,
        "ref": ref,
        "started": moment(raw.get("started_at")) or moment(raw.get("created_at")),
        "finished": moment(raw.get("finished_at")),
        "duration_ms": milliseconds(raw.get("duration")),
        "url": text(raw.get("web_url"), 500),
        "agent": "",
        "causes": [_cause(text(raw.get("source"), 40), user)],
        "parameters": {},
        "revision": {"commit": sha, "branch": ref},
        "changes": [],
        "tests": None,
    }


def _cause(source: str, user: Obj) -> dict[str, str]:
    name, login = text(user.get("name"), 100), text(user.get("username"), 100)
    said = f"{source.replace('_', ' ') or 'started'}{' by ' + name if name else ''}"
    return {"text": said, "user": login} if login else {"text": said}


# --- commits ---------------------------------------------------------------------------------------------------------------


def commit_facts(raw: Obj) -> dict[str, Any]:
    """One commit. Its files are told by a comparison only."""
    return {
        "commit": text(raw.get("id")),
        "message": text(raw.get("title"), 200),
        "author": text(raw.get("author_name"), 100),
        "at": moment(raw.get("committed_date")),
        "paths": [],
    }


def came_in(commits: Iterable[Obj], heads: Sequence[tuple[int, str]]) -> dict[int, list[dict[str, Any]]]:
    """What came in with each pipeline: the ancestors of its commit that no earlier one had.

    `commits` as GitLab lists them, newest first; `heads` are the pipelines' numbers and commits, oldest first.
    """
    left = {text(each.get("id")): each for each in reversed(list(commits))}
    found: dict[int, list[dict[str, Any]]] = {}
    for line, head in heads:
        reached = _ancestors(left, head)
        found[line] = [commit_facts(left[sha]) for sha in left if sha in reached][-MOST_COMMITS:]
        left = {sha: each for sha, each in left.items() if sha not in reached}
    return found


def _ancestors(commits: Mapping[str, Obj], head: str) -> set[str]:
    waiting, reached = [head], set[str]()
    while waiting:
        sha = waiting.pop()
        if sha in commits and sha not in reached:
            reached.add(sha)
            parents = commits[sha].get("parent_ids")
            waiting += [each for each in parents if isinstance(each, str)] if isinstance(parents, list) else []
    return reached


# --- jobs ------------------------------------------------------------------------------------------------------------------


def job_facts(raw: Obj, attempts: int = 1) -> dict[str, Any]:
    """One job, or a job that only starts another pipeline (which GitLab calls a bridge)."""
    runner = _part(raw, "runner")
    below = raw.get("downstream_pipeline")
    return {
        "id": number(raw.get("id")),
        "name": text(raw.get("name"), 255),
        "stage": text(raw.get("stage"), 255),
        "status": text(raw.get("status")),
        "failure_reason": text(raw.get("failure_reason"), 60),
        "allow_failure": raw.get("allow_failure") is True,
        "manual": raw.get("status") == "manual",
        "attempts": attempts,
        "environment": "",
        "runner": text(runner.get("description"), 100),
        "started": moment(raw.get("started_at")),
        "finished": moment(raw.get("finished_at")),
        "duration_ms": milliseconds(raw.get("duration")),
        "url": text(raw.get("web_url"), 500),
        "downstream": pipeline_facts(below)["url"] if isinstance(below, Mapping) else "",
    }


def latest_jobs(listed: Iterable[Obj]) -> list[dict[str, Any]]:
    """The jobs that count, each with how often it was tried, in the order in which the pipeline has them."""
    tries: dict[str, list[Obj]] = {}
    for each in sorted(listed, key=lambda one: number(one.get("id"))):
        tries.setdefault(text(each.get("name"), 255), []).append(each)
    return [job_facts(attempts[-1], len(attempts)) for attempts in tries.values()][:MOST_JOBS]


def stages(jobs: Iterable[Obj]) -> list[dict[str, Any]]:
    """The stages, in order, as their jobs come to."""
    by_stage: dict[str, list[Obj]] = {}
    for each in jobs:
        by_stage.setdefault(each["stage"], []).append(each)
    return [
        {"id": name, "name": name, "status": _stage(found), "ms": max(each["duration_ms"] for each in found)}
        for name, found in by_stage.items()
    ]


def _stage(jobs: list[Obj]) -> str:
    """The gravest of its jobs' words; a job that may fail does not count where it did."""
    statuses = {"success" if each["status"] == FAILED and each["allow_failure"] else each["status"] for each in jobs}
    if FAILED in statuses:
        return STAGES[FAILED]
    if statuses & ACTIVE:
        return "IN_PROGRESS"
    return next((STAGES[status] for status in ("canceled", "success", "manual", "skipped") if status in statuses), "")


def failing_job(jobs: Iterable[Obj]) -> Obj | None:
    """The job at fault: of those that failed and were not allowed to, the one that was over first."""
    failed = [each for each in jobs if each["status"] == FAILED and not each["allow_failure"]]
    return min(failed, key=lambda each: (each["finished"] or "9", each["id"]), default=None)


def runner_state(raw: Iterable[Obj], job: int) -> dict[str, Any]:
    """Whether the runner of a job is there now, empty where GitLab does not say."""
    for each in raw:
        runner = each.get("runner")
        if number(each.get("id")) == job and isinstance(runner, Mapping) and isinstance(runner.get("online"), bool):
            name, status = text(runner.get("description"), 100), text(runner.get("status"), 40)
            return {"name": name, "offline": not runner["online"], "reason": status.replace("_", " ")}
    return {}


# --- tests -----------------------------------------------------------------------------------------------------------------


def test_facts(raw: Any) -> dict[str, Any] | None:
    """A test report or its summary: counts, suites (one per job), the failed tests. None where no job reported any."""
    report = raw if isinstance(raw, Mapping) else {}
    suites = [each for each in objects(report.get("test_suites")) if number(each.get("total_count"))]
    failing = [case for suite in suites for case in _failed_cases(suite)]
    if not suites:
        return None
    failed = sum(number(suite.get("failed_count")) + number(suite.get("error_count")) for suite in suites)
    return {
        "total": sum(number(suite.get("total_count")) for suite in suites),
        "failed": failed,
        "passed": sum(number(suite.get("success_count")) for suite in suites),
        "skipped": sum(number(suite.get("skipped_count")) for suite in suites),
        "suites": _suites(suites),
        "failing": failing[:MOST_TESTS],
    }


def _suites(suites: Iterable[Obj]) -> list[dict[str, Any]]:
    return [
        {
            "name": text(suite.get("name"), 255),
            "total": number(suite.get("total_count")),
            "failed": number(suite.get("failed_count")) + number(suite.get("error_count")),
        }
        for suite in suites
    ][:MOST_SUITES]


def _failed_cases(suite: Obj) -> list[dict[str, Any]]:
    """Of a suite the tests that failed. `age` and `since` are for who knows the pipelines before."""
    found = []
    for case in objects(suite.get("test_cases")):
        if case.get("status") in ("failed", "error"):
            counted = _part(case, "recent_failures")
            found.append(
                {
                    "test": ".".join(filter(None, (text(case.get("classname"), 300), text(case.get("name"), 300)))),
                    "suite": text(suite.get("name"), 255),
                    "age": 0,
                    "since": 0,
                    "details": shortened(" ".join(_whole(case, "system_output").split()), 300),
                    "recent_failures": number(counted.get("count")),
                    "recent_branch": text(counted.get("base_branch"), 255),
                }
            )
    return found


# --- deployments -----------------------------------------------------------------------------------------------------------


def deployment_facts(raw: Obj) -> dict[str, Any]:
    """One deployment: where, of what, and by which job; 0 where something outside GitLab CI reported it."""
    place, job = _part(raw, "environment"), _part(raw, "deployable")
    line = _part(job, "pipeline")
    user = _part(raw, "user")
    return {
        "id": number(raw.get("id")),
        "environment": text(place.get("name"), 255),
        "tier": text(place.get("tier"), 40),
        "status": text(raw.get("status")),
        "sha": text(raw.get("sha")),
        "ref": text(raw.get("ref"), 255),
        "at": moment(job.get("finished_at")) or moment(raw.get("updated_at")),
        "user": text(user.get("username"), 100),
        "job": number(job.get("id")),
        "job_name": text(job.get("name"), 255),
        "pipeline": number(line.get("id")),
    }


def places(jobs: Sequence[Obj], deployments: Sequence[Obj], line: int) -> dict[int, str]:
    """Which environment each job deploys to, by id, as the deployments tell.

    A job that has none yet has the environment of its namesakes, where those agree.
    """
    own = {each["job"]: each["environment"] for each in deployments if each["pipeline"] == line and each["job"]}
    alike: dict[str, set[str]] = {}
    for each in deployments:
        alike.setdefault(each["job_name"], set()).add(each["environment"])
    names = {name: next(iter(found)) for name, found in alike.items() if name and len(found) == 1}
    found = {each["id"]: own.get(each["id"]) or names.get(each["name"], "") for each in jobs}
    return {job: place for job, place in found.items() if place}


# --- parts -----------------------------------------------------------------------------------------------------------------


def moment(value: Any) -> str:
    """ISO 8601 with any offset -> RFC 3339 in UTC, empty where there is none."""
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if found.tzinfo else ""
    except (TypeError, ValueError, OverflowError):
        return ""


def now_text() -> str:
    """When something was read."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def objects(value: Any) -> list[Obj]:
    """The objects of a list; anything else in it is left out."""
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list | tuple) else []


def _part(raw: Obj, name: str) -> Obj:
    """An object within another, empty where there is none."""
    found = raw.get(name)
    return found if isinstance(found, Mapping) else {}


def _whole(raw: Obj, name: str) -> str:
    found = raw.get(name)
    return found if isinstance(found, str) else ""


def text(value: Any, limit: int = 100) -> str:
    """A text of GitLab, empty where there is none. One that is longer than so many characters is cut between its words."""
    return shortened(value, limit) if isinstance(value, str) else ""


def number(value: Any) -> int:
    """An integer of GitLab; 0 where there is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53 else 0


def milliseconds(value: Any) -> int:
    """A duration in seconds, whole or not, as milliseconds."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10**9
    return int(value * 1000) if known else 0
