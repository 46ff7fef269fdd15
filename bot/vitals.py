"""What the process says of itself: /healthz, /readyz and /metrics, and what is measured at its edges."""

from __future__ import annotations

import asyncio
import logging
import platform
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiohttp import web

from bot import VERSION, metrics
from bot.measure import Measures
from bot.plane import Plane
from domain.actions import Mode

LAG_SECONDS = 1.0
"""How often the event loop is looked at."""

_METHOD = re.compile(r"[a-z]+(\.[a-zA-Z]+)+")  # of Slack's Web API
LOGGERS = (
    "agent.run",
    "agent.intake",
    "agent.slack",
    "agent.slack.sender",
    "agent.otlp",
    "asyncio",
    "apscheduler.executors.default",
)
"""Where unexpected errors are written down with their traceback, each at its boundary."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Readiness = Callable[[], Awaitable[Sequence[str]]]


def routes(readiness: Readiness, refresh: Callable[[Sequence[str]], None]) -> list[web.RouteDef]:
    """The three addresses. `readiness` names what is not as it should be; `refresh` sets the gauges with it."""

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def readyz(_: web.Request) -> web.Response:
        problems = list(await readiness())
        return web.json_response({"ready": not problems, "problems": problems}, status=503 if problems else 200)

    async def metrics_page(_: web.Request) -> web.Response:
        refresh(await readiness())
        body, content_type = metrics.exposition()
        return web.Response(body=body, headers={"Content-Type": content_type})

    return [web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics_page)]


@web.middleware
async def measured(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Each request with its route and its status. What matches no route is `other`: anybody can ask for anything."""
    began, code = time.perf_counter(), 500
    try:
        response = await handler(request)
        code = response.status
        return response
    except web.HTTPException as refusal:
        code = refusal.status
        raise
    finally:
        resource = request.match_info.route.resource
        path = resource.canonical if resource is not None else "other"
        metrics.http_seconds.labels(path, str(code)).observe(time.perf_counter() - began)


def slack_trace() -> aiohttp.TraceConfig:
    """Measures every call of Slack's Web API, whoever makes it."""
    trace = aiohttp.TraceConfig()

    def observe(context: SimpleNamespace, url: Any, code: str) -> None:
        name = str(url.name)
        method = name if _METHOD.fullmatch(name) else "other"
        metrics.slack_seconds.labels(method, code).observe(time.perf_counter() - context.began)

    async def on_start(_: Any, context: SimpleNamespace, __: aiohttp.TraceRequestStartParams) -> None:
        context.began = time.perf_counter()

    async def on_end(_: Any, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        observe(context, params.url, str(params.response.status))

    async def on_error(_: Any, context: SimpleNamespace, params: aiohttp.TraceRequestExceptionParams) -> None:
        observe(context, params.url, "error")

    trace.on_request_start.append(on_start)
    trace.on_request_end.append(on_end)
    trace.on_request_exception.append(on_error)
    return trace


def refresher(
    measures: Measures, plane: Plane, database: Path, clock: Callable[[], datetime]
) -> Callable[[Sequence[str]], None]:
    """Sets what is a state and no event; given what is not ready, right before a scrape is answered."""
    metrics.build.labels(VERSION, platform.python_version()).set(1)

    def refresh(problems: Sequence[str]) -> None:
        measures.refresh(clock())
        metrics.ready.set(0 if problems else 1)
        metrics.paused.set(1 if plane.paused else 0)
        for mode in Mode:
            metrics.mode.labels(mode.value).set(1 if plane.mode is mode else 0)
        for name, path in (("main", database), ("wal", Path(f"{database}-wal"))):
            with suppress(OSError):  # the log is there only while something was written
                metrics.database_bytes.labels(name).set(path.stat().st_size)

    return refresh


class _Surprises(logging.Handler):
    """Counts what is logged with a traceback: that is what nobody expected."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            metrics.errors.labels(record.name).inc()


@contextmanager
def counting_surprises() -> Iterator[None]:
    """Count unexpected errors, as long as the block lasts."""
    handler = _Surprises()
    for name in LOGGERS:
        logging.getLogger(name).addHandler(handler)
    try:
        yield
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(handler)


@asynccontextmanager
async def watching_the_loop(every_s: float = LAG_SECONDS) -> AsyncIterator[None]:
    """Measure how late the event loop is, as long as the block lasts."""

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + every_s
            await asyncio.sleep(every_s)
            metrics.loop_lag.observe(max(0.0, loop.time() - due))

    task = asyncio.create_task(watch(), name="event loop lag")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
