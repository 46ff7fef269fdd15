"""Prometheus' HTTP API: one way to ask, and answers read without trusting their shape."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bot.tools.prometheus_series import clean, moment
from bot.tools.promql import metric_names, unit_of
from bot.tools.rest import RestClient
from domain.errors import ToolError

Obj = dict[str, Any]

QUERY_SECONDS = 8
"""How long Prometheus may work on one query: less than what waits for it."""


def open_prometheus(url: str, token: str) -> RestClient:
    """A client; talks to nothing yet. Raises SettingsError."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return RestClient("Prometheus", url, fix="check PROMETHEUS_TOKEN", headers=headers)


async def ask(client: RestClient, path: str, params: Mapping[str, str], doing: str) -> Any:
    """The answer behind a path. Raises ToolError with Prometheus' own words where it has any."""
    limit = {"timeout": f"{QUERY_SECONDS}s"} if "query" in path else {}
    answer = await client.get(path, {**params, **limit}, doing=doing)
    if a_map(answer).get("status") != "success":
        raise ToolError(f"Prometheus did not {doing}: {clean(a_map(answer).get('error') or 'it gave no reason', 500)}")
    return answer


async def metadata(client: RestClient, text: str) -> list[Obj]:
    """What Prometheus knows of the metrics that a query names: a help for reading it, and nothing that it rests on."""
    found = await asyncio.gather(*(_described(client, name) for name in metric_names(text)[:3]))
    return [one for one in found if one]


async def _described(client: RestClient, name: str) -> Obj:
    try:
        answer = await ask(client, "/api/v1/metadata", {"metric": name, "limit_per_metric": "1"}, "describe a metric")
    except ToolError:
        return {}
    for item in a_list(a_map(answer).get("data"), name)[:1]:
        return {"name": name, **{part: clean(a_map(item).get(part, ""), 200) for part in ("type", "unit", "help")}}
    return {}


def about(text: str, metrics: list[Obj]) -> Obj:
    """The query and its unit: by the metrics' names, else what their metadata says."""
    said = {metric["unit"] for metric in metrics if metric["unit"]}
    plain = len(metric_names(text)) == 1 and metric_names(text)[0] == text.strip().partition("{")[0]
    return {
        "query": text,
        "unit": unit_of(text) or (said.pop() if plain and len(said) == 1 else ""),
        "metrics": metrics,
    }


def result_of(answer: Any) -> tuple[str, Any]:
    """A query's kind of result and the result. Raises ToolError."""
    data = a_map(a_map(answer).get("data"))
    kind, result = str(data.get("resultType") or ""), data.get("result")
    if kind not in ("vector", "matrix", "scalar", "string") or not isinstance(result, list):
        raise ToolError("Prometheus answered with something that is not a query's result.")
    return kind, result


def warnings(answer: Any) -> list[str]:
    """What Prometheus remarks on its own answer."""
    return [clean(warning, 300) for key in ("warnings", "infos") for warning in a_list(answer, key)[:5]]


def a_map(value: Any) -> Mapping[str, Any]:
    """The value where it is a map, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def a_list(value: Any, key: str) -> list[Any]:
    """The list under a key, else an empty one."""
    found = a_map(value).get(key)
    return found if isinstance(found, list) else []


def now_text() -> str:
    """When this was read."""
    return moment(time.time())


def checked_time(value: str) -> str:
    """A time as an argument may have it. Raises ValueError with what would be right."""
    try:
        if value:
            seconds_of(value)
    except (ValueError, OverflowError):
        raise ValueError("must be an RFC 3339 time, such as 2026-11-28T03:10:00Z") from None
    return value


def seconds_of(value: str) -> float:
    """A time as Prometheus counts it; without a zone it is UTC. Raises ValueError."""
    found = datetime.fromisoformat(value)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
