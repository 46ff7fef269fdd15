"""A bundle: events with their inclusion proofs in one JSONL file that verifies on another machine.

    {"type":"header", …}       whose log, what of it, the signed checkpoint, the public key, the files that go with it
    {"type":"event", …}        one line an event: every field of its row, its body, its salt, its inclusion proof
    {"type":"seal", …}         the digest of all lines above, signed: nothing was left out or added since

Every line is canonical JSON (RFC 8785) and nothing else, so that each thing can be written in one way only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from json.encoder import encode_basestring as quoted

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.canonical import canonical
from domain.codec import timestamp
from storage.evidence.records import Record
from storage.keys import raw

FORMAT = "personal-agent/evidence/1"
HEADER = ("checkpoint", "events", "exported_at", "files", "format", "public_key", "subject", "type", "workspace")
EVENT = (
    *("actor", "at", "body", "body_hash", "hash", "incident_id", "kind", "prev_hash", "proof", "run_id", "salt", "seq"),
    *("type", "workspace"),
)
SEAL = ("sha256", "signature", "type")


@dataclass(frozen=True)
class Bundle:
    """What goes into one. `subject` says what was asked for: a run and its incident, or a period; `note` is the signed
    checkpoint, `proofs` are by `seq`, and `files` name what goes with it, each with its SHA-256.
    """

    workspace: str
    subject: Mapping[str, str]
    records: Sequence[Record]
    proofs: Mapping[int, Sequence[str]]
    note: str
    exported_at: datetime
    files: Mapping[str, str] = field(default_factory=dict)


def write(bundle: Bundle, key: Ed25519PrivateKey) -> bytes:
    """The file, sealed with the journal's key."""
    header = canonical(
        {
            "type": "header",
            "format": FORMAT,
            "workspace": bundle.workspace,
            "subject": dict(bundle.subject),
            "public_key": raw(key.public_key()).hex(),
            "checkpoint": bundle.note,
            "exported_at": timestamp(bundle.exported_at),
            "events": len(bundle.records),
            "files": dict(bundle.files),
        }
    )
    lines = [header, *(event_line(record, bundle.proofs[record.seq]) for record in bundle.records)]
    above = b"".join(line + b"\n" for line in lines)
    digest = hashlib.sha256(above).hexdigest()
    seal = {"type": "seal", "sha256": digest, "signature": key.sign(sealed(digest)).hex()}
    return above + canonical(seal) + b"\n"


def sealed(digest: str) -> bytes:
    """What the seal's signature is over. No checkpoint and no attestation looks like this."""
    return f"personal-agent bundle\n{digest}\n".encode()


def event_line(record: Record, proof: Iterable[str]) -> bytes:
    """An event as a line. The body is put in as it stands in the journal, where it is canonical already."""
    path = ",".join(f'"{node}"' for node in proof)
    return (
        f'{{"actor":{quoted(record.actor)},"at":{quoted(record.at)},"body":{record.body},'
        f'"body_hash":"{record.body_hash}","hash":"{record.hash}","incident_id":{quoted(record.incident_id)},'
        f'"kind":{quoted(record.kind)},"prev_hash":"{record.prev_hash}","proof":[{path}],'
        f'"run_id":{quoted(record.run_id)},"salt":"{record.salt}","seq":{record.seq},"type":"event",'
        f'"workspace":{quoted(record.workspace)}}}'
    ).encode()
