"""Authority that is lent for a time: break-glass, and delegated votes. Both are recorded and end by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class BreakGlass:
    """One person's right to approve alone for one incident until `until`; somebody else reviews it afterwards."""

    id: str
    incident_id: str
    user: str
    name: str
    reason: str
    opened_at: datetime
    until: datetime
    reviewed_by: str = ""
    review: str = ""
    reviewed_at: datetime | None = None

    def review_key(self, day: int) -> str:
        """The key of the message that asks for its review on that day after it closed."""
        return f"review:{self.id}:{day}"

    def is_open(self, now: datetime) -> bool:
        """Whether it still lends anything. A review closes it too."""
        return self.reviewed_at is None and now < self.until


@dataclass(frozen=True)
class Delegation:
    """`user` lets `to` vote in their place until `until`. One per person: a new one takes the place of the last."""

    user: str
    name: str
    to: str
    to_name: str
    until: datetime


@dataclass(frozen=True)
class Authority:
    """Who may decide on one request right now: the groups' members, votes delegated, glass broken for its incident.

    `delegated` is delegate -> those who delegated to them; `glass` is user -> id of their open break-glass, and holds
    only people who are in the policy's break-glass group now.
    """

    members: Mapping[str, frozenset[str]]
    delegated: Mapping[str, frozenset[str]] = field(default_factory=dict)
    glass: Mapping[str, str] = field(default_factory=dict)
