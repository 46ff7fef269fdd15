"""Somebody who has the database file, and perhaps the key: drops the guards, changes what they like, chains it anew."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.canonical import canonical
from storage.chain import GENESIS, hash_of_body, hash_of_event
from storage.checkpoints import Checkpoint, origin_of, parse, sign
from storage.merkle import Frontier


@dataclass(frozen=True)
class Row:
    """One event with its body, as the file has it."""

    workspace: str
    seq: int
    incident_id: str
    run_id: str
    at: str
    actor: str
    kind: str
    body_hash: str
    prev_hash: str
    hash: str
    salt: str = ""
    body: str = ""

    @property
    def event(self) -> tuple[object, ...]:
        return tuple(vars(self).values())[:10]

    def told(self, **changes: str) -> Row:
        """The same event saying something else, its own hashes made to fit and nobody else's."""
        changed = replace(self, **changes)  # type: ignore[arg-type]
        changed = replace(changed, body_hash=hash_of_body(changed.salt, changed.body.encode()))
        return replace(changed, hash=hash_of_event(*changed.event[:9]))  # type: ignore[arg-type]


def read(path: Path) -> list[Row]:
    with closing(sqlite3.connect(path)) as db:
        found = db.execute(
            "SELECT e.*, b.salt, b.body FROM events AS e LEFT JOIN event_bodies AS b USING (workspace, seq)"
            " ORDER BY workspace, seq"
        )
        return [Row(*row) for row in found]


def write(path: Path, rows: Iterable[Row]) -> None:
    """The log is these rows from here on; what is read of it elsewhere in the file is made to fit."""
    with closing(sqlite3.connect(path)) as db, db:
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        for table in ("events", "event_bodies", "tiles"):
            db.execute(f"DELETE FROM {table}")
        for row in rows:
            db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row.event)
            if row.body:
                db.execute("INSERT INTO event_bodies VALUES (?, ?, ?, ?)", (row.workspace, row.seq, row.salt, row.body))


def change(path: Path, how: Callable[[list[Row]], list[Row]]) -> None:
    write(path, how(read(path)))


def numbered(rows: Iterable[Row]) -> list[Row]:
    """Without gaps."""
    return [replace(row, seq=seq) for seq, row in enumerate(rows, 1)]


def chained(rows: Iterable[Row], key: Ed25519PrivateKey | None = None) -> list[Row]:
    """Chained anew. With the key every checkpoint is signed anew as well; without it those that no longer fit are dropped."""
    found: list[Row] = []
    prev = GENESIS
    for row in rows:
        now = replace(row, seq=len(found) + 1, prev_hash=prev)
        if row.kind == "CheckpointSigned":
            body = _checkpoint(row, found, key)
            if key is None and body != row.body:
                continue
            now = replace(now, body=body)
        now = now.told()
        found.append(now)
        prev = now.hash
    return found


def _checkpoint(row: Row, before: list[Row], key: Ed25519PrivateKey | None) -> str:
    """What a checkpoint in this row's place would say; the note is the old one where its tree is."""
    old = json.loads(row.body)
    grown, size = Frontier(), min(old["size"], len(before))
    grown.extend(bytes.fromhex(each.hash) for each in before[:size])
    if key is None:
        return canonical({"note": old["note"], "size": size, "frontier": grown.to_hex()}).decode()
    head = before[size - 1].hash if size else GENESIS
    note = sign(Checkpoint(origin_of(row.workspace), size, grown.root(), head, parse(old["note"]).at), key)
    return canonical({"note": note, "size": size, "frontier": grown.to_hex()}).decode()


def first_difference(was: list[Row], now: list[Row]) -> int | None:
    """The first `seq` at which two logs are not the same."""
    for seq, (one, other) in enumerate(zip(was, now, strict=False), 1):
        if one != other:
            return seq
    return None if len(was) == len(now) else min(len(was), len(now)) + 1
