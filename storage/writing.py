"""Drafts to rows: encoded and hashed, chained to what stands before them, folded in the same transaction."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from domain.canonical import canonical
from domain.codec import timestamp
from domain.events import Draft, Envelope, body_of
from storage import views
from storage.chain import GENESIS, hash_of_body, hash_of_event

Head = tuple[int, str]
"""The last event's `seq` and hash."""


class Entry(NamedTuple):
    """A draft with its bytes, wanting only its place in the chain."""

    draft: Draft
    actor: str
    kind: str
    body: str
    salt: str
    body_hash: str


def entry(draft: Draft) -> Entry:
    """Encoded and hashed where it is appended: the writer's thread waits for the disk meanwhile."""
    body = canonical(body_of(draft.event))
    salt = os.urandom(16).hex()
    kind = type(draft.event).__name__
    return Entry(draft, str(draft.actor), kind, body.decode(), salt, hash_of_body(salt, body))


def chain(
    db: sqlite3.Connection, workspace: str, head: Head, entries: Iterable[Entry], moment: datetime
) -> tuple[Head, list[Envelope]]:
    """Write the entries behind `head`, within the transaction that is open; the new head, and what was recorded."""
    at = timestamp(moment)
    envelopes = []
    for entry in entries:
        draft, (last, prev_hash) = entry.draft, head
        seq = last + 1
        header = (
            workspace,
            seq,
            draft.incident_id,
            draft.run_id,
            at,
            entry.actor,
            entry.kind,
            entry.body_hash,
            prev_hash,
        )
        chained = hash_of_event(*header)
        db.execute(
            "INSERT INTO events (workspace, seq, incident_id, run_id, at, actor, kind, body_hash, prev_hash, hash)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*header, chained),
        )
        db.execute(
            "INSERT INTO event_bodies (workspace, seq, salt, body) VALUES (?, ?, ?, ?)",
            (workspace, seq, entry.salt, entry.body),
        )
        envelope = Envelope(seq, workspace, draft.incident_id, draft.run_id, moment, entry.actor, draft.event, chained)
        views.admit(db, envelope)
        views.fold(db, envelope)
        envelopes.append(envelope)
        head = (seq, chained)
    return head, envelopes


def read_head(db: sqlite3.Connection, workspace: str) -> Head:
    """Where the chain ends."""
    row = db.execute(
        "SELECT seq, hash FROM events WHERE workspace = ? ORDER BY seq DESC LIMIT 1", (workspace,)
    ).fetchone()
    return (int(row[0]), str(row[1])) if row else (0, GENESIS)
