"""PromQL understood without evaluating it: thresholds, metrics, units and namespaces, and silence where it is not certain."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from bot.tools.promql import Condition, condition_of, metric_names, namespace_of, unit_of

RATIO = 'sum by (ns) (rate(http_requests_total{code=~"5.."}[5m])) / sum by (ns) (rate(http_requests_total[5m]))'


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        (f"{RATIO} > 0.05", Condition(RATIO, ">", "0.05")),
        ("0.05 < x", Condition("x", ">", "0.05")),
        ("(a >= 1)", Condition("a", ">=", "1")),
        ("((a) != -1.5e3) unless b", Condition("(a)", "!=", "-1.5e3")),
        ("a > 1 and on (b) c > 2", Condition("a", ">", "1")),
        ('a{x="> 3"} == 0 # and b > 1', Condition('a{x="> 3"}', "==", "0")),
        ("a\n  > .5\n", Condition("a", ">", ".5")),
        ("up == 0", Condition("up", "==", "0")),
        ("a > 1 or b > 2", None),
        ("absent(up)", None),
        ("a > bool 0", None),
        ("a > b", None),
        ("1 < a < 2", None),
        ("(a > 1) + 1", None),
        ("", None),
        ("> 1", None),
    ],
)
def test_a_comparison_with_a_number_is_taken_apart_and_nothing_else(expression: str, found: Condition | None) -> None:
    assert condition_of(expression) == found


MEASURES = st.sampled_from(
    [RATIO, "up", "a - b", 'max(x{y="a > 1 and b"})', "rate(a[5m]) * 100", "`or`", "-a", "a offset 5m", "(a or b)"]
)
OPERATORS = st.sampled_from([">", "<", ">=", "<=", "==", "!="])
NUMBERS = st.integers(-(10**6), 10**6).map(str) | st.floats(0.001, 1e6).map(lambda number: f"{number:g}")


@given(
    measure=MEASURES,
    operator=OPERATORS,
    threshold=NUMBERS,
    wrapped=st.booleans(),
    tail=st.sampled_from(["", " and c > 9"]),
)
def test_what_was_put_together_is_taken_apart(
    measure: str, operator: str, threshold: str, wrapped: bool, tail: str
) -> None:
    text = f"{measure} {operator} {threshold}"
    assert condition_of((f"({text})" if wrapped else text) + tail) == Condition(measure, operator, threshold)


@given(st.text(alphabet="ab01 \n\"'`{}()[]<>=!#.,+-*/andorunless", max_size=60) | st.text(max_size=60))
def test_any_text_at_all_is_read_without_complaint(text: str) -> None:
    condition_of(text)
    metric_names(text)
    unit_of(text)
    namespace_of(text)


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        (RATIO, ("http_requests_total",)),
        ("a + on (x) group_left (y) b", ("a", "b")),
        ("sum(rate(a[5m] offset 1h)) by (pod)", ("a",)),
        ('label_replace(up, "x", "$1", "y", "(.*)")', ("up",)),
        ("job:errors:rate5m > 1e3", ("job:errors:rate5m",)),
        ('{__name__="up"}', ()),
        ("1e3 + 0x1f + NaN + Inf", ()),
    ],
)
def test_the_metrics_that_are_named(expression: str, names: tuple[str, ...]) -> None:
    assert metric_names(expression) == names


@pytest.mark.parametrize(
    ("expression", "unit"),
    [
        (RATIO, "ratio"),
        ("process_resident_memory_bytes", "bytes"),
        ("a_bytes / b_bytes", "ratio"),
        ("a_bytes / 1024", ""),
        ("a_ratio * 100", ""),
        ("a_seconds / b_bytes", ""),
        ("rate(http_requests_total[5m])", "per second"),
        ("rate(cpu_seconds_total[5m])", "seconds per second"),
        ("rate(sent_bytes_total[5m])", "bytes per second"),
        ("increase(http_requests_total[1h])", ""),
        ("histogram_quantile(0.99, sum by (le) (rate(x_seconds_bucket[5m])))", "seconds"),
        ("count(a_seconds)", ""),
        ("up", ""),
        ("shop:error_ratio", "ratio"),
    ],
)
def test_a_unit_is_said_only_where_the_names_say_it(expression: str, unit: str) -> None:
    assert unit_of(expression) == unit


@pytest.mark.parametrize(
    ("expression", "namespace"),
    [
        ('up{namespace="shop"}', "shop"),
        ("up{exported_namespace='shop',namespace=\"shop\"}", "shop"),
        ('a{namespace="shop"} / b{namespace="web"}', ""),
        ('up{namespace=~"shop.*"}', ""),
        ('up{namespace!="shop"}', ""),
        ('up{kube_namespace="shop"}', ""),
        ("up", ""),
        ('up # {namespace="shop"}', ""),
    ],
)
def test_the_one_namespace_that_is_asked_about(expression: str, namespace: str) -> None:
    assert namespace_of(expression) == namespace
