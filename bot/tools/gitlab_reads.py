"""The GitLab tools that only look: a branch's pipelines with what came in since it was green, one pipeline, a comparison."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bot.tools import gitlab_arguments as given, gitlab_facts as facts, gitlab_render as render
from bot.tools.gitlab_client import GitLabClient, Pages, project_path
from bot.tools.gitlab_compare import read_compare
from bot.tools.gitlab_fetch import commits_between, maybe, project_json, test_report
from bot.tools.gitlab_look import target_of
from bot.tools.gitlab_pipeline import read_pipeline
from bot.tools.spec import Arguments, ReadTool
from domain.actions import Target

Environment = Callable[..., str]

MOST_WHOLE, MOST_REPORTS = 10, 8
"""How many pipelines are read one by one, and the test reports of how many failed and as many green ones."""


def read_tools(client: GitLabClient, environment: Environment) -> tuple[ReadTool, ...]:
    """Every read of one GitLab."""

    def about(arguments: Arguments) -> Target:
        return target_of(arguments["project"], environment)

    async def pipelines(arguments: Arguments) -> Any:
        return await read_pipelines(client, arguments)

    async def pipeline(arguments: Arguments) -> Any:
        return await read_pipeline(client, arguments)

    async def compare(arguments: Arguments) -> Any:
        return await read_compare(client, arguments)

    return (
        ReadTool(
            "gitlab_pipelines",
            "A GitLab project's recent pipelines on a branch (status, source, commit, who began it, commits) and every commit "
            "since it was last green.",
            given.Pipelines,
            about,
            pipelines,
            render.pipelines,
        ),
        ReadTool(
            "gitlab_pipeline",
            "Why a GitLab pipeline ended as it did: stages, jobs, the failing job and its log, failed tests and since when, "
            "commits, jobs that wait for a person, and what is deployed where its jobs deploy.",
            given.Pipeline,
            about,
            pipeline,
            render.pipeline,
        ),
        ReadTool(
            "gitlab_compare",
            "What lies between two commits, branches or tags of a GitLab project: commits, files, the beginning of each diff.",
            given.Compare,
            about,
            compare,
            render.compare,
        ),
    )


async def read_pipelines(client: GitLabClient, arguments: Arguments) -> dict[str, Any]:
    """A branch's recent pipelines, newest first, and the commits since its last green one."""
    project, limit = arguments["project"], arguments["limit"]
    about = await project_json(client, project)
    ref = arguments["ref"] or facts.text(about.get("default_branch"), 255)
    listed, green = await _listed(client, project, ref, limit + 1)
    lines = [facts.pipeline_facts(each) for each in listed]
    shown, before = lines[:limit], lines[limit:]
    commits, _, _ = await asyncio.gather(
        _commits(client, project, shown, [*before, *green]),
        asyncio.gather(*(_complete(client, project, each) for each in shown[:MOST_WHOLE])),
        _name_failed_tests(client, project, shown if arguments["failed_tests"] else []),
    )
    heads = [(each["number"], each["sha"]) for each in reversed(lines)]
    changes = facts.came_in(commits.items, heads)
    for each in shown:
        each["changes"] = changes[each["number"]]
    return {
        "project": project,
        "url": facts.text(about.get("web_url"), 500),
        "ref": ref,
        "default_branch": facts.text(about.get("default_branch"), 255),
        "buildable": about.get("archived") is not True,
        "waits": "",
        "parameters": [],
        "last_green": {"number": green[0]["number"], "commit": green[0]["sha"]} if green else None,
        "since_green": _since_green(shown, green, changes, complete=commits.complete and bool(green or not before)),
        "builds": shown,
        "jobs": [],
        "read_at": facts.now_text(),
    }


async def _listed(client: GitLabClient, project: str, ref: str, limit: int) -> tuple[list[Any], list[dict[str, Any]]]:
    """The newest pipelines of a ref, and the newest green one where there is any."""
    path, doing = f"{project_path(project)}/pipelines", f"list the pipelines of {project}"
    newest = {"ref": ref, "order_by": "id", "sort": "desc"}
    lines, *green = await asyncio.gather(
        client.pages(path, newest, doing=doing, size=limit),
        *(client.pages(path, {**newest, "status": status}, doing=doing, size=1) for status in facts.GREEN),
    )
    found = [facts.pipeline_facts(each) for page in green for each in facts.objects(page.items)]
    return facts.objects(lines.items), sorted(found, key=lambda each: -int(each["number"]))[:1]


async def _commits(
    client: GitLabClient, project: str, shown: list[dict[str, Any]], before: list[dict[str, Any]]
) -> Pages:
    """The commits of the pipelines shown, from the one before them or the last green one: whichever is older."""
    if not shown:
        return Pages((), complete=True)
    base = min([shown[-1], *before], key=lambda each: int(each["number"]))
    if base["sha"] == shown[0]["sha"]:
        return Pages((), complete=True)
    # of a branch that was pushed by force the earlier commits may be gone
    return await maybe(commits_between(client, project, base["sha"], shown[0]["sha"]))


async def _complete(client: GitLabClient, project: str, line: dict[str, Any]) -> None:
    """What a list leaves out of a pipeline: who began it, when it ran and how long."""
    number = line["number"]
    raw = await client.get(f"{project_path(project)}/pipelines/{number}", doing=f"read pipeline {number} of {project}")
    whole = facts.pipeline_facts(raw if isinstance(raw, dict) else {})
    line |= {key: whole[key] for key in ("started", "finished", "duration_ms", "causes")}


async def _name_failed_tests(client: GitLabClient, project: str, lines: list[dict[str, Any]]) -> None:
    """The failed tests of the newest failed pipelines, and the counts of green ones of the same commits.

    A test that failed in one and passed in the other at one commit is flaky, so both are needed.
    """
    failed = [each for each in lines if each["status"] == facts.FAILED][:MOST_REPORTS]
    commits = {each["sha"] for each in failed}
    green = [each for each in lines if each["status"] in facts.GREEN and each["sha"] in commits][:MOST_REPORTS]
    reports = await asyncio.gather(
        *(test_report(client, project, each["number"], whole=each in failed) for each in (*failed, *green))
    )
    for line, report in zip((*failed, *green), reports, strict=True):
        if report is not None:
            line["failed_tests"] = [case["test"] for case in report.pop("failing")]
            line["tests"] = report


def _since_green(
    shown: list[dict[str, Any]],
    green: list[dict[str, Any]],
    changes: dict[int, list[dict[str, Any]]],
    *,
    complete: bool,
) -> dict[str, Any]:
    """The commits of every pipeline after the last green one; `builds` counts those that are shown."""
    number = green[0]["number"] if green else 0
    later = [each for each in shown if each["number"] > number]
    commits = [{**each, "build": line} for line, found in changes.items() if line > number for each in found]
    return {"builds": len(later), "commits": commits, "complete": complete}
