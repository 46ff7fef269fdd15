"""Prometheus: queries, ranges in few points, and its alerts with the rules behind them. Nothing here changes anything.

No tool takes an address. Answers are bounded in series, points and time, and Prometheus' own errors and warnings are kept.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field, field_validator

from bot.tools.prometheus_alerts import Alerts, alerts, show_alerts
from bot.tools.prometheus_api import Obj, about, ask, checked_time, metadata, now_text, result_of, seconds_of, warnings
from bot.tools.prometheus_series import (
    crossed,
    labels_of,
    moment,
    samples_of,
    show_range,
    show_vector,
    stretches,
    summary,
)
from bot.tools.promql import namespace_of
from bot.tools.rest import RestClient
from bot.tools.spec import Arguments, Model, ReadTool
from domain.actions import Target

Environment = Callable[..., str]

MAX_SERIES = 50
MOST_SERIES = 1000
"""What a scan of the configuration asks for; a model is shown no more text by it than by any other answer."""
MAX_RANGES = 20
FINENESS = 10  # samples in one stretch, where the range has as many seconds
_COMPARE = re.compile(r"\s*(>=|<=|==|!=|>|<)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")

Query = Annotated[str, Field(min_length=1, max_length=2000, description="PromQL")]


class Instant(Model):
    """A query at one moment."""

    query: Query
    at: str = Field("", max_length=40, description="RFC 3339 time; empty is now")
    limit: int = Field(MAX_SERIES, ge=1, le=MOST_SERIES, description="series that are kept")

    @field_validator("at")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        return checked_time(value)


class Range(Model):
    """A query over a time."""

    query: Query
    minutes: int = Field(60, ge=1, le=43_200, description="how far back from `until`")
    until: str = Field("", max_length=40, description="RFC 3339 time; empty is now")
    points: int = Field(60, ge=2, le=120, description="stretches of time, each with min, max and last")
    compare: str = Field("", max_length=40, description="such as `> 0.05`: since when it holds is said of each series")

    @field_validator("until")
    @classmethod
    def _is_a_time(cls, value: str) -> str:
        return checked_time(value)

    @field_validator("compare")
    @classmethod
    def _is_a_comparison(cls, value: str) -> str:
        if value and not _COMPARE.fullmatch(value):
            raise ValueError("must be a comparison with a number, such as > 0.05")
        return value


def prometheus_tools(client: RestClient, environment: Environment) -> tuple[ReadTool, ...]:
    """Every read of one Prometheus. `environment` names the environment of a namespace."""

    def of_query(arguments: Arguments) -> Target:
        namespace = namespace_of(str(arguments["query"]))
        return Target("prometheus", environment(namespace), namespace)

    def of_alerts(arguments: Arguments) -> Target:
        return Target("prometheus", environment(""), "", "Rule" if arguments["name"] else "", str(arguments["name"]))

    return (
        ReadTool(
            "prometheus_query",
            f"A PromQL query at one moment: series with their labels and value, {MAX_SERIES} unless `limit` says otherwise.",
            Instant,
            of_query,
            lambda arguments: query(client, arguments),
            show_vector,
        ),
        ReadTool(
            "prometheus_query_range",
            "A PromQL query over a time, down-sampled to min, max and last per stretch: at most"
            f" {MAX_RANGES} series. Use rate() for counters.",
            Range,
            of_query,
            lambda arguments: query_range(client, arguments),
            show_range,
        ),
        ReadTool(
            "prometheus_alerts",
            "Alerting rules that fire or are pending (or one by name, whatever its state) with expression and value, and the"
            " scrape targets that are down.",
            Alerts,
            of_alerts,
            lambda arguments: alerts(client, arguments),
            show_alerts,
        ),
    )


# --- queries ----------------------------------------------------------------------------------------------------------


async def query(client: RestClient, arguments: Arguments) -> Obj:
    """One instant. A range vector gives each series' last sample, with how many there were."""
    at = {"time": f"{seconds_of(arguments['at']):.3f}"} if arguments["at"] else {}
    answer, metrics = await asyncio.gather(
        ask(client, "/api/v1/query", {"query": arguments["query"], **at}, "evaluate the query"),
        metadata(client, str(arguments["query"])),
    )
    kind, result = result_of(answer)
    if kind in ("scalar", "string"):
        series = [{"labels": {}, "value": str(result[1]) if isinstance(result, list) and len(result) == 2 else ""}]
    else:
        series = [_instant(item) for item in result[: arguments["limit"]]]
    return {
        **about(str(arguments["query"]), metrics),
        "kind": kind,
        "series": series,
        "more": max(0, len(result) - arguments["limit"]) if kind not in ("scalar", "string") else 0,
        "warnings": warnings(answer),
        "read_at": now_text(),
    }


async def query_range(client: RestClient, arguments: Arguments) -> Obj:
    """A time in at most so many stretches. The samples are finer than the stretches, so that a short peak is in `max`."""
    text, seconds = str(arguments["query"]), int(arguments["minutes"]) * 60
    end = seconds_of(arguments["until"]) if arguments["until"] else time.time()
    step = max(1, math.ceil(seconds / (int(arguments["points"]) * FINENESS)))
    width = step * max(1, math.ceil(seconds / (int(arguments["points"]) * step)))
    start = end - seconds
    span = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": str(step)}
    answer, metrics = await asyncio.gather(
        ask(client, "/api/v1/query_range", {"query": text, **span}, "evaluate the query"), metadata(client, text)
    )
    _, result = result_of(answer)
    ranked = sorted(result, key=_weight, reverse=True)
    return {
        **about(text, metrics),
        "start": moment(start),
        "end": moment(end),
        "step_s": step,
        "bucket_s": width,
        "compare": str(arguments["compare"]).strip(),
        "series": [_ranged(item, start, width, str(arguments["compare"])) for item in ranked[:MAX_RANGES]],
        "more": max(0, len(result) - MAX_RANGES),
        "warnings": warnings(answer),
        "read_at": now_text(),
    }


def _weight(item: Any) -> float:
    """The series that reach highest are kept."""
    values = [float(text) for _, text in samples_of(item.get("values") if isinstance(item, Mapping) else None)]
    return max((value for value in values if not math.isnan(value)), default=-math.inf)


def _instant(item: Any) -> Obj:
    given = item if isinstance(item, Mapping) else {}
    samples = samples_of(given.get("values")) or samples_of([given.get("value")])
    counted = {"samples": len(samples)} if "values" in given else {}
    return {"labels": labels_of(given.get("metric")), "value": samples[-1][1] if samples else "", **counted}


def _ranged(item: Any, start: float, width: int, compare: str) -> Obj:
    given = item if isinstance(item, Mapping) else {}
    samples = samples_of(given.get("values"))
    found = {"labels": labels_of(given.get("metric")), **summary(samples), "points": stretches(samples, start, width)}
    if match := _COMPARE.fullmatch(compare):
        found["since"] = crossed(samples, match[1], match[2])
    return found
