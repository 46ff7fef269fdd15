"""What the workspace's page makes of text: Slack's formatting, and never anything more."""

import html
import re
from importlib import resources

import pytest
from hypothesis import given, settings, strategies as st
from playwright.async_api import Page, expect

from tests.stories.page_desk import (
    Desk,
    plain,
    preformatted,
    rich,
    section,
)

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


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
PROPERTY = settings(max_examples=20)
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
