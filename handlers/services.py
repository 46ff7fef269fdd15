"""What every listener needs, in one value; and answering one person only."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from domain.decisions import SYSTEM
from domain.errors import AgentError, Conflict, JournalError
from domain.events import Draft, PayloadHandled, SurfaceShown
from domain.evidence import EvidenceOf, no_evidence
from domain.plane import ControlPlane
from domain.ports import Chat, Journal
from domain.work import Rollup
from handlers import kit
from handlers.blocks import degrade
from handlers.chat import settle
from handlers.directory import SlackDirectory
from handlers.kit import Block, Body
from handlers.payloads import key_of, where
from handlers.sender import Sender
from handlers.slack_errors import FAILURES, code_of, log
from handlers.visitors import Visitors
from handlers.work import Job, Work

REPLAYED: ContextVar[str] = ContextVar("replayed", default="")
"""The inbox key of the recorded payload that is being handled again; empty for what comes from Slack."""


_PICTURE_WAITS_S = (0.5, 1.0, 2.0, 4.0)
"""An answer that shows a picture is sent again after these, while Slack has not processed it; then in words."""

_LEFT = "My journal cannot be written right now. I take this up again by myself as soon as it can."
"""The one sentence that is said without being in the journal."""


@dataclass(frozen=True)
class Identity:
    """Who this app is, from one auth.test at the start."""

    team_id: str
    bot_user_id: str
    bot_id: str
    enterprise_id: str = ""
    team: str = ""
    url: str = ""
    scopes: tuple[str, ...] = ()


async def undrawn(_: Rollup) -> bytes:
    """No chart."""
    return b""


@dataclass(frozen=True)
class Services:
    """The core and Slack, as listeners see them.

    `client` reads and answers single persons; messages in channels go through the outbox (`chat`). `channel` is where
    incidents open, by id; `watched` are the channels that alert messages and questions are looked for in after a gap.
    `left` are the keys of payloads that the journal refused half-way, for recovery.py; `told` those whose person knows.
    """

    plane: ControlPlane
    journal: Journal
    chat: Chat
    sender: Sender
    directory: SlackDirectory
    client: AsyncWebClient
    identity: Identity
    redact: Callable[[str], str]
    channel: str = ""
    watched: tuple[str, ...] = ()
    draw: Callable[[Rollup], Awaitable[bytes]] = undrawn
    evidence: EvidenceOf = no_evidence
    work: Work = field(default_factory=Work)
    visitors: Visitors = field(default_factory=Visitors)
    left: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)

    def do(self, lane: str, ts: str, payload: Mapping[str, Any], job: Job, *, urgent: bool = False) -> None:
        """Run `job` after its ack, in the lane's order; the person who caused it hears of a failure."""
        key = REPLAYED.get() or key_of(payload)
        self.work.submit(lane, ts, lambda: self._finished(payload, key, job), urgent=urgent)

    async def _finished(self, payload: Mapping[str, Any], key: str, job: Job) -> None:
        """The job, and the record of its end; where the journal refuses, it is left to be taken up again."""
        try:
            await self._guarded(payload, job)
            await self.handled(key)
            self.told.discard(key)
        except JournalError as error:
            log.error("the journal refuses: %s", error)
            self.left.add(key)
            if key not in self.told:
                self.told.add(key)
                await self._whisper(payload, settle(_said(_LEFT), self.redact))

    async def _guarded(self, payload: Mapping[str, Any], job: Job) -> None:
        try:
            await job()
        except JournalError:
            raise
        except AgentError as error:
            await self.tell(payload, str(error))
        except Exception as error:  # noqa: BLE001  # the Slack boundary: a person gets a sentence, the log the traceback
            await self.tell(payload, failure(error))

    async def handled(self, key: str) -> None:
        """What the payload asked for was done or refused."""
        with suppress(Conflict):
            await self.journal.append(Draft(PayloadHandled(key), SYSTEM))

    async def tell(self, payload: Mapping[str, Any], said: str | Body) -> None:
        """Answer the person behind a payload, visible to them alone: in the channel, else through the response URL."""
        settled = settle(said if isinstance(said, Body) else _said(said), self.redact)
        user, channel, _ = where(payload)
        if user:
            await self.shown("ephemeral", user, channel, {"text": settled.text, "blocks": list(settled.blocks)})
            await self._whisper(payload, settled)

    async def _whisper(self, payload: Mapping[str, Any], settled: Body) -> None:
        user, channel, thread_ts = where(payload)
        if not user:
            return
        content: dict[str, Any] = {"text": settled.text, "blocks": list(settled.blocks)}
        try:
            if not channel:
                raise ValueError("no channel")
            await self.client.chat_postEphemeral(channel=channel, user=user, thread_ts=thread_ts or None, **content)
        except FAILURES as error:
            await self._respond(payload, content, code_of(error))

    async def respond(self, payload: Mapping[str, Any], body: Body) -> None:
        """Answer a command or a shortcut through its response URL: that works where the app is no member."""
        settled = settle(body, self.redact)
        content: dict[str, Any] = {"text": settled.text, "blocks": list(settled.blocks)}
        user, channel, _ = where(payload)
        await self.shown("response", user, channel, content)
        await self._respond(payload, content, "")

    async def _respond(self, payload: Mapping[str, Any], content: Mapping[str, Any], why: str) -> None:
        url = str(payload.get("response_url") or "")
        if not url:
            log.info("nobody could be told: %s", why)
            return
        hook, blocks = AsyncWebhookClient(url), list(content["blocks"])
        waits = _PICTURE_WAITS_S if any("slack_file" in block for block in blocks) else ()
        for wait in (*waits, 0.0):
            problem = await _sent(hook, str(content["text"]), blocks if wait or not waits else degrade(blocks))
            if not problem:
                return
            await asyncio.sleep(wait)
        log.info("the response URL failed: %s", problem)

    async def shown(self, surface: str, user: str, channel: str, content: Mapping[str, Any]) -> None:
        """Record what one person is about to see."""
        await self.journal.append(Draft(SurfaceShown(surface, user, channel, content), SYSTEM))


def _said(sentence: str) -> Body:
    return Body(kit.safe(sentence), (kit.paragraph(kit.span(sentence, 2900)),))


async def _sent(hook: AsyncWebhookClient, text: str, blocks: list[Block]) -> str:
    """Send it to the one person; what went wrong, empty where nothing did."""
    try:
        answer = await hook.send(text=text, blocks=blocks, response_type="ephemeral", replace_original=False)
    except FAILURES as error:
        return code_of(error)
    return "" if answer.status_code == 200 else f"HTTP {answer.status_code} {answer.body[:200]}"


def failure(error: BaseException) -> str:
    """Log an unexpected error under an id, and return the sentence with that id."""
    error_id = secrets.token_hex(4)
    log.error("unexpected error %s", error_id, exc_info=error)
    return f"Something went wrong on my side (error {error_id}). The log has the details under that number."
