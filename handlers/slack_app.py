"""The bolt app, built from explicit settings only, and what must hold before it starts."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiohttp import ClientSession, ClientTimeout, TraceConfig, web
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.http_retry.builtin_async_handlers import (
    AsyncConnectionErrorRetryHandler,
    AsyncRateLimitErrorRetryHandler,
)
from slack_sdk.web.async_client import AsyncWebClient

from domain.errors import ChatError, SettingsError
from handlers.listeners import register
from handlers.manifest import scopes_of
from handlers.services import Identity, Services, failure
from handlers.slack_errors import FAILURES, code_of

SLACK = "https://slack.com/api/"
_CALL_S = 15
_QUIET = logging.getLogger("agent.bolt")
_QUIET.setLevel(logging.ERROR)  # it warns of what is meant: that the authorize function wins over the token
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


@dataclass(frozen=True)
class Connection:
    """Two clients for one token: `posting` never retries by itself (the outbox does), `reading` does."""

    posting: AsyncWebClient
    reading: AsyncWebClient
    identity: Identity


def session(*traces: TraceConfig) -> ClientSession:
    """Connections to Slack that stay open between calls; without one, slack_sdk connects anew for each."""
    return ClientSession(timeout=ClientTimeout(total=_CALL_S), trace_configs=list(traces))


async def connect(bot_token: str, api_url: str = SLACK, http: ClientSession | None = None) -> Connection:
    """One auth.test, the only one of the whole run. Raises SettingsError or ChatError with a sentence and a fix."""
    if not bot_token.startswith("xoxb-"):
        raise SettingsError("SLACK_BOT_TOKEN must be a bot token (xoxb-…): copy it from OAuth & Permissions.")
    base = checked_url(api_url)
    posting = AsyncWebClient(bot_token, base_url=base, timeout=_CALL_S, session=http, retry_handlers=[])
    retries = [AsyncConnectionErrorRetryHandler(), AsyncRateLimitErrorRetryHandler(max_retry_count=1)]
    reading = AsyncWebClient(bot_token, base_url=base, timeout=_CALL_S, session=http, retry_handlers=retries)
    try:
        answer = await reading.auth_test()
    except FAILURES as error:
        code = code_of(error)
        fix = (
            "copy a fresh bot token from OAuth & Permissions" if code != "ClientConnectorError" else "check the network"
        )
        raise ChatError(f"Slack does not accept SLACK_BOT_TOKEN ({code}): {fix}.", code=code) from error
    return Connection(posting, reading, _identity(answer.data, answer.headers))


def checked_url(api_url: str) -> str:
    """Slack's address; another one must be https or loopback. Raises SettingsError."""
    parts = urlsplit(api_url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise SettingsError("SLACK_API_URL must be https, or http on loopback.")
    return api_url if api_url.endswith("/") else api_url + "/"


def _identity(answer: Any, headers: Mapping[str, Any]) -> Identity:
    scopes = next((value for name, value in headers.items() if name.lower() == "x-oauth-scopes"), "")
    return Identity(
        team_id=str(answer["team_id"]),
        bot_user_id=str(answer["user_id"]),
        bot_id=str(answer.get("bot_id") or ""),
        enterprise_id=str(answer.get("enterprise_id") or ""),
        team=str(answer.get("team") or ""),
        url=str(answer.get("url") or ""),
        scopes=tuple(part.strip() for part in str(scopes).split(",") if part.strip()),
    )


def missing_scopes(identity: Identity, profile: str = "minimal") -> tuple[str, ...]:
    """Scopes that the code uses and the token lacks; empty also where Slack did not say what it has."""
    return tuple(scope for scope in scopes_of(profile) if scope not in identity.scopes) if identity.scopes else ()


def build(services: Services, connection: Connection, *, signing_secret: str = "") -> AsyncApp:
    """The app with every listener. Nothing is read from the environment, and no event causes a call to auth.test."""
    identity = connection.identity
    result = AuthorizeResult(
        enterprise_id=identity.enterprise_id or None,
        team_id=identity.team_id,
        bot_token=connection.reading.token,
        bot_id=identity.bot_id,
        bot_user_id=identity.bot_user_id,
    )

    async def authorize(**_: Any) -> AuthorizeResult:
        return result

    with _no_environment():
        app = AsyncApp(
            logger=_QUIET,
            client=connection.reading,
            authorize=authorize,
            signing_secret=signing_secret,
            request_verification_enabled=bool(signing_secret),
        )
    _on_error(app, services)
    register(app, services)
    return app


@contextmanager
def _no_environment() -> Iterator[None]:
    """Bolt reads tokens and secrets from the environment, and turns OAuth on where it finds a client id there."""
    hidden = {name: value for name, value in os.environ.items() if name.startswith("SLACK_")}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def _on_error(app: AsyncApp, services: Services) -> None:
    @app.error
    async def on_error(error: Exception, body: dict[str, Any]) -> BoltResponse | None:
        sentence = failure(error)
        if not isinstance(body.get("event"), dict):
            await services.tell(body, sentence)
        return None


# --- HTTP mode --------------------------------------------------------------------------------------------------------


def events_route(app: AsyncApp, signing_secret: str) -> web.RouteDef:
    """POST /slack/events. Raises SettingsError where there is no signing secret, at the start and not at the first event."""
    if not signing_secret:
        raise SettingsError("SLACK_SIGNING_SECRET is needed without SLACK_APP_TOKEN: copy it from Basic Information.")

    async def on_slack(request: web.Request) -> web.Response:
        body = (await request.read()).decode("utf-8", "replace")
        headers: dict[str, str | Sequence[str]] = {name: [value] for name, value in request.headers.items()}
        bolt = AsyncBoltRequest(body=body, query=request.query_string, headers=headers)
        return _as_http(await app.async_dispatch(bolt))

    return web.post("/slack/events", on_slack)


def _as_http(answer: BoltResponse) -> web.Response:
    body = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
    kind = answer.first_headers().get("content-type", "text/plain").partition(";")[0]
    return web.Response(status=answer.status, text=body, content_type=kind)
