"""The changes that a run proposed, each with the events that it went through. Pure: envelopes in, nouns out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from domain.actions import Action, Effect
from domain.decisions import ApprovalState, Decision, ExecutionOutcome, Outcome, Verdict, Vote, standing
from domain.events import (
    ApprovalClosed,
    ApprovalEscalated,
    ApprovalRequested,
    DecisionMade,
    Envelope,
    ExecutionFinished,
    ExecutionProbed,
    ExecutionStarted,
    VerificationFailed,
    VerificationPassed,
    VoteCast,
    VoteRefused,
)

E = TypeVar("E")


class State(StrEnum):
    """Where a change stands, in the product's words."""

    VERIFIED = "Verified"
    EXECUTED = "Executed"
    FAILED = "Failed"
    UNKNOWN = "Unknown"
    EXECUTING = "Executing"
    APPROVED = "Approved"
    WAITING = "Waiting for approval"
    DENIED = "Denied"
    REFUSED = "Denied by policy"
    EXPIRED = "Expired"
    CANCELLED = "Cancelled"
    SUPERSEDED = "Superseded"
    OBSERVED = "Observed only"
    ALLOWED = "Allowed"


@dataclass(frozen=True)
class Fact(Generic[E]):
    """A recorded event and where it stands in the journal."""

    event: E
    seq: int
    at: datetime
    hash: str
    actor: str


@dataclass(frozen=True)
class Change:
    """One proposed change, from its decision to its end. What did not happen is None or empty."""

    run_id: str
    incident_id: str
    decided: Fact[DecisionMade]
    asked: Fact[ApprovalRequested] | None = None
    votes: tuple[Fact[VoteCast], ...] = ()
    refused: tuple[Fact[VoteRefused], ...] = ()
    escalated: Fact[ApprovalEscalated] | None = None
    closed: Fact[ApprovalClosed] | None = None
    started: Fact[ExecutionStarted] | None = None
    probed: tuple[Fact[ExecutionProbed], ...] = ()
    finished: Fact[ExecutionFinished] | None = None
    verified: Fact[VerificationPassed] | Fact[VerificationFailed] | None = None

    @property
    def action(self) -> Action:
        """What was executed, else what was asked, else what was decided on."""
        if self.started is not None:
            return self.started.event.action
        return self.asked.event.request.action if self.asked is not None else self.decided.event.action

    @property
    def decision(self) -> Decision:
        """The decision that stands behind it."""
        return self.asked.event.request.decision if self.asked is not None else self.decided.event.decision

    @property
    def digest(self) -> str:
        """What the approval bound and the execution named; empty where it came to neither."""
        if self.started is not None:
            return self.started.event.digest
        return self.asked.event.request.digest if self.asked is not None else ""

    @property
    def standing(self) -> tuple[Vote, ...]:
        """Each person's last word."""
        return tuple(standing(fact.event.vote for fact in self.votes).values())

    @property
    def approvers(self) -> tuple[Vote, ...]:
        """Those whose approve stands."""
        return tuple(vote for vote in self.standing if vote.verdict is Verdict.APPROVE)

    @property
    def glasses(self) -> tuple[str, ...]:
        """The break-glasses that its votes rest on, by id."""
        return tuple(dict.fromkeys(vote.break_glass for vote in self.standing if vote.break_glass))

    @property
    def answered_at(self) -> datetime | None:
        """When people decided, or it ended without them."""
        ends = [fact.at for fact in self.votes if fact.event.closes not in (None, ApprovalState.PENDING)]
        if ends:
            return ends[-1]
        return self.closed.at if self.closed is not None else None

    @property
    def state(self) -> State:
        """Where it stands."""
        if self.started is not None:
            return self._executed()
        if self.asked is None:
            decision = self.decided.event.decision
            if decision.observe:
                return State.OBSERVED
            return {Outcome.DENY: State.REFUSED, Outcome.ALLOW: State.ALLOWED}.get(decision.outcome, State.WAITING)
        if self.asked.event.request.observe_only:
            return State.OBSERVED
        return self._asked()

    def _executed(self) -> State:
        if self.finished is None:
            return State.EXECUTING
        if self.finished.event.outcome is ExecutionOutcome.FAILED:
            return State.FAILED
        if self.finished.event.outcome is ExecutionOutcome.UNKNOWN:
            return State.UNKNOWN
        if self.verified is None:
            return State.EXECUTED
        return State.VERIFIED if isinstance(self.verified.event, VerificationPassed) else State.FAILED

    def _asked(self) -> State:
        if self.closed is not None:
            return {
                ApprovalState.EXPIRED: State.EXPIRED,
                ApprovalState.SUPERSEDED: State.SUPERSEDED,
                ApprovalState.DENIED: State.DENIED,
            }.get(self.closed.event.state, State.CANCELLED)
        closes = next((fact.event.closes for fact in reversed(self.votes) if fact.event.closes is not None), None)
        return {ApprovalState.APPROVED: State.APPROVED, ApprovalState.DENIED: State.DENIED}.get(
            closes or ApprovalState.PENDING, State.WAITING
        )

    @property
    def events(self) -> list[Fact[object]]:
        """Everything recorded of it, in order."""
        single = (self.decided, self.asked, self.escalated, self.closed, self.started, self.finished, self.verified)
        found: list[Fact[object]] = [*self.votes, *self.refused, *self.probed]  # type: ignore[list-item]
        found += [fact for fact in single if fact is not None]  # type: ignore[misc]
        return sorted(found, key=lambda fact: fact.seq)


