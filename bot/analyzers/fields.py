"""Reading foreign JSON without trusting its shape: a missing field, a null and a wrong type all read as empty."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def at(value: Any, *path: str) -> Any:
    """The value at a path of keys, None where any step is missing or no map."""
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value


def mapping(value: Any, *path: str) -> Mapping[str, Any]:
    """The map at a path, else an empty one."""
    found = at(value, *path)
    return found if isinstance(found, Mapping) else {}


def items(value: Any, *path: str) -> list[Mapping[str, Any]]:
    """The maps in the list at a path; anything else in it is left out."""
    found = at(value, *path)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list | tuple) else []


def text(value: Any, *path: str) -> str:
    """The string at a path without what cannot be printed, else an empty one."""
    found = at(value, *path)
    if not isinstance(found, str):
        return ""
    if found.isprintable():
        return found
    # not only control characters: what turns the direction of text around, and what no font has, deceives or hides
    return "".join(char if char.isprintable() or char in "\n\t" else " " for char in found)


def number(value: Any, *path: str) -> int | None:
    """The integer at a path; a boolean, a float or a string is none."""
    found = at(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def count(value: Any, *path: str) -> int:
    """The integer at a path, 0 where there is none: how Kubernetes leaves out zero counts."""
    return number(value, *path) or 0


def when(value: Any, *path: str) -> datetime | None:
    """The RFC 3339 time at a path, in UTC."""
    try:
        found = datetime.fromisoformat(text(value, *path).strip())
    except ValueError:
        return None
    try:
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:  # year 1 or 9999 in a zone that leaves the calendar
        return None


def labels(value: Any, *path: str) -> dict[str, str]:
    """The string-to-string map at a path: labels, a selector."""
    return {str(key): item for key, item in mapping(value, *path).items() if isinstance(item, str)}


def condition(value: Any, kind: str) -> Mapping[str, Any]:
    """The status condition of this type, else an empty map."""
    return next((item for item in items(value, "status", "conditions") if text(item, "type") == kind), {})


def name_of(value: Any) -> str:
    """metadata.name."""
    return text(value, "metadata", "name")


def owner_of(value: Any) -> tuple[str, str]:
    """Kind and name of the controlling owner, empty where there is none."""
    owners = items(value, "metadata", "ownerReferences")
    owner = next((item for item in owners if item.get("controller") is True), owners[0] if len(owners) == 1 else {})
    return text(owner, "kind"), text(owner, "name")


def short(value: str, limit: int = 200) -> str:
    """One line of at most `limit` characters."""
    line = " ".join(value.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def clock(moment: datetime | None) -> str:
    """How a time is written in a finding."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC") if moment else "an unknown time"


def plural(n: int, noun: str) -> str:
    """`1 pod`, `3 pods`."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def sentence(words: str) -> str:
    """The words with a capital at the start."""
    return words[:1].upper() + words[1:]
