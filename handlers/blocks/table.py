"""The table: every block Slack knows, its fields, and where each may stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .checks import (
    BOOL,
    LIMITS,
    NUMBER,
    STR,
    Check,
    Problem,
    Shape,
    instance,
    integer,
    items,
    name,
    nullable,
    one_of,
    plain,
    positive,
    shaped,
    string,
    text,
    typed,
    url,
)
from .elements import ELEMENTS, IMAGE, TYPE

_PLACES: Mapping[str, frozenset[str]] = {
    "actions": frozenset(
        [
            "button",
            "checkboxes",
            "radio_buttons",
            "overflow",
            "datepicker",
            "timepicker",
            "datetimepicker",
            "static_select",
            "multi_static_select",
            "external_select",
            "multi_external_select",
            "users_select",
            "multi_users_select",
            "conversations_select",
            "multi_conversations_select",
            "channels_select",
            "multi_channels_select",
            "rich_text_input",
            "workflow_button",
        ]
    ),
    "section": frozenset(ELEMENTS) - {"feedback_buttons", "icon_button", "file_input", "plain_text_input"},
    "input": frozenset(ELEMENTS)
    - {"button", "workflow_button", "feedback_buttons", "icon_button", "image", "overflow"},
    "context_actions": frozenset({"feedback_buttons", "icon_button"}),
}


def _element(place: str) -> Check:
    return typed(ELEMENTS, _PLACES[place])


def _context_element(value: Any, at: str) -> Iterator[Problem]:
    if isinstance(value, dict) and value.get("type") == "image":
        return typed(ELEMENTS, {"image"})(value, at)
    return text("text")(value, at)


_BORDER = integer(0, LIMITS["rich_text.border"])
_STYLE = shaped(Shape(dict.fromkeys(("bold", "italic", "strike", "underline", "code", "highlight"), BOOL)))
_INLINE: Mapping[str, Shape] = {
    "text": Shape({**TYPE, "text": instance(str, "a string"), "style": _STYLE}, ("text",), ("text",)),
    "link": Shape({**TYPE, "url": STR, "text": STR, "unsafe": BOOL, "style": _STYLE}, ("url",)),
    "user": Shape({**TYPE, "user_id": STR, "style": _STYLE}, ("user_id",)),
    "usergroup": Shape({**TYPE, "usergroup_id": STR, "style": _STYLE}, ("usergroup_id",)),
    "channel": Shape({**TYPE, "channel_id": STR, "style": _STYLE}, ("channel_id",)),
    "team": Shape({**TYPE, "team_id": STR, "style": _STYLE}, ("team_id",)),
    "broadcast": Shape({**TYPE, "range": one_of("here", "channel", "everyone"), "style": _STYLE}, ("range",)),
    "emoji": Shape({**TYPE, "name": STR, "unicode": STR, "skin_tone": integer(1, 6), "style": _STYLE}, ("name",)),
    "date": Shape(
        {**TYPE, "timestamp": integer(0), "format": STR, "url": STR, "fallback": STR, "style": _STYLE},
        ("timestamp", "format"),
    ),
    "color": Shape({**TYPE, "value": STR}, ("value",)),
}
_PARTS = items(typed(_INLINE, _INLINE), "", 0)
_RICH: Mapping[str, Shape] = {
    "rich_text_section": Shape({**TYPE, "elements": _PARTS}, ("elements",)),
    "rich_text_preformatted": Shape({**TYPE, "elements": _PARTS, "border": _BORDER, "language": STR}, ("elements",)),
    "rich_text_quote": Shape({**TYPE, "elements": _PARTS, "border": _BORDER}, ("elements",)),
    "rich_text_list": Shape(
        {
            **TYPE,
            "style": one_of("bullet", "ordered"),
            "elements": lambda value, at: items(typed(_RICH, {"rich_text_section"}), "", 0)(value, at),
            "indent": integer(0, LIMITS["rich_text_list.indent"]),
            "offset": integer(0),
            "border": _BORDER,
        },
        ("style", "elements"),
    ),
}
_BLOCK = {"type": STR, "block_id": string("block_id")}
_RICH_TEXT = Shape({**_BLOCK, "elements": items(typed(_RICH, _RICH), "", 0)}, ("elements",))
_RICH_VALUE = typed({"rich_text": _RICH_TEXT}, {"rich_text"})
_CELLS: Mapping[str, Shape] = {
    "raw_text": Shape({**TYPE, "text": STR}, ("text",)),
    "raw_number": Shape({**TYPE, "value": NUMBER, "text": STR}, ("value",)),
    "rich_text": _RICH_TEXT,
}
_COLUMN = shaped(Shape({"align": one_of("left", "center", "right"), "is_wrapped": BOOL}))
_TASK_FIELDS: Mapping[str, Check] = {
    **_BLOCK,
    "task_id": name,
    "title": name,
    "status": one_of("pending", "in_progress", "complete", "error"),
    "details": _RICH_VALUE,
    "output": _RICH_VALUE,
    "sources": items(typed({"url": Shape({**TYPE, "url": STR, "text": STR}, ("url", "text"))}, {"url"}), "", 0),
}
_TASK = Shape(_TASK_FIELDS, ("task_id", "title", "status"))


def _plan_task(value: Any, at: str) -> Iterator[Problem]:
    yield from shaped(_TASK)(value, at)
    if isinstance(value, dict) and value.get("type", "task_card") != "task_card":
        yield Problem(f"{at}/type", f"unsupported type: {value['type']}", "unknown_type")


_POINT = Shape({"label": string("data_visualization.point_label"), "value": NUMBER}, ("label", "value"))
_SERIES = Shape(
    {
        "name": string("data_visualization.series_name"),
        "data": items(shaped(_POINT), "data_visualization.data"),
    },
    ("name", "data"),
)
_AXES = Shape(
    {
        "categories": items(string("data_visualization.category_label"), "data_visualization.categories"),
        "x_label": string("data_visualization.axis_label"),
        "y_label": string("data_visualization.axis_label"),
    },
    ("categories",),
)
_SEGMENT = Shape({"label": string("data_visualization.segment.label"), "value": positive}, ("label", "value"))
_AXIS_CHART = Shape(
    {**TYPE, "series": items(shaped(_SERIES), "data_visualization.series"), "axis_config": shaped(_AXES)},
    ("series", "axis_config"),
)
_CHARTS: Mapping[str, Shape] = {
    "pie": Shape({**TYPE, "segments": items(shaped(_SEGMENT), "data_visualization.segments")}, ("segments",)),
    **dict.fromkeys(("bar", "area", "line"), _AXIS_CHART),
}
_CARD = Shape(
    {
        **_BLOCK,
        "hero_image": typed(ELEMENTS, {"image"}),
        "icon": typed(ELEMENTS, {"image"}),
        "slack_icon": instance(dict, "an object"),
        "title": text("card.title"),
        "subtitle": text("card.subtitle"),
        "body": text("card.body"),
        "subtext": text("card.subtext"),
        "actions": items(typed(ELEMENTS, {"button"}), "card.actions", 0),
    },
    either=("hero_image", "title", "actions", "body"),
)

CONTAINED = frozenset(
    {"actions", "context", "divider", "file", "header", "image", "input", "rich_text", "section", "table", "video"}
)
BLOCKS: Mapping[str, Shape] = {
    "actions": Shape({**_BLOCK, "elements": items(_element("actions"), "actions.elements")}, ("elements",)),
    "alert": Shape(
        {
            **_BLOCK,
            "text": text("alert.text"),
            "level": one_of("default", "info", "warning", "error", "success"),
        },
        ("text",),
    ),
    "card": _CARD,
    "carousel": Shape(
        {**_BLOCK, "elements": items(typed({"card": _CARD}, {"card"}), "carousel.elements")}, ("elements",)
    ),
    "container": Shape(
        {
            **_BLOCK,
            "title": plain("container.title"),
            "rich_text_title": _RICH_VALUE,
            "subtitle": text("container.subtitle"),
            "child_blocks": lambda value, at: items(typed(BLOCKS, CONTAINED), "container.child_blocks")(value, at),
            "width": one_of("narrow", "standard", "wide", "full"),
            "icon": typed(ELEMENTS, {"image"}),
            "is_collapsible": BOOL,
            "default_collapsed": BOOL,
            "has_header_divider": BOOL,
        },
        ("child_blocks",),
        ("title", "rich_text_title"),
    ),
    "context": Shape({**_BLOCK, "elements": items(_context_element, "context.elements")}, ("elements",)),
    "context_actions": Shape(
        {**_BLOCK, "elements": items(_element("context_actions"), "context_actions.elements")}, ("elements",)
    ),
    "data_table": Shape(
        {
            **_BLOCK,
            "rows": items(items(typed(_CELLS, _CELLS), "data_table.columns"), "data_table.rows", 2),
            "caption": name,
            "page_size": integer(1, LIMITS["data_table.page_size"]),
            "row_header_column_index": integer(0, LIMITS["data_table.columns"] - 1),
        },
        ("rows", "caption"),
    ),
    "data_visualization": Shape(
        {**_BLOCK, "title": string("data_visualization.title"), "chart": typed(_CHARTS, _CHARTS)},
        ("title", "chart"),
    ),
    "divider": Shape(_BLOCK),
    "file": Shape({**_BLOCK, "external_id": STR, "source": STR}, ("external_id", "source")),
    "header": Shape({**_BLOCK, "text": plain("header.text")}, ("text",)),
    "image": Shape({**IMAGE.fields, **_BLOCK, "title": plain("image.title")}, IMAGE.required, IMAGE.either),
    "input": Shape(
        {
            **_BLOCK,
            "label": plain("input.label"),
            "element": _element("input"),
            "hint": plain("input.hint"),
            "optional": BOOL,
            "dispatch_action": BOOL,
        },
        ("label", "element"),
    ),
    "markdown": Shape({**_BLOCK, "text": string("markdown.text")}, ("text",)),
    "plan": Shape({**_BLOCK, "title": name, "tasks": items(_plan_task, "plan.tasks", 0)}, ("title", "tasks")),
    "rich_text": _RICH_TEXT,
    "section": Shape(
        {
            **_BLOCK,
            "text": text("section.text"),
            "fields": items(text("section.fields.text"), "section.fields"),
            "accessory": _element("section"),
            "expand": BOOL,
        },
        either=("text", "fields"),
    ),
    "table": Shape(
        {
            **_BLOCK,
            "rows": items(items(typed(_CELLS, {"raw_text", "rich_text"}), "table.columns"), "table.rows"),
            "column_settings": items(nullable(_COLUMN), "table.column_settings", 0),
        },
        ("rows",),
    ),
    "task_card": _TASK,
    "video": Shape(
        {
            **_BLOCK,
            "alt_text": string("video.alt_text"),
            "title": plain("video.title"),
            "author_name": string("video.author_name"),
            "description": plain("video.description"),
            "provider_name": string("video.provider_name"),
            "provider_icon_url": url("video.title_url"),
            "thumbnail_url": url("video.url"),
            "title_url": url("video.title_url"),
            "video_url": url("video.url"),
        },
        ("alt_text", "title", "thumbnail_url", "video_url"),
    ),
}
_EVERYWHERE = {"actions", "card", "context", "divider", "header", "image", "input", "rich_text", "section", "video"}
_WIDE = {"carousel", "container", "data_table", "data_visualization", "table"}
SURFACES: Mapping[str, frozenset[str]] = {
    "message": frozenset(_EVERYWHERE | _WIDE | {"context_actions", "file", "markdown", "plan", "task_card"}),
    "modal": frozenset(_EVERYWHERE | {"alert"}),
    "home": frozenset(_EVERYWHERE | _WIDE),
}

_VIEW = {
    "type": STR,
    "blocks": instance(list, "an array"),
    "private_metadata": string("view.private_metadata", 0),
    "callback_id": string("view.callback_id", 0),
    "external_id": string("view.external_id", 0),
}
VIEWS: Mapping[str, Shape] = {
    "home": Shape(_VIEW, ("blocks",)),
    "modal": Shape(
        {
            **_VIEW,
            "title": plain("view.title"),
            "submit": plain("view.submit"),
            "close": plain("view.close"),
            "clear_on_close": BOOL,
            "notify_on_close": BOOL,
            "submit_disabled": BOOL,
        },
        ("title", "blocks"),
    ),
}
