"""The stand-in GitLab and the tools that change something in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from bot.config import load
from bot.local.gitlab import Asked, GitLab, Job, Pipeline, Project
from bot.tools.gitlab_client import GitLabClient
from bot.tools.gitlab_writes import gitlab_writes
from bot.tools.rest import Limits
from domain.actions import Action
from tests.contracts.tool_driver import Driver

ENVIRONMENTS = "gitlab:shop/checkout@environment:staging=staging,gitlab:shop/cart=development"
CHECKOUT = "shop/checkout"


class Shop(Driver):
    """A GitLab, and the tools that talk to it."""

    def __init__(self, gitlab: GitLab, client: GitLabClient) -> None:
        self.gitlab, self.client = gitlab, client
        super().__init__([])
        self.use(ENVIRONMENTS)

    def use(self, environments: str) -> None:
        """The tools under another AGENT_ENVIRONMENTS."""
        environment = load({"AGENT_ENVIRONMENTS": environments}, env_file=None).environment
        self.tools = {tool.name: tool for tool in gitlab_writes(self.client, environment, None)}

    @property
    def project(self) -> Project:
        return self.gitlab.projects[CHECKOUT]

    @property
    def changes(self) -> list[Asked]:
        """Every change that GitLab was asked for and took."""
        taken = [asked for asked in self.gitlab.asked if asked.method not in ("GET", "HEAD") and asked.status < 400]
        return [asked for asked in taken if "graphql" not in asked.path]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something in GitLab."""
        async with asyncio.timeout(10):
            await self.gitlab.until(holds)

    async def over(self, line: Pipeline) -> Pipeline:
        """A pipeline once it has ended."""
        await self.until(lambda: line.status in ("success", "failed", "canceled"))
        return line

    async def ended(self, action: Action) -> Any:
        """The probe once it has passed or waiting changes nothing."""
        async with asyncio.timeout(10):
            while True:
                probe = await self.probe(action)
                if probe.passed or probe.settled:
                    return probe
                await asyncio.sleep(0.02)


def job(line: Pipeline, name: str) -> Job:
    """The last run of a job."""
    return next(each for each in line.latest if each.name == name)


@asynccontextmanager
async def shop(*, speed: float = 40.0, settle_s: float = 0.3, read_s: float = 3.0) -> AsyncIterator[Shop]:
    """Everything running, for the length of a test."""
    async with GitLab(speed=speed) as gitlab:
        client = GitLabClient(gitlab.url, gitlab.token, Limits(connect=1.0, read=read_s), settle_s=settle_s)
        try:
            yield Shop(gitlab, client)
        finally:
            await client.close()
