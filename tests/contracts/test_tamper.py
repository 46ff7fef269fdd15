"""Eight attacks by somebody who has the database, one of them with the key, alone and together: each is found, with its row.

The ninth, with the key and after the last copy, is not, and that is tested too.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings, strategies as st

from bot.__main__ import main
from bot.anchors import FilePlace, held_by
from bot.notary import Notary
from domain.audit import AnchorWritten, CheckpointSigned
from domain.canonical import canonical
from domain.decisions import Actor
from domain.events import Draft, SurfaceShown
from storage.checkpoints import origin_of, parse, sign
from storage.copies import Copy, Held
from storage.journal import open_journal
from storage.keys import Keys, private_pem, public_pem, read_keys
from storage.tombstones import erase
from storage.verify import Report, verify
from tests.contracts.forger import Row, chained, change, first_difference, numbered, read, write
from tests.contracts.journal_samples import NOON, Clock

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
KEYS = Keys(KEY, (KEY.public_key(),))
EVERY = 8


@dataclass(frozen=True)
class Site:
    """A stopped service's files. `covered` is the last event that a copy is over, `backup` an older database."""

    folder: Path
    rows: tuple[Row, ...]
    covered: int
    backed_up: int

    @property
    def database(self) -> Path:
        return self.folder / "agent.db"

    @property
    def anchors(self) -> str:
        return f"file:{self.folder}/anchors.jsonl"

    def check(self, *, anchors: bool = True, keys: bool = True) -> Report:
        held = [held_by(self.anchors)] if anchors else []
        return verify(self.database, held=held, keys=KEYS.public if keys else ())

    def put_back(self) -> None:
        """The older database in the place of the newer one."""
        shutil.copy(self.folder / "backup.db", self.database)


def said(number: int) -> Draft:
    """Something of the kind that can be erased."""
    return Draft(SurfaceShown("home", "U1", "", {"text": f"what happened, {number}"}))


async def record(folder: Path, count: int, begin: int = 0) -> None:
    """A service that takes so many payloads and stops; an odd few are left after its last copy."""
    async with open_journal(folder / "agent.db", "T1", clock=Clock()) as journal:
        notary = Notary(journal, KEYS, [FilePlace(f"file:{folder}/anchors.jsonl")], every=EVERY)
        with journal.subscribe() as events:
            await notary.start()
            for number in range(begin, begin + count):
                await journal.append(said(number))
            async for envelope in events:
                if isinstance(envelope.event, AnchorWritten) and envelope.event.size > count - EVERY:
                    break
            await notary.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    asyncio.run(record(folder, 30))
    shutil.copy(folder / "agent.db", folder / "backup.db")
    backed_up = len(read(folder / "backup.db"))
    asyncio.run(record(folder, 20, begin=30))
    asyncio.run(tail(folder))
    (folder / "agent.db.key").write_text(private_pem(KEY))
    rows = tuple(read(folder / "agent.db"))
    covered = max(copy.checkpoint.size for copy in held_by(f"file:{folder}/anchors.jsonl").copies)
    assert len(rows) - covered >= 3
    return Site(folder, rows, covered, backed_up)


async def tail(folder: Path) -> None:
    """What a killed process leaves after its last checkpoint."""
    async with open_journal(folder / "agent.db", "T1", clock=Clock()) as journal:
        await journal.append(*map(said, range(900, 904)))


@pytest.fixture
def mine(site: Site, tmp_path: Path) -> Site:
    """A copy that a test may ruin."""
    shutil.copytree(site.folder, tmp_path / "site")
    return Site(tmp_path / "site", site.rows, site.covered, site.backed_up)


def altered(rows: list[Row], seq: int) -> list[Row]:
    """One event says something else, and its own hash fits."""
    return [*rows[: seq - 1], rows[seq - 1].told(actor="person:U9"), *rows[seq:]]


# --- untouched --------------------------------------------------------------------------------------------------------


def test_an_untouched_log_holds_and_it_is_said_what_nobody_vouches_for(mine: Site) -> None:
    report = mine.check()
    (log,) = report.logs
    assert (report.ok, report.problem, report.events) == (True, "", len(mine.rows))
    assert (log.covered, dict(log.anchored).keys()) == (mine.covered, {mine.anchors})
    assert log.checkpoints == sum(row.kind == "CheckpointSigned" for row in mine.rows)
    assert log.checkpoint is not None
    assert log.checkpoint.size == mine.covered


