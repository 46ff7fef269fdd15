"""A period's figures as text for a terminal and as a table for a spreadsheet: never a number without what it rests on."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from domain.feedback import Quality
from domain.figures import EXACT, WILSON, again
from domain.work import Baseline, Basis, Case, Drill, Figure, Group, Rollup

COLUMNS = ("part", "name", "title", "value", "unit", "n", "low", "high", "interval", "basis", "method", "note")
ROW_COLUMNS = ("seq", "hash", "at", "run", "incident", "about", "value", "unit")
_FORMULA = ("=", "+", "-", "@")
_ESTIMATED = "estimated: what was counted and measured, with an assumption that the line names"


def words(rollup: Rollup, *, brief: bool = False) -> str:
    """Every figure with its n, its interval and how it is computed; measured apart from estimated.

    `brief` leaves out how, and figures that rest on nothing.
    """
    return "\n".join(
        [
            f"{rollup.since:%Y-%m-%d %H:%M} to {rollup.until:%Y-%m-%d %H:%M} UTC",
            *_part("counted", rollup.counted, brief),
            f"  by kind     {_groups(rollup.by_kind)}",
            f"  by outcome  {_groups(rollup.by_outcome)}",
            f"  by service  {_groups(rollup.by_service[:5])}",
            *_part("measured", rollup.measured, brief),
            *(
                f"  {name:<10}  {_case(case)}"
                for name, case in (("best", rollup.best), ("worst", rollup.worst))
                if case
            ),
            *_part(_ESTIMATED, rollup.estimated, brief),
            *(() if brief else ("baselines, which the estimates rest on", *map(_baseline, rollup.baselines))),
        ]
    )


def rated(quality: Quality) -> str:
    """How the period's diagnoses were rated: each share with its n and interval, then every 👎 with its words."""
    shares = [("all", quality.share), *quality.by_kind, *quality.by_model] if quality.share.n else []
    lines = [
        f"  {name.replace('_', ' '):<32} {share.good / share.n:>10.0%}  {share.good:,} of {share.n:,};"
        f" {share.interval[0]:.0%} to {share.interval[1]:.0%} ({WILSON})"
        for name, share in shares
    ]
    lines += [
        f"  {each.at:%Y-%m-%d} {each.run_id} {each.category.replace('_', ' ')}  {_printable(each.reason)}".rstrip()
        for each in quality.complaints
    ]
    return "\n".join(["diagnoses that people called helpful", *(lines or ["  nobody rated one"])])


def drilled(drill: Drill, figure_of_rows: int | None) -> str:
    """One figure, how it is computed, and the rows that it is computed from."""
    figure = drill.figure
    head = [
        f"{figure.title}: {amount(figure.value, figure.unit)} ({figure.basis})",
        f"  {_small_print(figure)}",
        f"  {figure.method}",
        "",
        f"{'seq':>9} {'hash':<12} {'at (UTC)':<19} {'value':>12}  run, incident, about",
    ]
    rows = [
        f"{row.seq:>9} {row.hash[:12]} {row.at:%Y-%m-%d %H:%M:%S} {_of_row(row.value, figure.unit):>12}"
        f"  {', '.join(_printable(name) for name in (row.run_id, row.incident_id, row.about) if name)}"
        for row in drill.rows
    ]
    total = f"{len(rows):,} row{'' if len(rows) == 1 else 's'}"
    if rows and figure_of_rows is not None:
        total += f"; computed from them: {amount(figure_of_rows, figure.unit)}"
    return "\n".join([*head, *rows, total])


def _of_row(value: int, unit: str) -> str:
    """A row of a share is in it or is not."""
    return ("no", "yes")[value] if unit == "permille" else amount(value, unit)


def recomputed(drill: Drill) -> int | None:
    """The figure computed again from its rows; None where it is no function of their values alone."""
    return again(drill.figure, [row.value for row in drill.rows])


