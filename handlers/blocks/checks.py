"""The checks that the table of shapes is made of, the limits they use, and what they report."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# A check yields what is wrong with a value that stands at a JSON pointer.
Check = Callable[[Any, str], "Iterator[Problem]"]

# Greatest length in characters, or greatest number of items, of each limited place.
LIMITS: Mapping[str, int] = {
    "action_id": 255, "block_id": 255, "alert.text": 200, "actions.elements": 25, "context.elements": 10,
    "context_actions.elements": 5, "button.text": 75, "button.url": 3000, "button.value": 2000,
    "button.accessibility_label": 75, "button.agent_prompt": 4000, "card.title": 150, "card.subtitle": 150,
    "card.body": 200, "card.subtext": 200, "card.actions": 3, "carousel.elements": 10,
    "checkboxes.options": 10, "radio_buttons.options": 10, "overflow.options": 5, "confirmation.title": 100,
    "confirmation.text": 300, "confirmation.confirm": 30, "confirmation.deny": 30, "container.title": 150,
    "container.subtitle": 150, "container.child_blocks": 10, "data_table.rows": 201, "data_table.columns": 20,
    "data_table.page_size": 100, "data_table.content": 20000, "data_visualization.title": 50,
    "data_visualization.segments": 12, "data_visualization.segment.label": 20,
    "data_visualization.series": 12, "data_visualization.series_name": 20, "data_visualization.data": 20,
    "data_visualization.point_label": 20, "data_visualization.categories": 20,
    "data_visualization.category_label": 20, "data_visualization.axis_label": 50,
    "feedback_button.text": 75, "feedback_button.value": 2000, "feedback_button.accessibility_label": 75,
    "file_input.max_files": 10, "header.text": 150, "icon_button.value": 2000,
    "icon_button.accessibility_label": 75, "icon_button.visible_to_user_ids": 10, "image.image_url": 3000,
    "image.alt_text": 2000, "image.title": 2000, "input.label": 2000, "input.hint": 2000,
    "markdown.text": 12000, "markdown.total_text": 12000, "message.blocks": 50, "message.attachments": 100,
    "message.characters": 13200, "message.data_visualizations": 2, "message.tables": 1,
    "option.text": 75, "option.value": 150, "option.description": 75, "option.url": 3000,
    "option_group.label": 75, "option_group.options": 100, "placeholder": 150, "plain_text_input.length": 3000,
    "plan.tasks": 50, "rich_text_input.lines": 100, "rich_text_list.indent": 8, "rich_text.border": 1,
    "section.text": 3000, "section.fields": 10, "section.fields.text": 2000, "select.options": 100,
    "select.option_groups": 100, "table.rows": 100, "table.columns": 20, "table.column_settings": 20,
    "text": 3000, "video.alt_text": 2000, "video.title": 200, "video.author_name": 50,
    "video.description": 200, "video.provider_name": 50, "video.url": 3000, "video.title_url": 2000,
    "view.blocks": 100, "view.title": 24, "view.submit": 24, "view.close": 24, "view.private_metadata": 3000,
    "view.callback_id": 255, "view.external_id": 255,
}  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """One reason for Slack to refuse: where (a JSON pointer), what, and a short code for programs."""

    pointer: str
    message: str
    code: str

    def __str__(self) -> str:
        """The form of Slack's own `errors` entries."""
        return f"{self.message} [json-pointer:{self.pointer}]"


def too_many(items: Sequence[object], most: int, at: str) -> Iterator[Problem]:
    if len(items) > most:
        yield Problem(at, f"no more than {most} items allowed [{len(items)} given]", "too_many")


def string(limit: str, at_least: int = 1) -> Check:
    most = LIMITS[limit]

    def check(value: Any, at: str) -> Iterator[Problem]:
        if not isinstance(value, str):
            yield Problem(at, "must provide a string", "wrong_type")
        elif len(value) > most:
            yield Problem(at, f"must be less than {most + 1} characters", "too_long")
        elif len(value) < at_least:
            yield Problem(at, f"must be more than {at_least - 1} characters", "too_short")

    return check


def url(limit: str) -> Check:
    length = string(limit)

    def check(value: Any, at: str) -> Iterator[Problem]:
        yield from length(value, at)
        if isinstance(value, str) and not re.match(r"https?://[^\s/]|(mailto|slack):.", value):
            yield Problem(at, "must be a valid URL", "invalid_url")

    return check


