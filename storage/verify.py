"""Re-derive a log from its rows, beside whoever is writing it: the chain, its checkpoints, and the copies of them elsewhere.

A chain shows that nothing in it was changed, and nothing more: whoever can write the file can cut off its end, put an older
one in its place, or chain it anew. Copies of checkpoints in places that this host cannot write show that.
"""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from storage import tiles
from storage.chain import GENESIS
from storage.checkpoints import Checkpoint, origin_of, verify_note
from storage.copies import Copy, Held
from storage.database import looking_at, workspaces
from storage.keys import raw
from storage.merkle import Frontier
from storage.segments import LENGTH, Bad, Found, Signed, Task, check

_FEW = 6
"""Up to so many segments are checked here: starting processes takes longer than that."""

_CLAIMS = """
  SELECT e.seq, json_extract(CASE WHEN json_valid(b.body) THEN b.body END, ?)
  FROM events AS e JOIN event_bodies AS b ON b.workspace = e.workspace AND b.seq = e.seq
  WHERE e.workspace = ? AND e.kind = ? ORDER BY e.seq
"""
_ORPHAN = """
  SELECT min(seq) FROM event_bodies AS b WHERE workspace = ?
    AND NOT EXISTS (SELECT 1 FROM events AS e WHERE e.workspace = b.workspace AND e.seq = b.seq)
"""


@dataclass(frozen=True)
class Log:
    """What was found of one workspace's log.

    `checkpoint` is the last that is signed in it, `anchored` by place the last copy that agrees; `erased` bodies are gone
    under a tombstone. `first_bad` is the `seq` of the first event that is wrong (None where it is none in particular) and
    `problem` says how; both are empty where the log holds.
    """

    workspace: str
    events: int
    head_hash: str = GENESIS
    checkpoints: int = 0
    checkpoint: Checkpoint | None = None
    anchored: tuple[tuple[str, Checkpoint], ...] = ()
    erased: int = 0
    first_bad: int | None = None
    problem: str = ""

    @property
    def covered(self) -> int:
        """The events up to this one are known outside."""
        return max((checkpoint.size for _, checkpoint in self.anchored), default=0)


@dataclass(frozen=True)
class Report:
    """`events` were checked. `first_bad` is the `seq` of the first that is wrong, `problem` says how.

    `workspace` is the bad event's, else the last one checked, and `head_hash` the hash of its last event. `logs` says it
    for each workspace.
    """

    ok: bool
    events: int
    first_bad: int | None = None
    problem: str = ""
    head_hash: str = GENESIS
    workspace: str = ""
    logs: tuple[Log, ...] = ()


def verify(
    path: str | Path,
    workspace: str | None = None,
    progress: Callable[[int], None] | None = None,
    *,
    held: Sequence[Held] = (),
    keys: Sequence[Ed25519PublicKey] = (),
) -> Report:
    """Check one workspace's log, or every workspace's. `progress` gets the number of events checked so far, now and then.

    `held` is what places outside hold, `keys` whose signatures count; without keys signatures are not looked at. Raises
    JournalError where the file cannot be read at all, NewerDatabase where a newer version wrote it.
    """
    logs: list[Log] = []
    events = 0
    with looking_at(Path(path)) as db:
        for name in [workspace] if workspace is not None else _expected(db, held, keys):
            logs.append(_Verification(db, Path(path), name, held, keys).run(progress, events))
            events += logs[-1].events
            if logs[-1].problem:
                break
    last = logs[-1] if logs else Log(workspace or "", 0)
    return Report(
        not last.problem, events, last.first_bad, last.problem, last.head_hash, last.workspace, logs=tuple(logs)
    )


def _expected(db: sqlite3.Connection, held: Sequence[Held], keys: Sequence[Ed25519PublicKey]) -> list[str]:
    """The workspaces that have events, and those that had: a copy that our key signed is of a log that belongs here."""
    found = dict.fromkeys(workspaces(db))
    newest = {copy.checkpoint.workspace: copy.note for each in held for copy in each.copies}
    for name, note in newest.items():
        if any(verify_note(note, key) for key in keys):
            found.setdefault(name)
    return list(found)


