"""The Jenkins tools that only look: a job's builds with what came in since it was green, and why one build failed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.tools import jenkins_arguments as given, jenkins_facts as facts, jenkins_render as render
from bot.tools.ci_logs import Failure, find_failure
from bot.tools.jenkins_client import JenkinsClient, job_path
from bot.tools.rest import Missing
from bot.tools.spec import Arguments, ReadTool
from domain.actions import Target
from domain.errors import ToolError

Environment = Callable[..., str]

KIND = "JenkinsJob"
"""Not `Job`: that is a Kubernetes one, in targets, in policies and in what analyzers look at."""

WINDOW = 1 << 20
"""Bytes of a log that are read at once: of a longer one its first window and its last three."""

MOST_REPORTS = 8
_JOB = (
    "fullName,url,buildable,color,inQueue,queueItem[id,why],nextBuildNumber,lastStableBuild[number],"
    f"{facts.DEFINITIONS},jobs[name,fullName,color,lastBuild[number,result,timestamp]]{{0,100}}"
)
_AGENT = re.compile(r"^Running on (\S{1,200}) in |^Building remotely on (\S{1,200}) ", re.MULTILINE)
_WAITS = re.compile(r"Still waiting to schedule task\n(.{1,300})")


@dataclass(frozen=True)
class Log:
    """A build's log as far as it was read: `cut` where its middle was left out. `size` is what Jenkins says it has, bytes."""

    text: str
    size: int
    cut: bool


def read_tools(client: JenkinsClient, environment: Environment) -> tuple[ReadTool, ...]:
    """Every read of one Jenkins."""

    def about(arguments: Arguments) -> Target:
        return target_of(arguments["job"], environment)

    async def builds(arguments: Arguments) -> Any:
        return await read_builds(client, arguments)

    async def build(arguments: Arguments) -> Any:
        return await read_build(client, arguments)

    return (
        ReadTool(
            "jenkins_builds",
            "A Jenkins job's recent builds (result, causes, parameters, commits) and every commit since it was last green. "
            "Of a folder or multibranch project: its jobs.",
            given.Builds,
            about,
            builds,
            render.builds,
        ),
        ReadTool(
            "jenkins_build",
            "Why a Jenkins build ended as it did: stages, the failing step and its log, failed tests with their age, commits.",
            given.Build,
            about,
            build,
            render.build,
        ),
    )


def target_of(job: str, environment: Environment, parameters: dict[str, str] | None = None) -> Target:
    """The job as a target. Its environment: the first pattern that matches its path, or its path with a parameter's value.

    A value with an @ is left out: it could pass for another parameter's.
    """
    folder, _, name = job.rpartition("/")
    place = f"jenkins:{job}"
    valued = [f"{place}@{name}:{value}" for name, value in (parameters or {}).items() if "@" not in value]
    return Target("jenkins", environment(place, *valued), folder, KIND, name)


async def read_builds(client: JenkinsClient, arguments: Arguments) -> dict[str, Any]:
    """A job's recent builds, newest first, and the commits since its last green one."""
    job, limit = arguments["job"], arguments["limit"]
    tree = f"{_JOB},builds[{facts.BUILD}]{{0,{limit}}}"
    raw = await job_json(client, job, tree)
    branch = job.rpartition("/")[2]
    builds = [facts.build_facts(each, branch) for each in facts.objects(raw.get("builds"))]
    if arguments["failed_tests"]:
        await _name_failed_tests(client, job, builds)
    queued = raw.get("queueItem") or {}
    return {
        "job": job,
        "url": raw.get("url") or "",
        "buildable": raw.get("buildable") is True,
        "waits": str(queued.get("why") or "in the queue") if raw.get("inQueue") else "",
        "parameters": facts.definitions(raw),
        "last_green": _last_green(raw, builds),
        "since_green": _since_green(raw, builds),
        "builds": builds,
        "jobs": _jobs(raw),
        "read_at": facts.now_text(),
    }


