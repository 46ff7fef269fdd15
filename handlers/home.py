"""App Home: what waits, what is open, four figures."""

from __future__ import annotations

from typing import Any

from slack_bolt.async_app import AsyncApp

from handlers import cards_info
from handlers.chat import redacted
from handlers.payloads import where
from handlers.services import Services
from handlers.slack_errors import FAILURES, code_of, log


def register(app: AsyncApp, services: Services) -> None:
    """Published anew each time a person opens it."""

    @app.event("app_home_opened")
    async def on_home(body: dict[str, Any]) -> None:
        if body["event"].get("tab") == "home":
            user = where(body)[0]
            services.do(f"home:{user}", "", body, lambda: publish(services, user))


async def publish(services: Services, user: str) -> None:
    """Show one person where things stand."""
    view = redacted(cards_info.home(await services.plane.status()), services.redact)
    await services.shown("home", user, "", view)
    try:
        await services.client.views_publish(user_id=user, view=view)
    except FAILURES as error:
        log.warning("App Home could not be published: %s", code_of(error))
