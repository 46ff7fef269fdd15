"""The workspace's page, in a real Chromium, against the real workspace and a real bolt app over Socket Mode."""

import asyncio
import html
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.async_api import Browser, BrowserContext, Locator, Page, async_playwright, expect
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.local.workspace import Workspace

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Json = dict[str, Any]

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Browser]:
    if not CHROMIUM.exists():
        if os.environ.get("CI"):
            pytest.fail(f"{CHROMIUM} is not installed, and CI has to run these tests")
        pytest.skip(f"{CHROMIUM} is not installed")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        await running.close()


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


@pytest_asyncio.fixture(loop_scope="module")
async def desk(browser: Browser) -> AsyncIterator[Desk]:
    async with desk_for(browser) as running:
        yield running
        assert running.complaints == []


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


# --- untrusted text ---------------------------------------------------------------------------------------------------

HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"


async def test_markup_from_the_wire_is_shown_as_text_wherever_it_stands(desk: Desk) -> None:
    field_of = {"title": HOSTILE, "value": HOSTILE, "short": True}
    attachment = {"color": "javascript:1", "title": HOSTILE, "title_link": "javascript:alert(1)", "fields": [field_of]}
    blocks = [
        {"type": "header", "text": plain(HOSTILE)},
        section(
            "<javascript:alert(1)|click> <https://x.example/|" + HOSTILE.replace("<", "&lt;").replace(">", "&gt;") + ">"
        ),
        {
            "type": "markdown",
            "text": f"{HOSTILE} [x](javascript:alert(1)) ![y](https://x.example/i.png) <!channel> <@U1>",
        },
        rich({"type": "rich_text_section", "elements": [{"type": "text", "text": HOSTILE}]}, preformatted(HOSTILE)),
        {"type": "plan", "title": HOSTILE, "tasks": [{"task_id": "1", "title": HOSTILE, "status": "complete"}]},
        {"type": "table", "rows": [[{"type": "raw_text", "text": HOSTILE}]]},
    ]
    page = await desk.open()
    await desk.post(HOSTILE, blocks=blocks, attachments=[attachment])
    await desk.workspace.say("jonas", "incidents", HOSTILE)
    await expect(page.locator("#primary .message")).to_have_count(2)
    assert await page.locator("#primary .message :is(script, img, iframe, object, [onerror])").count() == 0
    assert await page.locator("#primary .message .mention").count() == 0
    links = await page.locator("#primary .message a").evaluate_all("all => all.map(a => a.protocol)")
    assert set(links) == {"https:"}
    assert "owned" not in await page.title()
    assert (await page.locator("#primary .message").first.inner_text()).count("<script>") == 11


async def test_a_script_that_got_into_the_page_would_not_run(desk: Desk) -> None:
    page = await desk.open()
    await page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.ran = true'; document.body.append(s); }"
    )
    assert await page.evaluate("window.ran") is None
    assert any("Content Security" in complaint for complaint in desk.complaints)
    desk.complaints.clear()


