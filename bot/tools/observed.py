"""Two observed states of one target compared, for the sentence that says why nothing was done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def moved_since(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two observed states, in words; empty where nothing does."""
    keys = [key for key in sorted({*before, *now}) if before.get(key) != now.get(key)]
    return "; ".join(f"{key.replace('_', ' ')} {_shown(before.get(key))} -> {_shown(now.get(key))}" for key in keys)


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