# --- the eight --------------------------------------------------------------------------------------------------------

PLACES = [1, 2, 9, 20, 33]


@pytest.mark.parametrize("seq", PLACES)
@pytest.mark.parametrize("anchors", [True, False])
def test_1_an_edited_row(mine: Site, seq: int, anchors: bool) -> None:
    with closing(sqlite3.connect(mine.database)) as db, db:
        db.execute("DROP TRIGGER event_bodies_never_change")
        db.execute("UPDATE event_bodies SET body = body || ' ' WHERE seq = ?", (seq,))
    report = mine.check(anchors=anchors)
    assert (report.first_bad, report.problem) == (seq, f"the body of event {seq} was changed")


@pytest.mark.parametrize("seq", PLACES)
def test_1_an_edited_row_whose_own_hashes_fit(mine: Site, seq: int) -> None:
    change(mine.database, lambda rows: altered(rows, seq))
    assert mine.check(anchors=False).first_bad == seq + 1  # where the chain breaks
    report = mine.check()
    assert (report.first_bad, report.problem.startswith(f"event {seq} is not what it was")) == (seq, True)


@pytest.mark.parametrize("seq", PLACES)
@pytest.mark.parametrize("anchors", [True, False])
def test_2_a_deleted_row(mine: Site, seq: int, anchors: bool) -> None:
    change(mine.database, lambda rows: [row for row in rows if row.seq != seq])
    report = mine.check(anchors=anchors)
    assert (report.first_bad, report.problem) == (seq, f"event {seq} is missing")


@pytest.mark.parametrize("seq", PLACES)
@pytest.mark.parametrize("anchors", [True, False])
def test_3_an_inserted_row(mine: Site, seq: int, anchors: bool) -> None:
    change(mine.database, lambda rows: numbered([*rows[: seq - 1], rows[40], *rows[seq - 1 :]]))
    report = mine.check(anchors=anchors)
    assert (report.first_bad, "does not follow" in report.problem) == (seq, True)


@pytest.mark.parametrize("seq", PLACES)
@pytest.mark.parametrize("anchors", [True, False])
def test_4_reordered_rows(mine: Site, seq: int, anchors: bool) -> None:
    change(mine.database, lambda rows: numbered([*rows[: seq - 1], rows[seq], rows[seq - 1], *rows[seq + 1 :]]))
    report = mine.check(anchors=anchors)
    assert (report.first_bad, "does not follow" in report.problem) == (seq, True)


@pytest.mark.parametrize("left", [0, 1, 7, 25])
def test_5_a_tail_that_was_cut_off_with_its_checkpoints(mine: Site, left: int) -> None:
    change(mine.database, lambda rows: rows[:left])
    report = mine.check()
    assert report.first_bad == left + 1
    assert f"event {left + 1} is missing: {mine.anchors} holds a checkpoint over" in report.problem
    assert mine.check(anchors=False).ok  # which is why it has to be said that there were none


def test_6_an_older_backup_put_back(mine: Site) -> None:
    mine.put_back()
    report = mine.check()
    assert (report.first_bad, report.ok) == (mine.backed_up + 1, False)
    assert mine.check(anchors=False).ok


async def test_6_an_older_backup_put_back_from_which_the_service_went_on(mine: Site) -> None:
    mine.put_back()
    await record(mine.folder, 60, begin=100)
    report = mine.check()
    assert (report.first_bad, report.ok) == (mine.backed_up + 1, False)
    assert mine.check(anchors=False).ok


@pytest.mark.parametrize("seq", PLACES)
def test_7_a_history_chained_anew_without_the_key(mine: Site, seq: int) -> None:
    change(mine.database, lambda rows: chained(altered(rows, seq)))
    report = mine.check()
    assert (report.first_bad, report.problem.startswith(f"event {seq} is not what it was")) == (seq, True)
    assert mine.check(anchors=False).ok


