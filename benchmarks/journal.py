"""The journal against SQLite itself: appends per second, latency, verification, folding again, a quarter's roll-up.

The floors are measured in the same run on the same disk: what bare sqlite3 does for rows of the same size, committed one by
one (what a journal without group commit could reach) and in groups of the same size (what group commit could reach if
canonical JSON, two hashes, two tables, four indexes and projections were free). Figures are medians of the rounds.

    python -m benchmarks.journal [--events 10000] [--appenders 50] [--rounds 5]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from domain.canonical import canonical
from domain.events import Draft, ToolCallFinished, WorkUnitRecorded, body_of
from domain.runs import ToolResult
from domain.work import WorkKind, WorkOutcome, WorkUnit
from storage.journal import SqliteJournal, open_journal
from storage.verify import verify

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Line:
    """One line of the table: `held` is None where there is no aim."""

    what: str
    figure: str
    against: str = ""
    held: bool | None = None


def event(number: int, run: int = 0) -> Draft:
    """About 1 KB of body: a tool result as a read of a workload leaves it."""
    items = [{"name": f"cart-{number}-{pod}", "ready": True, "restarts": pod, "node": "node-a"} for pod in range(6)]
    result = ToolResult(f"c{number}", "kubernetes_list", True, "x" * 400, f"E{number}", {"items": items}, 12)
    return Draft(ToolCallFinished(result), incident_id="i1", run_id=f"r{run}")


def raw(path: Path, events: int, group: int) -> float:
    """Rows per second of bare sqlite3, WAL and synchronous=FULL, `group` rows to a commit."""
    body = canonical(body_of(event(1).event)).decode()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE log (seq INTEGER PRIMARY KEY, body TEXT)")
        began = time.perf_counter()
        for _ in range(events // group):
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO log (body) VALUES (?)", [(body,)] * group)
            db.execute("COMMIT")
        return events // group * group / (time.perf_counter() - began)


async def appended(journal: SqliteJournal, events: int, appenders: int) -> tuple[float, float]:
    """Events per second with that many appenders, each awaiting one event at a time; and the median wait, in ms."""
    waits: list[float] = []

    async def one(drafts: list[Draft]) -> None:
        for draft in drafts:
            began = time.perf_counter()
            await journal.append(draft)
            waits.append(time.perf_counter() - began)

    work = [[event(number, run) for number in range(events // appenders)] for run in range(appenders)]
    began = time.perf_counter()
    await asyncio.gather(*map(one, work))
    return len(waits) / (time.perf_counter() - began), statistics.median(waits) * 1000


async def rolled_up(journal: SqliteJournal, units: int) -> float:
    """Milliseconds of a roll-up over 90 days with that many work units."""
    for start in range(0, units, 1000):
        await journal.append(
            *(
                Draft(WorkUnitRecorded(unit(NOW - timedelta(days=90) * (number / units), number)))
                for number in range(start, min(start + 1000, units))
            )
        )
    times = []
    for _ in range(9):
        began = time.perf_counter()
        await journal.rollup(NOW - timedelta(days=89, hours=5), NOW)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def unit(finished_at: datetime, number: int) -> WorkUnit:
    """A work unit of some kind."""
    kind, outcome = list(WorkKind)[number % 5], list(WorkOutcome)[number % 6]
    began = finished_at - timedelta(minutes=4)
    return WorkUnit(
        kind,
        outcome,
        began,
        finished_at,
        "cart",
        "production",
        worth=True,
        to_first_finding_ms=900,
        to_diagnosis_ms=4000,
        to_approval_ms=60_000 + number,
        to_verified_ms=240_000,
        people_ms=60_000,
    )


async def measure(folder: Path, events: int, appenders: int, rounds: int) -> list[Line]:
    """Every figure and its floor."""
    singly, grouped, together, alone, waits, costs = [], [], [], [], [], []
    for number in range(rounds):
        singly.append(raw(folder / f"raw-{number}.db", events // 5, 1))
        grouped.append(raw(folder / f"group-{number}.db", events, appenders))
        async with open_journal(folder / f"journal-{number}.db", "local") as journal:
            worked = time.process_time()
            rate, wait = await appended(journal, events, appenders)
            costs.append((time.process_time() - worked) / events * 1e6)
            together.append(rate)
            waits.append(wait)
            alone.append((await appended(journal, events // 10, 1))[1])
    one_by_one, in_groups = statistics.median(singly), statistics.median(grouped)
    rate, apart, cost = statistics.median(together), statistics.median(alone), statistics.median(costs)
    path = folder / "journal-0.db"
    began = time.perf_counter()
    checked = verify(path)
    checks = checked.events / (time.perf_counter() - began)
    size = path.stat().st_size / checked.events
    async with open_journal(path, "local") as journal:
        began = time.perf_counter()
        folds = await journal.rebuild() / (time.perf_counter() - began)
        quarter = await rolled_up(journal, 20_000)
    return [
        Line("floor: sqlite3, a commit per event", f"{one_by_one:,.0f} events/s"),
        Line(f"floor: sqlite3, {appenders} rows to a commit", f"{in_groups:,.0f} events/s"),
        Line(
            f"journal, {appenders} appenders",
            f"{rate:,.0f} events/s",
            f"{rate / one_by_one:.1f} x one by one, {rate / in_groups:.2f} x grouped; aim 8,000",
            rate >= 8000,
        ),
        Line("processor time per event", f"{cost:.0f} µs", "aim 125 µs", cost <= 125),
        Line(f"a wait with {appenders} appenders", f"{statistics.median(waits):.2f} ms"),
        Line("a wait alone", f"{apart:.2f} ms", f"floor {1000 / one_by_one:.2f} ms"),
        Line("verify", f"{checks:,.0f} events/s", "aim 150,000", checked.ok and checks >= 150_000),
        Line("fold everything again", f"{folds:,.0f} events/s"),
        Line("roll-up, 90 days, 20,000 units", f"{quarter:.1f} ms", "aim 50 ms", quarter <= 50),
        Line("bytes per event", f"{size:,.0f}", f"body {body_size():,}"),
    ]


def body_size() -> int:
    """Bytes of one event's canonical body."""
    return len(canonical(body_of(event(1).event)))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where an aim was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.journal", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--events", type=int, default=10_000, help="events per round")
    parser.add_argument("--appenders", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        lines = asyncio.run(measure(Path(folder), options.events, options.appenders, options.rounds))
    for line in lines:
        mark = {None: " ", True: "✓", False: "✗"}[line.held]
        print(f"{mark} {line.what:<36} {line.figure:>20}  {line.against}".rstrip())
    return int(any(line.held is False for line in lines))


if __name__ == "__main__":
    sys.exit(main())
