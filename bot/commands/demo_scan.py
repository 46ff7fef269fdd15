"""The demo of a configuration scan: Jonas asks for it and proposes its first change, Mara approves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bot.commands.stage import Stage
from bot.local.prometheus import Prometheus
from bot.local.scenarios import CONFIGURATION, Scenario
from bot.local.scenarios_ci import CiScenario
from bot.local.usage import used_for_a_week
from domain.decisions import ApprovalState
from domain.events import ApprovalRequested, Envelope, MessageSent, RunFinished
from domain.messages import PROGRESS
from domain.scans import KnownFinding

MARA, JONAS = "Mara Lindqvist", "Jonas Weber"


@asynccontextmanager
async def measured(scenario: Scenario | CiScenario) -> AsyncIterator[str]:
    """The address of a Prometheus that knows what was used, for the scenario that asks it; for others empty."""
    if scenario is not CONFIGURATION:
        yield ""
        return
    async with Prometheus() as prometheus:
        used_for_a_week(prometheus)
        yield prometheus.url


async def propose(world: Stage, scenario: Scenario) -> None:
    """Jonas asks for the scan, waits for its list and chooses the first change: who proposes cannot approve."""
    await world.workspace.command(JONAS, "incidents", f"scan {scenario.namespace}")
    with world.app.journal.subscribe() as events:
        first = await _first(world)
        while first is None:
            await anext(events)
            first = await _first(world)
    known, channel, ts = first
    value = f"propose {known.key} {known.run_id}"
    await world.workspace.click(JONAS, channel, ts, "scan.finding", value=value)


async def _first(world: Stage) -> tuple[KnownFinding, str, str] | None:
    """The finding at the top, once Slack shows the list."""
    journal = world.app.journal
    found = await journal.config_findings(limit=1)
    message = await journal.message(f"{PROGRESS}{found[0].run_id}") if found else None
    run = await journal.run(found[0].run_id) if found else None
    if message is None or run is None or run.finished_at is None or message.sent_revision < message.revision:
        return None
    return found[0], message.channel, message.ts


async def play(
    world: Stage, scenario: Scenario, events: AsyncIterator[Envelope], show: Callable[[Envelope], None]
) -> int:
    """Play Mara too: 0 where the change that the scan led to was approved, executed and verified."""
    await propose(world, scenario)
    asked = ""
    async for envelope in events:
        show(envelope)
        match envelope.event:
            case ApprovalRequested(request):
                asked = f"approval:{request.id}"
            case MessageSent(key, _, channel, ts) if key == asked:
                asked = ""
                await world.workspace.click(MARA, channel, ts, "approval.approve")
            case RunFinished() if await world.app.journal.approvals():
                break
    problem = await _problem(world, scenario)
    print(f"\n{problem or 'The change was approved, executed and verified.'}")
    return 1 if problem else 0


async def _problem(world: Stage, scenario: Scenario) -> str:
    done = [one for one in await world.app.journal.approvals() if one.state is ApprovalState.CONSUMED]
    if [one.request.action.tool for one in done] != [scenario.expected_tool]:
        return f"Expected one {scenario.expected_tool} to be executed."
    verified = done[0].execution is not None and done[0].execution.verified
    return "" if verified else "The change was not verified."
