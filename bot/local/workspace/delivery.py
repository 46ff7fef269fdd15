"""Bringing envelopes to the app: over Socket Mode, or as signed requests to its URL."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from collections.abc import Coroutine
from typing import Any
from urllib.parse import urlencode

import aiohttp

from .clock import Clock
from .faults import Faults
from .socket_mode import NoSocket, SocketMode

Json = dict[str, Any]
ACK_SECONDS = 3.0
# When an event that was not acknowledged is sent again: at once, after a minute, after five.
RETRY_DELAYS = (0.0, 60.0, 300.0)


class Delivery:
    """Sends events with retries, and questions (clicks, commands, submissions) without."""

    def __init__(self, sockets: SocketMode, clock: Clock, faults: Faults, signing_secret: str) -> None:
        self._sockets = sockets
        self._clock = clock
        self._faults = faults
        self._secret = signing_secret
        self._http: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.events_url: str | None = None

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` in the background; it ends with the workspace."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def event(self, payload: Json) -> None:
        """Sends an event in the background, up to three more times when it is not acknowledged."""
        self.spawn(self._deliver(payload))
        if self._faults.duplicate_events:
            self._faults.duplicate_events -= 1
            self.spawn(self._deliver(payload))

    async def _deliver(self, payload: Json) -> None:
        reason = None
        for attempt, delay in enumerate((0.0, *RETRY_DELAYS)):
            if attempt:
                await self._clock.sleep(delay)
            retry = {"retry_attempt": attempt, "retry_reason": reason} if attempt else {}
            try:
                await self._send("events_api", payload, retry)
            except TimeoutError:
                reason = "timeout"
            except (ConnectionError, aiohttp.ClientError):
                reason = "connection_failed"
            else:
                return

    async def ask(self, kind: str, payload: Json) -> Json | None:
        """What the app's ack carried, or None when it did not acknowledge within three seconds."""
        try:
            return await self._send(kind, payload, {})
        except (TimeoutError, ConnectionError, aiohttp.ClientError):
            return None

    async def _send(self, kind: str, payload: Json, retry: Json) -> Json:
        if self._faults.is_down:
            raise NoSocket("the workspace is down")
        if self.events_url is None:
            return await self._sockets.send(kind, payload, ACK_SECONDS, retry)
        return dict(await self._clock.within(ACK_SECONDS, self._post(self.events_url, kind, payload, retry)))

    async def _post(self, url: str, kind: str, payload: Json, retry: Json) -> Json:
        if kind == "events_api":
            body, content_type = json.dumps(payload), "application/json"
        else:
            form = payload if kind == "slash_commands" else {"payload": json.dumps(payload)}
            body, content_type = urlencode(form), "application/x-www-form-urlencoded"
        headers = {"Content-Type": content_type, **self._signature(body)}
        if retry:
            headers["X-Slack-Retry-Num"] = str(retry["retry_attempt"])
            headers["X-Slack-Retry-Reason"] = "http_timeout" if retry["retry_reason"] == "timeout" else "http_error"
        self._http = self._http or aiohttp.ClientSession()
        async with self._http.post(url, data=body.encode(), headers=headers) as response:
            text = await response.text()
            if response.status != 200 or self._faults.acks_held:
                raise ConnectionError(f"the app answered {response.status}")
            if response.content_type == "application/json":
                answer = json.loads(text or "{}")
                return answer if isinstance(answer, dict) else {}
            return {"text": text} if text else {}

    def _signature(self, body: str) -> dict[str, str]:
        # Receivers compare with their own clock, so this is the world's time and not the workspace's.
        at = str(int(time.time()))
        digest = hmac.new(self._secret.encode(), f"v0:{at}:{body}".encode(), hashlib.sha256).hexdigest()
        return {"X-Slack-Request-Timestamp": at, "X-Slack-Signature": f"v0={digest}"}

    async def close(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._http:
            await self._http.close()
