"""One pipeline of GitLab: where and why it failed, what waits for a person, and what is deployed where its jobs deploy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from bot.tools import gitlab_facts as facts
from bot.tools.ci_logs import Failure, find_failure
from bot.tools.gitlab_client import GitLabClient, project_path
from bot.tools.gitlab_fetch import commits_between, deployments, last_deployment, maybe, project_json, test_report
from bot.tools.rest import Missing
from bot.tools.spec import Arguments
from domain.errors import ToolError

LARGEST_LOG = 8 << 20
"""Bytes of a log that are read. A runner keeps 4 MB of a log, unless it was told to keep more."""

MOST_BEFORE, MOST_PLACES, DEPLOYMENTS = 5, 6, 50
"""How many failed pipelines back a test is looked for; environments looked at; deployments read for what jobs deploy to."""


async def read_pipeline(client: GitLabClient, arguments: Arguments) -> dict[str, Any]:
    """One pipeline: what began it, what came in, its jobs, where and why it failed, and what its jobs would change."""
    project = arguments["project"]
    raw = await _found(client, project, arguments["pipeline"], arguments["ref"])
    line = facts.pipeline_facts(raw)
    path, failed = f"{project_path(project)}/pipelines/{line['number']}", line["status"] == facts.FAILED
    listed, below, before, report, deployed = await asyncio.gather(
        client.pages(
            f"{path}/jobs", {"include_retried": "true"}, doing=f"list the jobs of {_name(line, project)}", most=2
        ),
        maybe(client.pages(f"{path}/bridges", doing=f"list the downstream pipelines of {_name(line, project)}")),
        earlier(client, project, line),
        test_report(client, project, line["number"], whole=failed),
        deployments(client, project, {"order_by": "id", "sort": "desc"}, DEPLOYMENTS),
    )
    started = facts.objects(listed.items)
    jobs = facts.latest_jobs([*started, *facts.objects(below.items)])
    places = facts.places(jobs, deployed[0], line["number"])
    for each in jobs:
        each["environment"] = places.get(each["id"], "")
    culprit = facts.failing_job(jobs) if failed else None
    changes, failure, environments, _ = await asyncio.gather(
        _changes(client, project, raw, before),
        _failure(client, project, raw, culprit) if failed else _nothing(),
        _environments(client, project, jobs),
        _since(client, project, line, report, before),
    )
    return {
        "project": project,
        **line,
        "agent": culprit["runner"] if culprit else "",
        "changes": changes,
        "tests": report,
        "stages": facts.stages(jobs),
        "jobs": jobs,
        "jobs_complete": listed.complete and len(jobs) < facts.MOST_JOBS,
        "failure": failure,
        "waits": _waits(jobs) if line["building"] else "",
        "waits_for_person": [
            {key: each[key] for key in ("id", "name", "stage", "environment")} for each in jobs if each["manual"]
        ],
        "environments": environments,
        "deployments_seen": deployed[1],
        "agent_state": facts.runner_state(started, culprit["id"]) if culprit else {},
        "read_at": facts.now_text(),
    }


async def _found(client: GitLabClient, project: str, number: int, ref: str) -> Any:
    """The pipeline asked for, or the last one of a ref. Raises Missing with what may be wrong."""
    if number == 0:
        number = await _newest(client, project, ref)
    try:
        raw = await client.get(
            f"{project_path(project)}/pipelines/{number}", doing=f"read pipeline {number} of {project}"
        )
    except Missing as error:
        raise Missing(
            f"There is no pipeline {number} in {project}, or this agent may not see it. "
            "It goes by its id, which stands in its URL, and not by the project's own count of them."
        ) from error
    if not isinstance(raw, dict):
        raise ToolError(f"GitLab answered with something that is no pipeline, asked to read pipeline {number}.")
    return raw


async def _newest(client: GitLabClient, project: str, ref: str) -> int:
    """By the list, and not by /pipelines/latest: that knows only the pipelines of the ref's newest commit."""
    if not ref:
        ref = facts.text((await project_json(client, project)).get("default_branch"), 255)
    asked = {"ref": ref, "order_by": "id", "sort": "desc"}
    doing = f"list the pipelines of {project}"
    try:
        lines = await client.pages(f"{project_path(project)}/pipelines", asked, doing=doing, size=1)
    except Missing as error:
        raise Missing(f"There is no project {project} in GitLab, or this agent is no member of it.") from error
    found = [facts.number(each.get("id")) for each in facts.objects(lines.items)]
    if not found:
        raise Missing(f"{project} has no pipeline on {ref or 'its default branch'}.")
    return found[0]


# --- what was before -------------------------------------------------------------------------------------------------------


async def earlier(client: GitLabClient, project: str, line: dict[str, Any]) -> list[dict[str, Any]]:
    """The pipelines of its ref before a pipeline, newest first, as far as one page of the newest ones tells."""
    asked = {"ref": line["ref"], "order_by": "id", "sort": "desc"}
    doing = f"list the pipelines before {line['number']} of {project}"
    found = await client.pages(f"{project_path(project)}/pipelines", asked, doing=doing)
    lines = [facts.pipeline_facts(each) for each in facts.objects(found.items)]
    return [each for each in lines if each["number"] < line["number"]]


