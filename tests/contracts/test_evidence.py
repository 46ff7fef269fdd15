"""Evidence leaves the machine and proves itself there: by Personal-Agent, and by a script that shares no code with it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import runpy
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings, strategies as st

from domain.canonical import canonical, digest_of
from domain.decisions import Actor
from domain.errors import BadInput
from domain.events import CheckpointSigned, Draft
from storage import checkpoints, merkle, tiles
from storage.chain import hash_of_body, hash_of_event
from storage.evidence import attestation, export
from storage.evidence.bundle import sealed
from storage.evidence.check import BUNDLE, Checked, check, check_file
from storage.evidence.records import gather
from storage.journal import open_journal
from storage.keys import public_pem, raw
from storage.tombstones import erase
from tests.contracts.evidence_samples import (
    CLEAN,
    CLEAN_INCIDENT,
    HOSTILE,
    NIGHT,
    UGLY,
    UGLY_INCIDENT,
    clean,
    in_order,
    record,
    ugly,
)

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
NOW = NIGHT + timedelta(days=2)
SCRIPT = Path(export.__file__).with_name("verify_bundle.py")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a good hour, a bad night, and what others did meanwhile."""
    import asyncio

    path = tmp_path_factory.mktemp("evidence") / "agent.db"
    asyncio.run(record(path, in_order(ugly(), clean(), noise())))
    return path


def noise() -> list[tuple[datetime, Draft]]:
    """Three hundred events that belong to neither: more than a tile of the tree."""
    from tests.contracts.journal_samples import payload

    return [(NIGHT + timedelta(seconds=7 * number), payload(f"noise{number}")) for number in range(300)]


def exported(path: Path, reference: str = UGLY, key: Ed25519PrivateKey = KEY) -> export.Evidence:
    found = export.of_reference(path, "local", reference, key, NOW)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def evidence(path: Path) -> export.Evidence:
    return exported(path)


@pytest.fixture(scope="module")
def small(path: Path) -> export.Evidence:
    return exported(path, CLEAN)


def standalone(file: Path, *more: str) -> tuple[int, str]:
    """The script in this process: what it says, and its exit code."""
    said, argv = io.StringIO(), sys.argv
    sys.argv = ["verify.py", str(file), *more]
    try:
        with redirect_stdout(said):
            runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as end:
        return (1, str(end.code)) if end.code else (0, said.getvalue())
    finally:
        sys.argv = argv
    return 0, said.getvalue()


def both(folder: Path, content: bytes) -> tuple[Checked, tuple[int, str]]:
    """What both verifiers say of a bundle's bytes."""
    file = folder / "bundle.jsonl"
    file.write_bytes(content)
    return check(content), standalone(file)


def resealed(content: bytes, change: Callable[[list[dict[str, Any]]], object], key: Ed25519PrivateKey = KEY) -> bytes:
    """What somebody with the key could hand out: lines changed, and the seal made anew over them."""
    lines = [json.loads(line) for line in content.splitlines()[:-1]]
    change(lines)
    lines[0] |= {"events": len(lines) - 1, "files": {}}
    return with_seal([canonical(line) for line in lines], key)


def with_seal(lines: Sequence[bytes], key: Ed25519PrivateKey = KEY, **more: str) -> bytes:
    """These very lines, sealed."""
    above = b"".join(line + b"\n" for line in lines)
    digest = hashlib.sha256(above).hexdigest()
    seal = {"type": "seal", "sha256": digest, "signature": key.sign(sealed(digest)).hex()} | more
    return above + canonical(seal) + b"\n"


def hashed(event: dict[str, Any]) -> None:
    """An event's hash made to fit its fields."""
    chained = ("workspace", "seq", "incident_id", "run_id", "at", "actor", "kind", "body_hash", "prev_hash")
    event["hash"] = hash_of_event(*(event[name] for name in chained))


# --- what is in it ----------------------------------------------------------------------------------------------------


