"""The journal against the world: killed processes, two processes, full and refusing disks, many appenders, other versions."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from bot.anchors import held_by
from domain.errors import Conflict, Duplicate, JournalError, NewerDatabase
from storage.database import prepare, scripts
from storage.journal import SqliteJournal, migrate, open_journal
from storage.keys import read_keys
from storage.reader import read_journal
from storage.verify import verify
from tests.contracts.journal_samples import alert, execution, message, payload, requested, run_started, step, vote

ROOT = Path(__file__).parents[2]

APPENDER = """
import asyncio, sys
from storage.journal import open_journal
from tests.contracts.journal_samples import payload, run_started, step

async def main(path):
    async with open_journal(path, "local") as journal:
        async def one(who):
            run = f"r{who}"
            await journal.append(run_started(run))
            for number in range(1, 10**6):
                first, second = await journal.append(step(number, run, size=600), payload(f"{run}-{number}"))
                sys.stdout.write(f"{first.seq} {second.seq}\\n")  # what was acknowledged
                sys.stdout.flush()
        await asyncio.gather(*(one(who) for who in range(8)))

asyncio.run(main(sys.argv[1]))
"""

NOTARY = """
import asyncio, sys
from bot.anchors import FilePlace
from bot.notary import Notary
from storage.journal import open_journal
from storage.keys import read_keys, signing_key
from tests.contracts.journal_samples import alert

async def main(path):
    signing_key(f"{path}.key")
    async with open_journal(path, "local") as journal:
        notary = Notary(journal, read_keys(f"{path}.key"), [FilePlace(f"file:{path}.anchors")], every=7)
        await notary.start()
        for number in range(1, 10**6):
            await journal.append(alert(f"f{number}"))
            print(number, flush=True)

asyncio.run(main(sys.argv[1]))
"""

OWNER = """
import asyncio, sys
from storage.journal import open_journal

async def main(path):
    async with open_journal(path, "local"):
        print("open", flush=True)
        sys.stdin.readline()

asyncio.run(main(sys.argv[1]))
"""

SMALL_DISK = """
import asyncio, resource, sys
from domain.errors import JournalError
from storage.journal import open_journal
from tests.contracts.journal_samples import payload

