"""The stand-in Jenkins and the tools connected to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from bot.config import load
from bot.local.jenkins import Asked, Jenkins
from bot.tools import Clients, build_tools
from bot.tools.jenkins_client import JenkinsClient
from bot.tools.rest import Limits
from domain.actions import Action
from domain.ports import Probe

ENVIRONMENTS = (
    "jenkins:shop/deploy@TARGET:staging=staging,jenkins:shop/checkout/feature*=development,jenkins:shop/nightly=staging"
)


class World:
    """A Jenkins, and the tools that talk to it."""

    def __init__(self, jenkins: Jenkins, client: JenkinsClient) -> None:
        self.jenkins, self.client = jenkins, client
        environment = load({"AGENT_ENVIRONMENTS": ENVIRONMENTS}, env_file=None).environment
        self.tools: dict[str, Any] = {tool.name: tool for tool in build_tools(Clients(jenkins=client), environment)}

    async def read(self, name: str, /, **arguments: Any) -> Any:
        """What a read tool answers."""
        tool = self.tools[name]
        return await tool.read(tool.understand(arguments).arguments)

    async def propose(self, name: str, /, **arguments: Any) -> Action:
        """An Action as the agent makes one: understood and observed."""
        tool = self.tools[name]
        understood = tool.understand(arguments)
        seen = await tool.preview(understood.arguments)
        return Action(
            name,
            understood.arguments,
            tool.effect,
            understood.target,
            seen.observed,
            seen.facts,
            seen.touches,
            seen.diff,
            seen.undo,
        )

    async def execute(self, action: Action, key: str = "exe-1") -> str:
        """Execute it."""
        done: str = await self.tools[action.tool].execute(action, key)
        return done

    async def arrived(self, action: Action, key: str = "exe-1") -> bool | None:
        """Ask Jenkins."""
        found: bool | None = await self.tools[action.tool].arrived(action, key)
        return found

    async def probe(self, action: Action) -> Probe:
        """The probe as it is now."""
        found: Probe = await self.tools[action.tool].probe(action)
        return found

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