def text(limit: str, kinds: Sequence[str] = ("plain_text", "mrkdwn"), at_least: int = 1) -> Check:
    characters = string(limit, at_least)
    flags = {"plain_text": {"type", "text", "emoji"}, "mrkdwn": {"type", "text", "verbatim"}}

    def check(value: Any, at: str) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield Problem(at, "must provide an object", "wrong_type")
            return
        kind = str(value.get("type"))
        if kind not in kinds:
            yield Problem(f"{at}/type", f"must be one of {', '.join(kinds)}", "invalid_value")
            return
        yield from characters(value.get("text"), f"{at}/text")
        for name in value.keys() - flags[kind]:
            yield Problem(at, f"invalid additional property: {name}", "unknown_field")

    return check


def plain(limit: str) -> Check:
    return text(limit, ("plain_text",))


def one_of(*values: object) -> Check:
    def check(value: Any, at: str) -> Iterator[Problem]:
        if value not in values:
            yield Problem(at, f"must be one of {', '.join(map(str, values))}", "invalid_value")

    return check


def integer(least: int, most: int | None = None) -> Check:
    def check(value: Any, at: str) -> Iterator[Problem]:
        if isinstance(value, bool) or not isinstance(value, int):
            yield Problem(at, "must provide an integer", "wrong_type")
        elif value < least or (most is not None and value > most):
            yield Problem(at, f"must be between {least} and {most or 'any'}", "out_of_range")

    return check


def instance(kind: type | tuple[type, ...], name: str) -> Check:
    def check(value: Any, at: str) -> Iterator[Problem]:
        if not isinstance(value, kind):
            yield Problem(at, f"must provide {name}", "wrong_type")

    return check


def items(each: Check, limit: str, at_least: int = 1) -> Check:
    def check(value: Any, at: str) -> Iterator[Problem]:
        if not isinstance(value, list):
            yield Problem(at, "must provide an array", "wrong_type")
            return
        yield from too_many(value, LIMITS[limit] if limit else len(value), at)
        if len(value) < at_least:
            yield Problem(at, f"no fewer than {at_least} items allowed", "too_few")
        for index, item in enumerate(value):
            yield from each(item, f"{at}/{index}")

    return check


@dataclass(frozen=True)
class Shape:
    """An object: its fields with their checks, which of them must be there, and groups of which one must be."""

    fields: Mapping[str, Check]
    required: tuple[str, ...] = ()
    either: tuple[str, ...] = ()


def shaped(shape: Shape) -> Check:
    def check(value: Any, at: str) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield Problem(at, "must provide an object", "wrong_type")
            return
        for name in shape.required:
            if value.get(name) is None:
                yield Problem(at, f"missing required field: {name}", "missing")
        if shape.either and not any(value.get(name) for name in shape.either):
            yield Problem(at, f"missing required field: one of {', '.join(shape.either)}", "missing")
        for name, content in value.items():
            if name not in shape.fields:
                yield Problem(at, f"invalid additional property: {name}", "unknown_field")
            elif content is not None:
                yield from shape.fields[name](content, f"{at}/{name}")

    return check


def typed(shapes: Mapping[str, Shape], allowed: Iterable[str]) -> Check:
    """An object whose `type` names its shape; types outside `allowed` are refused."""
    names = frozenset(allowed)

    def check(value: Any, at: str) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield Problem(at, "must provide an object", "wrong_type")
            return
        kind = value.get("type")
        if not isinstance(kind, str) or kind not in shapes:
            yield Problem(f"{at}/type", f"unsupported type: {kind}", "unknown_type")
        elif kind not in names:
            yield Problem(f"{at}/type", f"{kind} is not supported here", "not_supported_here")
        else:
            yield from shaped(shapes[kind])(value, at)

    return check


def positive(value: Any, at: str) -> Iterator[Problem]:
    """A number greater than zero."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
        yield Problem(at, "must be a number greater than 0", "out_of_range")


def nullable(check: Check) -> Check:
    """`check`, or nothing at all (a null in a list)."""
    return lambda value, at: iter(()) if value is None else check(value, at)


def name(value: Any, at: str) -> Iterator[Problem]:
    """A string that is not empty, of any length."""
    if not isinstance(value, str) or not value:
        yield Problem(at, "must provide a string that is not empty", "wrong_type")


BOOL = instance(bool, "a boolean")
STR = instance(str, "a string")
NUMBER = instance((int, float), "a number")
OBJECT = instance(dict, "an object")
STRINGS = items(STR, "", 0)
