"""A back-test of 100,000 recorded decisions, old policy and new: seconds, and memory that does not grow with their number.

`python -m benchmarks.backtest` records the decisions into a journal and tries two policies of 50 rules on all of them, each
round in a process of its own. The floor is the least that anybody would have to do: read the bodies and parse them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import multiprocessing
import random
import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import gate
from benchmarks.measure import Figure, at_most, show
from bot.commands.backtest import recorded_of
from domain.actions import Action, Effect, Mode, Target
from domain.events import DecisionMade, Draft, RunStarted
from domain.runs import Origin, RunSpec
from policies.backtest import Backtest
from policies.gate import decide
from policies.policy import Policy, load
from storage.journal import open_journal
from storage.reader import read_journal

DECISIONS, FEW, WORKSPACE = 100_000, 10_000, "bench"
BEGAN = datetime(2026, 10, 1, tzinfo=UTC)
DIFF = "\n".join(f"-  image: registry.example.com/shop/checkout:2.4.{n}" for n in range(8))


@dataclass(frozen=True)
class Cost:
    """One back-test: wall clock and processor seconds, and the most memory its process ever held."""

    seconds: float
    cpu: float
    peak_mb: float
    flips: int


def policies() -> tuple[Policy, Policy]:
    """The policy that decided, and a change of it: every fifth rule is looser."""
    specs = gate.rules()
    changed = [{**rule, "decision": "allow"} if number % 5 == 0 else rule for number, rule in enumerate(specs)]
    old, new = (
        load({"bench.yaml": f"{gate.GROUPS}rules: {json.dumps(rules)}"}, gate.TOOLS, {}) for rules in (specs, changed)
    )
    return old, new


def events(policy: Policy, number: int) -> Iterator[DecisionMade]:
    """Decisions as a busy month leaves them: most are reads, all carry their whole input."""
    source, inputs = random.Random(3), gate.situations(policy)
    for index in range(number):
        situation = inputs[source.randrange(len(inputs))]
        target = situation["target"]
        effect = Effect(situation["tool"]["effect"])
        action = Action(
            situation["tool"]["name"],
            situation["args"],
            effect,
            Target("kubernetes", target["environment"], target["namespace"], "Deployment", "checkout"),
            observed={"uid": "0b7c2f1e-8f6b-4a57-9a55-2a3f0f8c1d2e", "generation": index},
            touches=3,
            diff="" if effect is Effect.READ else DIFF,
        )
        yield DecisionMade(f"c{index}", action, decide(policy, situation), situation)


async def record(path: Path, number: int) -> None:
    """The journal of so many decisions, a few seconds apart."""
    policy, now = policies()[0], [BEGAN]
    async with open_journal(path, WORKSPACE, clock=lambda: now[0]) as journal:
        spec = RunSpec("r", "", Origin.ALERT, "rules", Mode.ACT, Target())
        await journal.append(Draft(RunStarted(spec), run_id="r"))
        batch: list[Draft] = []
        for event in events(policy, number):
            batch.append(Draft(event, run_id="r"))
            if len(batch) == 200:
                now[0] += timedelta(minutes=5)
                await journal.append(*batch)
                batch.clear()
        if batch:
            await journal.append(*batch)


async def _test(path: Path, again: bool, counterfactual: bool) -> int:
    old, new = policies()
    gc.freeze()
    test = Backtest(new, old=old if again else None, in_force=old, counterfactual=counterfactual)
    async with read_journal(path, WORKSPACE) as journal:
        async for each in journal.decisions(BEGAN - timedelta(days=1)):
            test.take(recorded_of(each))
    return test.result().changed


def _child(path: Path, again: bool, counterfactual: bool, answer: Any) -> None:
    began, cpu = time.perf_counter(), time.process_time()
    flips = asyncio.run(_test(path, again, counterfactual))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer.send(Cost(time.perf_counter() - began, time.process_time() - cpu, peak, flips))


def cost(path: Path, *, again: bool = False, counterfactual: bool = False) -> Cost:
    """One back-test in a process of its own."""
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("spawn").Process(target=_child, args=(path, again, counterfactual, there))
    child.start()
    found: Cost = here.recv()
    child.join()
    return found


def floor(path: Path) -> float:
    """Seconds to read and parse the bodies."""
    began = time.perf_counter()
    with sqlite3.connect(path) as db:
        for (body,) in db.execute("SELECT body FROM event_bodies"):
            json.loads(body)
    return time.perf_counter() - began


def measure(folder: Path, number: int = DECISIONS) -> list[Figure]:
    """Every figure of this benchmark."""
    many, few = folder / "many.db", folder / "few.db"
    for path, count in ((many, number), (few, FEW)):
        asyncio.run(record(path, count))
    least, full, drifting, small = floor(many), cost(many), cost(many, counterfactual=True), cost(few)
    twice = cost(many, again=True)
    ratio = full.seconds / least
    return [
        Figure(
            f"{number:,} decisions, new policy against the record of the old",
            full.seconds,
            "s",
            least,
            ratio,
            "≤ 10 s",
            full.seconds <= 10,
        ),
        Figure("the same, processor time", full.cpu, "s"),
        at_most("counterfactual", drifting.seconds, 10, "s"),
        at_most("the old policy decided again as well", twice.seconds, 10, "s"),
        Figure("peak memory", full.peak_mb, "MB"),
        at_most(f"memory grown from {FEW:,} decisions to {number:,}", full.peak_mb - small.peak_mb, 5, "MB"),
    ]


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return show(measure(Path(folder)), as_json=arguments.json)


if __name__ == "__main__":
    raise SystemExit(main())
