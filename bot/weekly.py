"""The week in a message: what the work cost and saved, and what the record says should ask more, or less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta

from bot import autonomy
from domain.errors import PolicyError
from domain.ports import Chat
from domain.weeks import Appointment
from domain.work import Rollup
from policies.schema import ToolSchema
from storage.journal import SqliteJournal

RECORD = timedelta(days=90)
"""How far back the record is read that suggestions rest on."""


async def tell(
    journal: SqliteJournal,
    chat: Chat,
    now: datetime,
    appointment: Appointment,
    files: Mapping[str, str],
    tools: Sequence[ToolSchema],
    variables: Mapping[str, tuple[str, ...]],
) -> None:
    """Say it once a week, also over restarts: the message's key is the week. A week without work is not talked about."""
    week = appointment.last(now)
    if await journal.message(f"notice::{week.key}") is not None:
        return
    rollup = await journal.rollup(week.since, week.until)
    if rollup.n == 0:
        return
    try:
        record = await autonomy.suggest(journal, files, tools, variables, since=now - RECORD, today=now.date())
        suggestions = autonomy.headlines(record)
    except PolicyError:
        suggestions = []  # the refused policy has a notice of its own
    await chat.notice("", week.key, "\n".join([*words(rollup, week.until.date()), *suggestions]))


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
