"""Messages and their threads: posting, editing and deleting, with the events each causes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .events import Events
from .seed import Bot
from .state import Json, Room, State, WorkspaceError, new_id

_TOKEN = re.compile(r"(<@[UW]\w+>|<#[CG]\w+(?:\|[^<>]*)?>|<!subteam\^S\w+(?:\|[^<>]*)?>|<https?://[^<>\s]+>)")
_AT = re.compile(r"(?<![\w<@])@([\w.-]+)")


@dataclass(frozen=True)
class Desk:
    """What posting needs: the state and the events it causes."""

    state: State
    events: Events


def by_bot(state: State, bot: Bot) -> Json:
    """Who wrote it, for a message of an app's bot user."""
    profile = {
        "id": bot.bot_id,
        "app_id": bot.app_id,
        "user_id": bot.user_id,
        "name": bot.name,
        "deleted": False,
        "updated": 1,
        "icons": {},
        "team_id": state.seed.team_id,
    }
    writer = {"user": bot.user_id, "bot_id": bot.bot_id, "app_id": bot.app_id}
    return {**writer, "team": state.seed.team_id, "bot_profile": profile}


def with_block_ids(blocks: list[Json]) -> list[Json]:
    """The blocks as Slack stores them: each with a block_id and each interactive element with an action_id."""
    kept = []
    for block in blocks:
        block = {"block_id": new_id("")[:5], **block}
        for key in ("elements", "actions"):
            if block.get("type") in ("actions", "context_actions", "card"):
                several = block.get(key)
                if isinstance(several, list):
                    block[key] = [{"action_id": new_id("")[:5], **element} for element in several]
        for key in ("accessory", "element"):
            if isinstance(block.get(key), dict) and block[key].get("type") != "image":
                block[key] = {"action_id": new_id("")[:5], **block[key]}
        if isinstance(block.get("child_blocks"), list):
            block["child_blocks"] = with_block_ids(block["child_blocks"])
        kept.append(block)
    return kept


def typed(state: State, text: str) -> tuple[str, list[Json]]:
    """What a person typed, as Slack stores it: names become mentions, signs are escaped, one rich text block."""

    def mention(found: re.Match[str]) -> str:
        try:
            return f"<@{state.user_id(found[1])}>"
        except WorkspaceError:
            return found[0]

    text = _AT.sub(mention, text)
    parts, elements = [], []
    for piece in filter(None, _TOKEN.split(text)):
        parts.append(piece if _TOKEN.fullmatch(piece) else _escaped(piece))
        elements.append(_inline(piece))
    section = {"type": "rich_text_section", "elements": elements}
    return "".join(parts), [{"type": "rich_text", "block_id": new_id("")[:5], "elements": [section]}]


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _inline(piece: str) -> Json:
    if not _TOKEN.fullmatch(piece):
        return {"type": "text", "text": piece}
    name = piece.strip("<>").partition("|")[0]
    if name.startswith("@"):
        return {"type": "user", "user_id": name[1:]}
    if name.startswith("#"):
        return {"type": "channel", "channel_id": name[1:]}
    if name.startswith("!subteam^"):
        return {"type": "usergroup", "usergroup_id": name.removeprefix("!subteam^")}
    return {"type": "link", "url": name}


def post(desk: Desk, room: Room, author: Json, content: Json) -> Json:
    """Adds a message to a channel or, with thread_ts, to a thread; returns it with its new ts."""
    state = desk.state
    ts = state.new_ts()
    message: Json = {"type": "message", **author, "text": "", **content, "ts": ts}
    parent = room.messages.get(message.get("thread_ts", ""))
    if parent and "user" in parent:
        message["parent_user_id"] = parent["user"]
    room.messages[ts] = message
    state.tell("message", channel=room.id, message=message)
    if parent:
        _count_replies(state, room, parent)
        # The status line of a thread ends when the app says something in it.
        if message.get("bot_id") == state.app.bot_id:
            set_status(state, room.id, parent["ts"], "", [])
    desk.events.message(room, message)
    return message


def edit(desk: Desk, room: Room, ts: str, content: Json, removed: tuple[str, ...] = ()) -> Json:
    """Changes a message in place; `content` replaces fields and `removed` takes them away."""
    previous = dict(room.messages[ts])
    message = {key: value for key, value in previous.items() if key not in removed} | content
    room.messages[ts] = message
    desk.state.tell("message_changed", channel=room.id, message=message)
    shown = [{k: v for k, v in m.items() if k != "metadata"} for m in (message, previous)]
    desk.events.hidden(room, "message_changed", message=shown[0], previous_message=shown[1])
    return message


def delete(desk: Desk, room: Room, ts: str) -> None:
    """Removes a message; the parent of a thread leaves a tombstone."""
    state = desk.state
    message = room.messages.pop(ts)
    if message.get("reply_count"):
        kept = ("type", "ts", "thread_ts", "reply_count", "reply_users", "reply_users_count", "latest_reply")
        grave = {key: message[key] for key in kept} | {"subtype": "tombstone", "user": "USLACKBOT"}
        room.messages[ts] = {**grave, "text": "This message was deleted.", "hidden": True}
        room.messages = dict(sorted(room.messages.items()))
        state.tell("message_changed", channel=room.id, message=room.messages[ts])
    else:
        state.tell("message_deleted", channel=room.id, ts=ts)
    if parent := room.messages.get(message.get("thread_ts", "")):
        _count_replies(state, room, parent)
    desk.events.hidden(room, "message_deleted", deleted_ts=ts, previous_message=message)


def _count_replies(state: State, room: Room, parent: Json) -> None:
    replies = [m for m in room.thread(parent["ts"]) if m["ts"] != parent["ts"]]
    users = list(dict.fromkeys(m.get("user") or m.get("bot_id") for m in replies))
    parent["thread_ts"] = parent["ts"]
    parent |= {"reply_count": len(replies), "reply_users": users[:5], "reply_users_count": len(users)}
    if replies:
        parent["latest_reply"] = replies[-1]["ts"]
    state.tell("message_changed", channel=room.id, message=parent)


def whisper(state: State, room: Room, user: str, author: Json, content: Json) -> Json:
    """Shows a message to one person only; returns it."""
    message: Json = {"type": "message", **author, "text": "", **content, "ts": state.new_ts()}
    message |= {"is_ephemeral": True, "channel": room.id, "to": user}
    state.ephemerals.append(message)
    state.tell("ephemeral", user=user, message=message)
    return message


def take_back(state: State, ephemeral: Json) -> None:
    """Removes a message that only one person sees."""
    state.ephemerals.remove(ephemeral)
    state.tell("ephemeral", user=ephemeral["to"], message=ephemeral, deleted=True)


def set_status(state: State, channel: str, thread_ts: str, status: str, loading: list[Any]) -> None:
    """Sets or, with "", clears the line under a thread that says what the app is doing."""
    if status:
        state.statuses[channel, thread_ts] = {"status": status, "loading_messages": loading}
    elif state.statuses.pop((channel, thread_ts), None) is None:
        return
    state.tell("status", channel=channel, thread_ts=thread_ts, status=status, loading_messages=loading)
