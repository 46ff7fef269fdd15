"""The Web API's front door: arguments in any of Slack's encodings, tokens, scopes, faults, then the method."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from .delivery import Delivery
from .events import Events
from .faults import KINDS, Faults
from .messages import Desk
from .seed import Bot
from .socket_mode import SocketMode
from .state import Json, Room, State
from .triggers import Triggers

# Every scope the workspace knows: what the app has when no manifest says less.
ALL_SCOPES = (
    "app_mentions:read assistant:write channels:history channels:join channels:read chat:write commands files:read"
    " files:write groups:history groups:read im:history im:read im:write reactions:read reactions:write team:read"
    " usergroups:read users:read users:read.email"
)


class ApiError(Exception):
    """A refusal: its `error` code and what else the answer carries."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.code = code
        self.more = more


@dataclass(frozen=True)
class ApiCall:
    """One recorded call: what was asked, when (seconds, workspace time), and what was answered."""

    method: str
    args: Json
    at: float
    answer: Json = field(default_factory=dict)


@dataclass
class Core:
    """What every method may touch."""

    state: State
    events: Events
    delivery: Delivery
    sockets: SocketMode
    faults: Faults
    triggers: Triggers
    scopes: Collection[str]
    bot_token: str
    app_token: str
    base_url: str = ""
    refusing: str = ""  # the error every call is answered with once the token is no good
    calls: list[ApiCall] = field(default_factory=list)

    @property
    def desk(self) -> Desk:
        return Desk(self.state, self.events)


@dataclass(frozen=True)
class Call:
    """One authenticated call."""

    core: Core
    args: Json

    @property
    def state(self) -> State:
        return self.core.state

    @property
    def bot(self) -> Bot:
        return self.core.state.app

    def text(self, name: str) -> str:
        """A required argument; ApiError when it is missing."""
        value = self.args.get(name)
        if value is None or value == "":
            message = f"[ERROR] missing required field: {name}"
            raise ApiError("invalid_arguments", response_metadata={"messages": [message]})
        return str(value)

    def flag(self, name: str) -> bool:
        return str(self.args.get(name, "")).lower() in ("1", "true")

    def room(self, name: str = "channel") -> Room:
        """The channel an argument names, by id, #name, or by a person's id for direct messages."""
        wanted = str(self.args.get(name) or "")
        state = self.state
        if wanted in state.users and not state.users[wanted]["is_bot"]:
            return state.direct(wanted)
        for room in state.rooms.values():
            if wanted == room.id or (wanted and wanted.removeprefix("#") == room.name and not room.im_user):
                return room
        raise ApiError("channel_not_found")


Handler = Callable[[Call], Awaitable[Json]]


@dataclass(frozen=True)
class Method:
    """A Web API method: what it does, the scope it needs ("" for none), and whether the app-level
    token calls it.

    A scope such as "{kind}:read" is completed with the kind of the channel asked for.
    """

    run: Handler
    scope: str = ""
    for_app: bool = False


class WebApi:
    """Serves `/api/<method>` from a table of methods."""

    def __init__(self, core: Core, methods: dict[str, Method]) -> None:
        self._core = core
        self._methods = methods

    async def serve(self, request: web.Request) -> web.StreamResponse:
        core, name = self._core, request.match_info["method"]
        if core.faults.is_down:
            return web.Response(status=503, text="Slack is down")
        args = await arguments(request)
        await core.faults.turn(name)
        shown = {key: value for key, value in args.items() if key != "token"}
        fault, retry_after = core.faults.take(name) or ("", 0)
        if fault in KINDS and fault != "reset_after_commit":
            core.calls.append(ApiCall(name, shown, core.state.clock.now(), {"ok": False, "fault": fault}))
            core.state.tell("call")
            return await self._fail(fault, retry_after)
        answer = {"ok": False, "error": fault} if fault and fault not in KINDS else None
        answer = answer or await self._answer(name, args, request)
        core.calls.append(ApiCall(name, shown, core.state.clock.now(), answer))
        core.state.tell("call")
        if fault == "reset_after_commit" and request.transport:
            request.transport.abort()
        headers = {"x-oauth-scopes": ",".join(core.scopes)} if answer["ok"] else {}
        return web.json_response(answer, headers=headers)

    async def _fail(self, fault: str, retry_after: int) -> web.Response:
        if fault == "429":
            refusal = {"ok": False, "error": "ratelimited"}
            return web.json_response(refusal, status=429, headers={"Retry-After": str(retry_after)})
        if fault == "timeout":
            await self._core.faults.hang()
        return web.Response(status=500, text="Internal Server Error")

    async def _answer(self, name: str, args: Json, request: web.Request) -> Json:
        method = self._methods.get(name)
        if method is None:
            return {"ok": False, "error": "unknown_method", "req_method": name}
        try:
            authorization = request.headers.get("Authorization", "")
            token = authorization.removeprefix("Bearer ") or str(args.get("token", ""))
            self._authenticate(method, token)
            call = Call(self._core, args)
            self._authorize(method, call)
            return {"ok": True, **await method.run(call)}
        except ApiError as refusal:
            return {"ok": False, "error": refusal.code, **refusal.more}

    def _authenticate(self, method: Method, token: str) -> None:
        core = self._core
        if not token:
            raise ApiError("not_authed")
        if token not in (core.bot_token, core.app_token):
            raise ApiError("invalid_auth")
        if core.refusing:
            raise ApiError(core.refusing)
        if token != (core.app_token if method.for_app else core.bot_token):
            raise ApiError("not_allowed_token_type")

    def _authorize(self, method: Method, call: Call) -> None:
        scope = method.scope
        if "{kind}" in scope:
            try:
                kind = call.room().kind
            except ApiError:
                kind = "channels"
            scope = scope.format(kind=kind)
        if scope and scope not in self._core.scopes:
            raise ApiError("missing_scope", needed=scope, provided=",".join(self._core.scopes))


async def arguments(request: web.Request) -> Json:
    """A call's arguments from its query, form or JSON body, with JSON inside strings decoded."""
    args: Json = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = await request.json()
        except ValueError:
            body = None
        if isinstance(body, dict):
            args |= body
    elif request.can_read_body:
        args |= dict(await request.post())
    return {key: _decoded(value) for key, value in args.items()}


def _decoded(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def paged(items: list[Any], args: Json, default: int = 100) -> tuple[list[Any], str]:
    """One page of `items` and the cursor of the next one, "" at the end."""
    cursor = str(args.get("cursor") or "")
    if cursor and not (cursor.startswith("page:") and cursor[5:].isdigit() and len(cursor) < 15):
        raise ApiError("invalid_cursor")
    limit = str(args.get("limit") or default)
    if not limit.isdigit() or len(limit) > 6:
        raise ApiError("invalid_limit")
    start, size = int(cursor[5:] or 0), max(1, min(int(limit), 1000))
    rest = start + size
    return items[start:rest], f"page:{rest}" if rest < len(items) else ""
