"""Lent authority in Slack: /agent break-glass and its review, /agent delegate."""

from __future__ import annotations

import json
import re
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from domain.errors import BadInput
from handlers import cards_authority, kit
from handlers.kit import Body
from handlers.payloads import where
from handlers.services import Services
from handlers.slack_errors import FAILURES, code_of

Payload = dict[str, Any]
_PERSON = re.compile(r"<@([UW][A-Z0-9]{2,})(?:\|[^>]*)?>")
_TIME = re.compile(r"(\d{1,3})\s*([hd])")


def register(app: AsyncApp, services: Services) -> None:
    """The review button of a break-glass notice and its dialog."""

    @app.action("break_glass.review")
    async def on_review(ack: AsyncAck, body: Payload) -> None:
        await ack()
        services.do(
            f"click:{body['actions'][0].get('action_ts')}:{where(body)[0]}", "", body, lambda: _ask(services, body)
        )

    @app.view("break_glass.review")
    async def on_reviewed(ack: AsyncAck, body: Payload) -> None:
        await ack()
        services.do(f"view:{body['view']['id']}", "", body, lambda: _reviewed(services, body))


async def break_glass(services: Services, body: Payload, rest: str) -> Body:
    """/agent break-glass <incident> <minutes> <reason>. Raises BadInput, NotAllowed."""
    incident, minutes, reason = (*rest.split(maxsplit=2), "", "", "")[:3]
    number = minutes.lower().removesuffix("minutes").removesuffix("min").removesuffix("m")
    if not incident or not number.isdecimal() or not reason:
        raise BadInput("Say /agent break-glass <incident> <minutes> <reason>; the reason is public.")
    glass = await services.plane.break_glass(incident, where(body)[0], int(number[:6]), services.redact(reason))
    said = f"Break-glass {glass.id}: until {kit.utc(glass.until)} your own approve suffices for {incident}."
    return _said(f"{said} Everybody can see it, and somebody else has to review it.")


async def delegate(services: Services, body: Payload, rest: str) -> Body:
    """/agent delegate @person 8h, or off. Raises BadInput, NotAllowed."""
    user = where(body)[0]
    if rest.strip().lower() == "off":
        await services.plane.end_delegation(user)
        return _said("You vote for yourself again.")
    person, _, time = rest.strip().partition(" ")
    named, hours = _PERSON.fullmatch(person), _TIME.fullmatch(time.strip().lower())
    if not named or not hours:
        raise BadInput("Say /agent delegate @person 8h (or 2d), or /agent delegate off.")
    delegation = await services.plane.delegate(user, named[1], int(hours[1]) * (24 if hours[2] == "d" else 1))
    return _said(
        f"{delegation.to_name} may vote in your place until {kit.utc(delegation.until)}. Every such vote shows both names;"
        " /agent delegate off ends it."
    )


async def _ask(services: Services, body: Payload) -> None:
    user, channel, _ = where(body)
    view = cards_authority.review(str(body["actions"][0].get("value") or ""), channel)
    await services.shown("dialog", user, channel, view)
    try:
        await services.client.views_open(trigger_id=str(body.get("trigger_id") or ""), view=view)
    except FAILURES as error:
        raise BadInput(f"The dialog could not be opened ({code_of(error)}). Please click again.") from error


async def _reviewed(services: Services, body: Payload) -> None:
    known = json.loads(body["view"].get("private_metadata") or "{}")
    body["channel"] = {"id": known["channel"]}  # a submission has none of its own; this one is ours
    typed = (body["view"]["state"]["values"].get(cards_authority.COMMENT) or {}).get("value") or {}
    await services.plane.review(known["glass"], where(body)[0], services.redact(str(typed.get("value") or "")))


def _said(text: str) -> Body:
    return Body(kit.safe(text), (kit.paragraph(kit.span(text, 2900)),))
