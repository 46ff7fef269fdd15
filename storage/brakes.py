"""What is read of the brakes: what stands, what counts towards the next, and the record that trust is earned from."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from domain.brakes import AGENT_SCOPE, Brakes, Breaker, Demotion, Revert, TrackRecord
from domain.codec import moment


def brakes(db: sqlite3.Connection, workspace: str, since: str) -> Brakes:
    """Everything that stands, and what counts from `since` (a timestamp) on. A few rows, whatever the journal's length."""
    breakers = db.execute(
        "SELECT scope, reason, opened_at, seq FROM breakers WHERE workspace = ? AND open = 1 ORDER BY seq", (workspace,)
    ).fetchall()
    demotions = db.execute(
        "SELECT tool, environment, reason, demoted_at, seq FROM autonomy WHERE workspace = ? AND demoted = 1 ORDER BY seq",
        (workspace,),
    ).fetchall()
    return Brakes(
        tuple(Breaker(scope, reason, moment(at), seq) for scope, reason, at, seq in breakers),
        tuple(Demotion(tool, place, reason, moment(at), seq) for tool, place, reason, at, seq in demotions),
        _failures(db, workspace, since),
        _reverts(db, workspace),
    )


def acted(db: sqlite3.Connection, workspace: str, problems: Sequence[str], since: str) -> int:
    """Executions from `since` on that were meant to help with one of these problems, but those that changed nothing."""
    marks = ", ".join("?" * len(problems))
    row = db.execute(
        "SELECT count(DISTINCT p.execution_id) FROM problems AS p JOIN executions AS e"  # noqa: S608 – question marks
        " ON e.workspace = p.workspace AND e.id = p.execution_id"
        f" WHERE p.workspace = ? AND p.problem IN ({marks}) AND p.started_at >= ?"
        " AND coalesce(e.outcome, '') <> 'failed'",
        (workspace, *problems, since),
    ).fetchone()
    return int(row[0])


def track_records(db: sqlite3.Connection, workspace: str, since: str) -> list[TrackRecord]:
    """Per tool and environment, from `since` on. Reads every request and execution of the period."""
    records: dict[tuple[str, str], TrackRecord] = {}
    asked = db.execute(
        "SELECT tool, environment, json_extract(request, '$.action.effect'),"
        " sum(json_extract(request, '$.supersedes') = ''),"
        " sum(state IN ('approved', 'consumed') AND json_extract(request, '$.editor') = ''),"
        " sum(json_extract(request, '$.editor') <> ''), sum(state = 'denied')"
        " FROM approvals AS a WHERE workspace = ? AND json_extract(request, '$.requested_at') >= ?"
        " AND NOT EXISTS (SELECT 1 FROM runs AS r WHERE r.workspace = a.workspace AND r.id = a.run_id"
        " AND coalesce(json_extract(r.spec, '$.undoes'), '') <> '') GROUP BY 1, 2, 3",
        (workspace, since),
    )
    for tool, environment, effect, proposed, approved, edited, denied in asked.fetchall():
        records[tool, environment] = TrackRecord(
            tool, environment, effect, proposed, approved=approved, edited=edited, denied=denied
        )
    done = db.execute(
        "SELECT tool, environment, json_extract(action, '$.effect'), count(*),"
        " sum(coalesce(verified, 0) = 1 AND reverted_seq IS NULL), sum(failed), sum(reverted_seq IS NOT NULL)"
        " FROM executions WHERE workspace = ? AND started_at >= ? AND undoes = '' GROUP BY 1, 2, 3",
        (workspace, since),
    )
    for tool, environment, effect, executed, verified, failed, reverted in done.fetchall():
        known = records.get((tool, environment), TrackRecord(tool, environment, effect))
        records[tool, environment] = replace(
            known, executed=executed, verified=verified, failed=failed, reverted=reverted
        )
    return [records[key] for key in sorted(records)]


def _failures(db: sqlite3.Connection, workspace: str, since: str) -> dict[str, tuple[str, ...]]:
    resets = dict(db.execute("SELECT scope, reset_seq FROM breakers WHERE workspace = ?", (workspace,)).fetchall())
    found: dict[str, tuple[str, ...]] = {}
    rows = db.execute(
        "SELECT id, tool, bad_seq FROM executions WHERE workspace = ? AND bad_at >= ? ORDER BY bad_at",
        (workspace, since),
    )
    for execution_id, tool, bad_seq in rows.fetchall():
        for scope in (tool, AGENT_SCOPE):
            if bad_seq > resets.get(scope, 0):
                found[scope] = (*found.get(scope, ()), execution_id)
    return found


def _reverts(db: sqlite3.Connection, workspace: str) -> tuple[Revert, ...]:
    rows = db.execute(
        "SELECT e.tool, e.environment, e.id FROM executions AS e LEFT JOIN autonomy AS a"
        " ON a.workspace = e.workspace AND a.tool = e.tool AND a.environment = e.environment"
        " WHERE e.workspace = ? AND e.reverted_seq IS NOT NULL AND coalesce(a.demoted, 0) = 0"
        " AND e.reverted_seq > coalesce(a.restored_seq, 0) ORDER BY e.reverted_seq",
        (workspace,),
    )
    return tuple(Revert(*row) for row in rows.fetchall())
