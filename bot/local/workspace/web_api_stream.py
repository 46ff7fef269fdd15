"""chat.startStream, appendStream and stopStream: messages that grow, for at most five minutes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .messages import by_bot, edit, post
from .state import Json, Room, new_id
from .web_api import ApiError, Call, Method
from .web_api_chat import check_blocks, checked_metadata, own, thread, writable

STREAM_SECONDS = 300.0
LONGEST_TEXT = 12_000


@dataclass
class Stream:
    """What one streamed message holds so far, in the order it came."""

    mode: str  # "text" or "chunks": the one it was opened with
    display: str
    began: float
    title: str = ""
    parts: list[Json] = field(default_factory=list)
    tasks: dict[str, Json] = field(default_factory=dict)
    text: str = ""

    def add_text(self, text: str) -> None:
        self.text += text
        if self.parts and self.parts[-1]["type"] == "markdown":
            self.parts[-1] = {**self.parts[-1], "text": self.parts[-1]["text"] + text}
        else:
            self.parts.append({"type": "markdown", "block_id": new_id("")[:5], "text": text})

    def add_task(self, chunk: Json) -> None:
        task = self.tasks.get(chunk["id"])
        if task is None:
            task = self.tasks[chunk["id"]] = {"type": "task_card", "task_id": chunk["id"]}
            if self.display != "plan":
                self.parts.append(task)
        task |= {"title": chunk["title"], "status": chunk["status"]}
        for name in ("details", "output"):
            if chunk.get(name):
                task[name] = _rich_text(chunk[name])
        if chunk.get("sources"):
            task["sources"] = chunk["sources"]

    def blocks(self) -> list[Json]:
        """The message as blocks: the plan first when tasks are displayed together."""
        if self.display != "plan" or not self.tasks:
            return [dict(part) for part in self.parts]
        tasks = [{key: value for key, value in task.items() if key != "type"} for task in self.tasks.values()]
        return [{"type": "plan", "title": self.title or "Plan", "tasks": tasks}, *self.parts]


def _rich_text(text: str) -> Json:
    section = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
    return {"type": "rich_text", "elements": [section]}


class Streams:
    """The streams that are open, by channel and ts."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], Stream] = {}
        self._stopped_by_user: set[tuple[str, str]] = set()

    @property
    def methods(self) -> dict[str, Method]:
        return {
            "chat.startStream": Method(self.start, "chat:write"),
            "chat.appendStream": Method(self.append, "chat:write"),
            "chat.stopStream": Method(self.stop, "chat:write"),
        }

    def in_thread(self, channel: str, messages: list[Json]) -> list[str]:
        """The ts of every open stream among `messages`."""
        return [message["ts"] for message in messages if (channel, message["ts"]) in self._open]

    def stop_by_user(self, channel: str, ts: str) -> None:
        """A person pressed Stop: later calls answer `stopped_by_user`."""
        self._stopped_by_user.add((channel, ts))

    async def start(self, call: Call) -> Json:
        room = call.room()
        writable(call, room)
        call.text("thread_ts")
        if not room.im_user:
            for name in ("recipient_team_id", "recipient_user_id"):
                if not call.args.get(name):
                    raise ApiError(f"missing_{name}")
        display = str(call.args.get("task_display_mode") or "timeline")
        mode = "chunks" if call.args.get("chunks") else "text"
        stream = Stream(mode, display, call.state.clock.now())
        _grow(call, stream)
        content = {
            **thread(room, call.args["thread_ts"]),
            "text": stream.text,
            "blocks": stream.blocks(),
            "streaming_state": "in_progress",
        }
        message = post(call.core.desk, room, by_bot(call.state, call.bot), content)
        self._open[room.id, message["ts"]] = stream
        call.core.delivery.spawn(self._expire(call, room, message["ts"]))
        return {"channel": room.id, "ts": message["ts"]}

    async def append(self, call: Call) -> Json:
        room = call.room()
        ts, stream = self._find(call, room)
        _grow(call, stream)
        _show(call, room, ts, {"text": stream.text, "blocks": stream.blocks()})
        return {"channel": room.id, "ts": ts}

    async def stop(self, call: Call) -> Json:
        room = call.room()
        ts, stream = self._find(call, room)
        _grow(call, stream)
        made: Json = {"text": stream.text, "blocks": stream.blocks(), "streaming_state": "completed"}
        if call.args.get("blocks"):
            made["blocks"] = [*made["blocks"], *check_blocks(call.state, call.args["blocks"])]
        if call.args.get("metadata"):
            made["metadata"] = checked_metadata(call.args["metadata"])
        del self._open[room.id, ts]
        return {"channel": room.id, "ts": ts, "message": edit(call.core.desk, room, ts, made)}

    def _find(self, call: Call, room: Room) -> tuple[str, Stream]:
        ts = own(call, room, "message_not_owned_by_app")["ts"]
        if (room.id, ts) in self._stopped_by_user:
            raise ApiError("stopped_by_user")
        stream = self._open.get((room.id, ts))
        if stream is None or call.state.clock.now() - stream.began > STREAM_SECONDS:
            raise ApiError("message_not_in_streaming_state")
        return ts, stream

    async def _expire(self, call: Call, room: Room, ts: str) -> None:
        await call.state.clock.sleep(STREAM_SECONDS)
        if self._open.pop((room.id, ts), None) and ts in room.messages:
            _show(call, room, ts, {"streaming_state": "completed"})


