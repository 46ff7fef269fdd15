"""Every kind of event, one frozen dataclass each, and the envelope that chains them.

Where a subject has a file of its own (control, messages, audit, worth), its events stand there and are listed here.

The kind recorded in the journal is the class's name. An event never changes; a new meaning is a new class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.actions import Action
from domain.alerts import Alert, Incident
from domain.audit import (
    AnchorFailed as AnchorFailed,
    AnchorWritten as AnchorWritten,
    BodyErased as BodyErased,
    CheckpointSigned as CheckpointSigned,
)
from domain.authority import BreakGlass, Delegation
from domain.codec import decode, encode
from domain.control import (
    AgentPaused as AgentPaused,
    AgentResumed as AgentResumed,
    AutonomyDemoted as AutonomyDemoted,
    AutonomyRestored as AutonomyRestored,
    BreakerOpened as BreakerOpened,
    BreakerReset as BreakerReset,
    ModeChanged as ModeChanged,
    PolicyLoaded as PolicyLoaded,
    PolicyRejected as PolicyRejected,
)
from domain.decisions import (
    AGENT,
    Actor,
    ApprovalRequest,
    ApprovalState,
    Check,
    Decision,
    ExecutionOutcome,
    Vote,
)
from domain.diagnosis import Diagnosis, Finding
from domain.errors import JournalError
from domain.feedback import FeedbackGiven as FeedbackGiven
from domain.messages import (
    MessageFailed as MessageFailed,
    MessageSent as MessageSent,
    MessageWanted as MessageWanted,
    SurfaceShown as SurfaceShown,
)
from domain.noise import (
    AlertHeld as AlertHeld,
    AlertSuppressed as AlertSuppressed,
    MaintenanceEnded as MaintenanceEnded,
    MaintenanceStarted as MaintenanceStarted,
)
from domain.pictures import PictureSent as PictureSent, PictureWanted as PictureWanted
from domain.runs import Answer, RunOutcome, RunSpec, SecondLook, ToolCall, ToolResult, Usage
from domain.scans import FindingSnoozed as FindingSnoozed
from domain.work import WorkUnit
from domain.worth import BaselineImported as BaselineImported, BaselinesSet as BaselinesSet

# --- intake -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PayloadReceived:
    """Something Slack sent: `key` is what makes it the same payload when Slack sends it again."""

    key: str
    surface: str
    payload: Mapping[str, Any]
    also: str = ""


@dataclass(frozen=True)
class PayloadHandled:
    """What a payload asked for was done or refused: after a crash it is not taken up again."""

    key: str


@dataclass(frozen=True)
class AlertReceived:
    """A monitor's alert, redacted, before anything was made of it."""

    alert: Alert


@dataclass(frozen=True)
class IncidentOpened:
    """An alert that belongs to no open incident opened one."""

    incident: Incident


@dataclass(frozen=True)
class AlertJoined:
    """An alert joined an open incident: a repeat, another of its group, or one of its alerts ceasing.

    `storm`: it is a problem of its own that is not looked into alone, because there are too many at once.
    """

    fingerprint: str
    firing: bool
    storm: bool = False


@dataclass(frozen=True)
class IncidentResolved:
    """The monitor says that the condition has ceased. Nobody else closes an incident."""

    reason: str


# --- the run ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunStarted:
    """One bounded attempt begins."""

    spec: RunSpec


@dataclass(frozen=True)
class AnalysisPlanned:
    """The reads that the analyzers ask for, before they run."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True)
class FindingsReported:
    """What the analyzers found; empty means that nothing looks wrong."""

    findings: tuple[Finding, ...]
    took_ms: int


@dataclass(frozen=True)
class ModelAsked:
    """A request to the model. `messages` are those added since the request before; `request_hash` covers all the bytes."""

    step: int
    model: str
    messages: tuple[Any, ...]
    tools_hash: str
    request_hash: str


@dataclass(frozen=True)
class StepPlanned:
    """The model's answer: one step."""

    step: int
    model: str
    answer: Answer
    took_ms: int


@dataclass(frozen=True)
class ModelFailed:
    """The model gave nothing usable; the rules go on alone. `usage` is what that cost all the same."""

    step: int
    model: str
    reason: str
    took_ms: int = 0
    usage: Usage = Usage()


@dataclass(frozen=True)
class ToolCallRefused:
    """A call that could not be understood: unknown tool, unusable arguments, a repeat."""

    call_id: str
    tool: str
    reason: str


@dataclass(frozen=True)
class DecisionMade:
    """The gate's answer, with the whole input it was computed from."""

    call_id: str
    action: Action
    decision: Decision
    situation: Mapping[str, Any]


@dataclass(frozen=True)
class ToolCallFinished:
    """A call's result as the model sees it, and in full."""

    result: ToolResult


@dataclass(frozen=True)
class DiagnosisConcluded:
    """The run's answer to: what is wrong, and how do we know?"""

    diagnosis: Diagnosis


@dataclass(frozen=True)
class SecondLookTaken:
    """Another model's word on the conclusion. It may only lower its confidence."""

    model: str
    look: SecondLook
    usage: Usage
    took_ms: int


@dataclass(frozen=True)
class RunFinished:
    """The run ended, `reason` says why in a sentence. `machine_ms` is its time without waiting for people."""

    outcome: RunOutcome
    reason: str
    machine_ms: int = 0


# --- approvals --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ApprovalRequested:
    """The gate said ask: a question to people, valid until it expires."""

    request: ApprovalRequest


