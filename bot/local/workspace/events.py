"""Events API payloads: which events happen, and their outer envelope."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .delivery import Delivery
from .state import Json, Room, State, new_id

# The manifest names a channel's message events by the kind of channel.
_MESSAGE_NAMES = {"channel": "message.channels", "group": "message.groups", "im": "message.im"}


class Events:
    """Emits what the app is subscribed to; `subscribed` None means everything."""

    def __init__(self, state: State, delivery: Delivery, subscribed: Collection[str] | None) -> None:
        self._state = state
        self._delivery = delivery
        self._subscribed = subscribed

    def emit(self, event: Json, room: Room | None = None) -> None:
        """Sends one event; events of a channel only while the app is in it."""
        name = _MESSAGE_NAMES[event["channel_type"]] if event["type"] == "message" else event["type"]
        if self._subscribed is not None and name not in self._subscribed:
            return
        self._delivery.event(self._outer(event, room))

    def _outer(self, event: Json, room: Room | None) -> Json:
        state = self._state
        now = state.clock.now()
        authorization = {
            "enterprise_id": None,
            "team_id": state.seed.team_id,
            "user_id": state.app.user_id,
            "is_bot": True,
            "is_enterprise_install": False,
        }
        return {
            "token": "verification-token",
            "team_id": state.seed.team_id,
            "context_team_id": state.seed.team_id,
            "context_enterprise_id": None,
            "api_app_id": state.app.app_id,
            "event": {"event_ts": event.get("ts") or f"{now:.6f}", **event},
            "type": "event_callback",
            "event_id": new_id("Ev"),
            "event_time": int(now),
            "authorizations": [authorization],
            "is_ext_shared_channel": bool(room and room.is_ext_shared),
            "event_context": f"4-{event['type']}-{state.seed.team_id}-{room.id if room else ''}",
        }

    def message(self, room: Room, message: Json) -> None:
        """A message somebody posted: a message event, and an app_mention as well when it names the app."""
        app = self._state.app.user_id
        if app not in room.members:
            return
        shown = {key: value for key, value in message.items() if key != "metadata"}
        event = {**shown, "type": "message", "channel": room.id, "channel_type": room.event_type}
        self.emit(event, room)
        if f"<@{app}>" in message["text"] and message.get("user") != app and not room.im_user:
            mention = {**event, "type": "app_mention"}
            del mention["channel_type"]
            self.emit(mention, room)

    def hidden(self, room: Room, subtype: str, **content: Any) -> None:
        """message_changed and message_deleted: message events about another message."""
        if self._state.app.user_id not in room.members:
            return
        ts = self._state.new_ts()
        event = {"type": "message", "subtype": subtype, "hidden": True, "channel": room.id, "ts": ts}
        self.emit({**event, "channel_type": room.event_type, **content}, room)