def changes_of(envelopes: Iterable[Envelope]) -> tuple[Change, ...]:
    """Every proposed change, in the order of their decisions. A change decided afresh is another one."""
    found: list[Change] = []
    for each in envelopes:
        if isinstance(each.event, DecisionMade):
            if each.event.action.effect is not Effect.READ:
                found.append(Change(each.run_id, each.incident_id, _fact(each, each.event)))
        else:
            at = _place(found, each)
            if at is not None:
                found[at] = _after(found[at], each)
    return tuple(found)


def _fact(envelope: Envelope, event: E) -> Fact[E]:
    return Fact(event, envelope.seq, envelope.at, envelope.hash, envelope.actor)


def _place(found: Sequence[Change], envelope: Envelope) -> int | None:
    """Which change an event is about: the newest that knows the name by which the event calls it."""
    event = envelope.event
    for place in range(len(found) - 1, -1, -1):
        change = found[place]
        match event:
            case ApprovalRequested(request):
                hit = change.asked is None and change.decided.event.call_id == request.call_id
                hit = hit and change.run_id == request.run_id
            case VoteCast(approval_id) | VoteRefused(approval_id) | ApprovalClosed(approval_id):
                hit = _approval_id(change) == approval_id
            case ApprovalEscalated(approval_id):
                hit = _approval_id(change) == approval_id
            case ExecutionStarted(_, call_id, approval_id=approval_id):
                by_call = change.decided.event.call_id == call_id and change.run_id == envelope.run_id
                hit = _approval_id(change) == approval_id if approval_id else by_call
            case (
                ExecutionProbed(execution_id)
                | ExecutionFinished(execution_id)
                | VerificationPassed(execution_id)
                | VerificationFailed(execution_id)
            ):
                hit = change.started is not None and change.started.event.execution_id == execution_id
            case _:
                return None
        if hit:
            return place
    return None


def _approval_id(change: Change) -> str:
    return change.asked.event.request.id if change.asked is not None else ""


def _after(change: Change, each: Envelope) -> Change:
    match each.event:
        case ApprovalRequested():
            return replace(change, asked=_fact(each, each.event))
        case VoteCast():
            return replace(change, votes=(*change.votes, _fact(each, each.event)))
        case VoteRefused():
            return replace(change, refused=(*change.refused, _fact(each, each.event)))
        case ApprovalEscalated():
            return replace(change, escalated=_fact(each, each.event))
        case ApprovalClosed():
            return replace(change, closed=_fact(each, each.event))
        case _:
            return _after_execution(change, each)


def _after_execution(change: Change, each: Envelope) -> Change:
    match each.event:
        case ExecutionStarted():
            return replace(change, started=_fact(each, each.event))
        case ExecutionProbed():
            return replace(change, probed=(*change.probed, _fact(each, each.event)))
        case ExecutionFinished():
            return replace(change, finished=_fact(each, each.event))
        case VerificationPassed():
            return replace(change, verified=_fact(each, each.event))
        case VerificationFailed():
            return replace(change, verified=_fact(each, each.event))
    return change
