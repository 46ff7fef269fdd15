"""Alerts: how many there were, those that wait, maintenance windows, and what was kept quiet."""

from __future__ import annotations

import sqlite3

from domain.codec import timestamp
from domain.events import AlertHeld, AlertSuppressed, Envelope, MaintenanceEnded, MaintenanceStarted
from storage.views.rules import must_change, text


def held(db: sqlite3.Connection, at: Envelope, event: AlertHeld) -> None:
    """An alert waits; held again, it keeps since when."""
    db.execute(
        "INSERT INTO held_alerts (workspace, fingerprint, incident_id, since, due, held) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET due = excluded.due, held = excluded.held",
        (at.workspace, event.alert.fingerprint, at.incident_id, timestamp(at.at), timestamp(event.due), text(event)),
    )


def suppressed(db: sqlite3.Connection, at: Envelope, event: AlertSuppressed) -> None:
    """Only what waited can have ceased meanwhile."""
    must_change(
        db.execute(
            "DELETE FROM held_alerts WHERE workspace = ? AND fingerprint = ?", (at.workspace, event.fingerprint)
        ),
        f"the alert {event.fingerprint} does not wait",
    )
    counted(db, at, event.why)


def released(db: sqlite3.Connection, at: Envelope, fingerprint: str) -> None:
    """An incident has taken the alert: it waits no longer."""
    db.execute("DELETE FROM held_alerts WHERE workspace = ? AND fingerprint = ?", (at.workspace, fingerprint))


def counted(db: sqlite3.Connection, at: Envelope, why: str) -> None:
    """One more alert that opened no incident of its own."""
    db.execute(
        "INSERT INTO noise (workspace, why, at, seq) VALUES (?, ?, ?, ?)",
        (at.workspace, why, timestamp(at.at), at.seq),
    )
    tally(db, at, why)


def tally(db: sqlite3.Connection, at: Envelope, what: str) -> None:
    """One more of something on its day (UTC)."""
    db.execute(
        "INSERT INTO tallies (workspace, day, what, n) VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET n = n + 1",
        (at.workspace, timestamp(at.at)[:10], what),
    )


def started(db: sqlite3.Connection, at: Envelope, event: MaintenanceStarted) -> None:
    """Once per id."""
    window = event.window
    must_change(
        db.execute(
            "INSERT INTO maintenance (workspace, id, until, announced) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (at.workspace, window.id, timestamp(window.until), text(window)),
        ),
        f"the maintenance window {window.id} exists already",
    )


def ended(db: sqlite3.Connection, at: Envelope, event: MaintenanceEnded) -> None:
    """Earlier than announced, and once."""
    must_change(
        db.execute("DELETE FROM maintenance WHERE workspace = ? AND id = ?", (at.workspace, event.window_id)),
        f"there is no maintenance window {event.window_id}",
    )
