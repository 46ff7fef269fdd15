"""Figures and names as people read them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any


def clock(at: datetime) -> str:
    """04:13:04.260: the time of day in UTC, to the millisecond."""
    return at.astimezone(UTC).strftime("%H:%M:%S.") + f"{at.microsecond // 1000:03}"


def moment(at: datetime) -> str:
    """2026-11-28 04:13:04 UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def time_of_day(at: datetime) -> str:
    """04:13:04 UTC."""
    return at.astimezone(UTC).strftime("%H:%M:%S UTC")


def span(between: timedelta) -> str:
    """79 ms, 5.2 s, 4 min, 2 h 5 min, 3 d: with as many digits as matter."""
    milliseconds = round(between / timedelta(milliseconds=1))
    if milliseconds < 0:
        return f"−{span(-between)}"
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d"


def milliseconds(value: int | None) -> str:
    """The same of a number of milliseconds; a dash for what did not happen."""
    return "–" if value is None else span(timedelta(milliseconds=value))


def dollars(micros: int) -> str:
    """$0.0412 of 41,200 millionths."""
    return f"${micros / 1_000_000:.4f}"


def plural(count: int, noun: str) -> str:
    """3 events, 1 event."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def call(tool: str, arguments: Mapping[str, Any]) -> str:
    """kubernetes_scale(name="cart", replicas=3): a call on one line."""
    given = ", ".join(f"{name}={value(given)}" for name, given in sorted(arguments.items()))
    return f"{tool}({given})"


def call_lines(tool: str, arguments: Mapping[str, Any]) -> str:
    """The exact call, one argument a line."""
    rows = [f"  {name} = {value(given)}" for name, given in sorted(arguments.items())]
    return "\n".join([tool, *rows])


def value(given: Any) -> str:
    """A value as JSON on one line."""
    return json.dumps(given, ensure_ascii=False, sort_keys=True)


def sentence(text: str) -> str:
    """Words as a sentence: capital letter, full stop."""
    text = text.strip()
    if not text:
        return ""
    return text[:1].upper() + text[1:] + ("" if text[-1] in ".!?…”" else ".")


def listed(names: list[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
