"""Block Kit: what Slack accepts on each surface, checked from one table, and the text that goes into it.

Pure and standard library only. The bot's sender asks `problems` before it sends, and the stand-in workspace
answers `invalid_blocks` from the same table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

from .checks import LIMITS, Problem, shaped, too_many, typed
from .degrade import degrade
from .table import BLOCKS, SURFACES, VIEWS
from .text import escape, fit, neutralise

__all__ = ["LIMITS", "Problem", "Surface", "degrade", "escape", "fit", "neutralise", "problems", "view_problems"]

Surface = Literal["message", "modal", "home"]


def problems(blocks: object, surface: Surface = "message", pointer: str = "/blocks") -> list[Problem]:
    """Everything Slack would refuse in `blocks` on `surface`; an empty list means that they can be sent."""
    if not isinstance(blocks, list):
        return [Problem(pointer, "must provide an array", "wrong_type")]
    most = LIMITS["message.blocks" if surface == "message" else "view.blocks"]
    found = list(too_many(blocks, most, pointer))
    check = typed(BLOCKS, SURFACES[surface])
    for index, block in enumerate(blocks):
        found += check(block, f"{pointer}/{index}")
        found += _own_rules(block, f"{pointer}/{index}")
    return found + list(_unique(blocks, pointer)) + list(_budgets(blocks, surface, pointer))


def view_problems(view: object) -> list[Problem]:
    """Everything Slack would refuse in a modal or an App Home view."""
    if not isinstance(view, dict):
        return [Problem("/view", "must provide an object", "wrong_type")]
    kind: Surface = "home" if view.get("type") == "home" else "modal"
    if str(view.get("type")) not in VIEWS:
        return [Problem("/view/type", f"unsupported type: {view.get('type')}", "unknown_type")]
    found = list(shaped(VIEWS[kind])(view, "/view"))
    blocks = view.get("blocks")
    if isinstance(blocks, list):
        found += problems(blocks, kind, "/view/blocks")
        asks = any(isinstance(block, dict) and block.get("type") == "input" for block in blocks)
        if kind == "modal" and asks and not view.get("submit"):
            found.append(Problem("/view", "missing required field: submit", "missing"))
    return found


def _own_rules(block: object, at: str) -> Iterator[Problem]:
    """The rules of one block that are about more than one of its fields."""
    match block:
        case {"type": "task_card", "status": "pending"}:
            yield Problem(f"{at}/status", "only a task of a plan can be pending", "invalid_value")
        case {"type": "plan", "tasks": list(tasks)}:
            ids = [task.get("task_id") for task in tasks if isinstance(task, dict)]
            yield from _repeated(ids, f"{at}/tasks", "task_id")
        case {"type": "table" | "data_table" as kind, "rows": [list(first), *rest]}:
            if any(isinstance(row, list) and len(row) != len(first) for row in rest):
                yield Problem(f"{at}/rows", "all rows must have the same number of cells", "invalid_value")
            if kind == "data_table" and _characters(block) > LIMITS["data_table.content"]:
                yield Problem(f"{at}/rows", f"more than {LIMITS['data_table.content']} characters", "too_long")
        case {"type": "data_visualization", "chart": {"series": list(series), "axis_config": dict(axes)}}:
            yield from _series(series, axes.get("categories"), f"{at}/chart/series")
        case {"type": "container", "is_collapsible": True, "has_header_divider": True}:
            yield Problem(at, "has_header_divider is only for containers that do not collapse", "invalid_value")


def _series(series: list[Any], categories: object, at: str) -> Iterator[Problem]:
    yield from _repeated([one.get("name") for one in series if isinstance(one, dict)], at, "name")
    for index, one in enumerate(series):
        data = one.get("data") if isinstance(one, dict) else None
        if not isinstance(data, list) or not isinstance(categories, list):
            continue
        labels = [point.get("label") for point in data if isinstance(point, dict)]
        if sorted(map(str, labels)) != sorted(map(str, categories)):
            yield Problem(f"{at}/{index}/data", "labels must be the categories", "invalid_value")


def _repeated(values: list[Any], at: str, what: str) -> Iterator[Problem]:
    for value, count in Counter(v for v in values if isinstance(v, str)).items():
        if count > 1:
            yield Problem(at, f'{what} "{value}" already exists', "duplicate")


def _unique(blocks: list[Any], pointer: str) -> Iterator[Problem]:
    """block_id once per surface, action_id once per block; children of a container count as blocks."""
    everyone = [
        (at, block)
        for index, parent in enumerate(blocks)
        if isinstance(parent, dict)
        for at, block in [(f"{pointer}/{index}", parent), *_children(parent, f"{pointer}/{index}")]
    ]
    yield from _repeated([block.get("block_id") for _, block in everyone], pointer, "block_id")
    for at, block in everyone:
        yield from _repeated(list(_action_ids(block)), at, "action_id")


def _children(block: dict[str, Any], at: str) -> Iterator[tuple[str, dict[str, Any]]]:
    children = block.get("child_blocks")
    for index, child in enumerate(children if isinstance(children, list) else []):
        if isinstance(child, dict):
            yield f"{at}/child_blocks/{index}", child


def _action_ids(block: dict[str, Any]) -> Iterator[Any]:
    for key in ("elements", "actions"):
        several = block.get(key)
        for element in several if isinstance(several, list) else []:
            if isinstance(element, dict):
                yield element.get("action_id")
    for key in ("accessory", "element"):
        if isinstance(block.get(key), dict):
            yield block[key].get("action_id")


def _budgets(blocks: list[Any], surface: Surface, pointer: str) -> Iterator[Problem]:
    """What a message may hold altogether."""
    known = [block for block in blocks if isinstance(block, dict)]
    kinds = Counter(str(block.get("type")) for block in known)
    for kind, limit in (("table", "message.tables"), ("data_visualization", "message.data_visualizations")):
        if kinds[kind] > LIMITS[limit]:
            yield Problem(pointer, f"no more than {LIMITS[limit]} {kind} blocks allowed", "too_many")
    markdown = sum(_characters(block) for block in known if block.get("type") == "markdown")
    if markdown > LIMITS["markdown.total_text"]:
        yield Problem(pointer, f"more than {LIMITS['markdown.total_text']} characters of markdown", "too_long")
    if surface == "message" and (total := _characters(known)) > LIMITS["message.characters"]:
        yield Problem(pointer, f"{total} characters, more than one message holds", "msg_blocks_too_long")


def _characters(value: object) -> int:
    """Characters of text shown by a block, buttons and titles included."""
    if isinstance(value, dict):
        return sum(
            len(inner) if key in ("text", "title") and isinstance(inner, str) else _characters(inner)
            for key, inner in value.items()
        )
    return sum(map(_characters, value)) if isinstance(value, list) else 0
