"""👍 and 👎 on a diagnosis. 👍 is recorded at once; 👎 asks what was wrong. One word per person and run stands."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from domain.errors import BadInput
from domain.feedback import FeedbackCategory, FeedbackGiven, FeedbackVerdict
from handlers import cards_feedback
from handlers.payloads import key_of, where
from handlers.services import Services
from handlers.slack_errors import FAILURES, code_of

Payload = dict[str, Any]


def register(app: AsyncApp, services: Services) -> None:
    """Every listener acknowledges first."""

    @app.action(re.compile(r"^feedback\.vote(\.positive|\.negative)?$"))  # the longer ones where Slack took no pair
    async def on_vote(ack: AsyncAck, body: Payload) -> None:
        await ack()
        _queue(services, body, lambda: _vote(services, body))

    @app.action("feedback.more")
    async def on_more(ack: AsyncAck, body: Payload) -> None:
        await ack()
        _queue(services, body, lambda: _ask(services, body))

    @app.view("feedback.reason")
    async def on_reason(ack: AsyncAck, body: Payload) -> None:
        word = _word(body)
        if word.category is FeedbackCategory.OTHER and not word.reason:
            await ack(response_action="errors", errors={cards_feedback.REASON: "Please say what was wrong."})
            await services.handled(key_of(body))
            return
        await ack()
        services.do(f"feedback:{word.user}", "", body, lambda: _record(services, body, word))


def _queue(services: Services, body: Payload, job: Any) -> None:
    """One person's clicks in their order."""
    services.do(f"feedback:{where(body)[0]}", str(body["actions"][0].get("action_ts") or ""), body, job)


def _clicked(body: Payload) -> tuple[FeedbackVerdict, str]:
    verdict, _, run_id = str(body["actions"][0].get("value") or "").partition(" ")
    return FeedbackVerdict.BAD if verdict == FeedbackVerdict.BAD else FeedbackVerdict.GOOD, run_id


async def _vote(services: Services, body: Payload) -> None:
    verdict, run_id = _clicked(body)
    if verdict is FeedbackVerdict.BAD:
        await _ask(services, body)
    else:
        await _record(services, body, FeedbackGiven(run_id, where(body)[0], verdict))


async def _ask(services: Services, body: Payload) -> None:
    """Who may not rate hears it now, and not after writing."""
    user, channel, thread_ts = where(body)
    verdict, run_id = _clicked(body)
    await services.plane.may_rate(user)
    said = await services.journal.feedback(run_id, user)
    view = cards_feedback.dialog(run_id, verdict, _about(body), said, channel, thread_ts)
    await services.shown("dialog", user, channel, view)
    try:
        await services.client.views_open(trigger_id=str(body.get("trigger_id") or ""), view=view)
    except FAILURES as error:
        raise BadInput(f"The dialog could not be opened ({code_of(error)}). Please click again.") from error


async def _record(services: Services, body: Payload, word: FeedbackGiven) -> None:
    await services.plane.feedback(word)
    standing = await services.journal.feedback(word.run_id, word.user)
    await services.tell(body, cards_feedback.thanks(standing or word))


def _about(body: Payload) -> str:
    """The heading of the message that was clicked: what was diagnosed. Empty where it has none."""
    for block in (body.get("message") or {}).get("blocks") or ():
        if isinstance(block, Mapping) and block.get("type") == "header":
            return str((block.get("text") or {}).get("text") or "")
    return ""


def _word(body: Payload) -> FeedbackGiven:
    """What was filled in; a submission has no channel of its own, and the one that is put back is ours."""
    known = json.loads(body["view"].get("private_metadata") or "{}")
    body["channel"], body["container"] = {"id": known["channel"]}, {"thread_ts": known["thread_ts"]}
    values = body["view"]["state"]["values"]
    chosen = (values.get(cards_feedback.CATEGORY) or {}).get("value") or {}
    reason = (values.get(cards_feedback.REASON) or {}).get("value") or {}
    category = (chosen.get("selected_option") or {}).get("value")
    return FeedbackGiven(
        str(known["run"]),
        where(body)[0],
        FeedbackVerdict(known["verdict"]),
        FeedbackCategory(category) if category else None,
        str(reason.get("value") or "").strip(),
    )
