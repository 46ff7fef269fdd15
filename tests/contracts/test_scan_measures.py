"""What the scan asks, against the real Prometheus: a week of cAdvisor's samples over a rollout, by workload and container."""

from __future__ import annotations

import subprocess
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from bot.analyzers.scan.measures import DEPRECATED, MEASURES, MOST_SERIES, measure_of
from bot.tools.prometheus import prometheus_tools
from bot.tools.prometheus_api import open_prometheus
from bot.tools.rest import RestClient
from tests.real_monitors import needs_both, prometheus
from tests.scraping import PROMTOOL

pytestmark = needs_both

MI, HOUR = 2**20, 3600
BEFORE, AFTER = "web-7d9c5b8f4d-x2x4z", "web-6bcd4f97c5-zzk9p"
PODS = (  # pod, container, hours ago from and to, MiB, cores
    (BEFORE, "web", 168, 72, 100, 0.1),
    (AFTER, "web", 72, 0, 300, 0.25),
    (AFTER, "proxy", 72, 0, 20, 0.01),
    ("db-0", "postgres", 168, 0, 900, 0.5),
    ("node-exporter-x7k2p", "exporter", 168, 0, 30, 0.02),
    ("new-7d9c5b8f4d-bbbbb", "new", 20, 0, 50, 0.01),
    (AFTER, "POD", 72, 0, 1, 0.0),
)


def samples(now: int) -> str:
    lines = ["# TYPE container_memory_working_set_bytes gauge"]
    for pod, container, since, until, mib, _ in PODS:
        labels = f'namespace="shop",pod="{pod}",container="{container}"'
        times = range(now - since * HOUR, now - until * HOUR, 240)
        lines += [f"container_memory_working_set_bytes{{{labels}}} {mib * MI} {at}" for at in times]
    elsewhere = 'namespace="other",pod="web-7d9c5b8f4d-kkkkk",container="web"'
    lines.append(f"container_memory_working_set_bytes{{{elsewhere}}} {9000 * MI} {now - 60}")
    lines.append("# TYPE container_cpu_usage_seconds counter")
    for pod, container, since, until, _, cores in PODS:
        labels = f'namespace="shop",pod="{pod}",container="{container}"'
        first = now - since * HOUR
        times = range(first, now - until * HOUR, 120)
        lines += [f"container_cpu_usage_seconds_total{{{labels}}} {cores * (at - first)} {at}" for at in times]
    lines.append("# TYPE apiserver_requested_deprecated_apis gauge")
    for version, removed in (("v1beta1", "1.25"), ("v1", "")):
        labels = f'group="policy",version="{version}",resource="budgets",removed_release="{removed}"'
        lines.append(f"apiserver_requested_deprecated_apis{{{labels}}} 1 {now - 60}")
    return "\n".join([*lines, "# EOF\n"])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("measures")
    (folder / "samples").write_text(samples(int(time.time())))
    made = [str(PROMTOOL), "tsdb", "create-blocks-from", "openmetrics", str(folder / "samples"), str(folder / "tsdb")]
    subprocess.run(made, check=True, capture_output=True)
    with prometheus(folder, "global: {scrape_interval: 1m}") as address:
        yield address


@pytest.fixture
async def client(url: str) -> AsyncIterator[RestClient]:
    opened = open_prometheus(url, "")
    yield opened
    await opened.close()


async def asked(client: RestClient, query: str) -> list[tuple[dict[str, str], float]]:
    tool = next(one for one in prometheus_tools(client, lambda *_: "production") if one.name == "prometheus_query")
    data = await tool.read(tool.understand({"query": query, "limit": MOST_SERIES}).arguments)
    return [(one["labels"], float(one["value"])) for one in data["series"]]


async def used(client: RestClient, what: str) -> dict[tuple[str, str], float]:
    found = await asked(client, measure_of(what, "shop"))
    return {(labels["workload"], labels["container"]): value for labels, value in found}


async def test_pods_are_known_by_their_workload_whoever_made_them_and_of_one_namespace(client: RestClient) -> None:
    found = await used(client, "memory_max")
    assert found == {
        ("web", "web"): 300 * MI,
        ("web", "proxy"): 20 * MI,
        ("db", "postgres"): 900 * MI,
        ("node-exporter", "exporter"): 30 * MI,
        ("new", "new"): 50 * MI,
    }


async def test_the_percentile_goes_over_a_rollout(client: RestClient) -> None:
    memory, cpu = await used(client, "memory"), await used(client, "cpu")
    assert memory["web", "web"] == 300 * MI  # 43 % of the week, so above the 95th percentile's place
    assert cpu["web", "web"] == pytest.approx(0.25, rel=0.02)
    assert cpu["db", "postgres"] == pytest.approx(0.5, rel=0.02)


async def test_the_days_with_samples_are_those_of_the_workload_and_not_of_a_pod(client: RestClient) -> None:
    days = await used(client, "days")
    assert days["web", "web"] >= 6
    assert days["new", "new"] <= 1


async def test_only_interfaces_that_go_are_named(client: RestClient) -> None:
    assert [labels["version"] for labels, _ in await asked(client, DEPRECATED)] == ["v1beta1"]


@pytest.mark.parametrize("what", list(MEASURES))
async def test_a_namespace_that_nobody_measured_gives_nothing(client: RestClient, what: str) -> None:
    assert await asked(client, measure_of(what, "nowhere")) == []
