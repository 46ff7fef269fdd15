"""The log refuses to be rewritten, and where somebody rewrites it all the same, verify names the first event that is wrong."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from domain.canonical import canonical
from domain.errors import JournalError
from storage.chain import GENESIS, hash_of_event
from storage.journal import open_journal
from storage.verify import Log, Report, verify
from tests.contracts.journal_samples import alert, opened, payload, run_started

N = 12


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A closed database of twelve events."""
    path = tmp_path / "agent.db"
    async with open_journal(path, "local") as journal:
        await journal.append(opened("i1", "f1"), run_started())
        for number in range(3, N + 1):
            await journal.append(payload(f"k{number}", text="what happened"))
    return path


def tamper(path: Path, *statements: str) -> None:
    """What somebody with the file can do: drop the guards first."""
    with closing(sqlite3.connect(path)) as db, db:
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            db.execute(statement)


# --- refused ----------------------------------------------------------------------------------------------------------

EVENT = "(workspace, seq, incident_id, run_id, at, actor, kind, body_hash, prev_hash, hash)"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET actor = 'person:U1' WHERE seq = 3",
        "UPDATE OR REPLACE events SET seq = 4 WHERE seq = 3",
        "DELETE FROM events WHERE seq = 12",
        "DELETE FROM events",
        f"INSERT INTO events {EVENT} SELECT workspace, seq, '', '', at, actor, kind, body_hash, prev_hash, hash FROM events",
        f"REPLACE INTO events {EVENT} SELECT workspace, seq, '', '', at, 'x', kind, body_hash, prev_hash, hash FROM events",
        f"INSERT OR IGNORE INTO events {EVENT} SELECT 'local', 14, '', '', at, '', '', '', hash, '' FROM events WHERE seq = 12",
        f"INSERT OR REPLACE INTO events {EVENT} SELECT 'local', 13, '', '', at, actor, kind, '', prev_hash, '' FROM events",
        f"INSERT INTO events {EVENT} VALUES ('new', 1, '', '', '', '', '', '', 'not the genesis', '')",
        "UPDATE event_bodies SET body = '{}' WHERE seq = 3",
        "DELETE FROM event_bodies WHERE seq = 3",
        "INSERT OR REPLACE INTO event_bodies SELECT workspace, seq, salt, '{}' FROM event_bodies WHERE seq = 3",
        "REPLACE INTO event_bodies (rowid, workspace, seq, salt, body) VALUES (3, 'local', 3, '', '{}')",
        "REPLACE INTO event_bodies (rowid, workspace, seq, salt, body) VALUES (3, 'local', 13, '', '{}')",
        "INSERT INTO event_bodies VALUES ('local', 3, '', '') ON CONFLICT DO UPDATE SET body = excluded.body",
    ],
)
def test_the_database_itself_refuses_to_rewrite_the_log(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(statement)
        db.rollback()
    assert verify(path).ok


def test_the_next_event_of_the_chain_is_what_the_database_takes(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        (head,) = db.execute("SELECT hash FROM events WHERE seq = 12").fetchone()
        db.execute(f"INSERT INTO events {EVENT} VALUES ('local', 13, '', '', '', '', '', '', ?, '')", (head,))
        db.execute(f"INSERT INTO events {EVENT} VALUES ('other', 1, '', '', '', '', '', '', ?, '')", (GENESIS,))
        db.rollback()


# --- found ------------------------------------------------------------------------------------------------------------


def test_an_untouched_chain_verifies(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        (head,) = db.execute("SELECT hash FROM events WHERE seq = 12").fetchone()
    log = Log("local", N, head)
    assert verify(path) == verify(path, "local") == Report(True, N, head_hash=head, workspace="local", logs=(log,))


SWAP = [f"UPDATE events SET seq = {new} WHERE seq = {old}" for old, new in ((5, -5), (6, 5), (-5, 6))]


@pytest.mark.parametrize(
    ("first_bad", "problem", "statements"),
    [
        (5, "body of event 5 was changed", ["UPDATE event_bodies SET body = replace(body, 'what', 'WHAT') WHERE seq = 5"]),
        (5, "body of event 5 was changed", ["UPDATE event_bodies SET salt = '00' WHERE seq = 5"]),
        (5, "body of event 5 was changed", ["UPDATE event_bodies SET body = body || char(0) || 'x' WHERE seq = 5"]),
        (5, "body of event 5 is missing", ["DELETE FROM event_bodies WHERE seq = 5"]),
        (5, "event 5 is missing", ["DELETE FROM event_bodies WHERE seq = 5", "DELETE FROM events WHERE seq = 5"]),
        (1, "event 1 is missing", ["DELETE FROM events WHERE seq = 1"]),
        (12, "event 12 is missing", ["DELETE FROM events WHERE seq = 12"]),
        (5, "field of event 5", ["UPDATE events SET actor = 'person:U9' WHERE seq = 5"]),
        (5, "field of event 5", ["UPDATE events SET at = '2020-01-01T00:00:00.000000Z' WHERE seq = 5"]),
        (5, "field of event 5", ["UPDATE events SET kind = 'AgentPaused' WHERE seq = 5"]),
        (5, "field of event 5", ["UPDATE events SET run_id = 'r2' WHERE seq = 5"]),
        (5, "field of event 5", ["UPDATE events SET incident_id = 'i2' WHERE seq = 5"]),
        (5, "field of event 5", ["UPDATE events SET hash = 'abc' WHERE seq = 5"]),
        (5, "body of event 5", ["UPDATE events SET body_hash = 'abc' WHERE seq = 5"]),
        (5, "does not follow", ["UPDATE events SET prev_hash = 'abc' WHERE seq = 5"]),
        (1, "does not follow", [f"UPDATE events SET prev_hash = '{'1' * 64}' WHERE seq = 1"]),
        (5, "does not follow", SWAP),
        (13, "does not follow", [f"INSERT INTO events {EVENT} VALUES ('local', 13, '', '', '', '', '', '', 'x', '')"]),
        (13, "missing, but has a body", ["INSERT INTO event_bodies VALUES ('local', 13, '', '{}')"]),
    ],
)  # fmt: skip
def test_verify_names_the_first_event_that_is_wrong(
    path: Path, first_bad: int, problem: str, statements: list[str]
) -> None:
    tamper(path, *statements)
    report = verify(path)
    assert (report.ok, report.first_bad) == (False, first_bad)
    assert problem in report.problem


def test_a_body_rewritten_with_its_hashes_is_found_at_the_next_event(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        row = db.execute(
            "SELECT workspace, seq, incident_id, run_id, at, actor, kind, body_hash, prev_hash FROM events WHERE seq = 5"
        ).fetchone()
    body_hash = hashlib.sha256(b"00{}").hexdigest()
    rehashed = hash_of_event(*row[:7], body_hash, row[8])
    tamper(
        path,
        "UPDATE event_bodies SET salt = '00', body = '{}' WHERE seq = 5",
        f"UPDATE events SET body_hash = '{body_hash}', hash = '{rehashed}' WHERE seq = 5",
    )
    report = verify(path)
    assert (report.first_bad, report.events) == (6, 5)
    assert "does not follow" in report.problem


async def test_every_workspaces_chain_is_checked_and_they_do_not_touch(path: Path) -> None:
    async with open_journal(path, "T2") as journal:
        await journal.append(payload("k1"), payload("k2"))
    report = verify(path)
    assert (report.ok, report.events, report.workspace) == (True, N + 2, "local")
    tamper(path, "UPDATE events SET workspace = 'T3' WHERE workspace = 'local' AND seq = 1")
    assert (verify(path).workspace, verify(path).first_bad) == ("T3", 1)
    assert verify(path, "T2").ok
    assert verify(path, "local").first_bad == 1


async def test_verify_works_beside_a_writer_and_tells_how_far_it_is(tmp_path: Path) -> None:
    seen: list[int] = []
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        for _ in range(5):
            await journal.append(*(alert() for _ in range(4000)))
        report = verify(tmp_path / "agent.db", progress=seen.append)
        await journal.append(alert())
    assert (report.ok, report.events, seen) == (True, 20_000, [16_384, 20_000])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "no database"), (b"a letter to my aunt, which is not a database", "not a database")],
)
def test_a_file_that_is_no_journal_is_said_to_be_none(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    path = tmp_path / "agent.db"
    if content is not None:
        path.write_bytes(content * 100)
    with pytest.raises(JournalError, match=sentence):
        verify(path)


# --- the bytes --------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT, st.integers(1, 2**53 - 1), TEXT, TEXT, TEXT, TEXT)
def test_an_events_hash_covers_the_rfc_8785_form_of_its_fields(
    workspace: str, seq: int, incident_id: str, run_id: str, actor: str, kind: str
) -> None:
    at, body_hash, prev_hash = "2026-03-01T12:00:00.000000Z", "b" * 64, "p" * 64
    fields = {
        "workspace": workspace,
        "seq": seq,
        "incident_id": incident_id,
        "run_id": run_id,
        "at": at,
        "actor": actor,
        "kind": kind,
        "body_hash": body_hash,
        "prev_hash": prev_hash,
    }
    expected = hashlib.sha256(canonical(fields)).hexdigest()
    assert hash_of_event(workspace, seq, incident_id, run_id, at, actor, kind, body_hash, prev_hash) == expected


def test_a_stranger_can_check_the_chain_from_the_description_alone(path: Path) -> None:
    """product.md's words, with nothing of ours: SHA-256 over salt and body; SHA-256 over the other fields."""
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        prev = "0" * 64
        for row in db.execute("SELECT * FROM events JOIN event_bodies USING (workspace, seq) ORDER BY seq").fetchall():
            event = dict(row)
            body, salt, chained = event.pop("body"), event.pop("salt"), event.pop("hash")
            assert event["body_hash"] == hashlib.sha256(f"{salt}{body}".encode()).hexdigest()
            form = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            assert chained == hashlib.sha256(form.encode()).hexdigest()
            assert event["prev_hash"] == prev
            assert len(salt) == 32
            prev = chained
