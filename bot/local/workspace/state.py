"""What the workspace knows, and the feed of its changes."""

from __future__ import annotations

import asyncio
import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .clock import Clock
from .seed import Bot, Channel, Person, Seed

Json = dict[str, Any]
T = TypeVar("T")

_ALPHABET = string.ascii_uppercase + string.digits


class WorkspaceError(Exception):
    """A person tried what the Slack client would not let them do; the message is a sentence for them."""


def new_id(prefix: str) -> str:
    """An id that looks like Slack's: the kind's letter and ten characters."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(10))


@dataclass
class Room:
    """A channel, or the direct messages of `im_user` with the app."""

    id: str
    name: str
    topic: str
    members: set[str]
    created: int
    is_private: bool = False
    is_ext_shared: bool = False
    is_archived: bool = False
    is_restricted: bool = False
    im_user: str | None = None
    messages: dict[str, Json] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The scope family: channels, groups or im."""
        return "im" if self.im_user else "groups" if self.is_private else "channels"

    @property
    def event_type(self) -> str:
        return {"im": "im", "groups": "group", "channels": "channel"}[self.kind]

    def thread(self, thread_ts: str) -> list[Json]:
        """The parent, when it is still there, and its replies, oldest first."""
        return [m for m in self.messages.values() if thread_ts in (m["ts"], m.get("thread_ts"))]


@dataclass
class OpenView:
    """A modal as one person has it open; `under` is the view it was pushed on."""

    view: Json
    user: str
    under: str | None = None


@dataclass
class StoredFile:
    """An uploaded file: Slack's file object and its bytes; `ready` once the upload was completed.

    Blocks may name it from `usable_at` (seconds, workspace time) on, and only where it is a picture.
    """

    info: Json
    content: bytes = b""
    ready: bool = False
    usable_at: float = 0.0

    def shows(self, now: float) -> bool:
        """Whether an image block may name it."""
        is_picture = self.info["mimetype"] in ("image/png", "image/jpeg", "image/gif")
        return self.ready and is_picture and now >= self.usable_at


