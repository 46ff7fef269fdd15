"""The tools of a system, driven as the agent and the executor drive them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bot.agent.step import observe
from domain.actions import Action
from domain.canonical import canonical
from domain.ports import Probe, Tool, WriteTool


async def proposed(tool: WriteTool, arguments: Mapping[str, Any]) -> Action:
    """The action as a card would bind it: understood, and the target looked at."""
    understood = tool.understand(arguments)
    action = await observe(Action(tool.name, understood.arguments, tool.effect, understood.target), tool)
    assert canonical(action.observed), "the journal can hold it"
    return action


class Driver:
    """Tools by their names."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self.tools: dict[str, Any] = {tool.name: tool for tool in tools}

    async def read(self, name: str, /, **arguments: Any) -> Any:
        """What a read tool answers."""
        tool = self.tools[name]
        return await tool.read(tool.understand(arguments).arguments)

    async def propose(self, name: str, /, **arguments: Any) -> Action:
        """An Action as the agent makes one."""
        return await proposed(self.tools[name], arguments)

    async def execute(self, action: Action, key: str = "key-1") -> str:
        """Execute it."""
        done: str = await self.tools[action.tool].execute(action, key)
        return done

    async def arrived(self, action: Action, key: str = "key-1") -> bool | None:
        """Ask the target whether it has the change."""
        found: bool | None = await self.tools[action.tool].arrived(action, key)
        return found

    async def probe(self, action: Action) -> Probe:
        """The probe as it is now."""
        found: Probe = await self.tools[action.tool].probe(action)
        return found
