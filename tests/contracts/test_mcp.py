"""Tools of MCP servers over stdio and HTTP: the operator's effect counts, the server's own words do not."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.tools import Systems, connect, schemas
from bot.tools.mcp_file import McpProbe, McpServer, McpTool, read_servers
from bot.tools.mcp_session import McpSession
from bot.tools.mcp_tools import NO_PROBE, McpRead, McpWrite, name_of, unique
from domain.actions import Effect
from domain.errors import ArgumentsRefused, OutcomeUnknown, SettingsError, TargetMoved, ToolError
from tests.contracts.tool_driver import proposed

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "tests.contracts.mcp_server")
READ, WRITE = McpTool(Effect.READ), McpTool(Effect.WRITE)
PROBE = McpProbe("find_note", {"name": "{name}"}, "{text}")


def notes(**tools: McpTool) -> McpServer:
    return McpServer("notes", COMMAND, env={"PYTHONPATH": str(ROOT), "NOTES_TOKEN": "n0tes-t0ken"}, tools=tools)


@asynccontextmanager
async def met(server: McpServer) -> AsyncIterator[dict[str, Any]]:
    """The tools of a server, by their names on it, as the product connects to them."""
    box = await connect(Systems(mcp=(server,)), lambda _: "production")
    try:
        yield {tool.remote: tool for tool in box.tools if isinstance(tool, McpRead | McpWrite)} | {"notes": box.notes}
    finally:
        await box.close()


async def test_a_tool_has_the_effect_of_the_operators_file_and_without_one_it_is_destructive() -> None:
    async with met(notes(find_note=READ, write_note=WRITE)) as tools:
        assert isinstance(tools["find_note"], McpRead)
        assert (tools["write_note"].name, tools["write_note"].effect) == ("mcp_notes_write_note", Effect.WRITE)
        assert tools["drop_everything"].effect is Effect.DESTRUCTIVE, "its own readOnlyHint is not believed"


async def test_a_read_is_text_and_its_target_names_the_server() -> None:
    async with met(notes(find_note=McpTool(Effect.READ, environment="staging"))) as tools:
        tool = tools["find_note"]
        target = tool.understand({"name": "runbook"}).target
        assert (target.key, target.environment) == ("mcp/notes/Tool/find_note", "staging")
        data = await tool.read({"name": "runbook"})
        assert tool.render(data) == "restart the cart"


@pytest.mark.parametrize("arguments", [{}, {"name": 7}, {"name": "a", "also": 1}, {"nam": "a"}])
async def test_arguments_that_do_not_fit_the_schema_never_leave(arguments: dict[str, Any]) -> None:
    async with met(notes(find_note=READ)) as tools:
        with pytest.raises(ArgumentsRefused, match="mcp_notes_find_note"):
            tools["find_note"].understand(arguments)
        with pytest.raises(ArgumentsRefused):
            await tools["find_note"].read(arguments)


async def test_a_change_shows_its_exact_call_runs_once_and_is_verified_by_the_operators_probe() -> None:
    async with met(notes(find_note=READ, write_note=McpTool(Effect.WRITE, probe=PROBE))) as tools:
        tool = tools["write_note"]
        wanted = await proposed(tool, {"name": "a", "text": "hello"})
        assert 'notes.write_note({\n "name": "a",\n "text": "hello"\n})' in (await tool.preview(wanted.arguments)).diff
        assert not (await tool.probe(wanted)).passed
        assert await tool.execute(wanted, "key") == "notes answered: written"
        assert (await tool.probe(wanted)).passed
        assert await tool.arrived(wanted, "key") is None


async def test_a_change_without_a_probe_is_never_called_verified() -> None:
    async with met(notes(write_note=WRITE)) as tools:
        probe = await tools["write_note"].probe(await proposed(tools["write_note"], {"name": "a", "text": "b"}))
        assert (probe.passed, probe.settled, probe.checks[0].detail) == (False, True, NO_PROBE)


async def test_a_change_that_dies_or_fails_may_have_taken_effect_and_the_next_call_connects_again() -> None:
    async with met(notes(find_note=READ)) as tools:
        for name, arguments in (("die", {}), ("fail", {"reason": "no disk"})):
            with pytest.raises(OutcomeUnknown):
                await tools[name].execute(await proposed(tools[name], arguments), "key")
        assert (await tools["find_note"].read({"name": "runbook"}))["text"] == "restart the cart"


async def test_a_read_that_fails_is_a_sentence() -> None:
    async with met(notes(fail=READ, die=READ)) as tools:
        for name, arguments in (("fail", {"reason": "no disk"}), ("die", {})):
            with pytest.raises(ToolError, match=f"The MCP server notes was asked for {name}") as caught:
                await tools[name].read(arguments)
            assert not isinstance(caught.value, OutcomeUnknown)


async def test_only_what_the_operator_names_reaches_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-of-ours")
    async with met(notes(secret=READ)) as tools:
        assert (await tools["secret"].read({}))["text"] == "token n0tes-t0ken, slack none"


async def test_an_answer_is_cut_and_says_so() -> None:
    async with met(notes(large=READ)) as tools:
        data = await tools["large"].read({})
        assert len(data["text"]) == 1 << 20
        assert "characters]" in tools["large"].render(data)


async def test_a_tool_whose_schema_is_not_the_reviewed_one_is_not_offered() -> None:
    pinned = McpTool(Effect.READ, parameters={"type": "object", "properties": {"name": {"type": "integer"}}})
    async with met(notes(find_note=pinned, nowhere=READ)) as tools:
        assert "find_note" not in tools
        assert "mcp_notes_find_note is not offered: the server's schema" in " ".join(tools["notes"])
        assert "mcp_notes_nowhere is in AGENT_MCP, and the server has no such tool." in tools["notes"]


async def test_a_tool_that_changed_since_it_was_offered_does_nothing() -> None:
    async with met(notes(find_note=READ, write_note=WRITE)) as tools:
        tool = tools["write_note"]
        wanted = await proposed(tool, {"name": "a", "text": "b"})
        tool.session.tools["write_note"] = ("another", {"type": "object"})
        with pytest.raises(TargetMoved, match="changed its tool write_note"):
            await tool.execute(wanted, "key")


async def test_a_server_that_does_not_start_is_a_note_and_nothing_else() -> None:
    for broken in (("/nowhere/mcp",), (sys.executable, "-c", "print('hello')")):
        async with met(McpServer("notes", broken)) as tools:
            assert list(tools) == ["notes"]
            assert "Its tools are missing until the agent is started again." in " ".join(tools["notes"])


async def test_a_server_that_says_nothing_while_it_is_connected_is_not_connected() -> None:
    session = McpSession(McpServer("notes", (sys.executable, "-c", "import sys; sys.stdin.read()")))
    for _ in range(2):  # whoever reads has a limit of its own, which may be over first
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await session.connect()


async def test_streamable_http_is_spoken_too_and_headers_go_along() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        *COMMAND, str(port), env=env, stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        assert process.stderr
        while b"Uvicorn running" not in await process.stderr.readline():
            pass
        server = McpServer(
            "notes", url=f"http://127.0.0.1:{port}/mcp", headers={"X-Team": "sre"}, tools={"find_note": READ}
        )
        async with met(server) as tools:
            assert (await tools["find_note"].read({"name": "runbook"}))["text"] == "restart the cart"
    finally:
        process.terminate()
        await process.wait()


def test_tools_whose_names_come_out_alike_are_not_offered() -> None:
    session = McpSession(notes())
    one, other = (
        McpRead(name_of(session.server, remote), "It.", Effect.READ, {}, remote, "production", session)
        for remote in ("a-b", "a.b")
    )
    assert unique((one, other)) == ((), ("mcp_notes_a_b is not offered: two tools have that name.",))


# --- the operator's file ----------------------------------------------------------------------------------------------

FILE = """
servers:
  notes:
    command: [notes-server, --quiet]
    env: {NOTES_TOKEN: $NOTES_TOKEN}
    tools:
      find_note: {effect: read}
      write_note:
        effect: write
        environment: staging
        parameters: {type: object, properties: {name: {type: string}}}
        probe: {tool: find_note, arguments: {name: "{name}"}, contains: "{text}"}
  far:
    url: https://mcp.example.com/mcp
    headers: {Authorization: Bearer $FAR_TOKEN}
