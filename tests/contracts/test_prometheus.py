"""The Prometheus tools against the real Prometheus, over hours of samples that were made for it."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import datetime
from typing import Any

import pytest
from aiohttp import web

from bot.tools.prometheus import MAX_RANGES, MAX_SERIES, prometheus_tools
from bot.tools.prometheus_api import open_prometheus
from bot.tools.rest import RestClient
from domain.canonical import canonical, plain
from domain.errors import ArgumentsRefused, SettingsError, ToolError
from tests.real_monitors import needs_both, prometheus
from tests.scraping import PROMTOOL

pytestmark = needs_both

HOSTILE = 'x"} or vector(1) \\u202e <!channel> {y="'
CONFIG = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
scrape_configs:
  - job_name: itself
    static_configs: [{targets: ["{self}"]}]
  - job_name: gone
    static_configs: [{targets: ["127.0.0.1:1"]}]
rule_files: [rules.yml]
"""
RULES = """
groups:
  - name: shop
    rules:
      - alert: TooManyErrors
        expr: shop:error_ratio > 0.05
        labels: {severity: critical}
        annotations: {summary: Too many requests fail.}
      - alert: QueueEmpty
        expr: absent(shop_queue_messages)
        labels: {severity: warning}
      - alert: NeverSo
        expr: |
          shop_memory_bytes / 2
            > 1e12  # more than there is
      - alert: Broken
        expr: shop_pods * on() shop_pods > 0
"""


def samples(now: int) -> str:
    """Three hours in OpenMetrics, every 15 s: an error ratio that jumped ten minutes ago, bytes, and many small series."""
    lines = ["# TYPE shop:error_ratio gauge"]
    times = range(now - 3 * 3600, now - 4, 15)
    for service, high in (("checkout", 0.31), ("cart", 0.0)):
        for at in times:
            value = high if at >= now - 600 else 0.01
            lines.append(f'shop:error_ratio{{namespace="shop",deployment="{service}"}} {value} {at}')
    lines += ["# TYPE shop_memory_bytes gauge", "# UNIT shop_memory_bytes bytes"]
    lines += [f"shop_memory_bytes {1000 + (at // 15) % 7} {at}" for at in times]
    lines.append("# TYPE shop_pods gauge")
    lines += [f'shop_pods{{pod="pod-{number}"}} {number} {at}' for number in range(60) for at in (now - 60, now - 5)]
    lines.append("# TYPE shop_strange gauge")
    quoted = HOSTILE.replace("\\", "\\\\").replace('"', '\\"')
    lines += [f'shop_strange{{who="{quoted}"}} NaN {now - 5}']
    return "\n".join([*lines, "# EOF\n"])


@pytest.fixture(scope="module")
def now() -> int:
    """When the samples end: as the server starts, however long ago this file was imported."""
    return int(time.time())


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, now: int) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "samples").write_text(samples(now))
    made = [str(PROMTOOL), "tsdb", "create-blocks-from", "openmetrics", str(folder / "samples"), str(folder / "tsdb")]
    subprocess.run(made, check=True, capture_output=True)
    (folder / "rules.yml").write_text(RULES)
    with prometheus(folder, CONFIG) as address:
        yield address


@pytest.fixture
async def client(url: str) -> AsyncIterator[RestClient]:
    opened = open_prometheus(url, "")
    yield opened
    await opened.close()


async def read(client: RestClient, tool: str, /, **arguments: Any) -> tuple[Mapping[str, Any], str]:
    """What a tool reads, as the journal holds it, and what the model is shown."""
    tools = {tool.name: tool for tool in prometheus_tools(client, lambda *_: "production")}
    understood = tools[tool].understand(arguments)
    data = plain(await tools[tool].read(understood.arguments))
    assert canonical(data)
    return data, tools[tool].render(data)


async def alerts_with(client: RestClient, state: str, **arguments: Any) -> tuple[Mapping[str, Any], str]:
    """The alerts once the rules have been evaluated and the targets scraped."""
    async with asyncio.timeout(15):
        while True:
            data, shown = await read(client, "prometheus_alerts", **arguments)
            if data["down"] and any(rule["state"] == state for rule in data["rules"]):
                return data, shown
            await asyncio.sleep(0.2)


# --- queries ----------------------------------------------------------------------------------------------------------


