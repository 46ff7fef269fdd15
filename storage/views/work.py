"""The control row (mode and pause), and what work costs by hand."""

from __future__ import annotations

import sqlite3

from domain.codec import timestamp
from domain.events import BaselineImported, BaselinesSet, Envelope, ModeChanged


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


def baselines_set(db: sqlite3.Connection, at: Envelope, event: BaselinesSet) -> None:
    """What the team says replaces what it said before."""
    db.execute("DELETE FROM baselines WHERE workspace = ?", (at.workspace,))
    db.executemany(
        "INSERT INTO baselines (workspace, kind, seconds, seq) VALUES (?, ?, ?, ?)",
        [(at.workspace, kind, seconds, at.seq) for kind, seconds in event.seconds.items()],
    )


def baseline_imported(db: sqlite3.Connection, at: Envelope, event: BaselineImported) -> None:
    """The incidents of this file replace those of the file before."""
    db.execute("DELETE FROM history WHERE workspace = ?", (at.workspace,))
    db.executemany(
        "INSERT INTO history (workspace, kind, open_ms, seq, place, resolved_at, service) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                at.workspace,
                past.kind,
                round((past.resolved_at - past.opened_at).total_seconds() * 1000),
                at.seq,
                place,
                timestamp(past.resolved_at),
                past.service,
            )
            for place, past in enumerate(event.incidents)
        ],
    )
