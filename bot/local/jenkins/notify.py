"""The Notification plugin: a JSON message to a job's endpoints at each phase of its builds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import aiohttp

from bot.local.jenkins.model import MULTIBRANCH, Build, millis

log = logging.getLogger(__name__)


class Notifier:
    """Sends in order, each message until it is taken or was tried `tries` times. `sent` is what was delivered."""

    def __init__(self, base: str, tries: int = 5) -> None:
        self._base, self._tries = base, tries
        self._queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.told = asyncio.Condition()

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        self._task = asyncio.create_task(self._run(), name="jenkins notifier")

    async def stop(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._session.close()

    def tell(self, build: Build, phase: str) -> None:
        """Take a phase to every endpoint of the job."""
        for url in build.job.hooks:
            self._queue.put_nowait((url, message(build, phase, self._base)))

    async def _run(self) -> None:
        while True:
            url, payload = await self._queue.get()
            for attempt in range(self._tries):
                if await self._deliver(url, payload):
                    async with self.told:
                        self.sent.append(payload)
                        self.told.notify_all()
                    break
                await asyncio.sleep(0.05 * (attempt + 1))

    async def _deliver(self, url: str, payload: dict[str, Any]) -> bool:
        """The plugin sends the user info of the URL as Basic authentication, and so does aiohttp."""
        try:
            async with self._session.post(url, json=payload) as answer:
                return answer.status < 300
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("the endpoint does not answer: %s", error)
            return False


def message(build: Build, phase: str, base: str) -> dict[str, Any]:
    """What the plugin sends of a build at a phase."""
    job, done = build.job, phase in ("COMPLETED", "FINALIZED")
    failed = [case for case in build.cases if case.failed]
    state: dict[str, Any] = {
        "full_url": base + build.url,
        "number": build.number,
        "queue_id": build.queue_id,
        "timestamp": millis(build.finished if done else build.started),
        "duration": build.ms if done else 0,
        "phase": phase,
        "url": build.url,
        "scm": _scm(build),
        "parameters": {name: value for name, value in build.parameters.items() if not _secret(build, name)},
        "log": "",
        "notes": "",
        "artifacts": {},
    }
    if build.result is not None:
        state["status"] = build.result
    if build.cases:
        state["test_summary"] = {
            "total": len(build.cases),
            "failed": len(failed),
            "passed": len(build.cases) - len(failed),
            "skipped": 0,
            "failed_tests": [case.id for case in failed],
        }
    return {"name": job.name, "display_name": job.name.replace("%2F", "/"), "url": job.url, "build": state}


def _scm(build: Build) -> dict[str, Any]:
    if build.commit is None:
        return {"changes": [], "culprits": []}
    owner = build.job.parent.full_name if build.job.parent.kind == MULTIBRANCH else build.job.full_name
    branch = build.job.name.replace("%2F", "/") if build.job.parent.kind == MULTIBRANCH else "origin/main"
    url = f"https://git.acme.dev/{owner}.git"
    # of a pipeline the plugin knows neither the changed files nor whose they are
    return {"url": url, "branch": branch, "commit": build.commit.id, "changes": [], "culprits": []}


def _secret(build: Build, name: str) -> bool:
    return any(each.name == name and each.kind == "Password" for each in build.job.parameters)
