"""Votes in somebody else's place: an approver names a person and a time. Recorded, shown on the vote, over by itself."""

from __future__ import annotations

from datetime import timedelta

from bot.agent.approve import members_of
from bot.agent.world import World
from domain.authority import Delegation
from domain.decisions import Actor
from domain.errors import BadInput, ChatError, Conflict, NotAllowed
from domain.events import DelegationEnded, Draft, VoteDelegated

MAX_HOURS = 7 * 24


async def delegate(world: World, user: str, to: str, hours: int) -> Delegation:
    """Let `to` vote in this person's place for so many hours. Raises NotAllowed, BadInput.

    What a delegate may not do is decided vote by vote: never on a request of theirs or of the person they stand in for.
    """
    if user == to:
        raise BadInput("Name somebody else.", field="person")
    if not 1 <= hours <= MAX_HOURS:
        raise BadInput(f"For how long? 1 to {MAX_HOURS} hours, such as 8h or 2d.", field="hours")
    try:
        lender, delegated = await world.directory.person(user), await world.directory.person(to)
        members = [await members_of(world, group) for group in world.policy().groups]
    except ChatError as error:
        raise NotAllowed(str(error)) from error
    if not lender.full_member or not any(user in group for group in members):
        raise NotAllowed("You are in no group of the policy, so you have no vote that somebody else could cast.")
    if not delegated.full_member:
        raise NotAllowed(f"{delegated.name} cannot vote for you: {delegated.why_not or 'not a full member here.'}")
    delegation = Delegation(user, lender.name, to, delegated.name, world.clock() + timedelta(hours=hours))
    await world.journal.append(Draft(VoteDelegated(delegation), Actor("person", user)))
    return delegation


async def end(world: World, user: str) -> None:
    """Vote for oneself again. Raises BadInput where nothing was delegated."""
    try:
        await world.journal.append(Draft(DelegationEnded(user), Actor("person", user)))
    except Conflict as error:
        raise BadInput("You have delegated nothing.") from error
