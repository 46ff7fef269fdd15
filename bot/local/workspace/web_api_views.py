"""views.*: modals and App Home."""

from __future__ import annotations

from handlers.blocks import view_problems

from .messages import with_block_ids
from .state import Json, OpenView, State, new_id
from .web_api import ApiError, Call, Method
from .web_api_chat import invalid_blocks

MOST_PUSHED = 3
LARGEST_VIEW = 250_000
_OPTIONAL = {"callback_id": "", "private_metadata": "", "external_id": "", "title": None, "submit": None, "close": None}


def made_view(state: State, given: object, kind: str, view_id: str | None = None) -> Json:
    """A view as Slack keeps it, with a new hash; ApiError when it would refuse it."""
    found = view_problems(given)
    if found:
        raise invalid_blocks(found, "invalid_arguments")
    if not isinstance(given, dict) or given["type"] != kind:
        raise ApiError("invalid_arguments")
    if len(str(given)) > LARGEST_VIEW:
        raise ApiError("view_too_large")
    flags = {name: bool(given.get(name, False)) for name in ("clear_on_close", "notify_on_close")}
    view_id = view_id or new_id("V")
    return {
        "id": view_id,
        "team_id": state.seed.team_id,
        "type": kind,
        "blocks": with_block_ids(given["blocks"]),
        "state": {"values": {}},
        "hash": f"{int(state.clock.now())}.{new_id('')[:8]}",
        **{name: given.get(name, absent) for name, absent in _OPTIONAL.items()},
        **flags,
        "previous_view_id": None,
        "root_view_id": view_id,
        "app_id": state.app.app_id,
        "app_installed_team_id": state.seed.team_id,
        "bot_id": state.app.bot_id,
    }


def show(state: State, view: Json, user: str, under: str | None = None) -> Json:
    """Opens a modal for a person, on top of the view `under`."""
    if under:
        below = state.views[under].view
        view |= {"previous_view_id": under, "root_view_id": below["root_view_id"]}
    state.views[view["id"]] = OpenView(view, user, under)
    state.tell("view", user=user, view=view)
    return view


def replace(state: State, view_id: str, given: object) -> Json:
    """Puts a new view where an open one was, keeping its id and its place."""
    old = state.views[view_id]
    view = made_view(state, given, "modal", view_id)
    view |= {key: old.view[key] for key in ("previous_view_id", "root_view_id")}
    view["state"] = old.view["state"]
    old.view = view
    state.tell("view", user=old.user, view=view)
    return view


def close(state: State, view_id: str) -> None:
    """Takes a modal away."""
    gone = state.views.pop(view_id)
    state.tell("view_closed", user=gone.user, view_id=view_id)


def push(state: State, given: object, under: str) -> Json:
    """A new modal on top of an open one, three deep at most."""
    depth, below = 1, state.views[under]
    while below.under in state.views:
        depth, below = depth + 1, state.views[below.under]
    if depth >= MOST_PUSHED:
        raise ApiError("push_limit_reached")
    return show(state, made_view(state, given, "modal"), state.views[under].user, under)


async def open_view(call: Call) -> Json:
    trigger = call.core.triggers.use(call.text("trigger_id"))
    if isinstance(trigger, str):
        raise ApiError(trigger)
    return {"view": show(call.state, made_view(call.state, call.args.get("view"), "modal"), trigger.user)}


async def push_view(call: Call) -> Json:
    trigger = call.core.triggers.use(call.text("trigger_id"))
    if isinstance(trigger, str):
        raise ApiError(trigger)
    if trigger.view_id not in call.state.views:
        raise ApiError("not_found")
    return {"view": push(call.state, call.args.get("view"), str(trigger.view_id))}


async def update_view(call: Call) -> Json:
    view_id, external = call.args.get("view_id"), call.args.get("external_id")
    for opened in call.state.views.values():
        if opened.view["id"] == view_id or (external and opened.view["external_id"] == external):
            wanted = call.args.get("hash")
            if wanted and wanted != opened.view["hash"]:
                raise ApiError("hash_conflict")
            return {"view": replace(call.state, opened.view["id"], call.args.get("view"))}
    raise ApiError("not_found")


async def publish_view(call: Call) -> Json:
    user = call.text("user_id")
    if user not in call.state.users:
        raise ApiError("user_not_found")
    old = call.state.homes.get(user)
    wanted = call.args.get("hash")
    if wanted and (old is None or wanted != old["hash"]):
        raise ApiError("hash_conflict")
    view = made_view(call.state, call.args.get("view"), "home", old["id"] if old else None)
    call.state.homes[user] = view
    call.state.tell("home", user=user, view=view)
    return {"view": view}


METHODS = {
    "views.open": Method(open_view),
    "views.push": Method(push_view),
    "views.update": Method(update_view),
    "views.publish": Method(publish_view),
}
