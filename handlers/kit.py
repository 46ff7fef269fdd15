"""Small pieces of Block Kit. Text that nobody vouches for goes through `literal` or `code`, never straight into mrkdwn."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from handlers.blocks import escape, fit, neutralise

Block = dict[str, Any]
_USER, _CHANNEL = re.compile("[UW][A-Z0-9]{2,}"), re.compile("[CGD][A-Z0-9]{2,}")
ROOM = 11_000  # characters of a message that are used; Slack refuses more than about 13,200


@dataclass(frozen=True)
class Body:
    """A message as it should look: `text` is what notifications and screen readers get, and is never empty."""

    text: str
    blocks: tuple[Block, ...] = ()
    attachments: tuple[Block, ...] = ()


def literal(text: str, limit: int = 3000) -> str:
    """Untrusted text for a place that Slack does not parse: hidden characters shown, at most `limit` characters.

    Longer text keeps its first whole lines and says how many are missing. Never empty.
    """
    tail = ""
    if len(text) > limit:
        room = limit - 24
        newline = text.rfind("\n", room // 2, room)
        end = newline if newline > 0 else room
        missing = text.count("\n", end + 1) + (not text.endswith("\n"))
        tail = f"\n+{missing} lines" if newline > 0 or missing > 1 else "…"
        text = text[:end]
    return fit(neutralise(text), limit - len(tail)) + tail or "–"


def line(text: str, limit: int = 150) -> str:
    """Untrusted text on one line."""
    return literal(" ".join(text[: 8 * limit].split()), limit).replace("\n", " ")


def code(text: str, limit: int = 200) -> str:
    """Untrusted text as a code span in mrkdwn."""
    return "`" + escape(line(text, limit)).replace("`", "ˋ") + "`"


def safe(text: str, limit: int = 280) -> str:
    """Untrusted text as plain words in mrkdwn: it cannot mention, link or format."""
    words = escape(line(text, limit))
    for sign in "*_~`":
        words = words.replace(sign, f"{sign}\u2060") if sign != "`" else words.replace(sign, "ˋ")
    return words


def when(moment: datetime, form: str = "{date_short_pretty} {time}") -> str:
    """A moment in mrkdwn, in the reader's own time zone."""
    return f"<!date^{int(moment.timestamp())}^{form}|{utc(moment)}>"


def utc(moment: datetime) -> str:
    """A moment as everybody reads it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def person(user_id: str) -> str:
    """A user id as a mention in mrkdwn; anything that is no id as code."""
    return f"<@{user_id}>" if _USER.fullmatch(user_id) else code(user_id)


def room(channel_id: str) -> str:
    """A channel id as a link in mrkdwn; anything that is no id as code."""
    return f"<#{channel_id}>" if _CHANNEL.fullmatch(channel_id) else code(channel_id)


def permalink(home: str, channel: str, ts: str, thread_ts: str = "") -> str:
    """The address of a message, as Slack's own links are; `home` is the workspace's. Empty where it stands nowhere."""
    if not (home and channel and ts):
        return ""
    within = f"?thread_ts={thread_ts}&cid={channel}" if thread_ts not in ("", ts) else ""
    return f"{home.rstrip('/')}/archives/{channel}/p{ts.replace('.', '')}{within}"


def thread(links: Mapping[str, str], *about: str) -> str:
    """The link, in brackets, to where the first of these incidents or runs is talked about that has one; else nothing."""
    link = next((links[name] for name in about if name in links), "")
    return f" (<{link}|thread>)" if link else ""


def duration(seconds: float) -> str:
    """12 s, 4 min, 2 h 5 min, 3 d."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d"


