"""The question to people: opening an approval request, and checking again, at execution, all that it bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from bot import metrics
from bot.agent import memory
from bot.agent.step import decide, failed, observe
from bot.agent.world import Journey, World
from domain.actions import Action, Mode, digest
from domain.authority import Authority
from domain.canonical import canonical, digest_of, plain
from domain.decisions import Approval, ApprovalRequest, ApprovalState, Decision, Execution, Outcome, Vote
from domain.errors import ChatError, ToolError
from domain.events import ApprovalClosed, ApprovalRequested, DecisionMade, Event
from domain.ports import Person, WriteTool
from domain.runs import Call, Run
from policies import approvers, budget
from policies.asking import too_many_questions

UNREACHABLE = "the target could not be looked at again: "
MOVED = "the target changed since the card was shown"
OBSERVING = "the agent is in observe mode and cannot execute"
MAX_BATCH = 20
MAX_IN_BATCH = 400
"""Characters of arguments and diff up to which a change can be read as one of up to twenty."""


@dataclass(frozen=True)
class Blocked:
    """Why an approved action does not run. `state` closes the request; None leaves it for a later try."""

    reason: str
    state: ApprovalState | None = None
    again: bool = False


def request_for(
    world: World, run: Run, call: Call, *, supersedes: str = "", editor: str = "", note: str = ""
) -> ApprovalRequest:
    """The question that this call's *ask* opens, bound to what was decided and seen."""
    action, decision = call.action, call.decision
    if action is None or decision is None or decision.terms is None:
        raise ValueError(f"call {call.call.id} was not decided as ask")
    now = world.clock()
    bound = digest(action, decision.policy_hash)
    return ApprovalRequest(
        id="apr-" + digest_of([run.id, call.call.id, bound, supersedes])[:12],
        run_id=run.id,
        incident_id=run.spec.incident_id,
        call_id=call.call.id,
        action=action,
        digest=bound,
        decision=decision,
        terms=decision.terms,
        requested_at=now,
        expires_at=now + timedelta(seconds=decision.terms.expires_s),
        requester=run.spec.requester,
        editor=editor,
        supersedes=supersedes,
        note=note,
        observe_only=bool(decision.observe) or world.mode() is Mode.OBSERVE,
    )


async def ask_all(journey: Journey, calls: Sequence[Call]) -> None:
    """Open a step's requests. Short ones of the same tool, rule, terms and environment share a card, at most 20 of them.

    A run or an incident that asks too much is told so instead.
    """
    incident_id = journey.run.spec.incident_id
    waiting = await journey.world.journal.approvals(pending=True, incident_id=incident_id) if incident_id else ()
    open_cards, kept = len({approval.request.card for approval in waiting}), list[Call]()
    for call in calls:
        others = len({_alike(each) for each in kept} - {_alike(call)})
        refusal = too_many_questions(journey.run, open_cards + others, asking=len(kept))
        if refusal:
            await journey.record(failed(call.call, f"{call.call.tool} was not asked: {refusal}"))
        else:
            kept.append(call)
    cards: dict[Any, list[Call]] = {}
    for call in kept:
        cards.setdefault(_alike(call), []).append(call)
    for alike in cards.values():
        for start in range(0, len(alike), MAX_BATCH):
            await _ask(journey, alike[start : start + MAX_BATCH])


def _alike(call: Call) -> Any:
    """What calls of one card have in common. A change too long to be read among others has a card of its own."""
    action, decision = call.action, call.decision
    if action is None or decision is None or len(canonical(plain(action.arguments))) + len(action.diff) > MAX_IN_BATCH:
        return call.call.id
    return (action.tool, action.target.environment, decision.rule, decision.terms, bool(decision.observe))


async def _ask(journey: Journey, calls: Sequence[Call], *, supersedes: str = "", note: str = "") -> None:
    """Open requests and show their card. Where somebody said no to one before, it says what changed since."""
    ids = [journey.run.id, *(call.call.id for call in calls)]
    batch = "batch-" + digest_of(ids)[:10] if len(calls) > 1 else ""
    events: list[Event] = []
    for call in calls:
        said = note or (await memory.note_on(journey, call.action) if call.action is not None else "")
        request = replace(request_for(journey.world, journey.run, call, supersedes=supersedes, note=said), batch=batch)
        events.append(ApprovalRequested(request))
        if request.observe_only:
            why = request.decision.observe or "observe mode"
            reason = f"this would have been asked. {why}"
            events.append(ApprovalClosed(request.id, ApprovalState.CANCELLED, reason))
    await journey.record(*events)
    await show(journey, calls[0])


async def recheck(journey: Journey, call: Call, tool: WriteTool) -> Blocked | Action:
    """All that an approval rests on, looked at again right before execution.

    Expiry, mode, the target's state, policy on fresh facts, the digest, and that the approvers are still entitled. An intent
    that this call has already is not counted against it.
    """
    approval, world = call.approval, journey.world
    if approval is None:
        raise ValueError("an approval is rechecked only where there is one")
    request = approval.request
    if world.clock() >= request.expires_at:
        return Blocked("it expired before it was executed", ApprovalState.EXPIRED)
    if request.observe_only or world.mode() is Mode.OBSERVE:
        return Blocked(OBSERVING, ApprovalState.CANCELLED)
    if shut := _shut(world, request):  # before anything is asked of the target: the sweep comes back every few seconds
        return Blocked(f"it waits until {' and '.join(shut)} is open")
    try:
        action = await observe(request.action, tool)
    except ToolError as error:
        return Blocked(f"{UNREACHABLE}{error}", ApprovalState.CANCELLED)
    if spent := budget.out_of_actions(journey.run, call.execution):
        metrics.budget_stops.labels("actions").inc()
        return Blocked(spent.rstrip("."), ApprovalState.CANCELLED)
    _, decision = await decide(world, journey.run, action, call.execution)
    if decision.outcome is Outcome.DENY:
        return Blocked(f"policy now denies it: {decision.reason}", ApprovalState.CANCELLED)
    if decision.observe:
        return Blocked(decision.observe, ApprovalState.CANCELLED)
    moved = _moved(request, action, decision)
    if moved:
        return Blocked(moved, ApprovalState.SUPERSEDED, again=True)
    return await _entitled(world, approval) or action


