"""Erasing a body: a tombstone in the chain, nothing of the words in the file, the same rows when folded again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.__main__ import main
from domain.actions import Mode
from domain.alerts import Alert
from domain.canonical import canonical
from domain.decisions import Actor, Decision, Outcome
from domain.diagnosis import Claim, Confidence, Diagnosis, Evidence, Finding, Hypothesis, Proposal
from domain.errors import BadInput, Conflict, JournalError
from domain.events import (
    KINDS,
    AlertHeld,
    AlertReceived,
    AlertSuppressed,
    AnalysisPlanned,
    BodyErased,
    DecisionMade,
    DiagnosisConcluded,
    Draft,
    Event,
    FeedbackGiven,
    FindingsReported,
    IncidentOpened,
    IncidentResolved,
    MessageSent,
    MessageWanted,
    ModelAsked,
    PayloadHandled,
    PayloadReceived,
    RunFinished,
    RunStarted,
    SecondLookTaken,
    StepPlanned,
    SurfaceShown,
    ToolCallFinished,
    body_of,
    event_of,
)
from domain.feedback import FeedbackCategory, FeedbackVerdict
from domain.noise import Suppression
from domain.runs import Answer, Origin, RunOutcome, RunSpec, SecondLook, ToolCall, ToolResult, Usage
from storage.chain import GENESIS, hash_of_body, hash_of_event
from storage.database import scripts
from storage.erasing import ERASABLE, ERASED, remains_of
from storage.journal import migrate, open_journal
from storage.tombstones import erase
from storage.verify import verify
from tests.contracts.journal_samples import CART, NOON, action, message, opened, payload, requested, vote
from tests.unit.test_views import rows

OPERATOR = Actor("person", name="operator")
WORDS = "Wanda-Wordsworth-0471"

ALERT = Alert(
    "f1",
    True,
    "CartDown",
    "alertmanager",
    NOON,
    summary=WORDS,
    description=WORDS,
    labels={"owner": WORDS},
    group=WORDS,
    url=WORDS,
    runbook_url=WORDS,
)
EVIDENCE = (Evidence("E1", WORDS, WORDS),)
FINDING = Finding("pod.oom", WORDS, WORDS, CART, EVIDENCE, 5, False, Proposal("t", {"a": WORDS}, WORDS), {"f": WORDS})
DIAGNOSIS = Diagnosis(
    WORDS,
    WORDS,
    Confidence.LIKELY,
    "rules",
    EVIDENCE,
    (Hypothesis(WORDS, WORDS),),
    (WORDS, WORDS),
    WORDS,
    (Claim(WORDS, ("E1",), (WORDS,)),),
)
SPEC = RunSpec("r1", "i1", Origin.MENTION, "rules", Mode.PROPOSE, CART, WORDS, "U1", ALERT, context=WORDS)
INCIDENT = replace(opened("i1", "f1").event.incident, title=WORDS, summary=WORDS, group=WORDS, url=WORDS)  # type: ignore[union-attr]

SPOKEN: list[Event] = [
    PayloadReceived("k1", "events", {"event": {"text": WORDS, "blocks": [{"text": WORDS}]}}),
    AlertReceived(ALERT),
    IncidentOpened(INCIDENT),
    RunStarted(SPEC),
    AnalysisPlanned((ToolCall("c0", "kubernetes_get", json.dumps({"name": WORDS})),)),
    FindingsReported((FINDING,), 5),
    ModelAsked(1, "rules", ({"role": "user", "content": WORDS},), "h", "h"),
    StepPlanned(1, "rules", Answer(WORDS, (ToolCall("c1", "kubernetes_get", WORDS),), DIAGNOSIS), 5),
    ToolCallFinished(
        ToolResult("c1", "kubernetes_get", True, WORDS, "E1", {"log": [WORDS]}, 5, arguments={"a": WORDS})
    ),
    DiagnosisConcluded(DIAGNOSIS),
    SecondLookTaken("cheap", SecondLook("partly", WORDS), Usage(), 5),
    AlertHeld(replace(ALERT, fingerprint="f2"), "p", Suppression.FLAPPING, NOON, "it repeats"),
    MessageWanted(
        "incident:i1", 1, "C1", "", WORDS, ({"type": "section", "text": WORDS},), attachments=({"t": WORDS},)
    ),
    SurfaceShown("home", "U1", "", {"blocks": [WORDS]}),
]
AFTER: list[Event] = [
    AlertSuppressed("f2", Suppression.FLAPPING, "it ceased"),
    PayloadHandled("k1"),
    MessageSent("incident:i1", 1, "C1", "1.1"),
    RunFinished(RunOutcome.DIAGNOSED, "done"),
    FeedbackGiven("r1", "U1", FeedbackVerdict.BAD, FeedbackCategory.OTHER, WORDS),
]


def of_the_run(event: Event) -> Draft:
    return Draft(event, incident_id="i1", run_id="r1")


async def record(path: Path, *events: Event | Draft) -> None:
    async with open_journal(path, "T1") as journal:
        for event in events:
            await journal.append(event if isinstance(event, Draft) else of_the_run(event))


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A closed database in which every erasable kind carries the same words."""
    path = tmp_path / "agent.db"
    await record(path, *SPOKEN, *AFTER, of_the_run(IncidentResolved("ceased")))
    return path


