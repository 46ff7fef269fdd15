"""What a quarter's figures cost to read from a journal of a million events, to keep while it is written, and to draw.

The journal is built by bulk inserts in the proportions of an incident of the demo (about 76 events; repeats, a card, a change):
13,000 incidents in 90 days, with a question for every third. Bodies are left out: no figure reads one. "Without" is the same
appends with everything that only the figures need taken out of the fold, and with its indexes dropped.

    python -m benchmarks.roi [--events 1000000] [--rounds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure, against, at_most, show
from domain.codec import timestamp
from domain.events import AlertJoined, Draft, IncidentResolved, MessageSent, VerificationPassed
from domain.work import Rollup
from storage.journal import SqliteJournal, migrate, open_journal
from storage.reader import read_journal
from storage.views import approvals, incidents, noise, units
from tests.contracts.journal_samples import (
    alert,
    ended,
    execution,
    message,
    opened,
    requested,
    run_started,
    step,
    vote,
    worked,
)

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
DAYS = 90
PER_INCIDENT = 76
OURS = (  # what only the figures need of the fold
    (units, "recorded"), (units, "worsened"), (units, "disputed"), (noise, "counted"), (noise, "tally"),
    (approvals, "_decided"), (approvals, "shown"), (incidents, "acted_in"),
)  # fmt: skip
INDEXES = ("work_units_by_end", "work_units_bad", "work_units_of_run", "incidents_resolved", "approvals_decided")
_KINDS = (  # of an incident's events, in the demo's proportions; those that a figure counts stand where they occur
    "AlertReceived", "IncidentOpened", "RunStarted", *["ToolCallFinished"] * 30, *["MessageWanted"] * 14, *["MessageSent"] * 10,
    *["DecisionMade"] * 7, *["AlertReceived", "AlertJoined"] * 6,
)  # fmt: skip


def build(path: Path, events: int) -> None:
    """A journal of that many events in 90 days, with the projections that its fold would have left."""
    migrate(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; DROP TRIGGER events_only_append")
        db.execute("BEGIN")
        db.execute("CREATE TEMP TABLE kinds (place INTEGER PRIMARY KEY, kind TEXT)")
        rest = ["SurfaceShown"] * (PER_INCIDENT - len(_KINDS))
        db.executemany("INSERT INTO kinds VALUES (?, ?)", enumerate([*_KINDS, *rest]))
        first = int((NOW - timedelta(days=DAYS)).timestamp())
        db.execute(_EVENTS, {"n": events, "since": first, "step": DAYS * 86_400 / events})
        dice, counted = random.Random(1), events // PER_INCIDENT
        for number in range(counted):
            at = timestamp(NOW - timedelta(days=DAYS) * (1 - number / counted))
            _Incident(db, dice, number, at, number * PER_INCIDENT + 50).insert()
        for what, kind in (("alert", "AlertReceived"), ("incident", "IncidentOpened")):
            db.execute(
                f"INSERT INTO tallies {_BY_DAY.format(what=repr(what), table='events')} WHERE kind = '{kind}' GROUP BY 2"
            )
        db.execute(f"INSERT INTO tallies {_BY_DAY.format(what='why', table='noise')} GROUP BY 2, 3")
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")


_BY_DAY = "SELECT workspace, substr(at, 1, 10), {what}, count(*) FROM {table}"
_EVENTS = f"""
  WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :n)
  INSERT INTO events (workspace, seq, incident_id, run_id, at, actor, kind, body_hash, prev_hash, hash)
  SELECT 'local', i, 'inc-' || i / {PER_INCIDENT}, 'run-' || i / {PER_INCIDENT},
    strftime('%Y-%m-%dT%H:%M:%S.000000Z', :since + i * :step, 'unixepoch'), 'agent', kind,
    hex(randomblob(32)), hex(randomblob(32)), hex(randomblob(32))
  FROM n JOIN kinds ON place = i % {PER_INCIDENT}
