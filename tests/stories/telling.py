"""The whole service against the stand-in world, quick enough for tests, and the few things that every story does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from bot.commands.stage import Stage, stage
from bot.local.cluster import AGENT
from bot.local.scenarios import SCENARIOS, Scenario
from bot.local.workspace import DEFAULT_SEED, Seed
from domain.alerts import Incident
from domain.decisions import Approval, ApprovalState
from domain.events import Envelope, Event
from domain.ports import RunRow
from domain.runs import RunStatus

T = TypeVar("T")
E = TypeVar("E")
CHANGING = frozenset({"create", "update", "patch", "delete", "deletecollection"})
MARA, JONAS, PRIYA, GITA = "Mara Lindqvist", "Jonas Weber", "Priya Nair", "Gita Guest"


@dataclass
class Watch:
    """The service's clock, which a story may put forward."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@dataclass(frozen=True)
class Story:
    """A stage, and what a story asks of it."""

    stage: Stage
    watch: Watch

    @property
    def plane(self) -> Any:
        return self.stage.app.plane

    @property
    def journal(self) -> Any:
        return self.stage.app.journal

    async def begin(self, scenario: str = "bad-rollout") -> None:
        await scenario_named(scenario).start(self.stage.cluster)

    async def until(self, look: Callable[[], Awaitable[T]], seconds: float = 30.0) -> T:
        """The first true answer of `look`, asked again after every event of the journal."""
        async with asyncio.timeout(seconds):
            with self.journal.subscribe() as events:
                found = await look()
                while not found:
                    await anext(events)
                    found = await look()
                return found

    async def approval(self, state: ApprovalState = ApprovalState.PENDING, *, after: str = "") -> Approval:
        """The newest approval request in this state, once its card stands in Slack."""

        async def look() -> Approval | None:
            for approval in await self.journal.approvals():
                message = await self.journal.message(f"approval:{approval.request.id}")
                shown = message is not None and bool(message.ts)
                if approval.state is state and shown and approval.request.id != after:
                    return approval
            return None

        found = await self.until(look)
        assert found is not None
        return found

    async def press(self, who: str, approval: Approval, button: str = "approve") -> Any:
        """Press a button of a card."""
        message = await self.journal.message(f"approval:{approval.request.id}")
        return await self.stage.workspace.click(who, message.channel, message.ts, f"approval.{button}")

    async def finished(self) -> RunRow:
        """The newest run, once it has ended."""

        async def look() -> RunRow | None:
            rows = await self.journal.runs()
            return rows[0] if rows and all(row.status is RunStatus.FINISHED for row in rows) else None

        found = await self.until(look)
        assert found is not None
        return found

    async def resolved(self) -> Incident:
        """The newest incident, once its monitor has resolved it."""

        async def look() -> Incident | None:
            found = await self.journal.incidents()
            return found[0] if found and not found[0].open else None

        found = await self.until(look)
        assert found is not None
        return found

    async def recorded(self, *kinds: type[Event]) -> list[Any]:
        """The recorded events of these kinds, in order."""
        return [envelope.event for envelope in await self.all_events() if isinstance(envelope.event, kinds)]

    async def all_events(self) -> Sequence[Envelope]:
        found: list[Envelope] = []
        while page := await self.journal.since(found[-1].seq if found else 0):
            found += page
        return found

    def changes(self) -> list[str]:
        """What the agent's own user changed in the cluster: every successful call that was no read and no dry run."""
        return [
            f"{asked.verb} {asked.path}"
            for asked in self.stage.cluster.asked
            if asked.user == AGENT and asked.verb in CHANGING and not asked.dry_run and asked.code < 300
        ]

    async def thread(self) -> list[Any]:
        """The texts of the newest incident's thread, once Slack has all of them."""
        await self.stage.app.services.sender.idle()
        incident = (await self.journal.incidents())[0]
        return list(self.stage.workspace.messages(incident.channel, incident.thread_ts))


def scenario_named(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


@asynccontextmanager
async def telling(folder: Path, *, seed: Seed = DEFAULT_SEED, **settings: str) -> AsyncIterator[Story]:
    """A story on a quick stage."""
    watch = Watch()
    async with stage(folder, speed=4.0, interval_s=0.15, clock=watch.now, seed=seed, **settings) as world:
        yield Story(world, watch)
