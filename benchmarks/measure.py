"""What every benchmark here needs: figures against floors, processes that serve, CPU time, memory, one core."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

CLIENT_CORE, SERVER_CORE = 0, 1


@dataclass(frozen=True)
class Figure:
    """One line of the table. `ratio` is value over floor over the rounds; `held` is None where nothing is aimed at."""

    what: str
    value: float
    unit: str
    floor: float | None = None
    ratio: float | None = None
    target: str = ""
    held: bool | None = None


def at_most(what: str, value: float, limit: float, unit: str) -> Figure:
    """A figure with an upper bound of its own."""
    return Figure(what, value, unit, target=f"≤ {limit:g} {unit}".strip(), held=value <= limit)


def against(
    what: str,
    values: Sequence[float],
    floors: Sequence[float],
    unit: str,
    *,
    most: float | None = None,
    least: float | None = None,
) -> Figure:
    """A figure against its floor: the rounds are paired, so that a noisy moment counts on both sides of one ratio."""
    ratio = statistics.median(value / floor for value, floor in zip(values, floors, strict=True))
    value, floor = statistics.median(values), statistics.median(floors)
    if most is not None:
        return Figure(what, value, unit, floor, ratio, f"≤ {most:g} ×", ratio <= most)
    if least is not None:
        return Figure(what, value, unit, floor, ratio, f"≥ {least:g} ×", ratio >= least)
    return Figure(what, value, unit, floor, ratio)


def table(figures: Sequence[Figure]) -> str:
    """The figures as text."""
    width = max((len(figure.what) for figure in figures), default=0)
    head = f"  {'figure':<{width}} {'value':>12} {'':<9} {'floor':>10} {'ratio':>7}  target"
    return "\n".join([head, *(_line(figure, width) for figure in figures)])


def _line(figure: Figure, width: int) -> str:
    mark = {None: " ", True: "✓", False: "✗"}[figure.held]
    floor = "" if figure.floor is None else short(figure.floor)
    ratio = "" if figure.ratio is None else f"{figure.ratio:.2f}"
    line = f"{mark} {figure.what:<{width}} {short(figure.value):>12} {figure.unit:<9} {floor:>10} {ratio:>7}  {figure.target}"
    return line.rstrip()


def short(number: float) -> str:
    """A number with as many digits as it deserves."""
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def show(figures: Sequence[Figure], *, as_json: bool) -> int:
    """Print the figures; 1 where a target was missed."""
    print(json.dumps([asdict(figure) for figure in figures], indent=1) if as_json else table(figures))
    return int(any(figure.held is False for figure in figures))


def pin(core: int) -> None:
    """Stay on one core, where the system knows cores and has that many."""
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {core})


def resident_mb(pid: int) -> float:
    """What a process holds in memory, in megabytes (2^20)."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@contextlib.contextmanager
def process(module: str, *arguments: str, env: dict[str, str] | None = None) -> Iterator[tuple[int, str]]:
    """A module in a process of its own until the block ends: its pid, and the first line that it prints."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as child:
        try:
            assert child.stdout
            yield child.pid, child.stdout.readline().strip()
        finally:
            child.terminate()
