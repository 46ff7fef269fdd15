"""Events to projections, in the event's own transaction. Each projection is a state machine: what does not fit is refused.

`fold` raises Conflict (or Duplicate), and the append that brought the event leaves nothing behind. Whatever order events
were offered in, those that were accepted fold to the same rows again: `rebuild` does.
"""

from __future__ import annotations

import json
import sqlite3
from typing import assert_never

from domain.codec import moment
from domain.errors import Conflict, JournalError
from domain.events import (
    AgentPaused,
    AgentResumed,
    AlertHeld,
    AlertJoined,
    AlertReceived,
    AlertSuppressed,
    AnalysisPlanned,
    AnchorFailed,
    AnchorWritten,
    ApprovalClosed,
    ApprovalEscalated,
    ApprovalReminded,
    ApprovalRequested,
    AutonomyDemoted,
    AutonomyRestored,
    BaselineImported,
    BaselinesSet,
    BodyErased,
    BreakerOpened,
    BreakerReset,
    BreakGlassOpened,
    BreakGlassReviewed,
    CheckpointSigned,
    DecisionMade,
    DelegationEnded,
    DiagnosisConcluded,
    Envelope,
    ExecutionFinished,
    ExecutionProbed,
    ExecutionStarted,
    FeedbackGiven,
    FindingSnoozed,
    FindingsReported,
    IncidentOpened,
    IncidentResolved,
    MaintenanceEnded,
    MaintenanceStarted,
    MessageFailed,
    MessageSent,
    MessageWanted,
    ModeChanged,
    ModelAsked,
    ModelFailed,
    PayloadHandled,
    PayloadReceived,
    PictureSent,
    PictureWanted,
    PolicyLoaded,
    PolicyRejected,
    RunFinished,
    RunStarted,
    SecondLookTaken,
    StepPlanned,
    SurfaceShown,
    ToolCallFinished,
    ToolCallRefused,
    VerificationFailed,
    VerificationPassed,
    VoteCast,
    VoteDelegated,
    VoteRefused,
    WorkUnitRecorded,
    event_of,
)
from storage.database import projections, run_script, transaction
from storage.views import (
    approvals,
    audit,
    authority,
    brakes,
    executions,
    feedback,
    incidents,
    memories,
    messages,
    noise,
    runs,
    scans,
    units,
    work,
)

LogOnly = (
    AnalysisPlanned
    | ModelAsked
    | ModelFailed
    | ToolCallRefused
    | DecisionMade
    | ToolCallFinished
    | SecondLookTaken
    | VoteRefused
    | PolicyLoaded
    | PolicyRejected
    | SurfaceShown
    | PictureWanted
    | PictureSent
)
"""Events of which the log itself is all that is read."""


def admit(db: sqlite3.Connection, at: Envelope) -> None:
    """Refuse of a new event what earlier versions recorded: `fold` takes it, so that their journals open. Raises Conflict."""
    match at.event:
        case ApprovalRequested(request):
            runs.goes_on(db, at.workspace, request.run_id)
        case VoteCast(approval_id):
            runs.goes_on(db, at.workspace, approvals.run_of(db, at.workspace, approval_id))
        case ExecutionStarted():
            runs.goes_on(db, at.workspace, at.run_id)


def fold(db: sqlite3.Connection, at: Envelope) -> None:
    """Bring the projections up to this event. Raises Conflict where one of them refuses it."""
    match at.event:
        case IncidentOpened() | AlertJoined() | IncidentResolved():
            _fold_incident(db, at, at.event)
        case RunStarted() | StepPlanned() | DiagnosisConcluded() | RunFinished():
            _fold_run(db, at, at.event)
        case AlertReceived() | AlertHeld() | AlertSuppressed() | MaintenanceStarted() | MaintenanceEnded():
            _fold_noise(db, at, at.event)
        case (
            ApprovalRequested()
            | VoteCast()
            | ApprovalClosed()
            | ApprovalReminded()
            | ApprovalEscalated()
            | BreakGlassOpened()
            | BreakGlassReviewed()
            | VoteDelegated()
            | DelegationEnded()
        ):
            _fold_question(db, at, at.event)
        case ExecutionStarted() | ExecutionProbed() | ExecutionFinished() | VerificationPassed() | VerificationFailed():
            _fold_execution(db, at, at.event)
        case (
            AgentPaused()
            | AgentResumed()
            | ModeChanged()
            | BreakerOpened()
            | BreakerReset()
            | AutonomyDemoted()
            | AutonomyRestored()
        ):
            _fold_control(db, at, at.event)
        case FeedbackGiven():
            feedback.given(db, at, at.event)
        case FindingsReported() | FindingSnoozed():
            _fold_scan(db, at, at.event)
        case WorkUnitRecorded() | BaselinesSet() | BaselineImported():
            _fold_worth(db, at, at.event)
        case PayloadReceived() | PayloadHandled() | MessageWanted() | MessageSent() | MessageFailed():
            _fold_message(db, at, at.event)
        case CheckpointSigned() | AnchorWritten() | AnchorFailed() | BodyErased():
            _fold_audit(db, at, at.event)
        case _:
            _fold_nothing(at.event)


