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
from domain.releases import PLAY
from domain.runs import Call, Run

HEAVY = 3
"""How many factors a card names."""


def next_proposal(run: Run, found: Finding) -> Proposal | None:
    """What to ask for next, None where nothing is left to ask."""
    whole, canary = _job(found, "whole"), _job(found, "canary")
    made = _made(run)
    first = canary if found.facts.get("canary_first") else whole
    if not made:
        return Proposal(PLAY, first, _why(found)) if first else None
    last = made[-1]
    if last.execution is not None:
        return _after(run, found, last, whole)
    refused = last.decision is not None and last.decision.outcome is Outcome.DENY and last.result is not None
    if refused and canary and not _asked(made, canary):
        return Proposal(PLAY, canary, _why(found, last.decision.reason if last.decision else ""))
    return None


def _after(run: Run, found: Finding, last: Call, whole: Mapping[str, Any]) -> Proposal | None:
    """After a deployment: the whole behind a canary that did well, the undo behind what did not."""
    execution = last.execution
    if execution is None:
        return None
    if execution.verified:
        canary_did_well = last.action is not None and last.action.facts.get("canary") is True
        earlier = any(each.execution and not each.execution.verified for each in _made(run))
        return (
            Proposal(PLAY, whole, _why(found, "The canary did well."))
            if whole and canary_did_well and not earlier
            else None
        )
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


def _why(found: Finding, because: str = "") -> str:
    """What the card says: what is released, why in this way, and what most of its risk is."""
    factors = [each for each in found.facts.get("factors") or () if len(each) == 4 and each[1]]
    heavy = sorted(factors, key=lambda each: -each[1])[:HEAVY]
    most = "; ".join(f"{name} {points} of {most}: {says}" for name, points, most, says in heavy)
    return " ".join(filter(None, (f"{found.title}.", because, f"Most of it: {most}." if most else "")))


def what_became(run: Run, found: Finding) -> str:
    """The release's end in a few words: Released, Held, and so on."""
    whole, made = _job(found, "whole"), _made(run)
    done = [call for call in made if call.execution is not None]
    good = [call for call in done if call.execution and call.execution.verified]
    if good and whole and _is(good[-1], whole):
        return "Released after a canary" if len(good) > 1 else "Released"
    if not done:
        denied = all(call.decision is not None and call.decision.outcome is Outcome.DENY for call in made)
        return "Held" if made and denied else "Not released"
    if run.taken_back:
        return "Taken back"
    if done[-1] in good:
        return "A canary is out, and the whole is not"
    return "Not released: it did not do well"


def called(call: Call) -> str:
    """What a deployment is called in a sentence; empty for any other change."""
    to = call.action.arguments.get("environment") if call.action is not None and call.call.tool == PLAY else ""
    if not to or call.action is None:
        return ""
    back = call.action.facts.get("deployed_before") is True
    return f"What {to} had before" if back else f"The deployment to {to}"


def _job(found: Finding, name: str) -> Mapping[str, Any]:
    """The call that starts the job, empty where there is none."""
    call = found.facts.get(name)
    return call if isinstance(call, Mapping) else {}


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
