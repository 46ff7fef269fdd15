"""A checkpoint is a C2SP signed note: others can read ours, we read only what is exactly one, and no other key signs it."""

from __future__ import annotations

import base64
import subprocess
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, strategies as st

from domain.errors import BadInput, SettingsError
from storage.checkpoints import Checkpoint, origin_of, parse, sign, signed_by, verify_note, vkey
from storage.keys import private_pem, public_pem, raw, read_keys, retire, signing_key

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)

ROOT = base64.b64encode(sha256(b"root").digest()).decode()

WORKSPACES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
CHECKPOINTS = st.builds(
    Checkpoint,
    origin=WORKSPACES.map(origin_of),
    size=st.integers(0, 2**50),
    root=st.binary(min_size=32, max_size=32),
    head=st.binary(min_size=32, max_size=32).map(bytes.hex),
    at=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
)


def checkpoint(size: int = 1500, workspace: str = "T1") -> Checkpoint:
    return Checkpoint(origin_of(workspace), size, sha256(b"root").digest(), sha256(b"head").hexdigest(), NOON)


# --- notes ------------------------------------------------------------------------------------------------------------


@given(CHECKPOINTS)
def test_a_signed_checkpoint_is_read_back_and_verifies_with_its_key_alone(given_one: Checkpoint) -> None:
    note = sign(given_one, KEY)
    assert parse(note) == given_one
    assert verify_note(note, KEY.public_key())
    assert not verify_note(note, OTHER.public_key())


@given(WORKSPACES)
def test_a_workspace_stands_in_its_origin_whatever_its_name(workspace: str) -> None:
    assert checkpoint(workspace=workspace).workspace == workspace
    assert not set(origin_of(workspace)) & set(" +\n\t")  # what a key's name may not have


def test_a_note_has_the_lines_that_the_format_asks_for() -> None:
    note = sign(checkpoint(), KEY)
    origin, size, root, head, at, empty, signature, end = note.split("\n")
    assert (origin, size, empty, end) == ("personal-agent/T1", "1500", "", "")
    assert base64.b64decode(root) == sha256(b"root").digest()
    assert head == f"head {sha256(b'head').hexdigest()}"
    assert at == "at 2026-03-01T12:00:00.000000Z"
    dash, name, encoded = signature.split(" ")
    public = raw(KEY.public_key())
    key_id = sha256(b"personal-agent/T1\n\x01" + public).digest()[:4]
    assert (dash, name) == ("—", "personal-agent/T1")
    assert base64.b64decode(encoded)[:4] == key_id
    assert vkey("T1", KEY.public_key()) == (
        f"personal-agent/T1+{key_id.hex()}+{base64.b64encode(chr(1).encode() + public).decode()}"
    )


