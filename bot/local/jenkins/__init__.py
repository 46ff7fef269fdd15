"""A stand-in Jenkins on loopback: its remote API, queue, builds in time, crumbs, stage view and notification plugin.

It knows nothing of who uses it. Only what the documentation and the source of Jenkins say exists here; any other path is 404.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from bot.local.jenkins.engine import Engine
from bot.local.jenkins.faults import Faults
from bot.local.jenkins.model import Build, Cause, Commit, Item, Job
from bot.local.jenkins.notify import Notifier
from bot.local.jenkins.request import Asked
from bot.local.jenkins.security import ADMINISTER, LEAST, Security, User
from bot.local.jenkins.server import Server, Switches
from bot.local.jenkins.world import REFUND, TAX, commit, seed

__all__ = ["REFUND", "TAX", "Asked", "Jenkins", "commit"]

AGENT = "personal-agent"


class Jenkins:
    """A Jenkins for the length of an `async with`.

    port: 0 for a free one. speed: 1 runs at the demo's pace, 10 ten times faster. prefix: its context path, such as /jenkins.
    `agent` is the user whom `agent.token` belongs to, with no more than an agent needs; `agent.password` logs in as a person
    does, with crumbs. `faults.add` makes the next requests go wrong; `switches.wfapi` takes the stage view away.
    """

    def __init__(self, port: int = 0, speed: float = 1.0, *, prefix: str = "") -> None:
        self.port, self.prefix = port, prefix
        self.agent = User(AGENT, "Personal Agent", _token(), _token(), LEAST)
        self.admin = User("admin", "Administrator", _token(), _token(), frozenset({ADMINISTER}))
        self.security = Security([self.agent, self.admin])
        self.faults, self.switches = Faults(), Switches()
        self.engine = Engine(speed, lambda build, phase: self._notifier.tell(build, phase))

    async def __aenter__(self) -> Self:
        seed(self.engine)
        self._server = Server(self.engine, self.security, self.faults, self.prefix, self.switches)
        self._runner = web.AppRunner(self._server.application(), access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        self._notifier = Notifier(f"{self.url}/")
        await self._notifier.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.faults.release()
        self.engine.close()
        await self._notifier.stop()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    @property
    def asked(self) -> list[Asked]:
        """Every request so far, oldest first; at most the last 5,000."""
        return list(self._server.asked)

    @property
    def notified(self) -> list[dict[str, object]]:
        """Every message that an endpoint has taken, oldest first."""
        return self._notifier.sent

    async def until_notified(self, count: int) -> None:
        """Wait until so many messages were taken."""
        async with self._notifier.told:
            await self._notifier.told.wait_for(lambda: len(self._notifier.sent) >= count)

    def job(self, path: str) -> Job:
        """A job by its full name. Raises KeyError."""
        return self.engine.job(path)

    def push(self, path: str, *commits: Commit) -> Item:
        """Somebody pushes; a build follows."""
        return self.engine.push(self.job(path), *commits)

    def started_by(self, path: str, name: str, **parameters: str) -> Item:
        """Somebody presses Build."""
        job = self.job(path)
        given = {each.name: parameters.get(each.name, each.default) for each in job.parameters}
        ids = {"userId": name.lower(), "userName": name}
        return self.engine.schedule(job, given, Cause("hudson.model.Cause$UserIdCause", f"Started by user {name}", ids))

    async def until(self, holds: Callable[[], bool], seconds: float = 20.0) -> None:
        """Wait until something holds, looking again at every change."""
        async with asyncio.timeout(seconds):
            await self.engine.until(holds)

    async def built(self, path: str, number: int) -> Build:
        """A build, once it has ended."""
        job = self.job(path)
        await self.until(lambda: (found := job.build(number)) is not None and not found.building)
        return next(build for build in job.builds if build.number == number)


def _token() -> str:
    return f"11{secrets.token_hex(16)}"
