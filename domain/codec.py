"""Nouns to plain JSON and back, driven by the dataclasses' own annotations.

A datetime is UTC ISO 8601 with six decimals and Z; an enum is its value; a tuple is a list; a dataclass is a map of its
fields. `Mapping[str, Any]` fields hold plain JSON already and pass through.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from domain.errors import BadInput

T = TypeVar("T")
Decoder = Callable[[Any], Any]


def encode(value: Any) -> Any:
    """Plain JSON of a noun."""
    kind: Any = type(value)
    if kind is str or kind is int or value is None or kind is bool:
        return value
    if kind is tuple or kind is list:
        return [encode(item) for item in value]
    if kind is dict:
        return value
    names = _field_names(kind)
    if names is not None:
        return {name: encode(getattr(value, name)) for name in names}
    if isinstance(value, Enum):
        return value.value
    if kind is datetime:
        return timestamp(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise BadInput(f"{kind.__name__} has no plain form")


def decode(kind: type[T], value: Any) -> T:
    """The noun that `encode` wrote, in this version or an earlier one. Fields that are missing take their default, and so do
    those that were None when they could be; unknown fields are ignored."""
    decoder: Decoder = _decoder(kind)  # type: ignore[arg-type]  # a class is hashable
    result: T = decoder(value)
    return result


def timestamp(moment: datetime) -> str:
    """UTC, microseconds, always the same width, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """The datetime behind a timestamp."""
    return datetime.fromisoformat(text)


@cache
def _field_names(kind: Any) -> tuple[str, ...] | None:
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else None


@cache
def _decoder(kind: Any) -> Decoder:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _decode_optional(arguments)
    if origin is tuple:
        inner = _decoder(arguments[0])
        return lambda value: tuple(inner(item) for item in value)
    if is_dataclass(kind):
        return _decode_dataclass(kind)
    if kind is datetime:
        return moment
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return lambda value: value


def _decode_optional(arguments: tuple[Any, ...]) -> Decoder:
    inner = [_decoder(argument) for argument in arguments if argument is not type(None)]
    if len(inner) != 1:
        raise TypeError(f"a field may be X or X | None, not {arguments}")
    return lambda value: None if value is None else inner[0](value)


def _decode_dataclass(kind: Any) -> Decoder:
    hints = get_type_hints(kind)
    inner = {field.name: _decoder(hints[field.name]) for field in fields(kind)}
    may_be_none = {name for name, hint in hints.items() if hint is Any or type(None) in get_args(hint)}

    def decode_fields(value: Mapping[str, Any]) -> Any:
        return kind(
            **{
                name: decoder(value[name])
                for name, decoder in inner.items()
                if name in value and (value[name] is not None or name in may_be_none)
            }
        )

    return decode_fields
