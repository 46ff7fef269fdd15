"""One tool-call turn, side by side with other agent frameworks: the same scripted server, tool and number of turns.

Not part of the default run, because it needs them installed, each in a virtual environment of its own below FOLDER:

    python -m venv FOLDER/openai-agents && FOLDER/openai-agents/bin/pip install openai-agents
    python -m venv FOLDER/pydantic-ai   && FOLDER/pydantic-ai/bin/pip install 'pydantic-ai-slim[openai]'
    python -m venv FOLDER/langgraph     && FOLDER/langgraph/bin/pip install langchain langchain-openai \\
                                                                           langgraph-checkpoint-sqlite
    python -m benchmarks.peers FOLDER

What is missing is said and left out. CPU milliseconds per turn over 50 turns, the best of the rounds (the frameworks run in
turn in each); what each keeps differs, and the last column says it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

TURNS, RUNS = 50, 3
TEXT = "2026-03-01T12:00:00Z checkout answered 503 after 1000 ms\n" * 36
MARKS: list[float] = []

Run = Callable[[], Awaitable[Any]]


def looked() -> str:
    """What every tool does: mark the CPU time, answer 2 KB."""
    MARKS.append(time.process_time())
    return TEXT


# --- each in its own interpreter, so each imports its own -------------------------------------------------------------


async def openai_agents(url: str, folder: str) -> Run:
    """openai-agents with chat completions and its SQLite session."""
    from agents import Agent, OpenAIChatCompletionsModel, Runner, SQLiteSession, function_tool, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)

    @function_tool
    def look(page: int) -> str:
        return looked()

    model = OpenAIChatCompletionsModel(f"script-{TURNS}", AsyncOpenAI(api_key="sk-bench", base_url=url))
    agent = Agent(name="a", instructions="Diagnose.", model=model, tools=[look])
    numbers = iter(range(1000))

    async def run() -> None:
        session = SQLiteSession(f"s{next(numbers)}", f"{folder}/session.db")
        await Runner.run(agent, "Why?", session=session, max_turns=TURNS + 5)

    return run


async def pydantic_ai(url: str, folder: str) -> Run:
    """pydantic-ai, which keeps nothing by itself."""
    from pydantic_ai import Agent, UsageLimits
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel(f"script-{TURNS}", provider=OpenAIProvider(base_url=url, api_key="sk-bench"))
    agent = Agent(model, instructions="Diagnose.")

    @agent.tool_plain
    def look(page: int) -> str:
        return looked()

    async def run() -> None:
        await agent.run("Why?", usage_limits=UsageLimits(request_limit=TURNS + 5))

    return run


async def langgraph(url: str, folder: str) -> Run:
    """langchain's create_agent on langgraph with the SQLite saver, as durable as it gets."""
    import aiosqlite
    from langchain.agents import create_agent
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    @tool
    async def look(page: int) -> str:
        """Look at a page of the log."""
        return looked()

    saver = AsyncSqliteSaver(await aiosqlite.connect(f"{folder}/graph.db"))
    model = ChatOpenAI(model=f"script-{TURNS}", base_url=url, api_key="sk-bench", use_responses_api=False)
    agent = create_agent(model, [look], system_prompt="Diagnose.", checkpointer=saver)
    numbers = iter(range(1000))

    async def run() -> None:
        config = {"configurable": {"thread_id": str(next(numbers))}, "recursion_limit": 4 * TURNS}
        await agent.ainvoke({"messages": [("user", "Why?")]}, config, durability="sync")

    return run


async def plain(url: str, folder: str) -> Run:
    """The floor: create() in a loop."""
    from benchmarks.agents import Plain

    agent = Plain(url, TURNS)
    agent.look.on_call = lambda: MARKS.append(time.process_time())
    return agent.run


async def ours(url: str, folder: str) -> Run:
    """The product's loop with its journal."""
    from benchmarks.agents import ours as opened

    context = opened(url, Path(folder) / "journal.db", TURNS)
    agent = await context.__aenter__()
    KEPT.append(context)
    agent.look.on_call = lambda: MARKS.append(time.process_time())
    return agent.run


KEPT: list[Any] = []
PEERS: dict[str, tuple[Callable[[str, str], Awaitable[Run]], str]] = {
    "ours": (ours, "everything, the call before the tool runs"),
    "plain": (plain, "nothing"),
    "openai-agents": (openai_agents, "the turn, after the tool ran"),
    "pydantic-ai": (pydantic_ai, "nothing"),
    "langgraph": (langgraph, "all messages at each step, before the tool runs"),
}


async def inside(name: str, url: str) -> dict[str, float]:
    """In the peer's interpreter: the best of a few runs."""
    with tempfile.TemporaryDirectory() as folder:
        run = await PEERS[name][0](url, folder)
        costs = []
        for _ in range(RUNS):
            MARKS.clear()
            await run()
            assert len(MARKS) == TURNS, len(MARKS)
            costs.append([(later - earlier) * 1000 for earlier, later in pairwise(MARKS)])
        for context in KEPT:
            await context.__aexit__(None, None, None)
        kept = sum(file.stat().st_size for file in Path(folder).iterdir()) / RUNS / 1e6
    best = min(costs, key=sum)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "cpu": sum(best) / len(best),
        "early": sum(best[:9]) / 9,
        "late": sum(best[-10:]) / 10,
        "kept_mb": kept,
        "peak_mb": peak,
    }


# --- the table --------------------------------------------------------------------------------------------------------


def interpreter(folder: Path, name: str) -> Path | None:
    """The peer's own Python; ours for the two of ours."""
    found = Path(sys.executable) if name in ("ours", "plain") else folder / name / "bin" / "python"
    return found if found.exists() else None


def measured(python: Path, name: str, url: str) -> dict[str, float] | None:
    """One peer's figures, from a process of its own; None where it does not run."""
    command = [str(python), "-m", "benchmarks.peers", "--peer", name, "--url", url]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        print(f"{name} does not run: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is installed and print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.peers", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, help="holds the virtual environments")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.peer:
        print(json.dumps(asyncio.run(inside(options.peer, options.url))))
        return 0
    from benchmarks.measure import process

    best: dict[str, dict[str, float]] = {}
    with process("benchmarks.model") as (_, url):
        for _ in range(options.rounds):
            for name in PEERS:
                python = interpreter(options.folder or Path("."), name)
                found = measured(python, name, url) if python else None
                if found and (name not in best or found["cpu"] < best[name]["cpu"]):
                    best[name] = found
    print(
        f"{'CPU ms per turn':<16}{'of 50':>8}{'1-10':>8}{'40-50':>8}{'vs plain':>10}{'kept MB':>9}{'peak MB':>9}  keeps"
    )
    for name, found in best.items():
        ratio = found["cpu"] / best["plain"]["cpu"]
        print(
            f"{name:<16}{found['cpu']:>8.2f}{found['early']:>8.2f}{found['late']:>8.2f}{ratio:>10.2f}"
            f"{found['kept_mb']:>9.2f}{found['peak_mb']:>9.0f}  {PEERS[name][1]}"
        )
    for name in PEERS:
        if name not in best:
            print(f"{name}: not installed or not running here, left out")
    return 0


if __name__ == "__main__":
    sys.exit(main())