async def main(path):
    async with open_journal(path, "local") as journal:
        await journal.append(payload("before"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        written = 0
        try:
            while True:
                await journal.append(payload(f"k{written}", text="x" * 20_000))
                written += 1
        except JournalError as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await journal.append(payload("after"))
        print(len(await journal.since(0)) - written)

asyncio.run(main(sys.argv[1]))
"""


@contextmanager
def process(code: str, path: Path) -> Iterator[subprocess.Popen[str]]:
    """A real process that has the journal."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


# --- processes --------------------------------------------------------------------------------------------------------


async def test_killed_again_and_again_the_journal_agrees_with_its_copies(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    for after_lines in (1, 25, 90, 8, 40):
        with process(NOTARY, path) as child:
            assert child.stdout
            for _ in range(after_lines):
                assert child.stdout.readline()
            os.kill(child.pid, signal.SIGKILL)
        report = verify(path, held=[held_by(f"file:{path}.anchors")], keys=read_keys(f"{path}.key").public)
        assert report.ok, report.problem
    assert report.logs[0].covered > 100
    assert report.logs[0].checkpoints > 10


@pytest.mark.parametrize("after_lines", [1, 60, 400])
async def test_what_was_acknowledged_survives_sigkill(tmp_path: Path, after_lines: int) -> None:
    path = tmp_path / "agent.db"
    with process(APPENDER, path) as child:
        assert child.stdout
        lines = [child.stdout.readline() for _ in range(after_lines)]
        os.kill(child.pid, signal.SIGKILL)
        lines += child.stdout.readlines()
    acknowledged = {int(seq) for line in lines if line.endswith("\n") for seq in line.split()}
    assert len(acknowledged) >= 2 * after_lines
    async with open_journal(path, "local") as journal:
        assert verify(path).ok
        (last,) = await journal.append(payload("on it goes"))
        assert acknowledged <= set(range(1, last.seq))
        whole = {"StepPlanned": 0, "PayloadReceived": -1}
        for start in range(0, last.seq, 1000):
            for envelope in await journal.since(start):
                kind = type(envelope.event).__name__
                whole[kind] = whole.get(kind, 0) + 1
        assert whole["StepPlanned"] == whole["PayloadReceived"]  # each append wholly or not at all
        assert await journal.rebuild() == last.seq


async def test_a_second_process_is_told_who_has_the_database_and_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    with process(OWNER, path) as child:
        assert child.stdout
        assert child.stdout.readline() == "open\n"
        with pytest.raises(JournalError, match="another process"):
            async with open_journal(path, "local"):
                pass
        with pytest.raises(JournalError, match="another process"):
            migrate(path)
        async with read_journal(path, "local") as reader:
            assert await reader.since(0) == []
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    async with open_journal(path, "local") as journal:  # the lock went with its process
        await journal.append(payload("k1"))


async def test_a_reader_beside_the_writer_sees_what_was_appended(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with open_journal(path, "local") as journal, read_journal(path, "local") as reader:
        await journal.append(run_started())
        assert [row.spec.id for row in await reader.runs()] == ["r1"]
        assert not hasattr(reader, "append")


async def test_a_database_locked_by_another_program_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with open_journal(path, "local") as journal:
        await journal._writing.run(lambda db: db.execute("PRAGMA busy_timeout = 20"))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalError, match=r"nothing was recorded: .*locked"):
                await journal.append(payload("k1"))
            other.execute("ROLLBACK")
        await journal.append(payload("k1"))
        assert [envelope.seq for envelope in await journal.since(0)] == [1]


# --- disks ------------------------------------------------------------------------------------------------------------


async def test_a_full_disk_records_nothing_of_it_and_the_journal_goes_on_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with open_journal(path, "local") as journal:
        await journal.append(payload("before"))
        await room(journal, 0)
        failed = await asyncio.gather(
            *(journal.append(payload(f"k{n}", text="x" * 40_000), alert()) for n in range(5)), return_exceptions=True
        )
        assert {type(error) for error in failed} == {JournalError}
        assert "nothing was recorded: the disk is full" in str(failed[0])
        assert len(await journal.since(0)) == 1
        await room(journal, 10_000)
        written = await journal.append(payload("k1", text="x" * 40_000), alert())
        assert [envelope.seq for envelope in written] == [2, 3]
    assert verify(path).ok


async def room(journal: SqliteJournal, pages: int) -> None:
    """As large as the database may still grow, in pages of 4 KiB."""

    def limit(db: sqlite3.Connection) -> None:
        (now,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {now + pages}")

    await journal._writing.run(limit)


async def test_a_disk_that_refuses_to_write_is_said_to_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    with process(SMALL_DISK, path) as child:
        output, _ = child.communicate(timeout=60)
    sentence, others = output.splitlines()
    assert sentence.startswith("nothing was recorded: the disk refused to write")
    assert others == "2"  # before and after; everything between was acknowledged
    assert verify(path).ok


async def test_a_read_only_database_is_said_to_be(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        await journal._writing.run(lambda db: db.execute("PRAGMA query_only = ON"))
        with pytest.raises(JournalError, match="nothing was recorded: the database is read-only"):
            await journal.append(payload("k1"))
        with pytest.raises(JournalError, match="nothing was folded again: the database is read-only"):
            await journal.rebuild()
        await journal._writing.run(lambda db: db.execute("PRAGMA query_only = OFF"))
        await journal.append(payload("k1"))


async def test_every_commit_waits_for_the_disk(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        for setting, value in (("synchronous", 2), ("journal_mode", "wal"), ("foreign_keys", 1)):
            held = await journal._writing.run(lambda db, name=setting: db.execute(f"PRAGMA {name}").fetchone())
            assert held == (value,)


def test_a_place_without_a_write_ahead_log_is_refused() -> None:
    with (
        closing(sqlite3.connect(":memory:", isolation_level=None)) as db,
        pytest.raises(JournalError, match="local disk"),
    ):
        prepare(db, Path("agent.db"))


async def test_a_folder_that_does_not_exist_is_said_not_to(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="No such file"):
        async with open_journal(tmp_path / "nowhere" / "agent.db", "local"):
            pass


# --- versions ---------------------------------------------------------------------------------------------------------


async def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with open_journal(path, "local"):
        pass
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    latest = scripts()[-1][0]
    for attempt in (migrate, verify):
        with pytest.raises(NewerDatabase, match=rf"version 99; this one knows versions up to {latest}"):
            attempt(path)
    with pytest.raises(NewerDatabase):
        async with open_journal(path, "local"):
            pass
    with pytest.raises(NewerDatabase):
        async with read_journal(path, "local"):
            pass


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "contacts.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE aunts (name)")
    before = path.read_bytes()
    with pytest.raises(JournalError, match="another program's database"):
        migrate(path)
    assert path.read_bytes() == before


def test_a_migration_that_crashes_leaves_the_database_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    with closing(sqlite3.connect(path)) as db:  # something in the way of the last statement
        db.execute("PRAGMA application_id = 1346455345")
        db.execute("CREATE TABLE meta (x)")
    with pytest.raises(JournalError, match="meta already exists"):
        migrate(path)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT name FROM sqlite_schema").fetchall() == [("meta",)]
        assert db.execute("PRAGMA user_version").fetchone() == (0,)
        db.execute("DROP TABLE meta")
    assert migrate(path) == [name for _, name, _ in scripts()] + ["projections"]


async def test_a_database_that_an_older_version_wrote_is_not_read_before_it_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with open_journal(path, "local"):
        pass
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE meta SET value = 'older'")
    with pytest.raises(JournalError, match="db migrate"):
        async with read_journal(path, "local"):
            pass


# --- many at once -----------------------------------------------------------------------------------------------------


async def test_fifty_appenders_make_one_chain_without_a_gap(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with open_journal(path, "local") as journal:

        async def one(who: int) -> list[int]:
            await journal.append(run_started(f"r{who}"))
            written = [await journal.append(step(n, f"r{who}"), payload(f"{who}-{n}")) for n in range(10)]
            assert all(first.seq + 1 == second.seq for first, second in written)
            return [envelope.seq for append in written for envelope in append]

        taken = await asyncio.gather(*(one(who) for who in range(50)))
        assert all(seqs == sorted(seqs) for seqs in taken)
        events = await journal.since(0, limit=5000)
        assert [event.seq for event in events] == list(range(1, 50 * 21 + 1))
    assert verify(path).ok


async def test_a_refusal_among_many_reaches_its_caller_only(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        results = await asyncio.gather(
            *(journal.append(payload(f"k{n % 10}"), alert()) for n in range(40)), return_exceptions=True
        )
        taken = [result for result in results if not isinstance(result, BaseException)]
        assert len(taken) == 10
        assert {type(result) for result in results if isinstance(result, BaseException)} == {Duplicate}
        assert len(await journal.since(0)) == 20


async def test_a_draft_that_no_column_holds_harms_no_other(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        unfit = [message("m1", thread_ts=None), message("m2", priority={"not": "a number"})]
        results = await asyncio.gather(
            *(journal.append(draft) for draft in (alert(), *unfit, alert())), return_exceptions=True
        )
        assert [isinstance(result, JournalError) for result in results] == [False, True, True, False]
        assert [envelope.seq for envelope in await journal.since(0)] == [1, 2]


async def test_a_row_written_behind_the_journals_back_is_noticed_and_outlived(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    async with open_journal(path, "local") as journal:
        await journal.append(alert())
        with closing(sqlite3.connect(path)) as db, db:
            (head,) = db.execute("SELECT hash FROM events").fetchone()
            db.execute("INSERT INTO events VALUES ('local', 2, '', '', '', '', '', '', ?, 'x')", (head,))
        with pytest.raises(JournalError, match="not the next event"):
            await journal.append(alert())
        (written,) = await journal.append(alert())
        assert written.seq == 3
    assert verify(path).first_bad == 2


async def test_of_two_who_consume_one_approval_one_does(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        await journal.append(run_started(), requested(), vote())
        results = await asyncio.gather(
            *(journal.append(execution(f"x{n}", call_id=f"c{n}")) for n in range(16)), return_exceptions=True
        )
        assert [type(result) for result in results].count(Conflict) == 15


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_an_append_whose_caller_is_cancelled_is_there_wholly_or_not_at_all(tmp_path: Path, turns: int) -> None:
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        callers = [asyncio.create_task(_append(journal, n)) for n in range(20)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for caller in callers[::2]:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        await journal.append(payload("after"))
        keys = [getattr(event.event, "key", "") for event in await journal.since(0)]
        for n in range(20):
            assert keys.count(f"a{n}") == keys.count(f"b{n}") <= 1
            assert n % 2 == 0 or keys.count(f"a{n}") == 1
    assert verify(tmp_path / "agent.db").ok


async def _append(journal: SqliteJournal, n: int) -> None:
    await journal.append(payload(f"a{n}"), payload(f"b{n}"))


async def test_what_waits_when_the_journal_closes_is_recorded(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "agent.db", "local") as journal:
        waiting = [asyncio.create_task(_append(journal, n)) for n in range(5)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert verify(tmp_path / "agent.db").events == 10
