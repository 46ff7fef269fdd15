"""Evidence as files: of a run, of an incident with all its runs, or of a period. What is proved is proved offline."""

from __future__ import annotations

import hashlib
import io
import sqlite3
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.events import Envelope
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
    path: str | Path, workspace: str, reference: str, key: Ed25519PrivateKey, now: datetime, *, alone: bool = False
) -> Evidence | None:
    """The evidence of a run, or of an incident with all its runs; None where the workspace has neither.

    `alone` makes the bundle without the files that go with it. Raises JournalError where the database cannot be read.
    """
    with looking_at(Path(path)) as db:
        runs = _runs(db, workspace, reference)
        if not runs:
            return None
        incident = _incident_of(db, workspace, runs[0])
        subject = {"incident": incident} if reference == incident else {"run": reference, "incident": incident}
        subject = {name: of for name, of in subject.items() if of}
        return _exported(db, workspace, subject, runs, key, now, alone=alone)


def page_of(path: str | Path, workspace: str, run_id: str) -> str:
    """The timeline of a run as it stands now, to read: without a proof, it is no evidence. Raises JournalError."""
    with looking_at(Path(path)) as db:
        return render([each.envelope for each in gather(db, workspace, run_id)], run_id=run_id)


def of_period(
    path: str | Path, workspace: str, since: datetime, key: Ed25519PrivateKey, now: datetime, *, alone: bool = False
) -> Evidence:
    """The evidence of every change that was proposed since then, with the list of them. `alone` and errors as above."""
    with looking_at(Path(path)) as db:
        runs = period.runs_since(db, workspace, since)
        subject = {"since": f"{since:%Y-%m-%dT%H:%M:%SZ}", "until": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
        more = {} if alone else {CHANGES: period.as_csv(period.rows(db, workspace, since, runs)).encode()}
        return _exported(db, workspace, subject, runs, key, now, more, alone=alone)


def changes_since(path: str | Path, workspace: str, since: datetime) -> bytes:
    """The list of changes alone, as CSV. Raises JournalError."""
    with looking_at(Path(path)) as db:
        return period.as_csv(period.rows(db, workspace, since, period.runs_since(db, workspace, since))).encode()


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
    *,
    alone: bool,
) -> Evidence:
    by_run = {run_id: gather(db, workspace, run_id) for run_id in runs}
    records = sorted(
        {each.seq: each for found in by_run.values() for each in found}.values(), key=lambda each: each.seq
    )
    note = _note(db, workspace, records[-1].seq if records else 0, key, now)
    proofs = checkpoints.proofs(db, workspace, [each.seq for each in records], checkpoints.parse(note).size)
    stories = {run_id: [each.envelope for each in found] for run_id, found in by_run.items()}
    told = [story_of(envelopes, run_id) for run_id, envelopes in stories.items()]
    title, word = _title(told, subject), _verdict(told, subject)
    made = dict(more or {})
    if not alone:
        made |= {} if "since" in subject else _pages(stories, _proof(note, key, now))
        made |= _attestations(told, workspace, note, proofs, key)
        made["README.txt"] = _readme(title, word, subject, len(records), made).encode()
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in made.items()}
    sealed = bundle.write(bundle.Bundle(workspace, subject, records, proofs, note, now, digests), key)
    files = {BUNDLE: sealed, **made} | ({} if alone else {"verify.py": script()})
    return Evidence(subject, title, word, len(records), files, now)


def _proof(note: str, key: Ed25519PrivateKey, now: datetime) -> Proof:
    checkpoint = checkpoints.parse(note)
    return Proof(note, checkpoint.size, checkpoint.root.hex(), raw(key.public_key()).hex(), now)


def _pages(stories: Mapping[str, Sequence[Envelope]], proof: Proof) -> dict[str, bytes]:
    """A timeline per run."""
    return {
        TIMELINE if len(stories) == 1 else f"timeline-{run_id}.html": render(
            envelopes, proof=proof, run_id=run_id
        ).encode()
        for run_id, envelopes in stories.items()
    }


def _attestations(
    stories: Iterable[Story], workspace: str, note: str, proofs: Mapping[int, Sequence[str]], key: Ed25519PrivateKey
) -> dict[str, bytes]:
    """A statement per executed change."""
    return {
        f"attestations/{change.started.event.execution_id}.json": attestation.attest(
            change, story, workspace, note, proofs, key
        )
        for story in stories
        for change in story.changes
        if change.started is not None
    }


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
    return " ".join(f"{verdict(story)[0]}. {sentence(story)}" for story in stories)


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