MARKS = st.text(st.sampled_from("*_~`<>|@#!&;:\n\\ ab1[]()-/.^") | st.characters(), max_size=60)
TEXTS = st.lists(MARKS, min_size=1, max_size=40)
PROPERTY = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
RENDER = """async ([format, texts]) => {
  const { mrkdwn } = await import('/page/mrkdwn.js');
  const { markdown } = await import('/page/markdown.js');
  const { richText } = await import('/page/richtext.js');
  const { add, h } = await import('/page/dom.js');
  const literal = (text) => ({ type: 'rich_text_preformatted', elements: [{ type: 'text', text }] });
  const rich = (text) => richText({ elements: [literal(text)] });
  const forms = { mrkdwn, markdown, rich };
  return texts.map((text) => {
    const box = add(h('div'), forms[format](text));
    const every = (selector, what) => [...new Set([...box.querySelectorAll(selector)].map(what))];
    return { text: box.textContent, html: box.innerHTML, mentions: box.querySelectorAll('.mention').length,
      tags: every('*', (element) => element.localName), protocols: every('a', (link) => link.protocol) };
  });
}"""
TAGS = {"a", "blockquote", "br", "code", "div", "em", "h1", "hr", "li", "ol", "p", "pre", "s", "span", "strong", "svg"}
TAGS |= {"table", "tbody", "td", "th", "thead", "time", "tr", "ul", "use"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def still_page(browser: Browser) -> AsyncIterator[Page]:
    async with desk_for(browser) as desk:
        yield await desk.open()


@PROPERTY
@given(texts=TEXTS)
@pytest.mark.parametrize("form", ["mrkdwn", "markdown"])
async def test_no_text_makes_more_than_formatting_and_harmless_links(
    still_page: Page, form: str, texts: list[str]
) -> None:
    for made in await still_page.evaluate(RENDER, [form, texts]):
        assert set(made["tags"]) <= TAGS
        assert set(made["protocols"]) <= {"http:", "https:", "mailto:", "tel:"}
        assert form == "mrkdwn" or made["mentions"] == 0


@PROPERTY
@given(texts=TEXTS)
async def test_escaped_text_never_becomes_a_mention(still_page: Page, texts: list[str]) -> None:
    escaped = [html.escape(f"<!channel> {text} <@U07MARA0001>", quote=False) for text in texts]
    made = await still_page.evaluate(RENDER, ["mrkdwn", escaped])
    assert [one["mentions"] for one in made] == [0] * len(texts)


@PROPERTY
@given(texts=TEXTS)
async def test_preformatted_rich_text_shows_exactly_what_it_was_given(still_page: Page, texts: list[str]) -> None:
    made = await still_page.evaluate(RENDER, ["rich", texts])
    assert [one["text"] for one in made] == texts


PIECES = ["*a ", "**a ", "`", "_", "[a](", "> ", "- ", "<@", "~~", "| a ", "\\*", "![", "*_~", ":a"]


@pytest.mark.parametrize(("form", "longest"), [("mrkdwn", 40_000), ("markdown", 12_000)])
async def test_the_longest_text_that_slack_takes_is_drawn_in_under_a_second(
    still_page: Page, form: str, longest: int
) -> None:
    timed = (
        f"async (given) => {{ const t = performance.now(); await ({RENDER})(given); return performance.now() - t; }}"
    )
    for piece in PIECES:
        assert await still_page.evaluate(timed, [form, [(piece * longest)[:longest]]]) < 1000, piece


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("*a* _b_ ~c~ `d`", "<strong>a</strong> <em>b</em> <s>c</s> <code>d</code>"),
        ("snake_case_name 2*3*4", "snake_case_name 2*3*4"),
        ("*bold `x*y` on*", "<strong>bold <code>x*y</code> on</strong>"),
        ("_a *b* c_", "<em>a <strong>b</strong> c</em>"),
        ("a &lt;b&gt; &amp;amp;", "a &lt;b&gt; &amp;amp;"),
        ("```a\n*b*```", '<pre class="fence">a\n*b*</pre>'),
        ("```open", "```open"),
        ("> q\n> r\nend", "<blockquote>q<br>r</blockquote>end"),
        ("12:30:45 :nothing:", "12:30:45 :nothing:"),
    ],
)
async def test_mrkdwn_reads_as_slack_reads_it(still_page: Page, text: str, markup: str) -> None:
    assert [one["html"] for one in await still_page.evaluate(RENDER, ["mrkdwn", [text]])] == [markup]


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("**a** *b* `c` ~~d~~", "<p><strong>a</strong> <em>b</em> <code>c</code> <s>d</s></p>"),
        ("```sh\nkubectl *get*\n```", '<pre class="fence">kubectl *get*</pre>'),
        ("1. a\n   - b\n2. c", '<ol start="1"><li><p>a</p><ul><li><p>b</p></li></ul></li><li><p>c</p></li></ol>'),
        ("> a\n> b", "<blockquote><p>a<br>b</p></blockquote>"),
        ("snake_case_name", "<p>snake_case_name</p>"),
    ],
)
async def test_markdown_reads_as_markdown(still_page: Page, text: str, markup: str) -> None:
    made = await still_page.evaluate(RENDER, ["markdown", [text]])
    assert [one["html"] for one in made] == [f'<div class="markdown">{markup}</div>']


