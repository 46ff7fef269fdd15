"""The workspace's page, in a real Chromium, against the real workspace and a real bolt app over Socket Mode."""

import re

import pytest
from playwright.async_api import Browser, expect

from bot.local.workspace import Workspace
from bot.local.workspace.web_api_files import PROCESSING_S
from tests.stories.page_desk import (
    Desk,
    actions,
    button,
    desk_for,
    message,
    preformatted,
    rich,
    section,
)

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


# --- messages ---------------------------------------------------------------------------------------------------------


async def test_a_message_appears_in_an_open_page_without_a_reload(desk: Desk) -> None:
    page = await desk.open()
    await desk.post("checkout is *down*")
    await expect(message(page, "checkout is down").locator("strong")).to_have_text("down")
    await expect(message(page, "checkout is down").locator(".badge")).to_have_text("APP")


async def test_what_a_person_writes_reaches_the_workspace_with_its_mention_and_its_link(desk: Desk) -> None:
    page = await desk.open()
    await page.locator("#primary textarea").fill("@Jonas Weber see https://wiki.example/a?b=1&c=2. *now* <b>")
    await page.keyboard.press("Enter")
    sent = message(page, "see")
    await expect(sent.locator(".mention")).to_have_text("@Jonas Weber")
    await expect(sent.locator("a")).to_have_attribute("href", "https://wiki.example/a?b=1&c=2")
    await expect(sent.locator("strong")).to_have_text("now")
    await expect(sent).to_contain_text("<b>")
    stored = desk.workspace.messages("incidents")[-1]
    assert stored["user"] == desk.workspace.user("mara")
    assert f"<@{desk.workspace.user('jonas')}>" in stored["text"]


async def test_shift_enter_breaks_the_line_and_an_unsent_draft_waits_in_its_channel(desk: Desk) -> None:
    page = await desk.open()
    box = page.locator("#primary textarea")
    await box.press_sequentially("one")
    await box.press("Shift+Enter")
    await box.press_sequentially("two")
    await page.locator(".side-item", has_text="general").click()
    await expect(box).to_have_value("")
    await page.locator(".side-item", has_text="incidents").click()
    await expect(box).to_have_value("one\ntwo")
    assert desk.workspace.messages("incidents") == []


async def test_a_thread_shows_its_count_and_its_replies_and_takes_an_answer(desk: Desk) -> None:
    root = await desk.post("alert")
    for number in range(3):
        await desk.post(f"step {number}", thread_ts=root)
    page = await desk.open()
    bar = message(page, "alert").locator(".thread-bar")
    await expect(bar).to_contain_text("3 replies")
    await expect(message(page, "step 0")).to_have_count(0)
    await bar.click()
    await expect(page.locator("#thread .message")).to_have_count(4)
    await page.locator("#thread textarea").fill("thanks")
    await page.keyboard.press("Enter")
    await expect(page.locator("#thread .message").last).to_contain_text("thanks")
    await expect(bar).to_contain_text("4 replies")
    assert desk.workspace.messages("incidents", root)[-1]["text"] == "thanks"


async def test_an_edit_a_reaction_and_a_deletion_show_where_they_happened(desk: Desk) -> None:
    page = await desk.open()
    first, second = await desk.post("to be edited"), await desk.post("to go")
    channel = desk.workspace.channel("incidents")
    await expect(message(page, "to go")).to_be_visible()
    await desk.client.chat_update(channel=channel, ts=first, text="it was edited")
    await desk.client.reactions_add(channel=channel, timestamp=first, name="eyes")
    await desk.client.chat_delete(channel=channel, ts=second)
    await expect(message(page, "it was edited")).to_contain_text("(edited)")
    await expect(message(page, "it was edited").locator(".reaction [aria-label=':eyes:']")).to_be_visible()
    await expect(message(page, "to go")).to_have_count(0)


async def test_a_thread_whose_parent_was_deleted_can_still_be_read(desk: Desk) -> None:
    root = await desk.post("parent")
    await desk.post("the reply", thread_ts=root)
    page = await desk.open()
    await desk.client.chat_delete(channel=desk.workspace.channel("incidents"), ts=root)
    grave = message(page, "This message was deleted.")
    await grave.locator(".thread-bar").click()
    await expect(page.locator("#thread")).to_contain_text("the reply")


