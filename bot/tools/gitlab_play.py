"""gitlab_play_job: a manual job is started, or a job that has ended runs again, which is how GitLab rolls a deployment back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.tools import gitlab_write_arguments as given
from bot.tools.gitlab_client import GitLabClient, project_path, told
from bot.tools.gitlab_look import (
    LOOK_EVERY,
    OVER,
    Deployment,
    Environment,
    Job,
    deployments,
    job_of,
    jobs,
    live,
    namesakes,
    newest_of,
    own_id,
    target_of,
    when,
)
from bot.tools.gitlab_write_arguments import KEY
from bot.tools.objectives import Watch
from bot.tools.objectives_file import LONGEST_WATCH
from bot.tools.observed import moved_since
from bot.tools.rest import Missing
from bot.tools.spec import Arguments, WriteTool
from domain.actions import Action, Effect, Target, Undo
from domain.decisions import Check
from domain.errors import TargetMoved, ToolError
from domain.ports import Preview, Probe
from domain.releases import PLAY, is_canary
from policies.redaction import Redactor

PROBE_SECONDS = 1800
_WAITS = ("manual", "scheduled")
_ENDED = ("success", "failed", "canceled")
_VARIABLES = (
    "query($project: ID!, $job: JobID!) "
    "{ project(fullPath: $project) { job(id: $job) { manualVariables { nodes { key value } } } } }"
)


@dataclass(frozen=True)
class Seen:
    """A job as it is now, and where it deploys to. `now` is what is deployed there, `others` what is being deployed.

    `newest` is the newest pipeline of the job's ref.
    """

    project: str
    job: Job
    environment: str
    now: Deployment | None
    others: tuple[Deployment, ...]
    newest: int

    @property
    def again(self) -> bool:
        """Whether it has run already: it runs again as a new job, and takes no variables."""
        return self.job.status in _ENDED

    @property
    def call(self) -> str:
        """The path that is posted to."""
        return f"{project_path(self.project)}/jobs/{self.job.id}/{'retry' if self.again else 'play'}"

    @property
    def observed(self) -> dict[str, Any]:
        """What an approval is bound to: the job and its commit; of a deployment also what is there, under way and newer."""
        there = f"{self.now.id} {self.now.sha}" if self.now else ""
        return {
            "job": self.job.line,
            "pipeline": self.job.pipeline,
            "sha": self.job.sha,
            "environment": self.environment,
            "deployed": there,
            "deploying": [f"{each.id} {each.sha}" for each in self.others],
            "newest": self.newest if self.environment else 0,
        }


def play_tool(client: GitLabClient, environment: Environment, watch: Watch | None = None) -> WriteTool:
    """The tool for one GitLab. `watch` looks how a deployment does once its job has ended."""

    def about(arguments: Arguments) -> Target:
        return target_of(arguments["project"], environment, arguments["environment"])

    async def preview(arguments: Arguments) -> Preview:
        return _preview(await plan(client, arguments), arguments, watch)

    async def execute(action: Action, key: str) -> str:
        return await _execute(client, action, key)

    async def arrived(action: Action, key: str) -> bool | None:
        return await _arrived(client, action, key)

    async def probe(action: Action) -> Probe:
        return await _probe(client, action, watch)

    return WriteTool(
        PLAY,
        "Start a manual GitLab job, such as a deployment, or run one that has ended again: an earlier deployment's job, run "
        "again, rolls back to it.",
        Effect.WRITE,
        given.Play,
        about,
        preview,
        execute,
        arrived,
        probe,
        PROBE_SECONDS + (LONGEST_WATCH if watch else 0),
    )


async def plan(client: GitLabClient, arguments: Arguments) -> Seen:
    """The job looked at. Raises ToolError where it cannot be started, or deploys elsewhere than policy was told."""
    project, named = arguments["project"], arguments["environment"]
    job = await _job(client, project, arguments["job"])
    what = f"{job.name} ({job.id}) of {project}"
    if job.archived:
        raise ToolError(f"{what} is archived: GitLab does not run it any more.")
    if job.status not in (*_WAITS, *_ENDED):
        why = {"skipped": "an earlier job failed", "created": "its turn has not come"}.get(
            job.status, "it is under way"
        )
        raise ToolError(f"{what} cannot be started: it is {job.status} ({why}).")
    made, newest = await asyncio.gather(deployments(client, project, job.created), newest_of(client, project, job.ref))
    real = await _place(client, project, job, made)
    if real != named:
        raise ToolError(
            f"{what} deploys to {real or 'no environment'}, and not to {named or 'none'}: give environment={real!r}, so that "
            "policy decides on what it acts on."
        )
    if hidden := Redactor().text("\n".join(f"{name}={value}" for name, value in arguments["variables"].items())).count:
        raise ToolError(
            f"{hidden} of the variables looks like a secret, which a card would not show: set it in GitLab's settings."
        )
    if job.status in _ENDED:
        await _check_again(client, project, job, arguments["variables"])
    others = [each for each in made if each.environment == real and each.status == "running"] if real else []
    there = await live(client, project, real) if real else None
    return Seen(project, job, real, there, tuple(others), newest)


async def _job(client: GitLabClient, project: str, number: int) -> Job:
    try:
        raw = await client.get(f"{project_path(project)}/jobs/{number}", doing=f"read job {number} of {project}")
    except Missing as error:
        raise Missing(f"There is no job {number} in {project}, or this agent may not see it.") from error
    return job_of(raw)


async def _place(client: GitLabClient, project: str, job: Job, made: Sequence[Deployment]) -> str:
    """Where the job deploys to, empty for nowhere. Raises ToolError where GitLab does not tell."""
    if own := next((each.environment for each in made if each.job == job.id), ""):
        return own
    if job.status != "canceled":
        return ""  # its turn has come, and with it its deployment would have
    alike = await namesakes(client, project)
    if alike.get(job.name) == "":
        raise ToolError(
            f"{job.name} ({job.id}) of {project} was canceled before GitLab knew where it deploys to, and its namesakes "
            "deploy to several environments: a person has to run it."
        )
    return alike.get(job.name, "")


async def _check_again(client: GitLabClient, project: str, job: Job, variables: Mapping[str, str]) -> None:
    if variables:
        raise ToolError(f"{job.name} ({job.id}) has run already: run again it takes no variables.")
    last = next((each for each in await jobs(client, project, job.pipeline) if each.name == job.name), job)
    if last.id != job.id:
        raise ToolError(f"{job.name} ({job.id}) was run again already, as job {last.id}, which is {last.status}.")


def _preview(seen: Seen, arguments: Arguments, watch: Watch | None) -> Preview:
    job = seen.job
    lines = [f"POST {seen.call}", *(f"+ {name}={value}" for name, value in arguments["variables"].items())]
    if not seen.again:
        lines.append(f"+ {KEY}=<the id of this execution>, where the project lets this agent set variables")
    lines += [f"# {job.name} of stage {job.stage}, pipeline {job.pipeline} of {job.ref}: {job.status}"]
    lines += _notes(seen)
    if seen.environment and not seen.again:
        watched = watch.words(seen.project) if watch else ""
        lines.append(f"# {watched or 'nobody watches how it does afterwards: no objective is set for this project'}")
    undo, why = _undo(seen)
    lines.append(f"# undo: {undo.note}" if undo else f"# no undo: {why}")
    facts = _release(seen) | ({"no_undo": why} if why else {})
    return Preview(observed=seen.observed, diff="\n".join(lines), touches=1, undo=undo, facts=facts)


def _release(seen: Seen) -> dict[str, Any]:
    """What policy may know of a deployment; nothing where it is none."""
    if not seen.environment:
        return {}
    return {
        "commit": seen.job.sha,
        "canary": is_canary(seen.environment),
        "deployed_before": seen.job.status == "success",
    }


def _notes(seen: Seen) -> list[str]:
    """What the card says of where it deploys to."""
    job, now, notes = seen.job, seen.now, []
    if not seen.environment:
        notes.append(
            f"# it runs at commit {job.sha[:12]}; GitLab has no deployment for it, as for what stops an environment"
        )
    else:
        notes.append(f"# deploys {job.sha[:12]} to {seen.environment}")
        if now:
            same = ", the same commit" if now.sha == job.sha else ""
            notes.append(f"# there now: {now.sha[:12]} of {now.ref}{same}, by {now.by or 'somebody'} at {now.updated}")
        else:
            notes.append("# nothing was deployed there before")
        notes += [f"# {each.sha[:12]} is being deployed there right now" for each in seen.others]
    if seen.newest > job.pipeline:
        notes.append(f"# a newer pipeline of {job.ref} is {seen.newest}; GitLab may refuse this one as outdated")
    if seen.again:
        notes.append("# it has run before; GitLab takes no key with this: it is known by who ran it again")
    return notes


def _undo(seen: Seen) -> tuple[Undo | None, str]:
    """The earlier deployment's job, run again; or why there is none."""
    now = seen.now
    if not seen.environment:
        return None, "GitLab takes nothing back of what a job did"
    if now is None or not now.job:
        return None, f"nothing is known in GitLab that deployed to {seen.environment} before and could run again"
    if now.sha == seen.job.sha:
        return None, f"{seen.environment} has the same commit already"
    arguments = {"project": seen.project, "job": now.job, "environment": seen.environment, "variables": {}}
    note = f"runs job {now.job} again, which deployed {now.sha[:12]}: this is how GitLab rolls back, where the project lets it"
    return Undo(PLAY, arguments, note), ""


