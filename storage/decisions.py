"""Recorded decisions, oldest first and page by page: what back-tests are made of. Memory does not grow with their number."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.codec import moment

PAGE = 500
Place = tuple[str, int]
"""Where a page ends: the time and the number of its last decision."""

# The index on (workspace, kind, at) leads to the decisions alone; no other kind's body is touched.
_PAGE = (
    "SELECT e.at, e.seq, e.run_id, b.body FROM events AS e JOIN event_bodies AS b USING (workspace, seq)"
    " WHERE e.workspace = ? AND e.kind = 'DecisionMade' AND (e.at, e.seq) > (?, ?) ORDER BY e.at, e.seq LIMIT ?"
)
_EXECUTION = (
    "SELECT started_at, verified, failed FROM executions WHERE workspace = ? AND run_id = ? AND call_id = ? AND seq > ?"
)
_ANSWER = (
    "SELECT state FROM approvals WHERE workspace = ? AND run_id = ? AND seq > ?"
    " AND json_extract(request, '$.call_id') = ? ORDER BY seq LIMIT 1"
)
_ANSWERS = {"approved": "approved", "consumed": "approved", "denied": "denied"}


@dataclass(frozen=True)
class RecordedDecision:
    """A decision with its whole input, as plain JSON, and what became of the call: the people's answer, the execution."""

    seq: int
    at: datetime
    situation: Mapping[str, Any]
    decision: Mapping[str, Any]
    call: str
    answer: str = ""
    executed_at: datetime | None = None
    verified: bool = False
    failed: bool = False


def count(db: sqlite3.Connection, workspace: str, since: str) -> int:
    """How many decisions were recorded from `since` on."""
    sql = "SELECT count(*) FROM events WHERE workspace = ? AND kind = 'DecisionMade' AND at >= ?"
    (found,) = db.execute(sql, (workspace, since)).fetchone()
    return int(found)


def page(db: sqlite3.Connection, workspace: str, after: Place) -> list[RecordedDecision]:
    """The next decisions after a place, at most PAGE of them."""
    found = db.execute(_PAGE, (workspace, *after, PAGE)).fetchall()
    return [_decision(db, workspace, *row) for row in found]


def _decision(db: sqlite3.Connection, workspace: str, at: str, seq: int, run_id: str, body: str) -> RecordedDecision:
    values = json.loads(body)
    decision, situation, call_id = values["decision"], values["situation"], values["call_id"]
    plain = RecordedDecision(seq, moment(at), situation, decision, f"{run_id} {call_id}")
    if values["action"]["effect"] == "read":
        return plain
    asked = decision["outcome"] == "ask"
    answer = db.execute(_ANSWER, (workspace, run_id, seq, call_id)).fetchone() if asked else None
    execution = db.execute(_EXECUTION, (workspace, run_id, call_id, seq)).fetchone()
    return RecordedDecision(
        seq,
        plain.at,
        situation,
        decision,
        plain.call,
        _ANSWERS.get(answer[0], "") if answer else "",
        moment(execution[0]) if execution else None,
        bool(execution[1]) if execution else False,
        bool(execution[2]) if execution else False,
    )
