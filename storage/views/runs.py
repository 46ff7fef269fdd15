"""Runs: started once, finished once, waiting while an approval of theirs is open."""

from __future__ import annotations

import sqlite3

from domain.codec import timestamp
from domain.events import DiagnosisConcluded, Envelope, RunFinished, RunStarted
from domain.runs import RunStatus
from storage.views.rules import must_change, refuse, text


def started(db: sqlite3.Connection, at: Envelope, event: RunStarted) -> None:
    """A new id."""
    spec = event.spec
    must_change(
        db.execute(
            "INSERT INTO runs (workspace, id, seq, incident_id, spec, status, started_at) VALUES (?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            (at.workspace, spec.id, at.seq, spec.incident_id, text(spec), RunStatus.RUNNING, timestamp(at.at)),
        ),
        f"the run {spec.id} exists already",
    )


def stepped(db: sqlite3.Connection, at: Envelope) -> None:
    """Unfinished runs only."""
    must_change(
        db.execute(
            "UPDATE runs SET steps = steps + 1 WHERE workspace = ? AND id = ? AND status <> 'finished'",
            (at.workspace, at.run_id),
        ),
        f"the run {at.run_id or '(none)'} is not going on, so it makes no step",
    )


def diagnosed(db: sqlite3.Connection, at: Envelope, event: DiagnosisConcluded) -> None:
    """By whom; people rate what was diagnosed."""
    db.execute(
        "UPDATE runs SET diagnoser = ? WHERE workspace = ? AND id = ?",
        (event.diagnosis.by, at.workspace, at.run_id),
    )


def finished(db: sqlite3.Connection, at: Envelope, event: RunFinished) -> None:
    """Unfinished runs only."""
    must_change(
        db.execute(
            "UPDATE runs SET status = 'finished', finished_at = ?, outcome = ?, reason = ?"
            " WHERE workspace = ? AND id = ? AND status <> 'finished'",
            (timestamp(at.at), event.outcome, event.reason, at.workspace, at.run_id),
        ),
        f"the run {at.run_id or '(none)'} is not going on, so it cannot finish",
    )


def goes_on(db: sqlite3.Connection, workspace: str, run_id: str) -> None:
    """Refuse what a run asks for or does after its end: nobody follows it any more."""
    row = db.execute("SELECT status FROM runs WHERE workspace = ? AND id = ?", (workspace, run_id)).fetchone()
    if row and row[0] == RunStatus.FINISHED:
        refuse(f"the run {run_id} is finished")


def waits(db: sqlite3.Connection, workspace: str, run_id: str) -> None:
    """The run waits for a person while a request of its is open, unless another is approved and still to be executed."""
    of_run = "FROM approvals WHERE workspace = :workspace AND run_id = :run AND observe_only = 0 AND state"
    db.execute(
        f"UPDATE runs SET status = CASE WHEN EXISTS (SELECT 1 {of_run} = 'pending')"  # noqa: S608
        f" AND NOT EXISTS (SELECT 1 {of_run} = 'approved') THEN 'waiting' ELSE 'running' END"
        " WHERE workspace = :workspace AND id = :run AND status <> 'finished'",
        {"workspace": workspace, "run": run_id},
    )
