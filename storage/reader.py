"""Everything that is read from a journal. Each read is one snapshot, on the reading connection's own thread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TypeVar

from domain.actions import Mode
from domain.alerts import Incident
from domain.audit import Anchor
from domain.authority import BreakGlass, Delegation
from domain.brakes import Brakes, TrackRecord
from domain.codec import decode, timestamp
from domain.decisions import Approval
from domain.errors import JournalError
from domain.events import Envelope, Event, PayloadReceived
from domain.feedback import FeedbackGiven, Quality
from domain.memory import Precedent
from domain.noise import Held, MaintenanceWindow
from domain.ports import Message, RunRow
from domain.report import Head, Mishap
from domain.scans import MOST, KnownFinding
from domain.work import Drill, Rollup, Wait
from storage import brakes, decisions, drills, feedback, memories, records, report, rollups, rows, tiles
from storage.database import Connection, Works, check, looking_at, projections, read_only, scripts, sentence, workspaces
from storage.views import ENVELOPE, current, envelope

_TRUST = ("proposed", "approved", "edited", "denied", "executed", "verified", "failed", "reverted")
T = TypeVar("T")
Query = Callable[[sqlite3.Connection], T]

_EVENTS = f"SELECT {ENVELOPE} FROM events AS e JOIN event_bodies AS b USING (workspace, seq) WHERE e.workspace = ?"  # noqa: S608


@asynccontextmanager
async def read_journal(path: str | Path, workspace: str) -> AsyncIterator[Reader]:
    """A journal to look at, also while another process records into it. Raises JournalError, NewerDatabase."""
    path = Path(path)
    if not path.exists():
        raise JournalError(f"there is no database at {path}")
    try:
        async with Connection(read_only(path)) as connection:
            await connection.run(lambda db: _refuse_old(db, path))
            yield Reader(connection, workspace)
    except sqlite3.Error as error:
        raise JournalError(sentence(error, f"cannot read {path}")) from error


def workspaces_in(path: str | Path) -> list[str]:
    """The workspaces that a database holds events of. Raises as `read_journal`."""
    with looking_at(Path(path)) as db:
        return workspaces(db)


def _refuse_old(db: sqlite3.Connection, path: Path) -> None:
    if check(db, path) < scripts()[-1][0] or current(db) != projections()[1]:
        raise JournalError(f"{path} was written by an older version of Personal-Agent: run `personal-agent db migrate`")


class Reader:
    """The reading half of the Journal port. An awaited append is visible to the next read."""

    def __init__(self, connection: Works, workspace: str) -> None:
        self._reading = connection
        self._workspace = workspace

    @property
    def workspace(self) -> str:
        """Slack's team id, or `local`."""
        return self._workspace

    async def of_run(self, run_id: str) -> Sequence[Envelope]:
        """A run's events in order."""
        return await self._envelopes(" AND e.run_id = ? AND e.run_id <> '' ORDER BY e.seq", run_id)

    async def since(self, seq: int, limit: int = 1000) -> Sequence[Envelope]:
        """Events after `seq`, oldest first."""
        return await self._envelopes(" AND e.seq > ? ORDER BY e.seq LIMIT ?", seq, limit)

    async def incident(self, incident_id: str) -> Incident | None:
        """One incident."""
        return _first(await self._incidents(" AND id = ?", incident_id))

    async def incident_at(self, channel: str, thread_ts: str) -> Incident | None:
        """The incident whose thread this is."""
        where = " AND channel = ? AND thread_ts = ? AND thread_ts <> '' ORDER BY seq DESC LIMIT 1"
        return _first(await self._incidents(where, channel, thread_ts))

    async def incidents(self, *, open_only: bool = False, limit: int = 50) -> Sequence[Incident]:
        """Incidents, newest first."""
        where = " AND resolved_at IS NULL" if open_only else ""
        return await self._incidents(f"{where} ORDER BY seq DESC LIMIT ?", limit)

    async def resolved_since(self, since: datetime) -> Sequence[Incident]:
        """Incidents resolved since then, in the order in which they were."""
        return await self._incidents(" AND resolved_at >= ? ORDER BY resolved_at", timestamp(since))

    async def held(self) -> Sequence[Held]:
        """The alerts that wait before they may open an incident."""
        sql = "SELECT held, since, incident_id FROM held_alerts WHERE workspace = ? ORDER BY since"
        return await self._all(sql, (), lambda _, row: rows.held(row))

    async def maintenance(self, now: datetime) -> Sequence[MaintenanceWindow]:
        """The maintenance windows that are not over."""
        sql = "SELECT announced FROM maintenance WHERE workspace = ? AND until > ? ORDER BY until"
        return await self._all(sql, (timestamp(now),), lambda _, row: decode(MaintenanceWindow, json.loads(row[0])))

    async def noise(self, since: datetime, until: datetime) -> Mapping[str, int]:
        """Alerts from `since` up to before `until` that opened no incident of their own, by what became of them."""
        return await self._read(lambda db: rollups.noise(db, self._workspace, since, until))

    async def run(self, run_id: str) -> RunRow | None:
        """One run's row."""
        return _first(await self._runs(" AND id = ?", run_id))

    async def run_ids(self, beginning: str, limit: int = 50) -> Sequence[str]:
        """The ids of the runs whose id begins so, in the order of their ids."""
        sql = "SELECT id FROM runs WHERE workspace = ? AND id >= ? AND id < ? || char(1114111) ORDER BY id LIMIT ?"
        return await self._all(sql, (beginning, beginning, limit), lambda _, row: str(row[0]))

    async def runs(self, *, incident_id: str = "", unfinished: bool = False, limit: int = 50) -> Sequence[RunRow]:
        """Runs, newest first."""
        where = " AND status <> 'finished'" if unfinished else ""
        if incident_id:
            return await self._runs(f"{where} AND incident_id = ? ORDER BY seq DESC LIMIT ?", incident_id, limit)
        return await self._runs(f"{where} ORDER BY seq DESC LIMIT ?", limit)

    async def approval(self, approval_id: str) -> Approval | None:
        """One approval request with its votes and execution."""
        return _first(await self._approvals(" AND id = ?", approval_id))

    async def approvals(
        self, *, pending: bool = False, run_id: str = "", incident_id: str = "", limit: int = 50
    ) -> Sequence[Approval]:
        """Approval requests, newest first. `pending` ones are those that somebody can vote on."""
        where, of = "", []
        if pending:
            where += " AND state = 'pending' AND observe_only = 0"
        if run_id:
            where += " AND run_id = ?"
            of.append(run_id)
        if incident_id:
            where += " AND incident_id = ?"
            of.append(incident_id)
        return await self._approvals(f"{where} ORDER BY seq DESC LIMIT ?", *of, limit)

    async def of_batch(self, batch: str) -> Sequence[Approval]:
        """The requests that share a card, in the order in which it lists them."""
        return await self._approvals(" AND batch = ? AND batch <> '' ORDER BY seq", batch)

    async def expired(self, now: datetime) -> Sequence[Approval]:
        """Requests that still wait, or were approved and not consumed, past their expiry."""
        where = " AND state IN ('pending', 'approved') AND expires_at <= ? ORDER BY expires_at"
        return await self._approvals(where, timestamp(now))

    async def outlived(self) -> Sequence[Approval]:
        """Requests that still wait, or were approved and not consumed, although their incident was resolved since.

        What is asked in a resolved incident, such as to take a change back, is none of them.
        """
        resolved = (
            "SELECT 1 FROM incidents AS i WHERE i.workspace = approvals.workspace AND i.id = approvals.incident_id"
            " AND i.resolved_seq > approvals.seq"
        )
        open_ones = " AND state IN ('pending', 'approved') AND observe_only = 0"
        return await self._approvals(f"{open_ones} AND EXISTS ({resolved}) ORDER BY seq")

    async def rates(self, target_key: str, since: datetime) -> Mapping[str, int]:
        """Executions since then: `target` (of this target), `agent` (all), `failed` (all that failed or were unverified).

        `touches` is how many things they changed altogether.
        """
        of_all = "FROM executions WHERE workspace = :workspace AND started_at >= :since"
        counted = f"SELECT count(*) {of_all}"
        row = await self._one(
            f"SELECT ({counted} AND target_key = :target), ({counted}), ({counted} AND failed = 1),"
            f" (SELECT coalesce(sum(touches), 0) {of_all})",
            {"workspace": self._workspace, "since": timestamp(since), "target": target_key},
        )
        return dict(zip(("target", "agent", "failed", "touches"), row or (), strict=True))

    async def acted(self, problems: Sequence[str], since: datetime) -> int:
        """Executions since then that were meant to help with one of these problems and may have changed something."""
        if not problems:
            return 0
        return await self._read(lambda db: brakes.acted(db, self._workspace, problems, timestamp(since)))

    async def brakes(self, since: datetime) -> Brakes:
        """Open breakers, standing demotions, and what counts towards the next: failures since then, unanswered reverts."""
        return await self._read(lambda db: brakes.brakes(db, self._workspace, timestamp(since)))

    async def track_records(self, since: datetime) -> Sequence[TrackRecord]:
        """What became of each tool's proposals in each environment since then."""
        return await self._read(lambda db: brakes.track_records(db, self._workspace, timestamp(since)))

    async def trust(self, tool: str, environment: str) -> Mapping[str, int]:
        """How often this tool on this environment was proposed, approved, edited, denied, executed, verified, failed,
        reverted. Undos that people ask for count as the reverted execution's, not as executions of their own.
        """
        row = await self._one(
            f"SELECT {', '.join(_TRUST)} FROM trust WHERE workspace = ? AND tool = ? AND environment = ?",  # noqa: S608
            (self._workspace, tool, environment),
        )
        return dict(zip(_TRUST, row or (0,) * len(_TRUST), strict=True))

    async def refused(self, tool: str, target_key: str, arguments_digest: str) -> Approval | None:
        """The request for the same action on the same target that a person denied last in an open incident, if any.

        `arguments_digest` is `digest_of(encode(action.arguments))`.
        """
        where = (
            " AND tool = ? AND target_key = ? AND arguments_digest = ? AND state = 'denied' AND EXISTS (SELECT 1 FROM"
            " incidents AS i WHERE i.workspace = approvals.workspace AND i.id = incident_id AND i.resolved_at IS NULL)"
            " ORDER BY seq DESC LIMIT 1"
        )
        return _first(await self._approvals(where, tool, target_key, arguments_digest))

    async def break_glass(self, glass_id: str) -> BreakGlass | None:
        """One break-glass."""
        return _first(await self._break_glass(" AND id = ?", glass_id))

    async def unreviewed(self) -> Sequence[BreakGlass]:
        """Every break-glass that nobody has reviewed yet, open ones included, oldest first."""
        return await self._break_glass(" AND reviewed_at IS NULL ORDER BY seq")

    async def delegations(self, now: datetime) -> Sequence[Delegation]:
        """The delegations that stand now."""
        sql = "SELECT delegation FROM delegations WHERE workspace = ? AND until > ?"
        return await self._all(sql, (timestamp(now),), lambda _, row: decode(Delegation, json.loads(row[0])))

    async def control(self) -> tuple[Mode | None, str]:
        """The mode set in Slack (None: the setting's) and the reason of a pause (empty: not paused)."""
        row = await self._one("SELECT mode, paused FROM control WHERE workspace = ?", (self._workspace,))
        mode, paused = row or (None, "")
        return (Mode(mode) if mode else None), paused

    async def message(self, key: str) -> Message | None:
        """One outbox row."""
        return _first(await self._messages(" AND key = ?", key))

    async def newest_message(self, kind: str) -> Message | None:
        """The outbox row whose key comes last among those of a kind: `weekly` for `weekly:2026-W48`."""
        where = " AND key >= ? AND key < ? ORDER BY key DESC LIMIT 1"
        return _first(await self._messages(where, f"{kind}:", f"{kind};"))

    async def unsent(self) -> Sequence[Message]:
        """Outbox rows whose wanted revision Slack does not have and that have not failed for good, in sending order."""
        return await self._messages(" AND revision > sent_revision AND failed = '' ORDER BY priority, seq")

    async def unhandled(self, since: datetime) -> Sequence[PayloadReceived]:
        """Payloads received since then that nobody has finished handling, oldest first."""
        where = (
            " AND e.at >= ? AND e.seq IN (SELECT seq FROM inbox AS i WHERE i.workspace = e.workspace AND i.handled = 0)"
            " ORDER BY e.seq"
        )
        found = await self._envelopes(where, timestamp(since))
        return [envelope.event for envelope in found if isinstance(envelope.event, PayloadReceived)]

    async def message_at(self, channel: str, ts: str) -> Message | None:
        """The outbox row behind a Slack message of ours."""
        return _first(await self._messages(" AND sent_channel = ? AND ts = ? AND ts <> ''", channel, ts))

    async def waits(self, run_id: str) -> Sequence[Wait]:
        """Who answered each of a run's cards, and how long after it was shown; by the journal's clock alone."""
        of = {"workspace": self._workspace, "run_id": run_id}
        return await self._read(lambda db: [rows.wait(row) for row in db.execute(rows.WAITS, of).fetchall()])

    async def config_findings(self, run_id: str = "", limit: int = MOST) -> Sequence[KnownFinding]:
        """What scans found and is still there, as they ranked it; with `run_id` what this one was the last to see."""
        sql = (
            f"SELECT {rows.KNOWN} FROM config_findings WHERE workspace = ? AND gone_at IS NULL AND (? = '' OR run_id = ?)"  # noqa: S608
            " ORDER BY risk, saved DESC, place LIMIT ?"
        )
        return await self._all(sql, (run_id, run_id, limit), lambda _, row: rows.known_finding(row))

    async def config_finding(self, key: str) -> KnownFinding | None:
        """One configuration finding, also one that is gone."""
        sql = f"SELECT {rows.KNOWN} FROM config_findings WHERE workspace = ? AND key = ?"  # noqa: S608
        return _first(await self._all(sql, (key,), lambda _, row: rows.known_finding(row)))

    async def precedents(
        self, *, fingerprint: str = "", target_key: str = "", text: str = "", limit: int = 5
    ) -> Sequence[Precedent]:
        """Earlier runs of settled incidents about a problem alike, the most alike first."""
        return await self._read(
            lambda db: memories.precedents(db, self._workspace, fingerprint, target_key, text, limit)
        )

    async def rollup(self, since: datetime, until: datetime) -> Rollup:
        """What the work of a period cost and saved: from `since` up to, not including, `until`."""
        return await self._read(lambda db: rollups.rollup(db, self._workspace, since, until))

    async def feedback(self, run_id: str, user: str) -> FeedbackGiven | None:
        """The word of one person on one run's diagnosis that stands."""
        return await self._read(lambda db: feedback.of_person(db, self._workspace, run_id, user))

    async def quality(self, since: datetime, until: datetime) -> Quality:
        """What stands of the feedback that was given from `since` up to, not including, `until`."""
        return await self._read(lambda db: feedback.quality(db, self._workspace, since, until))

    async def drill(self, figure: str, since: datetime, until: datetime) -> Drill:
        """One figure of that period with the events behind it. Raises BadInput for a name that there is not."""
        return await self._read(lambda db: drills.drill(db, self._workspace, figure, since, until))

    async def mishaps(self, since: datetime, until: datetime) -> Sequence[Mishap]:
        """The changes begun in a period that went wrong or were taken back, newest first."""
        return await self._read(lambda db: report.mishaps(db, self._workspace, since, until))

    async def broken(self, since: datetime, until: datetime) -> int:
        """How many runs ended with an error in a period."""
        return await self._read(lambda db: report.broken(db, self._workspace, since, until))

    async def head(self) -> Head | None:
        """The last event, and what is signed and anchored; None for an empty journal."""
        return await self._read(lambda db: report.head(db, self._workspace))

    async def count_decisions(self, since: datetime) -> int:
        """How many decisions were recorded from then on."""
        return await self._read(lambda db: decisions.count(db, self._workspace, timestamp(since)))

    async def decisions(self, since: datetime) -> AsyncIterator[decisions.RecordedDecision]:
        """Every decision recorded from then on, oldest first, with what became of it; one page at a time in memory."""
        place: decisions.Place = (timestamp(since), -1)
        while True:
            page = await self._read(partial(decisions.page, workspace=self._workspace, after=place))
            for each in page:
                yield each
            if len(page) < decisions.PAGE:
                return
            place = (timestamp(page[-1].at), page[-1].seq)

    async def last(self, kind: type[Event]) -> Envelope | None:
        """The newest event of a kind."""
        return _first(await self._envelopes(" AND e.kind = ? ORDER BY e.at DESC, e.seq DESC LIMIT 1", kind.__name__))

    async def anchors(self) -> Sequence[Anchor]:
        """How each place stands that holds copies of checkpoints."""
        sql = "SELECT place, size, reference, written_at, failed, failed_at FROM anchors WHERE workspace = ? ORDER BY place"
        return await self._all(sql, (), lambda _, row: rows.anchor(row))

    async def hashes(self, first: int, last: int) -> Sequence[bytes]:
        """The events' hashes from one `seq` to another, both included. Raises JournalError where one is missing."""
        return await self._read(lambda db: tiles.hashes(db, self._workspace, first, last))

    async def record(self, run_id: str) -> records.RunRecord | None:
        """A run with all that it rested on; None where there is no such run."""
        return await self._read(lambda db: records.record_of(db, self._workspace, run_id))

    async def runs_between(self, since: datetime, until: datetime) -> Sequence[str]:
        """The ids of the finished runs that began in a period, oldest first, but the undoing of changes."""
        return await self._read(lambda db: records.runs_between(db, self._workspace, since, until))

    # --- how it is read -----------------------------------------------------------------------------------------------

    async def _read(self, query: Query[T]) -> T:
        try:
            return await self._reading.run(lambda db: _in_one_snapshot(db, query))
        except sqlite3.Error as error:
            raise JournalError(sentence(error, "cannot read the journal")) from error

    async def _one(self, sql: str, of: Sequence[object] | Mapping[str, object]) -> sqlite3.Row | None:
        return await self._read(lambda db: db.execute(sql, of).fetchone())

    async def _all(
        self, sql: str, of: tuple[object, ...], noun: Callable[[sqlite3.Connection, sqlite3.Row], T]
    ) -> list[T]:
        return await self._read(
            lambda db: [noun(db, row) for row in db.execute(sql, (self._workspace, *of)).fetchall()]
        )

    async def _envelopes(self, where: str, *of: object) -> list[Envelope]:
        return await self._all(_EVENTS + where, of, lambda _, row: envelope(tuple(row)))

    async def _incidents(self, where: str, *of: object) -> list[Incident]:
        sql = f"SELECT {rows.INCIDENT} FROM incidents WHERE workspace = ?{where}"  # noqa: S608 – the text is this file's
        return await self._all(sql, of, lambda db, row: rows.incident(db, self._workspace, row))

    async def _runs(self, where: str, *of: object) -> list[RunRow]:
        sql = f"SELECT {rows.RUN} FROM runs WHERE workspace = ?{where}"  # noqa: S608
        return await self._all(sql, of, lambda _, row: rows.run(row))

    async def _approvals(self, where: str, *of: object) -> list[Approval]:
        sql = f"SELECT {rows.APPROVAL} FROM approvals WHERE workspace = ?{where}"  # noqa: S608
        return await self._all(sql, of, lambda db, row: rows.approval(db, self._workspace, row))

    async def _break_glass(self, where: str, *of: object) -> list[BreakGlass]:
        sql = f"SELECT {rows.BREAK_GLASS} FROM break_glass WHERE workspace = ?{where}"  # noqa: S608
        return await self._all(sql, of, lambda _, row: rows.break_glass(row))

    async def _messages(self, where: str, *of: object) -> list[Message]:
        sql = f"SELECT {rows.MESSAGE} FROM outbox WHERE workspace = ?{where}"  # noqa: S608
        return await self._all(sql, of, lambda _, row: rows.message(row))


def _in_one_snapshot(db: sqlite3.Connection, query: Query[T]) -> T:
    db.execute("BEGIN")
    try:
        return query(db)
    finally:
        db.execute("COMMIT")


def _first(found: Sequence[T]) -> T | None:
    return found[0] if found else None