async def _execute(client: GitLabClient, action: Action, key: str) -> str:
    project, variables = action.arguments["project"], action.arguments["variables"]
    try:
        seen = await plan(client, action.arguments)
    except ToolError as error:
        if error.retryable:
            raise
        raise TargetMoved(f"{error} Nothing was done.") from error
    what = f"{seen.job.name} ({seen.job.id}) of {project}"
    if moved := moved_since(action.observed, seen.observed):
        raise TargetMoved(f"{what} changed since it was looked at ({moved}), so nothing was done.")
    doing = f"{'run' if seen.again else 'play'} {what}{' again' if seen.again else ''}"
    body = {} if seen.again else _body({**variables, KEY: key})
    reply = await client.post(seen.call, body, doing=doing, allow=(400, 403))
    if reply.status == 403 and body and not variables:
        # perhaps it may set no variables: nothing was done, and it may go without the key
        reply = await client.post(seen.call, {}, doing=doing, allow=(400, 403))
    if reply.status == 400:
        raise TargetMoved(f"{what} can no longer be started, so nothing was done: {told(reply)}")
    if reply.status == 403:
        raise ToolError(f"GitLab does not let this agent {doing} (403): {told(reply)}. {_perhaps(seen, variables)}")
    to = f", which deploys {seen.job.sha[:12]} to {seen.environment}" if seen.environment else ""
    return f"Asked for {what}{to}."


