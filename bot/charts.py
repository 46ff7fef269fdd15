"""Pictures for Slack: one style, drawn without a display, off the event loop, on a card that light and dark both show.

matplotlib is imported where a picture is drawn: it takes half a second, and most processes draw none.
"""

from __future__ import annotations

import asyncio
import io
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from domain.work import Baseline, Figure, Rollup, WorkKind

WIDTH, HEIGHT, DPI = 12.0, 6.2, 100
"""Inches and dots of a picture: 1,200 dots wide, so that it is sharp at the 600 that Slack shows at most."""

CARD, EDGE, INK, SOFT, LINE = "#ffffff", "#dddddd", "#1d1c1d", "#616061", "#e8e8e8"
GOOD, CALM, QUIET, BAD, REFERENCE = "#007a5a", "#1264a3", "#8a8a8a", "#c01343", "#8d5b00"
"""Held, told, not taken, gone wrong, and what they are compared with: apart for the colour-blind by lightness, too."""

LEFT, MIDDLE = 0.035, 0.485  # where the lines of the two halves begin
LONG = timedelta(days=32)
"""Longer periods are drawn by week."""

_SECONDS = (
    (1, "1 s"),
    (10, "10 s"),
    (60, "1 min"),
    (600, "10 min"),
    (3600, "1 h"),
    (36_000, "10 h"),
    (360_000, "100 h"),
)
_DRAWING = threading.Lock()  # one picture at a time: matplotlib's style and font cache belong to the process


@dataclass(frozen=True)
class Band:
    """One part of a stacked bar: which outcomes it sums."""

    label: str
    outcomes: tuple[str, ...]
    colour: str
    hatch: str = ""


BANDS = (
    Band("changed, and held", ("accepted", "edited"), GOOD),
    Band("nothing changed", ("no_action",), CALM),
    Band("turned down", ("rejected",), QUIET),
    Band("failed or taken back", ("failed", "reverted"), BAD, "////"),
)


async def drawn(draw: Callable[[], bytes]) -> bytes:
    """A picture, drawn in a thread: `await drawn(lambda: weekly_png(rollup))`."""
    return await asyncio.to_thread(draw)


def weekly_png(rollup: Rollup) -> bytes:
    """What a period's work came to: pieces by day and outcome, and how long it took against work by hand. PNG."""
    with canvas(*headline(rollup)) as (figure, picture):
        _work_by_day(figure.add_axes((0.07, 0.235, 0.38, 0.43)), rollup)
        _times(figure.add_axes((0.665, 0.235, 0.295, 0.43)), spans(rollup))
        weekly = rollup.until - rollup.since > LONG
        for x, text in ((LEFT, f"Pieces of work a {'week' if weekly else 'day'}, UTC"), (MIDDLE, "How long it took")):
            figure.text(x, 0.725, text, fontsize=17, color=INK, va="center")
    return picture()


def headline(rollup: Rollup) -> tuple[str, str]:
    """The picture's two sentences: what was counted, and what is estimated, with the words for it."""
    good = sum(group.n for group in rollup.by_outcome if group.name in BANDS[0].outcomes)
    bad = sum(group.n for group in rollup.by_outcome if group.name in BANDS[3].outcomes)
    if not rollup.n:
        return "No work ended in this period", "So there is nothing from which a saving could be estimated"
    title = f"{_plural(rollup.n, 'piece')} of work, {_plural(good, 'change')} that held, {bad} failed or taken back"
    net = rollup.estimated.net
    if net.value is None or not net.n:
        return title, "Nothing in this period from which a saving could be estimated"
    span = f" ({hours(net.low)} to {hours(net.high)})" if net.low is not None and net.high is not None else ""
    return title, f"Estimated net saving {hours(net.value)}{span} of work by hand, from {_plural(net.n, 'piece')}"


