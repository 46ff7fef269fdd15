"""What people have said already: a no stands while its incident is open, unless what it was said about has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.agent.world import Journey
from domain.actions import Action
from domain.canonical import digest_of, plain
from domain.decisions import Approval, ApprovalState, Verdict, Vote
from domain.fold import fold
from domain.runs import Run


async def said_already(journey: Journey, action: Action) -> str:
    """Why people are not asked this: somebody said no to just that, or it is being asked in this incident right now."""
    journal, incident_id = journey.world.journal, journey.run.spec.incident_id
    denied = await _standing_no(journey, action)
    if denied is not None and not await _changes(journey, denied, action):
        vote = _no_of(denied)
        reason = f": {vote.reason}" if vote.reason else ""
        return f"{vote.name or vote.user} denied the same action on the same target{reason}. It is not asked again."
    for approval in await journal.approvals(pending=True, incident_id=incident_id) if incident_id else ():
        if _same(approval.request.action, action):
            return f"The same change waits for a decision already ({approval.request.id}). It is not asked twice."
    return ""


async def note_on(journey: Journey, action: Action) -> str:
    """What the card of a change says that somebody denied before: who, why, and what is different now."""
    denied = await _standing_no(journey, action)
    if denied is None:
        return ""
    vote = _no_of(denied)
    reason = f" (“{vote.reason}”)" if vote.reason else ""
    changes = "; ".join(await _changes(journey, denied, action)) or "nothing"
    return f"{vote.name or vote.user} denied this at {vote.at:%H:%M} UTC{reason}. Changed since: {changes}."


async def _standing_no(journey: Journey, action: Action) -> Approval | None:
    """The newest no to this change in an open incident, or within this run, which may belong to no incident."""
    arguments = digest_of(plain(action.arguments))
    denied = await journey.world.journal.refused(action.tool, action.target.key, arguments)
    if denied is not None:
        return denied
    for approval in await journey.world.journal.approvals(run_id=journey.run.id):
        if approval.state is ApprovalState.DENIED and _same(approval.request.action, action):
            return approval
    return None


async def _changes(journey: Journey, denied: Approval, action: Action) -> list[str]:
    """What is different from what the no was said about: the target's observed state, and findings about it, in words."""
    before = denied.request.action.observed
    found = [
        f"{key} {_shown(before.get(key))} → {_shown(action.observed.get(key))}"
        for key in sorted({*before, *action.observed})
        if plain(before.get(key)) != plain(action.observed.get(key))
    ]
    if denied.request.run_id != journey.run.id:
        known = _findings(fold(await journey.world.journal.of_run(denied.request.run_id)), action)
        found += [title for code, title in _findings(journey.run, action).items() if code not in known]
    return found


def _findings(run: Run, action: Action) -> Mapping[str, str]:
    """What is wrong with the action's target, by the findings' stable codes."""
    wrong = [finding for finding in run.findings or () if not finding.healthy]
    return {finding.code: finding.title for finding in wrong if finding.target.key == action.target.key}


def _same(one: Action, other: Action) -> bool:
    return (one.tool, one.target.key, plain(one.arguments)) == (other.tool, other.target.key, plain(other.arguments))


def _no_of(denied: Approval) -> Vote:
    return next(vote for vote in reversed(denied.votes) if vote.verdict is Verdict.DENY)


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else "none" if value is None else str(value)
