"""Globs: `*` stands for any characters, `?` for one. Case counts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_ALLOWED = re.compile(r"[\w.:@/*?-]{1,200}", re.ASCII)


class Globs:
    """A list of patterns, compiled once; one of them must match the whole text."""

    __slots__ = ("_exact", "_pattern", "patterns")

    def __init__(self, patterns: Sequence[str]) -> None:
        self.patterns = tuple(patterns)
        wild = [pattern for pattern in patterns if "*" in pattern or "?" in pattern]
        self._exact = frozenset(patterns) - frozenset(wild)
        self._pattern = re.compile("|".join(map(_regex, wild))) if wild else None

    def match(self, text: str) -> bool:
        """Whether a pattern matches."""
        return text in self._exact or (self._pattern is not None and self._pattern.fullmatch(text) is not None)

    def any_of(self, texts: Iterable[str]) -> bool:
        """Whether a pattern matches one of the texts."""
        return any(self.match(text) for text in texts)

    def __repr__(self) -> str:
        return f"Globs({list(self.patterns)})"


def is_glob(pattern: str) -> bool:
    """Whether a pattern consists of letters, digits and . : @ / _ - * ? only."""
    return _ALLOWED.fullmatch(pattern) is not None


def _regex(pattern: str) -> str:
    pattern = re.sub(r"\*+", "*", pattern)  # `**` means no more than `*`, and would backtrack
    return "".join({"*": ".*", "?": "."}.get(letter) or re.escape(letter) for letter in pattern)