def hours(seconds: int | None) -> str:
    """Seconds as hours or minutes, rounded towards less."""
    if seconds is None:
        return "–"
    sign, size = ("−" if seconds < 0 else ""), abs(seconds)
    if size >= 36_000:
        return f"{sign}{size // 3600:,} h"
    return f"{sign}{size // 360 / 10:g} h" if size >= 3600 else f"{sign}{size // 60} min"


def _plural(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


# --- pieces of work, by day --------------------------------------------------------------------------------------------


def columns(rollup: Rollup) -> tuple[list[str], list[list[int]]]:
    """The bars' labels, and for each band its height in each bar: days, or weeks in a long period."""
    first = rollup.since.astimezone(UTC).date()
    last = max((rollup.until.astimezone(UTC) - timedelta(microseconds=1)).date(), first)
    days = (last - first).days + 1
    step = 7 if rollup.until - rollup.since > LONG else 1
    counts = [[0] * -(-days // step) for _ in BANDS]
    for day in rollup.days:
        place = (date.fromisoformat(day.day) - first).days // step
        for outcome, n in day.outcomes:
            for band, heights in zip(BANDS, counts, strict=True):
                heights[place] += n if outcome in band.outcomes else 0
    labels = [_day(first + timedelta(days=step * place), days) for place in range(len(counts[0]))]
    return labels, counts


def _day(day: date, days: int) -> str:
    return f"{day:%a}\n{day.day}" if days <= 8 else f"{day.day} {day:%b}"


def _work_by_day(axes: Any, rollup: Rollup) -> None:
    labels, counts = columns(rollup)
    bottom = [0] * len(labels)
    for band, heights in zip(BANDS, counts, strict=True):
        style = {"hatch": band.hatch, "edgecolor": CARD, "linewidth": 0.8}
        axes.bar(range(len(labels)), heights, bottom=bottom, width=0.72, color=band.colour, label=band.label, **style)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    for place, height in enumerate(bottom):
        if height and len(labels) <= 14:
            axes.text(place, height, f"{height:,}", ha="center", va="bottom", color=SOFT, fontsize=15)
    every = -(-len(labels) // (8 if len(labels) <= 8 else 5))
    axes.set_xticks(range(0, len(labels), every), labels[::every])
    axes.set_ylim(0, max([*bottom, 1]) * 1.18)
    axes.yaxis.get_major_locator().set_params(integer=True, nbins=4)
    axes.grid(axis="y", color=LINE, linewidth=1.2)
    axes.figure.legend(
        loc="center left", bbox_to_anchor=(LEFT - 0.012, 0.085), ncols=2, frameon=False, fontsize=15, labelcolor=INK,
        handlelength=1.1, handleheight=1.0, columnspacing=1.4, handletextpad=0.5,
    )  # fmt: skip


# --- how long it takes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Span:
    """One row: a time in seconds with its interval, None where there is none."""

    label: str
    note: str
    seconds: float
    low: float | None
    high: float | None
    reference: bool = False


def spans(rollup: Rollup) -> list[Span]:
    """The measured times that there are, and the baselines of the work that was done, each with its interval."""
    measured = rollup.measured
    baselines = {one.kind: one for one in rollup.baselines}
    found = [
        *_span("Alert to diagnosis", measured.to_diagnosis),
        *_by_hand(baselines.get(WorkKind.DIAGNOSIS), "Diagnosis by hand", measured.to_diagnosis),
        *_span("Alert to verified", measured.to_verified),
        *_by_hand(baselines.get(WorkKind.REMEDIATION), "Fix by hand", measured.to_verified),
    ]
    return found or [*_span("Question to answer", measured.to_answer)]


def _span(label: str, figure: Figure) -> Iterator[Span]:
    if figure.value is not None:
        low, high = (None if end is None else end / 1000 for end in (figure.low, figure.high))
        yield Span(label, f"median, n = {figure.n:,}", figure.value / 1000, low, high)


def _by_hand(baseline: Baseline | None, label: str, beside: Figure) -> Iterator[Span]:
    if baseline is not None and beside.value is not None:
        note = f"measured, n = {baseline.n:,}" if baseline.n else baseline.source
        yield Span(label, note, baseline.seconds, baseline.low, baseline.high, reference=True)


def _times(axes: Any, rows: Sequence[Span]) -> None:
    if not rows:
        axes.set_axis_off()
        axes.figure.text(MIDDLE, 0.6, "No time was measured.", va="center", color=SOFT, fontsize=17)
        return
    ends = [end for row in rows for end in (row.seconds, row.low, row.high) if end]
    floor = max((s for s, _ in _SECONDS if s <= min(ends, default=1)), default=min([0.1, *ends]))
    ceiling = min((s for s, _ in _SECONDS if s >= max(ends, default=60)), default=max([360_000, *ends]))
    ceiling = max(ceiling, floor * 60)
    axes.set_xscale("log")
    for place, row in enumerate(rows):
        y, colour = len(rows) - place, REFERENCE if row.reference else CALM
        low, high = (max(end, floor * 0.8) if end is not None else row.seconds for end in (row.low, row.high))
        axes.plot([low, high], [y, y], color=colour, linewidth=9, alpha=0.3, solid_capstyle="round")
        axes.plot(
            [max(row.seconds, floor * 0.8)], [y], marker="D" if row.reference else "o", markersize=12, color=colour
        )
        axes.text(
            max(row.seconds, floor), y + 0.24, lasting(row.seconds), ha="center", va="bottom", color=INK, fontsize=16
        )
    axes.set_ylim(0.4, len(rows) + 0.8)
    axes.set_yticks(range(len(rows), 0, -1), [f"{row.label}\n{row.note}" for row in rows])
    ticks = [(size, label) for size, label in _SECONDS if floor <= size <= ceiling]
    ticks = ticks[:: -(-len(ticks) // 5)]
    axes.set_xticks([size for size, _ in ticks], [label for _, label in ticks])
    axes.minorticks_off()
    axes.set_xlim(floor * 0.8, ceiling * 1.25)
    axes.grid(axis="x", color=LINE, linewidth=1.2)
    axes.spines["left"].set_visible(False)
    small_print = "Bars: 95 % interval; of what is set or assumed,\nhalf of it to one and a half times."
    axes.figure.text(MIDDLE + 0.02, 0.085, small_print, fontsize=14, color=SOFT, va="center")


def lasting(seconds: float) -> str:
    """A duration in its largest unit."""
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f}".removesuffix(".0") + " s"


# --- series over a time ------------------------------------------------------------------------------------------------

LINES = (CALM, REFERENCE, GOOD, BAD, QUIET)


@dataclass(frozen=True)
class Line:
    """One series: for each stretch of time its smallest, largest and last value; NaN where there was none."""

    label: str
    times: tuple[datetime, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    last: tuple[float, ...]


@dataclass(frozen=True)
class Series:
    """A picture of up to five lines. `told` writes a value with its unit; `threshold` is a value and the words for it."""

    title: str
    subtitle: str
    lines: tuple[Line, ...]
    told: Callable[[float], str]
    threshold: tuple[float, str] | None = None
    since: datetime | None = None


def series_png(series: Series) -> bytes:
    """Values over a time in UTC, each line with the band between its smallest and its largest. PNG."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    with canvas(series.title, series.subtitle) as (figure, picture):
        several = len(series.lines) > 1
        axes = figure.add_axes((0.1, 0.205 if several else 0.13, 0.865, 0.56 if several else 0.635))
        for line, colour in zip(series.lines, LINES, strict=False):
            axes.fill_between(line.times, line.low, line.high, color=colour, alpha=0.16, linewidth=0)
            axes.plot(line.times, line.last, color=colour, linewidth=3, label=line.label, solid_joinstyle="round")
        _bounds(axes, series)
        locator = AutoDateLocator(tz=UTC, minticks=3, maxticks=7)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC, show_offset=False))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: series.told(float(value))))
        axes.grid(axis="y", color=LINE, linewidth=1.2)
        axes.margins(x=0.01)
        figure.text(0.965, 0.055, "UTC", fontsize=14, color=SOFT, ha="right", va="center")
        if several:
            figure.legend(
                loc="center left", bbox_to_anchor=(LEFT - 0.012, 0.055), ncols=min(len(series.lines), 3), frameon=False,
                fontsize=14, labelcolor=INK, handlelength=1.2, columnspacing=1.4, handletextpad=0.5,
            )  # fmt: skip
    return picture()


def _bounds(axes: Any, series: Series) -> None:
    """The threshold and when it was crossed; the axis holds both, and 0 where nothing is below."""
    values = [value for line in series.lines for value in (*line.low, *line.high) if math.isfinite(value)]
    values += [series.threshold[0]] if series.threshold else []
    low, high = min(values, default=0.0), max(values, default=1.0)
    low = min(low, 0.0)
    axes.set_ylim(low, high + (high - low) * 0.16 if high > low else low + 1)
    if series.threshold:
        value, words = series.threshold
        axes.axhline(value, color=BAD, linewidth=1.8, linestyle=(0, (5, 4)))
        axes.text(
            0.008, value, words, transform=axes.get_yaxis_transform(), fontsize=14, color=BAD, va="bottom", ha="left"
        )
    if series.since is not None:
        axes.axvline(series.since, color=SOFT, linewidth=1.4)
        times = [at for line in series.lines for at in line.times]
        late = series.since > min(times) + (max(times) - min(times)) / 2 if times else False
        axes.text(
            series.since, 0.985, f" {series.since:%H:%M} ", transform=axes.get_xaxis_transform(), fontsize=14, color=SOFT,
            va="top", ha="right" if late else "left",
        )  # fmt: skip


# --- the style that every picture shares --------------------------------------------------------------------------------


@contextmanager
def canvas(title: str, subtitle: str) -> Iterator[tuple[Any, Callable[[], bytes]]]:
    """A figure on a card, with its two lines at the top; and what makes it a PNG afterwards."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas
    from matplotlib.patches import FancyBboxPatch

    style = {
        "font.family": "DejaVu Sans", "font.size": 16, "text.color": INK, "axes.edgecolor": EDGE, "axes.labelcolor": SOFT,
        "xtick.color": SOFT, "ytick.color": SOFT, "xtick.labelcolor": INK, "ytick.labelcolor": INK, "xtick.labelsize": 15,
        "ytick.labelsize": 15, "xtick.major.size": 0, "ytick.major.size": 0, "axes.facecolor": "none", "hatch.color": CARD,
        "hatch.linewidth": 1.6, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
        "text.parse_math": False,
    }  # fmt: skip
    with _DRAWING, rc_context(style):
        figure = Canvas(figsize=(WIDTH, HEIGHT), dpi=DPI, facecolor="none")
        FigureCanvasAgg(figure)
        inset = 0.06
        card = FancyBboxPatch(
            (inset, inset), WIDTH - 2 * inset, HEIGHT - 2 * inset, boxstyle="round,pad=0,rounding_size=0.16",
            transform=figure.dpi_scale_trans, facecolor=CARD, edgecolor=EDGE, linewidth=1.5, zorder=-1,
        )  # fmt: skip
        figure.add_artist(card)
        for y, text, size, colour, weight in ((0.92, title, 23, INK, "bold"), (0.84, subtitle, 17, SOFT, "normal")):
            line = figure.text(0.035, y, text, fontsize=size, fontweight=weight, color=colour, va="center")
            wide = line.get_window_extent().width / (WIDTH * DPI * 0.93)
            line.set_fontsize(size / max(wide, 1.0))

        def picture() -> bytes:
            with _DRAWING, rc_context(style):
                buffer = io.BytesIO()
                figure.savefig(buffer, format="png", facecolor="none", metadata={"Software": None})
            return buffer.getvalue()

        yield figure, picture
