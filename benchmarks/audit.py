"""The proof of the journal at a million events: `audit verify` as a person runs it, inclusion proofs, a checkpoint; and what
signing and copying checkpoints costs while 50 appenders write.

The log is built by bulk inserts of correctly chained rows of about 1 KB, with a signed checkpoint every 500 events and a copy
of each in a file. Verification is timed from the command's start to its end, with both cores. Appending is compared with the
same journal without a notary, round by round.

    python -m benchmarks.audit [--events 1000000] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.journal import appended
from benchmarks.measure import Figure, against, at_most, show
from bot.anchors import FilePlace
from bot.notary import EVERY_EVENTS, Notary
from domain.canonical import canonical
from domain.codec import timestamp
from storage import tiles
from storage.chain import GENESIS, hash_of_body, hash_of_event
from storage.checkpoints import Checkpoint, checkpoint_of, fresh, origin_of, proofs, sign
from storage.copies import line_of
from storage.journal import migrate, open_journal
from storage.keys import Keys, private_pem
from storage.merkle import Frontier

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
SALT = "0123456789abcdef" * 2
BODY = (
    '{{"result":{{"arguments":{{}},"call_id":"c{0}","cut":false,"data":{{"items":[{1}]}},"evidence_id":"E1","ok":true,'
    '"redactions":0,"text":"{2}","took_ms":12,"tool":"kubernetes_list"}}}}'
)
PODS = ",".join([f'{{"name":"cart-{pod}","node":"node-a","ready":true,"restarts":{pod}}}' for pod in range(6)])


@dataclass
class Log:
    """A log under construction: its head, its tree, and the lines of the file that holds copies."""

    head: str
    tree: Frontier
    copies: list[str]
    recent: list[bytes]


def rows(count: int, log: Log) -> Iterator[tuple[tuple[object, ...], tuple[object, ...]]]:
    """So many events, chained, every five hundredth a checkpoint over those before it; `log` is kept up."""
    at = timestamp(NOW)
    for seq in range(1, count + 1):
        if seq % EVERY_EVENTS:
            kind, body = "ToolCallFinished", BODY.format(seq, PODS, "x" * 400)
        else:
            kind, body = "CheckpointSigned", checkpoint(seq - 1, log)
        body_hash = hash_of_body(SALT, body.encode())
        fields = ("T1", seq, "i1", f"r{seq // 500}", at, "agent", kind, body_hash, log.head)
        log.head = hash_of_event(*fields)
        log.recent.append(bytes.fromhex(log.head))
        log.tree.append(log.recent[-1])
        yield (*fields, log.head), ("T1", seq, SALT, body)


def checkpoint(size: int, log: Log) -> str:
    """A checkpoint event's body; its copy joins the others."""
    note = sign(Checkpoint(origin_of("T1"), size, log.tree.root(), log.head, NOW), KEY)
    log.copies.append(line_of(note, size - len(log.recent) + 1, log.recent))
    log.recent = []
    return canonical({"note": note, "size": size, "frontier": log.tree.to_hex()}).decode()


def build(folder: Path, count: int) -> None:
    """The database, its key, and the file with the copies."""
    path, log = folder / "agent.db", Log(GENESIS, Frontier(), [], [])
    migrate(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        kept = db.execute(
            "SELECT type, name, sql FROM sqlite_schema WHERE type = 'trigger' OR name LIKE 'events_of_%'"
        ).fetchall()
        db.execute("BEGIN")
        for kind, name, _ in kept:
            db.execute(f"DROP {kind} {name}")
        waiting = rows(count, log)
        while batch := [row for _, row in zip(range(20_000), waiting, strict=False)]:
            db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [event for event, _ in batch])
            db.executemany("INSERT INTO event_bodies VALUES (?, ?, ?, ?)", [body for _, body in batch])
        for _, _, sql in kept:
            db.execute(sql)
        tiles.lay(db, "T1", count)
        db.execute("COMMIT")
    (folder / "anchors.jsonl").write_text("".join(log.copies))
    (folder / "agent.db.key").write_text(private_pem(KEY))


def verified(folder: Path) -> tuple[float, float, str]:
    """Seconds of wall clock and megabytes of the largest process of `audit verify`; and its first line."""
    command = [sys.executable, "-m", "bot", "audit", "verify", "--database", f"{folder}/agent.db"]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "--anchor", f"{folder}/anchors.jsonl"], capture_output=True, text=True, check=True, env=os.environ
    )
    seconds = time.perf_counter() - began
    return seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, done.stdout.partition("\n")[0]


async def written(folder: Path, events: int, *, notary: bool) -> tuple[float, float]:
    """Events per second that 50 appenders reach, with checkpoints and copies or without; and CPU microseconds an event."""
    async with open_journal(folder / "agent.db", "T1") as journal:
        places = [FilePlace(f"file:{folder}/anchors.jsonl")]
        keeper = Notary(journal, Keys(KEY, (KEY.public_key(),)), places) if notary else None
        if keeper:
            await keeper.start()
        worked = time.process_time()
        rate, _ = await appended(journal, events, 50)
        cost = (time.process_time() - worked) / events * 1e6
        if keeper:
            await keeper.stop()
    return rate, cost


def timed(work: object, rounds: int) -> float:
    """Milliseconds, the median."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()  # type: ignore[operator]
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def measured(rounds: int, events: int = 1_000_000) -> list[Figure]:
    """Every figure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, events)
        seconds, megabytes, said = verified(folder)
        assert said.startswith(f"{events} events verified"), said
        path, run = folder / "agent.db", range(events // 2, events // 2 + 500)
        proved = timed(lambda: proofs(path, "T1", run, events), rounds)
        scattered = range(1, events + 1, events // 500)
        worst = timed(lambda: proofs(path, "T1", scattered, events), rounds)
        now = timed(lambda: fresh(path, "T1", KEY, NOW), rounds)
        with closing(sqlite3.connect(path)) as db:
            db.execute("DELETE FROM tiles")
            first = timed(lambda: checkpoint_of(db, "T1", NOW), 1)
    figures = [
        at_most(
            f"`audit verify` of {events:,} events with 2,000 checkpoints and copies", seconds, 10 * events / 1e6, "s"
        ),
        Figure("the same, per second", events / seconds, "events/s"),
        Figure("the largest of its processes", megabytes, "MB"),
        at_most(f"500 inclusion proofs of one run among {events:,}", proved, 500, "ms"),
        Figure("the same, scattered over all of it", worst, "ms"),
        Figure("a checkpoint over all of it, from its tiles", now, "ms"),
        Figure("the very first checkpoint over all of it", first, "ms"),
    ]
    return [*figures, *appending(rounds)]


def appending(rounds: int, events: int = 10_000) -> list[Figure]:
    """Appending with checkpoints against appending without, in turn."""
    found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for number in range(2 * rounds):
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
            found[bool(number % 2)].append(asyncio.run(written(Path(name), events, notary=bool(number % 2))))
    rates = {on: [rate for rate, _ in each] for on, each in found.items()}
    costs = {on: [cost for _, cost in each] for on, each in found.items()}
    rate, floor = statistics.median(rates[True]), statistics.median(rates[False])
    what = "journal, 50 appenders, with checkpoints and a file of copies"
    return [
        Figure(what, rate, "events/s", floor, rate / floor, "≥ 8,000", rate >= 8000),
        against("CPU per event with them", costs[True], costs[False], "µs"),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where an aim was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.audit", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    return show(measured(options.rounds, options.events), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