@pytest.mark.parametrize("seq", PLACES)
def test_7_a_history_chained_anew_with_its_old_checkpoints_left_in(mine: Site, seq: int) -> None:
    def keeping(rows: list[Row]) -> list[Row]:
        rows = altered(rows, seq)
        for place in range(len(rows)):
            prev = rows[place - 1].hash if place else "0" * 64
            rows[place] = rows[place].told(prev_hash=prev)
        return rows

    change(mine.database, keeping)
    without = mine.check(anchors=False)
    assert (without.ok, "not what was signed" in without.problem) == (False, True)
    assert without.first_bad is not None
    assert without.first_bad <= seq
    assert mine.check().first_bad == seq


@pytest.mark.parametrize("seq", PLACES)
def test_8_a_history_chained_and_signed_anew_with_the_stolen_key(mine: Site, seq: int) -> None:
    change(mine.database, lambda rows: chained(altered(rows, seq), KEY))
    report = mine.check()
    assert (report.first_bad, report.problem.startswith(f"event {seq} is not what it was")) == (seq, True)
    assert mine.check(anchors=False).ok


def test_9_what_is_newer_than_the_last_copy_can_be_rewritten_with_the_key_and_nothing_shows_it(mine: Site) -> None:
    change(mine.database, lambda rows: chained(altered(rows, mine.covered + 1), KEY))
    report = mine.check()
    assert (report.ok, report.logs[0].covered) == (True, mine.covered)  # and up to there is all that is said


# --- the rest of what can be done with a file -------------------------------------------------------------------------


def test_checkpoints_of_another_key_are_none(mine: Site) -> None:
    thief = Ed25519PrivateKey.from_private_bytes(b"t" * 32)
    change(mine.database, lambda rows: chained(rows, thief))
    report = mine.check(anchors=False)
    assert "is not signed by the key" in report.problem
    assert mine.check(anchors=False, keys=False).ok  # without keys nobody looks


def test_a_copy_that_somebody_else_signed_is_not_believed(mine: Site) -> None:
    thief = Ed25519PrivateKey.from_private_bytes(b"t" * 32)
    copy = held_by(mine.anchors).copies[2]
    note = sign(copy.checkpoint, thief)  # over what is true: it is the signature that is looked at
    held = [Held(mine.anchors, (Copy(mine.anchors, note, copy.checkpoint),))]
    report = verify(mine.database, held=held, keys=KEYS.public)
    assert (report.first_bad, report.ok) == (None, False)
    assert f"over {copy.checkpoint.size} events that is not signed by the key" in report.problem
    assert verify(mine.database, held=held).ok  # without keys the place alone vouches


def test_a_checkpoint_of_another_log_is_none_of_this_one(mine: Site) -> None:
    def moved(rows: list[Row]) -> list[Row]:
        (at, *_) = [place for place, row in enumerate(rows) if row.kind == "CheckpointSigned"]
        body = json.loads(rows[at].body)
        note = sign(replace(parse(body["note"]), origin=origin_of("T2")), KEY)
        kept = [row for place, row in enumerate(rows) if row.kind != "CheckpointSigned" or place == at]
        kept[at] = kept[at].told(body=canonical(body | {"note": note}).decode())
        for place in range(at, len(kept)):
            kept[place] = replace(kept[place], seq=place + 1).told(prev_hash=kept[place - 1].hash)
        return kept

    change(mine.database, moved)
    assert "is a checkpoint of another log, personal-agent/T2" in mine.check(anchors=False).problem


@pytest.mark.parametrize("seq", [0, -5])
def test_a_row_before_the_first_is_no_event(mine: Site, seq: int) -> None:
    change(mine.database, lambda rows: [replace(rows[3], seq=seq), *rows])
    for anchors in (True, False):
        report = mine.check(anchors=anchors)
        assert (report.first_bad, report.ok) == (1, False)


