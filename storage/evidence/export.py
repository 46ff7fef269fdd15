"""Evidence as files: of a run, of an incident with all its runs, or of a period. What is proved is proved offline."""

from __future__ import annotations

import hashlib
import io
import sqlite3
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage import checkpoints
from storage.database import looking_at
from storage.evidence import attestation, bundle, period, words
from storage.evidence.check import BUNDLE
from storage.evidence.head import sentence, verdict
from storage.evidence.records import gather
from storage.evidence.story import Story, story_of
from storage.evidence.timeline import Proof, render
from storage.keys import raw

CHANGES = "changes.csv"
TIMELINE = "timeline.html"
_ALL = 100  # runs of one incident


@dataclass(frozen=True)
class Evidence:
    """Files by name; `bundle.jsonl` is the evidence, the others are drawn from it or go with it.

    `title` and `verdict` say in words what it is of.
    """

    subject: Mapping[str, str]
    title: str
    verdict: str
    events: int
    files: Mapping[str, bytes]
    exported_at: datetime

    @property
    def name(self) -> str:
        """What it is called as a file, without a suffix."""
        return self.subject.get("run") or self.subject.get("incident") or f"changes-{self.exported_at:%Y-%m-%d}"

    def archive(self) -> bytes:
        """All of it in one ZIP."""
        buffer, at = io.BytesIO(), self.exported_at.astimezone(UTC).timetuple()[:6]
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in self.files.items():
                member = zipfile.ZipInfo(name, at)
                member.compress_type, member.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(member, content)
        return buffer.getvalue()


def of_reference(
    path: str | Path, workspace: str, reference: str, key: Ed25519PrivateKey, now: datetime
) -> Evidence | None:
    """The evidence of a run, or of an incident with all its runs; None where the workspace has neither.

    Raises JournalError where the database cannot be read.
    """
    with looking_at(Path(path)) as db:
        runs = _runs(db, workspace, reference)
        if not runs:
            return None
        incident = _incident_of(db, workspace, runs[0])
        subject = {"incident": incident} if reference == incident else {"run": reference, "incident": incident}
        return _exported(db, workspace, {name: of for name, of in subject.items() if of}, runs, key, now)


def of_period(path: str | Path, workspace: str, since: datetime, key: Ed25519PrivateKey, now: datetime) -> Evidence:
    """The evidence of every change that was proposed since then, with the list of them. Raises JournalError."""
    with looking_at(Path(path)) as db:
        runs = period.runs_since(db, workspace, since)
        subject = {"since": f"{since:%Y-%m-%dT%H:%M:%SZ}", "until": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
        more = {CHANGES: period.as_csv(period.rows(db, workspace, since)).encode()}
        return _exported(db, workspace, subject, runs, key, now, more)


def changes_since(path: str | Path, workspace: str, since: datetime) -> list[dict[str, str]]:
    """The list of changes alone. Raises JournalError."""
    with looking_at(Path(path)) as db:
        return period.rows(db, workspace, since)


def _runs(db: sqlite3.Connection, workspace: str, reference: str) -> list[str]:
    found = db.execute(
        "SELECT id FROM runs WHERE workspace = ? AND (id = ? OR incident_id = ?) AND ? <> '' ORDER BY seq LIMIT ?",
        (workspace, reference, reference, reference, _ALL),
    )
    return [str(name) for (name,) in found]


def _incident_of(db: sqlite3.Connection, workspace: str, run_id: str) -> str:
    (incident,) = db.execute(
        "SELECT incident_id FROM runs WHERE workspace = ? AND id = ?", (workspace, run_id)
    ).fetchone()
    return str(incident)


def _exported(
    db: sqlite3.Connection,
    workspace: str,
    subject: Mapping[str, str],
    runs: Sequence[str],
    key: Ed25519PrivateKey,
    now: datetime,
    more: Mapping[str, bytes] | None = None,
) -> Evidence:
    by_run = {run_id: gather(db, workspace, run_id) for run_id in runs}
    records = list({record.seq: record for found in by_run.values() for record in found}.values())
    records.sort(key=lambda record: record.seq)
    note = _note(db, workspace, records[-1].seq if records else 0, key, now)
    checkpoint = checkpoints.parse(note)
    proofs = checkpoints.proofs(db, workspace, [record.seq for record in records], checkpoint.size)
    proof = Proof(note, checkpoint.size, checkpoint.root.hex(), raw(key.public_key()).hex(), now)
    made: dict[str, bytes] = dict(more or {})
    stories: list[Story] = []
    for run_id, found in by_run.items():
        envelopes = [record.envelope for record in found]
        stories.append(story_of(envelopes, run_id))
        if "since" not in subject:
            name = TIMELINE if len(runs) == 1 else f"timeline-{run_id}.html"
            made[name] = render(envelopes, proof=proof, run_id=run_id).encode()
        for change in stories[-1].changes:
            if change.started is not None:
                name = f"attestations/{change.started.event.execution_id}.json"
                made[name] = attestation.attest(change, stories[-1], workspace, note, proofs, key)
    title, word = _title(stories, subject), _verdict(stories, subject)
    made["README.txt"] = _readme(title, word, subject, len(records), made).encode()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in made.items()}
    sealed = bundle.write(bundle.Bundle(workspace, subject, records, proofs, note, now, digests), key)
    return Evidence(subject, title, word, len(records), {BUNDLE: sealed, **made, "verify.py": script()}, now)


