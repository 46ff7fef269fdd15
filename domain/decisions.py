"""Decisions, approvals and votes: allow, ask or deny for one action, and what people answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from domain.actions import Action, Undo
from domain.canonical import digest_of


class Outcome(StrEnum):
    """Deny wins over ask, ask over allow; no match is deny."""

    DENY = "deny"
    ASK = "ask"
    ALLOW = "allow"


@dataclass(frozen=True)
class Actor:
    """Who an event is attributed to: `kind` is person, bot, monitor, agent or system; `id` is Slack's where it has one."""

    kind: str
    id: str = ""
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}" if self.id else self.kind


AGENT = Actor("agent")
SYSTEM = Actor("system")


@dataclass(frozen=True)
class ApprovalTerms:
    """Who must say yes, how many, until when. `groups` are names of the policy's groups; `expires_s` is seconds.

    `reason` is when a vote needs words: never, on_deny or always. `deny_quorum` denials end it. `window` names calendars:
    what was approved waits until all of them are open, and expires if that comes too late.
    """

    groups: tuple[str, ...]
    quorum: int = 1
    expires_s: int = 1800
    exclude: tuple[str, ...] = ("requester",)
    deny_quorum: int = 1
    reason: str = "on_deny"
    escalate_to: tuple[str, ...] = ()
    escalate_after_s: int = 0
    window: tuple[str, ...] = ()


@dataclass(frozen=True)
class RuleVerdict:
    """One rule's part in a decision. `result` is matched, not_matched or error; `mode` enforce, warn or shadow."""

    rule: str
    decision: Outcome
    result: str
    mode: str = "enforce"
    detail: str = ""


@dataclass(frozen=True)
class Decision:
    """The gate's answer for one action. `rule` is the deciding rule's id, empty where none matched.

    `observe` is why this is only recorded and cannot execute, whoever approves it; empty where it can.
    """

    outcome: Outcome
    rule: str
    reason: str
    policy_hash: str
    terms: ApprovalTerms | None = None
    verdicts: tuple[RuleVerdict, ...] = ()
    warnings: tuple[str, ...] = ()
    observe: str = ""


class Verdict(StrEnum):
    """A person's answer. `withdraw` takes an own approve back: afterwards this person has said nothing."""

    APPROVE = "approve"
    DENY = "deny"
    WITHDRAW = "withdraw"


@dataclass(frozen=True)
class Vote:
    """One named person's word, with the digest that the person saw.

    `on_behalf_of` is the approver whose delegated vote this is, `break_glass` the id of the break-glass that it rests on.
    """

    user: str
    verdict: Verdict
    at: datetime
    reason: str = ""
    digest: str = ""
    name: str = ""
    on_behalf_of: str = ""
    break_glass: str = ""


def standing(votes: Iterable[Vote]) -> dict[str, Vote]:
    """Each person's last word, by user id; who withdrew has none. `votes` are oldest first."""
    last: dict[str, Vote] = {}
    for vote in votes:
        last.pop(vote.user, None)
        if vote.verdict is not Verdict.WITHDRAW:
            last[vote.user] = vote
    return last


class ApprovalState(StrEnum):
    """pending -> approved -> consumed, or one of the ends."""

    PENDING = "pending"
    APPROVED = "approved"
    CONSUMED = "consumed"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


@dataclass(frozen=True)
class ApprovalRequest:
    """The question that an *ask* opens. It never changes; its state, votes and execution stand beside it in Approval.

    Requests of one `batch` share a card: one click is a vote on each of them, and each is consumed on its own.
    """

    id: str
    run_id: str
    incident_id: str
    call_id: str
    action: Action
    digest: str
    decision: Decision
    terms: ApprovalTerms
    requested_at: datetime
    expires_at: datetime
    requester: str = ""
    editor: str = ""
    supersedes: str = ""
    note: str = ""
    observe_only: bool = False
    batch: str = ""

    @property
    def card(self) -> str:
        """What its card is known by: the batch's where it is one of several."""
        return self.batch or self.id


class ExecutionOutcome(StrEnum):
    """How an execution ended. `unknown`: the call was sent and no answer came; it is probed, never repeated blindly."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """One line of a verification: what was looked at and whether it holds."""

    name: str
    passed: bool
    detail: str = ""


@dataclass(frozen=True)
class Execution:
    """The one time an allowed action touches a real system. `key` is the idempotency key that the target can show back."""

    id: str
    call_id: str
    action: Action
    key: str
    started_at: datetime
    approval_id: str = ""
    outcome: ExecutionOutcome | None = None
    detail: str = ""
    undo: Undo | None = None
    verified: bool | None = None
    checks: tuple[Check, ...] = ()
    verified_at: datetime | None = None


@dataclass(frozen=True)
class Approval:
    """An approval request with all that happened to it: what a card shows."""

    request: ApprovalRequest
    state: ApprovalState = ApprovalState.PENDING
    votes: tuple[Vote, ...] = ()
    closed_by: str = ""
    closed_reason: str = ""
    closed_at: datetime | None = None
    execution: Execution | None = None
    reminded_at: datetime | None = None
    escalated_at: datetime | None = None

    @property
    def approvers(self) -> tuple[Vote, ...]:
        """The people whose approve stands."""
        return tuple(vote for vote in standing(self.votes).values() if vote.verdict is Verdict.APPROVE)

    @property
    def groups(self) -> tuple[str, ...]:
        """The policy's groups that may vote now: those it asked, and once it was escalated those it turned to."""
        terms = self.request.terms
        return tuple(dict.fromkeys((*terms.groups, *(terms.escalate_to if self.escalated_at else ()))))


def shown_digest(items: Sequence[Approval]) -> str:
    """What a card of several requests binds a click to: which of them can still be decided, each with its digest."""
    return digest_of([[item.request.id, item.request.digest] for item in open_items(items)])


def open_items(items: Sequence[Approval]) -> list[Approval]:
    """Those that a click on their common card is about: all that wait, and where none does all that are approved."""
    waiting = [item for item in items if item.state is ApprovalState.PENDING]
    return waiting or [item for item in items if item.state is ApprovalState.APPROVED]
