"""A person's word on a diagnosis: who may say it, and what is recorded of it."""

from __future__ import annotations

from dataclasses import replace

from bot.agent.world import World
from domain.decisions import Actor
from domain.errors import BadInput, ChatError, Conflict, NotAllowed
from domain.events import Draft, FeedbackGiven

LONGEST = 2000  # characters of a reason


async def may_rate(world: World, user: str) -> str:
    """The person's name, for any full member of the workspace. Raises NotAllowed with the sentence for the person."""
    try:
        person = await world.directory.person(user)
    except ChatError as error:
        raise NotAllowed(
            "Slack cannot say who you are right now, so nothing was recorded. Please try again."
        ) from error
    if not person.full_member:
        raise NotAllowed(f"Only full members of this workspace rate a diagnosis. {person.why_not}")
    return person.name


async def give(world: World, word: FeedbackGiven) -> None:
    """Record it in place of the person's earlier one; the same word again changes nothing. Raises NotAllowed, BadInput."""
    name = await may_rate(world, word.user)
    word = replace(word, reason=world.redactor.text(word.reason[: 2 * LONGEST]).text[:LONGEST])
    if await world.journal.feedback(word.run_id, word.user) == word:
        return
    run = await world.journal.run(word.run_id)
    incident_id = run.spec.incident_id if run else ""
    try:
        await world.journal.append(Draft(word, Actor("person", word.user, name), incident_id, word.run_id))
    except Conflict as error:
        raise BadInput("This diagnosis is not known here any more, so nothing was recorded.") from error