async def test_a_long_channel_shows_its_end_first_and_more_on_request(desk: Desk) -> None:
    for number in range(150):
        await desk.workspace.post_as_bot("Alertmanager", "alerts", f"alert number {number:03}")
    page = await desk.open(place=f"#/channel/{desk.workspace.channel('alerts')}")
    await expect(message(page, "alert number 149")).to_be_in_viewport()
    await expect(message(page, "alert number 040")).to_have_count(0)
    reading = message(page, "alert number 050")
    await reading.scroll_into_view_if_needed()
    await page.get_by_role("button", name="Show earlier messages").click()
    await expect(message(page, "alert number 000")).to_have_count(1)
    await expect(reading).to_be_in_viewport()
    await desk.workspace.post_as_bot("Alertmanager", "alerts", "one more")
    await expect(message(page, "one more")).to_have_count(1)
    await expect(reading).to_be_in_viewport()


async def test_messages_missed_while_the_stream_was_lost_are_there_after_it(desk: Desk) -> None:
    page = await desk.open()
    await page.evaluate("() => { window.stayed = true; }")
    desk.workspace._state.close()
    await desk.post("said in between")
    await expect(message(page, "said in between")).to_be_visible()
    await desk.post("said later")
    await expect(message(page, "said later")).to_be_visible()
    assert await page.evaluate("window.stayed")


async def test_an_open_page_finds_its_way_into_a_workspace_that_was_started_anew(browser: Browser) -> None:
    page = await browser.new_page()
    async with Workspace() as first:
        await page.goto(first.url)
        await expect(page.locator(".side-item.active")).to_have_text("incidents")
        port = int(first.url.rstrip("/").rpartition(":")[2])
    await expect(page.locator(".offline")).to_be_visible()
    async with Workspace(port=port) as second:
        await second.say("jonas", "incidents", "a new day")
        await expect(message(page, "a new day")).to_be_visible()
        await page.close()


async def test_a_picture_is_shown_in_its_message_and_a_file_is_offered(desk: Desk) -> None:
    page = await desk.open()
    pixel = bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cff01f"
        "0005000201a2fdf5f40000000049454e44ae426082"
    )
    channel = desk.workspace.channel("incidents")
    await desk.client.files_upload_v2(
        channel=channel, content=pixel, filename="roi.png", title="ROI", alt_txt="Hours saved"
    )
    await desk.client.files_upload_v2(channel=channel, content=b"{}", filename="evidence.json", title="Evidence")
    picture = page.locator("#primary img[alt='Hours saved']")
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.naturalWidth") == 1
    link = page.get_by_role("link", name="Download Evidence")
    answer = await page.request.get(await link.get_attribute("href") or "")
    assert await answer.body() == b"{}"


async def test_a_block_shows_a_picture_that_stands_in_no_channel(desk: Desk) -> None:
    page = await desk.open()
    pixel = bytes.fromhex(
        "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360f8cff01f"
        "0005000201a2fdf5f40000000049454e44ae426082"
    )
    uploaded = await desk.client.files_upload_v2(content=pixel, filename="week.png")
    desk.workspace.clock.advance(PROCESSING_S)
    block = {"type": "image", "slack_file": {"id": uploaded["file"]["id"]}, "alt_text": "The week's changes"}
    await desk.post("the week", blocks=[block])
    picture = page.locator('#primary img[alt="The week\'s changes"]')
    await expect(picture).to_be_visible()
    assert await picture.evaluate("image => image.naturalWidth") == 1


async def test_a_stream_grows_and_its_cursor_ends_with_it(desk: Desk) -> None:
    root = await desk.workspace.say("mara", "incidents", "what is wrong?")
    page = await desk.open(place=f"#/channel/{desk.workspace.channel('incidents')}/{root}")
    place = {"channel": desk.workspace.channel("incidents")}
    people = {"recipient_user_id": desk.workspace.user("mara"), "recipient_team_id": desk.workspace.team_id}
    started = await desk.client.chat_startStream(**place, thread_ts=root, markdown_text="Reading **logs**", **people)
    answer = page.locator("#thread .message").nth(1)
    await expect(answer.locator("strong")).to_have_text("logs")
    await expect(answer.locator(".stream-cursor")).to_be_visible()
    await desk.client.chat_appendStream(**place, ts=started["ts"], markdown_text=" and events")
    await expect(answer).to_contain_text("and events")
    await desk.client.chat_stopStream(**place, ts=started["ts"])
    await expect(answer.locator(".stream-cursor")).to_have_count(0)


