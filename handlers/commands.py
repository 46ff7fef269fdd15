"""/agent …: acknowledged at once, answered to the person alone."""

from __future__ import annotations

import difflib
import json
import re
import shlex
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from domain.actions import Mode
from domain.errors import AgentError, BadInput, ChatError, JournalError, NotAllowed
from domain.plane import Question, Receipt
from domain.runs import Origin
from handlers import authority, cards_info, figures, kit
from handlers.approvals import explained
from handlers.chat import progress_key, root_key, settle
from handlers.kit import Body
from handlers.payloads import actor, key_of, where
from handlers.services import Services, failure
from handlers.slack_errors import FAILURES

Payload = dict[str, Any]
_NAMES = [name for name, _, _ in cards_info.COMMANDS]
_PERIOD = re.compile(r"(\d{1,3})\s*([dhw])?")
_LINK_PATIENCE_S = 5.0
_URGENT = frozenset({"pause", "mode", "reset", "restore"})
# they look at the person themselves: a brake works also while Slack is silent
_FOR_ANYBODY = _URGENT | {"resume", "maintenance", "whoami"}


def register(app: AsyncApp, services: Services) -> None:
    """One command with subcommands."""
    ready = {name: settle(said, services.redact) for name in _NAMES if (said := immediate(name))}

    @app.command("/agent")
    async def on_command(ack: AsyncAck, body: Payload) -> None:
        name, rest = parsed(str(body.get("text") or ""))
        settled = ready.get(name) or _unknown(name, services)
        if settled is None:
            await ack()
        else:
            await ack(text=settled.text, blocks=list(settled.blocks), response_type="ephemeral")
        lane = key_of(body)
        services.do(lane, "", body, lambda: _answer(services, body, name, rest, settled), urgent=name in _URGENT)


def parsed(text: str) -> tuple[str, str]:
    """The subcommand in lower case, and the rest as it was typed."""
    name, _, rest = text.strip().partition(" ")
    return name.lower() or "help", rest.strip()


def immediate(name: str) -> Body | None:
    """What can be said within the ack: help, a nearest match, or that the work has begun."""
    if name == "help":
        return cards_info.help_text()
    if name in ("diagnose", "scan"):
        return Body("Looking into it …", (kit.context("🔍 Looking into it …"),))
    if name in _ANSWERS:
        return None
    near = difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    return cards_info.help_text(f"There is no command {kit.line(name, 40)}.{hint}")


def _unknown(name: str, services: Services) -> Body | None:
    at_once = immediate(name)
    return settle(at_once, services.redact) if at_once else None


async def _answer(services: Services, body: Payload, name: str, rest: str, shown: Body | None) -> None:
    if shown:
        user, channel, _ = where(body)
        await services.shown("command", user, channel, {"text": shown.text, "blocks": list(shown.blocks)})
    if name not in _ANSWERS:
        return
    try:
        if name not in _FOR_ANYBODY:
            await check_member(services, where(body)[0])
        said = await _ANSWERS[name](services, body, rest)
    except JournalError:
        raise
    except AgentError as error:
        said = kit_body(str(error))
    except Exception as error:  # noqa: BLE001  # the Slack boundary
        said = kit_body(failure(error))
    if said:
        await services.respond(body, said)


async def check_member(services: Services, user: str) -> None:
    """Logs, runs and diagnoses are for full members. Raises NotAllowed, also where Slack cannot say who it is."""
    try:
        person = await services.directory.person(user)
    except ChatError as error:
        raise NotAllowed(
            "Slack cannot say who you are right now, so I do not answer. Try again in a moment."
        ) from error
    if not person.full_member:
        raise NotAllowed("I answer only full members of this workspace, no guests and nobody from outside.")


def kit_body(text: str) -> Body:
    """A sentence as an answer."""
    return Body(kit.safe(text), (kit.paragraph(kit.span(text, 2900)),))


# --- the subcommands --------------------------------------------------------------------------------------------------


async def _status(services: Services, body: Payload, rest: str) -> Body:
    return cards_info.status(await services.plane.status())


async def _incidents(services: Services, body: Payload, rest: str) -> Body:
    return cards_info.incidents(await services.journal.incidents(limit=20))


async def _runs(services: Services, body: Payload, rest: str) -> Body:
    return cards_info.runs(await services.journal.runs(limit=12))


async def _why(services: Services, body: Payload, rest: str) -> Body:
    if not rest:
        raise BadInput("Say which action: /agent why <the id on the card, or its start>.")
    return explained(await services.plane.why(rest.strip("`")))


