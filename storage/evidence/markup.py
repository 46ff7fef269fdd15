"""HTML by construction: text is escaped where it is put in, so that nothing recorded can become a tag or an attribute.

Elements and attributes are named by this package alone. Recorded text only ever becomes text: never an attribute's value,
an address or a style.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Any

# What a reader cannot see, or what turns the reading order: shown as its code point instead. A joiner stays inside an
# emoji, and U+2060 where our own messages break what Slack would act on.
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c\u200e\u200f"
    "\u2028-\u202e\u2061-\u206f\u2800\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    "|(?<![<\\]:*_~])\u2060"
    "|(?<![\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d|\u200d(?![\u2190-\u2bff\U0001f000-\U0001faff])"
)
_PILED = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{4})[\u0300-\u036f"
    "\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
_WIDTH = 100  # characters of a line of JSON
_VOID = frozenset({"meta"})
_WHOLE_LINES, _FIRST_LINES = 18, 12  # up to so many are shown whole; of more, so many stand above the fold
_WHOLE, _FIRST = 2400, 1600  # the same in characters


@dataclass(frozen=True)
class Html:
    """Markup that this package wrote: what `tag`, `shown` and `joined` make, and nothing else."""

    text: str


Child = Html | str | None
NOTHING = Html("")


def tag(name: str, /, *children: Child, **attributes: str) -> Html:
    """An element. A child that is a str is recorded text; an attribute that is empty is left out; `class_` is class."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items() if value
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{joined(*children).text}</{name}>")


def joined(*children: Child) -> Html:
    """Pieces one after the other."""
    return Html(
        "".join(child.text if isinstance(child, Html) else shown(child).text for child in children if child is not None)
    )


def shown(text: str) -> Html:
    """Recorded text as text: escaped, with what hides or turns text written out as ⟨U+202E⟩."""
    plain = _PILED.sub(r"\1", text.replace("\r\n", "\n"))
    return Html(_HIDDEN.sub(_mark, escape(plain)))


def _mark(found: re.Match[str]) -> str:
    return f'<i class="odd">⟨U+{ord(found[0]):04X}⟩</i>'


def spaced(pieces: Iterable[Child], between: str) -> Html:
    """Pieces with some of our own words between them."""
    kept = [joined(piece) for piece in pieces if piece is not None]
    return Html(shown(between).text.join(piece.text for piece in kept))


def code(text: str) -> Html:
    """A name or a value, literally."""
    return tag("code", text)


def said(text: str, class_: str = "") -> Html:
    """Recorded words that keep their lines. Long ones are folded after the first lines: everything is there."""
    return _folded(text, "said", class_)


def literal(text: str, class_: str = "") -> Html:
    """Recorded output, monospaced; folded like `said`."""
    return _folded(text, "out", class_)


def pretty(value: Any, indent: str = "") -> str:
    """Plain JSON for reading: what fits on a line stands on one."""
    flat = json.dumps(value, ensure_ascii=False, sort_keys=True)
    if len(flat) + len(indent) <= _WIDTH or not isinstance(value, dict | list) or not value:
        return flat
    inner = indent + "  "
    if isinstance(value, dict):
        rows = [f"{json.dumps(key, ensure_ascii=False)}: {pretty(value[key], inner)}" for key in sorted(value)]
    else:
        rows = [pretty(item, inner) for item in value]
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    return f"{opening}\n{inner}" + f",\n{inner}".join(rows) + f"\n{indent}{closing}"


def folded(summary: Child, *children: Child) -> Html:
    """Something that is shown when it is opened."""
    return tag("details", tag("summary", summary), *children)


def table(head: Iterable[str], rows: Iterable[Iterable[Child]], class_: str = "") -> Html:
    """A table with a line of headings."""
    heading = tag("tr", *(tag("th", word, scope="col") for word in head))
    body = [tag("tr", *(tag("td", cell) for cell in row)) for row in rows]
    return tag("table", tag("thead", heading), tag("tbody", *body), class_=class_)


def pairs(rows: Iterable[tuple[str, Child]]) -> Html:
    """Labels and values; a value that is None or empty is left out."""
    kept = [(label, value) for label, value in rows if value is not None and value not in ("", NOTHING)]
    return tag("dl", *(tag("div", tag("dt", label), tag("dd", value)) for label, value in kept), class_="pairs")


def diff(text: str) -> Html:
    """A unified diff, line by line; all of it."""
    return tag("pre", *(_diff_line(line) for line in text.splitlines()), class_="diff")


def _diff_line(line: str) -> Html:
    kinds = {"+": "add", "-": "del", "@": "hunk"}
    kind = "file" if line.startswith(("--- ", "+++ ")) else kinds.get(line[:1], "")
    return tag("span", line + "\n", class_=kind)


def _folded(text: str, kind: str, more: str) -> Html:
    class_ = f"{kind} {more}".strip()
    text = text.rstrip("\n")
    end = _fold_at(text)
    if end >= len(text):
        return tag("pre", text, class_=class_)
    rest = text[end:].removeprefix("\n")
    lines = rest.count("\n") + 1
    what = f"{lines:,} more lines" if lines > 1 else "the rest of the line"
    return tag(
        "div",
        tag("pre", text[:end], class_=class_),
        folded(f"{what} ({len(rest):,} characters)", tag("pre", rest, class_=class_)),
        class_="fold",
    )


def _fold_at(text: str) -> int:
    """Where the fold is: the text's length where it is short enough to be shown whole."""
    if len(text) <= _WHOLE and text.count("\n") < _WHOLE_LINES:
        return len(text)
    end = 0
    for _ in range(_FIRST_LINES):
        newline = text.find("\n", end + 1)
        if newline < 0 or newline > _FIRST:
            break
        end = newline
    return end or _FIRST
