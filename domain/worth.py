"""Events of what work costs by hand: what the team says, and what its past incidents took. Part of domain.events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.work import WorkKind


@dataclass(frozen=True)
class BaselinesSet:
    """What the team takes a piece of work to cost a person by hand: seconds by kind. It replaces what was set before."""

    seconds: Mapping[str, Any]


@dataclass(frozen=True)
class PastIncident:
    """One incident from before the agent, as the team's own records have it."""

    opened_at: datetime
    resolved_at: datetime
    kind: WorkKind = WorkKind.REMEDIATION
    service: str = ""


@dataclass(frozen=True)
class BaselineImported:
    """A file of past incidents: its name and SHA-256. It replaces what was imported before."""

    source: str
    digest: str
    incidents: tuple[PastIncident, ...]
