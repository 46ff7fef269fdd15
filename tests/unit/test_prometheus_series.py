"""Samples made small: nothing is lost of the extremes, whatever the samples are."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.tools.prometheus_series import (
    clean,
    crossed,
    holds,
    labels_of,
    moment,
    named,
    samples_of,
    short,
    show_range,
    show_vector,
    stretches,
    summary,
)

VALUES = st.floats(allow_nan=True, allow_infinity=True).map(repr)
SERIES = st.lists(st.tuples(st.integers(0, 5000), VALUES), min_size=1, max_size=80, unique_by=lambda pair: pair[0]).map(
    lambda pairs: sorted((float(at), value) for at, value in pairs)
)


@given(series=SERIES, width=st.integers(1, 900))
def test_min_max_and_last_of_the_stretches_are_those_of_the_whole(series: Any, width: int) -> None:
    points = stretches(series, 0.0, width)
    assert [point["at"] for point in points] == sorted(point["at"] for point in points)
    assert len(points) == len({int(at // width) for at, _ in series}), "a gap stays a gap"
    assert points[-1]["last"] == summary(series)["last"] == series[-1][1]
    real = [float(text) for _, text in series if not math.isnan(float(text))]
    if real:
        assert max(float(p["max"]) for p in points if not math.isnan(float(p["max"]))) == max(real)
        assert min(float(p["min"]) for p in points if not math.isnan(float(p["min"]))) == min(real)
        assert float(summary(series)["max"]) == max(real)


@given(series=SERIES, operator=st.sampled_from([">", "<", ">=", "<=", "==", "!="]), threshold=st.integers(-5, 5))
def test_a_condition_holds_since_the_first_sample_of_its_last_unbroken_stretch(
    series: Any, operator: str, threshold: int
) -> None:
    since = crossed(series, operator, str(threshold))
    met = [holds(text, operator, str(threshold)) for _, text in series]
    if not met[-1]:
        assert since == ""
        return
    start = len(met) - next((n for n, one in enumerate(reversed(met)) if not one), len(met))
    assert since == moment(series[start][0])


@given(
    st.recursive(
        st.none() | st.text() | st.integers() | st.floats(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_samples_of_any_shape_are_read_or_left_out(junk: Any) -> None:
    for at, text in samples_of(junk):
        assert isinstance(at, float)
        float(text)


def test_values_stay_the_text_that_prometheus_sent() -> None:
    assert samples_of([[1, "3.1000000000000001"], [2.5, "+Inf"], [3, "x"], [4], "no"]) == [
        (1.0, "3.1000000000000001"),
        (2.5, "+Inf"),
    ]
    assert [short(text) for text in ("3.1000000000000001", "+Inf", "NaN", "1234567", "")] == [
        "3.1", "+Inf", "NaN", "1.235e+06", "",
    ]  # fmt: skip


def test_a_series_of_nan_alone_has_a_last_value_and_no_extremes_but_that() -> None:
    told = summary([(1.0, "NaN"), (2.0, "NaN")])
    assert (told["last"], told["max"], told["min"]) == ("NaN", "NaN", "NaN")
    assert summary([]) == {}


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31mb", "a\u202eb", "a\u2028b", "a\u200bb"])
def test_label_text_stays_on_its_line(text: str) -> None:
    assert clean(text) == "a b" or clean(text).startswith("a [31m")
    assert len(clean("x" * 500)) == 120
    line = named(labels_of({"__name__": "up", "who": f'{text}"}} or vector(1)', "a": "b"}))
    assert line.startswith('up{a="b", who="')
    assert "\n" not in line
    assert '\\"} or vector(1)"}' in line


def test_a_range_is_shown_with_its_step_its_extremes_and_some_of_its_stretches() -> None:
    samples = [(float(at), str(at % 7)) for at in range(0, 3600, 6)]
    item = {"labels": {"pod": "a"}, **summary(samples), "points": stretches(samples, 0, 60), "since": moment(3500)}
    data = {
        "query": "x_bytes", "unit": "bytes", "step_s": 6, "bucket_s": 60, "compare": "> 2", "series": [item], "more": 3,
        "warnings": ["partial"], "metrics": [{"name": "x_bytes", "type": "gauge", "help": "Xs."}],
    }  # fmt: skip
    lines = show_range(data).splitlines()
    assert lines[0] == "x_bytes, in bytes, stretches of 60 s from samples every 6 s (min max last)"
    assert lines[1] == "x_bytes: gauge, Xs."
    assert lines[2].startswith('{pod="a"}: last ')
    assert lines[2].endswith("> 2 since 1970-01-01T00:58:20Z")
    assert 10 <= len([line for line in lines if line.startswith("  1970")]) <= 13
    assert lines[-2:] == ["3 more series are left out: aggregate, or narrow the selector", "Prometheus warns: partial"]
    assert "1970-01-01T00:59:00Z" in lines[-3], "the newest stretch is among those shown"
    assert show_vector({"query": "up", "series": []}).splitlines() == ["up", "no series: nothing matches now"]
