"""Is this bundle what it says? Every body, event, link, proof and signature in it, without the database it came from."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from domain.canonical import canonical
from domain.errors import BadInput
from storage.chain import hash_of_body, hash_of_event
from storage.checkpoints import Checkpoint, parse, verify_note
from storage.evidence import attestation
from storage.evidence.bundle import EVENT, FORMAT, HEADER, SEAL, sealed
from storage.keys import raw
from storage.merkle import verify_inclusion

BUNDLE = "bundle.jsonl"
_LARGEST = 1 << 30  # bytes that a member of an archive may have unpacked


@dataclass(frozen=True)
class Checked:
    """What was found. `line` is the number of the first line that is wrong (0: none in particular), `problem` says how.

    `erased` bodies are gone under a tombstone; `missing` are files that the bundle names and that were not beside it.
    """

    events: int = 0
    line: int = 0
    problem: str = ""
    subject: Mapping[str, str] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    public_key: str = ""
    erased: int = 0
    files: int = 0
    missing: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.problem


class _Bad(Exception):
    """A line that is wrong."""


Files = Callable[[str], bytes | None]
"""The content of a file that goes with a bundle, None where it is not there."""


def check_file(path: Path, keys: Sequence[Ed25519PublicKey] = ()) -> Checked:
    """Check a bundle in a file, or in the archive that holds it. `keys` are those that may have signed it; without them
    the key in the bundle is believed. Raises BadInput where the file cannot be read.
    """
    try:
        content = path.read_bytes()
        if not content.startswith(b"PK"):
            return check(content, keys, lambda name: _beside(path, name))
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            if names.count(BUNDLE) != 1 or len(set(names)) != len(names):
                return Checked(problem=f"this archive does not hold one {BUNDLE}")
            return check(_member(archive, BUNDLE) or b"", keys, lambda name: _member(archive, name))
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from error


def _beside(path: Path, name: str) -> bytes | None:
    """A file beside the bundle; only below its folder."""
    root = path.resolve().parent
    found = (root / name).resolve()
    return found.read_bytes() if found.is_relative_to(root) and found.is_file() else None


def _member(archive: zipfile.ZipFile, name: str) -> bytes | None:
    if name not in archive.namelist() or archive.getinfo(name).file_size > _LARGEST:
        return None
    return archive.read(name)


def check(content: bytes, keys: Sequence[Ed25519PublicKey] = (), files: Files = lambda name: None) -> Checked:
    """Check a bundle's bytes, and the files that it names."""
    if not content.endswith(b"\n"):
        return Checked(problem="the file does not end with a line's end: it was cut off")
    lines = content[:-1].split(b"\n")
    if len(lines) < 2:
        return Checked(problem="this is no bundle: a header, events and a seal are expected")
    at, events = 1, dict[int, dict[str, Any]]()
    try:
        header, checkpoint, key = _header(lines[0], keys)
        for line in lines[1:-1]:
            at += 1
            event = _event(line, header["workspace"], checkpoint, events)
            events[event["seq"]] = event
        at += 1
        _seal(content[: len(content) - len(lines[-1]) - 1], lines[-1], key)
    except _Bad as error:
        return Checked(line=at, problem=str(error))
    found = Checked(len(events), 0, "", header["subject"], checkpoint, header["public_key"])
    return _whole(found, header, events, files)


def _whole(found: Checked, header: Mapping[str, Any], events: Mapping[int, dict[str, Any]], files: Files) -> Checked:
    """What concerns more than one line."""
    place = {seq: number for number, seq in enumerate(events, 2)}
    erased = [seq for seq, event in events.items() if not event["salt"]]
    for seq in erased:
        if not _has_tombstone(events, events[seq]):
            return replace(
                found, line=place[seq], problem=f"the body of event {seq} is gone, and no tombstone says why"
            )
    if header["events"] != len(events):
        return replace(found, line=1, problem=f"the header says {header['events']} events, and there are {len(events)}")
    contents = {name: files(name) for name in header["files"]}
    missing = tuple(name for name, content in contents.items() if content is None)
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(header["public_key"]))
    for name, content in contents.items():
        if content is None:
            continue
        if hashlib.sha256(content).hexdigest() != header["files"][name]:
            return replace(found, problem=f"{name} is not the file that was exported")
        if name.startswith("attestations/") and (problem := attestation.problem_of(content, key, events)):
            return replace(found, problem=f"{name}: {problem}")
    return replace(found, erased=len(erased), files=len(contents) - len(missing), missing=missing)


