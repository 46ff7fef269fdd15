"""Who may vote, what a vote brings about, and who is still entitled when it counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Literal

from domain.decisions import Approval, ApprovalState, ApprovalTerms, Verdict, Vote, standing
from domain.errors import NotAllowed
from domain.ports import Person

_CLOSED = {
    ApprovalState.APPROVED: "was already approved",
    ApprovalState.CONSUMED: "was already approved and executed",
    ApprovalState.DENIED: "was already denied",
    ApprovalState.EXPIRED: "has expired",
    ApprovalState.CANCELLED: "was cancelled",
    ApprovalState.SUPERSEDED: "was replaced by a newer request",
}


def check_vote(
    approval: Approval, vote: Vote, person: Person, members: Mapping[str, frozenset[str]], now: datetime
) -> None:
    """Raise NotAllowed, with the sentence for the person, unless this vote counts.

    `members` are the policy's groups with the Slack user ids in them now. A request that is approved and not yet consumed
    still takes a deny.
    """
    _check_open(approval, vote, now)
    if refusal := not_entitled(approval, person, members):
        raise NotAllowed(refusal)
    before = standing(approval.votes).get(vote.user)
    if before is not None and before.verdict is vote.verdict:
        word = "approved" if vote.verdict is Verdict.APPROVE else "denied"
        raise NotAllowed(f"You have already {word} this; it needs somebody else now.")
    if not vote.reason.strip() and _needs_reason(approval.request.terms, vote):
        raise NotAllowed("Please say why: this decision is recorded with its reason.")


def check_withdrawal(approval: Approval, vote: Vote, now: datetime) -> None:
    """Raise NotAllowed unless this person's approve stands and is not consumed. Nothing else is asked of a brake."""
    _check_open(approval, vote, now)
    before = standing(approval.votes).get(vote.user)
    if before is None or before.verdict is not Verdict.APPROVE:
        raise NotAllowed("You have not approved this, so there is nothing to take back.")


def not_entitled(approval: Approval, person: Person, members: Mapping[str, frozenset[str]]) -> str:
    """Why this person may not decide on this request, as a sentence to them; empty where they may."""
    request, terms = approval.request, approval.request.terms
    if not person.full_member:
        return (
            person.why_not
            or "Only full members of this workspace can decide on this; guests, bots and outside users cannot."
        )
    if person.id == request.requester:
        return "You asked for this, so somebody else has to decide."
    if person.id == request.editor:
        return "You edited this, so somebody else has to decide."
    for group in terms.exclude:
        if group != "requester" and person.id in members.get(group, frozenset([person.id])):
            return f"Members of {group} are excluded from this decision."
    if not any(person.id in members.get(group, frozenset()) for group in approval.groups):
        return f"Only members of {_or(approval.groups)} can decide on this, and you are not one of them."
    return ""


def tally(approval: Approval, votes: Iterable[Vote]) -> ApprovalState | None:
    """What these votes bring about: denied, approved, or None while more are needed.

    `votes` are all votes so far, oldest first. A person counts once, by their last word; denials are counted first.
    """
    terms = approval.request.terms
    verdicts = [vote.verdict for vote in standing(votes).values()]
    if verdicts.count(Verdict.DENY) >= max(1, terms.deny_quorum):
        return ApprovalState.DENIED
    if verdicts.count(Verdict.APPROVE) >= max(1, terms.quorum):
        return ApprovalState.APPROVED
    return None


def brings_about(approval: Approval, vote: Vote) -> ApprovalState | None:
    """The state that one more vote brings about, None where it stays: *pending* again where an approve is taken back."""
    reached = tally(approval, (*approval.votes, vote)) or ApprovalState.PENDING
    return None if reached is approval.state else reached


def due(approval: Approval, now: datetime) -> Literal["", "reminder", "escalation"]:
    """Whom a request that waits must call now: its groups at half of its time, `escalate_to` after `escalate_after`.

    Without an `escalate_after`, three quarters of its time. Silence brings nothing about but calls.
    """
    request, terms = approval.request, approval.request.terms
    if approval.state is not ApprovalState.PENDING or request.observe_only or now >= request.expires_at:
        return ""
    whole = request.expires_at - request.requested_at
    after = timedelta(seconds=terms.escalate_after_s) if terms.escalate_after_s else whole * 3 / 4
    if terms.escalate_to and approval.escalated_at is None and now >= request.requested_at + after:
        return "escalation"
    return "reminder" if approval.reminded_at is None and now >= request.requested_at + whole / 2 else ""


def still_entitled(
    approval: Approval, members: Mapping[str, frozenset[str]], persons: Mapping[str, Person]
) -> list[str]:
    """Why the approvals do not carry an execution now, one sentence each; empty where enough of them still count."""
    entitled, problems = 0, []
    for vote in approval.approvers:
        person = persons.get(vote.user)
        who = vote.name or vote.user
        if person is None or not person.full_member:
            problems.append(f"{who} is no longer a full member of the workspace")
        elif not_entitled(approval, person, members):
            problems.append(f"{who} may no longer decide on this")
        else:
            entitled += 1
    needed = max(1, approval.request.terms.quorum)
    if entitled >= needed:
        return []
    return problems or [f"{entitled} of {needed} approvals are there"]


def render_groups(terms: ApprovalTerms, groups: Mapping[str, tuple[str, ...]]) -> str:
    """The groups that are asked, with who they are: `approvers (@sre, ana@example.com)`."""
    shown = [f"{name} ({', '.join(groups[name])})" if groups.get(name) else f"{name} (nobody)" for name in terms.groups]
    return _or(shown)


def _check_open(approval: Approval, vote: Vote, now: datetime) -> None:
    revokes = approval.state is ApprovalState.APPROVED and vote.verdict is not Verdict.APPROVE
    if approval.state is not ApprovalState.PENDING and not revokes:
        by = f" by {approval.closed_by}" if approval.closed_by else ""
        raise NotAllowed(f"This {_CLOSED[approval.state]}{by}.")
    if now >= approval.request.expires_at:
        raise NotAllowed("This has expired. Ask the agent again if it is still needed.")
    if vote.digest != approval.request.digest:
        raise NotAllowed("This card has changed since you looked at it. Please read it again before you decide.")


def _needs_reason(terms: ApprovalTerms, vote: Vote) -> bool:
    return terms.reason == "always" or (terms.reason == "on_deny" and vote.verdict is Verdict.DENY)


def _or(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