async def test_every_emoji_of_the_map_has_its_drawing() -> None:
    page = resources.files("bot.local.workspace") / "page"
    names = re.findall(r"(\w+): \"", page.joinpath("emoji.js").read_text().partition("const SAME")[0])
    assert sorted(names) == sorted(re.findall(r'symbol id="(\w+)"', page.joinpath("emoji.svg").read_text()))


# --- buttons and dialogs ----------------------------------------------------------------------------------------------


async def test_a_confirmed_button_sends_one_click_and_a_cancelled_one_none(desk: Desk) -> None:
    page = await desk.open()
    await desk.post(
        "card", blocks=[section("card"), actions(button("Approve", "approve", style="primary", confirm=CONFIRM))]
    )
    approve = page.get_by_role("button", name="Approve")
    await approve.click()
    dialog = page.get_by_role("dialog", name="Roll back?")
    await expect(dialog).to_contain_text("3 pods restart")
    await dialog.get_by_role("button", name="No", exact=True).click()
    await expect(dialog).to_have_count(0)
    await approve.click()
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)
    await expect(approve).to_be_focused()
    assert desk.heard == []
    await approve.click()
    await dialog.get_by_role("button", name="Do it").dblclick()
    await desk.until_heard()
    assert [heard["actions"][0]["value"] for heard in desk.heard] == ["value of approve"]
    assert desk.heard[0]["user"]["id"] == desk.workspace.user("mara")


async def test_a_double_click_sends_one_click(desk: Desk) -> None:
    page = await desk.open()
    await desk.post("card", blocks=[actions(button("Go", "go"), button("Then", "then"))])
    await page.get_by_role("button", name="Go").dblclick()
    await desk.until_heard()
    await page.get_by_role("button", name="Then").click()
    assert [heard["actions"][0]["action_id"] for heard in await desk.until_heard(2)] == ["go", "then"]


async def test_a_button_for_others_is_not_shown(desk: Desk) -> None:
    jonas = desk.workspace.user("jonas")
    await desk.post(
        "card", blocks=[actions(button("For Jonas", "one", visible_to_user_ids=[jonas]), button("For all", "two"))]
    )
    page, other = await desk.open("mara"), await desk.open("jonas")
    await expect(other.get_by_role("button", name="For Jonas")).to_be_visible()
    await expect(page.get_by_role("button", name="For all")).to_be_visible()
    await expect(page.get_by_role("button", name="For Jonas")).to_have_count(0)


async def test_choices_feedback_and_overflow_arrive_as_slack_sends_them(desk: Desk) -> None:
    options = [{"text": plain(name), "value": name} for name in ("staging", "production")]
    select = {"type": "static_select", "action_id": "where", "placeholder": plain("Where?"), "options": options}
    more = {"type": "overflow", "action_id": "more", "options": options}
    feedback = {
        "type": "feedback_buttons",
        "action_id": "vote",
        "positive_button": {"text": plain("Good"), "value": "up"},
    }
    feedback["negative_button"] = {"text": plain("Bad"), "value": "down"}
    page = await desk.open()
    await desk.post("c", blocks=[actions(select, more), {"type": "context_actions", "elements": [feedback]}])
    await page.get_by_role("button", name="Where?").click()
    await page.get_by_role("menuitemradio", name="production").click()
    await desk.until_heard(1)
    await page.locator("#primary .message").get_by_role("button", name="More actions").first.click()
    await page.get_by_role("menuitem", name="staging").click()
    await desk.until_heard(2)
    await page.get_by_role("button", name="Bad").click()
    chosen = [body["actions"][0] for body in await desk.until_heard(3)]
    assert [chosen[0]["selected_option"]["value"], chosen[1]["selected_option"]["value"], chosen[2]["value"]] == [
        "production",
        "staging",
        "down",
    ]
    await expect(page.get_by_role("button", name="Bad")).to_have_attribute("aria-pressed", "true")


