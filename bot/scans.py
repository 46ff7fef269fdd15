"""Scans of the configuration: begun by the clock or a person, their findings proposed as changes, or snoozed with an owner."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

from bot.agent.telling import tell
from bot.agent.world import World
from domain.actions import Mode, Target
from domain.canonical import canonical, digest_of, plain
from domain.decisions import SYSTEM, Actor
from domain.diagnosis import Confidence, Finding, Proposal
from domain.errors import BadInput, ChatError, Conflict, NotAllowed
from domain.events import Draft, FindingSnoozed, FindingsReported, RunStarted, StepPlanned
from domain.fold import fold
from domain.messages import PROGRESS
from domain.runs import Answer, Origin, RunSpec, ToolCall
from domain.scans import CONFIGURATION, KnownFinding
from domain.work import WorkKind

LONGEST = timedelta(days=366)

OPEN = "gitlab_open_merge_request"

LATE = timedelta(days=1)
"""So long after it is due a scheduled scan is made up for."""

_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


async def begin(world: World, mode: Mode, *, user: str, channel: str, namespace: str, key: str) -> str:
    """Start a scan, of one namespace or of all; its run's id, or empty where the same was asked before. Raises BadInput."""
    if namespace and not _NAMESPACE.fullmatch(namespace):
        raise BadInput(f"{namespace!r} is not a namespace.", "namespace")
    run_id = "run-" + digest_of(["scan", key, namespace])[:12]
    spec = RunSpec(
        id=run_id,
        incident_id="",
        origin=Origin.COMMAND if user else Origin.SCHEDULE,
        model=world.rules.name,
        mode=mode,
        target=Target(CONFIGURATION, world.environment(namespace), namespace),
        requester=user,
        channel=channel,
        work=WorkKind.CONFIGURATION_FINDING,
    )
    actor = Actor("person", user) if user else SYSTEM
    try:
        begun = await world.journal.append(Draft(RunStarted(spec), actor, run_id=run_id))
    except Conflict:
        return ""
    await world.chat.progress(fold(begun))
    return run_id


async def propose(world: World, mode: Mode, key: str, user: str, now: datetime) -> str:
    """Start the run that proposes a finding's change, which the gate then judges; its id. Raises BadInput, NotAllowed."""
    name = await _member(world, user, "propose a change")
    known = await _known(world, key)
    proposal = in_repository(known.finding, world.tools) or known.finding.proposal
    if proposal is None:
        raise BadInput("This finding has no change that the agent can make. It says what to do by hand.")
    listed = await world.journal.message(f"{PROGRESS}{known.run_id}")
    run_id = "run-" + digest_of(["finding", key, known.run_id, now.date().isoformat()])[:12]
    spec = RunSpec(
        id=run_id,
        incident_id="",
        origin=Origin.COMMAND,
        model=world.rules.name,
        mode=mode,
        target=world.placed(known.finding.target),
        question=known.finding.title,
        requester=user,
        channel=listed.channel if listed else "",
        thread_ts=listed.ts if listed else "",
        work=WorkKind.CONFIGURATION_FINDING,
    )
    call = ToolCall("finding", proposal.tool, canonical(plain(proposal.arguments)).decode())
    said = f"{name} asked for it. {proposal.why}"
    events = (
        RunStarted(spec),
        FindingsReported((_as_told(known),), 0),
        StepPlanned(1, "person", Answer(said, (call,)), 0),
    )
    try:
        await world.journal.append(*(Draft(event, Actor("person", user), run_id=run_id) for event in events))
    except Conflict as error:
        raise BadInput("This change was proposed today already.") from error
    return run_id


def in_repository(finding: Finding, tools: Collection[str]) -> Proposal | None:
    """The change as a merge request, where the finding says in which repository the manifest is kept; else None.

    A change in the cluster alone would be taken back by whatever brings the manifests there.
    """
    kept, change = finding.facts.get("manifest"), finding.proposal
    if (
        not isinstance(kept, Mapping)
        or change is None
        or change.tool != "kubernetes_set_resources"
        or OPEN not in tools
    ):
        return None
    wanted = {"requests": {}, "limits": {}, **change.arguments, "path": str(kept.get("path"))}
    title = " ".join("".join(char if char.isprintable() else " " for char in finding.title).split())
    arguments = {
        "project": str(kept.get("project")),
        "target_branch": str(kept.get("branch")),
        "title": title[:200],
        "description": str(finding.facts.get("why") or change.why).lstrip("/ ")[:1500],
        "resources": [wanted],
    }
    return Proposal(OPEN, arguments, change.why)


def _as_told(known: KnownFinding) -> Finding:
    """The finding in another run than its scan's: what it rests on is evidence there, and none here."""
    found, cited = known.finding, ", ".join(item.id for item in known.finding.evidence)
    detail = f"{found.detail} Found by {known.run_id}, evidence {cited}."
    return replace(found, detail=detail, evidence=(), facts={**found.facts, "confidence": Confidence.LIKELY.value})


async def snooze(
    world: World, key: str, user: str, owner: str, until: date, reason: str, now: datetime
) -> KnownFinding:
    """Leave a finding to somebody until that day begins (UTC). Raises BadInput, NotAllowed."""
    await _member(world, user, "snooze findings")
    if not timedelta(days=1) <= until - now.date() <= LONGEST:
        raise BadInput(f"A finding is snoozed until tomorrow at least and for {LONGEST.days} days at most.", "until")
    await _known(world, key)
    said = world.redactor.text(reason).text[:500]
    event = FindingSnoozed(key, datetime.combine(until, time(), UTC), owner or user, said)
    await world.journal.append(Draft(event, Actor("person", user)))
    known = await _known(world, key)
    await show(world, known.run_id)
    return known


async def show(world: World, run_id: str) -> None:
    """Show a scan's list as it stands now."""
    events = await world.journal.of_run(run_id)
    if events:
        await tell(world, fold(events))


async def _known(world: World, key: str) -> KnownFinding:
    known = await world.journal.config_finding(key)
    if known is None or known.gone_at is not None:
        raise BadInput("The latest scan no longer finds this.")
    return known


async def _member(world: World, user: str, doing: str) -> str:
    try:
        person = await world.directory.person(user)
    except ChatError as error:
        raise NotAllowed("Slack cannot say who you are right now. Try again in a moment.") from error
    if not person.full_member:
        raise NotAllowed(f"Only full members of this workspace may {doing} ({person.why_not}).")
    return person.name