def _fold_nothing(event: LogOnly) -> None:
    """An event that is no case of `fold` and does not stand in LogOnly fails mypy here."""


def _fold_message(
    db: sqlite3.Connection,
    at: Envelope,
    event: PayloadReceived | PayloadHandled | MessageWanted | MessageSent | MessageFailed,
) -> None:
    """What Slack sent, and what it is sent."""
    match event:
        case PayloadReceived():
            messages.received(db, at, event)
        case PayloadHandled():
            messages.handled(db, at, event)
        case MessageWanted():
            messages.wanted(db, at, event)
        case MessageSent():
            messages.sent(db, at, event)
        case MessageFailed():
            messages.failed(db, at, event)
        case _:
            assert_never(event)


def _fold_incident(
    db: sqlite3.Connection, at: Envelope, event: IncidentOpened | AlertJoined | IncidentResolved
) -> None:
    """Problems as their monitors see them."""
    match event:
        case IncidentOpened():
            incidents.opened(db, at, event)
        case AlertJoined():
            incidents.joined(db, at, event)
        case IncidentResolved():
            incidents.resolved(db, at)
        case _:
            assert_never(event)


def _fold_run(
    db: sqlite3.Connection, at: Envelope, event: RunStarted | StepPlanned | DiagnosisConcluded | RunFinished
) -> None:
    """Bounded attempts."""
    match event:
        case RunStarted():
            runs.started(db, at, event)
        case StepPlanned():
            runs.stepped(db, at)
        case DiagnosisConcluded():
            runs.diagnosed(db, at, event)
            memories.remembered(db, at, event)
        case RunFinished():
            runs.finished(db, at, event)
        case _:
            assert_never(event)


def _fold_scan(db: sqlite3.Connection, at: Envelope, event: FindingsReported | FindingSnoozed) -> None:
    """Configuration findings."""
    match event:
        case FindingsReported():
            scans.reported(db, at, event)
        case FindingSnoozed():
            scans.snoozed(db, at, event)
        case _:
            assert_never(event)


def _fold_noise(
    db: sqlite3.Connection,
    at: Envelope,
    event: AlertReceived | AlertHeld | AlertSuppressed | MaintenanceStarted | MaintenanceEnded,
) -> None:
    """Alerts, those that opened no incident, and the times in which they need not."""
    match event:
        case AlertReceived():
            noise.tally(db, at, "alert")
        case AlertHeld():
            noise.held(db, at, event)
        case AlertSuppressed():
            noise.suppressed(db, at, event)
        case MaintenanceStarted():
            noise.started(db, at, event)
        case MaintenanceEnded():
            noise.ended(db, at, event)
        case _:
            assert_never(event)


def _fold_question(
    db: sqlite3.Connection,
    at: Envelope,
    event: ApprovalRequested
    | VoteCast
    | ApprovalClosed
    | ApprovalReminded
    | ApprovalEscalated
    | BreakGlassOpened
    | BreakGlassReviewed
    | VoteDelegated
    | DelegationEnded,
) -> None:
    """What people are asked, and what they answer."""
    match event:
        case ApprovalRequested():
            approvals.requested(db, at, event)
        case VoteCast():
            approvals.voted(db, at, event)
        case ApprovalClosed():
            approvals.closed(db, at, event)
        case ApprovalReminded():
            approvals.called(db, at, event.approval_id, "reminded_at")
        case ApprovalEscalated():
            approvals.called(db, at, event.approval_id, "escalated_at")
        case BreakGlassOpened():
            authority.opened(db, at, event)
        case BreakGlassReviewed():
            authority.reviewed(db, at, event)
        case VoteDelegated():
            authority.delegated(db, at, event)
        case DelegationEnded():
            authority.ended(db, at, event)
        case _:
            assert_never(event)


