"""Where an alert goes that no open incident takes: it opens one, waits, or joins the storm. Nothing is dropped."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from domain.actions import Target
from domain.alerts import Alert, Incident, Severity
from domain.errors import BadInput
from domain.noise import MaintenanceWindow, Suppression
from policies.noise import Noise, Place, parse, place, still_due

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
NOISE = Noise()
SHOP = Target("kubernetes", "production", "shop", "Deployment", "checkout")
WARNING = Alert("f1", True, "HighLatency", "alertmanager", NOW, Severity.WARNING, target=SHOP)
CRITICAL = replace(WARNING, severity=Severity.CRITICAL)
WINDOW = MaintenanceWindow("mnt-1", "sho*", NOW - timedelta(hours=1), NOW + timedelta(hours=1), "Maria")


def incident(ago: timedelta) -> Incident:
    return Incident("inc-1", "W", "it", Severity.WARNING, SHOP, "", NOW - timedelta(hours=2), resolved_at=NOW - ago)


def test_a_new_problem_opens_at_once() -> None:
    assert place(WARNING, NOW, NOISE, previous=None, wanted=0, windows=()).place is Place.OPEN


def test_a_repeat_within_the_cooldown_waits_until_it_is_over() -> None:
    found = place(WARNING, NOW, NOISE, previous=incident(timedelta(minutes=5)), wanted=0, windows=())
    assert (found.place, found.why) == (Place.HOLD, Suppression.COOLDOWN)
    assert found.due == NOW + timedelta(minutes=10)
    assert "inc-1" in found.reason


def test_a_repeat_after_the_cooldown_has_to_last_a_moment() -> None:
    found = place(WARNING, NOW, NOISE, previous=incident(timedelta(hours=1)), wanted=0, windows=())
    assert (found.place, found.why, found.due) == (Place.HOLD, Suppression.FLAPPING, NOW + timedelta(seconds=10))


def test_what_is_critical_never_waits_for_a_repeat_and_asks_no_model_twice() -> None:
    soon = place(CRITICAL, NOW, NOISE, previous=incident(timedelta(minutes=5)), wanted=0, windows=())
    later = place(CRITICAL, NOW, NOISE, previous=incident(timedelta(hours=1)), wanted=0, windows=())
    assert (soon.place, soon.briefly) == (Place.OPEN, True)
    assert (later.place, later.briefly) == (Place.OPEN, False)


@pytest.mark.parametrize(("alert", "most"), [(WARNING, 10), (CRITICAL, 20)])
def test_too_many_new_problems_are_a_storm_and_critical_ones_get_twice_the_room(alert: Alert, most: int) -> None:
    assert place(alert, NOW, NOISE, previous=None, wanted=most - 1, windows=()).place is Place.OPEN
    assert place(alert, NOW, NOISE, previous=None, wanted=most, windows=()).place is Place.STORM


def test_maintenance_holds_what_it_names_also_what_is_critical_and_nothing_else() -> None:
    held = place(CRITICAL, NOW, NOISE, previous=None, wanted=0, windows=(WINDOW,))
    assert (held.place, held.why, held.due) == (Place.HOLD, Suppression.MAINTENANCE, WINDOW.until)
    elsewhere = replace(CRITICAL, target=replace(SHOP, namespace="billing"))
    assert place(elsewhere, NOW, NOISE, previous=None, wanted=0, windows=(WINDOW,)).place is Place.OPEN
    assert place(CRITICAL, WINDOW.until, NOISE, previous=None, wanted=0, windows=(WINDOW,)).place is Place.OPEN


@given(
    st.sampled_from(Severity),
    st.none() | st.integers(0, 100_000),
    st.integers(0, 100),
    st.booleans(),
)
def test_an_alert_always_has_a_place_and_what_waits_has_an_end(
    severity: Severity, ago: int | None, wanted: int, maintained: bool
) -> None:
    previous = None if ago is None else incident(timedelta(seconds=ago))
    windows = (WINDOW,) if maintained else ()
    found = place(replace(WARNING, severity=severity), NOW, NOISE, previous=previous, wanted=wanted, windows=windows)
    assert (found.place is Place.HOLD) is (found.due is not None)
    if found.place is Place.HOLD:
        assert found.due is not None
        assert NOW < found.due <= NOW + max(NOISE.cooldown, timedelta(hours=1))
        assert found.pool
        assert found.why
        assert found.reason


@given(st.lists(st.integers(0, 200), min_size=1, max_size=50))
def test_alerts_that_keep_coming_never_delay_a_pool_beyond_the_longest_wait(gaps: list[int]) -> None:
    now, due = NOW, NOW + NOISE.debounce
    for gap in gaps:
        now += timedelta(milliseconds=100 * gap)
        later = still_due(due, NOW, now + NOISE.debounce, NOISE)
        assert due <= later <= NOW + NOISE.max_wait
        due = later


def test_the_setting_is_read_part_by_part() -> None:
    assert parse("") == Noise()
    assert parse("debounce=5s, storm=3/2m") == Noise(
        debounce=timedelta(seconds=5), storm=3, window=timedelta(minutes=2)
    )
    assert parse("max-wait=2m,cooldown=1h") == Noise(max_wait=timedelta(minutes=2), cooldown=timedelta(hours=1))


@pytest.mark.parametrize("text", ["debounce", "debounce=10", "storm=10", "storm=0/5m", "window=5m", "cool=1m", "=1s"])
def test_a_part_that_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(BadInput, match="is not one of debounce=10s"):
        parse(text)


@given(st.text(max_size=40))
def test_any_text_is_a_setting_or_a_sentence(text: str) -> None:
    with suppress(BadInput):
        assert parse(text).storm >= 1
