"""What fired the alert, measured: its rule's expression over the last hours. It says that and since when, never why."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.analyzers.fields import items, labels, short, text, when
from bot.analyzers.findings import finding
from bot.analyzers.reading import NOTHING, Read, Reading, cite
from domain.actions import Target
from domain.alerts import Alert
from domain.diagnosis import Confidence, Finding

ALERTS, RANGE = "prometheus_alerts", "prometheus_query_range"
BEFORE = timedelta(hours=1)
"""How much is looked at of the time before the alert: what is normal shows there."""
SHORTEST, LONGEST = 60, 24 * 60  # minutes
_WORDS = {">": "above", ">=": "at or above", "<": "below", "<=": "at or below", "==": "equal to", "!=": "not equal to"}
_SIZES = (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


@dataclass(frozen=True)
class Measured:
    """The two reads; NOTHING where there is no Prometheus, or the alert has no rule that compares something."""

    rules: Reading = NOTHING
    series: Reading = NOTHING

    def readings(self) -> tuple[tuple[str, Reading], ...]:
        """Every read that was made, with what it was of."""
        made = (("the alert's rule in Prometheus", self.rules), ("the series behind the alert", self.series))
        return tuple((what, reading) for what, reading in made if reading is not NOTHING)


async def measure(alert: Alert | None, read: Read, offered: Collection[str]) -> Measured:
    """The rule by the alert's name, as Prometheus knows it; then what it measures. What a webhook says is never a query."""
    if alert is None or not alert.name or not {ALERTS, RANGE} <= set(offered):
        return Measured()
    rules = await read(ALERTS, {"name": alert.name[:200]})
    rule = _rule(rules, alert)
    if not text(rule, "measure"):
        return Measured(rules)
    asked = {"query": text(rule, "measure"), "compare": f"{text(rule, 'operator')} {text(rule, 'threshold')}"}
    return Measured(rules, await read(RANGE, {**asked, "minutes": _minutes(rules, rule, alert)}))


def analyze_measured(measured: Measured, alert: Alert | None, target: Target) -> tuple[Finding, ...]:
    """One finding: the alert's series now, before, and since when it holds; or that it does not hold any more."""
    rule, one = _rule(measured.rules, alert), _series(measured.series, alert)
    if alert is None or not rule:
        return ()
    if not one:
        return _held(measured, rule, alert, target) if not text(rule, "measure") else ()
    unit, operator = text(measured.series.data, "unit"), text(rule, "operator")
    now, since = amount(text(one, "last"), unit), when(one, "since")
    asked = bound(operator, text(rule, "threshold"), unit)
    found = f"Measured: {_one_line(text(rule, 'measure'))} of {_named(one)}."
    if since is None:
        peak = "min" if operator.startswith("<") else "max"
        was = f"{amount(text(one, peak), unit)} at {_clock(when(one, f'{peak}_at'))}"
        title = f"{alert.name} does not hold now: {now}, was {was}"
        return (_made(measured, alert, target, title, f"{found} The alert asks for {asked}.", one, healthy=True),)
    before = _before(one, since)
    said = f", {amount(text(before, 'last'), unit)} at {_clock(when(before, 'at'))}" if before else ""
    start = when(measured.series.data, "start")
    whole = start is not None and since - start <= timedelta(seconds=60)
    crossing = f"{asked} for all the time looked at" if whole else f"{asked} since {_clock(since)}"
    title = f"{alert.name}: {now} now{said}, {crossing}"
    detail = f"{found} That is what fired the alert, and not why."
    step = f"Look at what changed shortly before {_clock(since)}." if not whole else "Look at an earlier time."
    return (_made(measured, alert, target, title, detail, one, step=step),)


def _held(measured: Measured, rule: Mapping[str, Any], alert: Alert, target: Target) -> tuple[Finding, ...]:
    """A rule that compares nothing with a number, such as absent(): that it holds, and since when."""
    for each in items(rule, "alerts"):
        since = when(each, "since")
        if since is not None and _is_of(labels(each, "labels"), alert):
            title = f"{alert.name}: {short(text(rule, 'expression'), 50)} holds since {_clock(since)}"
            step = f"Look at what changed shortly before {_clock(since)}."
            return (_made(measured, alert, target, title, "That is what fired the alert, and not why.", {}, step=step),)
    return ()


