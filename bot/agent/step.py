"""From a tool call to a decision: arguments -> Action -> the gate. Nothing here changes anything outside."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeGuard

from bot import brakes, metrics
from bot.agent import memory
from bot.agent.release import release_facts
from bot.agent.world import Journey, World
from domain.actions import Action, Effect
from domain.canonical import canonical, plain
from domain.decisions import Decision, Execution, Outcome
from domain.diagnosis import Proposal
from domain.errors import ArgumentsRefused, BadInput, ChatError, ToolError
from domain.events import DecisionMade, Event, ToolCallFinished, ToolCallRefused
from domain.ports import Tool, Understood, WriteTool
from domain.runs import Call, Run, ToolCall, ToolResult
from policies import brakes as rules, budget, gate

MAX_ARGUMENTS = 32_768


async def propose(journey: Journey, call: Call) -> list[Event]:
    """What the control plane makes of one call: a refusal, or a decision (with the result at once where it is deny)."""
    asked = call.call
    tool = journey.world.tools.get(asked.tool)
    if tool is None:
        return [_refused(asked, _unknown_tool(asked.tool, journey.world.tools))]
    try:
        understood = tool.understand(parse_arguments(asked.arguments))
        canonical(understood.arguments)  # what the journal cannot hold must not get further than this
    except BadInput as error:
        return [_refused(asked, f"unusable arguments: {error}")]
    repeated = budget.repeated(journey.run, asked)
    if repeated:
        return [_refused(asked, repeated)]
    target = journey.world.placed(understood.target)
    action = Action(asked.tool, understood.arguments, tool.effect, target, why=_why(journey.run, tool, understood))
    if is_write(tool):
        await journey.flush()  # the model's answer is on disk before the target of a change is looked at
        try:
            action = await observe(action, tool)
        except ToolError as error:
            return [failed(asked, f"{asked.tool} cannot be proposed: {journey.world.redactor.text(str(error)).text}")]
        if refusal := budget.out_of_actions(journey.run):
            metrics.budget_stops.labels("actions").inc()
            return [_refused(asked, refusal)]
        if refusal := await memory.said_already(journey, action):
            return [_refused(asked, refusal)]
    return await decided(journey, asked, action)


async def decided(journey: Journey, asked: ToolCall, action: Action) -> list[Event]:
    """The gate's decision on an action as events."""
    situation, decision = await decide(journey.world, journey.run, action)
    events: list[Event] = [DecisionMade(asked.id, action, decision, situation)]
    if decision.outcome is Outcome.DENY:
        rule = f" (rule {decision.rule})" if decision.rule else ""
        events.append(failed(asked, f"{asked.tool} was denied by policy{rule}: {decision.reason}"))
    return events


async def observe(action: Action, tool: WriteTool) -> Action:
    """The action with the target's state as it is now, its dry-run diff and its undo. Raises ToolError."""
    preview = await tool.preview(action.arguments)
    return replace(
        action,
        observed=plain(preview.observed),
        facts=plain(preview.facts),
        touches=preview.touches,
        diff=preview.diff,
        undo=preview.undo,
    )


async def decide(
    world: World, run: Run, action: Action, intent: Execution | None = None
) -> tuple[Mapping[str, Any], Decision]:
    """The gate's answer with the whole server-computed input. The mode's and the brakes' floor is on top of policy.

    `intent` is where this very action was begun already: it does not count against itself.
    """
    began, policy, now = time.perf_counter(), world.policy(), world.clock()
    reading, against = action.effect is Effect.READ, await brakes.against(world, run, action, intent)
    rates = (
        {} if reading else rules.without(await world.journal.rates(action.target.key, rules.since(now)), intent, now)
    )
    trust = {} if reading else await world.journal.trust(action.tool, action.target.environment)
    situation = gate.situation(
        action=action,
        run=run.spec,
        mode=world.mode(),
        tainted=run.tainted,
        cost_micros=run.usage.cost_micros,
        requester_groups=() if reading else await _groups_of(world, run.spec.requester),
        rate={} if reading else rules.rates(rates, against.acted),
        trust=trust,
        now=now,
        policy=policy,
        release=release_facts(run, action),
    )
    decision = gate.under_mode(gate.decide(policy, situation), world.mode(), action, policy)
    decision = rules.braked(decision, against.brakes, against.acted, action, policy)
    metrics.decision_seconds.observe(time.perf_counter() - began)
    return situation, decision


def parse_arguments(text: str) -> Mapping[str, Any]:
    """The argument text as a JSON object. Raises ArgumentsRefused: unusable JSON is an error, never an empty object."""
    if len(text) > MAX_ARGUMENTS:
        raise ArgumentsRefused(f"they are {len(text)} characters long, the limit is {MAX_ARGUMENTS}")
    try:
        value = json.loads(text or "{}", object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise ArgumentsRefused(f"not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise ArgumentsRefused(f"a JSON object is expected, not {type(value).__name__}")
    return value


def is_write(tool: Tool) -> TypeGuard[WriteTool]:
    """Whether a tool changes something; by its effect in the server's own table."""
    return tool.effect is not Effect.READ


def failed(asked: ToolCall, sentence: str) -> ToolCallFinished:
    """A call that ended without effect, and why."""
    return ToolCallFinished(ToolResult(asked.id, asked.tool, ok=False, text=sentence))


def _refused(asked: ToolCall, reason: str) -> ToolCallRefused:
    return ToolCallRefused(asked.id, asked.tool, reason)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ArgumentsRefused("a key is given twice")
    return result


def _unknown_tool(name: str, tools: Mapping[str, Tool]) -> str:
    return f"there is no tool {name!r}; the tools are {', '.join(sorted(tools)) or 'none: no system is connected'}"


def _why(run: Run, tool: Tool, asked: Understood) -> str:
    """The analyzers' words where they propose this very change, else the proposer's own; labelled as such on the card."""
    for finding in run.findings or ():
        if finding.proposal is not None and _is_of(finding.proposal, tool, asked):
            return finding.proposal.why
    return run.answers[-1].text[:500] if run.answers else ""


def _is_of(proposal: Proposal, tool: Tool, asked: Understood) -> bool:
    """Whether a call is what a finding proposes: the same tool with the same arguments, defaults filled in."""
    if proposal.tool != tool.name:
        return False
    try:
        return canonical(tool.understand(proposal.arguments).arguments) == canonical(asked.arguments)
    except BadInput:
        return False


async def _groups_of(world: World, user: str) -> tuple[str, ...]:
    """The policy's groups that a person is in. Where Slack cannot answer, none: fewer rights, never more."""
    if not user:
        return ()
    found = []
    for name, references in world.policy().groups.items():
        try:
            if any([user in await world.directory.members(reference) for reference in references]):
                found.append(name)
        except ChatError:
            continue
    return tuple(found)
