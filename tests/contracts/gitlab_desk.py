"""The stand-in GitLab and a client that sends what it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from bot.local.gitlab import GitLab, Job, Pipeline

CHECKOUT, ORDERS = "/projects/shop%2Fcheckout", "/projects/shop%2Forders"


class Desk:
    """A GitLab and a client that sends what it is told to."""

    def __init__(self, gitlab: GitLab, http: aiohttp.ClientSession) -> None:
        self.gitlab, self.http = gitlab, http

    async def ask(
        self, method: str, path: str, *, token: str | None = None, headers: dict[str, str] | None = None, **more: Any
    ) -> tuple[int, Any, dict[str, str]]:
        given = self.gitlab.token if token is None else token
        sent = {"PRIVATE-TOKEN": given} if given else {}
        url = path if path.startswith("http") else f"{self.gitlab.url}/api/v4{path}"
        async with self.http.request(method, url, headers=sent | (headers or {}), **more) as answer:
            text = await answer.text()
            body = json.loads(text) if answer.content_type == "application/json" and text else text
            return answer.status, body, {name.lower(): value for name, value in answer.headers.items()}

    async def get(self, path: str) -> Any:
        status, body, _ = await self.ask("GET", path)
        assert status == 200, body
        return body

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            await self.gitlab.until(holds)

    async def over(self, line: Pipeline) -> Pipeline:
        async with asyncio.timeout(10):
            return await self.gitlab.finished(line)


@asynccontextmanager
async def open_desk() -> AsyncIterator[Desk]:
    async with GitLab(speed=40) as gitlab, aiohttp.ClientSession() as http:
        yield Desk(gitlab, http)


def job(line: Pipeline, name: str) -> Job:
    return next(each for each in line.latest if each.name == name)


def newest(desk: Desk) -> Pipeline:
    return list(desk.gitlab.projects["shop/checkout"].pipelines.values())[-1]


async def waiting(desk: Desk) -> Pipeline:
    line = await desk.over(desk.gitlab.release_small())
    assert line.status == "manual"
    return line
