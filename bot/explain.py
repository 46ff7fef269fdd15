"""Why: what was decided about an action, by which rule, on what facts, by whom; in sentences for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot import brakes
from bot.agent.release import release_facts
from bot.agent.step import is_write, observe
from bot.agent.world import World
from domain.actions import Action, Mode, Target, digest
from domain.decisions import Approval, ApprovalRequest, Decision, Execution, RuleVerdict, Vote
from domain.errors import BadInput
from domain.events import DecisionMade
from domain.runs import Origin, Run, RunSpec
from policies import brakes as rules, gate
from policies.conditions import nearest
from policies.rules import Policy


async def why(world: World, reference: str) -> str:
    """Why an action was decided as it was. `reference` is an approval id or a unique start of it. Raises BadInput."""
    reference = reference.strip()
    if batch := await world.journal.of_batch(reference):
        return "\n\n".join([await why(world, each.request.id) for each in batch])
    approval = await _find(world, reference)
    request = approval.request
    situation = await _situation(world, request)
    lines = [
        f"{request.action.tool} on {request.action.target} ({request.action.target.environment})",
        f"Decision: {request.decision.outcome.value} by rule {request.decision.rule or 'none'}: {request.decision.reason}",
        f"Policy {request.decision.policy_hash[:12]}, digest {request.digest[:12]}, asked {request.requested_at:%H:%M:%S} UTC",
        *_rules(world.policy(), request.decision, situation),
        f"State: {approval.state.value}{_because(approval)}",
        *(
            f"{_voter(vote)}: {vote.verdict.value}{': ' + vote.reason if vote.reason else ''}"
            for vote in approval.votes
        ),
        *_executed(approval.execution),
    ]
    facts = [f"{root}: {_flat(value)}" for root, value in situation.items() if value]
    return "\n".join([*lines, *facts])


async def explain(world: World, tool_name: str, arguments: Mapping[str, Any], user: str) -> str:
    """What policy says of an action now, rule by rule; nothing is proposed. Raises BadInput, ArgumentsRefused, ToolError."""
    tool = world.tools.get(tool_name)
    if tool is None:
        known = ", ".join(sorted(world.tools)) or "none"
        raise BadInput(f"There is no tool {tool_name}{nearest(tool_name, world.tools)}; the tools are {known}.")
    understood = tool.understand(arguments)
    target = world.placed(understood.target)
    action = Action(tool_name, understood.arguments, tool.effect, target)
    if is_write(tool):
        action = await observe(action, tool)
    policy, now, mode = world.policy(), world.clock(), world.mode()
    spec = RunSpec("explain", "", Origin.COMMAND, world.model.name, mode, Target(), requester=user)
    stands = await brakes.against(world, Run(spec, now), action)
    situation = gate.situation(
        action=action,
        run=spec,
        mode=mode,
        tainted=False,
        cost_micros=0,
        requester_groups=(),
        rate=rules.rates(await world.journal.rates(target.key, rules.since(now)), stands.acted),
        trust=await world.journal.trust(tool_name, target.environment),
        now=now,
        policy=policy,
        release=release_facts(Run(spec, now), action),
    )
    decision = gate.under_mode(gate.decide(policy, situation), mode, action, policy)
    decision = rules.braked(decision, stands.brakes, stands.acted, action, policy)
    return "\n".join([_headline(action, decision, mode), *_verdicts(gate.explain(policy, situation), policy)])


async def _find(world: World, reference: str) -> Approval:
    if not reference:
        raise BadInput("Say which: why <approval id>, as the card shows it.")
    exact = await world.journal.approval(reference)
    if exact is not None:
        return exact
    recent = await world.journal.approvals(limit=200)
    found = [
        a
        for a in recent
        if a.request.id.startswith((reference, f"apr-{reference}")) or a.request.digest.startswith(reference)
    ]
    if len(found) != 1:
        what = "no approval request" if not found else f"{len(found)} approval requests"
        raise BadInput(f"{what[0].upper()}{what[1:]} match {reference!r}; give the id from the card.")
    return found[0]


def _voter(vote: Vote) -> str:
    behalf = f" for {vote.on_behalf_of}" if vote.on_behalf_of else ""
    return f"{vote.name or vote.user}{behalf}{f' (alone, break-glass {vote.break_glass})' if vote.break_glass else ''}"


def _rules(policy: Policy, decision: Decision, situation: Mapping[str, Any]) -> list[str]:
    """Every rule with why, where the policy that decided is still in force; else what was recorded of it then."""
    if situation and policy.hash == decision.policy_hash:
        return _verdicts(gate.explain(policy, situation), policy)
    return [
        *_verdicts(decision.verdicts, policy),
        "The policy has changed since: these are the rules that had a say then.",
    ]


async def _situation(world: World, request: ApprovalRequest) -> Mapping[str, Any]:
    """What this very decision was made on: an edit or a target that moved is decided afresh, on other facts."""
    for envelope in await world.journal.of_run(request.run_id):
        event = envelope.event
        if isinstance(event, DecisionMade) and digest(event.action, event.decision.policy_hash) == request.digest:
            return event.situation
    return {}


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_flat(item)}" for key, item in value.items())
    return str(value)


def _headline(action: Action, decision: Decision, mode: Mode) -> str:
    rule = f" (rule {decision.rule})" if decision.rule else ""
    return f"{action.tool} on {action.target}, mode {mode.value}: {decision.outcome.value}{rule}. {decision.reason}"


def _verdicts(verdicts: tuple[RuleVerdict, ...], policy: Policy) -> list[str]:
    words = {"matched": "matched", "not_matched": "did not match", "error": "could not be evaluated"}
    return [
        f"• {verdict.rule} ({verdict.decision.value}{'' if verdict.mode == 'enforce' else ', ' + verdict.mode}"
        f"{_owner(policy, verdict)}): "
        f"{words.get(verdict.result, verdict.result)}{' – ' + verdict.detail if verdict.detail else ''}"
        for verdict in verdicts
    ]


def _owner(policy: Policy, verdict: RuleVerdict) -> str:
    rule = policy.rule(verdict.rule)
    return f", owned by {rule.owner}" if rule and rule.owner and verdict.result != "not_matched" else ""


def _because(approval: Approval) -> str:
    by = f" by {approval.closed_by}" if approval.closed_by else ""
    return f"{by}{': ' + approval.closed_reason if approval.closed_reason else ''}"


def _executed(execution: Execution | None) -> list[str]:
    if execution is None:
        return []
    verified = {True: "verified", False: "not verified", None: "not yet verified"}[execution.verified]
    outcome = execution.outcome.value if execution.outcome else "under way"
    return [f"Execution {execution.id}: {outcome}, {verified}. {execution.detail}"]
