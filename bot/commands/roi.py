"""`personal-agent roi`: what the work of a period cost and saved, from the journal's rows. Measured and estimated apart."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
from datetime import UTC, datetime, timedelta

from bot.config import load
from domain.codec import encode
from domain.errors import SettingsError
from domain.work import Rollup
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
    """The figures as lines. Every line says what it is counted over."""
    lines = [
        f"{rollup.since:%Y-%m-%d %H:%M} to {rollup.until:%Y-%m-%d %H:%M} UTC",
        f"  alerts {rollup.alerts}, incidents {rollup.incidents}, pieces of work {rollup.n}",
        f"  by kind: {_counts(rollup.by_kind)}",
        f"  by outcome: {_counts(rollup.by_outcome)}",
        f"  changes executed {rollup.executions}, verified {rollup.verified}, failed {rollup.failed}",
        "measured (medians)",
        f"  to first finding {_ms(rollup.median_to_first_finding_ms)}, to diagnosis {_ms(rollup.median_to_diagnosis_ms)}",
        f"  to approval {_ms(rollup.median_to_approval_ms)}, to verified {_ms(rollup.median_to_verified_ms)}",
        f"  people waited for in all {_ms(rollup.people_ms)}",
        f"  model {rollup.input_tokens} + {rollup.output_tokens} tokens, ${rollup.cost_micros / 1e6:.4f}",
        "estimated (an assumption per kind of work, not a measurement)",
        f"  manual work replaced: {rollup.estimated_saved_s // 60} minutes",
    ]
    return "\n".join(lines)


async def _rollup(path: str, workspace: str, since: datetime, until: datetime) -> Rollup:
    async with read_journal(path, workspace) as journal:
        return await journal.rollup(since, until)


def _counts(pairs: tuple[tuple[str, int], ...]) -> str:
    return ", ".join(f"{name} {count}" for name, count in pairs) or "none"


def _ms(value: int | None) -> str:
    if value is None:
        return "–"
    return f"{value} ms" if value < 1000 else f"{value / 1000:.1f} s"
