"""The stand-in Jenkins and the tools connected to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bot.config import load
from bot.local.jenkins import Asked, Jenkins
from bot.tools import Clients, build_tools
from bot.tools.jenkins_client import JenkinsClient
from bot.tools.rest import Limits
from tests.contracts.tool_driver import Driver

ENVIRONMENTS = (
    "jenkins:shop/deploy@TARGET:staging=staging,jenkins:shop/checkout/feature*=development,jenkins:shop/nightly=staging"
)


class World(Driver):
    """A Jenkins, and the tools that talk to it."""

    def __init__(self, jenkins: Jenkins, client: JenkinsClient) -> None:
        self.jenkins, self.client = jenkins, client
        environment = load({"AGENT_ENVIRONMENTS": ENVIRONMENTS}, env_file=None).environment
        super().__init__(build_tools(Clients(jenkins=client), environment))

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something in Jenkins."""
        await self.jenkins.until(holds)

    @property
    def changes(self) -> list[Asked]:
        """Every change that Jenkins was asked for and took."""
        return [asked for asked in self.jenkins.asked if asked.method == "POST" and asked.status < 400]


@asynccontextmanager
async def world(
    *, speed: float = 20.0, prefix: str = "/jenkins", password: bool = False, settle_s: float = 0.3, read_s: float = 3.0
) -> AsyncIterator[World]:
    """Everything running, for the length of a test. `password`: the agent logs in with one, and needs crumbs."""
    async with Jenkins(speed=speed, prefix=prefix) as jenkins:
        secret = jenkins.agent.password if password else jenkins.agent.token
        limits = Limits(connect=1.0, read=read_s)
        client = JenkinsClient(jenkins.url, jenkins.agent.id, secret, limits, settle_s=settle_s, start_s=0.5)
        try:
            yield World(jenkins, client)
        finally:
            await client.close()