async def _changes(client: GitLabClient, project: str, raw: Any, before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The commits that came in with a pipeline: since the one before it, else since what was pushed upon, else its own."""
    sha, pushed = facts.text(raw.get("sha")), facts.text(raw.get("before_sha"))
    old = before[0]["sha"] if before else pushed
    if old == sha:
        return []
    known = bool(old) and old != facts.NOBODY
    found = await maybe(commits_between(client, project, old, sha, facts.MOST_COMMITS) if known else
                        commits_between(client, project, "", sha, 1))  # fmt: skip
    return [facts.commit_facts(each) for each in reversed(facts.objects(found.items))]


async def _since(
    client: GitLabClient, project: str, line: dict[str, Any], report: Any, before: list[dict[str, Any]]
) -> None:
    """Tell of each failed test since which pipeline it fails: of those just before this one that failed as well.

    Where that is not known, `since` is 0.
    """
    if report is None or not report["failing"] or not before:
        return
    over = [each for each in before if each["status"] in (*facts.GREEN, facts.FAILED)]
    reds = 0
    while reds < min(len(over), MOST_BEFORE) and over[reds]["status"] == facts.FAILED:
        reds += 1
    reports = await asyncio.gather(*(test_report(client, project, each["number"], whole=True) for each in over[:reds]))
    for case in report["failing"]:
        case |= {"since": line["number"], "age": 1}
        for each, older in zip(over, reports, strict=False):
            if older is None or case["test"] not in {one["test"] for one in older["failing"]}:
                if older is not None and older["failed"] > len(older["failing"]):
                    case |= {"since": 0, "age": 0}  # it may be among those that were not named
                break
            case |= {"since": each["number"], "age": case["age"] + 1}


# --- why it failed ---------------------------------------------------------------------------------------------------------


async def _failure(client: GitLabClient, project: str, raw: Any, culprit: facts.Obj | None) -> dict[str, Any]:
    """Where it failed: the job by GitLab, the words by its log. A pipeline without jobs failed on its configuration."""
    if culprit is None:
        return _told({}, facts.text(raw.get("yaml_errors"), 1000), "", None)
    if culprit["downstream"]:
        return _told(culprit, f"the pipeline that it started did not pass: {culprit['downstream']}", "", None)
    log, missing = await read_log(client, project, culprit["id"])
    words = await asyncio.to_thread(find_failure, log) if log else None
    return _told(culprit, missing, log, words)


async def read_log(client: GitLabClient, project: str, job: int) -> tuple[str, str]:
    """A job's log and, where there is none, why."""
    doing = f"read the log of job {job} of {project}"
    try:
        reply = await client.send("GET", f"{project_path(project)}/jobs/{job}/trace", doing=doing, at_most=LARGEST_LOG)
    except (
        ToolError
    ) as error:  # the job and its reason are known: a log that may not be read is no reason to know nothing
        return "", str(error)
    return reply.text, "" if reply.body else "the job has no log"


def _told(job: facts.Obj, missing: str, log: str, words: Failure | None) -> dict[str, Any]:
    size = len(log.encode())
    reason = job.get("failure_reason", "")
    blamed = reason.replace("_", " ") if reason in facts.MACHINERY else ""
    return {
        "stage": job.get("stage", ""),
        "step": job.get("name", ""),
        "job": job.get("id", 0),
        "reason": reason,
        "command": words.command if words else "",
        "error": (words.end if words else "") or missing or reason.replace("_", " "),
        "exit_code": words.exit_code if words else None,
        "errors": list(words.errors) if words else [],
        "tests": list(words.tests) if words else [],
        "excerpt": words.excerpt if words else "",
        "infrastructure": (words.infrastructure if words else "") or blamed,
        "log_bytes": size,
        "log_cut": bool(words and words.cut) or size >= LARGEST_LOG,
    }


def _waits(jobs: Iterable[facts.Obj]) -> str:
    """What a pipeline waits for that runs no job: a runner, or a resource that another job holds."""
    jobs = list(jobs)
    if any(each["status"] in ("running", "canceling", "preparing") for each in jobs):
        return ""
    words = {"pending": "a runner", "waiting_for_resource": "its resource group", "scheduled": "its time"}
    found = [f"{each['name']} waits for {words[each['status']]}" for each in jobs if each["status"] in words]
    return "; ".join(found[:3])


# --- what is deployed ------------------------------------------------------------------------------------------------------


async def _environments(client: GitLabClient, project: str, jobs: Iterable[facts.Obj]) -> list[dict[str, Any]]:
    """The environments that the pipeline's jobs deploy to, and what was last deployed there with success."""
    by_name: dict[str, list[facts.Obj]] = {}
    for each in jobs:
        if each["environment"]:
            by_name.setdefault(each["environment"], []).append(each)
    names = list(by_name)[:MOST_PLACES]
    found = await asyncio.gather(*(last_deployment(client, project, name) for name in names))
    return [
        {
            "name": name,
            "jobs": [{key: each[key] for key in ("id", "name", "status")} for each in by_name[name]],
            "last": last,
        }
        for name, last in zip(names, found, strict=True)
    ]


# --- parts -----------------------------------------------------------------------------------------------------------------


def _name(line: facts.Obj, project: str) -> str:
    return f"pipeline {line['number']} of {project}"


async def _nothing() -> None:
    return None
