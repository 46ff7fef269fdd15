"""`personal-agent eval DIR`: scenario files against the rules or a model, many at once; what was named and what was proposed.

Each scenario is a cluster of its own on loopback that is as the file says, read by the real client and tools. The agent only
observes: what it would propose is decided by the shipped policy and recorded, nothing is executed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot import tools
from bot.agent.loop import advance
from bot.agent.world import World
from bot.analyzers import target_from_text
from bot.config import Settings, load
from bot.evaluation import Scenario, Verdict, judge, read_folder, table
from bot.local.cluster import Cluster, Written
from bot.local.cluster.short import claim, job, node, service, told
from bot.local.cluster.written import LogKey, ago, workload
from bot.models.openai import connect
from bot.models.rules import Rules
from bot.policy_files import PolicyFiles
from domain.actions import Effect, Mode
from domain.alerts import Incident
from domain.decisions import Approval, Outcome
from domain.errors import AgentError, ChatError, SettingsError
from domain.events import DecisionMade, Draft, RunStarted
from domain.ports import Model, Person
from domain.runs import Origin, Run, RunSpec
from domain.scans import KnownFinding
from policies.redaction import Redactor
from storage.journal import open_journal

SECONDS = 300.0
"""A scenario's time limit: a served model may take several minutes."""


def run(options: argparse.Namespace) -> int:
    """0 where every scenario passes, 1 where one does not."""
    scenarios = [one for one in read_folder(Path(options.folder)) if options.only in one.name]
    if not scenarios:
        raise SettingsError(f"--only: no scenario's name has {options.only!r} in it")
    verdicts = asyncio.run(_all(scenarios, load(), options))
    if options.json:
        print(json.dumps([asdict(one) | {"passed": one.passed} for one in verdicts], ensure_ascii=False, indent=1))
    else:
        print("\n".join(table(verdicts)))
    return int(not all(one.passed for one in verdicts))


async def evaluate(scenario: Scenario, model: Callable[[AsyncExitStack], Model] = lambda _: Rules()) -> Verdict:
    """One scenario, in a world of its own. What goes wrong is the verdict's `failed`."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(SECONDS), AsyncExitStack() as stack:
            return await _judged(stack, scenario, model(stack), began)
    except (AgentError, TimeoutError) as error:
        took = round((time.perf_counter() - began) * 1000)
        reason = str(error) or f"no answer within {SECONDS:.0f} s"
        return Verdict(scenario.name, scenario.group, False, False, "", (), "", took_ms=took, failed=reason)


async def _judged(stack: AsyncExitStack, scenario: Scenario, model: Model, began: float) -> Verdict:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="personal-agent-eval-")))
    cluster = await stack.enter_async_context(Cluster(written=written(scenario)))
    box = await tools.connect(
        tools.Systems(kubeconfig=str(cluster.write_kubeconfig(folder / "kubeconfig"))), _production
    )
    stack.push_async_callback(box.close)
    journal = await stack.enter_async_context(open_journal(folder / "journal.db", "eval"))
    policy = PolicyFiles("", box.schemas, {"AGENT_APPROVERS": ("@approvers",)})
    policy.reload()
    world = World(
        journal=journal,
        chat=_Silent(),  # type: ignore[arg-type]  # an observed run says no more than this
        directory=_Nobody(),
        tools={tool.name: tool for tool in box.tools},
        model=model,
        rules=Rules(),
        redactor=Redactor(),
        policy=lambda: policy.current,
        environment=_production,
        mode=lambda: Mode.OBSERVE,
        paused=lambda: "",
        clock=lambda: datetime.now(UTC),
    )
    origin = Origin.ALERT if scenario.alert else Origin.COMMAND
    target = (
        scenario.target if scenario.alert else replace(target_from_text(scenario.question), environment="production")
    )
    spec = RunSpec("run-eval", "", origin, model.name, Mode.OBSERVE, target, scenario.question, alert=scenario.alert)
    await journal.append(Draft(RunStarted(spec), run_id=spec.id))
    ran = await advance(world, spec.id)
    proposed = [
        each.event.action.tool
        for each in await journal.of_run(spec.id)
        if isinstance(each.event, DecisionMade)
        and each.event.action.effect is not Effect.READ
        and each.event.decision.outcome is not Outcome.DENY
    ]
    return judge(scenario, ran, proposed, round((time.perf_counter() - began) * 1000))


def written(scenario: Scenario) -> Written:
    """The scenario's world as the stand-in cluster takes it. Raises SettingsError that names the scenario."""
    world = scenario.world
    objects: list[dict[str, Any]] = [_namespace(name) for name in world.get("namespaces") or ("default", "shop")]
    logs: dict[LogKey, tuple[str, ...]] = {}
    try:
        for said in world.get("workloads") or ():
            one = workload(_aged(said))
            objects += one.objects
            logs.update(one.logs)
        for part, write in _SHORT.items():
            objects += [write(_aged(said)) for said in world.get(part) or ()]
        objects += [one for said in world.get("jobs") or () for one in job(_aged(said))]
        objects += [_aged(said) for said in world.get("objects") or ()]
        for key, lines in (world.get("logs") or {}).items():
            namespace, pod, container, *previous = str(key).split("/")
            logs[(namespace, pod, container, bool(previous))] = tuple(map(str, lines))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SettingsError(f"{scenario.name}: world: {error}") from error
    return Written(tuple(objects), logs)