"""


def reading(text: str, folder: Path) -> tuple[McpServer, ...]:
    path = folder / "mcp.yaml"
    path.write_text(text, "utf-8")
    return read_servers(str(path), {"NOTES_TOKEN": "n", "FAR_TOKEN": "f"}.get)


def test_the_file_says_how_servers_are_reached_and_what_their_tools_do(tmp_path: Path) -> None:
    near, far = reading(FILE, tmp_path)
    assert (near.command, dict(near.env), near.secrets) == (("notes-server", "--quiet"), {"NOTES_TOKEN": "n"}, ("n",))
    assert near.tools["find_note"].effect is Effect.READ
    assert near.tools["write_note"].probe == PROBE
    assert (far.url, dict(far.headers)) == ("https://mcp.example.com/mcp", {"Authorization": "Bearer f"})
    assert read_servers("", {}.get) == ()


def test_policy_knows_the_listed_tools_without_asking_any_server(tmp_path: Path) -> None:
    known = {schema.name: schema for schema in schemas(reading(FILE, tmp_path))}
    assert known["mcp_notes_write_note"].argument_names == ("name",)
    assert known["mcp_notes_find_note"].effect is Effect.READ


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("effect: read", "effect: harmless", "servers.notes.tools.find_note.effect is one of read, write, destructive"),
        ("effect: read", "efect: read", "unknown key efect"),
        ("command: [notes-server, --quiet]", "command: notes-server", "command is a list of words"),
        ("command: [notes-server, --quiet]", "note: 1", "unknown key note"),
        ("    command: [notes-server, --quiet]\n", "", "say either command (a list) or url"),
        ("https://mcp.example.com", "http://mcp.example.com", "must be https, or http on loopback"),
        ("$FAR_TOKEN", "$OTHER_TOKEN", "the environment variable OTHER_TOKEN is not set"),
        ("tool: find_note", "tool: write_note", "probe.tool is a tool of this server that is listed with effect read"),
        ("  far:", "  Far-1:", "a server's name is lower-case letters and digits"),
        ("servers:", "server:", "unknown key server"),
        ("{type: object, properties", "{type: array, properties", "is the JSON Schema of an object"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in FILE
    with pytest.raises(SettingsError) as caught:
        reading(FILE.replace(old, new, 1), tmp_path)
    assert words in str(caught.value)


@given(st.text(max_size=60))
def test_any_file_is_servers_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("mcp")
    try:
        assert reading(text, folder) == ()
    except SettingsError as error:
        assert str(error).startswith("AGENT_MCP: ")  # noqa: PT017 – either way is right
