"""The week, told once: what is gathered for it, and when it is due. How it looks is handlers/cards_week.py's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

from bot import autonomy
from bot.agent.world import log
from domain.errors import ChatError, PolicyError
from domain.ports import Chat
from domain.report import Report
from domain.weeks import Appointment, Week
from domain.work import Rollup
from policies.schema import ToolSchema
from storage.journal import SqliteJournal

RECORD = timedelta(days=90)
"""How far back the record is read that suggestions rest on."""

PATIENCE = timedelta(hours=1)
"""So long after it is due the message waits for its chart, where Slack does not take that at once. Then it goes without."""

Draw = Callable[[Rollup], Awaitable[bytes]]


async def tell(
    journal: SqliteJournal,
    chat: Chat,
    draw: Draw,
    now: datetime,
    appointment: Appointment,
    files: Mapping[str, str],
    tools: Sequence[ToolSchema],
    variables: Mapping[str, tuple[str, ...]],
) -> None:
    """Say it once a week, also over restarts: the message's key is the week. A week without work is not talked about."""
    week = appointment.last(now)
    if await journal.message(week.key) is not None:
        return
    rollup = await journal.rollup(week.since, week.until)
    if rollup.n == 0:
        return
    report = await _report(journal, week, rollup, await _suggestions(journal, now, files, tools, variables))
    try:
        await chat.weekly(report, await draw(rollup), patient=now - week.due < PATIENCE)
    except ChatError as error:
        log.warning("the weekly message waits: %s", error)


async def _report(journal: SqliteJournal, week: Week, rollup: Rollup, suggestions: tuple[str, ...]) -> Report:
    return Report(
        week,
        rollup,
        await journal.quality(week.since, week.until),
        tuple(await journal.mishaps(week.since, week.until)),
        await journal.broken(week.since, week.until),
        len(await journal.approvals(pending=True, limit=1000)),
        suggestions,
        await journal.head(),
    )


async def _suggestions(
    journal: SqliteJournal,
    now: datetime,
    files: Mapping[str, str],
    tools: Sequence[ToolSchema],
    variables: Mapping[str, tuple[str, ...]],
) -> tuple[str, ...]:
    try:
        record = await autonomy.suggest(journal, files, tools, variables, since=now - RECORD, today=now.date())
    except PolicyError:
        return ()  # the refused policy has a notice of its own
    return tuple(autonomy.headlines(record))