def test_tiles_that_are_not_the_tree_s_are_found_and_folded_again(
    mine: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def grow() -> None:
        async with open_journal(mine.database, "T1", clock=Clock()) as journal:
            await journal.append(*map(said, range(300)))
            await journal.sign(KEYS)

    asyncio.run(grow())
    with closing(sqlite3.connect(mine.database)) as db, db:
        assert db.execute("UPDATE tiles SET root = zeroblob(32) WHERE tile = 0").rowcount == 1
    report = mine.check()
    assert (report.first_bad, "db rebuild" in report.problem) == (None, True)
    monkeypatch.setenv("AGENT_DATABASE", str(mine.database))
    assert main(["db", "rebuild"]) == 0
    assert capsys.readouterr().out.startswith("applied projections")
    assert mine.check().ok


def test_copies_that_are_gone_are_missed(site: Site, mine: Site) -> None:
    held = held_by(mine.anchors)
    written = max(json.loads(row.body)["size"] for row in mine.rows if row.kind == "AnchorWritten")
    for left in (tuple(copy for copy in held.copies if copy.checkpoint.size < written), ()):
        report = verify(mine.database, held=[replace(held, place=site.anchors, copies=left)], keys=KEYS.public)
        assert (report.first_bad, report.ok) == (None, False)
        assert f"was written to {site.anchors}, and is not there any more" in report.problem


def test_a_workspace_that_is_gone_altogether_is_missed(mine: Site) -> None:
    write(mine.database, [])
    report = mine.check()
    assert (report.first_bad, report.workspace) == (1, "T1")


def test_two_sizes_or_a_frontier_that_is_not_the_root_s_make_no_checkpoint(mine: Site) -> None:
    (place, *_) = [row.seq - 1 for row in mine.rows if row.kind == "CheckpointSigned"]

    def lying(what: str, instead: str) -> Callable[[list[Row]], list[Row]]:
        def how(rows: list[Row]) -> list[Row]:
            body = rows[place].body
            assert what in body
            rows[place] = rows[place].told(body=body.replace(what, instead))
            for later in range(place + 1, len(rows)):
                rows[later] = rows[later].told(prev_hash=rows[later - 1].hash)
            return rows

        return how

    for what, instead in (
        ('"size":8', '"size":4'),
        ("personal-agent/T1", "personal-agent/T2"),
        ('"note":"', '"note":"x'),
    ):
        write(mine.database, mine.rows)
        change(mine.database, lying(what, instead))
        assert mine.check(anchors=False).first_bad == place + 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET actor = x'ff' WHERE seq = 5",
        "UPDATE events SET at = 12 WHERE seq = 5",
        "UPDATE events SET actor = CAST(x'ff' AS TEXT) WHERE seq = 5",
        "UPDATE event_bodies SET body = CAST(x'ff' AS TEXT) WHERE seq = 5",
        "UPDATE event_bodies SET body = 5, salt = 5 WHERE seq = 5",
        "UPDATE events SET body_hash = NULL WHERE seq = 5",
    ],
)
def test_values_that_no_event_has_are_the_first_bad_row_and_no_traceback(mine: Site, statement: str) -> None:
    write(mine.database, mine.rows)  # without the guards
    with closing(sqlite3.connect(mine.database)) as db, db:
        for table, columns in (("events", 10), ("event_bodies", 4)):
            names = [name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")]
            assert len(names) == columns
            db.execute(f"CREATE TABLE loose_{table} ({', '.join(names)})")
            db.execute(f"INSERT INTO loose_{table} SELECT * FROM {table}")
            db.execute(f"DROP TABLE {table}")
            db.execute(f"ALTER TABLE loose_{table} RENAME TO {table}")
        db.execute(statement)
    assert mine.check().first_bad == 5


# --- erased bodies ----------------------------------------------------------------------------------------------------

OPERATOR = Actor("person", "root@ops-1")


def test_an_erased_body_is_not_damage(mine: Site) -> None:
    erase(mine.database, "T1", [3, 4], "request 12", OPERATOR, NOON)
    report = mine.check()
    assert (report.ok, report.logs[0].erased) == (True, 2)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM event_bodies WHERE seq = 5", "the body of event 5 is missing"),
        ("UPDATE event_bodies SET salt = '', body = '{}' WHERE seq = 5", "event 5 is gone, and no tombstone says why"),
        ("UPDATE event_bodies SET salt = '', body = '{}' WHERE seq = 3", "what remains of event 3 is not what its tombstone"),
        ("DELETE FROM event_bodies WHERE seq = 3", "the body of event 3 is missing"),
    ],
)  # fmt: skip
def test_a_body_that_is_gone_without_its_tombstone_is_damage(mine: Site, statement: str, problem: str) -> None:
    erase(mine.database, "T1", [3], "request 12", OPERATOR, NOON)
    with closing(sqlite3.connect(mine.database)) as db, db:
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        db.execute(statement)
    assert problem in mine.check().problem