def _has_tombstone(events: Mapping[int, dict[str, Any]], event: Mapping[str, Any]) -> bool:
    return any(
        other["kind"] == "BodyErased"
        and other["salt"]
        and other["seq"] > event["seq"] == other["body"]["seq"]
        and other["body"]["remains"] == event["body"]
        for other in events.values()
    )


# --- lines ------------------------------------------------------------------------------------------------------------


def _parsed(line: bytes, kind: str, fields: Sequence[str]) -> dict[str, Any]:
    """A line's object. It has exactly these fields and is written the one way that it can be."""
    try:
        value = json.loads(line)
        same = canonical(value) == line
    except (ValueError, RecursionError, BadInput) as error:
        raise _Bad(f"no canonical JSON: {error}") from error
    if not isinstance(value, dict) or not same or value.get("type") != kind or tuple(sorted(value)) != tuple(fields):
        raise _Bad(f"not a line of the kind {kind}, or not written as one")
    return value


def _header(line: bytes, keys: Sequence[Ed25519PublicKey]) -> tuple[dict[str, Any], Checkpoint, Ed25519PublicKey]:
    header = _parsed(line, "header", HEADER)
    try:
        if header["format"] != FORMAT:
            raise _Bad(f"its format is {header['format']}, and this version knows {FORMAT}")
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(header["public_key"]))
        checkpoint = parse(header["checkpoint"])
        signed = verify_note(header["checkpoint"], key)
        dict(header["files"]), dict(header["subject"])
    except (BadInput, ValueError, TypeError, AttributeError) as error:
        raise _Bad(f"the header cannot be used: {error}") from error
    if keys and raw(key) not in map(raw, keys):
        raise _Bad("the bundle was signed by another key than the given one")
    if not signed:
        raise _Bad("the checkpoint is not signed by the bundle's key")
    if checkpoint.workspace != header["workspace"]:
        raise _Bad("the checkpoint is another workspace's")
    return header, checkpoint, key


def _seal(above: bytes, line: bytes, key: Ed25519PublicKey) -> None:
    seal = _parsed(line, "seal", SEAL)
    digest = hashlib.sha256(above).hexdigest()
    if seal["sha256"] != digest:
        raise _Bad("the seal is of other lines: something was changed, added or left out")
    try:
        signature = bytes.fromhex(seal["signature"])
        if signature.hex() != seal["signature"]:
            raise _Bad("the seal's signature is not written as one")
        key.verify(signature, sealed(digest))
    except (InvalidSignature, ValueError, TypeError) as error:
        raise _Bad("the seal is not signed by the bundle's key") from error


def _event(line: bytes, workspace: str, checkpoint: Checkpoint, before: dict[int, dict[str, Any]]) -> dict[str, Any]:
    event = _parsed(line, "event", EVENT)
    try:
        seq, last, salt = event["seq"], next(reversed(before), 0), event["salt"]
        if not isinstance(seq, int) or seq <= last or not isinstance(salt, str) or event["workspace"] != workspace:
            raise _Bad("this event does not come after the one above, or is another workspace's")
        if salt and hash_of_body(salt, canonical(event["body"])) != event["body_hash"]:
            raise _Bad(f"the body of event {seq} is not what was recorded")
        chained = ("workspace", "seq", "incident_id", "run_id", "at", "actor", "kind", "body_hash", "prev_hash")
        if hash_of_event(*(event[name] for name in chained)) != event["hash"]:
            raise _Bad(f"event {seq} is not what was recorded")
        if seq - 1 in before and before[seq - 1]["hash"] != event["prev_hash"]:
            raise _Bad(f"event {seq} does not follow event {seq - 1}")
        proof = [bytes.fromhex(node) for node in event["proof"]]
        if not verify_inclusion(bytes.fromhex(event["hash"]), seq - 1, checkpoint.size, proof, checkpoint.root):
            raise _Bad(f"event {seq} is not in the log that the checkpoint is of")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _Bad(f"this event cannot be read: {error}") from error
    return event
