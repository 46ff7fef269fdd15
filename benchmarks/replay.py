"""How fast a recorded run is gone through again: model turns a second of a run of fifty, from the file to the differences.

`python -m benchmarks.replay` prints the table; `--json` the figures. The run is recorded by the product's own loop against a
scripted server; each turn reads 2 KB. Going through it again reads the journal, feeds `advance` on a journal in memory and
compares; there must be no difference. The floor is the least that anybody would have to do: read its events and parse them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.agents import PARAMETERS, Look, ours
from benchmarks.measure import CLIENT_CORE, Figure, pin, process, show
from bot.models.openai import OpenAIModel
from bot.policy_files import read_folder
from bot.replay.compared import compare
from bot.replay.rerun import How
from bot.tools import schemas
from policies.policy import ToolSchema, load
from storage.reader import read_journal

TURNS, WANTED = 50, 500


def how() -> How:
    """Today's code and the shipped policy over the one tool of the benchmark; the recorded answers."""
    look = Look()
    tools = [*schemas(), ToolSchema(look.name, look.effect, PARAMETERS)]
    policy = load(read_folder(""), tools, {"AGENT_APPROVERS": ("@sre",)})
    asking = lambda name: OpenAIModel(None, name)  # type: ignore[arg-type]  # noqa: E731 – it sends nothing
    return How(policy, {look.name: look}, lambda namespace: "production", asking=asking)


async def again(path: Path, tried: How) -> tuple[float, float]:
    """Wall-clock and processor seconds of one replay, from the file to the differences."""
    began, cpu = time.perf_counter(), time.process_time()
    async with read_journal(path, "bench") as journal:
        record = await journal.record("run-1")
    assert record is not None
    compared = await compare(record, tried)
    took = time.perf_counter() - began, time.process_time() - cpu
    assert not compared.differences, compared.differences[:3]
    assert compared.now.run.step == TURNS + 1
    return took


def parsed(path: Path) -> float:
    """Seconds to read the run's events and parse their bodies."""
    began = time.perf_counter()
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        rows = db.execute(
            "SELECT b.body FROM events AS e JOIN event_bodies AS b USING (workspace, seq) WHERE e.run_id = 'run-1'"
        ).fetchall()
        for (body,) in rows:
            json.loads(body)
    return time.perf_counter() - began


async def measure(url: str, rounds: int) -> list[Figure]:
    """Every figure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.db"
        async with ours(url, path, TURNS) as agent:
            await agent.run()
        tried, found, floors = how(), list[tuple[float, float]](), list[float]()
        await again(path, tried)
        gc.collect(), gc.freeze()
        for _ in range(rounds):
            found.append(await again(path, tried))
            floors.append(parsed(path))
    turns = TURNS + 1
    wall, cpu, floor = (turns / sorted(each)[len(each) // 2] for each in (*zip(*found, strict=True), floors))
    name = f"replay of a run of {TURNS} turns: turns a second"
    return [
        Figure(name, wall, "/s", floor, wall / floor, f"≥ {WANTED} /s", wall >= WANTED),
        Figure("the same, by processor time", cpu, "/s"),
    ]


def measured(rounds: int = 9) -> list[Figure]:
    """With the server in a process of its own."""
    with process("benchmarks.model") as (_, url):
        pin(CLIENT_CORE)
        return asyncio.run(measure(url, rounds))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where the target was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.replay", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(argv)
    return show(measured(options.rounds), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
