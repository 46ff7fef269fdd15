"""A Prometheus in small: its HTTP API over series that are told to it. It evaluates no PromQL; a query is matched as text."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import web

Labels = Mapping[str, str]
Series = Callable[[float], list[tuple[Labels, float]]]
"""What a query gives at a moment (Unix seconds)."""

MOST_POINTS = 11_000  # Prometheus' own limit of points per series


class Prometheus:
    """A Prometheus for the length of an `async with`. A query that nothing was told of gives no series, as a real one does.

    token: the bearer token that it wants, empty for none. Queries that were asked are in `asked`.
    """

    def __init__(self, port: int = 0, token: str = "") -> None:
        self.port, self._token = port, token
        self._told: list[tuple[re.Pattern[str], Series]] = []
        self.asked: list[str] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        for path, handler in (
            ("/api/v1/query", self._query),
            ("/api/v1/query_range", self._range),
            ("/api/v1/metadata", self._metadata),
            ("/api/v1/rules", self._rules),
            ("/api/v1/targets", self._targets),
        ):
            app.router.add_route("GET", path, handler)
            app.router.add_route("POST", path, handler)
        app.router.add_get("/-/ready", self._ready)
        app.router.add_get("/api/v1/status/buildinfo", self._build)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def tell(self, pattern: str, series: Series) -> None:
        """From now on a query in which the pattern is found gives these series. What was told last is looked at first."""
        self._told.insert(0, (re.compile(pattern), series))

    async def _query(self, http: web.Request) -> web.Response:
        given = await self._given(http)
        query, at = given.get("query", ""), _seconds(given.get("time", ""))
        if refusal := self._refusal(http, query):
            return refusal
        found = [{"metric": dict(labels), "value": [at, _text(value)]} for labels, value in self._at(query, at)]
        return _success({"resultType": "vector", "result": found})

    async def _range(self, http: web.Request) -> web.Response:
        given = await self._given(http)
        query = given.get("query", "")
        if refusal := self._refusal(http, query):
            return refusal
        start, end = _seconds(given.get("start", "")), _seconds(given.get("end", ""))
        step = float(given.get("step", "0").removesuffix("s") or 0)
        if step <= 0 or end < start:
            return _error(400, "bad_data", 'invalid parameter "step": zero or negative query resolution step widths')
        if (end - start) / step > MOST_POINTS:
            return _error(400, "bad_data", "exceeded maximum resolution of 11,000 points per timeseries.")
        series: dict[tuple[tuple[str, str], ...], list[list[Any]]] = {}
        for number in range(int((end - start) / step) + 1):
            at = start + number * step
            for labels, value in self._at(query, at):
                series.setdefault(tuple(sorted(labels.items())), []).append([at, _text(value)])
        found = [{"metric": dict(labels), "values": values} for labels, values in series.items()]
        return _success({"resultType": "matrix", "result": found})

    async def _metadata(self, http: web.Request) -> web.Response:
        return self._refusal(http, "-") or _success({})

    async def _rules(self, http: web.Request) -> web.Response:
        return self._refusal(http, "-") or _success({"groups": []})

    async def _targets(self, http: web.Request) -> web.Response:
        return self._refusal(http, "-") or _success({"activeTargets": [], "droppedTargets": []})

    async def _build(self, http: web.Request) -> web.Response:
        return self._refusal(http, "-") or _success(
            {"version": "3.5.0", "revision": "8be3a95", "goVersion": "go1.24.5"}
        )

    async def _ready(self, http: web.Request) -> web.Response:
        return web.Response(text="Prometheus Server is Ready.\n")

    async def _given(self, http: web.Request) -> dict[str, str]:
        form = await http.post() if http.method == "POST" else {}
        return {**http.query, **{key: str(value) for key, value in form.items()}}

    def _refusal(self, http: web.Request, query: str) -> web.Response | None:
        if self._token and http.headers.get("Authorization") != f"Bearer {self._token}":
            return web.Response(status=401, text="Unauthorized\n", headers={"WWW-Authenticate": "Basic"})
        if not query.strip():
            return _error(
                400,
                "bad_data",
                'invalid parameter "query": unknown position: parse error: no expression found in input',
            )
        self.asked.append(query)
        return None

    def _at(self, query: str, at: float) -> list[tuple[Labels, float]]:
        for pattern, series in self._told:
            if pattern.search(query):
                return series(at)
        return []


def _seconds(text: str) -> float:
    return float(text) if text else time.time()


def _text(value: float) -> str:
    return f"{value:.15g}"


def _success(data: Any) -> web.Response:
    return web.json_response({"status": "success", "data": data})


def _error(status: int, kind: str, message: str) -> web.Response:
    return web.json_response({"status": "error", "errorType": kind, "error": message}, status=status)