async def holds_no_more(journey: Journey, call: Call, intent: Execution, tool: WriteTool) -> str:
    """Why an intent that an earlier process left may not be carried out by now; empty where all that it rested on holds.

    Its approval is spent, so it cannot wait for a window or for Slack: what cannot be said now is a no.
    """
    if call.approval is not None:
        checked = await recheck(journey, call, tool)
        return checked.reason if isinstance(checked, Blocked) else ""
    if spent := budget.out_of_actions(journey.run, intent):
        return spent
    _, decision = await decide(journey.world, journey.run, intent.action, intent)
    return "" if decision.outcome is Outcome.ALLOW else f"policy does not allow it any more: {decision.reason}"


async def close(journey: Journey, call: Call, blocked: Blocked) -> None:
    """Record why an approved action does not run, show it on the card, and ask again where that makes sense."""
    if call.approval is None or blocked.state is None:
        return
    request = call.approval.request
    await journey.record(ApprovalClosed(request.id, blocked.state, blocked.reason))
    await show(journey, call)
    if blocked.again:
        await ask_again(journey, call, blocked.reason)


async def ask_again(journey: Journey, call: Call, reason: str) -> None:
    """The same call, looked at and decided afresh, as a new question with a new digest."""
    world, request = journey.world, call.approval.request if call.approval else None
    tool = world.tools[call.call.tool]
    if request is None:
        return
    try:
        action = await observe(request.action, tool)  # type: ignore[arg-type]  # a call that asks is a write
    except ToolError:
        return  # it is gone meanwhile: the closed request is the call's end
    situation, decision = await decide(world, journey.run, action)
    await journey.record(DecisionMade(call.call.id, action, decision, situation))
    if decision.outcome is not Outcome.DENY:
        decision = decision if decision.terms else replace(decision, terms=request.terms, outcome=Outcome.ASK)
        again = replace(journey.run.calls[call.call.id], decision=decision)
        await _ask(journey, [again], supersedes=request.id, note=f"Asked again: {reason}.")


async def show(journey: Journey, call: Call) -> None:
    """The card as it stands now."""
    current = journey.run.calls[call.call.id].approval
    if current is not None:
        await journey.world.chat.approval(current)


async def authority_over(world: World, request: ApprovalRequest) -> Authority:
    """Who may decide on a request, as Slack and the journal say now. Raises ChatError where Slack cannot answer."""
    policy, terms, now = world.policy(), request.terms, world.clock()
    names = (*terms.groups, *terms.escalate_to, *(name for name in terms.exclude if name in policy.groups))
    members = {name: await members_of(world, name) for name in dict.fromkeys(names)}
    delegated: dict[str, frozenset[str]] = {}
    for delegation in await world.journal.delegations(now):
        delegated[delegation.to] = delegated.get(delegation.to, frozenset()) | {delegation.user}
    glass = [each for each in await world.journal.unreviewed() if each.incident_id == request.incident_id]
    allowed = await members_of(world, policy.break_glass.group) if glass and policy.break_glass else frozenset()
    return Authority(
        members, delegated, {each.user: each.id for each in glass if each.is_open(now) and each.user in allowed}
    )


async def members_of(world: World, group: str) -> frozenset[str]:
    """The members of one of the policy's groups as Slack says now. Raises ChatError where Slack cannot answer."""
    members: frozenset[str] = frozenset()
    for reference in world.policy().groups.get(group, ()):
        members |= await world.directory.members(reference)
    return members


def _shut(world: World, request: ApprovalRequest) -> list[str]:
    """Which calendars of the window are closed now. Under another policy none is waited for: it is asked anew."""
    policy, now = world.policy(), world.clock()
    if policy.hash != request.decision.policy_hash:
        return []
    return [name for name in request.terms.window if not policy.calendars[name].is_open(now)]


def _moved(request: ApprovalRequest, action: Action, decision: Decision) -> str:
    if decision.policy_hash != request.decision.policy_hash:
        return "the policy changed since the card was shown"
    if digest(action, decision.policy_hash) != request.digest:
        return MOVED
    if decision.terms is not None and decision.terms != request.terms:
        return f"policy asks under other terms by now (rule {decision.rule})"
    return ""


async def _entitled(world: World, approval: Approval) -> Blocked | None:
    """Blocked where the approvers of then are not approvers now. Slack not answering means: not now."""
    votes: tuple[Vote, ...] = approval.approvers
    try:
        authority = await authority_over(world, approval.request)
        people: dict[str, Person] = {vote.user: await world.directory.person(vote.user) for vote in votes}
    except ChatError:
        return Blocked("Slack cannot say who may approve right now")
    problems = approvers.still_entitled(approval, authority, people)
    if problems:
        return Blocked("; ".join(problems), ApprovalState.CANCELLED)
    return None