def test_the_archive_holds_the_bundle_the_page_an_attestation_a_script_and_ten_lines_about_them(
    evidence: export.Evidence,
) -> None:
    with zipfile.ZipFile(io.BytesIO(evidence.archive())) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len(archive.read("README.txt").splitlines()) <= 10
    assert sorted(names) == ["README.txt", "attestations/exe-unknown00001.json", BUNDLE, "timeline.html", "verify.py"]


def test_the_bundle_has_the_run_its_incident_and_what_they_refer_to_and_nothing_else(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        records = gather(db, "local", UGLY)
    kinds = [record.kind for record in records]
    told = [draft for _, draft in ugly()]
    assert len(records) == len(told), "every event of the night, found by what it refers to"
    assert kinds.count("PolicyLoaded") == 1
    assert kinds.count("VoteDelegated") == 1
    assert kinds.count("PayloadReceived") == 2, "the clicks on its cards, and none of the three hundred others"
    assert kinds.count("BreakGlassReviewed") == 1, "a day later, by the incident"
    assert [record.seq for record in records] == sorted({record.seq for record in records})


def test_the_same_run_is_exported_to_the_same_bytes(path: Path, evidence: export.Evidence) -> None:
    again = exported(path)
    assert again.files == evidence.files
    assert again.archive() == evidence.archive()


def test_an_incident_is_exported_with_each_of_its_runs(path: Path) -> None:
    evidence = exported(path, UGLY_INCIDENT)
    assert evidence.subject == {"incident": UGLY_INCIDENT}
    assert check(evidence.files[BUNDLE]).ok
    assert evidence.files["timeline.html"].startswith(b"<!doctype html>")


def test_what_is_not_there_is_none(path: Path) -> None:
    for reference in ("run-nobody", "", "inc-nobody"):
        assert export.of_reference(path, "local", reference, KEY, NOW) is None
    assert export.of_reference(path, "elsewhere", UGLY, KEY, NOW) is None


def test_a_recorded_checkpoint_is_proved_against_because_copies_of_it_stand_elsewhere(tmp_path: Path) -> None:
    import asyncio

    path = tmp_path / "agent.db"

    async def lay() -> str:
        await record(path, in_order(clean()))
        note = checkpoints.fresh(path, "local", KEY, NOW)
        with closing(sqlite3.connect(path)) as db:
            size = checkpoints.parse(note).size
            frontier = tuple(tiles.frontier(db, "local", size).to_hex())
        async with open_journal(path, "local") as journal:
            await journal.append(Draft(CheckpointSigned(note, size, frontier)))
        return note

    note = asyncio.run(lay())
    assert json.loads(exported(path, CLEAN).files[BUNDLE].splitlines()[0])["checkpoint"] == note
    other = json.loads(exported(path, CLEAN, OTHER).files[BUNDLE].splitlines()[0])["checkpoint"]
    assert other != note, "by another key it proves nothing"
    assert check(exported(path, CLEAN, OTHER).files[BUNDLE]).ok


# --- it verifies ------------------------------------------------------------------------------------------------------


def test_both_verifiers_accept_it(tmp_path: Path, evidence: export.Evidence) -> None:
    found, (code, said) = both(tmp_path, evidence.files[BUNDLE])
    assert (found.problem, found.line, found.events) == ("", 0, evidence.events)
    assert found.subject == {"run": UGLY, "incident": UGLY_INCIDENT}
    assert found.public_key == raw(KEY.public_key()).hex()
    assert set(found.missing) == {"timeline.html", "attestations/exe-unknown00001.json", "README.txt"}
    assert code == 1, "the files that it names are not here"
    (tmp_path / "whole.zip").write_bytes(evidence.archive())
    code, said = standalone(tmp_path / "whole.zip", raw(KEY.public_key()).hex())
    key = raw(KEY.public_key()).hex()
    assert (code, said) == (0, f"OK: {evidence.events} events and 3 files, signed by {key} (the given key)\n")
    assert check_file(tmp_path / "whole.zip", [OTHER.public_key(), KEY.public_key()]).files == 3


def test_the_script_runs_alone_in_an_empty_folder_without_our_package(
    tmp_path: Path, evidence: export.Evidence
) -> None:
    (tmp_path / "evidence.zip").write_bytes(evidence.archive())
    with zipfile.ZipFile(tmp_path / "evidence.zip") as archive:
        archive.extract("verify.py", tmp_path)
    for file in ("evidence.zip",):
        done = subprocess.run(
            [sys.executable, "-I", "verify.py", file], cwd=tmp_path, capture_output=True, text=True, check=False, env={}
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"OK: {evidence.events} events and 3 files, signed by ")


def test_the_script_is_under_a_hundred_lines_and_imports_the_standard_library_only() -> None:
    text = SCRIPT.read_text()
    assert len(text.splitlines()) < 100
    imported = {line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imported <= set(sys.stdlib_module_names)


def test_files_in_a_folder_are_checked_as_well(tmp_path: Path, small: export.Evidence) -> None:
    for name, content in small.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert check_file(tmp_path / BUNDLE).files == 3
    assert standalone(tmp_path / BUNDLE)[0] == 0
    (tmp_path / "timeline.html").write_bytes(b"<p>nothing happened</p>")
    assert check_file(tmp_path / BUNDLE).problem == "timeline.html is not the file that was exported"
    assert standalone(tmp_path / BUNDLE)[0] == 1


def test_another_key_than_the_trusted_one_is_refused(tmp_path: Path, path: Path) -> None:
    forged = exported(path, CLEAN, OTHER)
    (tmp_path / "forged.zip").write_bytes(forged.archive())
    assert check_file(tmp_path / "forged.zip").ok, "by its own word it holds"
    assert check_file(tmp_path / "forged.zip", [KEY.public_key()]).problem == (
        "the bundle was signed by another key than the given one"
    )
    code, said = standalone(tmp_path / "forged.zip", raw(KEY.public_key()).hex())
    assert (code, "signed by another key" in said) == (1, True)
    assert "(its own word)" in standalone(tmp_path / "forged.zip")[1]


def test_an_erased_body_verifies_and_is_shown_as_erased(tmp_path: Path, path: Path) -> None:
    copy = Path(shutil.copy(path, tmp_path / "copy.db"))
    before = exported(copy, CLEAN)
    (alert, *_) = [each for each in rows_of(before.files[BUNDLE]) if each["kind"] == "AlertReceived"]
    erase(copy, "local", [alert["seq"]], "a person asked for it", Actor("person", name="operator"), NOW)
    after = exported(copy, CLEAN)
    (tmp_path / "erased.zip").write_bytes(after.archive())
    found = check_file(tmp_path / "erased.zip")
    assert (found.problem, found.erased) == ("", 1)
    assert standalone(tmp_path / "erased.zip")[0] == 0
    page = after.files["timeline.html"].decode()
    assert "Erased: a person asked for it" in page

    def without_tombstone(lines: list[dict[str, Any]]) -> None:
        lines[:] = [line for line in lines if line.get("kind") != "BodyErased"]

    def with_words(lines: list[dict[str, Any]]) -> None:
        erased = next(line for line in lines if line.get("salt") == "")
        erased["body"]["alert"]["summary"] = "what was never said"

    for change in (without_tombstone, with_words):
        for refused in both(tmp_path, resealed(after.files[BUNDLE], change)):
            assert "no tombstone says why" in str(refused)


def rows_of(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()[1:-1]]


# --- and nothing else does --------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_byte_of_a_bundle_can_be_another(small: export.Evidence, data: st.DataObject) -> None:
    content = bytearray(small.files[BUNDLE])
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    found = check(bytes(content))
    assert not found.ok
    line = bytes(small.files[BUNDLE]).count(b"\n", 0, place) + 1
    assert found.line in (0, 1, line, line + 1, bytes(content).count(b"\n"))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_no_byte_of_an_event_can_be_another_for_the_script_either(
    small: export.Evidence, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(small.files[BUNDLE])
    first, last = content.index(b"\n") + 1, content.rindex(b"\n", 0, -1)
    place = data.draw(st.integers(first, last))
    content[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[place]))
    file = tmp_path_factory.getbasetemp() / "mutated.jsonl"
    file.write_bytes(content)
    assert standalone(file)[0] == 1


def edit(at: int, **fields: Any) -> Callable[[list[dict[str, Any]]], object]:
    return lambda lines: lines[at].update(fields)


def forge(lines: list[dict[str, Any]]) -> None:
    """A body, with every hash of its own event made to fit."""
    event = lines[5]
    event["body"] = {**event["body"], "step": 7}
    event["body_hash"] = hash_of_body(event["salt"], canonical(event["body"]))
    hashed(event)


def move(lines: list[dict[str, Any]]) -> None:
    lines[4]["seq"] += 1000
    hashed(lines[4])


def relink(lines: list[dict[str, Any]]) -> None:
    """An event that follows the one above by number, with another link and its hash made to fit."""
    place = next(n for n in range(2, len(lines)) if lines[n]["seq"] == lines[n - 1]["seq"] + 1)
    lines[place]["prev_hash"] = "0" * 64
    hashed(lines[place])


@pytest.mark.parametrize(
    ("change", "line", "ours", "theirs"),
    [
        (edit(3, actor="person:U0"), 4, "is not what was recorded", "it is not what was recorded"),
        (edit(3, body={}), 4, "the body of event", "its body is not what was recorded"),
        (edit(3, salt=""), 4, "no tombstone says why", "no tombstone says why"),
        (edit(3, workspace="T2"), 4, "another workspace's", "no event of this log"),
        (edit(3, proof=[]), 4, "not in the log", "not in the log"),
        (edit(3, note="hello"), 4, "not a line of the kind event", "no event of this log"),
        (forge, 6, "is not in the log", "not in the log"),
        (move, 5, "is not in the log", "not in the log"),
        (relink, 0, "does not follow", "does not follow"),
        (lambda lines: lines.insert(3, lines[2]), 4, "does not come after", "does not follow"),
        (lambda lines: lines.__setitem__(slice(2, 4), lines[3:1:-1]), 4, "does not come after", "does not follow"),
    ],
)  # fmt: skip
def test_what_somebody_with_the_key_changes_afterwards_is_refused_by_both(
    tmp_path: Path,
    small: export.Evidence,
    change: Callable[[list[dict[str, Any]]], object],
    line: int,
    ours: str,
    theirs: str,
) -> None:
    content = resealed(small.files[BUNDLE], change)
    found, (code, said) = both(tmp_path, content)
    assert ours in found.problem
    assert code == 1
    assert theirs in said
    if line:
        assert found.line == line
        assert "tombstone" in said or f"BAD at line {line}:" in said


def test_a_line_left_out_or_put_in_breaks_the_seal(tmp_path: Path, small: export.Evidence) -> None:
    lines = small.files[BUNDLE].splitlines(keepends=True)
    for content in (lines[:4] + lines[5:], lines[:4] + lines[5:6] + lines[5:], lines[:-1], lines[-1:], []):
        found, (code, _) = both(tmp_path, b"".join(content))
        assert (found.ok, code) == (False, 1)


def test_a_checkpoint_or_a_seal_by_another_key_is_refused(tmp_path: Path, small: export.Evidence) -> None:
    strange = checkpoints.sign(checkpoints.parse(json.loads(small.files[BUNDLE].splitlines()[0])["checkpoint"]), OTHER)
    for content, ours in (
        (resealed(small.files[BUNDLE], edit(0, checkpoint=strange)), "the checkpoint is not signed"),
        (resealed(small.files[BUNDLE], edit(0), OTHER), "the seal is not signed"),
        (resealed(small.files[BUNDLE], edit(0, public_key=raw(OTHER.public_key()).hex())), "not signed"),
    ):
        found, (code, _) = both(tmp_path, content)
        assert (ours in found.problem, code) == (True, 1)


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n{}\n", b"[]\n[]\n[]\n", b"\xff\n\xff\n", b"PK", b"[" * 9999 + b"\n1\n"]
)
def test_what_is_no_bundle_is_refused_with_a_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd").write_bytes(content)
    assert standalone(tmp_path / "odd")[0] == 1
    assert check(content).problem
    if content.startswith(b"PK"):
        with pytest.raises(BadInput, match="cannot be read"):
            check_file(tmp_path / "odd")


def test_a_bundle_cannot_name_files_outside_its_folder(tmp_path: Path, small: export.Evidence) -> None:
    (tmp_path / "secret").write_text("x")
    inner = tmp_path / "inner"
    inner.mkdir()
    digest = hashlib.sha256(b"x").hexdigest()
    lines = [json.loads(line) for line in small.files[BUNDLE].splitlines()[:-1]]
    lines[0]["files"] = {"../secret": digest}
    (inner / BUNDLE).write_bytes(with_seal([canonical(line) for line in lines]))
    assert check_file(inner / BUNDLE).missing == ("../secret",)


def test_a_line_that_is_written_otherwise_is_refused_though_it_says_the_same(
    tmp_path: Path, small: export.Evidence
) -> None:
    lines = small.files[BUNDLE].splitlines()[:-1]
    for number in (0, 4):
        spaced = [*lines[:number], lines[number].replace(b'":"', b'": "', 1), *lines[number + 1 :]]
        found = check(with_seal(spaced))
        assert (found.line, "not written as one" in found.problem) == (number + 1, True)
    (tmp_path / BUNDLE).write_bytes(with_seal(spaced))
    assert "BAD at line 5: ValueError: no event of this log" in standalone(tmp_path / BUNDLE)[1]


def test_a_seal_says_the_digest_that_it_signs_in_one_form(tmp_path: Path, small: export.Evidence) -> None:
    lines = small.files[BUNDLE].splitlines()[:-1]
    signature = json.loads(small.files[BUNDLE].splitlines()[-1])["signature"]
    for more in ({"sha256": "0" * 64}, {"signature": signature.upper()}, {"more": "words"}):
        found, (code, said) = both(tmp_path, with_seal(lines, **more))
        assert (found.ok, code) == (False, 1)
        assert "not the lines that were sealed" in said


def test_the_header_counts_the_events(small: export.Evidence) -> None:
    header, *events = [json.loads(line) for line in small.files[BUNDLE].splitlines()[:-1]]
    lines = [canonical({**header, "events": header["events"] + 1}), *map(canonical, events)]
    assert "the header says" in check(with_seal(lines)).problem


def test_a_checkpoint_of_another_log_proves_nothing(small: export.Evidence) -> None:
    found = checkpoints.parse(json.loads(small.files[BUNDLE].splitlines()[0])["checkpoint"])
    note = checkpoints.sign(replace(found, origin=checkpoints.origin_of("elsewhere")), KEY)
    assert (
        check(resealed(small.files[BUNDLE], edit(0, checkpoint=note))).problem
        == "the checkpoint is another workspace's"
    )


def test_an_event_has_its_place_in_the_log_and_no_other(tmp_path: Path, small: export.Evidence) -> None:
    """A log of one event cannot hold its twentieth."""
    event = rows_of(small.files[BUNDLE])[-1] | {"proof": []}
    root = merkle.leaf_of(bytes.fromhex(event["hash"]))
    alone = checkpoints.Checkpoint(checkpoints.origin_of("local"), 1, root, event["hash"], NOW)

    def one_event(lines: list[dict[str, Any]]) -> None:
        lines[:] = [lines[0] | {"checkpoint": checkpoints.sign(alone, KEY)}, event]

    found, (code, said) = both(tmp_path, resealed(small.files[BUNDLE], one_event))
    assert "is not in the log" in found.problem
    assert (code, "not in the log" in said) == (1, True)


def test_an_archive_with_two_members_of_a_name_is_refused(tmp_path: Path, small: export.Evidence) -> None:
    (tmp_path / "twice.zip").write_bytes(small.archive())
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(tmp_path / "twice.zip", "a") as archive:
        archive.writestr(BUNDLE, b"{}\n")
    assert check_file(tmp_path / "twice.zip").problem == "this archive does not hold one bundle.jsonl"


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=200))
def test_the_script_s_ed25519_agrees_with_the_library_s(message: bytes) -> None:
    is_signed = runpy.run_path(str(SCRIPT))["_is_signed"]
    text, key, signature = message.hex(), raw(KEY.public_key()), KEY.sign(message.hex().encode())
    assert is_signed(key, text, signature)
    assert not is_signed(key, text + " ", signature)
    assert not is_signed(raw(OTHER.public_key()), text, signature)
    order = 2**252 + 27742317777372353535851937790883648493
    high = (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert not is_signed(key, text, signature[:32] + high), "a second form of the same signature"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_the_script_s_canonical_json_is_rfc_8785(value: Any) -> None:
    assert runpy.run_path(str(SCRIPT))["_canonical"](value).encode() == canonical(value)


# --- attestations -----------------------------------------------------------------------------------------------------


def test_an_executed_change_is_an_in_toto_statement_about_the_action_s_digest(evidence: export.Evidence) -> None:
    found = attestation.verified(evidence.files["attestations/exe-unknown00001.json"], KEY.public_key())
    predicate = found["predicate"]
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["predicateType"] == "urn:personal-agent:executed-change:1"
    assert found["subject"][0]["digest"]["sha256"] == digest_of(predicate["bound"])
    assert predicate["decision"]["rule"] == "change-production"
    assert [vote["name"] for vote in predicate["approval"]["votes"]] == ["mara"]
    assert predicate["breakGlass"][0]["reviewed_by"] == "U07JONAS001"
    assert predicate["dryRun"]["sha256"] == hashlib.sha256(b"--- now\n+++ after\n-a: 1\n+a: 2").hexdigest()
    assert (predicate["execution"]["outcome"], predicate["verification"]["passed"]) == ("unknown", False)
    events = {each["seq"]: each["hash"] for each in rows_of(evidence.files[BUNDLE])}
    assert all(events[one["seq"]] == one["hash"] for one in predicate["journal"]["events"])


def test_openssl_verifies_an_attestation(tmp_path: Path, small: export.Evidence) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed here")
    envelope = json.loads(small.files["attestations/exe-clean0000001.json"])
    body = b64decode(envelope["payload"])
    (tmp_path / "pae").write_bytes(b"DSSEv1 28 application/vnd.in-toto+json %d %b" % (len(body), body))
    (tmp_path / "sig").write_bytes(b64decode(envelope["signatures"][0]["sig"]))
    (tmp_path / "key.pem").write_text(public_pem(KEY.public_key()))
    command = [
        "openssl",
        "pkeyutl",
        "-verify",
        "-rawin",
        "-pubin",
        "-inkey",
        "key.pem",
        "-sigfile",
        "sig",
        "-in",
        "pae",
    ]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    (tmp_path / "pae").write_bytes(b"DSSEv1 28 application/vnd.in-toto+json %d %b" % (len(body), body[:-1] + b" "))
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 1


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_any_change_of_an_attestation_breaks_it(small: export.Evidence, data: st.DataObject) -> None:
    envelope = json.loads(small.files["attestations/exe-clean0000001.json"])
    part = data.draw(st.sampled_from(["payload", "payloadType", "sig"]))
    holder = envelope["signatures"][0] if part == "sig" else envelope
    text = holder[part]
    place = data.draw(st.integers(0, len(text) - 3))
    sign = data.draw(st.sampled_from("ABCxyz019+/=").filter(lambda one: one != text[place]))
    holder[part] = text[:place] + sign + text[place + 1 :]
    with pytest.raises(BadInput):
        attestation.verified(json.dumps(envelope).encode(), KEY.public_key())


def test_an_attestation_beside_a_bundle_has_to_be_of_its_events(
    small: export.Evidence, evidence: export.Evidence
) -> None:
    events = {each["seq"]: each for each in rows_of(small.files[BUNDLE])}
    own = small.files["attestations/exe-clean0000001.json"]
    strange = evidence.files["attestations/exe-unknown00001.json"]
    assert attestation.problem_of(own, KEY.public_key(), events) == ""
    assert attestation.problem_of(strange, KEY.public_key(), events) == (
        "the attestation names events that are not in the bundle"
    )
    assert "not signed" in attestation.problem_of(own, OTHER.public_key(), events)
    assert "cannot be read" in attestation.problem_of(b"{}", KEY.public_key(), events)


def signed(statement: Mapping[str, Any], key: Ed25519PrivateKey = KEY) -> bytes:
    body = canonical(dict(statement))
    signature = key.sign(attestation.pae(attestation.PAYLOAD_TYPE, body))
    one = {"keyid": "", "sig": b64encode(signature).decode()}
    return canonical(
        {"payloadType": attestation.PAYLOAD_TYPE, "payload": b64encode(body).decode(), "signatures": [one]}
    )


def test_an_attestation_s_subject_is_the_digest_of_what_it_says_was_bound(small: export.Evidence) -> None:
    found = attestation.verified(small.files["attestations/exe-clean0000001.json"], KEY.public_key())
    found["predicate"]["bound"]["arguments"]["replicas"] = 60
    with pytest.raises(BadInput, match="not the digest of what it says was bound"):
        attestation.verified(signed(found), KEY.public_key())
    found["subject"][0]["digest"]["sha256"] = digest_of(found["predicate"]["bound"])
    events = {each["seq"]: each for each in rows_of(small.files[BUNDLE])}
    assert attestation.problem_of(signed(found), KEY.public_key(), events) == (
        "the attestation is of an execution that is not in the bundle"
    )
    with pytest.raises(BadInput, match="something else than an executed change"):
        attestation.verified(signed({**found, "predicateType": "urn:x"}), KEY.public_key())


def test_an_attestation_in_an_archive_is_looked_into_not_only_hashed(
    small: export.Evidence, evidence: export.Evidence
) -> None:
    strange = evidence.files["attestations/exe-unknown00001.json"]
    name = "attestations/exe-clean0000001.json"
    lines = [json.loads(line) for line in small.files[BUNDLE].splitlines()[:-1]]
    lines[0]["files"] = {name: hashlib.sha256(strange).hexdigest()}
    content = with_seal([canonical(line) for line in lines])
    assert check(content, files={name: strange}.get).problem == (
        f"{name}: the attestation names events that are not in the bundle"
    )


def test_base64_with_other_bits_for_the_same_bytes_is_another_attestation(small: export.Evidence) -> None:
    envelope = json.loads(small.files["attestations/exe-clean0000001.json"])
    text = envelope["signatures"][0]["sig"]
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    envelope["signatures"][0]["sig"] = f"{text[:-3]}{alphabet[alphabet.index(text[-3]) ^ 1]}=="
    assert b64decode(envelope["signatures"][0]["sig"]) == b64decode(text)
    with pytest.raises(BadInput, match="cannot be read"):
        attestation.verified(json.dumps(envelope).encode(), KEY.public_key())


# --- the changes of a period ------------------------------------------------------------------------------------------


def listed(path: Path, since: datetime) -> dict[str, dict[str, str]]:
    content = export.of_period(path, "local", since, KEY, NOW).files["changes.csv"]
    return {row["what"] + " " + row["state"]: row for row in csv.DictReader(io.StringIO(content.decode(), newline=""))}


def test_every_change_of_the_period_is_a_row_whatever_became_of_it(path: Path) -> None:
    rows = listed(path, NIGHT - timedelta(hours=2))
    assert sorted(rows) == [
        "kubernetes_cordon Denied",
        "kubernetes_restart Expired",
        "kubernetes_scale Denied by policy",
        "kubernetes_scale Verified",
        "kubernetes_set_resources Unknown",
    ]
    assert sorted(listed(path, NIGHT)) == [name for name in sorted(rows) if name != "kubernetes_scale Verified"]
    assert sorted(listed(path, NIGHT + timedelta(minutes=10))) == [
        "kubernetes_cordon Denied",
        "kubernetes_set_resources Unknown",
    ], "of a run that began before, what was decided since"
    assert listed(path, NIGHT + timedelta(days=1)) == {}


def test_a_row_answers_what_cc8_1_asks(path: Path) -> None:
    row = listed(path, NIGHT - timedelta(hours=2))["kubernetes_scale Verified"]
    expected = {
        "requested_by": "agent (rules), for an alert",
        "arguments": '{"name": "cart", "replicas": 6}',
        "target": "kubernetes/shop/Deployment/cart",
        "environment": "production",
        "rule": "change-production",
        "approvers_asked": "approvers",
        "approved_by": "mara (U07MARA0001) at 2026-11-28T02:02:31.400000Z",
        "denied_by": "",
        "dry_run": "yes, 4 lines",
        "executed_at": "2026-11-28T02:02:31.600000Z",
        "executed_by": "agent",
        "idempotency_key": "exe-clean0000001",
        "verified": "yes, 1 of 1 check",
        "undone": "no",
        "emergency": "no",
        "incident": CLEAN_INCIDENT,
        "run": CLEAN,
    }
    assert {name: row[name] for name in expected} == expected
    assert len(row["events"].split()) == len(row["hashes"].split()) == 6


def test_an_emergency_names_who_broke_the_glass_why_and_who_reviewed_it_when(path: Path) -> None:
    row = listed(path, NIGHT)["kubernetes_set_resources Unknown"]
    assert row["emergency"] == "glass-1 of mara (U07MARA0001)"
    assert row["emergency_reason"].startswith("Payments are down, nobody else is awake.")
    assert (row["reviewed_by"], row["reviewed_at"][:19]) == ("jonas (U07JONAS001)", "2026-11-29T04:02:11")
    assert row["review"] == "It was right to act; the limit was too low."


def test_escalation_and_delegation_stand_in_their_rows(path: Path) -> None:
    rows = listed(path, NIGHT)
    assert rows["kubernetes_restart Expired"]["approvers_asked"] == "approvers, leads"
    assert rows["kubernetes_cordon Denied"]["denied_by"].startswith("jonas (U07JONAS001) at ")
    assert rows["kubernetes_cordon Denied"]["approved_by"] == "", "who took it back has not approved"


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-2", "@SUM(A1)", "\t=1", "%0A", "a\r\n=b", "\u202ex"])
def test_no_cell_is_a_formula_or_hides_something(cell: str) -> None:
    from storage.evidence.period import COLUMNS, as_csv

    text = as_csv([dict.fromkeys(COLUMNS, cell)])
    (row,) = csv.reader(io.StringIO(text.split("\r\n", 1)[1], newline=""))
    assert not any(value[:1] in "=+-@\t\r%" or "\u202e" in value for value in row)
    assert text.count("\r\n") == 2


def test_the_bundle_of_a_period_verifies_and_has_an_attestation_per_executed_change(tmp_path: Path, path: Path) -> None:
    evidence = export.of_period(path, "local", NIGHT - timedelta(hours=2), KEY, NOW)
    (tmp_path / "period.zip").write_bytes(evidence.archive())
    assert check_file(tmp_path / "period.zip").ok
    assert standalone(tmp_path / "period.zip")[0] == 0
    assert len([name for name in evidence.files if name.startswith("attestations/")]) == 2
    assert evidence.subject["until"] == f"{NOW.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def test_a_period_without_changes_is_an_empty_list_that_verifies(tmp_path: Path, path: Path) -> None:
    evidence = export.of_period(path, "local", NOW, KEY, NOW)
    assert evidence.files["changes.csv"].count(b"\r\n") == 1
    assert check(evidence.files[BUNDLE]).events == 0


def test_hostile_words_are_in_the_bundle_as_they_were_and_steer_no_terminal(evidence: export.Evidence) -> None:
    opened = next(each for each in rows_of(evidence.files[BUNDLE]) if each["kind"] == "IncidentOpened")
    assert opened["body"]["incident"]["title"] == f"payments is down {HOSTILE}"
    assert all(sign.isprintable() or sign == "\n" for sign in evidence.files["README.txt"].decode())
