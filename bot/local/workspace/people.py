"""What the people of the workspace do: write, press, fill in, command."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

from .interactivity import Interactivity, Place, on_message, on_view
from .messages import by_bot, post, typed, with_block_ids
from .seed import Command, Shortcut
from .state import Json, Room, WorkspaceError
from .web_api import Core


class People:
    """Acts for people and for other bots. People and channels are given by id or by name."""

    def __init__(self, core: Core, commands: Collection[Command], shortcuts: Collection[Shortcut]) -> None:
        self._core = core
        self.interactivity = Interactivity(core)
        self._commands = commands
        self._shortcuts = shortcuts

    def menu(self) -> Json:
        """The app's commands and shortcuts, for the composer and the message menu."""
        return {
            "commands": [
                {"command": one.command, "description": one.description, "usage_hint": one.usage_hint}
                for one in self._commands
            ],
            "shortcuts": [
                {"callback_id": one.callback_id, "name": one.name, "type": one.type} for one in self._shortcuts
            ],
        }

    def may_read(self, authorization: str) -> bool:
        """Whether an Authorization header carries the app's bot token."""
        return authorization == f"Bearer {self._core.bot_token}"

    async def say(self, user: str, channel: str, text: str, thread_ts: str | None = None) -> str:
        """A person writes a message; returns its ts. @names become mentions."""
        state = self._core.state
        writer, room = state.user_id(user), self._writable(channel)
        if not text.strip():
            raise WorkspaceError("There is nothing to send.")
        stored, blocks = typed(state, text)
        made: Json = {"text": stored, "blocks": blocks, "client_msg_id": str(uuid.uuid4())}
        if thread_ts:
            parent = self._message(room, thread_ts)
            made["thread_ts"] = parent.get("thread_ts", thread_ts)
        if state.users[writer]["team_id"] != state.seed.team_id:
            made["user_team"] = state.users[writer]["team_id"]
        return str(post(self._core.desk, room, {"user": writer, "team": state.seed.team_id}, made)["ts"])

    async def post_as_bot(
        self,
        bot: str,
        channel: str,
        text: str = "",
        blocks: list[Json] | None = None,
        attachments: list[Json] | None = None,
        *,
        thread_ts: str | None = None,
        webhook: bool = True,
    ) -> str:
        """Another app posts; returns the ts. By `webhook` it is a bot_message without a user, else a bot user's."""
        state, room = self._core.state, self._writable(channel)
        one = next((b for b in state.bots.values() if bot in (b.name, b.bot_id, b.user_id)), None)
        if one is None:
            raise WorkspaceError(f"There is no bot called {bot} in this workspace.")
        author = by_bot(state, one)
        if webhook:
            author = {"subtype": "bot_message", "bot_id": one.bot_id, "username": one.name}
        made: Json = {"text": text}
        if blocks:
            made["blocks"] = with_block_ids(blocks)
        if attachments:
            made["attachments"] = [{"id": number, **a} for number, a in enumerate(attachments, 1)]
        if thread_ts:
            made["thread_ts"] = thread_ts
        return str(post(self._core.desk, room, author, made)["ts"])

    def _writable(self, channel: str) -> Room:
        room = self._core.state.room(channel)
        if room.is_archived:
            raise WorkspaceError(f"#{room.name} is archived.")
        return room

    def _message(self, room: Room, ts: str) -> Json:
        message = room.messages.get(ts)
        if message is None:
            raise WorkspaceError("That message is no longer there.")
        return message

    def place(self, user: str, container: str, where: Json) -> Place:
        """Where something stands that `user` can press: a message, an ephemeral, a modal or the App Home."""
        state, user = self._core.state, self._core.state.user_id(user)
        if container == "home":
            if user not in state.homes:
                raise WorkspaceError("The App Home is empty.")
            return on_view(state.homes[user])
        if container == "view":
            opened = state.views.get(str(where.get("view_id")))
            if opened is None or opened.user != user:
                raise WorkspaceError("That dialog is not open.")
            return on_view(opened.view)
        room, ts = state.room(str(where["channel"])), str(where["ts"])
        action_id = str(where.get("action_id"))
        for message in state.ephemerals:
            if message["ts"] == ts and message["to"] == user:
                return on_message(room, message, action_id)
        return on_message(room, self._message(room, ts), action_id)

    async def use(
        self,
        user: str,
        place: Place,
        action_id: str,
        *,
        block_id: str | None = None,
        value: Any = None,
        state: Json | None = None,
    ) -> Json:
        """A person uses an element of a place; returns what the ack carried.

        `value` chooses an option or a feedback button; `state` is what else stands in inputs there.
        {"error": "operation_timeout"} when nobody acknowledged.
        """
        actor = self._core.state.user_id(user)
        return await self.interactivity.click(actor, place, action_id, block_id=block_id, value=value, state=state)

    async def click(
        self,
        user: str,
        channel: str,
        ts: str,
        action_id: str,
        state: Json | None = None,
        *,
        value: Any = None,
        block_id: str | None = None,
    ) -> Json:
        """A person presses an element of a message, or of an ephemeral to them; see `use`."""
        place = self.place(user, "message", {"channel": channel, "ts": ts, "action_id": action_id})
        return await self.use(user, place, action_id, block_id=block_id, value=value, state=state)

    async def press(self, user: str, action_id: str, *, view_id: str | None = None, value: Any = None) -> Json:
        """A person presses an element of an open modal, or of the App Home without `view_id`; see `use`."""
        place = self.place(user, "view" if view_id else "home", {"view_id": view_id})
        return await self.use(user, place, action_id, value=value)

    async def submit(self, user: str, view_id: str, values: Json) -> Json:
        """A person submits a modal with {block_id: {action_id: value}}; returns what the ack carried."""
        return await self.interactivity.submit(self._core.state.user_id(user), view_id, values)

    async def close_view(self, user: str, view_id: str) -> Json:
        """A person closes a modal."""
        return await self.interactivity.close(self._core.state.user_id(user), view_id)

    async def command(self, user: str, channel: str, text: str, command: str = "/agent") -> Json:
        """A person runs a slash command; returns the immediate response."""
        room = self._writable(channel)
        return await self.interactivity.command(self._core.state.user_id(user), room, text, command)

    async def shortcut(self, user: str, callback_id: str, channel: str, ts: str) -> Json:
        """A person picks a message shortcut from a message's menu; returns what the ack carried."""
        room = self._core.state.room(channel)
        message = self._message(room, ts)
        return await self.interactivity.shortcut(self._core.state.user_id(user), callback_id, room, message)

    async def open_home(self, user: str) -> None:
        """A person opens the app's Home tab."""
        state = self._core.state
        user = state.user_id(user)
        event: Json = {"type": "app_home_opened", "user": user, "tab": "home", "channel": state.direct(user).id}
        if user in state.homes:
            event["view"] = state.homes[user]
        self._core.events.emit(event)
