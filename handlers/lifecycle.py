"""What happens to the app itself: channels that close, tokens that end, groups that change, and everything unexpected."""

from __future__ import annotations

import re
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from handlers.services import Services
from handlers.slack_errors import log

_CLOSED = {"channel_archive": "is_archived", "group_archive": "is_archived"}
_LEFT = {"channel_left": "not_in_channel", "group_left": "not_in_channel"}
_OVER = {"tokens_revoked": "token_revoked", "app_uninstalled": "account_inactive"}
_ANY = re.compile(r"[\s\S]*")


def register(app: AsyncApp, services: Services) -> None:
    """Each keeps the sender or the directory honest; nothing is answered."""
    for name, reason in (_CLOSED | _LEFT).items():
        app.event(name)(_closing(services, reason))
    for name, reason in _OVER.items():
        app.event(name)(_ending(services, reason))

    @app.event("channel_unarchive")
    async def on_unarchive(event: dict[str, Any]) -> None:
        services.sender.revive(str(event["channel"]))

    @app.event("member_joined_channel")
    async def on_joined(event: dict[str, Any]) -> None:
        if event.get("user") == services.identity.bot_user_id:
            services.sender.revive(str(event["channel"]))

    @app.event(re.compile(r"subteam_(members_changed|updated)"))
    async def on_group(event: dict[str, Any]) -> None:
        services.directory.invalidate()

    @app.event("channel_id_changed")
    async def on_renumbered(event: dict[str, Any]) -> None:
        log.warning(
            "channel %s is now %s: restart to follow it", event.get("old_channel_id"), event.get("new_channel_id")
        )


def _closing(services: Services, reason: str) -> Any:
    async def on_closed(event: dict[str, Any]) -> None:
        services.sender.route_dead(str(event["channel"]), reason)

    return on_closed


def _ending(services: Services, reason: str) -> Any:
    async def on_over(event: dict[str, Any]) -> None:
        revoked = (event.get("tokens") or {}).get("bot") or ()  # without bots it names users' tokens: none is ours
        if reason == "account_inactive" or services.identity.bot_user_id in revoked:
            services.sender.stop(reason)

    return on_over


def register_rest(app: AsyncApp, services: Services) -> None:
    """Last: what nobody else listens to is acknowledged all the same, or Slack sends it again and counts failures."""

    @app.event(_ANY)
    async def on_other_event(event: dict[str, Any]) -> None:
        log.debug("event without a listener: %s", event.get("type"))

    @app.action(_ANY)
    async def on_other_action(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        await services.tell(body, "That button belongs to an older version of me. Ask me again for a new card.")

    @app.view(_ANY)
    async def on_other_view(ack: AsyncAck) -> None:
        await ack()

    @app.view_closed(_ANY)
    async def on_closed_view(ack: AsyncAck) -> None:
        await ack()

    @app.shortcut(_ANY)
    async def on_other_shortcut(ack: AsyncAck) -> None:
        await ack()

    @app.command(_ANY)
    async def on_other_command(ack: AsyncAck) -> None:
        await ack("I only know /agent.")

    @app.options(_ANY)
    async def on_options(ack: AsyncAck) -> None:
        await ack(options=[])
