"""Brakes on top of policy: circuit breakers, demotions, and problems that come back. They only ever take away.

Policy decides first. What stands here then turns an *allow* into an *ask*, or makes the whole thing a record that cannot
execute. Nothing here lets anything through that policy did not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from domain.actions import Action, Effect
from domain.brakes import AGENT_SCOPE, Brakes
from domain.decisions import Decision, Execution, Outcome
from domain.runs import Run
from policies.rules import Policy

WINDOW = timedelta(hours=1)
"""What rates, failures and repeats are counted over."""
TOOL_FAILURES = 3
"""So many failed or reverted executions of one tool within the window open its breaker."""
AGENT_FAILURES = 5
"""So many of all tools together open the agent's."""
SAME_PROBLEM = 2
"""So many changes for the same problem within the window: the next one asks a person."""
MAX_PROBLEMS = 6


@dataclass(frozen=True)
class Trip:
    """A breaker that has to open."""

    scope: str
    reason: str
    executions: tuple[str, ...]


def since(now: datetime) -> datetime:
    """The start of the window."""
    return now - WINDOW


def trips(brakes: Brakes) -> tuple[Trip, ...]:
    """The breakers that have to open and are not open yet."""
    standing = {breaker.scope for breaker in brakes.breakers}
    return tuple(
        Trip(scope, _too_many(scope, ids), ids)
        for scope, ids in brakes.failures.items()
        if scope not in standing and len(ids) >= _limit(scope)
    )


def observing(brakes: Brakes, tool: str) -> str:
    """Why this tool only observes, and how that ends; empty where it may act. A breaker due to open counts as open."""
    reasons = {breaker.scope: breaker.reason for breaker in brakes.breakers}
    reasons |= {trip.scope: trip.reason for trip in trips(brakes)}
    for scope in (AGENT_SCOPE, tool):
        if scope in reasons:
            return f"{reasons[scope]} {how_to_reset(scope)}"
    return ""


def asking(brakes: Brakes, acted: int, tool: str, environment: str) -> str:
    """Why a person is asked, whatever policy allows; empty where policy decides."""
    demotion = demoted(brakes, tool, environment)
    if demotion:
        return demotion
    if acted >= SAME_PROBLEM:
        return (
            f"The same problem was acted on {acted} times within the hour and is back, so acting again asks a person:"
            " look at the cause."
        )
    return ""


def demoted(brakes: Brakes, tool: str, environment: str) -> str:
    """Why this tool asks in this environment until somebody restores it; empty where it does not."""
    for each in brakes.demotions:
        if (each.tool, each.environment) == (tool, environment):
            return f"{each.reason} {how_to_restore(tool, environment)}"
    for revert in brakes.reverts:
        if (revert.tool, revert.environment) == (tool, environment):
            return f"{was_reverted(revert.execution_id, tool, environment)} {how_to_restore(tool, environment)}"
    return ""


def braked(decision: Decision, brakes: Brakes, acted: int, action: Action, policy: Policy) -> Decision:
    """What the brakes leave of a decision on a change. A deny and a read stay as they are."""
    if decision.outcome is Outcome.DENY or action.effect is Effect.READ:
        return decision
    observe = observing(brakes, action.tool)
    ask = asking(brakes, acted, action.tool, action.target.environment)
    reasons = [reason for reason in (observe, ask) if reason]
    if not reasons:
        return decision
    decision = replace(decision, warnings=(*reasons, *decision.warnings), observe=observe)
    if decision.outcome is Outcome.ASK:
        return decision
    terms = decision.terms or policy.default_terms(action.effect)
    reason = f"{reasons[0]} The rule {decision.rule} would allow it."
    warnings = tuple(reasons[1:])
    if policy.nobody_in(terms):
        warnings = (*warnings, f"Nobody can approve this: no person is set for {', '.join(terms.groups)}.")
    return replace(decision, outcome=Outcome.ASK, reason=reason, terms=terms, warnings=warnings)


def problems(run: Run, action: Action) -> tuple[str, ...]:
    """What a change is meant to help with: its alert, and the findings about its target. The same words every time."""
    if run.spec.undoes:
        return ()
    names = [f"alert {run.spec.alert.fingerprint}"] if run.spec.alert else []
    broken = [found for found in run.findings or () if not found.healthy and found.target.key == action.target.key]
    names += [f"{found.code} on {found.target.key}" for found in broken]
    return tuple(dict.fromkeys(names))[:MAX_PROBLEMS]


def was_reverted(execution_id: str, tool: str, environment: str) -> str:
    """The sentence of a demotion."""
    return (
        f"{execution_id} was taken back, so {tool} asks a person in {environment} from here on, whatever policy allows."
    )


def how_to_reset(scope: str) -> str:
    """What a person does about an open breaker."""
    return f"Nothing of it executes until a person has looked and says /agent reset {scope}."


def how_to_restore(tool: str, environment: str) -> str:
    """What a person does about a demotion."""
    return f"A person lifts that with /agent restore {tool} {environment}."


def sentences(brakes: Brakes) -> tuple[str, ...]:
    """Everything that stands, one sentence each."""
    return (
        *(f"{opened.reason} {how_to_reset(opened.scope)}" for opened in brakes.breakers),
        *(f"{each.reason} {how_to_restore(each.tool, each.environment)}" for each in brakes.demotions),
    )


def counts(intent: Execution | None, now: datetime) -> bool:
    """Whether an intent is among what was counted within the window."""
    return intent is not None and intent.started_at >= since(now)


def without(counted: Mapping[str, int], intent: Execution | None, now: datetime) -> Mapping[str, int]:
    """The journal's counts of the window as they were before this intent."""
    if intent is None or not counts(intent, now):
        return counted
    own = {"target": 1, "agent": 1, "touches": intent.action.touches}
    return {name: number - own.get(name, 0) for name, number in counted.items()}


def rates(counted: Mapping[str, int], acted: int) -> dict[str, int]:
    """The journal's counts of the window as policy's `rate` facts take them."""
    return {**counted, "problem": acted}


def _limit(scope: str) -> int:
    return AGENT_FAILURES if scope == AGENT_SCOPE else TOOL_FAILURES


def _too_many(scope: str, ids: Sequence[str]) -> str:
    of = "the agent's executions" if scope == AGENT_SCOPE else f"executions of {scope}"
    what = "the agent" if scope == AGENT_SCOPE else scope
    shown = ", ".join(ids[-5:])
    return (
        f"Circuit breaker: {len(ids)} {of} failed, did not help or were taken back within an hour ({shown}), so {what}"
        " only observes."
    )
