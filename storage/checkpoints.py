"""Checkpoints: what the log held at one moment, signed. A C2SP signed note, so that tools that are not ours can check it.

    personal-agent/T0123ABCD                                  whose log: the origin, and the key's name
    1500                                                      how many events it holds
    q1pXm…=                                                   the Merkle root over their hashes
    head 6f0c…                                                the last one's hash
    at 2026-03-01T12:00:00.000000Z                            when
                                                              an empty line, then
    — personal-agent/T0123ABCD 7Jm2…=                         key id ‖ Ed25519 over everything above the empty line

Format: https://c2sp.org/tlog-checkpoint and https://c2sp.org/signed-note. The root is storage.merkle's.
"""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domain.audit import CheckpointSigned
from domain.codec import decode, moment, timestamp
from domain.errors import BadInput, JournalError
from storage import tiles
from storage.chain import GENESIS
from storage.database import looking_at
from storage.keys import Keys, raw
from storage.merkle import Frontier
from storage.writing import read_head

_ORIGIN = "personal-agent/"
_ED25519 = b"\x01"
_DIGITS = re.compile(r"0|[1-9][0-9]{0,15}")
_HEAD = re.compile(r"head ([0-9a-f]{64})")
_AT = re.compile(r"at (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)")

_HASH = "SELECT hash FROM events WHERE workspace = ? AND seq = ?"
_LAST = (
    "SELECT e.seq, b.body FROM events AS e JOIN event_bodies AS b USING (workspace, seq)"
    " WHERE e.workspace = ? AND e.kind = ? ORDER BY e.at DESC, e.seq DESC LIMIT 1"
)
_NOT_OURS = "AGENT_SIGNING_KEY's (put its public key below the new one: docs/audit.md, Keys)"

Source = sqlite3.Connection | str | Path


@dataclass(frozen=True)
class Checkpoint:
    """The log of `origin` held `size` events with this Merkle root; `head` is the hash of the last (hex)."""

    origin: str
    size: int
    root: bytes
    head: str
    at: datetime

    @property
    def workspace(self) -> str:
        """Whose log it is."""
        return unquote(self.origin.removeprefix(_ORIGIN))

    @property
    def text(self) -> str:
        """The signed part."""
        root = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{root}\nhead {self.head}\nat {timestamp(self.at)}\n"


def origin_of(workspace: str) -> str:
    """What a workspace's log is called in its checkpoints; also the name of the key that signs them."""
    return _ORIGIN + quote(workspace, safe="")


def sign(checkpoint: Checkpoint, key: Ed25519PrivateKey) -> str:
    """The checkpoint as a signed note."""
    return f"{checkpoint.text}\n{signature_line(checkpoint.origin, checkpoint.text, key)}"


def parse(note: str) -> Checkpoint:
    """The checkpoint that a note holds, whoever signed it. Raises BadInput."""
    text, separator, signatures = note.rpartition("\n\n")
    lines = text.split("\n")
    if not separator or not signatures.startswith("— ") or len(lines) != 5:
        raise BadInput("this is no signed checkpoint: five lines, an empty line and a signature are expected")
    origin, size, root, head, at = lines
    if not origin.isascii() or not origin.startswith(_ORIGIN) or origin != origin_of(unquote(origin[len(_ORIGIN) :])):
        raise BadInput(f"this checkpoint's origin does not begin with {_ORIGIN}")
    head_found, at_found = _HEAD.fullmatch(head), _AT.fullmatch(at)
    if not _DIGITS.fullmatch(size) or head_found is None or at_found is None:
        raise BadInput("this checkpoint has no readable size, head or time")
    try:
        decoded, when = base64.b64decode(root, validate=True), moment(at_found[1])
    except ValueError as error:
        raise BadInput("this checkpoint has no readable root or time") from error
    checkpoint = Checkpoint(origin, int(size), decoded, head_found[1], when)
    if len(decoded) != 32 or checkpoint.text != f"{text}\n":  # one form for one checkpoint
        raise BadInput("this checkpoint has no readable root")
    return checkpoint


def verify_note(note: str, public_key: Ed25519PublicKey) -> bool:
    """Whether this key signed this note under the note's own origin."""
    text, _, signatures = note.rpartition("\n\n")
    return signed_by(f"{text}\n", signatures, text.partition("\n")[0], public_key)


def vkey(workspace: str, public_key: Ed25519PublicKey) -> str:
    """The public key as C2SP's tools take it: name, key id and key."""
    name = origin_of(workspace)
    encoded = base64.b64encode(_ED25519 + raw(public_key)).decode()
    return f"{name}+{_key_id(name, public_key).hex()}+{encoded}"


def signature_line(name: str, text: str, key: Ed25519PrivateKey) -> str:
    """One line that signs `text`."""
    signature = _key_id(name, key.public_key()) + key.sign(text.encode())
    return f"— {name} {base64.b64encode(signature).decode()}\n"


