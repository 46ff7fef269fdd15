"""Configuration findings over scans: known again, ranked, snoozed with an owner, and gone when a scan no longer finds them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from domain.canonical import digest_of
from domain.diagnosis import Finding

CONFIGURATION = "configuration"
"""The system of a scan's target; its namespace limits the scan, empty is everything."""

RISKS = ("high", "medium", "low")

MOST = 2000
"""Findings of one scan that are kept, the weightiest first. Where there are more, nothing is taken as gone."""


@dataclass(frozen=True)
class KnownFinding:
    """One finding as the scans know it. `run_id` is the last scan that saw it, `gone_at` when one no longer did.

    `news_at` is when a scan found it new or worse; while that is `last_seen`, it is news.
    """

    key: str
    finding: Finding
    run_id: str
    first_seen: datetime
    last_seen: datetime
    news_at: datetime
    gone_at: datetime | None = None
    snoozed_until: datetime | None = None
    owner: str = ""
    reason: str = ""

    def snoozed(self, now: datetime) -> bool:
        """Whether somebody has taken it on for now."""
        return self.snoozed_until is not None and now < self.snoozed_until

    @property
    def news(self) -> str:
        """What the last scan that saw it says of it: new, worse, or nothing."""
        if self.news_at != self.last_seen:
            return ""
        return "new" if self.first_seen == self.last_seen else "worse"


@dataclass(frozen=True)
class FindingSnoozed:
    """A person says who owns a finding, and until when it need not be shown. `owner` is a Slack user id."""

    key: str
    until: datetime
    owner: str
    reason: str = ""


def key_of(finding: Finding) -> str:
    """What makes it the same finding in the next scan: its code, its object and its field, whatever the values are by then."""
    return digest_of([finding.code, finding.target.key, str(finding.facts.get("field", ""))])[:16]


def risk_of(finding: Finding) -> int:
    """Its place in RISKS; what says nothing of its risk is low."""
    risk = str(finding.facts.get("risk"))
    return RISKS.index(risk) if risk in RISKS else len(RISKS) - 1


def saved(finding: Finding) -> tuple[int, int]:
    """Bytes of memory and millicores of CPU that it would free."""
    return _count(finding, "saved_bytes"), _count(finding, "saved_millicores")


def worth(finding: Finding) -> int:
    """Both as one figure to rank by, in MiB: two cores count as much as 8 GiB."""
    memory, cpu = saved(finding)
    return memory // 2**20 + cpu * 4096 // 1000


def rank(found: Finding) -> tuple[int, int, int, str]:
    """High risk first, then what saves most, then by weight and name."""
    return risk_of(found), -worth(found), -found.weight, f"{found.target.key} {found.code}"


def _count(finding: Finding, name: str) -> int:
    value = finding.facts.get(name)
    return value if isinstance(value, int) and value > 0 else 0
