"""A world for one run: the real journal, gate, loop and redactor over two tools, a chat and a directory in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.agent.loop import advance
from bot.agent.world import Journey, World
from bot.models.rules import Rules
from bot.tools.spec import Model, ReadTool, WriteTool
from domain.actions import Action, Effect, Mode, Target, Undo
from domain.alerts import Incident
from domain.authority import BreakGlass
from domain.decisions import Actor, Approval, ApprovalState, Check, Verdict, Vote
from domain.diagnosis import Confidence, Diagnosis
from domain.errors import ChatError, ToolError
from domain.events import Draft, Event, FindingsReported, MessageSent, MessageWanted, RunStarted
from domain.fold import fold
from domain.ports import Person, Preview, Probe, Request, ToolOffer
from domain.runs import Answer, Budget, Origin, Run, RunSpec, ToolCall
from domain.scans import KnownFinding
from policies.policy import load
from policies.redaction import Redactor
from policies.rules import Policy
from policies.schema import ToolSchema
from storage.journal import SqliteJournal, open_journal

SECRET = "correct-horse-battery-staple"
RULES = """
groups: {approvers: $AGENT_APPROVERS}
rules:
  - {id: look, decision: allow, match: {effects: [read]}, reason: Looking is free.}
  - id: turn
    decision: ask
    match: {effects: [write]}
    approval: {groups: [approvers], expires: 30m}
    reason: Turning needs a person.
"""
ALLOWING = """
rules:
  - {id: all, decision: allow, match: {effects: [read, write]}, reason: Everything goes.}
"""
DENYING = """
rules:
  - {id: look, decision: allow, match: {effects: [read]}, reason: Looking is free.}
  - {id: never, decision: deny, match: {effects: [write]}, reason: Not on a Friday.}
