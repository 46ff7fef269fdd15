"""Canonical JSON: the bytes that digests and the hash chain are computed over (RFC 8785).

Values are plain JSON without floats: strings, integers below 2**53, booleans, null, lists and maps. For maps whose keys
are ASCII, the standard library's encoder writes exactly RFC 8785's bytes, about ten times as fast; anything else goes to
the rfc8785 package. tests/unit/test_canonical.py holds the two against each other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import rfc8785

from domain.errors import BadInput

Json = Any
"""Plain JSON. `Any` because Python's type checkers have no good recursive JSON type."""

_MAX_INTEGER = 2**53 - 1
_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def canonical(value: Json) -> bytes:
    """The RFC 8785 bytes of a plain JSON value.

    Raises BadInput for a float, an integer that JSON cannot carry exactly, a lone surrogate, a foreign type, or values
    nested hundreds of levels deep.
    """
    try:
        if _is_simple(value):
            return _encode(value).encode()
        return rfc8785.dumps(value)
    except (UnicodeEncodeError, rfc8785.CanonicalizationError) as error:
        raise BadInput(f"not representable as canonical JSON: {error}") from error
    except RecursionError as error:
        raise BadInput("nested too deeply") from error


def sha256(data: bytes) -> str:
    """SHA-256 in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Json) -> str:
    """SHA-256 over the canonical bytes, in lower-case hex."""
    return sha256(canonical(value))


def plain(value: Json) -> Json:
    """Foreign JSON made canonical: floats and large integers become strings, lone surrogates U+FFFD, keys strings.

    Raises BadInput for values nested hundreds of levels deep.
    """
    try:
        return _plain(value)
    except RecursionError as error:
        raise BadInput("nested too deeply") from error


def _plain(value: Json) -> Json:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if _broken(value) else value
    if isinstance(value, int):
        return value if -_MAX_INTEGER <= value <= _MAX_INTEGER else str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)


def _broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _is_simple(value: Json) -> bool:
    """Whether the standard encoder's bytes are RFC 8785's; refuses what no encoder may write."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is int:
        if -_MAX_INTEGER <= value <= _MAX_INTEGER:
            return True
        raise BadInput(f"the integer {value} is too large for JSON: write it as a string")
    if kind is dict:
        # one call each over keys and values: this runs for every event
        for key in value:
            if type(key) is not str:
                raise BadInput(f"a key must be a string, not {key!r}")
        return all(map(str.isascii, value)) & all([_is_simple(item) for item in value.values()])  # noqa: C419 – refuse every float, also behind a False
    if kind is list or kind is tuple:
        return all([_is_simple(item) for item in value])  # noqa: C419 – as above
    if kind is float:
        raise BadInput(f"floats are not canonical: write {value!r} as a string or as an integer of a smaller unit")
    raise BadInput(f"{kind.__name__} is not JSON")
