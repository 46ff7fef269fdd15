"""The whole way of evidence: an incident, the button on its message, the file in the thread, and what a browser shows of it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from storage.evidence.check import check_file
from storage.evidence.timeline import render
from storage.keys import read_keys
from tests.contracts.evidence_samples import UGLY, envelopes, in_order, ugly
from tests.stories.telling import MARA, telling

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def archive(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Path]:
    """What Mara downloads from the thread, once her bad rollout is over."""
    folder = tmp_path_factory.mktemp("evidence")
    async with telling(folder) as story:
        await story.begin()
        await story.press(MARA, await story.approval())
        await story.finished()
        incident = await story.resolved()
        page = await browser.new_page(locale="en-US", accept_downloads=True)
        workspace = story.stage.workspace
        thread = f"#/channel/{incident.channel}/{incident.thread_ts}"
        await page.goto(f"{workspace.url}?user={workspace.user(MARA)}{thread}")
        await page.locator("#primary").get_by_role("button", name="Evidence").click()
        async with page.expect_download() as downloading:
            await page.get_by_label("Download Evidence of checkout: Pod is crash looping").click()
        await (await downloading.value).save_as(folder / "inc.zip")
        await page.close()
    yield folder / "inc.zip"


async def test_the_file_from_the_thread_verifies_with_the_service_s_key(archive: Path) -> None:
    found = check_file(archive, read_keys(archive.with_name("personal-agent.db.key")).public)
    assert (found.problem, found.missing) == ("", ())
    assert found.subject["incident"].startswith("inc-")


async def test_the_page_in_it_tells_the_incident_and_asks_the_network_for_nothing(
    archive: Path, browser: Browser
) -> None:
    with zipfile.ZipFile(io.BytesIO(archive.read_bytes())) as zipped:
        (archive.parent / "timeline.html").write_bytes(zipped.read("timeline.html"))
    page, asked, complaints = await opened(browser, archive.parent / "timeline.html")
    await expect(page.locator("h1")).to_have_text("checkout: Pod is crash looping")
    await expect(page.locator(".verdict .word")).to_contain_text("Verified")
    for label in ("Alert", "First finding", "Asked", "Approved", "Executed", "Verified"):
        await expect(page.locator(".miles b", has_text=label)).to_have_count(1)
    assert (len(asked), complaints) == (1, [])
    await page.close()


async def test_hostile_words_run_nothing_and_cannot_widen_the_page(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "ugly.html").write_text(render(envelopes(in_order(ugly())), run_id=UGLY), encoding="utf-8")
    page, asked, complaints = await opened(browser, tmp_path / "ugly.html")
    assert (len(asked), complaints) == (1, [])
    assert await page.locator("script, img, svg, iframe, link").count() == 0
    for width in (360, 800, 1200):
        await page.set_viewport_size({"width": width, "height": 900})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await page.close()


async def test_what_is_folded_opens_without_a_script_and_the_print_says_what_is_folded(
    browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "ugly.html").write_text(render(envelopes(in_order(ugly())), run_id=UGLY), encoding="utf-8")
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto((tmp_path / "ugly.html").as_uri())
    fold = page.locator("details", has=page.get_by_text("228 more lines", exact=False)).last
    await expect(page.get_by_text("attempt 239", exact=False).first).to_be_hidden()
    await fold.locator("summary").click()
    await expect(fold.get_by_text("attempt 239", exact=False)).to_be_visible()
    assert len(await page.pdf(prefer_css_page_size=True)) > 20_000
    await context.close()


async def opened(browser: Browser, file: Path) -> tuple[Page, list[str], list[str]]:
    page = await browser.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: complaints.append(line.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(file.as_uri())
    return page, asked, complaints
