"""What a change in GitLab relies on: pipelines and jobs as they are now, what deploys, and who asked for what."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.tools.gitlab_client import GitLabClient, project_path
from bot.tools.gitlab_fetch import EVER
from bot.tools.rest import Missing
from domain.actions import Target
from domain.errors import ToolError

Environment = Callable[..., str]

KIND = "GitLabProject"
OVER = ("success", "failed", "canceled", "skipped")
LOOK_EVERY = 0.25
_PAGES = 10
_UNSHOWN = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True)
class Job:
    """One run of a job; `user` is the id of whom it belongs to. `starts` is set where it starts a pipeline elsewhere."""

    id: int
    name: str
    stage: str
    status: str
    user: int
    created: str
    sha: str
    ref: str
    pipeline: int
    reason: str = ""
    starts: bool = False
    finished: str = ""
    archived: bool = False

    @property
    def line(self) -> str:
        """As an approval binds it."""
        return f"{self.id} {self.name} {self.status}"


@dataclass(frozen=True)
class Deployment:
    """A deployment of a job (`name`) to an environment; `job` is 0 where something outside GitLab CI reported it."""

    id: int
    environment: str
    status: str
    sha: str
    ref: str
    job: int
    name: str
    updated: str
    by: str


@dataclass(frozen=True)
class Line:
    """A pipeline as it is now with its jobs, those that were tried again left out. `deploys` is by a job's id.

    `newest` is the newest pipeline of the same ref.
    """

    project: str
    id: int
    status: str
    ref: str
    sha: str
    created: str
    jobs: tuple[Job, ...]
    deploys: Mapping[int, str]
    newest: int

    @property
    def standing(self) -> str:
        """Where it stands, in words."""
        later = f"; a newer one of {self.ref} is {self.newest}" if self.newest > self.id else ""
        return f"pipeline {self.id} of {self.ref} at {self.sha[:12]} is {self.status}{later}"

    def shown(self, job: Job) -> str:
        """A job in a line of the card."""
        why = f" ({job.reason})" if job.reason else ""
        to = f", deploys to {self.deploys[job.id]}" if job.id in self.deploys else ""
        more = ", starts another pipeline" if job.starts else ""
        return f"{job.name} of stage {job.stage}: {job.status}{why}{to}{more}"


def target_of(project: str, environment: Environment, deploys_to: str = "") -> Target:
    """The project as a target. Its environment: the first pattern that matches its path, or its path with the name of
    the environment that is deployed to. A name with an @ could pass for another place and is left out.
    """
    group, _, name = project.rpartition("/")
    place = f"gitlab:{project}"
    named = [f"{place}@environment:{deploys_to}"] if deploys_to and "@" not in deploys_to else []
    return Target("gitlab", environment(place, *named), group, KIND, name)


def check_environments(project: str, environment: Environment, deploys: Iterable[str]) -> None:
    """Policy decides by the project, as a pipeline may deploy to several places. Raises ToolError where that is too lax.

    What is decided on as production is decided on as strictly as can be.
    """
    decided = target_of(project, environment).environment
    for name in dict.fromkeys(deploys):
        real = target_of(project, environment, name).environment
        if decided not in (real, "production"):
            raise ToolError(
                f"{project} is called {decided} in AGENT_ENVIRONMENTS, but a job of this pipeline deploys to {name}, which "
                f"is {real}: a person has to do this in GitLab."
            )


async def pipeline(client: GitLabClient, project: str, number: int) -> Line:
    """One pipeline, looked at whole. Raises Missing or ToolError."""
    path = project_path(project)
    try:
        raw = await client.get(f"{path}/pipelines/{number}", doing=f"read pipeline {number} of {project}")
    except Missing as error:
        raise Missing(
            f"There is no pipeline {number} in {project}, or this agent may not see it. Give its id, not its number in the "
            "project."
        ) from error
    raw = raw if isinstance(raw, Mapping) else {}
    ref, created = text(raw.get("ref")), text(raw.get("created_at"))
    found, made, alike, newest = await asyncio.gather(
        jobs(client, project, number),
        deployments(client, project, created),
        namesakes(client, project),
        newest_of(client, project, ref),
    )
    return Line(
        project=project,
        id=number,
        status=label(raw.get("status")),
        ref=ref,
        sha=text(raw.get("sha")),
        created=created,
        jobs=found,
        deploys=_places(found, made, alike),
        newest=newest,
    )


async def jobs(client: GitLabClient, project: str, number: int) -> tuple[Job, ...]:
    """A pipeline's jobs and what starts other pipelines, oldest first; of those that were tried again the last try."""
    path = f"{project_path(project)}/pipelines/{number}"
    doing = f"read the jobs of pipeline {number} of {project}"
    own, others = await asyncio.gather(
        client.pages(f"{path}/jobs", doing=doing, most=_PAGES),
        client.pages(f"{path}/bridges", doing=doing, most=_PAGES),
    )
    if not (own.complete and others.complete):
        raise ToolError(f"Pipeline {number} of {project} has more than {_PAGES * 100} jobs.")
    found = [*(job_of(each) for each in own.items), *(job_of(each, starts=True) for each in others.items)]
    return tuple(sorted(found, key=lambda job: job.id))


