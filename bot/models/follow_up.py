"""Follow-up questions that the record answers: who approved, what was changed, did it help, why, what it cost. Pure.

A question about how things are *now* is none of these: for that, one has to look.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from domain.diagnosis import Confidence, Diagnosis, Evidence

_NOW = re.compile(
    r"\b(now|still|currently|right now|at the moment|again|look|check|compare|is it|are they|why (?:is|are|do|does))\b",
    re.IGNORECASE,
)
_CHANGES = ("Executed", "Verified", "Not verified")
_ABOUT: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"\bwho\b.*\b(approv|said|voted|decid|allow|ok)|\bapproved by\b", ("Approved", "Denied", "Asked")),
    (r"\b(deni|reject|refus)", ("Denied", "Closed")),
    (r"\bexpir", ("Closed", "Asked")),
    (r"\b(what|which)\b.*\b(chang|execut|did you do|done|fix|roll)|\bdid you (do|change)", _CHANGES),
    (r"\b(did it (work|help)|verif|was it fixed|worked)\b", ("Verified", "Not verified", "Executed")),
    (r"\b(cost|token|price|dollar)", ("Cost",)),
    (r"\b(evidence|proof|show me|which log|E\d+)\b", ("Evidence", "Found")),
    (r"\b(why|root cause|what caused|cause|what happened|what was wrong|summar)", ("Cause", *_CHANGES)),
    (r"\b(when|since when|how long|what time)\b", ("Incident", "Approved", "Executed", "Ended")),
    (r"\bhow many alerts?\b|\balerts? (came|fired)\b", ("Alerts",)),
)
"""What a question is about, and the lines of the record that answer it; the first that fits counts."""

NAME = "the incident's record"
MOST = 6


def answered(question: str, record: str) -> tuple[str, ...]:
    """The record's lines that answer the question; empty where it does not, and somebody has to look."""
    if not record or _NOW.search(question):
        return ()
    lines = record.splitlines()
    for pattern, words in _ABOUT:
        if re.search(pattern, question, re.IGNORECASE):
            found = [line for word in words for line in lines if line.startswith(f"{word}: ")]
            wanted = [line for line in found if line.startswith(f"{words[0]}: ")] or found
            return tuple((found if len(words) > 1 else wanted)[-MOST:]) if wanted else ()
    return ()


def told(lines: Sequence[str], by: str) -> Diagnosis:
    """The lines as an answer that cites the record."""
    first, *more = lines
    evidence = Evidence("journal", NAME, "\n".join(lines)[:600])
    return Diagnosis(first, "\n".join(more) or first, Confidence.PROVEN, by, (evidence,))