def _fold_execution(
    db: sqlite3.Connection,
    at: Envelope,
    event: ExecutionStarted | ExecutionProbed | ExecutionFinished | VerificationPassed | VerificationFailed,
) -> None:
    """What was changed, and whether it held."""
    match event:
        case ExecutionStarted():
            executions.started(db, at, event)
        case ExecutionProbed():
            executions.probed(db, at, event)
        case ExecutionFinished():
            executions.finished(db, at, event)
        case VerificationPassed() | VerificationFailed():
            executions.verified(db, at, event)
        case _:
            assert_never(event)


def _fold_audit(
    db: sqlite3.Connection, at: Envelope, event: CheckpointSigned | AnchorWritten | AnchorFailed | BodyErased
) -> None:
    """The log about itself."""
    match event:
        case CheckpointSigned():
            audit.signed(db, at, event)
        case AnchorWritten():
            audit.anchored(db, at, event)
        case AnchorFailed():
            audit.not_anchored(db, at, event)
        case BodyErased():
            audit.erased(db, at, event)
        case _:
            assert_never(event)


def _fold_worth(
    db: sqlite3.Connection, at: Envelope, event: WorkUnitRecorded | BaselinesSet | BaselineImported
) -> None:
    """What work was done, and what it costs by hand."""
    match event:
        case WorkUnitRecorded():
            units.recorded(db, at, event)
        case BaselinesSet():
            work.baselines_set(db, at, event)
        case BaselineImported():
            work.baseline_imported(db, at, event)
        case _:
            assert_never(event)


def _fold_control(
    db: sqlite3.Connection,
    at: Envelope,
    event: AgentPaused | AgentResumed | ModeChanged | BreakerOpened | BreakerReset | AutonomyDemoted | AutonomyRestored,
) -> None:
    """The agent itself: pause, mode, brakes."""
    match event:
        case AgentPaused():
            work.paused(db, at, event.reason or "paused")
        case AgentResumed():
            work.paused(db, at, "")
        case ModeChanged():
            work.mode_changed(db, at, event)
        case BreakerOpened():
            brakes.opened(db, at, event)
        case BreakerReset():
            brakes.reset(db, at, event)
        case AutonomyDemoted():
            brakes.demoted(db, at, event)
        case AutonomyRestored():
            brakes.restored(db, at, event)
        case _:
            assert_never(event)


def current(db: sqlite3.Connection) -> str:
    """The digest of the schema.sql that laid this database's projections."""
    row = db.execute("SELECT value FROM meta WHERE name = 'projections'").fetchone()
    return str(row[0]) if row else ""


def rebuild(db: sqlite3.Connection) -> int:
    """Drop every projection and fold the whole log again, in one transaction; the number of events folded.

    Raises JournalError, with everything left as it was, where an event cannot be folded.
    """
    with transaction(db):
        return refold(db)


def refold(db: sqlite3.Connection) -> int:
    """`rebuild` within a transaction that is open already."""
    for (table,) in db.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        " AND name NOT IN ('events', 'event_bodies', 'meta')"
    ).fetchall():
        db.execute(f'DROP TABLE "{table}"')
    script, digest = projections()
    run_script(db, script)
    folded = 0
    for envelope in _everything(db):
        try:
            fold(db, envelope)
        except Conflict as refusal:
            raise JournalError(
                f"event {envelope.seq} of the workspace {envelope.workspace} cannot be folded: {refusal}"
            ) from refusal
        folded += 1
    db.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('projections', ?)", (digest,))
    return folded


ENVELOPE = "e.seq, e.workspace, e.incident_id, e.run_id, e.at, e.actor, e.kind, b.body, e.hash"
"""The columns that `envelope` reads, of `events AS e` joined with `event_bodies AS b`."""


def envelope(row: tuple[int, str, str, str, str, str, str, str, str]) -> Envelope:
    """A row as it was recorded."""
    seq, workspace, incident_id, run_id, at, actor, kind, body, chained = row
    event = event_of(kind, json.loads(body))
    return Envelope(seq, workspace, incident_id, run_id, moment(at), actor, event, chained)


def _everything(db: sqlite3.Connection) -> map[Envelope]:
    rows = db.execute(
        f"SELECT {ENVELOPE} FROM events AS e JOIN event_bodies AS b USING (workspace, seq) ORDER BY workspace, seq"  # noqa: S608
    )
    return map(envelope, rows)
