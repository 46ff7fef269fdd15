"""Events to a Run. State is what the journal folds to: the loop keeps nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from domain.decisions import Approval, ApprovalState, Execution
from domain.diagnosis import Confidence, Diagnosis
from domain.errors import JournalError
from domain.events import (
    AnalysisPlanned,
    ApprovalClosed,
    ApprovalEscalated,
    ApprovalReminded,
    ApprovalRequested,
    DecisionMade,
    DiagnosisConcluded,
    Envelope,
    ExecutionFinished,
    ExecutionProbed,
    ExecutionStarted,
    FindingsReported,
    ModelFailed,
    RunFinished,
    RunStarted,
    SecondLookTaken,
    StepPlanned,
    ToolCallFinished,
    ToolCallRefused,
    VerificationFailed,
    VerificationPassed,
    VoteCast,
)
from domain.runs import Call, Run, RunStatus, SecondLook, ToolCall, ToolResult, Usage


def fold(envelopes: Iterable[Envelope]) -> Run:
    """The run that these events, the first of them RunStarted, add up to."""
    run: Run | None = None
    for envelope in envelopes:
        if run is None:
            if not isinstance(envelope.event, RunStarted):
                raise JournalError(f"run {envelope.run_id} does not begin with RunStarted")
            run = Run(envelope.event.spec, envelope.at)
        else:
            run = after(run, envelope)
    if run is None:
        raise JournalError("there is no such run")
    return run


def after(run: Run, envelope: Envelope) -> Run:
    """The run after one more event. Events that say nothing about a run's state leave it as it is."""
    match envelope.event:
        case AnalysisPlanned(calls):
            return _with_calls(run, calls, step=0)
        case FindingsReported(findings):
            return replace(run, findings=findings, first_finding_at=envelope.at)
        case StepPlanned(step, _, answer):
            run = _with_calls(run, answer.calls, step)
            return _used(replace(run, step=step, answers=(*run.answers, answer)), answer.usage)
        case ModelFailed(_, model, reason, _, usage):
            return _used(replace(run, model_failure=f"{model}: {reason}"), usage)
        case DiagnosisConcluded(diagnosis):
            return replace(run, diagnosis=diagnosis, diagnosed_at=envelope.at)
        case SecondLookTaken(model, look, usage):
            after_it = run.diagnosis and doubted(run.diagnosis, model, look)
            return _used(replace(run, second_look=look, diagnosis=after_it), usage)
        case RunFinished(outcome, reason, machine_ms):
            return replace(
                run,
                status=RunStatus.FINISHED,
                outcome=outcome,
                reason=reason,
                machine_ms=machine_ms,
                finished_at=envelope.at,
            )
        case ToolCallRefused() | DecisionMade() | ToolCallFinished():
            return _after_call(run, envelope.event)
        case ApprovalRequested() | VoteCast() | ApprovalClosed() | ApprovalReminded() | ApprovalEscalated():
            return _after_approval(run, envelope)
        case ExecutionStarted() | ExecutionProbed() | ExecutionFinished() | VerificationPassed() | VerificationFailed():
            return _after_execution(run, envelope)
    return run


def waits(run: Run) -> bool:
    """Whether some call of this run waits for a person."""
    return any(
        call.result is None and call.approval is not None and call.approval.state is ApprovalState.PENDING
        for call in run.calls.values()
    )


def doubted(diagnosis: Diagnosis, model: str, look: SecondLook) -> Diagnosis:
    """The conclusion after a second look: its confidence is lowered or stays, it never rises."""
    lower = {"unsupported": Confidence.NOT_PROVEN, "partly": Confidence.LIKELY}.get(look.verdict)
    order = (Confidence.NOT_PROVEN, Confidence.LIKELY, Confidence.PROVEN)
    reason = f": {look.reason}" if look.reason else ""
    if look.verdict == "failed":
        return replace(diagnosis, note=_noted(diagnosis, f"{model} took no second look{reason}"))
    if lower is None or order.index(lower) >= order.index(diagnosis.confidence):
        return diagnosis
    return replace(
        diagnosis, confidence=lower, note=_noted(diagnosis, f"A second look by {model} lowered this{reason}")
    )


def _noted(diagnosis: Diagnosis, sentence: str) -> str:
    return f"{diagnosis.note}. {sentence}" if diagnosis.note else sentence


