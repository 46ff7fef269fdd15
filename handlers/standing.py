"""Messages of ours that stand in Slack already, known by the outbox key in their metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from domain.ports import Message
from handlers.work import order

EVENT_TYPE = "agent_outbox"
_PAGES, _SHARED_PAGES = 10, 50  # of 200 messages: how far back is looked
_MARGIN_S = 600.0  # Slack's clock and ours may differ


@dataclass(frozen=True)
class Place:
    """Where a message goes."""

    channel: str
    thread_ts: str = ""


@dataclass(frozen=True)
class Sent:
    """What Slack has now."""

    channel: str
    ts: str
    revision: int


async def standing(client: AsyncWebClient, workspace: str, row: Message, place: Place) -> list[Sent]:
    """This message wherever it stands at `place`, earliest first; of one that only we say, the first that is found."""
    since = row.shared_since or row.wanted_at
    oldest = f"{since.timestamp() - _MARGIN_S:.6f}" if since else "0"
    found: list[Sent] = []
    cursor = ""
    for _ in range(_SHARED_PAGES if row.shared_since else _PAGES):
        page = await _page(client, place, oldest, cursor)
        for message in page["messages"]:
            sent = _ours(workspace, row, place, message)
            if sent is not None:
                found.append(sent)
        cursor = str((page.get("response_metadata") or {}).get("next_cursor") or "")
        if not cursor or (found and not row.shared_since):
            break
    return sorted(found, key=lambda sent: order(sent.ts))


async def _page(client: AsyncWebClient, place: Place, oldest: str, cursor: str) -> Any:
    arguments: dict[str, Any] = {
        "channel": place.channel,
        "oldest": oldest,
        "limit": 200,
        "include_all_metadata": True,
    }
    if cursor:
        arguments["cursor"] = cursor
    if place.thread_ts:
        return await client.conversations_replies(ts=place.thread_ts, **arguments)
    return await client.conversations_history(**arguments)


def _ours(workspace: str, row: Message, place: Place, message: dict[str, Any]) -> Sent | None:
    metadata = message.get("metadata") or {}
    payload = metadata.get("event_payload") or {}
    if metadata.get("event_type") != EVENT_TYPE or payload.get("id") != row.key:
        return None
    if payload.get("workspace") != workspace:
        return None
    return Sent(place.channel, str(message["ts"]), min(int(payload.get("revision") or 0), row.revision))
