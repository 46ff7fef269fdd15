"""Re-derive the chain of a database from its rows, beside whoever is writing it.

What a chain alone cannot show is that its newest events were cut off: compare `head_hash` with one kept elsewhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from storage.chain import GENESIS, hash_of_body, hash_of_event
from storage.database import looking_at, workspaces

_EVERY = 10_000  # events between two reports of progress

_ROWS = """
  SELECT e.seq, e.incident_id, e.run_id, e.at, e.actor, e.kind, e.body_hash, e.prev_hash, e.hash, b.salt,
    CAST(b.body AS BLOB)
  FROM events AS e LEFT JOIN event_bodies AS b ON b.workspace = e.workspace AND b.seq = e.seq
  WHERE e.workspace = ? ORDER BY e.seq
"""
_ORPHAN = """
  SELECT min(seq) FROM event_bodies AS b WHERE workspace = ?
    AND NOT EXISTS (SELECT 1 FROM events AS e WHERE e.workspace = b.workspace AND e.seq = b.seq)
"""


@dataclass(frozen=True)
class Report:
    """`events` were checked. `first_bad` is the `seq` of the first that is wrong, `problem` says how.

    `workspace` is the bad event's, else the last one checked, and `head_hash` the hash of its last event.
    """

    ok: bool
    events: int
    first_bad: int | None = None
    problem: str = ""
    head_hash: str = GENESIS
    workspace: str = ""


def verify(path: str | Path, workspace: str | None = None, progress: Callable[[int], None] | None = None) -> Report:
    """Check one workspace's chain, or every workspace's. `progress` gets the number of events checked so far, now and then.

    Raises JournalError where the file cannot be read at all, NewerDatabase where a newer version wrote it.
    """
    report = Report(ok=True, events=0, workspace=workspace or "")
    with looking_at(Path(path)) as db:
        for name in [workspace] if workspace is not None else workspaces(db):
            report = _verify_chain(db, name, report.events, progress)
            if not report.ok:
                break
    return report


def _verify_chain(
    db: sqlite3.Connection, workspace: str, before: int, progress: Callable[[int], None] | None
) -> Report:
    expected, prev = 1, GENESIS
    for seq, incident_id, run_id, at, actor, kind, body_hash, prev_hash, chained, salt, body in db.execute(
        _ROWS, (workspace,)
    ):
        if seq != expected:
            problem = f"event {expected} is missing"
        elif prev_hash != prev:
            problem = f"event {seq} does not follow the event before it"
        elif body is None:
            problem = f"the body of event {seq} is missing"
        elif hash_of_body(salt, body) != body_hash:
            problem = f"the body of event {seq} was changed"
        elif hash_of_event(workspace, seq, incident_id, run_id, at, actor, kind, body_hash, prev_hash) != chained:
            problem = f"a field of event {seq} was changed"
        else:
            expected, prev = seq + 1, chained
            if progress and not seq % _EVERY:
                progress(before + seq)
            continue
        return Report(ok=False, events=before + expected - 1, first_bad=expected, problem=problem, workspace=workspace)
    events = before + expected - 1
    (orphan,) = db.execute(_ORPHAN, (workspace,)).fetchone()
    if orphan is not None:
        problem = f"event {orphan} is missing, but has a body"
        return Report(ok=False, events=events, first_bad=int(orphan), problem=problem, workspace=workspace)
    return Report(ok=True, events=events, head_hash=prev, workspace=workspace)
