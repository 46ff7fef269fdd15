"""The durable inbox: every payload is in the journal before it is acknowledged, and is handled once.

Bolt deduplicates nothing. An event is known by its event_id and, for a message, by channel and ts as well, because one
mention arrives as two events. A click is known by message, time and person; a command by its trigger.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.response import BoltResponse

from domain.canonical import plain
from domain.errors import Duplicate
from domain.events import Draft, PayloadReceived
from handlers.payloads import also_of, key_of, sender_of, surface_of
from handlers.services import REPLAYED, Services

_SECRET = frozenset({"token", "response_url", "response_urls", "trigger_id", "authorizations", "bot_access_token"})
_IDS = frozenset(
    {"type", "action_id", "block_id", "id", "ts", "thread_ts", "event_ts", "action_ts", "message_ts", "team_id"}
)


def register(app: AsyncApp, services: Services) -> None:
    """The middleware, before every listener."""

    @app.middleware
    async def durable(body: dict[str, Any], next: Callable[[], Awaitable[BoltResponse]]) -> BoltResponse | None:  # noqa: A002  # bolt's name
        if body.get("type") == "url_verification" or body.get("ssl_check"):
            return await next()
        if REPLAYED.get():
            return await next()  # it is in the journal already
        event = PayloadReceived(key_of(body), surface_of(body), recorded(body, services), also_of(body))
        try:
            await services.journal.append(Draft(event, sender_of(body)))
        except Duplicate:
            return BoltResponse(status=200)
        return await next()


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
