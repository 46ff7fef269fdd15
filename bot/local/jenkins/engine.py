"""The queue and the executors: items that wait, are blocked, become builds and are forgotten; builds that run in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from bot.local.cluster.pace import Pace
from bot.local.jenkins.model import FREESTYLE, Agent, Build, Cause, Commit, Folder, Item, Job, now
from bot.local.jenkins.running import WAIT, Run, run

FORGET_SECONDS = 300.0
"""How long an item that left the queue can still be looked at."""


class Engine:
    """A Jenkins at work. `on_phase` hears of every build's phases (STARTED, COMPLETED, FINALIZED).

    At speed 1 a second is a second. `quiet_s` is the quiet period of every job.
    """

    def __init__(self, speed: float, on_phase: Callable[[Build, str], None]) -> None:
        self.root = Folder("")
        self.agents: list[Agent] = []
        self.items: dict[int, Item] = {}
        self.quiet_s = 0.2
        self.quieting_down = False
        self.pace = Pace(speed)
        self._on_phase = on_phase
        self._held: list[Build] | None = None
        self._runs: dict[Build, Run] = {}
        self._last_id = 1000
        self._bells: list[asyncio.Future[None]] = []

    # --- for whoever looks ------------------------------------------------------------------------------------------------

    def job(self, path: str) -> Job:
        """A job by its full name. Raises KeyError."""
        place: Folder | Job = self.root
        for name in path.split("/"):
            if isinstance(place, Job):
                raise KeyError(path)
            place = place.children[name]
        if isinstance(place, Folder):
            raise KeyError(path)
        return place

    def waiting(self) -> Iterator[Item]:
        """The items in the queue, those of pipelines that wait for an agent among them."""
        yield from (item for item in self.items.values() if item.state != "LeftItem")

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds, looking again at every change."""
        while not holds():
            bell = asyncio.get_running_loop().create_future()
            self._bells.append(bell)
            await bell

    def ring(self) -> None:
        """Something changed."""
        bells, self._bells = self._bells, []
        for bell in bells:
            if not bell.done():
                bell.set_result(None)

    # --- the queue --------------------------------------------------------------------------------------------------------

    def schedule(self, job: Job, parameters: dict[str, str], cause: Cause, delay: float | None = None) -> Item:
        """A new item; the one that waits already where it is the same task with the same parameters."""
        for item in self.items.values():
            if item.job is job and item.state != "LeftItem" and not item.placeholder and item.parameters == parameters:
                item.causes.append(cause)
                return item
        self._last_id += 1
        wait = self.quiet_s if delay is None else delay
        item = Item(self._last_id, job, parameters, [cause], now(), now() + timedelta(seconds=wait / self.pace.speed))
        item.why = f"In the quiet period. Expires in {wait:.1f} sec"
        self.items[item.id] = item
        self.pace.after(("item", item.id), wait, lambda: self._due(item))
        self.ring()
        return item

    def cancel(self, item: Item) -> None:
        """Take an item out of the queue."""
        self.pace.cancel(("item", item.id))
        if item.placeholder and item.build is not None:
            self.stop(item.build, "SYSTEM")
        self._leave(item, cancelled=True)

    def _due(self, item: Item) -> None:
        item.state = "BuildableItem"
        self.maintain()

    def maintain(self) -> None:
        """Look which items can go on."""
        for item in [item for item in self.items.values() if item.state in ("BuildableItem", "BlockedItem")]:
            self._consider(item)
        self.ring()

    def _consider(self, item: Item) -> None:
        job = item.job
        running = next((build for build in job.builds if build.building and build is not item.build), None)
        if self.quieting_down and not item.placeholder:
            item.state, item.why = "BuildableItem", "Jenkins is about to shut down"
        elif running is not None and not job.concurrent and not item.placeholder:
            item.state, item.why = "BlockedItem", f"Build #{running.number} is already in progress (ETA: N/A)"
        elif job.kind != FREESTYLE and not item.placeholder:
            self._begin(item, None)  # a pipeline starts at once, and waits for its agent as a part of it
        else:
            item.state = "BuildableItem"
            agent, item.why = self._agent_for(job.label)
            if agent is not None and item.build is not None:
                self._give(item.build, agent)
                self._leave(item)
            elif agent is not None:
                self._begin(item, agent)

    def _agent_for(self, label: str) -> tuple[Agent | None, str]:
        fitting = [agent for agent in self.agents if label in (agent.name, *agent.labels)]
        online = [agent for agent in fitting if not agent.offline]
        free = next((agent for agent in online if len(agent.running) < agent.executors), None)
        if free is not None:
            return free, ""
        if online:
            return None, f"Waiting for next available executor on ‘{label}’"
        if not fitting:
            return None, f"There are no nodes with the label ‘{label}’"
        return None, f"‘{fitting[0].name}’ is offline" if len(
            fitting
        ) == 1 else f"All nodes of label ‘{label}’ are offline"

    def _leave(self, item: Item, *, cancelled: bool = False) -> None:
        item.state, item.cancelled, item.why = "LeftItem", cancelled, ""
        self.pace.after(("forget", item.id), FORGET_SECONDS, lambda: self.forget(item))
        self.ring()

    def forget(self, item: Item) -> None:
        """What left the queue long ago cannot be looked at any more."""
        if item.state == "LeftItem":
            self.items.pop(item.id, None)

    # --- builds -----------------------------------------------------------------------------------------------------------

    def _begin(self, item: Item, agent: Agent | None) -> None:
        job = item.job
        build = self.new_build(job, item.id, item.parameters, item.causes)
        item.build = build
        self._leave(item)
        self._runs[build] = run(build, job.script(build))
        if agent is not None:
            self._occupy(build, agent)
        self._on_phase(build, "STARTED")
        self._forward(build)

    def new_build(self, job: Job, queue_id: int, parameters: dict[str, str], causes: list[Cause]) -> Build:
        """The next build of a job, at the newest commit of its branch, with what came in since the one before."""
        before = job.builds[-1].commit if job.builds else None
        start = job.commits.index(before) + 1 if before in job.commits else 0
        commit = job.commits[-1] if job.commits else None
        changes = tuple(job.commits[start:]) if job.builds else ()
        build = Build(job, job.next_number, queue_id, dict(parameters), list(causes), commit, changes, now())
        job.next_number += 1
        job.builds.append(build)
        return build

    def _occupy(self, build: Build, agent: Agent) -> None:
        build.agent, build.waits_for = agent, ""
        agent.running.append(build)

    def _give(self, build: Build, agent: Agent) -> None:
        self._occupy(build, agent)
        self._forward(build)

    def _forward(self, build: Build) -> None:
        """The next stretch of a run."""
        steps = self._runs.get(build)
        if steps is None:
            return
        delay = next(steps, None)
        if delay is None:
            self._end(build)
        elif delay == WAIT:
            self._wait_for_agent(build)
        elif self._held is not None and not build.interrupted_by:
            self._held.append(build)
        else:
            self.pace.after(("build", id(build)), delay, lambda: self._forward(build))
        self.ring()

    def hold(self) -> None:
        """From now on builds start and stand at their next step, until `release`."""
        self._held = self._held or []

    def release(self) -> None:
        """What was held goes on."""
        held, self._held = self._held or [], None
        for build in held:
            self._hurry(build)

    def _wait_for_agent(self, build: Build) -> None:
        agent, why = self._agent_for(build.job.label)
        if agent is not None:
            self._give(build, agent)
            return
        build.waits_for = why
        build.say("Still waiting to schedule task", why)
        self._last_id += 1
        item = Item(self._last_id, build.job, {}, [], now(), now(), "BuildableItem", why, build=build, placeholder=True)
        self.items[item.id] = item

    def stop(self, build: Build, by: str) -> None:
        """Ask a build to stop, as the button does."""
        if not build.building or build.job.stubborn or build.interrupted_by:
            return
        build.interrupted_by = by
        for item in list(self.items.values()):
            if item.build is build and item.placeholder and item.state != "LeftItem":
                self._leave(item, cancelled=True)
        self._hurry(build)

    def take_offline(self, name: str, reason: str) -> None:
        """An agent is gone; what runs on it notices."""
        agent = next(agent for agent in self.agents if agent.name == name)
        agent.offline, agent.reason = True, reason
        for build in list(agent.running):
            self._hurry(build)
        self.maintain()

    def _hurry(self, build: Build) -> None:
        self.pace.after(("build", id(build)), 0.05, lambda: self._forward(build))

    def _end(self, build: Build) -> None:
        self._runs.pop(build, None)
        if build.agent is not None and build in build.agent.running:
            build.agent.running.remove(build)
        self._on_phase(build, "COMPLETED")
        self._on_phase(build, "FINALIZED")
        self.maintain()

    def past(self, job: Job, ago: timedelta, cause: Cause, parameters: dict[str, str] | None = None) -> Build:
        """A build of long ago, as it must have run."""
        self._last_id += 1
        build = self.new_build(job, self._last_id, parameters or {}, [cause])
        build.started = now() - ago
        build.agent = next((agent for agent in self.agents if job.label in (agent.name, *agent.labels)), None)
        for _ in run(build, job.script(build)):
            pass
        return build

    def push(self, job: Job, *commits: Commit, causes: Sequence[Cause] = ()) -> Item:
        """Somebody pushes to a job's branch, and the webhook of the repository starts a build."""
        job.commits += commits
        cause = causes[0] if causes else branch_event(job)
        return self.schedule(job, {each.name: each.default for each in job.parameters}, cause)

    def close(self) -> None:
        """No more time passes."""
        self.pace.close()
        self.ring()


def branch_event(job: Job) -> Cause:
    """The cause of a build that a push started."""
    if job.kind == FREESTYLE:
        return Cause("hudson.triggers.SCMTrigger$SCMTriggerCause", "Started by an SCM change")
    return Cause("jenkins.branch.BranchEventCause", f"Push event to branch {job.name.replace('%2F', '/')}")
