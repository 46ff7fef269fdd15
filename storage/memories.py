"""Precedents of a problem: by its alert, by its target, and by words that few conclusions share."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence

from domain.codec import moment
from domain.memory import Precedent, words_of

COMMON = 2_000
"""A word that more conclusions than this have tells nothing, and is not looked at."""

ALIKE = 0.35
"""The part of a problem's telling words, weighted by how rare they are, that a conclusion has to share."""

_SETTLED = """
  FROM memories AS m LEFT JOIN incidents AS i ON i.workspace = m.workspace AND i.id = m.incident_id
  WHERE m.workspace = ? AND (i.id IS NULL OR i.resolved_at IS NOT NULL)
"""
_COLUMNS = "SELECT m.run_id, m.incident_id, m.at, m.summary, m.cause"
_FIX = """
  SELECT tool, target_key, verified, outcome, reverted_seq FROM executions
  WHERE workspace = ? AND run_id = ? AND undoes = '' ORDER BY seq DESC LIMIT 1
"""
_DOUBTS = "SELECT sum(verdict = 'bad') > sum(verdict = 'good') FROM feedback WHERE workspace = ? AND run_id = ?"


def precedents(
    db: sqlite3.Connection, workspace: str, fingerprint: str, target_key: str, text: str, limit: int
) -> Sequence[Precedent]:
    """The runs of settled incidents that were about the like, the most alike first, the latest first among equals."""
    found: dict[str, tuple[int, str]] = {}
    for run_id, share in _by_words(db, workspace, words_of(text)).items():
        if share >= ALIKE:
            found[run_id] = (min(90, round(share * 90)), "like words")
    for value, column, likeness, alike in (
        (target_key, "target_key", 60, "the same target"),
        (fingerprint, "fingerprint", 100, "the same alert"),
    ):
        if value:
            rows = db.execute(
                f"SELECT m.run_id {_SETTLED} AND m.{column} = ? ORDER BY m.seq DESC LIMIT 20",
                (workspace, value),
            )
            for (run_id,) in rows.fetchall():
                words, _ = found.get(run_id, (0, ""))
                found[run_id] = (min(100, likeness + words // 3), alike)
    read = [_read(db, workspace, run_id, *of) for run_id, of in found.items()]
    kept = [one for one in read if one is not None]
    return sorted(kept, key=lambda one: (-one.likeness, -one.at.timestamp()))[:limit]


def _by_words(db: sqlite3.Connection, workspace: str, words: Sequence[str]) -> dict[str, float]:
    """Each run's share of the words, a rare word counting for more."""
    shares: defaultdict[str, float] = defaultdict(float)
    whole = 0.0
    for word in words:
        runs = db.execute(
            "SELECT run_id FROM memory_words WHERE workspace = ? AND word = ? LIMIT ?", (workspace, word, COMMON + 1)
        ).fetchall()
        if len(runs) > COMMON:
            continue
        weight = 1 / (1 + len(runs)) ** 0.5
        whole += weight
        for (run_id,) in runs:
            shares[run_id] += weight
    return {run_id: share / whole for run_id, share in shares.items()} if len(words) > 1 else {}


def _read(db: sqlite3.Connection, workspace: str, run_id: str, likeness: int, alike: str) -> Precedent | None:
    row = db.execute(f"{_COLUMNS} {_SETTLED} AND m.run_id = ?", (workspace, run_id)).fetchone()
    if row is None:
        return None
    _, incident_id, at, summary, cause = row
    fix, outcome = _fixed(db, workspace, run_id)
    (doubted,) = db.execute(_DOUBTS, (workspace, run_id)).fetchone()
    return Precedent(run_id, incident_id, moment(at), summary, cause, alike, likeness, fix, outcome, bool(doubted))


def _fixed(db: sqlite3.Connection, workspace: str, run_id: str) -> tuple[str, str]:
    """The run's last change, and what became of it."""
    row = db.execute(_FIX, (workspace, run_id)).fetchone()
    if row is None:
        return "", ""
    tool, target_key, verified, outcome, reverted = row
    if reverted is not None:
        ended = "taken back later"
    elif verified is None:
        ended = str(outcome or "unknown")
    else:
        ended = "verified" if verified else "executed, not verified"
    return f"{tool} on {target_key}", ended
