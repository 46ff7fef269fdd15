"""What the weekly message reads besides the figures: the changes that went wrong, and where the journal stands."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from datetime import datetime
from typing import Any

from domain.actions import Action
from domain.codec import decode, moment, timestamp
from domain.report import Head, Mishap, Wrong
from domain.runs import RunOutcome

_WRONG = """
  SELECT x.id, x.run_id, coalesce(r.incident_id, ''), x.action, x.detail, x.checks, x.started_at,
    CASE WHEN x.reverted_seq IS NOT NULL THEN 'taken back' WHEN x.outcome = 'failed' THEN 'failed'
      WHEN x.verified = 0 THEN 'not verified' ELSE 'unknown' END
  FROM executions AS x LEFT JOIN runs AS r ON r.workspace = x.workspace AND r.id = x.run_id
  WHERE x.workspace = :workspace AND x.started_at >= :since AND x.started_at < :until
    AND (x.failed = 1 OR x.reverted_seq IS NOT NULL)
  ORDER BY x.started_at DESC
"""
_SIGNED = """
  SELECT b.body ->> 'size', e.at FROM events AS e JOIN event_bodies AS b USING (workspace, seq)
  WHERE e.workspace = ? AND e.kind = 'CheckpointSigned' ORDER BY e.at DESC, e.seq DESC LIMIT 1
"""


def mishaps(db: sqlite3.Connection, workspace: str, since: datetime, until: datetime) -> list[Mishap]:
    """The changes begun in the period that failed, were not verified or are unknown, or were taken back; newest first."""
    period = {"workspace": workspace, "since": timestamp(since), "until": timestamp(until)}
    return [
        Mishap(
            Wrong(wrong),
            execution_id,
            run_id,
            incident_id,
            decode(Action, json.loads(action)),
            _detail(Wrong(wrong), detail, json.loads(checks)),
            moment(at),
        )
        for execution_id, run_id, incident_id, action, detail, checks, at, wrong in db.execute(_WRONG, period)
    ]


def _detail(wrong: Wrong, detail: str, checks: list[dict[str, Any]]) -> str:
    """What the call said, or which check did not hold; a change that was taken back had gone well."""
    if wrong is Wrong.REVERTED:
        return ""
    missed = [f"{check['name']} {check['detail']}".strip() for check in checks if not check["passed"]]
    return ", ".join(missed) if wrong is Wrong.UNVERIFIED and missed else detail


def broken(db: sqlite3.Connection, workspace: str, since: datetime, until: datetime) -> int:
    """How many runs ended with an error in the period."""
    (n,) = db.execute(
        "SELECT count(*) FROM runs WHERE workspace = ? AND outcome = ? AND finished_at >= ? AND finished_at < ?",
        (workspace, RunOutcome.FAILED, timestamp(since), timestamp(until)),
    ).fetchone()
    return int(n)


def head(db: sqlite3.Connection, workspace: str) -> Head | None:
    """The last event, and the newest checkpoint with the places that hold it or one before; None for an empty journal."""
    last = db.execute(
        "SELECT seq, hash FROM events WHERE workspace = ? ORDER BY seq DESC LIMIT 1", (workspace,)
    ).fetchone()
    if last is None:
        return None
    found, signed = Head(*last), db.execute(_SIGNED, (workspace,)).fetchone()
    if signed is None:
        return found
    places = db.execute(
        "SELECT place FROM anchors WHERE workspace = ? AND size > 0 AND failed = '' ORDER BY place", (workspace,)
    )
    return replace(
        found, signed=int(signed[0]), signed_at=moment(signed[1]), places=tuple(place for (place,) in places)
    )
