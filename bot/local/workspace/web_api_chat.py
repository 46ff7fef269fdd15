"""chat.*, reactions.add, assistant.threads.* and blocks.validate."""

from __future__ import annotations

from typing import Any

from handlers.blocks import LIMITS, Problem, problems, view_problems

from .messages import by_bot, delete, edit, post, set_status, whisper, with_block_ids
from .state import Json, Room, State
from .web_api import ApiError, Call, Method

LONGEST_TEXT = 40_000
STATUS_SECONDS = 120.0


def invalid_blocks(found: list[Problem], code: str = "invalid_blocks") -> ApiError:
    """The refusal Slack words for blocks it does not accept."""
    if any(problem.code == "msg_blocks_too_long" for problem in found):
        return ApiError("msg_blocks_too_long")
    errors = [str(problem) for problem in found]
    return ApiError(code, errors=errors, response_metadata={"messages": [f"[ERROR] {e}" for e in errors]})


def check_blocks(state: State, blocks: object) -> list[Json]:
    """Blocks as Slack stores them; ApiError when it would refuse them."""
    if not isinstance(blocks, list):
        raise ApiError("invalid_blocks_format")
    found = problems(blocks)
    for index, block in enumerate(blocks):
        file_id = block.get("slack_file", {}).get("id") if isinstance(block, dict) else None
        if file_id and not (file_id in state.files and state.files[file_id].shows(state.clock.now())):
            found.append(Problem(f"/blocks/{index}/slack_file", "invalid slack file", "invalid_file"))
    if found:
        raise invalid_blocks(found)
    return with_block_ids(blocks)


def content(call: Call, *, need_text: bool = True) -> Json:
    """Text, blocks, attachments and metadata of a message, checked."""
    args = call.args
    text, blocks, attachments = args.get("text"), args.get("blocks"), args.get("attachments")
    if args.get("markdown_text"):
        if text or blocks:
            raise ApiError("markdown_text_conflict")
        blocks = [{"type": "markdown", "text": args["markdown_text"]}]
    if need_text and not (text or blocks or attachments):
        raise ApiError("no_text")
    if len(str(text or "")) > LONGEST_TEXT:
        raise ApiError("msg_too_long")
    made: Json = {} if text is None else {"text": str(text)}
    if blocks is not None:
        made["blocks"] = check_blocks(call.state, blocks)
    if attachments is not None:
        made["attachments"] = _attachments(call.state, attachments)
    if args.get("metadata"):
        made["metadata"] = checked_metadata(args["metadata"])
    return made


def _attachments(state: State, attachments: object) -> list[Json]:
    if not isinstance(attachments, list) or not all(isinstance(one, dict) for one in attachments):
        raise ApiError("invalid_attachments")
    if len(attachments) > LIMITS["message.attachments"]:
        raise ApiError("too_many_attachments")
    kept = []
    for number, attachment in enumerate(attachments, 1):
        if "blocks" in attachment:
            attachment = {**attachment, "blocks": check_blocks(state, attachment["blocks"])}
        kept.append({"id": number, **attachment})
    return kept


def checked_metadata(metadata: object) -> Json:
    if not isinstance(metadata, dict):
        raise ApiError("invalid_metadata_format")
    if not isinstance(metadata.get("event_type"), str) or not isinstance(metadata.get("event_payload"), dict):
        raise ApiError("invalid_metadata_schema")
    return metadata


def writable(call: Call, room: Room) -> None:
    """ApiError when the app may not post there."""
    if room.is_archived:
        raise ApiError("is_archived")
    if call.bot.user_id not in room.members:
        raise ApiError("not_in_channel")
    if room.is_restricted:
        raise ApiError("restricted_action")


def thread(room: Room, thread_ts: object) -> Json:
    """`thread_ts` as content, after checking that a reply can be put there."""
    if not thread_ts:
        return {}
    parent = room.messages.get(str(thread_ts))
    if parent is None:
        raise ApiError("thread_not_found")
    if parent.get("thread_ts", parent["ts"]) != parent["ts"]:
        raise ApiError("cannot_reply_to_message")
    return {"thread_ts": str(thread_ts)}


async def post_message(call: Call) -> Json:
    room = call.room()
    writable(call, room)
    made = {**content(call), **thread(room, call.args.get("thread_ts"))}
    if call.flag("reply_broadcast") and "thread_ts" in made:
        made |= {"subtype": "thread_broadcast", "root": room.messages[made["thread_ts"]]}
    message = post(call.core.desk, room, by_bot(call.state, call.bot), made)
    return {"channel": room.id, "ts": message["ts"], "message": message}


async def post_ephemeral(call: Call) -> Json:
    room = call.room()
    writable(call, room)
    user = call.text("user")
    if user not in room.members:
        raise ApiError("user_not_in_channel")
    made = {**content(call), **thread(room, call.args.get("thread_ts"))}
    message = whisper(call.state, room, user, by_bot(call.state, call.bot), made)
    return {"message_ts": message["ts"]}


def own(call: Call, room: Room, refusal: str) -> Json:
    """The app's own message that `ts` names; ApiError when it is gone, or somebody else's."""
    message = room.messages.get(call.text("ts"))
    if message is None or message.get("subtype") == "tombstone":
        raise ApiError("message_not_found")
    if message.get("bot_id") != call.bot.bot_id:
        raise ApiError(refusal)
    return message


