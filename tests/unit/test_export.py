"""`audit export` and `audit verify --file` as somebody types them."""

from __future__ import annotations

import asyncio
import csv
import io
import zipfile
from pathlib import Path

import pytest

from bot.__main__ import main
from storage.checkpoints import vkey
from storage.keys import raw, read_keys
from tests.contracts.evidence_samples import CLEAN, NIGHT, UGLY, UGLY_INCIDENT, clean, in_order, record, ugly
from tests.contracts.journal_samples import run_started


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a database in it."""
    asyncio.run(record(tmp_path / "agent.db", in_order(ugly(), clean())))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AGENT_DATABASE", "agent.db")
    return tmp_path


def audit(*arguments: str) -> int:
    return main(["audit", *arguments])


def test_a_run_is_written_as_an_archive_that_verifies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit("export", CLEAN) == 0
    said = capsys.readouterr().out
    public = raw(read_keys(folder / "agent.db.key").public[0]).hex()
    assert said.startswith(f"{CLEAN}.zip: 2")
    assert "Verified. Scale cart: approved by mara, executed once" in said
    assert f"Signed by {public}. Give that key to whoever checks it, by another way than the file." in said
    assert audit("verify", "--file", f"{CLEAN}.zip") == 0
    said = capsys.readouterr().out
    assert f"run {CLEAN}" in said
    assert "3 files beside it are those that were exported" in said
    assert "The key is the bundle's own word" in said


def test_an_incident_is_named_by_its_id(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit("export", UGLY_INCIDENT) == 0
    assert (folder / f"{UGLY_INCIDENT}.zip").exists()
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["jsonl", "html", "zip"])
def test_what_is_written_is_what_the_suffix_says(folder: Path, suffix: str) -> None:
    assert audit("export", UGLY, "-o", f"night.{suffix}") == 0
    content = (folder / f"night.{suffix}").read_bytes()
    starts = {"jsonl": b'{"checkpoint":', "html": b"<!doctype html>", "zip": b"PK"}
    assert content.startswith(starts[suffix])


def test_a_bundle_alone_names_no_files_and_verifies(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit("export", UGLY, "-o", "night.jsonl") == 0
    assert audit("verify", "--file", "night.jsonl") == 0
    assert "not here" not in capsys.readouterr().out


def test_a_period_is_written_as_a_list_or_as_an_archive(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit("export", "--since", "500w", "-o", "changes.csv") == 0
    assert "changes.csv: 5 changes since " in capsys.readouterr().out
    rows = list(csv.DictReader(io.StringIO((folder / "changes.csv").read_text(encoding="utf-8"), newline="")))
    assert rows[0]["state"] == "Verified"
    assert not (folder / "agent.db.key").exists(), "a list needs no key"
    assert audit("export", "--since", "500w", "-o", "all.zip") == 0
    assert audit("verify", "--file", "all.zip") == 0
    with zipfile.ZipFile(folder / "all.zip") as archive:
        assert archive.read("changes.csv") == (folder / "changes.csv").read_bytes()


def test_a_changed_bundle_is_named_with_its_line_and_ends_with_1(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    audit("export", CLEAN, "-o", "good.jsonl")
    text = (folder / "good.jsonl").read_text(encoding="utf-8")
    (folder / "bad.jsonl").write_text(text.replace("CartDown", "CartGone", 1), encoding="utf-8")
    assert audit("verify", "--file", "bad.jsonl") == 1
    assert "BROKEN at line 3: the body of event" in capsys.readouterr().out


def test_the_trusted_key_may_be_a_file_hex_or_a_vkey(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit("export", CLEAN)
    (key,) = read_keys("agent.db.key").public
    for named in ("agent.db.key", raw(key).hex(), raw(key).hex().upper(), vkey("local", key)):
        assert audit("verify", "--file", f"{CLEAN}.zip", "--key", named) == 0
    assert "own word" not in capsys.readouterr().out
    assert audit("verify", "--file", f"{CLEAN}.zip", "--key", "0" * 64) == 1
    assert "signed by another key than the given one" in capsys.readouterr().out
    assert audit("verify", "--file", f"{CLEAN}.zip", "--key", "nowhere.pem") == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "name a run or an incident"),
        ((CLEAN, "--since", "7d"), "name a run or an incident"),
        ((CLEAN, "-o", "x.pdf"), ".pdf is not written; write one of .zip, .jsonl, .html, .csv"),
        ((CLEAN, "-o", "x.csv"), ".csv is of a period: add --since 30d"),
        (("--since", "7d", "-o", "x.html"), ".html is of a run: name one"),
        (("--since", "soon"), "'soon' is not a period"),
    ],
)
def test_wrong_usage_says_what_would_be_right(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    assert audit("export", *arguments) == 2
    assert sentence in capsys.readouterr().err


def test_what_is_not_there_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit("export", "run-nobody") == 1
    assert "there is no run and no incident run-nobody in agent.db" in capsys.readouterr().err
    assert audit("verify", "--file", "nothing.zip") == 1
    assert "nothing.zip cannot be read" in capsys.readouterr().err
    assert audit("export", CLEAN, "-o", "nowhere/x.zip") == 1
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


def test_a_database_of_two_workspaces_wants_to_know_which_period(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(record(folder / "agent.db", in_order(clean()), "T2"))
    assert audit("export", "--since", "500w") == 2
    assert "say --workspace T2 or local" in capsys.readouterr().err
    assert audit("export", "--since", "500w", "-o", "x.csv", "--workspace", "T2") == 0
    assert "x.csv: 1 change since" in capsys.readouterr().out


def test_an_incident_of_several_runs_has_a_page_for_each(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = run_started("run-again0000001", UGLY_INCIDENT)
    asyncio.run(record(folder / "agent.db", [(NIGHT, again)]))
    assert audit("export", UGLY_INCIDENT, "-o", "x.html") == 2
    assert f"this incident has 2 runs: name one of {UGLY}, run-again0000001" in capsys.readouterr().err
    assert audit("export", UGLY_INCIDENT, "-o", "x.zip") == 0
    with zipfile.ZipFile(folder / "x.zip") as archive:
        pages = [name for name in archive.namelist() if name.endswith(".html")]
    assert pages == [f"timeline-{UGLY}.html", "timeline-run-again0000001.html"]
    assert audit("verify", "--file", "x.zip") == 0
