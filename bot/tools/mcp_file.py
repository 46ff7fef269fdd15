"""The operator's file of MCP servers: how each is reached, and what effect each of its tools has.

A server's own words about its tools (annotations such as readOnlyHint) are not trusted: the effect stands here, and a tool
that does not stand here is destructive.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from domain.actions import Effect
from domain.errors import SettingsError

_NAME = re.compile(r"[a-z][a-z0-9]{0,30}")
_SERVER_KEYS = {"command", "url", "env", "headers", "tools"}
_TOOL_KEYS = {"effect", "environment", "parameters", "probe"}
_PROBE_KEYS = {"tool", "arguments", "contains"}
_VARIABLE = re.compile(r"\$([A-Z][A-Z0-9_]*)")


@dataclass(frozen=True)
class McpProbe:
    """How a change is checked: a read of the same server whose text must contain `contains`.

    `{name}` in its arguments and in `contains` is the value of the change's argument of that name.
    """

    tool: str
    arguments: Mapping[str, Any]
    contains: str


@dataclass(frozen=True)
class McpTool:
    """What the operator says of one tool. `parameters` is the JSON Schema that was reviewed; None: whatever the server says."""

    effect: Effect = Effect.DESTRUCTIVE
    environment: str = "production"
    parameters: Mapping[str, Any] | None = None
    probe: McpProbe | None = None


@dataclass(frozen=True)
class McpServer:
    """One server: a command (stdio) or an address (streamable HTTP), never both.

    `secrets` are the values behind the `$NAME`s of its env and headers.
    """

    name: str
    command: tuple[str, ...] = ()
    url: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    tools: Mapping[str, McpTool] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()


def read_servers(path: str, variable: Callable[[str], str | None]) -> tuple[McpServer, ...]:
    """The servers of a file, none where `path` is empty. Raises SettingsError that names the place.

    `variable` gives the value of an environment variable, for values that are written `$NAME`.
    """
    if not path:
        return ()
    try:
        content = yaml.safe_load(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"AGENT_MCP: {path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"AGENT_MCP: {path} is not YAML: {error}") from error
    servers = _mapping(_mapping(content, path, {"servers"}).get("servers"), f"{path}: servers")
    return tuple(_server(name, value, f"{path}: servers.{name}", variable) for name, value in servers.items())


def _server(name: str, value: Any, where: str, variable: Callable[[str], str | None]) -> McpServer:
    if not _NAME.fullmatch(name):
        raise SettingsError(f"AGENT_MCP: {where}: a server's name is lower-case letters and digits, up to 31")
    given = _mapping(value, where, _SERVER_KEYS)
    command, url = given.get("command"), given.get("url") or ""
    if bool(command) == bool(url):
        raise SettingsError(f"AGENT_MCP: {where}: say either command (a list) or url")
    if command and not (isinstance(command, list) and all(isinstance(word, str) and word for word in command)):
        raise SettingsError(f"AGENT_MCP: {where}.command is a list of words, such as [mcp-grafana, --disable-write]")
    if url and not _is_safe(str(url)):
        raise SettingsError(f"AGENT_MCP: {where}.url must be https, or http on loopback: secrets are sent there")
    found: list[str] = []
    env = _values(given.get("env"), f"{where}.env", variable, found)
    headers = _values(given.get("headers"), f"{where}.headers", variable, found)
    tools = _mapping(given.get("tools") or {}, f"{where}.tools")
    listed = {tool: _tool(entry, f"{where}.tools.{tool}", tools) for tool, entry in tools.items()}
    return McpServer(name, tuple(command or ()), str(url), env, headers, listed, tuple(found))


def _tool(value: Any, where: str, listed: Mapping[str, Any]) -> McpTool:
    given = _mapping(value, where, _TOOL_KEYS)
    effects = [effect.value for effect in Effect]
    if given.get("effect") not in effects:
        raise SettingsError(f"AGENT_MCP: {where}.effect is one of {', '.join(effects)}")
    parameters = given.get("parameters")
    if parameters is not None and _mapping(parameters, f"{where}.parameters").get("type") != "object":
        raise SettingsError(f"AGENT_MCP: {where}.parameters is the JSON Schema of an object")
    return McpTool(
        Effect(given["effect"]),
        str(given.get("environment") or "production"),
        parameters,
        _probe(given["probe"], f"{where}.probe", listed) if "probe" in given else None,
    )


def _probe(value: Any, where: str, listed: Mapping[str, Any]) -> McpProbe:
    given = _mapping(value, where, _PROBE_KEYS)
    tool, contains = str(given.get("tool") or ""), str(given.get("contains") or "")
    entry = listed.get(tool)
    if not isinstance(entry, dict) or entry.get("effect") != "read":
        raise SettingsError(f"AGENT_MCP: {where}.tool is a tool of this server that is listed with effect read")
    if not contains:
        raise SettingsError(f"AGENT_MCP: {where}.contains is what its answer must contain")
    return McpProbe(tool, _mapping(given.get("arguments") or {}, f"{where}.arguments"), contains)


def _values(value: Any, where: str, variable: Callable[[str], str | None], secrets: list[str]) -> dict[str, str]:
    """Strings, with `$NAME` replaced by that variable's value; those values are secrets from here on."""
    result = {}
    for name, text in _mapping(value or {}, where).items():
        if not isinstance(text, str):
            raise SettingsError(f"AGENT_MCP: {where}.{name} is text; write $NAME for an environment variable's value")
        for match in _VARIABLE.finditer(text):
            held = variable(match[1])
            if not held:
                raise SettingsError(f"AGENT_MCP: {where}.{name}: the environment variable {match[1]} is not set")
            secrets.append(held)
            text = text.replace(match[0], held)
        result[name] = text
    return result


def _mapping(value: Any, where: str, known: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise SettingsError(f"AGENT_MCP: {where} is a map")
    unknown = sorted(set(value) - known) if known else []
    if unknown:
        raise SettingsError(f"AGENT_MCP: {where}: unknown key {unknown[0]}; known are {', '.join(sorted(known or ()))}")
    return value


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1"))
