"""What stands of the feedback on diagnoses: one person's word, and a period's quality."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from datetime import datetime

from domain.codec import moment, timestamp
from domain.feedback import Complaint, FeedbackCategory, FeedbackGiven, FeedbackVerdict, Quality, Share

_STANDING = """
  SELECT f.run_id, r.incident_id, f.user, f.verdict, f.category, f.reason, f.at, r.diagnoser,
    (SELECT kind FROM work_units AS w WHERE w.workspace = f.workspace AND w.run_id = f.run_id)
  FROM feedback AS f JOIN runs AS r ON r.workspace = f.workspace AND r.id = f.run_id
  WHERE f.workspace = :workspace AND f.at >= :since AND f.at < :until
  ORDER BY f.seq DESC
"""


def of_person(db: sqlite3.Connection, workspace: str, run_id: str, user: str) -> FeedbackGiven | None:
    """The word of one person on one run that stands."""
    row = db.execute(
        "SELECT verdict, category, reason FROM feedback WHERE workspace = ? AND run_id = ? AND user = ?",
        (workspace, run_id, user),
    ).fetchone()
    if row is None:
        return None
    verdict, category, reason = row
    return FeedbackGiven(
        run_id, user, FeedbackVerdict(verdict), FeedbackCategory(category) if category else None, reason
    )


def quality(db: sqlite3.Connection, workspace: str, since: datetime, until: datetime) -> Quality:
    """The words given from `since` up to before `until`, counted; a run that has not ended yet is of no kind."""
    period = {"workspace": workspace, "since": timestamp(since), "until": timestamp(until)}
    rows = db.execute(_STANDING, period).fetchall()
    kinds: defaultdict[str, list[bool]] = defaultdict(list)
    models: defaultdict[str, list[bool]] = defaultdict(list)
    complaints = []
    for run_id, incident_id, user, verdict, category, reason, at, model, kind in rows:
        good = verdict == FeedbackVerdict.GOOD
        models[model].append(good)
        if kind:
            kinds[kind].append(good)
        if not good:
            complaints.append(Complaint(run_id, incident_id, user, FeedbackCategory(category), reason, moment(at)))
    words = [good for of_one in models.values() for good in of_one]
    return Quality(_share(words), _shares(kinds), _shares(models), tuple(complaints))


def _shares(words: dict[str, list[bool]]) -> tuple[tuple[str, Share], ...]:
    return tuple((name, _share(of_one)) for name, of_one in sorted(words.items()))


def _share(words: list[bool]) -> Share:
    return Share(sum(words), len(words))
