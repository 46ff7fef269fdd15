"""What people say of a diagnosis, and how often it was right: a share is never given without its n and its interval."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.figures import wilson


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
        """The 95 % interval of the share, by Wilson's score; (0, 1) without any."""
        return wilson(self.good, self.n)


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