def bound(operator: str, threshold: str, unit: str) -> str:
    """A condition in words: above 0.05."""
    return f"{_WORDS.get(operator, operator)} {amount(threshold, unit)}"


def amount(value: str, unit: str) -> str:
    """A value that a person reads: three digits and its unit."""
    try:
        number = float(value)
    except ValueError:
        return short(value, 30)
    if unit == "bytes" or unit == "bytes per second":
        size, divisor = next(((name, n) for name, n in _SIZES if abs(number) >= n), ("B", 1))
        return f"{number / divisor:.3g} {size}" + ("/s" if unit.endswith("second") else "")
    marks = {"seconds": " s", "per second": "/s", "percent": " %", "seconds per second": " s/s"}
    return f"{number:.3g}{marks.get(unit, '')}"


def _made(
    measured: Measured,
    alert: Alert,
    target: Target,
    title: str,
    detail: str,
    one: Mapping[str, Any],
    *,
    healthy: bool = False,
    step: str = "",
) -> Finding:
    return finding(
        "measured.recovered" if healthy else "measured.alert",
        target,
        title,
        detail,
        [
            cite(measured.series, f"the series behind {alert.name}", title.partition(": ")[2] or title),
            cite(measured.rules, f"the rule {alert.name}", _one_line(text(_rule(measured.rules, alert), "expression"))),
        ],
        healthy=healthy,
        confidence=Confidence.NOT_PROVEN if not healthy else Confidence.PROVEN,
        next_steps=[step] if step else (),
        query=text(measured.series.data, "query"),
        labels=labels(one, "labels"),
    )


def _rule(rules: Reading, alert: Alert | None) -> Mapping[str, Any]:
    """The rule that this alert is of: of several with its name the one that fires it, else the first."""
    listed = items(rules.data, "rules") if rules.ok and alert is not None else []
    named = [rule for rule in listed if alert is not None and text(rule, "name") == alert.name]
    firing = [rule for rule in named if any(_is_of(labels(each, "labels"), alert) for each in items(rule, "alerts"))]
    return next(iter((*firing, *named)), {})


def _series(series: Reading, alert: Alert | None) -> Mapping[str, Any]:
    """The series that the alert is about: its labels are the alert's. One alone may have none at all."""
    found = [one for one in items(series.data, "series") if text(one, "last")] if series.ok else []
    own = [one for one in found if _is_of(labels(one, "labels"), alert)]
    return own[0] if own and (len(found) == 1 or labels(own[0], "labels")) else {}


def _is_of(given: Mapping[str, str], alert: Alert | None) -> bool:
    """Whether every label is one of the alert's. Those that it does not have at all say nothing either way."""
    own = alert.labels if alert is not None else {}
    return all(str(own[name]) == value for name, value in given.items() if name in own)


def _minutes(rules: Reading, rule: Mapping[str, Any], alert: Alert) -> int:
    """From an hour before it fired until the rules were read: a clock of our own would make a replay differ."""
    now = when(rules.data, "read_at")
    fired = [moment for each in items(rule, "alerts") if (moment := when(each, "since"))]
    began = min((*fired, alert.starts_at))
    length = (now - began + BEFORE) if now else BEFORE
    return max(SHORTEST, min(LONGEST, round(length.total_seconds() / 60)))


def _before(one: Mapping[str, Any], since: datetime) -> Mapping[str, Any]:
    """The last stretch that ended before the condition began to hold."""
    earlier = [point for point in items(one, "points") if (at := when(point, "at")) and at < since]
    return earlier[-2] if len(earlier) > 1 else {}


def _named(one: Mapping[str, Any]) -> str:
    parts = [f"{name}={value}" for name, value in labels(one, "labels").items() if name != "__name__"]
    return short(", ".join(parts) or "the one series", 200)


def _one_line(expression: str) -> str:
    return short(expression, 300)


def _clock(moment: datetime | None) -> str:
    return f"{moment:%H:%M}" if moment else "an unknown time"
