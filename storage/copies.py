"""Copies of checkpoints outside the database: one line of JSON each, or notes in a text, such as one saved from Slack.

Beside its note a line has a trail, the first four bytes of each event's hash since the copy before. The root says whether
the log was rewritten; the trail says from which event on.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from domain.errors import BadInput
from storage.checkpoints import Checkpoint, parse

_PREFIX = 4
_NOTE = re.compile(
    r"^[ \t>`]*(personal-agent/\S+)\n[ \t>]*(\d+)\n[ \t>]*(\S{44})\n[ \t>]*(head [0-9a-f]{64})\n[ \t>]*(at \S{27})"
    r"\n[ \t>]*\n[ \t>]*(— \S+ [A-Za-z0-9+/=]{90,100})[ \t`]*$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Copy:
    """A checkpoint as `place` holds it. `trail` are hashes' beginnings, of the event `first` and those after it."""

    place: str
    note: str
    checkpoint: Checkpoint
    first: int = 0
    trail: bytes = b""

    def differs(self, hashes: Iterable[tuple[int, bytes]]) -> int | None:
        """The first of these events (`seq`, hash) that the trail knows otherwise."""
        for seq, event_hash in hashes:
            start = (seq - self.first) * _PREFIX
            known = self.trail[start : start + _PREFIX] if start >= 0 else b""
            if known and event_hash[:_PREFIX] != known:
                return seq
        return None


@dataclass(frozen=True)
class Held:
    """What one place holds. `problems` are lines that are no copies, a sentence each: a disk that was full leaves some."""

    place: str
    copies: tuple[Copy, ...] = ()
    problems: tuple[str, ...] = ()


def line_of(note: str, first: int, hashes: Sequence[bytes]) -> str:
    """One line for a place that keeps lines; `hashes` are those of the event `first` and after it."""
    trail = base64.b64encode(b"".join(event_hash[:_PREFIX] for event_hash in hashes)).decode()
    return json.dumps({"note": note, "first": first, "trail": trail}, ensure_ascii=False) + "\n"


def read_copies(place: str, text: str) -> Held:
    """Every copy in a text: lines of ours, or notes with anything around them."""
    if not text.lstrip().startswith("{"):
        notes = ["\n".join((*match.groups()[:5], "", match[6], "")) for match in _NOTE.finditer(text.replace("\r", ""))]
        return Held(place, *_all(place, [(note, 0, b"") for note in notes]))
    lines, problems = [], []
    for number, line in enumerate(filter(str.strip, text.splitlines()), 1):
        try:
            fields = json.loads(line)
            lines.append((str(fields["note"]), int(fields["first"]), base64.b64decode(fields["trail"], validate=True)))
        except (ValueError, KeyError, TypeError):
            problems.append(f"{place}, line {number}: no copy of a checkpoint")
    copies, unread = _all(place, lines)
    return Held(place, copies, (*problems, *unread))


def _all(place: str, found: Iterable[tuple[str, int, bytes]]) -> tuple[tuple[Copy, ...], tuple[str, ...]]:
    copies, problems = [], []
    for note, first, trail in found:
        try:
            copies.append(Copy(place, note, parse(note), first, trail))
        except BadInput as error:
            problems.append(f"{place}: {error}")
    return tuple(copies), tuple(problems)