"""


class _Incident:
    """An incident with its run, two of three times with a card and mostly a change, and a question for every third."""

    def __init__(self, db: sqlite3.Connection, dice: random.Random, number: int, at: str, seq: int) -> None:
        self.db, self.number, self.at, self.seq = db, number, at, seq
        self.service = f"kubernetes/shop/Deployment/service-{dice.randrange(40)}"
        self.wait = round(60_000 * dice.lognormvariate(0, 1.2))
        self.age, self.first, self.diagnosed, self.approved, self.verified = (
            round(scale * dice.lognormvariate(0, 0.8)) for scale in (30_000, 2_000, 9_000, 90_000, 240_000)
        )
        self.asked = dice.random() < 0.66
        self.changed = self.asked and dice.random() < 0.9
        ends = ("accepted", "edited", "failed", "reverted")
        self.outcome = dice.choices(ends, (85, 5, 6, 4))[0] if self.changed else "no_action"

    def insert(self) -> None:
        at, seq, number = self.at, self.seq, self.number
        self._row(
            "incidents", id=f"inc-{number}", seq=seq - 48, opened="{}", opened_at=at, channel="C", thread_ts="1", alerts=7,
            resolved_at=at, resolved_seq=seq + 9, open_ms=self.verified * 2, changed=int(self.changed),
        )  # fmt: skip
        for place in range(5):
            self._row("noise", why=("repeated", "grouped")[place % 2], at=at, seq=seq + place)
        of_run = {"run_id": f"run-{number}", "environment": "production", "tool": "t", "target_key": self.service}
        if self.asked:
            self._row(
                "approvals", id=f"apr-{number}", seq=seq - 2, incident_id=f"inc-{number}", arguments_digest="d", digest="d",
                expires_at=at, observe_only=0, batch="", request="{}", state="consumed", decided_at=at, decided_seq=seq - 1,
                decided="approved", waited_ms=self.wait, **of_run,
            )  # fmt: skip
        if self.changed:
            self._row(
                "executions", id=f"exe-{number}", seq=seq, call_id="c", approval_id="", touches=3, key="k", action="{}",
                undoes="", started_at=at, outcome="succeeded", verified=int(self.outcome != "failed"),
                reverted_seq=seq if self.outcome == "reverted" else None, **of_run,
            )  # fmt: skip
        self._unit(seq + 5, "remediation" if self.asked else "diagnosis", self.outcome, by_alert=1)
        if number % 3 == 0:
            self._unit(seq + 6, "question", "no_action", by_alert=0)

    def _unit(self, seq: int, kind: str, outcome: str, by_alert: int) -> None:
        wait = self.wait if kind == "remediation" else 0
        self._row(
            "work_units", seq=seq, incident_id=f"inc-{self.number}", run_id=f"run-{self.number}", kind=kind, outcome=outcome,
            service=self.service, started_at=self.at, finished_at=self.at, by_alert=by_alert, worth=1, undo=0,
            alert_age_ms=self.age,
            to_first_finding_ms=self.first, to_diagnosis_ms=self.diagnosed, votes=int(wait > 0), people_ms=wait,
            to_approval_ms=self.approved if outcome != "no_action" else None,
            to_verified_ms=self.verified if outcome in ("accepted", "edited", "reverted") else None,
            attention_s=min(wait // 1000, 900), machine_ms=30_000, compute_micros=None, input_tokens=20_000, output_tokens=900,
            unpriced_tokens=0, cost_micros=6_800,
        )  # fmt: skip
        units._count(self.db, "local", seq, 1)  # noqa: SLF001 – as the fold does

    def _row(self, table: str, **columns: Any) -> None:
        names, marks = ", ".join(("workspace", *columns)), ", ".join("?" * (len(columns) + 1))
        self.db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", ("local", *columns.values()))


# --- reading ----------------------------------------------------------------------------------------------------------


async def read(path: Path, rounds: int) -> tuple[list[float], float, Rollup]:
    """Milliseconds of a quarter's roll-up, of the first one on a new connection, and what it says.

    Processor time, which on a quiet machine is the wall clock's: everything is in memory and on one thread.
    """
    since = NOW - timedelta(days=DAYS - 1, hours=5)
    async with read_journal(path, "local") as journal:
        times = []
        for _ in range(rounds + 1):
            began = time.process_time()
            rollup = await journal.rollup(since, NOW)
            times.append((time.process_time() - began) * 1000)
    return times[1:], times[0], rollup


# --- writing ----------------------------------------------------------------------------------------------------------


def life(n: int) -> list[Draft]:
    """An incident as the journal sees it, with its storm, its card, its change and its unit."""
    run, incident = {"run_id": f"r{n}"}, {"incident_id": f"i{n}"}
    storm = [f"f{n}" if place % 2 else f"g{n}.{place}" for place in range(6)]
    return [
        alert(f"f{n}"),
        opened(f"i{n}", f"f{n}"),
        run_started(f"r{n}", f"i{n}"),
        message(f"incident:i{n}", 1, f"i{n}"),
        Draft(MessageSent(f"incident:i{n}", 1, "C1", f"{n}.1")),
        *(Draft(AlertJoined(fingerprint, firing=True), **incident) for fingerprint in storm),
        *(step(place, f"r{n}", size=400) for place in range(1, 6)),
        requested(f"a{n}", f"r{n}", f"c{n}", **incident),
        message(f"approval:a{n}", 1, f"i{n}"),
        Draft(MessageSent(f"approval:a{n}", 1, "C1", f"{n}.2")),
        vote(f"a{n}", **run),
        execution(f"x{n}", f"a{n}", f"c{n}", **run),
        Draft(ended(f"x{n}").event, **run),
        Draft(VerificationPassed(f"x{n}", (), 5), **run),
        *(message(f"incident:i{n}", place, f"i{n}") for place in range(2, 12)),
        Draft(worked(NOW, worth=True, to_diagnosis_ms=9_000 + n, to_verified_ms=240_000 - n).event, **incident, **run),
        Draft(IncidentResolved("ceased"), **incident),
    ]


@contextlib.contextmanager
def without() -> Iterator[None]:
    """The fold without what only the figures need."""
    kept = [(module, name, getattr(module, name)) for module, name in OURS]
    try:
        for module, name in OURS:
            setattr(module, name, lambda *_: None)
        yield
    finally:
        for module, name, function in kept:
            setattr(module, name, function)


async def written(path: Path, lives: Sequence[Sequence[Draft]], *, bare: bool) -> float:
    """Processor microseconds per event, each appended on its own."""
    async with open_journal(path, "local") as journal:
        if bare:
            dropped = "; ".join(f"DROP INDEX {index}" for index in INDEXES)
            await journal._writing.run(lambda db: db.executescript(dropped))  # noqa: SLF001
        with without() if bare else contextlib.nullcontext():
            return await _appended(journal, [draft for drafts in lives for draft in drafts])


async def _appended(journal: SqliteJournal, drafts: Sequence[Draft]) -> float:
    began = time.process_time()
    for draft in drafts:
        await journal.append(draft)
    return (time.process_time() - began) / len(drafts) * 1e6


def overhead(what: str, folder: Path, lives: Sequence[Sequence[Draft]], rounds: int) -> Figure:
    """What an append costs with the figures kept, against the same without."""
    ours, bare = [], []
    for number in range(rounds):
        ours.append(asyncio.run(written(folder / f"ours-{number}.db", lives, bare=False)))
        bare.append(asyncio.run(written(folder / f"bare-{number}.db", lives, bare=True)))
        for name in ("ours", "bare"):
            for file in folder.glob(f"{name}-{number}.db*"):
                file.unlink()
    return against(what, ours, bare, "µs", most=1.5)


# --- drawing ----------------------------------------------------------------------------------------------------------


def drawn_from_cold(path: Path, folder: Path) -> float:
    """Seconds of `roi --chart` in a new process that has no font cache: interpreter, imports, figures, picture."""
    environment = {**os.environ, "AGENT_DATABASE": str(path), "MPLCONFIGDIR": str(folder / "cold")}
    began = time.perf_counter()
    command = [sys.executable, "-m", "bot", "roi", "--since", "90d", "--chart", str(folder / "chart.png")]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measured(rounds: int, events: int = 1_000_000) -> list[Figure]:
    """Every figure."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        path = folder / "journal.db"
        build(path, events)
        times, first, rollup = asyncio.run(read(path, 4 * rounds))
        assert rollup.n > events // PER_INCIDENT
        lives = [life(n) for n in range(40)]
        alone = [[worked(NOW - timedelta(hours=n % 500), to_diagnosis_ms=n, to_verified_ms=9 * n) for n in range(500)]]
        cold = statistics.median(drawn_from_cold(path, folder) for _ in range(min(rounds, 3)))
        return [
            at_most(
                f"90 days' figures over {events:,} events, {rollup.n:,} units", statistics.median(times), 50, "ms CPU"
            ),
            Figure("the same, first on a new connection", first, "ms CPU"),
            overhead("appends of an incident with its figures kept, CPU", folder, lives, rounds),
            replace(overhead("worst: nothing but work units", folder, alone, rounds), target="", held=None),
            at_most("a chart from cold, process and font cache included", cold, 2, "s"),
        ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where an aim was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.roi", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(argv)
    return show(measured(options.rounds, options.events), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
