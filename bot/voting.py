"""Votes and edits: what a click may do, checked against the card, the request, and who the person is right now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot import breakglass, metrics
from bot.agent.approve import authority_over, request_for
from bot.agent.step import decide, is_write, observe
from bot.agent.world import World
from domain.actions import Action
from domain.decisions import Actor, Approval, ApprovalRequest, ApprovalState, Decision, Outcome, Verdict, Vote, standing
from domain.errors import BadInput, ChatError, Conflict, NotAllowed, ToolError
from domain.events import ApprovalClosed, ApprovalRequested, DecisionMade, Draft, VoteCast, VoteRefused
from domain.fold import fold
from domain.runs import Run
from policies import approvers

_ASK_AGAIN = "Slack cannot say who you are right now, so nothing was recorded. Try again in a moment."


async def cast(world: World, approval_id: str, vote: Vote, *, channel: str, message_ts: str) -> Approval:
    """Record a vote, or the refusal of one. Raises NotAllowed with the sentence for the person."""
    approval = await world.journal.approval(approval_id)
    if approval is None:
        raise NotAllowed("This card belongs to no approval request that is known here.")
    try:
        await _check_card(world, approval_id, channel, message_ts)
        named = await _check_person(world, approval, vote)
        closes = approvers.brings_about(approval, named)
        await world.journal.append(_draft(approval, VoteCast(approval_id, named, closes), vote.user))
    except Conflict as error:
        fresh = await world.journal.approval(approval_id)
        sentence = already(fresh) if fresh else str(error)
        await _refused(world, approval, vote.user, sentence)
        raise NotAllowed(sentence) from error
    except NotAllowed as error:
        await _refused(world, approval, vote.user, str(error))
        raise
    current = await world.journal.approval(approval_id) or approval
    if closes in (ApprovalState.APPROVED, ApprovalState.DENIED):
        metrics.approvals.labels(closes.value).inc()
        metrics.approval_seconds.observe((vote.at - approval.request.requested_at).total_seconds())
    await world.chat.approval(current)
    if named.break_glass and (glass := await world.journal.break_glass(named.break_glass)) is not None:
        await breakglass.show(world, glass)
    return current


async def edit(world: World, approval_id: str, user: str, arguments: Mapping[str, Any]) -> ApprovalRequest | None:
    """A new proposal in place of an open one: new digest, decided again; its editor cannot vote on it."""
    approval = await world.journal.approval(approval_id)
    if approval is None:
        raise NotAllowed("This card belongs to no approval request that is known here.")
    if approval.state is not ApprovalState.PENDING:
        raise NotAllowed(already(approval))
    person = await _person(world, user)
    run = fold(await world.journal.of_run(approval.request.run_id))
    action = await _edited(world, approval.request.action, arguments)
    situation, decision = await decide(world, run, action)
    if decision.outcome is Outcome.DENY:
        raise BadInput(f"Policy denies this: {decision.reason}")
    request = _edited_request(world, run, approval, action, decision, user, person)
    call_id = approval.request.call_id
    closed = ApprovalClosed(approval_id, ApprovalState.SUPERSEDED, f"edited by {person}", by=person)
    try:
        await world.journal.append(
            *(
                _draft(approval, event, user)
                for event in (closed, DecisionMade(call_id, action, decision, situation), ApprovalRequested(request))
            )
        )
    except Conflict as error:
        fresh = await world.journal.approval(approval_id)
        raise NotAllowed(already(fresh) if fresh else str(error)) from error
    for changed in (approval_id, request.id):
        if (current := await world.journal.approval(changed)) is not None:
            await world.chat.approval(current)
    return request


def already(approval: Approval) -> str:
    """What the loser of a race is told: who won."""
    if approval.state is ApprovalState.PENDING:
        return "You have voted on this already, or it changed in that moment. Please look at the card again."
    votes = ", ".join(vote.name or f"<@{vote.user}>" for vote in approval.votes) or approval.closed_by or "the agent"
    word = {ApprovalState.CONSUMED: "approved and executed"}.get(approval.state, approval.state.value)
    return f"This was already {word} by {votes}." if approval.votes else f"This is {word}: {approval.closed_reason}."


def _edited_request(
    world: World, run: Run, approval: Approval, action: Action, decision: Decision, user: str, person: str
) -> ApprovalRequest:
    old = approval.request
    if decision.terms is None:
        decision = replace(decision, outcome=Outcome.ASK, terms=old.terms)
    call = replace(run.calls[old.call_id], action=action, decision=decision)
    note = f"Edited by {person}, who therefore cannot vote on it."
    return request_for(world, run, call, supersedes=old.id, editor=user, note=note)


async def _edited(world: World, action: Action, arguments: Mapping[str, Any]) -> Action:
    tool = world.tools[action.tool]
    if not is_write(tool):
        raise BadInput(f"{action.tool} changes nothing")
    understood = tool.understand(arguments)
    if understood.target.key != action.target.key:
        raise BadInput("An edit may change how, not what: the target must stay the same.", field="name")
    try:
        return await observe(replace(action, arguments=understood.arguments), tool)
    except ToolError as error:
        raise BadInput(str(error)) from error


async def _check_card(world: World, approval_id: str, channel: str, message_ts: str) -> None:
    message = await world.journal.message(f"approval:{approval_id}")
    if message is None or (message.channel, message.ts) != (channel, message_ts):
        raise NotAllowed("This is not the current card of this request; use the newest one in the thread.")


async def _check_person(world: World, approval: Approval, vote: Vote) -> Vote:
    if vote.verdict is Verdict.WITHDRAW:  # a brake works also while Slack cannot say who is who
        approvers.check_withdrawal(approval, vote, world.clock())
        return replace(vote, name=standing(approval.votes)[vote.user].name)
    try:
        person = await world.directory.person(vote.user)
        authority = await authority_over(world, approval.request)
    except ChatError as error:
        raise NotAllowed(_ASK_AGAIN) from error
    return approvers.check_vote(approval, vote, person, authority, world.clock())


async def _person(world: World, user: str) -> str:
    try:
        person = await world.directory.person(user)
    except ChatError as error:
        raise NotAllowed(_ASK_AGAIN) from error
    if not person.full_member:
        raise NotAllowed(f"Only full members of this workspace may edit a proposal ({person.why_not}).")
    return person.name


async def _refused(world: World, approval: Approval, user: str, reason: str) -> None:
    metrics.votes_refused.inc()
    await world.journal.append(_draft(approval, VoteRefused(approval.request.id, user, reason), user))


def _draft(approval: Approval, event: Any, user: str) -> Draft:
    return Draft(event, Actor("person", user), approval.request.incident_id, approval.request.run_id)
