"""conversations.*: channels, their history and their threads."""

from __future__ import annotations

import re

from .state import Json, Room
from .web_api import ApiError, Call, Method, paged
from .web_api_people import channel, wanted


def readable(call: Call) -> Room:
    """The channel asked for, when the app is in it."""
    room = call.room()
    if call.bot.user_id not in room.members:
        raise ApiError("not_in_channel")
    return room


def within(messages: list[Json], args: Json) -> list[Json]:
    """The messages between `oldest` and `latest`, compared as (seconds, fraction), never as floats."""
    inclusive = str(args.get("inclusive", "")).lower() in ("1", "true")
    oldest, latest = _bound(args, "oldest"), _bound(args, "latest")
    return [
        message
        for message in messages
        for at in [_moment(message["ts"])]
        if (oldest is None or at > oldest or (inclusive and at == oldest))
        and (latest is None or at < latest or (inclusive and at == latest))
    ]


def _bound(args: Json, name: str) -> tuple[int, int] | None:
    given = args.get(name)
    if given is None:
        return None
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", str(given)):
        raise ApiError(f"invalid_ts_{name}")
    return _moment(str(given))


def _moment(ts: str) -> tuple[int, int]:
    """A ts as two numbers that order it."""
    seconds, _, fraction = ts.partition(".")
    return int(seconds), int(fraction.ljust(6, "0")[:6])


def shown(call: Call, messages: list[Json]) -> list[Json]:
    if call.flag("include_all_metadata"):
        return messages
    return [{key: value for key, value in m.items() if key != "metadata"} for m in messages]


async def history(call: Call) -> Json:
    room = readable(call)
    top = [
        message
        for message in room.messages.values()
        if message.get("thread_ts", message["ts"]) == message["ts"] or message.get("subtype") == "thread_broadcast"
    ]
    newest_first = list(reversed(within(top, call.args)))
    page, cursor = paged(newest_first, call.args)
    answer: Json = {"messages": shown(call, page), "has_more": bool(cursor), "pin_count": 0}
    return answer | ({"response_metadata": {"next_cursor": cursor}} if cursor else {})


async def replies(call: Call) -> Json:
    room = readable(call)
    parent = room.messages.get(call.text("ts"))
    if parent is None:
        raise ApiError("thread_not_found")
    thread_ts = str(parent.get("thread_ts", parent["ts"]))
    parent, *rest = room.thread(thread_ts)
    page, cursor = paged(within(rest, call.args), call.args, 1000)
    answer: Json = {"messages": shown(call, [parent, *page]), "has_more": bool(cursor)}
    return answer | ({"response_metadata": {"next_cursor": cursor}} if cursor else {})


async def info(call: Call) -> Json:
    return {"channel": channel(call.state, call.room())}


async def listed(call: Call) -> Json:
    rooms = [channel(call.state, room) for room in call.state.rooms.values() if wanted(room, call.args)]
    page, cursor = paged(rooms, call.args)
    return {"channels": page, "response_metadata": {"next_cursor": cursor}}


async def members(call: Call) -> Json:
    page, cursor = paged(sorted(call.room().members), call.args)
    return {"members": page, "response_metadata": {"next_cursor": cursor}}


async def open_direct(call: Call) -> Json:
    users = str(call.args.get("users") or "").split(",")
    if len(users) != 1 or users[0] not in call.state.users:
        raise ApiError("user_not_found")
    return {"channel": {"id": call.state.direct(users[0]).id}}


async def join(call: Call) -> Json:
    room = call.room()
    if room.is_archived:
        raise ApiError("is_archived")
    room.members.add(call.bot.user_id)
    call.state.tell("channel", channel=room)
    return {"channel": channel(call.state, room)}


METHODS = {
    "conversations.history": Method(history, "{kind}:history"),
    "conversations.replies": Method(replies, "{kind}:history"),
    "conversations.info": Method(info, "{kind}:read"),
    "conversations.list": Method(listed, "channels:read"),
    "conversations.members": Method(members, "{kind}:read"),
    "conversations.open": Method(open_direct, "im:write"),
    "conversations.join": Method(join, "channels:join"),
}
