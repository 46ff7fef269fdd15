"""Fifty people click Approve on one card at once: what came of it, and how long Slack waited for each ack.

`python -m benchmarks.clicks` prints the table. Ours is the whole service (journal on disk, directory, votes, execution);
the other a bolt app that does nothing but ack. Both answer the same stand-in workspace over a real Socket Mode
connection, in the same process as it, in turn.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from benchmarks.measure import Figure, against, at_most, table
from bot.commands.stage import Stage, stage
from bot.local.scenarios import SCENARIOS
from bot.local.workspace import DEFAULT_SEED, Group, Person, Workspace
from domain.decisions import Approval
from domain.events import ExecutionStarted, VoteCast, VoteRefused
from domain.runs import RunStatus

T = TypeVar("T")
PEOPLE, ROUNDS = 50, 3
CROWD = tuple(Person(f"U07CROWD{n:03}", f"person{n}", f"Person {n}", "SRE") for n in range(PEOPLE))
NAMES = tuple(person.name for person in CROWD)
SEED = replace(
    DEFAULT_SEED,
    people=(*DEFAULT_SEED.people, *CROWD),
    channels=tuple(replace(room, members=(*room.members, *NAMES)) for room in DEFAULT_SEED.channels),
    groups=(Group("S07SRE00001", "sre", "Site reliability", NAMES), *DEFAULT_SEED.groups[1:]),
)


@dataclass(frozen=True)
class Round:
    """The acks in milliseconds, and what the journal says came of the clicks."""

    acks_ms: list[float]
    executions: int = 0
    votes: int = 0
    told: int = 0


async def clicked(room: Workspace, channel: str, ts: str) -> list[float]:
    """Everybody at once; each one's ack in milliseconds."""

    async def click(name: str) -> float:
        began = time.perf_counter()
        await room.click(name, channel, ts, "approval.approve")
        return (time.perf_counter() - began) * 1000

    return list(await asyncio.gather(*(click(name) for name in NAMES)))


async def ours() -> Round:
    """One incident on a fresh stage."""
    with tempfile.TemporaryDirectory() as folder:
        async with stage(Path(folder), speed=4.0, interval_s=0.15, seed=SEED) as world:
            await next(one for one in SCENARIOS if one.name == "bad-rollout").start(world.cluster)
            message = await _until(world, lambda: _card(world))
            acks = await clicked(world.workspace, message[0], message[1])
            await _until(world, lambda: _ended(world))
            events = [envelope.event for envelope in await world.app.journal.since(0, 100_000)]
            counted = [sum(isinstance(event, kind) for event in events) for kind in (ExecutionStarted, VoteCast)]
            refused = [event.user for event in events if isinstance(event, VoteRefused)]
            told = sum(bool(world.workspace.ephemerals(user)) for user in set(refused))
            return Round(acks, *counted, told)


async def bare() -> Round:
    """A bolt app that does nothing but ack, and one message with a button."""
    async with Workspace(SEED) as room:
        client = AsyncWebClient(room.bot_token, base_url=f"{room.api_url.rstrip('/')}/")
        who = await client.auth_test()
        result = AuthorizeResult(
            enterprise_id=None,
            team_id=who["team_id"],
            bot_token=room.bot_token,
            bot_id=who["bot_id"],
            bot_user_id=who["user_id"],
        )

        async def authorize(**_: object) -> AuthorizeResult:
            return result

        app = AsyncApp(client=client, authorize=authorize, signing_secret="x", request_verification_enabled=False)

        @app.action(re.compile(".*"))
        async def on_click(ack: AsyncAck) -> None:
            await ack()

        handler = AsyncSocketModeHandler(app, room.app_token, web_client=client)
        await handler.client.connect()  # type: ignore[no-untyped-call]
        try:
            button = {"type": "button", "action_id": "approval.approve", "value": "a", "text": _plain("Approve")}
            blocks = [{"type": "actions", "elements": [button]}]
            sent = await client.chat_postMessage(channel=room.channel("incidents"), text="x", blocks=blocks)
            return Round(await clicked(room, sent["channel"], sent["ts"]))
        finally:
            await handler.close_async()  # type: ignore[no-untyped-call]


def _plain(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}


async def _card(world: Stage) -> tuple[str, str] | None:
    approvals: list[Approval] = list(await world.app.journal.approvals(pending=True))
    message = await world.app.journal.message(f"approval:{approvals[0].request.id}") if approvals else None
    return (message.channel, message.ts) if message and message.ts else None


async def _ended(world: Stage) -> bool:
    rows = await world.app.journal.runs()
    await world.app.services.sender.idle()
    refused = sum(isinstance(each.event, VoteRefused) for each in await world.app.journal.since(0, 100_000))
    return refused == PEOPLE - 1 and all(row.status is RunStatus.FINISHED for row in rows)


async def _until(world: Stage, look: Callable[[], Awaitable[T | None]]) -> T:
    async with asyncio.timeout(60):
        with world.app.journal.subscribe() as events:
            while not (found := await look()):
                await anext(events)
            return found


def measured(rounds: int = ROUNDS) -> list[Figure]:
    """The rounds of both, in turn."""
    return asyncio.run(_compare(rounds))


async def _compare(count: int) -> list[Figure]:
    rounds = [(await ours(), await bare()) for _ in range(count)]
    p99 = [[statistics.quantiles(one.acks_ms, n=100)[98] for one in pair] for pair in rounds]
    mine = [one for one, _ in rounds]
    return [
        against(f"ack of {PEOPLE} clicks at once, p99", [a for a, _ in p99], [b for _, b in p99], "ms", most=3),
        at_most("executions per card", max(one.executions for one in mine), 1, ""),
        at_most("votes that counted per card", max(one.votes for one in mine), 1, ""),
        Figure(
            "people told who was first", min(one.told for one in mine), "", target=f"{PEOPLE - 1}",
            held=all(one.told == PEOPLE - 1 for one in mine),
        ),
    ]  # fmt: skip


def main() -> int:
    """`python -m benchmarks.clicks`."""
    figures = measured()
    print(table(figures))
    return 0 if all(figure.held is not False for figure in figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
