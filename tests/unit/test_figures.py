"""The statistics: intervals that hold what they promise, against the definitions told the slow way."""

from __future__ import annotations

import math
import random
import statistics
from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from domain.estimates import LEAST, Worth, baseline, estimated, parse_baselines
from domain.figures import EXACT_RANKS, SHAPES, at_quantile, count, quantile, ranks, share, total
from domain.work import Basis, WorkKind

TIMES = st.lists(st.integers(0, 10**8), max_size=60).map(sorted)


def below(n: int, k: int, p: Fraction) -> Fraction:
    """How likely at most k of n are below the quantile, without rounding."""
    return sum((Fraction(math.comb(n, j)) * p**j * (1 - p) ** (n - j) for j in range(k + 1)), Fraction())


@given(st.integers(0, 130), st.sampled_from([500, 900]))
def test_an_interval_leaves_at_most_a_fortieth_on_either_side_and_is_the_shortest_that_does(
    n: int, permille: int
) -> None:
    p, tail = Fraction(permille, 1000), Fraction(1, 40)
    low, high = ranks(n, permille)
    if low:
        assert below(n, low - 1, p) <= tail
    assert not (low or 0) + 1 <= n or below(n, low or 0, p) > tail
    if high:
        assert 1 - below(n, high - 1, p) <= tail
        assert 1 - below(n, high - 2, p) > tail
    else:
        assert 1 - below(n, n - 1, p) > tail


def test_the_interval_of_the_median_needs_six_and_of_nine_in_ten_thirty_six() -> None:
    assert [ranks(n, 500) for n in (0, 5, 6, 9)] == [(None, None), (None, None), (1, 6), (2, 8)]
    assert [ranks(n, 900)[1] for n in (35, 36)] == [None, 36]


@pytest.mark.parametrize("permille", [500, 900])
def test_where_ranks_are_approximated_the_sides_are_no_fatter_than_a_hair_over_a_fortieth(permille: int) -> None:
    p, n = Fraction(permille, 1000), EXACT_RANKS + 1
    low, high = ranks(n, permille)
    assert low
    assert high
    assert 0.015 < below(n, low - 1, p) < 0.0255
    assert 0.015 < 1 - below(n, high - 1, p) < 0.0255


def test_nineteen_of_twenty_intervals_hold_the_true_median_whatever_the_distribution() -> None:
    dice, held = random.Random(7), 0
    for _ in range(2000):
        sample = sorted(round(1000 * dice.lognormvariate(0, 2)) for _ in range(23))
        figure = quantile("to_diagnosis", sample)
        assert figure.low is not None
        assert figure.high is not None
        held += figure.low <= 1000 <= figure.high
    assert held / 2000 > 0.95


@given(TIMES)
def test_a_median_is_the_median_and_stands_within_its_interval(times: list[int]) -> None:
    figure = quantile("to_verified", times)
    assert figure.value == (int(statistics.median(times)) if times else None)
    assert figure.n == len(times)
    if figure.low is not None and figure.high is not None and figure.value is not None:
        assert figure.low <= figure.value <= figure.high
    else:
        assert len(times) < 6


@given(TIMES.filter(bool))
def test_nine_in_ten_waits_are_no_longer_than_the_ninetieth_percentile(times: list[int]) -> None:
    value = at_quantile(times, 900)
    assert value in times
    assert sum(time <= value for time in times) * 10 >= 9 * len(times)
    assert sum(time < value for time in times) * 10 < 9 * len(times)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_share_s_interval_is_the_shares_that_it_would_not_contradict(part: tuple[int, int]) -> None:
    k, n = part
    figure = share("held_share", k, n)
    assert figure.low is not None
    assert figure.high is not None
    assert 0 <= figure.low <= (figure.value or 0) <= figure.high <= 1000
    for edge, inside in (
        (figure.low, 2),
        (figure.high, -2),
    ):  # Wilson: |p̂ − p| ≤ z √(p(1−p)/n) holds exactly between its ends
        p, outwards = edge / 1000, -inside
        if 0 < p < 1:
            assert (
                abs(k / n - (p + inside / 1000))
                <= 1.96 * math.sqrt(max((p + inside / 1000) * (1 - p - inside / 1000), 0) / n) + 0.002
            )
            beyond = p + outwards / 1000
            if 0 < beyond < 1:
                assert abs(k / n - beyond) >= 1.959 * math.sqrt(beyond * (1 - beyond) / n) - 1e-9


