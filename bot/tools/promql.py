"""PromQL, as far as it has to be understood without evaluating it: what is measured, in what unit, and against what threshold.

Everything here is a guess about text that others wrote. Where it is not certain it says nothing; Prometheus itself decides what
an expression means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_STRING = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`')
_COMMENT = re.compile(r"#[^\n]*")
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LISTS = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)", re.IGNORECASE)
_WORDS = frozenset(
    {
        *("and", "or", "unless", "atan2", "bool", "offset", "by", "without", "on", "ignoring", "group_left"),
        *("group_right", "inf", "nan", "start", "end"),
    }
)
_COMPARISON = re.compile(r"==|!=|>=|<=|>|<")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?|0x[0-9a-f]+|inf)", re.IGNORECASE)
_SET_OPERATOR = re.compile(r"\b(and|or|unless)\b", re.IGNORECASE)
_FLIPPED = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "==", "!=": "!="}
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_UNITS = frozenset({"seconds", "bytes", "ratio", "percent", "celsius", "meters", "volts", "amperes", "joules", "grams"})
_RATES = re.compile(r"\b(?:rate|irate|deriv)\s*\(", re.IGNORECASE)
_COUNTS = re.compile(r"\b(?:count|count_values|absent|absent_over_time|count_over_time|group)\b", re.IGNORECASE)
_NAMESPACE = re.compile(r'\b(?:exported_)?namespace\s*=\s*(?:"([^"\\]*)"|\'([^\'\\]*)\')')


@dataclass(frozen=True)
class Condition:
    """An expression that compares something with a number: `measure` `operator` `threshold`."""

    measure: str
    operator: str
    threshold: str


def condition_of(expression: str) -> Condition | None:
    """The comparison that an alert's expression makes; None where it is not one with a number.

    Of `a > 1 and b < 2` the first half counts: what stands behind an `and` or `unless` only narrows it.
    """
    original = _without_comments(expression)
    text, original = _unwrapped(_hidden(original), original)
    operators = list(_at_top(text, _SET_OPERATOR))
    if any(match[0].lower() == "or" for match in operators):
        return None
    if operators:
        text, original = text[: operators[0].start()], original[: operators[0].start()]
        text, original = _unwrapped(text, original)
    found = list(_at_top(text, _COMPARISON))
    if len(found) != 1:
        return None
    left, right = original[: found[0].start()].strip(), original[found[0].end() :].strip()
    if _NUMBER.fullmatch(right) and left:
        return Condition(left, found[0][0], right)
    return Condition(right, _FLIPPED[found[0][0]], left) if _NUMBER.fullmatch(left) and right else None


def metric_names(expression: str) -> tuple[str, ...]:
    """The metrics that an expression names, in order; those given only by a matcher on __name__ are not seen."""
    return tuple(dict.fromkeys(_named(expression)))


def unit_of(expression: str) -> str:
    """The unit of an expression's values as far as its metrics' names say it; empty where they do not."""
    text = _without_braces(_hidden(_without_comments(expression)))
    names = _named(expression)
    units = {_of_name(name) for name in names}
    if len(units) != 1 or "*" in text or _COUNTS.search(text):
        return ""
    [unit] = units
    if "/" in text:
        return "ratio" if len(names) > 1 else ""
    if _RATES.search(text) and "histogram_quantile" not in text:
        return f"{unit} per second" if unit else "per second"
    return unit


def namespace_of(expression: str) -> str:
    """The one namespace that an expression is about; empty where it names none or several."""
    found = {one or other for one, other in _NAMESPACE.findall(_without_comments(expression))}
    return found.pop() if len(found) == 1 else ""


def _named(expression: str) -> list[str]:
    text = _LISTS.sub(" ", _without_braces(_hidden(_without_comments(expression))))
    return [
        match[0]
        for match in _NAME.finditer(text)
        if match[0].lower() not in _WORDS
        and not re.match(r"\s*\(", text[match.end() :])
        and _begins(text, match.start())
    ]


def _of_name(name: str) -> str:
    parts = [part for part in name.split("_") if part not in ("total", "sum", "bucket", "created")]
    return parts[-1] if parts and parts[-1] in _UNITS else ""


def _hidden(text: str) -> str:
    """The text with the inside of its strings blanked; every place stays where it was."""
    return _STRING.sub(lambda match: match[0][0] + " " * (len(match[0]) - 2) + match[0][-1], text)


def _without_comments(text: str) -> str:
    hidden = _hidden(text)
    spans = [match.span() for match in _COMMENT.finditer(hidden)]
    for begin, end in reversed(spans):
        text = text[:begin] + " " * (end - begin) + text[end:]
    return text


def _without_braces(text: str) -> str:
    return re.sub(r"\[[^\]]*\]", " ", re.sub(r"\{[^}]*\}", " ", text))


def _begins(text: str, place: int) -> bool:
    """Whether a name begins there, and is not the tail of a number (5m, 1e3)."""
    return place == 0 or not (text[place - 1].isalnum() or text[place - 1] in "_.")


def _unwrapped(text: str, original: str) -> tuple[str, str]:
    """Both without the parentheses around the whole."""
    while True:
        lead = len(text) - len(text.lstrip())
        end = len(text.rstrip())
        text, original = text[lead:end], original[lead:end]
        if not text.startswith("(") or _closing(text, 0) != len(text) - 1:
            return text, original
        text, original = text[1:-1], original[1:-1]


def _closing(text: str, place: int) -> int:
    """Where the bracket that opens at `place` closes; -1 where it does not."""
    depth = 0
    for index in range(place, len(text)):
        if text[index] in _BRACKETS:
            depth += 1
        elif text[index] in _BRACKETS.values():
            depth -= 1
            if depth == 0:
                return index
    return -1


def _at_top(text: str, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """The matches outside of every bracket and string. `text` has the inside of its strings blanked."""
    depths, depth = [], 0
    for letter in text:
        depth -= letter in _BRACKETS.values()
        depths.append(depth)
        depth += letter in _BRACKETS
    yield from (match for match in pattern.finditer(text) if depths[match.start()] == 0)
