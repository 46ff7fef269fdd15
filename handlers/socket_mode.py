"""Socket Mode: checked before it connects, and catching up on what was missed after every connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_sdk.web.async_client import AsyncWebClient

from domain.errors import AgentError, ChatError, SettingsError
from handlers.services import Services
from handlers.slack_errors import FAILURES, code_of, log
from handlers.work import order

LOOKBACK_S = 900.0  # after a start: how far back messages are looked for; what was seen is dropped by the inbox
_OVERLAP_S = 30.0


class SocketMode:
    """One connection that renews itself. `start` fails fast with a sentence; `connected` is for /readyz."""

    def __init__(
        self, app: AsyncApp, services: Services, app_token: str, api_url: str, *, ping_s: float = 10.0
    ) -> None:
        if not app_token.startswith("xapp-"):
            raise SettingsError("SLACK_APP_TOKEN must be an app-level token (xapp-…) with connections:write.")
        self._app = app
        self._services = services
        self._token = app_token
        self._api_url = api_url
        self._ping_s = ping_s
        self._handler: AsyncSocketModeHandler | None = None
        self._hello = asyncio.Event()
        self._seen_s = time.time() - LOOKBACK_S
        self._catching_up: asyncio.Task[None] | None = None

    async def start(self, within_s: float = 15.0) -> None:
        """Connect. Raises ChatError where Slack refuses; slack_sdk alone would try for ever."""
        client = AsyncWebClient(base_url=self._api_url, retry_handlers=[], timeout=15)
        try:
            await client.apps_connections_open(app_token=self._token)
        except FAILURES as error:
            code = code_of(error)
            fix = "create an app-level token with connections:write under Basic Information"
            raise ChatError(f"Slack does not accept SLACK_APP_TOKEN ({code}): {fix}.", code=code) from error
        self._handler = AsyncSocketModeHandler(
            self._app, self._token, web_client=client, logger=log, ping_interval=self._ping_s
        )
        self._handler.client.message_listeners.append(self._on_message)
        await asyncio.wait_for(self._handler.client.connect(), within_s)  # type: ignore[no-untyped-call]
        await asyncio.wait_for(self._hello.wait(), within_s)

    async def close(self) -> None:
        """Stop listening."""
        if self._handler:
            await self._handler.client.close()  # type: ignore[no-untyped-call]
        if self._catching_up:
            self._catching_up.cancel()
            await asyncio.gather(self._catching_up, return_exceptions=True)

    async def connected(self) -> bool:
        """Whether there is a live socket now."""
        return bool(self._handler and await self._handler.client.is_connected())

    async def caught_up(self) -> None:
        """Until the catch-up that the newest connection began is over."""
        if self._catching_up:
            await asyncio.shield(self._catching_up)

    async def _on_message(self, client: Any, message: Mapping[str, Any], raw: str | None) -> None:
        if message.get("type") != "hello":
            return
        self._hello.set()
        if self._catching_up is None or self._catching_up.done():
            self._catching_up = asyncio.create_task(self._catch_up(), name="slack-catch-up")

    # --- catching up --------------------------------------------------------------------------------------------------

    async def _catch_up(self) -> None:
        """Read what was said while nobody listened, through the same inbox and listeners as live events."""
        since, began = self._seen_s - _OVERLAP_S, time.time()
        try:
            async for channel, message in self._missed(f"{since:.6f}"):
                await self._replay(channel, message)
            self._seen_s = began
        except FAILURES as error:
            log.warning("could not catch up with Slack: %s", code_of(error))
        except AgentError as error:
            log.warning("could not catch up: %s", error)

    async def _missed(self, oldest: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        client = self._services.client
        for channel in self._services.watched:
            for message in await _pages(client.conversations_history, channel=channel, oldest=oldest):
                yield channel, message
        for incident in await self._services.journal.incidents(open_only=True, limit=10_000):
            if incident.thread_ts and incident.channel:
                place = {"channel": incident.channel, "ts": incident.thread_ts}
                for message in await _pages(client.conversations_replies, oldest=oldest, **place):
                    yield incident.channel, message

    async def _replay(self, channel: str, message: dict[str, Any]) -> None:
        """A message of the history as the event that it would have been."""
        identity = self._services.identity
        if message.get("bot_id") == identity.bot_id or message.get("user") == identity.bot_user_id:
            return
        event = {**message, "type": "message", "channel": channel, "event_ts": message["ts"]}
        body = {
            "type": "event_callback",
            "team_id": identity.team_id,
            "event_id": f"history:{channel}:{message['ts']}",
            "event": event,
        }
        await self._app.async_dispatch(AsyncBoltRequest(body=body, mode="socket_mode"))


async def _pages(call: Any, **arguments: Any) -> list[dict[str, Any]]:
    """Every page, oldest message first; a channel that cannot be read has none."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        more = {"cursor": cursor} if cursor else {}
        try:
            page = await call(limit=200, **arguments, **more)
        except FAILURES as error:
            log.warning("the history of %s cannot be read: %s", arguments["channel"], code_of(error))
            break
        found += page["messages"]
        cursor = str((page.get("response_metadata") or {}).get("next_cursor") or "")
        if not cursor or len(found) >= 2000:
            break
    return sorted(found, key=lambda message: order(str(message["ts"])))
