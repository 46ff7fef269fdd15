"""The changes of a period, one row each: what an auditor samples from. SOC 2 CC8.1 asks for every column."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from domain.canonical import sha256
from domain.codec import timestamp
from domain.decisions import Verdict
from domain.events import Envelope
from storage.evidence import records, words
from storage.evidence.changes import Change
from storage.evidence.story import Story, story_of

COLUMNS = (
    *("state", "requested_by", "requested_at", "what", "arguments", "target", "environment", "touches", "why"),
    *("decision", "rule", "policy", "approvers_asked", "quorum", "approved_by", "denied_by", "answered_at"),
    *("dry_run", "dry_run_sha256", "executed_at", "executed_by", "idempotency_key", "outcome"),
    *("verified", "verified_at", "undone", "emergency", "emergency_reason", "reviewed_by", "reviewed_at", "review"),
    *("incident", "run", "request", "execution", "digest", "events", "hashes"),
)
_KINDS = (
    *("RunStarted", "StepPlanned", "DecisionMade", "ApprovalRequested", "VoteCast", "VoteRefused", "ApprovalEscalated"),
    *("ApprovalClosed", "ExecutionStarted", "ExecutionProbed", "ExecutionFinished", "VerificationPassed"),
    "VerificationFailed",
)
_GLASSES = ("BreakGlassOpened", "BreakGlassReviewed")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "|", "%")


def runs_since(db: sqlite3.Connection, workspace: str, since: datetime) -> list[str]:
    """The runs in which a change was decided on since then, oldest first."""
    found = db.execute(
        "SELECT e.run_id FROM events AS e INDEXED BY events_of_kind CROSS JOIN event_bodies AS b USING (workspace, seq)"
        " WHERE e.workspace = ?"
        " AND e.kind = 'DecisionMade' AND e.at >= ? AND e.run_id <> '' AND b.body ->> '$.action.effect' <> 'read'"
        " GROUP BY e.run_id ORDER BY min(e.seq)",
        (workspace, timestamp(since)),
    )
    return [str(run_id) for (run_id,) in found]


def rows(db: sqlite3.Connection, workspace: str, since: datetime, runs: Iterable[str]) -> list[dict[str, str]]:
    """A row for every change of those runs that was decided on since then, whatever became of it, oldest first."""
    found: list[tuple[int, dict[str, str]]] = []
    for run_id in runs:
        envelopes = _events(db, workspace, run_id)
        story = story_of(envelopes, run_id)
        found += [
            (change.decided.seq, _row(story, change, undone=_undone(db, workspace, change)))
            for change in story.changes
            if change.decided.at >= since
        ]
    return [row for _, row in sorted(found, key=lambda pair: pair[0])]


def as_csv(found: Iterable[dict[str, str]]) -> str:
    """The rows as RFC 4180 has them, with a line of headings. No cell is taken for a formula."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({name: _cell(cell) for name, cell in row.items()} for row in found)
    return buffer.getvalue()


def _cell(text: str) -> str:
    """On one line, nothing hidden, and no spreadsheet computes it."""
    plain = "".join(sign if sign.isprintable() else "\ufffd" for sign in " ".join(text.split()))
    return f"'{plain}" if plain.startswith(_FORMULA) else plain


def _events(db: sqlite3.Connection, workspace: str, run_id: str) -> list[Envelope]:
    """What a change is told from: the run's events of these kinds, and its incident's break-glasses."""
    return [record.envelope for record in records.of_kinds(db, workspace, run_id, _KINDS, _GLASSES)]


def _undone(db: sqlite3.Connection, workspace: str, change: Change) -> str:
    if change.started is None:
        return ""
    found = db.execute(
        "SELECT id FROM executions WHERE workspace = ? AND undoes = ? AND outcome = 'succeeded'"
        " AND target_key = ? LIMIT 1",
        (workspace, change.started.event.execution_id, change.action.target.key),
    ).fetchone()
    return f"yes, by {found[0]}" if found else "no"


# --- a row ------------------------------------------------------------------------------------------------------------


