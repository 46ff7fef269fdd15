"""Fifty runs at once on one core, against as many plain openai loops; and how the database grows with a run's length.

`python -m benchmarks.throughput` prints the table; `--json` the figures. A run has ten tool-call turns; both sides share the
scripted server, which has a core of its own. Investigations per second of wall clock, medians of rounds in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.agents import Plain, ours
from benchmarks.measure import CLIENT_CORE, Figure, against, pin, process, show

CONCURRENT, TURNS = 50, 10


async def pace(run: Callable[[], Awaitable[Any]]) -> tuple[float, float]:
    """Runs per second, and CPU milliseconds per run, with fifty at once."""
    worked, began = time.process_time(), time.perf_counter()
    await asyncio.gather(*(run() for _ in range(CONCURRENT)))
    took, spent = time.perf_counter() - began, time.process_time() - worked
    return CONCURRENT / took, spent / CONCURRENT * 1000


async def measure(url: str, rounds: int) -> list[Figure]:
    """Every figure."""
    with tempfile.TemporaryDirectory() as folder:
        mine, floor = [], []
        async with ours(url, Path(folder) / "journal.db", TURNS) as agent, Plain(url, TURNS) as plain:
            await pace(agent.run), await pace(plain.run)  # connections open, caches warm
            gc.collect(), gc.freeze()
            for _ in range(rounds):
                mine.append(await pace(agent.run))
                floor.append(await pace(plain.run))
        sizes = [await grown(url, Path(folder) / f"{turns}.db", turns) for turns in (10, 50, 100)]
    per_turn = [(sizes[1] - sizes[0]) / 40, (sizes[2] - sizes[1]) / 50]
    return [
        against(f"runs per second, {CONCURRENT} at once", [m[0] for m in mine], [f[0] for f in floor], "/s", least=4),
        against("CPU of one of them", [m[1] for m in mine], [f[1] for f in floor], "ms"),
        against("bytes a turn adds, turns 51–100 over 11–50", per_turn[1:], per_turn[:1], "B", most=1.1),
    ]


async def grown(url: str, path: Path, turns: int) -> int:
    """The bytes of a database that holds one run of so many turns."""
    async with ours(url, path, turns) as agent:
        await agent.run()
    return path.stat().st_size  # closing has moved the write-ahead log into it


def measured(rounds: int = 5) -> list[Figure]:
    """With the server in a process of its own."""
    with process("benchmarks.model") as (_, url):
        pin(CLIENT_CORE)
        return asyncio.run(measure(url, rounds))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a target was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.throughput", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(argv)
    return show(measured(options.rounds), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
