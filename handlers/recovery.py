"""Payloads that were acknowledged, because they were durable, and whose work a crash or the journal left unfinished.

They are handled again, through the same listeners. A vote that was counted, or an alert that was received, is not
harmed by being seen twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from slack_bolt.async_app import AsyncApp
from slack_bolt.request.async_request import AsyncBoltRequest

from domain.events import PayloadReceived
from handlers.services import REPLAYED, Services

_AGE = timedelta(minutes=15)  # nobody waits for what is older
_TOLD_AGE = timedelta(days=1)  # unless they were told that it comes
_ASKED = frozenset({"message", "app_mention", "command", "block_actions", "view_submission", "message_action"})


async def replay(app: AsyncApp, services: Services) -> int:
    """Handle again what was left unhandled; how many payloads that were. Call it once, before Slack is connected."""
    found = await services.journal.unhandled(datetime.now(UTC) - _AGE)
    left = [payload for payload in found if payload.surface in _ASKED]
    await _dispatch(app, left)
    return len(left)


async def take_up(app: AsyncApp, services: Services) -> None:
    """Handle again what the journal refused half-way in this process. Raises JournalError where it still does."""
    if services.left:
        found = await services.journal.unhandled(datetime.now(UTC) - _TOLD_AGE)
        left = [payload for payload in found if payload.key in services.left]
        services.left.clear()
        await _dispatch(app, left)


async def _dispatch(app: AsyncApp, left: Sequence[PayloadReceived]) -> None:
    for payload in left:
        marked = REPLAYED.set(payload.key)
        try:
            await app.async_dispatch(AsyncBoltRequest(body=dict(payload.payload), mode="socket_mode"))
        finally:
            REPLAYED.reset(marked)
