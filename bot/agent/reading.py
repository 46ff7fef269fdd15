"""Reads: what a call shows the model, and what the journal keeps of it. One path for the model's reads and the analyzers'."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from bot.agent.world import World
from domain.canonical import plain
from domain.errors import ToolError
from domain.ports import ReadTool
from domain.runs import ToolResult

READ_SECONDS = 12.0
"""One read's time limit: longer than the tools' own connect and read limits together."""

TEXT_BUDGET = 8_000
"""Characters of one result that a model is shown (about 2,000 tokens); the journal keeps it all."""


LOOK_SECONDS = 5.0
"""An analyzer's read: three rounds of them have to fit into the analysis, or its findings would come too late."""


async def read(
    world: World, tool: ReadTool, call_id: str, arguments: Mapping[str, Any], *, limit_s: float = READ_SECONDS
) -> ToolResult:
    """Run one read within its time limit. A failure is a result too: a plain sentence, never an exception."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(limit_s):
            data = plain(await tool.read(arguments))
    except TimeoutError:
        return _failed(call_id, tool.name, arguments, f"no answer within {limit_s:.0f} s", began)
    except ToolError as error:
        return _failed(call_id, tool.name, arguments, world.redactor.text(str(error)).text, began)
    data, redactions = world.redactor.json(data)
    full = tool.render(data)
    text = cut(full, TEXT_BUDGET)
    return ToolResult(
        call_id,
        tool.name,
        ok=True,
        text=text,
        data=data,
        took_ms=_ms(began),
        redactions=redactions,
        arguments=arguments,
        cut=text != full,
    )


def cut(text: str, budget: int) -> str:
    """At most `budget` characters: the head and the tail on line boundaries, and how much is left out between them."""
    if len(text) <= budget:
        return text
    head_size, tail_size = budget * 2 // 3, budget // 3
    head, tail = text[:head_size], text[-tail_size:]
    head = head[: head.rfind("\n") + 1] or head
    tail = tail[tail.find("\n") + 1 :] or tail
    left_out = text[len(head) : len(text) - len(tail)]
    lines = left_out.count("\n")
    note = f"[… {lines} lines, {len(left_out)} characters left out here; the journal keeps the whole text …]"
    return f"{head}{note}\n{tail}"


def _failed(call_id: str, tool: str, arguments: Mapping[str, Any], sentence: str, began: float) -> ToolResult:
    text = f"{tool} failed: {sentence}"
    return ToolResult(call_id, tool, ok=False, text=text, took_ms=_ms(began), arguments=arguments)


def _ms(began: float) -> int:
    return round((time.perf_counter() - began) * 1000)
