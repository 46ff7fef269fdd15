"""Prometheus and Alertmanager as they must not be: junk, silence, gateways that give up. Sentences, no surprises."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings, strategies as st

from bot.tools.alertmanager import AUTHOR, alertmanager_tools
from bot.tools.prometheus import prometheus_tools
from bot.tools.prometheus_api import open_prometheus
from bot.tools.rest import Limits, RestClient
from bot.tools.spec import WriteTool
from domain.canonical import canonical, plain
from domain.errors import OutcomeUnknown, ToolError
from tests.contracts.tool_driver import proposed

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["data", "result", "resultType", "groups", "rules", "alerts", "labels", "metric", "values", "value",
                         "status", "activeTargets", "state", "matchers", "id", "createdBy", "silencedBy", "endsAt", "name"]),
        inner, max_size=4,
    ),
    max_leaves=14,
)  # fmt: skip
SILENCE = {"matchers": [{"name": "alertname", "value": "Noisy"}], "minutes": 30, "comment": "known"}
ALERT = {"labels": {"alertname": "Noisy", "namespace": "shop"}, "status": {"state": "active", "silencedBy": []}}


@dataclass
class Server:
    """Answers every path with what `answers` has for its end; `status` and `hangs` are for what changes something."""

    answers: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    hangs: bool = False
    taken: list[tuple[str, str, Any]] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        if request.method != "GET":
            body = await request.text()
            self.taken.append((request.method, request.path, json.loads(body) if body else None))
            if self.hangs:
                await asyncio.sleep(30)
            if self.status != 200:
                return web.Response(status=self.status, text="the gateway gave up")
        return web.json_response(self.answers.get(request.path.rpartition("/")[2], {}), dumps=lambda x: json.dumps(x))


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[Server]:
    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", server.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def silencing(server: Server) -> tuple[WriteTool, RestClient]:
    client = RestClient("Alertmanager", server.url, fix="", limits=Limits(connect=1, read=0.3))
    [tool] = alertmanager_tools(client, lambda *_: "production")
    return tool, client


# --- junk -------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(junk=JUNK, kind=st.sampled_from(["vector", "matrix", "scalar", "string"]), wrapped=st.booleans())
async def test_whatever_prometheus_answers_is_read_or_refused_with_a_sentence(
    junk: Any, kind: str, wrapped: bool
) -> None:
    data = {"resultType": kind, "result": junk, "groups": junk, "activeTargets": junk, "up": junk} if wrapped else junk
    answer = {"status": "success", "data": data} if wrapped else junk
    server = Server(dict.fromkeys(("query", "query_range", "rules", "targets", "metadata"), answer))
    async with serving(server):
        client = open_prometheus(server.url, "")
        try:
            for tool in prometheus_tools(client, lambda *_: "production"):
                arguments = {} if tool.name == "prometheus_alerts" else {"query": "up"}
                with suppress(ToolError):
                    read = plain(await tool.read(tool.understand(arguments).arguments))
                    assert canonical(read)
                    assert "\x00" not in tool.render(read)
        finally:
            await client.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(alerts=JUNK, silences=JUNK, expire=st.booleans())
async def test_whatever_alertmanager_answers_nothing_is_silenced_by_surprise(
    alerts: Any, silences: Any, expire: bool
) -> None:
    async with serving(Server({"alerts": alerts, "silences": silences})) as server:
        tool, client = silencing(server)
        arguments = tool.understand({**SILENCE, "expire": expire}).arguments
        with suppress(ToolError):
            preview = await tool.preview(arguments)
            assert canonical(plain(preview.observed))
            assert preview.touches >= (0 if expire else 1)
        await client.close()
        assert server.taken == []


async def test_an_answer_that_is_no_query_result_is_said_to_be() -> None:
    async with serving(
        Server({"query": {"status": "success", "data": {"resultType": "cake", "result": []}}})
    ) as server:
        client = open_prometheus(server.url, "")
        [query, *_] = prometheus_tools(client, lambda *_: "production")
        with pytest.raises(ToolError, match="something that is not a query's result"):
            await query.read(query.understand({"query": "up"}).arguments)
        server.answers["query"] = {"status": "error", "error": "store\nis away"}
        with pytest.raises(ToolError, match="Prometheus did not evaluate the query: store is away"):
            await query.read(query.understand({"query": "up"}).arguments)
        await client.close()


async def test_warnings_stand_with_the_answer() -> None:
    answer = {"status": "success", "warnings": ["one store is away"], "data": {"resultType": "vector", "result": []}}
    async with serving(Server({"query": answer})) as server:
        client = open_prometheus(server.url, "")
        [query, *_] = prometheus_tools(client, lambda *_: "production")
        data = await query.read(query.understand({"query": "up"}).arguments)
        assert data["warnings"] == ["one store is away"]
        assert "Prometheus warns: one store is away" in query.render(data)
        await client.close()


# --- answers that do not come -----------------------------------------------------------------------------------------


def breaks(server: Server) -> dict[str, Callable[[], None]]:
    return {
        "hangs": lambda: setattr(server, "hangs", True),
        "502": lambda: setattr(server, "status", 502),
        "504": lambda: setattr(server, "status", 504),
    }


@pytest.mark.parametrize("how", ["hangs", "502", "504"])
async def test_a_silence_whose_answer_is_lost_is_unknown_and_found_by_its_key(how: str) -> None:
    async with serving(Server({"alerts": [ALERT], "silences": []})) as server:
        tool, client = silencing(server)
        action = await proposed(tool, SILENCE)
        breaks(server)[how]()
        with pytest.raises(OutcomeUnknown, match="it may or may not have taken effect"):
            await tool.execute(action, "exe-9")
        [(method, path, body)] = server.taken
        assert (method, path, body["createdBy"]) == ("POST", "/api/v2/silences", AUTHOR + "exe-9")
        assert await tool.arrived(action, "exe-9") is False
        matchers = [{"name": "alertname", "value": "Noisy", "isRegex": False}]  # as versions before 0.22 list them
        server.answers["silences"] = [
            {"createdBy": AUTHOR + "exe-9", "matchers": matchers, "status": {"state": "active"}}
        ]
        assert await tool.arrived(action, "exe-9") is True
        await client.close()


async def test_a_refusal_is_a_refusal_and_nothing_is_unknown() -> None:
    async with serving(Server({"alerts": [ALERT], "silences": []}, status=400)) as server:
        tool, client = silencing(server)
        with pytest.raises(
            ToolError, match=r"Alertmanager refuses to silence alerts \(HTTP 400\): the gateway gave up"
        ) as said:
            await tool.execute(await proposed(tool, SILENCE), "exe-9")
        assert not isinstance(said.value, OutcomeUnknown)
        await client.close()


async def test_a_probe_says_what_does_not_hold() -> None:
    matchers = [{"name": "alertname", "value": "Noisy", "isRegex": False, "isEqual": True}]
    ours = {
        "id": "s1",
        "createdBy": AUTHOR + "exe-9",
        "matchers": matchers,
        "status": {"state": "active"},
        "endsAt": "soon",
    }
    hidden = {**ALERT, "status": {"state": "suppressed", "silencedBy": ["s1"]}}
    async with serving(Server({"alerts": [ALERT], "silences": []})) as server:
        tool, client = silencing(server)
        action = await proposed(tool, SILENCE)
        server.answers |= {"alerts": [ALERT, hidden], "silences": [ours]}
        probe = await tool.probe(action)
        assert [(check.passed, check.detail) for check in probe.checks] == [(True, "until soon"), (False, "1 of 2")]
        assert not probe.settled
        server.answers["silences"] = [{**ours, "status": {"state": "expired"}}]
        assert [check.passed for check in (await tool.probe(action)).checks] == [False, False]
        await client.close()
