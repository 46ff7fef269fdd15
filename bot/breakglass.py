"""Break-glass: one person of the policy's group approves alone, for one incident and a while; somebody else reviews it.

It lends nothing but votes: what policy denies stays denied, and everything else an execution rests on is checked as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.agent.approve import members_of
from bot.agent.world import World
from bot.escalation import mentions
from domain.alerts import Incident
from domain.authority import BreakGlass
from domain.canonical import digest_of
from domain.decisions import Actor, Approval
from domain.errors import BadInput, ChatError, Conflict, NotAllowed
from domain.events import BreakGlassOpened, BreakGlassReviewed, Draft
from domain.ports import Person
from policies.rules import DEFAULT_GROUPS, BreakGlassRule


async def open_glass(world: World, reference: str, user: str, minutes: int, reason: str) -> BreakGlass:
    """Break the glass for an open incident, with public notice. Raises NotAllowed, BadInput."""
    rule = _rule(world)
    person = await _member(world, user, (rule.group,), "break the glass")
    incident = await _open_incident(world, reference)
    if not reason.strip():
        raise BadInput("Say why: the reason is public, and whoever reviews this reads it.", field="reason")
    if not 1 <= minutes <= rule.max_minutes:
        raise BadInput(f"For how long? 1 to {rule.max_minutes} minutes.", field="minutes")
    now = world.clock()
    for other in await world.journal.unreviewed():
        if (other.user, other.incident_id) == (user, incident.id) and other.is_open(now):
            raise BadInput(f"You broke the glass for this incident already ({other.id}).")
    glass = BreakGlass(
        id="glass-" + digest_of([incident.id, user, now.isoformat()])[:10],
        incident_id=incident.id,
        user=user,
        name=person.name,
        reason=world.redactor.text(reason.strip()).text[:1000],
        opened_at=now,
        until=now + timedelta(minutes=minutes),
    )
    await world.journal.append(Draft(BreakGlassOpened(glass), Actor("person", user), incident.id))
    await show(world, glass)
    return glass


async def review(world: World, glass_id: str, user: str, comment: str) -> BreakGlass:
    """Record that somebody else looked at it; an open one ends with that. Raises NotAllowed, BadInput."""
    glass = await world.journal.break_glass(glass_id)
    if glass is None:
        raise BadInput("This break-glass is not known here.")
    if user == glass.user:
        raise NotAllowed("You broke the glass, so somebody else has to review it.")
    if not comment.strip():
        raise BadInput("Say what you found: the review is recorded with its comment.", field="reason")
    rule = world.policy().break_glass
    person = await _member(world, user, (*((rule.group,) if rule else ()), *DEFAULT_GROUPS), "review this")
    event = BreakGlassReviewed(glass_id, user, person.name, world.redactor.text(comment.strip()).text[:2000])
    try:
        await world.journal.append(Draft(event, Actor("person", user), glass.incident_id))
    except Conflict as error:
        raise NotAllowed("This was reviewed already.") from error
    reviewed = await world.journal.break_glass(glass_id) or glass
    await show(world, reviewed)
    return reviewed


async def show(world: World, glass: BreakGlass) -> None:
    """The public notice as it stands: how long, why, and what was approved under it."""
    await world.chat.break_glass(glass, await uses(world, glass), world.clock())


async def uses(world: World, glass: BreakGlass) -> Sequence[Approval]:
    """The requests that were approved under it, oldest first."""
    approvals = await world.journal.approvals(incident_id=glass.incident_id, limit=1000)
    return [each for each in reversed(approvals) if any(vote.break_glass == glass.id for vote in each.votes)]


async def nag(world: World, now: datetime) -> None:
    """Ask for each review when the glass closes, and again every day until it is done."""
    rule = world.policy().break_glass
    for glass in await world.journal.unreviewed():
        day = (now - glass.until).days
        if glass.is_open(now) or await world.journal.message(glass.review_key(day)) is not None:
            continue
        await show(world, glass)
        groups = ((rule.group,) if rule else ()) or DEFAULT_GROUPS
        await world.chat.review_wanted(glass, await mentions(world, groups), day)


def _rule(world: World) -> BreakGlassRule:
    rule = world.policy().break_glass
    if rule is None:
        raise NotAllowed("This policy has no break_glass section, so nobody can approve alone.")
    return rule


async def _member(world: World, user: str, groups: Sequence[str], what: str) -> Person:
    try:
        person = await world.directory.person(user)
        members: frozenset[str] = frozenset().union(*[await members_of(world, group) for group in groups])
    except ChatError as error:
        raise NotAllowed(str(error)) from error
    if not person.full_member:
        raise NotAllowed(person.why_not or "Only full members of this workspace can do that.")
    if user not in members:
        raise NotAllowed(
            f"Only members of {' or '.join(dict.fromkeys(groups))} can {what}, and you are not one of them."
        )
    return person


async def _open_incident(world: World, reference: str) -> Incident:
    """The open incident of this id, or of an unambiguous start of it."""
    wanted = reference.strip().strip("`")
    found = [each for each in await world.journal.incidents(open_only=True, limit=1000) if each.id.startswith(wanted)]
    exact = [each for each in found if each.id == wanted]
    if not wanted or len(exact or found) != 1:
        raise BadInput("Which incident? Give the id of an open one: /agent incidents lists them.", field="incident")
    return (exact or found)[0]
