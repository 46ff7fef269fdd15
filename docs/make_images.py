"""Makes docs/images again: `make images`. The real product in the stand-in world, looked at with a real Chromium."""

from __future__ import annotations

import asyncio
import io
import sys
import tempfile
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from playwright.async_api import FloatRect, Page, ViewportSize, async_playwright, expect

from bot import logs
from bot.app import running
from bot.commands import demo_scan
from bot.commands.stage import QUICK, Stage, settings_for, stage
from bot.local.scenarios import CONFIGURATION, SCENARIOS
from bot.local.scenarios_ci import CI_SCENARIOS
from bot.local.workspace import Workspace
from bot.models.rules import Rules
from bot.replay.compared import compare
from bot.replay.page import page_of
from bot.replay.rerun import How
from bot.tools import schemas, unconnected
from domain.alerts import Incident
from domain.events import ApprovalRequested, Envelope, IncidentResolved, MessageSent
from handlers.manifest import manifest
from policies.policy import load as load_policy
from storage.journal import open_journal
from tests.contracts.journal_samples import Clock
from tests.week_samples import MONDAY, lived

IMAGES = Path(__file__).parent / "images"
CHROMIUM = Path("/usr/bin/chromium")
PERSON = "Mara Lindqvist"
SIZE = ViewportSize(width=1640, height=1240)
PAPER = ViewportSize(width=1100, height=1240)
TALL = ViewportSize(width=1100, height=1900)
SIDEBAR = 310
STRICTER = """
groups: {approvers: ["@sre"], leads: ["@sre-leads"]}
rules:
  - {id: look-anywhere, decision: allow, match: {effects: [read]}}
  - id: two-leads-for-production
    decision: ask
    match: {effects: [write, destructive], environments: [production]}
    approval: {groups: [leads], quorum: 2, expires: 30m}
"""


async def main() -> None:
    """Play the bad rollout: the open card, the end, its evidence, a replay. Then a week, as its message tells it."""
    logs.configure(lambda text: text, level=40)
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as scanned,
        tempfile.TemporaryDirectory() as released,
    ):
        async with stage(Path(folder)) as world, async_playwright() as playwright:
            chromium = await playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
            )
            page = await chromium.new_page(viewport=SIZE, locale="en-GB", timezone_id="Europe/Berlin")
            async with asyncio.timeout(90):
                await _play(world, page)
                await _show_the_evidence(world, await chromium.new_page(viewport=PAPER), Path(folder))
                await _show_a_replay(world, await chromium.new_page(viewport=PAPER), Path(folder))
            await _release_orders(Path(released), await chromium.new_page(viewport=SIZE, locale="en-GB"))
            await _scan_the_shop(Path(scanned), await chromium.new_page(viewport=TALL, locale="en-GB"))
            await _tell_a_week(Path(folder), await chromium.new_page(viewport=TALL, locale="en-GB"))
            await chromium.close()


async def _play(world: Stage, page: Page) -> None:
    """An incident that is over, then the one in the pictures."""
    approve = page.get_by_role("button", name="Approve", exact=True)
    with world.app.journal.subscribe() as events:
        await _start(world, "oom")
        card = await _until_the_card_stands(events)
        await world.workspace.click(PERSON, card.channel, card.ts, "approval.approve")
        await _until_resolved(events)
        await _start(world, "bad-rollout")
        await _until_the_card_stands(events)
        incident: Incident = (await world.app.journal.incidents(open_only=True))[0]
        thread = f"#/channel/{incident.channel}/{incident.thread_ts}"
        await page.goto(f"{world.workspace.url}?user={world.workspace.user(PERSON)}{thread}")
        await expect(approve).to_be_visible()
        await _photograph(world, page, "thread.png")
        await approve.click()
        await page.get_by_role("dialog").get_by_role("button", name="Approve").click()
        await _until_resolved(events)
        await _photograph(world, page, "resolved.png")


async def _show_the_evidence(world: Stage, page: Page, folder: Path) -> None:
    """The first screen of the last incident's timeline, as it lies in the archive that Slack gets."""
    (incident, *_) = await world.app.journal.incidents()
    made = await world.app.services.evidence(incident.id)
    if made is None:
        raise RuntimeError("there was no run")
    with zipfile.ZipFile(io.BytesIO(made.content)) as archive:
        archive.extract("timeline.html", folder)
    await page.goto((folder / "timeline.html").as_uri())
    image = await page.screenshot()
    (IMAGES / "evidence.png").write_bytes(image)
    print(f"{IMAGES / 'evidence.png'}: {len(image) // 1024} KiB", file=sys.stderr)


async def _show_a_replay(world: Stage, page: Page, folder: Path) -> None:
    """What another policy would have made of the last run."""
    journal = world.app.journal
    record = await journal.record((await journal.runs())[0].spec.id)
    if record is None:
        raise RuntimeError("there was no run")
    tools = {tool.name: tool for tool in unconnected(lambda *_: "production")}
    policy = load_policy({"policy.yaml": STRICTER}, schemas(), {})
    how = How(policy, tools, lambda *_: "production", model=Rules())
    (folder / "replay.html").write_text(page_of(await compare(record, how), how), "utf-8")
    await page.goto((folder / "replay.html").as_uri())
    image = await page.locator("main").screenshot()
    (IMAGES / "replay.png").write_bytes(image)
    print(f"{IMAGES / 'replay.png'}: {len(image) // 1024} KiB", file=sys.stderr)


