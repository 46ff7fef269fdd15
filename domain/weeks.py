"""When a week is told, and which week that is: a weekday and a time of day in a time zone, over every change of the clocks."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_FORM = re.compile(r"([a-z]{3,9})\s+(\d{1,2}):(\d{2})(?:\s+(\S+))?", re.IGNORECASE)
_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Week:
    """Seven whole days in their zone, from `since` up to before `until`, told at `due`. `key` is its name: weekly:2026-W48."""

    key: str
    since: datetime
    until: datetime
    due: datetime
    zone: str

    @property
    def days(self) -> tuple[date, date]:
        """The first and the last day, as they are called there."""
        zone = ZoneInfo(self.zone)
        return self.since.astimezone(zone).date(), self.until.astimezone(zone).date() - timedelta(days=1)


@dataclass(frozen=True)
class Appointment:
    """Every week on `day` (0 is Monday) at `at`, in `zone`.

    A time that the clocks skip that day is the moment they skip it; one that they show twice is the first.
    """

    day: int
    at: time
    zone: str = "UTC"

    def last(self, now: datetime) -> Week:
        """The newest week that is due at `now`."""
        today = now.astimezone(ZoneInfo(self.zone)).date()
        day = today - timedelta(days=(today.weekday() - self.day) % 7)
        week = self._week(day)
        return week if week.due <= now else self._week(day - _WEEK)

    def next(self, after: datetime) -> datetime:
        """The first moment after `after` at which a week is due."""
        day = after.astimezone(ZoneInfo(self.zone)).date()
        day += timedelta(days=(self.day - day.weekday()) % 7)
        due = self._moment(day, self.at)
        return due if due > after else self._moment(day + _WEEK, self.at)

    def _week(self, day: date) -> Week:
        year, number, _ = day.isocalendar()
        ends = self._moment(day, time())
        return Week(
            f"weekly:{year}-W{number:02}",
            self._moment(day - _WEEK, time()),
            ends,
            self._moment(day, self.at),
            self.zone,
        )

    def _moment(self, day: date, at: time) -> datetime:
        return datetime.combine(day, at, ZoneInfo(self.zone)).astimezone(UTC)


def appointment(text: str) -> Appointment | None:
    """`mon 09:00 Europe/Berlin`; None for `off`. Raises ValueError with what is wrong and what would be right."""
    text = text.strip()
    if text.lower() == "off":
        return None
    match = _FORM.fullmatch(text)
    days = [number for number, name in enumerate(DAYS) if match and name.startswith(match[1].lower())]
    if match is None or not days:
        raise ValueError(f"{text!r} is not a weekday, a time and a time zone: write mon 09:00 Europe/Berlin, or off")
    hour, minute, zone = int(match[2]), int(match[3]), match[4] or "UTC"
    if hour > 23 or minute > 59:
        raise ValueError(f"{match[2]}:{match[3]} is no time of day: 00:00 to 23:59")
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = difflib.get_close_matches(zone, available_timezones(), n=1)
        hint = f"; did you mean {near[0]}?" if near else "; write it as in Europe/Berlin"
        raise ValueError(f"{zone!r} is no time zone{hint}") from error
    return Appointment(days[0], time(hour, minute), zone)
