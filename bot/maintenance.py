"""Maintenance windows: work that people announce, so that what its alerts say is expected."""

from __future__ import annotations

import re
from datetime import timedelta

from bot import brakes
from bot.agent.world import World
from domain.canonical import digest_of
from domain.codec import timestamp
from domain.decisions import Actor
from domain.errors import BadInput, Conflict
from domain.events import Draft, MaintenanceEnded, MaintenanceStarted
from domain.noise import MaintenanceWindow

LONGEST_MINUTES = 24 * 60

_NAMESPACES = re.compile(r"[a-z0-9*?]([a-z0-9*?-]{0,61}[a-z0-9*?])?")


async def begin(world: World, by: Actor, namespace: str, minutes: int, reason: str) -> MaintenanceWindow:
    """Announce work in the namespaces that a glob names, publicly. Raises NotAllowed, BadInput.

    It keeps alerts from opening incidents, so whoever may let a brake go may do it; anybody may end it.
    """
    if not _NAMESPACES.fullmatch(namespace):
        raise BadInput(f"{namespace!r} is not a namespace; write shop, staging-* or *.", "namespace")
    if not 1 <= minutes <= LONGEST_MINUTES:
        raise BadInput("A maintenance window lasts between 1m and 24h.", "minutes")
    who = await brakes.may_let_go(world, by)
    now = world.clock()
    name = "mnt-" + digest_of([by.id, namespace, timestamp(now)])[:8]
    said = world.redactor.text(reason).text[:500]
    window = MaintenanceWindow(name, namespace, now, now + timedelta(minutes=minutes), who, said)
    await world.journal.append(Draft(MaintenanceStarted(window), by))
    why = f": {said}" if said else ""
    text = (
        f"🔧 {window.by} announced maintenance of {namespace} until {window.until:%H:%M} UTC{why}. Its alerts are recorded and "
        f"open nothing; what still fires then does. /agent maintenance end {name} ends it."
    )
    await world.chat.notice("", f"maintenance:{name}", text)
    return window


async def end(world: World, by: Actor, window_id: str) -> MaintenanceWindow:
    """End it before its time, publicly. Raises NotAllowed, BadInput."""
    await brakes.may_brake(world, by)
    open_now = {window.id: window for window in await world.journal.maintenance(world.clock())}
    if window_id not in open_now:
        known = ", ".join(open_now) or "none"
        raise BadInput(f"There is no maintenance window {window_id!r} now; there is: {known}.", "id")
    try:
        await world.journal.append(Draft(MaintenanceEnded(window_id), by))
    except Conflict as error:
        raise BadInput("Somebody else ended it in this moment.", "id") from error
    window = open_now[window_id]
    await world.chat.notice("", f"maintenance-end:{window_id}", f"🔧 The maintenance of {window.namespace} is over.")
    return window
