"""Work units: one finished piece of operational work, what it cost, and the manual minutes it is estimated to replace."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class WorkKind(StrEnum):
    """What kind of work a run did."""

    DIAGNOSIS = "diagnosis"
    REMEDIATION = "remediation"
    PIPELINE_TRIAGE = "pipeline_triage"
    CONFIGURATION_FINDING = "configuration_finding"
    QUESTION = "question"


class WorkOutcome(StrEnum):
    """How it ended. Reverted and failed work counts against the agent."""

    ACCEPTED = "accepted"
    EDITED = "edited"
    REJECTED = "rejected"
    REVERTED = "reverted"
    NO_ACTION = "no_action"
    FAILED = "failed"


@dataclass(frozen=True)
class WorkUnit:
    """All measured times are milliseconds and None where the thing did not happen; money is millionths of a US dollar.

    `estimated_saved_s` is an estimate from a stated baseline (seconds), never added to a measured figure unlabelled.
    """

    kind: WorkKind
    outcome: WorkOutcome
    started_at: datetime
    finished_at: datetime
    service: str = ""
    environment: str = ""
    to_first_finding_ms: int | None = None
    to_diagnosis_ms: int | None = None
    to_approval_ms: int | None = None
    to_verified_ms: int | None = None
    people_ms: int | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micros: int = 0
    estimated_saved_s: int = 0
    baseline: str = ""


@dataclass(frozen=True)
class Rollup:
    """Work units of one period, summed. `n` is the number of units; medians are over units where the time exists."""

    since: datetime
    until: datetime
    n: int
    by_kind: tuple[tuple[str, int], ...]
    by_outcome: tuple[tuple[str, int], ...]
    median_to_first_finding_ms: int | None
    median_to_diagnosis_ms: int | None
    median_to_approval_ms: int | None
    median_to_verified_ms: int | None
    people_ms: int
    input_tokens: int
    output_tokens: int
    cost_micros: int
    estimated_saved_s: int
    incidents: int
    alerts: int
    executions: int
    verified: int
    failed: int
