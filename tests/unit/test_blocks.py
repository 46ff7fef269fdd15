"""What Slack accepts, checked against two other people's tables, and the text helpers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import slackblocks._limits as slackblocks_limits
from hypothesis import given, strategies as st
from slack_sdk.models import blocks as sdk
from slackblocks._surfaces import _BLOCK_TYPES_BY_SURFACE

from handlers.blocks import LIMITS, degrade, escape, fit, neutralise, problems, view_problems
from handlers.blocks.elements import ELEMENTS
from handlers.blocks.table import BLOCKS, SURFACES

# Names where slackblocks keeps a number per element and the table keeps it once.
_SHARED = {
    r".*_PLACEHOLDER": "placeholder",
    r"PLAIN_TEXT_INPUT_M.._LENGTH": "plain_text_input.length",
    r"RICH_TEXT_INPUT_M.._LINES": "rich_text_input.lines",
    r"RICH_TEXT_(LIST|QUOTE|PREFORMATTED)_BORDER": "rich_text.border",
    r"WORKFLOW_BUTTON_TEXT": "button.text",
    r"WORKFLOW_BUTTON_ACCESSIBILITY_LABEL": "button.accessibility_label",
    r"IMAGE_ELEMENT_(.*)": r"image.\1",
    r"VIDEO_(THUMBNAIL_URL|VIDEO_URL)": "video.url",
    r"VIDEO_PROVIDER_ICON_URL": "video.title_url",
    r"SECTION_FIELDS_ITEM": "section.fields.text",
    r"DATA_TABLE_TOTAL_CONTENT": "data_table.content",
}
# A list of two that the shape already names one by one.
_NOT_NUMBERS = {"DISPATCH_ACTION_CONFIGURATION_TRIGGER_ACTIONS_ON"}


def _ours(name: str) -> str:
    for pattern, key in _SHARED.items():
        if re.fullmatch(pattern, name):
            return re.sub(pattern, key, name).lower()
    return next((key for key in LIMITS if key.replace(".", "_").upper() == name), name)


_MAXIMA = {
    name: value
    for name, value in vars(slackblocks_limits).items()
    if re.search(r"_MAX(_LENGTH|_ITEMS)?$", name) and re.sub(r"_MAX(_LENGTH|_ITEMS)?$", "", name) not in _NOT_NUMBERS
}


@pytest.mark.parametrize("name", sorted(_MAXIMA))
def test_every_limit_slackblocks_knows_is_in_the_table_with_the_same_number(name: str) -> None:
    stem = re.sub(r"_MAX(_LENGTH|_ITEMS)?$", "", name)
    stem = "SECTION_FIELDS_ITEM" if name == "SECTION_FIELDS_ITEM_MAX_LENGTH" else stem
    assert LIMITS.get(_ours(stem)) == _MAXIMA[name]


@pytest.mark.parametrize(
    ("key", "number"),
    [
        ("section.text", sdk.SectionBlock.text_max_length),
        ("section.fields", sdk.SectionBlock.fields_max_length),
        ("actions.elements", sdk.ActionsBlock.elements_max_length),
        ("context.elements", sdk.ContextBlock.elements_max_length),
        ("context_actions.elements", sdk.ContextActionsBlock.elements_max_length),
        ("header.text", sdk.HeaderBlock.text_max_length),
        ("markdown.text", sdk.MarkdownBlock.text_max_length),
        ("button.value", sdk.ButtonElement.value_max_length),
        ("button.text", sdk.ButtonElement.text_max_length),
        ("action_id", sdk.InteractiveElement.action_id_max_length),
        ("block_id", sdk.Block.block_id_max_length),
        ("confirmation.text", sdk.ConfirmObject.text_max_length),
        ("option.value", sdk.Option.value_max_length),
        ("overflow.options", sdk.OverflowMenuElement.options_max_length),
        ("image.alt_text", sdk.ImageBlock.alt_text_max_length),
        ("input.label", sdk.InputBlock.label_max_length),
    ],
)
def test_the_limits_of_slack_sdk_are_the_same(key: str, number: int) -> None:
    assert LIMITS[key] == number


@pytest.mark.parametrize("surface", ["message", "modal", "home"])
def test_the_blocks_of_each_surface_are_those_slackblocks_allows(surface: Any) -> None:
    assert SURFACES[surface] == _BLOCK_TYPES_BY_SURFACE[surface]


@pytest.mark.parametrize(
    "kind", [c for c in vars(sdk).values() if isinstance(c, type) and issubclass(c, sdk.Block | sdk.BlockElement)]
)
def test_every_field_slack_sdk_can_send_is_known(kind: Any) -> None:
    name = getattr(kind, "type", None)
    shape = (BLOCKS if issubclass(kind, sdk.Block) else ELEMENTS).get(str(name))
    if shape is None:
        assert name in (None, "call", "auth_provider", "url") or "rich_text_" in str(name)
        return
    known = object.__new__(kind).attributes
    known = known.fget(object.__new__(kind)) if isinstance(known, property) else known
    # These SDK attributes are inherited by elements that do not have them.
    inherited = {"alt_text", "placeholder", "confirm", "initial_options", "dispatch_action_config"}
    assert known - inherited <= shape.fields.keys()


def text(words: str = "words", kind: str = "mrkdwn") -> dict[str, Any]:
    return {"type": kind, "text": words}


def button(**more: Any) -> dict[str, Any]:
    return {"type": "button", "text": text("Go", "plain_text"), "action_id": "go", **more}


def section(words: str = "words", **more: Any) -> dict[str, Any]:
    return {"type": "section", "text": text(words), **more}


def actions(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "actions", "elements": list(elements)}


CONFIRM = {name: text("x", "plain_text") for name in ("title", "text", "confirm", "deny")}
INPUT = {"type": "input", "label": text("L", "plain_text"), "element": {"type": "plain_text_input", "action_id": "a"}}
RICH = {
    "type": "rich_text",
    "elements": [
        {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "kubectl <!channel>"}]},
        {
            "type": "rich_text_list",
            "style": "bullet",
            "elements": [{"type": "rich_text_section", "elements": [{"type": "user", "user_id": "U1"}]}],
        },
    ],
}
TASK = {"task_id": "1", "title": "Look", "status": "pending", "details": RICH}
FEEDBACK = {"text": text("Good", "plain_text"), "value": "up"}
CHART = {
    "type": "data_visualization",
    "title": "Minutes",
    "chart": {
        "type": "bar",
        "series": [{"name": "saved", "data": [{"label": "Mon", "value": 3}]}],
        "axis_config": {"categories": ["Mon"]},
    },
}
TABLE = {"type": "table", "rows": [[{"type": "raw_text", "text": "a"}, RICH]], "column_settings": [None]}
CARD = {"type": "card", "title": text("Card"), "actions": [button()]}
CONTAINER = {"type": "container", "title": text("More", "plain_text"), "child_blocks": [section()]}
SELECT = {
    "type": "static_select",
    "action_id": "s",
    "options": [{"text": text("One", "plain_text"), "value": "1"}],
    "confirm": CONFIRM,
}
VALID = {
    "section": section(accessory=SELECT, fields=[text()]),
    "header": {"type": "header", "text": text("Title", "plain_text")},
    "divider": {"type": "divider", "block_id": "d"},
    "actions": actions(button(style="danger", confirm=CONFIRM, visible_to_user_ids=["U1"]), SELECT),
    "context": {
        "type": "context",
        "elements": [text(), {"type": "image", "image_url": "https://a/b", "alt_text": "b"}],
    },
    "context_actions": {
        "type": "context_actions",
        "elements": [{"type": "feedback_buttons", "positive_button": FEEDBACK, "negative_button": FEEDBACK}],
    },
    "markdown": {"type": "markdown", "text": "**bold**"},
    "rich_text": RICH,
    "table": TABLE,
    "plan": {"type": "plan", "title": "Plan", "tasks": [TASK]},
    "task_card": {"type": "task_card", **TASK, "status": "complete"},
    "data_visualization": CHART,
    "card": CARD,
    "carousel": {"type": "carousel", "elements": [CARD]},
    "container": CONTAINER,
    "image": {"type": "image", "slack_file": {"id": "F1"}, "alt_text": "chart"},
    "input": INPUT,
}


@pytest.mark.parametrize("kind", VALID)
def test_a_well_formed_block_has_no_problem_in_a_message(kind: str) -> None:
    assert problems([VALID[kind]]) == []


def _codes(*blocks: Any, surface: Any = "message") -> set[tuple[str, str]]:
    return {(problem.pointer, problem.code) for problem in problems(list(blocks), surface)}


@pytest.mark.parametrize(
    ("block", "pointer", "code"),
    [
        (section("x" * 3001), "/blocks/0/text/text", "too_long"),
        (section(""), "/blocks/0/text/text", "too_short"),
        (section(fields=[text("x" * 2001)]), "/blocks/0/fields/0/text", "too_long"),
        ({"type": "section"}, "/blocks/0", "missing"),
        ({"type": "header", "text": text("x")}, "/blocks/0/text/type", "invalid_value"),
        ({"type": "header", "text": text("x" * 151, "plain_text")}, "/blocks/0/text/text", "too_long"),
        ({"type": "heading"}, "/blocks/0/type", "unknown_type"),
        ({}, "/blocks/0/type", "unknown_type"),
        ("words", "/blocks/0", "wrong_type"),
        (actions(), "/blocks/0/elements", "too_few"),
        (actions(*(button(action_id=str(n)) for n in range(26))), "/blocks/0/elements", "too_many"),
        (actions(button(), button()), "/blocks/0", "duplicate"),
        (actions(button(value="x" * 2001)), "/blocks/0/elements/0/value", "too_long"),
        (actions(button(style="warning")), "/blocks/0/elements/0/style", "invalid_value"),
        (actions(button(url="javascript:alert(1)")), "/blocks/0/elements/0/url", "invalid_url"),
        (actions(button(colour="red")), "/blocks/0/elements/0", "unknown_field"),
        (actions(button(confirm={**CONFIRM, "title": text("x" * 101, "plain_text")})),
         "/blocks/0/elements/0/confirm/title/text", "too_long"),
        (actions({"type": "plain_text_input", "action_id": "a"}), "/blocks/0/elements/0/type", "not_supported_here"),
        ({"type": "context", "elements": [button()]}, "/blocks/0/elements/0/type", "invalid_value"),
        ({"type": "markdown", "text": "x" * 12001}, "/blocks/0/text", "too_long"),
        ({**TABLE, "rows": TABLE["rows"] * 101}, "/blocks/0/rows", "too_many"),
        ({**TABLE, "rows": [TABLE["rows"][0] * 11]}, "/blocks/0/rows/0", "too_many"),
        ({**TABLE, "rows": [*TABLE["rows"], TABLE["rows"][0] * 2]}, "/blocks/0/rows", "invalid_value"),
        ({"type": "plan", "title": "p", "tasks": [TASK, TASK]}, "/blocks/0/tasks", "duplicate"),
        ({"type": "plan", "title": "p", "tasks": [{**TASK, "details": "words"}]}, "/blocks/0/tasks/0/details", "wrong_type"),
        ({"type": "task_card", **TASK}, "/blocks/0/status", "invalid_value"),
        ({**CHART, "chart": {**CHART["chart"], "axis_config": {"categories": ["Tue"]}}},
         "/blocks/0/chart/series/0/data", "invalid_value"),
        ({**CONTAINER, "child_blocks": [CARD]}, "/blocks/0/child_blocks/0/type", "not_supported_here"),
        ({**CONTAINER, "child_blocks": [actions(button(), button())]}, "/blocks/0/child_blocks/0", "duplicate"),
        ({"type": "image", "alt_text": "x"}, "/blocks/0", "missing"),
        ({"type": "alert", "text": text()}, "/blocks/0/type", "not_supported_here"),
    ],
)  # fmt: skip
def test_a_block_slack_refuses_is_reported_where_it_is_wrong(block: Any, pointer: str, code: str) -> None:
    assert (pointer, code) in _codes(block)


CELLS = [[{"type": "raw_text", "text": "x" * 10_001}, {"type": "raw_number", "value": 1}]]
DATA_TABLE = {"type": "data_table", "caption": "c", "rows": CELLS * 2}
PIE = {"type": "pie", "segments": [{"label": "a", "value": 0}]}
SERIES = CHART["chart"]["series"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("block", "pointer", "code"),
    [
        (DATA_TABLE, "/blocks/0/rows", "too_long"),
        ({**CONTAINER, "is_collapsible": True, "has_header_divider": True}, "/blocks/0", "invalid_value"),
        ({**CHART, "chart": {**CHART["chart"], "series": SERIES * 2}}, "/blocks/0/chart/series", "duplicate"),
        ({**CHART, "chart": PIE}, "/blocks/0/chart/segments/0/value", "out_of_range"),
        ({"type": "markdown", "text": 7}, "/blocks/0/text", "wrong_type"),
        ({"type": "section", "text": "words"}, "/blocks/0/text", "wrong_type"),
        ({"type": "section", "text": {**text(), "emoji": True}}, "/blocks/0/text", "unknown_field"),
        ({"type": "section", "text": text(), "expand": "yes"}, "/blocks/0/expand", "wrong_type"),
        ({"type": "section", "text": text(), "fields": {}}, "/blocks/0/fields", "wrong_type"),
        (actions(button(confirm="sure?")), "/blocks/0/elements/0/confirm", "wrong_type"),
        ({**INPUT, "element": {**INPUT["element"], "max_length": "9"}}, "/blocks/0/element/max_length", "wrong_type"),
        (
            {**INPUT, "element": {**INPUT["element"], "max_length": 3001}},
            "/blocks/0/element/max_length",
            "out_of_range",
        ),
        ({"type": "plan", "title": "", "tasks": []}, "/blocks/0/title", "wrong_type"),
        ({"type": "plan", "title": "p", "tasks": [{**TASK, "type": "card"}]}, "/blocks/0/tasks/0/type", "unknown_type"),
    ],
)
def test_a_field_of_the_wrong_kind_or_size_is_reported(block: Any, pointer: str, code: str) -> None:
    assert (pointer, code) in _codes(block)


def test_a_problem_reads_like_slacks_own() -> None:
    [problem] = problems([section("x" * 3001)])
    assert str(problem) == "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"


def test_block_ids_are_unique_also_inside_containers() -> None:
    child = {**CONTAINER, "child_blocks": [section(block_id="b")]}
    assert ("/blocks", "duplicate") in _codes(section(block_id="b"), child)
    assert _codes(section(block_id="b"), section(block_id="c")) == set()


def test_a_message_holds_fifty_blocks_and_a_view_a_hundred() -> None:
    assert ("/blocks", "too_many") in _codes(*[{"type": "divider"}] * 51)
    assert _codes(*[{"type": "divider"}] * 50) == set()
    assert _codes(*[{"type": "divider"}] * 100, surface="home") == set()
    assert ("/blocks", "too_many") in _codes(*[{"type": "divider"}] * 101, surface="home")


def test_markdown_is_counted_over_the_whole_message() -> None:
    half = {"type": "markdown", "text": "x" * 6001}
    assert ("/blocks", "too_long") in _codes(half, half)


def test_a_message_that_is_too_long_altogether_says_so_in_slacks_word() -> None:
    assert _codes(*[section("x" * 3000)] * 4) == set()
    assert ("/blocks", "msg_blocks_too_long") in _codes(*[section("x" * 3000)] * 5)
    assert _codes(*[section("x" * 3000)] * 5, surface="home") == set()


def test_one_table_and_two_charts_are_the_most_a_message_shows() -> None:
    assert ("/blocks", "too_many") in _codes(TABLE, TABLE)
    assert _codes(CHART, CHART) == set()
    assert ("/blocks", "too_many") in _codes(CHART, CHART, CHART)


@pytest.mark.parametrize("kind", ["plan", "markdown", "task_card", "context_actions"])
def test_blocks_for_messages_are_refused_in_a_modal_and_at_home(kind: str) -> None:
    for surface in ("modal", "home"):
        assert ("/blocks/0/type", "not_supported_here") in _codes(VALID[kind], surface=surface)


MODAL = {"type": "modal", "title": text("T", "plain_text"), "submit": text("Go", "plain_text"), "blocks": [INPUT]}


@pytest.mark.parametrize(
    ("view", "pointer", "code"),
    [
        ({**MODAL, "title": text("x" * 25, "plain_text")}, "/view/title/text", "too_long"),
        ({**MODAL, "private_metadata": "x" * 3001}, "/view/private_metadata", "too_long"),
        ({**MODAL, "submit": None}, "/view", "missing"),
        ({**MODAL, "blocks": [VALID["plan"]]}, "/view/blocks/0/type", "not_supported_here"),
        ({**MODAL, "type": "dialog"}, "/view/type", "unknown_type"),
        ({"type": "home"}, "/view", "missing"),
        ({"type": "home", "title": text("T", "plain_text"), "blocks": []}, "/view", "unknown_field"),
        ("words", "/view", "wrong_type"),
    ],
)
def test_a_view_slack_refuses_is_reported_where_it_is_wrong(view: Any, pointer: str, code: str) -> None:
    assert (pointer, code) in {(problem.pointer, problem.code) for problem in view_problems(view)}


def test_a_modal_and_a_home_view_are_accepted() -> None:
    assert view_problems(MODAL) == []
    assert view_problems({"type": "home", "blocks": [section(), TABLE, CARD]}) == []


def _spoiled(value: Any) -> Iterator[Any]:
    """Every variant of a block in which one value, however deep, is something else."""
    yield from (None, 7, "\ud800", [], {}, [7], [[None]], {"type": 7}, {"type": []})
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from ({**value, key: variant} for variant in _spoiled(inner))
    if isinstance(value, list):
        for at, inner in enumerate(value):
            yield from ([*value[:at], variant, *value[at + 1 :]] for variant in _spoiled(inner))


@pytest.mark.parametrize("kind", [*VALID, "modal"])
def test_no_json_in_any_place_makes_the_validator_fail(kind: str) -> None:
    for variant in _spoiled(MODAL if kind == "modal" else VALID[kind]):
        problems([variant])
        view_problems(variant)
        view_problems({**MODAL, "blocks": [variant]})


# ---- text ----

WORDS = st.text(
    st.sampled_from("a &<>`~\n|!@#:/()[]*_😀👨‍👩‍👧漢字\x00\u202e\u200b\u2060") | st.characters(), max_size=300
)


@given(WORDS)
def test_neutralising_twice_changes_nothing(words: str) -> None:
    assert neutralise(neutralise(words)) == neutralise(words)


@given(WORDS)
def test_neutral_text_holds_nothing_slack_would_act_on(words: str) -> None:
    neutral = neutralise(words)
    assert not re.search(r"<[!@#]|<[a-zA-Z][a-zA-Z0-9+.-]*:|\]\(|```|~~~|[a-zA-Z]://", neutral)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u200b\u2066-\u2069\ufeff]", neutral)


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("<!channel> help", "<\u2060!channel> help"),
        ("<@U1> <#C1> <!subteam^S1>", "<\u2060@U1> <\u2060#C1> <\u2060!subteam^S1>"),
        ("<https://evil|Login>", "<\u2060https:\u2060//evil|Login>"),
        ("![x](https://evil/?secret)", "![x]\u2060(https:\u2060//evil/?secret)"),
        ("a\u202egnp.exe", "a⟨U+202E⟩gnp.exe"),
        ("pass\u200bword\x00", "pass⟨U+200B⟩word⟨U+0000⟩"),
        ("\x1b[31mred", "⟨U+001B⟩[31mred"),
        ("```\n*bold*", "ˋˋˋ\n*bold*"),
        ("one\r\ntwo\tthree", "one\ntwo\tthree"),
        ("family 👨‍👩‍👧 ❤️", "family 👨‍👩‍👧 ❤️"),
    ],
)
def test_hostile_text_is_shown_and_does_nothing(hostile: str, shown: str) -> None:
    assert neutralise(hostile) == shown


def test_escaping_is_slacks_three_signs() -> None:
    assert escape("a < b && c > d") == "a &lt; b &amp;&amp; c &gt; d"


@given(WORDS, st.integers(0, 200))
def test_fitted_text_is_never_too_long_nor_cut_inside_an_entity(words: str, limit: int) -> None:
    fitted = fit(escape(words), limit)
    assert len(fitted) <= limit
    assert not re.search(r"&(?!amp;|lt;|gt;)", fitted)


@given(WORDS.map(lambda words: words.replace("`", "")), st.integers(25, 200))
def test_a_fence_is_closed_when_the_text_is_cut_inside_it(words: str, limit: int) -> None:
    assert fit(f"```\n{words * 3}\n```", limit).count("```") % 2 == 0


@given(st.lists(st.text("abc", min_size=1, max_size=9), min_size=2, max_size=60), st.integers(40, 120))
def test_cut_text_ends_on_a_line_and_says_how_many_are_missing(lines: list[str], limit: int) -> None:
    *kept, note = fit("\n".join(lines), limit).split("\n")
    if note.startswith("+"):
        assert lines[: len(kept)] == kept
        assert int(note[1:].split()[0]) == len(lines) - len(kept)
    else:
        assert [*kept, note] == lines


def test_a_link_is_kept_whole_or_left_out() -> None:
    assert "<" not in fit(f"{'x' * 20}<https://example.com/{'y' * 40}|label> rest", 60)


def test_a_megabyte_on_one_line_is_cut_at_once() -> None:
    assert fit("😀" * 1_000_000, 3000).endswith("…")
    assert len(fit(escape("<" * 1_000_000), 3000)) <= 3000
    assert fit("漢\n" * 500_000, 3000).endswith(" lines")


@pytest.mark.parametrize("kind", ["plan", "task_card", "table", "data_visualization", "markdown"])
def test_a_newer_block_becomes_older_ones_with_the_same_words(kind: str) -> None:
    plain = degrade([VALID[kind]])
    assert {block["type"] for block in plain} <= {"section", "context"}
    assert problems(plain) == []
    shown = str(plain)
    words = {"plan": "Look", "task_card": "kubectl", "table": "a", "data_visualization": "Mon 3", "markdown": "*bold*"}
    assert words[kind] in shown


def test_a_long_block_loses_no_words_when_it_is_replaced() -> None:
    lines = [f"line {number} {'x' * 90}" for number in range(110)]
    plain = degrade([{"type": "markdown", "text": "\n".join(lines)}])
    assert [line for block in plain for line in block["text"]["text"].split("\n")] == lines
    assert problems(plain) == []


def test_blocks_every_workspace_knows_are_left_alone() -> None:
    kept = [VALID["section"], VALID["actions"], RICH]
    assert degrade(kept) == kept
