"""Checkpoints and proofs over a real database: the tiles are a short cut and change nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.errors import JournalError
from storage import merkle, tiles
from storage.chain import GENESIS
from storage.checkpoints import checkpoint_of, fresh, parse, proofs, verify_note
from storage.journal import open_journal
from tests.contracts.journal_samples import NOON, alert

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
N = 1000


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A closed database of a thousand events."""
    path = tmp_path / "agent.db"
    async with open_journal(path, "T1") as journal:
        await journal.append(*(alert(f"f{number}") for number in range(N)))
    return path


def recorded(path: Path) -> list[bytes]:
    with closing(sqlite3.connect(path)) as db:
        return [bytes.fromhex(text) for (text,) in db.execute("SELECT hash FROM events ORDER BY seq")]


def test_a_checkpoint_of_now_is_over_every_event_and_records_nothing(path: Path) -> None:
    before = path.read_bytes()
    note = fresh(path, "T1", KEY, NOON)
    checkpoint, leaves = parse(note), recorded(path)
    assert (checkpoint.workspace, checkpoint.size, checkpoint.at) == ("T1", N, NOON)
    assert (checkpoint.root, checkpoint.head) == (merkle.root_of(leaves), leaves[-1].hex())
    assert verify_note(note, KEY.public_key())
    assert path.read_bytes() == before


async def test_a_checkpoint_can_be_taken_beside_the_service(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "T1") as journal:
        await journal.append(alert())
        assert parse(fresh(tmp_path / "agent.db", "T1", KEY)).size == 1
        await journal.append(alert())
        assert parse(fresh(tmp_path / "agent.db", "T1", KEY)).size == 2


def test_a_workspace_without_events_has_the_empty_root(path: Path) -> None:
    checkpoint = parse(fresh(path, "T2", KEY))
    assert (checkpoint.size, checkpoint.root, checkpoint.head) == (0, merkle.EMPTY, GENESIS)


@pytest.mark.parametrize("laid", [0, 300, 512, N])
@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 512, 700, N])
def test_roots_and_proofs_are_the_same_however_many_tiles_are_laid(path: Path, laid: int, size: int) -> None:
    leaves = recorded(path)
    root = merkle.root_of(leaves[:size])
    with closing(sqlite3.connect(path)) as db:
        tiles.lay(db, "T1", laid)
        assert db.execute("SELECT count(*) FROM tiles").fetchone() == (laid // 256,)
        assert checkpoint_of(db, "T1", NOON, size).root == root
        assert tiles.Tree(db, "T1", size).root() == root
        seqs = [seq for seq in (1, 2, 200, 256, 257, 500, 513, 769, N) if seq <= size]
        for seq, proof in proofs(db, "T1", seqs, size).items():
            assert proof == [node.hex() for node in merkle.path(leaves[:size], seq - 1)]
            found = [bytes.fromhex(node) for node in proof]
            assert merkle.verify_inclusion(leaves[seq - 1], seq - 1, size, found, root)


def test_tiles_are_laid_once_and_go_on_where_they_ended(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        for size in (10, 256, 256, 600, N):
            tiles.lay(db, "T1", size)
        kept = [root for (root,) in db.execute("SELECT root FROM tiles ORDER BY tile")]
    leaves = recorded(path)
    assert kept == [merkle.root_of(leaves[start : start + 256]) for start in (0, 256, 512)]


def test_a_proof_of_an_event_that_is_not_there_is_refused(path: Path) -> None:
    for seq in (0, N + 1, 501):
        with pytest.raises(JournalError, match="not among the first"):
            proofs(path, "T1", [seq], N if seq != 501 else 500)
    with pytest.raises(JournalError, match="are missing"):
        proofs(path, "T1", [1], N + 1)
    with closing(sqlite3.connect(path)) as db, pytest.raises(JournalError, match="has 1000 events, not 1001"):
        checkpoint_of(db, "T1", NOON, N + 1)
    with pytest.raises(JournalError, match="no database"):
        fresh(path.with_name("other.db"), "T1", KEY)
