"""Events as sentences: what a stranger reads while the demo plays."""

from __future__ import annotations

import textwrap

from domain import events
from domain.actions import Effect, phrase
from domain.decisions import Outcome, Verdict
from domain.diagnosis import Confidence
from domain.events import Envelope

WIDTH = 118


def line(envelope: Envelope) -> str:
    """One event in a sentence, or nothing where it is of no interest to a reader."""
    who, text = _told(envelope.event)
    if not text:
        return ""
    first, *rest = text.splitlines()
    wrapped = textwrap.wrap(first, WIDTH - 24) or [first]
    lines = [f"{envelope.at:%H:%M:%S}  {who:<12} {wrapped[0]}", *(f"{'':<23}{part}" for part in wrapped[1:])]
    return "\n".join(lines + [f"{'':<23}│ {part}"[:WIDTH] for part in rest])


def _told(event: events.Event) -> tuple[str, str]:
    match event:
        case events.IncidentOpened(incident):
            return "Monitor", f"{incident.severity.value}: {incident.title} ({incident.target})"
        case events.IncidentResolved(reason):
            return "Monitor", f"Resolved: {reason}"
        case events.FindingsReported(findings, took_ms):
            titles = "\n".join(finding.title for finding in findings) or "nothing looks wrong"
            return "Agent", f"First findings after {took_ms} ms:\n{titles}"
        case events.ModelFailed(_, model, reason):
            return "Agent", f"{model} {reason}: the built-in rules go on alone"
        case events.DiagnosisConcluded(diagnosis):
            confidence = {Confidence.NOT_PROVEN: "not proven"}.get(diagnosis.confidence, diagnosis.confidence.value)
            return "Agent", f"Diagnosis ({confidence}, by {diagnosis.by}): {diagnosis.summary}"
        case events.RunFinished(outcome, reason):
            return "Agent", f"Run ended: {outcome.value.replace('_', ' ')}, {reason}"
    return _told_of_change(event)


def _told_of_change(event: events.Event) -> tuple[str, str]:
    match event:
        case events.DecisionMade(_, action, decision) if (
            decision.outcome is Outcome.DENY and action.effect is not Effect.READ
        ):
            return "Policy", f"Refuses to {phrase(action)} (rule {decision.rule or 'none'}): {decision.reason}"
        case events.ApprovalRequested(request):
            arguments = ", ".join(f"{key}={value}" for key, value in request.action.arguments.items())
            head = f"Asks for approval: {request.action.tool}({arguments})"
            changed = [
                text for text in request.action.diff.splitlines() if text[:1] in "+-" and text[:3] not in ("+++", "---")
            ]
            rule = f"rule {request.decision.rule}, digest {request.digest[:12]}, touches {request.action.touches}"
            return "Agent", "\n".join([head, rule, *changed[:8]])
        case events.VoteCast(_, vote):
            verb = "approves" if vote.verdict is Verdict.APPROVE else f"denies: {vote.reason}"
            return vote.name or vote.user, f"{verb} (digest {vote.digest[:12]})"
        case events.VoteRefused(_, user, reason):
            return user, f"may not: {reason}"
        case events.ApprovalClosed(_, state, reason):
            return "Agent", f"Approval request {state.value}: {reason}"
        case events.ExecutionStarted(execution_id, _, action):
            return "Agent", f"Executes {action.tool} on {action.target} ({execution_id})"
        case events.ExecutionFinished(_, outcome, detail):
            return "Agent", f"{'Executed' if outcome.value == 'succeeded' else outcome.value.capitalize()}: {detail}"
        case events.VerificationPassed(_, checks, took_ms):
            return "Agent", f"Verified after {took_ms} ms:\n" + "\n".join(
                f"✓ {check.name}: {check.detail}" for check in checks
            )
        case events.VerificationFailed(_, checks, took_ms):
            marks = "\n".join(f"{'✓' if check.passed else '✗'} {check.name}: {check.detail}" for check in checks)
            return "Agent", f"Not verified after {took_ms} ms:\n{marks}"
    return "", ""
