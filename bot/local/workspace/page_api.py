"""The page and its control API: what one person sees, as one document and a stream of changes."""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Awaitable, Callable
from importlib import resources
from urllib.parse import urlsplit

from aiohttp import web

from .people import People
from .state import Json, Room, State, WorkspaceError
from .web_api_files import public

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
    "json": "application/json",
    "png": "image/png",
}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@web.middleware
async def loopback_only(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuses requests that reached this server under another name, or from another site's page."""
    host = urlsplit(f"//{request.host}").hostname
    origin = request.headers.get("Origin")
    if host not in _LOOPBACK or (origin and origin != f"{request.scheme}://{request.host}"):
        return web.Response(status=403, text="This workspace answers on the loopback address only.")
    return await handler(request)


class PageApi:
    """Serves `/`, `/page/…` and `/_workspace/…`."""

    def __init__(self, people: People, state: State) -> None:
        self._people = people
        self._state = state
        self._token = secrets.token_urlsafe(24)
        self._actions: dict[str, Callable[[Json], Awaitable[Json]]] = {
            "say": self._say,
            "click": self._click,
            "submit": self._submit,
            "close": self._close,
            "command": self._command,
            "shortcut": self._shortcut,
            "home": self._home,
        }

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._index),
            web.get("/page/{file}", self._file),
            web.get("/files/{file}", self._stored_file),
            web.get("/_workspace/state", self._guarded(self._whole_state)),
            web.get("/_workspace/stream", self._guarded(self._stream)),
            web.post("/_workspace/{action}", self._guarded(self._act)),
        ]

    # ---- the page ----

    async def _index(self, request: web.Request) -> web.StreamResponse:
        page = resources.files(__package__).joinpath("page", "index.html")
        if not page.is_file():
            return web.Response(status=404, text="The page is not part of this installation.")
        html = page.read_text("utf-8")
        meta = f'<meta name="workspace-token" content="{self._token}">'
        html = re.sub(r'<meta name="workspace-token"[^>]*>', meta, html)
        return web.Response(text=html, content_type="text/html", headers=_headers())

    async def _file(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["file"]
        kind = _TYPES.get(name.rpartition(".")[2])
        page = resources.files(__package__).joinpath("page", name)
        if not re.fullmatch(r"[\w-]+(\.[\w-]+)+", name) or kind is None or not page.is_file():
            return web.Response(status=404, text="There is no such file.")
        return web.Response(body=page.read_bytes(), content_type=kind, headers=_headers())

    async def _stored_file(self, request: web.Request) -> web.StreamResponse:
        stored = self._state.files.get(request.match_info["file"])
        if not self._knows(request) and not self._people.may_read(request.headers.get("Authorization", "")):
            return web.Response(status=403, text="The file needs the page's token or the app's.")
        if stored is None or not stored.content:
            return web.Response(status=404, text="There is no such file.")
        kind = stored.info["mimetype"]
        shown = kind if kind in ("image/png", "image/jpeg", "image/gif", "text/plain") else "application/octet-stream"
        disposition = "inline" if shown == kind else "attachment"
        headers = {"Content-Disposition": disposition, "X-Content-Type-Options": "nosniff"}
        return web.Response(body=stored.content, content_type=shown, headers=headers)

    # ---- the control API ----

    def _knows(self, request: web.Request) -> bool:
        given = request.headers.get("X-Workspace-Token") or request.query.get("token", "")
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _guarded(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if not self._knows(request):
                return _refused("The page's token is missing or wrong; reload the page.", 403)
            return await handler(request)

        return guarded

    async def _act(self, request: web.Request) -> web.StreamResponse:
        action = self._actions.get(request.match_info["action"])
        if action is None:
            return _refused("There is no such action.", 404)
        try:
            body = await request.json()
        except ValueError:
            return _refused("The request is not JSON.", 400)
        try:
            return web.json_response({"ok": True, **await action(body)})
        except WorkspaceError as sentence:
            return _refused(str(sentence), 200)
        except (KeyError, TypeError) as missing:
            return _refused(f"The request lacks {missing}.", 400)

    async def _say(self, body: Json) -> Json:
        return {"ts": await self._people.say(body["user"], body["channel"], body["text"], body.get("thread_ts"))}

    async def _click(self, body: Json) -> Json:
        people, user = self._people, body["user"]
        place = people.place(user, body.get("container", "message"), body)
        value = body.get("selected", body.get("value"))
        return _said(
            await people.use(
                user,
                place,
                body["action_id"],
                block_id=body.get("block_id"),
                value=value,
                state=body.get("state"),
            )
        )

    async def _submit(self, body: Json) -> Json:
        return _said(await self._people.submit(body["user"], body["view_id"], body.get("values") or {}))

    async def _close(self, body: Json) -> Json:
        return _said(await self._people.close_view(body["user"], body["view_id"]))

    async def _command(self, body: Json) -> Json:
        return _said(await self._people.command(body["user"], body["channel"], body["text"]))

    async def _shortcut(self, body: Json) -> Json:
        return _said(await self._people.shortcut(body["user"], body["callback_id"], body["channel"], body["ts"]))

    async def _home(self, body: Json) -> Json:
        await self._people.open_home(body["user"])
        return {}

    # ---- what a person sees ----

    async def _whole_state(self, request: web.Request) -> web.StreamResponse:
        state = self._state
        user = request.query.get("user") or state.seed.people[0].id
        if user not in state.users:
            return _refused("There is no such person.", 404)
        app = state.app
        return web.json_response(
            {
                "team": {"id": state.seed.team_id, "name": state.seed.team_name},
                "me": user,
                "users": {each: account(state, each) for each in state.users},
                "usergroups": {g["id"]: {"handle": g["handle"], "users": g["users"]} for g in state.groups.values()},
                "channels": [channel(room, user) for room in visible(state, user)],
                "app": {"user_id": app.user_id, "bot_id": app.bot_id, "name": app.name, **self._people.menu()},
                "messages": {room.id: list(room.messages.values()) for room in visible(state, user)},
                "ephemerals": [m for m in state.ephemerals if m["to"] == user],
                "views": [opened.view for opened in state.views.values() if opened.user == user],
                "home": state.homes.get(user),
                "files": {key: public(stored) for key, stored in state.files.items() if stored.ready},
                "statuses": {f"{place}:{ts}": status for (place, ts), status in state.statuses.items()},
            }
        )

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events until the page goes away."""
        user = request.query.get("user", "")
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        feed = self._state.follow()
        try:
            await response.prepare(request)
            await response.write(b": connected\n\n")
            while (change := await feed.get())["type"] != "closed":
                if shown := self._for(user, change):
                    await response.write(f"event: change\ndata: {json.dumps(shown)}\n\n".encode())
        except ConnectionResetError:
            pass  # the page went away
        finally:
            self._state.unfollow(feed)
        return response

    def _for(self, user: str, change: Json) -> Json | None:
        """The change as this person sees it, or None when it is not theirs to see."""
        kind = change["type"]
        if kind in ("call", "connection") or (
            kind in ("ephemeral", "view", "view_closed", "home") and change["user"] != user
        ):
            return None
        if kind == "channel":
            room = change["channel"]
            return {"type": kind, "channel": channel(room, user)} if room.im_user in (None, user) else None
        if kind == "user":
            return {"type": kind, "user": account(self._state, change["user"])}
        place = self._state.rooms.get(change.get("channel", ""))
        return change if place is None or place.im_user in (None, user) else None


def visible(state: State, user: str) -> list[Room]:
    return [room for room in state.rooms.values() if room.im_user in (None, user)]


def channel(room: Room, user: str) -> Json:
    shape: Json = {"id": room.id, "name": room.name, "topic": room.topic, "is_archived": room.is_archived}
    shape |= {"is_member": user in room.members, "is_ext_shared": room.is_ext_shared}
    return shape | ({"is_im": True} if room.im_user else {})


def account(state: State, user: str) -> Json:
    """A person or bot as the page shows them."""
    one = state.users[user]
    roles = {"is_bot": "bot", "deleted": "deactivated", "is_stranger": "external", "is_restricted": "guest"}
    role = next((role for flag, role in roles.items() if one.get(flag)), "member")
    return {
        "id": user,
        "name": one["name"],
        "real_name": one["real_name"],
        "title": one["profile"]["title"],
        "role": role,
        "color": one["color"],
        "initials": "".join(word[0] for word in one["real_name"].split()[:2]).upper(),
        "groups": state.groups_of(user),
        "bot_id": one["profile"].get("bot_id"),
    }


def _said(answer: Json) -> Json:
    """An ack as the page gets it; errors of a dialog are an answer, not a failure."""
    if answer.get("error") == "operation_timeout":
        raise WorkspaceError("The app did not answer in time. Try again.")
    if "error" in answer:
        raise WorkspaceError(f"Slack refused the app's answer: {answer['error']}.")
    return {key: answer[key] for key in ("response_action", "errors", "text") if key in answer}


def _headers() -> dict[str, str]:
    return {
        "Content-Security-Policy": _CSP,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


def _refused(sentence: str, status: int) -> web.Response:
    return web.json_response({"ok": False, "error": sentence}, status=status)
