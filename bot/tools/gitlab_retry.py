"""gitlab_retry_pipeline: the failed and canceled jobs of a pipeline once more, followed until the pipeline is over."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.tools import gitlab_write_arguments as given
from bot.tools.gitlab_client import GitLabClient, project_path
from bot.tools.gitlab_look import (
    LOOK_EVERY,
    OVER,
    Environment,
    Job,
    Line,
    check_environments,
    jobs,
    own_id,
    pipeline,
    target_of,
)
from bot.tools.observed import moved_since
from bot.tools.spec import Arguments, WriteTool
from domain.actions import Action, Effect, Target, Undo
from domain.decisions import Check
from domain.errors import TargetMoved, ToolError
from domain.ports import Preview, Probe

PROBE_SECONDS = 1800
_AGAIN = ("failed", "canceled")


@dataclass(frozen=True)
class Plan:
    """What would run again at once, and what GitLab takes up after it."""

    line: Line
    again: tuple[Job, ...]
    after: tuple[Job, ...]

    @property
    def observed(self) -> dict[str, Any]:
        """What an approval is bound to. Where something deploys, also that there is no newer pipeline: it would go back."""
        deploying = [f"{job.name} to {self.line.deploys[job.id]}" for job in self.all if job.id in self.line.deploys]
        return {
            "status": self.line.status,
            "sha": self.line.sha,
            "again": [job.line for job in self.again],
            "after": [job.line for job in self.after],
            "deploys": deploying,
            "newest": self.line.newest if deploying else 0,
        }

    @property
    def all(self) -> tuple[Job, ...]:
        return (*self.again, *self.after)


def retry_tool(client: GitLabClient, environment: Environment) -> WriteTool:
    """The tool for one GitLab."""

    def about(arguments: Arguments) -> Target:
        return target_of(arguments["project"], environment)

    async def preview(arguments: Arguments) -> Preview:
        return _preview(await plan(client, environment, arguments), arguments)

    async def execute(action: Action, key: str) -> str:
        return await _execute(client, environment, action)

    async def arrived(action: Action, key: str) -> bool | None:
        return await _arrived(client, action)

    async def probe(action: Action) -> Probe:
        return await _probe(client, action)

    return WriteTool(
        "gitlab_retry_pipeline",
        "Run the failed and canceled jobs of a GitLab pipeline again, on the same commit; what was skipped after them follows.",
        Effect.WRITE,
        given.Pipeline,
        about,
        preview,
        execute,
        arrived,
        probe,
        PROBE_SECONDS,
    )


async def plan(client: GitLabClient, environment: Environment, arguments: Arguments) -> Plan:
    """The pipeline looked at, and what would run. Raises ToolError where nothing would."""
    project, number = arguments["project"], arguments["pipeline"]
    line = await pipeline(client, project, number)
    again = tuple(job for job in line.jobs if job.status in _AGAIN)
    if not again:
        raise ToolError(
            f"Nothing of pipeline {number} of {project} is to be run again: it is {line.status}, and no job of it failed or "
            "was canceled."
        )
    if any(job.archived for job in again):
        raise ToolError(f"Pipeline {number} of {project} is archived: GitLab runs nothing of it again.")
    planned = Plan(line, again, tuple(job for job in line.jobs if job.status == "skipped"))
    check_environments(project, environment, (line.deploys[job.id] for job in planned.all if job.id in line.deploys))
    return planned


def _preview(planned: Plan, arguments: Arguments) -> Preview:
    line = planned.line
    lines = [f"POST {project_path(line.project)}/pipelines/{line.id}/retry"]
    lines += [f"+ {line.shown(job)}" for job in planned.again]
    if planned.after:
        lines += ["# and then, as their turn comes (a manual one waits for a person):"]
        lines += [f"+ {line.shown(job)}" for job in planned.after]
    lines += [
        f"# {line.standing}",
        "# GitLab takes no key with this: after a lost answer it is known only by who ran the jobs again",
    ]
    undo = Undo("gitlab_cancel_pipeline", dict(arguments), "stops what runs again; what it did by then stays done")
    return Preview(observed=planned.observed, diff="\n".join(lines), touches=len(planned.all), undo=undo)


async def _execute(client: GitLabClient, environment: Environment, action: Action) -> str:
    project, number = action.arguments["project"], action.arguments["pipeline"]
    try:
        planned = await plan(client, environment, action.arguments)
    except ToolError as error:
        if error.retryable:
            raise
        raise TargetMoved(f"{error} Nothing was done.") from error
    if moved := moved_since(action.observed, planned.observed):
        raise TargetMoved(
            f"Pipeline {number} of {project} changed since it was looked at ({moved}), so nothing was done."
        )
    await client.post(
        f"{project_path(project)}/pipelines/{number}/retry", doing=f"retry pipeline {number} of {project}"
    )
    names = ", ".join(job.name for job in planned.again[:5])
    more = f" and {len(planned.again) - 5} more" if len(planned.again) > 5 else ""
    return f"Asked for pipeline {number} of {project} again: {names}{more}."


async def _arrived(client: GitLabClient, action: Action) -> bool | None:
    """Whether the agent's own user has run jobs of it again. A slow GitLab gets some seconds."""
    project, number = action.arguments["project"], action.arguments["pipeline"]
    mine, deadline = await own_id(client), asyncio.get_running_loop().time() + client.settle_s
    while True:
        found = _fresh(await jobs(client, project, number), action.observed)
        if any(job.user == mine for job in found.values()):
            return True
        if asyncio.get_running_loop().time() >= deadline:
            return None if found else False  # somebody else did: ours may have been before, or found nothing left to do
        await asyncio.sleep(LOOK_EVERY)


async def _probe(client: GitLabClient, action: Action) -> Probe:
    """Until the pipeline is over: green is what was hoped for."""
    line = await pipeline(client, action.arguments["project"], action.arguments["pipeline"])
    found = _fresh(line.jobs, action.observed)
    missing = [name for name in _before(action.observed) if name not in found]
    said = (
        f"not yet: {', '.join(missing[:5])}"
        if missing
        else ", ".join(f"{job.name} {job.status}" for job in found.values())
    )
    again = Check("jobs ran again", passed=not missing, detail=said[:300])
    failed = [job.name for job in line.jobs if job.status == "failed"]
    why = f" with {', '.join(failed[:5])} failed" if failed and line.status == "failed" else ""
    waits = ", and waits for a manual job" if line.status == "manual" else ""
    good = line.status in ("success", "manual") and not missing
    green = Check("pipeline succeeded", passed=good, detail=f"pipeline {line.id} is {line.status}{why}{waits}")
    over = line.status in OVER and not missing and all(job.status in OVER for job in found.values())
    return Probe((again, green), settled=over and not good)


def _fresh(now: tuple[Job, ...], observed: Mapping[str, Any]) -> dict[str, Job]:
    """The runs of the jobs that were to run again that are newer than what was seen, by their names."""
    before = _before(observed)
    return {job.name: job for job in now if job.name in before and job.id > before[job.name]}


def _before(observed: Mapping[str, Any]) -> dict[str, int]:
    """The jobs that were to run again, by their names: the id that each had."""
    found = {}
    for line in observed["again"]:
        number, _, rest = line.partition(" ")
        found[rest.rpartition(" ")[0]] = int(number)
    return found
