"""Questions that end without a vote: nobody decided in time, or nothing has to be decided any more."""

from __future__ import annotations

from bot.agent.world import World
from domain.decisions import SYSTEM, Approval, ApprovalState
from domain.errors import Conflict
from domain.events import ApprovalClosed, Draft


async def end(world: World, approval: Approval, state: ApprovalState, reason: str) -> bool:
    """Close a question and show it; whether it was still open. Whoever decided in the same moment has decided."""
    request = approval.request
    event = ApprovalClosed(request.id, state, reason)
    try:
        await world.journal.append(Draft(event, SYSTEM, request.incident_id, request.run_id))
    except Conflict:
        return False
    current = await world.journal.approval(request.id)
    if current is not None:
        await world.chat.approval(current)
    return True


async def expire(world: World) -> list[Approval]:
    """Close every question whose time is up; those that were closed."""
    due = await world.journal.expired(world.clock())
    return [each for each in due if await end(world, each, ApprovalState.EXPIRED, _why(each))]


def _why(approval: Approval) -> str:
    if approval.state is ApprovalState.APPROVED:
        return "it was approved, and could not be executed in time"
    return "nobody decided in time"
