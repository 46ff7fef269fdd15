"""What a change in Jenkins relies on: the job as it is now, and which builds and queue items are this agent's own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.tools import jenkins_facts as facts
from bot.tools.jenkins_arguments import KEY
from bot.tools.jenkins_client import JenkinsClient, job_path
from bot.tools.jenkins_reads import job_json
from domain.canonical import digest_of
from domain.errors import ToolError

HISTORY = 50
"""How many builds back an own one is looked for."""

_JOB = (
    f"fullName,url,buildable,inQueue,nextBuildNumber,lastBuild[number,building,result],builds[number,building]{{0,20}},"
    f"{facts.DEFINITIONS}"
)
_WHO = "causes[userId],parameters[name,value]"


@dataclass(frozen=True)
class Seen:
    """A job as it is now. `running` are the numbers of the builds that run, `waiting` the ids of its queue items, and `own`
    of those that this agent asked for.
    """

    name: str
    buildable: bool
    next_build: int
    last_build: int
    last_result: str
    running: tuple[int, ...]
    waiting: tuple[int, ...]
    own: tuple[int, ...]
    definitions: tuple[Mapping[str, Any], ...]
    quieting_down: bool

    @property
    def keyed(self) -> bool:
        """Whether the job declares the parameter in which the agent's key is left."""
        return any(each["name"] == KEY for each in self.definitions)

    @property
    def observed(self) -> dict[str, Any]:
        """What an approval is bound to: another build, a queue item or changed parameters are another situation."""
        return {
            "next_build": self.next_build,
            "last_build": self.last_build,
            "running": list(self.running),
            "queued": list(self.waiting),
            "buildable": self.buildable,
            "parameters": digest_of([dict(each) for each in self.definitions])[:16],
        }

    @property
    def standing(self) -> str:
        """Where the job stands, in words."""
        last = f"last build #{self.last_build} {self.last_result or 'RUNNING'}" if self.last_build else "never built"
        queue = (
            f"queue item {', '.join(map(str, self.waiting))} waits" if self.waiting else "nothing of it in the queue"
        )
        return f"{last}; {queue}; the next one is #{self.next_build}"


@dataclass(frozen=True)
class Own:
    """A build or queue item that this agent asked for; `number` is 0 while it waits, `why` what it waits for."""

    item: int = 0
    number: int = 0
    building: bool = False
    result: str = ""
    why: str = ""


async def look(client: JenkinsClient, job: str) -> Seen:
    """The job, its queue items and whether Jenkins is about to shut down. Raises Missing or ToolError."""
    raw, items, root = await asyncio.gather(
        job_json(client, job, _JOB),
        _items(client, job),
        client.get("", "quietingDown", doing="look whether Jenkins is about to shut down"),
    )
    if "nextBuildNumber" not in raw:
        raise ToolError(
            f"{job} is a folder or a project with branches, and not a job that can be built; name a job in it."
        )
    last = raw.get("lastBuild") or {}
    return Seen(
        name=job,
        buildable=raw.get("buildable") is True,
        next_build=facts.number(raw.get("nextBuildNumber")),
        last_build=facts.number(last.get("number")),
        last_result=str(last.get("result") or ""),
        running=tuple(
            facts.number(each.get("number"))
            for each in facts.objects(raw.get("builds"))
            if each.get("building") is True
        ),
        waiting=tuple(facts.number(each.get("id")) for each in items),
        own=tuple(facts.number(each.get("id")) for each in items if _is_own(client, each, "")),
        definitions=tuple(facts.definitions(raw)),
        quieting_down=root.get("quietingDown") is True,
    )


async def own(client: JenkinsClient, job: str, after: int, key: str = "") -> tuple[Own, ...]:
    """What this agent asked for since build `after`, oldest first: of one key, where one is given.

    The queue is read before the builds: what leaves it in between is seen as a build. Where a job has no parameter for
    the key, what the agent's own user asked for counts.
    """
    waiting = [
        Own(item=facts.number(each.get("id")), why=str(each.get("why") or ""))
        for each in await _items(client, job)
        if _is_own(client, each, key)
    ]
    tree = f"builds[number,building,result,queueId,actions[{_WHO}]]{{0,{HISTORY}}}"
    raw = await job_json(client, job, tree)
    built = [
        Own(
            facts.number(each.get("queueId")),
            facts.number(each.get("number")),
            each.get("building") is True,
            str(each.get("result") or ""),
        )
        for each in facts.objects(raw.get("builds"))
        if facts.number(each.get("number")) > after and _is_own(client, each, key)
    ]
    seen = {each.item for each in built}
    return (*reversed(built), *sorted((each for each in waiting if each.item not in seen), key=lambda each: each.item))


def _is_own(client: JenkinsClient, raw: Mapping[str, Any], key: str) -> bool:
    left = facts.parameters(raw).get(KEY)
    if key:
        return left == key
    return bool(left) if left is not None else client.user.lower() in facts.users(raw)


async def _items(client: JenkinsClient, job: str) -> list[Mapping[str, Any]]:
    """The job's own items in the queue; a running pipeline that waits for an agent is no item of the job."""
    tree = f"items[id,why,task[fullName,url],actions[{_WHO}]]"
    raw = await client.get("/queue", tree, doing="look at the queue")
    end = f"{job_path(job)}/"
    return [each for each in facts.objects(raw.get("items")) if _task_is(each.get("task"), job, end)]


def _task_is(task: Any, job: str, end: str) -> bool:
    if not isinstance(task, Mapping):
        return False
    return task.get("fullName") == job or str(task.get("url") or "").endswith(end)
