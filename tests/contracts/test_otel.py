"""Traces over the wire: to a real OTLP/HTTP receiver that decodes protobuf, and to endpoints that fail."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bot import VERSION, otel, semconv
from domain.events import RunFinished
from domain.runs import RunOutcome
from tests.otlp_receiver import Receiver, attributes, receiving
from tests.scraping import page
from tests.stories.telling import MARA, telling
from tests.unit.journeys import SECRET, Place, calling, concluded, place

LOOK = ("look", '{"name":"a"}')


@asynccontextmanager
async def traced(folder: Path, *turns: Any, **more: Any) -> AsyncIterator[tuple[Place, Receiver]]:
    """A run whose end is exported to a receiver."""
    content = more.pop("content", None)
    async with receiving() as receiver, place(folder, *turns) as spot:
        endpoint = otel.Endpoint(receiver.url, **more)
        async with otel.exporting(spot.journal, endpoint, "example.com", content):
            yield spot, receiver


async def finished(spot: Place, run_id: str) -> None:
    """One more run, begun and ended."""
    await spot.start(run_id)
    await spot.record(RunFinished(RunOutcome.DIAGNOSED, "done"), run_id=run_id)


async def counted(result: str, at_least: float) -> None:
    async with asyncio.timeout(15):
        while page()("otlp_traces_total", result=result) < at_least:
            await asyncio.sleep(0.01)


# --- what arrives -----------------------------------------------------------------------------------------------------


async def test_a_finished_run_arrives_as_one_trace_with_its_resource_and_its_recorded_times(tmp_path: Path) -> None:
    more = {"headers": {"authorization": "Bearer abc"}, "service": "agent-of-shop", "resource": {"team": "shop"}}
    async with traced(tmp_path, calling(LOOK), concluded(), **more) as (spot, receiver):
        await spot.advance()
        await receiver.until(1)
        recorded = await spot.journal.of_run("run-1")
    assert receiver.headers[0]["authorization"] == "Bearer abc"
    [resource] = receiver.requests[0].resource_spans
    about = attributes(resource.resource)
    assert (about["service.name"], about["service.version"], about["team"]) == ("agent-of-shop", VERSION, "shop")
    assert about["otel.semconv"] == semconv.VERSION
    assert resource.schema_url == resource.scope_spans[0].schema_url == semconv.SCHEMA_URL
    root = receiver.named("invoke_agent personal-agent")
    assert len({span.trace_id for span in receiver.spans}) == 1
    assert len({span.span_id for span in receiver.spans}) == len(receiver.spans) == 5
    assert root.parent_span_id == b""
    assert {span.parent_span_id for span in receiver.spans if span is not root} >= {root.span_id}
    assert root.start_time_unix_nano == round(recorded[0].at.timestamp() * 1e6) * 1000
    look = receiver.named("execute_tool look")
    assert (look.parent_span_id, look.kind) == (root.span_id, Span.SPAN_KIND_INTERNAL)
    assert attributes(look)["gen_ai.tool.name"] == "look"
    chats = [span for span in receiver.spans if span.name == "chat script"]
    assert {span.kind for span in chats} == {Span.SPAN_KIND_CLIENT}
    assert root.status.code == Status.STATUS_CODE_UNSET


async def test_the_same_run_has_the_same_ids_wherever_it_is_exported_and_another_run_has_others(tmp_path: Path) -> None:
    async with receiving() as receiver, place(tmp_path, concluded()) as spot:
        for _ in range(2):
            async with otel.exporting(spot.journal, otel.Endpoint(receiver.url), ""):
                await spot.record(*(() if receiver.requests else (RunFinished(RunOutcome.DIAGNOSED, "done"),)))
                if receiver.requests:
                    await finished(spot, "run-2")
                await receiver.until(len(receiver.requests) + 1)
        exporter = otel._Exporter(otel.Endpoint(receiver.url))
        again = otel.spans_of(await spot.journal.of_run("run-1"), otel.Telling(VERSION, ""))
        assert await asyncio.to_thread(exporter.export, "local/run-1", again)
        exporter.close()
    first, second, third = (request.resource_spans[0].scope_spans[0].spans for request in receiver.requests)
    assert [span.span_id for span in first] == [span.span_id for span in third]
    assert first[0].trace_id == third[0].trace_id != second[0].trace_id


async def test_what_failed_is_an_error_with_its_type(tmp_path: Path) -> None:
    async with traced(tmp_path, calling(LOOK), concluded()) as (spot, receiver):
        spot.plant.unreachable = "the plant does not answer"
        await spot.advance()
        await receiver.until(1)
    look = receiver.named("execute_tool look")
    assert look.status.code == Status.STATUS_CODE_ERROR
    assert attributes(look)["error.type"] == "tool_error"


@pytest.mark.parametrize("asked_for", [False, True], ids=["not asked for", "asked for"])
async def test_content_leaves_only_where_it_was_asked_for_and_no_secret_leaves_in_any_case(
    tmp_path: Path, asked_for: bool
) -> None:
    def clean(text: str) -> str:
        return text.replace(SECRET, "[masked]")

    async with traced(tmp_path, calling(LOOK), concluded(), content=clean if asked_for else None) as (spot, receiver):
        spot.plant.text = f"valve a is red, password={SECRET}"
        await spot.advance()
        await receiver.until(1)
    sent = receiver.requests[0].SerializeToString()
    assert SECRET.encode() not in sent
    assert (b"valve a is red" in sent) is asked_for


# --- what must not disturb --------------------------------------------------------------------------------------------


async def test_an_endpoint_that_refuses_costs_the_run_nothing_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = page()
    async with traced(tmp_path, concluded(), timeout_s=0.5) as (spot, receiver):
        receiver.status = 400
        await spot.advance()
        await finished(spot, "run-2")
        await receiver.until(2)
        await counted("failed", before("otlp_traces_total", result="failed") + 2)
        receiver.status = 200
        await finished(spot, "run-3")
        await counted("exported", before("otlp_traces_total", result="exported") + 1)
    said = [record.getMessage() for record in caplog.records if record.name == "agent.otlp"]
    assert said == ["the OTLP endpoint takes no traces", "traces are exported again"]


async def test_an_endpoint_that_hangs_holds_up_nobody_and_what_does_not_fit_is_dropped(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers
        before = page()("otlp_traces_total", result="dropped")
        began = time.perf_counter()
        async with place(tmp_path, concluded()) as spot:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            async with otel.exporting(spot.journal, otel.Endpoint(url, timeout_s=4), ""):
                for number in range(otel.MOST_WAITING + 20):
                    await finished(spot, f"run-{number + 10}")
                assert time.perf_counter() - began < 3
                await counted("dropped", before + 10)
        assert time.perf_counter() - began < 4


async def test_a_run_that_makes_no_trace_is_counted_and_logged_and_raises_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = page()("otlp_traces_total", result="failed")
    async with place(tmp_path) as spot:
        with ThreadPoolExecutor(1) as thread:
            exporter = otel._Exporter(otel.Endpoint("http://127.0.0.1:9"))
            await otel._Traces(spot.journal, exporter, "", None, thread).export("no such run")
    assert page()("otlp_traces_total", result="failed") == before + 1
    assert "a trace could not be made" in caplog.text


def test_nothing_of_opentelemetry_is_imported_where_no_endpoint_is_set() -> None:
    look = "import sys, bot.app; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- the whole service ------------------------------------------------------------------------------------------------


async def test_the_service_exports_an_incident_s_run_under_its_slack_thread(tmp_path: Path) -> None:
    async with receiving() as receiver:
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_OTLP_HEADERS": "x-scope=acme%20shop"}
        async with telling(tmp_path, **settings) as story:
            await story.begin()
            await story.press(MARA, await story.approval())
            await story.finished()
            await receiver.until(1)
            [incident] = await story.journal.incidents()
    assert receiver.headers[0]["x-scope"] == "acme shop"
    root = attributes(receiver.named("invoke_agent personal-agent"))
    assert root["gen_ai.conversation.id"] == f"{incident.channel}:{incident.thread_ts}"
    assert (root["chatops.run.outcome"], root["k8s.deployment.name"]) == ("remediated", "checkout")
    done = receiver.named("execute_tool kubernetes_rollback")
    assert attributes(done)["chatops.policy.decision"] == "ask"
    assert attributes(done)["chatops.audit.hash"]
    [vote] = receiver.named("approval kubernetes_rollback").events
    assert attributes(vote)["chatops.vote.verdict"] == "approve"
    looks = [span for span in receiver.spans if span.parent_span_id == receiver.named("analyze").span_id]
    assert {span.name for span in looks} >= {"execute_tool kubernetes_get", "execute_tool kubernetes_logs"}
