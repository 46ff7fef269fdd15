"""The events that belong to a run, as the rows that they are: its own, its incident's, and whatever those refer to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from domain.actions import Target
from domain.codec import decode, moment, timestamp
from domain.events import Envelope
from storage.views import envelope

_COLUMNS = (
    "e.seq, e.workspace, e.incident_id, e.run_id, e.at, e.actor, e.kind, b.salt, b.body, e.body_hash, e.prev_hash,"
    " e.hash"
)
_RUN, _INCIDENT, _KIND = "events_of_run", "events_of_incident", "events_of_kind"
"""The indexes that lead to few rows. They are named, because SQLite would rather walk the whole log in its order."""

_OWN = "e.run_id = ? AND e.run_id <> ''"
_SHARED = "e.incident_id = ? AND e.incident_id <> '' AND e.run_id = ''"
_LATE = timedelta(hours=1)
"""A message that Slack took later than this after the last wish of it is not looked for."""


@dataclass(frozen=True)
class Record:
    """An event with every field of its row. An erased body has no salt, and holds what its tombstone left."""

    seq: int
    workspace: str
    incident_id: str
    run_id: str
    at: str
    actor: str
    kind: str
    salt: str
    body: str
    body_hash: str
    prev_hash: str
    hash: str

    @property
    def envelope(self) -> Envelope:
        """The event itself. Raises JournalError for a kind that this version does not know."""
        return envelope(
            (
                self.seq,
                self.workspace,
                self.incident_id,
                self.run_id,
                self.at,
                self.actor,
                self.kind,
                self.body,
                self.hash,
            )
        )

    def said(self) -> Any:
        """The body as plain JSON."""
        return json.loads(self.body)


def gather(db: sqlite3.Connection, workspace: str, run_id: str) -> list[Record]:
    """Everything that belongs to a run, in order; empty where there is no such run."""
    own = _rows(db, workspace, _RUN, _OWN, run_id)
    if not own:
        return []
    incident_id = next((record.incident_id for record in own if record.incident_id), "")
    found = {record.seq: record for record in own}
    if incident_id:
        _add(found, _rows(db, workspace, _INCIDENT, _SHARED, incident_id))
    for seek in (_policies, _sent, _clicks, _dialogs, _delegations, _undos, _consequences, _tombstones):
        _add(found, seek(db, workspace, sorted(found.values(), key=lambda record: record.seq)))
    return sorted(found.values(), key=lambda record: record.seq)


def of_kinds(
    db: sqlite3.Connection, workspace: str, run_id: str, kinds: Sequence[str], shared: Sequence[str]
) -> list[Record]:
    """A run's events of some kinds, and its incident's of others, in order."""
    named = " AND e.kind IN (SELECT value FROM json_each(?))"
    own = _rows(db, workspace, _RUN, _OWN + named, run_id, json.dumps(kinds))
    incident_id = next((record.incident_id for record in own if record.incident_id), "")
    others = _rows(db, workspace, _INCIDENT, _SHARED + named, incident_id, json.dumps(shared))
    return sorted([*own, *others], key=lambda record: record.seq)


def _rows(db: sqlite3.Connection, workspace: str, index: str, where: str, *of: object) -> list[Record]:
    source = f"events AS e {f'INDEXED BY {index}' if index else ''} CROSS JOIN event_bodies AS b USING (workspace, seq)"
    sql = f"SELECT {_COLUMNS} FROM {source} WHERE e.workspace = ? AND {where} ORDER BY e.seq"  # noqa: S608 – our own words
    return [Record(*row) for row in db.execute(sql, (workspace, *of))]


def _add(found: dict[int, Record], records: Iterable[Record]) -> None:
    for record in records:
        found.setdefault(record.seq, record)


def _of(records: Sequence[Record], *kinds: str) -> Iterator[tuple[Record, Any]]:
    return ((record, record.said()) for record in records if record.kind in kinds)


# --- what they refer to -----------------------------------------------------------------------------------------------


def _policies(db: sqlite3.Connection, workspace: str, records: Sequence[Record]) -> Iterator[Record]:
    """The policies that decided, as they were loaded last before."""
    wanted: dict[str, int] = {}
    for record, body in _of(records, "DecisionMade"):
        wanted.setdefault(body["decision"]["policy_hash"], record.seq)
    for policy_hash, seq in wanted.items():
        where = "e.kind = 'PolicyLoaded' AND e.seq < ? AND b.body ->> '$.policy_hash' = ?"
        yield from _rows(db, workspace, _KIND, where, seq, policy_hash)[-1:]


def _sent(db: sqlite3.Connection, workspace: str, records: Sequence[Record]) -> list[Record]:
    """What Slack took and refused of the messages that were wanted."""
    wanted = [(record, body["key"]) for record, body in _of(records, "MessageWanted")]
    if not wanted:
        return []
    until = timestamp(moment(wanted[-1][0].at) + _LATE)
    where = (
        "e.kind IN ('MessageSent', 'MessageFailed') AND e.at BETWEEN ? AND ?"
        " AND b.body ->> '$.key' IN (SELECT value FROM json_each(?))"
    )
    keys = sorted({key for _, key in wanted})
    return _rows(db, workspace, _KIND, where, wanted[0][0].at, until, json.dumps(keys))


def _clicks(db: sqlite3.Connection, workspace: str, records: Sequence[Record]) -> Iterator[Record]:
    """The clicks on their messages, as Slack sent them: the inbox names a click by channel and message."""
    places = {(body["channel"], body["ts"]) for _, body in _of(records, "MessageSent")}
    for channel, ts in sorted(places):
        where = "e.seq IN (SELECT seq FROM inbox WHERE workspace = ? AND key >= ? AND key < ?)"
        yield from _rows(db, workspace, "", where, workspace, f"action:{channel}:{ts}:", f"action:{channel}:{ts};")


def _dialogs(db: sqlite3.Connection, workspace: str, records: Sequence[Record]) -> Iterator[Record]:
    """The dialogs about their approval requests, shown and filled in, between the question and its end."""
    for asked, body in _of(records, "ApprovalRequested"):
        later = [record for record in records if record.seq > asked.seq and record.run_id == asked.run_id]
        where = "e.kind IN ('PayloadReceived', 'SurfaceShown') AND e.at BETWEEN ? AND ? AND instr(b.body, ?)"
        until = later[-1].at if later else asked.at
        yield from _rows(db, workspace, _KIND, where, asked.at, until, body["request"]["id"])


def _delegations(db: sqlite3.Connection, workspace: str, records: Sequence[Record]) -> Iterator[Record]:
    """What let somebody vote in another's place."""
    for record, body in _of(records, "VoteCast"):
        vote = body["vote"]
        if vote["on_behalf_of"]:
            where = (
                "e.kind = 'VoteDelegated' AND e.seq < ? AND b.body ->> '$.delegation.user' = ?"
                " AND b.body ->> '$.delegation.to' = ?"
            )
            yield from _rows(db, workspace, _KIND, where, record.seq, vote["on_behalf_of"], vote["user"])[-1:]


