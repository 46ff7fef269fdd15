"""Any server that speaks OpenAI's chat completions, through the openai package's low-level `post`.

The package's `create()` walks every message of the history on every request, so its cost grows with the conversation.
`post` with ready bytes keeps its authentication, retries, timeouts and errors and sends what we hold: each message is
serialised once, when it is added. docs/performance.md has the figures.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from bot.models.conclusion import concluded, from_words
from bot.models.conversation import Conversation, room_for
from bot.models.prices import usage_of
from bot.models.prompt import CONCLUDE
from domain.canonical import digest_of, plain
from domain.errors import BadInput, ModelError
from domain.ports import Request, ToolOffer
from domain.runs import Answer, Run, ToolCall

if TYPE_CHECKING:
    import openai

REQUEST_SECONDS = 60.0
MAX_TEXT = 8_000
MAX_CALLS = 16


class OpenAIModel:
    """Chat completions with tools. `name` is the served model's name."""

    def __init__(self, client: openai.AsyncOpenAI, model: str, *, stream: bool = False, context: int = 0) -> None:
        """`context` is how many tokens the model takes at once; 0 means what its name tells."""
        self.name = model
        self._client = client
        self._stream = stream
        self._room = room_for(model, context)
        self._conversations: dict[str, Conversation] = {}
        self._tools: dict[tuple[str, ...], tuple[bytes, str]] = {}

    def request(self, run: Run, tools: Sequence[ToolOffer]) -> Request:
        """The next request: only what the run gained since the last one is serialised."""
        conversation = self._conversations.get(run.id)
        if conversation is None or conversation.steps > run.step:
            conversation = self._conversations[run.id] = Conversation()
        added = conversation.catch_up(run, self._room)
        if not tools:
            notice = {"role": "user", "content": "No more tools: call conclude now with what the evidence supports."}
            conversation.add(notice)
            added.append(notice)
        offered, tools_hash = self._offer(tools)
        head = b'{"model":' + json.dumps(self.name).encode() + b',"messages":['
        tail = (
            b'],"tools":'
            + offered
            + (b',"stream":true,"stream_options":{"include_usage":true}}' if self._stream else b"}")
        )
        hasher = conversation.hasher.copy()
        hasher.update(head + tail)
        send = partial(self._send, head + b",".join(conversation.fragments) + tail, run)
        return Request(self.name, tuple(plain(added)), tools_hash, hasher.hexdigest(), send)

    def forget(self, run_id: str) -> None:
        """Drop a run's conversation."""
        self._conversations.pop(run_id, None)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _offer(self, tools: Sequence[ToolOffer]) -> tuple[bytes, str]:
        key = tuple(tool.name for tool in tools)
        if key not in self._tools:
            listed = [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in (*tools, CONCLUDE)
            ]
            self._tools[key] = (json.dumps(listed, separators=(",", ":")).encode(), digest_of(plain(listed)))
        return self._tools[key]

    async def _send(self, body: bytes, run: Run) -> Answer:
        completion, first_ms = await self.complete(body)
        return replace(read_completion(completion, self.name, run), first_token_ms=first_ms)

    async def complete(self, body: bytes) -> tuple[Any, int | None]:
        """The chat completion that a ready request body gets, and after how many milliseconds its first token came.

        Raises ModelError with a sentence.
        """
        import httpx2  # the openai package's own HTTP client; heavy, so only where a model is used
        import openai

        options: Any = {"headers": {"Content-Type": "application/json"}}
        try:
            if self._stream:
                return await self._streamed(body, options)
            response = await self._client.post(
                "/chat/completions", content=body, cast_to=httpx2.Response, options=options
            )
            return json.loads(response.content), None
        except openai.APITimeoutError as error:
            unreachable = isinstance(
                error.__cause__, httpx2.ConnectTimeout
            )  # a refused connection is one to the transport
            sentence = "could not be reached" if unreachable else f"did not answer within {REQUEST_SECONDS:.0f} s"
            raise ModelError(sentence) from error
        except openai.APIStatusError as error:
            raise ModelError(_status_sentence(error)) from error
        except openai.OpenAIError as error:
            raise ModelError("could not be reached") from error
        except (httpx2.HTTPError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
            # also a chunk of a stream whose parts have other types than the protocol's
            raise ModelError("answered with something that is not a chat completion") from error

    async def _streamed(self, body: bytes, options: Any) -> tuple[Any, int | None]:
        """The completion, and after how many milliseconds its first token came (None: it was not streamed after all)."""
        from openai import AsyncStream
        from openai.types.chat import ChatCompletionChunk

        began, first_ms = time.perf_counter(), None
        stream = await self._client.post(
            "/chat/completions",
            content=body,
            cast_to=ChatCompletionChunk,
            options=options,
            stream=True,
            stream_cls=AsyncStream[ChatCompletionChunk],
        )
        if "text/event-stream" not in stream.response.headers.get("content-type", ""):
            return json.loads(await stream.response.aread()), None
        gathered: dict[str, Any] = {"choices": [{"message": {"content": "", "tool_calls": {}}}], "usage": None}
        async for chunk in stream:
            if _gather(gathered, chunk.model_dump(exclude_none=True, warnings=False)) and first_ms is None:
                first_ms = round((time.perf_counter() - began) * 1000)
        message = gathered["choices"][0]["message"]
        message["tool_calls"] = [message["tool_calls"][index] for index in sorted(message["tool_calls"])]
        return gathered, first_ms


def connect(api_key: str, base_url: str, model: str, *, stream: bool = False, context: int = 0) -> OpenAIModel:
    """A model behind a base URL. Nothing is sent until the first request."""
    import openai

    # the package's aiohttp transport costs half of its default one, whose pool looks at every connection for every request
    http = openai.DefaultAioHttpClient(timeout=REQUEST_SECONDS)
    client = openai.AsyncOpenAI(
        api_key=api_key, base_url=base_url, http_client=http, timeout=REQUEST_SECONDS, max_retries=1
    )
    return OpenAIModel(client, model, stream=stream, context=context)


def read_completion(completion: Any, model: str, run: Run) -> Answer:
    """An Answer from a chat completion of any shape. Raises ModelError where there is nothing to use."""
    try:
        message = completion["choices"][0]["message"]
        text = str(message.get("content") or "")[:MAX_TEXT]
        calls = [_call(call) for call in (message.get("tool_calls") or [])[:MAX_CALLS]]
        response_id = str(plain(completion.get("id") or ""))[:200]
    except (KeyError, IndexError, TypeError, AttributeError, BadInput) as error:
        raise ModelError("answered with something that is not a chat completion") from error
    used = usage_of(completion.get("usage"), model)
    others = tuple(call for call in calls if call.tool != CONCLUDE.name)
    if others:
        return Answer(str(plain(text)), others, None, used, response_id)
    concluding = next((call for call in calls if call.tool == CONCLUDE.name), None)
    if concluding is not None:
        diagnosis = concluded(concluding.arguments, text, model, run)
    elif text.strip():
        diagnosis = from_words(text, model, run)
    else:
        raise ModelError("answered with neither words nor a call")
    return Answer(str(plain(text)), (), diagnosis, used, response_id)


def _call(call: Any) -> ToolCall:
    function = call["function"]
    return ToolCall(
        str(plain(call.get("id") or ""))[:200],
        str(plain(function["name"]))[:200],
        str(plain(function.get("arguments") or "")),
    )


def _status_sentence(error: openai.APIStatusError) -> str:
    known = {
        401: "refused the key (401): check OPENAI_API_KEY",
        403: "refused this key (403)",
        404: "does not know this model or path (404): check OPENAI_MODEL and OPENAI_BASE_URL",
        429: "is out of quota or rate limited (429)",
    }
    return known.get(error.status_code, f"answered with HTTP {error.status_code}")


def _gather(gathered: dict[str, Any], chunk: Mapping[str, Any]) -> bool:
    """Add a chunk; whether it brought anything of the answer itself."""
    brought = False
    gathered["id"] = chunk.get("id") or gathered.get("id")
    gathered["usage"] = chunk.get("usage") or gathered["usage"]
    message = gathered["choices"][0]["message"]
    for choice in chunk.get("choices", ())[:1]:
        delta = choice.get("delta", {})
        brought = bool(delta.get("content") or delta.get("tool_calls"))
        message["content"] += delta.get("content") or ""
        for part in delta.get("tool_calls", ()):
            call = message["tool_calls"].setdefault(
                part.get("index", 0), {"id": "", "function": {"name": "", "arguments": ""}}
            )
            call["id"] = part.get("id") or call["id"]
            function = part.get("function", {})
            call["function"]["name"] += function.get("name") or ""
            call["function"]["arguments"] += function.get("arguments") or ""
    return brought
