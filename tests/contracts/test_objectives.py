"""Error budgets and the watch on a release, over a Prometheus: the stand-in, and where it says so the real one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from bot.local.prometheus import Prometheus
from bot.tools.objectives import error_budget, error_budget_tool, watch
from bot.tools.objectives_file import Canary, Objective
from bot.tools.prometheus_api import open_prometheus
from bot.tools.rest import RestClient
from domain.errors import ToolError
from tests.real_monitors import needs_both, prometheus

CHECKOUT = Objective(
    "checkout",
    "shop/checkout",
    Decimal("99.5"),
    "30d",
    "failed[$window]",
    watch_s=100,
    worse_by=Decimal("0.5"),
    canary=Canary("canary[$window]", "stable[$window]"),
)


@pytest.fixture
async def metrics() -> AsyncIterator[Prometheus]:
    async with Prometheus() as server:
        yield server


@pytest.fixture
async def client(metrics: Prometheus) -> AsyncIterator[RestClient]:
    opened = open_prometheus(metrics.url, "")
    yield opened
    await opened.close()


def always(value: float):  # type: ignore[no-untyped-def]
    return lambda at: [({}, value)]


def ago(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


async def test_the_budget_is_what_is_left_of_the_failures_that_the_objective_allows(
    metrics: Prometheus, client: RestClient
) -> None:
    metrics.tell(r"failed\[2592000s\]", always(0.002))
    metrics.tell(r"failed\[3600s\]", always(0.0125))
    found = await error_budget(client, CHECKOUT)
    assert (found["errors"], found["remaining"]) == ("0.2", "60")  # 0.2 of 0.5 points are used
    assert (found["errors_1h"], found["burn_1h"]) == ("1.25", "2.5")


async def test_a_budget_that_is_overdrawn_is_negative(metrics: Prometheus, client: RestClient) -> None:
    metrics.tell("failed", always(0.01))
    assert (await error_budget(client, CHECKOUT))["remaining"] == "-100"


async def test_where_nothing_was_measured_the_budget_is_unknown_and_not_whole(client: RestClient) -> None:
    tool = error_budget_tool(client, (CHECKOUT,), lambda *_: "production")
    data = await tool.read({"service": "shop/checkout"})
    assert data["remaining"] == ""
    assert "unknown" in tool.render(data)


async def test_a_service_without_an_objective_is_refused_with_those_that_have_one(client: RestClient) -> None:
    tool = error_budget_tool(client, (CHECKOUT,), lambda *_: "production")
    with pytest.raises(ToolError, match="There is no objective for payments; there are checkout"):
        await tool.read({"service": "payments"})


@pytest.mark.parametrize(
    ("series", "sentence"),
    [
        (lambda at: [({"pod": "a"}, 0.1), ({"pod": "b"}, 0.1)], "gives 2 series where it must give one"),
        (always(12.5), "between 0 and 1"),
    ],
)
async def test_a_query_that_is_no_share_of_requests_is_refused(
    metrics: Prometheus, client: RestClient, series: object, sentence: str
) -> None:
    metrics.tell("failed", series)  # type: ignore[arg-type]
    with pytest.raises(ToolError, match=sentence):
        await error_budget(client, CHECKOUT)


async def test_a_canary_passes_once_it_was_watched_to_the_end_and_is_no_worse_than_the_rest(
    metrics: Prometheus, client: RestClient
) -> None:
    metrics.tell("canary", always(0.006))
    metrics.tell("stable", always(0.002))
    early = await watch(client, CHECKOUT, ago(50), canary=True)
    assert not early.passed
    assert not early.settled
    late = await watch(client, CHECKOUT, ago(101), canary=True)
    assert late.passed
    assert late.settled
    assert "0.6 % against 0.2 % of the rest" in late.checks[0].detail


async def test_a_canary_that_is_worse_fails_before_its_time_is_up_but_not_on_its_first_requests(
    metrics: Prometheus, client: RestClient
) -> None:
    metrics.tell("canary", always(0.2))
    metrics.tell("stable", always(0.002))
    first = await watch(client, CHECKOUT, ago(10), canary=True)
    assert not first.settled
    surely = await watch(client, CHECKOUT, ago(26), canary=True)
    assert surely.settled
    assert not surely.passed


async def test_a_canary_that_nobody_asked_anything_of_is_not_proven_and_does_not_pass(
    metrics: Prometheus, client: RestClient
) -> None:
    metrics.tell("canary", lambda at: [({}, float("nan"))])
    metrics.tell("stable", always(0.002))
    found = await watch(client, CHECKOUT, ago(101), canary=True)
    assert found.settled
    assert not found.passed
    assert "nothing is proven" in found.checks[0].detail


async def test_a_whole_release_is_compared_with_the_time_before_it(metrics: Prometheus, client: RestClient) -> None:
    finished = ago(101)
    metrics.tell("failed", lambda at: [({}, 0.03 if at > finished.timestamp() + 1 else 0.001)])
    found = await watch(client, CHECKOUT, finished, canary=False)
    assert not found.passed
    assert "3 % against 0.1 % before" in found.checks[0].detail


async def test_what_is_looked_at_late_is_judged_as_of_the_end_of_the_watch(
    metrics: Prometheus, client: RestClient
) -> None:
    finished = ago(5000)
    metrics.tell("canary|stable", lambda at: [({}, 0.001 if at <= finished.timestamp() + 100 else 0.9)])
    assert (await watch(client, CHECKOUT, finished, canary=True)).passed


@needs_both
async def test_a_real_prometheus_takes_the_queries(tmp_path: Path) -> None:
    config = (
        "global: {scrape_interval: 1s}\nscrape_configs: [{job_name: self, static_configs: [{targets: ['{self}']}]}]\n"
    )
    told = Objective(
        "self",
        "",
        Decimal(99),
        "1d",
        "1 - avg(avg_over_time(up[$window]))",
        watch_s=6,
        canary=None,
        worse_by=Decimal(1),
    )
    with prometheus(tmp_path, config) as url:
        client = open_prometheus(url, "")
        try:
            deadline = time.monotonic() + 30
            while (found := await error_budget(client, told))["remaining"] == "" and time.monotonic() < deadline:
                continue
            assert (found["errors"], found["remaining"], found["burn_1h"]) == ("0", "100", "0.0")
            assert "percentage point more allowed" in (await watch(client, told, ago(6), canary=False)).checks[0].detail
        finally:
            await client.close()
