"""Native streaming of progress to the person who asked. Best effort: where Slack refuses, the message is edited instead.

Slack ends a stream five minutes after it began, whatever happens, so it is stopped at four and edited from then on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from domain.ports import Message
from handlers.slack_errors import FAILURES, Trouble, understand

LONGEST_S = 240.0
_WATCHERS = 1000


@dataclass
class _Open:
    ts: str
    channel: str
    began: float
    shown: dict[str, str] = field(default_factory=dict)


class Streams:
    """The streams of this process. Lost at a restart: the message is then edited like any other."""

    def __init__(self, client: AsyncWebClient, workspace: str) -> None:
        self._client = client
        self._workspace = workspace
        self._watchers: dict[str, str] = {}
        self._open: dict[str, _Open] = {}

    def watched_by(self, key: str, user: str) -> None:
        """`user` waits for the message `key`."""
        if key not in self._open:
            self._watchers[key] = user
            while len(self._watchers) > _WATCHERS:  # what was never posted; the oldest first
                self._watchers.pop(next(iter(self._watchers)))

    async def open(self, row: Message, channel: str, thread_ts: str) -> str:
        """Begin a stream for the row and return its ts; empty where it must be posted instead."""
        user = self._watchers.pop(row.key, "")
        chunks = list(chunks_of(row.blocks, {}))
        if not user or not thread_ts or not chunks:
            return ""
        try:
            answer = await self._client.chat_startStream(
                channel=channel,
                thread_ts=thread_ts,
                recipient_user_id=user,
                recipient_team_id=self._workspace,
                task_display_mode="plan",
                chunks=chunks,
            )
        except SlackApiError as error:
            if understand(error).trouble in (Trouble.ROUTE, Trouble.TOKEN, Trouble.BUSY):
                raise
            return ""
        opened = _Open(str(answer["ts"]), channel, asyncio.get_running_loop().time())
        opened.shown = {identity(chunk): json.dumps(chunk) for chunk in chunks}
        self._open[row.key] = opened
        return opened.ts

    async def edit(self, row: Message) -> bool:
        """Append what is new; False where there is no stream (any more), and the message is to be edited."""
        opened = self._open.get(row.key)
        if opened is None or opened.ts != row.ts:
            return False
        too_old = asyncio.get_running_loop().time() - opened.began > LONGEST_S
        chunks = list(chunks_of(row.blocks, opened.shown))
        if too_old or not chunks or _finished(row):
            await self.end(row)
            return False
        try:
            await self._client.chat_appendStream(channel=opened.channel, ts=opened.ts, chunks=chunks)
        except SlackApiError as error:
            if understand(error).trouble is Trouble.BUSY:
                raise
            await self.end(row)
            return False
        opened.shown |= {identity(chunk): json.dumps(chunk) for chunk in chunks}
        return True

    async def end(self, row: Message) -> None:
        """Stop the stream, so that the message can be edited; it may have ended by itself."""
        self._open.pop(row.key, None)
        try:
            await self._client.chat_stopStream(channel=row.channel, ts=row.ts)
        except FAILURES:
            return


def chunks_of(blocks: tuple[Any, ...], shown: dict[str, str]) -> Iterator[dict[str, Any]]:
    """The plan block as stream chunks, those left out that Slack shows already. Details are plain strings here."""
    for block in blocks:
        if block.get("type") != "plan":
            continue
        every = [{"type": "plan_update", "title": block["title"]}, *map(_task_chunk, block["tasks"])]
        yield from (chunk for chunk in every if shown.get(identity(chunk)) != json.dumps(chunk))


def identity(chunk: dict[str, Any]) -> str:
    """What a later chunk of the same name replaces."""
    return str(chunk.get("id", "plan"))


def _task_chunk(task: dict[str, Any]) -> dict[str, Any]:
    chunk = {"type": "task_update", "id": task["task_id"], "title": task["title"], "status": task["status"]}
    words = "".join(
        element.get("text", "")
        for part in (task.get("details") or {}).get("elements", [])
        for element in part.get("elements", [])
    )
    return chunk | {"details": words} if words else chunk


def _finished(row: Message) -> bool:
    """Whether nothing of the plan is still to come."""
    tasks = [task for block in row.blocks if block.get("type") == "plan" for task in block["tasks"]]
    return bool(tasks) and all(task["status"] in ("complete", "error") for task in tasks)