def seqs_of(path: Path, *kinds: str) -> list[int]:
    with closing(sqlite3.connect(path)) as db:
        found = db.execute("SELECT seq, kind FROM events ORDER BY seq").fetchall()
    return [seq for seq, kind in found if kind in kinds]


def go(path: Path, *seqs: int, reason: str = "asked for under article 17") -> Sequence[Any]:
    return erase(path, "T1", seqs, reason, OPERATOR, NOON)


# --- what is erased ---------------------------------------------------------------------------------------------------


def test_the_samples_cover_every_erasable_kind_with_words_in_every_place(path: Path) -> None:
    spoken = {type(event).__name__: body_of(event) for event in (*SPOKEN, AFTER[-1])}
    assert set(spoken) == set(ERASABLE)
    for kind, body in spoken.items():
        remains = remains_of(kind, body)
        assert WORDS in json.dumps(body)
        assert WORDS not in json.dumps(remains), kind
        assert type(event_of(kind, remains)) is KINDS[kind]  # it can still be read, and folded
        assert remains_of(kind, remains) == remains


def test_nothing_of_the_words_is_left_anywhere_in_the_file(path: Path) -> None:
    assert WORDS.encode() in path.read_bytes()
    head_before = verify(path).head_hash
    tombstones = go(path, *seqs_of(path, *ERASABLE))
    assert len(tombstones) == len(ERASABLE)
    for file in path.parent.iterdir():
        assert WORDS.encode() not in file.read_bytes(), file
    report = verify(path)
    assert (report.ok, report.head_hash != head_before) == (True, True)


