"""jenkins_abort: a running build is asked to stop, or a queue item is taken out. No more than that: no term, no kill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from bot.tools import jenkins_arguments as given, jenkins_facts as facts
from bot.tools.jenkins_client import JenkinsClient, job_path
from bot.tools.jenkins_look import own
from bot.tools.jenkins_reads import Environment, job_json, target_of
from bot.tools.observed import moved_since
from bot.tools.rest import Missing
from bot.tools.spec import Arguments, WriteTool
from domain.actions import Action, Effect, Target
from domain.decisions import Check
from domain.errors import OutcomeUnknown, TargetMoved, ToolError
from domain.ports import Preview, Probe

PROBE_SECONDS = 120
_BUILD = f"number,building,result,timestamp,queueId,{facts.ACTIONS}"


@dataclass(frozen=True)
class Running:
    """What would be stopped: a build by its number, or a queue item by its id. `said` describes it."""

    number: int
    item: int
    said: str
    started: str = ""

    @property
    def observed(self) -> dict[str, Any]:
        """What an approval is bound to: this very build or item, while it still runs or waits."""
        return {"build": self.number, "queue_item": 0 if self.number else self.item, "started": self.started}


def abort_tool(client: JenkinsClient, environment: Environment) -> WriteTool:
    """The tool for one Jenkins."""

    def about(arguments: Arguments) -> Target:
        return target_of(arguments["job"], environment)

    async def preview(arguments: Arguments) -> Preview:
        return _preview(arguments["job"], await _find(client, arguments))

    async def execute(action: Action, key: str) -> str:
        return await _execute(client, action)

    async def arrived(action: Action, key: str) -> bool | None:
        return await _arrived(client, action)

    async def probe(action: Action) -> Probe:
        return await _probe(client, action)

    return WriteTool(
        "jenkins_abort",
        "Ask one running Jenkins build to stop, or take one out of the queue. What it did by then stays done.",
        Effect.WRITE,
        given.Abort,
        about,
        preview,
        execute,
        arrived,
        probe,
        PROBE_SECONDS,
    )


async def _find(client: JenkinsClient, arguments: Arguments) -> Running:
    """The build or item that is meant. Raises ToolError where none runs or waits."""
    job, number = arguments["job"], arguments["build"]
    if number:
        return await _running(client, job, number)
    await job_json(client, job, "fullName")  # a job that is not there is said to be so
    mine = await own(client, job, arguments["after"])
    if not mine:
        raise ToolError(f"This agent asked for no build of {job} after #{arguments['after']}.")
    first = mine[0]
    if first.number:
        return await _running(client, job, first.number)
    return Running(0, first.item, f"queue item {first.item} waits: {first.why or 'no reason is given'}")


async def _running(client: JenkinsClient, job: str, number: int) -> Running:
    try:
        raw = await client.get(f"{job_path(job)}/{number}", _BUILD, doing=f"read {job} #{number}")
    except Missing as error:
        raise Missing(
            f"There is no build {job} #{number} in Jenkins, or this agent may not see it (Job/Read)."
        ) from error
    build = facts.build_facts(raw)
    if not build["building"]:
        raise ToolError(f"{job} #{number} is not running: it ended {build['result'] or 'without a result'}.")
    causes = "; ".join(cause["text"] for cause in build["causes"])
    said = f"#{number} runs since {build['started']}: {causes}"
    return Running(number, 0, said, build["started"])


def _preview(job: str, running: Running) -> Preview:
    how = (
        f"POST {job_path(job)}/{running.number}/stop" if running.number else f"POST /queue/cancelItem?id={running.item}"
    )
    notes = ["# what it did by then stays done", "# where it does not listen, a person has to terminate or kill it"]
    again = f"rebuild {running.number}" if running.number else "ask for the build again"
    return Preview(
        observed=running.observed,
        diff="\n".join([how, f"- {running.said}", *notes[: 2 if running.number else 1]]),
        touches=1,
        facts={"no_undo": f"a stopped build does not go on; jenkins_trigger can {again}"},
    )


async def _execute(client: JenkinsClient, action: Action) -> str:
    job = action.arguments["job"]
    try:
        running = await _find(client, action.arguments)
    except ToolError as error:
        if error.retryable:
            raise
        raise TargetMoved(f"{error} Nothing was done.") from error
    if moved := moved_since(action.observed, running.observed):
        raise TargetMoved(f"{job} changed since it was looked at ({moved}), so nothing was done.")
    what = f"{job} #{running.number}" if running.number else f"Queue item {running.item} of {job}"
    if running.number:
        reply = await client.post(f"{job_path(job)}/{running.number}/stop", doing=f"stop {what}")
        said = f"Asked {what} to stop."
    else:
        try:
            reply = await client.post(
                "/queue/cancelItem", doing=f"cancel queue item {running.item}", params={"id": str(running.item)}
            )
        except Missing as error:
            raise TargetMoved(f"{what} left the queue meanwhile; nothing was done.") from error
        said = f"Took queue item {running.item} of {job} out of the queue."
    to = reply.headers.get("location", "")
    back = running.number and f"{job_path(job)}/" in urlsplit(to).path  # after a stop Jenkins leads back to the build
    if reply.status in (302, 303) and not back:  # as a login does
        raise OutcomeUnknown(f"{what} was asked to stop, and the answer leads to {to[:200]}.")
    if reply.status == 500:
        raise OutcomeUnknown(f"Jenkins failed while it was asked to stop it (HTTP 500): {reply.message}")
    return said


async def _state(client: JenkinsClient, action: Action) -> tuple[bool, str]:
    """Whether what was to be stopped still runs or waits, and how it ended."""
    job, number, item = action.arguments["job"], action.observed["build"], action.observed["queue_item"]
    if number:
        raw = await client.get(f"{job_path(job)}/{number}", "number,building,result", doing=f"read {job} #{number}")
        return raw.get("building") is True, str(raw.get("result") or "")
    try:
        raw = await client.get(
            f"/queue/item/{item}", "cancelled,executable[number]", doing=f"look at queue item {item}"
        )
    except Missing:
        return False, "gone"  # it left the queue more than five minutes ago
    if raw.get("cancelled") is True:
        return False, "CANCELLED"
    started = (raw.get("executable") or {}).get("number")
    return True, f"started as #{started}" if started else "waiting"


async def _arrived(client: JenkinsClient, action: Action) -> bool | None:
    """Whether it was stopped. By whom cannot be told: Jenkins leaves no room for a key here."""
    try:
        runs, end = await _state(client, action)
    except ToolError:
        return None
    if runs:
        return None if action.observed["build"] else False  # a build may be asked to stop and still be at it
    return True if end in ("ABORTED", "CANCELLED") else None


async def _probe(client: JenkinsClient, action: Action) -> Probe:
    runs, end = await _state(client, action)
    if runs:
        moved_on = end.startswith("started")
        return Probe((Check("stopped", passed=False, detail=end or "it still runs"),), settled=moved_on)
    good = end in ("ABORTED", "CANCELLED")
    said = "it ended ABORTED" if good else f"it ended {end} before it could be stopped"
    return Probe((Check("stopped", passed=good, detail=said),), settled=not good)
