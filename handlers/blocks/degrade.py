"""The same words without the newer blocks, for a workspace that refuses them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .checks import LIMITS
from .text import escape

Block = dict[str, Any]

_MARKS = {"pending": "○", "in_progress": "◔", "complete": "✓", "error": "✗"}


def degrade(blocks: list[Block]) -> list[Block]:
    """`blocks` with every plan, task card, table, chart, markdown and uploaded picture replaced by sections of its words."""
    return [new for block in blocks for new in _degraded(block)]


def _degraded(block: Block) -> Iterator[Block]:
    match block.get("type"):
        case "markdown":
            yield from _sections(_mrkdwn(str(block.get("text", ""))))
        case "plan":
            yield _context(escape(str(block.get("title", ""))))
            yield from _sections("\n".join(_task(task) for task in block.get("tasks", [])))
        case "task_card":
            yield from _sections(_task(block))
        case "table" | "data_table":
            rows = [" | ".join(escape(_words(cell)) for cell in row) for row in block.get("rows", [])]
            yield from _sections("\n".join(rows))
        case "image" if block.get("slack_file"):
            yield _context(escape(str(block.get("alt_text", ""))))
        case "context_actions" if all(one.get("type") == "feedback_buttons" for one in block.get("elements", [])):
            pressed = [button for element in block.get("elements", []) for button in _buttons(element)]
            yield {"type": "actions", "elements": pressed}
        case "data_visualization":
            yield _context(escape(str(block.get("title", ""))))
            yield from _sections("\n".join(_chart(block.get("chart", {}))))
        case _:
            yield block


def _buttons(element: Block) -> Iterator[Block]:
    """A pair of feedback buttons as two of the ordinary kind, whose action ids differ."""
    for name in ("positive_button", "negative_button"):
        button = {key: element[name][key] for key in ("text", "value", "accessibility_label") if key in element[name]}
        yield {"type": "button", "action_id": f"{element['action_id']}.{name.partition('_')[0]}", **button}


def _context(text: str) -> Block:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": f"*{text}*"[: LIMITS["text"]]}]}


def _sections(text: str) -> Iterator[Block]:
    """Sections of whole lines, each short enough; nothing is left out."""
    most, piece = LIMITS["section.text"], ""
    for line in text.split("\n"):
        for start in range(0, max(len(line), 1), most):
            part = line[start : start + most]
            if piece and len(piece) + 1 + len(part) > most:
                yield _section(piece)
                piece = part
            else:
                piece = f"{piece}\n{part}" if piece else part
    if piece.strip():
        yield _section(piece)


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _mrkdwn(markdown: str) -> str:
    """Headings and bold in Slack's older notation; the rest reads well enough as it is."""
    text = re.sub(r"^#{1,6} +(.+)$", r"*\1*", markdown, flags=re.MULTILINE)
    return re.sub(r"\*\*(?=\S)(.+?)(?<=\S)\*\*", r"*\1*", text)


def _task(task: Block) -> str:
    mark = _MARKS.get(str(task.get("status")), "•")
    said = [_words(task[field]) for field in ("details", "output") if task.get(field)]
    lines = [f"{mark} {escape(str(task.get('title', '')))}", *(escape(text) for text in said if text)]
    lines += [f"<{source['url']}|{escape(source['text'])}>" for source in task.get("sources") or []]
    return "\n".join(lines)


def _chart(chart: Block) -> Iterator[str]:
    for segment in chart.get("segments", []):
        yield escape(f"{segment['label']}: {segment['value']}")
    for series in chart.get("series", []):
        points = ", ".join(f"{point['label']} {point['value']}" for point in series["data"])
        yield escape(f"{series['name']}: {points}")


def _words(value: Any) -> str:
    """The text inside a cell or a rich text block, in reading order."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            return str(value["text"])
        if "value" in value:
            return str(value["value"])
        for key in ("url", "name", "user_id", "channel_id"):
            if isinstance(value.get(key), str):
                return str(value[key])
        between = "\n" if value.get("type") in ("rich_text", "rich_text_list") else ""
        return between.join(_words(part) for part in value.get("elements", []))
    return str(value)
