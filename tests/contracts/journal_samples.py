"""Nouns and drafts for the journal's contract: as small as each fact needs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from domain.actions import Action, Effect, Mode, Target, Undo
from domain.alerts import Alert, Incident, Severity
from domain.decisions import ApprovalRequest, ApprovalState, ApprovalTerms, Decision, Outcome, Verdict, Vote
from domain.events import (
    AlertReceived,
    ApprovalRequested,
    Draft,
    ExecutionFinished,
    ExecutionOutcome,
    ExecutionStarted,
    IncidentOpened,
    MessageWanted,
    PayloadReceived,
    RunStarted,
    StepPlanned,
    VoteCast,
    WorkUnitRecorded,
)
from domain.runs import Answer, Origin, RunSpec, ToolCall
from domain.work import WorkKind, WorkOutcome, WorkUnit

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CART = Target("kubernetes", "production", "shop", "Deployment", "cart")


class Clock:
    """A clock that tests turn by hand."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **delta: float) -> None:
        self.now += timedelta(**delta)


def payload(key: str, also: str = "", **more: Any) -> Draft:
    return Draft(PayloadReceived(key, "events", more, also))


def alert(fingerprint: str = "f1", *, firing: bool = True) -> Draft:
    return Draft(AlertReceived(Alert(fingerprint, firing, "CartDown", "alertmanager", NOON)))


def opened(incident_id: str = "i1", *fingerprints: str, thread_ts: str = "", channel: str = "incidents") -> Draft:
    incident = Incident(
        incident_id,
        "local",
        "Cart is down",
        Severity.CRITICAL,
        CART,
        "g",
        NOON,
        channel,
        thread_ts,
        firing=fingerprints,
        fingerprints=fingerprints,
    )
    return Draft(IncidentOpened(incident), incident_id=incident_id)


def run_started(run_id: str = "r1", incident_id: str = "i1") -> Draft:
    spec = RunSpec(run_id, incident_id, Origin.ALERT, "rules", Mode.PROPOSE, CART)
    return Draft(RunStarted(spec), incident_id=incident_id, run_id=run_id)


def step(number: int = 1, run_id: str = "r1", size: int = 10) -> Draft:
    answer = Answer("x" * size, (ToolCall(f"c{number}", "kubernetes_get", "{}"),))
    return Draft(StepPlanned(number, "rules", answer, 12), run_id=run_id)


def action(tool: str = "kubernetes_rollback", name: str = "cart", revision: int = 3) -> Action:
    target = Target("kubernetes", "production", "shop", "Deployment", name)
    return Action(
        tool, {"name": name, "revision": revision}, Effect.WRITE, target, undo=Undo(tool, {"revision": revision + 1})
    )


def request(approval_id: str = "a1", run_id: str = "r1", call_id: str = "c1", **more: Any) -> ApprovalRequest:
    terms = ApprovalTerms(("approvers",))
    fields: dict[str, Any] = {
        "incident_id": "i1",
        "action": action(),
        "digest": f"digest of {approval_id}",
        "requested_at": NOON,
        "expires_at": NOON + timedelta(minutes=30),
    } | more
    decision = Decision(Outcome.ASK, "prod-writes", "A change in production needs a person.", "policy", terms)
    return ApprovalRequest(approval_id, run_id, call_id=call_id, decision=decision, terms=terms, **fields)


def requested(approval_id: str = "a1", run_id: str = "r1", call_id: str = "c1", **more: Any) -> Draft:
    asked = request(approval_id, run_id, call_id, **more)
    return Draft(ApprovalRequested(asked), incident_id=asked.incident_id, run_id=run_id)


def vote(
    approval_id: str = "a1",
    user: str = "U1",
    verdict: Verdict = Verdict.APPROVE,
    closes: ApprovalState | None = ApprovalState.APPROVED,
    run_id: str = "r1",
) -> Draft:
    return Draft(VoteCast(approval_id, Vote(user, verdict, NOON, name=f"name of {user}"), closes), run_id=run_id)


def denied(approval_id: str = "a1", user: str = "U1", run_id: str = "r1") -> Draft:
    return vote(approval_id, user, Verdict.DENY, ApprovalState.DENIED, run_id)


def execution(
    execution_id: str = "x1", approval_id: str = "a1", call_id: str = "c1", run_id: str = "r1", **more: Any
) -> Draft:
    digest = more.pop("digest", f"digest of {approval_id}")
    started = ExecutionStarted(
        execution_id, call_id, more.pop("action", action()), f"key-{execution_id}", digest, approval_id
    )
    return Draft(started, run_id=run_id)


def ended(execution_id: str = "x1", outcome: ExecutionOutcome = ExecutionOutcome.SUCCEEDED) -> Draft:
    return Draft(ExecutionFinished(execution_id, outcome, "done", 20), run_id="r1")


def message(key: str = "incident:i1", revision: int = 1, incident_id: str = "i1", **more: Any) -> Draft:
    fields = {"thread_key": "", "text": f"revision {revision}", "blocks": ({"type": "divider"},)} | more
    return Draft(MessageWanted(key, revision, "incidents", **fields), incident_id=incident_id)


def unit(finished_at: datetime = NOON, **more: Any) -> WorkUnit:
    fields = {"kind": WorkKind.DIAGNOSIS, "outcome": WorkOutcome.ACCEPTED} | more
    return WorkUnit(started_at=finished_at - timedelta(minutes=5), finished_at=finished_at, **fields)


def worked(finished_at: datetime = NOON, **more: Any) -> Draft:
    return Draft(WorkUnitRecorded(unit(finished_at, **more)), incident_id="i1", run_id="r1")
