"""A storm: 10,000 different alerts as fast as one service takes them. How long a delivery waits, and what is left of them.

`python -m benchmarks.storm` prints the table; `--json` the figures. The server is the one of `benchmarks.intake`: the real
route, parser, redaction, correlation, plane and journal, in a process of its own; Slack is left out. In five minutes 33
alerts would come each second; here they come without a pause, eight deliveries at a time, which is harder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from benchmarks.measure import CLIENT_CORE, Figure, at_most, pin, process, show

ALERTS, IN_A_DELIVERY, IN_FLIGHT = 10_000, 10, 8


def request(number: int) -> bytes:
    """One delivery of ten alerts, each of another workload of one of 40 namespaces on one of 12 nodes."""
    alerts = [_alert(number * IN_A_DELIVERY + each) for each in range(IN_A_DELIVERY)]
    payload = {"version": "4", "groupKey": f"group-{number}", "status": "firing", "receiver": "agent", "alerts": alerts}
    body = json.dumps(payload).encode()
    head = f"POST /alerts/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def _alert(number: int) -> dict[str, object]:
    labels = {
        "alertname": ("KubePodNotReady", "KubePodCrashLooping", "TargetDown", "HighLatency")[number % 4],
        "namespace": f"team-{number % 40}",
        "deployment": f"svc-{number}",
        "node": f"worker-{0 if number % 3 else number % 12}",
        "severity": "critical" if number % 5 == 0 else "warning",
    }
    annotations = {"summary": f"svc-{number} is not well", "description": "No pod has been ready for a minute. " * 4}
    times = {"startsAt": "2026-03-01T12:00:00Z", "endsAt": "0001-01-01T00:00:00Z"}
    return {"status": "firing", "labels": labels, "annotations": annotations, "fingerprint": f"{number:016x}", **times}


async def send(port: int) -> list[float]:
    """Every delivery, and how long each took, in milliseconds."""
    numbers, took = iter(range(ALERTS // IN_A_DELIVERY)), list[float]()
    await asyncio.gather(*(_one_by_one(port, numbers, took) for _ in range(IN_FLIGHT)))
    return took


async def _one_by_one(port: int, numbers: Iterator[int], took: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for number in numbers:
        message = request(number)
        began = time.perf_counter()
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        took.append((time.perf_counter() - began) * 1000)
        assert head.startswith(b"HTTP/1.1 202"), head
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
    writer.close()


def measured(rounds: int = 1) -> list[Figure]:
    """One storm on a fresh service each round; the figures of the median round, the worst of the counts."""
    p99s, rates, counts = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "journal.db"
            with process("benchmarks.intake", "--serve", str(path)) as (_, port):
                pin(CLIENT_CORE)
                began = time.perf_counter()
                took = asyncio.run(send(int(port)))
                rates.append(ALERTS / (time.perf_counter() - began))
            p99s.append(statistics.quantiles(took, n=100)[98])
            counts.append(_counted(path))
    kept, incidents, runs = min(c[0] for c in counts), max(c[1] for c in counts), max(c[2] for c in counts)
    return [
        at_most("a delivery of a storm's ten alerts, p99", statistics.median(p99s), 250, "ms"),
        Figure("a storm's alerts", statistics.median(rates), "/s", target="≥ 34 /s", held=min(rates) >= 34),
        Figure("of 10,000 alerts, in the journal", kept, "", target="10,000", held=kept == ALERTS),
        at_most("of them: incidents", incidents, 21, ""),
        at_most("of them: runs", runs, 21, ""),
    ]


def _counted(path: Path) -> tuple[int, int, int]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        count = "SELECT count(*) FROM"
        (alerts,) = db.execute(f"{count} events WHERE kind = 'AlertReceived'").fetchone()
        (incidents,) = db.execute(f"{count} incidents").fetchone()
        (runs,) = db.execute(f"{count} runs").fetchone()
    return alerts, incidents, runs


def main() -> int:
    """Measure and print; 1 where a target was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.storm", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    return show(measured(), as_json=parser.parse_args().json)


if __name__ == "__main__":
    sys.exit(main())
