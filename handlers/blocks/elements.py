"""The table of elements: what may stand inside a block, field by field."""

from __future__ import annotations

from collections.abc import Mapping

from .checks import (
    BOOL,
    LIMITS,
    OBJECT,
    STR,
    STRINGS,
    Shape,
    integer,
    items,
    one_of,
    plain,
    shaped,
    string,
    text,
    url,
)

TYPE = {"type": STR}
_ID = {"type": STR, "action_id": string("action_id")}
_CONFIRM = shaped(
    Shape(
        {
            "title": plain("confirmation.title"),
            "text": text("confirmation.text"),
            "confirm": plain("confirmation.confirm"),
            "deny": plain("confirmation.deny"),
            "style": one_of("primary", "danger"),
        },
        ("title", "text", "confirm", "deny"),
    )
)
_OPTION_FIELDS = {
    "text": text("option.text"),
    "value": string("option.value"),
    "description": text("option.description"),
    "url": url("option.url"),
}
_OPTION = shaped(Shape(_OPTION_FIELDS, ("text", "value")))
_GROUP = shaped(
    Shape(
        {"label": plain("option_group.label"), "options": items(_OPTION, "option_group.options")},
        ("label", "options"),
    )
)
_DISPATCH = shaped(Shape({"trigger_actions_on": items(one_of("on_enter_pressed", "on_character_entered"), "", 1)}))
_SLACK_FILE = shaped(Shape({"id": STR, "url": STR}, either=("id", "url")))
_INPUT = {**_ID, "placeholder": plain("placeholder"), "focus_on_load": BOOL}
_MENU = {**_INPUT, "confirm": _CONFIRM}
_MANY = {"max_selected_items": integer(1)}
_TYPING = {**_INPUT, "dispatch_action_config": _DISPATCH, "initial_value": STR}
_OPTIONS = {
    "options": items(_OPTION, "select.options"),
    "option_groups": items(_GROUP, "select.option_groups"),
}
_FILTER = {"filter": OBJECT, "default_to_current_conversation": BOOL}
_FEEDBACK = shaped(
    Shape(
        {
            "text": plain("feedback_button.text"),
            "value": string("feedback_button.value"),
            "accessibility_label": string("feedback_button.accessibility_label"),
        },
        ("text", "value"),
    )
)
IMAGE = Shape(
    {
        **TYPE,
        "image_url": url("image.image_url"),
        "slack_file": _SLACK_FILE,
        "alt_text": string("image.alt_text"),
    },
    ("alt_text",),
    ("image_url", "slack_file"),
)
_CHOICE = {**_ID, "confirm": _CONFIRM, "focus_on_load": BOOL}
_LENGTH = integer(0, LIMITS["plain_text_input.length"])
_LINES = integer(1, LIMITS["rich_text_input.lines"])

ELEMENTS: Mapping[str, Shape] = {
    "button": Shape(
        {
            **_ID,
            "text": plain("button.text"),
            "url": url("button.url"),
            "value": string("button.value", 0),
            "style": one_of("primary", "danger"),
            "confirm": _CONFIRM,
            "accessibility_label": string("button.accessibility_label"),
            "visible_to_user_ids": STRINGS,
            "agent_prompt": string("button.agent_prompt"),
            "agent_prompt_display": STR,
        },
        ("text",),
    ),
    "workflow_button": Shape(
        {
            **_ID,
            "text": plain("button.text"),
            "workflow": OBJECT,
            "style": one_of("primary", "danger"),
            "accessibility_label": string("button.accessibility_label"),
        },
        ("text", "workflow"),
    ),
    "feedback_buttons": Shape(
        {**_ID, "positive_button": _FEEDBACK, "negative_button": _FEEDBACK},
        ("positive_button", "negative_button"),
    ),
    "icon_button": Shape(
        {
            **_ID,
            "icon": one_of("trash"),
            "text": plain("button.text"),
            "value": string("icon_button.value", 0),
            "confirm": _CONFIRM,
            "accessibility_label": string("icon_button.accessibility_label"),
            "visible_to_user_ids": items(STR, "icon_button.visible_to_user_ids", 0),
        },
        ("icon", "text"),
    ),
    "image": IMAGE,
    "checkboxes": Shape(
        {
            **_CHOICE,
            "options": items(_OPTION, "checkboxes.options"),
            "initial_options": items(_OPTION, "checkboxes.options"),
        },
        ("options",),
    ),
    "radio_buttons": Shape(
        {**_CHOICE, "options": items(_OPTION, "radio_buttons.options"), "initial_option": _OPTION},
        ("options",),
    ),
    "overflow": Shape({**_ID, "options": items(_OPTION, "overflow.options"), "confirm": _CONFIRM}, ("options",)),
    "datepicker": Shape({**_MENU, "initial_date": STR}),
    "timepicker": Shape({**_MENU, "initial_time": STR, "timezone": STR}),
    "datetimepicker": Shape({**_CHOICE, "initial_date_time": integer(0)}),
    "plain_text_input": Shape({**_TYPING, "multiline": BOOL, "min_length": _LENGTH, "max_length": _LENGTH}),
    "rich_text_input": Shape({**_TYPING, "initial_value": OBJECT, "min_lines": _LINES, "max_lines": _LINES}),
    "email_text_input": Shape(_TYPING),
    "url_text_input": Shape(_TYPING),
    "number_input": Shape(
        {**_TYPING, "is_decimal_allowed": BOOL, "min_value": STR, "max_value": STR},
        ("is_decimal_allowed",),
    ),
    "file_input": Shape({**_INPUT, "filetypes": STRINGS, "max_files": integer(1, LIMITS["file_input.max_files"])}),
    "static_select": Shape({**_MENU, **_OPTIONS, "initial_option": _OPTION}, either=("options", "option_groups")),
    "multi_static_select": Shape(
        {**_MENU, **_OPTIONS, **_MANY, "initial_options": items(_OPTION, "select.options")},
        either=("options", "option_groups"),
    ),
    "external_select": Shape({**_MENU, "initial_option": _OPTION, "min_query_length": integer(0)}),
    "multi_external_select": Shape(
        {
            **_MENU,
            **_MANY,
            "initial_options": items(_OPTION, "select.options"),
            "min_query_length": integer(0),
        }
    ),
    "users_select": Shape({**_MENU, "initial_user": STR}),
    "multi_users_select": Shape({**_MENU, **_MANY, "initial_users": STRINGS}),
    "conversations_select": Shape({**_MENU, **_FILTER, "initial_conversation": STR, "response_url_enabled": BOOL}),
    "multi_conversations_select": Shape({**_MENU, **_MANY, **_FILTER, "initial_conversations": STRINGS}),
    "channels_select": Shape({**_MENU, "initial_channel": STR, "response_url_enabled": BOOL}),
    "multi_channels_select": Shape({**_MENU, **_MANY, "initial_channels": STRINGS}),
}
