"""What the stand-in knows: people, tokens, projects, pipelines, jobs, deployments, merge requests."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from bot.local.gitlab.repository import Repository

REPORTER, DEVELOPER, MAINTAINER = 20, 30, 40
DONE = frozenset({"success", "failed", "canceled", "skipped"})
STATUSES = frozenset(
    {*DONE, "created", "waiting_for_resource", "preparing", "pending", "running", "manual", "scheduled", "canceling"}
)


def now() -> datetime:
    return datetime.now(UTC)


def stamp(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC with milliseconds, as the REST API prints it."""
    return (
        None
        if moment is None
        else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    )


@dataclass(frozen=True)
class User:
    """A person or a bot."""

    id: int
    username: str
    name: str
    bot: bool = False
    administrator: bool = False


@dataclass
class Token:
    """An access token. `projects` are paths with its role in each; `revoked` and `expired` end it."""

    value: str
    user: User
    scopes: tuple[str, ...] = ("api",)
    projects: dict[str, int] = field(default_factory=dict)
    name: str = "agent"
    revoked: bool = False
    expired: bool = False
    expires_on: str = "2027-06-30"


@dataclass(frozen=True)
class Outcome:
    """How one run of a job ends: what its script printed, what its tests said, and who is to blame.

    `reason` is GitLab's failure_reason, empty where it succeeds. `tests` are (class name, name, failure text; empty: passed).
    """

    reason: str = ""
    exit_code: int = 0
    lines: tuple[str, ...] = ()
    tests: tuple[tuple[str, str, str], ...] = ()

    @property
    def status(self) -> str:
        return "failed" if self.reason else "success"


@dataclass(frozen=True)
class Step:
    """A job of the project's configuration. `seconds` is how long it runs at speed 1.

    A manual job is optional unless it is `blocking` (`allow_failure: false`): then the pipeline is `manual` until somebody
    plays it. `needs` are the jobs that must have passed before it can begin.
    """

    name: str
    stage: str
    script: str
    seconds: float = 2.0
    manual: bool = False
    environment: str = ""
    allow_failure: bool = False
    blocking: bool = False
    needs: tuple[str, ...] = ()

    @property
    def optional(self) -> bool:
        """What the API calls allow_failure: the pipeline goes on without its success."""
        return self.allow_failure or (self.manual and not self.blocking)


@dataclass
class Job:
    """One run of a step within a pipeline."""

    id: int
    step: Step
    pipeline: Pipeline
    user: User
    created_at: datetime
    status: str = "created"
    started_at: datetime | None = None
    finished_at: datetime | None = None
    failure_reason: str = ""
    retried: bool = False
    archived: bool = False
    trace: str = ""
    outcome: Outcome = field(default_factory=Outcome)
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.step.name


@dataclass(frozen=True)
class Bridge:
    """A job that only starts a pipeline of another project; `downstream` is that one's id, 0 where it could not be started."""

    id: int
    name: str
    stage: str
    status: str
    project: str
    downstream: int


@dataclass
class Pipeline:
    """A pipeline and all its jobs, the retried ones too."""

    id: int
    iid: int
    project: Project
    ref: str
    sha: str
    source: str
    user: User
    created_at: datetime
    status: str = "created"
    updated_at: datetime = field(default_factory=now)
    started_at: datetime | None = None
    finished_at: datetime | None = None
    jobs: list[Job] = field(default_factory=list)
    bridges: list[Bridge] = field(default_factory=list)
    yaml_errors: str | None = None

    @property
    def latest(self) -> list[Job]:
        """The jobs that count: without those that were tried again."""
        return [job for job in self.jobs if not job.retried]


@dataclass
class Deployment:
    """A job's deployment to an environment; `job` is None where something outside GitLab CI reported it."""

    id: int
    iid: int
    project: Project
    environment: str
    sha: str
    ref: str
    user: User
    created_at: datetime
    job: Job | None = None
    external_status: str = ""
    updated_at: datetime = field(default_factory=now)

    @property
    def finished_at(self) -> datetime | None:
        """When it was over; GitLab keeps it of each deployment, and shows its job's only."""
        return self.updated_at if self.job is None else self.job.finished_at

    @property
    def status(self) -> str:
        if self.job is None:
            return self.external_status
        return {"manual": "created", "pending": "created", "canceling": "running"}.get(self.job.status, self.job.status)


@dataclass
class MergeRequest:
    """A merge request."""

    id: int
    iid: int
    project: Project
    source: str
    target: str
    title: str
    description: str
    author: User
    created_at: datetime
    state: str = "opened"
    labels: tuple[str, ...] = ()
    remove_source_branch: bool = False


@dataclass
class Hook:
    """A project's webhook. `signing_token` is whsec_ and base64, or empty."""

    url: str
    token: str = ""
    signing_token: str = ""
    pipelines: bool = True
    deployments: bool = True
    merge_requests: bool = True


@dataclass
class Project:
    """A private project: its repository, its CI configuration, and what happened in it.

    A protected environment is deployed to by Maintainers. `forward_only` prevents outdated deployment jobs, of which
    `rollback_by_retry` excepts those that run again.
    """

    id: int
    path: str
    steps: tuple[Step, ...]
    repository: Repository = field(default_factory=Repository)
    pipelines: dict[int, Pipeline] = field(default_factory=dict)
    deployments: list[Deployment] = field(default_factory=list)
    merge_requests: list[MergeRequest] = field(default_factory=list)
    hooks: list[Hook] = field(default_factory=list)
    variables_role: int = DEVELOPER
    protected_environments: set[str] = field(default_factory=set)
    forward_only: bool = True
    rollback_by_retry: bool = True
    troubles: dict[str, list[Outcome]] = field(default_factory=dict)
    compare_overflows: bool = False

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    def jobs(self) -> list[Job]:
        """Every job, newest first."""
        return sorted((job for line in self.pipelines.values() for job in line.jobs), key=lambda job: -job.id)
