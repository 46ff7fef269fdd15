"""Noise: alerts that open no incident of their own, why, and until when. Every one of them is recorded and counted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from fnmatch import fnmatchcase

from domain.alerts import Alert


class Suppression(StrEnum):
    """Why an alert opened no incident: it flaps, was just dealt with, falls into a maintenance window, or is one of a storm."""

    FLAPPING = "flapping"
    COOLDOWN = "cooldown"
    MAINTENANCE = "maintenance"
    STORM = "storm"


@dataclass(frozen=True)
class MaintenanceWindow:
    """Until `until`, alerts of the namespaces that the glob `namespace` names open nothing; those that still fire then do."""

    id: str
    namespace: str
    since: datetime
    until: datetime
    by: str
    reason: str = ""

    def covers(self, alert: Alert, now: datetime) -> bool:
        """Whether an alert that comes now falls into it. An alert without a namespace is covered by `*` only."""
        return self.since <= now < self.until and fnmatchcase(alert.target.namespace, self.namespace)


@dataclass(frozen=True)
class AlertHeld:
    """An alert waits: at `due` it opens an incident if it still fires. Those of one `pool` do so together.

    The event's incident is the earlier one that it repeats, where there is one.
    """

    alert: Alert
    pool: str
    why: Suppression
    due: datetime
    reason: str


@dataclass(frozen=True)
class Held:
    """An alert that waits: since when, and which resolved incident it repeats (empty where it repeats none)."""

    event: AlertHeld
    since: datetime
    repeats: str = ""


@dataclass(frozen=True)
class AlertSuppressed:
    """An alert that waited has ceased by itself: it opened no incident."""

    fingerprint: str
    why: Suppression
    reason: str


@dataclass(frozen=True)
class MaintenanceStarted:
    """A person announced work: what its alerts say is expected."""

    window: MaintenanceWindow


@dataclass(frozen=True)
class MaintenanceEnded:
    """The work is over earlier than announced: what still fires opens incidents now."""

    window_id: str
