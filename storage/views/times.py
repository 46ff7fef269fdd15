"""The times of a day's units, packed and in ascending order: what a quarter's medians are read from, exactly.

A median needs every value, and a row for each is what reading costs. Packed, a day is one row, and its values are in order.
"""

from __future__ import annotations

import sqlite3
import struct
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

_GOOD = "outcome NOT IN ('failed', 'reverted')"

OF_UNIT = {
    "alert_age": "CASE WHEN by_alert THEN alert_age_ms END",
    "to_first_finding": "CASE WHEN by_alert THEN to_first_finding_ms END",
    "to_diagnosis": "CASE WHEN by_alert THEN to_diagnosis_ms END",
    "to_approval": "CASE WHEN by_alert THEN to_approval_ms END",
    "to_verified": f"CASE WHEN by_alert AND {_GOOD} THEN to_verified_ms END",
    "to_answer": "CASE WHEN kind = 'question' THEN to_diagnosis_ms END",
}
"""Each figure's time, as an expression over one unit's row; NULL where the unit has none."""

_READ = f"SELECT {', '.join(OF_UNIT)} FROM daily_times WHERE workspace = ? AND day = ?"  # noqa: S608 – columns of this file
_WRITE = (
    f"INSERT OR REPLACE INTO daily_times (workspace, day, {', '.join(OF_UNIT)})"  # noqa: S608
    f" VALUES (?, ?, {', '.join('?' * len(OF_UNIT))})"
)


def count(db: sqlite3.Connection, workspace: str, day: str, times: Sequence[int | None], sign: int) -> None:
    """One unit's times into its day, or (sign -1) out of it."""
    packed = db.execute(_READ, (workspace, day)).fetchone() or (b"",) * len(OF_UNIT)
    changed = [_changed(values, time, sign) for values, time in zip(packed, times, strict=True)]
    if changed != list(packed):
        db.execute(_WRITE, (workspace, day, *changed))


def _changed(packed: bytes, time: int | None, sign: int) -> bytes:
    if time is None:
        return packed
    values = list(unpack([packed]))
    if sign > 0:
        insort(values, time)
    else:
        del values[bisect_left(values, time)]
    return struct.pack(f"<{len(values)}q", *values)


def unpack(days: Iterable[bytes]) -> tuple[int, ...]:
    """The values of several days, each day's in order."""
    packed = b"".join(days)
    return struct.unpack(f"<{len(packed) // 8}q", packed)
