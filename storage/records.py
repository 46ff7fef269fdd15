"""One run with all that it rested on: its own events, and those of others that decided what it could do."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from domain.codec import moment, timestamp
from domain.events import KINDS, Envelope
from storage.views import ENVELOPE, envelope

_TOLD = (
    "MessageWanted",
    "MessageSent",
    "MessageFailed",
    "SurfaceShown",
    "PictureWanted",
    "PictureSent",
    "FeedbackGiven",
)
"""What Slack was told, and people said of it afterwards: it decides nothing."""
_AGENT = (
    *("AgentPaused", "AgentResumed", "ModeChanged", "BreakerOpened", "BreakerReset", "AutonomyDemoted"),
    *("AutonomyRestored", "BreakGlassOpened", "BreakGlassReviewed", "VoteDelegated", "DelegationEnded"),
)
"""What is about the agent or its people: it holds for every run."""
_RELATED = (
    *("IncidentOpened", "IncidentResolved", "RunStarted", "FindingsReported", "StepPlanned", "ApprovalRequested"),
    *("VoteCast", "ApprovalClosed", "ExecutionStarted", "ExecutionFinished", "VerificationPassed"),
    *("VerificationFailed", "RunFinished"),
)
"""What other runs of the same incident left: open questions, a no that stands, failures."""

_FROM = "FROM events AS e JOIN event_bodies AS b USING (workspace, seq) WHERE e.workspace = ?"
_HOUR = timedelta(hours=1)
_OWN = f"SELECT {ENVELOPE}, b.salt {_FROM} AND e.run_id = ? AND e.run_id <> ''"
_OTHERS = f"SELECT {ENVELOPE} {_FROM}"
# where a change was denied and the incident was still open, the no stood while the run went on
_INCIDENTS = (
    "SELECT incident_id FROM runs WHERE workspace = ?1 AND id = ?2 AND incident_id <> '' UNION"
    " SELECT a.incident_id FROM approvals AS a JOIN incidents AS i ON i.workspace = a.workspace AND i.id = a.incident_id"
    " WHERE a.workspace = ?1 AND a.state = 'denied' AND a.seq < ?3 AND coalesce(i.resolved_at, '9') >= ?4"
)
# what had failed within the hour counts against the breakers, whoever did it
_FAILED = "SELECT DISTINCT run_id FROM executions WHERE workspace = ? AND bad_at >= ? AND bad_seq < ? AND run_id <> ?"


@dataclass(frozen=True)
class RunRecord:
    """`own` are the run's events, `around` those of others, both in order and none after the run's last.

    `unknown` counts the run's events whose kind this version does not know, by kind; `erased` those without their words.
    """

    own: tuple[Envelope, ...]
    around: tuple[Envelope, ...] = ()
    unknown: Mapping[str, int] = field(default_factory=dict)
    erased: int = 0


def record_of(db: sqlite3.Connection, workspace: str, run_id: str) -> RunRecord | None:
    """Everything that is needed to go through a run again; None where there is no such run."""
    of_it = f"{_OWN} AND e.kind NOT IN ({_marks(_TOLD)}) ORDER BY e.seq"
    rows = db.execute(of_it, (workspace, run_id, *_TOLD)).fetchall()
    if not rows:
        return None
    last, began = int(rows[-1][0]), str(rows[0][4])
    unknown = [str(row[6]) for row in rows if row[6] not in KINDS]
    return RunRecord(
        tuple(envelope(tuple(row[:9])) for row in rows if row[6] in KINDS),
        tuple(_around(db, workspace, run_id, last, began)),
        {kind: unknown.count(kind) for kind in dict.fromkeys(unknown)},
        sum(not row[9] for row in rows),
    )


def _around(db: sqlite3.Connection, workspace: str, run_id: str, last: int, began: str) -> list[Envelope]:
    incidents = [str(each) for (each,) in db.execute(_INCIDENTS, (workspace, run_id, last, began))]
    within = timestamp(moment(began) - _HOUR)
    failed = [str(each) for (each,) in db.execute(_FAILED, (workspace, within, last, run_id))]
    of_agent = f"{_OTHERS} AND e.kind IN ({_marks(_AGENT)}) AND e.seq < ?"
    related = f"(e.incident_id IN ({_marks(incidents)}) OR e.run_id IN ({_marks(failed)}))"
    of_others = f"{_OTHERS} AND {related} AND e.kind IN ({_marks(_RELATED)})"
    rows = [
        *db.execute(of_agent, (workspace, *_AGENT, last)).fetchall(),
        *db.execute(
            f"{of_others} AND e.run_id <> ? AND e.seq < ?", (workspace, *incidents, *failed, *_RELATED, run_id, last)
        ).fetchall(),
    ]
    return [envelope(tuple(row)) for row in sorted(rows, key=lambda row: int(row[0]))]


def runs_between(db: sqlite3.Connection, workspace: str, since: datetime, until: datetime) -> list[str]:
    """The ids of the finished runs that began in a period, oldest first, but those that a person started to undo a change."""
    rows = db.execute(
        "SELECT id FROM runs WHERE workspace = ? AND started_at >= ? AND started_at < ? AND status = 'finished'"
        " AND coalesce(json_extract(spec, '$.undoes'), '') = '' ORDER BY seq",
        (workspace, timestamp(since), timestamp(until)),
    )
    return [str(run_id) for (run_id,) in rows]


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
