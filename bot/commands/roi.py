"""`personal-agent roi`: what the work of a period cost and saved, from the journal's rows. Measured and estimated apart."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.config import load
from domain.codec import encode
from domain.errors import SettingsError
from domain.work import Figure, Group, Rollup
from storage.reader import read_journal, workspaces_in

_PERIOD = re.compile(r"(\d{1,4})([hdw])$")
_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def run(options: argparse.Namespace) -> int:
    """Print one summary a workspace."""
    until = datetime.now(UTC)
    since = until - period(options.since)
    path = load().agent_database
    for workspace in workspaces_in(path) or ["local"]:
        rollup = asyncio.run(_rollup(path, workspace, since, until))
        if options.json:
            print(json.dumps({"workspace": workspace, **encode(rollup)}, ensure_ascii=False))
        else:
            print(f"{workspace}\n{words(rollup)}")
    return 0


def period(text: str) -> timedelta:
    """`7d` as a timedelta. Raises SettingsError."""
    match = _PERIOD.match(text)
    if match is None:
        raise SettingsError(f"--since: {text!r} is not a period; write 24h, 7d or 4w")
    return int(match[1]) * _UNITS[match[2]]


def words(rollup: Rollup) -> str:
    """The figures as lines: each with its n, its interval and how it is computed."""
    lines = [
        f"{rollup.since:%Y-%m-%d %H:%M} to {rollup.until:%Y-%m-%d %H:%M} UTC",
        *_part("counted", rollup.counted),
        f"  by kind: {_counts(rollup.by_kind)}",
        f"  by outcome: {_counts(rollup.by_outcome)}",
        *_part("measured", rollup.measured),
        *_part("estimated: measured times and counts with an assumption, which each line names", rollup.estimated),
    ]
    return "\n".join(lines)


async def _rollup(path: str, workspace: str, since: datetime, until: datetime) -> Rollup:
    async with read_journal(path, workspace) as journal:
        return await journal.rollup(since, until)


def _part(name: str, part: Any) -> Iterator[str]:
    yield name
    for field in fields(part):
        figure: Figure = getattr(part, field.name)
        yield f"  {figure.title:<32} {amount(figure.value, figure.unit):>10}  {_small_print(figure)}"


def _small_print(figure: Figure) -> str:
    parts = [f"n = {figure.n}"]
    if figure.low is not None or figure.high is not None:
        parts.append(f"{amount(figure.low, figure.unit)} to {amount(figure.high, figure.unit)} ({figure.interval})")
    return "; ".join([*parts, *filter(None, [figure.note])])


def _counts(groups: Iterable[Group]) -> str:
    return ", ".join(f"{group.name.replace('_', ' ')} {group.n}" for group in groups) or "none"


def amount(value: int | None, unit: str) -> str:
    """A value with its unit, as short as it stays true."""
    if value is None:
        return "–"
    match unit:
        case "ms":
            return f"{value} ms" if abs(value) < 1000 else _seconds(value / 1000)
        case "s":
            return _seconds(value)
        case "micros":
            return f"${value / 1e6:,.4f}" if abs(value) < 10_000_000 else f"${value / 1e6:,.2f}"
        case "permille":
            return f"{value / 10:g} %"
        case _:
            return f"{value:,}"


def _seconds(value: float) -> str:
    if abs(value) < 120:
        return f"{value:.1f}".removesuffix(".0") + " s"
    return f"{value / 60:,.1f} min" if abs(value) < 7200 else f"{value / 3600:,.1f} h"
