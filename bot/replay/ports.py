"""Ports that hold a recording and nothing else: no client, no address, no file. Nothing real can be touched through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from bot.agent.step import is_write
from bot.models.recorded import RecordingEnds
from bot.replay.recording import Change, Keys, Recording, proofs_of, system_of
from bot.replay.reel import ENDS, NO_OUTPUT, Reel
from domain.actions import Action, Effect
from domain.alerts import Incident
from domain.authority import BreakGlass
from domain.decisions import SYSTEM, Approval, Check, ExecutionOutcome
from domain.errors import OutcomeUnknown, ToolError
from domain.events import ApprovalClosed, Draft, MessageSent, MessageWanted, VoteCast
from domain.ports import Journal, Person, Preview, Probe, ReadTool, Tool, Understood
from domain.report import Report
from domain.runs import Run
from domain.scans import KnownFinding
from policies.approvers import MAY_NOT_ANY_MORE, NOT_A_MEMBER_ANY_MORE
from policies.rules import Policy

CARDS = "replay"
"""The channel in which a replay's cards stand: nobody sees it."""

# --- tools --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Described:
    """What a tool is, as today's code says it: name, effect, arguments, and what a call of it is about."""

    tool: Tool
    reel: Reel
    keys: Keys

    @property
    def name(self) -> str:
        return self.tool.name

    @property
    def description(self) -> str:
        return self.tool.description

    @property
    def effect(self) -> Effect:
        return self.tool.effect

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.tool.parameters

    def understand(self, arguments: Mapping[str, Any]) -> Understood:
        """Today's understanding (pure, so the tool itself may answer), in the environment that was recorded."""
        understood = self.tool.understand(arguments)
        recorded = self.reel.recording.environments.get(understood.target.key)
        target = replace(understood.target, environment=recorded or understood.target.environment)
        return replace(understood, target=target)


@dataclass(frozen=True)
class RecordedRead(_Described):
    """A read that gives what was recorded, shown as today's code shows it."""

    async def read(self, arguments: Mapping[str, Any]) -> Any:
        """The recorded data. Raises ToolError as recorded, and where there is none."""
        output = await self.reel.read(self.keys.of(self.name, arguments))
        if output is None:
            raise ToolError(NO_OUTPUT)
        if not output.result.ok:
            raise ToolError(output.result.text.removeprefix(f"{self.name} failed: "))
        return output.result.data

    def render(self, data: Any) -> str:
        """Today's rendering."""
        reader: ReadTool = self.tool  # type: ignore[assignment]  # a write is a RecordedWrite
        return reader.render(data)


@dataclass(frozen=True)
class RecordedWrite(_Described):
    """A change that changes nothing: its previews, outcome, arrival and probe are the recorded ones."""

    @property
    def probe_seconds(self) -> int:
        return 0

    async def preview(self, arguments: Mapping[str, Any]) -> Preview:
        """The target as it was then. Raises ToolError as recorded, and where it was never looked at."""
        look = await self.reel.look(self.keys.of(self.name, arguments))
        if look is None or look.preview is None:
            raise ToolError(look.error if look else NO_OUTPUT)
        return look.preview

    async def execute(self, action: Action, key: str) -> str:
        """What the call came to. Raises as it did then, and ToolError where it was never made."""
        change = self.reel.execution(self._key(action))
        if change is None:
            raise ToolError(NO_OUTPUT)
        if change.finished is None:
            raise RecordingEnds(ENDS)
        await self.reel.reach(change.finished_at)
        outcome, detail = change.finished.outcome, change.finished.detail
        if outcome is ExecutionOutcome.UNKNOWN or (change.probed is not None and change.probed.detail == detail):
            raise OutcomeUnknown
        if outcome is ExecutionOutcome.FAILED:
            raise ToolError(detail)
        return detail

    async def arrived(self, action: Action, key: str) -> bool | None:
        """What looking for the call found."""
        change = self._change(action)
        return change.probed.arrived if change is not None and change.probed is not None else None

    async def probe(self, action: Action) -> Probe:
        """The checks as they stood at their end: waiting longer changes nothing."""
        change = self._change(action)
        if change is None or change.verified is None:
            self.reel.lacks(self._key(action))
            return Probe((Check(NO_OUTPUT, passed=False),), settled=True)
        await self.reel.reach(change.verified_at)
        return Probe(change.verified.checks, settled=True)

    def _key(self, action: Action) -> tuple[str, str]:
        return self.keys.of(action.tool, action.arguments)

    def _change(self, action: Action) -> Change | None:
        return self.reel.executed(self._key(action))


