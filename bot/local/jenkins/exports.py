"""Jenkins' nouns as its remote API exports them: classes, names and visibilities as in the real one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bot.local.jenkins.engine import Engine
from bot.local.jenkins.model import (
    FREESTYLE,
    MULTIBRANCH,
    Agent,
    Build,
    Case,
    Cause,
    Commit,
    Folder,
    Item,
    Job,
    Parameter,
    millis,
)
from bot.local.jenkins.tree import Bean, Prop

May = Callable[[Job], bool]
_COLORS = {"SUCCESS": "blue", "UNSTABLE": "yellow", "FAILURE": "red", "ABORTED": "aborted", "NOT_BUILT": "notbuilt"}


class Exports:
    """Beans over one engine. `base` is the root URL with a slash at its end, `may` whether the caller may read a job."""

    def __init__(self, engine: Engine, base: str, may: May) -> None:
        self._engine, self._base, self._may = engine, base, may

    # --- jobs -------------------------------------------------------------------------------------------------------------

    def root(self) -> Bean:
        """Jenkins itself."""
        engine = self._engine
        return Bean(
            "hudson.model.Hudson",
            {
                "assignedLabels": _p(list),
                "mode": _p(lambda: "NORMAL"),
                "nodeDescription": _p(lambda: "the Jenkins controller's built-in node"),
                "nodeName": _p(lambda: ""),
                "numExecutors": _p(lambda: 0),
                "description": _p(lambda: None),
                "jobs": _p(lambda: self._children(engine.root)),
                "quietDownReason": _p(lambda: "" if engine.quieting_down else None),
                "quietingDown": _p(lambda: engine.quieting_down),
                "slaveAgentPort": _p(lambda: -1),
                "url": _p(lambda: self._base),
                "useCrumbs": _p(lambda: True),
                "useSecurity": _p(lambda: True),
                "views": _p(list),
            },
        )

    def place(self, place: Folder | Job) -> Bean:
        """A folder or a job."""
        return self.job(place) if isinstance(place, Job) else self._folder(place)

    def _children(self, folder: Folder) -> list[Bean]:
        shown = [child for child in folder.children.values() if self._sees(child)]
        return [self.place(child) for child in shown]

    def _sees(self, place: Folder | Job) -> bool:
        return self._may(place) if isinstance(place, Job) else any(map(self._may, place.jobs()))

    def _folder(self, folder: Folder) -> Bean:
        return Bean(
            folder.kind,
            {
                **self._named(folder.name, folder.full_name, folder.url),
                "healthReport": _p(list),
                "jobs": _p(lambda: self._children(folder)),
                "views": _p(list),
            },
        )

    def _named(self, name: str, full_name: str, url: str) -> dict[str, Prop]:
        return {
            "actions": _p(lambda: [{}]),
            "description": _p(lambda: ""),
            "displayName": _p(lambda: name.replace("%2F", "/")),
            "displayNameOrNull": _p(lambda: None),
            "fullDisplayName": _p(lambda: full_name.replace("/", " » ").replace("%2F", "/")),
            "fullName": _p(lambda: full_name),
            "name": Prop(lambda: name, 999),
            "url": Prop(lambda: self._base + url, 999),
        }

    def job(self, job: Job) -> Bean:
        """A job."""
        own = [item for item in self._engine.waiting() if item.job is job and not item.placeholder]
        freestyle: dict[str, Prop] = {
            "scm": _p(lambda: Bean("hudson.plugins.git.GitSCM")),
            "upstreamProjects": _p(list),
        }
        return Bean(
            job.kind,
            {
                **self._named(job.name, job.full_name, job.url),
                "buildable": _p(lambda: not job.disabled),
                "builds": _p(lambda: [self.build(build) for build in reversed(job.builds[-100:])]),
                "allBuilds": Prop(lambda: [self.build(build) for build in reversed(job.builds)], -2),
                "color": Prop(lambda: _color(job), 2),
                "concurrentBuild": _p(lambda: job.concurrent),
                "disabled": _p(lambda: job.disabled),
                "healthReport": _p(list),
                "inQueue": _p(lambda: bool(own)),
                "keepDependencies": _p(lambda: False),
                **{name: self._last(found) for name, found in _lasts(job).items()},
                "nextBuildNumber": _p(lambda: job.next_number),
                "property": _p(lambda: [Bean("jenkins.model.BuildDiscarderProperty"), *self._parameters(job)]),
                "queueItem": _p(lambda: self.item(own[0]) if own else None),
                **(freestyle if job.kind == FREESTYLE else {}),
            },
        )

    def _last(self, found: Callable[[], Build | None]) -> Prop:
        return _p(lambda: self._link(found()))

    def _link(self, build: Build | None) -> Bean | None:
        return self.build(build) if build else None

    def _parameters(self, job: Job) -> list[Bean]:
        if not job.parameters:
            return []
        definitions = Prop(lambda: [_definition(each) for each in job.parameters], 9)
        return [Bean("hudson.model.ParametersDefinitionProperty", {"parameterDefinitions": definitions})]

    # --- builds -----------------------------------------------------------------------------------------------------------

    def build(self, build: Build) -> Bean:
        """A build."""
        number = build.number
        freestyle: dict[str, Prop] = {
            "builtOn": _p(lambda: build.agent.name if build.agent else ""),
            "changeSet": _p(
                lambda: _change_sets(build)[0] if build.changes else Bean("hudson.scm.EmptyChangeLogSet", _EMPTY)
            ),
        }
        return Bean(
            "hudson.model.FreeStyleBuild"
            if build.job.kind == FREESTYLE
            else "org.jenkinsci.plugins.workflow.job.WorkflowRun",
            {
                "actions": _p(lambda: _actions(build)),
                "artifacts": _p(list),
                "building": _p(lambda: build.building),
                "description": _p(lambda: None),
                "displayName": _p(lambda: f"#{number}"),
                "duration": _p(lambda: 0 if build.building else build.ms),
                "estimatedDuration": _p(lambda: _estimate(build.job)),
                "fullDisplayName": _p(lambda: f"{build.job.full_name.replace('/', ' » ')} #{number}"),
                "id": _p(lambda: str(number)),
                "inProgress": _p(lambda: build.building),
                "keepLog": _p(lambda: False),
                "number": _v(number),
                "queueId": _p(lambda: build.queue_id),
                "result": _p(lambda: build.result),
                "timestamp": _p(lambda: millis(build.started)),
                "url": Prop(lambda: self._base + build.url, 2),
                "changeSets": _p(lambda: _change_sets(build)),
                "culprits": _p(lambda: [_user(name) for name in dict.fromkeys(each.author for each in build.changes)]),
                "nextBuild": _p(lambda: self._link(build.job.build(number + 1))),
                "previousBuild": _p(lambda: self._link(build.job.build(number - 1))),
                **(freestyle if build.job.kind == FREESTYLE else {}),
            },
        )

    # --- the queue and the agents -----------------------------------------------------------------------------------------

    def queue(self) -> Bean:
        """Every item that waits and that the caller may see."""
        return Bean(
            "hudson.model.Queue",
            {
                "discoverableItems": Prop(list, inline=True),
                "items": Prop(
                    lambda: [self.item(each) for each in self._engine.waiting() if self._may(each.job)], inline=True
                ),
            },
        )

    def item(self, item: Item) -> Bean:
        """A queue item."""
        props = {
            "actions": _p(lambda: _item_actions(item)),
            "blocked": _p(lambda: item.state == "BlockedItem"),
            "buildable": _p(lambda: item.state == "BuildableItem"),
            "id": _v(item.id, 9),
            "inQueueSince": _p(lambda: millis(item.since)),
            "params": _p(lambda: "".join(f"\n{name}={value}" for name, value in item.parameters.items())),
            "stuck": _p(lambda: False),
            "task": _p(lambda: self._task(item)),
            "url": _p(lambda: f"queue/item/{item.id}/"),
            "why": _p(lambda: item.why or None),
        }
        if item.state == "WaitingItem":
            props["timestamp"] = _p(lambda: millis(item.due))
        if item.state == "LeftItem":
            props |= {"cancelled": _p(lambda: item.cancelled), "executable": _p(lambda: self._link(item.build))}
        return Bean(f"hudson.model.Queue${item.state}", props)

    def _task(self, item: Item) -> Bean:
        if item.placeholder:
            return Bean("org.jenkinsci.plugins.workflow.support.steps.ExecutorStepExecution$PlaceholderTask")
        return self.job(item.job)

    def computers(self) -> Bean:
        """Every agent."""
        return Bean(
            "hudson.model.ComputerSet",
            {
                "busyExecutors": _p(lambda: sum(len(agent.running) for agent in self._engine.agents)),
                "computer": Prop(lambda: [self.computer(agent) for agent in self._engine.agents], inline=True),
                "displayName": _p(lambda: "Nodes"),
                "totalExecutors": _p(lambda: sum(a.executors for a in self._engine.agents if not a.offline)),
            },
        )

    def _executors(self, agent: Agent) -> list[Bean]:
        idle: list[Build | None] = [None] * (agent.executors - len(agent.running))
        return [self._executor(build) for build in [*agent.running, *idle]]

    def _executor(self, build: Build | None) -> Bean:
        return Bean(
            "hudson.model.Executor", {"currentExecutable": _p(lambda: self._link(build)), "idle": _v(build is None)}
        )

    def computer(self, agent: Agent) -> Bean:
        """One agent."""
        cause = Bean("hudson.slaves.OfflineCause$ChannelTermination", {"description": _p(lambda: agent.reason)})
        return Bean(
            "hudson.slaves.SlaveComputer",
            {
                "actions": _p(list),
                "assignedLabels": _p(lambda: [Bean("hudson.model.labels.LabelAtom", {"name": _v(n)})
                                              for n in (agent.name, *agent.labels)]),
                "displayName": _p(lambda: agent.name),
                "executors": _p(lambda: self._executors(agent)),
                "oneOffExecutors": _p(list),
                "idle": _p(lambda: not agent.running),
                "numExecutors": _p(lambda: agent.executors),
                "offline": _p(lambda: agent.offline),
                "offlineCause": _p(lambda: cause if agent.offline else None),
                "offlineCauseReason": _p(lambda: agent.reason),
                "temporarilyOffline": _p(lambda: False),
            },
        )  # fmt: skip


def _p(value: Callable[[], Any]) -> Prop:
    return Prop(value)


def _v(value: Any, visibility: int = 9) -> Prop:
    """A value that is known already."""
    return Prop(lambda: value, visibility)


def _color(job: Job) -> str:
    if job.disabled:
        return "disabled"
    done = job.last("SUCCESS", "UNSTABLE", "FAILURE", "ABORTED", "NOT_BUILT")
    color = _COLORS[done.result or ""] if done else "notbuilt"
    return f"{color}_anime" if job.builds and job.builds[-1].building else color


def _lasts(job: Job) -> dict[str, Callable[[], Build | None]]:
    return {
        "firstBuild": lambda: job.builds[0] if job.builds else None,
        "lastBuild": lambda: job.last(),
        "lastCompletedBuild": lambda: job.last("SUCCESS", "UNSTABLE", "FAILURE", "ABORTED", "NOT_BUILT"),
        "lastFailedBuild": lambda: job.last("FAILURE"),
        "lastStableBuild": lambda: job.last("SUCCESS"),
        "lastSuccessfulBuild": lambda: job.last("SUCCESS", "UNSTABLE"),
        "lastUnstableBuild": lambda: job.last("UNSTABLE"),
        "lastUnsuccessfulBuild": lambda: job.last("UNSTABLE", "FAILURE", "ABORTED", "NOT_BUILT"),
    }


def _estimate(job: Job) -> int:
    done = [build.ms for build in job.builds if build.result == "SUCCESS"][-3:]
    return round(sum(done) / len(done)) if done else -1


def _definition(parameter: Parameter) -> Bean:
    default = _value(parameter.kind, parameter.name, parameter.default)
    props = {
        "defaultParameterValue": _v(default),
        "description": _v(parameter.description),
        "name": _v(parameter.name),
        "type": Prop(lambda: f"{parameter.kind}ParameterDefinition", 9),
    }
    if parameter.kind == "Choice":
        props["choices"] = Prop(lambda: list(parameter.choices), 9)
    return Bean(f"hudson.model.{parameter.kind}ParameterDefinition", props)


def _value(kind: str, name: str, value: str) -> Bean:
    """A parameter's value; a password's is never exported."""
    plain: Any = value == "true" if kind == "Boolean" else value
    shown = {} if kind == "Password" else {"value": _v(plain, 9)}
    return Bean(f"hudson.model.{'String' if kind == 'Choice' else kind}ParameterValue", {"name": _v(name, 9), **shown})


def _causes(causes: list[Cause]) -> Bean:
    beans = [
        Bean(each.kind, {"shortDescription": _v(each.text, 9), **{name: _v(value, 9) for name, value in each.fields.items()}})
        for each in causes
    ]  # fmt: skip
    return Bean("hudson.model.CauseAction", {"causes": _v(beans)})


def _parameter_values(job: Job, values: dict[str, str]) -> list[Bean]:
    kinds = {each.name: each.kind for each in job.parameters}
    shown = [_value(kinds.get(name, "String"), name, value) for name, value in values.items()]
    return [Bean("hudson.model.ParametersAction", {"parameters": _v(shown)})] if shown else []


def _item_actions(item: Item) -> list[Any]:
    return [*_parameter_values(item.job, item.parameters), *([_causes(item.causes)] if item.causes else [])]


def _actions(build: Build) -> list[Any]:
    found: list[Any] = [_causes(build.causes), *_parameter_values(build.job, build.parameters), {}]
    if build.commit is not None:
        branch = build.job.name.replace("%2F", "/") if build.job.parent.kind == MULTIBRANCH else "main"
        tip = Bean(
            "hudson.plugins.git.Branch",
            {"SHA1": Prop(lambda: build.commit and build.commit.id, 9), "name": _v(branch)},
        )
        revision = Bean("hudson.plugins.git.Revision", {
            "SHA1": Prop(lambda: build.commit and build.commit.id, 9), "branch": Prop(lambda: [tip], 9)})  # fmt: skip
        found.append(Bean("hudson.plugins.git.util.BuildData", {
            "lastBuiltRevision": _v(revision), "remoteUrls": Prop(lambda: [_remote(build.job)], 9)}))  # fmt: skip
    found += [{}, {}]
    if build.cases:
        failed = sum(case.failed for case in build.cases)
        found.append(Bean("hudson.tasks.junit.TestResultAction", {
            "failCount": _v(failed), "skipCount": Prop(lambda: sum(c.skipped for c in build.cases), 9),
            "totalCount": Prop(lambda: len(build.cases), 9), "urlName": _v("testReport")}))  # fmt: skip
    return found


def _remote(job: Job) -> str:
    owner = job.parent.full_name if job.parent.kind == MULTIBRANCH else job.full_name
    return f"https://git.acme.dev/{owner}.git"


_EMPTY = {"items": Prop(list), "kind": Prop(lambda: None)}


def _change_sets(build: Build) -> list[Bean]:
    if not build.changes:
        return []
    items = [_change(each) for each in build.changes]
    return [Bean("hudson.plugins.git.GitChangeSetList", {"items": _v(items), "kind": _v("git")})]


def _change(commit: Commit) -> Bean:
    return Bean(
        "hudson.plugins.git.GitChangeSet",
        {
            "affectedPaths": Prop(lambda: list(commit.paths), 9),
            "commitId": _v(commit.id),
            "timestamp": Prop(lambda: millis(commit.at), 9),
            "author": Prop(lambda: _user(commit.author), 9),
            "comment": Prop(lambda: f"{commit.message}\n", 9),
            "date": Prop(lambda: commit.at.strftime("%Y-%m-%d %H:%M:%S +0000"), 9),
            "id": _v(commit.id),
            "msg": _v(commit.message),
        },
    )


def _user(name: str) -> Bean:
    return Bean("hudson.model.User", {"fullName": _v(name)})


# --- tests ----------------------------------------------------------------------------------------------------------------


def test_report(build: Build) -> Bean:
    """The JUnit plugin's report of a build, with how long each failing test has been failing."""
    suites: dict[str, list[Case]] = {}
    for case in build.cases:
        suites.setdefault(case.class_name, []).append(case)
    failed = sum(case.failed for case in build.cases)
    skipped = sum(case.skipped for case in build.cases)
    beans = [_suite(build, name, cases) for name, cases in suites.items()]
    return Bean("hudson.tasks.junit.TestResult", {
        "testActions": _p(list), "duration": _p(lambda: sum(case.seconds for case in build.cases)),
        "empty": _p(lambda: not build.cases), "failCount": _p(lambda: failed), "skipCount": _p(lambda: skipped),
        "passCount": _p(lambda: len(build.cases) - failed - skipped), "suites": _v(beans),
    })  # fmt: skip


