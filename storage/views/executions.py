"""Executions: one per call and per approval; started, then finished, then verified. And the counters of trust."""

from __future__ import annotations

import sqlite3
from typing import Literal

from domain.codec import timestamp
from domain.decisions import ExecutionOutcome
from domain.errors import Conflict
from domain.events import (
    Envelope,
    ExecutionFinished,
    ExecutionProbed,
    ExecutionStarted,
    VerificationFailed,
    VerificationPassed,
)
from domain.work import WorkOutcome
from storage.views import brakes, incidents, runs, units
from storage.views.rules import must_change, text

Counter = Literal["proposed", "approved", "edited", "denied", "executed", "verified", "failed", "reverted"]


def started(db: sqlite3.Connection, at: Envelope, event: ExecutionStarted) -> None:
    """The call's only execution, while nobody has paused. With an approval: that one, approved, of this digest."""
    action = event.action
    brakes.not_paused(db, at.workspace)
    if event.approval_id:
        _consume(db, at.workspace, at.run_id, event)
    must_change(
        db.execute(
            "INSERT INTO executions (workspace, id, seq, run_id, call_id, approval_id, tool, environment, target_key,"
            " touches, key, action, undoes, started_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (
                at.workspace,
                event.execution_id,
                at.seq,
                at.run_id,
                event.call_id,
                event.approval_id,
                action.tool,
                action.target.environment,
                action.target.key,
                action.touches,
                event.key,
                text(action),
                event.undoes,
                timestamp(at.at),
            ),
        ),
        f"the call {event.call_id} was executed already",
    )
    brakes.meant_for(db, at, event)
    incidents.acted_in(db, at.workspace, at.incident_id)
    if not event.undoes:
        count(db, at.workspace, action.tool, action.target.environment, "executed")


def probed(db: sqlite3.Connection, at: Envelope, event: ExecutionProbed) -> None:
    """What the target showed, in words."""
    must_change(
        db.execute(
            "UPDATE executions SET detail = ? WHERE workspace = ? AND id = ?",
            (event.detail, at.workspace, event.execution_id),
        ),
        f"the execution {event.execution_id} was never started",
    )


def finished(db: sqlite3.Connection, at: Envelope, event: ExecutionFinished) -> None:
    """An execution without an outcome, or whose outcome was unknown until a probe could tell."""
    failed_before = _failed(db, at.workspace, event.execution_id)
    must_change(
        db.execute(
            "UPDATE executions SET outcome = ?, detail = ? WHERE workspace = ? AND id = ?"
            " AND (outcome IS NULL OR outcome = 'unknown') AND verified IS NULL",
            (event.outcome, event.detail, at.workspace, event.execution_id),
        ),
        f"the execution {event.execution_id} is not under way, so it cannot finish",
    )
    _recount(db, at, event.execution_id, failed_before)
    if event.outcome == ExecutionOutcome.SUCCEEDED:
        _reverted(db, at, event.execution_id)


def verified(db: sqlite3.Connection, at: Envelope, event: VerificationPassed | VerificationFailed) -> None:
    """A finished execution, once."""
    passed = isinstance(event, VerificationPassed)
    failed_before = _failed(db, at.workspace, event.execution_id)
    must_change(
        db.execute(
            "UPDATE executions SET verified = ?, verified_at = ?, checks = ?"
            " WHERE workspace = ? AND id = ? AND outcome IS NOT NULL AND verified IS NULL",
            (passed, timestamp(at.at), text(event.checks), at.workspace, event.execution_id),
        ),
        f"the execution {event.execution_id} is not finished, or was verified already",
    )
    _recount(db, at, event.execution_id, failed_before)
    if passed:
        _reverted(db, at, event.execution_id)
        _count_own(db, at.workspace, event.execution_id, "verified")


def count(db: sqlite3.Connection, workspace: str, tool: str, environment: str, what: Counter, by: int = 1) -> None:
    """One more, in the counters that trust is read from."""
    db.execute(
        f"INSERT INTO trust (workspace, tool, environment, {what}) VALUES (?, ?, ?, ?)"  # noqa: S608 – one of six words
        f" ON CONFLICT DO UPDATE SET {what} = {what} + excluded.{what}",
        (workspace, tool, environment, by),
    )


def _consume(db: sqlite3.Connection, workspace: str, run_id: str, event: ExecutionStarted) -> None:
    changed = db.execute(
        "UPDATE approvals SET state = 'consumed'"
        " WHERE workspace = ? AND id = ? AND state = 'approved' AND digest = ? AND observe_only = 0",
        (workspace, event.approval_id, event.digest),
    )
    if changed.rowcount:
        runs.waits(db, workspace, run_id)
        return
    row = db.execute(
        "SELECT state, digest FROM approvals WHERE workspace = ? AND id = ?", (workspace, event.approval_id)
    ).fetchone()
    if row and row[0] == "approved":
        raise Conflict(f"the approval request {event.approval_id} approved something else than this")
    raise Conflict(f"the approval request {event.approval_id} is {row[0] if row else 'unknown'}, not approved")


def _failed(db: sqlite3.Connection, workspace: str, execution_id: str) -> int:
    row = db.execute(
        "SELECT failed FROM executions WHERE workspace = ? AND id = ?", (workspace, execution_id)
    ).fetchone()
    return int(row[0]) if row else 0


def _run_of(db: sqlite3.Connection, workspace: str, execution_id: str) -> str:
    (run_id,) = db.execute(
        "SELECT run_id FROM executions WHERE workspace = ? AND id = ?", (workspace, execution_id)
    ).fetchone()
    return str(run_id)


def _recount(db: sqlite3.Connection, at: Envelope, execution_id: str, failed_before: int) -> None:
    change = _failed(db, at.workspace, execution_id) - failed_before
    if change:
        brakes.note_failure(db, at, execution_id)
        if change > 0:
            units.worsened(db, at.workspace, _run_of(db, at.workspace, execution_id), WorkOutcome.FAILED)
        _count_own(db, at.workspace, execution_id, "failed", change)


def _reverted(db: sqlite3.Connection, at: Envelope, execution_id: str) -> None:
    """Where this was an undo that took effect: what it took back is reverted, once."""
    subject = brakes.revert(db, at, execution_id)
    if subject is not None:
        tool, environment, run_id = subject
        count(db, at.workspace, tool, environment, "reverted")
        units.worsened(db, at.workspace, run_id, WorkOutcome.REVERTED)


def _count_own(db: sqlite3.Connection, workspace: str, execution_id: str, what: Counter, by: int = 1) -> None:
    """Count for the execution's tool, unless a person asked for it to take another one back."""
    tool, environment, undoes = db.execute(
        "SELECT tool, environment, undoes FROM executions WHERE workspace = ? AND id = ?", (workspace, execution_id)
    ).fetchone()
    if not undoes:
        count(db, workspace, tool, environment, what, by)
