"""The journal: append-only, hash-chained, durable before `append` returns. One writer takes all that waits in one commit.

The head of the chain (last `seq` and hash) is kept in memory; the database's own trigger refuses a row that is not next.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from domain.decisions import SYSTEM
from domain.errors import AgentError, JournalError
from domain.events import Draft, Envelope
from storage import views
from storage.checkpoints import following
from storage.database import BUSY_S, Connection, Works, owned, prepare, projections, read_only, sentence, transaction
from storage.keys import Keys
from storage.reader import Reader
from storage.writing import Entry, Head, chain, entry, read_head

_MOST_APPENDS = 512  # in one commit: bounds how long one append can wait for others
_MOST_UNREAD = 1024  # envelopes that a subscriber may be behind
_NOTHING = "nothing was recorded"
_UNFIT = (sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)  # a value that no column holds


class Commit(NamedTuple):
    """What one transaction of the writer came to: the events it recorded, and how long each append waited for it (seconds).

    `refused` appends met a Conflict or a body that cannot be recorded, `failed` ones a disk that did not take them.
    """

    envelopes: Sequence[Envelope]
    waited_s: Sequence[float]
    refused: int = 0
    failed: int = 0


@asynccontextmanager
async def open_journal(
    path: str | Path,
    workspace: str,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    watch: Callable[[Commit], None] = lambda _: None,
) -> AsyncIterator[SqliteJournal]:
    """Open, migrate and own a workspace's journal; closed, with everything appended on disk, on the way out.

    `watch` is called after every transaction, in order and without loss; what it raises disturbs no append.
    Raises JournalError where the file cannot be used or another process owns it, NewerDatabase where a newer version wrote it.
    """
    path = Path(path)
    with owned(path):
        try:
            async with Connection(path.absolute().as_uri()) as writing:
                await writing.run(lambda db: _lay(db, path))
                async with Connection(read_only(path)) as reading:
                    journal = SqliteJournal(writing, reading, workspace, clock, watch)
                    try:
                        yield journal
                    finally:
                        await journal.close()
        except sqlite3.Error as error:
            raise JournalError(sentence(error, f"cannot open the database {path}")) from error


def migrate(path: str | Path, *, fold_again: bool = False) -> list[str]:
    """Bring a database to this version without recording anything; what was applied, by name. Raises as `open_journal`.

    `fold_again` folds the log into new projections also where they are of this version.
    """
    path = Path(path)
    with owned(path):
        try:
            with closing(sqlite3.connect(path, isolation_level=None, timeout=BUSY_S)) as db:
                return _lay(db, path, fold_again=fold_again)
        except sqlite3.Error as error:
            raise JournalError(sentence(error, f"cannot open the database {path}")) from error


def _lay(db: sqlite3.Connection, path: Path, *, fold_again: bool = False) -> list[str]:
    applied = prepare(db, path)
    if fold_again or views.current(db) != projections()[1]:
        views.rebuild(db)
        applied.append("projections")
    return applied


class _Append(NamedTuple):
    """What one call of `append` brought, on its way to the writer."""

    entries: list[Entry]
    at: datetime
    began: float
    done: asyncio.Future[Sequence[Envelope]]


class SqliteJournal(Reader):
    """The Journal port on SQLite."""

    def __init__(
        self,
        writing: Works,
        reading: Works,
        workspace: str,
        clock: Callable[[], datetime],
        watch: Callable[[Commit], None] = lambda _: None,
    ) -> None:
        super().__init__(reading, workspace)
        self._writing = writing
        self._clock = clock
        self._watch = watch
        self._waiting: deque[_Append] = deque()
        self._work = asyncio.Event()
        self._closing = False
        self._head: Head | None = None
        self._subscribers: set[Subscription] = set()
        self._writer = asyncio.create_task(self._write_all(), name=f"journal writer of {workspace}")

    async def append(self, *drafts: Draft) -> Sequence[Envelope]:
        """Record events in one transaction with their projections; returns once they are durable.

        A caller that is cancelled meanwhile leaves all of them recorded or none. Raises Conflict where a projection
        refuses, BadInput for a body that is not canonical JSON, JournalError where the disk refuses; then nothing is
        recorded.
        """
        if self._closing:
            raise JournalError("the journal is closed")
        entries = [entry(draft) for draft in drafts]
        loop = asyncio.get_running_loop()
        append = _Append(entries, self._clock(), loop.time(), loop.create_future())
        self._waiting.append(append)
        self._work.set()
        return await append.done

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """Envelopes as they are committed, from now on: `with journal.subscribe() as events: async for …`."""
        subscription = Subscription()
        self._subscribers.add(subscription)
        try:
            yield subscription
        finally:
            self._subscribers.discard(subscription)

    async def sign(self, keys: Keys) -> Envelope | None:
        """Sign a checkpoint over every event so far and record it; None where there is none since the last.

        Raises JournalError where the last checkpoint does not hold.
        """
        event = await self._read(partial(following, workspace=self._workspace, keys=keys, at=self._clock()))
        return (await self.append(Draft(event, SYSTEM)))[0] if event is not None else None

    async def rebuild(self) -> int:
        """Drop every projection and fold the whole log again; the number of events folded. Appends wait meanwhile."""
        try:
            return await self._writing.run(views.rebuild)
        except sqlite3.Error as error:
            raise JournalError(sentence(error, "nothing was folded again")) from error

    async def close(self) -> None:
        """Write what waits, then stop taking events."""
        self._closing = True
        self._work.set()
        await self._writer
        for subscription in self._subscribers:
            subscription.end()

    async def _write_all(self) -> None:
        """The one writer: each round commits everything that waits."""
        while not self._closing:
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_APPENDS))]
                await self._write(batch)

    async def _write(self, batch: list[_Append]) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._head, outcomes = await self._writing.run(
                partial(_record, workspace=self._workspace, head=self._head, batch=batch)
            )
        except Exception as error:  # noqa: BLE001 – whatever it is, whoever waits for this commit has to hear of it
            self._head = None  # read again from the disk, which knows what is there
            loop.call_soon(self._watch, Commit((), (), failed=len(batch)))
            _refuse(batch, error)
            return
        loop.call_soon(self._watch, _commit(batch, outcomes, loop.time()))
        for append, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, AgentError):
                _refuse([append], outcome)
                continue
            if not append.done.done():
                append.done.set_result(outcome)
            for subscription in self._subscribers:
                subscription.put(outcome)


def _commit(batch: list[_Append], outcomes: list[Sequence[Envelope] | AgentError], now: float) -> Commit:
    recorded = [outcome for outcome in outcomes if not isinstance(outcome, AgentError)]
    envelopes = [envelope for one in recorded for envelope in one]
    return Commit(envelopes, [now - append.began for append in batch], refused=len(outcomes) - len(recorded))


def _refuse(batch: list[_Append], error: BaseException) -> None:
    for append in batch:
        if not append.done.done():
            plain = JournalError(sentence(error, _NOTHING)) if isinstance(error, sqlite3.Error) else error
            append.done.set_exception(plain)


class Subscription:
    """Committed envelopes, oldest first. A reader that falls too far behind loses the oldest: `seq` shows the gap."""

    def __init__(self) -> None:
        self._unread: deque[Envelope] = deque(maxlen=_MOST_UNREAD)
        self._news = asyncio.Event()
        self._ended = False

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Envelope:
        while not self._unread:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._unread.popleft()

    def put(self, envelopes: Sequence[Envelope]) -> None:
        """Offer envelopes; never waits."""
        self._unread.extend(envelopes)
        self._news.set()

    def end(self) -> None:
        """No more will come."""
        self._ended = True
        self._news.set()


# --- on the writer's thread -------------------------------------------------------------------------------------------


def _record(
    db: sqlite3.Connection, *, workspace: str, head: Head | None, batch: list[_Append]
) -> tuple[Head, list[Sequence[Envelope] | AgentError]]:
    """One transaction for the batch, a savepoint for each append: a refusal undoes that append and no other."""
    outcomes: list[Sequence[Envelope] | AgentError] = []
    with transaction(db):
        if head is None:
            head = read_head(db, workspace)
        for append in batch:
            db.execute("SAVEPOINT append")
            try:
                head, envelopes = chain(db, workspace, head, append.entries, append.at)
                outcomes.append(envelopes)
            except AgentError as refusal:
                db.execute("ROLLBACK TO append")
                outcomes.append(refusal)
            except _UNFIT as error:
                if getattr(error, "sqlite_errorname", "") == "SQLITE_CONSTRAINT_TRIGGER":
                    raise  # not the next event: somebody else wrote, so no append of this batch fits
                db.execute("ROLLBACK TO append")
                outcomes.append(JournalError(sentence(error, _NOTHING)))
            db.execute("RELEASE append")
    return head, outcomes
