"""What the weekly message tells: the figures, what people said, what went wrong, and where the journal stood."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.actions import Action
from domain.feedback import Quality
from domain.weeks import Week
from domain.work import Rollup


class Wrong(StrEnum):
    """How a change went wrong."""

    FAILED = "failed"
    UNVERIFIED = "not verified"
    UNKNOWN = "unknown"
    REVERTED = "taken back"


@dataclass(frozen=True)
class Mishap:
    """A change that failed, was not verified, whose outcome nobody knows, or that was taken back."""

    wrong: Wrong
    execution_id: str
    run_id: str
    incident_id: str
    action: Action
    detail: str
    at: datetime


@dataclass(frozen=True)
class Head:
    """The journal's last event and its hash; `signed` is how many events the newest checkpoint holds (0: there is none)."""

    seq: int
    hash: str
    signed: int = 0
    signed_at: datetime | None = None
    places: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """A week; `waiting` is how many requests wait now.

    `broken` is how many runs ended with an error.
    """

    week: Week
    rollup: Rollup
    quality: Quality
    mishaps: tuple[Mishap, ...] = ()
    broken: int = 0
    waiting: int = 0
    suggestions: tuple[str, ...] = ()
    head: Head | None = None