def _body(variables: Mapping[str, str]) -> dict[str, Any]:
    return {"job_variables_attributes": [{"key": name, "value": value} for name, value in variables.items()]}


def _perhaps(seen: Seen, variables: Mapping[str, str]) -> str:
    """GitLab gives no reason with this refusal: these are the ones that there are."""
    causes = ["the agent's role in the project may be too low"]
    if seen.environment:
        causes += [
            f"the environment {seen.environment} may be protected",
            "a newer deployment to it may make this one outdated",
        ]
    if variables:
        causes.append("the project may not let this agent set variables")
    return f"GitLab does not say why: {', or '.join(causes)}."


async def _arrived(client: GitLabClient, action: Action, key: str) -> bool | None:
    """Whether the job shows the key; where variables are not shown, whether the agent's own user has started it."""
    again = action.observed["job"].rpartition(" ")[2] in _ENDED
    mine, deadline = await own_id(client), asyncio.get_running_loop().time() + client.settle_s
    while True:
        told_now = await (_ran_again(client, action, mine) if again else _played(client, action, key, mine))
        if told_now is not False or asyncio.get_running_loop().time() >= deadline:
            return told_now
        await asyncio.sleep(LOOK_EVERY)


async def _played(client: GitLabClient, action: Action, key: str, mine: int) -> bool | None:
    project, number = action.arguments["project"], action.arguments["job"]
    job = await _job(client, project, number)
    if job.status in _WAITS:
        return False
    left = await _variables(client, project, number)
    if left is not None and KEY in left:
        return True if left[KEY] == key else None  # another execution of this agent's was first
    return True if job.user == mine else None


async def _ran_again(client: GitLabClient, action: Action, mine: int) -> bool | None:
    fresh = await _fresh(client, action)
    return False if fresh is None else True if fresh.user == mine else None


async def _fresh(client: GitLabClient, action: Action) -> Job | None:
    """The run that came after the one that was to run again."""
    project, name = action.arguments["project"], action.observed["job"].partition(" ")[2].rpartition(" ")[0]
    found = await jobs(client, project, action.observed["pipeline"])
    return next((each for each in found if each.name == name and each.id > action.arguments["job"]), None)


async def _variables(client: GitLabClient, project: str, job: int) -> dict[str, str] | None:
    """The variables that a job was played with; None where this agent is not shown them."""
    asked = {"project": project, "job": f"gid://gitlab/Ci::Build/{job}"}
    try:
        data = await client.graphql(_VARIABLES, asked, doing=f"read the variables of job {job}")
    except ToolError as error:
        if error.retryable:
            raise
        return None
    shown = ((data.get("project") or {}).get("job") or {}).get("manualVariables")
    if not isinstance(shown, Mapping):
        return None
    return {
        str(each.get("key")): str(each.get("value")) for each in shown.get("nodes") or () if isinstance(each, Mapping)
    }


async def _probe(client: GitLabClient, action: Action, watch: Watch | None) -> Probe:
    """The job to its end; of a deployment that the environment has it, and then how it does for as long as it is watched."""
    project, number, environment = (action.arguments[name] for name in ("project", "job", "environment"))
    again = action.observed["job"].rpartition(" ")[2] in _ENDED
    job = await (_fresh(client, action) if again else _job(client, project, number))
    if job is None or job.status in _WAITS:
        return Probe((Check("job started", passed=False, detail="it has not been started"),))
    started = Check("job started", passed=True, detail=f"{job.name} ({job.id})")
    good, why = job.status == "success", f" ({job.reason})" if job.reason else ""
    ended = Check("job succeeded", passed=good, detail=f"job {job.id} is {job.status}{why}")
    if not environment or not good:
        return Probe((started, ended), settled=job.status in OVER and not good)
    made = await deployments(client, project, job.created)
    own = next((each for each in made if each.job == job.id), None)
    there = own is not None and own.status == "success"
    detail = f"{job.sha[:12]} is {'deployed' if there else own.status if own else 'not deployed'}"
    checks = (started, ended, Check(f"{environment} has it", passed=there, detail=detail))
    finished = when(job.finished)
    if watch is None or again or not there or finished is None:
        return Probe(checks)
    seen = await watch.probe(project, finished, canary=is_canary(environment))
    return Probe((*checks, *seen.checks), settled=seen.settled)