"""


class Look(Model):
    """What to look at."""

    name: str
    lines: int = 1


class Turn(Model):
    """Which valve, to what position."""

    name: str
    to: int
    note: str = ""


def valve(arguments: Mapping[str, Any]) -> Target:
    return Target("kubernetes", "?", "shop", "Deployment", str(arguments["name"]))


@dataclass
class Plant:
    """What the tools look at and change: valves with a position and a version, as an API server keeps objects."""

    positions: dict[str, int] = field(default_factory=lambda: {"a": 0, "b": 0})
    version: int = 1
    keys: set[str] = field(default_factory=set)
    reads: list[str] = field(default_factory=list)
    executed: list[tuple[str, int]] = field(default_factory=list)
    text: str = ""
    at_once: int = 0
    most_at_once: int = 0
    reading: Callable[[], Awaitable[None]] | None = None
    before: Callable[[Action], Awaitable[None]] | None = None
    after: Callable[[Action], Awaitable[None]] | None = None
    shows_keys: bool | None = True
    unreachable: str = ""
    probes: list[Probe] = field(default_factory=list)
    probed: int = 0

    async def read(self, arguments: Mapping[str, Any]) -> Any:
        self.reads.append(str(arguments["name"]))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if self.reading is not None:
                await self.reading()
            if self.unreachable:
                raise ToolError(self.unreachable)
        finally:
            self.at_once -= 1
        shown = self.text or f"valve {arguments['name']} stands at {self.positions.get(arguments['name'])}"
        return {"shown": "\n".join([shown] * arguments["lines"]), "version": self.version}

    async def preview(self, arguments: Mapping[str, Any]) -> Preview:
        if self.unreachable:
            raise ToolError(self.unreachable)
        before = self.positions[arguments["name"]]
        undo = Undo("turn", {"name": arguments["name"], "to": before}, "turns it back")
        return Preview({"version": self.version, "at": before}, f"- {before}\n+ {arguments['to']}", 1, undo)

    async def execute(self, action: Action, key: str) -> str:
        if self.before is not None:
            await self.before(action)
        name, to = action.arguments["name"], action.arguments["to"]
        self.positions[name], self.version = to, self.version + 1
        self.keys.add(key)
        self.executed.append((name, to))
        if self.after is not None:
            await self.after(action)
        return f"turned {name} to {to}"

    async def arrived(self, _action: Action, key: str) -> bool | None:
        if self.unreachable:
            raise ToolError(self.unreachable)
        return key in self.keys if self.shows_keys else None

    async def probe(self, action: Action) -> Probe:
        self.probed += 1
        if self.probes:
            return self.probes.pop(0)
        at = self.positions[action.arguments["name"]]
        return Probe((Check("position", at == action.arguments["to"], f"at {at}"),), settled=True)

    def tools(self) -> dict[str, Any]:
        look = ReadTool("look", "Look at a valve.", Look, valve, self.read, lambda data: str(data["shown"]))
        turn = WriteTool(
            "turn", "Turn a valve.", Effect.WRITE, Turn, valve, self.preview, self.execute, self.arrived, self.probe, 3
        )
        return {"look": look, "turn": turn}


@dataclass
class Paper:
    """A Chat that remembers; cards get a row in the outbox, because a vote has to come from the current card."""

    journal: SqliteJournal
    approvals: list[Approval] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    diagnoses: list[Run] = field(default_factory=list)
    scans: list[tuple[Run, tuple[KnownFinding, ...]]] = field(default_factory=list)
    incidents: list[tuple[Incident, str]] = field(default_factory=list)
    notices: list[tuple[str, str]] = field(default_factory=list)
    charts: list[tuple[str, str, bytes]] = field(default_factory=list)
    calls: list[tuple[str, tuple[str, ...], bool]] = field(default_factory=list)
    glasses: list[tuple[BreakGlass, tuple[Approval, ...]]] = field(default_factory=list)
    reviews: list[tuple[str, int]] = field(default_factory=list)
    broken: Exception | None = None
    unshowable: Exception | None = None
    told: asyncio.Event = field(default_factory=asyncio.Event)

    async def incident(self, incident: Incident, *, status: str = "") -> None:
        self.told.set()
        if self.unshowable is not None:
            raise self.unshowable
        self.incidents.append((incident, status))

    async def progress(self, run: Run) -> None:
        self.runs.append(run)

    async def diagnosis(self, run: Run) -> None:
        self.diagnoses.append(run)

    async def scan(self, run: Run, known: Sequence[KnownFinding], now: datetime) -> None:
        self.scans.append((run, tuple(known)))

    async def approval(self, approval: Approval) -> None:
        self.approvals.append(approval)
        key = f"approval:{approval.request.card}"
        if await self.journal.message(key) is None:
            await self.journal.append(Draft(MessageWanted(key, 1, "C1", "", "card", ())))
            await self.journal.append(Draft(MessageSent(key, 1, "C1", approval.request.card)))

    async def call(self, approval: Approval, mentions: Sequence[str], *, escalated: bool) -> None:
        if self.broken is not None:
            raise self.broken
        self.calls.append((approval.request.id, tuple(mentions), escalated))

    async def break_glass(self, glass: BreakGlass, uses: Sequence[Approval], now: datetime) -> None:
        self.glasses.append((glass, tuple(uses)))

    async def review_wanted(self, glass: BreakGlass, mentions: Sequence[str], day: int) -> None:
        self.reviews.append((glass.id, day))
        await self.journal.append(Draft(MessageWanted(glass.review_key(day), 1, "C1", "", "review", ())))

    async def chart(self, run: Run, alt_text: str, content: bytes) -> None:
        self.charts.append((run.id, alt_text, content))

    async def notice(self, incident_id: str, key: str, text: str) -> None:
        self.notices.append((key, text))


@dataclass
class Club:
    """A Directory: who is a full member, and who is in which group."""

    groups: dict[str, set[str]] = field(default_factory=lambda: {"@sre": {"U1", "U2"}})
    guests: set[str] = field(default_factory=set)
    silent: bool = False
    asked: Callable[[], Awaitable[None]] | None = None
    mentioned: int = 0

    async def person(self, user_id: str) -> Person:
        if self.asked is not None:
            await self.asked()
        if self.silent:
            raise ChatError("Slack does not answer.")
        guest = user_id in self.guests
        return Person(user_id, f"Person {user_id}", not guest, "Guests cannot decide." if guest else "")

    async def members(self, reference: str) -> frozenset[str]:
        if self.silent:
            raise ChatError("Slack does not answer.")
        return frozenset(self.groups.get(reference, ()))

    async def mention(self, reference: str) -> str:
        self.mentioned += 1
        if self.silent:
            raise ChatError("Slack does not answer.")
        return f"<{reference}>"


Turning = Answer | Exception | Callable[[Run], Answer]


@dataclass
class Script:
    """A Model that says what it was told to say, one turn after the other, and remembers what it was offered."""

    turns: list[Turning] = field(default_factory=list)
    offered: list[tuple[str, ...]] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    name: str = "script"

    def request(self, run: Run, tools: Sequence[ToolOffer]) -> Request:
        async def send() -> Answer:
            self.offered.append(tuple(tool.name for tool in tools))
            turn = self.turns.pop(0) if self.turns else concluded("Nothing more to say.")
            if isinstance(turn, Exception):
                raise turn
            return turn(run) if callable(turn) else turn

        return Request(self.name, ({"turn": run.step + 1},), "", "", send)

    def forget(self, run_id: str) -> None:
        """Nothing is kept; the test sees who asked."""
        self.forgotten.append(run_id)


def concluded(summary: str = "Valve a leaks.") -> Answer:
    return Answer(summary, diagnosis=Diagnosis(summary, "It is old.", Confidence.LIKELY, "script"))


def calling(*calls: tuple[str, str] | tuple[str, str, str]) -> Answer:
    """A turn of calls: (tool, arguments) or (tool, arguments, id)."""
    given = [(call[2] if len(call) == 3 else f"c{place}-{call[0]}", *call[:2]) for place, call in enumerate(calls)]
    return Answer("looking", tuple(ToolCall(call_id, tool, arguments) for call_id, tool, arguments in given))


@dataclass
class Place:
    """One run's world and the things that a test turns in it."""

    journal: SqliteJournal
    world: World
    plant: Plant
    model: Script
    club: Club
    chat: Paper
    run_id: str = "run-1"
    ahead: timedelta = timedelta()
    mode: Mode = Mode.PROPOSE
    pause: str = ""
    policy: Policy | None = None

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    async def advance(self) -> Run:
        return await advance(self.world, self.run_id)

    async def run(self) -> Run:
        return fold(await self.journal.of_run(self.run_id))

    async def journey(self) -> Journey:
        return Journey(self.world, await self.run())

    async def events(self, *kinds: type[Event]) -> list[Any]:
        return [each.event for each in await self.journal.since(0, 10_000) if isinstance(each.event, kinds)]

    async def start(self, run_id: str = "run-1", **more: Any) -> None:
        spec = spec_of(run_id, **more)
        await self.record(RunStarted(spec), FindingsReported((), 0), run_id=run_id, incident_id=spec.incident_id)

    async def record(self, *events: Event, run_id: str = "run-1", incident_id: str = "") -> None:
        await self.journal.append(*(Draft(event, Actor("agent"), incident_id, run_id) for event in events))

    async def pending(self) -> Approval:
        [approval] = await self.journal.approvals(pending=True)
        return approval

    async def vote(self, verdict: Verdict = Verdict.APPROVE, user: str = "U1", reason: str = "") -> Approval:
        """The person's vote on the one pending request, through everything that a click passes."""
        from bot.voting import cast

        request = (await self.pending()).request
        vote = Vote(user, verdict, self.now(), reason, request.digest)
        return await cast(self.world, request.id, vote, channel="C1", message_ts=request.id)

    async def state(self, approval: Approval) -> ApprovalState:
        found = await self.journal.approval(approval.request.id)
        assert found is not None
        return found.state