async def job_json(client: JenkinsClient, job: str, tree: str) -> Any:
    """What Jenkins exports of a job. Raises Missing with what a name may lack."""
    try:
        return await client.get(job_path(job), tree, doing=f"read job {job}")
    except Missing as error:
        hint = "; in a branch's name a slash is written %2F" if job.count("/") > 1 and "%2F" not in job else ""
        raise Missing(f"There is no job {job} in Jenkins, or this agent may not see it (Job/Read){hint}.") from error


def _last_green(raw: Any, builds: list[dict[str, Any]]) -> dict[str, Any] | None:
    number = (raw.get("lastStableBuild") or {}).get("number")
    if not isinstance(number, int):
        return None
    seen = next((build for build in builds if build["number"] == number), None)
    return {"number": number, "commit": seen["revision"]["commit"] if seen else ""}


def _since_green(raw: Any, builds: list[dict[str, Any]]) -> dict[str, Any]:
    """The commits of every build after the last green one; not `complete` where there are more builds than were read."""
    green = _last_green(raw, builds)
    number = green["number"] if green else 0
    later = [build for build in builds if build["number"] > number]
    commits = {
        each["commit"]: {**each, "build": build["number"]} for build in reversed(later) for each in build["changes"]
    }
    oldest = min((build["number"] for build in builds), default=0)
    return {"builds": len(later), "commits": list(commits.values()), "complete": oldest <= number + 1}


def _jobs(raw: Any) -> list[dict[str, Any]]:
    found = []
    for each in facts.objects(raw.get("jobs")):
        last = each.get("lastBuild") or {}
        found.append({
            "job": each.get("fullName") or each.get("name") or "", "color": each.get("color") or "folder",
            "last": last.get("number") or 0, "result": last.get("result") or "", "at": facts.moment(last.get("timestamp")),
        })  # fmt: skip
    return found


async def _name_failed_tests(client: JenkinsClient, job: str, builds: list[dict[str, Any]]) -> None:
    """The failed tests of the newest builds that have any: one report each, all at once."""
    failed = [build for build in builds if build["tests"] and build["tests"]["failed"]][:MOST_REPORTS]
    reports = await asyncio.gather(*(_report(client, job, build["number"]) for build in failed))
    for build, report in zip(failed, reports, strict=True):
        build["failed_tests"] = [case["test"] for case in report["failing"]] if report else []


async def _report(client: JenkinsClient, job: str, number: int) -> dict[str, Any] | None:
    path = f"{job_path(job)}/{number}/testReport/api/json"
    doing = f"read the test report of {job} #{number}"
    return facts.test_facts(await client.maybe(path, doing=doing, params={"tree": facts.TESTS}))


async def read_build(client: JenkinsClient, arguments: Arguments) -> dict[str, Any]:
    """One build: what started it, what came in, its stages, and where and why it failed."""
    job, asked = arguments["job"], arguments["number"]
    named = f"{job} #{asked}" if asked else f"the last build of {job}"
    try:
        raw = await client.get(f"{job_path(job)}/{asked or 'lastBuild'}", facts.BUILD, doing=f"read {named}")
    except Missing as error:
        raise Missing(f"There is no {named} in Jenkins, or this agent may not see it (Job/Read).") from error
    build = facts.build_facts(raw, job.rpartition("/")[2])
    path, doing = f"{job_path(job)}/{build['number']}", f"read {job} #{build['number']}"
    green = build["result"] == facts.GREEN
    seen, report, log = await asyncio.gather(
        client.maybe(f"{path}/wfapi/describe", doing=f"{doing}'s stages"),
        _report(client, job, build["number"]) if build["tests"] else _nothing(),
        _nothing() if green else read_log(client, path, f"{doing}'s log"),
    )
    listed = facts.stages(seen)
    if log is not None:
        build["agent"] = build["agent"] or _agent(log.text)
    failure = None if green or build["building"] else await _failure(client, path, doing, listed, log)
    return {
        "job": job,
        **build,
        "tests": report or build["tests"],
        "stages": listed,
        "failure": failure,
        "waits": waits[1] if build["building"] and log and (waits := _WAITS.search(log.text)) else "",
        "agent_state": {} if green else await _agent_state(client, build["agent"]),
        "read_at": facts.now_text(),
    }


