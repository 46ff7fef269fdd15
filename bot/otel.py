"""Finished runs as traces for an OTLP endpoint. Lossy by intent: the journal is the record, and nothing here disturbs anything.

A run is read from the journal after it has finished, so its spans carry the times that were recorded. opentelemetry is imported
where an endpoint is set, and works on a thread of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from bot import VERSION, metrics, semconv
from bot.spans import AGENT_NAME, ANALYSIS, ROOT, Span, Telling, spans_of
from domain.errors import AgentError
from domain.events import RunFinished
from domain.ports import Journal

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

log = logging.getLogger("agent.otlp")

MOST_WAITING = 100
"""Runs that wait for their export; what comes beyond them is dropped and counted."""
GOODBYE_SECONDS = 2.0
"""How long the end of the service waits for traces that are under way."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Endpoint:
    """Where traces go and how. `url` is the base URL as OTEL_EXPORTER_OTLP_ENDPOINT has it; `timeout_s` is per export."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    certificate: str = ""
    timeout_s: float = 10.0
    service: str = AGENT_NAME
    resource: Mapping[str, str] = field(default_factory=dict)


@asynccontextmanager
async def exporting(
    journal: Journal, endpoint: Endpoint, provider: str, content: Callable[[str], str] | None = None
) -> AsyncIterator[None]:
    """Export each run that finishes meanwhile. `content` makes prompts, arguments and results fit to leave; None: they stay."""
    exporter = await asyncio.to_thread(_Exporter, endpoint)
    waiting: asyncio.Queue[str] = asyncio.Queue(MOST_WAITING)
    thread = ThreadPoolExecutor(1, thread_name_prefix="otlp")
    with journal.subscribe() as events:
        told = _Traces(journal, exporter, provider, content, thread)

        async def listen() -> None:
            async for envelope in events:
                if isinstance(envelope.event, RunFinished):
                    _offer(waiting, envelope.run_id)

        async def work() -> None:
            while True:
                await told.export(await waiting.get())
                waiting.task_done()

        tasks = [
            asyncio.create_task(listen(), name="traces heard"),
            asyncio.create_task(work(), name="traces exported"),
        ]
        try:
            yield
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await asyncio.sleep(0)  # what was recorded last is heard first
                    await waiting.join()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            exporter.close()
            thread.shutdown(wait=False, cancel_futures=True)  # a request under way ends by its own time limit


def _offer(waiting: asyncio.Queue[str], run_id: str) -> None:
    try:
        waiting.put_nowait(run_id)
    except asyncio.QueueFull:
        metrics.traces.labels("dropped").inc()


class _Traces:
    """One run after the other. A failure is said once, and once when it is over."""

    def __init__(
        self,
        journal: Journal,
        exporter: _Exporter,
        provider: str,
        content: Callable[[str], str] | None,
        thread: ThreadPoolExecutor,
    ) -> None:
        self._journal = journal
        self._exporter = exporter
        self._provider = provider
        self._content = content
        self._thread = thread
        self._failing = False

    async def export(self, run_id: str) -> None:
        """Never raises: a trace that cannot be exported is counted and forgotten."""
        try:
            envelopes = await self._journal.of_run(run_id)
            telling = Telling(
                VERSION, self._provider, await self._conversation(envelopes[0].incident_id), self._content
            )
            spans = spans_of(envelopes, telling)
            send = partial(self._exporter.export, f"{self._journal.workspace}/{run_id}", spans)
            well = await asyncio.get_running_loop().run_in_executor(self._thread, send)
        except Exception:
            log.exception("a trace could not be made", extra={"run_id": run_id})
            well = False
        metrics.traces.labels("exported" if well else "failed").inc()
        if well is self._failing:
            self._failing = not well
            log.warning(
                "traces are exported again" if well else "the OTLP endpoint takes no traces", extra={"run_id": run_id}
            )

    async def _conversation(self, incident_id: str) -> str:
        """Slack's name for the thread, empty where there is none."""
        with suppress(AgentError):
            incident = await self._journal.incident(incident_id) if incident_id else None
            if incident is not None and incident.thread_ts:
                return f"{incident.channel}:{incident.thread_ts}"
        return ""


class _Exporter:
    """The SDK: a tracer whose ids follow from the run, so that a run exported twice is one trace, and the OTLP exporter."""

    def __init__(self, endpoint: Endpoint) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
        from opentelemetry.sdk.trace.id_generator import IdGenerator
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        ids, ended = _Ids(), list["ReadableSpan"]()

        class Derived(IdGenerator):
            def generate_trace_id(self) -> int:
                return ids.trace

            def generate_span_id(self) -> int:
                return ids.span

        class Collecting(SpanProcessor):
            def on_end(self, span: ReadableSpan) -> None:
                ended.append(span)

        logging.getLogger("opentelemetry.exporter.otlp.proto.http").setLevel(logging.CRITICAL)  # `_Traces` says it once
        about = {"service.name": endpoint.service, "service.version": VERSION, "otel.semconv": semconv.VERSION}
        provider = TracerProvider(
            ALWAYS_ON,
            Resource({**endpoint.resource, **about}, semconv.SCHEMA_URL),
            shutdown_on_exit=False,
            id_generator=Derived(),
            span_limits=SpanLimits(max_span_attributes=SpanLimits.UNSET, max_events=SpanLimits.UNSET),
        )
        provider.add_span_processor(Collecting())
        self._tracer = provider.get_tracer(AGENT_NAME, VERSION, schema_url=semconv.SCHEMA_URL)
        self._ids, self._ended = ids, ended
        self._exporter = OTLPSpanExporter(
            f"{endpoint.url.rstrip('/')}/v1/traces",
            certificate_file=endpoint.certificate or None,
            headers=endpoint.headers,
            timeout=endpoint.timeout_s,
        )

    def export(self, run: str, spans: Sequence[Span]) -> bool:
        """Make them and send them, on the calling thread; whether the endpoint took them."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        self._ended.clear()
        self._ids.trace = _number(run, bits=128)
        contexts: dict[str, Any] = {"": None}
        for span in sorted(spans, key=lambda span: (span.key != ROOT, span.key != ANALYSIS)):
            self._ids.span = _number(f"{run}/{span.key}", bits=64)
            contexts[span.key] = self._make(span, contexts.get(span.parent) or contexts[ROOT] if span.parent else None)
        return self._exporter.export(tuple(self._ended)) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """Send nothing more, and try nothing again."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _make(self, span: Span, parent: Any) -> Any:
        from opentelemetry import trace

        made = self._tracer.start_span(
            span.name,
            context=parent or trace.set_span_in_context(trace.INVALID_SPAN),
            kind=trace.SpanKind.CLIENT if span.client else trace.SpanKind.INTERNAL,
            attributes={**span.attributes, **({"error.type": span.error} if span.error else {})},
            start_time=_nanoseconds(span.start),
        )
        for moment in span.moments:
            made.add_event(moment.name, dict(moment.attributes), _nanoseconds(moment.at))
        if span.error:
            made.set_status(trace.StatusCode.ERROR, span.error)
        made.end(_nanoseconds(span.end))
        return trace.set_span_in_context(made)


@dataclass
class _Ids:
    """What the next span is called."""

    trace: int = 0
    span: int = 0


def _number(name: str, *, bits: int) -> int:
    """The same for the same name, and never 0, which would be no id."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[: bits // 8]) or 1


def _nanoseconds(moment: datetime) -> int:
    whole = moment - _EPOCH
    return (whole.days * 86_400 + whole.seconds) * 1_000_000_000 + whole.microseconds * 1000
