"""A Slack workspace on loopback: the Web API, Socket Mode, the page, and the people who use it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeVar

from aiohttp import web

from . import (
    messages as verbs,
    web_api_chat,
    web_api_conversations,
    web_api_files,
    web_api_people,
    web_api_views,
)
from .clock import Clock
from .delivery import Delivery
from .events import Events
from .faults import Faults
from .page_api import PageApi, loopback_only
from .people import People
from .seed import DEFAULT_SEED, Command, Seed, Shortcut
from .socket_mode import SocketMode
from .state import Json, Room, State, new_id
from .triggers import Triggers
from .web_api import ALL_SCOPES, ApiCall, ApiError, Core, WebApi
from .web_api_stream import Streams

T = TypeVar("T")


class Workspace:
    """A running workspace, as an async context manager.

    With a `manifest` (Slack's own form) only its scopes are granted, only its events are sent, and its commands
    and shortcuts are the ones the page offers. `events_url` turns on HTTP mode: signed requests instead of
    Socket Mode. The methods that act for people are those of `People`.
    """

    def __init__(
        self,
        seed: Seed = DEFAULT_SEED,
        port: int = 0,
        clock: Clock | None = None,
        manifest: Json | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.faults = Faults()
        self.bot_token = f"xoxb-{secrets.randbelow(10**12)}-{secrets.token_hex(12)}"
        self.app_token = f"xapp-1-{seed.app.app_id}-{secrets.token_hex(16)}"
        self.signing_secret = secrets.token_hex(16)
        self._port = port
        self._streams = Streams()
        self._state = State(seed, self.clock)
        scopes, subscribed = _granted(manifest)
        sockets = SocketMode(seed.app.app_id, self.clock, self.faults, lambda: self._state.tell("connection"))
        self._delivery = Delivery(sockets, self.clock, self.faults, self.signing_secret)
        self._core = Core(
            state=self._state,
            events=Events(self._state, self._delivery, subscribed),
            delivery=self._delivery,
            sockets=sockets,
            faults=self.faults,
            triggers=Triggers(self.clock),
            scopes=scopes,
            bot_token=self.bot_token,
            app_token=self.app_token,
        )
        self._people = People(self._core, *_offered(seed, manifest))
        self._runner: web.AppRunner | None = None
        self.say = self._people.say
        self.post_as_bot = self._people.post_as_bot
        self.click = self._people.click
        self.press = self._people.press
        self.submit = self._people.submit
        self.close_view = self._people.close_view
        self.command = self._people.command
        self.shortcut = self._people.shortcut
        self.open_home = self._people.open_home

    # ---- the server ----

    async def __aenter__(self) -> Self:
        api = WebApi(self._core, _METHODS | self._streams.methods)
        app = web.Application(client_max_size=web_api_files.LARGEST_FILE, middlewares=[loopback_only])
        app.add_routes(
            [
                web.route("*", "/api/{method}", api.serve),
                web.get("/link/", self._core.sockets.connect),
                web.post("/hooks/{key}", self._respond),
                web.route("*", "/upload/v1/{file}", self._receive),
                *PageApi(self._people, self._state).routes(),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self._core.base_url = f"http://127.0.0.1:{self._port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.faults.release()
        self._state.close()
        await self._delivery.close()
        await self._core.sockets.close()
        if self._runner:
            await self._runner.cleanup()

    async def _respond(self, request: web.Request) -> web.Response:
        hook = self._core.triggers.answer(request.match_info["key"])
        if isinstance(hook, str) or self.faults.is_down:
            return web.json_response({"ok": False, "error": hook}, status=404)
        try:
            answer = await request.json()
            self._people.interactivity.respond(hook, answer)
        except ValueError:
            return web.Response(status=400, text="invalid_payload")
        except ApiError as refusal:
            return web.json_response({"ok": False, "error": refusal.code, **refusal.more}, status=400)
        return web.Response(text="ok")

    async def _receive(self, request: web.Request) -> web.Response:
        return await web_api_files.receive(self._core, request)

    # ---- addresses and names ----

    @property
    def url(self) -> str:
        """The page's address."""
        return f"{self._core.base_url}/"

    @property
    def api_url(self) -> str:
        """The base URL for Slack clients."""
        return f"{self._core.base_url}/api/"

    @property
    def team_id(self) -> str:
        return self._state.seed.team_id

    @property
    def bot_user_id(self) -> str:
        return self._state.app.user_id

    @property
    def bot_id(self) -> str:
        return self._state.app.bot_id

    @property
    def events_url(self) -> str | None:
        """Where signed requests go in HTTP mode; None for Socket Mode."""
        return self._delivery.events_url

    @events_url.setter
    def events_url(self, url: str | None) -> None:
        self._delivery.events_url = url

    @property
    def connections(self) -> int:
        """How many Socket Mode connections are open."""
        return self._core.sockets.connections

    def channel(self, name: str) -> str:
        return self._state.room(name).id

    def user(self, name: str) -> str:
        return self._state.user_id(name)

    # ---- what is there ----

    @property
    def calls(self) -> list[ApiCall]:
        """Every Web API call so far, oldest first."""
        return self._core.calls

    def messages(self, channel: str, thread_ts: str | None = None) -> list[Json]:
        """The messages of a channel, replies included, or of one thread with its parent; oldest first."""
        room = self._state.room(channel)
        return room.thread(thread_ts) if thread_ts else list(room.messages.values())

    def ephemerals(self, user: str) -> list[Json]:
        """What only this person sees."""
        wanted = self.user(user)
        return [message for message in self._state.ephemerals if message["to"] == wanted]

    def views(self, user: str) -> list[Json]:
        """The modals this person has open, the top one last."""
        wanted = self.user(user)
        return [opened.view for opened in self._state.views.values() if opened.user == wanted]

    def home(self, user: str) -> Json | None:
        """The App Home published for this person."""
        return self._state.homes.get(self.user(user))

    def status(self, channel: str, thread_ts: str) -> Json | None:
        """The status line under a thread."""
        return self._state.statuses.get((self.channel(channel), thread_ts))

    def files(self) -> list[Json]:
        """Every uploaded file, with its `content`."""
        return [{**f.info, "content": f.content} for f in self._state.files.values() if f.ready]

    async def until(self, predicate: Callable[[], T], timeout: float = 10.0) -> T:  # noqa: ASYNC109 - the caller's patience
        """Waits for a true value of `predicate`, asked at each change; TimeoutError after real seconds."""
        return await self._state.until(predicate, timeout)

    # ---- what an administrator, or bad luck, does ----

    def edit(
        self, channel: str, ts: str, text: str, attachments: list[Json] | None = None, blocks: list[Json] | None = None
    ) -> None:
        """The writer of a message, person or bot, changes it."""
        room = self._state.room(channel)
        writer = room.messages[ts].get("user") or room.messages[ts].get("bot_id")
        made: Json = {"text": text, "edited": {"user": writer, "ts": self._state.new_ts()}}
        made |= {"attachments": attachments} if attachments is not None else {}
        made |= {"blocks": verbs.with_block_ids(blocks)} if blocks is not None else {}
        verbs.edit(self._core.desk, room, ts, made, () if blocks is not None else ("blocks",))

    def delete(self, channel: str, ts: str) -> None:
        """Somebody deletes a message."""
        verbs.delete(self._core.desk, self._state.room(channel), ts)

    def archive(self, channel: str, archived: bool = True) -> None:
        room = self._state.room(channel)
        room.is_archived = archived
        name = "channel_archive" if archived else "channel_unarchive"
        self._channel_event(room, {"type": name, "channel": room.id, "user": self._state.seed.people[0].id})

    def kick_bot(self, channel: str) -> None:
        """Removes the app from a channel."""
        room = self._state.room(channel)
        room.members.discard(self.bot_user_id)
        self._channel_event(room, {"type": "channel_left", "channel": room.id, "actor_id": "USLACKBOT"})

    def invite_bot(self, channel: str) -> None:
        room = self._state.room(channel)
        room.members.add(self.bot_user_id)
        event = {"type": "member_joined_channel", "user": self.bot_user_id, "channel": room.id}
        self._channel_event(room, {**event, "channel_type": "C", "team": self.team_id})

    def share_channel(self, channel: str) -> None:
        """Makes a channel one that another organisation's people can be in."""
        room = self._state.room(channel)
        room.is_ext_shared = True
        self._state.tell("channel", channel=room)

    def restrict_channel(self, channel: str) -> None:
        """Only administrators may post there from now on."""
        self._state.room(channel).is_restricted = True

    def change_channel_id(self, channel: str) -> str:
        """The channel gets a new id, as when it becomes a shared one; returns that id."""
        room = self._state.room(channel)
        old, room.id = room.id, new_id("C")
        self._state.rooms[room.id] = self._state.rooms.pop(old)
        event = {"type": "channel_id_changed", "old_channel_id": old, "new_channel_id": room.id}
        self._channel_event(room, event)
        return room.id

    def _channel_event(self, room: Room, event: Json) -> None:
        self._state.tell("channel", channel=room)
        self._core.events.emit(event, room)

    def set_group(self, handle: str, users: list[str]) -> None:
        """Changes who is in a user group."""
        group = next(g for g in self._state.groups.values() if g["handle"] == handle.removeprefix("@"))
        before, after = group["users"], [self.user(name) for name in users]
        group |= {"users": after, "user_count": len(after)}
        event: Json = {"type": "subteam_members_changed", "subteam_id": group["id"], "team_id": self.team_id}
        event |= {"added_users": [u for u in after if u not in before]}
        event |= {"removed_users": [u for u in before if u not in after]}
        for user in {*before, *after}:
            self._state.tell("user", user=user)
        self._core.events.emit(event)

    def change_user(self, user: str, **flags: Any) -> None:
        """Sets fields of a person's account, such as deleted=True."""
        account = self._state.users[self.user(user)]
        account |= flags
        self._state.tell("user", user=account["id"])

    def stop_stream(self, user: str, channel: str, thread_ts: str) -> None:
        """A person presses Stop in a thread the app is streaming into."""
        room = self._state.room(channel)
        stopped = self._streams.in_thread(room.id, room.thread(thread_ts))
        for ts in stopped:
            self._streams.stop_by_user(room.id, ts)
        event = {"type": "agent_session_stopped", "channel": room.id, "thread_ts": thread_ts}
        self._core.events.emit({**event, "user": self.user(user), "streaming_message_ts": stopped}, room)

    def drop_sockets(self) -> None:
        """Breaks every connection without a word."""
        self._core.sockets.drop()

    async def refresh_sockets(self, reason: str = "refresh_requested") -> None:
        """Asks the app to replace its connections; `reason` may be "warning" or "link_disabled" as well."""
        await self._core.sockets.refresh(reason)

    def hold_acks(self, held: bool = True) -> None:
        """While held, acknowledgements are lost on the way."""
        self.faults.acks_held = held

    def duplicate_next_event(self, times: int = 1) -> None:
        """The next event is delivered twice with the same event_id."""
        self.faults.duplicate_events += times

    def down(self) -> None:
        """Slack is down: calls answer 503, connections break and none can be opened."""
        self.faults.is_down = True
        self.drop_sockets()

    def up(self) -> None:
        self.faults.is_down = False

    def revoke_token(self) -> None:
        """The app's token stops working, and the app is told."""
        self._core.refusing = "token_revoked"
        tokens = {"oauth": [], "bot": [self.bot_user_id]}
        self._core.events.emit({"type": "tokens_revoked", "tokens": tokens})

    def uninstall(self) -> None:
        """The app is removed from the workspace."""
        self._core.refusing = "account_inactive"
        self._core.events.emit({"type": "app_uninstalled"})


_METHODS = {
    **web_api_people.METHODS,
    **web_api_conversations.METHODS,
    **web_api_chat.METHODS,
    **web_api_views.METHODS,
    **web_api_files.METHODS,
}


def _granted(manifest: Json | None) -> tuple[tuple[str, ...], frozenset[str] | None]:
    """The scopes an app with this manifest has, and the events it gets (None: every one)."""
    if manifest is None:
        return tuple(ALL_SCOPES.split()), None
    scopes = manifest.get("oauth_config", {}).get("scopes", {}).get("bot", [])
    events = manifest.get("settings", {}).get("event_subscriptions", {}).get("bot_events", [])
    return tuple(scopes), frozenset(events)


def _offered(seed: Seed, manifest: Json | None) -> tuple[tuple[Command, ...], tuple[Shortcut, ...]]:
    if manifest is None:
        return seed.commands, seed.shortcuts
    features = manifest.get("features", {})
    commands = [
        Command(one["command"], one.get("description", ""), one.get("usage_hint", ""))
        for one in features.get("slash_commands", [])
    ]
    shortcuts = [Shortcut(s["callback_id"], s["name"], s["type"]) for s in features.get("shortcuts", [])]
    return tuple(commands), tuple(shortcuts)
