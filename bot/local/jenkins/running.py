"""How a build runs: its log as Jenkins prints it, its stages and nodes, its tests, and its result.

A run is a generator of the seconds until it goes on (WAIT: until an agent is there). What it does lies between them, so
that the same code writes a build of last week at once and one of now in time.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby

from bot.local.jenkins.model import FREESTYLE, Build, Node, Stage, Step

WAIT = -1.0
_NAMES = {
    "sh": "Shell Script",
    "junit": "Archive JUnit-formatted test results",
    "archiveArtifacts": "Archive the artifacts",
    "cleanWs": "Delete workspace when build is done",
    "echo": "Print Message",
    "getContext": "Get contextual object from internal APIs",
}

Run = Generator[float, None, None]


def run(build: Build, steps: Sequence[Step]) -> Run:
    """The run of a build; at its end the build has a result."""
    yield from (_freestyle if build.job.kind == FREESTYLE else _pipeline)(build, steps)


@dataclass
class _State:
    """What a run has come to so far."""

    error: str = ""
    worst: str = "SUCCESS"
    stages: dict[str, Stage] = field(default_factory=dict)

    def sink(self, result: str) -> None:
        """A result only ever gets worse."""
        order = ("SUCCESS", "UNSTABLE", "FAILURE", "ABORTED")
        self.worst = max(self.worst, result, key=order.index)


def _pipeline(build: Build, steps: Sequence[Step]) -> Run:
    state = _State()
    build.say(*(cause.text for cause in build.causes), *_checkout(build))
    build.say("[Pipeline] Start of Pipeline", "[Pipeline] node")
    build.node()
    while build.agent is None and not build.interrupted_by:
        yield WAIT
    if build.agent is not None:
        build.say(f"Running on {build.agent.name} in /var/lib/jenkins/workspace/{_workspace(build)}", "[Pipeline] {")
        build.node()
        for name, group in groupby(steps, key=lambda step: step.stage):
            yield from _stage(build, name, list(group), state)
        build.say("[Pipeline] }", "[Pipeline] // node")
    build.say("[Pipeline] End of Pipeline")
    if build.interrupted_by:
        build.say(f"Aborted by {build.interrupted_by}")
        state.sink("ABORTED")
    elif state.error:
        build.say(state.error if state.error.startswith(("org.", "java.")) else f"ERROR: {state.error}")
    build.say(f"Finished: {state.worst}")
    build.result = state.worst


def _stage(build: Build, name: str, steps: list[Step], state: _State) -> Run:
    stage = Stage(build.node(), name, _clock(build))
    build.stages.append(stage)
    build.say("[Pipeline] stage", f"[Pipeline] {{ ({name})")
    skipped = (state.error or build.interrupted_by) and not any(step.always for step in steps)
    if skipped:
        build.say(f'Stage "{name}" skipped due to earlier failure(s)', "[Pipeline] getContext")
        stage.nodes.append(Node(build.node(), _NAMES["getContext"], _clock(build), "SUCCESS"))
        stage.status = "FAILED"  # the stage view's REST says so of a stage that never ran
    for step in () if skipped else steps:
        if (state.error or build.interrupted_by) and not step.always:
            break
        yield from _step(build, stage, step, state)
    if stage.status == "IN_PROGRESS":
        stage.status = "ABORTED" if build.interrupted_by else "SUCCESS"
    stage.ms = sum(node.ms for node in stage.nodes)
    build.say("[Pipeline] }", "[Pipeline] // stage")


def _step(build: Build, stage: Stage, step: Step, state: _State) -> Run:
    node = Node(build.node(), _NAMES.get(step.function, step.function), _clock(build))
    stage.nodes.append(node)
    build.say(f"[Pipeline] {step.function}")
    begun = len(build.log)
    build.say(*([f"+ {step.command}"] if step.command else []), *step.lines[: len(step.lines) // 2])
    yield step.seconds
    node.ms = round(step.seconds * 1000)
    build.ms += node.ms
    lost = build.agent is not None and build.agent.offline and step.function == "sh"
    if lost:
        _lose(build, node, state)
    elif build.interrupted_by and not step.always:
        build.say("Sending interrupt signal to process", f"{step.command}: Terminated", "script returned exit code 143")
        node.status = "ABORTED"
    else:
        build.say(*step.lines[len(step.lines) // 2 :])
        _judge(build, node, step, state)
    node.text = build.log[begun:].decode()
    stage.status = {"FAILED": "FAILED", "UNSTABLE": "UNSTABLE"}.get(node.status, stage.status)


def _judge(build: Build, node: Node, step: Step, state: _State) -> None:
    build.cases += step.cases
    node.status = "SUCCESS"
    if any(case.failed for case in step.cases):
        node.status = "UNSTABLE"
        state.sink("UNSTABLE")
    if step.error:
        node.status, node.error = "FAILED", step.error
        state.error = state.error or step.error
        state.sink("FAILURE")


def _lose(build: Build, node: Node, state: _State) -> None:
    agent = build.agent
    name, reason = (agent.name, agent.reason) if agent else ("", "")
    build.say(
        f"Cannot contact {name}: java.lang.InterruptedException",
        f"Agent {name} was removed or is offline: {reason}",
    )
    gone = "org.jenkinsci.plugins.workflow.support.steps.AgentOfflineException"
    node.status, node.error = (
        "FAILED",
        f"Unable to create live FilePath for {name}; {name} was marked offline: {reason}",
    )
    state.error = f"{gone}: {node.error}"
    state.sink("FAILURE")


def _freestyle(build: Build, steps: Sequence[Step]) -> Run:
    state = _State()
    build.say(*(cause.text for cause in build.causes), "Running as SYSTEM")
    agent = build.agent.name if build.agent else "the built-in node"
    build.say(f"Building remotely on {agent} (linux) in workspace /var/lib/jenkins/workspace/{_workspace(build)}")
    build.say(*_checkout(build))
    for step in steps:
        if (state.error or build.interrupted_by) and not step.always:
            break
        build.say(*([f"[{build.job.name}] $ {step.command}"] if step.command else []))
        build.say(*step.lines[: len(step.lines) // 2])
        yield step.seconds
        build.ms += round(step.seconds * 1000)
        if build.interrupted_by and not step.always:
            build.say("Build was aborted", f"Aborted by {build.interrupted_by}")
            state.sink("ABORTED")
            continue
        build.say(*step.lines[len(step.lines) // 2 :])
        build.cases += step.cases
        if any(case.failed for case in step.cases):
            state.sink("UNSTABLE")
        if step.error:
            build.say(f"Build step '{step.function}' marked build as failure")
            state.error = step.error
            state.sink("FAILURE")
    build.say(f"Finished: {state.worst}")
    build.result = state.worst


def _checkout(build: Build) -> list[str]:
    if build.commit is None:
        return []
    repository = f"https://git.acme.dev/{build.job.full_name.rpartition('/')[0] or build.job.full_name}.git"
    return [
        f"Cloning the remote Git repository {repository}",
        f"Checking out Revision {build.commit.id} ({build.job.name})",
        f'Commit message: "{build.commit.message}"',
    ]


def _workspace(build: Build) -> str:
    return build.job.full_name.replace("/", "_").replace("%2F", "_")


def _clock(build: Build) -> datetime:
    return build.started + timedelta(milliseconds=build.ms)