async def deployments(client: GitLabClient, project: str, since: str) -> tuple[Deployment, ...]:
    """Every deployment of the project that was created or changed since then, newest change first.

    A job does not say what it deploys to: its deployment does, which GitLab makes along with the pipeline.
    """
    asked = {"order_by": "updated_at", "sort": "desc", "updated_after": since}
    found = await client.pages(
        f"{project_path(project)}/deployments", asked, doing=f"list the deployments of {project}", most=_PAGES
    )
    if not found.complete:
        raise ToolError(f"{project} has too many deployments since {since} to tell what this one deploys.")
    return tuple(deployment_of(each) for each in found.items)


async def namesakes(client: GitLabClient, project: str) -> dict[str, str]:
    """Where jobs deploy to by their names, as the last hundred deployments tell; empty where they do not agree.

    GitLab makes a job's deployment when its turn comes: one that was canceled before that, or still waits for it, has none.
    """
    doing = f"list the deployments of {project}"
    found = await client.pages(f"{project_path(project)}/deployments", {"order_by": "id", "sort": "desc"}, doing=doing)
    alike: dict[str, set[str]] = {}
    for each in map(deployment_of, found.items):
        alike.setdefault(each.name, set()).add(each.environment)
    return {name: next(iter(places)) if len(places) == 1 else "" for name, places in alike.items() if name}


def _places(now: Iterable[Job], made: Iterable[Deployment], alike: Mapping[str, str]) -> dict[int, str]:
    """Where each job deploys to, by its id: as its own deployment says, else as its namesakes' do."""
    own = {each.job: each.environment for each in made}
    found = {job.id: own.get(job.id) or alike.get(job.name, "") for job in now}
    return {number: place for number, place in found.items() if place}


async def live(client: GitLabClient, project: str, name: str) -> Deployment | None:
    """What is deployed to an environment: what was over last with success, whenever it was asked for."""
    asked = {
        "environment": name,
        "status": "success",
        "order_by": "finished_at",
        "finished_after": EVER,  # GitLab orders by that time only along with a filter of it
        "sort": "desc",
    }
    doing = f"look what is deployed to {name} of {project}"
    found = await client.pages(f"{project_path(project)}/deployments", asked, doing=doing, size=1)
    return deployment_of(found.items[0]) if found.items else None


async def newest_of(client: GitLabClient, project: str, ref: str) -> int:
    """The id of a ref's newest pipeline."""
    asked = {"ref": ref, "order_by": "id", "sort": "desc"}
    found = await client.pages(
        f"{project_path(project)}/pipelines", asked, doing=f"look for newer pipelines of {ref}", size=1
    )
    return number_of(found.items[0], "id") if found.items else 0


async def own_id(client: GitLabClient) -> int:
    """The id of the user whose token this is."""
    return number_of(await client.get("/user", doing="say whom it takes this agent for"), "id")


def job_of(raw: Any, *, starts: bool = False) -> Job:
    """A job as the API shows it; nothing need be there."""
    line = raw.get("pipeline") if isinstance(raw, Mapping) else None
    return Job(
        id=number_of(raw, "id"),
        name=label(raw.get("name")),
        stage=label(raw.get("stage")),
        status=label(raw.get("status")),
        user=number_of(raw.get("user"), "id"),
        created=text(raw.get("created_at")),
        sha=text((line or {}).get("sha")),
        ref=label(raw.get("ref")),
        pipeline=number_of(line, "id"),
        reason=label(raw.get("failure_reason")),
        starts=starts,
        finished=text(raw.get("finished_at")),
        archived=raw.get("archived") is True,
    )


def deployment_of(raw: Any) -> Deployment:
    """A deployment as the API shows it."""
    made = raw.get("deployable") or {}
    return Deployment(
        id=number_of(raw, "id"),
        environment=label((raw.get("environment") or {}).get("name")),
        status=label(raw.get("status")),
        sha=text(raw.get("sha")),
        ref=label(raw.get("ref")),
        job=number_of(made, "id"),
        name=label(made.get("name")),
        updated=text(raw.get("updated_at")),
        by=label((raw.get("user") or {}).get("name")),
    )


def when(value: str) -> datetime | None:
    """A time of GitLab's, None where there is none."""
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo else None


def text(value: Any) -> str:
    """A string as it is; anything else is empty."""
    return value if isinstance(value, str) else ""


def label(value: Any) -> str:
    """A string on one line of a card, whatever somebody called their job."""
    return _UNSHOWN.sub(" ", text(value))[:300]


def number_of(raw: Any, name: str) -> int:
    """A number within an object, 0 where there is none."""
    value = raw.get(name) if isinstance(raw, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
