"""Which series of a run is drawn: the alert's own, else one that the diagnosis cites; nothing where words say it better."""

from __future__ import annotations

import io
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st
from PIL import Image

from bot import charts, pictures
from bot.analyzers.findings import finding
from bot.charts import Line, Series, series_png
from bot.pictures import picture_of
from domain.actions import Mode, Target
from domain.diagnosis import Confidence, Diagnosis, Evidence
from domain.runs import Call, Origin, Run, RunSpec, ToolCall, ToolResult
from tests.unit.journeys import place

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SHOP = {"namespace": "shop", "deployment": "checkout"}
QUERY = "shop:error_ratio"


def at(minute: int) -> str:
    return (NOON + timedelta(minutes=minute)).strftime("%Y-%m-%dT%H:%M:%SZ")


def point(minute: int, value: float) -> dict[str, str]:
    return {"at": at(minute), "min": str(value), "max": str(value + 0.01), "last": str(value)}


def series(values: Any, **labels: str) -> dict[str, Any]:
    points = [point(minute, value) for minute, value in enumerate(values)]
    return {"labels": labels or SHOP, "points": points, "since": at(8), "last": "0.3"}


RISING = [0.0] * 8 + [0.3] * 4


def read(*found: Any, query: str = QUERY, evidence: str = "E2", ok: bool = True, **more: Any) -> Call:
    data = {
        "query": query, "unit": "ratio", "bucket_s": 60, "compare": "> 0.05", "start": at(0), "end": at(12),
        "series": list(found), **more,
    }  # fmt: skip
    result = ToolResult(evidence, "prometheus_query_range", ok, "…", evidence, data)
    return Call(ToolCall(f"look-{evidence}", "prometheus_query_range", "{}"), 0, result=result)


def run(*calls: Call, measured: str = QUERY, cites: str = "") -> Run:
    spec = RunSpec("run-1", "", Origin.ALERT, "rules", Mode.PROPOSE, Target())
    found = finding(
        "measured.alert",
        Target(),
        "TooManyErrors: 0.3 now",
        "",
        [(Evidence("E2", "series"),)],
        query=measured,
        labels=SHOP,
    )
    diagnosis = Diagnosis("It is.", "", Confidence.LIKELY, "gpt", (Evidence(cites, "cited"),)) if cites else None
    return Run(
        spec,
        NOON,
        calls={call.call.id: call for call in calls},
        findings=(found,) if measured else (),
        diagnosis=diagnosis,
    )


def test_the_alert_s_own_series_is_drawn_with_its_threshold_and_when_it_was_crossed() -> None:
    picture = picture_of(run(read(series([0.0] * 12, namespace="shop", deployment="cart"), series(RISING))))
    assert picture is not None
    drawn = picture.series
    assert (drawn.title, drawn.subtitle) == ("TooManyErrors: 0.3 now", "namespace=shop, deployment=checkout")
    [line] = drawn.lines
    assert (line.last[-1], line.high[-1], line.low[0]) == (0.3, 0.31, 0.0)
    assert drawn.threshold == (0.05, "above 0.05")
    assert drawn.since == NOON + timedelta(minutes=8)
    assert drawn.told(0.25) == "0.25"
    assert picture.alt_text.startswith(
        "TooManyErrors: 0.3 now. A line chart of shop:error_ratio from 2026-03-10T12:00:00Z"
    )


def test_a_range_that_the_diagnosis_cites_is_drawn_where_the_alert_has_none() -> None:
    several = [series([number] * 6 + [number + 1] * 6, pod=f"cart-{number}") for number in range(8)]
    calls = (
        read(series(RISING), evidence="E3", query="other"),
        read(*several, evidence="E4", query="memory", compare=""),
    )
    picture = picture_of(run(*calls, measured="", cites="E4"))
    assert picture is not None
    assert [line.label for line in picture.series.lines] == [
        f"pod=cart-{number}" for number in range(len(charts.LINES))
    ]
    assert (picture.series.subtitle, picture.series.threshold, picture.series.since) == ("memory", None, None)