async def test_a_query_gives_labels_values_and_a_unit(client: RestClient, now: int) -> None:
    data, shown = await read(client, "prometheus_query", query="shop:error_ratio")
    assert data["unit"] == "ratio"
    values = {item["labels"]["deployment"]: item["value"] for item in data["series"]}
    assert values == {"checkout": "0.31", "cart": "0"}
    assert '0.31  shop:error_ratio{deployment="checkout", namespace="shop"}' in shown
    past, _ = await read(client, "prometheus_query", query="shop:error_ratio", at=moment(now - 3600))
    assert {item["value"] for item in past["series"]} == {"0.01"}
    scalar, shown = await read(client, "prometheus_query", query="1 + 1")
    assert (scalar["kind"], scalar["series"][0]["value"]) == ("scalar", "2")
    matrix, _ = await read(client, "prometheus_query", query="shop_memory_bytes[1m]", at=moment(now))
    assert matrix["series"][0]["samples"] >= 3


def moment(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


async def test_more_series_than_anybody_reads_are_cut_and_counted(client: RestClient) -> None:
    data, shown = await read(client, "prometheus_query", query="shop_pods")
    assert (len(data["series"]), data["more"]) == (MAX_SERIES, 10)
    assert "10 more series are left out" in shown
    data, _ = await read(client, "prometheus_query_range", query="shop_pods", minutes=5)
    assert (len(data["series"]), data["more"]) == (MAX_RANGES, 40)
    assert data["series"][0]["max"] == "59", "the series that reach highest are kept"


async def test_a_range_is_down_sampled_and_loses_no_peak(client: RestClient, now: int) -> None:
    data, shown = await read(client, "prometheus_query_range", query="shop:error_ratio", minutes=180, compare="> 0.05")
    assert (data["step_s"], data["bucket_s"]) == (18, 180)
    by = {item["labels"]["deployment"]: item for item in data["series"]}
    assert set(by) == {"checkout", "cart"}
    checkout = by["checkout"]
    assert (checkout["first"], checkout["last"], checkout["min"], checkout["max"]) == ("0.01", "0.31", "0.01", "0.31")
    assert 55 <= len(checkout["points"]) <= 61
    assert abs(seconds(checkout["since"]) - (now - 600)) <= data["step_s"]
    assert by["cart"]["since"] == ""
    jump = [point for point in checkout["points"] if (point["min"], point["max"]) == ("0.01", "0.31")]
    assert len(jump) <= 1, "only the stretch of the jump has both"
    assert "> 0.05 since" in shown
    assert "stretches of 180 s from samples every 18 s" in shown


def seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def test_the_unit_comes_from_the_name(client: RestClient) -> None:
    data, shown = await read(client, "prometheus_query_range", query="shop_memory_bytes", minutes=10, points=2)
    assert data["unit"] == "bytes"
    assert len(data["series"][0]["points"]) in (2, 3)
    assert "bytes" in shown
    async with asyncio.timeout(
        15
    ):  # what is only remembered of samples has no metadata; it comes with the first scrape
        while not (await read(client, "prometheus_query", query=COUNTER))[0]["metrics"]:
            await asyncio.sleep(0.2)
    scraped, _ = await read(client, "prometheus_query", query=f"rate({COUNTER}[1m])")
    assert scraped["metrics"][0]["type"] == "counter"
    assert "appended samples" in scraped["metrics"][0]["help"]
    assert scraped["unit"] == "per second"


COUNTER = "prometheus_tsdb_head_samples_appended_total"


async def test_an_empty_answer_says_so(client: RestClient) -> None:
    for name in ("prometheus_query", "prometheus_query_range"):
        data, shown = await read(client, name, query="no_such_metric")
        assert data["series"] == []
        assert "no series" in shown


async def test_prometheus_own_words_are_kept_where_it_refuses(client: RestClient) -> None:
    with pytest.raises(ToolError, match=r"Prometheus refuses to evaluate the query \(HTTP 400\).*parse error"):
        await read(client, "prometheus_query", query="up{")
    with pytest.raises(ToolError, match=r"many-to-many|duplicate|multiple matches"):
        await read(client, "prometheus_query", query="shop_pods * on() shop_pods")


async def test_text_in_labels_is_data_and_draws_no_lines_of_its_own(client: RestClient) -> None:
    data, shown = await read(client, "prometheus_query", query="shop_strange")
    assert data["series"][0]["value"] == "NaN"
    line = next(line for line in shown.splitlines() if "shop_strange{" in line)
    assert line.startswith('NaN  shop_strange{who="x\\"}')
    assert line.endswith('"}')


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"until": "yesterday"}, "must be an RFC 3339 time"),
        ({"minutes": 50_000}, "less than or equal to 43200"),
        ({"compare": "> up"}, "must be a comparison with a number"),
        ({"points": 1}, "greater than or equal to 2"),
        ({"query": ""}, "at least 1 character"),
    ],
)
async def test_arguments_that_cannot_be_used_are_refused(client: RestClient, more: Any, sentence: str) -> None:
    with pytest.raises(ArgumentsRefused, match=sentence):
        await read(client, "prometheus_query_range", **{"query": "up", **more})


