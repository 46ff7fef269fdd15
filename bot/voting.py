"""Votes and edits: what a click may do, checked against the card, the request, and who the person is right now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bot import breakglass
from bot.agent.approve import authority_over, request_for
from bot.agent.step import decide, is_write, observe
from bot.agent.world import World
from domain.actions import Action
from domain.decisions import (
    Actor,
    Approval,
    ApprovalRequest,
    ApprovalState,
    Decision,
    Outcome,
    Verdict,
    Vote,
    open_items,
    shown_digest,
    standing,
)
from domain.errors import BadInput, ChatError, Conflict, NotAllowed, ToolError
from domain.events import ApprovalClosed, ApprovalRequested, DecisionMade, Draft, Event, VoteCast, VoteRefused
from domain.fold import fold
from domain.runs import Run
from policies import approvers


async def cast(world: World, card: str, vote: Vote, *, channel: str, message_ts: str) -> Approval:
    """Record a vote, or the refusal of one. Raises NotAllowed with the sentence for the person.

    `card` is a request's id, or that of a batch: then the vote is one on each of its open requests, all or none.
    Where somebody else's vote was recorded meanwhile, this one is checked and counted again with it.
    """
    items = await _items(world, card)
    try:
        await _check_card(world, card, channel, message_ts)
        votes = await _check_person(world, items, vote, batch=items[0].request.batch == card)
        events = [
            VoteCast(each.request.id, own, approvers.brings_about(each, own), len(each.votes)) for each, own in votes
        ]
        drafts = [_draft(each, event, vote.user) for (each, _), event in zip(votes, events, strict=True)]
        await world.journal.append(*drafts)
    except Conflict as error:
        fresh = await _items(world, card)
        if [each.votes for each in fresh] != [each.votes for each in items]:
            return await cast(world, card, vote, channel=channel, message_ts=message_ts)
        sentence = already(fresh[0])
        await _refused(world, items[0], vote.user, sentence)
        raise NotAllowed(sentence) from error
    except NotAllowed as error:
        await _refused(world, items[0], vote.user, str(error))
        raise
    current = await world.journal.approval(events[0].approval_id) or items[0]
    await world.chat.approval(current)
    for glass_id in {event.vote.break_glass for event in events} - {""}:
        if (glass := await world.journal.break_glass(glass_id)) is not None:
            await breakglass.show(world, glass)
    return current


async def _items(world: World, card: str) -> Sequence[Approval]:
    """The requests that a card is about."""
    approval = await world.journal.approval(card)
    items = [approval] if approval is not None else await world.journal.of_batch(card)
    if not items:
        raise NotAllowed("This card belongs to no approval request that is known here.")
    return items


async def edit(world: World, approval_id: str, user: str, arguments: Mapping[str, Any]) -> ApprovalRequest | None:
    """A new proposal in place of an open one: new digest, decided again; its editor cannot vote on it."""
    approval = await world.journal.approval(approval_id)
    if approval is None:
        raise NotAllowed("This card belongs to no approval request that is known here.")
    if approval.state is not ApprovalState.PENDING:
        raise NotAllowed(already(approval))
    if approval.request.batch:
        raise NotAllowed("This is one of several changes on one card. Deny them, and ask for the one that you want.")
    person = await _person(world, user)
    run = fold(await world.journal.of_run(approval.request.run_id))
    action = await _edited(world, approval.request.action, arguments)
    situation, decision = await decide(world, run, action)
    if decision.outcome is Outcome.DENY:
        raise BadInput(f"Policy denies this: {decision.reason}", field=_edited_field(approval.request.action, action))
    request = _edited_request(world, run, approval, action, decision, user, person)
    call_id = approval.request.call_id
    closed = ApprovalClosed(approval_id, ApprovalState.SUPERSEDED, f"edited by {person}", by=person)
    events: list[Event] = [closed, DecisionMade(call_id, action, decision, situation), ApprovalRequested(request)]
    if request.observe_only:
        events.append(ApprovalClosed(request.id, ApprovalState.CANCELLED, "this would have been asked"))
    try:
        await world.journal.append(*(_draft(approval, event, user) for event in events))
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
        edited = replace(action, arguments=understood.arguments)
        return await observe(edited, tool)
    except ToolError as error:
        raise BadInput(str(error), field=_edited_field(action, edited)) from error


def _edited_field(before: Action, after: Action) -> str:
    """The argument that an edit changed, the first where it changed several: there the dialog shows what is wrong."""
    changed = [name for name in before.arguments if before.arguments[name] != after.arguments.get(name)]
    return changed[0] if changed else ""


async def _check_card(world: World, approval_id: str, channel: str, message_ts: str) -> None:
    message = await world.journal.message(f"approval:{approval_id}")
    if message is None or (message.channel, message.ts) != (channel, message_ts):
        raise NotAllowed("This is not the current card of this request; use the newest one in the thread.")


async def _check_person(
    world: World, items: Sequence[Approval], vote: Vote, *, batch: bool
) -> list[tuple[Approval, Vote]]:
    """The vote on each of a card's requests that it is about. Raises NotAllowed unless the person may cast all of them."""
    if batch:
        if vote.digest != shown_digest(items):
            raise NotAllowed("This card has changed since you looked at it. Please read it again before you decide.")
        items = open_items(items) or items
        votes = [(item, replace(vote, digest=item.request.digest)) for item in items]
    else:
        votes = [(items[0], vote)]
    now = world.clock()
    if vote.verdict is Verdict.WITHDRAW:  # a brake works also while Slack cannot say who is who
        for item, own in votes:
            approvers.check_withdrawal(item, own, now)
        return [(item, replace(own, name=standing(item.votes)[vote.user].name)) for item, own in votes]
    try:
        person = await world.directory.person(vote.user)
        authority = await authority_over(world, items[0].request)  # a batch is of one incident and the same terms
    except ChatError as error:
        raise NotAllowed(str(error)) from error
    return [(item, approvers.check_vote(item, own, person, authority, now)) for item, own in votes]


async def _person(world: World, user: str) -> str:
    try:
        person = await world.directory.person(user)
    except ChatError as error:
        raise NotAllowed(str(error)) from error
    if not person.full_member:
        raise NotAllowed(f"Only full members of this workspace may edit a proposal ({person.why_not}).")
    return person.name


async def _refused(world: World, approval: Approval, user: str, reason: str) -> None:
    await world.journal.append(_draft(approval, VoteRefused(approval.request.id, user, reason), user))


def _draft(approval: Approval, event: Any, user: str) -> Draft:
    return Draft(event, Actor("person", user), approval.request.incident_id, approval.request.run_id)
