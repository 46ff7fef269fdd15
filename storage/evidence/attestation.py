"""One executed change as an in-toto statement in a DSSE envelope, signed with the journal's key.

The subject is the action's digest: what the approval bound and the execution named. The predicate says who and what let it
happen and what came of it; docs/audit.md lists its fields. Formats: https://github.com/in-toto/attestation (Statement v1)
and https://github.com/secure-systems-lab/dsse.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain.canonical import canonical, digest_of, sha256 as hex_of
from domain.codec import encode, timestamp
from domain.errors import BadInput
from storage.evidence.changes import Change
from storage.evidence.story import Story

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:personal-agent:executed-change:1"


def attest(
    change: Change, story: Story, workspace: str, note: str, proofs: Mapping[int, Sequence[str]], key: Ed25519PrivateKey
) -> bytes:
    """The signed envelope of an executed change, as JSON. `note` and `proofs` are the bundle's."""
    body = canonical(statement(change, story, workspace, note, proofs))
    signature = {
        "keyid": key_id(key.public_key()),
        "sig": base64.b64encode(key.sign(pae(PAYLOAD_TYPE, body))).decode(),
    }
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(body).decode(),
        "signatures": [signature],
    }
    return canonical(envelope) + b"\n"


def pae(payload_type: str, body: bytes) -> bytes:
    """DSSE's pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(body), body)


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 over the key as openssl writes it (DER)."""
    return hex_of(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def statement(
    change: Change, story: Story, workspace: str, note: str, proofs: Mapping[int, Sequence[str]]
) -> dict[str, Any]:
    """The in-toto statement."""
    action = change.action
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": f"{action.tool} {action.target.key}", "digest": {"sha256": change.digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "workspace": workspace,
            "incident": change.incident_id,
            "run": change.run_id,
            "bound": _bound(change),
            "touches": action.touches,
            "undo": encode(action.undo),
            "dryRun": {"sha256": hex_of(action.diff.encode()), "lines": len(action.diff.splitlines())},
            "decision": _decision(change),
            "approval": _approval(change),
            "breakGlass": _glasses(change, story),
            "execution": _execution(change),
            "verification": _verification(change),
            "journal": {
                "checkpoint": note,
                "events": [
                    {
                        "seq": fact.seq,
                        "kind": type(fact.event).__name__,
                        "hash": fact.hash,
                        "proof": list(proofs[fact.seq]),
                    }
                    for fact in change.events
                ],
            },
        },
    }


def _bound(change: Change) -> dict[str, Any]:
    """What the digest is of: SHA-256 over the canonical JSON of this."""
    action = change.asked.event.request.action if change.asked is not None else change.action
    return {
        "tool": action.tool,
        "arguments": encode(action.arguments),
        "effect": action.effect.value,
        "target": encode(action.target),
        "observed": encode(action.observed),
        "policy": change.decision.policy_hash,
    }


def _decision(change: Change) -> dict[str, Any]:
    decision = change.decision
    return {
        "outcome": decision.outcome.value,
        "rule": decision.rule,
        "reason": decision.reason,
        "policy": decision.policy_hash,
        "at": timestamp(change.decided.at),
    }


def _approval(change: Change) -> dict[str, Any] | None:
    if change.asked is None:
        return None
    request = change.asked.event.request
    return {
        "request": request.id,
        "requestedAt": timestamp(request.requested_at),
        "expiresAt": timestamp(request.expires_at),
        "requester": request.requester,
        "groups": list(request.terms.groups),
        "quorum": request.terms.quorum,
        "votes": [{**encode(fact.event.vote), "recordedAt": timestamp(fact.at)} for fact in change.votes],
    }


def _glasses(change: Change, story: Story) -> list[dict[str, Any]]:
    reviews = {fact.event.glass_id: fact for fact in story.reviews}
    return [
        {
            **encode(fact.event.glass),
            "reviewed_by": reviews[fact.event.glass.id].event.user if fact.event.glass.id in reviews else "",
            "reviewed_at": timestamp(reviews[fact.event.glass.id].at) if fact.event.glass.id in reviews else None,
        }
        for fact in story.glasses
        if fact.event.glass.id in change.glasses
    ]


def _execution(change: Change) -> dict[str, Any] | None:
    started, finished = change.started, change.finished
    if started is None:
        return None
    return {
        "id": started.event.execution_id,
        "idempotencyKey": started.event.key,
        "startedAt": timestamp(started.at),
        "finishedAt": timestamp(finished.at) if finished else None,
        "outcome": finished.event.outcome.value if finished else None,
        "detail": finished.event.detail if finished else "",
        "undoes": started.event.undoes,
    }


def _verification(change: Change) -> dict[str, Any] | None:
    if change.verified is None:
        return None
    checks = change.verified.event.checks
    return {
        "passed": type(change.verified.event).__name__ == "VerificationPassed",
        "at": timestamp(change.verified.at),
        "checks": [encode(check) for check in checks],
    }


# --- checking ---------------------------------------------------------------------------------------------------------


def verified(content: bytes, key: Ed25519PublicKey) -> dict[str, Any]:
    """The statement in a signed envelope. Raises BadInput where it is not this key's, or no executed change."""
    try:
        envelope = json.loads(content)
        body = _decoded(envelope["payload"])
        signatures = [_decoded(one["sig"]) for one in envelope["signatures"]]
        signed = envelope["payloadType"] == PAYLOAD_TYPE and any(
            _is_signed(key, signature, pae(PAYLOAD_TYPE, body)) for signature in signatures
        )
        found = json.loads(body) if signed else {}
        if not signed:
            raise BadInput("the attestation is not signed by the key")
        if found["_type"] != STATEMENT_TYPE or found["predicateType"] != PREDICATE_TYPE:
            raise BadInput("the attestation is of something else than an executed change")
        if digest_of(found["predicate"]["bound"]) != found["subject"][0]["digest"]["sha256"]:
            raise BadInput("the attestation's subject is not the digest of what it says was bound")
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise BadInput(f"the attestation cannot be read: {error}") from error
    result: dict[str, Any] = found
    return result


def problem_of(content: bytes, key: Ed25519PublicKey, events: Mapping[int, Mapping[str, Any]]) -> str:
    """What is wrong with an attestation beside a bundle's events; empty where nothing is."""
    try:
        found = verified(content, key)
        listed = [(one["seq"], one["hash"]) for one in found["predicate"]["journal"]["events"]]
        digest = found["subject"][0]["digest"]["sha256"]
    except BadInput as error:
        return str(error)
    except (KeyError, TypeError) as error:
        return f"the attestation cannot be read: {error}"
    if any(seq not in events or events[seq]["hash"] != listed_hash for seq, listed_hash in listed):
        return "the attestation names events that are not in the bundle"
    started = [events[seq] for seq, _ in listed if events[seq]["kind"] == "ExecutionStarted"]
    if not started or started[0]["body"].get("digest") != digest:
        return "the attestation is of an execution that is not in the bundle"
    return ""


def _decoded(text: str) -> bytes:
    """Base64 in the one form that it can have. Raises ValueError."""
    decoded = base64.b64decode(text, validate=True)
    if base64.b64encode(decoded).decode() != text:
        raise ValueError("base64 with bits that say nothing")
    return decoded


def _is_signed(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
