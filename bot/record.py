"""What an incident's runs came to, as lines: what a follow-up question is answered from before anything is looked at again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from domain.alerts import Incident
from domain.decisions import Approval, Execution, Verdict
from domain.runs import Call, Run

MOST_LINES = 60
EVIDENCE_LINES, EVIDENCE_CHARACTERS = 3, 300


def record_of(incident: Incident, runs: Sequence[Run]) -> str:
    """The incident and its runs, oldest first; each line begins with the word for what it tells."""
    lines = [f"Incident: {incident.title}, {_state(incident)}", f"Alerts: {_alerts(incident)}"]
    for run in runs:
        lines += _of_run(run)
    return "\n".join(line.replace("\n", " ") for line in lines[:MOST_LINES])


def _of_run(run: Run) -> Iterator[str]:
    asked = f", asked: {run.spec.question}" if run.spec.question else ""
    yield f"Run: {run.id} at {_at(run.started_at)}{asked}"
    for found in run.findings or ():
        cited = ", ".join(item.id for item in found.evidence)
        yield f"Found: {found.title}" + (f" ({cited})" if cited else "")
    if run.diagnosis is not None:
        confidence = run.diagnosis.confidence.value.replace("_", " ")
        yield f"Cause: {run.diagnosis.summary} {run.diagnosis.cause} ({confidence}, by {run.diagnosis.by})"
    for call in run.calls.values():
        yield from _of_change(call)
    yield from _evidence(run)
    tokens = run.usage.input_tokens + run.usage.output_tokens
    if tokens:
        priced = f", ${run.usage.cost_micros / 1e6:.4f}" if run.usage.priced else ", of unknown price"
        yield f"Cost: {tokens} tokens{priced}"
    if run.reason:
        yield f"Ended: {run.reason}" + (f" at {_at(run.finished_at)}" if run.finished_at else "")


def _of_change(call: Call) -> Iterator[str]:
    if call.approval is not None:
        yield from _of_approval(call.approval)
    if call.execution is not None:
        yield from _of_execution(call.execution)


def _of_approval(approval: Approval) -> Iterator[str]:
    request = approval.request
    what = f"{request.action.tool} on {request.action.target} ({request.id})"
    yield f"Asked: {what} at {_at(request.requested_at)}, of {', '.join(request.terms.groups)}"
    for vote in approval.votes:
        word = {Verdict.APPROVE: "Approved", Verdict.DENY: "Denied"}.get(vote.verdict, "Taken back")
        because = f": {vote.reason}" if vote.reason else ""
        yield f"{word}: {what} by {vote.name or vote.user} at {_at(vote.at)}{because}"
    if approval.closed_at is not None and not any(vote.at == approval.closed_at for vote in approval.votes):
        yield f"Closed: {what} was {approval.state.value} at {_at(approval.closed_at)}"


def _of_execution(execution: Execution) -> Iterator[str]:
    action = execution.action
    outcome = execution.outcome.value if execution.outcome else "under way"
    detail = f": {execution.detail.rstrip('.')}" if execution.detail else ""
    yield f"Executed: {action.tool} on {action.target} at {_at(execution.started_at)}, {outcome}{detail}"
    if execution.verified is not None:
        checks = "; ".join(f"{check.name}: {check.detail}" for check in execution.checks)
        yield f"{'Verified' if execution.verified else 'Not verified'}: {action.target}: {checks}"


def _evidence(run: Run) -> Iterator[str]:
    """The last lines of what the conclusion cites."""
    cited = {item.id for item in run.diagnosis.evidence} if run.diagnosis else set()
    for call in run.calls.values():
        if call.result and call.result.evidence_id in cited:
            said = " / ".join(_last(call.result.text.splitlines()))[:EVIDENCE_CHARACTERS]
            yield f"Evidence: {call.result.evidence_id} {call.call.tool} {call.call.arguments}: {said}"


def _last(lines: Sequence[str]) -> Iterable[str]:
    return [line.strip() for line in lines if line.strip()][-EVIDENCE_LINES:]


def _state(incident: Incident) -> str:
    since = f"open since {_at(incident.opened_at)}"
    return f"resolved at {_at(incident.resolved_at)}" if incident.resolved_at else since


def _alerts(incident: Incident) -> str:
    firing = f"{len(incident.firing)} of {max(len(incident.fingerprints), len(incident.firing))} firing"
    return f"{firing}, received {incident.alerts} times, from {incident.source or 'a monitor'}"


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
