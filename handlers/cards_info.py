"""What commands answer: help, status, incidents, runs. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from domain.actions import Mode
from domain.alerts import Incident, Severity
from domain.decisions import Approval
from domain.plane import Status
from domain.ports import RunRow
from handlers import kit
from handlers.blocks import escape
from handlers.cards_approval import title_of, word_of
from handlers.kit import Block, Body

COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("help", "", "this list"),
    ("diagnose", "<text or alert link>", "look into something; the answer comes in a thread"),
    ("status", "", "mode, model, policy, what is open and what waits"),
    ("incidents", "", "the latest incidents"),
    ("runs", "", "the latest runs"),
    ("why", "<action>", "why an action was decided as it was: rules, facts, votes"),
    ("policy", "<tool> <arguments>", "what policy would say of an action now; nothing is proposed"),
    ("roi", "[7d]", "what the work cost and saved"),
    ("scan", "[namespace]", "look for configuration that will hurt, or costs more than it has to"),
    ("pause", "[reason]", "no new runs and no executions, approved ones included"),
    ("resume", "", "go on"),
    ("undo", "<run or approval>", "propose to take a change back; it passes policy like any other"),
    ("reset", "<tool|agent>", "close a circuit breaker after you looked at what failed"),
    ("restore", "<tool> <environment>", "let policy decide again what a revert took back"),
    (
        "maintenance",
        "<namespace> <2h> [reason]",
        "announced work: its alerts open nothing until then; end <id> ends it",
    ),
    ("mode", "<observe|propose|act>", "how far the agent may go"),
    ("break-glass", "<incident> <minutes> <reason>", "approve alone in an emergency: public, and reviewed afterwards"),
    ("delegate", "<@person 8h|off>", "let somebody else vote in your place for a while"),
    ("whoami", "", "who you are to the agent, and whether you may approve"),
)
_MODES = {
    Mode.OBSERVE: "*observe*: it records what it would have asked, and can never execute",
    Mode.PROPOSE: "*propose*: every change asks a person",
    Mode.ACT: "*act*: policy decides what asks",
}
LIGHTS = {Severity.CRITICAL: "🔴", Severity.WARNING: "🟡", Severity.INFO: "🔵"}
_MOST = 12


def help_text(note: str = "") -> Body:
    """Every command on one line each."""
    rows = [f"`/agent {escape(' '.join(filter(None, (name, usage))))}`  {what}" for name, usage, what in COMMANDS]
    also = (
        "Mention me with a question, reply in an incident's thread, or use *Diagnose with agent* in a message's menu."
    )
    lead = (kit.context(f"⚠️ {kit.safe(note)}"),) if note else ()
    text = note or "What I can do: " + ", ".join(name for name, _, _ in COMMANDS)
    return Body(kit.safe(text), (*lead, kit.section("\n".join(rows)), kit.context(also)))


def status(now: Status) -> Body:
    """Where things stand."""
    paused = f"⏸️ *Paused*: {kit.safe(now.paused, 200)}. " if now.paused else ""
    rows = [
        ("Mode", f"{paused}{_MODES[now.mode]}"),
        ("Model", kit.code(now.model, 60)),
        ("Policy", kit.code(now.policy_hash[:12] or "none", 20)),
        ("Now", f"{len(now.open_incidents)} open, {len(now.pending)} waiting for a vote, {len(now.running)} running"),
    ]
    blocks = [kit.fields(rows), *_policy_problems(now), *_brakes(now), *_quiet(now)]
    text = f"{'Paused. ' if now.paused else ''}Mode {now.mode}; {kit.plural(len(now.open_incidents), 'open incident')}"
    return Body(text, kit.within([*blocks, *_waiting(now.pending), *_incident_rows(now.open_incidents)]))


def _policy_problems(now: Status) -> Iterator[Block]:
    if now.policy_problems:
        yield kit.context("⚠️ *The newest policy was refused; the last good one is in force.*")
        yield kit.listed(now.policy_problems[:5], limit=300)


def _brakes(now: Status) -> Iterator[Block]:
    if now.brakes:
        yield kit.context("🛑 *Brakes that are on*")
        yield kit.listed(now.brakes[:8], limit=400)


def _quiet(now: Status) -> Iterator[Block]:
    for window in now.maintenance[:_MOST]:
        why = f": {kit.safe(window.reason, 200)}" if window.reason else ""
        until = kit.when(window.until, "{time}")
        yield kit.context(
            f"🔧 *Maintenance* of {kit.code(window.namespace, 60)} until {until}, by {kit.safe(window.by, 60)}{why} "
            f"({kit.code(window.id, 40)})"
        )
    if now.held:
        yield kit.context(f"🔁 {kit.plural(now.held, 'alert')} held back; what still fires then opens an incident")


def _waiting(pending: Sequence[Approval]) -> Iterator[Block]:
    for approval in pending[:_MOST]:
        request = approval.request
        what = f"⏳ *{kit.safe(title_of(request.action), 120)}* in {kit.code(str(request.action.target), 100)}"
        yield kit.section(f"{what}\n{word_of(approval)}, expires {kit.when(request.expires_at, '{time}')}")
    if len(pending) > _MOST:
        yield kit.context(f"and {len(pending) - _MOST} more")


def incidents(found: Sequence[Incident]) -> Body:
    """The latest incidents, open ones first."""
    if not found:
        return Body("No incidents.", (kit.section("No incidents."),))
    ordered = sorted(found, key=lambda one: not one.open)
    text = f"{kit.plural(sum(one.open for one in found), 'open incident')}, {len(found)} shown"
    return Body(text, kit.within(_incident_rows(ordered)))


def _incident_rows(found: Sequence[Incident]) -> Iterator[Block]:
    for one in found[:_MOST]:
        light = LIGHTS[one.severity] if one.open else "✅"
        where = f" in {kit.room(one.channel)}" if one.channel else ""
        state = f"open since {kit.when(one.opened_at)}"
        if one.resolved_at:
            state = f"Resolved {kit.when(one.resolved_at)}"
        title = f"{light} *{kit.safe(one.title, 160)}*"
        yield kit.section(f"{title}\n{kit.code(str(one.target), 100)} {state}{where}, {kit.code(one.id, 60)}")
    if len(found) > _MOST:
        yield kit.context(f"and {len(found) - _MOST} more")


def runs(found: Sequence[RunRow]) -> Body:
    """The latest runs, newest first."""
    if not found:
        return Body("No runs yet.", (kit.section("No runs yet."),))
    return Body(f"{kit.plural(len(found), 'run')}", (kit.section("\n".join(map(_run_row, found[:_MOST]))),))


def _run_row(row: RunRow) -> str:
    how = str(row.outcome or row.status).replace("_", " ")
    what = kit.safe(row.spec.question or str(row.spec.target), 80)
    return f"{kit.code(row.spec.id, 40)} {how}, {what}, {kit.when(row.started_at)}"


def status_lines(now: Status) -> Iterator[Block]:
    """The mode, and what is not as it should be."""
    paused = f"⏸️ *Paused*: {kit.safe(now.paused, 200)}. " if now.paused else ""
    yield kit.context(f"{paused}{_MODES[now.mode]}. Model {kit.code(now.model, 60)}.")
    yield from _policy_problems(now)
    yield from _brakes(now)
