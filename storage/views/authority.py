"""Break-glass: opened once, reviewed once by somebody else. Delegations: the last one of each person."""

from __future__ import annotations

import sqlite3

from domain.codec import timestamp
from domain.errors import Conflict
from domain.events import BreakGlassOpened, BreakGlassReviewed, DelegationEnded, Envelope, VoteDelegated
from storage.views.rules import must_change, text


def opened(db: sqlite3.Connection, at: Envelope, event: BreakGlassOpened) -> None:
    """A new id."""
    glass = event.glass
    must_change(
        db.execute(
            "INSERT INTO break_glass (workspace, id, seq, incident_id, opened) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (at.workspace, glass.id, at.seq, glass.incident_id, text(glass)),
        ),
        f"the break-glass {glass.id} is open already",
    )


def reviewed(db: sqlite3.Connection, at: Envelope, event: BreakGlassReviewed) -> None:
    """Once, and never by the person who broke the glass."""
    row = db.execute(
        "SELECT opened ->> 'user' FROM break_glass WHERE workspace = ? AND id = ?", (at.workspace, event.glass_id)
    ).fetchone()
    if row is not None and row[0] == event.user:
        raise Conflict("whoever broke the glass does not review it")
    must_change(
        db.execute(
            "UPDATE break_glass SET reviewed_by = ?, review = ?, reviewed_at = ?"
            " WHERE workspace = ? AND id = ? AND reviewed_at IS NULL",
            (event.name or event.user, event.comment, timestamp(at.at), at.workspace, event.glass_id),
        ),
        f"the break-glass {event.glass_id} is unknown or was reviewed already",
    )


def delegated(db: sqlite3.Connection, at: Envelope, event: VoteDelegated) -> None:
    """The last word of each person counts."""
    delegation = event.delegation
    db.execute(
        "INSERT INTO delegations (workspace, user, until, delegation) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET until = excluded.until, delegation = excluded.delegation",
        (at.workspace, delegation.user, timestamp(delegation.until), text(delegation)),
    )


def ended(db: sqlite3.Connection, at: Envelope, event: DelegationEnded) -> None:
    """There has to be one."""
    must_change(
        db.execute("DELETE FROM delegations WHERE workspace = ? AND user = ?", (at.workspace, event.user)),
        f"{event.user} has delegated nothing",
    )