async def test_a_dialog_puts_the_errors_under_their_fields_and_keeps_what_was_typed(desk: Desk) -> None:
    page = await desk.open()
    await desk.post("card", blocks=[actions(button("Deny…", "open"))])
    await page.get_by_role("button", name="Deny…").click()
    dialog = page.get_by_role("dialog", name="Deny the rollback")
    reason = dialog.get_by_label("Reason")
    await expect(reason).to_be_focused()
    submit = dialog.get_by_role("button", name="Deny", exact=True)
    await submit.click()
    await expect(dialog.get_by_role("alert")).to_have_text("Please complete this required field.")
    assert len(desk.heard) == 1
    await reason.fill("no")
    await dialog.get_by_role("button", name="How").click()
    await page.get_by_role("menuitemradio", name="slowly").click()
    await submit.click()
    await expect(dialog.locator("[data-block-id=why]").get_by_role("alert")).to_have_text("Say what you saw.")
    await expect(reason).to_have_value("no")
    await expect(reason).to_be_focused()
    await reason.fill("the wrong revision")
    await submit.click()
    await expect(dialog).to_have_count(0)
    values = desk.heard[-1]["view"]["state"]["values"]
    assert values["why"]["text"]["value"] == "the wrong revision"
    assert values["how"]["pick"]["selected_option"]["value"] == "slowly"


async def test_a_loading_dialog_becomes_the_one_that_the_app_puts_in_its_place(desk: Desk) -> None:
    page = await desk.open()
    await desk.post("card", blocks=[actions(button("Deny…", "open"))])
    await page.get_by_role("button", name="Deny…").click()
    await expect(page.get_by_role("dialog")).to_have_count(1)
    [view] = desk.workspace.views("mara")
    await desk.client.views_update(
        view_id=view["id"], view={**DIALOG, "title": plain("Ready"), "blocks": [section("All set")]}
    )
    await expect(page.get_by_role("dialog", name="Ready")).to_contain_text("All set")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert desk.workspace.views("mara") == []


async def test_an_app_that_does_not_answer_is_said_in_a_sentence(desk: Desk) -> None:
    page = await desk.open()
    await desk.post("card", blocks=[actions(button("Go", "go"))])
    desk.workspace.faults.is_down = True
    await page.get_by_role("button", name="Go").click()
    await expect(page.locator("#toasts")).to_contain_text("did not answer in time")
    desk.workspace.faults.is_down = False


async def test_open_parts_and_focus_survive_an_edit_of_the_plan(desk: Desk) -> None:
    def plan(status: str) -> list[Json]:
        details = rich({"type": "rich_text_section", "elements": [{"type": "text", "text": "exit code 1"}]})
        task = {"type": "task_card", "task_id": "1", "title": "Looked at pods", "status": status, "details": details}
        return [
            {"type": "plan", "block_id": "p", "title": "Diagnosing", "tasks": [task]},
            actions(button("Stop", "stop")),
        ]

    page = await desk.open()
    ts = await desk.post("plan", blocks=plan("in_progress"))
    await expect(page.get_by_role("img", name="In progress")).to_have_count(2)
    await page.get_by_text("Looked at pods").click()
    await expect(page.get_by_text("exit code 1")).to_be_hidden()
    await page.get_by_role("button", name="Stop").focus()
    await desk.client.chat_update(
        channel=desk.workspace.channel("incidents"), ts=ts, text="plan", blocks=plan("complete")
    )
    await expect(page.get_by_role("img", name="Done")).to_have_count(2)
    await expect(page.get_by_text("exit code 1")).to_be_hidden()
    await expect(page.get_by_role("button", name="Stop")).to_be_focused()


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
