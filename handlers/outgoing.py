"""One message to Slack: posted or edited, found again after a doubt, simplified where Slack takes no rich blocks."""

from __future__ import annotations

from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from domain.ports import Message
from handlers.blocks import degrade
from handlers.chat import plain_text
from handlers.kit import Block
from handlers.slack_errors import FAILURES, Trouble, log, understand
from handlers.standing import EVENT_TYPE, Place, Sent, standing
from handlers.stream import Streams

_PATIENCE = 8  # attempts, each after twice the time of the one before, for a picture that Slack has not processed yet


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
        if unsure or row.shared_since:
            found = await self._earliest(row, place)
            if found:
                return found
        sent = await self._post(row, place)
        return (await self._earliest(row, place) if row.shared_since else None) or sent

    async def _earliest(self, row: Message, place: Place) -> Sent | None:
        """This message as it stands in Slack already; where two services said it, the earliest, and no other stays."""
        try:
            found = await standing(self._client, self._workspace, row, place)
        except SlackApiError as error:
            if understand(error).trouble is not Trouble.SCOPE:
                raise
            # said twice is better than never said
            log.warning("%s may stand in %s already: its history may not be read", row.key, place.channel)
            return None
        for later in found[1:] if row.shared_since else ():
            try:
                await self._client.chat_delete(channel=later.channel, ts=later.ts)
            except FAILURES as error:
                if understand(error).trouble is not Trouble.GONE:
                    raise
        return found[0] if found else None

    async def known(self) -> bool:
        """Whether Slack knows this app now."""
        try:
            await self._client.auth_test()
        except FAILURES:
            return False
        return True

    async def picture(self, name: str, alt_text: str, content: bytes) -> str:
        """Slack's id of a picture that stands in no channel: it is shown by the messages that name it."""
        answer = await self._client.files_upload_v2(
            filename=name, title=alt_text[:80], alt_txt=alt_text, content=content
        )
        return str(answer["files"][0]["id"])

    async def file(self, name: str, content: bytes, *, title: str, comment: str, channel: str, thread_ts: str) -> str:
        """A file in a thread, with a comment in mrkdwn above it; Slack's id of it. Slack shares it a moment later."""
        answer = await self._client.files_upload_v2(
            filename=name,
            content=content,
            title=title,
            channel=channel,
            thread_ts=thread_ts or None,
            initial_comment=comment,
        )
        return str(answer["files"][0]["id"])

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
        for blocks, attachments in _shapes(row):
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
                trouble = understand(error).trouble
                if trouble is not Trouble.BLOCKS and not (trouble is Trouble.PICTURE and row.attempts >= _PATIENCE):
                    raise
                last = error
        assert last is not None  # noqa: S101  # there is at least one shape
        raise last

    def _metadata(self, row: Message) -> dict[str, Any]:
        payload = {"id": row.key, "workspace": self._workspace, "revision": row.revision}
        return {"event_type": EVENT_TYPE, "event_payload": payload}


def _shapes(row: Message) -> list[tuple[list[Block], list[Block]]]:
    """The same words, from rich to plain."""
    blocks, attachments = list(row.blocks), list(row.attachments)
    return [(blocks, attachments), (degrade(blocks), attachments), (plain_text(row.text), [])]
