"""Approval requests and votes: pending -> approved -> consumed | denied | expired | cancelled | superseded."""

from __future__ import annotations

import sqlite3
from typing import Literal

from domain.canonical import digest_of
from domain.codec import encode, moment, timestamp
from domain.decisions import ApprovalState, Verdict
from domain.errors import Conflict
from domain.events import ApprovalClosed, ApprovalRequested, Envelope, VoteCast
from storage.views import runs
from storage.views.executions import Counter, count
from storage.views.rules import must_change, text

_BY_VOTE: dict[ApprovalState, Counter] = {ApprovalState.APPROVED: "approved", ApprovalState.DENIED: "denied"}
_OPEN = (ApprovalState.PENDING, ApprovalState.APPROVED)
_WITHOUT_VOTE = {ApprovalState.DENIED, ApprovalState.EXPIRED, ApprovalState.CANCELLED, ApprovalState.SUPERSEDED}


def requested(db: sqlite3.Connection, at: Envelope, event: ApprovalRequested) -> None:
    """A new id. The run waits, unless the request only records what would have been asked."""
    request, action = event.request, event.request.action
    must_change(
        db.execute(
            "INSERT INTO approvals (workspace, id, seq, run_id, incident_id, tool, environment, target_key,"
            " arguments_digest, digest, expires_at, observe_only, batch, request)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                at.workspace,
                request.id,
                at.seq,
                request.run_id,
                request.incident_id,
                action.tool,
                action.target.environment,
                action.target.key,
                digest_of(encode(action.arguments)),
                request.digest,
                timestamp(request.expires_at),
                request.observe_only,
                request.batch,
                text(request),
            ),
        ),
        f"the approval request {request.id} exists already",
    )
    if request.editor or not request.supersedes:
        counter: Counter = "edited" if request.editor else "proposed"
        count(db, at.workspace, action.tool, action.target.environment, counter)
    if not request.observe_only:
        runs.waits(db, at.workspace, request.run_id)


def run_of(db: sqlite3.Connection, workspace: str, approval_id: str) -> str:
    """The run that asks it, empty where there is no such request."""
    row = db.execute("SELECT run_id FROM approvals WHERE workspace = ? AND id = ?", (workspace, approval_id)).fetchone()
    return str(row[0]) if row else ""


def voted(db: sqlite3.Connection, at: Envelope, event: VoteCast) -> None:
    """A new word of a person, on a request that is open to it; the vote that settles it brings its state about.

    An approved request takes no further approve, but a withdrawal or a deny until it is consumed. A vote that was counted
    without another that is here by now is refused: what it brings about was counted wrongly.
    """
    vote = event.vote
    row = db.execute(
        "SELECT state, observe_only, run_id, tool, environment FROM approvals WHERE workspace = ? AND id = ?",
        (at.workspace, event.approval_id),
    ).fetchone()
    takes = (ApprovalState.PENDING,) if vote.verdict is Verdict.APPROVE else _OPEN
    if row is None or row[0] not in takes or row[1]:
        raise Conflict(f"the approval request {event.approval_id} is {_standing(row)}: nobody can vote on it")
    if event.seen not in (None, _votes(db, at.workspace, event.approval_id)):
        raise Conflict(f"somebody voted on {event.approval_id} in the same moment")
    before = _last_word(db, at.workspace, event.approval_id, vote.user)
    if vote.verdict is Verdict.WITHDRAW and before != Verdict.APPROVE:
        raise Conflict(f"{vote.name or vote.user} has no approval to take back")
    if vote.verdict == before:
        raise Conflict(f"{vote.name or vote.user} has voted on this already")
    db.execute(
        "INSERT INTO votes (workspace, approval_id, user, seq, verdict, vote) VALUES (?, ?, ?, ?, ?, ?)",
        (at.workspace, event.approval_id, vote.user, at.seq, vote.verdict, text(vote)),
    )
    if event.closes is not None:
        _settle(db, at, event, row)


def _settle(
    db: sqlite3.Connection, at: Envelope, event: VoteCast, row: tuple[ApprovalState, int, str, str, str]
) -> None:
    """The state that a vote brings about: approved, denied, or pending again where an approve was taken back."""
    vote, (state, _, run_id, tool, environment) = event.vote, row
    reopened = event.closes is ApprovalState.PENDING
    if (
        event.closes == state
        or (reopened and vote.verdict is Verdict.APPROVE)
        or event.closes not in (*_BY_VOTE, _OPEN[0])
    ):
        raise Conflict(f"a vote cannot make a request {event.closes}")
    if state == ApprovalState.APPROVED:
        count(db, at.workspace, tool, environment, "approved", -1)
    if event.closes in _BY_VOTE:
        count(db, at.workspace, tool, environment, _BY_VOTE[event.closes])
    _close(db, at, event.approval_id, event.closes, vote.name or vote.user, vote.reason)
    _decided(db, at, event.approval_id, "" if reopened else event.closes)
    if reopened:
        db.execute(
            "UPDATE approvals SET closed_by = '', closed_reason = '', closed_at = NULL WHERE workspace = ? AND id = ?",
            (at.workspace, event.approval_id),
        )
    runs.waits(db, at.workspace, run_id)


