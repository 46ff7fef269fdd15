"""What is measured at the process's edges: requests, calls of Slack, the event loop, and errors that nobody expected."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from bot import metrics, vitals
from tests.scraping import page, scrape


@asynccontextmanager
async def served(*routes: web.RouteDef) -> AsyncIterator[str]:
    """A measured server on loopback; its address."""
    application = web.Application(middlewares=[vitals.measured])
    application.add_routes(routes)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_request_is_measured_by_its_route_and_an_unknown_path_makes_no_series_of_its_own() -> None:
    async def fine(_: web.Request) -> web.Response:
        return web.Response(status=202)

    async def broken(_: web.Request) -> web.Response:
        raise ValueError("a bug")

    before = page()
    routes = (web.post("/alerts/test", fine), web.get("/broken", broken))
    async with served(*routes) as url, aiohttp.ClientSession() as session:
        for method, path in (("POST", "/alerts/test"), ("GET", "/broken"), ("GET", "/a"), ("GET", "/b/c")):
            async with session.request(method, f"{url}{path}"):
                pass
    told = page().since(before)
    assert told("http_request_seconds_count", path="/alerts/test", code="202") == 1
    assert told("http_request_seconds_count", path="/broken", code="500") == 1
    assert told("http_request_seconds_count", path="other", code="404") == 2
    assert told("http_request_seconds_count") == 4


async def test_slack_s_calls_are_measured_by_method_and_status_and_those_that_fail_too() -> None:
    async def slow_down(_: web.Request) -> web.Response:
        return web.Response(status=429)

    before = page()
    traced = aiohttp.ClientSession(trace_configs=[vitals.slack_trace()])
    async with served(web.post("/api/chat.postMessage", slow_down)) as url, traced as session:
        async with session.post(f"{url}/api/chat.postMessage"):
            pass
        async with session.get(f"{url}/files/U1/secret-name"):
            pass
    async with aiohttp.ClientSession(trace_configs=[vitals.slack_trace()]) as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.post(f"{url}/api/users.info")
    told = page().since(before)
    assert told("slack_request_seconds_count", method="chat.postMessage", code="429") == 1
    assert told("slack_request_seconds_count", method="other", code="404") == 1
    assert told("slack_request_seconds_count", method="users.info", code="error") == 1


async def test_the_gauges_are_set_with_what_is_not_ready_before_a_scrape_is_answered() -> None:
    problems = ["Slack is not connected"]

    async def readiness() -> list[str]:
        return problems

    async with served(*vitals.routes(readiness, lambda found: metrics.ready.set(0 if found else 1))) as url:
        assert (await scrape(url))("ready") == 0
        problems.clear()
        assert (await scrape(url))("ready") == 1


def test_what_is_logged_with_a_traceback_is_counted_and_nothing_else_is() -> None:
    before = page()
    with vitals.counting_surprises():
        log = logging.getLogger("agent.run")
        log.error("the journal refused a write")
        try:
            raise ValueError("a bug")
        except ValueError:
            log.exception("a run failed unexpectedly")
    logging.getLogger("agent.run").error("after the service", exc_info=ValueError())
    assert page().since(before)("errors_total", logger="agent.run") == 1


async def test_a_loop_that_is_held_up_is_late() -> None:
    before = page()
    async with vitals.watching_the_loop(every_s=0.01):
        await asyncio.sleep(0)
        time.sleep(0.06)
        while not page().since(before)("event_loop_lag_seconds_count"):
            await asyncio.sleep(0.001)
    assert page().since(before)("event_loop_lag_seconds_sum") >= 0.04
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "event loop lag"]


def test_what_is_worth_an_alert_begins_at_zero() -> None:
    metrics.begin(["kubernetes_rollback"], ["gpt"], ["expiry sweep"], ["agent.run"])
    text = page().text
    for series in (
        'personal_agent_executions_total{outcome="unknown",tool="kubernetes_rollback"}',
        'personal_agent_model_seconds_count{model="gpt",outcome="error"}',
        'personal_agent_job_failures_total{task="expiry sweep"}',
        'personal_agent_journal_append_failures_total{reason="error"}',
        'personal_agent_verifications_total{result="failed"}',
        'personal_agent_approvals_total{state="expired"}',
        'personal_agent_incidents_opened_total{severity="critical"}',
        'personal_agent_decisions_total{effect="destructive",outcome="deny"}',
        'personal_agent_work_units_total{kind="remediation",outcome="reverted"}',
        'personal_agent_approval_seconds_count{state="denied"}',
    ):
        assert series in text
