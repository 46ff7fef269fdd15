"""Work units as rows, and in the sums and times of the day they ended on: changed together, in the event's transaction."""

from __future__ import annotations

import sqlite3
from typing import Any

from domain.codec import timestamp
from domain.events import Envelope, WorkUnitRecorded
from domain.work import BAD, WorkOutcome
from storage.views import times

_UNIT = (
    "kind", "outcome", "service", "started_at", "finished_at", "by_alert", "worth", "undo", "alert_age_ms",
    "to_first_finding_ms", "to_diagnosis_ms", "to_approval_ms", "to_verified_ms", "votes", "people_ms", "attention_s",
    "machine_ms", "compute_micros", "input_tokens", "output_tokens", "unpriced_tokens", "cost_micros",
)  # fmt: skip
_BAD = f"outcome IN ({', '.join(repr(str(each)) for each in sorted(BAD))})"

SUMS = {
    "n": "NOT undo",
    "units": "1",
    "credited": f"worth AND NOT {_BAD} AND NOT (disputed AND outcome = 'no_action')",
    "charged": f"{_BAD} AND NOT undo",
    "votes": "votes",
    "people_ms": "people_ms",
    "attention_s": "attention_s",
    "machine_ms": "machine_ms",
    "computed": "compute_micros IS NOT NULL",
    "compute_micros": "coalesce(compute_micros, 0)",
    "modelled": "input_tokens + output_tokens > 0",
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "priced": "input_tokens + output_tokens > unpriced_tokens",
    "unpriced_tokens": "unpriced_tokens",
    "cost_micros": "cost_micros",
}
"""Each column of `daily`, as an expression over one unit's row."""

OF_SERVICE = {
    **{name: SUMS[name] for name in ("n", "credited", "charged", "people_ms", "cost_micros")},
    "tokens": "input_tokens + output_tokens",
}
"""Each column of `daily_services`, likewise."""


def recorded(db: sqlite3.Connection, at: Envelope, event: WorkUnitRecorded) -> None:
    """What was taken back, or called wrong, before it was recorded is recorded so."""
    unit = event.unit
    reverted, disputed = _known(db, at.workspace, at.run_id)
    values = {name: _plain(unit, name) for name in _UNIT}
    if reverted and unit.outcome not in BAD:
        values["outcome"] = WorkOutcome.REVERTED
    db.execute(_INSERT, (at.workspace, at.seq, at.incident_id, at.run_id, disputed, *values.values()))
    _count(db, at.workspace, at.seq, 1)


def worsened(db: sqlite3.Connection, workspace: str, run_id: str, outcome: WorkOutcome) -> None:
    """A run's work turned out bad after it was recorded: its rows and its day say so. It never gets better again."""
    found = db.execute(
        f"SELECT seq FROM work_units WHERE workspace = ? AND run_id = ? AND run_id <> '' AND NOT {_BAD}",  # noqa: S608
        (workspace, run_id),
    ).fetchall()
    for (seq,) in found:
        _change(db, workspace, seq, "outcome", outcome)


def disputed(db: sqlite3.Connection, workspace: str, run_id: str) -> None:
    """People's word on a run's diagnosis is new: while a 👎 stands, a diagnosis that changed nothing replaced no work."""
    _, now = _known(db, workspace, run_id)
    found = db.execute(
        "SELECT seq FROM work_units WHERE workspace = ? AND run_id = ? AND run_id <> '' AND disputed <> ?",
        (workspace, run_id, now),
    ).fetchall()
    for (seq,) in found:
        _change(db, workspace, seq, "disputed", now)


def _known(db: sqlite3.Connection, workspace: str, run_id: str) -> tuple[int, int]:
    """Whether something that a run did was taken back, and whether a 👎 stands on its diagnosis."""
    of = {"workspace": workspace, "run_id": run_id}
    reverted, bad = db.execute(_KNOWN, of).fetchone() if run_id else (0, 0)
    return reverted, bad


_KNOWN = """
  SELECT EXISTS (SELECT 1 FROM executions WHERE workspace = :workspace AND run_id = :run_id AND reverted_seq IS NOT NULL),
    EXISTS (SELECT 1 FROM feedback WHERE workspace = :workspace AND run_id = :run_id AND verdict = 'bad')
"""
_COLUMNS = ("workspace", "seq", "incident_id", "run_id", "disputed", *_UNIT)
_INSERT = f"INSERT INTO work_units ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 – of this file


def _change(db: sqlite3.Connection, workspace: str, seq: int, column: str, value: Any) -> None:
    """Out of its day's sums and times, and in again as it is now."""
    _count(db, workspace, seq, -1)
    db.execute(f"UPDATE work_units SET {column} = ? WHERE workspace = ? AND seq = ?", (value, workspace, seq))  # noqa: S608
    _count(db, workspace, seq, 1)


def _count(db: sqlite3.Connection, workspace: str, seq: int, sign: int) -> None:
    of = {"workspace": workspace, "seq": seq, "sign": sign}
    db.execute(_TO_DAY, of)
    db.execute(_TO_SERVICE, of)
    day, *found = db.execute(_TIMES_OF, of).fetchone()
    times.count(db, workspace, day, found, sign)


def _into(table: str, keys: str, sums: dict[str, str]) -> str:
    """The statement that adds a unit's row to a table of sums, `:sign` times."""
    return (
        f"INSERT INTO {table} (workspace, day, {keys}, {', '.join(sums)})"  # noqa: S608 – columns of this file
        f" SELECT workspace, substr(finished_at, 1, 10), {keys}, {', '.join(f':sign * ({sums[name]})' for name in sums)}"
        " FROM work_units WHERE workspace = :workspace AND seq = :seq"
        f" ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in sums)}"
    )


_TO_DAY = _into("daily", "kind, outcome", SUMS)
_TO_SERVICE = _into("daily_services", "service", OF_SERVICE)
_TIMES_OF = (
    f"SELECT substr(finished_at, 1, 10), {', '.join(times.OF_UNIT.values())} FROM work_units"  # noqa: S608
    " WHERE workspace = :workspace AND seq = :seq"
)


def _plain(unit: Any, name: str) -> Any:
    value = getattr(unit, name)
    return timestamp(value) if name.endswith("_at") else value