async def _policy(services: Services, body: Payload, rest: str) -> Body:
    tool, arguments = action_of(rest)
    return explained(await services.plane.explain(tool, arguments, where(body)[0]))


async def _roi(services: Services, body: Payload, rest: str) -> Body:
    return await figures.roi(services, body, period(rest or "7d"))


async def _diagnose(services: Services, body: Payload, rest: str) -> Body:
    if not rest:
        raise BadInput("Say what to look into: /agent diagnose <text or alert link>.")
    return await _asked(services, body, rest)


async def _scan(services: Services, body: Payload, rest: str) -> Body:
    user, here, _ = where(body)
    channel = await writable(services, here)
    namespace = (rest.split() or [""])[0].strip("`")
    receipt = await services.plane.scan(user, channel, namespace, key_of(body))
    return await _follow(services, receipt, here, channel, "Scanning the configuration.")


async def _asked(services: Services, body: Payload, text: str) -> Body:
    user, here, _ = where(body)
    channel = await writable(services, here)
    question = Question(services.redact(text), user, channel, Origin.COMMAND, key=key_of(body))
    receipt = await services.plane.ask(question)
    if receipt.why:
        await services.tell(body, receipt.why)
    return await _follow(services, receipt, here, channel, "The answer comes in a thread.")


async def _follow(services: Services, receipt: Receipt, here: str, channel: str, said: str) -> Body:
    """Where the answer comes."""
    link = await permalink(services, receipt)
    place = f"<{link}|this thread>" if link else kit.room(channel)
    moved = "" if channel == here else " (I am not in this channel: /invite me to work here.)"
    return Body(said, (kit.section(f"🔍 Follow it in {place}.{moved}"),))


async def _pause(services: Services, body: Payload, rest: str) -> Body:
    await services.plane.pause(actor(body), services.redact(rest) or "no reason given")
    return kit_body("Paused: no new runs and no executions, approved ones included. /agent resume goes on.")


async def _resume(services: Services, body: Payload, rest: str) -> Body:
    await services.plane.resume(actor(body))
    return kit_body("Resumed.")


async def _undo(services: Services, body: Payload, rest: str) -> Body:
    if not rest:
        raise BadInput("Say which: /agent undo <run>, as /agent runs shows it, or the request's id on its card.")
    run_id = await services.plane.propose_undo(rest.strip("`").split()[0], where(body)[0])
    return kit_body(f"Proposed to take it back ({run_id}).")


async def _reset(services: Services, body: Payload, rest: str) -> Body:
    if not rest:
        raise BadInput("Say which: /agent reset <tool>, or /agent reset agent.")
    return kit_body(await services.plane.reset_breaker(actor(body), rest.strip("`").split()[0]))


async def _restore(services: Services, body: Payload, rest: str) -> Body:
    tool, _, environment = rest.replace("`", "").partition(" ")
    if not tool or not environment.strip():
        raise BadInput("Say which: /agent restore <tool> <environment>.")
    return kit_body(await services.plane.restore_autonomy(actor(body), tool, environment.strip()))


async def _maintenance(services: Services, body: Payload, rest: str) -> Body:
    first, _, more = rest.replace("`", "").partition(" ")
    if first == "end" and more.strip():
        ended = await services.plane.end_maintenance(actor(body), more.split()[0])
        return kit_body(f"The maintenance of {ended.namespace} is over. What still fires opens incidents now.")
    span, _, reason = more.strip().partition(" ")
    if not first or not span:
        raise BadInput("Say /agent maintenance <namespace> <2h> [reason], or /agent maintenance end <id>.")
    window = await services.plane.begin_maintenance(
        actor(body), first, minutes_of(span), services.redact(reason.strip())
    )
    return kit_body(f"Until {window.until:%H:%M} UTC, alerts of {window.namespace} open nothing ({window.id}).")


async def _mode(services: Services, body: Payload, rest: str) -> Body:
    names = [mode.value for mode in Mode]
    if rest.lower() not in names:
        raise BadInput(f"The mode is one of {', '.join(names)}.")
    await services.plane.set_mode(actor(body), Mode(rest.lower()))
    return kit_body(f"The mode is {rest.lower()} from here on.")


async def _whoami(services: Services, body: Payload, rest: str) -> Body:
    person = await services.directory.person(where(body)[0])
    kind = "a full member of this workspace." if person.full_member else person.why_not
    said = f"{person.name} ({person.id}): {kind} Which groups may approve a change stands on its card."
    return kit_body(said)


