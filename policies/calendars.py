"""Calendars: when people are at work and when nothing may change, each in its own time zone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from policies.globs import Globs

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True)
class Calendar:
    """Weekly hours, `opens` included and `closes` not; closed on the dates in `closed_on`. 24:00 is written as time.max."""

    name: str
    time_zone: str
    days: tuple[int, ...]
    opens: time
    closes: time
    closed_on: tuple[date, ...] = ()

    def is_open(self, now: datetime) -> bool:
        """Whether `now` lies within the hours."""
        local = now.astimezone(ZoneInfo(self.time_zone))
        return (
            local.weekday() in self.days
            and local.date() not in self.closed_on
            and self.opens <= local.time().replace(tzinfo=None) < self.closes
        )


@dataclass(frozen=True)
class Freeze:
    """A time in which rules may refuse changes: from `since` until `until`, in the environments that the globs name."""

    name: str
    since: datetime
    until: datetime
    environments: Globs | None = None

    def holds(self, now: datetime, environment: str) -> bool:
        """Whether the freeze is on for this environment."""
        return self.since <= now < self.until and (self.environments is None or self.environments.match(environment))


def calendar_facts(
    calendars: Mapping[str, Calendar], freezes: Sequence[Freeze], now: datetime, environment: str
) -> dict[str, Any]:
    """The facts `calendar.*` at a moment. `business` is the calendar of that name; without one the fact is missing.

    `date`, `weekday` (1 Monday to 7 Sunday) and `hour` are in the business calendar's time zone, UTC without one.
    """
    business = calendars.get("business")
    local = now.astimezone(ZoneInfo(business.time_zone if business else "UTC"))
    active = [freeze.name for freeze in freezes if freeze.holds(now, environment)]
    facts: dict[str, Any] = {
        "date": local.date().isoformat(),
        "weekday": local.isoweekday(),
        "hour": local.hour,
        "open": [name for name, calendar in calendars.items() if calendar.is_open(now)],
        "frozen": bool(active),
        "freezes": active,
    }
    if business:
        facts["business"] = business.is_open(now)
    return facts
