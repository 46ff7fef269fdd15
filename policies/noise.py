"""What becomes of an alert that belongs to no open incident: it opens one, waits, or joins the storm. Pure.

Nothing here drops an alert: what waits opens an incident if it still fires when its time is up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from domain.alerts import Alert, Incident, Severity
from domain.errors import BadInput
from domain.noise import MaintenanceWindow, Suppression

MEMORY = timedelta(hours=24)
"""How long a resolved incident is remembered: an alert that it would have joined is a repeat, any other is new."""

_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1)}
_SPANS = ("debounce", "max_wait", "cooldown")
_SPAN = re.compile(r"(\d{1,5})([smh])")
_STORM = re.compile(r"(\d{1,4})/(\d{1,5}[smh])")


@dataclass(frozen=True)
class Noise:
    """How long repeats wait, and what is a storm.

    A repeat waits `debounce` after the last of its kind, `max_wait` at most, and until `cooldown` after the incident that it
    repeats was resolved. More than `storm` new problems within `window` are one storm. What is critical does not wait.
    """

    debounce: timedelta = timedelta(seconds=10)
    max_wait: timedelta = timedelta(seconds=60)
    cooldown: timedelta = timedelta(minutes=15)
    storm: int = 10
    window: timedelta = timedelta(minutes=5)


class Place(Enum):
    """Where a new alert goes."""

    OPEN = auto()
    HOLD = auto()
    STORM = auto()


@dataclass(frozen=True)
class Placement:
    """Where an alert goes and why. `briefly`: the run asks no model, because the same was looked into a moment ago."""

    place: Place
    why: Suppression | None = None
    reason: str = ""
    due: datetime | None = None
    pool: str = ""
    briefly: bool = False


def place(
    alert: Alert,
    now: datetime,
    noise: Noise,
    *,
    previous: Incident | None,
    wanted: int,
    windows: Sequence[MaintenanceWindow],
) -> Placement:
    """Where a firing alert that no open incident takes goes.

    `previous` is the resolved incident that it repeats, `wanted` how many alerts would have opened incidents within the
    storm's window so far. A new critical alert is let through until there are twice as many as make a storm.
    """
    for window in windows:
        if window.covers(alert, now):
            reason = f"maintenance of {window.namespace} until {window.until:%H:%M} UTC"
            return Placement(
                Place.HOLD, Suppression.MAINTENANCE, reason, window.until, f"{window.id}:{alert.target.key}"
            )
    critical = alert.severity is Severity.CRITICAL
    if wanted >= noise.storm * (2 if critical and previous is None else 1):
        reason = f"{wanted} new problems within {words(noise.window)}"
        return Placement(Place.STORM, Suppression.STORM, reason)
    if previous is None:
        return Placement(Place.OPEN)
    rested = (previous.resolved_at or now) + noise.cooldown
    if critical:
        return Placement(Place.OPEN, briefly=now < rested)
    if now < rested:
        reason = f"{previous.id} was about the same and was resolved less than {words(noise.cooldown)} ago"
        return Placement(Place.HOLD, Suppression.COOLDOWN, reason, rested, previous.id)
    reason = f"it repeats {previous.id}, so it has to last {words(noise.debounce)}"
    return Placement(Place.HOLD, Suppression.FLAPPING, reason, now + noise.debounce, previous.id)


def still_due(due: datetime, held_since: datetime, placed: datetime, noise: Noise) -> datetime:
    """When a pool is due after one more alert: later than before, but never more than `max_wait` after its first."""
    return max(due, min(placed, held_since + noise.max_wait))


def parse(text: str) -> Noise:
    """`debounce=10s,max-wait=60s,cooldown=15m,storm=10/5m`, each part optional. Raises BadInput that names the part."""
    noise = Noise()
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        key = name.strip().replace("-", "_")
        if key == "storm" and (match := _STORM.fullmatch(value.strip())) and int(match[1]):
            noise = replace(noise, storm=int(match[1]), window=_span(match[2]))
        elif key in _SPANS and _SPAN.fullmatch(value.strip()):
            noise = replace(noise, **{key: _span(value.strip())})  # type: ignore[arg-type]  # every one of them is a span
        else:
            raise BadInput(f"{part!r} is not one of debounce=10s, max-wait=60s, cooldown=15m, storm=10/5m")
    return noise


def words(span: timedelta) -> str:
    """`15 min`, `10 s`."""
    seconds = round(span.total_seconds())
    return f"{seconds // 60} min" if seconds % 60 == 0 and seconds else f"{seconds} s"


def _span(text: str) -> timedelta:
    return int(text[:-1]) * _UNITS[text[-1]]
