"""How long the weekly message keeps anybody waiting: its chart in a fresh process, and beside a working event loop.

`python -m benchmarks.weekly` prints the table; `--json` the figures. Cold: an interpreter is started, matplotlib imported
and the picture drawn, of a journal with 5,000 pieces of work; the floor is the same with an empty figure. Gathered: everything
that the message says but the picture, by the code of the service. The stall is the longest that the event loop waited while
the picture was drawn on its thread.
"""

from __future__ import annotations

import argparse
import asyncio
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure, against, at_most, show
from bot import charts, weekly
from bot.policy_files import read_folder
from bot.tools import schemas
from domain.events import Draft, WorkUnitRecorded
from domain.weeks import Appointment
from domain.work import Rollup, WorkKind, WorkOutcome, WorkUnit
from storage.journal import SqliteJournal, open_journal

UNITS = 5000
NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
DRAW = """
import pickle, sys
from bot.charts import weekly_png
assert weekly_png(pickle.load(open(sys.argv[1], "rb"))).startswith(b"\\x89PNG")
"""
EMPTY = """
import io
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
figure = Figure(figsize=(12, 6.2), dpi=100)
FigureCanvasAgg(figure)
figure.savefig(io.BytesIO(), format="png")
"""


class Nobody:
    """A chat that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    async def weekly(self, report: Any, chart: bytes, *, patient: bool) -> None:
        """Remember it."""
        self.told.append(report)


def unit(number: int) -> WorkUnit:
    """One of many, alike but for its time, outcome and service."""
    done = NOW - timedelta(hours=10, minutes=number * 600 // UNITS * 16)
    outcome = (*[WorkOutcome.ACCEPTED] * 6, *[WorkOutcome.NO_ACTION] * 3, WorkOutcome.FAILED)[number % 10]
    return WorkUnit(
        WorkKind.REMEDIATION, outcome, done - timedelta(minutes=4), done, service=f"shop/service-{number % 40}", worth=True,
        to_first_finding_ms=1400 + number, to_diagnosis_ms=4000 + number, to_verified_ms=180_000 + 37 * number,
    )  # fmt: skip


async def gathered(folder: Path) -> tuple[Rollup, float, float]:
    """The week's figures, the milliseconds that everything but the picture took, and the loop's longest wait meanwhile."""
    async with open_journal(folder / "agent.db", "local") as journal:
        for start in range(0, UNITS, 500):
            await journal.append(*(Draft(WorkUnitRecorded(unit(number))) for number in range(start, start + 500)))
        chat, took = Nobody(), []
        for _ in range(3):
            began = time.perf_counter()
            await _tell(journal, chat)
            took.append((time.perf_counter() - began) * 1000)
        rollup = chat.told[0].rollup
        return rollup, min(took), await _stall(rollup)


async def _tell(journal: SqliteJournal, chat: Nobody) -> None:
    async def undrawn(_: Rollup) -> bytes:
        return b""

    known = (read_folder(""), schemas(), {"AGENT_APPROVERS": ("@sre",)})
    await weekly.tell(journal, chat, undrawn, NOW, Appointment(0, NOW.time()), *known)  # type: ignore[arg-type]


async def _stall(rollup: Rollup) -> float:
    """Milliseconds: the first picture of this process is drawn while the loop wants to wake every millisecond."""
    drawing = asyncio.create_task(charts.drawn(lambda: charts.weekly_png(rollup)))
    longest = 0.0
    while not drawing.done():
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        longest = max(longest, (time.perf_counter() - before - 0.001) * 1000)
    return longest


def seconds(*arguments: str) -> float:
    """The wall clock of a whole process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measured(rounds: int = 3) -> list[Figure]:
    """Every figure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rollup, took, stall = asyncio.run(gathered(folder))
        picture = folder / "rollup"
        picture.write_bytes(pickle.dumps(rollup))
        seconds(DRAW, str(picture))  # compiled once, and the fonts found
        times = [(seconds(DRAW, str(picture)), seconds(EMPTY)) for _ in range(rounds)]
    cold = against("the weekly chart, from cold", *zip(*times, strict=True), "s")
    return [
        Figure(cold.what, cold.value, "s", cold.floor, cold.ratio, "≤ 2 s", cold.value <= 2),
        at_most(f"the week of {UNITS:,} pieces of work, gathered", took, 1000, "ms"),
        at_most("drawing it: the loop's longest stall", stall, 250, "ms"),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a target was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.weekly", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(argv)
    return show(measured(options.rounds), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
