"""How things ended, in words and in figures: a settled call for the model, a finished run for people and the ROI."""

from __future__ import annotations

from datetime import datetime

from domain.decisions import Approval, ApprovalState, Execution, ExecutionOutcome, Verdict
from domain.runs import Call, Origin, Run, RunOutcome, ToolResult
from domain.work import WorkKind, WorkOutcome, WorkUnit

BASELINES_S = {
    WorkKind.DIAGNOSIS: 20 * 60,
    WorkKind.REMEDIATION: 35 * 60,
    WorkKind.QUESTION: 5 * 60,
    WorkKind.PIPELINE_TRIAGE: 15 * 60,
    WorkKind.CONFIGURATION_FINDING: 10 * 60,
}
"""Manual seconds that a piece of work is taken to replace: a labelled assumption, to be replaced by the team's own figures."""


def result_of(call: Call) -> ToolResult:
    """What a settled write says to the model: who decided, what ran, what was seen afterwards."""
    parts: list[str] = []
    if call.approval is not None:
        parts.append(_approval_words(call.approval))
    if call.execution is not None:
        parts.append(_execution_words(call.execution))
    ok = bool(call.execution and call.execution.verified)
    return ToolResult(call.call.id, call.call.tool, ok=ok, text=" ".join(parts))


def outcome_of(run: Run) -> tuple[RunOutcome, str]:
    """How the run ended, and the sentence for it."""
    done = run.executions
    if any(execution.verified for execution in done):
        return RunOutcome.REMEDIATED, "the change was executed and verified"
    if done:
        last = done[-1]
        return RunOutcome.NOT_REMEDIATED, f"the change was not verified: {last.detail or 'its probe did not hold'}"
    asked = [call.approval for call in run.calls.values() if call.approval]
    if asked:
        return RunOutcome.NOT_REMEDIATED, f"the proposed change was {asked[-1].state.value}"
    return RunOutcome.DIAGNOSED, "diagnosed; no change was proposed"


def people_ms(run: Run) -> int:
    """From card shown to decided, summed over the run's approval requests, in milliseconds."""
    total = 0
    for call in run.calls.values():
        approval = call.approval
        if approval is not None and approval.closed_at is not None:
            total += _ms(approval.request.requested_at, approval.closed_at)
    return total


def work_unit(run: Run, outcome: RunOutcome, now: datetime) -> WorkUnit:
    """The finished run as a measured piece of work."""
    kind = _kind(run)
    won = _outcome(run, outcome)
    saved = BASELINES_S[kind] if won in (WorkOutcome.ACCEPTED, WorkOutcome.EDITED, WorkOutcome.NO_ACTION) else 0
    decided = next((c.approval.closed_at for c in run.calls.values() if c.approval and c.approval.closed_at), None)
    verified = outcome is RunOutcome.REMEDIATED
    return WorkUnit(
        kind=kind,
        outcome=won,
        started_at=run.started_at,
        finished_at=now,
        service=run.spec.target.key,
        environment=run.spec.target.environment,
        to_first_finding_ms=_ms(run.started_at, run.first_finding_at) if run.first_finding_at else None,
        to_diagnosis_ms=_ms(run.started_at, run.diagnosed_at or now) if run.diagnosis else None,
        to_approval_ms=_ms(run.started_at, decided) if decided else None,
        to_verified_ms=_ms(run.started_at, now) if verified else None,
        people_ms=people_ms(run) or None,
        input_tokens=run.usage.input_tokens,
        output_tokens=run.usage.output_tokens,
        cost_micros=run.usage.cost_micros,
        estimated_saved_s=saved,
        baseline=f"assumed {BASELINES_S[kind] // 60} min by hand" if saved else "",
    )


def _kind(run: Run) -> WorkKind:
    if run.executions or any(call.approval for call in run.calls.values()):
        return WorkKind.REMEDIATION
    return WorkKind.DIAGNOSIS if run.spec.origin is Origin.ALERT else WorkKind.QUESTION


def _outcome(run: Run, outcome: RunOutcome) -> WorkOutcome:
    asked = [call.approval for call in run.calls.values() if call.approval]
    if outcome is RunOutcome.REMEDIATED:
        return WorkOutcome.EDITED if any(a.request.editor for a in asked) else WorkOutcome.ACCEPTED
    if outcome in (RunOutcome.FAILED, RunOutcome.CANCELLED) or run.executions:
        return WorkOutcome.FAILED
    if asked:
        return WorkOutcome.REJECTED
    return WorkOutcome.NO_ACTION


def _approval_words(approval: Approval) -> str:
    reason = f": {approval.closed_reason}" if approval.closed_reason else ""
    names = ", ".join(vote.name or vote.user for vote in approval.approvers)
    denied = ", ".join(vote.name or vote.user for vote in approval.votes if vote.verdict is Verdict.DENY)
    match approval.state:
        case ApprovalState.APPROVED | ApprovalState.CONSUMED:
            return f"Approved by {names}."
        case ApprovalState.DENIED:
            return f"Denied by {denied or approval.closed_by}{reason}."
        case ApprovalState.EXPIRED:
            return "Expired: nobody decided in time, so nothing was done."
        case _:
            return f"{approval.state.value.capitalize()}{reason}. Nothing was done."


def _execution_words(execution: Execution) -> str:
    if execution.outcome is ExecutionOutcome.FAILED:
        return f"Failed, nothing was changed: {execution.detail.rstrip('.')}."
    checks = "; ".join(
        f"{check.name}: {check.detail or ('holds' if check.passed else 'does not hold')}" for check in execution.checks
    )
    word = "Executed" if execution.outcome is ExecutionOutcome.SUCCEEDED else "Unknown whether it took effect"
    verified = {True: "Verified", False: "Not verified", None: "Verification is open"}[execution.verified]
    return f"{word}: {execution.detail.rstrip('.')}. {verified}: {checks}."


def _ms(start: datetime, end: datetime) -> int:
    return round((end - start).total_seconds() * 1000)
