"""Words in conditions that name something of ours: a tool, a group, a calendar. One that there is none of is a typo."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from policies.conditions import Problem, nearest

_WORD = r"""["']([^"'\\\n]*)["']"""
_WORDS = re.compile(_WORD)


def unknown_words(text: str, known: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Each word that is compared with a fact of `known` (`tool.name` -> its values) and is none of them.

    Looks at `fact == "x"` and `!=` either way round, `fact in ["x", "y"]` and `"x" in fact`.
    """
    for fact, values in known.items():
        for found in _comparisons(fact).finditer(text):
            for word in _WORDS.finditer(found[0]):
                if word[1] not in values:
                    place = found.start() + word.start(1)
                    line, column = text.count("\n", 0, place) + 1, place - text.rfind("\n", 0, place)
                    yield Problem(line, column, f"{fact} is never '{word[1]}'{nearest(word[1], values)}")


def _comparisons(fact: str) -> re.Pattern[str]:
    name = rf"(?<![\w.]){re.escape(fact)}(?![\w.])"
    listed = rf"\[\s*{_WORD}(?:\s*,\s*{_WORD})*\s*\]"
    return re.compile(rf"{name}\s*(?:==|!=)\s*{_WORD}|{_WORD}\s*(?:==|!=|\bin)\s*{name}|{name}\s+in\s*{listed}")