def _show(call: Call, room: Room, ts: str, content: Json) -> None:
    """Changes a message for its readers; Slack sends no event while a stream grows."""
    room.messages[ts] |= content
    call.state.tell("message_changed", channel=room.id, message=room.messages[ts])


def _grow(call: Call, stream: Stream) -> None:
    """Adds what the call brings, in the mode the stream was opened with."""
    text, chunks = call.args.get("markdown_text"), call.args.get("chunks")
    if (text and stream.mode == "chunks") or (chunks and stream.mode == "text"):
        raise ApiError("streaming_mode_mismatch")
    if len(str(text or "")) > LONGEST_TEXT:
        raise ApiError("msg_too_long")
    if text:
        stream.add_text(str(text))
    for chunk in _checked(call, chunks or []):
        match chunk["type"]:
            case "markdown_text":
                stream.add_text(chunk["text"])
            case "task_update":
                stream.add_task(chunk)
            case "plan_update":
                stream.title = chunk["title"]
            case _:
                stream.parts += check_blocks(call.state, chunk["blocks"])


_CHUNKS: dict[str, tuple[str, ...]] = {
    "markdown_text": ("text",),
    "task_update": ("id", "title", "status"),
    "plan_update": ("title",),
}


def _checked(call: Call, chunks: Any) -> list[Json]:
    """The chunks, all of them of a known form; nothing is added when one is not."""
    if not isinstance(chunks, list):
        raise ApiError("invalid_chunks")
    for chunk in chunks:
        if not isinstance(chunk, dict):
            raise ApiError("invalid_chunks")
        if chunk.get("type") == "blocks":
            if any(isinstance(b, dict) and b.get("type") == "file" for b in chunk.get("blocks") or []):
                raise ApiError("internal_error")
            check_blocks(call.state, chunk.get("blocks"))
            continue
        wanted = _CHUNKS.get(str(chunk.get("type")), ("unknown type",))
        optional = [chunk[name] for name in ("details", "output") if chunk.get(name) is not None]
        if not all(isinstance(value, str) for value in (*(chunk.get(name) for name in wanted), *optional)):
            raise ApiError("invalid_chunks")
        if chunk.get("status", "pending") not in ("pending", "in_progress", "complete", "error"):
            raise ApiError("invalid_chunks")
    return chunks
