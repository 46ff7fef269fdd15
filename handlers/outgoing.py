"""One message to Slack: posted or edited, found again after a doubt, simplified where Slack takes no rich blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from domain.ports import Message
from handlers.blocks import degrade
from handlers.chat import plain_text
from handlers.kit import Block, context, room, safe
from handlers.slack_errors import Trouble, understand
from handlers.stream import Streams

_PAGES = 10  # of 200 messages: how far back a message of ours is looked for
_EVENT_TYPE = "agent_outbox"


@dataclass(frozen=True)
class Place:
    """Where a message goes. `instead_of` is the channel that it was meant for, where that one is closed to us."""

    channel: str
    thread_ts: str = ""
    instead_of: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Sent:
    """What Slack has now."""

    channel: str
    ts: str
    revision: int


class Outgoing:
    """The calls behind the outbox. Every method raises what slack_sdk raises, once simpler blocks did not help."""

    def __init__(self, client: AsyncWebClient, workspace: str) -> None:
        self._client = client
        self._workspace = workspace
        self.streams = Streams(client, workspace)

    async def send(self, row: Message, place: Place, *, unsure: bool) -> Sent:
        """Make Slack show the row's newest revision at `place`; `unsure` means that it may stand there already."""
        if row.ts and row.channel == place.channel:
            return await self._edit(row, place)
        if unsure and (found := await self._find(row, place)):
            return found
        return await self._post(row, place)

    async def _edit(self, row: Message, place: Place) -> Sent:
        if await self.streams.edit(row):
            return Sent(place.channel, row.ts, row.revision)
        try:
            await self._simplifying(row, place, self._client.chat_update, ts=row.ts)
        except SlackApiError as error:
            trouble = understand(error).trouble
            if trouble is Trouble.STREAMING:
                await self.streams.end(row)
                await self._simplifying(row, place, self._client.chat_update, ts=row.ts)
            elif trouble is Trouble.GONE:
                # somebody deleted it: it is said again, and the old ts authorises nothing any more
                return await self._post(row, place)
            else:
                raise
        return Sent(place.channel, row.ts, row.revision)

    async def _post(self, row: Message, place: Place) -> Sent:
        ts = await self.streams.open(row, place.channel, place.thread_ts)
        if not ts:
            thread = {"thread_ts": place.thread_ts} if place.thread_ts else {}
            quiet = {"unfurl_links": False, "unfurl_media": False}
            answer = await self._simplifying(row, place, self._client.chat_postMessage, **thread, **quiet)
            ts = str(answer["ts"])
        return Sent(place.channel, ts, row.revision)

    async def _simplifying(self, row: Message, place: Place, call: Any, **more: Any) -> Any:
        """The call with the row's blocks; where Slack refuses them, with simpler ones, then with words alone."""
        last: SlackApiError | None = None
        for blocks, attachments in _shapes(row, place):
            try:
                return await call(
                    channel=place.channel,
                    text=row.text,
                    blocks=blocks,
                    attachments=attachments,
                    metadata=self._metadata(row),
                    **more,
                )
            except SlackApiError as error:
                if understand(error).trouble is not Trouble.BLOCKS:
                    raise
                last = error
        assert last is not None  # noqa: S101  # there is at least one shape
        raise last

    def _metadata(self, row: Message) -> dict[str, Any]:
        payload = {"id": row.key, "workspace": self._workspace, "revision": row.revision}
        return {"event_type": _EVENT_TYPE, "event_payload": payload}

    async def _find(self, row: Message, place: Place) -> Sent | None:
        """This message in Slack, where an earlier attempt did arrive."""
        since = f"{row.wanted_at.timestamp() - 600:.6f}" if row.wanted_at else "0"
        cursor = ""
        for _ in range(_PAGES):
            page = await self._page(place, since, cursor)
            for message in page["messages"]:
                if (sent := self._ours(row, place, message)) is not None:
                    return sent
            cursor = str((page.get("response_metadata") or {}).get("next_cursor") or "")
            if not cursor:
                break
        return None

    async def _page(self, place: Place, since: str, cursor: str) -> Any:
        arguments: dict[str, Any] = {
            "channel": place.channel,
            "oldest": since,
            "limit": 200,
            "include_all_metadata": True,
        }
        if cursor:
            arguments["cursor"] = cursor
        if place.thread_ts:
            return await self._client.conversations_replies(ts=place.thread_ts, **arguments)
        return await self._client.conversations_history(**arguments)

    def _ours(self, row: Message, place: Place, message: dict[str, Any]) -> Sent | None:
        metadata = message.get("metadata") or {}
        payload = metadata.get("event_payload") or {}
        if metadata.get("event_type") != _EVENT_TYPE or payload.get("id") != row.key:
            return None
        if payload.get("workspace") != self._workspace:
            return None
        return Sent(place.channel, str(message["ts"]), min(int(payload.get("revision") or 0), row.revision))


def _shapes(row: Message, place: Place) -> list[tuple[list[Block], list[Block]]]:
    """The same words, from rich to plain."""
    blocks, attachments = list(row.blocks), list(row.attachments)
    if place.instead_of:
        note = f"Meant for {room(place.instead_of)}, which takes no messages ({safe(place.reason, 60)})"
        blocks = [context(note), *blocks][:50]
    return [(blocks, attachments), (degrade(blocks), attachments), (plain_text(row.text), [])]
