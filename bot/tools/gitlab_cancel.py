"""gitlab_cancel_pipeline: what of a pipeline runs or waits is stopped. The first press of the button; nothing is forced."""

from __future__ import annotations

import asyncio
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
    pipeline,
    target_of,
)
from bot.tools.observed import moved_since
from bot.tools.spec import Arguments, WriteTool
from domain.actions import Action, Effect, Target
from domain.decisions import Check
from domain.errors import TargetMoved, ToolError
from domain.ports import Preview, Probe

PROBE_SECONDS = 120
RUNS = ("running", "canceling")
_NO_UNDO = "a canceled job does not go on; gitlab_retry_pipeline runs it again from its beginning"
_IDLE = (*OVER, "manual")
_STOPPED = ("canceled", "canceling")


@dataclass(frozen=True)
class Active:
    """A pipeline that is not over, and its jobs that run or wait."""

    line: Line
    jobs: tuple[Job, ...]

    @property
    def observed(self) -> dict[str, Any]:
        """What an approval is bound to: the pipeline, while it runs, and which of its deployments are under way.

        Not every job's state: tests begin and end all the time, and stopping them is what is wanted. A deployment that is
        stopped half-way is another matter.
        """
        under_way = [f"{job.name} to {self.line.deploys[job.id]}" for job in self.deploying]
        stopped = [job.id for job in self.line.jobs if job.status in _STOPPED]
        return {"sha": self.line.sha, "active": True, "deploying": under_way, "canceled": stopped}

    @property
    def deploying(self) -> tuple[Job, ...]:
        return tuple(job for job in self.jobs if job.id in self.line.deploys and job.status in RUNS)


def cancel_tool(client: GitLabClient, environment: Environment) -> WriteTool:
    """The tool for one GitLab."""

    def about(arguments: Arguments) -> Target:
        return target_of(arguments["project"], environment)

    async def preview(arguments: Arguments) -> Preview:
        return _preview(await active(client, environment, arguments))

    async def execute(action: Action, key: str) -> str:
        return await _execute(client, environment, action)

    async def arrived(action: Action, key: str) -> bool | None:
        return await _arrived(client, action)

    async def probe(action: Action) -> Probe:
        return await _probe(client, action)

    return WriteTool(
        "gitlab_cancel_pipeline",
        "Cancel what of a GitLab pipeline runs or waits. What its jobs did by then stays done.",
        Effect.WRITE,
        given.Pipeline,
        about,
        preview,
        execute,
        arrived,
        probe,
        PROBE_SECONDS,
    )


async def active(client: GitLabClient, environment: Environment, arguments: Arguments) -> Active:
    """The pipeline, where something of it runs or waits. Raises ToolError where nothing does."""
    project, number = arguments["project"], arguments["pipeline"]
    line = await pipeline(client, project, number)
    found = tuple(job for job in line.jobs if job.status not in _IDLE)
    if line.status in OVER or not found:
        raise ToolError(f"Pipeline {number} of {project} does not run: it is {line.status}.")
    running = Active(line, found)
    check_environments(project, environment, (line.deploys[job.id] for job in found if job.id in line.deploys))
    return running


def _preview(running: Active) -> Preview:
    line = running.line
    lines = [f"POST {project_path(line.project)}/pipelines/{line.id}/cancel"]
    lines += [f"- {line.shown(job)}" for job in running.jobs]
    lines += [f"# {line.standing}", "# what its jobs did by then stays done", f"# no undo: {_NO_UNDO}"]
    lines += [
        f"# {job.name} is deploying to {line.deploys[job.id]}: it stops half-way, in whatever state that leaves"
        for job in running.deploying
    ]
    return Preview(
        observed=running.observed,
        diff="\n".join(lines),
        touches=len(running.jobs),
        facts={"no_undo": _NO_UNDO},
    )


async def _execute(client: GitLabClient, environment: Environment, action: Action) -> str:
    project, number = action.arguments["project"], action.arguments["pipeline"]
    try:
        running = await active(client, environment, action.arguments)
    except ToolError as error:
        if error.retryable:
            raise
        raise TargetMoved(f"{error} Nothing was done.") from error
    if moved := moved_since(action.observed, running.observed):
        raise TargetMoved(
            f"Pipeline {number} of {project} changed since it was looked at ({moved}), so nothing was done."
        )
    await client.post(
        f"{project_path(project)}/pipelines/{number}/cancel", doing=f"cancel pipeline {number} of {project}"
    )
    return f"Asked GitLab to cancel pipeline {number} of {project}."


async def _arrived(client: GitLabClient, action: Action) -> bool | None:
    """Whether it was canceled; by whom GitLab does not say. It cancels while it is asked, so that some seconds suffice."""
    project, number = action.arguments["project"], action.arguments["pipeline"]
    deadline = asyncio.get_running_loop().time() + client.settle_s
    while True:
        if _stopped(await jobs(client, project, number), action):
            return True
        if asyncio.get_running_loop().time() >= deadline:
            return False  # and of one that is over by itself nothing can be canceled any more
        await asyncio.sleep(LOOK_EVERY)


async def _probe(client: GitLabClient, action: Action) -> Probe:
    """Until nothing of it runs. A pipeline of which a job had failed is called failed, also after it was canceled."""
    project, number = action.arguments["project"], action.arguments["pipeline"]
    line = await pipeline(client, project, number)
    runs = [f"{job.name} {job.status}" for job in line.jobs if job.status not in _IDLE]
    if runs:
        return Probe((Check("canceled", passed=False, detail=f"still at it: {', '.join(runs[:5])}"),))
    if stopped := _stopped(line.jobs, action):
        return Probe((Check("canceled", passed=True, detail=f"stopped: {', '.join(stopped[:5])}"),))
    said = f"it ended {line.status} before it could be canceled"
    return Probe((Check("canceled", passed=False, detail=said),), settled=True)


def _stopped(now: tuple[Job, ...], action: Action) -> list[str]:
    """The jobs that were canceled since it was looked at."""
    return [job.name for job in now if job.status in _STOPPED and job.id not in action.observed["canceled"]]