def test_nothing_is_left_in_pages_that_were_free_before(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA secure_delete = OFF")  # some builds of SQLite have it on
        db.execute("CREATE TABLE drafts (words)")
        db.executemany("INSERT INTO drafts VALUES (?)", [(WORDS * 300,)] * 20)
        db.commit()
        db.execute("DROP TABLE drafts")
    go(path, *seqs_of(path, *ERASABLE))
    assert WORDS.encode() not in path.read_bytes()


def test_a_reader_that_holds_the_old_pages_is_said_to_and_it_can_be_run_again(path: Path) -> None:
    (seq,) = seqs_of(path, "SurfaceShown")
    with closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchone()
        with pytest.raises(JournalError, match="another process reads the database"):
            go(path, seq)
    assert go(path, seq) == []
    assert len(seqs_of(path, "BodyErased")) == 1


def test_what_remains_reads_as_before_and_says_that_there_were_words(path: Path) -> None:
    go(path, *seqs_of(path, *ERASABLE))
    kept = rows(path)
    assert ERASED in repr(kept["outbox"])
    (run,) = kept["runs"]
    assert json.loads(run[4])["requester"] == "U1"  # who asked stays
    (incident,) = kept["incidents"]
    assert json.loads(incident[3])["title"] == ERASED


def test_folded_again_it_is_the_same(path: Path) -> None:
    go(path, *seqs_of(path, *ERASABLE))
    kept = rows(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM meta")
    assert migrate(path) == ["projections"]
    assert rows(path) == kept
    assert verify(path).ok


async def test_the_service_goes_on_after_an_erasing(path: Path) -> None:
    go(path, *seqs_of(path, "PayloadReceived", "MessageWanted"))
    async with open_journal(path, "T1") as journal:
        (erased,) = [each for each in await journal.of_run("r1") if isinstance(each.event, PayloadReceived)]
        assert erased.event == PayloadReceived("k1", "events", {})
        with pytest.raises(Conflict):
            await journal.append(payload("k1"))  # the same payload is still known
        last = (await journal.append(message("incident:i1", 2)))[0]
        tombstone = (await journal.since(last.seq - 2, 1))[0]
    assert tombstone.actor == "person"
    assert isinstance(tombstone.event, BodyErased)
    assert tombstone.event.reason == "asked for under article 17"
    assert verify(path).ok


def test_erasing_again_writes_no_second_tombstone(path: Path) -> None:
    (seq,) = seqs_of(path, "SurfaceShown")
    assert len(go(path, seq, seq)) == 1
    assert go(path, seq) == []
    assert len(seqs_of(path, "BodyErased")) == 1


# --- what is refused --------------------------------------------------------------------------------------------------


async def test_what_was_decided_or_done_is_not_erased(tmp_path: Path) -> None:
    path, decided = tmp_path / "agent.db", DecisionMade("c1", action(), Decision(Outcome.ASK, "r", "", "p"), {})
    await record(path, *SPOKEN, decided, requested(), vote(), *AFTER)
    for kind in ("ApprovalRequested", "VoteCast", "DecisionMade", "RunFinished", "MessageSent"):
        (seq,) = seqs_of(path, kind)
        with pytest.raises(BadInput, match=f"a {kind} is not erased"):
            go(path, seq)
    before = path.read_bytes()
    with pytest.raises(BadInput):
        go(path, *seqs_of(path, "SurfaceShown", "VoteCast"))  # all or none
    assert path.read_bytes() == before
    go(path, *seqs_of(path, "SurfaceShown"))
    with pytest.raises(BadInput, match="a BodyErased is not erased"):
        go(path, *seqs_of(path, "BodyErased"))


@pytest.mark.parametrize(
    ("kind", "until", "sentence"),
    [
        ("PayloadReceived", "PayloadHandled", "not handled yet"),
        ("AlertHeld", "AlertSuppressed", "an alert that still waits"),
        ("MessageWanted", "MessageSent", "Slack does not have yet"),
        ("RunStarted", "RunFinished", "a run that goes on"),
        ("ModelAsked", "RunFinished", "a run that goes on"),
        ("IncidentOpened", "IncidentResolved", "an incident that is still open"),
    ],
)
async def test_what_may_still_be_needed_is_refused_until_it_is_not(
    tmp_path: Path, kind: str, until: str, sentence: str
) -> None:
    path = tmp_path / "agent.db"
    whole = [*SPOKEN, *AFTER[:-1], IncidentResolved("ceased")]
    alone = {"PayloadReceived", "MessageWanted", "IncidentOpened", "AlertHeld"}
    drafts = [Draft(event, incident_id="i1") if type(event).__name__ in alone else of_the_run(event) for event in whole]
    await record(path, *(draft for draft in drafts if type(draft.event).__name__ != until))
    with pytest.raises(Conflict, match=sentence):
        go(path, *seqs_of(path, kind))
    assert seqs_of(path, "BodyErased") == []
    await record(path, *(draft for draft in drafts if type(draft.event).__name__ == until))
    assert len(go(path, *seqs_of(path, kind))) == 1


def test_a_workspace_that_is_not_there_holds_no_answer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_DATABASE", str(path))
    assert main(["audit", "find", "--workspace", "T1", "nobody ever said this"]) == 1
    assert main(["audit", "find", "--workspace", "TYPO", "nobody ever said this"]) == 2


async def test_a_running_service_is_not_erased_under(path: Path) -> None:
    async with open_journal(path, "T1"):
        with pytest.raises(JournalError, match="stop it first"):
            go(path, 1)


def test_an_event_that_is_not_there_is_not_erased(path: Path) -> None:
    with pytest.raises(BadInput, match="no event 99"):
        go(path, 99)
    with pytest.raises(BadInput, match="no event 1"):
        erase(path, "T2", [1], "", OPERATOR, NOON)
    with pytest.raises(JournalError, match="no database"):
        erase(path.with_name("other.db"), "T1", [1], "", OPERATOR, NOON)


async def test_a_tombstone_that_says_something_else_is_refused(path: Path) -> None:
    async with open_journal(path, "T1") as journal:
        for event in (BodyErased(1, "", {"key": "k1"}), BodyErased(99, "", {}), BodyErased(400, "", {})):
            with pytest.raises(Conflict):
                await journal.append(Draft(event))


def test_the_database_itself_lets_a_body_change_only_under_its_tombstone(path: Path) -> None:
    (seq,) = seqs_of(path, "SurfaceShown")
    remains = canonical(remains_of("SurfaceShown", body_of(SPOKEN[-1]))).decode()
    update = "UPDATE event_bodies SET salt = ?, body = ? WHERE seq = ?"
    with closing(sqlite3.connect(path)) as db:
        for salt, body in (("", remains), ("", "{}"), ("00", remains)):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(update, (salt, body, seq))
    go(path, seq)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT salt, body FROM event_bodies WHERE seq = ?", (seq,)).fetchone() == ("", remains)
        for statement in (
            f"UPDATE event_bodies SET body = '{{}}' WHERE seq = {seq}",
            f"UPDATE event_bodies SET rowid = 1 WHERE seq = {seq}",
            f"UPDATE OR REPLACE event_bodies SET seq = 1 WHERE seq = {seq}",
            f"DELETE FROM event_bodies WHERE seq = {seq}",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(statement)


async def test_a_journal_from_before_erasing_is_migrated_and_can_be_erased_from(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    (_, name, first), *later = scripts()
    with closing(sqlite3.connect(path)) as db:
        db.executescript(f"{first}; PRAGMA user_version = 1; PRAGMA application_id = 1346455345;")
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            write_row(db)
            db.execute("UPDATE event_bodies SET salt = '' WHERE seq = 1")
        db.commit()
    assert name == "0001_journal.sql"
    assert migrate(path) == [*(name for _, name, _ in later), "projections"]
    assert len(go(path, 1)) == 1
    assert verify(path).ok


def write_row(db: sqlite3.Connection) -> None:
    """One event, as the first version wrote it."""
    body = canonical(body_of(SPOKEN[-1])).decode()
    body_hash = hash_of_body("00", body.encode())
    fields = ("T1", 1, "", "", "2026-03-01T12:00:00.000000Z", "agent", "SurfaceShown", body_hash, GENESIS)
    db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*fields, hash_of_event(*fields)))
    db.execute("INSERT INTO event_bodies VALUES ('T1', 1, '00', ?)", (body,))
