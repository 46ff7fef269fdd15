"""Text on a terminal: recorded text that cannot steer it, colours where a person looks, lines that hang together."""

from __future__ import annotations

import os
import textwrap
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

WIDTH = 110
"""Columns where nobody looks, so that a file is the same whoever writes it."""

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def printable(text: str) -> str:
    """The text with whatever could move the cursor, recolour or reorder shown as its code; line breaks stay."""
    if text.isprintable():
        return text
    return "".join(map(_shown, text.replace("\r\n", "\n")))


def _shown(letter: str) -> str:
    if letter.isprintable() or letter == "\n":
        return letter
    if letter == "\t" or unicodedata.category(letter) == "Zs":
        return " "
    return f"\\u{{{ord(letter):x}}}"


@dataclass(frozen=True)
class Paper:
    """What is written on: how wide, and whether in colour."""

    width: int = WIDTH
    colour: bool = False

    def paint(self, text: str, *styles: str) -> str:
        """The text in these styles, as it is where there are no colours."""
        if not self.colour or not text:
            return text
        codes = ";".join(_STYLES[style] for style in styles if style)
        return f"\x1b[{codes}m{text}\x1b[0m" if codes else text

    def wrap(self, text: str, indent: int) -> Iterator[str]:
        """The text in lines that fit behind an indent; its own line breaks are kept."""
        for line in text.split("\n"):
            yield from textwrap.wrap(line, max(24, self.width - indent), break_on_hyphens=False) or [""]

    def cut(self, text: str, indent: int) -> str:
        """The text as one line that fits behind an indent."""
        line, room = " ".join(text.split("\n")), max(24, self.width - indent)
        return line if len(line) <= room else f"{line[: room - 1]}…"


def paper_for(stream: TextIO) -> Paper:
    """Colours and the window's width on a terminal; the width of a file and no colours everywhere else.

    NO_COLOR takes the colours away wherever it is set, as https://no-color.org asks.
    """
    if not stream.isatty():
        return Paper()
    columns = os.get_terminal_size(stream.fileno()).columns
    return Paper(max(60, min(columns, 160)) if columns else WIDTH, colour=not os.environ.get("NO_COLOR"))
