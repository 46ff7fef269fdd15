"""The rows behind a figure: each event's place and hash, what it is about, and what it brings. Slow, and the figure again."""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from domain.codec import moment
from domain.errors import BadInput
from domain.work import Drill, Rollup, Row
from storage.rollups import CEASED, Period, period_of, rollup
from storage.views.units import SUMS


class _From(NamedTuple):
    """Where rows come from: a table, what its rows are about, and which of them fall into the period."""

    rows: str
    about: str
    when: str
    run: str = "t.run_id"
    incident: str = "t.incident_id"
    seq: str = "t.seq"


_UNITS = _From("work_units", "replace(t.kind || ', ' || t.outcome, '_', ' ') || ', ' || t.service", "finished_at")
_DONE = _From("executions", "t.tool || ' on ' || t.target_key || ', ' || t.id", "started_at", incident="''")
_ASKED = _From(
    "approvals",
    "t.decided || ', ' || t.tool || ' on ' || t.target_key || ', ' || t.id",
    "decided_at",
    seq="t.decided_seq",
)
_ENDED = _From("incidents", "t.id", "resolved_at", run="''", incident="t.id", seq="t.resolved_seq")
_QUIET = _From("noise", "t.why", "at", run="''", incident="''")
_EVENTS = _From("events", "t.kind", "at")

_ROWS: Mapping[str, tuple[_From, str, str]] = {
    "alerts": (_EVENTS, "1", "t.kind = 'AlertReceived'"),
    "incidents": (_EVENTS, "1", "t.kind = 'IncidentOpened'"),
    "repeated": (_QUIET, "1", "t.why = 'repeated'"),
    "grouped": (_QUIET, "1", "t.why IN ('grouped', 'storm')"),
    "ceased": (_QUIET, "1", f"t.why IN ({', '.join(repr(str(why)) for why in CEASED)})"),
    "work": (_UNITS, "1", "t.undo = 0"),
    "executions": (_DONE, "1", ""),
    "verified": (_DONE, "1", "t.verified = 1"),
    "failed": (_DONE, "1", "t.failed = 1"),
    "reverted": (_DONE, "1", "t.reverted_seq IS NOT NULL"),
    "approved_share": (_ASKED, "t.decided = 'approved'", ""),
    "held_share": (_DONE, "coalesce(t.verified, 0) = 1 AND t.reverted_seq IS NULL", "t.undoes = ''"),
    "to_first_finding": (_UNITS, "t.to_first_finding_ms", "t.by_alert = 1"),
    "to_diagnosis": (_UNITS, "t.to_diagnosis_ms", "t.by_alert = 1"),
    "to_approval": (_UNITS, "t.to_approval_ms", "t.by_alert = 1"),
    "to_verified": (_UNITS, "t.to_verified_ms", "t.by_alert = 1 AND t.outcome NOT IN ('failed', 'reverted')"),
    "to_answer": (_UNITS, "t.to_diagnosis_ms", "t.kind = 'question'"),
    "alert_age": (_UNITS, "t.alert_age_ms", "t.by_alert = 1"),
    "wait_p50": (_ASKED, "t.waited_ms", ""),
    "wait_p90": (_ASKED, "t.waited_ms", ""),
    "resolved_with": (_ENDED, "t.open_ms", "t.changed = 1"),
    "resolved_without": (_ENDED, "t.open_ms", "t.changed = 0"),
    "people": (_UNITS, "t.people_ms", "t.votes > 0"),
    "machine": (_UNITS, "t.machine_ms", ""),
    "input_tokens": (_UNITS, "t.input_tokens", SUMS["modelled"]),
    "output_tokens": (_UNITS, "t.output_tokens", SUMS["modelled"]),
    "model_cost": (_UNITS, "t.cost_micros", SUMS["priced"]),
    "compute_cost": (_UNITS, "t.compute_micros", SUMS["computed"]),
    "attention": (_UNITS, "t.attention_s", "t.votes > 0"),
    "replaced": (_UNITS, "({baseline})", SUMS["credited"]),
    "charged": (_UNITS, "({baseline})", SUMS["charged"]),
    "net": (_UNITS, f"(({SUMS['credited']}) - ({SUMS['charged']})) * ({{baseline}}) - t.attention_s", ""),
    "break_even": (_UNITS, "t.attention_s", f"t.votes > 0 OR ({SUMS['credited']}) OR ({SUMS['charged']})"),
}


def drill(db: sqlite3.Connection, workspace: str, name: str, since: datetime, until: datetime) -> Drill:
    """The figure of that name with the rows that it is computed from. Raises BadInput for a name that there is not."""
    if name not in _ROWS:
        near = difflib.get_close_matches(name, _ROWS, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(_ROWS)}"
        raise BadInput(f"there is no figure {name}{hint}")
    whole = rollup(db, workspace, since, until)
    figure = next(figure for figure in whole.figures if figure.name == name)
    return Drill(figure, _rows(db, period_of(workspace, since, until), name, whole))


def _rows(db: sqlite3.Connection, period: Period, name: str, whole: Rollup) -> tuple[Row, ...]:
    source, value, where = _ROWS[name]
    of_kind = " ".join(f"WHEN '{one.kind}' THEN {one.seconds}" for one in whole.baselines)
    value = value.format(baseline=f"CASE t.kind {of_kind} END")
    found = db.execute(
        f"SELECT {source.seq}, e.hash, e.at, {source.run}, {source.incident}, {source.about}, {value}"  # noqa: S608 – of this file
        f" FROM {source.rows} AS t JOIN events AS e ON e.workspace = t.workspace AND e.seq = {source.seq}"
        f" WHERE t.workspace = :workspace AND t.{source.when} >= :since AND t.{source.when} < :until"
        f" AND ({where or '1'}) AND ({value}) IS NOT NULL ORDER BY 1",
        period,
    )
    return tuple(map(_row, found.fetchall()))


def _row(row: tuple[int, str, str, str, str, str, int]) -> Row:
    seq, chained, at, run_id, incident_id, about, value = row
    return Row(seq, chained, moment(at), run_id, incident_id, about, int(value))
