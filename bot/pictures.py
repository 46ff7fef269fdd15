"""The series of a run that a person would rather look at than read about: chosen, drawn, and shown once in its thread."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from bot import charts
from bot.agent.world import World, log
from bot.analyzers.fields import items, labels as labels_of, number, short, text, when
from bot.analyzers.measured import RANGE, amount, bound
from domain.errors import AgentError
from domain.runs import Call, Run

LABEL = 60  # characters of a line's name
FEWEST = 6
"""Stretches of time below which a sentence says it better."""


@dataclass(frozen=True)
class Picture:
    """What is drawn, and the words for those who do not see it."""

    series: charts.Series
    alt_text: str


async def show(world: World, run: Run) -> None:
    """The run's picture in its thread, where it has one; never raises: the words are there without it."""
    try:
        picture = picture_of(run)
        if picture is None or await world.journal.message(f"chart:{run.id}") is not None:
            return
        png = await charts.drawn(partial(charts.series_png, picture.series))
        await world.chat.chart(run, picture.alt_text, png)
    except AgentError as error:
        log.warning("a chart could not be shown", extra={"run_id": run.id, "reason": str(error)})


def picture_of(run: Run) -> Picture | None:
    """The alert's own series first; else a range that the diagnosis cites. None where there is nothing to look at."""
    for found in run.findings or ():
        if found.code.startswith("measured.") and found.facts.get("query"):
            for call in _ranges(run):
                if call.result and _data(call).get("query") == found.facts["query"]:
                    return _picture(call, found.title, found.facts.get("labels") or {})
    cited = {item.id for item in run.diagnosis.evidence} if run.diagnosis else set()
    for call in _ranges(run):
        if call.result and call.result.evidence_id in cited:
            return _picture(call, "What was measured", {})
    return None


def _ranges(run: Run) -> Iterator[Call]:
    yield from (call for call in run.calls.values() if call.call.tool == RANGE and call.result and call.result.ok)


def _data(call: Call) -> Mapping[str, Any]:
    data = call.result.data if call.result else None
    return data if isinstance(data, Mapping) else {}


def _picture(call: Call, title: str, labels: Mapping[str, Any]) -> Picture | None:
    data = _data(call)
    unit, width = text(data, "unit"), timedelta(seconds=number(data, "bucket_s") or 60)
    own = [one for one in items(data, "series") if labels.items() <= labels_of(one, "labels").items()]
    chosen = own[: len(charts.LINES)]
    end = when(data, "end") or datetime.max.replace(tzinfo=UTC)
    lines = tuple(line for one in chosen if (line := _line(one, width, end)))
    if not lines or not any(_moves(line) for line in lines):
        return None
    only = chosen[0] if len(lines) == 1 else {}
    query = " ".join(text(data, "query").split())
    subtitle = lines[0].label if only and labels else short(query, 90)
    since = when(only, "since")
    series = charts.Series(title, subtitle, lines, partial(_told, unit), _threshold(data, unit), since)
    return Picture(series, f"{title}. A line chart of {query[:300]} from {data.get('start')} to {data.get('end')}.")


def _line(one: Mapping[str, Any], width: timedelta, end: datetime) -> charts.Line | None:
    """The stretches in order, each at its end, where its last value is; a gap in time is a gap in the line."""
    rows: list[tuple[datetime, float, float, float]] = []
    for point in items(one, "points"):
        begin = when(point, "at")
        if begin is None or begin > end:
            continue
        at = min(begin + width, end)
        if rows and at - rows[-1][0] > width * 2.5:
            rows.append((rows[-1][0] + width, math.nan, math.nan, math.nan))
        rows.append((at, _number(point.get("min")), _number(point.get("max")), _number(point.get("last"))))
    if len(rows) < FEWEST:
        return None
    times, low, high, last = zip(*rows, strict=True)
    named = [f"{name}={value}" for name, value in labels_of(one, "labels").items() if name != "__name__"]
    return charts.Line(short(", ".join(named), LABEL) or "the series", times, low, high, last)


def _moves(line: charts.Line) -> bool:
    values = [value for value in (*line.low, *line.high) if math.isfinite(value)]
    return bool(values) and max(values) > min(values)


def _threshold(data: Mapping[str, Any], unit: str) -> tuple[float, str] | None:
    operator, _, value = text(data, "compare").partition(" ")
    limit = _number(value)
    return (limit, bound(operator, value, unit)) if math.isfinite(limit) else None


def _told(unit: str, value: float) -> str:
    return amount(repr(value), unit)


def _number(given: Any) -> float:
    """A value to draw; what is none, or without end, leaves a gap."""
    try:
        found = float(given)
    except (TypeError, ValueError):
        return math.nan
    return found if math.isfinite(found) else math.nan