# --- alerts -----------------------------------------------------------------------------------------------------------


async def test_alerts_come_with_their_rule_taken_apart_and_the_targets_that_are_down(client: RestClient) -> None:
    data, shown = await alerts_with(client, "firing")
    by = {rule["name"]: rule for rule in data["rules"]}
    assert set(by) <= {"TooManyErrors", "QueueEmpty", "Broken"}
    errors = by["TooManyErrors"]
    assert (errors["measure"], errors["operator"], errors["threshold"]) == ("shop:error_ratio", ">", "0.05")
    [alert] = errors["alerts"]
    assert (alert["labels"]["deployment"], alert["value"]) == ("checkout", "3.1e-01")
    assert "value 0.31" in shown
    [down] = data["down"]
    assert (down["labels"]["job"], data["targets"]) == ("gone", 2)
    assert "connection refused" in shown
    assert "1 of 2 scrape targets are down" in shown


async def test_one_rule_is_told_by_name_whatever_its_state(client: RestClient) -> None:
    data, _ = await alerts_with(client, "inactive", name="NeverSo")
    [rule] = data["rules"]
    assert (rule["measure"], rule["threshold"], rule["alerts"]) == ("shop_memory_bytes / 2", "1e+12", [])
    data, _ = await alerts_with(client, "firing", name="QueueEmpty")
    assert "measure" not in data["rules"][0]
    async with asyncio.timeout(15):
        while not (await read(client, "prometheus_alerts", name="Broken"))[0]["rules"][0]["error"]:
            await asyncio.sleep(0.2)
    data, shown = await read(client, "prometheus_alerts")
    assert "Broken" in {rule["name"] for rule in data["rules"]}, "a rule that cannot be evaluated will never fire"
    assert "it cannot be evaluated: found duplicate series" in shown
    data, shown = await read(client, "prometheus_alerts", name="Nothing of the kind")
    assert data["rules"] == []
    assert "no alerting rule is called Nothing of the kind" in shown


async def test_what_a_rule_measures_is_a_query_of_its_own(client: RestClient) -> None:
    for name in ("TooManyErrors", "NeverSo"):
        data, _ = await read(client, "prometheus_alerts", name=name)
        measured, _ = await read(client, "prometheus_query", query=data["rules"][0]["measure"])
        assert measured["series"]


async def test_what_scrapes_nothing_still_has_rules() -> None:
    """As Mimir and Thanos answer: rules, and no such page for targets."""

    async def rules(_: web.Request) -> web.Response:
        rule = {"type": "alerting", "name": "A", "query": "x > 1", "state": "firing", "alerts": ["junk", {"value": 3}]}
        return web.json_response({"status": "success", "data": {"groups": [{"name": "g", "rules": [rule, "junk"]}, 7]}})

    application = web.Application()
    application.add_routes([web.get("/api/v1/rules", rules)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = open_prometheus(f"http://127.0.0.1:{runner.addresses[0][1]}", "")
    try:
        data, shown = await read(client, "prometheus_alerts")
        assert (data["rules"][0]["threshold"], data["rules"][0]["alert_count"]) == ("1", 1)
        assert "scrape targets are not known: Prometheus cannot list its targets" in shown
    finally:
        await client.close()
        await runner.cleanup()


# --- the system -------------------------------------------------------------------------------------------------------


async def test_a_prometheus_that_is_not_there_is_a_sentence() -> None:
    gone = open_prometheus("http://127.0.0.1:1", "token")
    with pytest.raises(ToolError, match=r"Prometheus at http://127\.0\.0\.1:1 cannot be reached"):
        await read(gone, "prometheus_query", query="up")
    await gone.close()
    with pytest.raises(SettingsError, match="not an http or https URL"):
        open_prometheus("prometheus:9090", "")


def test_what_a_query_is_about_is_where_its_namespace_says() -> None:
    environments = {"shop": "production", "staging-shop": "staging"}
    tools = {
        t.name: t for t in prometheus_tools(open_prometheus("http://p", ""), lambda *p: environments.get(p[0], "?"))
    }
    target = tools["prometheus_query"].understand({"query": 'up{namespace="staging-shop"}'}).target
    assert (target.system, target.environment, target.namespace) == ("prometheus", "staging", "staging-shop")
    several = {"query": 'up{namespace="shop"} or up{namespace="staging-shop"}'}
    assert tools["prometheus_query"].understand(several).target.environment == "?"
