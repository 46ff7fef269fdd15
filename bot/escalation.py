"""Requests that wait too long call people: the asked groups once, then those that the policy escalates to.

Nothing is ever approved by silence: all that escalation brings about is more people who may vote.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from bot.agent.world import World
from domain.decisions import SYSTEM, Approval
from domain.errors import ChatError, Conflict
from domain.events import ApprovalEscalated, ApprovalReminded, Draft
from policies import approvers


async def call_people(world: World, now: datetime) -> None:
    """Remind and escalate what is due, each once over the life of a request, restarts included."""
    for approval in await world.journal.approvals(pending=True, limit=1000):
        step = approvers.due(approval, now)
        if step:
            await _call(world, approval, escalate=step == "escalation")


async def _call(world: World, approval: Approval, *, escalate: bool) -> None:
    """The message first: it is sent once per request and step however often it is wanted, so no crash can lose it."""
    request = approval.request
    groups = request.terms.escalate_to if escalate else approval.groups
    await world.chat.call(approval, await mentions(world, groups), escalated=escalate)
    event = ApprovalEscalated(request.id, groups) if escalate else ApprovalReminded(request.id)
    try:
        await world.journal.append(Draft(event, SYSTEM, request.incident_id, request.run_id))
    except Conflict:
        return  # somebody decided in the same moment
    current = await world.journal.approval(request.id)
    if current is not None:
        await world.chat.approval(current)


async def mentions(world: World, groups: Iterable[str]) -> tuple[str, ...]:
    """How Slack addresses the members of the policy's groups; a reference that it cannot resolve now is named as it is."""
    found: dict[str, None] = {}
    for group in groups:
        for reference in world.policy().groups.get(group, ()):
            try:
                found[await world.directory.mention(reference)] = None
            except ChatError:
                found[reference] = None
    return tuple(found)
