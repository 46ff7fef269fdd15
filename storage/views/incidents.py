"""Incidents: opened once, joined while open, resolved once; an alert belongs to one open incident at a time."""

from __future__ import annotations

import sqlite3

from domain.codec import moment, timestamp
from domain.errors import Conflict
from domain.events import AlertJoined, Envelope, IncidentOpened
from storage.views import noise
from storage.views.rules import must_change, text


def opened(db: sqlite3.Connection, at: Envelope, event: IncidentOpened) -> None:
    """A new id, and no alert that another open incident has."""
    incident = event.incident
    must_change(
        db.execute(
            "INSERT INTO incidents (workspace, id, seq, opened, opened_at, channel, thread_ts, alerts)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                at.workspace,
                incident.id,
                at.seq,
                text(incident),
                timestamp(incident.opened_at),
                incident.channel,
                incident.thread_ts,
                incident.alerts,
            ),
        ),
        f"the incident {incident.id} exists already",
    )
    noise.tally(db, at, "incident")
    for place, fingerprint in enumerate(dict.fromkeys((*incident.fingerprints, *incident.firing))):
        _add(db, at, incident.id, fingerprint, place, firing=fingerprint in incident.firing)
        noise.released(db, at, fingerprint)


def joined(db: sqlite3.Connection, at: Envelope, event: AlertJoined) -> None:
    """Counts the alert, and keeps whether it still fires. One that fires is noise: the same again, or another of its group."""
    must_change(
        db.execute(
            "UPDATE incidents SET alerts = alerts + 1 WHERE workspace = ? AND id = ? AND resolved_at IS NULL",
            (at.workspace, at.incident_id),
        ),
        f"the incident {at.incident_id or '(none)'} is not open, so no alert can join it",
    )
    known = db.execute(
        "UPDATE incident_alerts SET firing = ? WHERE workspace = ? AND incident_id = ? AND fingerprint = ?",
        (event.firing, at.workspace, at.incident_id, event.fingerprint),
    )
    if not known.rowcount:
        _add(db, at, at.incident_id, event.fingerprint, 0, firing=event.firing)
        noise.released(db, at, event.fingerprint)
    if event.firing:
        noise.counted(db, at, "storm" if event.storm else "repeated" if known.rowcount else "grouped")


def resolved(db: sqlite3.Connection, at: Envelope) -> None:
    """Open incidents only, and once."""
    row = db.execute(
        "UPDATE incidents SET resolved_at = ?, resolved_seq = ? WHERE workspace = ? AND id = ? AND resolved_at IS NULL"
        " RETURNING opened_at",
        (timestamp(at.at), at.seq, at.workspace, at.incident_id),
    ).fetchone()
    if row is None:
        raise Conflict(f"the incident {at.incident_id or '(none)'} is not open")
    db.execute(
        "UPDATE incidents SET open_ms = ? WHERE workspace = ? AND id = ?",
        (round((at.at - moment(row[0])).total_seconds() * 1000), at.workspace, at.incident_id),
    )
    db.execute(
        "UPDATE incident_alerts SET open = 0, firing = 0 WHERE workspace = ? AND incident_id = ?",
        (at.workspace, at.incident_id),
    )


def acted_in(db: sqlite3.Connection, workspace: str, incident_id: str) -> None:
    """The agent executed something in it: it is no baseline of what happens without."""
    db.execute("UPDATE incidents SET changed = 1 WHERE workspace = ? AND id = ?", (workspace, incident_id))


def in_thread(db: sqlite3.Connection, workspace: str, incident_id: str, channel: str, ts: str) -> None:
    """Slack has the incident's own message: its thread is known from here on."""
    db.execute(
        "UPDATE incidents SET channel = ?, thread_ts = ? WHERE workspace = ? AND id = ? AND thread_ts = ''",
        (channel, ts, workspace, incident_id),
    )


def _add(db: sqlite3.Connection, at: Envelope, incident_id: str, fingerprint: str, place: int, *, firing: bool) -> None:
    must_change(
        db.execute(
            "INSERT INTO incident_alerts (workspace, incident_id, fingerprint, seq, place, firing, open)"
            " VALUES (?, ?, ?, ?, ?, ?, 1) ON CONFLICT DO NOTHING",
            (at.workspace, incident_id, fingerprint, at.seq, place, firing),
        ),
        f"the alert {fingerprint} belongs to another open incident",
    )
