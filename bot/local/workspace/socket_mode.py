"""Socket Mode: WebSocket connections that carry envelopes to the app and its acknowledgements back."""

from __future__ import annotations

import asyncio
import json
import secrets
import uuid
from collections.abc import Callable
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from .clock import Clock
from .faults import Faults

Json = dict[str, Any]
MOST_SOCKETS = 10


class NoSocket(ConnectionError):
    """No connected app could take the envelope."""


class SocketMode:
    """The open connections of one app; each envelope goes to exactly one of them."""

    def __init__(self, app_id: str, clock: Clock, faults: Faults, changed: Callable[[], None]) -> None:
        self._app_id = app_id
        self._clock = clock
        self._faults = faults
        self._changed = changed
        self._tickets: set[str] = set()
        self._sockets: dict[web.WebSocketResponse, asyncio.Transport | None] = {}
        self._waiting: dict[str, tuple[web.WebSocketResponse, asyncio.Future[Json]]] = {}
        self._next = 0

    @property
    def connections(self) -> int:
        return len(self._sockets)

    def ticket(self) -> str:
        """A path with a ticket that opens one connection, once."""
        ticket = secrets.token_urlsafe(16)
        self._tickets.add(ticket)
        return f"/link/?ticket={ticket}&app_id={self._app_id}"

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serves one connection for as long as it lasts."""
        ticket = request.query.get("ticket", "")
        if self._faults.is_down or ticket not in self._tickets:
            return web.Response(status=403, text="The ticket is not valid, or it was used before.")
        self._tickets.discard(ticket)
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        if len(self._sockets) >= MOST_SOCKETS:
            await socket.send_json(_disconnect("too_many_websockets"))
            await socket.close()
            return socket
        self._sockets[socket] = request.transport
        try:
            await socket.send_json(self._hello())
            self._changed()
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._acknowledge(message.data)
        finally:
            self._forget(socket)
        return socket

    def _hello(self) -> Json:
        debug = {"host": "local", "build_number": 1, "approximate_connection_time": 3600}
        return {
            "type": "hello",
            "num_connections": len(self._sockets),
            "connection_info": {"app_id": self._app_id},
            "debug_info": debug,
        }

    def _acknowledge(self, frame: str) -> None:
        if self._faults.acks_held:
            return
        try:
            ack = json.loads(frame)
        except ValueError:
            return
        if not isinstance(ack, dict):
            return
        _, answer = self._waiting.get(str(ack.get("envelope_id")), (None, None))
        if answer and not answer.done():
            payload = ack.get("payload")
            answer.set_result(payload if isinstance(payload, dict) else {})

    def _forget(self, socket: web.WebSocketResponse) -> None:
        if self._sockets.pop(socket, None):
            self._changed()
        for owner, answer in self._waiting.values():
            if owner is socket and not answer.done():
                answer.set_exception(NoSocket("the connection broke"))

    async def send(self, kind: str, payload: Json, seconds: float, retry: Json | None = None) -> Json:
        """Sends one envelope and returns what its ack carried.

        Raises NoSocket when no connection could take it and TimeoutError when none acknowledged in time.
        """
        live = [socket for socket in self._sockets if not socket.closed]
        if not live:
            raise NoSocket("no app is connected")
        socket = live[self._next % len(live)]
        self._next += 1
        envelope_id = str(uuid.uuid4())
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[envelope_id] = (socket, answer)
        envelope = {
            "envelope_id": envelope_id,
            "type": kind,
            "payload": payload,
            "accepts_response_payload": kind != "events_api",
            **(retry or {}),
        }
        try:
            await socket.send_json(envelope)
            return dict(await self._clock.within(seconds, answer))
        except ConnectionError as broken:
            raise NoSocket(str(broken)) from broken
        finally:
            del self._waiting[envelope_id]

    async def refresh(self, reason: str) -> None:
        """Asks every connection to be replaced, as Slack does every few hours."""
        for socket in list(self._sockets):
            await socket.send_json(_disconnect(reason))

    def drop(self) -> None:
        """Breaks every connection without a word."""
        for socket, transport in list(self._sockets.items()):
            self._forget(socket)
            if transport:
                transport.abort()

    async def close(self) -> None:
        for socket in list(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY, message=b"the workspace closes")


def _disconnect(reason: str) -> Json:
    return {"type": "disconnect", "reason": reason, "debug_info": {"host": "local"}}
