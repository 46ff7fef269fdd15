"""What a person entered in an element, in the form Slack reports it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .state import Json, WorkspaceError

# Where each kind of element keeps what was chosen, and where the app may have put a first choice.
_KEYS = {
    "plain_text_input": ("value", "initial_value"),
    "email_text_input": ("value", "initial_value"),
    "url_text_input": ("value", "initial_value"),
    "number_input": ("value", "initial_value"),
    "rich_text_input": ("rich_text_value", "initial_value"),
    "file_input": ("files", ""),
    "static_select": ("selected_option", "initial_option"),
    "external_select": ("selected_option", "initial_option"),
    "radio_buttons": ("selected_option", "initial_option"),
    "overflow": ("selected_option", ""),
    "checkboxes": ("selected_options", "initial_options"),
    "multi_static_select": ("selected_options", "initial_options"),
    "multi_external_select": ("selected_options", "initial_options"),
    "users_select": ("selected_user", "initial_user"),
    "multi_users_select": ("selected_users", "initial_users"),
    "conversations_select": ("selected_conversation", "initial_conversation"),
    "multi_conversations_select": ("selected_conversations", "initial_conversations"),
    "channels_select": ("selected_channel", "initial_channel"),
    "multi_channels_select": ("selected_channels", "initial_channels"),
    "datepicker": ("selected_date", "initial_date"),
    "timepicker": ("selected_time", "initial_time"),
    "datetimepicker": ("selected_date_time", "initial_date_time"),
}


def elements(blocks: list[Json]) -> Iterator[tuple[Json, Json]]:
    """Every interactive element with the block it stands in, children of containers included."""
    for block in blocks:
        yield from elements(block.get("child_blocks") or [])
        several = [*(block.get("elements") or []), *(block.get("actions") or [])]
        for element in (*several, block.get("accessory"), block.get("element")):
            if isinstance(element, dict) and "action_id" in element:
                yield block, element


def chosen(element: Json, given: Any) -> Json:
    """`given` (a plain value, option values, or Slack's own form) as the state of `element`."""
    kind = element["type"]
    if isinstance(given, dict) and given.get("type") == kind:
        return given
    key, initial = _KEYS[kind]
    if given is None:
        given = element.get(initial, [] if key in ("selected_options", "files") else None)
    elif key == "selected_option":
        given = _option(element, given)
    elif key == "selected_options":
        given = [_option(element, one) for one in given]
    return {"type": kind, key: given}


def _option(element: Json, given: Any) -> Any:
    if isinstance(given, dict) or given is None:
        return given
    groups = [group["options"] for group in element.get("option_groups") or []]
    for option in [*(element.get("options") or []), *(option for group in groups for option in group)]:
        if option.get("value") == given:
            return option
    raise WorkspaceError(f"{given} is not one of the choices.")


def gather(blocks: list[Json], given: Json) -> Json:
    """The whole state of a view: what was entered, by block_id and action_id, over the first choices."""
    known = {block["block_id"] for block in blocks}
    for block_id in given.keys() - known:
        raise WorkspaceError(f"This dialog has no block {block_id}.")
    values: Json = {}
    for block, element in elements(blocks):
        if element["type"] in _KEYS and element["type"] != "overflow":
            entered = given.get(block["block_id"])
            if isinstance(entered, dict):
                entered = entered.get(element["action_id"])
            values.setdefault(block["block_id"], {})[element["action_id"]] = chosen(element, entered)
    return values


def mistakes(blocks: list[Json], values: Json) -> dict[str, str]:
    """What the client itself refuses to submit, by block_id: empty required fields, wrong lengths."""
    found = {}
    for block, element in elements(blocks):
        if block["type"] != "input":
            continue
        entered = values[block["block_id"]][element["action_id"]].get(_KEYS[element["type"]][0])
        if not entered and not block.get("optional"):
            found[block["block_id"]] = "Please complete this required field."
        elif entered and isinstance(entered, str) and element["type"] == "plain_text_input":
            least, most = element.get("min_length", 0), element.get("max_length", 3000)
            if not least <= len(entered) <= most:
                found[block["block_id"]] = f"Enter between {least} and {most} characters."
    return found
