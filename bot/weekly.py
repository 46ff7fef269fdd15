"""The week in a message: what the work cost and saved, and what the record says should ask more, or less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

from bot import autonomy
from domain.errors import PolicyError
from domain.ports import Chat
from domain.work import Rollup
from policies.schema import ToolSchema
from storage.journal import SqliteJournal

RECORD = timedelta(days=90)
"""How far back the record is read that suggestions rest on."""

DUE_HOUR = 9
"""UTC: from this hour on Mondays the message of the week before is due; later, where nobody was there to send it."""


async def tell(
    journal: SqliteJournal,
    chat: Chat,
    now: datetime,
    files: Mapping[str, str],
    tools: Sequence[ToolSchema],
    variables: Mapping[str, tuple[str, ...]],
) -> None:
    """Say it once a week, also over restarts: the message's key is the week. A week without work is not talked about."""
    monday = (now - timedelta(days=now.weekday())).replace(hour=DUE_HOUR, minute=0, second=0, microsecond=0)
    key = f"week:{monday.date().isoformat()}"
    if now < monday or await journal.message(f"notice::{key}") is not None:
        return
    rollup = await journal.rollup(monday - timedelta(days=7), monday)
    if rollup.n == 0:
        return
    try:
        record = await autonomy.suggest(journal, files, tools, variables, since=now - RECORD, today=now.date())
        suggestions = autonomy.headlines(record)
    except PolicyError:
        suggestions = []  # the refused policy has a notice of its own
    await chat.notice("", key, "\n".join([*words(rollup, monday.date()), *suggestions]))


def words(rollup: Rollup, monday: date) -> list[str]:
    """The figures as sentences; what is estimated says so."""
    outcomes = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in rollup.by_outcome)
    came = f"{rollup.alerts} alerts, {rollup.incidents} incidents, {rollup.n} pieces of work ({outcomes})"
    return [
        f"The week before {monday:%B} {monday.day}: {came}.",
        f"Changes executed {rollup.executions}, verified {rollup.verified}, failed {rollup.failed}.",
        f"Model cost ${rollup.cost_micros / 1e6:.2f}; people decided for {rollup.people_ms // 60000} min.",
        f"Estimated, not measured: {rollup.estimated_saved_s // 60} min of manual work replaced.",
    ]
