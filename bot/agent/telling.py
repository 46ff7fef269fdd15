"""How a run that ended is told."""

from __future__ import annotations

from bot.agent.world import World
from domain.runs import Run
from domain.scans import CONFIGURATION


async def tell(world: World, run: Run) -> None:
    """A diagnosis in its thread; a scan as its list, as the journal knows the findings now."""
    if run.spec.target.system == CONFIGURATION:
        await world.chat.scan(run, await world.journal.config_findings(run.id), world.clock())
    else:
        await world.chat.diagnosis(run)