def plural(count: int, noun: str) -> str:
    """3 alerts, 1 alert."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def json_lines(values: Mapping[str, Any], room: int = 0) -> str:
    """Arguments, one `name = JSON` a line: exact, and readable.

    Where they need more than `room` characters (0: however many), the long ones are cut and say by how much: no long
    argument pushes a short one off the card.
    """
    rows = [f"{name} = {json.dumps(value, ensure_ascii=False, sort_keys=True)}" for name, value in values.items()]
    if room and sum(map(len, rows)) + len(rows) > room:
        share = max(60, room // len(rows) - 40)
        rows = [row if len(row) <= share else f"{row[:share]}… (+{len(row) - share:,} characters)" for row in rows]
    return "\n".join(rows) or "(no arguments)"


def within(blocks: Iterable[Block], most: int = 48) -> tuple[Block, ...]:
    """As many blocks as one message holds, and how many were left out."""
    kept: list[Block] = []
    used, left_out = 0, 0
    for block in blocks:
        used += size(block)
        if left_out or len(kept) >= most or used > ROOM:
            left_out += 1
        else:
            kept.append(block)
    return (*kept, context(f"and {left_out} more")) if left_out else tuple(kept)


def size(value: Any) -> int:
    """The characters of blocks, a little more than what Slack counts."""
    if isinstance(value, dict):
        return sum(len(inner) if isinstance(inner, str) else size(inner) for inner in value.values())
    return sum(map(size, value)) if isinstance(value, list | tuple) else 0


# --- blocks -----------------------------------------------------------------------------------------------------------


def header(text: str) -> Block:
    """A heading, literal."""
    return {"type": "header", "text": {"type": "plain_text", "text": line(text, 150), "emoji": False}}


def section(mrkdwn: str) -> Block:
    """Our own words in mrkdwn; the untrusted parts have been through `safe` or `code`."""
    return {"type": "section", "text": {"type": "mrkdwn", "text": fit(mrkdwn, 3000)}}


def fields(rows: Sequence[tuple[str, str]]) -> Block:
    """Up to ten label and value pairs in two columns; values are mrkdwn."""
    return {
        "type": "section",
        "fields": [{"type": "mrkdwn", "text": fit(f"*{label}*\n{value}", 2000)} for label, value in rows[:10]],
    }


def context(*mrkdwn: str) -> Block:
    """Small grey text; each part at most 3,000 characters of mrkdwn."""
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": fit(text, 3000)} for text in mrkdwn[:10]]}


def span(text: str, limit: int = 3000, **style: bool) -> Block:
    """A literal run of rich text."""
    element: Block = {"type": "text", "text": literal(text, limit)}
    return element | {"style": style} if style else element


def paragraph(*elements: Block) -> Block:
    """One rich text section as a block."""
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(elements)}]}


def listed(texts: Sequence[str], *, ordered: bool = False, limit: int = 400) -> Block:
    """A list of literal lines."""
    items = [{"type": "rich_text_section", "elements": [span(text, limit)]} for text in texts]
    style = "ordered" if ordered else "bullet"
    return {"type": "rich_text", "elements": [{"type": "rich_text_list", "style": style, "elements": items}]}


def preformatted(text: str, limit: int = 3000) -> Block:
    """Literal monospace text: Slack parses nothing inside."""
    return {"type": "rich_text", "elements": [{"type": "rich_text_preformatted", "elements": [span(text, limit)]}]}


def address(url: str) -> Block:
    """An address that somebody else wrote, as code: Slack must not fetch it."""
    return span(line(url, 300), code=True)


def button(text: str, action_id: str, value: str, *, style: str = "", confirm: Block | None = None) -> Block:
    """A button; `value` names the thing and never holds a command."""
    block: Block = {
        "type": "button",
        "action_id": action_id,
        "text": {"type": "plain_text", "text": text, "emoji": False},
        "value": value[:2000],
    }
    if style:
        block["style"] = style
    if confirm:
        block["confirm"] = confirm
    return block


def confirm(title: str, text: str, yes: str, no: str, *, danger: bool = False) -> Block:
    """The question before a click counts."""
    return {
        "title": {"type": "plain_text", "text": line(title, 100), "emoji": False},
        "text": {"type": "plain_text", "text": literal(text, 300), "emoji": False},
        "confirm": {"type": "plain_text", "text": line(yes, 30), "emoji": False},
        "deny": {"type": "plain_text", "text": line(no, 30), "emoji": False},
        "style": "danger" if danger else "primary",
    }


def actions(*buttons: Block) -> Block:
    """A row of buttons."""
    return {"type": "actions", "elements": list(buttons)}


def plain(text: str, limit: int) -> Block:
    """A plain_text object, literal."""
    return {"type": "plain_text", "text": line(text, limit), "emoji": False}


def modal(callback_id: str, title: str, submit: str, blocks: Sequence[Block], metadata: str) -> Block:
    """A dialog; `metadata` comes back with its submission."""
    return {
        "type": "modal",
        "callback_id": callback_id,
        "title": plain(title, 24),
        "submit": plain(submit, 24),
        "close": plain("Cancel", 24),
        "private_metadata": metadata,
        "blocks": list(blocks),
    }


def field_input(
    block_id: str, label: str, *, value: str = "", multiline: bool = False, hint: str = "", most: int = 3000
) -> Block:
    """One line or area of text to fill in; its state is at values[block_id]["value"]["value"]."""
    element: Block = {"type": "plain_text_input", "action_id": "value", "multiline": multiline, "max_length": most}
    if value:
        element["initial_value"] = value
    block: Block = {"type": "input", "block_id": block_id, "label": plain(label, 200), "element": element}
    return block | {"hint": plain(hint, 200)} if hint else block
