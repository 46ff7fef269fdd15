"""Unmodified Slack clients pointed at the stand-in workspace, for the contract tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.local.workspace import Workspace


def client(w: Workspace, token: str | None = None) -> AsyncWebClient:
    return AsyncWebClient(token or w.bot_token, base_url=w.api_url, retry_handlers=[])


def bolt(w: Workspace) -> AsyncApp:
    return AsyncApp(client=client(w), signing_secret=w.signing_secret)


@asynccontextmanager
async def connected(w: Workspace, app: AsyncApp) -> AsyncIterator[AsyncSocketModeHandler]:
    """The app on one Socket Mode connection."""
    handler = AsyncSocketModeHandler(app, w.app_token, ping_interval=1)
    handler.client.web_client = client(w)
    before = w.connections
    await handler.connect_async()
    await w.until(lambda: w.connections > before)
    try:
        yield handler
    finally:
        await handler.close_async()


async def refusal(call: Any) -> dict[str, Any]:
    """The body of the error a call is answered with."""
    try:
        answer = await call
    except SlackApiError as error:
        return dict(error.response.data)
    raise AssertionError(f"the call was accepted: {answer.data}")


def plain(words: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": words}


def button(action_id: str = "go", **more: Any) -> dict[str, Any]:
    return {"type": "button", "action_id": action_id, "text": plain("Go"), **more}


def actions(*elements: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "actions", "elements": list(elements)}]


def modal(callback_id: str = "reason", **more: Any) -> dict[str, Any]:
    field = {"type": "plain_text_input", "action_id": "text", "max_length": 20}
    return {
        "type": "modal",
        "callback_id": callback_id,
        "title": plain("Why?"),
        "submit": plain("Send"),
        "blocks": [{"type": "input", "block_id": "why", "label": plain("Reason"), "element": field}],
        **more,
    }
