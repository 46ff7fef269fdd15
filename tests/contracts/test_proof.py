"""`doctor` on the journal and what proves it: a sentence for each, and a fix where something is wrong."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from bot.anchors import FilePlace
from bot.commands.proof import answers
from bot.config import Settings
from bot.notary import Notary
from domain.audit import AnchorFailed
from domain.events import Draft
from handlers.checkup import Answer
from storage.journal import open_journal
from storage.keys import public_pem, read_keys, signing_key
from tests.contracts.journal_samples import Clock, alert


async def said(folder: Path, anchors: str = "") -> dict[str, Answer]:
    settings = Settings(agent_database=f"{folder}/agent.db", agent_anchors=anchors)
    return {answer.name: answer async for answer in answers(settings)}


async def served(folder: Path, anchors: str) -> None:
    signing_key(folder / "agent.db.key")
    async with open_journal(folder / "agent.db", "T1", clock=Clock()) as journal:
        notary = Notary(journal, read_keys(folder / "agent.db.key"), [FilePlace(anchors)])
        await journal.append(alert(), alert())
        await notary.start()
        await notary.stop()


async def test_before_the_first_start_everything_is_still_to_be_made(tmp_path: Path) -> None:
    found = await said(tmp_path, f"file:{tmp_path}/anchors.jsonl")
    assert all(answer.ok for answer in found.values())
    assert "will be created" in found["database"].sentence
    assert "will be made" in found["signing key"].sentence
    assert found[f"anchor file:{tmp_path}/anchors.jsonl"].sentence == "it holds nothing yet"


async def test_without_anchors_it_says_what_would_not_be_seen(tmp_path: Path) -> None:
    assert "an older backup put back, or a tail cut off" in (await said(tmp_path))["anchors"].sentence


async def test_a_place_says_how_far_it_is_and_why_it_fails(tmp_path: Path) -> None:
    name = f"file:{tmp_path}/anchors.jsonl"
    await served(tmp_path, name)
    assert (await said(tmp_path, name))[f"anchor {name}"].sentence == "it holds 2 events, since 2026-03-01 12:00 UTC"
    async with open_journal(tmp_path / "agent.db", "T1", clock=Clock()) as journal:
        await journal.append(Draft(AnchorFailed(name, 4, "No space left on device")))
    answer = (await said(tmp_path, name))[f"anchor {name}"]
    assert (answer.ok, answer.fix != "") == (False, True)
    assert answer.sentence.startswith("No space left on device; it holds 2 events")


async def test_a_log_that_does_not_agree_with_its_copies_is_no_good_database(tmp_path: Path) -> None:
    name = f"file:{tmp_path}/anchors.jsonl"
    await served(tmp_path, name)
    with closing(sqlite3.connect(tmp_path / "agent.db")) as db, db:
        for (trigger,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {trigger}")
        for table in ("event_bodies", "events"):
            db.execute(f"DELETE FROM {table} WHERE seq > 1")
    (answer,) = (await said(tmp_path, name)).values()
    assert not answer.ok
    assert answer.sentence.startswith("the journal is broken at event 2: event 2 is missing: file:")
    assert "audit verify" in answer.fix


async def test_a_place_that_cannot_be_read_was_not_compared_with(tmp_path: Path) -> None:
    name = f"file:{tmp_path}/anchors.jsonl"
    await served(tmp_path, name)
    (tmp_path / "anchors.jsonl").rename(tmp_path / "kept")
    (tmp_path / "anchors.jsonl").mkdir()
    answer = (await said(tmp_path, name))[f"anchor {name}"]
    assert not answer.ok
    assert "was not checked" in answer.sentence


async def test_a_key_that_everybody_can_read_or_nobody_can_use_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "agent.db.key"
    key = signing_key(path)
    assert (await said(tmp_path))["signing key"].ok
    path.chmod(0o644)
    answer = (await said(tmp_path))["signing key"]
    assert (answer.ok, answer.fix) == (False, f"chmod 600 {path}")
    path.write_text(public_pem(key.public_key()))
    assert "cannot sign" in (await said(tmp_path))["signing key"].sentence
    path.write_text("no key")
    assert "holds no key" in (await said(tmp_path))["signing key"].sentence
