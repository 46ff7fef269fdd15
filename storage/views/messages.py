"""The inbox (a payload is taken in once) and the outbox (one row per Slack message: what it should say, what Slack has)."""

from __future__ import annotations

import sqlite3

from domain.codec import timestamp
from domain.errors import Conflict, Duplicate
from domain.events import Envelope, MessageFailed, MessageSent, MessageWanted, PayloadHandled, PayloadReceived
from domain.messages import CARD
from storage.views import approvals, incidents
from storage.views.rules import must_change, text


def received(db: sqlite3.Connection, at: Envelope, event: PayloadReceived) -> None:
    """New by `key`, and by `also` where the payload has a second name."""
    must_change(
        db.execute(
            "INSERT INTO inbox (workspace, key, also, seq) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (at.workspace, event.key, event.also, at.seq),
        ),
        f"the payload {event.key} was received before",
        Duplicate,
    )


def handled(db: sqlite3.Connection, at: Envelope, event: PayloadHandled) -> None:
    """Once: a payload is not handled twice."""
    must_change(
        db.execute(
            "UPDATE inbox SET handled = 1 WHERE workspace = ? AND key = ? AND handled = 0", (at.workspace, event.key)
        ),
        f"the payload {event.key} was handled before, or never received",
    )


def wanted(db: sqlite3.Connection, at: Envelope, event: MessageWanted) -> None:
    """A later revision than the one that is wanted already; it gets its own chances to be sent."""
    must_change(
        db.execute(
            "INSERT INTO outbox (workspace, key, seq, incident_id, revision, channel, thread_key, thread_ts, priority,"
            " text, blocks, attachments, wanted_at, shared_since) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET incident_id = excluded.incident_id, revision = excluded.revision,"
            " channel = excluded.channel, thread_key = excluded.thread_key, thread_ts = excluded.thread_ts,"
            " priority = excluded.priority, text = excluded.text, blocks = excluded.blocks,"
            " attachments = excluded.attachments, wanted_at = excluded.wanted_at, shared_since = excluded.shared_since,"
            " attempts = 0, failed = ''"
            " WHERE excluded.revision > revision",
            (
                at.workspace,
                event.key,
                at.seq,
                at.incident_id,
                event.revision,
                event.channel,
                event.thread_key,
                event.thread_ts,
                event.priority,
                event.text,
                text(event.blocks),
                text(event.attachments),
                timestamp(at.at),
                timestamp(event.shared_since) if event.shared_since else None,
            ),
        ),
        f"the message {event.key} has a revision later than {event.revision} already",
    )


def sent(db: sqlite3.Connection, at: Envelope, event: MessageSent) -> None:
    """A revision that was wanted. The first message of an incident that stands in no thread is the incident's own."""
    row = db.execute(
        "SELECT revision, incident_id, thread_key, thread_ts FROM outbox WHERE workspace = ? AND key = ?",
        (at.workspace, event.key),
    ).fetchone()
    if row is None or event.revision > row[0]:
        raise Conflict(f"revision {event.revision} of the message {event.key} was never wanted")
    db.execute(
        "UPDATE outbox SET sent_revision = max(sent_revision, ?), sent_channel = ?, ts = ?, attempts = 0, failed = ''"
        " WHERE workspace = ? AND key = ?",
        (event.revision, event.channel, event.ts, at.workspace, event.key),
    )
    if event.key.startswith(CARD):
        approvals.shown(db, at, event.key.removeprefix(CARD))
    _, incident_id, thread_key, thread_ts = row
    if incident_id and thread_key in ("", event.key) and not thread_ts:
        incidents.in_thread(db, at.workspace, incident_id, event.channel, event.ts)


def failed(db: sqlite3.Connection, at: Envelope, event: MessageFailed) -> None:
    """One more attempt; for good only where it is the wanted revision that failed."""
    must_change(
        db.execute(
            "UPDATE outbox SET attempts = attempts + 1, failed = CASE WHEN ? AND revision = ? THEN ? ELSE failed END"
            " WHERE workspace = ? AND key = ?",
            (event.final, event.revision, event.error or "refused", at.workspace, event.key),
        ),
        f"the message {event.key} was never wanted",
    )