async def update(call: Call) -> Json:
    room = call.room()
    message = own(call, room, "cant_update_message")
    if room.is_archived:
        raise ApiError("is_inactive")
    if message.get("streaming_state") == "in_progress":
        raise ApiError("streaming_state_conflict")
    made = content(call, need_text="blocks" not in call.args and "metadata" not in call.args)
    removed: list[str] = []
    # Text without blocks takes the old blocks away; an empty list does, too; neither keeps them.
    if made.get("blocks") == [] or ("text" in made and "blocks" not in made):
        made.pop("blocks", None)
        removed.append("blocks")
    if made.get("attachments") == []:
        removed.append("attachments")
        del made["attachments"]
    if "blocks" not in made:
        made["edited"] = {"user": call.bot.user_id, "ts": f"{call.state.clock.now():.6f}"}
    changed = edit(call.core.desk, room, message["ts"], made, tuple(removed))
    return {"channel": room.id, "ts": message["ts"], "text": changed["text"], "message": changed}


async def delete_message(call: Call) -> Json:
    room = call.room()
    message = own(call, room, "cant_delete_message")
    delete(call.core.desk, room, message["ts"])
    return {"channel": room.id, "ts": message["ts"]}


async def permalink(call: Call) -> Json:
    room = call.room()
    message = room.messages.get(call.text("message_ts"))
    if message is None:
        raise ApiError("message_not_found")
    link = f"{call.core.base_url}/archives/{room.id}/p{message['ts'].replace('.', '')}"
    if message.get("thread_ts", message["ts"]) != message["ts"]:
        link += f"?thread_ts={message['thread_ts']}&cid={room.id}"
    return {"channel": room.id, "permalink": link}


async def add_reaction(call: Call) -> Json:
    room, name, user = call.room(), call.text("name"), call.bot.user_id
    message = room.messages.get(str(call.args.get("timestamp")))
    if message is None:
        raise ApiError("message_not_found")
    reactions = message.setdefault("reactions", [])
    one = next((reaction for reaction in reactions if reaction["name"] == name), None)
    if one is None:
        reactions.append(one := {"name": name, "users": [], "count": 0})
    if user in one["users"]:
        raise ApiError("already_reacted")
    one |= {"users": [*one["users"], user], "count": one["count"] + 1}
    call.state.tell("message_changed", channel=room.id, message=message)
    item = {"type": "message", "channel": room.id, "ts": message["ts"]}
    call.core.events.emit({"type": "reaction_added", "user": user, "reaction": name, "item": item}, room)
    return {}


async def thread_status(call: Call) -> Json:
    room = call.room("channel_id")
    thread_ts = call.text("thread_ts")
    if thread_ts not in room.messages:
        raise ApiError("invalid_thread_ts")
    status, loading = str(call.args.get("status") or ""), call.args.get("loading_messages") or []
    if not isinstance(loading, list) or len(loading) > 10:
        raise ApiError("invalid_arguments")
    set_status(call.state, room.id, thread_ts, status, loading)
    if status:
        call.core.delivery.spawn(_expire(call.state, room.id, thread_ts, call.state.statuses[room.id, thread_ts]))
    return {}


async def _expire(state: State, channel: str, thread_ts: str, shown: Json) -> None:
    await state.clock.sleep(STATUS_SECONDS)
    if state.statuses.get((channel, thread_ts)) is shown:
        set_status(state, channel, thread_ts, "", [])


async def accepted(call: Call) -> Json:
    """Methods whose effect nobody can see here: arguments are looked at and forgotten."""
    call.room("channel_id")
    return {}


async def session_status(call: Call) -> Json:
    room, status = call.room("channel_id"), call.text("status")
    if status not in ("processing", "active", "suspended", "closed"):
        raise ApiError("invalid_arguments")
    return {"status": status, "agent_status": status, "title": call.args.get("title", ""), "channel": room.id}


async def validate(call: Call) -> Json:
    given = [name for name in ("blocks", "message", "view") if call.args.get(name) is not None]
    if len(given) != 1:
        raise ApiError("invalid_arguments")
    value: Any = call.args[given[0]]
    if given == ["view"]:
        found = view_problems(value)
    else:
        found = problems(value.get("blocks") if given == ["message"] and isinstance(value, dict) else value)
    if found:
        errors = [{"pointer": p.pointer, "code": p.code, "message": p.message} for p in found]
        raise ApiError(f"invalid_{given[0]}", errors=errors)
    return {}


METHODS = {
    "chat.postMessage": Method(post_message, "chat:write"),
    "chat.postEphemeral": Method(post_ephemeral, "chat:write"),
    "chat.update": Method(update, "chat:write"),
    "chat.delete": Method(delete_message, "chat:write"),
    "chat.getPermalink": Method(permalink),
    "reactions.add": Method(add_reaction, "reactions:write"),
    "assistant.threads.setStatus": Method(thread_status, "chat:write"),
    "assistant.threads.setSuggestedPrompts": Method(accepted, "assistant:write"),
    "assistant.threads.setTitle": Method(accepted, "assistant:write"),
    "agents.sessions.setStatus": Method(session_status, "assistant:write"),
    "blocks.validate": Method(validate),
}