async def test_the_status_line_stands_under_its_thread_until_it_is_cleared(desk: Desk) -> None:
    root = await desk.post("alert")
    place = {"channel_id": desk.workspace.channel("incidents"), "thread_ts": root}
    page = await desk.open(place=f"#/channel/{place['channel_id']}/{root}")
    await desk.client.assistant_threads_setStatus(**place, status="is reading the logs…")
    await expect(page.locator("#thread .status-line")).to_have_text("Agent is reading the logs…")
    await desk.client.assistant_threads_setStatus(**place, status="")
    await expect(page.locator("#thread .status-line")).to_be_hidden()


# --- people and places ------------------------------------------------------------------------------------------------


async def test_an_ephemeral_is_seen_by_its_person_only(desk: Desk) -> None:
    mara, jonas = await desk.open("mara"), await desk.open("jonas")
    await desk.client.chat_postEphemeral(
        channel=desk.workspace.channel("incidents"), user=desk.workspace.user("mara"), text="not you"
    )
    await desk.post("for all")
    await expect(message(mara, "not you")).to_contain_text("Only visible to you")
    await expect(message(jonas, "for all")).to_be_visible()
    await expect(message(jonas, "not you")).to_have_count(0)


async def test_switching_the_person_changes_who_acts_and_says_their_role(desk: Desk) -> None:
    page = await desk.open("mara")
    await desk.post("card", blocks=[actions(button("Go", "go"))])
    await page.locator(".person-button.rail").click()
    people = page.get_by_role("menu", name="Switch person")
    await expect(people.locator("[role=menuitemradio]", has_text="Gita Guest")).to_contain_text("Guest")
    await expect(people.locator("[role=menuitemradio]", has_text="Jonas Weber")).to_contain_text("@sre")
    await people.locator("[role=menuitemradio]", has_text="Gita Guest").click()
    await expect(page.locator(".person-button.rail")).to_have_attribute(
        "aria-label", re.compile("You are Gita Guest, Guest")
    )
    await expect(page.locator(".side-item", has_text="alerts")).to_have_count(0)
    await page.get_by_role("button", name="Go").click()
    assert (await desk.until_heard())[0]["user"]["id"] == desk.workspace.user("gita")
    await page.reload()
    await expect(page.locator(".person-button.rail")).to_have_attribute("aria-label", re.compile("Gita"))


async def test_the_slash_offers_the_command_and_its_answer_is_for_me_alone(desk: Desk) -> None:
    page = await desk.open()
    box = page.locator("#primary textarea")
    await box.press_sequentially("/ag")
    await expect(page.get_by_role("option", name="/agent")).to_contain_text("diagnose <alert>")
    await box.press("Tab")
    await expect(box).to_have_value("/agent ")
    await box.press_sequentially("status now")
    await box.press("Enter")
    await expect(message(page, "You said status now")).to_contain_text("Only visible to you")
    assert desk.heard[0]["text"] == "status now"


async def test_a_command_in_a_thread_is_refused_as_slack_refuses_it(desk: Desk) -> None:
    root = await desk.post("alert")
    page = await desk.open(place=f"#/channel/{desk.workspace.channel('incidents')}/{root}")
    await page.locator("#thread textarea").fill("/agent status")
    await page.keyboard.press("Enter")
    await expect(page.locator("#toasts")).to_contain_text("not supported in threads")
    await expect(page.locator("#thread textarea")).to_have_value("/agent status")
    assert desk.heard == []


async def test_the_message_menu_runs_the_shortcut_on_that_message(desk: Desk) -> None:
    await desk.post("first")
    ts = await desk.post("second")
    page = await desk.open()
    await message(page, "second").hover()
    await message(page, "second").get_by_role("button", name="More actions").click()
    await page.get_by_role("menuitem", name="Diagnose with agent").click()
    [body] = await desk.until_heard()
    assert (body["callback_id"], body["message"]["ts"]) == ("diagnose_message", ts)


