"""Tools of MCP servers as tools of ours: the operator's effect, strict arguments, and the way that every other call takes.

A stranger's tool has no dry run, no idempotency key and no undo. So the card shows the exact call, a lost answer stays unknown,
and without a probe in the operator's file a change is executed and not verified.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.tools.mcp_file import McpProbe, McpServer, McpTool
from bot.tools.mcp_session import McpSession
from bot.tools.spec import Arguments
from domain.actions import Action, Effect, Target
from domain.canonical import digest_of, plain
from domain.decisions import Check
from domain.errors import ArgumentsRefused, TargetMoved, ToolError
from domain.ports import Preview, Probe, Understood
from policies.schema import ToolSchema

MAX_DESCRIPTION = 1000
PROBE_SECONDS = 30
NO_PROBE = "no probe is set for it in the file of MCP servers, so nobody has looked whether it took effect"
NO_UNDO = "a tool of an MCP server states no undo"


@dataclass(frozen=True)
class _Tool:
    """What reads and writes have in common. `remote` is the tool's name on its server."""

    name: str
    description: str
    effect: Effect
    parameters: Mapping[str, Any]
    remote: str
    environment: str
    session: McpSession

    def understand(self, arguments: Arguments) -> Understood:
        """The arguments checked against the schema, nothing unknown among them. Raises ArgumentsRefused."""
        checked = _checked(self.name, self.parameters, arguments)
        return Understood(checked, Target("mcp", self.environment, self.session.server.name, "Tool", self.remote))

    def _same(self) -> None:
        """Raises TargetMoved where the server's tool is not the one that was offered: a reconnect may bring another."""
        now = self.session.tools.get(self.remote)
        if now is None or digest_of(plain(now[1])) != digest_of(plain(self.parameters)):
            raise TargetMoved(
                f"The MCP server {self.session.server.name} changed its tool {self.remote}, so nothing was done;"
                " restart the agent after you have looked at it."
            )


class McpRead(_Tool):
    """Satisfies domain.ports.ReadTool."""

    async def read(self, arguments: Arguments) -> Any:
        """What the server answers. Raises ToolError."""
        await self.session.connect()
        self._same()
        return await self.session.call(self.remote, _checked(self.name, self.parameters, arguments))

    def render(self, data: Any) -> str:
        """The answer's text, or its structured form, and what was left out."""
        shown = data["text"] or json.dumps(data["structured"], ensure_ascii=False, indent=1)
        left = f"\n[not shown: {', '.join(data['left_out'])}]" if data["left_out"] else ""
        return shown + left


@dataclass(frozen=True)
class McpWrite(_Tool):
    """Satisfies domain.ports.WriteTool."""

    probe_read: McpProbe | None = None
    probe_seconds: int = PROBE_SECONDS

    async def preview(self, arguments: Arguments) -> Preview:
        """The exact call. Nothing is known of its target but that the tool is the one that was reviewed. Raises ToolError."""
        await self.session.connect()
        self._same()
        call = json.dumps(_checked(self.name, self.parameters, arguments), ensure_ascii=False, indent=1, sort_keys=True)
        return Preview(
            observed={
                "server": self.session.server.name,
                "tool": self.remote,
                "schema": digest_of(plain(self.parameters)),
            },
            diff=f"{self.session.server.name}.{self.remote}({call})\n# A tool of an MCP server: no dry run is possible.",
            touches=1,
            facts={"no_undo": NO_UNDO},
        )

    async def execute(self, action: Action, key: str) -> str:
        """Call it once. Raises TargetMoved, OutcomeUnknown, ToolError."""
        await self.session.connect()
        self._same()
        answer = await self.session.call(self.remote, action.arguments, changes=True)
        said = answer["text"].strip().splitlines()
        return f"{self.session.server.name} answered: {said[0][:300] if said else 'nothing'}"

    async def arrived(self, action: Action, key: str) -> bool | None:
        """Nobody can tell."""
        return None

    async def probe(self, action: Action) -> Probe:
        """The operator's read, until its answer contains what it should. Raises ToolError."""
        asked = self.probe_read
        if asked is None:
            return Probe((Check("a probe is set", passed=False, detail=NO_PROBE),), settled=True)
        arguments = {name: _filled(value, action.arguments) for name, value in asked.arguments.items()}
        wanted = _filled(asked.contains, action.arguments)
        found = await self.session.call(asked.tool, arguments)
        holds = wanted in found["text"] or wanted in json.dumps(found["structured"], ensure_ascii=False)
        word = "is" if holds else "is not"
        return Probe((Check(asked.tool, holds, f"{wanted!r} {word} in its answer"),))


