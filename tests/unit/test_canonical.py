"""The canonical bytes are RFC 8785's, and what cannot be written exactly is refused."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import rfc8785
from hypothesis import given, strategies as st

from domain.canonical import canonical, digest_of, plain
from domain.errors import BadInput

LARGEST = 2**53 - 1
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers(-LARGEST, LARGEST) | TEXT
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT | st.sampled_from("abc"), inner), max_leaves=30
)
ANYTHING = st.recursive(
    SCALARS | st.floats() | st.integers() | st.text(st.characters()) | st.binary(max_size=4),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()) | st.integers(), inner) | st.tuples(inner),
    max_leaves=30,
)


@given(JSON)
def test_the_bytes_are_those_of_rfc_8785(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)
    assert json.loads(canonical(value)) == value


@given(st.dictionaries(st.text(st.characters(max_codepoint=0x7F)), SCALARS))
def test_the_order_in_which_a_map_was_filled_changes_nothing(value: dict[str, Any]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)


def test_keys_are_ordered_as_utf_16() -> None:
    """Where code points and UTF-16 units disagree: an emoji is above U+FF5E by code point, below it by unit."""
    assert canonical({"～": 1, "😀": 2}) == '{"😀":2,"～":1}'.encode()


def test_the_examples_of_the_standard() -> None:
    assert canonical({"literals": [None, True, False], "string": '€$\u000f\nA\'B"\\\\"/'}) == (
        b'{"literals":[null,true,false],"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_a_digest_is_sha_256_in_hex() -> None:
    assert digest_of({"b": 1, "a": ["x"]}) == hashlib.sha256(b'{"a":["x"],"b":1}').hexdigest()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (1.5, "float"),
        (1.0, "float"),
        (math.nan, "float"),
        ({"a": {"é": 0.5}}, "float"),
        ({"é": [0.5]}, "float"),
        (LARGEST + 1, "too large"),
        ([-LARGEST - 1], "too large"),
        ("\ud800", "surrogate"),
        ({"a": "\udfff"}, "surrogate"),
        ({"\ud800": 1}, "not representable"),
        ({1: "a"}, "key must be a string"),
        ({"a": {2, 3}}, "set is not JSON"),
        (b"bytes", "bytes is not JSON"),
    ],
)
def test_what_has_no_exact_form_is_refused_in_words(value: Any, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        canonical(value)


@pytest.mark.parametrize("storey", [lambda inner: [inner], lambda inner: {"é": inner}])
def test_a_tower_of_a_hundred_levels_is_taken_and_a_higher_one_refused(storey: Callable[[Any], Any]) -> None:
    tower: Any = "top"
    for _ in range(100):
        tower = storey(tower)
    assert json.loads(canonical(plain(tower))) == tower
    for higher in (1, 5000):
        for _ in range(higher):
            tower = storey(tower)
        for refuse in (canonical, plain):
            with pytest.raises(BadInput, match="too deep"):
                refuse(tower)


@given(ANYTHING)
def test_plain_makes_anything_canonical_and_is_at_home_there(value: Any) -> None:
    made = plain(value)
    canonical(made)
    assert plain(made) == made


@given(JSON)
def test_plain_leaves_canonical_json_alone(value: Any) -> None:
    assert plain(value) == value


def test_plain_keeps_the_digits_of_numbers() -> None:
    assert plain({"cpu": 0.25, "big": 2**60, "n": 7, 3: "three"}) == {
        "cpu": "0.25",
        "big": str(2**60),
        "n": 7,
        "3": "three",
    }
    assert plain("half \ud83d of an emoji") == "half \ufffd of an emoji"
