"""How things ended, in words and in figures: a settled call for the model, a finished run for people."""

from __future__ import annotations

from domain.decisions import Approval, ApprovalState, Execution, ExecutionOutcome, Verdict
from domain.runs import Call, Run, RunOutcome, ToolResult


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
    if run.taken_back:
        return RunOutcome.NOT_REMEDIATED, "the change did not hold, and was taken back"
    if any(execution.verified for execution in done):
        return RunOutcome.REMEDIATED, "the change was executed and verified"
    if done:
        last = done[-1]
        return RunOutcome.NOT_REMEDIATED, f"the change was not verified: {last.detail or 'its probe did not hold'}"
    asked = [call.approval for call in run.calls.values() if call.approval]
    if asked:
        return RunOutcome.NOT_REMEDIATED, f"the proposed change was {asked[-1].state.value}"
    return RunOutcome.DIAGNOSED, "diagnosed; no change was proposed"


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
            return f"Expired{reason}. Nothing was done."
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