def _with_calls(run: Run, calls: Iterable[ToolCall], step: int) -> Run:
    added = {call.id: Call(call, step) for call in calls if call.id not in run.calls}
    return replace(run, calls={**run.calls, **added})


def _put(run: Run, call: Call) -> Run:
    run = replace(run, calls={**run.calls, call.call.id: call})
    if run.status is RunStatus.FINISHED:
        return run
    return replace(run, status=RunStatus.WAITING if waits(run) else RunStatus.RUNNING)


def _after_call(run: Run, event: ToolCallRefused | DecisionMade | ToolCallFinished) -> Run:
    match event:
        case ToolCallRefused(call_id, tool, reason):
            result = ToolResult(call_id, tool, ok=False, text=reason)
            return _put(run, replace(run.calls[call_id], result=result))
        case DecisionMade(call_id, action, decision):
            return _put(run, replace(run.calls[call_id], action=action, decision=decision))
        case ToolCallFinished(result):
            run = _put(run, replace(run.calls[result.call_id], result=result))
            return replace(run, evidence=run.evidence + bool(result.evidence_id))


def _after_approval(run: Run, envelope: Envelope) -> Run:
    event = envelope.event
    if isinstance(event, ApprovalRequested):
        call = run.calls[event.request.call_id]
        if call.approval is not None:
            run = replace(run, earlier=(*run.earlier, call.approval))
        return _put(run, replace(call, approval=Approval(event.request)))
    found = _call_of_approval(run, getattr(event, "approval_id", ""))
    if found is None or found.approval is None:
        return run
    approval = found.approval
    match event:
        case VoteCast(_, vote, closes):
            approval = replace(approval, votes=(*approval.votes, vote))
            if closes is ApprovalState.PENDING:
                approval = replace(approval, state=closes, closed_by="", closed_reason="", closed_at=None)
            elif closes is not None:
                approval = replace(
                    approval,
                    state=closes,
                    closed_by=vote.name or vote.user,
                    closed_reason=vote.reason,
                    closed_at=envelope.at,
                )
        case ApprovalClosed(_, state, reason, by):
            approval = replace(approval, state=state, closed_reason=reason, closed_by=by, closed_at=envelope.at)
        case ApprovalReminded():
            approval = replace(approval, reminded_at=envelope.at)
        case ApprovalEscalated():
            approval = replace(approval, escalated_at=envelope.at)
    return _put(run, replace(found, approval=approval))


def _after_execution(run: Run, envelope: Envelope) -> Run:
    event = envelope.event
    if isinstance(event, ExecutionStarted):
        call = run.calls[event.call_id]
        execution = Execution(
            event.execution_id,
            event.call_id,
            event.action,
            event.key,
            envelope.at,
            event.approval_id,
            undo=event.action.undo,
        )
        approval = call.approval and replace(call.approval, state=ApprovalState.CONSUMED, execution=execution)
        return _put(run, replace(call, action=event.action, execution=execution, approval=approval))
    found = next(
        (call for call in run.calls.values() if _execution_id(call) == getattr(event, "execution_id", "")), None
    )
    if found is None or found.execution is None:
        return run
    execution = found.execution
    match event:
        case ExecutionProbed(_, _, detail):
            execution = replace(execution, detail=detail)
        case ExecutionFinished(_, outcome, detail):
            execution = replace(execution, outcome=outcome, detail=detail)
        case VerificationPassed(_, checks):
            execution = replace(execution, verified=True, checks=checks, verified_at=envelope.at)
        case VerificationFailed(_, checks):
            execution = replace(execution, verified=False, checks=checks, verified_at=envelope.at)
    approval = found.approval and replace(found.approval, execution=execution)
    return _put(run, replace(found, execution=execution, approval=approval))


def _execution_id(call: Call) -> str:
    return call.execution.id if call.execution else ""


def _call_of_approval(run: Run, approval_id: str) -> Call | None:
    for call in run.calls.values():
        if call.approval is not None and call.approval.request.id == approval_id:
            return call
    return None


def _used(run: Run, usage: Usage) -> Run:
    unpriced = 0 if usage.priced else usage.input_tokens + usage.output_tokens
    return replace(run, usage=added(run.usage, usage), unpriced_tokens=run.unpriced_tokens + unpriced)


def added(one: Usage, other: Usage) -> Usage:
    """Both together; priced where both are."""
    return Usage(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.cached_tokens + other.cached_tokens,
        one.cost_micros + other.cost_micros,
        one.priced and other.priced,
    )
