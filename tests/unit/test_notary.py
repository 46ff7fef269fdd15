"""When checkpoints are signed, and how they reach their places: over a real journal and real files."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bot import notary as module
from bot.anchors import FilePlace, Place, held_by
from bot.notary import Notary
from domain.audit import CHECKPOINT_MESSAGES, AnchorFailed, AnchorWritten, CheckpointSigned
from domain.errors import AnchorError, JournalError
from domain.events import Draft, Envelope, MessageSent, MessageWanted
from storage.checkpoints import parse
from storage.journal import SqliteJournal, open_journal
from storage.keys import Keys
from storage.verify import verify
from tests.contracts.journal_samples import Clock, alert

SECRET = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
KEYS = Keys(SECRET, (SECRET.public_key(),))
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)


@asynccontextmanager
async def at_work(path: Path, *places: Place, every: int = 500, keys: Keys = KEYS) -> AsyncIterator[Desk]:
    async with open_journal(path / "agent.db", "T1", clock=Clock()) as journal:
        notary = Notary(journal, keys, places, every=every, retry_s=0.01)
        with journal.subscribe() as events:
            await notary.start()
            desk = Desk(journal, notary, aiter(events))
            try:
                yield desk
            finally:
                await notary.stop()


class Desk:
    """The journal, the notary, and what is recorded from the start on."""

    def __init__(self, journal: SqliteJournal, notary: Notary, events: AsyncIterator[Envelope]) -> None:
        self.journal = journal
        self.notary = notary
        self._events = events

    async def until(self, *kinds: type) -> Envelope:
        """The next event of one of these kinds."""
        async with asyncio.timeout(10):
            async for envelope in self._events:
                if isinstance(envelope.event, kinds):
                    return envelope
        raise AssertionError(kinds)

    async def record(self, *drafts: Draft) -> None:
        """Append, and wait until the notary has heard of it."""
        last = (await self.journal.append(*drafts))[-1].seq
        async with asyncio.timeout(10):
            while self.notary._news < last:
                await asyncio.sleep(0)

    async def sizes(self) -> list[int]:
        return await sizes(self.journal)


async def sizes(journal: SqliteJournal) -> list[int]:
    """Of every checkpoint that stands in the journal."""
    events = [envelope.event for envelope in await journal.since(0, 10_000)]
    return [event.size for event in events if isinstance(event, CheckpointSigned)]


class Moody:
    """A place that takes nothing while it has a reason not to."""

    name = "file:moody"

    def __init__(self, reason: str = "") -> None:
        self.reason = reason
        self.asked = 0
        self.held: list[int] = []

    async def write(self, event: CheckpointSigned, line: str) -> str:
        self.asked += 1
        if self.reason:
            raise AnchorError(self.reason)
        self.held.append(event.size)
        return f"{len(self.held)}"


# --- when -------------------------------------------------------------------------------------------------------------


async def test_nothing_recorded_nothing_signed(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        await desk.notary.look()
    async with open_journal(tmp_path / "agent.db", "T1") as journal:
        assert await journal.since(0) == []


async def test_the_clock_s_turn_signs_what_is_new_and_only_that(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        await desk.record(alert(), alert())
        for _ in range(2):
            await desk.notary.look()
        assert await desk.sizes() == [2]
        await desk.record(alert())
        await desk.notary.look()
        assert await desk.sizes() == [2, 4]
    assert verify(tmp_path / "agent.db", keys=KEYS.public).logs[0].checkpoints == 2


async def test_so_many_events_are_signed_without_waiting_for_the_clock(tmp_path: Path) -> None:
    async with at_work(tmp_path, every=10) as desk:
        await desk.record(*(alert() for _ in range(9)))
        assert await desk.sizes() == []
        await desk.journal.append(alert())
        first = await desk.until(CheckpointSigned)
        assert isinstance(first.event, CheckpointSigned)
        assert (first.seq, first.event.size, first.actor) == (11, 10, "system")
        await desk.journal.append(*(alert() for _ in range(30)))
        await desk.until(CheckpointSigned)
        assert await desk.sizes() == [10, 41]


async def test_what_a_checkpoint_causes_causes_no_checkpoint(tmp_path: Path) -> None:
    async with at_work(tmp_path, FilePlace(f"file:{tmp_path}/anchors"), every=3) as desk:
        await desk.journal.append(alert(), alert(), alert())
        await desk.until(AnchorWritten)
        key = f"{CHECKPOINT_MESSAGES}3"
        own = [MessageWanted(key, 1, "C1", "", "Checkpoint", ()), MessageSent(key, 1, "C1", "1.1")]
        await desk.journal.append(*map(Draft, own), Draft(AnchorFailed("file:x", 3, "no")))
        await desk.until(AnchorFailed)
        await desk.notary.look()
        assert await desk.sizes() == [3]
    async with at_work(tmp_path, every=3) as desk:  # nor after a restart
        assert await desk.sizes() == [3]
        await desk.journal.append(Draft(MessageWanted("incident:i1", 1, "C1", "", "Down", ())))
        await desk.until(CheckpointSigned)
        assert await desk.sizes() == [3, 9]


async def test_what_was_missed_may_have_been_a_reason(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        await desk.record(alert())
        await desk.notary.look()
        late = [Draft(AnchorFailed("file:x", 1, str(number))) for number in range(1100)]
        await desk.journal.append(alert(), *late)  # more than a subscriber may be behind: it never sees the alert
        async with asyncio.timeout(10):
            while desk.notary._news <= 1:
                await asyncio.sleep(0)
        await desk.notary.look()
        assert await desk.sizes() == [1, 1103]


async def test_a_clean_stop_and_a_start_after_a_crash_sign_what_was_left(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        await desk.journal.append(alert())
    async with open_journal(tmp_path / "agent.db", "T1") as journal:
        assert [type(each.event) for each in await journal.since(0)] == [type(alert().event), CheckpointSigned]
        await journal.append(alert())  # and the process is gone
    async with at_work(tmp_path) as desk:
        assert await desk.sizes() == [1, 3]


async def test_a_checkpoint_goes_on_from_the_tree_that_was_signed(tmp_path: Path) -> None:
    async with at_work(tmp_path, every=7) as desk:
        for _ in range(5):
            await desk.journal.append(*(alert() for _ in range(7)))
            await desk.until(CheckpointSigned)
    report = verify(tmp_path / "agent.db", keys=KEYS.public)
    assert (report.ok, report.logs[0].checkpoints) == (True, 5)


# --- whether ----------------------------------------------------------------------------------------------------------


def tamper(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        db.execute(statement)


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        (f"UPDATE events SET hash = '{'0' * 64}' WHERE seq = 3", "not over the events that stand before it"),
        ("UPDATE event_bodies SET body = replace(body, '\"size\":3', '\"size\":2') WHERE seq = 4", "cannot be read"),
        ("UPDATE event_bodies SET body = replace(body, 'personal-agent/T1', 'personal-agent/T2') WHERE seq = 4", "another key"),
    ],
)  # fmt: skip
async def test_a_history_that_was_changed_gets_no_signature(
    tmp_path: Path, statement: str, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with at_work(tmp_path) as desk:
        await desk.journal.append(alert(), alert(), alert())
    tamper(tmp_path / "agent.db", statement)
    with caplog.at_level(logging.ERROR, "agent.run"):
        async with at_work(tmp_path) as desk:
            await desk.record(alert())
            with pytest.raises(JournalError, match=sentence):
                await desk.notary.look()
    assert "no checkpoint was signed" in caplog.text


async def test_a_new_key_signs_only_where_the_old_one_is_known(tmp_path: Path) -> None:
    async with at_work(tmp_path) as desk:
        await desk.journal.append(alert())
    stranger = Keys(OTHER, (OTHER.public_key(),))
    heir = Keys(OTHER, (OTHER.public_key(), SECRET.public_key()))
    for keys, expected in ((stranger, [1]), (heir, [1, 3])):
        async with at_work(tmp_path, keys=keys) as desk:
            await desk.journal.append(*([alert()] if keys is stranger else []))
        async with open_journal(tmp_path / "agent.db", "T1") as journal:
            assert await sizes(journal) == expected
    assert not verify(tmp_path / "agent.db", keys=stranger.public).ok
    assert verify(tmp_path / "agent.db", keys=heir.public).ok


# --- where ------------------------------------------------------------------------------------------------------------


async def test_a_place_holds_every_checkpoint_with_the_events_since_the_one_before(tmp_path: Path) -> None:
    name = f"file:{tmp_path}/anchors.jsonl"
    async with at_work(tmp_path, FilePlace(name), every=5) as desk:
        for _ in range(3):
            await desk.journal.append(*(alert() for _ in range(5)))
            written = await desk.until(AnchorWritten)
        (anchor,) = await desk.journal.anchors()
    held = held_by(name)
    assert isinstance(written.event, AnchorWritten)
    assert [copy.checkpoint.size for copy in held.copies][:3] == [5, 12, 19]
    assert [(copy.first, len(copy.trail) // 4) for copy in held.copies][:3] == [(1, 5), (6, 7), (13, 7)]
    assert (anchor.place, anchor.size, anchor.reference, anchor.failed) == (name, 19, written.event.reference, "")
    report = verify(tmp_path / "agent.db", held=[held], keys=KEYS.public)
    assert (report.ok, report.logs[0].covered) == (True, held.copies[-1].checkpoint.size)


async def test_a_place_that_fails_is_recorded_once_per_reason_and_asked_again(tmp_path: Path) -> None:
    place = Moody("the disk is gone")
    async with at_work(tmp_path, place, every=1) as desk:
        for _ in range(3):
            await desk.journal.append(alert())
            await desk.until(CheckpointSigned)
        while place.asked < 2:
            await desk.journal.append(alert())
            await desk.until(CheckpointSigned)
        (anchor,) = await desk.journal.anchors()
        assert (anchor.size, anchor.failed) == (0, "the disk is gone")
        place.reason = ""
        await desk.journal.append(alert())
        await desk.until(AnchorWritten)
        (anchor,) = await desk.journal.anchors()
        assert (anchor.size, anchor.failed, anchor.failed_at) == (place.held[-1], "", None)
        failures = [each for each in await desk.journal.since(0) if isinstance(each.event, AnchorFailed)]
        assert len(failures) == 1
    assert verify(tmp_path / "agent.db").ok


async def test_a_place_is_asked_again_also_where_nothing_new_is_recorded(tmp_path: Path) -> None:
    place = Moody("the disk is gone")
    async with at_work(tmp_path, place, every=1) as desk:
        await desk.journal.append(alert())
        await desk.until(AnchorFailed)
        place.reason = ""
        written = await desk.until(AnchorWritten)
        assert await desk.sizes() == [1]
    assert (written.event, place.held) == (AnchorWritten(place.name, 1, "1"), [1])


async def test_a_failing_place_does_not_hold_up_another(tmp_path: Path) -> None:
    name = f"file:{tmp_path}/anchors.jsonl"
    async with at_work(tmp_path, Moody("no"), FilePlace(name), every=1) as desk:
        await desk.journal.append(alert())
        await desk.until(AnchorWritten)
    assert [copy.checkpoint.size for copy in held_by(name).copies] == [1]


async def test_a_place_that_was_away_gets_the_newest_after_a_restart(tmp_path: Path) -> None:
    async with at_work(tmp_path, Moody("no"), every=1) as desk:
        await desk.journal.append(alert())
        await desk.until(AnchorFailed)
    place = Moody()
    async with at_work(tmp_path, place, every=1) as desk:
        await desk.until(AnchorWritten)
        assert await desk.sizes() == [1]  # which is no reason for another
    assert place.held == [1]


async def test_the_last_checkpoint_reaches_its_places_before_the_service_is_gone(tmp_path: Path) -> None:
    name = f"file:{tmp_path}/anchors.jsonl"
    async with at_work(tmp_path, FilePlace(name)) as desk:
        await desk.journal.append(alert(), alert())
    assert [parse(copy.note).size for copy in held_by(name).copies] == [2]


def test_the_intervals_are_what_the_documentation_says() -> None:
    assert (module.EVERY_SECONDS, module.EVERY_EVENTS) == (300, 500)
