"""How long Slack waits for an ack: ours, journal durable before it, against a bare bolt app that does nothing but ack.

`python -m benchmarks.ack` prints the table; `--json` the figures. Both apps run in a process of their own, over a real
Socket Mode connection to a server in this one, which keeps 64 clicks and commands in flight and times each ack.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from domain.errors import BadInput
from domain.plane import ControlPlane
from handlers.chat import SlackChat
from handlers.directory import SlackDirectory
from handlers.sender import Sender
from handlers.services import Services
from handlers.slack_app import build, connect, session
from handlers.socket_mode import SocketMode
from storage.journal import open_journal

CONCURRENT, PAYLOADS, WARM_UP, ROUNDS = 64, 2_000, 200, 3
TEAM, APP_TOKEN = "T0BENCH", "xapp-1-bench"


class Slack:
    """As much of Slack as the two apps need; it measures from the frame out to the ack in, in seconds."""

    def __init__(self) -> None:
        self._socket: web.WebSocketResponse | None = None
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self.connected = asyncio.Event()
        self.url = ""

    async def api(self, request: web.Request) -> web.Response:
        known = {
            "auth.test": {"team_id": TEAM, "user_id": "U0BOT", "bot_id": "B0BOT", "team": "t", "url": self.url},
            "apps.connections.open": {"url": self.url.replace("http", "ws") + "/socket"},
            "conversations.history": {"messages": []},
        }
        return web.json_response({"ok": True, "ts": "1.1", **known.get(request.match_info["method"], {})})

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        self._socket = web.WebSocketResponse()
        await self._socket.prepare(request)
        await self._socket.send_json({"type": "hello", "num_connections": 1})
        self.connected.set()
        async for frame in self._socket:
            if frame.type is WSMsgType.TEXT and (waiting := self._waiting.pop(frame.json().get("envelope_id"), None)):
                waiting.set_result(None)
        return self._socket

    async def ask(self, kind: str, payload: dict[str, Any]) -> float:
        """One payload; the seconds until its ack."""
        envelope = str(uuid.uuid4())
        acked = self._waiting[envelope] = asyncio.get_running_loop().create_future()
        assert self._socket
        frame = json.dumps(
            {"type": kind, "envelope_id": envelope, "payload": payload, "accepts_response_payload": True}
        )
        began = time.perf_counter()
        await self._socket.send_str(frame)
        await acked
        return time.perf_counter() - began


@asynccontextmanager
async def serving() -> AsyncIterator[Slack]:
    slack, app = Slack(), web.Application()
    app.add_routes([web.route("*", "/api/{method}", slack.api), web.get("/socket", slack.socket)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    slack.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield slack
    finally:
        await runner.cleanup()


def click(number: int) -> tuple[str, dict[str, Any]]:
    """A click on Why?, with a message as large as a card."""
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 600}}] * 5
    message = {"type": "message", "ts": "1.1", "thread_ts": "1.0", "blocks": blocks}
    action = {
        "type": "button",
        "action_id": "approval.why",
        "block_id": "b",
        "action_ts": f"1.{number}",
        "value": "a1 d1",
    }
    return "interactive", {
        "type": "block_actions",
        "team": {"id": TEAM},
        "user": {"id": f"U{number}", "name": "u", "team_id": TEAM},
        "container": {"type": "message", "message_ts": "1.1", "channel_id": "C1", "thread_ts": "1.0"},
        "channel": {"id": "C1"},
        "message": message,
        "trigger_id": f"t{number}",
        "actions": [action],
    }


def command(number: int) -> tuple[str, dict[str, Any]]:
    """/agent help."""
    body = {"command": "/agent", "text": "help", "team_id": TEAM, "channel_id": "C1", "user_id": f"U{number}"}
    return "slash_commands", {**body, "trigger_id": f"c{number}"}


async def load(slack: Slack) -> list[float]:
    """64 in flight at every moment; the times of the acks after warming up."""
    numbers = iter(range(PAYLOADS + WARM_UP))
    times: list[float] = []

    async def person() -> None:
        for number in numbers:
            took = await slack.ask(*(click if number % 2 else command)(number))
            if number >= WARM_UP:
                times.append(took)

    await asyncio.gather(*(person() for _ in range(CONCURRENT)))
    return times


# --- the two apps, each in a process of its own -----------------------------------------------------------------------


async def bare(url: str) -> None:
    """Nothing but acks."""
    client = AsyncWebClient("xoxb-bench", base_url=f"{url}/api/")
    result = AuthorizeResult(
        enterprise_id=None, team_id=TEAM, bot_token="xoxb-bench", bot_id="B0BOT", bot_user_id="U0BOT"
    )

    async def authorize(**_: Any) -> AuthorizeResult:
        return result

    app = AsyncApp(client=client, authorize=authorize, signing_secret="x", request_verification_enabled=False)

    @app.action(re.compile(".*"))
    @app.command("/agent")
    async def on_anything(ack: AsyncAck) -> None:
        await ack()

    handler = AsyncSocketModeHandler(app, APP_TOKEN, web_client=client)
    await handler.client.connect()  # type: ignore[no-untyped-call]
    await asyncio.Event().wait()


class Plane:
    """Answers Why? at once; nothing else is asked of it here."""

    async def why(self, reference: str) -> str:
        raise BadInput(f"{reference} is not known.")


async def ours(url: str) -> None:
    """The real handlers with a real journal on disk."""
    with tempfile.TemporaryDirectory() as folder:
        async with session() as http, open_journal(Path(folder) / "journal.db", TEAM) as journal:
            connection = await connect("xoxb-bench", f"{url}/api/", http)
            sender = Sender(journal, connection.posting)
            plane: ControlPlane = Plane()  # type: ignore[assignment]
            services = Services(
                plane=plane,
                journal=journal,
                chat=SlackChat(journal, sender, "C1", str),
                sender=sender,
                directory=SlackDirectory(connection.reading, TEAM),
                client=connection.reading,
                identity=connection.identity,
                redact=str,
                channel="C1",
            )
            await SocketMode(build(services, connection), services, APP_TOKEN, f"{url}/api/").start()
            gc.collect()
            gc.freeze()  # as the service does once it is ready
            await asyncio.Event().wait()


async def measured(name: str) -> list[float]:
    """The acks of one app in a fresh process, in milliseconds."""
    async with serving() as slack:
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.ack", "--app", name, "--url", slack.url
        )
        try:
            await asyncio.wait_for(slack.connected.wait(), 30)
            return [took * 1000 for took in await load(slack)]
        finally:
            child.kill()
            await child.wait()


async def compare() -> dict[str, Any]:
    """Both apps in turn; the median over the rounds of each round's percentiles."""
    rounds: dict[str, list[list[float]]] = {"bare": [], "ours": []}
    for _ in range(ROUNDS):
        for name in rounds:
            rounds[name].append(await measured(name))
    figures: dict[str, Any] = {}
    for name, times in rounds.items():
        cuts = [statistics.quantiles(one, n=100) for one in times]
        figures[name] = {
            "p50_ms": statistics.median(c[49] for c in cuts),
            "p99_ms": statistics.median(c[98] for c in cuts),
        }
    figures["ratio_p99"] = figures["ours"]["p99_ms"] / figures["bare"]["p99_ms"]
    return figures


def main() -> None:
    """`python -m benchmarks.ack [--json]`."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    options.add_argument("--app", choices=["bare", "ours"], help=argparse.SUPPRESS)
    options.add_argument("--url", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.app:
        asyncio.run({"bare": bare, "ours": ours}[chosen.app](chosen.url))
        return
    figures = asyncio.run(compare())
    if chosen.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"Acks at {CONCURRENT} in flight, {PAYLOADS} clicks and commands, median of {ROUNDS} rounds")
    for name in ("bare", "ours"):
        print(f"  {name:5} p50 {figures[name]['p50_ms']:7.1f} ms   p99 {figures[name]['p99_ms']:7.1f} ms")
    print(f"  p99 ratio {figures['ratio_p99']:.2f} (target: at most 3)")


if __name__ == "__main__":
    main()
