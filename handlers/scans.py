"""A scan's findings in Slack: propose the change, or snooze it with an owner."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from domain.errors import BadInput
from handlers import cards_scan, kit
from handlers.kit import Body
from handlers.payloads import where
from handlers.services import Services
from handlers.slack_errors import FAILURES, code_of

Payload = dict[str, Any]


def register(app: AsyncApp, services: Services) -> None:
    """Every listener acknowledges first."""

    @app.action("scan.finding")
    async def on_finding(ack: AsyncAck, body: Payload) -> None:
        await ack()
        at = str(body["actions"][0].get("action_ts") or "")
        services.do(f"scan:{where(body)[0]}", at, body, lambda: _chosen(services, body))

    @app.view("scan.snooze")
    async def on_snooze(ack: AsyncAck, body: Payload) -> None:
        await ack()
        services.do(f"view:{body['view']['id']}", "", body, lambda: _snoozed(services, body))


async def _chosen(services: Services, body: Payload) -> None:
    user, channel, _ = where(body)
    value = str((body["actions"][0].get("selected_option") or {}).get("value") or "")
    what, key, *_ = (*value.split(), "", "")
    if what == "propose":
        run_id = await services.plane.propose_finding(key, user)
        said = f"Proposed: the card comes in this message's thread, with run {kit.code(run_id, 60)}."
        await services.tell(body, Body("Proposed.", (kit.section(said),)))
        return
    known = await services.journal.config_finding(key)
    if known is None:
        raise BadInput("The latest scan no longer finds this.")
    view = cards_scan.dialog(known, user, channel, datetime.now(UTC).date())
    await services.shown("dialog", user, channel, view)
    try:
        await services.client.views_open(trigger_id=str(body.get("trigger_id") or ""), view=view)
    except FAILURES as error:
        raise BadInput(f"The dialog could not be opened ({code_of(error)}). Please click again.") from error


async def _snoozed(services: Services, body: Payload) -> None:
    channel = json.loads(body["view"].get("private_metadata") or "{}").get("channel")
    body["channel"] = {"id": channel}  # a submission has none of its own; this one is ours
    key, owner, until, reason = cards_scan.submitted(body["view"])
    known = await services.plane.snooze_finding(key, where(body)[0], owner, until, services.redact(reason))
    said = f"Snoozed until {until:%-d %B %Y}, with {kit.person(known.owner)}."
    await services.tell(body, Body("Snoozed.", (kit.section(said),)))
