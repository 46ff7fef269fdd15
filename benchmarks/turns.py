"""What one tool-call turn costs: the product's loop, durable before the tool runs, against an openai loop that keeps nothing.

`python -m benchmarks.turns` prints the table; `--json` the figures. Both drive the same scripted server, which runs in a
process of its own; the tool answers 2 KB. A turn is what lies between two calls of the tool. CPU milliseconds of the whole
process, the journal's thread included; medians of rounds in which both run in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks.agents import Look, Ours, Plain, ours
from benchmarks.measure import CLIENT_CORE, Figure, against, at_most, pin, process, show

SHORT, LONG = 10, 50


@dataclass(frozen=True)
class Cost:
    """Milliseconds per turn: CPU and wall over all turns, CPU of the first ten and of the last ten."""

    cpu: float
    wall: float
    early: float
    late: float


def cost(look: Look) -> Cost:
    """From the marks of one run, which are forgotten."""
    marks, look.marks = look.marks, []
    turns = [(later[0] - earlier[0], later[1] - earlier[1]) for earlier, later in pairwise(marks)]
    cpu = [turn[0] * 1000 for turn in turns]
    return Cost(statistics.mean(cpu), statistics.mean(turn[1] * 1000 for turn in turns), mean(cpu[:9]), mean(cpu[-10:]))


def mean(values: Sequence[float]) -> float:
    """The mean without the largest and the smallest."""
    return statistics.mean(sorted(values)[1:-1])


async def measure(url: str, rounds: int) -> list[Figure]:
    """Every figure."""
    found: dict[tuple[int, str], list[Cost]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turns in (SHORT, LONG):
            path = Path(folder) / f"{turns}.db"
            async with ours(url, path, turns) as agent, Plain(url, turns) as plain:
                await agent.run(), await plain.run()
                commits = await _durable(agent, path, turns)
                agent.look.marks.clear(), plain.look.marks.clear()
                gc.collect(), gc.freeze()  # as the service does once it is ready
                for _ in range(rounds):
                    await agent.run()
                    found.setdefault((turns, "ours"), []).append(cost(agent.look))
                    await plain.run()
                    found.setdefault((turns, "plain"), []).append(cost(plain.look))
    return [*_figures(found), at_most("commits per tool-call turn", commits, 2, "")]


def _figures(found: dict[tuple[int, str], list[Cost]]) -> list[Figure]:
    figures = []
    for turns, most in ((SHORT, None), (LONG, 0.3)):
        mine, floor = found[turns, "ours"], found[turns, "plain"]
        name = f"of {turns} turns, one"
        figures.append(against(f"{name}, CPU", [c.cpu for c in mine], [c.cpu for c in floor], "ms", most=most))
        figures.append(against(f"{name}, wall", [c.wall for c in mine], [c.wall for c in floor], "ms"))
    for name, costs in (("turns 40–50 over 1–10", found[LONG, "ours"]), ("the plain loop's", found[LONG, "plain"])):
        limit = 1.3 if name.startswith("turns") else None
        figures.append(against(f"{name}, CPU", [c.late for c in costs], [c.early for c in costs], "ms", most=limit))
    return figures


async def _durable(agent: Ours, path: Path, turns: int) -> float:
    """Check from outside, in the tool, that the call and its decision are on disk; the commits per turn of one run."""
    commits, seen = 0, list[int]()

    def look() -> None:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT kind FROM events WHERE run_id = ? ORDER BY seq DESC LIMIT 2", (name,)).fetchall()
        assert {kind for (kind,) in rows} == {"StepPlanned", "DecisionMade"}, rows
        seen.append(commits)

    name = f"run-{agent.runs + 1}"
    append = agent.journal.append

    async def counted(*drafts):  # type: ignore[no-untyped-def]
        nonlocal commits
        commits += 1
        return await append(*drafts)

    agent.look.on_call, agent.journal.append = look, counted  # type: ignore[method-assign]
    await agent.run()
    agent.look.on_call, agent.journal.append = None, append  # type: ignore[method-assign]
    assert len(seen) == turns
    return (seen[-1] - seen[0]) / (turns - 1)


def measured(rounds: int = 5) -> list[Figure]:
    """With the server in a process of its own."""
    with process("benchmarks.model") as (_, url):
        pin(CLIENT_CORE)
        return asyncio.run(measure(url, rounds))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a target was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.turns", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(argv)
    return show(measured(options.rounds), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
