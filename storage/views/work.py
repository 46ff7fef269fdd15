"""The control row (mode and pause), work units, and the daily sums that roll-ups read."""

from __future__ import annotations

import sqlite3

from domain.codec import timestamp
from domain.events import Envelope, ModeChanged, WorkUnitRecorded


def paused(db: sqlite3.Connection, at: Envelope, reason: str) -> None:
    """The last word counts; an empty reason means not paused."""
    db.execute(
        "INSERT INTO control (workspace, paused) VALUES (?, ?) ON CONFLICT DO UPDATE SET paused = excluded.paused",
        (at.workspace, reason),
    )


def mode_changed(db: sqlite3.Connection, at: Envelope, event: ModeChanged) -> None:
    """The last word counts."""
    db.execute(
        "INSERT INTO control (workspace, mode) VALUES (?, ?) ON CONFLICT DO UPDATE SET mode = excluded.mode",
        (at.workspace, event.mode),
    )


def recorded(db: sqlite3.Connection, at: Envelope, event: WorkUnitRecorded) -> None:
    """The unit as a row, and in the sums of the day (UTC) it was finished on."""
    unit = event.unit
    finished_at = timestamp(unit.finished_at)
    sums = (unit.people_ms or 0, unit.input_tokens, unit.output_tokens, unit.cost_micros, unit.estimated_saved_s)
    db.execute(
        "INSERT INTO work_units (workspace, seq, incident_id, run_id, kind, outcome, service, environment, started_at,"
        " finished_at, to_first_finding_ms, to_diagnosis_ms, to_approval_ms, to_verified_ms, people_ms, input_tokens,"
        " output_tokens, cost_micros, estimated_saved_s, baseline)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            at.workspace,
            at.seq,
            at.incident_id,
            at.run_id,
            unit.kind,
            unit.outcome,
            unit.service,
            unit.environment,
            timestamp(unit.started_at),
            finished_at,
            unit.to_first_finding_ms,
            unit.to_diagnosis_ms,
            unit.to_approval_ms,
            unit.to_verified_ms,
            *sums,
            unit.baseline,
        ),
    )
    db.execute(
        "INSERT INTO daily (workspace, day, kind, outcome, n, people_ms, input_tokens, output_tokens, cost_micros,"
        " estimated_saved_s) VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + 1,"
        " people_ms = people_ms + excluded.people_ms, input_tokens = input_tokens + excluded.input_tokens,"
        " output_tokens = output_tokens + excluded.output_tokens, cost_micros = cost_micros + excluded.cost_micros,"
        " estimated_saved_s = estimated_saved_s + excluded.estimated_saved_s",
        (at.workspace, finished_at[:10], unit.kind, unit.outcome, *sums),
    )