def table(rollup: Rollup) -> str:
    """Every figure, group, day and baseline as one CSV of one shape."""
    return _csv(COLUMNS, _table(rollup))


def row_table(drill: Drill) -> str:
    """A figure's rows as CSV."""
    return _csv(
        ROW_COLUMNS,
        (
            (r.seq, r.hash, r.at.isoformat(), r.run_id, r.incident_id, r.about, r.value, drill.figure.unit)
            for r in drill.rows
        ),
    )


def _table(rollup: Rollup) -> Iterator[Sequence[Any]]:
    for one in rollup.figures:
        yield "figure", *(getattr(one, column) for column in COLUMNS[1:])
    for part, groups in (("kind", rollup.by_kind), ("outcome", rollup.by_outcome), ("service", rollup.by_service)):
        for group in groups:
            yield part, group.name, "Pieces of work", group.n, "count", group.n, "", "", "", Basis.COUNTED, "", ""
    for day in rollup.days:
        for outcome, n in day.outcomes:
            yield "day", f"{day.day} {outcome}", "Pieces of work", n, "count", n, "", "", "", Basis.COUNTED, "", ""
    for base in rollup.baselines:
        named = ("baseline", base.kind, "Work by hand", base.seconds, "s", base.n, base.low, base.high)
        yield (
            *named,
            "95 %, order statistics" if base.n else "half to one and a half times",
            base.source,
            base.method,
            "",
        )


def _csv(columns: Sequence[str], rows: Iterator[Sequence[Any]]) -> str:
    """A spreadsheet takes a cell for a formula that begins like one: labels come from outside, so text is kept text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(value) if isinstance(value, str) else value for value in row])
    return out.getvalue()


def _cell(text: str) -> str:
    text = _printable(text)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _part(name: str, part: Any, brief: bool) -> Iterator[str]:
    yield name
    for field in fields(part):
        figure: Figure = getattr(part, field.name)
        if figure.n or not brief:
            yield f"  {figure.title:<32} {amount(figure.value, figure.unit):>10}  {_small_print(figure)}"
        if not brief:
            yield f"    {figure.method}"


def _small_print(figure: Figure) -> str:
    parts = [f"n = {figure.n:,}"]
    if figure.low is not None or figure.high is not None:
        parts.append(f"{_between(figure)} ({figure.interval})")
    elif figure.interval != EXACT:
        parts.append(figure.interval.replace("none: ", "no interval: "))
    return "; ".join([*parts, *filter(None, [figure.note])])


def _between(figure: Figure) -> str:
    low, high = (amount(end, figure.unit) for end in (figure.low, figure.high))
    if figure.low is None or figure.high is None:
        return f"{low} or more" if figure.high is None else f"{high} or less"
    return f"{low} to {high}"


def _groups(groups: Sequence[Group]) -> str:
    return ", ".join(f"{_plain(group.name)} {group.n:,}" for group in groups) or "none"


def _plain(name: str) -> str:
    """A name of ours or from outside, as words on one line."""
    return _printable(name.replace("_", " ")) or "(no name)"


def _printable(text: str) -> str:
    """Without what steers a terminal: names come from labels."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _case(case: Case) -> str:
    what = f"{case.kind.replace('_', ' ')} of {_plain(case.service)}, {case.outcome.replace('_', ' ')}"
    return f"{case.why}: {amount(case.ms, 'ms')}, {what}; run {case.run_id}, event {case.seq}"


def _baseline(one: Baseline) -> str:
    n = f", n = {one.n:,}" if one.n else ""
    span = f"{amount(one.low, 's')} to {amount(one.high, 's')}"
    return f"  {one.kind.replace('_', ' '):<32} {amount(one.seconds, 's'):>10}  {span}; {one.source}{n}: {one.method}"


def amount(value: int | None, unit: str) -> str:
    """A value with its unit, as short as it stays true."""
    if value is None:
        return "–"
    match unit:
        case "ms":
            return f"{value:,} ms" if abs(value) < 1000 else _seconds(value / 1000)
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
