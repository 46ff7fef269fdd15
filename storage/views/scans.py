"""Configuration findings, known again from scan to scan."""

from __future__ import annotations

import json
import sqlite3

from domain.codec import timestamp
from domain.diagnosis import Finding
from domain.events import Envelope, FindingSnoozed, FindingsReported
from domain.scans import CONFIGURATION, MOST, key_of, risk_of, worth
from storage.views.rules import must_change, text

_FAILED = "read.failed"

_SEEN = """
INSERT INTO config_findings (workspace, key, namespace, risk, saved, place, finding, run_id, first_seen, last_seen, news_at)
VALUES (:workspace, :key, :namespace, :risk, :saved, :place, :finding, :run_id, :at, :at, :at)
ON CONFLICT DO UPDATE SET
  first_seen = CASE WHEN gone_at IS NULL THEN first_seen ELSE :at END,
  news_at = CASE WHEN gone_at IS NOT NULL OR :risk < risk OR :saved * 2 > saved * 3 THEN :at ELSE news_at END,
  snoozed_until = CASE WHEN :risk < risk THEN NULL ELSE snoozed_until END,
  risk = :risk, saved = :saved, place = :place, finding = :finding, run_id = :run_id, last_seen = :at, gone_at = NULL
"""
"""What came back is new again; what is riskier, or wastes half as much again, is news; a higher risk wakes what was snoozed."""


def reported(db: sqlite3.Connection, at: Envelope, event: FindingsReported) -> None:
    """What a scan found is there; what it did not find any more is gone, unless it could not see everything."""
    row = db.execute("SELECT spec FROM runs WHERE workspace = ? AND id = ?", (at.workspace, at.run_id)).fetchone()
    target = json.loads(row[0])["target"] if row else {}
    if target.get("system") != CONFIGURATION:
        return
    found = [finding for finding in event.findings if finding.code != _FAILED]
    for place, finding in enumerate(found):
        _seen(db, at, finding, place)
    if len(found) == len(event.findings) and len(found) < MOST:
        db.execute(
            "UPDATE config_findings SET gone_at = ? WHERE workspace = ? AND run_id <> ? AND gone_at IS NULL"
            " AND (? = '' OR namespace = ?)",
            (timestamp(at.at), at.workspace, at.run_id, target["namespace"], target["namespace"]),
        )


def snoozed(db: sqlite3.Connection, at: Envelope, event: FindingSnoozed) -> None:
    """A finding that is there is left to somebody."""
    must_change(
        db.execute(
            "UPDATE config_findings SET snoozed_until = ?, owner = ?, reason = ?"
            " WHERE workspace = ? AND key = ? AND gone_at IS NULL",
            (timestamp(event.until), event.owner, event.reason, at.workspace, event.key),
        ),
        "the latest scan no longer finds this",
    )


def _seen(db: sqlite3.Connection, at: Envelope, finding: Finding, place: int) -> None:
    row = {
        "workspace": at.workspace,
        "key": key_of(finding),
        "namespace": finding.target.namespace,
        "risk": risk_of(finding),
        "saved": worth(finding),
        "place": place,
        "finding": text(finding),
        "run_id": at.run_id,
        "at": timestamp(at.at),
    }
    db.execute(_SEEN, row)
