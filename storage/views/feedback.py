"""Feedback: one standing word per person and run, and only on what was diagnosed."""

from __future__ import annotations

import sqlite3

from domain.codec import timestamp
from domain.events import Envelope, FeedbackGiven
from domain.feedback import FeedbackVerdict
from storage.views import units
from storage.views.rules import must_change, refuse


def given(db: sqlite3.Connection, at: Envelope, event: FeedbackGiven) -> None:
    """The last word of each person stands. A 👎 says what was wrong."""
    if (event.verdict is FeedbackVerdict.BAD) != (event.category is not None):
        refuse("a category says what was wrong, and belongs to a 👎 alone")
    must_change(
        db.execute(
            "INSERT INTO feedback (workspace, run_id, user, seq, verdict, category, reason, at)"
            " SELECT ?, id, ?, ?, ?, ?, ?, ? FROM runs WHERE workspace = ? AND id = ? AND diagnoser <> ''"
            " ON CONFLICT DO UPDATE SET seq = excluded.seq, verdict = excluded.verdict, category = excluded.category,"
            " reason = excluded.reason, at = excluded.at",
            (
                at.workspace,
                event.user,
                at.seq,
                event.verdict,
                event.category or "",
                event.reason,
                timestamp(at.at),
                at.workspace,
                event.run_id,
            ),
        ),
        f"there is no diagnosis of the run {event.run_id or '(none)'}",
    )
    units.disputed(db, at.workspace, event.run_id)
