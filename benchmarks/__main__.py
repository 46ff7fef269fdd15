"""All the benchmarks, one table: `python -m benchmarks [NAME …] [--json]`. Each runs in a process of its own.

Exit code 1 where a target was missed. docs/performance.md says what each figure means and what it was when last measured.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import multiprocessing
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import Figure, at_most, table


def gate() -> list[Figure]:
    """The gate, quick."""
    from benchmarks import gate as bench

    found = bench.measure()
    p50, floor = found["gate_p50_us"], found["floor_p50_us"]
    return [
        Figure(f"a decision, {bench.RULES} rules, p50", p50, "µs", floor, p50 / floor, "≤ 60 µs", p50 <= 60),
        Figure("decisions per CPU second", found["gate_per_second"], "/s", found["floor_per_second"]),
        at_most("redact a clean alert of 1 KB", found["redact_clean_1kb_us"], 40, "µs"),
    ]


def journal() -> list[Figure]:
    """The journal, quick: its own lines, those with a figure and an aim."""
    from benchmarks import journal as bench

    with tempfile.TemporaryDirectory() as folder:
        lines = asyncio.run(bench.measure(Path(folder), 5000, 50, 3))
    figures = []
    for line in lines:
        number, _, unit = line.figure.partition(" ")
        figures.append(Figure(line.what, float(number.replace(",", "")), unit, target=line.against, held=line.held))
    return figures


def kubernetes_list() -> list[Figure]:
    """A list of 500 pods, quick."""
    from benchmarks import kubernetes_list as bench

    here, there = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=bench.serve, args=(500, there), daemon=True)
    server.start()
    port, _ = here.recv()
    try:
        costs = bench.measure(f"http://127.0.0.1:{port}", 500, 3)
    finally:
        server.terminate()
    ours, typed = costs["kubernetes_list"], costs["kubernetes.aio, typed list"]
    return [
        Figure("500 pods: the loop's longest stall", ours.stall, "ms", typed.stall, None, "≤ 50 ms", ours.stall <= 50),
        Figure("500 pods: CPU (floor: the typed list)", ours.cpu, "ms", typed.cpu, ours.cpu / typed.cpu),
    ]


def ack() -> list[Figure]:
    """Acks to Slack."""
    from benchmarks import ack as bench

    found = asyncio.run(bench.compare())
    ratio, ours, bare = found["ratio_p99"], found["ours"], found["bare"]
    return [
        Figure("an ack at 64 concurrent, p99", ours["p99_ms"], "ms", bare["p99_ms"], ratio, "≤ 3 ×", ratio <= 3),
        Figure("an ack at 64 concurrent, p50", ours["p50_ms"], "ms", bare["p50_ms"], ours["p50_ms"] / bare["p50_ms"]),
    ]


def own(name: str, rounds: int) -> Callable[[], list[Figure]]:
    """A benchmark that speaks in figures."""

    def run() -> list[Figure]:
        figures: list[Figure] = importlib.import_module(f"benchmarks.{name}").measured(rounds)
        return figures

    return run


BENCHMARKS: dict[str, Callable[[], list[Figure]]] = {
    "turns": own("turns", 5),
    "throughput": own("throughput", 5),
    "intake": own("intake", 5),
    "ack": ack,
    "gate": gate,
    "journal": journal,
    "audit": own("audit", 3),
    "kubernetes_list": kubernetes_list,
    "first_findings": own("first_findings", 3),
    "scan": own("scan", 1),
    "start": own("start", 3),
    "roi": own("roi", 3),
    "replay": own("replay", 9),
    "clicks": own("clicks", 3),
    "storm": own("storm", 1),
    "redaction": own("redaction", 3),
    "export": own("export", 3),
    "weekly": own("weekly", 3),
}


def in_a_process(name: str) -> list[Figure]:
    """The figures of one benchmark from a fresh interpreter; a line that says so where it failed."""
    done = subprocess.run([sys.executable, "-m", "benchmarks", "--run", name], stdout=subprocess.PIPE, text=True)
    if done.returncode:
        return [Figure(f"{name} failed", 0, "", target="to run", held=False)]
    return [Figure(**figure) for figure in json.loads(done.stdout)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run what is named, or all; 1 where a target was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--run", choices=BENCHMARKS, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.run:
        print(json.dumps([asdict(figure) for figure in BENCHMARKS[options.run]()]))
        return 0
    unknown = [name for name in options.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    found = {}
    for name in options.names or BENCHMARKS:
        print(f"{name} …", file=sys.stderr, flush=True)
        found[name] = in_a_process(name)
    if options.json:
        print(json.dumps({name: [asdict(figure) for figure in figures] for name, figures in found.items()}, indent=1))
    else:
        print(table([figure for figures in found.values() for figure in figures]))
    return int(any(figure.held is False for figures in found.values() for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
