"""The approval card in every state. Pure; an on-call engineer at 3 am reads it in five seconds.

Top to bottom: what, where, how much, until when; then the exact change, literally; then why; then the buttons.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from domain.actions import Action, Effect, phrase
from domain.decisions import (
    Approval,
    ApprovalRequest,
    ApprovalState,
    ApprovalTerms,
    Check,
    Execution,
    ExecutionOutcome,
    Verdict,
    Vote,
)
from handlers import kit
from handlers.kit import Block, Body

EFFECTS = {Effect.READ: "🔵 Read", Effect.WRITE: "🟡 Change", Effect.DESTRUCTIVE: "🔴 Destructive"}
_ARGUMENTS, _DIFF = 4500, 3500  # characters; a message holds 13,200 altogether


def title_of(action: Action) -> str:
    """The action in three words: roll back checkout."""
    return kit.line(phrase(action), 110)


def approval(approval: Approval) -> Body:
    """The card, in whatever state the approval is."""
    request = approval.request
    word = word_of(approval)
    name = title_of(request.action)
    place = f"{kit.safe(str(request.action.target), 120)}, {kit.safe(request.action.target.environment, 40)}"
    until = f". Expires {kit.utc(request.expires_at)}." if word == "Approval needed" else ""
    return Body(f"{word}: {kit.safe(name, 120)} ({place}){until}", tuple(_card(approval, word, name)))


def call_to(approval: Approval, mentions: Sequence[str], *, escalated: bool) -> Body:
    """What calls people to a request that waits. The mentions are Slack's own words for them, and are meant to notify."""
    request = approval.request
    more = " and others like it" if request.batch else ""
    name, until = kit.safe(title_of(request.action), 120) + more, kit.when(request.expires_at, "{time}")
    who = " ".join(mentions[:20]) or "Nobody is in the group that could decide"
    said = "nobody has decided yet, and you may decide now as well" if escalated else "this still waits for a decision"
    text = f"{'⏫' if escalated else '🔔'} {who}: {said}: *{name}* on {kit.code(str(request.action.target), 120)}."
    ending = f"Without one it expires {until} and nothing is executed."
    return Body(f"{said[:1].upper()}{said[1:]}: {name}", (kit.section(f"{text} {ending}"),))


def word_of(approval: Approval) -> str:
    """The one word that says where things stand, the same everywhere."""
    execution = approval.execution
    if execution:
        return execution_word(execution)
    if approval.request.observe_only and approval.state is ApprovalState.PENDING:
        return "Would ask"
    return {
        ApprovalState.PENDING: "Approval needed",
        ApprovalState.APPROVED: "Approved",
        ApprovalState.CONSUMED: "Executing",
        ApprovalState.DENIED: "Denied",
        ApprovalState.EXPIRED: "Expired",
        ApprovalState.CANCELLED: "Cancelled",
        ApprovalState.SUPERSEDED: "Superseded",
    }[approval.state]


def execution_word(execution: Execution) -> str:
    """Executing, Executed, Verified, Failed or Unknown."""
    if execution.outcome is None:
        return "Executing"
    if execution.outcome is ExecutionOutcome.SUCCEEDED:
        return {None: "Executed", True: "Verified", False: "Failed"}[execution.verified]
    return "Failed" if execution.outcome is ExecutionOutcome.FAILED else "Unknown"


def _card(approval: Approval, word: str, name: str) -> Iterator[Block]:
    request, pending = approval.request, approval.state is ApprovalState.PENDING
    yield kit.header(f"{word}: {name}")
    if not pending:
        yield from _ending(approval)
    if request.observe_only:
        yield kit.context("👀 *Observe mode.* This is a record of what would have been asked. It cannot execute.")
    if pending:
        yield kit.fields(list(_facts(request)))
        if request.action.why:
            yield kit.paragraph(kit.span(request.action.why, 600))
    yield from _exact(request.action, with_diff=pending)
    if _can_undo(approval):
        yield from _undo(approval.execution)
    yield kit.context(*_small_print(approval))
    if pending:
        yield _buttons(approval)
    elif approval.state is ApprovalState.APPROVED:
        yield kit.actions(_withdraw_button(request), _deny_button(request), _why_button(request))
    elif _can_undo(approval):
        yield kit.actions(undo_button(request), _why_button(request))


def _facts(request: ApprovalRequest) -> Iterator[tuple[str, str]]:
    action = request.action
    yield "Target", f"{kit.code(str(action.target), 120)} {kit.safe(action.target.environment, 40)}"
    yield "Effect", EFFECTS[action.effect]
    yield "Touches", _touches(action)
    yield "Expires", kit.when(request.expires_at, "{time}")


