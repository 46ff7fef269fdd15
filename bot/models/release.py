"""A release by the built-in rules: the whole deployment is asked for, and where policy refuses that, a canary first. Pure.

Policy alone chooses the way. What it refuses is not asked for again; a canary that did well is followed by the whole, one that
did not by its undo.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.canonical import canonical, plain
from domain.decisions import ExecutionOutcome, Outcome
from domain.diagnosis import Finding, Proposal
from domain.runs import Call, Run

ASSESSED = "release.risk"
PLAY = "gitlab_play_job"


def next_proposal(run: Run, found: Finding) -> Proposal | None:
    """What to ask for next, None where nothing is left to ask."""
    whole, canary = found.facts.get("whole"), found.facts.get("canary")
    made = _made(run)
    if not isinstance(whole, Mapping):
        return None
    if not made:
        return Proposal(PLAY, whole, f"{found.title}.")
    last = made[-1]
    if last.execution is not None:
        return _after(run, found, last, whole)
    refused = last.decision is not None and last.decision.outcome is Outcome.DENY and last.result is not None
    if refused and isinstance(canary, Mapping) and not _asked(made, canary):
        return Proposal(PLAY, canary, f"{found.title}. {last.decision.reason if last.decision else ''}".strip())
    return None


def _after(run: Run, found: Finding, last: Call, whole: Mapping[str, Any]) -> Proposal | None:
    """After a deployment: the whole behind a canary that did well, the undo behind what did not."""
    execution = last.execution
    if execution is None:
        return None
    if execution.verified:
        went_well = "The canary did well" if not _is(last, whole) else ""
        return Proposal(PLAY, whole, f"{found.title}. {went_well}.") if went_well else None
    failed = execution.verified is False and execution.outcome is not ExecutionOutcome.FAILED
    undo = execution.undo
    if (
        not failed
        or undo is None
        or any(call.call.tool == undo.tool and _is(call, undo.arguments) for call in _made(run))
    ):
        return None
    why = "; ".join(f"{check.name}: {check.detail}" for check in execution.checks if not check.passed)
    return Proposal(undo.tool, undo.arguments, f"It did not do well ({why}). {undo.note}")


def what_became(run: Run, found: Finding) -> str:
    """The release's end in a few words: Released, Held, and so on."""
    whole, made = found.facts.get("whole"), _made(run)
    if not made or not isinstance(whole, Mapping):
        return "Nothing waits to be deployed" if not isinstance(whole, Mapping) else "Nothing was deployed"
    for call in reversed(made):
        if call.execution is not None and _is(call, whole) and call.execution.verified:
            canary = (
                " after a canary" if sum(1 for each in made if each.execution and each.execution.verified) > 1 else ""
            )
            return f"Released{canary}"
    done = [call for call in made if call.execution is not None]
    if not done:
        denied = all(call.decision is not None and call.decision.outcome is Outcome.DENY for call in made)
        return "Held" if denied else "Not released"
    if done[-1].execution is not None and done[-1].execution.verified:
        return (
            "Taken back" if len(done) > 1 and done[-2].execution and not done[-2].execution.verified else "Canary only"
        )
    return "Not released: it did not do well"


def _made(run: Run) -> list[Call]:
    """The changes that were asked for in this run, in order."""
    return [
        call
        for call in run.calls.values()
        if call.step > 0 and not (call.action and call.action.effect.value == "read")
    ]


def _asked(made: list[Call], arguments: Mapping[str, Any]) -> bool:
    return any(_is(call, arguments) for call in made)


def _is(call: Call, arguments: Mapping[str, Any]) -> bool:
    """Whether a call is about these arguments; defaults that the tool fills in make no difference."""
    if call.action is None:
        return call.call.arguments == canonical(plain(arguments)).decode()
    return all(call.action.arguments.get(name) == value for name, value in plain(arguments).items())
