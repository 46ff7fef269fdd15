"""What people do with the app's messages, dialogs and commands, as the payloads the app receives."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from . import web_api_views
from .inputs import chosen, elements, gather, mistakes
from .messages import by_bot, delete, edit, post, take_back, typed, whisper
from .state import Json, Room, WorkspaceError
from .triggers import Hook
from .web_api import ApiError, Call, Core
from .web_api_chat import content

SLACKBOT = {"user": "USLACKBOT", "username": "Slackbot"}
TIMED_OUT = "operation_timeout"


@dataclass(frozen=True)
class Place:
    """Where an element stands: its blocks, and what the payload says about the place."""

    blocks: list[Json]
    payload: Json
    room: Room | None = None
    message: Json | None = None
    view_id: str | None = None


def on_message(room: Room, message: Json, action_id: str = "") -> Place:
    """A message or an ephemeral one: its blocks, or those of the attachment that holds `action_id`."""
    hidden = bool(message.get("is_ephemeral"))
    container: Json = {"type": "message", "message_ts": message["ts"], "channel_id": room.id}
    container["is_ephemeral"] = hidden
    if message.get("thread_ts"):
        container["thread_ts"] = message["thread_ts"]
    blocks = message.get("blocks") or []
    for attachment in message.get("attachments") or []:
        inside = attachment.get("blocks") or []
        if any(element["action_id"] == action_id for _, element in elements(inside)):
            blocks = inside
            container |= {"type": "message_attachment", "attachment_id": attachment["id"], "is_app_unfurl": False}
    payload: Json = {"container": container, "channel": {"id": room.id, "name": room.name}}
    if not hidden:
        payload["message"] = message
    return Place(blocks, payload, room, message)


def on_view(view: Json) -> Place:
    """A modal or the App Home of the person who sees it."""
    payload = {"container": {"type": "view", "view_id": view["id"]}, "view": view}
    return Place(view["blocks"], payload, view_id=view["id"] if view["type"] == "modal" else None)


class Interactivity:
    """Clicks, submissions, commands and shortcuts; each answers with what the app's ack carried."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def _person(self, user: str) -> Json:
        account = self._core.state.users[user]
        return {"id": user, "username": account["name"], "name": account["name"], "team_id": account["team_id"]}

    def _base(self, kind: str, user: str) -> Json:
        state = self._core.state
        return {
            "type": kind,
            "user": self._person(user),
            "api_app_id": state.app.app_id,
            "token": "verification-token",
            "team": {"id": state.seed.team_id, "domain": state.seed.team_domain},
            "enterprise": None,
            "is_enterprise_install": False,
        }

    def _hook(self, user: str, room: Room, message: Json | None) -> str:
        ts = message["ts"] if message else None
        return self._core.base_url + self._core.triggers.hook(user, room.id, ts)

    async def click(
        self,
        user: str,
        place: Place,
        action_id: str,
        *,
        block_id: str | None = None,
        value: Any = None,
        state: Json | None = None,
    ) -> Json:
        """A person uses one element. `value` is what they chose; for buttons it overrides the button's own."""
        found = [
            (block, element)
            for block, element in elements(place.blocks)
            if element["action_id"] == action_id and block_id in (None, block["block_id"])
        ]
        if not found:
            raise WorkspaceError(f"There is nothing with the action_id {action_id} there.")
        block, element = found[0]
        action = {"action_id": action_id, "block_id": block["block_id"], "action_ts": self._core.state.new_ts()}
        payload = self._base("block_actions", user) | place.payload
        payload["trigger_id"] = self._core.triggers.trigger(user, place.view_id)
        payload["actions"] = [{**_action(element, value), **action}]
        if place.room:
            payload["response_url"] = self._hook(user, place.room, place.message)
            payload["state"] = {"values": state or {}}
        elif state:
            payload["view"] = {**payload["view"], "state": {"values": gather(place.blocks, state)}}
        return await self._ask("interactive", payload, user, place.room, place.message)

    async def _ask(
        self, kind: str, payload: Json, user: str, room: Room | None, message: Json | None = None, what: str = ""
    ) -> Json:
        answer = await self._core.delivery.ask(kind, payload)
        if answer is not None:
            return answer
        if room:
            name = self._core.state.app.name
            text = f'{what or name} failed with the error "{TIMED_OUT}"'
            place = {"thread_ts": message["thread_ts"]} if message and message.get("thread_ts") else {}
            whisper(self._core.state, room, user, SLACKBOT, {"text": text, **place})
        return {"error": TIMED_OUT}

    async def submit(self, user: str, view_id: str, values: Json) -> Json:
        """A person submits a modal: {} when it closed, or the app's response_action, errors included."""
        view = self._opened(user, view_id)
        entered = gather(view["blocks"], values)
        if errors := mistakes(view["blocks"], entered):
            return {"response_action": "errors", "errors": errors}
        view["state"] = {"values": entered}
        payload = self._base("view_submission", user) | {"view": view, "response_urls": []}
        payload["trigger_id"] = self._core.triggers.trigger(user, view_id)
        answer = await self._ask("interactive", payload, user, None)
        if answer.get("error") == TIMED_OUT or view_id not in self._core.state.views:
            return answer
        try:
            self._follow(view_id, answer)
        except ApiError as refusal:
            return {"error": refusal.code, **refusal.more}
        return answer

    def _follow(self, view_id: str, answer: Json) -> None:
        state = self._core.state
        match answer.get("response_action"):
            case "errors":
                pass
            case "update":
                web_api_views.replace(state, view_id, answer.get("view"))
            case "push":
                web_api_views.push(state, answer.get("view"), view_id)
            case "clear":
                root = state.views[view_id].view["root_view_id"]
                for other in [v for v in state.views.values() if v.view["root_view_id"] == root]:
                    web_api_views.close(state, other.view["id"])
            case _:
                web_api_views.close(state, view_id)

    async def close(self, user: str, view_id: str) -> Json:
        """A person closes a modal without submitting; the app hears of it when it asked to."""
        view = self._opened(user, view_id)
        web_api_views.close(self._core.state, view_id)
        if not view["notify_on_close"]:
            return {}
        payload = self._base("view_closed", user) | {"view": view, "is_cleared": False}
        return await self._ask("interactive", payload, user, None)

    def _opened(self, user: str, view_id: str) -> Json:
        opened = self._core.state.views.get(view_id)
        if opened is None or opened.user != user:
            raise WorkspaceError("That dialog is not open.")
        return opened.view

    async def command(self, user: str, room: Room, text: str, command: str) -> Json:
        """A slash command; what the app answers at once is shown, to the person alone unless it says otherwise."""
        core, state = self._core, self._core.state
        account = state.users[user]
        payload = {
            "token": "verification-token",
            "team_id": state.seed.team_id,
            "team_domain": state.seed.team_domain,
            "channel_id": room.id,
            "channel_name": room.name,
            "user_id": user,
            "user_name": account["name"],
            "command": command,
            "text": self._with_names(typed(state, text.strip())[0]),
            "api_app_id": state.app.app_id,
            "is_enterprise_install": "false",
            "response_url": self._hook(user, room, None),
            "trigger_id": core.triggers.trigger(user),
        }
        answer = await self._ask("slash_commands", payload, user, room, what=command)
        if answer.get("text") or answer.get("blocks"):
            try:
                self._say(room, user, answer)
            except ApiError as refusal:
                return {"error": refusal.code, **refusal.more}
        return answer

    def _with_names(self, text: str) -> str:
        """With should_escape, a mention in a command carries the person's name."""
        users = self._core.state.users
        return re.sub(r"<@(\w+)>", lambda m: f"<@{m[1]}|{users[m[1]]['name']}>" if m[1] in users else m[0], text)

    def _say(self, room: Room, user: str, answer: Json) -> None:
        made = content(Call(self._core, {k: v for k, v in answer.items() if k in _SHOWN}))
        if answer.get("thread_ts"):
            made["thread_ts"] = str(answer["thread_ts"])
        author = by_bot(self._core.state, self._core.state.app)
        if answer.get("response_type") == "in_channel":
            post(self._core.desk, room, author, made)
        else:
            whisper(self._core.state, room, user, author, made)

    async def shortcut(self, user: str, callback_id: str, room: Room, message: Json) -> Json:
        """A message shortcut from a message's menu."""
        state = self._core.state
        payload = self._base("message_action", user) | {
            "callback_id": callback_id,
            "action_ts": state.new_ts(),
            "trigger_id": self._core.triggers.trigger(user),
            "response_url": self._hook(user, room, None),
            "channel": {"id": room.id, "name": room.name},
            "message_ts": message["ts"],
            "message": message,
        }
        return await self._ask("interactive", payload, user, room, message)

    def respond(self, hook: Hook, answer: object) -> None:
        """What the app sent to a response URL; ApiError when Slack would refuse it."""
        if not isinstance(answer, dict):
            raise ApiError("invalid_payload")
        state = self._core.state
        room = state.rooms[hook.channel]
        ephemeral = next((m for m in state.ephemerals if m["ts"] == hook.message_ts), None)
        if answer.get("delete_original") and hook.message_ts:
            if ephemeral:
                take_back(state, ephemeral)
            elif hook.message_ts in room.messages:
                delete(self._core.desk, room, hook.message_ts)
            return
        if answer.get("replace_original") and hook.message_ts:
            made = content(Call(self._core, {k: v for k, v in answer.items() if k in _SHOWN}))
            old = () if "blocks" in made else ("blocks",)
            if ephemeral:
                for key in old:
                    ephemeral.pop(key, None)
                ephemeral |= made
                state.tell("ephemeral", user=hook.user, message=ephemeral)
            elif hook.message_ts in room.messages:
                edit(self._core.desk, room, hook.message_ts, made, old)
            return
        self._say(room, hook.user, answer)


_SHOWN = ("text", "blocks", "attachments", "metadata")


def _action(element: Json, value: Any) -> Json:
    """The element as an action: buttons carry their value, the others what was chosen."""
    kind = element["type"]
    if kind in ("button", "workflow_button", "icon_button"):
        shown: Json = {key: element[key] for key in ("text", "value", "style", "url") if key in element}
        return {"type": kind, **shown, **({} if value is None else {"value": value})}
    if kind == "feedback_buttons":
        pressed = [element["positive_button"], element["negative_button"]]
        button = next((one for one in pressed if one["value"] == value), None)
        if button is None:
            raise WorkspaceError(f"The feedback buttons have no value {value}.")
        return {"type": kind, "text": button["text"], "value": button["value"]}
    return chosen(element, value)
