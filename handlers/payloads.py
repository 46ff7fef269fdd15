"""What a payload from Slack says about itself: who, where, and what makes it the same payload when it comes again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.canonical import digest_of, plain
from domain.decisions import Actor

_NEW_MESSAGE = frozenset({"", "bot_message", "file_share", "thread_broadcast", "me_message"})


def where(payload: Mapping[str, Any]) -> tuple[str, str, str]:
    """The user, channel and thread that a payload of any kind comes from; only what Slack itself vouches for."""
    event = payload.get("event")
    if isinstance(event, Mapping):
        return str(event.get("user") or ""), str(event.get("channel") or ""), str(event.get("thread_ts") or "")
    user = payload.get("user") or {}
    channel = payload.get("channel") or {}
    container = payload.get("container") or {}
    message = payload.get("message") or {}
    thread_ts = str(container.get("thread_ts") or message.get("thread_ts") or "")
    if payload.get("command"):
        return str(payload.get("user_id") or ""), str(payload.get("channel_id") or ""), ""
    return str(user.get("id") or ""), str(channel.get("id") or container.get("channel_id") or ""), thread_ts


def actor(payload: Mapping[str, Any]) -> Actor:
    """The person behind a payload; the id is Slack's, never from text."""
    user = payload.get("user") or {}
    name = str(user.get("name") or user.get("username") or payload.get("user_name") or "") if user or payload else ""
    return Actor("person", where(payload)[0], name)


def key_of(body: Mapping[str, Any]) -> str:
    """What is the same when Slack sends the same thing again, and different otherwise."""
    if body.get("event_id"):
        return f"event:{body['event_id']}"
    user, channel, _ = where(body)
    if body.get("command"):
        return f"command:{body.get('trigger_id')}:{user}"
    actions = body.get("actions") or []
    if actions:
        container = body.get("container") or {}
        place = container.get("message_ts") or container.get("view_id") or ""
        return f"action:{channel}:{place}:{actions[0].get('action_ts')}:{actions[0].get('action_id')}:{user}"
    # submissions and shortcuts: the trigger is theirs alone
    return f"{body.get('type')}:{body.get('trigger_id')}:{user}:{digest_of(plain(body.get('view') or {}))[:16]}"


def also_of(body: Mapping[str, Any]) -> str:
    """The second name of a new message: a mention is both app_mention and message. A bot's is read as a message only."""
    event = body.get("event") or {}
    if event.get("type") == "app_mention" and event.get("bot_id"):
        return ""
    if event.get("type") not in ("message", "app_mention") or str(event.get("subtype") or "") not in _NEW_MESSAGE:
        return ""
    return f"{body.get('team_id')}:{event.get('channel')}:{event.get('ts')}"


def surface_of(body: Mapping[str, Any]) -> str:
    """What kind of thing it is: an event's type, or command, block_actions, view_submission, message_action."""
    event = body.get("event") or {}
    return str(event.get("type") or ("command" if body.get("command") else body.get("type") or "unknown"))


def sender_of(body: Mapping[str, Any]) -> Actor:
    """Whom the payload is attributed to."""
    event = body.get("event") or {}
    if event.get("bot_id"):
        return Actor("bot", str(event["bot_id"]))
    who = actor(body)
    return who if who.id else Actor("system", "slack")
