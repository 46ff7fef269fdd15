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
    outcomes = ", ".join(f"{group.n} {group.name.replace('_', ' ')}" for group in rollup.by_outcome)
    counted, measured, estimated = rollup.counted, rollup.measured, rollup.estimated
    came = f"{counted.alerts.n} alerts, {counted.incidents.n} incidents, {rollup.n} pieces of work ({outcomes})"
    cost = "unknown" if measured.model_cost.value is None else f"${measured.model_cost.value / 1e6:.2f}"
    return [
        f"The week before {monday:%B} {monday.day}: {came}.",
        f"Changes executed {counted.executions.n}, verified {counted.verified.n}, failed {counted.failed.n}.",
        f"Model cost {cost}; people decided for {(measured.people.value or 0) // 60_000} min.",
        f"Estimated, not measured: a net saving of {(estimated.net.value or 0) // 60} min of work by hand.",
    ]
