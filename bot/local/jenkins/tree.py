"""Stapler's exports: beans with properties, and what of them an answer holds: by `tree=` or by `depth=`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(r"[,\[\]{}]|[^,\[\]{}]+")
ALL = (0, 1 << 31)


class MalformedTree(ValueError):
    """The tree expression does not parse."""


@dataclass(frozen=True)
class Prop:
    """One exported property. A deeper bean shows it where `visibility` is high enough; `inline` costs no depth."""

    value: Callable[[], Any]
    visibility: int = 1
    inline: bool = False


@dataclass(frozen=True)
class Bean:
    """An exported object: its Java class and its properties, worked out only when they are asked for."""

    kind: str
    props: Mapping[str, Prop] = field(default_factory=dict)


@dataclass
class Tree:
    """A parsed `tree=`: the properties that are wanted of a bean, and the range of a list."""

    children: dict[str, Tree] = field(default_factory=dict)
    range: tuple[int, int] = ALL


def parse(text: str) -> Tree:
    """`a,b[c,d]{0,10}` as Jenkins reads it. Raises MalformedTree."""
    reader = _Reader(text)
    root = Tree()
    _list(reader, root)
    reader.expect("")
    return root


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens: list[str] = [*_TOKEN.findall(text), ""]
        self._at = 0

    @property
    def next(self) -> str:
        return self._tokens[self._at]

    def take(self) -> str:
        token = self.next
        self._at += 1
        return token

    def accept(self, token: str) -> bool:
        if self.next != token:
            return False
        self._at += 1
        return True

    def expect(self, token: str) -> None:
        if self.next != token:
            raise MalformedTree(f"expected {token or 'EOF'} at token {self._at}")
        self._at = min(self._at + 1, len(self._tokens) - 1)

    def number(self) -> int:
        token = self.take()
        if not token.isdecimal():
            raise MalformedTree(f"expected number at token {self._at - 1}")
        return int(token)


def _list(reader: _Reader, tree: Tree) -> None:
    _node(reader, tree)
    while reader.accept(","):
        _node(reader, tree)


def _node(reader: _Reader, tree: Tree) -> None:
    name = reader.take()
    if not name or name in ",[]{}":
        raise MalformedTree("expected name")
    child = tree.children[name] = Tree()
    if reader.accept("["):
        _list(reader, child)
        reader.expect("]")
    if reader.accept("{"):
        child.range = _range(reader)
        reader.expect("}")


def _range(reader: _Reader) -> tuple[int, int]:
    if reader.accept(","):
        return 0, reader.number()
    first = reader.number()
    if reader.next == "}":
        return first, first + 1
    reader.expect(",")
    return (first, ALL[1]) if reader.next == "}" else (first, reader.number())


def export(bean: Any, tree: str | None, depth: int) -> Any:
    """The JSON of a bean, of what `tree` names, else down to `depth`."""
    return _named(bean, parse(tree)) if tree else _deep(bean, 1 - depth)


def _named(value: Any, tree: Tree) -> Any:
    if isinstance(value, list):
        return [_named(item, tree) for item in value[tree.range[0] : tree.range[1]]]
    if not isinstance(value, Bean):
        return value
    return {"_class": value.kind, **{name: _named(prop.value(), sub) for name, prop, sub in _wanted(value, tree)}}


def _wanted(bean: Bean, tree: Tree) -> Iterator[tuple[str, Prop, Tree]]:
    for name, prop in bean.props.items():
        sub = tree.children.get(name) or tree.children.get("*")
        if sub is not None:
            yield name, prop, sub


def _deep(value: Any, level: int) -> Any:
    if isinstance(value, list):
        return [_deep(item, level) for item in value]
    if not isinstance(value, Bean):
        return value
    shown = {name: prop for name, prop in value.props.items() if prop.visibility >= level}
    return {
        "_class": value.kind,
        **{name: _deep(prop.value(), level if prop.inline else level + 1) for name, prop in shown.items()},
    }
