"""Alerts in by HTTP, durable before the 202, against a bare aiohttp endpoint that only parses the same bodies.

`python -m benchmarks.intake` prints the table; `--json` the figures. Each server runs in a process of its own, on its own
core, with 16 requests in flight. Ours is the real route, parser, redaction, correlation, plane and journal; Slack is left out.
First it is checked that 1,000 alerts in 10 groups make 10 incidents and 10 runs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from benchmarks.agents import NoChat, NoDirectory
from benchmarks.measure import CLIENT_CORE, SERVER_CORE, Figure, against, pin, process, show
from bot.agent.world import World
from bot.models.rules import Rules
from bot.plane import Plane
from bot.policy_files import PolicyFiles
from domain.actions import Mode
from handlers import intake
from policies.redaction import Redactor
from storage.journal import open_journal

IN_FLIGHT, REQUESTS, GROUPS = 16, 2000, 10


def alert(number: int) -> dict[str, object]:
    """One alert as Alertmanager sends it, about 1 KB; its group is its number's last digit."""
    service = f"svc-{number % GROUPS}"
    pod = f"{service}-7d9f8b6c5d-{'bcdfghjklm'[number // GROUPS % 10]}{'bcdfghjklm'[number // 100 % 10]}4z5"
    return {
        "status": "firing",
        "labels": {
            "alertname": "KubePodCrashLooping",
            "namespace": "shop",
            "deployment": service,
            "pod": pod,
            "container": "app",
            "severity": "critical",
            "cluster": "eu-1",
        },
        "annotations": {
            "summary": f"Pod shop/{pod} (app) is restarting 2.03 times / 5 minutes.",
            "description": "The container has been restarting for ten minutes; the last exit code was 1. " * 3,
            "runbook_url": "https://runbooks.prometheus-operator.dev/runbooks/kubernetes/kubepodcrashlooping",
        },
        "startsAt": "2026-03-01T12:00:00.123Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=max_over_time%28kube_pod_container_status_waiting_reason",
        "fingerprint": f"{number:016x}",
    }


def request(first: int, count: int) -> bytes:
    """A delivery of so many alerts of one group, as HTTP."""
    alerts = [alert(first + GROUPS * number) for number in range(count)]
    group = f'{{}}:{{alertname="KubePodCrashLooping", deployment="svc-{first % GROUPS}"}}'
    payload = {"version": "4", "groupKey": group, "status": "firing", "receiver": "agent", "alerts": alerts}
    body = json.dumps(payload).encode()
    head = f"POST /alerts/alertmanager HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


# --- the load ---------------------------------------------------------------------------------------------------------


class Sender(asyncio.Protocol):
    """One connection, one request in flight; every answer must be a 202 in one piece."""

    def __init__(self, requests: Iterator[bytes], done: asyncio.Future[None]) -> None:
        self._requests, self._done = requests, done

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/1.1 202"):
            self._next()
        elif not self._done.done():
            self._done.set_exception(AssertionError(data[:300]))

    def connection_lost(self, error: Exception | None) -> None:
        if not self._done.done():
            self._done.set_exception(error or ConnectionError())

    def _next(self) -> None:
        following = next(self._requests, None)
        if following is not None:
            self._transport.write(following)
        elif not self._done.done():
            self._done.set_result(None)
            self._transport.close()


async def send(port: int, requests: Sequence[bytes]) -> None:
    """All of them, 16 in flight."""
    loop, shared = asyncio.get_running_loop(), iter(requests)
    ends = [loop.create_future() for _ in range(IN_FLIGHT)]
    for end in ends:
        await loop.create_connection(lambda end=end: Sender(shared, end), "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*ends)


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Pace:
    """Deliveries per second, and per second of the server's CPU."""

    wall: float
    cpu: float


async def pace(pid: int, port: int, requests: Sequence[bytes]) -> Pace:
    """How fast a server takes them."""
    worked, began = cpu_seconds(pid), time.perf_counter()
    await send(port, requests)
    took = time.perf_counter() - began
    return Pace(len(requests) / took, len(requests) / (cpu_seconds(pid) - worked))


def measured(rounds: int = 5) -> list[Figure]:
    """Both servers, in turn in each round."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        with (
            process("benchmarks.intake", "--serve", str(path)) as (our_pid, our_port),
            process("benchmarks.intake", "--serve", "bare") as (bare_pid, bare_port),
        ):
            pin(CLIENT_CORE)
            asyncio.run(send(int(our_port), [request(number, 1) for number in range(1000)]))
            check(path)
            figures: list[Figure] = []
            for count, least in ((1, 0.3), (10, None)):
                requests = [request(number % 1000, count) for number in range(REQUESTS // count)]
                ours, bare = [], []
                for _ in range(rounds):
                    ours.append(asyncio.run(pace(our_pid, int(our_port), requests)))
                    bare.append(asyncio.run(pace(bare_pid, int(bare_port), requests)))
                name = f"deliveries of {count} alert{'s' * (count > 1)}"
                figures.append(against(name, [p.wall for p in ours], [p.wall for p in bare], "/s", least=least))
                cpu = [p.cpu for p in ours], [p.cpu for p in bare]
                figures.append(against(f"{name}, per CPU second", *cpu, "/s"))
            figures.append(Figure("1,000 alerts in 10 groups: incidents", 10, "", target="10", held=check(path)))
    return figures


def check(path: Path) -> bool:
    """Ten incidents and ten runs, whatever came in."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        (incidents,) = db.execute("SELECT count(*) FROM incidents").fetchone()
        (runs,) = db.execute("SELECT count(*) FROM runs").fetchone()
    assert (incidents, runs) == (10, 10), (incidents, runs)
    return True


# --- the two servers, each in a process of its own --------------------------------------------------------------------


async def bare() -> None:
    """Parses, and answers."""

    async def take(request: web.Request) -> web.Response:
        payload = json.loads(await request.read())
        return web.json_response({"incidents": [str(len(payload["alerts"]))]}, status=202)

    await serve([web.post("/alerts/alertmanager", take)])


async def real(path: Path) -> None:
    """The route, the plane and the journal of the service; the runs that the alerts start are worked on too."""
    policy = PolicyFiles("", (), {"AGENT_APPROVERS": ()})
    policy.reload()
    redactor, rules = Redactor(key=b"bench"), Rules()
    async with open_journal(path, "bench") as journal:

        def world(plane: Plane) -> World:
            return World(
                journal=journal,
                chat=NoChat(),
                directory=NoDirectory(),
                tools={},
                model=rules,
                rules=rules,
                redactor=redactor,
                policy=lambda: policy.current,
                environment=lambda namespace: "production",
                mode=lambda: plane.mode,
                paused=lambda: plane.paused,
                clock=lambda: datetime.now(UTC),
            )

        plane = Plane(
            world,
            workers=4,
            channel=lambda: "C1",
            default_mode=Mode.PROPOSE,
            alert_bots=lambda channel: (),
            policy_problems=lambda: (),
        )
        await plane.start()
        await serve(intake.routes(plane, "", lambda text: redactor.text(text).text))


async def serve(routes: Sequence[web.RouteDef]) -> None:
    """Until ended; prints the port."""
    pin(SERVER_CORE)
    application = web.Application(client_max_size=2 * 1024 * 1024)
    application.add_routes(routes)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a target was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.intake", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        asyncio.run(bare() if options.serve == "bare" else real(Path(options.serve)))
        return 0
    return show(measured(options.rounds), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