def test_a_body_that_was_erased_and_is_back_is_said_to_be(mine: Site) -> None:
    erase(mine.database, "T1", [3], "request 12", OPERATOR, NOON)
    change(mine.database, lambda rows: [*rows[:2], mine.rows[2], *rows[3:]])
    report = mine.check()
    assert (report.first_bad, "was erased by event" in report.problem) == (3, True)


def test_a_tombstone_written_by_somebody_with_the_file_alone_is_found(mine: Site) -> None:
    """Chained by them, which hides it from the chain; the copies do not know it if it stands where they look."""

    def forged(rows: list[Row]) -> list[Row]:
        tombstone = rows[9].told(kind="BodyErased", body='{"reason":"","remains":{},"seq":5}')
        rows[4] = Row(*rows[4].event, salt="", body="{}")  # type: ignore[arg-type]
        rows[9] = tombstone
        return [*rows[:9], *chained([*rows[:4], mine.rows[4], *rows[5:9], tombstone, *rows[10:]])[9:]]

    change(mine.database, forged)
    assert mine.check().first_bad == 10


# --- combinations -----------------------------------------------------------------------------------------------------

Attack = Callable[[list[Row], int, int], list[Row]]
ATTACKS: dict[str, Attack] = {
    "edit": lambda rows, at, _: [*rows[:at], Row(*rows[at].event, rows[at].salt, rows[at].body + " "), *rows[at + 1 :]],  # type: ignore[arg-type]
    "edit and hash": lambda rows, at, _: altered(rows, at + 1),
    "delete": lambda rows, at, _: rows[:at] + rows[at + 1 :],
    "delete and number": lambda rows, at, _: numbered(rows[:at] + rows[at + 1 :]),
    "insert": lambda rows, at, other: numbered([*rows[:at], rows[other], *rows[at:]]),
    "reorder": lambda rows, at, other: numbered(
        [rows[{at: other, other: at}.get(place, place)] for place in range(len(rows))]
    ),
    "truncate": lambda rows, at, _: rows[: at + 1],
}
CLEAN_UP: dict[str, Callable[[list[Row]], list[Row]]] = {
    "nothing": list,
    "chain anew": chained,
    "chain and sign anew": lambda rows: chained(rows, KEY),
}