def called(
    db: sqlite3.Connection, at: Envelope, approval_id: str, what: Literal["reminded_at", "escalated_at"]
) -> None:
    """People were called to a pending request, once each way."""
    must_change(
        db.execute(
            f"UPDATE approvals SET {what} = ?"  # noqa: S608 – one of two words
            f" WHERE workspace = ? AND id = ? AND state = 'pending' AND observe_only = 0 AND {what} IS NULL",
            (timestamp(at.at), at.workspace, approval_id),
        ),
        f"the approval request {approval_id} does not wait, or people were called already",
    )


def closed(db: sqlite3.Connection, at: Envelope, event: ApprovalClosed) -> None:
    """Pending or approved requests only: what was consumed or has ended stays as it is."""
    row = db.execute(
        "SELECT state, 0, run_id FROM approvals WHERE workspace = ? AND id = ?", (at.workspace, event.approval_id)
    ).fetchone()
    if row is None or row[0] not in _OPEN:
        raise Conflict(f"the approval request {event.approval_id} is {_standing(row)}: it cannot be closed")
    if event.state not in _WITHOUT_VOTE:
        raise Conflict(f"an approval request cannot end as {event.state}")
    _close(db, at, event.approval_id, event.state, event.by, event.reason)
    runs.waits(db, at.workspace, row[2])


def _close(db: sqlite3.Connection, at: Envelope, approval_id: str, state: ApprovalState, by: str, reason: str) -> None:
    db.execute(
        "UPDATE approvals SET state = ?, closed_by = ?, closed_reason = ?, closed_at = ? WHERE workspace = ? AND id = ?",
        (state, by, reason, timestamp(at.at), at.workspace, approval_id),
    )


def shown(db: sqlite3.Connection, at: Envelope, card: str) -> None:
    """Slack has the card: from here on people can decide. Its edits change nothing."""
    for column in ("id", "batch"):
        db.execute(
            f"UPDATE approvals SET shown_at = ? WHERE workspace = ? AND {column} = ? AND {column} <> ''"  # noqa: S608
            " AND shown_at IS NULL",
            (timestamp(at.at), at.workspace, card),
        )


def _decided(db: sqlite3.Connection, at: Envelope, approval_id: str, decided: str) -> None:
    """A person's vote settled it, or (empty) took back the vote that had. The wait is from the card, or else the question."""
    if not decided:
        db.execute(
            "UPDATE approvals SET decided_at = NULL, decided_seq = NULL, decided = NULL, waited_ms = NULL"
            " WHERE workspace = ? AND id = ?",
            (at.workspace, approval_id),
        )
        return
    (since,) = db.execute(
        "SELECT coalesce(shown_at, json_extract(request, '$.requested_at')) FROM approvals WHERE workspace = ? AND id = ?",
        (at.workspace, approval_id),
    ).fetchone()
    waited = max(0, round((at.at - moment(since)).total_seconds() * 1000))
    db.execute(
        "UPDATE approvals SET decided_at = ?, decided_seq = ?, decided = ?, waited_ms = ? WHERE workspace = ? AND id = ?",
        (timestamp(at.at), at.seq, decided, waited, at.workspace, approval_id),
    )


def _votes(db: sqlite3.Connection, workspace: str, approval_id: str) -> int:
    of = (workspace, approval_id)
    (count,) = db.execute("SELECT count(*) FROM votes WHERE workspace = ? AND approval_id = ?", of).fetchone()
    return int(count)


def _last_word(db: sqlite3.Connection, workspace: str, approval_id: str, user: str) -> str:
    row = db.execute(
        "SELECT verdict FROM votes WHERE workspace = ? AND approval_id = ? AND user = ? ORDER BY seq DESC LIMIT 1",
        (workspace, approval_id, user),
    ).fetchone()
    return str(row[0]) if row else ""


def _standing(row: tuple[str, int] | None) -> str:
    if row is None:
        return "unknown"
    return "only recorded, because the agent observes" if row[1] and row[0] == ApprovalState.PENDING else row[0]
