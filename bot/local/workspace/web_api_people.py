"""Who is asking and who is there: auth.*, apps.*, users.*, usergroups.*, team.info and bots.info."""

from __future__ import annotations

from typing import Any

from .state import Json, Room, State
from .web_api import ApiError, Call, Method, paged


async def api_test(call: Call) -> Json:
    return {"args": {key: value for key, value in call.args.items() if key != "token"}}


async def auth_test(call: Call) -> Json:
    seed, app = call.state.seed, call.bot
    return {
        "url": f"{call.core.base_url}/",
        "team": seed.team_name,
        "user": app.name.lower(),
        "team_id": seed.team_id,
        "user_id": app.user_id,
        "bot_id": app.bot_id,
        "is_enterprise_install": False,
    }


async def open_connection(call: Call) -> Json:
    return {"url": f"{call.core.base_url.replace('http', 'ws', 1)}{call.core.sockets.ticket()}"}


async def user_info(call: Call) -> Json:
    user = call.state.users.get(str(call.args.get("user")))
    if user is None:
        raise ApiError("user_not_found")
    return {"user": user}


async def user_list(call: Call) -> Json:
    page, cursor = paged(list(call.state.users.values()), call.args)
    return {"members": page, "response_metadata": {"next_cursor": cursor}}


async def user_by_email(call: Call) -> Json:
    email = call.text("email").casefold()
    for user in call.state.users.values():
        if user["profile"].get("email", "").casefold() == email and not user["deleted"]:
            return {"user": user}
    raise ApiError("users_not_found")


async def user_conversations(call: Call) -> Json:
    user = str(call.args.get("user") or call.bot.user_id)
    rooms = [room for room in call.state.rooms.values() if user in room.members and wanted(room, call.args)]
    page, cursor = paged([channel(call.state, room) for room in rooms], call.args)
    return {"channels": page, "response_metadata": {"next_cursor": cursor}}


def wanted(room: Room, args: Json) -> bool:
    kinds = {"channels": "public_channel", "groups": "private_channel", "im": "im"}
    types = str(args.get("types") or "public_channel").replace(" ", "").split(",")
    hidden = room.is_archived and str(args.get("exclude_archived", "")).lower() in ("1", "true")
    return kinds[room.kind] in types and not hidden


def channel(state: State, room: Room) -> Json:
    """A channel as the app sees it."""
    shape: Json = {
        "id": room.id,
        "created": room.created,
        "is_archived": room.is_archived,
        "is_im": bool(room.im_user),
        "is_ext_shared": room.is_ext_shared,
        "is_pending_ext_shared": False,
        "is_private": room.is_private or bool(room.im_user),
        "context_team_id": state.seed.team_id,
    }
    if room.im_user:
        return shape | {"user": room.im_user}
    return shape | {
        "name": room.name,
        "name_normalized": room.name,
        "is_channel": not room.is_private,
        "is_group": room.is_private,
        "is_mpim": False,
        "is_general": room.name == "general",
        "is_shared": room.is_ext_shared,
        "is_org_shared": False,
        "is_member": state.app.user_id in room.members,
        "creator": "U0000000000",
        "topic": {"value": room.topic, "creator": "", "last_set": 0},
        "purpose": {"value": "", "creator": "", "last_set": 0},
        "num_members": len(room.members),
    }


async def group_list(call: Call) -> Json:
    with_users = call.flag("include_users")
    return {
        "usergroups": [
            group if with_users else {key: value for key, value in group.items() if key != "users"}
            for group in call.state.groups.values()
        ]
    }


async def group_users(call: Call) -> Json:
    group: Any = call.state.groups.get(call.text("usergroup"))
    if group is None:
        raise ApiError("no_such_subteam")
    # Deactivated people stay in the group and are left out unless asked for.
    gone = {user["id"] for user in call.state.users.values() if user["deleted"]}
    everyone = call.flag("include_disabled")
    return {"users": [user for user in group["users"] if everyone or user not in gone]}


async def team_info(call: Call) -> Json:
    seed = call.state.seed
    return {"team": {"id": seed.team_id, "name": seed.team_name, "domain": seed.team_domain, "icon": {}}}


async def bot_info(call: Call) -> Json:
    wanted = call.args.get("bot") or call.bot.bot_id
    for bot in call.state.bots.values():
        if bot.bot_id == wanted:
            shape = {"id": bot.bot_id, "app_id": bot.app_id, "user_id": bot.user_id, "name": bot.name}
            return {"bot": {**shape, "deleted": False, "updated": 1, "icons": {}}}
    raise ApiError("bot_not_found")


METHODS = {
    "api.test": Method(api_test),
    "auth.test": Method(auth_test),
    "apps.connections.open": Method(open_connection, for_app=True),
    "users.info": Method(user_info, "users:read"),
    "users.list": Method(user_list, "users:read"),
    "users.lookupByEmail": Method(user_by_email, "users:read.email"),
    "users.conversations": Method(user_conversations, "channels:read"),
    "usergroups.list": Method(group_list, "usergroups:read"),
    "usergroups.users.list": Method(group_users, "usergroups:read"),
    "team.info": Method(team_info, "team:read"),
    "bots.info": Method(bot_info, "users:read"),
}
