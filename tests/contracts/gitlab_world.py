"""The stand-in GitLab and the tools connected to it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bot.config import load
from bot.local.gitlab import Asked, GitLab
from bot.tools import Clients, build_tools
from bot.tools.gitlab_client import GitLabClient
from bot.tools.rest import Limits
from tests.contracts.tool_driver import Driver

ENVIRONMENTS = "gitlab:shop/*@environment:staging=staging,gitlab:shop/web=development"


class World(Driver):
    """A GitLab, and the tools that talk to it."""

    def __init__(self, gitlab: GitLab, client: GitLabClient) -> None:
        self.gitlab, self.client = gitlab, client
        environment = load({"AGENT_ENVIRONMENTS": ENVIRONMENTS}, env_file=None).environment
        super().__init__(build_tools(Clients(gitlab=client), environment))

    @property
    def asked(self) -> list[Asked]:
        """Every request so far."""
        return self.gitlab.asked

    @property
    def changes(self) -> list[Asked]:
        """Every change that GitLab was asked for and took."""
        return [
            each for each in self.asked if each.method != "GET" and "graphql" not in each.path and each.status < 400
        ]


@asynccontextmanager
async def world(*, speed: float = 20.0, settle_s: float = 0.3, read_s: float = 3.0) -> AsyncIterator[World]:
    """Everything running, for the length of a test."""
    async with GitLab(speed=speed) as gitlab:
        client = GitLabClient(gitlab.url, gitlab.token, Limits(connect=1.0, read=read_s), settle_s=settle_s)
        try:
            yield World(gitlab, client)
        finally:
            await client.close()
