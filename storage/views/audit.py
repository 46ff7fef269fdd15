"""The log about itself: the Merkle tree's tiles, how the anchors stand, bodies that are erased."""

from __future__ import annotations

import json
import sqlite3

from domain.audit import AnchorFailed, AnchorWritten, BodyErased, CheckpointSigned
from domain.codec import timestamp
from domain.errors import BadInput
from domain.events import Envelope
from storage import tiles
from storage.erasing import remains_of
from storage.merkle import Frontier
from storage.views.rules import refuse, text

_EVENT = """
  SELECT e.kind, e.run_id, b.body, b.salt = '' FROM events AS e JOIN event_bodies AS b USING (workspace, seq)
  WHERE e.workspace = ? AND e.seq = ?
"""
_GOES_ON = "SELECT 1 FROM runs WHERE workspace = ? AND id = ? AND status <> 'finished'"
_UNHANDLED = "SELECT 1 FROM inbox WHERE workspace = ? AND seq = ? AND handled = 0"
_WAITS = "SELECT 1 FROM held_alerts WHERE workspace = ? AND fingerprint = ?"
_OPEN = "SELECT 1 FROM incidents WHERE workspace = ? AND seq = ? AND resolved_at IS NULL"
_UNSENT = "SELECT 1 FROM outbox WHERE workspace = ? AND key = ? AND revision = ? AND sent_revision < ? AND failed = ''"


def signed(db: sqlite3.Connection, at: Envelope, event: CheckpointSigned) -> None:
    """Over events before it only. Its complete tiles are kept for proofs."""
    if not 0 < event.size < at.seq:
        refuse(f"a checkpoint at event {at.seq} cannot be over {event.size} events")
    try:
        Frontier.from_hex(event.size, event.frontier)
    except ValueError as error:
        refuse(f"a checkpoint cannot be gone on from: {error}")
    tiles.lay(db, at.workspace, event.size)


def anchored(db: sqlite3.Connection, at: Envelope, event: AnchorWritten) -> None:
    """The newest checkpoint counts."""
    db.execute(
        "INSERT INTO anchors (workspace, place, size, reference, written_at) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET size = excluded.size, reference = excluded.reference,"
        " written_at = excluded.written_at, failed = '', failed_at = NULL WHERE excluded.size >= size",
        (at.workspace, event.place, event.size, event.reference, timestamp(at.at)),
    )


def not_anchored(db: sqlite3.Connection, at: Envelope, event: AnchorFailed) -> None:
    """The place keeps what it has; since when it fails is since the first of these."""
    db.execute(
        "INSERT INTO anchors (workspace, place, failed, failed_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET failed = excluded.failed, failed_at = coalesce(failed_at, excluded.failed_at)",
        (at.workspace, event.place, event.reason or "refused", timestamp(at.at)),
    )


def erased(db: sqlite3.Connection, at: Envelope, event: BodyErased) -> None:
    """Only the tombstone's `remains` stay, without a salt. Not while something may still have to be read back.

    Folded again, the body is gone already and there is nothing to do.
    """
    row = db.execute(_EVENT, (at.workspace, event.seq)).fetchone() if event.seq < at.seq else None
    if row is None:
        refuse(f"there is no event {event.seq} before event {at.seq}")
    kind, run_id, body, gone = row
    if gone:
        return
    _refuse_in_use(db, at.workspace, event.seq, kind, run_id, body)
    try:
        remains = remains_of(kind, json.loads(body))
    except BadInput as error:
        refuse(str(error))
    if event.remains != remains:
        refuse(f"the tombstone of event {event.seq} says something else than its body without people's words")
    db.execute(
        "UPDATE event_bodies SET salt = '', body = ? WHERE workspace = ? AND seq = ?",
        (text(remains), at.workspace, event.seq),
    )


def _refuse_in_use(db: sqlite3.Connection, workspace: str, seq: int, kind: str, run_id: str, body: str) -> None:
    if db.execute(_GOES_ON, (workspace, run_id)).fetchone():
        refuse(f"event {seq} belongs to a run that goes on and reads it back: {run_id}")
    if kind == "PayloadReceived" and db.execute(_UNHANDLED, (workspace, seq)).fetchone():
        refuse(f"event {seq} is a payload that is not handled yet")
    if kind == "IncidentOpened" and db.execute(_OPEN, (workspace, seq)).fetchone():
        refuse(f"event {seq} opened an incident that is still open")
    if kind == "AlertHeld" and db.execute(_WAITS, (workspace, json.loads(body)["alert"]["fingerprint"])).fetchone():
        refuse(f"event {seq} is an alert that still waits")
    if kind == "MessageWanted":
        wanted = json.loads(body)
        row = (workspace, wanted["key"], wanted["revision"], wanted["revision"])
        if db.execute(_UNSENT, row).fetchone():
            refuse(f"event {seq} is a message that Slack does not have yet")