class _Verification:
    """One workspace's log."""

    def __init__(
        self,
        db: sqlite3.Connection,
        path: Path,
        workspace: str,
        held: Sequence[Held],
        keys: Sequence[Ed25519PublicKey],
    ) -> None:
        self._db = db
        self._path = path
        self._workspace = workspace
        self._held = held
        self._keys = keys
        self._bad: list[Bad] = []
        self._trees: dict[int, tuple[bytes, str]] = {}
        self._grown = Frontier()
        self._tiles: list[bytes] = []
        self._signed: list[Signed] = []
        self._erased: dict[int, bytes] = {}
        self._head = GENESIS
        self._vouched: dict[str, bool] = {}

    def run(self, progress: Callable[[int], None] | None, before: int) -> Log:
        """Everything about it; the first event that is wrong counts, whatever showed it."""
        (last,) = self._db.execute("SELECT max(seq) FROM events WHERE workspace = ?", (self._workspace,)).fetchone()
        last = last or 0
        copies = [copy for held in self._held for copy in held.copies if copy.checkpoint.origin == self._origin]
        checked = self._rows(last, copies, progress, before)
        self._tombstones(checked)
        good = self._checkpoints()
        anchored = self._copies(copies, last if checked == last else None)
        self._rest(last)
        bad = self._first_bad(last)
        return Log(
            self._workspace,
            min(checked, bad.seq - 1) if bad and bad.seq else checked,
            self._head,
            len(good),
            good[-1] if good else None,
            anchored,
            len(self._erased),
            bad.seq or None if bad else None,
            bad.problem if bad else "",
        )

    def _first_bad(self, last: int) -> Bad | None:
        """The first event that is named by itself counts before a span that it stands in."""
        exact = [each.seq for each in self._bad if not each.last]
        told = [each for each in self._bad if not (each.last and any(each.seq <= seq <= each.last for seq in exact))]
        return min(told, key=lambda each: each.seq or last + 2, default=None)

    @property
    def _origin(self) -> str:
        return origin_of(self._workspace)

    def _claims(self, kind: str, field: str) -> Iterator[tuple[int, object]]:
        """What events of a kind say in a field, before it is known whether they are to be believed."""
        yield from self._db.execute(_CLAIMS, (f"$.{field}", self._workspace, kind))

    def _rows(self, last: int, copies: Sequence[Copy], progress: Callable[[int], None] | None, before: int) -> int:
        """The chain, segment by segment, with the trees at every size that somebody signed; how many events hold."""
        sizes = [size for _, size in self._claims("CheckpointSigned", "size") if isinstance(size, int)]
        sizes = sorted({*sizes, *(copy.checkpoint.size for copy in copies)})
        keys, checked = tuple(map(raw, self._keys)), 0
        tasks = [
            Task(
                self._path,
                self._workspace,
                first,
                min(first + LENGTH - 1, last),
                tuple(size for size in sizes if first <= size < first + LENGTH),
                keys,
            )
            for first in range(1, last + 1, LENGTH)
        ]
        for found in _each(tasks):
            self._take(found)
            checked += found.checked
            if found.bad:
                self._bad.append(found.bad)
                break
            if progress:
                progress(before + checked)
        return checked

    def _take(self, found: Found) -> None:
        for size, (peaks, head) in found.trees.items():
            tree = self._grown.copy()
            _add(tree, peaks, size - tree.size)
            self._trees[size] = (tree.root(), head)
        _add(self._grown, found.peaks, found.checked)
        self._tiles += found.tiles
        self._signed += found.signed
        self._vouched.update((each.note, True) for each in found.signed if each.checkpoint)
        self._erased.update(found.erased)
        self._head = found.head

    def _tombstones(self, checked: int) -> None:
        """A body is gone where a tombstone says so, and only there."""
        remains = dict(self._claims("BodyErased", "remains"))
        said: dict[object, tuple[int, object]] = {}
        for seq, erased in self._claims("BodyErased", "seq"):
            if isinstance(erased, int) and erased < seq:  # behind a break of the chain it is not looked at, nor matters
                said.setdefault(erased, (seq, remains[seq]))
        for seq, body in self._erased.items():
            if seq not in said:
                self._bad.append(Bad(seq, f"the body of event {seq} is gone, and no tombstone says why"))
            elif str(said[seq][1]).encode() != body:
                self._bad.append(Bad(seq, f"what remains of event {seq} is not what its tombstone says"))
        for erased, (tombstone, _) in said.items():
            if isinstance(erased, int) and 0 < erased <= checked and erased not in self._erased:
                problem = f"the body of event {erased} was erased by event {tombstone} and stands there again"
                self._bad.append(Bad(erased, problem))

    def _checkpoints(self) -> list[Checkpoint]:
        """Those in the log itself: signed, and over what stands before them."""
        good: list[Checkpoint] = []
        for seq, _, checkpoint, problem in self._signed:
            if checkpoint is None:
                self._bad.append(Bad(seq, problem))
            elif checkpoint.size >= seq or not self._agrees(checkpoint):
                first = max((each.size for each in good if each.size < checkpoint.size), default=0) + 1
                end = min(checkpoint.size, seq - 1)
                problem = f"{_span(first, end)} not what was signed: the checkpoint at event {seq}"
                self._bad.append(Bad(first, problem, end))
                break
            else:
                good.append(checkpoint)
        return good

    def _copies(self, copies: Sequence[Copy], last: int | None) -> tuple[tuple[str, Checkpoint], ...]:
        """Those outside. `last` is the log's last event, None where the chain ends in a bad one."""
        agreed: dict[str, Checkpoint] = {}
        for copy in sorted(copies, key=lambda each: each.checkpoint.size):
            checkpoint, place = copy.checkpoint, copy.place
            if not self._is_signed(copy.note):
                problem = f"{place} holds a checkpoint over {checkpoint.size} events that is not signed by the key"
                self._bad.append(Bad(0, problem))
            elif checkpoint.size in self._trees and not self._agrees(checkpoint):
                first = max((each.size for each in agreed.values()), default=0) + 1
                self._bad.append(self._rewritten(copy, first))
                break
            elif checkpoint.size in self._trees or not checkpoint.size:
                agreed[place] = checkpoint
            else:
                self._within(copy)
                if last is None:
                    continue
                held = f"{place} holds a checkpoint over {checkpoint.size} events of {checkpoint.at:%Y-%m-%d %H:%M} UTC"
                self._bad.append(Bad(last + 1, f"event {last + 1} is missing: {held}"))
                break
        return tuple(agreed.items())

    def _within(self, copy: Copy) -> None:
        """The chain ends, or breaks, within what this copy is over: perhaps an event before that is not what it was."""
        checked = self._grown.size
        if copy.first and copy.first <= checked:
            hashes = tiles.hashes(self._db, self._workspace, copy.first, checked)
            exactly = copy.differs(enumerate(hashes, copy.first))
            if exactly is not None:
                self._bad.append(
                    Bad(exactly, f"event {exactly} is not what it was: {copy.place} holds another hash of it")
                )

    def _is_signed(self, note: str) -> bool:
        """By one of the keys; copies of what stands in the log were looked at there."""
        if note not in self._vouched:
            self._vouched[note] = not self._keys or any(verify_note(note, key) for key in self._keys)
        return self._vouched[note]

    def _agrees(self, checkpoint: Checkpoint) -> bool:
        return self._trees.get(checkpoint.size) == (checkpoint.root, checkpoint.head)

    def _rewritten(self, copy: Copy, first: int) -> Bad:
        size, at = copy.checkpoint.size, copy.checkpoint.at
        held = f"{copy.place} holds another checkpoint of {at:%Y-%m-%d %H:%M} UTC over {size} events"
        begin = max(first, copy.first)
        hashes = tiles.hashes(self._db, self._workspace, begin, size)
        exactly = copy.differs(enumerate(hashes, begin)) if copy.first and copy.first <= first else None
        if exactly is not None:
            return Bad(exactly, f"event {exactly} is not what it was: {held}")
        return Bad(first, f"{_span(first, size)} not what was recorded: {held}", size)

    def _rest(self, last: int) -> None:
        """Bodies of no event, tiles that are not the tree's, places that hold less than was written there."""
        (orphan,) = self._db.execute(_ORPHAN, (self._workspace,)).fetchone()
        if orphan is not None:
            self._bad.append(Bad(int(orphan), f"event {orphan} is missing, but has a body"))
        if self._db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'tiles'").fetchone():
            kept = self._db.execute("SELECT tile, root FROM tiles WHERE workspace = ?", (self._workspace,)).fetchall()
            if any(root != self._tiles[tile] for tile, root in kept if tile < len(self._tiles)):
                self._bad.append(
                    Bad(0, "the projection `tiles` is not what the events say: run `personal-agent db rebuild`")
                )
        places = dict(self._claims("AnchorWritten", "place"))
        written: dict[object, int] = {}
        for seq, size in self._claims("AnchorWritten", "size"):
            if isinstance(size, int) and seq <= last:
                written[places[seq]] = max(size, written.get(places[seq], 0))
        for held in self._held:
            sizes = [copy.checkpoint.size for copy in held.copies if copy.checkpoint.origin == self._origin]
            size = written.get(held.place, 0)
            if size > max(sizes, default=0):
                problem = f"a checkpoint over {size} events was written to {held.place}, and is not there any more"
                self._bad.append(Bad(0, problem))


def _each(tasks: Sequence[Task]) -> Iterable[Found]:
    """In order; on every core where there are many, if processes can be had."""
    done = 0
    if len(tasks) > _FEW:
        pool = ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn"))
        try:
            for found in pool.map(check, tasks):
                yield found
                done += 1
        except BrokenProcessPool:
            pass
        finally:
            pool.shutdown(cancel_futures=True)
    yield from map(check, tasks[done:])


def _add(tree: Frontier, peaks: Sequence[bytes], size: int) -> None:
    """Subtrees behind a tree whose size is a multiple of theirs, the largest first."""
    levels = [level for level in range(size.bit_length() - 1, -1, -1) if size >> level & 1]
    for level, peak in zip(levels, peaks, strict=True):
        tree.add(peak, level)


def _span(first: int, last: int) -> str:
    return f"event {first} is" if first == last else f"events {first} to {last} are"
