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
    AlertJoined,
    AlertReceived,
    AnalysisPlanned,
    ApprovalClosed,
    ApprovalEscalated,
    ApprovalReminded,
    ApprovalRequested,
    AutonomyDemoted,
    AutonomyRestored,
    BreakerOpened,
    BreakerReset,
    BreakGlassOpened,
    BreakGlassReviewed,
    DecisionMade,
    DelegationEnded,
    DiagnosisConcluded,
    Envelope,
    ExecutionFinished,
    ExecutionProbed,
    ExecutionStarted,
    FindingsReported,
    IncidentOpened,
    IncidentResolved,
    MessageFailed,
    MessageSent,
    MessageWanted,
    ModeChanged,
    ModelAsked,
    ModelFailed,
    PayloadHandled,
    PayloadReceived,
    PolicyLoaded,
    PolicyRejected,
    RunFinished,
    RunStarted,
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
from storage.views import approvals, authority, brakes, executions, incidents, messages, runs, work


def fold(db: sqlite3.Connection, at: Envelope) -> None:  # noqa: C901 – one line per kind of event
    """Bring the projections up to this event. Raises Conflict where one of them refuses it."""
    match at.event:
        case PayloadReceived():
            messages.received(db, at, at.event)
        case PayloadHandled():
            messages.handled(db, at, at.event)
        case IncidentOpened():
            incidents.opened(db, at, at.event)
        case AlertJoined():
            incidents.joined(db, at, at.event)
        case IncidentResolved():
            incidents.resolved(db, at)
        case RunStarted():
            runs.started(db, at, at.event)
        case StepPlanned():
            runs.stepped(db, at)
        case RunFinished():
            runs.finished(db, at, at.event)
        case ApprovalRequested():
            approvals.requested(db, at, at.event)
        case VoteCast():
            approvals.voted(db, at, at.event)
        case ApprovalClosed():
            approvals.closed(db, at, at.event)
        case ApprovalReminded():
            approvals.called(db, at, at.event.approval_id, "reminded_at")
        case ApprovalEscalated():
            approvals.called(db, at, at.event.approval_id, "escalated_at")
        case BreakGlassOpened():
            authority.opened(db, at, at.event)
        case BreakGlassReviewed():
            authority.reviewed(db, at, at.event)
        case VoteDelegated():
            authority.delegated(db, at, at.event)
        case DelegationEnded():
            authority.ended(db, at, at.event)
        case ExecutionStarted():
            executions.started(db, at, at.event)
        case ExecutionProbed():
            executions.probed(db, at, at.event)
        case ExecutionFinished():
            executions.finished(db, at, at.event)
        case VerificationPassed() | VerificationFailed():
            executions.verified(db, at, at.event)
        case AgentPaused():
            work.paused(db, at, at.event.reason or "paused")
        case AgentResumed():
            work.paused(db, at, "")
        case ModeChanged():
            work.mode_changed(db, at, at.event)
        case BreakerOpened():
            brakes.opened(db, at, at.event)
        case BreakerReset():
            brakes.reset(db, at, at.event)
        case AutonomyDemoted():
            brakes.demoted(db, at, at.event)
        case AutonomyRestored():
            brakes.restored(db, at, at.event)
        case WorkUnitRecorded():
            work.recorded(db, at, at.event)
        case MessageWanted():
            messages.wanted(db, at, at.event)
        case MessageSent():
            messages.sent(db, at, at.event)
        case MessageFailed():
            messages.failed(db, at, at.event)
        case (
            AlertReceived()
            | AnalysisPlanned()
            | FindingsReported()
            | ModelAsked()
            | ModelFailed()
            | ToolCallRefused()
            | DecisionMade()
            | ToolCallFinished()
            | DiagnosisConcluded()
            | VoteRefused()
            | PolicyLoaded()
            | PolicyRejected()
            | SurfaceShown()
        ):
            pass  # the log itself is all that is read of these
        case _:
            assert_never(at.event)


def current(db: sqlite3.Connection) -> str:
    """The digest of the schema.sql that laid this database's projections."""
    row = db.execute("SELECT value FROM meta WHERE name = 'projections'").fetchone()
    return str(row[0]) if row else ""


def rebuild(db: sqlite3.Connection) -> int:
    """Drop every projection and fold the whole log again, in one transaction; the number of events folded.

    Raises JournalError, with everything left as it was, where an event cannot be folded.
    """
    with transaction(db):
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
