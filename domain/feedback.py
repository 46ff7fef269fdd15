"""What people say of a diagnosis, and how often it was right: a share is never given without its n and its interval."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from math import sqrt

_Z = 1.959964  # 95 in 100


class FeedbackVerdict(StrEnum):
    """👍 or 👎."""

    GOOD = "good"
    BAD = "bad"


class FeedbackCategory(StrEnum):
    """What was wrong with a diagnosis."""

    WRONG_CAUSE = "wrong_cause"
    MISSED_EVIDENCE = "missed_evidence"
    UNHELPFUL = "unhelpful"
    TOO_NOISY = "too_noisy"
    OTHER = "other"


@dataclass(frozen=True)
class FeedbackGiven:
    """A person's word on a run's diagnosis. Their last one stands; `category` is None for 👍, `reason` may be empty."""

    run_id: str
    user: str
    verdict: FeedbackVerdict
    category: FeedbackCategory | None = None
    reason: str = ""


@dataclass(frozen=True)
class Share:
    """`good` of `n`."""

    good: int
    n: int

    @property
    def interval(self) -> tuple[float, float]:
        """The share's 95 % Wilson interval, which is honest for small n too; (0, 1) without any."""
        if self.n == 0:
            return 0.0, 1.0
        share, z2 = self.good / self.n, _Z * _Z
        centre = share + z2 / (2 * self.n)
        margin = _Z * sqrt(share * (1 - share) / self.n + z2 / (4 * self.n * self.n))
        return max(0.0, (centre - margin) / (1 + z2 / self.n)), min(1.0, (centre + margin) / (1 + z2 / self.n))


@dataclass(frozen=True)
class Complaint:
    """A 👎 that stands."""

    run_id: str
    incident_id: str
    user: str
    category: FeedbackCategory
    reason: str
    at: datetime


@dataclass(frozen=True)
class Quality:
    """What stands of the feedback that was given in a period, by kind of work and by who diagnosed; newest 👎 first."""

    share: Share = Share(0, 0)
    by_kind: tuple[tuple[str, Share], ...] = ()
    by_model: tuple[tuple[str, Share], ...] = ()
    complaints: tuple[Complaint, ...] = ()
