"""Canonical JSON: the bytes that digests and the hash chain are computed over (RFC 8785).

Values are plain JSON without floats: strings, integers below 2**53, booleans, null, lists and maps. For maps whose keys
are ASCII, the standard library's encoder writes exactly RFC 8785's bytes, about ten times as fast; anything else goes to
the rfc8785 package. tests/unit/test_canonical.py holds the two against each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import rfc8785

from domain.errors import BadInput

Json = Any
"""Plain JSON. `Any` because Python's type checkers have no good recursive JSON type."""

_MAX_INTEGER = 2**53 - 1
_DEEPEST = 100
_TOO_DEEP = f"nested too deeply: more than {_DEEPEST} levels"
_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False
).encode


def canonical(value: Json) -> bytes:
    """The RFC 8785 bytes of a plain JSON value.

    Raises BadInput for a float, an integer that JSON cannot carry exactly, a lone surrogate, a foreign type, or more
    than a hundred levels: whoever reads it back must be able to.
    """
    try:
        if _is_simple(value):
            return _encode(value).encode()
        return rfc8785.dumps(value)
    except (UnicodeEncodeError, rfc8785.CanonicalizationError) as error:
        raise BadInput(f"not representable as canonical JSON: {error}") from error


def sha256(data: bytes) -> str:
    """SHA-256 in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Json) -> str:
    """SHA-256 over the canonical bytes, in lower-case hex."""
    return sha256(canonical(value))


def plain(value: Json) -> Json:
    """Foreign JSON made canonical: floats and large integers become strings, lone surrogates U+FFFD, keys strings.

    Raises BadInput for more than a hundred levels.
    """
    return _plain(value, 0)


def _plain(value: Json, depth: int) -> Json:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if _broken(value) else value
    if isinstance(value, int):
        return value if -_MAX_INTEGER <= value <= _MAX_INTEGER else str(value)
    if isinstance(value, float):
        return repr(value)
    if depth >= _DEEPEST:
        raise BadInput(_TOO_DEEP)
    if isinstance(value, Mapping):
        return {str(_plain(key, depth)): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in value]
    return str(value)


def _broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _is_simple(value: Json, depth: int = 0) -> bool:
    """Whether the standard encoder's bytes are RFC 8785's; refuses what no encoder may write.

    Written flat, because it looks at every value of every event.
    """
    if depth >= _DEEPEST:
        raise BadInput(_TOO_DEEP)
    simple = True
    members: Iterable[Json] = (value,)
    if type(value) is dict:
        try:
            simple = all(map(str.isascii, value))
        except TypeError as error:
            raise BadInput("a key must be a string") from error
        members = value.values()
    elif type(value) is list or type(value) is tuple:
        members = value
    for member in members:
        kind = type(member)
        if kind is str or kind is bool or member is None:
            continue
        if kind is int and -_MAX_INTEGER <= member <= _MAX_INTEGER:
            continue
        if kind is not dict and kind is not list and kind is not tuple:
            raise BadInput(_why_not(member))
        if not _is_simple(member, depth + 1):
            simple = False  # and go on, to refuse what comes later
    return simple


def _why_not(value: Json) -> str:
    if isinstance(value, float):
        return f"floats are not canonical: write {value!r} as a string or as an integer of a smaller unit"
    if isinstance(value, int):
        return f"the integer {value} is too large for JSON: write it as a string"
    return f"{type(value).__name__} is not JSON"
