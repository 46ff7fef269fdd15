"""The durable inbox: every payload is in the journal before it is acknowledged, and is handled once.

Bolt deduplicates nothing. An event is known by its event_id and, for a message, by channel and ts as well, because one
mention arrives as two events. A click is known by message, time and person; a command by its trigger.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.response import BoltResponse

from domain.canonical import digest_of, plain
from domain.decisions import Actor
from domain.errors import Duplicate
from domain.events import Draft, PayloadReceived
from handlers.services import Services, actor, where

_SECRET = frozenset({"token", "response_url", "response_urls", "trigger_id", "authorizations", "bot_access_token"})
_IDS = frozenset(
    {"type", "action_id", "block_id", "id", "ts", "thread_ts", "event_ts", "action_ts", "message_ts", "team_id"}
)
_NEW_MESSAGE = frozenset({"", "bot_message", "file_share", "thread_broadcast", "me_message"})


def register(app: AsyncApp, services: Services) -> None:
    """The middleware, before every listener."""

    @app.middleware
    async def durable(body: dict[str, Any], next: Callable[[], Awaitable[BoltResponse]]) -> BoltResponse | None:  # noqa: A002  # bolt's name
        if body.get("type") == "url_verification" or body.get("ssl_check"):
            return await next()
        event = PayloadReceived(key_of(body), surface_of(body), recorded(body, services), also_of(body))
        try:
            await services.journal.append(Draft(event, sender_of(body)))
        except Duplicate:
            return BoltResponse(status=200)
        return await next()


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
    """The second name of a new message: a mention is both app_mention and message."""
    event = body.get("event") or {}
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


def recorded(body: Mapping[str, Any], services: Services) -> dict[str, Any]:
    """The payload without what would let a reader of the journal act as Slack or as the app, and without our own blocks.

    The message that was clicked and the dialog that was filled in are in the journal already, as we sent them.
    """
    kept = dict(body)
    if body.get("type") == "block_actions":
        kept["message"] = _without(body.get("message"), ("blocks", "attachments", "bot_profile"))
    if "view" in body:
        kept["view"] = _without(body["view"], ("blocks",))
    cleaned: dict[str, Any] = _cleaned(kept, services.redact)
    return cleaned


def _without(value: Any, names: tuple[str, ...]) -> Any:
    return {name: inner for name, inner in value.items() if name not in names} if isinstance(value, dict) else value


def _cleaned(value: Any, redact: Callable[[str], str]) -> Any:
    """Plain JSON, redacted, in one walk: this is on the way to every ack."""
    kind = type(value)
    if kind is str:
        return redact(value if value.isascii() else plain(value))
    if kind is dict:
        return {
            (name if name.isascii() else plain(name)): inner if name in _IDS else _cleaned(inner, redact)
            for name, inner in value.items()
            if name not in _SECRET
        }
    if kind is list:
        return [_cleaned(inner, redact) for inner in value]
    return plain(value)