_THINGS = {"kubernetes": "pod", "jenkins": "build", "gitlab": "job"}
_THINGS_OF = {"gitlab_open_merge_request": "file"}


def _touches(action: Action) -> str:
    if action.touches:
        thing = "thing" if action.target.kind in ("", "Pod") else "object"
        thing = _THINGS_OF.get(action.tool) or _THINGS.get(action.target.system, thing)
        return kit.plural(action.touches, thing)
    return "not known"


def _exact(action: Action, *, with_diff: bool) -> Iterator[Block]:
    """The exact call, then the dry run's result; both literal."""
    call = f"{kit.line(action.tool, 80)}\n{kit.json_lines(action.arguments)}"
    shown = f"{kit.line(action.tool, 80)}\n{kit.json_lines(action.arguments, _ARGUMENTS - 100)}"
    yield kit.preformatted(shown, _ARGUMENTS)
    if len(call) > _ARGUMENTS or shown != call:
        yield kit.context("⚠️ *Not all of the arguments fit here.* Read them with Why? before you approve.")
    if with_diff and action.diff:
        yield kit.preformatted(action.diff, _DIFF)


def _small_print(approval: Approval) -> Iterator[str]:
    """Why it asks, who asked, who may answer, and what the answer binds."""
    request, decision = approval.request, approval.request.decision
    if approval.state is not ApprovalState.PENDING:
        yield f"{kit.code(str(request.action.target), 120)} {kit.safe(request.action.target.environment, 40)}"
    rule = kit.code(decision.rule, 80) if decision.rule else "no rule"
    yield f"Rule {rule}: {kit.safe(decision.reason or 'a person must say yes', 240)}"
    yield f"Asked by {kit.person(request.requester) if request.requester else 'the agent'}" + (
        f", edited by {kit.person(request.editor)}" if request.editor else ""
    )
    if approval.state is ApprovalState.PENDING and not request.observe_only:
        yield needed(approval)
        if approval.escalated_at:
            more = ", ".join(kit.safe(group, 60) for group in request.terms.escalate_to)
            yield f"⏫ *Escalated* {kit.when(approval.escalated_at, '{time}')}: {more} may decide as well"
        elif approval.reminded_at:
            yield f"🔔 Reminded {kit.when(approval.reminded_at, '{time}')}"
    for warning in decision.warnings[:3]:
        yield f"⚠️ {kit.safe(warning, 240)}"
    if request.note:
        yield kit.safe(request.note, 240)
    yield f"Request {kit.code(request.id, 60)}, digest {kit.code(request.digest[:12])}"


def needed(approval: Approval) -> str:
    """How many of whom have to approve, and who has."""
    terms = approval.request.terms
    who = ", ".join(kit.safe(group, 60) for group in approval.groups) or "nobody: the policy names no group"
    given = ", ".join(map(_voter, approval.approvers))
    so_far = f" ({len(approval.approvers)} so far: {given})" if given else ""
    window = f"; once approved it waits until {_window(terms)} is open" if terms.window else ""
    return f"Needs {terms.quorum} of {who}{so_far}{window}"


def _window(terms: ApprovalTerms) -> str:
    return " and ".join(kit.safe(name, 60) for name in terms.window)


def _buttons(approval: Approval) -> Block:
    request = approval.request
    if request.observe_only:
        return kit.actions(_why_button(request))
    name, action = title_of(request.action), request.action
    asks = kit.confirm(
        f"{name[:1].upper()}{name[1:]}?"[:100],
        f"{action.target} ({action.target.environment}), touches {_touches(action)}. {_when_it_runs(request)}",
        "Approve",
        "Not yet",
        danger=action.effect is Effect.DESTRUCTIVE,
    )
    value = value_of(request)
    return kit.actions(
        kit.button("Approve", "approval.approve", value, style="primary", confirm=asks),
        _deny_button(request),
        *([_withdraw_button(request)] if approval.approvers else []),
        kit.button("Edit…", "approval.edit", value),
        _why_button(request),
    )


def _when_it_runs(request: ApprovalRequest) -> str:
    if request.terms.quorum > 1:
        return f"It runs as soon as {request.terms.quorum} people have approved."
    if request.terms.window:
        return f"It runs as soon as {_window(request.terms)} is open."
    return "It runs as soon as you approve."


def value_of(request: ApprovalRequest) -> str:
    """What a button carries: which request, and the digest that the person sees. Never the command."""
    return f"{request.id} {request.digest}"


