"""The control row (mode and pause), work units with the daily sums that roll-ups read, and what work costs by hand."""

from __future__ import annotations

import sqlite3
from typing import Any

from domain.codec import timestamp
from domain.events import BaselineImported, BaselinesSet, Envelope, ModeChanged, WorkUnitRecorded
from domain.work import BAD, WorkOutcome

TIMES = ("alert_age_ms", "to_first_finding_ms", "to_diagnosis_ms", "to_approval_ms", "to_verified_ms")
_BILLS = ("votes", "people_ms", "attention_s", "machine_ms", "compute_micros", "input_tokens", "output_tokens")
_TOKENS = ("unpriced_tokens", "cost_micros")
_UNIT = ("kind", "outcome", "service", "started_at", "finished_at", "by_alert", "worth", *TIMES, *_BILLS, *_TOKENS)
_ADDED = (
    "n", "credited", "charged", "votes", "people_ms", "attention_s", "machine_ms", "computed", "compute_micros", "modelled",
    "input_tokens", "output_tokens", "priced", "unpriced_tokens", "cost_micros",
)  # fmt: skip
_BAD = f"outcome IN ({', '.join(repr(str(each)) for each in sorted(BAD))})"

SUMS = {
    **{name: name for name in _ADDED},
    "n": "1",
    "credited": f"worth AND NOT {_BAD} AND NOT (disputed AND outcome = 'no_action')",
    "charged": _BAD,
    "computed": "compute_micros IS NOT NULL",
    "compute_micros": "coalesce(compute_micros, 0)",
    "modelled": "input_tokens + output_tokens > 0",
    "priced": "input_tokens + output_tokens > unpriced_tokens",
}
"""Each column of `daily`, as an expression over one unit's row."""


def paused(db: sqlite3.Connection, at: Envelope, reason: str) -> None:
    """The last word counts; an empty reason means not paused."""
    db.execute(
        "INSERT INTO control (workspace, paused) VALUES (?, ?) ON CONFLICT DO UPDATE SET paused = excluded.paused",
        (at.workspace, reason),
    )


def mode_changed(db: sqlite3.Connection, at: Envelope, event: ModeChanged) -> None:
    """The last word counts."""
    db.execute(
        "INSERT INTO control (workspace, mode) VALUES (?, ?) ON CONFLICT DO UPDATE SET mode = excluded.mode",
        (at.workspace, event.mode),
    )


# --- work units -------------------------------------------------------------------------------------------------------


def recorded(db: sqlite3.Connection, at: Envelope, event: WorkUnitRecorded) -> None:
    """The unit as a row, and in the sums of the day (UTC) it was finished on. What was taken back already is so here too."""
    unit = event.unit
    columns = ("workspace", "seq", "incident_id", "run_id", *_UNIT)
    values = [_plain(unit, name) for name in _UNIT]
    if unit.outcome not in BAD and _taken_back(db, at.workspace, at.run_id):
        values[_UNIT.index("outcome")] = WorkOutcome.REVERTED
    db.execute(
        f"INSERT INTO work_units ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})",  # noqa: S608 – of this file
        (at.workspace, at.seq, at.incident_id, at.run_id, *values),
    )
    _add(db, at.workspace, at.seq, 1)
    disputed(db, at.workspace, at.run_id)


def worsened(db: sqlite3.Connection, workspace: str, run_id: str, outcome: WorkOutcome) -> None:
    """A run's work turned out bad after it was recorded: its rows and its day's sums say so. It never gets better again."""
    if not run_id:
        return
    found = db.execute(
        f"SELECT seq FROM work_units WHERE workspace = ? AND run_id = ? AND run_id <> '' AND NOT {_BAD}",  # noqa: S608
        (workspace, run_id),
    ).fetchall()
    for (seq,) in found:
        _add(db, workspace, seq, -1)
        db.execute("UPDATE work_units SET outcome = ? WHERE workspace = ? AND seq = ?", (outcome, workspace, seq))
        _add(db, workspace, seq, 1)


def disputed(db: sqlite3.Connection, workspace: str, run_id: str) -> None:
    """People's word on a run's diagnosis is new: while a 👎 stands, a diagnosis that changed nothing replaced no work."""
    found = db.execute(
        "SELECT seq, disputed, EXISTS (SELECT 1 FROM feedback AS f WHERE f.workspace = w.workspace"
        " AND f.run_id = w.run_id AND f.verdict = 'bad') FROM work_units AS w WHERE workspace = ? AND run_id = ?"
        " AND run_id <> ''",
        (workspace, run_id),
    ).fetchall()
    for seq, before, now in found:
        if now != before:
            _add(db, workspace, seq, -1)
            db.execute("UPDATE work_units SET disputed = ? WHERE workspace = ? AND seq = ?", (now, workspace, seq))
            _add(db, workspace, seq, 1)


def _add(db: sqlite3.Connection, workspace: str, seq: int, sign: int) -> None:
    """A unit's row into the sums of its day, or out of them."""
    db.execute(_ADD, {"workspace": workspace, "seq": seq, "sign": sign})


_ADD = (
    f"INSERT INTO daily (workspace, day, kind, outcome, service, {', '.join(_ADDED)})"  # noqa: S608 – columns of this file
    " SELECT workspace, substr(finished_at, 1, 10), kind, outcome, service,"
    f" {', '.join(f':sign * ({SUMS[name]})' for name in _ADDED)}"
    " FROM work_units WHERE workspace = :workspace AND seq = :seq"
    f" ON CONFLICT DO UPDATE SET {', '.join(f'{name} = {name} + excluded.{name}' for name in _ADDED)}"
)


def _plain(unit: Any, name: str) -> Any:
    value = getattr(unit, name)
    return timestamp(value) if name.endswith("_at") else value


def _taken_back(db: sqlite3.Connection, workspace: str, run_id: str) -> bool:
    row = db.execute(
        "SELECT 1 FROM executions WHERE workspace = ? AND run_id = ? AND run_id <> '' AND reverted_seq IS NOT NULL LIMIT 1",
        (workspace, run_id),
    ).fetchone()
    return row is not None


# --- what work costs by hand ------------------------------------------------------------------------------------------


def baselines_set(db: sqlite3.Connection, at: Envelope, event: BaselinesSet) -> None:
    """What the team says replaces what it said before."""
    db.execute("DELETE FROM baselines WHERE workspace = ?", (at.workspace,))
    db.executemany(
        "INSERT INTO baselines (workspace, kind, seconds, seq) VALUES (?, ?, ?, ?)",
        [(at.workspace, kind, seconds, at.seq) for kind, seconds in event.seconds.items()],
    )


def baseline_imported(db: sqlite3.Connection, at: Envelope, event: BaselineImported) -> None:
    """The incidents of this file replace those of the file before."""
    db.execute("DELETE FROM history WHERE workspace = ?", (at.workspace,))
    db.executemany(
        "INSERT INTO history (workspace, kind, open_ms, seq, place, resolved_at, service) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (
                at.workspace,
                past.kind,
                round((past.resolved_at - past.opened_at).total_seconds() * 1000),
                at.seq,
                place,
                timestamp(past.resolved_at),
                past.service,
            )
            for place, past in enumerate(event.incidents)
        ],
    )
