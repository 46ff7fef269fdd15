"""Erasing bodies: a tombstone is chained and the body goes, in one transaction; then no free page keeps a copy of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path

from domain.decisions import Actor
from domain.errors import BadInput, JournalError
from domain.events import BodyErased, Draft
from storage import views
from storage.database import BUSY_S, check, looking_at, owned, prepare, projections, sentence, transaction
from storage.erasing import remains_of
from storage.writing import chain, entry, read_head

_PATIENCE_MS = 1000  # for readers that hold the write-ahead log


def holding(path: str | Path, workspace: str, words: str) -> Sequence[tuple[int, str, str]]:
    """The events whose body holds these words, exactly: `seq`, when, kind. Works beside a running service."""
    with looking_at(Path(path)) as db:
        return db.execute(
            "SELECT e.seq, e.at, e.kind FROM events AS e JOIN event_bodies AS b USING (workspace, seq)"
            " WHERE e.workspace = ? AND instr(b.body, ?) ORDER BY e.seq",
            (workspace, json.dumps(words, ensure_ascii=False)[1:-1]),
        ).fetchall()


def erase(
    path: str | Path, workspace: str, seqs: Sequence[int], reason: str, actor: Actor, at: datetime
) -> Sequence[tuple[int, int]]:
    """Erase these events' bodies, all of them or none; each one's `seq` and its tombstone's. The service must not run.

    What is erased already gets no second tombstone. Every projection is folded again in the same transaction, so that no
    row holds what is gone, and the file is then written anew, which needs as much free disk space as it has bytes.
    Raises BadInput for an event that cannot be erased, Conflict for one that may still be needed, JournalError where the
    file cannot be used or a service runs.
    """
    path = Path(path)
    if not path.exists():
        raise JournalError(f"there is no database at {path}")
    with owned(path):
        try:
            with closing(sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)) as db:
                check(db, path)
                prepare(db, path)
                with transaction(db):
                    if views.current(db) != projections()[1]:
                        views.refold(db)
                    found = [_tombstone(db, workspace, seq, reason) for seq in dict.fromkeys(seqs)]
                    events = [event for event in found if event is not None]
                    entries = [entry(Draft(event, actor)) for event in events]
                    _, tombstones = chain(db, workspace, read_head(db, workspace), entries, at)
                    views.refold(db)
                _rewrite(db)
                return [(event.seq, tombstone.seq) for event, tombstone in zip(events, tombstones, strict=True)]
        except sqlite3.Error as error:
            raise JournalError(sentence(error, "the erasing did not end; run it again")) from error


def _tombstone(db: sqlite3.Connection, workspace: str, seq: int, reason: str) -> BodyErased | None:
    row = db.execute(
        "SELECT e.kind, b.body, b.salt = '' FROM events AS e JOIN event_bodies AS b USING (workspace, seq)"
        " WHERE e.workspace = ? AND e.seq = ?",
        (workspace, seq),
    ).fetchone()
    if row is None:
        raise BadInput(f"the workspace {workspace} has no event {seq}")
    kind, body, gone = row
    return None if gone else BodyErased(seq, reason, remains_of(kind, json.loads(body)))


def _rewrite(db: sqlite3.Connection) -> None:
    """Pages that are free, and the write-ahead log, still hold what was deleted; a file written anew does not."""
    db.execute("VACUUM")
    db.execute(f"PRAGMA busy_timeout = {_PATIENCE_MS}")
    busy, _, _ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise JournalError(
            "erased, but another process reads the database, so its write-ahead log may still hold what was:"
            " end that process and run this again"
        )
