"""Every noun and every event survives the way into the journal and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given, settings, strategies as st

from domain.actions import Action, Effect, Target
from domain.canonical import canonical
from domain.codec import decode, encode, moment, timestamp
from domain.decisions import Approval
from domain.errors import BadInput, JournalError
from domain.events import KINDS, Event, WorkUnitRecorded, body_of, event_of
from domain.work import WorkKind, WorkOutcome, WorkUnit

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
PLAIN = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
SIMPLE: Mapping[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: INTEGERS,
    bool: st.booleans(),
    type(None): st.none(),
    datetime: INSTANTS,
    Any: PLAIN,
}


@cache
def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a noun's annotation."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in SIMPLE:
        return SIMPLE[hint]
    if origin in (Union, UnionType):
        return st.one_of(map(values, arguments))
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is Mapping:
        return st.dictionaries(TEXT, PLAIN, max_size=2)
    if is_dataclass(hint):
        return st.builds(hint, **{name: values(kind) for name, kind in get_type_hints(hint).items()})
    return st.sampled_from(hint)  # an enum


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_kind_of_event_is_read_back_as_it_was_written(kind: str, data: st.DataObject) -> None:
    event = data.draw(values(KINDS[kind]))
    body = body_of(event)
    canonical(body)
    assert event_of(kind, body) == event


def test_every_event_is_a_kind() -> None:
    assert set(KINDS.values()) == set(get_args(Event))


def test_a_kind_of_a_newer_version_is_said_to_be_unknown() -> None:
    with pytest.raises(JournalError, match=r"AgentPromoted.*upgrade"):
        event_of("AgentPromoted", {})


@given(values(Approval))
def test_an_approval_with_all_that_hangs_on_it_is_read_back(approval: Approval) -> None:
    assert decode(Approval, encode(approval)) == approval


@given(INSTANTS)
def test_an_instant_keeps_its_microseconds(instant: datetime) -> None:
    text = timestamp(instant)
    assert moment(text) == instant
    assert len(text) == len("2026-03-01T12:00:00.000000Z")
    assert text.endswith("Z")


@given(INSTANTS, INSTANTS)
def test_the_order_of_timestamps_is_the_order_of_time(one: datetime, other: datetime) -> None:
    assert (timestamp(one) < timestamp(other)) == (one < other)


def test_every_zone_is_written_as_utc() -> None:
    summer = datetime(2026, 7, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    assert timestamp(summer) == "2026-07-01T12:00:00.000000Z"


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Thing:
    name: str
    colours: tuple[Colour, ...] = ()
    inner: Target | None = None


def test_fields_of_a_later_version_are_ignored_and_missing_ones_take_their_default() -> None:
    assert decode(Thing, {"name": "x", "weight": 7}) == Thing("x")


def test_what_could_be_none_in_an_earlier_version_takes_its_default() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    body = body_of(WorkUnitRecorded(WorkUnit(WorkKind.DIAGNOSIS, WorkOutcome.ACCEPTED, noon, noon)))
    earlier = event_of("WorkUnitRecorded", {"unit": {**body["unit"], "people_ms": None, "alert_age_ms": None}})
    assert isinstance(earlier, WorkUnitRecorded)
    assert (earlier.unit.people_ms, earlier.unit.alert_age_ms) == (0, None)


def test_a_noun_is_a_map_of_its_fields() -> None:
    action = Action("kubernetes_get", {"name": "cart"}, Effect.READ, Target("kubernetes"))
    assert encode(Thing("x", (Colour.RED,), action.target)) == {
        "name": "x",
        "colours": ["red"],
        "inner": {"system": "kubernetes", "environment": "production", "namespace": "", "kind": "", "name": ""},
    }
    assert encode(action)["arguments"] == {"name": "cart"}


def test_what_is_no_noun_is_refused() -> None:
    with pytest.raises(BadInput, match="object has no plain form"):
        encode(Thing(object()))  # type: ignore[arg-type]