def _row(story: Story, change: Change, *, undone: str) -> dict[str, str]:
    action, decision, asked = change.action, change.decision, change.asked
    request = asked.event.request if asked else None
    return {
        "state": change.state.value,
        "requested_by": _requester(story),
        "requested_at": timestamp(change.decided.at),
        "what": action.tool,
        "arguments": words.value(dict(action.arguments)),
        "target": action.target.key,
        "environment": action.target.environment,
        "touches": str(action.touches),
        "why": action.why,
        "decision": decision.outcome.value,
        "rule": decision.rule,
        "policy": decision.policy_hash,
        "approvers_asked": ", ".join(_groups(change)),
        "quorum": str(request.terms.quorum) if request else "",
        **_answers(story, change),
        "dry_run": f"yes, {words.plural(len(action.diff.splitlines()), 'line')}" if action.diff else "no",
        "dry_run_sha256": sha256(action.diff.encode()) if action.diff else "",
        **_execution(change),
        "undone": undone,
        **_emergency(story, change),
        "incident": change.incident_id,
        "run": change.run_id,
        "request": request.id if request else "",
        "digest": change.digest,
        "events": " ".join(str(fact.seq) for fact in change.events),
        "hashes": " ".join(fact.hash for fact in change.events),
    }


def _requester(story: Story) -> str:
    spec = story.spec
    if spec is None:
        return ""
    return _person(story, spec.requester) if spec.requester else f"agent ({spec.model}), for an alert"


def _groups(change: Change) -> Sequence[str]:
    """Those that could vote: asked, and escalated to."""
    if change.asked is None:
        return ()
    later = change.escalated.event.groups if change.escalated else ()
    return tuple(dict.fromkeys((*change.asked.event.request.terms.groups, *later)))


def _answers(story: Story, change: Change) -> dict[str, str]:
    def said(verdict: Verdict) -> str:
        return "; ".join(_voted(story, change, verdict))

    return {
        "approved_by": said(Verdict.APPROVE),
        "denied_by": said(Verdict.DENY),
        "answered_at": timestamp(change.answered_at) if change.answered_at else "",
    }


def _voted(story: Story, change: Change, verdict: Verdict) -> Iterator[str]:
    for vote in change.standing:
        if vote.verdict is verdict:
            behalf = f" for {_person(story, vote.on_behalf_of)}" if vote.on_behalf_of else ""
            reason = f": {vote.reason}" if vote.reason else ""
            yield f"{vote.name or vote.user} ({vote.user}){behalf} at {timestamp(vote.at)}{reason}"


def _execution(change: Change) -> dict[str, str]:
    started, finished, verified = change.started, change.finished, change.verified
    if started is None:
        return dict.fromkeys(
            ("executed_at", "executed_by", "idempotency_key", "outcome", "verified", "verified_at", "execution"), ""
        )
    checks = verified.event.checks if verified else ()
    held = f"{sum(check.passed for check in checks)} of {words.plural(len(checks), 'check')}"
    passed = bool(checks) and all(check.passed for check in checks)
    return {
        "executed_at": timestamp(started.at),
        "executed_by": started.actor,
        "idempotency_key": started.event.key,
        "outcome": f"{finished.event.outcome.value}: {finished.event.detail}" if finished else "not recorded",
        "verified": f"{'yes' if passed else 'no'}, {held}" if verified else "not yet",
        "verified_at": timestamp(verified.at) if verified else "",
        "execution": started.event.execution_id,
    }


def _emergency(story: Story, change: Change) -> dict[str, str]:
    """Break-glass: who broke it and why, and who looked at it afterwards."""
    opened = [fact.event.glass for fact in story.glasses if fact.event.glass.id in change.glasses]
    reviews = [fact for fact in story.reviews if fact.event.glass_id in change.glasses]
    return {
        "emergency": "; ".join(f"{glass.id} of {glass.name} ({glass.user})" for glass in opened) or "no",
        "emergency_reason": "; ".join(glass.reason for glass in opened),
        "reviewed_by": "; ".join(_person(story, fact.event.user) for fact in reviews),
        "reviewed_at": "; ".join(timestamp(fact.at) for fact in reviews),
        "review": "; ".join(fact.event.comment for fact in reviews),
    }


def _person(story: Story, user: str) -> str:
    name = story.name(user)
    return user if name == user else f"{name} ({user})"
