"""Every week is told once, at its local time, and the weeks lie side by side: over every change of the clocks."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from domain.weeks import DAYS, Appointment, appointment

BERLIN = Appointment(0, time(9), "Europe/Berlin")
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/Santiago", "Australia/Lord_Howe", "Asia/Kathmandu",
    "Africa/Cairo", "Pacific/Chatham", "Asia/Beirut",
)  # fmt: skip
APPOINTMENTS = st.builds(Appointment, st.integers(0, 6), st.times().map(lambda t: t.replace(second=0, microsecond=0)),
                         st.sampled_from(ZONES))  # fmt: skip
MOMENTS = st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_a_week_is_whole_days_of_its_zone_and_is_told_at_its_local_time() -> None:
    week = BERLIN.last(at("2026-11-23T08:00"))
    assert week.key == "weekly:2026-W48"
    assert (week.since, week.until, week.due) == (
        at("2026-11-15T23:00"), at("2026-11-22T23:00"), at("2026-11-23T08:00")
    )  # fmt: skip
    assert week.days == (date(2026, 11, 16), date(2026, 11, 22))
    assert BERLIN.last(at("2026-11-23T07:59")).key == "weekly:2026-W47"


def test_in_spring_the_clocks_jump_and_nine_stays_nine() -> None:
    assert BERLIN.last(at("2026-03-25T00:00")).due == at("2026-03-23T08:00")
    after = BERLIN.last(at("2026-03-31T00:00"))
    assert after.due == at("2026-03-30T07:00")
    assert after.until - after.since == timedelta(hours=167)


def test_in_autumn_a_week_is_an_hour_longer() -> None:
    after = BERLIN.last(at("2026-10-27T00:00"))
    assert after.due == at("2026-10-26T08:00")
    assert after.until - after.since == timedelta(hours=169)


def test_a_time_that_is_skipped_is_when_the_clocks_skip_it() -> None:
    skipped = Appointment(6, time(2, 30), "Europe/Berlin")
    assert skipped.last(at("2026-03-29T12:00")).due == at("2026-03-29T01:30")  # 03:30 in summer time
    assert skipped.last(at("2026-03-29T01:29")).key != skipped.last(at("2026-03-29T01:30")).key


def test_a_time_that_comes_twice_is_meant_once_and_first() -> None:
    twice = Appointment(6, time(2, 30), "Europe/Berlin")
    assert twice.last(at("2026-10-25T12:00")).due == at("2026-10-25T00:30")
    assert twice.last(at("2026-10-25T00:30")) == twice.last(at("2026-10-25T01:30"))


@given(APPOINTMENTS, MOMENTS)
def test_what_is_due_last_is_due_and_its_week_is_over(when: Appointment, now: datetime) -> None:
    week = when.last(now)
    assert week.until <= week.due <= now or when.at < time(3)  # a skipped midnight may come after its own day began
    assert week.due <= now < week.due + timedelta(days=7, hours=2)
    local = week.due.astimezone(ZoneInfo(when.zone))
    assert local.weekday() == when.day or when.at < time(3) or when.at > time(22)


@given(APPOINTMENTS, MOMENTS)
def test_looked_at_every_hour_each_week_comes_once_and_they_leave_no_gap(when: Appointment, start: datetime) -> None:
    weeks = list(dict.fromkeys(when.last(start + timedelta(hours=hour)) for hour in range(24 * 7 * 5)))
    assert len({week.key for week in weeks}) == len(weeks) >= 5
    for week, following in pairwise(weeks):
        assert week.until == following.since
        assert week.due < following.due


@given(APPOINTMENTS, MOMENTS)
def test_the_next_moment_is_later_and_is_when_the_next_week_is_due(when: Appointment, now: datetime) -> None:
    moment = when.next(now)
    assert now < moment <= now + timedelta(days=7, hours=2)
    assert when.last(moment).due == moment
    assert when.last(moment - timedelta(microseconds=1)) == when.last(now)


def test_the_setting_is_read_as_people_write_it() -> None:
    assert appointment("mon 09:00 Europe/Berlin") == BERLIN
    assert appointment("Friday 16:30") == Appointment(4, time(16, 30), "UTC")
    assert appointment(" off ") is None
    for number, day in enumerate(DAYS):
        assert appointment(f"{day} 00:00 UTC") == appointment(f"{day[:3]} 00:00") == Appointment(number, time())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("9 o'clock", "write mon 09:00"),
        ("xyz 09:00", "write mon 09:00"),
        ("monkey 09:00", "write mon 09:00"),
        ("mon 24:00", "no time of day"),
        ("mon 09:60", "no time of day"),
        ("mon 09:00 Europe/Berlinn", "did you mean Europe/Berlin?"),
        ("mon 09:00 ../../etc/passwd", "is no time zone"),
        ("", "write mon 09:00"),
    ],
)
def test_a_setting_that_cannot_be_read_says_how_it_is_written(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        appointment(text)


@given(st.text(max_size=40))
def test_any_text_is_an_appointment_off_or_a_sentence(text: str) -> None:
    try:
        found = appointment(text)
    except ValueError as error:
        assert len(str(error)) > 20  # noqa: PT017
    else:
        assert found is None or isinstance(found, Appointment)
