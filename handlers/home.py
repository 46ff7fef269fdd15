"""App Home: where things stand, for whoever has it open. Published when a person opens it, and again when something changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from slack_bolt.async_app import AsyncApp

from domain.events import (
    AgentPaused,
    AgentResumed,
    AlertJoined,
    ApprovalClosed,
    ApprovalRequested,
    AutonomyDemoted,
    AutonomyRestored,
    BreakerOpened,
    BreakerReset,
    ExecutionFinished,
    IncidentOpened,
    IncidentResolved,
    MessageSent,
    ModeChanged,
    PolicyLoaded,
    PolicyRejected,
    RunFinished,
    VoteCast,
    WorkUnitRecorded,
)
from domain.plane import Status
from handlers import cards_home, kit
from handlers.chat import approval_key, redacted
from handlers.payloads import where
from handlers.services import Services
from handlers.slack_errors import FAILURES, code_of, log

EVERY_S = 5.0
"""At most this often it is published again for one person, whatever happens."""

_SHOWN = (
    IncidentOpened, IncidentResolved, AlertJoined, ApprovalRequested, ApprovalClosed, VoteCast, ExecutionFinished,
    RunFinished, WorkUnitRecorded, AgentPaused, AgentResumed, ModeChanged, BreakerOpened, BreakerReset, AutonomyDemoted,
    AutonomyRestored, PolicyLoaded, PolicyRejected, MessageSent,
)  # fmt: skip


def register(app: AsyncApp, services: Services) -> None:
    """Published anew each time a person opens it."""

    @app.event("app_home_opened")
    async def on_home(body: dict[str, Any]) -> None:
        if body["event"].get("tab") == "home":
            user = where(body)[0]
            services.visitors.came(user)
            services.do(f"home:{user}", "", body, lambda: publish(services, user))


@asynccontextmanager
async def kept_current(services: Services, every_s: float = EVERY_S) -> AsyncIterator[None]:
    """Meanwhile, what people have open follows what happens."""
    changed = asyncio.Event()
    tasks = [asyncio.create_task(_watch(services, changed)), asyncio.create_task(_follow(services, changed, every_s))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _watch(services: Services, changed: asyncio.Event) -> None:
    with services.journal.subscribe() as events:
        async for envelope in events:
            if isinstance(envelope.event, _SHOWN):
                changed.set()


async def _follow(services: Services, changed: asyncio.Event, every_s: float) -> None:
    while True:
        await changed.wait()
        changed.clear()
        if people := services.visitors.lately():
            work = [_published_for(services, user) for user in people]
            for user, failure in zip(people, await asyncio.gather(*work, return_exceptions=True), strict=True):
                if failure is not None:
                    log.warning("App Home of %s stays as it is: %s", user, failure)
            await asyncio.sleep(every_s)


async def publish(services: Services, user: str) -> None:
    """Show one person where things stand."""
    await _published_for(services, user)


async def _published_for(services: Services, user: str) -> None:
    now = await services.plane.status()
    view = redacted(cards_home.home(now, await _links(services, now), await services.journal.head()), services.redact)
    if not services.visitors.is_news(user, view):
        return
    await services.shown("home", user, "", view)
    try:
        await services.client.views_publish(user_id=user, view=view)
    except FAILURES as error:
        services.visitors.failed(user)
        log.warning("App Home could not be published: %s", code_of(error))


async def _links(services: Services, now: Status) -> dict[str, str]:
    """The addresses of open incidents' threads and waiting requests' cards, by id; of the weekly message under `weekly`."""
    base = services.identity.url
    links = {incident.id: kit.permalink(base, incident.channel, incident.thread_ts) for incident in now.open_incidents}
    for approval in now.pending:
        card = await services.journal.message(approval_key(approval.request.card))
        if card and card.ts:
            incident = await services.journal.incident(approval.request.incident_id)
            thread_ts = incident.thread_ts if incident else card.thread_ts
            links[approval.request.id] = kit.permalink(base, card.channel, card.ts, thread_ts)
    weekly = await services.journal.newest_message("weekly")
    if weekly and weekly.ts:
        links["weekly"] = kit.permalink(base, weekly.channel, weekly.ts)
    return {name: link for name, link in links.items() if link}
