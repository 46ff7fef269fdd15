"""YAML with line numbers: a small tree of nodes, built from the parser's events under limits, so that no text can hurt.

No aliases, no tags, no second document, at most `MAX_DEPTH` levels and `MAX_NODES` nodes. (The C composer follows nesting
by recursion and crashes the process on `[[[[…`; events come one by one.)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.resolver import Resolver

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20
MAX_NODES = 20_000
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,15})$")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file of the policy. `line` counts from 1."""

    file: str
    line: int
    message: str
    rule: str = ""

    def __str__(self) -> str:
        where = f"rule {self.rule}: " if self.rule else ""
        return f"{self.file}:{self.line}: {where}{self.message}"


class Unreadable(Exception):
    """The text is not a YAML document that may be used."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


@dataclass
class Node:
    """A value and where it stands. Exactly one of `text`, `items`, `entries` is in use, as `kind` says.

    `plain` is whether a scalar was written without quotes: only then can it be a number, true, false or null. `block` is
    whether it was written below a `|` or `>`.
    """

    kind: str
    file: str
    line: int
    text: str = ""
    plain: bool = False
    block: bool = False
    items: list[Node] = field(default_factory=list)
    entries: list[tuple[Node, Node]] = field(default_factory=list)

    def get(self, key: str) -> Node | None:
        """The value of a map's key."""
        return next((value for name, value in self.entries if name.text == key), None)

    def offset(self, line: int) -> int:
        """How many lines below the node the text's own line `line` (from 1) stands."""
        return line if self.block else line - 1

    def value(self) -> Any:
        """Plain Python: maps, lists, strings, integers, booleans, None. Raises ValueError for a number with a fraction."""
        if self.kind == "map":
            return {name.text: inner.value() for name, inner in self.entries}
        if self.kind == "list":
            return [item.value() for item in self.items]
        return self.scalar()

    def scalar(self) -> Any:
        """The scalar as YAML reads it, without YAML 1.1's surprises: only true and false are booleans."""
        if not self.plain:
            return self.text
        if self.text in ("", "~", "null"):
            return None
        if self.text in ("true", "false"):
            return self.text == "true"
        if _INTEGER.match(self.text):
            return int(self.text)
        if _RESOLVER.resolve(yaml.ScalarNode, self.text, (True, False)) == "tag:yaml.org,2002:float":
            raise ValueError(f"{self.text} is not a whole number: use a smaller unit, or quotes for text")
        return self.text


_RESOLVER: Any = Resolver()


def read(file: str, text: str) -> Node | None:
    """The document's root node, None for an empty file. Raises Unreadable."""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise Unreadable(Problem(file, 1, f"the file is larger than {MAX_BYTES // 1024} KiB"))
    try:
        return _Tree(file).build(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(Problem(file, mark.line + 1 if mark else 1, f"not YAML: {error.problem or error}")) from error
    except (yaml.YAMLError, ValueError, UnicodeError) as error:  # characters that YAML forbids, lone surrogates
        raise Unreadable(Problem(file, 1, f"not YAML: {str(error).splitlines()[0]}")) from error


class _Tree:
    def __init__(self, file: str) -> None:
        self._file = file
        self._open: list[tuple[Node, list[Node]]] = []
        self._root: Node | None = None
        self._nodes = 0

    def build(self, events: Iterator[Any]) -> Node | None:
        for event in events:
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                self._refuse(event, "anchors and aliases are not supported: write the value out")
            if getattr(event, "tag", None):
                self._refuse(event, f"tags are not supported: {event.tag}")
            self._take(event)
        return self._root

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._add(
                event,
                Node("scalar", self._file, _line(event), event.value, event.implicit[0], event.style in ("|", ">")),
            )
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(self._open) >= MAX_DEPTH:
                self._refuse(event, f"nested deeper than {MAX_DEPTH} levels")
            kind = "map" if isinstance(event, yaml.MappingStartEvent) else "list"
            node = Node(kind, self._file, _line(event))
            self._add(event, node)
            self._open.append((node, []))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._close()

    def _add(self, event: Any, node: Node) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._refuse(event, f"more than {MAX_NODES} values in one file")
        if self._open:
            self._open[-1][1].append(node)
        elif self._root is not None:
            self._refuse(event, "a second document in one file: use two files")
        else:
            self._root = node

    def _close(self) -> None:
        node, inner = self._open.pop()
        if node.kind == "list":
            node.items = inner
            return
        seen: dict[str, int] = {}
        for key in inner[::2]:
            if key.kind != "scalar":
                raise Unreadable(Problem(self._file, key.line, "a key must be a word"))
            if key.text in seen:
                first = f"line {seen[key.text]}"
                raise Unreadable(
                    Problem(self._file, key.line, f"the key '{key.text}' stands here twice, first in {first}")
                )
            seen[key.text] = key.line
        node.entries = list(zip(inner[::2], inner[1::2], strict=True))

    def _refuse(self, event: Any, message: str) -> None:
        raise Unreadable(Problem(self._file, _line(event), message))


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