def signed_by(text: str, signatures: str, name: str, public_key: Ed25519PublicKey) -> bool:
    """Whether one of the signature lines is this key's, by that name, over `text`."""
    prefix = f"— {name} "
    for line in signatures.split("\n"):
        try:
            signature = base64.b64decode(line.removeprefix(prefix), validate=True) if line.startswith(prefix) else b""
            if signature[:4] == _key_id(name, public_key):
                public_key.verify(signature[4:], text.encode())
                return True
        except (ValueError, InvalidSignature):  # no base64, no UTF-8, not this key's
            continue
    return False


def _key_id(name: str, public_key: Ed25519PublicKey) -> bytes:
    return sha256(name.encode() + b"\n" + _ED25519 + raw(public_key)).digest()[:4]


# --- over a database --------------------------------------------------------------------------------------------------


def fresh(source: Source, workspace: str, key: Ed25519PrivateKey, at: datetime | None = None) -> str:
    """A signed checkpoint over a database as it is now; nothing is recorded, so it works beside a running service.

    Raises JournalError where the file cannot be read, NewerDatabase where a newer version wrote it.
    """
    with _database(source) as db:
        return sign(checkpoint_of(db, workspace, at or datetime.now(UTC)), key)


def checkpoint_of(db: sqlite3.Connection, workspace: str, at: datetime, size: int | None = None) -> Checkpoint:
    """The checkpoint over the first `size` events, or over all. Raises JournalError where there are not as many."""
    where = "" if size is None else " AND seq <= ?"
    row = db.execute(
        f"SELECT seq, hash FROM events WHERE workspace = ?{where} ORDER BY seq DESC LIMIT 1",  # noqa: S608
        (workspace, *([] if size is None else [size])),
    ).fetchone()
    last, head = row or (0, GENESIS)
    if size not in (None, last):
        raise JournalError(f"the workspace {workspace} has {last} events, not {size}")
    return Checkpoint(origin_of(workspace), last, tiles.frontier(db, workspace, last).root(), head, at)


def following(db: sqlite3.Connection, workspace: str, keys: Keys, at: datetime) -> CheckpointSigned | None:
    """The checkpoint that comes next; None while nothing was recorded since the last.

    It goes on from the tree that was signed last, so that events from before then can be rewritten in the database, but
    not get a signature. Raises JournalError where the last checkpoint is not signed by the keys, or not over what stands
    there: then nothing more is signed.
    """
    last, head = read_head(db, workspace)
    row = db.execute(_LAST, (workspace, CheckpointSigned.__name__)).fetchone()
    if row is None:
        grown = tiles.frontier(db, workspace, last)
    else:
        event = decode(CheckpointSigned, json.loads(row[1]))
        grown = _signed_tree(db, workspace, int(row[0]), event, keys)
        grown.extend(tiles.hashes(db, workspace, event.size + 1, last) if last > event.size else ())
        if last == event.size:
            return None
    if keys.signing is None or not last:
        return None
    checkpoint = Checkpoint(origin_of(workspace), last, grown.root(), head, at)
    return CheckpointSigned(sign(checkpoint, keys.signing), last, tuple(grown.to_hex()))


def _signed_tree(db: sqlite3.Connection, workspace: str, seq: int, event: CheckpointSigned, keys: Keys) -> Frontier:
    """The tree of the last checkpoint, where the keys signed it."""
    run = "nothing more is signed until `personal-agent audit verify` holds"
    if not any(verify_note(event.note, key) for key in keys.public):
        raise JournalError(f"the checkpoint at event {seq} was signed with another key than {_NOT_OURS}; {run}")
    try:
        checkpoint, grown = parse(event.note), Frontier.from_hex(event.size, event.frontier)
    except (BadInput, ValueError) as error:
        raise JournalError(f"the checkpoint at event {seq} cannot be read ({error}); {run}") from error
    (head,) = db.execute(_HASH, (workspace, event.size)).fetchone() or ("",)
    if (checkpoint.size, checkpoint.root, checkpoint.head) != (event.size, grown.root(), head):
        raise JournalError(f"the checkpoint at event {seq} is not over the events that stand before it; {run}")
    return grown


def proofs(source: Source, workspace: str, seqs: Iterable[int], size: int) -> dict[int, list[str]]:
    """For each event its inclusion proof (hex, from the leaf upwards) in the tree over the first `size` events.

    The event `seq` is the leaf `seq - 1`. Raises JournalError for an event that is not among them.
    """
    with _database(source) as db:
        tree = tiles.Tree(db, workspace, size)
        return {seq: [node.hex() for node in tree.path(seq)] for seq in seqs}


@contextmanager
def _database(source: Source) -> Iterator[sqlite3.Connection]:
    if isinstance(source, sqlite3.Connection):
        yield source
    else:
        with looking_at(Path(source)) as db:
            yield db
