"""What a period's work cost and saved: whole days from their sums, the edges of the period from the units themselves."""

from __future__ import annotations

import sqlite3
from collections import Counter
from datetime import UTC, datetime, time, timedelta

from domain.codec import timestamp
from domain.work import Rollup

_SUMS = "people_ms, input_tokens, output_tokens, cost_micros, estimated_saved_s"
_BY_KIND = f"""
  SELECT kind, outcome, sum(n), sum(people_ms), sum(input_tokens), sum(output_tokens), sum(cost_micros),
    sum(estimated_saved_s)
  FROM (
    SELECT kind, outcome, n, {_SUMS} FROM daily
      WHERE workspace = :workspace AND day >= :first_day AND day < :last_day
    UNION ALL
    SELECT kind, outcome, 1, {_SUMS} FROM work_units
      WHERE workspace = :workspace AND finished_at >= :since AND finished_at < :head
    UNION ALL
    SELECT kind, outcome, 1, {_SUMS} FROM work_units
      WHERE workspace = :workspace AND finished_at >= :tail AND finished_at < :until
  ) GROUP BY kind, outcome
"""  # noqa: S608 – columns of this file
_EVENTS = "SELECT count(*) FROM events WHERE workspace = :workspace AND kind = :kind AND at >= :since AND at < :until"
_EXECUTIONS = (
    "SELECT count(*) FROM executions WHERE workspace = :workspace AND started_at >= :since AND started_at < :until"
)
_DURATIONS = ("to_first_finding_ms", "to_diagnosis_ms", "to_approval_ms", "to_verified_ms")


def rollup(db: sqlite3.Connection, workspace: str, since: datetime, until: datetime) -> Rollup:
    """The work units finished, and the incidents, alerts and executions begun, from `since` up to before `until`."""
    period = {"workspace": workspace, "since": timestamp(since), "until": timestamp(until)}
    found = db.execute(_BY_KIND, period | _whole_days(since, until)).fetchall()
    kinds: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    for kind, outcome, n, *_ in found:
        kinds[kind] += n
        outcomes[outcome] += n
    sums = [sum(row[column] for row in found) for column in range(2, 8)]
    n, people_ms, input_tokens, output_tokens, cost_micros, estimated_saved_s = sums
    return Rollup(
        since,
        until,
        n,
        tuple(sorted(kinds.items())),
        tuple(sorted(outcomes.items())),
        **{f"median_{column}": _median(db, column, period) for column in _DURATIONS},
        people_ms=people_ms,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_micros=cost_micros,
        estimated_saved_s=estimated_saved_s,
        incidents=_count(db, _EVENTS, period | {"kind": "IncidentOpened"}),
        alerts=_count(db, _EVENTS, period | {"kind": "AlertReceived"}),
        executions=_count(db, _EXECUTIONS, period),
        verified=_count(db, f"{_EXECUTIONS} AND verified = 1", period),
        failed=_count(db, f"{_EXECUTIONS} AND failed = 1", period),
    )


def _whole_days(since: datetime, until: datetime) -> dict[str, str]:
    """The days (UTC) that lie wholly in the period, and the instants where the edges before and after them end and begin."""
    first = since.astimezone(UTC)
    first_day = first.date() + timedelta(days=first.time() != time())
    last_day = until.astimezone(UTC).date()
    if first_day >= last_day:  # no whole day: one edge is the whole period
        return {"first_day": "", "last_day": "", "head": timestamp(until), "tail": timestamp(until)}
    return {
        "first_day": first_day.isoformat(),
        "last_day": last_day.isoformat(),
        "head": timestamp(datetime.combine(first_day, time(), UTC)),
        "tail": timestamp(datetime.combine(last_day, time(), UTC)),
    }


def _median(db: sqlite3.Connection, column: str, period: dict[str, str]) -> int | None:
    """The middle value, or the mean of the two middle ones rounded down."""
    values = (
        f"SELECT {column} FROM work_units"  # noqa: S608 – one of four columns
        f" WHERE workspace = :workspace AND finished_at >= :since AND finished_at < :until AND {column} IS NOT NULL"
    )
    n = _count(db, f"SELECT count(*) FROM ({values})", period)  # noqa: S608
    if not n:
        return None
    middle = db.execute(
        f"{values} ORDER BY {column} LIMIT :take OFFSET :skip", period | {"take": 2 - n % 2, "skip": (n - 1) // 2}
    ).fetchall()
    return int(sum(value for (value,) in middle) // len(middle))


def _count(db: sqlite3.Connection, sql: str, of: dict[str, str]) -> int:
    (n,) = db.execute(sql, of).fetchone()
    return int(n)
