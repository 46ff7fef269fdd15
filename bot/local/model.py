"""A stand-in for a chat-completions server: the documented protocol on loopback, strict about what it is sent.

What it answers is a script: a function from the request to a message, a Fault or raw text. It checks what the real one checks:
the key, the roles, that every tool call is answered before the next turn, and the form of the offered tools.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

KEY = "sk-local-stand-in"


@dataclass(frozen=True)
class Fault:
    """What goes wrong instead of an answer. `delay_s` is waited first; `raw` is sent as the whole body.

    `raw` that begins with `data:` is a stream of events.
    """

    status: int = 200
    delay_s: float = 0.0
    raw: str = ""
    drop: bool = False


Reply = Mapping[str, Any] | Fault
Script = Callable[[Mapping[str, Any]], Reply]


def say(text: str) -> dict[str, Any]:
    """A turn of words."""
    return {"role": "assistant", "content": text}


def call(*calls: tuple[str, Mapping[str, Any] | str], text: str = "") -> dict[str, Any]:
    """A turn of tool calls; arguments given as text are sent as they are."""
    return {
        "role": "assistant",
        "content": text or None,
        "tool_calls": [
            {
                "id": f"call_{index}_{name}",
                "type": "function",
                "function": {"name": name, "arguments": given if isinstance(given, str) else json.dumps(given)},
            }
            for index, (name, given) in enumerate(calls)
        ],
    }


def turns(request: Mapping[str, Any]) -> int:
    """How many turns of the model the request holds already."""
    return sum(message["role"] == "assistant" for message in request["messages"])


@dataclass
class ModelServer:
    """`async with ModelServer(script) as server`: `server.url` is the base URL, `server.requests` what it was sent."""

    script: Script
    stream: bool = True
    keep: bool = True
    requests: list[Mapping[str, Any]] = field(default_factory=list)
    url: str = ""

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_post("/v1/chat/completions", self._complete)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _complete(self, http: web.Request) -> web.StreamResponse:
        if http.headers.get("Authorization") != f"Bearer {KEY}":
            return _error(401, "Incorrect API key provided.", "invalid_api_key")
        request = json.loads(await http.read())
        problem = problem_of(request)
        if problem:
            return _error(400, problem, "invalid_request_error")
        if self.keep:
            self.requests.append(request)
        reply = self.script(request)
        if isinstance(reply, Fault):
            return await _faulty(http, reply)
        if request.get("stream") and self.stream:
            return await _stream(http, request, reply)
        return web.json_response(_completion(request, reply))


def problem_of(request: Mapping[str, Any]) -> str:
    """Why the real server would refuse this with 400; empty where it would not."""
    if not isinstance(request.get("model"), str) or not request["model"]:
        return "you must provide a model parameter"
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages must not be empty"
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        role = message.get("role")
        if role not in ("system", "developer", "user", "assistant", "tool"):
            return f"messages[{index}].role is invalid: {role!r}"
        if role == "tool":
            if message.get("tool_call_id") not in open_calls:
                return f"messages[{index}]: a tool message must follow the tool_calls that it answers"
            open_calls.discard(message["tool_call_id"])
        elif open_calls:
            return f"an assistant message with tool_calls must be followed by tool messages for {sorted(open_calls)}"
        elif not isinstance(message.get("content"), str) and not message.get("tool_calls"):
            return f"messages[{index}].content is missing"
        open_calls |= {asked["id"] for asked in message.get("tool_calls") or ()}
    return _problem_of_tools(request.get("tools") or ()) or (
        f"unanswered tool calls {sorted(open_calls)}" if open_calls else ""
    )


def _problem_of_tools(tools: Any) -> str:
    for index, tool in enumerate(tools):
        function = tool.get("function") or {}
        if tool.get("type") != "function" or not function.get("name"):
            return f"tools[{index}] is not a function"
        if function.get("parameters", {}).get("type") != "object":
            return f"tools[{index}].function.parameters must be a JSON Schema object"
    return ""


def _usage(request: Mapping[str, Any], reply: Mapping[str, Any]) -> dict[str, Any]:
    """About four characters a token, as the real tokenizers come out for English and JSON."""
    sent = sum(len(str(message.get("content") or "")) for message in request["messages"]) // 4
    got = len(json.dumps(reply)) // 4
    return {"prompt_tokens": sent, "completion_tokens": got, "total_tokens": sent + got}


def _completion(request: Mapping[str, Any], reply: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{turns(request)}",
        "object": "chat.completion",
        "created": 0,
        "model": request["model"],
        "choices": [
            {"index": 0, "message": reply, "finish_reason": "tool_calls" if reply.get("tool_calls") else "stop"}
        ],
        "usage": _usage(request, reply),
    }


async def _stream(http: web.Request, request: Mapping[str, Any], reply: Mapping[str, Any]) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(http)
    base = {
        "id": f"chatcmpl-{turns(request)}",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": request["model"],
    }
    for delta in _deltas(reply):
        choice = {"index": 0, "delta": delta, "finish_reason": None}
        await response.write(b"data: " + json.dumps({**base, "choices": [choice]}).encode() + b"\n\n")
    last = {**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {**base, "choices": [], "usage": _usage(request, reply)}
    for chunk in (last, usage):
        await response.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    return response


def _deltas(reply: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A message in pieces, as a server sends it: words by ten characters, arguments in two halves."""
    text = reply.get("content") or ""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": text[start : start + 10]} for start in range(0, len(text), 10)]
    for index, asked in enumerate(reply.get("tool_calls") or ()):
        name, arguments = asked["function"]["name"], asked["function"]["arguments"]
        half = len(arguments) // 2
        first = {
            "index": index,
            "id": asked["id"],
            "type": "function",
            "function": {"name": name, "arguments": arguments[:half]},
        }
        deltas.append({"tool_calls": [first]})
        deltas.append({"tool_calls": [{"index": index, "function": {"arguments": arguments[half:]}}]})
    return deltas


async def _faulty(http: web.Request, fault: Fault) -> web.StreamResponse:
    await asyncio.sleep(fault.delay_s)
    if fault.drop and http.transport is not None:
        http.transport.abort()
    if fault.raw or fault.status == 200:
        kind = "text/event-stream" if fault.raw.startswith("data:") else "application/json"
        return web.Response(text=fault.raw, content_type=kind, status=fault.status)
    return _error(
        fault.status, "the stand-in was told to fail", "insufficient_quota" if fault.status == 429 else "server_error"
    )


def _error(status: int, message: str, code: str) -> web.Response:
    return web.json_response({"error": {"message": message, "type": code, "param": None, "code": code}}, status=status)