def test_of_nothing_there_is_no_share_and_of_one_it_may_be_almost_anything() -> None:
    assert (share("held_share", 0, 0).value, share("held_share", 0, 0).low) == (None, None)
    assert (share("held_share", 1, 1).low, share("held_share", 1, 1).high) == (206, 1000)


def test_every_figure_says_how_it_is_computed_and_which_of_the_three_it_is() -> None:
    assert {shape.basis for shape in SHAPES.values()} == set(Basis)
    assert all(len(shape.method) > 15 and shape.title for shape in SHAPES.values())
    assert (count("alerts", 3).interval, total("people", None, 0).value) == ("none: every one is a row", None)


# --- estimates --------------------------------------------------------------------------------------------------------


def test_a_baseline_is_what_the_team_says_else_measured_before_the_agent_else_without_it_else_assumed() -> None:
    before, own = [60_000 * n for n in range(1, 10)], [3_600_000] * LEAST
    kind = WorkKind.REMEDIATION
    assert baseline(kind, 90, before, own).source == "set"
    assert (baseline(kind, 90, before, own).seconds, baseline(kind, 90, before, own).n) == (90, 0)
    measured = baseline(kind, None, before, own)
    assert (measured.source, measured.seconds, measured.n) == ("history", 300, 9)
    assert (measured.low, measured.high) == (120, 480)  # the 2nd and the 8th of nine
    assert baseline(kind, None, before[: LEAST - 1], own).source == "own"
    assumed = baseline(kind, None, before[: LEAST - 1], own[: LEAST - 1])
    assert (assumed.source, assumed.seconds, assumed.low, assumed.high) == ("assumed", 2100, 1050, 3150)


def test_spoiled_work_counts_as_much_against_as_good_work_counts_for_and_attention_on_top() -> None:
    standing = [baseline(kind, 600, (), ()) for kind in WorkKind]
    worths = [Worth(WorkKind.REMEDIATION, 5, 2), Worth(WorkKind.DIAGNOSIS, 1, 0)]
    made = estimated(worths, 90, 4, standing)
    values = {name: getattr(made, name).value for name in ("replaced", "charged", "net", "attention", "break_even")}
    assert values == {"replaced": 3600, "charged": 1200, "net": 2310, "attention": 90, "break_even": 23}
    assert (made.net.low, made.net.high, made.net.n) == (1110, 3510, 8)
    assert made.net.note == "remediation 10 min (set); diagnosis 10 min (set)"
    assert (made.break_even.n, made.attention.n) == (8, 4)


def test_more_spoiled_than_replaced_is_a_loss_that_no_baseline_turns() -> None:
    standing = [baseline(kind, 600, (), ()) for kind in WorkKind]
    made = estimated([Worth(WorkKind.REMEDIATION, 1, 3)], 60, 1, standing)
    assert (made.net.value, made.net.low, made.net.high) == (-1260, -1860, -660)
    assert (made.break_even.value, made.break_even.note[:9]) == (None, "as much w")


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=5, max_size=5),
    st.integers(0, 10**5),
    st.integers(1, 10**4),
)
def test_a_net_saving_stands_within_its_range_and_more_spoiled_work_never_makes_it_better(
    counts: list[tuple[int, int]], attention_s: int, seconds: int
) -> None:
    standing = [baseline(kind, seconds if place % 2 else None, (), ()) for place, kind in enumerate(WorkKind)]
    worths = [Worth(kind, *pair) for kind, pair in zip(WorkKind, counts, strict=True)]
    net = estimated(worths, attention_s, 1, standing).net
    assert net.low is not None
    assert net.high is not None
    assert net.value is not None
    assert net.low <= net.value <= net.high
    worse = [Worth(one.kind, one.credited, one.charged + 1) for one in worths]
    assert (estimated(worse, attention_s, 1, standing).net.value or 0) < net.value


def test_baselines_are_read_with_their_units_and_a_wrong_part_is_named() -> None:
    assert parse_baselines("diagnosis=20m, question=90s,remediation=1h") == {
        "diagnosis": 1200,
        "question": 90,
        "remediation": 3600,
    }
    assert parse_baselines("") == {}
    for wrong, words in (
        ("diagnoses=20m", "no kind of work: diagnosis"),
        ("diagnosis=20", "such as diagnosis=20m"),
        ("diagnosis=0m", "such as diagnosis=20m"),
        ("diagnosis=20m,diagnosis=30m", "twice"),
    ):
        with pytest.raises(ValueError, match=words):
            parse_baselines(wrong)