async def _failure(
    client: JenkinsClient, path: str, doing: str, stages: list[dict[str, Any]], log: Log | None
) -> dict[str, Any]:
    """Where it failed: the stage and step by the stage view where there is one, the words by the log.

    The stage view has the failing step's own log too, which is read where what was read of the whole tells of another stage.
    """
    told = await asyncio.to_thread(find_failure, log.text) if log else None
    stage, node, text = facts.failing_stage(stages), None, ""
    if stage is not None:
        about = f"{path}/execution/node/{stage['id']}/wfapi/describe"
        node = facts.failing_node(await client.maybe(about, doing=f"{doing}'s stage {stage['name']}"))
    unsure = told is None or (stage is not None and told.section != stage["name"])
    if node is not None and unsure:
        found = await client.maybe(f"{path}/execution/node/{node['id']}/wfapi/log", doing=f"{doing}'s failing step")
        text = facts.plain_text(found.get("text")) if isinstance(found, dict) else ""
    own = await asyncio.to_thread(find_failure, text) if text.strip() else None
    return _told(own or told, told, stage, node, log)


def _told(
    words: Failure | None, whole: Failure | None, stage: Any, node: dict[str, str] | None, log: Log | None
) -> dict[str, Any]:
    return {
        "stage": stage["name"] if stage else words.section if words else "",
        "step": node["name"] if node else "",
        "command": words.command if words else "",
        "error": (node["error"] if node else "") or (whole.end if whole else ""),
        "exit_code": whole.exit_code if whole else None,
        "errors": list(words.errors) if words else [],
        "tests": list(words.tests or (whole.tests if whole else ())) if words else [],
        "excerpt": words.excerpt if words else "",
        "infrastructure": (words.infrastructure or (whole.infrastructure if whole else "")) if words else "",
        "log_bytes": log.size if log else 0,
        "log_cut": bool(log and log.cut),
    }


async def read_log(client: JenkinsClient, path: str, doing: str) -> Log:
    """A build's log by windows: whole where it is short, else its beginning and its last part, where stages still begin."""
    url = f"{path}/logText/progressiveText"
    first = await client.send("GET", url, doing=doing, params={"start": "0"}, at_most=WINDOW)
    size = _size(first.headers.get("x-text-size", ""), len(first.body))
    if not first.cut:
        return Log(first.text, size, cut=False)
    start = max(WINDOW, size - 3 * WINDOW)
    last = await client.send("GET", url, doing=doing, params={"start": str(start)}, at_most=3 * WINDOW)
    head, tail = first.text, last.text
    if start > WINDOW:  # both ends are whole lines, so that no word is made of two halves
        head, tail = head[: head.rfind("\n") + 1], tail[tail.find("\n") + 1 :]
    return Log(head + tail, size, cut=start > WINDOW)


def _size(header: str, read: int) -> int:
    return int(header) if header.isdecimal() and len(header) < 19 else read


def _agent(text: str) -> str:
    """The agent that a build ran on last: one that it lost is the one to look at."""
    found = [match[1] or match[2] for match in _AGENT.finditer(text)]
    return found[-1] if found else ""


async def _agent_state(client: JenkinsClient, name: str) -> dict[str, Any]:
    """Whether an agent is there now, empty where that cannot be seen."""
    if not name or not re.fullmatch(r"[\w.-]{1,200}", name):
        return {}
    try:
        tree = "displayName,offline,temporarilyOffline,offlineCauseReason"
        raw = await client.get(f"/computer/{name}", tree, doing=f"look at agent {name}")
    except ToolError:
        return {}
    return {
        "name": name,
        "offline": raw.get("offline") is True,
        "reason": str(raw.get("offlineCauseReason") or "")[:300],
    }


async def _nothing() -> None:
    return None
