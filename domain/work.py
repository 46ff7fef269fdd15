"""Work units: one finished piece of operational work, measured. And the figures that a period's work adds up to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
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
    """How it ended. `no_action`: nothing was changed, and nobody said no. Reverted and failed work counts against the agent."""

    ACCEPTED = "accepted"
    EDITED = "edited"
    REJECTED = "rejected"
    REVERTED = "reverted"
    NO_ACTION = "no_action"
    FAILED = "failed"


BAD = frozenset({WorkOutcome.REVERTED, WorkOutcome.FAILED})
"""What counts against the agent."""


@dataclass(frozen=True)
class WorkUnit:
    """Only what was measured: an estimate is a calculation over units, made when it is asked for.

    Times are milliseconds from `started_at`, which is the alert's receipt (else the person's request), and None where the
    thing did not happen. `alert_age_ms` is how long the monitor says that the condition held before the receipt. `people_ms`
    is from card shown to vote, summed over people; `attention_s` the same in whole seconds, with each person's share of a
    card cut at a stated cap. Money is millionths of a US dollar: `cost_micros` of the tokens whose price is known,
    `unpriced_tokens` are the others; `compute_micros` is None where no price of computing time is set. `worth` says that the
    unit, if it stays good, replaced the work of a person; `undo` that it took an execution back: what that took counts, and
    it is no piece of work.
    """

    kind: WorkKind
    outcome: WorkOutcome
    started_at: datetime
    finished_at: datetime
    service: str = ""
    environment: str = ""
    by_alert: bool = True
    worth: bool = False
    undo: bool = False
    alert_age_ms: int | None = None
    to_first_finding_ms: int | None = None
    to_diagnosis_ms: int | None = None
    to_approval_ms: int | None = None
    to_verified_ms: int | None = None
    votes: int = 0
    people_ms: int = 0
    attention_s: int = 0
    machine_ms: int = 0
    compute_micros: int | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    unpriced_tokens: int = 0
    cost_micros: int = 0


@dataclass(frozen=True)
class Wait:
    """One person and one card: from when Slack had it, else was asked, to the record of their last word, or of their edit."""

    user: str
    approval_id: str
    since: datetime
    until: datetime


# --- figures ----------------------------------------------------------------------------------------------------------


class Basis(StrEnum):
    """What a figure rests on. Measured: clocks and bills. Estimated: measurements and an assumption, which is named."""

    COUNTED = "counted"
    MEASURED = "measured"
    ESTIMATED = "estimated"


@dataclass(frozen=True)
class Figure:
    """One number with everything that it takes to argue about it.

    `unit` is count, ms, s, tokens, micros (millionths of a US dollar) or permille; `value` is None where there is nothing to
    say. `n` is how many observations it rests on, `method` how it is computed. `low` and `high` are None where there is no
    interval; `interval` says what they are, or why there are none. `note` names what is not counted in it.
    """

    name: str
    title: str
    value: int | None
    unit: str
    n: int
    basis: Basis
    method: str
    low: int | None = None
    high: int | None = None
    interval: str = ""
    note: str = ""


@dataclass(frozen=True)
class Counted:
    """How much there was. Shares are of what was counted."""

    alerts: Figure
    incidents: Figure
    repeated: Figure
    grouped: Figure
    ceased: Figure
    work: Figure
    executions: Figure
    verified: Figure
    failed: Figure
    reverted: Figure
    approved_share: Figure
    held_share: Figure


@dataclass(frozen=True)
class Measured:
    """Clocks and bills."""

    to_first_finding: Figure
    to_diagnosis: Figure
    to_approval: Figure
    to_verified: Figure
    to_answer: Figure
    alert_age: Figure
    wait_p50: Figure
    wait_p90: Figure
    resolved_with: Figure
    resolved_without: Figure
    people: Figure
    machine: Figure
    input_tokens: Figure
    output_tokens: Figure
    model_cost: Figure
    compute_cost: Figure


@dataclass(frozen=True)
class Estimated:
    """What rests on a baseline or a cap: minutes of people's work, never added to a measured figure."""

    attention: Figure
    replaced: Figure
    charged: Figure
    net: Figure
    break_even: Figure


@dataclass(frozen=True)
class Group:
    """The units of one kind, outcome or service: how many there were, replaced work, or count against; what they used."""

    name: str
    n: int
    credited: int
    charged: int
    people_ms: int
    cost_micros: int
    tokens: int


@dataclass(frozen=True)
class Baseline:
    """What a piece of work is taken to cost a person by hand, in seconds.

    `source` is set (AGENT_BASELINES), history (imported incidents from before the agent), own (incidents here in which the
    agent changed nothing) or assumed (shipped). `low` and `high` are a 95 % interval where it was measured, else half of it
    and one and a half times of it. `n` is how many incidents it was measured from, 0 where it was not measured.
    """

    kind: WorkKind
    seconds: int
    low: int
    high: int
    source: str
    n: int
    method: str


@dataclass(frozen=True)
class Day:
    """The units that ended on one day (UTC, as 2026-03-01), by outcome."""

    day: str
    outcomes: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Case:
    """One unit worth looking at: `why` says what makes it the best or the worst of its period. `seq` is its event."""

    why: str
    seq: int
    run_id: str
    incident_id: str
    kind: WorkKind
    outcome: WorkOutcome
    service: str
    ms: int


@dataclass(frozen=True)
class Rollup:
    """A period's figures: counted, measured and estimated apart, and what they are made of."""

    since: datetime
    until: datetime
    counted: Counted
    measured: Measured
    estimated: Estimated
    by_kind: tuple[Group, ...]
    by_outcome: tuple[Group, ...]
    by_service: tuple[Group, ...]
    days: tuple[Day, ...]
    baselines: tuple[Baseline, ...]
    best: Case | None = None
    worst: Case | None = None

    @property
    def n(self) -> int:
        """How many pieces of work ended in the period."""
        return self.counted.work.n

    @property
    def figures(self) -> Iterator[Figure]:
        """Every figure, the counted ones first."""
        for part in (self.counted, self.measured, self.estimated):
            for field in fields(part):
                yield getattr(part, field.name)


@dataclass(frozen=True)
class Row:
    """One event behind a figure: its place and hash in the journal, what it is about, and what it brings to the figure."""

    seq: int
    hash: str
    at: datetime
    run_id: str
    incident_id: str
    about: str
    value: int


@dataclass(frozen=True)
class Drill:
    """A figure with the rows that it is computed from, in the journal's order."""

    figure: Figure
    rows: tuple[Row, ...]