def _why_button(request: ApprovalRequest) -> Block:
    return kit.button("Why?", "approval.why", value_of(request))


def _deny_button(request: ApprovalRequest) -> Block:
    return kit.button("Deny", "approval.deny", value_of(request), style="danger")


def _withdraw_button(request: ApprovalRequest) -> Block:
    return kit.button("Take back", "approval.withdraw", value_of(request))


def undo_button(request: ApprovalRequest, label: str = "Propose undo") -> Block:
    """Proposes the stored undo of this request's execution."""
    return kit.button(label, "approval.undo", value_of(request))


def _can_undo(approval: Approval) -> bool:
    execution = approval.execution
    return bool(execution and execution.undo and word_of(approval) in ("Failed", "Unknown"))


# --- how it ended -----------------------------------------------------------------------------------------------------


def _ending(approval: Approval) -> Iterator[Block]:
    yield kit.context(*who_decided(approval))
    if approval.execution:
        yield from _result(approval.execution)


def who_decided(approval: Approval) -> Iterator[str]:
    """Who decided and when, with the reasons; a line each."""
    at = f" {kit.when(approval.closed_at)}" if approval.closed_at else ""
    if approval.approvers and approval.state in (ApprovalState.APPROVED, ApprovalState.CONSUMED):
        names = ", ".join(map(_voter, approval.approvers))
        yield f"✅ *Approved* by {names} {kit.when(approval.approvers[-1].at)}"
        for vote in approval.approvers:
            if vote.reason:
                yield f"“{kit.safe(vote.reason, 400)}”"
    elif approval.state in (ApprovalState.APPROVED, ApprovalState.CONSUMED):
        yield "✅ *Allowed* by policy"
    elif approval.state is ApprovalState.DENIED:
        reason = f": “{kit.safe(approval.closed_reason, 400)}”" if approval.closed_reason else ""
        denied = [vote for vote in approval.votes if vote.verdict is Verdict.DENY]
        whose = _voter(denied[-1]) if denied else _named(approval.closed_by) or "a person"
        yield f"⛔ *Denied* by {whose}{at}{reason}"
    elif approval.state is ApprovalState.EXPIRED:
        yield f"⌛ *Expired* {kit.when(approval.closed_at or approval.request.expires_at)}. Nothing was executed."
    else:
        by = f" by {_named(approval.closed_by)}" if approval.closed_by else ""
        why = f": {kit.safe(approval.closed_reason, 400)}" if approval.closed_reason else ""
        yield f"*{approval.state.value.capitalize()}*{by}{at}{why}. Nothing was executed."


def _named(name: str) -> str:
    """A display name, which anybody may choose: never a mention, whatever it looks like."""
    return kit.code(name, 80) if name else ""


def _voter(vote: Vote) -> str:
    """Who approved, and on what authority where it was not simply their own."""
    behalf = f" for {kit.person(vote.on_behalf_of)}" if vote.on_behalf_of else ""
    glass = f" 🧯 *alone, under break-glass* {kit.code(vote.break_glass, 60)}" if vote.break_glass else ""
    return f"{kit.person(vote.user)}{behalf}{glass}"


def _result(execution: Execution) -> Iterator[Block]:
    word = execution_word(execution)
    said = {
        "Executing": "⏳ *Executing* …",
        "Executed": "☑️ *Executed.* Now looking whether it helped.",
        "Verified": "✅ *Verified*",
        "Unknown": "❓ *Unknown*: the call was sent and no answer came. It is probed, not repeated.",
    }.get(word)
    if said is None:
        executed = execution.outcome is ExecutionOutcome.SUCCEEDED
        said = "❌ *Failed*: it was executed, and the checks do not hold." if executed else "❌ *Failed*"
    yield kit.section(said)
    if execution.detail:
        yield kit.paragraph(kit.span(execution.detail, 800))
    if execution.checks:
        yield kit.paragraph(kit.span("\n".join(map(_check, execution.checks[:12])), 2500))


def _undo(execution: Execution | None) -> Iterator[Block]:
    """The call that takes it back, as literal as the call itself."""
    if execution and execution.undo:
        yield kit.context("*The stored undo*")
        call = f"{kit.line(execution.undo.tool, 80)}\n{kit.json_lines(execution.undo.arguments)}"
        yield kit.preformatted(f"{call}\n{execution.undo.note}" if execution.undo.note else call, 1500)


def _check(check: Check) -> str:
    detail = f": {kit.line(check.detail, 180)}" if check.detail else ""
    return f"{'✓' if check.passed else '✗'} {kit.line(check.name, 100)}{detail}"