@dataclass(frozen=True)
class VoteCast:
    """A person answered, and was entitled to. `closes` is the state that this vote brings about, if any.

    That is also *pending*, where an approve that carried the approval was taken back. `seen` is how many votes it was
    counted with: it is refused where there are others by now. Earlier versions did not say (None).
    """

    approval_id: str
    vote: Vote
    closes: ApprovalState | None = None
    seen: int | None = None


@dataclass(frozen=True)
class VoteRefused:
    """A person clicked who may not, or too late, or on an old card."""

    approval_id: str
    user: str
    reason: str


@dataclass(frozen=True)
class ApprovalClosed:
    """An approval request ended without a vote: expired, cancelled or superseded."""

    approval_id: str
    state: ApprovalState
    reason: str
    by: str = ""


@dataclass(frozen=True)
class ApprovalReminded:
    """Half of its time has passed without a decision: the asked groups are called once."""

    approval_id: str


@dataclass(frozen=True)
class ApprovalEscalated:
    """Nobody decided in time to be comfortable: from here on `groups` may vote as well. Never an approval by itself."""

    approval_id: str
    groups: tuple[str, ...]


@dataclass(frozen=True)
class BreakGlassOpened:
    """A person of the policy's break-glass group may approve alone, for one incident and a limited time."""

    glass: BreakGlass


@dataclass(frozen=True)
class BreakGlassReviewed:
    """Somebody else looked at what was done under it, and says so."""

    glass_id: str
    user: str
    name: str
    comment: str


@dataclass(frozen=True)
class VoteDelegated:
    """An approver lets somebody else vote in their place for a while."""

    delegation: Delegation


@dataclass(frozen=True)
class DelegationEnded:
    """The approver votes for themselves again."""

    user: str


# --- execution --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExecutionStarted:
    """The intent, written before the side effect. It consumes the approval in the same transaction.

    `problems` names the alert and the findings that it is meant to help with; `undoes` the execution that it takes back.
    """

    execution_id: str
    call_id: str
    action: Action
    key: str
    digest: str
    approval_id: str = ""
    problems: tuple[str, ...] = ()
    undoes: str = ""


@dataclass(frozen=True)
class ExecutionProbed:
    """After a crash or a lost answer: does the target show the idempotency key? None means that nobody can tell."""

    execution_id: str
    arrived: bool | None
    detail: str


@dataclass(frozen=True)
class ExecutionFinished:
    """The side effect's outcome as far as the call's answer tells."""

    execution_id: str
    outcome: ExecutionOutcome
    detail: str
    took_ms: int = 0


@dataclass(frozen=True)
class VerificationPassed:
    """The action's own read-only probe holds."""

    execution_id: str
    checks: tuple[Check, ...]
    took_ms: int


@dataclass(frozen=True)
class VerificationFailed:
    """The probe did not hold in its time: the thread is reopened with the stored undo."""

    execution_id: str
    checks: tuple[Check, ...]
    took_ms: int


@dataclass(frozen=True)
class WorkUnitRecorded:
    """A finished piece of work, measured."""

    unit: WorkUnit


Event = (
    PayloadReceived
    | PayloadHandled
    | AlertReceived
    | IncidentOpened
    | AlertJoined
    | IncidentResolved
    | AlertHeld
    | AlertSuppressed
    | MaintenanceStarted
    | MaintenanceEnded
    | RunStarted
    | AnalysisPlanned
    | FindingsReported
    | FindingSnoozed
    | ModelAsked
    | StepPlanned
    | ModelFailed
    | ToolCallRefused
    | DecisionMade
    | ToolCallFinished
    | DiagnosisConcluded
    | SecondLookTaken
    | RunFinished
    | ApprovalRequested
    | VoteCast
    | VoteRefused
    | ApprovalClosed
    | ApprovalReminded
    | ApprovalEscalated
    | BreakGlassOpened
    | BreakGlassReviewed
    | VoteDelegated
    | DelegationEnded
    | ExecutionStarted
    | ExecutionProbed
    | ExecutionFinished
    | VerificationPassed
    | VerificationFailed
    | AgentPaused
    | AgentResumed
    | ModeChanged
    | BreakerOpened
    | BreakerReset
    | AutonomyDemoted
    | AutonomyRestored
    | PolicyLoaded
    | PolicyRejected
    | WorkUnitRecorded
    | FeedbackGiven
    | BaselinesSet
    | BaselineImported
    | MessageWanted
    | MessageSent
    | MessageFailed
    | SurfaceShown
    | PictureWanted
    | PictureSent
    | CheckpointSigned
    | AnchorWritten
    | AnchorFailed
    | BodyErased
)

KINDS: Mapping[str, type[Event]] = {kind.__name__: kind for kind in Event.__args__}


@dataclass(frozen=True)
class Draft:
    """An event on its way into the journal. `incident_id` and `run_id` are empty where the event belongs to none."""

    event: Event
    actor: Actor = AGENT
    incident_id: str = ""
    run_id: str = ""


@dataclass(frozen=True)
class Envelope:
    """A recorded event: place in the chain, time, attribution, and the event itself."""

    seq: int
    workspace: str
    incident_id: str
    run_id: str
    at: datetime
    actor: str
    event: Event
    hash: str = ""


def body_of(event: Event) -> dict[str, Any]:
    """The event as plain JSON."""
    body: dict[str, Any] = encode(event)
    return body


def event_of(kind: str, body: Mapping[str, Any]) -> Event:
    """The event behind a recorded body. Raises JournalError for a kind that this version does not know."""
    if kind not in KINDS:
        raise JournalError(
            f"the journal holds an event of kind {kind}, which this version does not know: upgrade first"
        )
    return decode(KINDS[kind], body)
