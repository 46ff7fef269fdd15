"""The brakes at work: what stands against a change, what has to be stopped now, and who may let go again."""

from __future__ import annotations

from dataclasses import dataclass

from bot.agent.world import World, log
from domain.actions import Action, Effect
from domain.brakes import Brakes
from domain.decisions import SYSTEM, Actor, Execution
from domain.errors import BadInput, ChatError, Conflict, NotAllowed
from domain.events import AutonomyDemoted, AutonomyRestored, BreakerOpened, BreakerReset, Draft
from domain.runs import Run
from policies import brakes as rules


@dataclass(frozen=True)
class Against:
    """What stands against a change: the brakes, and how often its problem was acted on within the hour."""

    brakes: Brakes
    acted: int


async def against(world: World, run: Run, action: Action, intent: Execution | None = None) -> Against:
    """Read right before a decision; nothing stands against a read. `intent`: the action's own, which does not count."""
    if action.effect is Effect.READ:
        return Against(Brakes(), 0)
    now = world.clock()
    since, problems = rules.since(now), rules.problems(run, action)
    acted = await world.journal.acted(problems, since) - (bool(problems) and rules.counts(intent, now))
    return Against(await world.journal.brakes(since), acted)


async def settle(world: World) -> None:
    """Open the breakers and take back the autonomy that the journal's counts call for, and say so in the channel.

    Called after every change and by the sweep: a crash in between delays the announcement, never the brake, because
    decisions look at the counts themselves.
    """
    brakes = await world.journal.brakes(rules.since(world.clock()))
    for trip in rules.trips(brakes):
        await _record(world, BreakerOpened(trip.scope, trip.reason, trip.executions))
    for revert in brakes.reverts:
        reason = rules.was_reverted(revert.execution_id, revert.tool, revert.environment)
        await _record(world, AutonomyDemoted(revert.tool, revert.environment, revert.execution_id, reason))
    await announce(world)


async def announce(world: World) -> None:
    """Say in the channel what stands; each is said once, also over restarts."""
    brakes = await world.journal.brakes(rules.since(world.clock()))
    for breaker in brakes.breakers:
        text = f"🛑 {breaker.reason} {rules.how_to_reset(breaker.scope)}"
        await world.chat.notice("", f"breaker:{breaker.seq}", text)
    for demotion in brakes.demotions:
        text = f"↩️ {demotion.reason} {rules.how_to_restore(demotion.tool, demotion.environment)}"
        await world.chat.notice("", f"demotion:{demotion.seq}", text)


async def reset(world: World, by: Actor, scope: str) -> str:
    """Close an open breaker; what was said. Raises NotAllowed, BadInput with the sentence for the person."""
    name = await may_let_go(world, by)
    try:
        [envelope] = await world.journal.append(Draft(BreakerReset(scope), by))
    except Conflict as error:
        standing = (await world.journal.brakes(rules.since(world.clock()))).breakers
        opened = ", ".join(breaker.scope for breaker in standing) or "none"
        raise BadInput(f"The circuit breaker of {scope or 'nothing'} is not open. Open: {opened}.", "scope") from error
    said = f"{name} reset the circuit breaker of {scope}: its count begins anew."
    await world.chat.notice("", f"reset:{envelope.seq}", f"▶️ {said}")
    return said


async def restore(world: World, by: Actor, tool: str, environment: str) -> str:
    """Lift a demotion; what was said. Raises NotAllowed, BadInput with the sentence for the person."""
    name = await may_let_go(world, by)
    try:
        [envelope] = await world.journal.append(Draft(AutonomyRestored(tool, environment), by))
    except Conflict as error:
        standing = (await world.journal.brakes(rules.since(world.clock()))).demotions
        known = ", ".join(f"{each.tool} {each.environment}" for each in standing) or "none"
        raise BadInput(f"{tool} is not demoted in {environment}. Demoted: {known}.", "tool") from error
    said = f"{name} restored {tool} in {environment}: policy decides again."
    await world.chat.notice("", f"restored:{envelope.seq}", f"▶️ {said}")
    return said


async def may_brake(world: World, by: Actor) -> None:
    """Anybody who works here may stop the agent: every full member. Raises NotAllowed."""
    if by.kind != "person":
        return
    try:
        person = await world.directory.person(by.id)
    except ChatError:
        return  # a brake works also while Slack cannot say who pulled it; the journal holds the name
    if not person.full_member:
        raise NotAllowed(f"Only full members of this workspace may stop the agent ({person.why_not}).")


async def may_let_go(world: World, by: Actor) -> str:
    """The person's name, where the person may let a brake go: a full member of the group that changes ask by default.

    In a policy that has no such group: of any group that it has.
    """
    policy = world.policy()
    usual = [group for group in policy.default_terms(Effect.WRITE).groups if group in policy.groups]
    groups = usual or list(policy.groups)
    try:
        person = await world.directory.person(by.id)
        members: set[str] = set()
        for group in groups:
            for reference in policy.groups.get(group, ()):
                members |= await world.directory.members(reference)
    except ChatError as error:
        raise NotAllowed("Slack cannot say who you are right now. Try again in a moment.") from error
    if not person.full_member:
        raise NotAllowed(f"Only full members of this workspace may let a brake go ({person.why_not}).")
    if person.id not in members:
        raise NotAllowed(f"Only members of {' or '.join(groups)} may let a brake go, and you are not one of them.")
    return person.name


async def _record(world: World, event: BreakerOpened | AutonomyDemoted) -> None:
    try:
        await world.journal.append(Draft(event, SYSTEM))
    except Conflict:
        return  # another run saw it in the same moment
    log.warning("a brake was put on", extra={"reason": event.reason})
