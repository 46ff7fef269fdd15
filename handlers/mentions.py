"""Questions to the agent: mentions, follow-ups in an incident's thread, and the message shortcut."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from domain.plane import Question
from domain.runs import Origin
from handlers import alerts, kit
from handlers.commands import check_member, permalink, writable
from handlers.kit import Body
from handlers.payloads import also_of, key_of, where
from handlers.services import Services
from handlers.slack_errors import FAILURES, code_of, log

Payload = dict[str, Any]
_SOMEBODY = re.compile(r"<@[UW][A-Z0-9]+(\|[^>]*)?>")
_LONGEST = 4000  # characters of a question
_EMPTY = "Ask me something: what is wrong with checkout in shop? Or reply in an incident's thread."


class Turns:
    """How often one thread may ask in an hour: two bots that answer each other end here."""

    def __init__(self, most: int = 20, within_s: float = 3600.0) -> None:
        self._most = most
        self._within = within_s
        self._asked: dict[str, deque[float]] = {}

    def allow(self, thread: str) -> bool:
        """Count one turn, unless there were too many."""
        now = time.monotonic()
        if len(self._asked) > 1000:
            self._asked = {key: turns for key, turns in self._asked.items() if turns[-1] > now - self._within}
        turns = self._asked.setdefault(thread, deque())
        while turns and turns[0] < now - self._within:
            turns.popleft()
        if len(turns) >= self._most:
            return False
        turns.append(now)
        return True


def register(app: AsyncApp, services: Services) -> None:
    """The same message may arrive as app_mention and as message; the inbox lets one of them through."""
    turns = Turns()

    @app.event("app_mention")
    async def on_mention(body: Payload) -> None:
        event = body["event"]
        if not event.get("bot_id"):
            services.do(str(event["channel"]), str(event["ts"]), body, lambda: _mentioned(services, turns, body))

    @app.event("message")
    async def on_message(body: Payload) -> None:
        event = body["event"]
        services.do(str(event["channel"]), _ts(event), body, lambda: _message(services, turns, body))

    @app.shortcut("diagnose_message")
    async def on_shortcut(ack: AsyncAck, body: Payload) -> None:
        await ack()
        services.do(key_of(body), "", body, lambda: _shortcut(services, body))


def _ts(event: Mapping[str, Any]) -> str:
    return str(event.get("ts") or event.get("event_ts") or "")


async def _message(services: Services, turns: Turns, body: Payload) -> None:
    """A message in a channel: an alert, a mention that came by this way, a follow-up, or nothing to us."""
    event = body["event"]
    if event.get("bot_id") or event.get("subtype") in ("bot_message", "message_changed", "message_deleted"):
        await alerts.on_message(services, event)
        return
    if event.get("subtype") not in (None, "file_share", "thread_broadcast"):
        return
    text = str(event.get("text") or "")
    if f"<@{services.identity.bot_user_id}" in text or event.get("channel_type") == "im":
        await _mentioned(services, turns, body)
    elif event.get("thread_ts") and not _SOMEBODY.search(text):
        known = await services.journal.incident_at(str(event["channel"]), str(event["thread_ts"]))
        if known:
            await _ask(services, turns, body, text, Origin.THREAD)


async def _mentioned(services: Services, turns: Turns, body: Payload) -> None:
    event = body["event"]
    text = re.sub(rf"<@{services.identity.bot_user_id}(\|[^>]*)?>", "", str(event.get("text") or "")).strip()
    if not text:
        await services.tell(body, _EMPTY)
        return
    await _ask(services, turns, body, text, Origin.THREAD if event.get("thread_ts") else Origin.MENTION)


async def _ask(services: Services, turns: Turns, body: Payload, text: str, origin: Origin) -> None:
    event = body["event"]
    user = str(event.get("user") or "")
    await check_member(services, user)
    thread_ts = str(event.get("thread_ts") or event["ts"])
    channel = str(event["channel"])
    if not turns.allow(f"{channel}:{thread_ts}"):
        await services.tell(body, "This thread has asked a lot in the last hour. I go on answering later.")
        return
    question = Question(services.redact(text[:_LONGEST]), user, channel, origin, thread_ts, key=also_of(body))
    services.work.submit(f"status:{channel}:{thread_ts}", "", lambda: _busy(services, channel, thread_ts))
    receipt = await services.plane.ask(question)
    if receipt.why:
        await services.tell(body, receipt.why)


async def _busy(services: Services, channel: str, thread_ts: str) -> None:
    """The status line below the thread, at once; Slack takes it away when something is said. Best effort."""
    try:
        await services.client.assistant_threads_setStatus(
            channel_id=channel, thread_ts=thread_ts, status="is looking into it …"
        )
    except FAILURES as error:
        log.debug("no status line: %s", code_of(error))


async def _shortcut(services: Services, body: Payload) -> None:
    """Diagnose a message, in its thread where the agent is in the channel, else where incidents open."""
    message = body["message"]
    user, here, _ = where(body)
    await check_member(services, user)
    channel = await writable(services, here)
    thread_ts = str(message.get("thread_ts") or message["ts"]) if channel == here else ""
    text = services.redact("\n".join(alerts.words(message))[:_LONGEST])
    if not text.strip():
        await services.respond(
            body, Body("There is no text in that message.", (kit.section("There is no text in it."),))
        )
        return
    question = Question(text, user, channel, Origin.SHORTCUT, thread_ts, key=key_of(body))
    receipt = await services.plane.ask(question)
    if channel != here:
        link = await permalink(services, receipt)
        place = f"<{link}|this thread>" if link else kit.room(channel)
        said = f"🔍 I am not in this channel, so the answer comes in {place}. Use `/invite` to have me here."
        await services.respond(body, Body("The answer comes in another channel.", (kit.section(said),)))
    if receipt.why:
        await services.tell(body, receipt.why)
