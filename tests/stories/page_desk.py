"""A workspace with a bolt app in it and the pages that people have open: what the page's tests sit at."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, BrowserContext, Locator, Page, expect
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.local.workspace import Workspace

Json = dict[str, Any]


@dataclass
class Desk:
    """A workspace with the app in it, and pages that people have open."""

    workspace: Workspace
    context: BrowserContext
    app: AsyncApp
    heard: list[Json] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def client(self) -> AsyncWebClient:
        return AsyncWebClient(token=self.workspace.bot_token, base_url=self.workspace.api_url)

    async def open(self, person: str = "mara", place: str = "", size: tuple[int, int] = (1280, 800)) -> Page:
        page = await self.context.new_page()
        page.set_default_timeout(8000)
        await page.set_viewport_size({"width": size[0], "height": size[1]})
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda line: self.complaints.append(line.text) if "Content Security" in line.text else None)
        await page.goto(f"{self.workspace.url}?user={self.workspace.user(person)}{place}")
        await expect(page.locator("#sidebar .side-item").first).to_be_visible()
        return page

    async def post(self, text: str = "", channel: str = "incidents", **more: Any) -> str:
        answer = await self.client.chat_postMessage(channel=self.workspace.channel(channel), text=text, **more)
        return str(answer["ts"])

    async def until_heard(self, count: int = 1) -> list[Json]:
        async with asyncio.timeout(5):
            while len(self.heard) < count:
                await asyncio.sleep(0.01)
        return self.heard


def _listen(desk: Desk) -> None:
    """An app that acknowledges everything and remembers it."""

    @desk.app.action(re.compile(".*"))
    async def on_action(ack: Callable[[], Awaitable[None]], body: Json, client: AsyncWebClient) -> None:
        await ack()
        desk.heard.append(body)
        if body["actions"][0]["action_id"] == "open":
            await client.views_open(trigger_id=body["trigger_id"], view=DIALOG)

    @desk.app.view("reason")
    async def on_submit(ack: Callable[..., Awaitable[None]], body: Json) -> None:
        desk.heard.append(body)
        reason = body["view"]["state"]["values"]["why"]["text"]["value"]
        if len(reason) < 5:
            await ack(response_action="errors", errors={"why": "Say what you saw."})
        else:
            await ack()

    @desk.app.command("/agent")
    async def on_command(ack: Callable[..., Awaitable[None]], command: Json) -> None:
        desk.heard.append(command)
        await ack(text=f"You said *{command['text']}*")

    @desk.app.shortcut("diagnose_message")
    async def on_shortcut(ack: Callable[[], Awaitable[None]], body: Json) -> None:
        await ack()
        desk.heard.append(body)

    @desk.app.event("app_home_opened")
    async def on_home(event: Json, client: AsyncWebClient) -> None:
        await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": HOME})

    @desk.app.event(re.compile("message|app_mention"))
    async def on_message() -> None:
        pass


@asynccontextmanager
async def desk_for(browser: Browser, **looks: Any) -> AsyncIterator[Desk]:
    async with Workspace() as workspace:
        client = AsyncWebClient(token=workspace.bot_token, base_url=workspace.api_url)
        app = AsyncApp(client=client, signing_secret=workspace.signing_secret)
        context = await browser.new_context(locale="en-US", timezone_id="Europe/Berlin", **looks)
        desk = Desk(workspace, context, app)
        _listen(desk)
        socket = AsyncSocketModeHandler(app, workspace.app_token)
        await socket.connect_async()
        try:
            yield desk
        finally:
            await context.close()
            await socket.close_async()


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> Json:
    return {"type": "mrkdwn", "text": text}


def section(text: str, **more: Any) -> Json:
    return {"type": "section", "text": mrkdwn(text), **more}


def button(text: str, action_id: str, **more: Any) -> Json:
    return {"type": "button", "text": plain(text), "action_id": action_id, "value": f"value of {action_id}", **more}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def rich(*parts: Json) -> Json:
    return {"type": "rich_text", "elements": list(parts)}


def preformatted(text: str) -> Json:
    return {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": text}]}


CONFIRM = {
    "title": plain("Roll back?"),
    "text": mrkdwn("3 pods restart"),
    "confirm": plain("Do it"),
    "deny": plain("No"),
}
DIALOG = {
    "type": "modal",
    "callback_id": "reason",
    "title": plain("Deny the rollback"),
    "submit": plain("Deny"),
    "blocks": [
        {
            "type": "input",
            "block_id": "why",
            "label": plain("Reason"),
            "element": {"type": "plain_text_input", "action_id": "text", "multiline": True},
        },
        {
            "type": "input",
            "block_id": "how",
            "optional": True,
            "label": plain("How"),
            "element": {
                "type": "static_select",
                "action_id": "pick",
                "options": [{"text": plain(name), "value": name} for name in ("slowly", "quickly")],
            },
        },
    ],
}
HOME = [{"type": "header", "text": plain("Good day")}, actions(button("Weekly report", "report"))]


def message(page: Page, text: str) -> Locator:
    return page.locator("#primary .message", has_text=text)
