"""The SQLite file: connections, the one process that owns it, migrations, and errors in plain sentences."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Protocol, Self, TypeVar

import aiosqlite

from domain.canonical import sha256
from domain.errors import JournalError, NewerDatabase
from storage import migrations

T = TypeVar("T")

BUSY_S = 5.0
"""How long a statement waits for another process's lock before it gives up."""

_OLDEST_SQLITE = (3, 37)  # STRICT tables
_APPLICATION_ID = 0x50414731  # "PAG1", in the file's header: tells our database from another program's
_REASONS = {
    "SQLITE_FULL": "the disk is full",
    "SQLITE_READONLY": "the database is read-only",
    "SQLITE_BUSY": "another process holds the database locked",
    "SQLITE_LOCKED": "another process holds the database locked",
    "SQLITE_IOERR": "the disk refused to write or read",
    "SQLITE_CORRUPT": "the database file is damaged",
    "SQLITE_NOTADB": "the file is not a database",
    "SQLITE_CANTOPEN": "the file cannot be opened",
}


class Works(Protocol):
    """Something that runs functions on a database, one after the other."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work`'s result; it has the connection to itself meanwhile."""
        ...


class Connection(aiosqlite.Connection):
    """An SQLite connection on its own thread, that can also run a whole function there in one hop."""

    def __init__(self, uri: str) -> None:
        super().__init__(partial(sqlite3.connect, uri, uri=True, isolation_level=None, timeout=BUSY_S), 64)

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        return self

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work`'s result; it has the connection to itself meanwhile.

        aiosqlite offers one hop per statement only, which would cost a transaction of n statements n hops. What it
        offers its subclasses for this is `_execute`; nothing else of its inside is used.
        """
        try:
            connection = self._conn
        except ValueError as error:
            raise JournalError("the journal is closed") from error
        result: T = await self._execute(work, connection)  # type: ignore[no-untyped-call]
        return result


def sentence(error: sqlite3.Error, doing: str) -> str:
    """What SQLite's error means, for a person: `doing` is what was tried."""
    name = getattr(error, "sqlite_errorname", "")
    reason = next((text for code, text in _REASONS.items() if name.startswith(code)), f"{error}")
    return f"{doing}: {reason} ({name or type(error).__name__})"


@contextmanager
def owned(path: Path) -> Iterator[None]:
    """Be the one process that writes this database: an advisory lock on `<path>.lock`, gone with the process.

    One writer is what makes the head of a chain knowable without asking. Readers need no lock. The lock is not on the
    database itself, because closing any descriptor of that file would drop SQLite's own locks. Raises JournalError.
    """
    try:
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise JournalError(f"cannot open the database {path}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise JournalError(f"another process is writing {path}: stop it first, or use another database") from error
        yield
    finally:
        os.close(descriptor)


@contextmanager
def looking_at(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write, in one snapshot; works beside a writer. Raises JournalError, NewerDatabase."""
    if not path.exists():
        raise JournalError(f"there is no database at {path}")
    try:
        with closing(sqlite3.connect(read_only(path), uri=True, isolation_level=None, timeout=BUSY_S)) as connection:
            connection.execute("BEGIN")
            check(connection, path)
            yield connection
    except sqlite3.Error as error:
        raise JournalError(sentence(error, f"cannot read {path}")) from error


def read_only(path: Path) -> str:
    """The URI that opens a database for reading only."""
    return f"{path.absolute().as_uri()}?mode=ro"


def workspaces(connection: sqlite3.Connection) -> list[str]:
    """The workspaces that have events: one index look-up each."""
    found = connection.execute(
        "WITH RECURSIVE each (name) AS (SELECT min(workspace) FROM events UNION ALL"
        " SELECT (SELECT min(workspace) FROM events WHERE workspace > each.name) FROM each WHERE name IS NOT NULL)"
        " SELECT name FROM each WHERE name IS NOT NULL"
    )
    return [str(name) for (name,) in found]


def check(connection: sqlite3.Connection, path: Path) -> int:
    """The number of the last migration this database has. Raises JournalError, NewerDatabase."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        needed = ".".join(map(str, _OLDEST_SQLITE))
        raise JournalError(f"SQLite {needed} or newer is needed, and this Python has {sqlite3.sqlite_version}")
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != _APPLICATION_ID and (application or tables):
        raise JournalError(f"{path} is another program's database")
    latest = scripts()[-1][0]
    if version > latest:
        raise NewerDatabase(
            f"{path} was written by a newer version of Personal-Agent (database version {version}; this one knows "
            f"versions up to {latest}): upgrade Personal-Agent, or open another database"
        )
    return int(version)


def prepare(connection: sqlite3.Connection, path: Path) -> list[str]:
    """Set a writer's connection up and migrate; the names of the migrations that were applied."""
    version = check(connection, path)
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise JournalError(f"{path} is on a file system where SQLite cannot keep a write-ahead log: use a local disk")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return [name for number, name, script in scripts() if number > version and _apply(connection, number, script)]


def _apply(connection: sqlite3.Connection, number: int, script: str) -> bool:
    """One migration in one transaction: after a crash it is there or it is not."""
    with transaction(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version >= number:
            return False  # another process was faster
        run_script(connection, script)
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    return True


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """A write transaction: all of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite ends it by itself on some errors
            connection.execute("ROLLBACK")
        raise


def run_script(connection: sqlite3.Connection, script: str) -> None:
    """Run statements inside the open transaction, which `executescript` would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def scripts() -> list[tuple[int, str, str]]:
    """Every migration: number, name, SQL."""
    found = sorted(entry.name for entry in files(migrations).iterdir() if entry.name.endswith(".sql"))
    return [(int(name[:4]), name, (files(migrations) / name).read_text("utf-8")) for name in found]


def projections() -> tuple[str, str]:
    """The SQL that lays the projections, and its digest."""
    script = (files("storage") / "schema.sql").read_text("utf-8")
    return script, sha256(script.encode())
