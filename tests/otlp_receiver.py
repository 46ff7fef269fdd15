"""An OTLP/HTTP collector on loopback: takes protobuf as the specification has it, decodes it, and keeps what it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Receiver:
    """`status` is what it answers; `requests` and `headers` what came."""

    status: int = 200
    requests: list[ExportTraceServiceRequest] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    async def take(self, request: web.Request) -> web.Response:
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        assert request.content_type == "application/x-protobuf"
        decoded = ExportTraceServiceRequest()
        decoded.ParseFromString(await request.read())
        self.requests.append(decoded)
        self.news.set()
        body = ExportTraceServiceResponse().SerializeToString()
        return web.Response(status=self.status, body=body, content_type="application/x-protobuf")

    async def until(self, count: int) -> None:
        """Until so many requests have come."""
        async with asyncio.timeout(15):
            while len(self.requests) < count:
                self.news.clear()
                await self.news.wait()

    @property
    def spans(self) -> list[Span]:
        """Every span, in the order in which it came."""
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> Span:
        [found] = [span for span in self.spans if span.name == name]
        return found


def plain(value: AnyValue) -> Any:
    """What a value holds."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    return getattr(value, str(kind))


def attributes(span: Any) -> dict[str, Any]:
    """A span's, an event's or a resource's."""
    return {item.key: plain(item.value) for item in span.attributes}


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A running collector."""
    receiver = Receiver()
    application = web.Application()
    application.add_routes([web.post("/v1/traces", receiver.take)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()
