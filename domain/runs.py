"""Runs: one bounded attempt of the agent at one incident or question, as the journal folds to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from domain.actions import Action, Mode, Target
from domain.alerts import Alert
from domain.decisions import Approval, Decision, Execution
from domain.diagnosis import Diagnosis, Finding
from domain.work import WorkKind


class Origin(StrEnum):
    """What started a run."""

    ALERT = "alert"
    MENTION = "mention"
    COMMAND = "command"
    SHORTCUT = "shortcut"
    THREAD = "thread"
    SCHEDULE = "schedule"


class RunStatus(StrEnum):
    """`waiting` is waiting for a person; nothing runs meanwhile."""

    RUNNING = "running"
    WAITING = "waiting"
    FINISHED = "finished"


class RunOutcome(StrEnum):
    """How a run ended."""

    DIAGNOSED = "diagnosed"
    REMEDIATED = "remediated"
    NOT_REMEDIATED = "not_remediated"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True)
class Budget:
    """What one run may use. Money is millionths of a US dollar; time is seconds of machine work, people not counted."""

    steps: int = 12
    tokens: int = 200_000
    cost_micros: int = 1_000_000
    seconds: int = 600
    actions: int = 3


@dataclass(frozen=True)
class RunSpec:
    """What a run is asked to do. `requester` is the Slack user id of the person who asked, empty for alerts.

    `undoes` is the execution that the run takes back, where a person asked for that. `work` is what kind of work it is;
    None lets its origin and what it does say so.
    """

    id: str
    incident_id: str
    origin: Origin
    model: str
    mode: Mode
    target: Target
    question: str = ""
    requester: str = ""
    alert: Alert | None = None
    budget: Budget = Budget()
    channel: str = ""
    thread_ts: str = ""
    context: str = ""
    undoes: str = ""
    work: WorkKind | None = None


@dataclass(frozen=True)
class ToolCall:
    """What the model (or an analyzer) asked for; untrusted. `arguments` is the text it sent."""

    id: str
    tool: str
    arguments: str


@dataclass(frozen=True)
class ToolResult:
    """What came back. `data` is the whole redacted result as plain JSON; `text` is what the model was shown of it.

    `evidence_id` (E1, E2 …) is how a finding cites it; empty where there is nothing to cite.
    """

    call_id: str
    tool: str
    ok: bool
    text: str
    evidence_id: str = ""
    data: Any = None
    took_ms: int = 0
    redactions: int = 0
    arguments: Mapping[str, Any] = field(default_factory=dict)
    cut: bool = False


@dataclass(frozen=True)
class Usage:
    """What one model request used. Money is millionths of a US dollar; `priced` is False where the price is unknown."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost_micros: int = 0
    priced: bool = True


@dataclass(frozen=True)
class Answer:
    """One model turn: words, calls, perhaps a conclusion, and what it used.

    `first_token_ms` is from the request to the first token, where the answer was streamed.
    """

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    diagnosis: Diagnosis | None = None
    usage: Usage = Usage()
    response_id: str = ""
    first_token_ms: int | None = None


@dataclass(frozen=True)
class SecondLook:
    """What another model says of a conclusion: supported, partly, unsupported; `failed` where it could not be had."""

    verdict: str
    reason: str = ""


@dataclass(frozen=True)
class Call:
    """A tool call of the run with all that became of it so far. The loop asks only: what does it still need?"""

    call: ToolCall
    step: int
    action: Action | None = None
    decision: Decision | None = None
    result: ToolResult | None = None
    approval: Approval | None = None
    execution: Execution | None = None


@dataclass(frozen=True)
class Run:
    """A run folded from its events. `calls` is keyed by call id, in order; `step` counts model turns so far.

    `earlier` are approval requests that another of the same call took the place of; `unpriced_tokens` those of models
    whose price is unknown.
    """

    spec: RunSpec
    started_at: datetime
    status: RunStatus = RunStatus.RUNNING
    step: int = 0
    answers: tuple[Answer, ...] = ()
    calls: Mapping[str, Call] = field(default_factory=dict)
    findings: tuple[Finding, ...] | None = None
    diagnosis: Diagnosis | None = None
    second_look: SecondLook | None = None
    outcome: RunOutcome | None = None
    reason: str = ""
    model_failure: str = ""
    usage: Usage = Usage()
    evidence: int = 0
    finished_at: datetime | None = None
    first_finding_at: datetime | None = None
    diagnosed_at: datetime | None = None
    machine_ms: int = 0
    earlier: tuple[Approval, ...] = ()
    unpriced_tokens: int = 0

    @property
    def id(self) -> str:
        """The run's id."""
        return self.spec.id

    @property
    def executions(self) -> tuple[Execution, ...]:
        """Every execution of this run, in order."""
        return tuple(call.execution for call in self.calls.values() if call.execution)

    @property
    def taken_back(self) -> bool:
        """Whether the last change that holds is the undo of one of this run that did not."""
        held = [each.action for each in self.executions if each.verified]
        undone = (each.undo for each in self.executions if each.verified is False and each.undo is not None)
        return bool(held) and any(
            undo.tool == held[-1].tool and {**held[-1].arguments, **undo.arguments} == held[-1].arguments
            for undo in undone
        )

    @property
    def approvals(self) -> tuple[Approval, ...]:
        """Every approval request of this run, those that another took the place of first."""
        return (*self.earlier, *(call.approval for call in self.calls.values() if call.approval))

    @property
    def tainted(self) -> bool:
        """Whether text that nobody vouches for (logs, events, messages) has reached the model in this run."""
        return any(call.result and call.result.ok and call.result.data is not None for call in self.calls.values())
