"""One segment of a chain, checked row by row: verify's inner loop, which may run in a process of its own."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from json.encoder import encode_basestring as quoted
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from domain.errors import BadInput
from storage import merkle
from storage.chain import GENESIS
from storage.checkpoints import Checkpoint, origin_of, parse, verify_note
from storage.database import looking_at
from storage.tiles import LEVEL, WIDTH

LENGTH = 1 << 14
"""Events in a segment: seq 1 to 16384 are the first."""

_ROWS = """
  SELECT e.seq, e.incident_id, e.run_id, e.at, e.actor, e.kind, e.body_hash, e.prev_hash, e.hash,
    CAST(b.salt || b.body AS BLOB), b.salt = ''
  FROM events AS e LEFT JOIN event_bodies AS b ON b.workspace = e.workspace AND b.seq = e.seq
  WHERE e.workspace = ? AND e.seq BETWEEN ? AND ? ORDER BY e.seq
"""
_LEAST = -(2**63)
_UNREADABLE = (TypeError, ValueError, AttributeError, sqlite3.Error)  # a value that no event has


class Bad(NamedTuple):
    """An event that is wrong, and how; 0 for none in particular. With `last` it is one of those from `seq` to there."""

    seq: int
    problem: str
    last: int = 0


class Signed(NamedTuple):
    """A checkpoint that stands in the chain as event `seq`; `problem` says why it is none."""

    seq: int
    note: str
    checkpoint: Checkpoint | None
    problem: str = ""


class Task(NamedTuple):
    """Check the events `first` to `last`; at each of `sizes` (how many events of the log) the tree is wanted."""

    path: Path
    workspace: str
    first: int
    last: int
    sizes: tuple[int, ...]
    keys: tuple[bytes, ...]


class Found(NamedTuple):
    """What stands in a segment up to the first bad event, if any.

    `trees` is for each wanted size the frontier within this segment and the head there; `tiles` the complete tiles' roots;
    `erased` what remains of bodies that are gone.
    """

    checked: int
    bad: Bad | None
    trees: dict[int, tuple[list[bytes], str]]
    tiles: list[bytes]
    peaks: list[bytes]
    head: str
    erased: dict[int, bytes]
    signed: list[Signed]


def check(task: Task) -> Found:
    """Check one segment, in one snapshot of the database."""
    with looking_at(task.path) as db:
        rows = _Rows(db, task)
        bad = rows.check()
    keys = [Ed25519PublicKey.from_public_bytes(key) for key in task.keys]
    signed = [_checkpoint(seq, task.workspace, body, keys) for seq, body in rows.checkpoints]
    trees, tiles, whole = _grow(rows.hashes, task)
    return Found(len(rows.hashes), bad, trees, tiles, whole.peaks, rows.head, rows.erased, signed)


class _Rows:
    """The rows of a segment on their way through the check."""

    def __init__(self, db: sqlite3.Connection, task: Task) -> None:
        self._db = db
        self._task = task
        self.hashes: list[bytes] = []
        self.erased: dict[int, bytes] = {}
        self.checkpoints: list[tuple[int, bytes]] = []
        self.head = GENESIS

    def check(self) -> Bad | None:
        """The first bad row."""
        task = self._task
        first = _LEAST if task.first == 1 else task.first  # nothing may stand before the first event
        try:
            if task.first > 1:
                (self.head,) = self._db.execute(
                    "SELECT hash FROM events WHERE workspace = ? AND seq = ?", (task.workspace, first - 1)
                ).fetchone() or (GENESIS,)
            bad = self._walk(self._db.execute(_ROWS, (task.workspace, first, task.last)))
        except _UNREADABLE as error:
            bad = Bad(self._next, f"event {self._next} cannot be read: {error}")
        if bad is None and self._next <= task.last:
            bad = Bad(self._next, f"event {self._next} is missing")
        return bad

    @property
    def _next(self) -> int:
        return self._task.first + len(self.hashes)

    def _walk(self, rows: sqlite3.Cursor) -> Bad | None:
        """Written flat and with local names, because it looks at every event."""
        expected, prev, workspace = self._task.first, self.head, quoted(self._task.workspace)
        append = self.hashes.append
        for seq, incident_id, run_id, at, actor, kind, body_hash, prev_hash, chained, body, gone in rows:
            if seq != expected:
                return Bad(expected, f"event {expected} is missing")
            if prev_hash != prev:
                return Bad(seq, f"event {seq} does not follow the event before it")
            if body is None:
                return Bad(seq, f"the body of event {seq} is missing")
            if gone:
                self.erased[seq] = body
            elif sha256(body).hexdigest() != body_hash:
                return Bad(seq, f"the body of event {seq} was changed")
            event_hash = sha256(
                f'{{"actor":{quoted(actor)},"at":{quoted(at)},"body_hash":{quoted(body_hash)},'
                f'"incident_id":{quoted(incident_id)},"kind":{quoted(kind)},"prev_hash":{quoted(prev_hash)},'
                f'"run_id":{quoted(run_id)},"seq":{seq},"workspace":{workspace}}}'.encode()
            )
            if event_hash.hexdigest() != chained:
                return Bad(seq, f"a field of event {seq} was changed")
            if kind == "CheckpointSigned":
                self.checkpoints.append((seq, body))
            append(event_hash.digest())
            expected, prev = seq + 1, chained
        self.head = prev
        return None


def _grow(
    hashes: Sequence[bytes], task: Task
) -> tuple[dict[int, tuple[list[bytes], str]], list[bytes], merkle.Frontier]:
    """The trees at the wanted sizes, the complete tiles' roots, and the tree of the whole segment."""
    trees: dict[int, tuple[list[bytes], str]] = {}
    tiles: list[bytes] = []
    before, whole = task.first - 1, merkle.Frontier()
    wanted = [size - before for size in sorted(set(task.sizes)) if before < size <= before + len(hashes)]
    for start in range(0, len(hashes), WIDTH):
        tile = hashes[start : start + WIDTH]
        grown = whole.copy()
        for begin, end in pairwise((start, *(size for size in wanted if start < size <= start + WIDTH))):
            grown.extend(hashes[begin:end])
            trees[before + end] = (list(grown.peaks), hashes[end - 1].hex())
        if len(tile) < WIDTH:
            whole.extend(tile)
        else:
            tiles.append(merkle.root_of(tile))
            whole.add(tiles[-1], LEVEL)
    return trees, tiles, whole


def _checkpoint(seq: int, workspace: str, body: bytes, keys: Sequence[Ed25519PublicKey]) -> Signed:
    note = problem = ""
    checkpoint = None
    try:
        event = json.loads(body[32:])
        note = str(event["note"])
        checkpoint = parse(note)
        grown = merkle.Frontier.from_hex(event["size"], event["frontier"])
    except (ValueError, KeyError, TypeError, AttributeError, BadInput) as error:
        return Signed(seq, note, None, f"event {seq} is no checkpoint: {error}")
    if checkpoint.origin != origin_of(workspace):
        problem = f"event {seq} is a checkpoint of another log, {checkpoint.origin}"
    elif (checkpoint.size, checkpoint.root) != (grown.size, grown.root()):
        problem = f"event {seq} says of its checkpoint what the checkpoint does not say"
    elif keys and not any(verify_note(note, key) for key in keys):
        problem = f"the checkpoint at event {seq} is not signed by the key"
    return Signed(seq, note, None if problem else checkpoint, problem)