def test_the_note_that_go_s_documentation_shows_verifies() -> None:
    """golang.org/x/mod/sumdb/note: signed by a program that is not ours."""
    name, _, encoded = ["PeterNeumann", "c74f20a3", "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"]
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded)[1:])
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    signature = (
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert signed_by(text, signature, name, key)
    assert not signed_by(text.replace("don't", "do"), signature, name, key)
    assert not signed_by(text, signature, "PeterNewmann", key)


def test_openssl_checks_the_signature_with_the_public_key_alone(tmp_path: Path) -> None:
    note = sign(checkpoint(), KEY)
    text, _, signature = note.rpartition("\n\n")
    (tmp_path / "text").write_text(f"{text}\n")
    (tmp_path / "signature").write_bytes(base64.b64decode(signature.split(" ")[2])[4:])
    (tmp_path / "key.pem").write_text(public_pem(KEY.public_key()))
    check = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "key.pem", "-rawin", "-in", "text"]
    done = subprocess.run([*check, "-sigfile", "signature"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Verified Successfully" in done.stdout, done.stderr


@given(CHECKPOINTS, st.data())
def test_a_note_with_one_character_changed_is_refused_or_not_signed(given_one: Checkpoint, data: st.DataObject) -> None:
    note = sign(given_one, KEY)
    at = data.draw(st.integers(0, note.rindex("\n\n")))
    other = data.draw(st.characters(exclude_characters=note[at]))
    changed = note[:at] + other + note[at + 1 :]
    with suppress(BadInput):
        assert parse(changed) != given_one
    assert not verify_note(changed, KEY.public_key())


@given(st.text() | st.text(st.sampled_from("\n— 0aT=/+")).map(lambda tail: sign(checkpoint(), KEY)[:-20] + tail))
def test_any_text_is_a_checkpoint_or_bad_input(text: str) -> None:
    with suppress(BadInput):
        parse(text)
    verify_note(text, KEY.public_key())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("personal-agent/T1\n1500", "someone-else/T1\n1500"),
        ("personal-agent/T1\n1500", "personal-agent/T%31\n1500"),
        ("\n1500\n", "\n01500\n"),
        ("\n1500\n", "\n-1500\n"),
        ("\n1500\n", "\n１５00\n"),
        ("head ", "head  "),
        ("at 2026-03-01", "at 2026-13-01"),
        ("at 2026", "witness x\nat 2026"),
        ("=\nhead", "\nhead"),
        ("=\nhead", "==\nhead"),
        (ROOT, base64.b64encode(b"r" * 31).decode()),
        (ROOT, base64.b64encode(b"r" * 33).decode()),
        (ROOT, f"{ROOT[:-2]}{chr(ord(ROOT[-2]) + 1)}="),  # the same bytes, written with other spare bits
        ("\n\n— ", "\n\n- "),
        ("\n\n", "\n"),
    ],
)
def test_what_is_not_exactly_a_checkpoint_is_refused_even_where_it_is_signed(old: str, new: str) -> None:
    note = sign(checkpoint(), KEY)
    assert note.count(old) == 1
    with pytest.raises(BadInput):
        parse(note.replace(old, new))


def test_another_s_signature_beside_ours_changes_nothing() -> None:
    note = sign(checkpoint(), KEY) + "— witness.example/w1 jWbPPwAAAABkGFDL\n"
    assert parse(note) == checkpoint()
    assert verify_note(note, KEY.public_key())


def test_a_signature_for_one_workspace_is_none_for_another() -> None:
    text, _, signature = sign(checkpoint(), KEY).rpartition("\n\n")
    assert not verify_note(f"{text.replace('/T1', '/T2')}\n\n{signature.replace('/T1', '/T2')}", KEY.public_key())


# --- keys -------------------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "agent.db.key"
    key = signing_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert raw(signing_key(path).public_key()) == raw(key.public_key())
    assert [entry.name for entry in tmp_path.iterdir()] == ["agent.db.key"]


def test_a_retired_key_still_verifies_and_signs_no_more(tmp_path: Path) -> None:
    path = tmp_path / "key"
    first = signing_key(path)
    second, third = retire(path), retire(path)
    keys = read_keys(path)
    assert keys.signing is not None
    assert raw(keys.signing.public_key()) == raw(third.public_key())
    assert [*map(raw, keys.public)] == [raw(key.public_key()) for key in (third, second, first)]
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().count("PRIVATE KEY") == 2  # one block


def test_an_auditor_needs_the_public_key_alone(tmp_path: Path) -> None:
    path = tmp_path / "auditor.pem"
    path.write_text(f"from the runbook\r\n{public_pem(KEY.public_key())}{public_pem(OTHER.public_key())}")
    keys = read_keys(path)
    assert keys.signing is None
    assert [*map(raw, keys.public)] == [raw(KEY.public_key()), raw(OTHER.public_key())]
    with pytest.raises(SettingsError, match="public keys only"):
        signing_key(path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "holds no key"),
        (b"\xff\xfe", "it is not text"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be read"),
        (b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", "encrypted"),
        ((public_pem(KEY.public_key()) + private_pem(KEY)).encode(), "has to stand first"),
    ],
)
def test_a_file_that_holds_no_usable_key_is_said_to(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match=sentence):
        signing_key(path)


def test_a_key_that_is_not_ed25519_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    subprocess.run(["openssl", "genpkey", "-algorithm", "X25519", "-out", path], check=True, capture_output=True)
    with pytest.raises(SettingsError, match="not Ed25519"):
        signing_key(path)


def test_a_key_that_cannot_be_made_is_said_to(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be made"):
        signing_key(tmp_path / "nowhere" / "key")
