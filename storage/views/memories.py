"""Conclusions by what they may be found again: the alert, the target, and the words."""

from __future__ import annotations

import json
import sqlite3

from domain.actions import Target
from domain.codec import decode, timestamp
from domain.events import DiagnosisConcluded, Envelope
from domain.memory import words_of


def remembered(db: sqlite3.Connection, at: Envelope, event: DiagnosisConcluded) -> None:
    """A run's last conclusion counts."""
    row = db.execute("SELECT spec FROM runs WHERE workspace = ? AND id = ?", (at.workspace, at.run_id)).fetchone()
    if row is None:
        return
    spec, found = json.loads(row[0]), event.diagnosis
    alert, target = spec.get("alert") or {}, decode(Target, spec["target"])
    db.execute(
        "INSERT OR REPLACE INTO memories (workspace, run_id, seq, incident_id, at, fingerprint, target_key, summary, cause)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            at.workspace,
            at.run_id,
            at.seq,
            at.incident_id,
            timestamp(at.at),
            alert.get("fingerprint", ""),
            target.key if target.name else "",
            found.summary[:500],
            found.cause[:1000],
        ),
    )
    words = words_of(
        alert.get("name", ""), alert.get("summary", ""), spec.get("question", ""), found.summary, found.cause
    )
    db.executemany(
        "INSERT OR IGNORE INTO memory_words (workspace, word, run_id) VALUES (?, ?, ?)",
        ((at.workspace, word, at.run_id) for word in words),
    )
