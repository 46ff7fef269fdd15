"""Rows to nouns: which columns a noun is read from, and how."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace

from domain.actions import Action
from domain.alerts import Incident
from domain.audit import Anchor
from domain.authority import BreakGlass
from domain.codec import decode, moment
from domain.decisions import Approval, ApprovalRequest, ApprovalState, Check, Execution, ExecutionOutcome, Vote
from domain.diagnosis import Finding
from domain.noise import AlertHeld, Held
from domain.ports import Message, RunRow
from domain.runs import RunOutcome, RunSpec, RunStatus
from domain.scans import KnownFinding
from domain.work import Wait

INCIDENT = "id, opened, channel, thread_ts, alerts, resolved_at"
RUN = "spec, status, started_at, finished_at, outcome, reason, steps"
APPROVAL = "id, request, state, closed_by, closed_reason, closed_at, reminded_at, escalated_at"
EXECUTION = "id, call_id, action, key, started_at, approval_id, outcome, detail, verified, checks, verified_at"
BREAK_GLASS = "opened, reviewed_by, review, reviewed_at"
KNOWN = "key, finding, run_id, first_seen, last_seen, news_at, gone_at, snoozed_until, owner, reason"
MESSAGE = (
    "key, revision, channel, thread_key, text, blocks, priority, thread_ts, ts, sent_revision, attempts, failed,"
    " attachments, wanted_at, shared_since, sent_channel"
)

_SHOWN = "coalesce(a.shown_at, json_extract(a.request, '$.requested_at'))"
WAITS = f"""
  SELECT v.user, a.id, {_SHOWN}, max(e.at) FROM approvals AS a JOIN votes AS v ON v.workspace = a.workspace
    AND v.approval_id = a.id JOIN events AS e ON e.workspace = v.workspace AND e.seq = v.seq
  WHERE a.workspace = :workspace AND a.run_id = :run_id GROUP BY v.user, a.id
  UNION ALL
  SELECT json_extract(b.request, '$.editor'), a.id, {_SHOWN}, e.at FROM approvals AS b JOIN approvals AS a
    ON a.workspace = b.workspace AND a.id = json_extract(b.request, '$.supersedes')
    JOIN events AS e ON e.workspace = b.workspace AND e.seq = b.seq
  WHERE b.workspace = :workspace AND b.run_id = :run_id AND json_extract(b.request, '$.editor') <> ''
"""  # noqa: S608 – of this file


def incident(db: sqlite3.Connection, workspace: str, row: sqlite3.Row) -> Incident:
    """The incident as it was opened, and what became of it."""
    incident_id, opened, channel, thread_ts, alerts, resolved_at = row
    members = db.execute(
        "SELECT fingerprint, firing FROM incident_alerts WHERE workspace = ? AND incident_id = ? ORDER BY seq, place",
        (workspace, incident_id),
    ).fetchall()
    return replace(
        decode(Incident, json.loads(opened)),
        channel=channel,
        thread_ts=thread_ts,
        alerts=alerts,
        fingerprints=tuple(name for name, _ in members),
        firing=tuple(name for name, firing in members if firing),
        resolved_at=moment(resolved_at) if resolved_at else None,
    )


def known_finding(row: sqlite3.Row) -> KnownFinding:
    """A configuration finding as the scans know it."""
    key, finding, run_id, first, last, news, gone, until, owner, reason = row
    return KnownFinding(
        key,
        decode(Finding, json.loads(finding)),
        run_id,
        moment(first),
        moment(last),
        moment(news),
        moment(gone) if gone else None,
        moment(until) if until else None,
        owner,
        reason,
    )


def held(row: sqlite3.Row) -> Held:
    """An alert that waits."""
    event, since, repeats = row
    return Held(decode(AlertHeld, json.loads(event)), moment(since), repeats)


def run(row: sqlite3.Row) -> RunRow:
    """One line of the list of runs."""
    spec, status, started_at, finished_at, outcome, reason, steps = row
    return RunRow(
        decode(RunSpec, json.loads(spec)),
        RunStatus(status),
        moment(started_at),
        moment(finished_at) if finished_at else None,
        RunOutcome(outcome) if outcome else None,
        reason,
        steps,
    )


def approval(db: sqlite3.Connection, workspace: str, row: sqlite3.Row) -> Approval:
    """The request, its votes in order, its end and its execution."""
    approval_id, request, state, closed_by, closed_reason, closed_at, reminded_at, escalated_at = row
    done = db.execute(
        f"SELECT {EXECUTION} FROM executions WHERE workspace = ? AND approval_id = ? AND approval_id <> ''",  # noqa: S608
        (workspace, approval_id),
    ).fetchone()
    return Approval(
        decode(ApprovalRequest, json.loads(request)),
        ApprovalState(state),
        votes(db, workspace, approval_id),
        closed_by,
        closed_reason,
        moment(closed_at) if closed_at else None,
        execution(done) if done else None,
        moment(reminded_at) if reminded_at else None,
        moment(escalated_at) if escalated_at else None,
    )


def votes(db: sqlite3.Connection, workspace: str, approval_id: str) -> tuple[Vote, ...]:
    """In the order in which they were cast."""
    cast = db.execute(
        "SELECT vote FROM votes WHERE workspace = ? AND approval_id = ? ORDER BY seq", (workspace, approval_id)
    )
    return tuple(decode(Vote, json.loads(vote)) for (vote,) in cast.fetchall())


def execution(row: sqlite3.Row) -> Execution:
    """An execution as far as it got."""
    execution_id, call_id, action, key, started_at, approval_id, outcome, detail, verified, checks, verified_at = row
    understood = decode(Action, json.loads(action))
    return Execution(
        execution_id,
        call_id,
        understood,
        key,
        moment(started_at),
        approval_id,
        ExecutionOutcome(outcome) if outcome else None,
        detail,
        understood.undo,
        None if verified is None else bool(verified),
        tuple(decode(Check, check) for check in json.loads(checks)),
        moment(verified_at) if verified_at else None,
    )


def wait(row: sqlite3.Row) -> Wait:
    """A person and a card. A click may be recorded before Slack's word that the card stands."""
    user, approval_id, since, until = row
    return Wait(user, approval_id, moment(min(since, until)), moment(until))


def break_glass(row: sqlite3.Row) -> BreakGlass:
    """The break-glass as it was opened, and its review."""
    opened, reviewed_by, review, reviewed_at = row
    return replace(
        decode(BreakGlass, json.loads(opened)),
        reviewed_by=reviewed_by,
        review=review,
        reviewed_at=moment(reviewed_at) if reviewed_at else None,
    )


def anchor(row: sqlite3.Row) -> Anchor:
    """How a place outside stands."""
    place, size, reference, written_at, failed, failed_at = row
    return Anchor(
        place,
        size,
        reference,
        moment(written_at) if written_at else None,
        failed,
        moment(failed_at) if failed_at else None,
    )


def message(row: sqlite3.Row) -> Message:
    """An outbox row. `channel` is the one Slack named, once Slack has the message."""
    key, revision, channel, thread_key, text, blocks, priority, thread_ts, ts, sent_revision, attempts, failed = row[
        :12
    ]
    attachments, wanted_at, shared_since, sent_channel = row[12:]
    return Message(
        key,
        revision,
        sent_channel or channel,
        thread_key,
        text,
        tuple(json.loads(blocks)),
        priority,
        thread_ts,
        ts,
        sent_revision,
        attempts,
        failed,
        tuple(json.loads(attachments)),
        moment(wanted_at),
        moment(shared_since) if shared_since else None,
    )