_SHORT: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "nodes": node,
    "services": service,
    "claims": claim,
    "events": told,
}


def _aged(value: Any) -> Any:
    """`ago(5m)` in a text becomes that timestamp."""
    if isinstance(value, Mapping):
        return {key: _aged(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_aged(inner) for inner in value]
    if isinstance(value, str) and value.startswith("ago(") and value.endswith(")"):
        return ago(value[4:-1])
    return value


def _namespace(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}, "status": {"phase": "Active"}}


def _production(*_places: str) -> str:
    return "production"


async def _all(scenarios: Sequence[Scenario], settings: Settings, options: argparse.Namespace) -> list[Verdict]:
    limit, done = asyncio.Semaphore(options.at_once), list[Verdict]()
    model = _model(settings, options.model)

    async def one(scenario: Scenario) -> Verdict:
        async with limit:
            verdict = await evaluate(scenario, model)
        done.append(verdict)
        if sys.stderr.isatty():
            passed = sum(each.passed for each in done)
            print(f"\r{len(done)} of {len(scenarios)}, {passed} passed ", end="", file=sys.stderr, flush=True)
        return verdict

    found = await asyncio.gather(*(one(scenario) for scenario in scenarios))
    if sys.stderr.isatty():
        print(file=sys.stderr)
    return found


def _model(settings: Settings, name: str) -> Callable[[AsyncExitStack], Model]:
    """The rules, or a served model of this name. Raises SettingsError where there is no key for one."""
    if name in ("", "rules"):
        return lambda _: Rules()
    key = settings.openai_api_key.get_secret_value()
    if not key:
        raise SettingsError("--model: OPENAI_API_KEY is not set; without it only the rules can be evaluated")

    def connected(stack: AsyncExitStack) -> Model:
        model = connect(key, settings.openai_base_url, name, context=settings.openai_context)
        stack.push_async_callback(model.aclose)
        return model

    return connected


class _Nobody:
    """A directory without people: nobody is asked here."""

    async def person(self, user_id: str) -> Person:
        raise ChatError("there is no Slack in an evaluation")

    async def members(self, reference: str) -> frozenset[str]:
        return frozenset()

    async def mention(self, reference: str) -> str:
        return reference


class _Silent:
    """Slack where nobody listens."""

    async def approval(self, approval: Approval) -> None: ...
    async def incident(self, incident: Incident, *, status: str = "") -> None: ...
    async def progress(self, run: Run) -> None: ...
    async def diagnosis(self, run: Run) -> None: ...
    async def scan(self, run: Run, known: Sequence[KnownFinding], now: datetime) -> None: ...
    async def notice(self, incident_id: str, key: str, text: str) -> None: ...
