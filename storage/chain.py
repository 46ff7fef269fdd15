"""The chain: what is hashed, over which bytes.

A body's hash covers its salt (32 hex digits, as text) followed by the body's canonical bytes. An event's hash covers the
canonical JSON of its other fields, `prev_hash` among them, so one head hash stands for everything before it.
"""

from __future__ import annotations

import hashlib
from json.encoder import encode_basestring as quoted

GENESIS = "0" * 64
"""What the first event of a workspace has as `prev_hash`."""


def hash_of_body(salt: str, body: bytes) -> str:
    """SHA-256 in hex over salt and body."""
    return hashlib.sha256(salt.encode() + body).hexdigest()


def hash_of_event(
    workspace: str,
    seq: int,
    incident_id: str,
    run_id: str,
    at: str,
    actor: str,
    kind: str,
    body_hash: str,
    prev_hash: str,
) -> str:
    """SHA-256 in hex over the canonical form of an event's fields but body and salt.

    Written out in RFC 8785's key order, because this runs for every event and again for every event verified.
    """
    header = (
        f'{{"actor":{quoted(actor)},"at":{quoted(at)},"body_hash":{quoted(body_hash)},'
        f'"incident_id":{quoted(incident_id)},"kind":{quoted(kind)},"prev_hash":{quoted(prev_hash)},'
        f'"run_id":{quoted(run_id)},"seq":{seq},"workspace":{quoted(workspace)}}}'
    )
    return hashlib.sha256(header.encode()).hexdigest()