def spec_of(run_id: str = "run-1", **more: Any) -> RunSpec:
    fields: dict[str, Any] = {
        "incident_id": "", "origin": Origin.MENTION, "model": "script", "mode": Mode.PROPOSE,
        "target": Target(), "requester": "U9", "budget": Budget(),
    }  # fmt: skip
    return RunSpec(run_id, **(fields | more))


def policy_of(text: str) -> Policy:
    schemas = [ToolSchema(tool.name, tool.effect, tool.parameters) for tool in Plant().tools().values()]
    return load({"p.yaml": text}, schemas, {"AGENT_APPROVERS": ("@sre",)})


@asynccontextmanager
async def place(folder: Path, *turns: Turning, policy: str = RULES, **spec: Any) -> AsyncIterator[Place]:
    """A world in which run-1 has begun and waits for its model."""
    made: list[Place] = []
    clock = lambda: made[0].now() if made else datetime.now(UTC)  # noqa: E731
    async with open_journal(folder / "journal.db", "local", clock=clock) as journal:
        plant, model, club, chat = Plant(), Script(list(turns)), Club(), Paper(journal)
        world = World(
            journal=journal,
            chat=chat,
            directory=club,
            tools=plant.tools(),
            model=model,
            rules=Rules(),
            redactor=Redactor([SECRET]),
            policy=lambda: made[0].policy or policy_of(policy),
            environment=lambda namespace: "production",
            mode=lambda: made[0].mode,
            paused=lambda: made[0].pause,
            clock=lambda: made[0].now(),
        )
        made.append(Place(journal, world, plant, model, club, chat, policy=policy_of(policy)))
        await made[0].start(**spec)
        yield made[0]


async def forever() -> None:
    """A system that never answers."""
    await asyncio.Event().wait()
