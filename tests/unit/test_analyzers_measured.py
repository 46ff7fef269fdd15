"""What fired the alert, measured: the value now, before, and since when; silence where it is not known."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.analyzers import Reading, analyze
from bot.analyzers.measured import amount
from domain.actions import Target
from domain.alerts import Alert
from domain.diagnosis import Confidence, Finding
from tests.unit.kube import NOW, stamp

NOWHERE = Target("kubernetes", "production", "shop", "Gadget", "checkout")  # nothing that an analyzer looks at
ALERT = Alert(
    "f1", True, "TooManyErrors", "alertmanager", NOW - timedelta(minutes=8),
    labels={"alertname": "TooManyErrors", "namespace": "shop", "deployment": "checkout", "severity": "critical"},
)  # fmt: skip
BOTH = ("prometheus_alerts", "prometheus_query_range")


def ago(minutes: float) -> str:
    return stamp(NOW - timedelta(minutes=minutes))


def rule(**more: Any) -> dict[str, Any]:
    parts = {"measure": "shop:error_ratio", "operator": ">", "threshold": "0.05"}
    fired = {"labels": {**ALERT.labels}, "since": ago(8), "state": "firing", "value": "3.1e-01"}
    return {"name": "TooManyErrors", "expression": "shop:error_ratio > 0.05", **parts, "alerts": [fired], **more}


def series(deployment: str = "checkout", last: str = "0.31", since: float | None = 8, **more: Any) -> dict[str, Any]:
    points = [{"at": ago(60 - n), "min": "0", "max": "0.01", "last": "0.002"} for n in range(52)]
    points += [
        {"at": ago(9), "min": "0.002", "max": "0.31", "last": "0.31"},
        {"at": ago(1), "min": "0.3", "max": "0.31", "last": last},
    ]
    return {
        "labels": {"namespace": "shop", "deployment": deployment}, "last": last, "max": "0.31", "max_at": ago(3),
        "min": "0", "min_at": ago(50), "points": points, "since": ago(since) if since is not None else "", **more,
    }  # fmt: skip


class Prometheus:
    """Answers the two reads as the tools do, and remembers what it was asked."""

    def __init__(self, *rules: Any, found: Any = (), unit: str = "ratio", fails: str = "") -> None:
        self.rules = {"rules": list(rules), "read_at": stamp(NOW)}
        self.range = {"query": "shop:error_ratio", "unit": unit, "start": ago(68), "series": list(found)}
        self.fails = fails
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    async def read(self, name: str, arguments: Mapping[str, Any]) -> Reading:
        self.asked.append((name, arguments))
        if self.fails and self.fails in name:
            return Reading("", ok=False, error="Prometheus cannot be reached")
        data, number = (self.rules, "E1") if name == "prometheus_alerts" else (self.range, "E2")
        return Reading(number, ok=True, data=data)


async def told(prometheus: Prometheus, alert: Alert | None = ALERT, offered: Any = BOTH) -> list[Finding]:
    return list(await analyze(NOWHERE, alert, prometheus.read, offered))


async def test_the_alert_s_series_is_cited_with_its_value_now_before_and_since_when_it_crossed() -> None:
    prometheus = Prometheus(rule(), found=[series("cart", "0.0", None), series()])
    [found] = await told(prometheus)
    assert found.code == "measured.alert"
    assert found.title == "TooManyErrors: 0.31 now, 0.002 at 11:51, above 0.05 since 11:52"
    assert "not why" in found.detail
    assert "deployment=checkout" in found.detail
    assert [item.id for item in found.evidence] == ["E2", "E1"]
    assert found.evidence[0].excerpt.startswith("0.31 now")
    assert found.evidence[1].excerpt == "shop:error_ratio > 0.05"
    assert found.facts["confidence"] == Confidence.NOT_PROVEN.value
    assert found.facts["next_steps"] == ["Look at what changed shortly before 11:52."]
    assert found.facts["labels"] == {"namespace": "shop", "deployment": "checkout"}
    [(_, first), (_, second)] = prometheus.asked
    assert first == {"name": "TooManyErrors"}
    assert second == {"query": "shop:error_ratio", "compare": "> 0.05", "minutes": 68}


async def test_what_a_webhook_says_is_never_a_query() -> None:
    hostile = Alert(
        "f", True, "up} or vector(1)", "generic", NOW, url="http://p/graph?g0.expr=delete", labels=ALERT.labels
    )
    prometheus = Prometheus(rule(), found=[series()])
    assert await told(prometheus, hostile) == []
    assert prometheus.asked == [("prometheus_alerts", {"name": "up} or vector(1)"})]


async def test_an_alert_that_does_not_hold_any_more_is_said_to_be_well() -> None:
    [found] = await told(Prometheus(rule(), found=[series(last="0.01", since=None)]))
    assert (found.code, found.healthy) == ("measured.recovered", True)
    assert found.title == "TooManyErrors does not hold now: 0.01, was 0.31 at 11:57"
    low = rule(operator="<", measure="free_bytes", threshold="1e9")
    [found] = await told(Prometheus(low, found=[series(last="5e9", since=None, min="1048576")], unit="bytes"))
    assert found.title == "TooManyErrors does not hold now: 4.66 GiB, was 1 MiB at 11:10"


async def test_a_condition_that_held_all_the_time_has_no_before() -> None:
    [found] = await told(Prometheus(rule(), found=[series(since=68)]))
    assert found.title == "TooManyErrors: 0.31 now, above 0.05 for all the time looked at"
    assert found.facts["next_steps"] == ["Look at an earlier time."]


async def test_of_several_rules_with_a_name_the_one_that_fires_this_alert_counts() -> None:
    other = rule(threshold="0.5", alerts=[{"labels": {"deployment": "cart"}, "since": ago(3)}])
    prometheus = Prometheus(other, rule(), found=[series()])
    await told(prometheus)
    assert prometheus.asked[1][1]["compare"] == "> 0.05"


async def test_a_rule_that_compares_nothing_is_told_by_the_time_since_it_holds() -> None:
    absent = {"name": "TooManyErrors", "expression": "absent(shop_queue)", "alerts": [{"labels": {}, "since": ago(8)}]}
    prometheus = Prometheus(absent)
    [found] = await told(prometheus)
    assert found.title == "TooManyErrors: absent(shop_queue) holds since 11:52"
    assert [item.id for item in found.evidence] == ["E1"]
    assert [name for name, _ in prometheus.asked] == ["prometheus_alerts"]


@pytest.mark.parametrize(
    ("prometheus", "alert", "offered"),
    [
        (Prometheus(rule(), found=[series()]), ALERT, ()),
        (Prometheus(rule(), found=[series()]), ALERT, ("prometheus_alerts",)),
        (Prometheus(rule(), found=[series()]), None, BOTH),
        (Prometheus(), ALERT, BOTH),
        (Prometheus(rule()), ALERT, BOTH),
        (Prometheus(rule(), found=[series("cart")]), ALERT, BOTH),
        (Prometheus(rule(name="Other"), found=[series()]), ALERT, BOTH),
    ],
    ids=["not set up", "half", "no alert", "no rule", "no series", "another's series", "another rule"],
)
async def test_where_nothing_is_known_nothing_is_said(prometheus: Any, alert: Any, offered: Any) -> None:
    assert await told(prometheus, alert, offered) == []
    if not set(BOTH) <= set(offered) or alert is None:
        assert prometheus.asked == []


@pytest.mark.parametrize(("fails", "what"), [("alerts", "the alert's rule"), ("range", "the series behind the alert")])
async def test_a_prometheus_that_does_not_answer_is_said_and_nothing_is_concluded(fails: str, what: str) -> None:
    [found] = await told(Prometheus(rule(), found=[series()], fails=fails))
    assert found.code == "read.failed"
    assert what in found.title
    assert "cannot be reached" in found.detail


def test_amounts_are_read_by_people() -> None:
    assert [amount(*given) for given in (
        ("0.31000001", "ratio"), ("536870912", "bytes"), ("12", "bytes"), ("2048", "bytes per second"), ("1.25", "seconds"),
        ("3.14159", "per second"), ("NaN", ""), ("junk", "bytes"), ("99.5", "percent"),
    )] == ["0.31", "512 MiB", "12 B", "2 KiB/s", "1.25 s", "3.14/s", "nan", "junk", "99.5 %"]  # fmt: skip


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["rules", "alerts", "labels", "since", "series", "points", "at", "last", "measure", "operator",
                         "threshold", "name", "unit", "read_at", "start", "min", "max"]), inner, max_size=5),
    max_leaves=16,
)  # fmt: skip


@given(rules=JUNK, found=JUNK, whole=st.booleans())
async def test_whatever_is_read_makes_findings_or_none(rules: Any, found: Any, whole: bool) -> None:
    prometheus = Prometheus(*([rule(alerts=rules)] if whole else [rules]), found=[found, {**series(), "points": found}])
    for one in await told(prometheus):
        assert one.evidence
        assert len(one.title) <= 100