_ANSWERS: dict[str, Callable[[Services, Payload, str], Awaitable[Body]]] = {
    "diagnose": _diagnose,
    "status": _status,
    "incidents": _incidents,
    "runs": _runs,
    "why": _why,
    "policy": _policy,
    "roi": _roi,
    "scan": _scan,
    "pause": _pause,
    "resume": _resume,
    "undo": _undo,
    "reset": _reset,
    "restore": _restore,
    "maintenance": _maintenance,
    "mode": _mode,
    "whoami": _whoami,
    "break-glass": authority.break_glass,
    "delegate": authority.delegate,
}


# --- parsing and places -----------------------------------------------------------------------------------------------


def period(text: str) -> timedelta:
    """7d, 24h, 2w. Raises BadInput."""
    match = _PERIOD.fullmatch(text.strip().lower())
    if not match or int(match[1]) == 0:
        raise BadInput("The period is a number and d, h or w: 7d.", field="period")
    unit = {"d": "days", "h": "hours", "w": "weeks"}[match[2] or "d"]
    return timedelta(**{unit: int(match[1])})


def minutes_of(text: str) -> int:
    """90m, 2h, 45. Raises BadInput."""
    match = re.fullmatch(r"(\d{1,5})([mh]?)", text.strip().lower())
    if match is None:
        raise BadInput("The time is a number and m or h: 90m, 2h.", field="minutes")
    return int(match[1]) * (60 if match[2] == "h" else 1)


def action_of(text: str) -> tuple[str, dict[str, Any]]:
    """A tool and its arguments: `kubernetes_scale {"name": "checkout"}` or `kubernetes_scale name=checkout replicas=3`."""
    tool, _, rest = text.strip().strip("`").partition(" ")
    if not tool:
        raise BadInput('Say which action: /agent policy kubernetes_restart {"namespace": "shop", "name": "checkout"}.')
    rest = rest.strip()
    if rest.startswith("{"):
        try:
            arguments = json.loads(rest.replace("“", '"').replace("”", '"'))
        except (ValueError, RecursionError) as error:
            raise BadInput(f"The arguments are not JSON: {error}", field="arguments") from error
        return tool, arguments
    arguments = {}
    for name, sign, value in (word.partition("=") for word in _words(rest)):
        if not sign or not name:
            raise BadInput(f"Write arguments as name=value: {name or value} is not.", field=name)
        if name in arguments:
            raise BadInput(f"{name} is given twice.", field=name)
        arguments[name] = _value(name, value)
    return tool, arguments


def _words(text: str) -> list[str]:
    """Words as a shell has them: quotes, which phones make round, keep spaces and braces together."""
    for round_quote, quote in (("“", '"'), ("”", '"'), ("‘", "'"), ("’", "'")):
        text = text.replace(round_quote, quote)
    try:
        return shlex.split(text)
    except ValueError as error:
        raise BadInput("A quote is opened and not closed.", field="arguments") from error


def _value(name: str, text: str) -> Any:
    if re.fullmatch(r"-?\d{1,15}", text):
        return int(text)
    if text.startswith(("{", "[")):
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{name} is not JSON: {error}. Put it in single quotes.", field=name) from error
    return {"true": True, "false": False}.get(text, text)


async def writable(services: Services, channel: str) -> str:
    """The channel, where the app is in it and it is not archived; else the one that incidents open in."""
    try:
        info = (await services.client.conversations_info(channel=channel))["channel"]
    except FAILURES:
        return services.channel or channel
    ok = info.get("is_member") and not info.get("is_archived") and not info.get("is_im")
    return channel if ok or not services.channel else services.channel


async def permalink(services: Services, receipt: Receipt) -> str:
    """The address of the message that carries the thread, once Slack has it; empty where that takes too long."""
    key = root_key(receipt.incident_id) if receipt.incident_id else progress_key(receipt.run_id)
    sent = await services.sender.delivered(key, _LINK_PATIENCE_S)
    incident = await services.journal.incident(receipt.incident_id)
    channel = sent.channel if sent else (incident.channel if incident else "")
    ts = sent.ts if sent else (incident.thread_ts if incident else "")
    if not channel or not ts:
        return ""
    try:
        return str((await services.client.chat_getPermalink(channel=channel, message_ts=ts))["permalink"])
    except (*FAILURES, ChatError):
        return ""