@pytest.fixture(scope="module")
def playground(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("playground") / "site"
    shutil.copytree(site.folder, folder)
    return Site(folder, site.rows, site.covered, site.backed_up)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_combined_the_first_row_that_is_not_what_it_was_is_named(
    playground: Site, data: st.DataObject
) -> None:
    rows = list(playground.rows)
    if data.draw(st.booleans(), "an older backup"):
        rows = read(playground.folder / "backup.db")
    for name in data.draw(st.lists(st.sampled_from(sorted(ATTACKS)), max_size=3), "attacks"):
        places = st.integers(0, len(rows) - 1)
        rows = ATTACKS[name](rows, data.draw(places, "at"), data.draw(places, "other"))
        if not rows:
            break
    clean_up = data.draw(st.sampled_from(sorted(CLEAN_UP)), "and then")
    if clean_up != "nothing":
        rows = CLEAN_UP[clean_up](rows)
    write(playground.database, rows)
    truth = first_difference(list(playground.rows), sorted(rows, key=lambda row: row.seq))
    report = playground.check()
    if truth is not None and truth <= playground.covered:
        assert (report.ok, report.first_bad) == (False, truth), report.problem
    elif truth is None:
        assert report.ok, report.problem
    elif clean_up != "nothing":
        assert report.ok or report.first_bad is None or report.first_bad >= truth, report.problem
    else:
        assert report.ok or (report.first_bad or truth) >= truth, report.problem


# --- as a person sees it ----------------------------------------------------------------------------------------------


@pytest.fixture
def shell(mine: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(mine.folder)
    monkeypatch.setenv("AGENT_DATABASE", "agent.db")
    monkeypatch.setenv("AGENT_ANCHORS", f"{mine.anchors}, slack:#audit")
    return mine


def test_verify_says_what_holds_up_to_where_and_what_it_did_not_see(
    shell: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "verify"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{len(shell.rows)} events verified, head {shell.rows[-1].hash}"
    assert f"{shell.anchors} agrees up to event {shell.covered} of 2026-03-01 12:00:00 UTC" in said[3]
    assert "events stand after the last copy" in said[4]
    assert said[5].startswith("! slack:#audit is not read from here: save its messages to a file")


def test_verify_exits_1_and_begins_with_the_row(shell: Site, capsys: pytest.CaptureFixture[str]) -> None:
    change(shell.database, lambda rows: chained(altered(rows, 20), KEY))
    assert main(["audit", "verify"]) == 1
    assert capsys.readouterr().out.startswith("BROKEN at event 20 of workspace T1: event 20 is not what it was: file:")


def test_verify_without_copies_or_key_says_plainly_what_cannot_be_seen(
    shell: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENT_ANCHORS", "")
    (shell.folder / "agent.db.key").unlink()
    assert main(["audit", "verify"]) == 0
    said = capsys.readouterr().out
    assert "a tail that was cut off, an older backup put back or a history" in said
    assert "signatures were not checked: there is no key at agent.db.key" in said


def test_an_auditor_verifies_with_a_copy_of_the_file_the_notes_and_the_public_key(
    mine: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "public.pem").write_text(public_pem(KEY.public_key()))
    (tmp_path / "slack.txt").write_text("\n".join(copy.note for copy in held_by(mine.anchors).copies))
    arguments = ["--database", str(mine.database), "--key", "public.pem", "--anchor", "slack.txt"]
    assert main(["audit", "verify", *arguments]) == 0
    assert f"file:slack.txt agrees up to event {mine.covered}" in capsys.readouterr().out
    change(mine.database, lambda rows: chained(altered(rows, 20), KEY))
    assert main(["audit", "verify", *arguments]) == 1
    assert "are not what was recorded: file:slack.txt holds another checkpoint" in capsys.readouterr().out
    assert main(["audit", "verify", *arguments[:-1], "nowhere.txt"]) == 2
    assert main(["audit", "verify", *arguments[:2], "--key", "nowhere.pem"]) == 2


def test_a_place_that_cannot_be_read_is_no_success(
    shell: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENT_ANCHORS", f"git:{shell.folder}/not-mounted#audit")
    assert main(["audit", "verify"]) == 1
    assert "was not checked: git" in capsys.readouterr().out


def test_the_key_is_printed_for_an_auditor_and_can_be_changed(shell: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "key"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("personal-agent/T1+")
    assert shown.endswith(public_pem(KEY.public_key()))
    assert main(["audit", "key", "--rotate"]) == 0
    assert capsys.readouterr().out.count("BEGIN PUBLIC KEY") == 2
    assert len(read_keys("agent.db.key").public) == 2
    assert main(["audit", "verify"]) == 0


def test_words_are_found_and_erased_from_the_command_line(shell: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "find", "what happened, 7"]) == 0
    (line, count) = capsys.readouterr().out.splitlines()
    seq = int(line.split()[0])
    assert (line.split()[-1], count) == ("SurfaceShown", "1 event")
    assert main(["audit", "erase", str(seq), "--reason", " "]) == 2
    assert main(["audit", "erase", str(seq), "--reason", "request 12"]) == 0
    tombstone = len(shell.rows) + 1
    assert f"event {seq} is erased; its tombstone is event {tombstone}\n" in capsys.readouterr().out
    assert main(["audit", "find", "what happened, 7"]) == 1
    assert main(["audit", "verify"]) == 0
    assert f"{tombstone} events, 1 of them erased under a tombstone" in capsys.readouterr().out
    checkpoint = next(row.seq for row in shell.rows if row.kind == CheckpointSigned.__name__)
    assert main(["audit", "erase", str(checkpoint), "--reason", "request 12"]) == 1
    assert "a CheckpointSigned is not erased" in capsys.readouterr().err