def script() -> bytes:
    """The standalone verifier, as it goes with every archive."""
    return (files("storage.evidence") / "verify_bundle.py").read_bytes()


def _note(db: sqlite3.Connection, workspace: str, last: int, key: Ed25519PrivateKey, now: datetime) -> str:
    """The newest recorded checkpoint that covers everything, because copies of it stand elsewhere; else a fresh one."""
    public = key.public_key()
    found = db.execute(
        "SELECT b.body ->> '$.note' FROM events AS e JOIN event_bodies AS b USING (workspace, seq)"
        " WHERE e.workspace = ? AND e.kind = 'CheckpointSigned' AND b.body ->> '$.size' >= ? ORDER BY e.at DESC LIMIT 1",
        (workspace, last),
    ).fetchone()
    if found is not None and checkpoints.verify_note(found[0], public):
        return str(found[0])
    return checkpoints.fresh(db, workspace, key, now)


# --- words ------------------------------------------------------------------------------------------------------------


def _title(stories: Sequence[Story], subject: Mapping[str, str]) -> str:
    if "since" in subject:
        return f"Changes from {subject['since']} to {subject['until']}"
    return stories[0].title if stories else "Nothing"


def _verdict(stories: Sequence[Story], subject: Mapping[str, str]) -> str:
    if "since" in subject or not stories:
        return words.plural(sum(len(story.changes) for story in stories), "proposed change")
    return "; ".join(f"{verdict(story)[0]}: {sentence(story)}" for story in stories)


def _readme(title: str, word: str, subject: Mapping[str, str], events: int, made: Mapping[str, bytes]) -> str:
    pages = ", ".join(name for name in made if name.endswith(".html"))
    lines = [
        _plain(title),
        _plain(word),
        f"Of {', '.join(f'{name} {of}' for name, of in subject.items())}; {words.plural(events, 'event')}.",
        "",
        f"{BUNDLE}      the evidence: each event with its body, its hash and its proof",
        *([f"{pages}     the same to read and to print"] if pages else []),
        *([f"{CHANGES}       one row a change, for sampling (SOC 2 CC8.1)"] if CHANGES in made else []),
        "attestations/     one signed in-toto statement per executed change (DSSE)",
        "verify.py         checks all of it: python3 verify.py <this archive> [public key in hex]",
        "Compare the public key that it prints with one that you were given another way.",
    ]
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Recorded words on one line of a text file, with nothing in them that steers a terminal."""
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in " ".join(text.split()))[:400]