def recorded_tools(tools: Mapping[str, Tool], reel: Reel) -> dict[str, Tool]:
    """Each tool of the systems that the run called (of all, where it called none), with recorded outputs in their place."""
    keys, systems = Keys(tools), reel.recording.systems
    return {
        name: RecordedWrite(tool, reel, keys) if is_write(tool) else RecordedRead(tool, reel, keys)
        for name, tool in tools.items()
        if not systems or system_of(name) in {*systems, ""}
    }


# --- people -------------------------------------------------------------------------------------------------------------


def recorded_groups(policy: Policy) -> Policy:
    """The policy with each group standing for itself: who was in it the recording says, not today's Slack."""
    return replace(policy, groups={name: (f"group:{name}",) for name in policy.groups})


class RecordedDirectory:
    """Satisfies domain.ports.Directory: people as far as the recording proves who they were, at the time of their votes."""

    def __init__(self, recording: Recording, reel: Reel, policy: Policy) -> None:
        self._reel = reel
        self._proofs = tuple(proofs_of(recording))
        self._requester, self._requester_in = recording.spec.requester, recording.requester_groups
        self._glass = {"group:" + policy.break_glass.group} if policy.break_glass else set()
        self._names: dict[str, str] = {}
        self._broke: set[str] = set()
        self._closed: list[tuple[datetime, str]] = []
        for each in recording.own:
            match each.event:
                case VoteCast(_, vote):
                    self._names[vote.user] = vote.name or self._names.get(vote.user, vote.user)
                    self._broke |= {vote.user} if vote.break_glass else set()
                case ApprovalClosed(_, _, reason, by) if each.actor.startswith("person:"):
                    self._names[each.actor.partition(":")[2]] = by
                case ApprovalClosed(_, _, reason):
                    self._closed.append((each.at, reason))

    def proves(self, user: str, groups: Sequence[str]) -> bool:
        """Whether the recording proves that this person was in one of these groups."""
        return any(who == user and among <= frozenset(groups) for who, among in self._proofs)

    async def person(self, user_id: str) -> Person:
        """A full member, as everybody was whose vote or edit was taken; until the recording says otherwise."""
        name = self._names.get(user_id, user_id)
        gone = self._said(f"{name} {NOT_A_MEMBER_ANY_MORE}")
        return Person(user_id, name, not gone, NOT_A_MEMBER_ANY_MORE if gone else "")

    async def members(self, reference: str) -> frozenset[str]:
        """Who is proven to have been in a group."""
        group = reference.removeprefix("group:")
        found = {who for who, among in self._proofs if group in among and not self._left(who)}
        found |= self._broke if reference in self._glass else set()
        return frozenset(found | ({self._requester} if group in self._requester_in else set()))

    async def mention(self, reference: str) -> str:
        """The reference itself: nobody is called."""
        return reference

    def _left(self, user: str) -> bool:
        return self._said(f"{self._names.get(user, user)} {MAY_NOT_ANY_MORE}")

    def _said(self, words: str) -> bool:
        """Whether an approval was closed with these words by now."""
        return any(at <= self._reel.now and words in reason for at, reason in self._closed)


# --- Slack --------------------------------------------------------------------------------------------------------------


class RecordedChat:
    """Satisfies domain.ports.Chat and tells nobody. A card gets its row in the outbox, because a vote has to come from one."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def approval(self, approval: Approval) -> None:
        """The card stands, as far as votes go."""
        request = approval.request
        for card in dict.fromkeys((request.id, request.card)):
            key = f"approval:{card}"
            if await self._journal.message(key) is None:
                await self._journal.append(
                    Draft(MessageWanted(key, 1, CARDS, "", "", ()), SYSTEM),
                    Draft(MessageSent(key, 1, CARDS, card), SYSTEM),
                )

    async def incident(self, incident: Incident, *, status: str = "") -> None: ...
    async def progress(self, run: Run) -> None: ...
    async def diagnosis(self, run: Run) -> None: ...
    async def scan(self, run: Run, known: Sequence[KnownFinding], now: datetime) -> None: ...
    async def call(self, approval: Approval, mentions: Sequence[str], *, escalated: bool) -> None: ...
    async def break_glass(self, glass: BreakGlass, uses: Sequence[Approval], now: datetime) -> None: ...
    async def review_wanted(self, glass: BreakGlass, mentions: Sequence[str], day: int) -> None: ...
    async def notice(self, incident_id: str, key: str, text: str) -> None: ...
    async def chart(self, run: Run, alt_text: str, content: bytes) -> None: ...
    async def weekly(self, report: Report, chart: bytes, *, patient: bool) -> None: ...

    async def picture(self, key: str, name: str, alt_text: str, content: bytes) -> str:
        """No picture is taken."""
        return ""