def _undos(db: sqlite3.Connection, workspace: str, records: Sequence[Record]) -> Iterator[Record]:
    """The execution that one takes back, and those that took it back: each from intent to verification."""
    for _, body in _of(records, "ExecutionStarted"):
        key = decode(Target, body["action"]["target"]).key
        related = db.execute(
            "SELECT id, run_id FROM executions WHERE workspace = ? AND target_key = ? AND (undoes = ? OR id = ?)",
            (workspace, key, body["execution_id"], body["undoes"] or None),
        ).fetchall()
        for execution_id, run_id in related:
            where = "e.run_id = ? AND e.run_id <> '' AND b.body ->> '$.execution_id' = ?"
            yield from _rows(db, workspace, _RUN, where, run_id, execution_id)


def _consequences(db: sqlite3.Connection, workspace: str, records: Sequence[Record]) -> Iterator[Record]:
    """The brakes that their executions pulled."""
    for record, body in _of(records, "ExecutionStarted"):
        where = "e.kind IN ('AutonomyDemoted', 'BreakerOpened') AND e.at >= ? AND instr(b.body, ?)"
        yield from _rows(db, workspace, _KIND, where, record.at, f'"{body["execution_id"]}"')


def _tombstones(db: sqlite3.Connection, workspace: str, records: Sequence[Record]) -> list[Record]:
    """Why a body is not there any more."""
    erased = [record.seq for record in records if not record.salt]
    if not erased:
        return []
    where = "e.kind = 'BodyErased' AND b.body ->> '$.seq' IN (SELECT value FROM json_each(?))"
    return _rows(db, workspace, _KIND, where, json.dumps(erased))
