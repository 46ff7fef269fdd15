"""How soon the service is ready, what it holds in memory when idle, and how soon --help answers.

`python -m benchmarks.start` prints the table; `--json` the figures. `personal-agent serve` with Slack (Socket Mode), a
cluster and a model configured, as a fresh process, until /readyz says 200; the stand-in workspace and cluster run in this one.
The floor of --help is an interpreter that does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from aiohttp import ClientError, ClientSession

from benchmarks.measure import Figure, at_most, resident_mb, show
from bot.local.cluster import Cluster
from bot.local.workspace import Workspace
from handlers.manifest import manifest

COMMAND = [sys.executable, "-m", "bot"]
IDLE_SECONDS, LIMIT_SECONDS = 2.0, 30.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def started(workspace: Workspace, cluster: Cluster, folder: Path) -> tuple[float, float]:
    """Seconds until ready, and megabytes when idle."""
    port = free_port()
    cluster.write_kubeconfig(folder / "kubeconfig")
    settings = {
        "SLACK_BOT_TOKEN": workspace.bot_token,
        "SLACK_APP_TOKEN": workspace.app_token,
        "SLACK_API_URL": workspace.api_url,
        "KUBECONFIG": str(folder / "kubeconfig"),
        "OPENAI_API_KEY": "sk-bench",
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "OPENAI_MODEL": "bench",
        "AGENT_DATABASE": str(folder / f"{port}.db"),
        "AGENT_PORT": str(port),
        "AGENT_CHANNEL": "#incidents",
        "AGENT_APPROVERS": "@sre",
    }
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AGENT_", "SLACK_", "OPENAI_"))}
    began = time.perf_counter()
    with (folder / "log").open("w") as log:
        child = await asyncio.create_subprocess_exec(
            *COMMAND, "serve", env={**plain, **settings}, stderr=log, stdout=log
        )
    try:
        async with asyncio.timeout(LIMIT_SECONDS), ClientSession() as session:
            while not await ready(session, f"http://127.0.0.1:{port}/readyz"):
                assert child.returncode is None, (folder / "log").read_text()
                await asyncio.sleep(0.02)
        took = time.perf_counter() - began
        await asyncio.sleep(IDLE_SECONDS)
        return took, resident_mb(child.pid)
    finally:
        child.terminate()
        await child.wait()


async def ready(session: ClientSession, url: str) -> bool:
    """Whether the service says so."""
    try:
        async with session.get(url) as answer:
            return answer.status == 200
    except ClientError:
        return False


async def starts(rounds: int) -> list[tuple[float, float]]:
    """A few starts, each on a database of its own."""
    with tempfile.TemporaryDirectory() as folder:
        async with Workspace(manifest=manifest("minimal")) as workspace, Cluster() as cluster:
            return [await started(workspace, cluster, Path(folder)) for _ in range(rounds)]


def seconds(*command: str) -> float:
    """The wall clock of a whole process."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def measured(rounds: int = 3) -> list[Figure]:
    """Every figure."""
    seconds("-m", "bot", "--help")  # compiled once
    helps = [(seconds("-m", "bot", "--help"), seconds("-c", "pass")) for _ in range(rounds * 3)]
    found = asyncio.run(starts(rounds))
    answer, bare = (statistics.median(times) for times in zip(*helps, strict=True))
    return [
        at_most("spawned to ready", statistics.median(took for took, _ in found), 2.5, "s"),
        at_most("memory when idle", statistics.median(held for _, held in found), 120, "MB"),
        Figure("--help", answer, "s", bare, answer / bare, "≤ 0.15 s", answer <= 0.15),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where a target was missed."""
    parser = argparse.ArgumentParser(prog="benchmarks.start", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(argv)
    return show(measured(options.rounds), as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
