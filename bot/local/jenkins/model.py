"""Jenkins' nouns: folders, jobs, builds, stages, queue items, agents, commits and what a build's steps do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

FOLDER = "com.cloudbees.hudson.plugins.folder.Folder"
MULTIBRANCH = "org.jenkinsci.plugins.workflow.multibranch.WorkflowMultiBranchProject"
PIPELINE = "org.jenkinsci.plugins.workflow.job.WorkflowJob"
FREESTYLE = "hudson.model.FreeStyleProject"
KEY = "PERSONAL_AGENT_KEY"


def now() -> datetime:
    return datetime.now(UTC)


def millis(moment: datetime) -> int:
    """A time as Java has it."""
    return round(moment.timestamp() * 1000)


@dataclass(frozen=True)
class Commit:
    """A commit of a job's branch. `breaks` are tests that fail from it on, `fixes` those that no longer do."""

    id: str
    author: str
    message: str
    paths: tuple[str, ...] = ()
    breaks: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()
    at: datetime = field(default_factory=now)


@dataclass(frozen=True)
class Parameter:
    """A parameter definition; `kind` is String, Choice, Boolean, Text or Password."""

    name: str
    kind: str = "String"
    default: str = ""
    choices: tuple[str, ...] = ()
    description: str = ""


@dataclass(frozen=True)
class Cause:
    """Why a build was started. `fields` are exported beside its short description."""

    kind: str
    text: str
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """One test's result. `details` and `trace` of a failed one."""

    class_name: str
    name: str
    failed: bool = False
    details: str = ""
    trace: str = ""
    skipped: bool = False
    seconds: float = 0.01

    @property
    def id(self) -> str:
        return f"{self.class_name}.{self.name}"


@dataclass(frozen=True)
class Step:
    """One step: its stage (empty outside of stages), function, command, how long it takes (seconds) and what it prints.

    `error` makes it fail with that message. `always`: a post action, which runs whatever failed before.
    """

    stage: str
    function: str
    seconds: float
    lines: Sequence[str] = ()
    command: str = ""
    error: str = ""
    always: bool = False
    cases: tuple[Case, ...] = ()


@dataclass
class Node:
    """A step's node in a pipeline's flow graph."""

    id: int
    name: str
    started: datetime
    status: str = "IN_PROGRESS"
    error: str = ""
    ms: int = 0
    text: str = ""


@dataclass
class Stage:
    """A stage and its nodes."""

    id: int
    name: str
    started: datetime
    status: str = "IN_PROGRESS"
    ms: int = 0
    nodes: list[Node] = field(default_factory=list)


@dataclass(eq=False)
class Agent:
    """A machine that builds. `executors` builds run on it at once."""

    name: str
    labels: tuple[str, ...]
    executors: int = 2
    offline: bool = False
    reason: str = ""
    running: list[Build] = field(default_factory=list)


@dataclass(eq=False)
class Build:
    """One build. `result` is None while it runs; `log` is what its console shows, as bytes."""

    job: Job
    number: int
    queue_id: int
    parameters: dict[str, str]
    causes: list[Cause]
    commit: Commit | None
    changes: tuple[Commit, ...]
    started: datetime
    result: str | None = None
    ms: int = 0
    log: bytearray = field(default_factory=bytearray)
    stages: list[Stage] = field(default_factory=list)
    cases: list[Case] = field(default_factory=list)
    agent: Agent | None = None
    waits_for: str = ""
    interrupted_by: str = ""
    nodes: int = 1

    @property
    def url(self) -> str:
        return f"{self.job.url}{self.number}/"

    @property
    def building(self) -> bool:
        return self.result is None

    @property
    def finished(self) -> datetime:
        return datetime.fromtimestamp(self.started.timestamp() + self.ms / 1000, UTC)

    def say(self, *lines: str) -> None:
        """Print to the console."""
        for line in lines:
            self.log += line.encode() + b"\n"

    def node(self) -> int:
        """The next id in the flow graph."""
        self.nodes += 1
        return self.nodes


Script = Callable[[Build], list[Step]]


@dataclass(eq=False)
class Folder:
    """A folder or a multibranch project; its children by name."""

    name: str
    kind: str = FOLDER
    parent: Folder | None = None
    children: dict[str, Folder | Job] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        return "/".join(filter(None, (self.parent.full_name if self.parent else "", self.name)))

    @property
    def url(self) -> str:
        return f"{self.parent.url}job/{_in_url(self.name)}/" if self.parent else ""

    def jobs(self) -> Iterator[Job]:
        """Every job below."""
        for child in self.children.values():
            if isinstance(child, Job):
                yield child
            else:
                yield from child.jobs()


@dataclass(eq=False)
class Job:
    """A job with its builds, oldest first. `flaky` are tests and the numbers of the builds in which they fail.

    `label` is where it builds; `token` its trigger token; `stubborn`: it does not stop when it is asked to; `concurrent`:
    whether several builds may run at once; `hooks`: where the notification plugin sends to.
    """

    name: str
    parent: Folder
    script: Script
    kind: str = PIPELINE
    parameters: tuple[Parameter, ...] = ()
    label: str = "linux"
    builds: list[Build] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    flaky: dict[str, set[int]] = field(default_factory=dict)
    next_number: int = 1
    disabled: bool = False
    concurrent: bool = True
    stubborn: bool = False
    token: str = ""
    hooks: list[str] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        return "/".join(filter(None, (self.parent.full_name, self.name)))

    @property
    def url(self) -> str:
        return f"{self.parent.url}job/{_in_url(self.name)}/"

    def build(self, number: int) -> Build | None:
        """One build by its number."""
        return next((build for build in self.builds if build.number == number), None)

    def last(self, *results: str | None) -> Build | None:
        """The newest build with one of these results; of any, where none is named."""
        return next((build for build in reversed(self.builds) if not results or build.result in results), None)

    def broken(self, commit: Commit | None) -> set[str]:
        """The tests that fail at a commit."""
        failing: set[str] = set()
        for each in self.commits:
            failing = (failing | set(each.breaks)) - set(each.fixes)
            if each is commit:
                break
        return failing


@dataclass(eq=False)
class Item:
    """A queue item. `state` is the Java class' short name: WaitingItem, BlockedItem, BuildableItem or LeftItem."""

    id: int
    job: Job
    parameters: dict[str, str]
    causes: list[Cause]
    since: datetime
    due: datetime
    state: str = "WaitingItem"
    why: str = ""
    cancelled: bool = False
    build: Build | None = None
    placeholder: bool = False


def _in_url(name: str) -> str:
    """A name as a segment of a URL. A branch's name holds %2F already, which is encoded once more."""
    return quote(name, safe="")
