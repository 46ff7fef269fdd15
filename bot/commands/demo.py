"""`personal-agent demo`: the product doing its job, on one page, without a key or a token."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import AsyncIterator

from bot import logs
from bot.commands import demo_scan
from bot.commands.stage import Stage, folder_for, stage
from bot.commands.transcript import line
from bot.local.scenarios import CONFIGURATION, SCENARIOS, Scenario
from bot.local.scenarios_ci import CI_SCENARIOS, CiScenario
from bot.worth_text import words
from domain.alerts import Incident
from domain.decisions import ApprovalState
from domain.errors import SettingsError
from domain.events import ApprovalRequested, Envelope, IncidentResolved, MessageSent, RunFinished
from domain.fold import fold
from domain.runs import RunOutcome

PLAY_SECONDS = 120.0
"""A scenario played by `--auto` that is not over by then has failed."""

BEFORE_TROUBLE_SECONDS = 3.0


def run(options: argparse.Namespace) -> int:
    """Play. With --auto: 0 only if the incident ended as the scenario should: verified and resolved."""
    scenarios: tuple[Scenario | CiScenario, ...] = (*SCENARIOS, CONFIGURATION, *CI_SCENARIOS)
    scenario = next((each for each in scenarios if each.name == options.scenario), None)
    if scenario is None:
        known = ", ".join(each.name for each in scenarios)
        raise SettingsError(f"--scenario: there is no {options.scenario}; the scenarios are {known}")
    logs.configure(lambda text: text, level=40)
    return asyncio.run(_play(scenario, options))


async def _play(scenario: Scenario | CiScenario, options: argparse.Namespace) -> int:
    ci = isinstance(scenario, CiScenario)
    async with (
        folder_for(keep=options.keep) as folder,
        demo_scan.measured(scenario) as prometheus,
        stage(folder, port=options.port, ci=ci, PROMETHEUS_URL=prometheus) as world,
    ):
        print(f"{scenario.title}. {scenario.description}\n")
        if options.auto:
            code = await _auto(world, scenario)
        else:
            code = await _wait(world, scenario)
        if options.keep:
            print(f"\nThe journal is kept in {folder}: AGENT_DATABASE={folder}/personal-agent.db personal-agent runs")
        return code


async def _begin(world: Stage, scenario: Scenario | CiScenario) -> None:
    """Bring the trouble about, and play whoever has a part in it beside the person at the page."""
    if isinstance(scenario, Scenario):
        await scenario.start(world.cluster)
        if scenario is CONFIGURATION:
            await demo_scan.propose(world, scenario)
    elif world.ci is not None:
        await scenario.play(world.ci.gitlab, world.ci.prometheus)


async def _wait(world: Stage, scenario: Scenario | CiScenario) -> int:
    """Show the page until somebody stops it."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print(f"Open {world.workspace.url}")
    print("You are Mara, on call, in #incidents. Ctrl-C ends it.\n", flush=True)
    telling = asyncio.create_task(_tell(world))
    await asyncio.sleep(BEFORE_TROUBLE_SECONDS)
    playing = asyncio.create_task(_begin(world, scenario))
    await stop.wait()
    telling.cancel()
    playing.cancel()
    await asyncio.gather(telling, playing, return_exceptions=True)
    return 0


async def _tell(world: Stage) -> None:
    """The transcript as it happens; once the incident is over, Mara asks what it was worth."""
    with world.app.journal.subscribe() as events:
        async for envelope in events:
            _print(envelope)
            if isinstance(envelope.event, IncidentResolved):
                await world.workspace.command("Mara Lindqvist", "incidents", "roi 7d")


async def _auto(world: Stage, scenario: Scenario | CiScenario) -> int:
    """Play the people too, until the incident is over."""
    try:
        async with asyncio.timeout(PLAY_SECONDS):
            with world.app.journal.subscribe() as events:
                if scenario is CONFIGURATION:
                    await scenario.start(world.cluster)
                    return await demo_scan.play(world, scenario, events, _print)
                async with asyncio.TaskGroup() as together:
                    playing = together.create_task(_begin(world, scenario))
                    incident_id = await _until_over(world, events)
                    playing.cancel()
    except TimeoutError:
        print(f"\nnot over after {PLAY_SECONDS:.0f} s")
        return 1
    status = await world.app.plane.status()
    if status.week is not None:
        print(f"\n{words(status.week, brief=True)}")
    problem = await _problem(world, scenario, incident_id)
    well = "The incident ended verified and resolved."
    if isinstance(scenario, CiScenario) and scenario.taken_back:
        well = "The release was taken back, which is verified, and the incident ended resolved."
    print(f"\n{problem or well}")
    return 1 if problem else 0


async def _until_over(world: Stage, events: AsyncIterator[Envelope]) -> str:
    """Follow the events, approve what is asked, and return the incident once it is resolved and its run has ended."""
    asked: dict[str, str] = {}
    resolved, finished = "", ""
    async for envelope in events:
        _print(envelope)
        match envelope.event:
            case ApprovalRequested(request):
                asked[f"approval:{request.id}"] = request.id
            case MessageSent(key, _, channel, ts) if key in asked:
                del asked[key]
                await world.workspace.click("Mara Lindqvist", channel, ts, "approval.approve")
            case IncidentResolved():
                resolved = envelope.incident_id
            case RunFinished():
                finished = envelope.incident_id
        if resolved and resolved == finished:
            return resolved
    return ""


async def _problem(world: Stage, scenario: Scenario | CiScenario, incident_id: str) -> str:
    """What is not as the scenario should end; empty where all is well."""
    journal = world.app.journal
    incident: Incident | None = await journal.incident(incident_id)
    if incident is None or incident.open:
        return "The incident is not resolved."
    runs = await journal.runs(incident_id=incident_id)
    approvals = await journal.approvals(incident_id=incident_id)
    executed = [approval for approval in approvals if approval.state is ApprovalState.CONSUMED]
    expected = _expected(scenario)
    if not expected:
        return "" if not executed else "Something was executed although nothing had to be."
    if tuple(approval.request.action.tool for approval in executed) != expected:
        return f"Expected {', then '.join(expected)} to be executed."
    if isinstance(scenario, CiScenario) and scenario.taken_back:
        taken = [fold(await journal.of_run(row.spec.id)).taken_back for row in runs]
        return "" if any(taken) else "The canary was not taken back."
    if not any(row.outcome is RunOutcome.REMEDIATED for row in runs):
        return "The change was not verified."
    return ""


def _expected(scenario: Scenario | CiScenario) -> tuple[str, ...]:
    if isinstance(scenario, CiScenario):
        return scenario.expected_tools
    return (scenario.expected_tool,) if scenario.expected_tool else ()


def _print(envelope: Envelope) -> None:
    text = line(envelope)
    if text:
        print(text, flush=True)
