"""The Merkle tree of a large log without hashing all of it each time: the roots of its complete tiles of 256 events.

They are kept in the projection `tiles`, laid as checkpoints are recorded; what is not laid yet is hashed from the events.
Nothing rests on them alone: whoever checks a proof reaches the root or does not, and `audit verify` derives them again.
"""

from __future__ import annotations

import sqlite3

from domain.errors import JournalError
from storage import merkle

LEVEL = 8
WIDTH = 1 << LEVEL
"""Events in a tile: seq 1 to 256 are tile 0."""


def hashes(db: sqlite3.Connection, workspace: str, first: int, last: int) -> list[bytes]:
    """The events' hashes from one `seq` to another, both included. Raises JournalError where one is missing."""
    found = db.execute(
        "SELECT hash FROM events WHERE workspace = ? AND seq BETWEEN ? AND ? ORDER BY seq", (workspace, first, last)
    ).fetchall()
    if len(found) != last - first + 1:
        raise JournalError(f"events between {first} and {last} of the workspace {workspace} are missing")
    return [bytes.fromhex(text) for (text,) in found]


def roots(db: sqlite3.Connection, workspace: str, count: int) -> list[bytes]:
    """The roots of the first `count` complete tiles."""
    kept = db.execute(
        "SELECT root FROM tiles WHERE workspace = ? AND tile < ? ORDER BY tile", (workspace, count)
    ).fetchall()
    return [bytes(root) for (root,) in kept] + [_root(db, workspace, tile) for tile in range(len(kept), count)]


def lay(db: sqlite3.Connection, workspace: str, size: int) -> None:
    """Keep the roots of every tile that is complete with `size` events."""
    (kept,) = db.execute("SELECT count(*) FROM tiles WHERE workspace = ?", (workspace,)).fetchone()
    for tile in range(kept, size >> LEVEL):
        row = (workspace, tile, _root(db, workspace, tile))
        db.execute("INSERT INTO tiles (workspace, tile, root) VALUES (?, ?, ?)", row)


def _root(db: sqlite3.Connection, workspace: str, tile: int) -> bytes:
    return merkle.root_of(hashes(db, workspace, tile * WIDTH + 1, (tile + 1) * WIDTH))


def frontier(db: sqlite3.Connection, workspace: str, size: int) -> merkle.Frontier:
    """The tree over the first `size` events, ready to grow."""
    count = size >> LEVEL
    found = merkle.Frontier()
    for root in roots(db, workspace, count):
        found.add(root, LEVEL)
    found.extend(hashes(db, workspace, count * WIDTH + 1, size) if size > count * WIDTH else ())
    return found


class Tree:
    """The tree over the first `size` events, for many proofs: a tile is hashed once."""

    def __init__(self, db: sqlite3.Connection, workspace: str, size: int) -> None:
        self._db = db
        self._workspace = workspace
        self.size = size
        nodes = roots(db, workspace, size >> LEVEL)
        if size % WIDTH:
            nodes.append(merkle.root_of(hashes(db, workspace, size // WIDTH * WIDTH + 1, size)))
        self._above = merkle.levels(nodes)
        self._tiles: dict[int, list[list[bytes]]] = {}

    def root(self) -> bytes:
        """The root over all of it."""
        return self._above[-1][0] if self._above else merkle.EMPTY

    def path(self, seq: int) -> list[bytes]:
        """An event's inclusion proof, from the leaf upwards. Raises JournalError for one that is not in the tree."""
        if not 1 <= seq <= self.size:
            raise JournalError(f"the event {seq} is not among the first {self.size} of the workspace {self._workspace}")
        tile, index = divmod(seq - 1, WIDTH)
        if tile not in self._tiles:
            first = tile * WIDTH + 1
            leaves = hashes(self._db, self._workspace, first, min(first + WIDTH - 1, self.size))
            self._tiles[tile] = merkle.levels(list(map(merkle.leaf_of, leaves)))
        return [*merkle.siblings(self._tiles[tile], index), *merkle.siblings(self._above, tile)]
