"""A scripted chat-completions server that costs next to nothing, so that what is measured is the client.

Stateless: the step is the number of tool messages in the request, the number of steps is in the model's name (`script-50`).
Every step but the last asks for one call of `look`; the last one says how it ended. Prints its base URL and serves.

    python -m benchmarks.model
"""

from __future__ import annotations

import asyncio
import json
import re

from benchmarks.measure import SERVER_CORE, pin

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_STEPS = re.compile(rb'"model": ?"script-(\d+)"')


class Server(asyncio.Protocol):
    """As much HTTP/1.1 as the clients here speak: keep-alive, a body with its length."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._buffer, self._wanted = transport, bytearray(), 0

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            if not self._wanted:
                end = self._buffer.find(b"\r\n\r\n")
                if end < 0:
                    return
                length = _LENGTH.search(self._buffer, 0, end)
                self._wanted = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < self._wanted:
                return
            self._transport.write(answer(bytes(self._buffer[: self._wanted])))
            del self._buffer[: self._wanted]
            self._wanted = 0


_answers: dict[tuple[bool, int], bytes] = {}


def answer(request: bytes) -> bytes:
    """The whole response to a whole request."""
    found = _STEPS.search(request)
    step = request.count(b'"role":"tool"') + request.count(b'"role": "tool"')
    key = (step >= int(found[1] if found else 0), step)
    if key not in _answers:
        body = json.dumps(completion(*key)).encode()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        _answers[key] = head + body
    return _answers[key]


def completion(last: bool, step: int) -> dict[str, object]:
    """A chat completion as the real one looks."""
    function = {"name": "look", "arguments": json.dumps({"page": step})}
    asks = {"content": None, "tool_calls": [{"id": f"call_{step}", "type": "function", "function": function}]}
    says = {"content": "The last release broke it. See E1."}
    return {
        "id": f"chatcmpl-{step}",
        "object": "chat.completion",
        "created": 1,
        "model": "script",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", **(says if last else asks)},
                "finish_reason": "stop" if last else "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


async def serve() -> None:
    """Until ended."""
    pin(SERVER_CORE)
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