def tools_of(session: McpSession) -> tuple[tuple[McpRead | McpWrite, ...], tuple[str, ...]]:
    """A connected server's tools, and a sentence on each that is not offered."""
    tools, notes = list[McpRead | McpWrite](), list[str]()
    server = session.server
    for remote, (description, live) in session.tools.items():
        listed = server.tools.get(remote)
        if (
            listed is not None
            and listed.parameters is not None
            and digest_of(plain(listed.parameters)) != digest_of(live)
        ):
            notes.append(
                f"{name_of(server, remote)} is not offered: the server's schema of its arguments is not the one in AGENT_MCP."
            )
            continue
        tools.append(_tool(session, remote, description, live, listed or McpTool()))
    missing = [remote for remote in server.tools if remote not in session.tools]
    notes += [f"{name_of(server, remote)} is in AGENT_MCP, and the server has no such tool." for remote in missing]
    return tuple(tools), tuple(notes)


def listed_schemas(servers: Iterable[McpServer]) -> tuple[ToolSchema, ...]:
    """The tools that the operator's file names, as policy sees them without asking any server."""
    return tuple(
        ToolSchema(name_of(server, remote), tool.effect, tool.parameters or {"type": "object"})
        for server in servers
        for remote, tool in server.tools.items()
    )


def remembered(name: str, effect: Effect, target: Target) -> McpRead | McpWrite:
    """A tool as a journal remembers it: its server is not connected, its schema not known, so it takes any arguments."""
    session = McpSession(McpServer(target.namespace))
    kind = McpRead if effect is Effect.READ else McpWrite
    return kind(name, "", effect, {"type": "object"}, target.name, target.environment, session)


def name_of(server: McpServer, remote: str) -> str:
    """`mcp_grafana_query_loki`: what policy, model and journal know a server's tool by."""
    return (
        f"mcp_{server.name}_{''.join(letter if letter.isalnum() and letter.isascii() else '_' for letter in remote)}"[
            :64
        ]
    )


def unique(tools: Sequence[McpRead | McpWrite]) -> tuple[tuple[McpRead | McpWrite, ...], tuple[str, ...]]:
    """Of tools whose names come out alike, none: which one is meant could not be told."""
    names = [tool.name for tool in tools]
    twice = sorted({name for name in names if names.count(name) > 1})
    notes = tuple(f"{name} is not offered: two tools have that name." for name in twice)
    return tuple(tool for tool in tools if tool.name not in twice), notes


def _tool(
    session: McpSession, remote: str, description: str, live: Mapping[str, Any], listed: McpTool
) -> McpRead | McpWrite:
    said = " ".join(description.split())[:MAX_DESCRIPTION].rstrip(".") or remote
    name, words = name_of(session.server, remote), f"From the MCP server {session.server.name}: {said}."
    if listed.effect is Effect.READ:
        return McpRead(name, words, listed.effect, live, remote, listed.environment, session)
    return McpWrite(name, words, listed.effect, live, remote, listed.environment, session, listed.probe)


def _checked(name: str, schema: Mapping[str, Any], arguments: Arguments) -> dict[str, Any]:
    from jsonschema import (  # a server's schema is the only one we do not make ourselves
        SchemaError,
        ValidationError,
        validate,
    )

    given = dict(arguments)
    strict = {"additionalProperties": False, **schema} if "properties" in schema else schema
    try:
        validate(given, strict)
    except ValidationError as error:
        where = ".".join(map(str, error.absolute_path))
        raise ArgumentsRefused(f"{name}: {where + ': ' if where else ''}{error.message[:300]}", where) from None
    except (SchemaError, RecursionError) as error:
        raise ToolError(f"{name} cannot be called: the server's schema of its arguments is broken.") from error
    return given


def _filled(value: Any, arguments: Mapping[str, Any]) -> Any:
    """`{name}` replaced by the argument's value, in text only."""
    if not isinstance(value, str):
        return value
    for name, given in arguments.items():
        value = value.replace("{" + name + "}", str(given))
    return value
