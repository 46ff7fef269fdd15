"""The figures in Slack: /agent roi with its chart, and the rows behind a figure, each to the person who asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from slack_bolt.async_app import AsyncAck, AsyncApp

from domain.errors import ChatError
from domain.work import Rollup
from handlers import cards_figures
from handlers.kit import Body
from handlers.links import complaints, threads
from handlers.payloads import key_of, where
from handlers.services import Services
from handlers.slack_errors import log

Payload = dict[str, Any]


def register(app: AsyncApp, services: Services) -> None:
    """The menu of figures, below the weekly message and below /agent roi."""

    @app.action(cards_figures.ROWS)
    async def on_figure(ack: AsyncAck, body: Payload) -> None:
        await ack()
        services.do(f"figure:{where(body)[0]}", "", body, lambda: _rows(services, body))


async def roi(services: Services, body: Payload, period: timedelta) -> Body:
    """The figures of the time up to now."""
    until = datetime.now(UTC)
    rollup = await services.journal.rollup(until - period, until)
    waiting = len(await services.journal.approvals(pending=True, limit=1000))
    quality = await services.journal.quality(until - period, until)
    links = await threads(services.journal, services.identity.url, complaints(quality))
    return cards_figures.roi(rollup, waiting, quality, links, await _chart(services, key_of(body), rollup))


async def _chart(services: Services, key: str, rollup: Rollup) -> str:
    """Slack's id of the period's chart; empty where there is none, or Slack does not take it."""
    png = await services.draw(rollup) if rollup.n else b""
    if not png:
        return ""
    try:
        return await services.chat.picture(key, "figures.png", cards_figures.summary(rollup), png)
    except ChatError as error:
        log.warning("figures without their chart: %s", error)
        return ""


async def _rows(services: Services, body: Payload) -> None:
    option = (body["actions"][0].get("selected_option") or {}).get("value")
    name, since, until = cards_figures.asked(str(option or ""))
    drill = await services.journal.drill(name, since, until)
    about = ((row.incident_id, row.run_id) for row in drill.rows[-cards_figures.MOST_ROWS :])
    links = await threads(services.journal, services.identity.url, about)
    await services.tell(body, cards_figures.rows(drill, links))