class State:
    """Everything people and apps can see. All writes go through functions that also tell the feed."""

    def __init__(self, seed: Seed, clock: Clock) -> None:
        self.seed = seed
        self.clock = clock
        self.app = seed.app
        self.bots = {bot.name: bot for bot in (seed.app, *seed.bots)}
        self.users: dict[str, Json] = {}
        self.rooms: dict[str, Room] = {}
        self.groups: dict[str, Json] = {}
        self.ephemerals: list[Json] = []
        self.views: dict[str, OpenView] = {}
        self.homes: dict[str, Json] = {}
        self.files: dict[str, StoredFile] = {}
        self.statuses: dict[tuple[str, str], Json] = {}
        self._last_ts = 0
        self._feeds: set[asyncio.Queue[Json]] = set()
        self._changed = asyncio.Event()
        self._plant(seed)

    def _plant(self, seed: Seed) -> None:
        for person in seed.people:
            self.users[person.id] = _person(person, seed.team_id)
        for bot in self.bots.values():
            self.users[bot.user_id] = _bot(bot, seed.team_id)
        ids = {person.name: person.id for person in seed.people}
        ids |= {bot.name: bot.user_id for bot in self.bots.values()}
        for channel in seed.channels:
            self.rooms[channel.id] = self._room(channel, ids)
        for group in seed.groups:
            members = [ids[name] for name in group.members]
            self.groups[group.id] = {
                "id": group.id,
                "team_id": seed.team_id,
                "is_usergroup": True,
                "handle": group.handle,
                "name": group.name,
                "description": "",
                "date_delete": 0,
                "user_count": len(members),
                "users": members,
            }

    def _room(self, channel: Channel, ids: dict[str, str]) -> Room:
        return Room(
            channel.id,
            channel.name,
            channel.topic,
            {ids[name] for name in channel.members},
            int(self.clock.now()),
            channel.is_private,
            channel.is_ext_shared,
        )

    # ---- names ----

    def user_id(self, name: str) -> str:
        """The id of a person or bot given as id, handle, first name or full name, with or without @."""
        wanted = name.removeprefix("@").casefold()
        for user in self.users.values():
            real = user["real_name"].casefold()
            if wanted in (user["id"].casefold(), user["name"].casefold(), real, real.split()[0]):
                return str(user["id"])
        raise WorkspaceError(f"There is nobody called {name} in this workspace.")

    def room(self, name: str) -> Room:
        """The channel given as id or name, with or without #."""
        wanted = name.removeprefix("#")
        for room in self.rooms.values():
            if wanted in (room.id, room.name):
                return room
        raise WorkspaceError(f"There is no channel called {name} in this workspace.")

    def direct(self, user: str) -> Room:
        """The direct messages of a person with the app; opened when it is not there yet."""
        for room in self.rooms.values():
            if room.im_user == user:
                return room
        members = {user, self.app.user_id}
        room = Room(new_id("D"), "directmessage", "", members, int(self.clock.now()), im_user=user)
        self.rooms[room.id] = room
        self.tell("channel", channel=room)
        return room

    def groups_of(self, user: str) -> list[str]:
        return [group["handle"] for group in self.groups.values() if user in group["users"]]

    def new_ts(self) -> str:
        """A message's identity: its time in microseconds, never twice."""
        self._last_ts = max(self._last_ts + 1, int(self.clock.now() * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    # ---- changes ----

    def tell(self, kind: str, **content: Any) -> None:
        """Says what has changed, to every open page and to whoever waits in `until`."""
        for feed in self._feeds:
            feed.put_nowait({"type": kind, **content})
        self._changed.set()
        self._changed = asyncio.Event()

    def follow(self) -> asyncio.Queue[Json]:
        feed: asyncio.Queue[Json] = asyncio.Queue()
        self._feeds.add(feed)
        return feed

    def unfollow(self, feed: asyncio.Queue[Json]) -> None:
        self._feeds.discard(feed)

    def close(self) -> None:
        """Ends every open feed: each gets a change of type "closed"."""
        self.tell("closed")

    async def until(self, predicate: Callable[[], T], timeout: float) -> T:  # noqa: ASYNC109 - part of the driving API
        """The first true value of `predicate`, asked again at each change; TimeoutError after real seconds."""
        async with asyncio.timeout(timeout):
            while True:
                changed = self._changed
                if value := predicate():
                    return value
                await changed.wait()


def _person(person: Person, team_id: str) -> Json:
    guest, external = person.role == "guest", person.role == "external"
    return {
        "id": person.id,
        "team_id": person.team_id or team_id,
        "name": person.name,
        "real_name": person.real_name,
        "deleted": person.role == "deactivated",
        "color": person.color,
        "tz": "Europe/Berlin",
        "tz_offset": 3600,
        "is_bot": False,
        "is_app_user": False,
        "is_admin": False,
        "is_owner": False,
        "is_restricted": guest,
        "is_ultra_restricted": False,
        "is_stranger": external,
        "profile": {
            "title": person.title,
            "real_name": person.real_name,
            "display_name": person.name,
            "email": f"{person.name}@{'supplier.example' if external else 'acme.example'}",
            "team": person.team_id or team_id,
        },
    }


def _bot(bot: Bot, team_id: str) -> Json:
    profile = {"real_name": bot.name, "bot_id": bot.bot_id, "api_app_id": bot.app_id, "team": team_id}
    return {
        "id": bot.user_id,
        "team_id": team_id,
        "name": bot.name.lower(),
        "real_name": bot.name,
        "deleted": False,
        "color": bot.color,
        "tz": "Europe/Berlin",
        "tz_offset": 3600,
        "is_bot": True,
        "is_app_user": False,
        "is_restricted": False,
        "is_ultra_restricted": False,
        "profile": {"title": "", "display_name": bot.name, **profile},
    }