async def test_the_home_is_asked_for_when_it_is_opened_and_its_buttons_work(desk: Desk) -> None:
    page = await desk.open()
    await page.locator(".side-item.app").click()
    await expect(page.locator(".home-body")).to_contain_text("Good day")
    await page.get_by_role("button", name="Weekly report").click()
    assert (await desk.until_heard())[0]["container"]["type"] == "view"
    await page.get_by_role("tab", name="Messages").click()
    await page.locator("#primary textarea").fill("hello agent")
    await page.keyboard.press("Enter")
    await expect(message(page, "hello agent")).to_be_visible()


async def test_an_archived_channel_can_be_read_but_not_written_to(desk: Desk) -> None:
    await desk.post("old", channel="general")
    page = await desk.open(place=f"#/channel/{desk.workspace.channel('general')}")
    await expect(page.locator("#primary textarea")).to_be_visible()
    desk.workspace.archive("general")
    await expect(page.locator(".notice")).to_contain_text("archived channel")
    await expect(page.locator("#primary textarea")).to_be_hidden()
    await expect(message(page, "old")).to_be_visible()


async def test_what_others_wrote_elsewhere_is_unread_until_it_is_opened(desk: Desk) -> None:
    page = await desk.open()
    await desk.post("news", channel="general")
    general = page.locator(".side-item", has_text="general")
    await expect(general).to_contain_text("1")
    await general.click()
    await expect(page.locator(".new-divider")).to_be_visible()
    await page.locator(".side-item", has_text="incidents").click()
    await expect(general).to_have_text("general")


async def test_everything_can_be_reached_with_the_keyboard(desk: Desk) -> None:
    root = await desk.post("alert")
    await desk.post("reply", thread_ts=root)
    page = await desk.open()
    await expect(page.locator("#primary textarea")).to_be_focused()
    await page.keyboard.press("Control+k")
    await page.keyboard.type("gene")
    await page.keyboard.press("Enter")
    await expect(page.locator(".side-item.active")).to_have_text("general")
    await page.locator(".side-item.active").focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await expect(page.locator(".side-item.active")).to_have_text("incidents")
    await page.locator(".thread-bar").focus()
    await page.keyboard.press("Space")
    await expect(page.locator("#thread textarea")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("#thread")).to_be_hidden()


async def test_every_button_link_and_field_has_a_name(desk: Desk) -> None:
    root = await desk.post("alert", blocks=[section("alert"), actions(button("Go", "go"))])
    await desk.post("reply", thread_ts=root)
    page = await desk.open(place=f"#/channel/{desk.workspace.channel('incidents')}/{root}")
    await expect(page.locator("#thread .message")).to_have_count(2)
    nameless = """() => [...document.querySelectorAll('button, a[href], input, textarea, [role=img]')]
      .filter((e) => !(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)"""
    assert await page.evaluate(nameless) == []


@pytest.mark.parametrize("size", [(1440, 900), (1280, 800), (900, 700)])
async def test_a_card_in_a_thread_fits_the_window(desk: Desk, size: tuple[int, int]) -> None:
    root = await desk.post("alert")
    card = [rich(preformatted("x" * 400)), actions(*(button(f"Choice {n}", f"a{n}") for n in range(6)))]
    await desk.post("card", blocks=card, thread_ts=root)
    page = await desk.open(place=f"#/channel/{desk.workspace.channel('incidents')}/{root}", size=size)
    await expect(page.get_by_role("button", name="Choice 5")).to_be_in_viewport(ratio=1)
    await expect(page.locator("#thread textarea")).to_be_in_viewport(ratio=1)
    assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]


async def test_the_page_follows_the_dark_colour_scheme(browser: Browser) -> None:
    async with desk_for(browser, color_scheme="dark") as desk:
        page = await desk.open()
        await desk.post("night")
        await expect(message(page, "night")).to_be_visible()
        await expect(page.locator("#primary")).to_have_css("background-color", "rgb(26, 29, 33)")
        await expect(message(page, "night").locator(".text")).to_have_css("color", "rgb(209, 210, 211)")
