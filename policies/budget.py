"""What one run may use, and calls that repeat."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import takewhile

from domain.decisions import Approval, Execution
from domain.runs import Run, ToolCall


@dataclass(frozen=True)
class Remaining:
    """What a run has left; never below zero. Units as in Budget."""

    steps: int
    tokens: int
    cost_micros: int
    seconds: int
    actions: int


def remaining(run: Run, now: datetime) -> Remaining:
    """The run's budget less what it used until now."""
    budget, usage = run.spec.budget, run.usage
    return Remaining(
        steps=max(0, budget.steps - run.step),
        tokens=max(0, budget.tokens - usage.input_tokens - usage.output_tokens),
        cost_micros=max(0, budget.cost_micros - usage.cost_micros),
        seconds=max(0, budget.seconds - int((machine_time(run, now) - _watched(run)).total_seconds())),
        actions=max(0, budget.actions - len(run.executions)),
    )


def exhausted(run: Run, now: datetime) -> str:
    """Which budget is used up (steps, tokens, cost or seconds), empty while the run may go on.

    One step is kept back: the last step of a run has no tools, so that it ends in a conclusion.
    """
    left = remaining(run, now)
    if left.steps <= 1:
        return "steps"
    if left.tokens == 0:
        return "tokens"
    if left.cost_micros == 0 and run.usage.cost_micros:
        return "cost"
    return "seconds" if left.seconds == 0 else ""


def out_of_actions(run: Run, intent: Execution | None = None) -> str:
    """Why this run may change nothing more, empty while it may. `intent`: the one that is asked for, of this run already."""
    actions, made = run.spec.budget.actions, len(run.executions) - (intent is not None)
    return f"This run has made its {actions} changes." if made >= actions else ""


def machine_time(run: Run, now: datetime) -> timedelta:
    """How long the run has worked, without the time that it waited for people."""
    waited = sorted((each.request.requested_at, _answered(each, now)) for each in run.approvals)
    total, until = (run.finished_at or now) - run.started_at, run.started_at
    for begin, end in waited:  # waits may overlap: each moment is taken off once
        begin = max(begin, until)
        if end > begin:
            total -= end - begin
            until = end
    return max(total, timedelta())


def _watched(run: Run) -> timedelta:
    """How long the run's changes took and were watched: a release is watched for minutes in which nothing is worked on."""
    ended = ((each.started_at, each.verified_at) for each in run.executions)
    return sum((until - since for since, until in ended if until is not None), timedelta())


def _answered(approval: Approval, now: datetime) -> datetime:
    """When an approval request stopped waiting."""
    if approval.closed_at is not None:
        return approval.closed_at
    return approval.execution.started_at if approval.execution else now


def repeated(run: Run, call: ToolCall) -> str:
    """Why this call need not be made: the same one was answered and nothing was changed since. Empty where it may go.

    A call that failed once may be tried once more.
    """
    same, failures = _identity(call), 0
    for earlier in reversed(list(takewhile(lambda other: other.call.id != call.id, run.calls.values()))):
        if earlier.execution is not None:
            return ""
        if _identity(earlier.call) != same:
            continue
        if earlier.result is None:
            if call.id in run.calls and run.calls[call.id].step == earlier.step:
                return f"{call.tool} is called with these arguments in this turn already."
            continue
        if earlier.result.ok:
            cited = f" as {earlier.result.evidence_id}" if earlier.result.evidence_id else ""
            return f"{call.tool} was called with these arguments before; its answer is above{cited}."
        failures += 1
        if failures == 2:
            return f"{call.tool} failed twice with these arguments: {earlier.result.text}"
    return ""


def _identity(call: ToolCall) -> tuple[str, str]:
    return call.tool, _sorted(call.arguments)


@lru_cache(maxsize=4096)  # each call is compared with every earlier one of its run
def _sorted(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments or "{}"), sort_keys=True)
    except (ValueError, RecursionError):
        return arguments
