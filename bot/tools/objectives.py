"""Service level objectives read from Prometheus: how much error budget is left, and whether a release does well."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import Field

from bot.tools.objectives_file import Objective, seconds
from bot.tools.prometheus_api import ask, now_text, result_of
from bot.tools.prometheus_series import samples_of
from bot.tools.rest import RestClient
from bot.tools.spec import Arguments, Model, ReadTool
from domain.actions import Target
from domain.decisions import Check
from domain.errors import ToolError
from domain.ports import Probe

ERROR_BUDGET = "prometheus_error_budget"
SHORTEST_SECONDS = 5
"""Two scrapes must lie within a rate's window; what is asked of less says nothing."""


class Service(Model):
    """Which service."""

    service: Annotated[str, Field(min_length=1, max_length=253)] = Field(
        description="its name in the file of objectives, or its GitLab project"
    )


def error_budget_tool(client: RestClient, objectives: Sequence[Objective], environment: Any) -> ReadTool:
    """The read of one Prometheus. The queries are the operator's: what is asked for is only of which service."""

    async def read(arguments: Arguments) -> Any:
        return await error_budget(client, found(objectives, arguments["service"]))

    return ReadTool(
        ERROR_BUDGET,
        "How much of a service's error budget is left, and how fast the last hour uses it up.",
        Service,
        lambda arguments: Target("prometheus", environment(""), "", "Objective", str(arguments["service"])),
        read,
        _show,
    )


def found(objectives: Sequence[Objective], name: str) -> Objective:
    """The objective of a service or project. Raises ToolError."""
    for one in objectives:
        if name in (one.service, one.project):
            return one
    known = ", ".join(one.service for one in objectives) or "none"
    raise ToolError(f"There is no objective for {name}; there are {known}.")


async def error_budget(client: RestClient, objective: Objective) -> dict[str, Any]:
    """Percentages as text. `remaining` is what is left of the budget, negative where more was used than there is.

    budget = 1 - objective; remaining = 1 - errors / budget; burn = errors of the last hour / budget, so that 1.0 uses it up
    exactly within the window (Google SRE Workbook, chapter 5, "Alerting on SLOs").
    """
    whole, hour = await asyncio.gather(
        ratio(client, objective.error_ratio, seconds(objective.window)), ratio(client, objective.error_ratio, 3600)
    )
    budget = (100 - objective.objective) / 100
    return {
        "service": objective.service,
        "objective": f"{objective.objective.normalize():f}",
        "window": objective.window,
        "errors": _percent(whole),
        "remaining": "" if whole is None else f"{(1 - whole / budget) * 100:.0f}",
        "errors_1h": _percent(hour),
        "burn_1h": "" if hour is None else f"{hour / budget:.1f}",
        "read_at": now_text(),
    }


@dataclass(frozen=True)
class Watch:
    """Watches releases by the objectives of their projects."""

    client: RestClient
    objectives: Sequence[Objective]

    def words(self, project: str) -> str:
        """How a release of a project is watched, empty where it is not."""
        one = self._of(project)
        if one is None:
            return ""
        return f"it is watched for {_length(one.watch_s)}: {one.service} may have {_points(one.worse_by)} more errors"

    async def probe(self, project: str, finished: datetime, *, canary: bool) -> Probe:
        """How a release does; no check where no objective is set for its project."""
        one = self._of(project)
        return Probe(()) if one is None else await watch(self.client, one, finished, canary=canary)

    def _of(self, project: str) -> Objective | None:
        return next((one for one in self.objectives if one.project == project), None)


async def watch(client: RestClient, objective: Objective, finished: datetime, *, canary: bool) -> Probe:
    """How a release does that was finished at that moment. Settled once it is watched long enough, or is surely worse.

    A canary is compared with the rest at the same time; a whole release with the time before it. What nobody asked anything of
    proves nothing, and so does not pass.
    """
    end = finished.timestamp() + objective.watch_s
    now = time.time()
    elapsed, over = int(min(now, end) - finished.timestamp()), now >= end
    name = "the canary's errors" if canary else "errors after the release"
    watched = f"watched for {elapsed} of {objective.watch_s} s"
    if elapsed < SHORTEST_SECONDS:
        return Probe((Check(name, passed=False, detail=watched),))
    own, other = await _both(client, objective, finished.timestamp(), elapsed, canary=canary)
    rest = "of the rest" if canary else "before"
    compared = f"{_percent(own) or 'no'} % against {_percent(other) or 'no'} % {rest}"
    allowed = (other or Decimal(0)) + objective.worse_by / 100
    worse = own is not None and own > allowed
    detail = f"{compared}, {_points(objective.worse_by)} more allowed, {watched}"
    if own is None and over:
        detail = f"no request was measured in {elapsed} s, so nothing is proven"
    surely = worse and elapsed * 4 >= objective.watch_s  # a first error among few requests is not yet a rate
    return Probe((Check(name, passed=over and own is not None and not worse, detail=detail),), settled=over or surely)


async def _both(
    client: RestClient, objective: Objective, since: float, elapsed: int, *, canary: bool
) -> tuple[Decimal | None, Decimal | None]:
    at = since + elapsed
    if canary and objective.canary is not None:
        queries = ((objective.canary.error_ratio, at), (objective.canary.stable_error_ratio, at))
        length = elapsed
    else:
        queries, length = ((objective.error_ratio, at), (objective.error_ratio, since)), elapsed
    own, other = await asyncio.gather(*(ratio(client, query, length, moment) for query, moment in queries))
    return own, other


async def ratio(client: RestClient, query: str, window_s: int, at: float | None = None) -> Decimal | None:
    """A query's one value, None where it has none (no data, or nothing was requested: 0/0). Raises ToolError."""
    params = {"query": query.replace("$window", f"{window_s}s"), **({} if at is None else {"time": f"{at:.3f}"})}
    kind, result = result_of(await ask(client, "/api/v1/query", params, "evaluate an objective's query"))
    if kind == "scalar":
        result = [{"value": result}]
    if len(result) > 1:
        raise ToolError(f"An objective's query gives {len(result)} series where it must give one: sum them up.")
    samples = samples_of([result[0].get("value")]) if result and isinstance(result[0], dict) else []
    if not samples:
        return None
    try:
        value = Decimal(samples[-1][1])
    except InvalidOperation:
        return None
    if not value.is_finite():
        return None
    if not 0 <= value <= 1:
        raise ToolError(
            f"An objective's query gives {float(value):.3g}: the failed share of requests is between 0 and 1."
        )
    return value


def _points(number: Decimal) -> str:
    return f"{number} percentage point{'' if number == 1 else 's'}"


def _length(seconds_: int) -> str:
    return f"{seconds_ // 60} min" if seconds_ % 60 == 0 else f"{seconds_} s"


def _percent(value: Decimal | None) -> str:
    """A ratio in percent, three digits; empty where there is none."""
    if value is None:
        return ""
    number = float(value) * 100
    return f"{number:.3g}" if number and math.isfinite(number) else "0"


def _show(data: Any) -> str:
    if not data["remaining"]:
        return f"{data['service']}: no request was measured in {data['window']}, so its error budget is unknown."
    hour = (
        f" The last hour: {data['errors_1h']} %, {data['burn_1h']} times what the budget allows."
        if data["burn_1h"]
        else ""
    )
    return (
        f"{data['service']}: {data['objective']} % of requests shall succeed over {data['window']}; {data['errors']} % failed. "
        f"{data['remaining']} % of the error budget is left.{hour}"
    )
