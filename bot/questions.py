"""What a question is about: the incident of its thread, else the workload that its words name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from bot.agent.step import is_write
from bot.analyzers.target import target_from_text
from domain.actions import Target
from domain.alerts import Incident
from domain.errors import ToolError
from domain.ports import Tool

KNOWN_SECONDS = 2.0
"""A question waits this long for the names of what runs; without them its own words have to do."""


async def target_of_question(
    text: str, incident: Incident | None, tools: Mapping[str, Tool], environment: Callable[[str], str]
) -> Target:
    """The target that the words name; in an incident's thread the incident's, where they name none.

    The cluster is asked for names only where the words alone do not say enough.
    """
    target = target_from_text(text)
    if not (target.kind and target.name):
        target = target_from_text(text, await _deployments(tools))
    if not target.key and incident is not None:
        return incident.target
    return replace(target, environment=environment(target.place))


async def _deployments(tools: Mapping[str, Tool]) -> list[Target]:
    """Every Deployment's name, so that `checkout` alone says enough where only one namespace has it."""
    tool = tools.get("kubernetes_list")
    if tool is None or is_write(tool):
        return []
    try:
        async with asyncio.timeout(KNOWN_SECONDS):
            listed: Any = await tool.read({"kind": "Deployment"})  # type: ignore[union-attr]
    except (ToolError, TimeoutError):
        return []
    metadata = [item.get("metadata") or {} for item in listed.get("items", ())]
    return [
        Target(
            "kubernetes", namespace=str(data.get("namespace", "")), kind="Deployment", name=str(data.get("name", ""))
        )
        for data in metadata
    ]