def _suite(build: Build, name: str, cases: list[Case]) -> Bean:
    return Bean("hudson.tasks.junit.SuiteResult", {
        "cases": Prop(lambda: [_case(build, case) for case in cases], 9), "name": _v(name),
        "duration": Prop(lambda: sum(case.seconds for case in cases), 9), "stdout": Prop(lambda: None, 9),
    })  # fmt: skip


def _case(build: Build, case: Case) -> Bean:
    since = _failed_since(build, case)
    return Bean("hudson.tasks.junit.CaseResult", {
        name: _v(value)
        for name, value in {
            "age": build.number - since + 1 if case.failed else 0, "className": case.class_name, "duration": case.seconds,
            "errorDetails": case.details or None, "errorStackTrace": case.trace or None,
            "failedSince": since if case.failed else 0, "name": case.name, "skipped": case.skipped,
            "status": _status(build, case, since), "stderr": None, "stdout": None,
        }.items()
    })  # fmt: skip


def _failed_since(build: Build, case: Case) -> int:
    """The first build of the unbroken row of builds in which the test failed; builds without tests are passed over."""
    since = build.number
    for before in reversed([b for b in build.job.builds if b.number < build.number and b.cases]):
        if not any(other.id == case.id and other.failed for other in before.cases):
            break
        since = before.number
    return since


def _status(build: Build, case: Case, since: int) -> str:
    if case.skipped:
        return "SKIPPED"
    if case.failed:
        return "REGRESSION" if since == build.number else "FAILED"
    before = next((b for b in reversed(build.job.builds) if b.number < build.number and b.cases), None)
    failed = before is not None and any(other.id == case.id and other.failed for other in before.cases)
    return "FIXED" if failed else "PASSED"
