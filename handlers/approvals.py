"""The buttons of the cards: approve, deny, edit, why, undo.

A click carries an approval's id and the digest that the person saw. Who clicked is what Slack vouches for; whether
they may is the control plane's question, as is whether this is still the card that was recorded.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from domain.decisions import Approval, ApprovalRequest, ApprovalState, Verdict, Vote, open_items
from domain.errors import AgentError, BadInput
from handlers import dialogs, kit
from handlers.cards_approval import word_of
from handlers.kit import Block, Body
from handlers.payloads import actor, key_of, where
from handlers.services import Services
from handlers.slack_errors import FAILURES, code_of

_EDIT_PATIENCE_S = 2.0  # Slack shows an error in the dialog only when it hears of it within three seconds
Payload = dict[str, Any]


def register(app: AsyncApp, services: Services) -> None:
    """Every listener acknowledges first."""

    @app.action(re.compile(r"^approval\.(approve|deny|withdraw|edit|why|undo)$"))
    async def on_button(ack: AsyncAck, body: Payload) -> None:
        await ack()
        action = body["actions"][0]
        verb = str(action["action_id"]).partition(".")[2]
        lane = f"click:{action.get('action_ts')}:{where(body)[0]}"
        services.do(lane, "", body, lambda: _VERBS[verb](services, body), urgent=verb != "why")

    @app.view("approval.reason")
    async def on_reason(ack: AsyncAck, body: Payload) -> None:
        await ack()
        services.do(f"view:{body['view']['id']}", "", body, lambda: _vote_with_reason(services, body), urgent=True)

    @app.view("approval.edit")
    async def on_edit(ack: AsyncAck, body: Payload) -> None:
        await _edited(services, ack, body)


def _clicked(body: Payload) -> tuple[str, str]:
    """The approval's id and the digest, from the button's value."""
    approval_id, _, digest = str(body["actions"][0].get("value") or "").partition(" ")
    return approval_id, digest


async def _request(services: Services, approval_id: str) -> Approval:
    approval = await services.journal.approval(approval_id)
    if approval is not None:
        return approval
    items = await services.journal.of_batch(approval_id)
    if not items:
        raise BadInput("This card is not known here any more.")
    return (open_items(items) or items)[0]  # of several on one card, the first that can be decided stands for all


async def _approve(services: Services, body: Payload) -> None:
    approval_id, digest = _clicked(body)
    approval = await _request(services, approval_id)
    if approval.request.terms.reason == "always" and approval.state is ApprovalState.PENDING:
        await _ask_reason(services, body, approval.request, Verdict.APPROVE, digest)
        return
    await _cast(services, body, approval_id, Verdict.APPROVE, digest, _message_ts(body))


async def _deny(services: Services, body: Payload) -> None:
    approval_id, digest = _clicked(body)
    approval = await _request(services, approval_id)
    open_to_it = approval.state in (ApprovalState.PENDING, ApprovalState.APPROVED)
    if approval.request.terms.reason == "never" or not open_to_it:
        await _cast(services, body, approval_id, Verdict.DENY, digest, _message_ts(body))
        return
    await _ask_reason(services, body, approval.request, Verdict.DENY, digest)


async def _withdraw(services: Services, body: Payload) -> None:
    approval_id, digest = _clicked(body)
    await _cast(services, body, approval_id, Verdict.WITHDRAW, digest, _message_ts(body))


async def _ask_reason(
    services: Services, body: Payload, request: ApprovalRequest, verdict: Verdict, digest: str
) -> None:
    view = dialogs.reason(request, verdict, digest, where(body)[1], _message_ts(body))
    await _open(services, body, view)


async def _open(services: Services, body: Payload, view: Block) -> None:
    user, channel, _ = where(body)
    await services.shown("dialog", user, channel, view)
    try:
        await services.client.views_open(trigger_id=str(body.get("trigger_id") or ""), view=view)
    except FAILURES as error:
        raise BadInput(f"The dialog could not be opened ({code_of(error)}). Please click again.") from error


async def _cast(
    services: Services, body: Payload, approval_id: str, verdict: Verdict, digest: str, ts: str, **more: str
) -> None:
    person = actor(body)
    vote = Vote(person.id, verdict, datetime.now(UTC), more.get("reason", ""), digest, person.name)
    channel = more.get("channel") or where(body)[1]
    await services.plane.vote(approval_id, vote, channel=channel, message_ts=ts)


async def _vote_with_reason(services: Services, body: Payload) -> None:
    known = _metadata(body)
    reason = _typed(body, dialogs.REASON)
    body["channel"] = {"id": known["channel"]}  # a submission has none of its own; this one is ours
    await _cast(
        services,
        body,
        known["approval"],
        Verdict(known["verdict"]),
        known["digest"],
        known["ts"],
        reason=services.redact(reason),
        channel=known["channel"],
    )


async def _open_edit(services: Services, body: Payload) -> None:
    approval = await _request(services, _clicked(body)[0])
    if approval.state is not ApprovalState.PENDING:
        raise BadInput(f"This cannot be edited any more: {word_of(approval)}.")
    await _open(services, body, dialogs.edit(approval.request, where(body)[1], where(body)[2]))


async def _edited(services: Services, ack: AsyncAck, body: Payload) -> None:
    """Propose what was typed; what is wrong with it is shown in the dialog if it is known in time."""
    known = _metadata(body)
    body["channel"] = {"id": known["channel"]}
    body["container"] = {"thread_ts": known["thread_ts"]}
    values = body["view"]["state"]["values"]
    work = asyncio.create_task(_propose(services, known["approval"], where(body)[0], values))
    try:
        await asyncio.wait_for(asyncio.shield(work), _EDIT_PATIENCE_S)
    except BadInput as error:
        await ack(response_action="errors", errors={_field(error, values): kit.line(str(error), 300)})
    except TimeoutError:
        await ack()
        services.do(f"view:{body['view']['id']}", "", body, lambda: _finish(work))
        return
    except AgentError as error:
        await ack()
        await services.tell(body, str(error))
    else:
        await ack()
    await services.handled(key_of(body))


async def _finish(work: asyncio.Task[None]) -> None:
    await work


async def _propose(services: Services, approval_id: str, user: str, values: Mapping[str, Any]) -> None:
    approval = await _request(services, approval_id)
    arguments = dialogs.edited(approval.request.action.arguments, values)
    await services.plane.propose_edit(approval_id, user, arguments)


def _field(error: BadInput, values: Mapping[str, Any]) -> str:
    """The block that an error belongs to; the first one where it names none that is there."""
    for name in (error.field, dialogs.ARGUMENT + error.field.partition(".")[0]):
        if name in values:
            return name
    return next(iter(values), "")


async def _why(services: Services, body: Payload) -> None:
    await services.tell(body, explained(await services.plane.why(_clicked(body)[0])))


def explained(text: str) -> Body:
    """The gate's explanation, literally."""
    return Body(kit.safe(text, 200), (kit.preformatted(text, 10_000),))


async def _undo(services: Services, body: Payload) -> None:
    await services.plane.propose_undo(_clicked(body)[0], where(body)[0])


def _metadata(body: Payload) -> dict[str, str]:
    known: dict[str, str] = json.loads(body["view"].get("private_metadata") or "{}")
    return known


def _typed(body: Payload, block_id: str) -> str:
    values = body["view"]["state"]["values"]
    return str(((values.get(block_id) or {}).get("value") or {}).get("value") or "").strip()


def _message_ts(body: Payload) -> str:
    return str((body.get("container") or {}).get("message_ts") or "")


_VERBS = {
    "approve": _approve,
    "deny": _deny,
    "withdraw": _withdraw,
    "edit": _open_edit,
    "why": _why,
    "undo": _undo,
}
