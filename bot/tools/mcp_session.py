"""The connection to one MCP server, by the official client: stdio or streamable HTTP, opened again when it is lost.

The client's context has to be entered and left by one task, so each connection has a task of its own; calls may come from any.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

from bot.tools.mcp_file import McpServer
from domain.canonical import plain
from domain.errors import OutcomeUnknown, ToolError

log = logging.getLogger("agent.tools")

CONNECT_SECONDS = 10.0
CALL_SECONDS = 30.0
MAX_TOOLS = 200
MAX_TEXT = 1024 * 1024
"""Characters of one answer that are kept; a longer one is cut, and says so."""


class McpSession:
    """One server. `tools` are those it had when it was connected: name -> (description, JSON Schema of the arguments)."""

    def __init__(self, server: McpServer) -> None:
        self.server = server
        self.tools: dict[str, tuple[str, Mapping[str, Any]]] = {}
        self._client: Any = None
        self._owner: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._connecting = asyncio.Lock()

    async def connect(self) -> None:
        """Connect, where it is not connected, and read what tools there are. Raises ToolError with a sentence."""
        async with self._connecting:
            if self._owner is not None and not self._owner.done():
                return
            ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._ended = asyncio.Event()
            self._owner = asyncio.create_task(self._own(ready), name=f"MCP server {self.server.name}")
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await asyncio.shield(ready)
            except TimeoutError as error:
                raise ToolError(
                    f"The MCP server {self.server.name} did not answer within {CONNECT_SECONDS:.0f} s."
                ) from error
            finally:
                if not ready.done():  # time is up, here or for whoever reads: it does not listen to `_ended` yet
                    self._owner.cancel()
                    await asyncio.gather(self._owner, return_exceptions=True)

    async def close(self) -> None:
        """End the connection, and the process behind it."""
        self._ended.set()
        if self._owner is not None:
            done, _ = await asyncio.wait([self._owner], timeout=CONNECT_SECONDS)
            if not done:
                self._owner.cancel()
                await asyncio.gather(self._owner, return_exceptions=True)

    async def call(self, tool: str, arguments: Mapping[str, Any], *, changes: bool = False) -> dict[str, Any]:
        """What a tool answers: `text`, `structured`, and what is `left_out`.

        Raises ToolError; OutcomeUnknown where it `changes` something and the answer is lost.
        """
        await self.connect()
        from mcp import MCPError  # heavy, and only where a server is configured
        from mcp.types import CONNECTION_CLOSED

        doing = f"The MCP server {self.server.name} was asked for {tool}"
        try:
            async with asyncio.timeout(CALL_SECONDS):
                result = await self._client.call_tool(tool, dict(arguments))
        except TimeoutError as error:
            raise self._lost(f"{doing} and did not answer within {CALL_SECONDS:.0f} s", changes=changes) from error
        except MCPError as error:
            if error.code == CONNECTION_CLOSED:
                await self.close()  # the next call connects again
                raise self._lost(f"{doing} and the connection ended", changes=changes) from error
            raise ToolError(f"{doing} and refused: {str(error)[:500]}") from error
        found = _content(result)
        if result.is_error:
            sentence = f"{doing} and failed: {found['text'][:500] or 'it gave no reason'}"
            # what a stranger's tool did before it failed, nobody can tell
            raise OutcomeUnknown(f"{sentence}: it may have taken effect in part.") if changes else ToolError(sentence)
        return found

    def _lost(self, sentence: str, *, changes: bool) -> ToolError:
        if changes:
            return OutcomeUnknown(f"{sentence}: it may or may not have taken effect.")
        return ToolError(f"{sentence}.", retryable=True)

    async def _own(self, ready: asyncio.Future[None]) -> None:
        """The task that enters and leaves the client's context."""
        try:
            async with AsyncExitStack() as stack:
                self._client = await stack.enter_async_context(await self._open(stack))
                self.tools = await self._listed()
                ready.set_result(None)
                await self._ended.wait()
        except Exception as error:  # noqa: BLE001 – a stranger's client and server: whatever breaks there is a sentence here
            if ready.done():
                log.warning("an MCP server was lost", extra={"server": self.server.name, "reason": _cause(error)})
            else:
                sentence = f"The MCP server {self.server.name} cannot be used: {_cause(error)}."
                ready.set_exception(ToolError(sentence, retryable=True))

    async def _open(self, stack: AsyncExitStack) -> Any:
        from mcp import Client, StdioServerParameters, stdio_client

        server = self.server
        if server.command:
            command = StdioServerParameters(
                command=server.command[0], args=list(server.command[1:]), env=dict(server.env)
            )
            # what it writes to its standard error is neither ours nor redacted
            target: Any = stdio_client(command, stack.enter_context(Path(os.devnull).open("w")))  # noqa: SIM115, ASYNC230
        elif server.headers:
            import httpx2
            from mcp.client.streamable_http import streamable_http_client

            headers, limit = dict(server.headers), httpx2.Timeout(CALL_SECONDS)
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=limit))
            target = streamable_http_client(server.url, http_client=http)
        else:
            target = server.url
        # no callbacks: a server that wants to ask a model or a person through us is refused
        return Client(target, read_timeout_seconds=CALL_SECONDS, cache=None)

    async def _listed(self) -> dict[str, tuple[str, Mapping[str, Any]]]:
        found: dict[str, tuple[str, Mapping[str, Any]]] = {}
        cursor = None
        while len(found) < MAX_TOOLS:
            page = await self._client.list_tools(cursor=cursor)
            for tool in page.tools:
                found[str(tool.name)] = (str(tool.description or tool.title or ""), plain(tool.input_schema))
            cursor = page.next_cursor
            if not cursor:
                break
        return found


def _content(result: Any) -> dict[str, Any]:
    """An answer as plain JSON: text in one piece, structured content as it is, other content named and left out."""
    texts, left_out = [], []
    for block in result.content:
        text = getattr(block, "text", None)
        if isinstance(text, str):
            texts.append(text)
        else:
            left_out.append(str(getattr(block, "mime_type", None) or getattr(block, "type", "content")))
    text = "\n".join(texts)
    if len(text) > MAX_TEXT:
        left_out.append(f"{len(text) - MAX_TEXT} characters")
        text = text[:MAX_TEXT]
    structured = None
    with suppress(AttributeError):
        structured = plain(result.structured_content)
    return {"text": text, "structured": structured, "left_out": left_out}


def _cause(error: Exception) -> str:
    """The innermost reason: the client wraps it in groups of exceptions."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return str(error)[:300] or type(error).__name__
