"""jenkins_trigger: a build with parameters, or an earlier build once more. Asked for once, marked, followed to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.tools import jenkins_arguments as given, jenkins_facts as facts
from bot.tools.jenkins_arguments import KEY
from bot.tools.jenkins_client import JenkinsClient, item_id, job_path
from bot.tools.jenkins_look import Own, Seen, look, own
from bot.tools.jenkins_reads import Environment, target_of
from bot.tools.observed import moved_since
from bot.tools.rest import Missing
from bot.tools.spec import Arguments, WriteTool
from domain.actions import Action, Effect, Target, Undo
from domain.decisions import Check
from domain.errors import OutcomeUnknown, TargetMoved, ToolError
from domain.ports import Preview, Probe

PROBE_SECONDS = 1800
_LOOK_EVERY = 0.25
_PASSWORDS = ("Password", "Credentials")


@dataclass(frozen=True)
class Plan:
    """What would be sent: every parameter that the job declares and that has a value, and what is to be said of it."""

    seen: Seen
    values: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def call(self) -> str:
        """The path that is posted to."""
        return f"{job_path(self.seen.name)}/{'buildWithParameters' if self.seen.definitions else 'build'}"


def trigger_tool(client: JenkinsClient, environment: Environment) -> WriteTool:
    """The tool for one Jenkins."""

    def about(arguments: Arguments) -> Target:
        return target_of(arguments["job"], environment, arguments["parameters"])

    async def preview(arguments: Arguments) -> Preview:
        return _preview(await plan(client, environment, arguments), arguments)

    async def execute(action: Action, key: str) -> str:
        return await _execute(client, environment, action, key)

    async def arrived(action: Action, key: str) -> bool | None:
        return await _arrived(client, action, key)

    async def probe(action: Action) -> Probe:
        return await _probe(client, action)

    return WriteTool(
        "jenkins_trigger",
        "Build a Jenkins job, with parameters where it has them, or build it again with an earlier build's parameters "
        "(rebuild). A branch is built as it is then.",
        Effect.WRITE,
        given.Trigger,
        about,
        preview,
        execute,
        arrived,
        probe,
        PROBE_SECONDS,
    )


async def plan(client: JenkinsClient, environment: Environment, arguments: Arguments) -> Plan:
    """The job looked at, and what would be sent. Raises ToolError where it cannot be built so."""
    job, asked = arguments["job"], dict(arguments["parameters"])
    seen = await look(client, job)
    if not seen.buildable:
        raise ToolError(f"{job} cannot be built: it is disabled.")
    if seen.own:  # the undo and the probe know a build as the agent's first one since now
        raise ToolError(f"A build of {job} that this agent asked for waits already (queue item {seen.own[0]}).")
    notes: list[str] = []
    again: dict[str, str] = {}
    if arguments["rebuild"]:
        again, said = await _earlier(client, job, arguments["rebuild"])
        notes.append(said)
    names = {each["name"]: each for each in seen.definitions}
    _check_names(job, asked, names)
    values: dict[str, str] = {}
    for name, each in names.items():
        if name == KEY:
            continue
        if each["type"] in _PASSWORDS:
            notes.append(f"{name} takes its default, which Jenkins shows nobody")
            continue
        value = asked.get(name, again.get(name, each["default"]))
        if value is None:
            notes.append(f"{name} has no default that Jenkins shows")
        else:
            values[name] = _checked(job, each, value)
    _check_environment(environment, job, asked, values)
    return Plan(seen, values, (*notes, *_more_notes(seen, again, names)))


async def _earlier(client: JenkinsClient, job: str, number: int) -> tuple[dict[str, str], str]:
    try:
        raw = await client.get(f"{job_path(job)}/{number}", facts.BUILD, doing=f"read {job} #{number}")
    except Missing as error:
        raise Missing(f"There is no build {job} #{number} to build again.") from error
    build = facts.build_facts(raw, job.rpartition("/")[2])
    build["parameters"].pop(KEY, None)
    if build["building"]:
        raise ToolError(f"{job} #{number} is still running; there is nothing to build again yet.")
    commit = build["revision"]["commit"][:12]
    what = f", which built commit {commit}; now the branch is built as it is then" if commit else ""
    return build["parameters"], f"again as #{number} ({build['result']}){what}"


def _check_names(job: str, asked: Mapping[str, str], names: Mapping[str, Mapping[str, Any]]) -> None:
    unknown = [name for name in asked if name not in names]
    if unknown:  # Jenkins drops them without a word, and builds with defaults
        known = ", ".join(name for name in names if name != KEY) or "no parameters"
        raise ToolError(f"{job} has no parameter {', '.join(unknown)}; it has {known}.")
    hidden = [name for name in asked if names[name]["type"] in _PASSWORDS]
    if hidden:
        raise ToolError(f"{', '.join(hidden)} of {job} is a password: this agent sets none.")


def _checked(job: str, definition: Mapping[str, Any], value: str) -> str:
    name = definition["name"]
    if definition["type"] == "Boolean" and value not in ("true", "false"):
        raise ToolError(f"{name} of {job} is true or false, not {value[:80]!r}.")
    if definition["choices"] and value not in definition["choices"]:
        raise ToolError(f"{name} of {job} is one of {', '.join(definition['choices'][:20])}, not {value[:80]!r}.")
    return value


def _check_environment(environment: Environment, job: str, asked: Mapping[str, str], values: Mapping[str, str]) -> None:
    """What policy decides on is what was asked for; a default or an earlier build must not lead elsewhere unseen."""
    named, real = (
        target_of(job, environment, dict(asked)).environment,
        target_of(job, environment, dict(values)).environment,
    )
    if named != real:
        left_out = ", ".join(f"{name}={value}" for name, value in values.items() if name not in asked)
        raise ToolError(
            f"With what was left out ({left_out[:300]}) {job} acts on {real}, not on {named}: "
            "give the parameter that decides it."
        )


def _more_notes(seen: Seen, again: Mapping[str, str], names: Mapping[str, Any]) -> list[str]:
    notes = [seen.standing]
    gone = [name for name in again if name not in names]
    if gone:
        notes.append(f"the job has no {', '.join(gone)} any more")
    if seen.quieting_down:
        notes.append("Jenkins is about to shut down: the build waits until it is up again")
    if not seen.keyed:
        notes.append(f"the job declares no {KEY}: after a lost answer its build is known only by who asked for it")
    return notes


def _preview(planned: Plan, arguments: Arguments) -> Preview:
    lines = [f"POST {planned.call}", *(f"+ {name}={value}" for name, value in planned.values.items())]
    if planned.seen.keyed:
        lines.append(f"+ {KEY}=<the id of this execution>")
    lines += [f"# {note}" for note in planned.notes]
    undo = {"job": arguments["job"], "build": 0, "after": planned.seen.last_build}
    return Preview(
        observed=planned.seen.observed,
        diff="\n".join(lines),
        touches=1,
        undo=Undo("jenkins_abort", undo, "stops the build that this starts; what it did by then stays done"),
    )


async def _execute(client: JenkinsClient, environment: Environment, action: Action, key: str) -> str:
    job = action.arguments["job"]
    try:
        planned = await plan(client, environment, action.arguments)
    except ToolError as error:
        if error.retryable:
            raise
        raise TargetMoved(f"{job} changed since it was looked at, so nothing was done: {error}") from error
    if moved := moved_since(action.observed, planned.seen.observed):
        raise TargetMoved(f"{job} changed since it was looked at ({moved}), so nothing was done.")
    form = {**planned.values, **({KEY: key} if planned.seen.keyed else {})}
    # no quiet period: a person approved this moment
    reply = await client.post(planned.call, doing=f"build {job}", form=form, params={"delay": "0sec"})
    if reply.status == 500:
        raise OutcomeUnknown(f"Jenkins failed while it was asked to build {job} (HTTP 500): {reply.message}")
    item = item_id(reply)
    if not item:
        raise ToolError(f"Jenkins took the request to build {job} and put nothing into its queue.")
    return f"Asked for {job}: {await _started(client, item)}."


async def _started(client: JenkinsClient, item: int) -> str:
    """The build that a queue item became, in words; where it waits longer, what for."""
    waits = f"queue item {item}"
    with contextlib.suppress(ToolError, TimeoutError):  # it is asked for already: not seeing more of it changes nothing
        async with asyncio.timeout(client.start_s):
            while True:
                raw = await client.get(
                    f"/queue/item/{item}", "why,cancelled,executable[number]", doing="look at the queue"
                )
                number = (raw.get("executable") or {}).get("number")
                if isinstance(number, int):
                    return f"build #{number} has started"
                waits = f"queue item {item} waits: {raw.get('why') or 'no reason is given'}"
                await asyncio.sleep(_LOOK_EVERY)
    return waits


async def _arrived(client: JenkinsClient, action: Action, key: str) -> bool | None:
    """Whether a build or queue item shows the key. A slow Jenkins gets some seconds before it is said that there is none."""
    job, after = action.arguments["job"], int(action.observed["last_build"])
    deadline = asyncio.get_running_loop().time() + client.settle_s
    while True:
        seen = await look(client, job)
        if await own(client, job, after, key if seen.keyed else ""):
            return True
        if asyncio.get_running_loop().time() >= deadline:
            break
        await asyncio.sleep(_LOOK_EVERY)
    untouched = seen.next_build == action.observed["next_build"] and list(seen.waiting) == action.observed["queued"]
    # builds of others came, or the queue is another: ours may have been among what is gone by now
    return False if untouched else None


async def _probe(client: JenkinsClient, action: Action) -> Probe:
    """The first build of this agent's since the job was looked at: started, and green at its end."""
    job, after = action.arguments["job"], int(action.observed["last_build"])
    found = next(iter(await own(client, job, after)), None)
    if found is None:
        gone = "it is neither in the queue nor built: somebody took it out of the queue"
        return Probe((Check("build started", passed=False, detail=gone),), settled=True)
    return Probe(*_checks(job, found))


def _checks(job: str, found: Own) -> tuple[tuple[Check, ...], bool]:
    if not found.number:
        why = found.why or "no reason is given"
        return (Check("build started", passed=False, detail=f"queue item {found.item} waits: {why}"),), False
    started = Check("build started", passed=True, detail=f"{job} #{found.number}")
    if found.building:
        return (started, Check("build succeeded", passed=False, detail=f"#{found.number} is still running")), False
    good = found.result == facts.GREEN
    return (started, Check("build succeeded", passed=good, detail=f"#{found.number} ended {found.result}")), not good
