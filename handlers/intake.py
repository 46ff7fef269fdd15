"""Alerts by HTTP: authenticated, parsed, redacted, and durable before the answer.

202 {"incidents": [...]} once the events are in the journal; 400 names the field that is wrong; never 500 for a bad body.
A new monitor is a function in `sources.SOURCES`, a new CI system one in `hooks.HOOKS`.
"""

from __future__ import annotations

import hmac
import json
import logging
from collections.abc import Callable
from typing import Any

from aiohttp import web

from domain.alerts import Alert
from domain.errors import BadInput, JournalError
from domain.plane import ControlPlane
from handlers.hooks import HOOKS, Hook, bearer
from handlers.services import failure
from handlers.sources import SOURCES, Parser, Reading

log = logging.getLogger("agent.intake")
LARGEST = 1024 * 1024  # bytes
_HOW = "Send the header Authorization: Bearer <AGENT_ALERT_TOKEN>."
_JSON = frozenset({"application/json", "application/octet-stream", "text/plain"})


def routes(plane: ControlPlane, token: str, redact: Callable[[str], str]) -> list[web.RouteDef]:
    """POST /alerts/<monitor> and /hooks/<CI system>. With an empty `token` nobody is asked for one (loopback only)."""

    def route(path: str, hook: Hook) -> web.RouteDef:
        async def on_alerts(request: web.Request) -> web.Response:
            try:
                return await _take(request, plane, token, redact, hook)
            except web.HTTPException:
                raise
            except Exception as error:  # noqa: BLE001  # the HTTP boundary
                return _refusal(500, failure(error))

        return web.post(path, on_alerts)

    monitors = {f"/alerts/{name}": Hook(parser, bearer, _HOW) for name, parser in SOURCES.items()}
    systems = {f"/hooks/{name}": hook for name, hook in HOOKS.items()}
    return [route(path, hook) for path, hook in {**monitors, **systems}.items()]


async def _take(
    request: web.Request, plane: ControlPlane, token: str, redact: Callable[[str], str], hook: Hook
) -> web.Response:
    if token and not _same(hook.shown({name.lower(): value for name, value in request.headers.items()}), token):
        answer = _refusal(401, hook.how)
        answer.headers["WWW-Authenticate"] = hook.challenge
        return answer
    if not token and "Origin" in request.headers:  # a page in a browser on this machine; no monitor sends one
        return _refusal(403, "Requests from web pages are not taken without AGENT_ALERT_TOKEN.")
    if request.content_type not in _JSON and not request.content_type.endswith("+json"):
        return _refusal(415, "The body must be application/json.")
    body = await _body(request)
    if body is None:
        return _refusal(413, f"The body is larger than {LARGEST} bytes.")
    try:
        alerts = parsed(body, hook.parser, Reading(redact, plane.environment))
    except BadInput as error:
        return _refusal(400, str(error), error.field)
    return await _received(plane, alerts)


async def _received(plane: ControlPlane, alerts: list[Alert]) -> web.Response:
    if not alerts:
        return web.json_response({"incidents": []}, status=202)
    try:
        receipts = await plane.receive(alerts)
    except BadInput as error:
        return _refusal(400, str(error), error.field)
    except JournalError as error:
        # the monitor sends it again
        log.warning("alerts could not be recorded: %s", error)
        answer = _refusal(503, str(error))
        answer.headers["Retry-After"] = "10"
        return answer
    incidents = dict.fromkeys(one.incident_id for one in receipts if one.incident_id)
    return web.json_response({"incidents": list(incidents)}, status=202)


def parsed(body: bytes, parser: Parser, reading: Reading) -> list[Alert]:
    """The alerts in a body. Raises BadInput with the field, whatever the bytes are."""
    try:
        payload = json.loads(body, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise BadInput("the body is not UTF-8", field="body") from error
    except RecursionError as error:
        raise BadInput("the body is nested too deeply", field="body") from error
    except ValueError as error:
        raise BadInput(f"the body is not JSON: {error}"[:300], field="body") from error
    return parser(payload, reading)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _same(given: str, token: str) -> bool:
    """Compared in a time that does not depend on how much of it is right."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


async def _body(request: web.Request) -> bytes | None:
    """The body; None where it is too large, however it was announced or compressed."""
    if (request.content_length or 0) > LARGEST:
        return None
    pieces, size = [], 0
    async for piece in request.content.iter_any():
        size += len(piece)
        if size > LARGEST:
            return None
        pieces.append(piece)
    return b"".join(pieces)


def _refusal(status: int, sentence: str, field: str = "") -> web.Response:
    return web.json_response({"error": sentence, "field": field} if field else {"error": sentence}, status=status)
