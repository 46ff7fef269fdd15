"""Who may vote, what a vote brings about, and who is still entitled when it counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Literal

from domain.authority import Authority
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

NOT_A_MEMBER_ANY_MORE = "is no longer a full member of the workspace"
MAY_NOT_ANY_MORE = "may no longer decide on this"


def check_vote(approval: Approval, vote: Vote, person: Person, authority: Authority, now: datetime) -> Vote:
    """The vote with the person's name and what entitles them to it. Raises NotAllowed, with the sentence for the person.

    A request that is approved and not yet consumed still takes a deny. An approve that is delegated, or that rests on
    break-glass, is marked as such; break-glass is used only where the person's own vote would not do.
    """
    _check_open(approval, vote, now)
    named = replace(vote, name=person.name, on_behalf_of="", break_glass="")
    refusal, marked = _entitle(approval, named, person, authority)
    before = standing(approval.votes).get(vote.user)
    if not refusal and before is not None and before.verdict is vote.verdict:
        word = "approved" if vote.verdict is Verdict.APPROVE else "denied"
        refusal = f"You have already {word} this; it needs somebody else now."
    glass = authority.glass.get(person.id, "")
    settles = not refusal and tally(approval, (*approval.votes, marked)) is ApprovalState.APPROVED
    if glass and vote.verdict is Verdict.APPROVE and not settles:
        marked = replace(named, break_glass=glass)
        refusal = not_entitled(approval, marked, person, authority)
    if refusal:
        raise NotAllowed(refusal)
    if not vote.reason.strip() and _needs_reason(approval.request.terms, vote):
        raise NotAllowed("Please say why: this decision is recorded with its reason.")
    return marked


def _entitle(approval: Approval, vote: Vote, person: Person, authority: Authority) -> tuple[str, Vote]:
    """The refusal, or the vote: the person's own where they may decide, else one that was delegated to them."""
    refusal = not_entitled(approval, vote, person, authority)
    voted = {_principal(each) for each in standing(approval.votes).values()}
    lenders = authority.delegated.get(person.id, frozenset())
    for principal in sorted(lenders, key=lambda lender: (lender in voted, lender)) if refusal else ():
        lent = replace(vote, on_behalf_of=principal)
        if not not_entitled(approval, lent, person, authority):
            return "", lent
    return refusal, vote


def check_withdrawal(approval: Approval, vote: Vote, now: datetime) -> None:
    """Raise NotAllowed unless this person's approve stands and is not consumed. Nothing else is asked of a brake."""
    _check_open(approval, vote, now)
    before = standing(approval.votes).get(vote.user)
    if before is None or before.verdict is not Verdict.APPROVE:
        raise NotAllowed("You have not approved this, so there is nothing to take back.")


def not_entitled(approval: Approval, vote: Vote, person: Person, authority: Authority) -> str:
    """Why this person's vote does not count on this request, as a sentence to them; empty where it does.

    A delegated vote needs an approver behind it who could vote; break-glass sets aside group, quorum and requester,
    never that it is a full member's, nor the editor's or an excluded group's exclusion.
    """
    request, terms, members = approval.request, approval.request.terms, authority.members
    if not person.full_member:
        return (
            person.why_not
            or "Only full members of this workspace can decide on this; guests, bots and outside users cannot."
        )
    if vote.on_behalf_of and vote.on_behalf_of not in authority.delegated.get(person.id, frozenset()):
        return "Nobody lets you vote in their place any more."
    if vote.break_glass and authority.glass.get(person.id) != vote.break_glass:
        return "Your break-glass for this incident is over."
    asked = {person.id, vote.on_behalf_of}
    if request.requester in asked and request.requester and not vote.break_glass:
        return "You asked for this, so somebody else has to decide."
    if request.editor in asked and request.editor:
        return "You edited this, so somebody else has to decide."
    for group in terms.exclude:
        if group != "requester" and asked & members.get(group, frozenset(asked)):
            return f"Members of {group} are excluded from this decision."
    voter = vote.on_behalf_of or person.id
    if not vote.break_glass and not any(voter in members.get(group, frozenset()) for group in approval.groups):
        return f"Only members of {_or(approval.groups)} can decide on this, and you are not one of them."
    return ""


def tally(approval: Approval, votes: Iterable[Vote]) -> ApprovalState | None:
    """What these votes bring about: denied, approved, or None while more are needed.

    `votes` are all votes so far, oldest first. A person counts once, by their last word, together with whoever votes in
    their place; denials are counted first; an approve under break-glass suffices alone.
    """
    terms = approval.request.terms
    last = standing(votes).values()
    denials = {_principal(vote) for vote in last if vote.verdict is Verdict.DENY}
    approves = {_principal(vote) for vote in last if vote.verdict is Verdict.APPROVE}
    if len(denials) >= max(1, terms.deny_quorum):
        return ApprovalState.DENIED
    alone = any(vote.break_glass and vote.verdict is Verdict.APPROVE for vote in last)
    return ApprovalState.APPROVED if alone or len(approves) >= max(1, terms.quorum) else None


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


def still_entitled(approval: Approval, authority: Authority, persons: Mapping[str, Person]) -> list[str]:
    """Why the approvals do not carry an execution now, one sentence each; empty where enough of them still count."""
    entitled: set[str] = set()
    alone, problems = False, []
    for vote in approval.approvers:
        person = persons.get(vote.user)
        who = vote.name or vote.user
        if person is None or not person.full_member:
            problems.append(f"{who} {NOT_A_MEMBER_ANY_MORE}")
        elif not_entitled(approval, vote, person, authority):
            problems.append(f"{who} {MAY_NOT_ANY_MORE}")
        else:
            entitled.add(_principal(vote))
            alone |= bool(vote.break_glass)
    needed = max(1, approval.request.terms.quorum)
    if alone or len(entitled) >= needed:
        return []
    return problems or [f"{len(entitled)} of {needed} approvals are there"]


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


def _principal(vote: Vote) -> str:
    """Whose vote it is: an approver and their delegate are one."""
    return vote.on_behalf_of or vote.user


def _needs_reason(terms: ApprovalTerms, vote: Vote) -> bool:
    return terms.reason == "always" or (terms.reason == "on_deny" and vote.verdict is Verdict.DENY)


def _or(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
