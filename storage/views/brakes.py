"""Breakers and autonomy: each opened or taken back once, and only what is open can be closed. What counts towards them."""

from __future__ import annotations

import sqlite3

from domain.codec import timestamp
from domain.errors import Paused
from domain.events import AutonomyDemoted, AutonomyRestored, BreakerOpened, BreakerReset, Envelope, ExecutionStarted
from storage.views.rules import must_change


def opened(db: sqlite3.Connection, at: Envelope, event: BreakerOpened) -> None:
    """A breaker that is closed."""
    must_change(
        db.execute(
            "INSERT INTO breakers (workspace, scope, seq, reason, opened_at, open) VALUES (?, ?, ?, ?, ?, 1)"
            " ON CONFLICT DO UPDATE SET seq = excluded.seq, reason = excluded.reason, opened_at = excluded.opened_at,"
            " open = 1 WHERE open = 0",
            (at.workspace, event.scope, at.seq, event.reason, timestamp(at.at)),
        ),
        f"the circuit breaker of {event.scope} is open already",
    )


def reset(db: sqlite3.Connection, at: Envelope, event: BreakerReset) -> None:
    """A breaker that is open; its count begins anew."""
    must_change(
        db.execute(
            "UPDATE breakers SET open = 0, reset_seq = ? WHERE workspace = ? AND scope = ? AND open = 1",
            (at.seq, at.workspace, event.scope),
        ),
        f"the circuit breaker of {event.scope} is not open",
    )


def demoted(db: sqlite3.Connection, at: Envelope, event: AutonomyDemoted) -> None:
    """A tool that is not demoted in this environment."""
    must_change(
        db.execute(
            "INSERT INTO autonomy (workspace, tool, environment, seq, reason, demoted_at, demoted)"
            " VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET seq = excluded.seq, reason = excluded.reason,"
            " demoted_at = excluded.demoted_at, demoted = 1 WHERE demoted = 0",
            (at.workspace, event.tool, event.environment, at.seq, event.reason, timestamp(at.at)),
        ),
        f"{event.tool} in {event.environment} is demoted already",
    )


def restored(db: sqlite3.Connection, at: Envelope, event: AutonomyRestored) -> None:
    """A tool that is demoted in this environment."""
    must_change(
        db.execute(
            "UPDATE autonomy SET demoted = 0, restored_seq = ?"
            " WHERE workspace = ? AND tool = ? AND environment = ? AND demoted = 1",
            (at.seq, at.workspace, event.tool, event.environment),
        ),
        f"{event.tool} in {event.environment} is not demoted",
    )


def not_paused(db: sqlite3.Connection, workspace: str) -> None:
    """Refuse an execution while the agent is paused: whatever raced with the pause, the journal has the last word."""
    row = db.execute("SELECT paused FROM control WHERE workspace = ?", (workspace,)).fetchone()
    if row and row[0]:
        raise Paused(f"the agent is paused ({row[0]})")


def meant_for(db: sqlite3.Connection, at: Envelope, event: ExecutionStarted) -> None:
    """Remember what an execution is meant to help with."""
    db.executemany(
        "INSERT INTO problems (workspace, problem, started_at, execution_id) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [(at.workspace, problem, timestamp(at.at), event.execution_id) for problem in event.problems],
    )


def note_failure(db: sqlite3.Connection, at: Envelope, execution_id: str) -> None:
    """Since when an execution counts against the circuit breaker; nothing where it does not (any more)."""
    db.execute(
        "UPDATE executions SET (bad_at, bad_seq) = (SELECT iif(bad, coalesce(bad_at, ?), NULL),"
        " iif(bad, coalesce(bad_seq, ?), NULL) FROM (SELECT failed = 1 OR reverted_seq IS NOT NULL AS bad))"
        " WHERE workspace = ? AND id = ?",
        (timestamp(at.at), at.seq, at.workspace, execution_id),
    )


def revert(db: sqlite3.Connection, at: Envelope, undo_id: str) -> tuple[str, str, str] | None:
    """The undo took effect: mark what it took back. Its tool, environment and run, where that is news."""
    found = db.execute(
        "UPDATE executions SET reverted_seq = ? WHERE workspace = ? AND reverted_seq IS NULL"
        " AND id = (SELECT undoes FROM executions WHERE workspace = ? AND id = ? AND undoes <> '')"
        " RETURNING id, tool, environment, run_id",
        (at.seq, at.workspace, at.workspace, undo_id),
    ).fetchone()
    if found is None:
        return None
    note_failure(db, at, found[0])
    return found[1], found[2], found[3]