async def _tell_a_week(folder: Path, page: Page) -> None:
    """The weekly message of the service, about a week that the tests know."""
    async with Workspace(manifest=manifest("minimal")) as workspace:
        settings = settings_for(workspace, folder / "none", folder / "week.db", KUBECONFIG="")
        clock = Clock()
        async with open_journal(settings.agent_database, workspace.team_id, clock=clock) as journal:
            await lived(journal, clock)
        async with running(settings, pace=QUICK, clock=lambda: MONDAY) as app:
            told = await workspace.until(lambda: _last(workspace, "Week 48"), 60)
            await app.services.sender.idle()
            await page.goto(f"{workspace.url}?user={workspace.user(PERSON)}#/channel/{workspace.channel('incidents')}")
            message = page.locator(f'#primary .message[data-ts="{told["ts"]}"]')
            await expect(message.locator("img[alt^='About']")).to_be_visible()
            await page.mouse.move(SIDEBAR + 20, 70)
            image = await message.screenshot()
            (IMAGES / "weekly.png").write_bytes(image)
            print(f"{IMAGES / 'weekly.png'}: {len(image) // 1024} KiB", file=sys.stderr)


async def _release_orders(folder: Path, page: Page) -> None:
    """A release that policy sent through a canary: its risk, what was refused, and the card of the canary."""
    release = next(each for each in CI_SCENARIOS if each.name == "release")
    async with stage(folder, ci=True) as world:
        if world.ci is None:
            raise RuntimeError("there is no GitLab")
        with world.app.journal.subscribe() as events:
            await release.play(world.ci.gitlab, world.ci.prometheus)
            card = await _until_the_card_stands(events)
        incident: Incident = (await world.app.journal.incidents(open_only=True))[0]
        thread = f"#/channel/{incident.channel}/{incident.thread_ts}"
        await page.goto(f"{world.workspace.url}?user={world.workspace.user(PERSON)}{thread}")
        await expect(page.locator(f'.message[data-ts="{card.ts}"]')).to_be_visible()
        await _photograph(world, page, "release.png")


async def _scan_the_shop(folder: Path, page: Page) -> None:
    """The list of a configuration scan, as it stands in the channel."""
    async with demo_scan.measured(CONFIGURATION) as url, stage(folder, PROMETHEUS_URL=url) as world:
        await CONFIGURATION.start(world.cluster)
        await world.workspace.command(PERSON, "incidents", "scan shop")
        listed = await world.workspace.until(lambda: _last(world.workspace, "Configuration scan"), 60)
        await page.goto(
            f"{world.workspace.url}?user={world.workspace.user(PERSON)}#/channel/{world.workspace.channel('incidents')}"
        )
        message = page.locator(f'#primary .message[data-ts="{listed["ts"]}"]')
        await expect(message.get_by_text("could be freed")).to_be_visible()
        await page.mouse.move(SIDEBAR + 20, 70)
        image = await message.screenshot()
        (IMAGES / "scan.png").write_bytes(image)
        print(f"{IMAGES / 'scan.png'}: {len(image) // 1024} KiB", file=sys.stderr)


def _last(workspace: Workspace, text: str) -> dict[str, Any] | None:
    return next((message for message in workspace.messages("incidents") if message["text"].startswith(text)), None)


async def _start(world: Stage, name: str) -> None:
    await next(scenario for scenario in SCENARIOS if scenario.name == name).start(world.cluster)


async def _until_the_card_stands(events: AsyncIterator[Envelope]) -> MessageSent:
    card = ""
    async for envelope in events:
        match envelope.event:
            case ApprovalRequested(request):
                card = f"approval:{request.id}"
            case MessageSent(key) as sent if key == card:
                return sent
    raise RuntimeError("the service ended before it asked")


async def _until_resolved(events: AsyncIterator[Envelope]) -> None:
    async for envelope in events:
        if isinstance(envelope.event, IncidentResolved):
            return


async def _photograph(world: Stage, page: Page, name: str) -> None:
    """The channel and the thread, once Slack has everything that was said and the page shows it."""
    await world.app.services.sender.idle()
    await page.mouse.move(SIDEBAR + 20, 70)
    await page.wait_for_timeout(500)
    top, bottom = 44, 134  # the search bar, the composers
    clip = FloatRect(x=SIDEBAR, y=top, width=SIZE["width"] - SIDEBAR - 5, height=SIZE["height"] - top - bottom)
    image = await page.screenshot(clip=clip)
    (IMAGES / name).write_bytes(image)
    print(f"{IMAGES / name}: {len(image) // 1024} KiB", file=sys.stderr)


if __name__ == "__main__":
    asyncio.run(main())