@pytest.mark.parametrize(
    ("given"),
    [
        run(read(series(RISING)), measured="", cites="E9"),
        run(read(series(RISING)), measured="another query"),
        run(read(series([0.3] * 4))),
        run(read(series(RISING), ok=False)),
        run(read()),
        run(read(series(RISING, deployment="cart"))),
        run(),
    ],
    ids=["not cited", "another query", "too short", "failed", "no series", "another's", "no read"],
)
def test_where_words_say_it_better_nothing_is_drawn(given: Run) -> None:
    assert picture_of(given) is None


def test_a_line_that_never_moves_is_not_worth_a_picture() -> None:
    flat = {"labels": SHOP, "points": [{"at": at(n), "min": "1", "max": "1", "last": "1"} for n in range(20)]}
    assert picture_of(run(read(flat))) is None


def test_a_gap_in_time_is_a_gap_in_the_line_and_what_is_no_number_too() -> None:
    points = [point(n, 0.1) for n in range(5)] + [point(n, 0.2) for n in range(20, 25)]
    points.append({"at": at(25), "min": "NaN", "max": "+Inf", "last": "junk"})
    picture = picture_of(run(read({"labels": SHOP, "points": points}, end=at(60))))
    assert picture is not None
    [line] = picture.series.lines
    assert [math.isnan(value) for value in line.last] == [False] * 5 + [True] + [False] * 5 + [True]
    assert math.isnan(line.high[-1])
    assert line.times[4:6] == (NOON + timedelta(minutes=5), NOON + timedelta(minutes=6))
    assert line.times[-1] == NOON + timedelta(minutes=26), "a stretch stands at its end, where its last value is"


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["labels", "points", "at", "min", "last", "since"]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@given(found=JUNK, compare=st.text(max_size=8))
def test_whatever_was_recorded_there_is_a_picture_or_none(found: Any, compare: str) -> None:
    made = {"labels": SHOP, "points": [found, *(point(n, n / 10) for n in range(9))], "since": found}
    picture_of(run(read(found, made, compare=compare)))


# --- drawing ----------------------------------------------------------------------------------------------------------


def line(label: str = "a", top: float = 0.3) -> Line:
    times = tuple(NOON + timedelta(minutes=minute) for minute in range(30))
    last = tuple(top if minute > 20 else math.nan if minute == 9 else 0.0 for minute in range(30))
    return Line(label, times, last, tuple(value * 1.1 for value in last), last)


def told(value: float) -> str:
    return f"{value:.2g}"


@pytest.mark.parametrize(
    "given",
    [
        Series("TooManyErrors", "shop", (line(),), told, (0.05, "above 0.05"), NOON + timedelta(minutes=21)),
        Series("Memory $x^2$", "a <b> & c", tuple(line(f"pod-{n}", n) for n in range(5)), told),
        Series("Below", "", (line(top=-4.0),), told, (-1.0, "below -1")),
        Series("Nothing", "", (Line("a", (NOON,), (math.nan,), (math.nan,), (math.nan,)),), told),
    ],
    ids=["alert", "several", "negative", "nothing"],
)
def test_a_picture_of_series_is_a_card_like_the_others(given: Series) -> None:
    picture = Image.open(io.BytesIO(series_png(given)))
    assert (picture.format, picture.size) == ("PNG", (1200, 620))
    assert series_png(given) == series_png(given)


def test_the_threshold_and_the_line_are_seen() -> None:
    colours = Image.open(io.BytesIO(series_png(Series("A", "", (line(),), told, (0.05, "above 0.05"))))).convert("RGB")
    counted = {colour: n for n, colour in colours.getcolors(1 << 24) or ()}
    for colour in (charts.CALM, charts.BAD):
        assert counted.get(tuple(int(colour[n : n + 2], 16) for n in (1, 3, 5)), 0) > 200, colour


# --- showing ----------------------------------------------------------------------------------------------------------


async def test_it_is_shown_in_the_run_s_thread_and_a_run_without_one_shows_nothing(tmp_path: Any) -> None:
    async with place(tmp_path) as spot:
        await pictures.show(spot.world, run(read(series(RISING))))
        [(run_id, alt_text, png)] = spot.chat.charts
        assert (run_id, png[:4]) == ("run-1", b"\x89PNG")
        assert "TooManyErrors" in alt_text
        await pictures.show(spot.world, run())
        assert len(spot.chat.charts) == 1
