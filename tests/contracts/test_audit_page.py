"""docs/audit.md is true: its script checks a journal, its lists are the code's."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bot import notary
from domain.decisions import Actor
from storage.checkpoints import fresh
from storage.erasing import ERASABLE
from storage.journal import open_journal
from storage.tombstones import erase
from tests.contracts.journal_samples import NOON, alert

PAGE = (Path(__file__).parents[2] / "docs/audit.md").read_text()
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """The page's script, a journal with an erased body, a note over its first events."""
    (script,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "check.py").write_text(script)
    async with open_journal(tmp_path / "agent.db", "T 1/é") as journal:
        await journal.append(*(alert(f"f{number}") for number in range(21)))
        (tmp_path / "note.txt").write_text(fresh(tmp_path / "agent.db", "T 1/é", KEY, NOON))
        await journal.append(alert("after", firing=False))
    erase(tmp_path / "agent.db", "T 1/é", [7], "request 12", Actor("person"), NOON)
    return tmp_path


def run(folder: Path) -> tuple[int, str]:
    command = [sys.executable, "-I", "check.py", "agent.db", "note.txt"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def tamper(folder: Path, statement: str) -> None:
    with closing(sqlite3.connect(folder / "agent.db")) as db, db:
        for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        db.execute(statement)


async def test_the_script_of_the_page_checks_a_journal_with_python_alone(folder: Path) -> None:
    assert run(folder) == (0, "23 events; the first 21 are those of the checkpoint")


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE event_bodies SET body = body || ' ' WHERE seq = 5", "event 5 is not what was recorded"),
        ("UPDATE events SET actor = 'person:U9' WHERE seq = 5", "event 5 is not what was recorded"),
        ("DELETE FROM events WHERE seq = 5", "event 5 is not what was recorded"),
        ("DELETE FROM events WHERE seq > 20", "the first 21 events are not those of the checkpoint"),
    ],
)
async def test_and_finds_what_was_changed(folder: Path, statement: str, sentence: str) -> None:
    tamper(folder, statement)
    assert run(folder) == (1, sentence)


def test_the_page_lists_what_may_be_erased_and_how_often_copies_are_made() -> None:
    (listed,) = re.findall(r"\*\*May be erased\*\*.*?: (.*?)\.\n", PAGE, re.DOTALL)
    assert set(re.findall(r"[A-Z]\w+", listed)) == set(ERASABLE)
    assert f"every {notary.EVERY_SECONDS / 60:.0f} minutes or {notary.EVERY_EVENTS} events" in PAGE.lower()
