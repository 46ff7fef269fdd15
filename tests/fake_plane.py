"""A control plane that records what it is asked, and votes through the real journal. For the tests of handlers."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from domain.actions import Mode, Target
from domain.alerts import Alert, Incident, Severity
from domain.decisions import Actor, Approval, ApprovalRequest, ApprovalState, Verdict, Vote
from domain.errors import AgentError, BadInput, ChatError, Conflict, NotAllowed
from domain.events import AlertReceived, Draft, Envelope, FeedbackGiven, IncidentOpened, VoteCast
from domain.noise import MaintenanceWindow
from domain.plane import Question, Receipt, Status
from domain.ports import Chat, Directory, Journal
from domain.scans import KnownFinding


@dataclass
class FakePlane:
    """Records; opens one incident per fingerprint or question; a vote passes the checks that the real one makes."""

    journal: Journal
    chat: Chat
    directory: Directory | None = None
    approvers: str = "@sre"
    bots: Mapping[str, Sequence[str]] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)
    executed: list[str] = field(default_factory=list)
    edits: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    undone: list[tuple[str, str]] = field(default_factory=list)
    control: list[tuple[str, str]] = field(default_factory=list)
    words: list[FeedbackGiven] = field(default_factory=list)
    problem: AgentError | None = None
    before: Callable[[], Any] | None = None
    mode: Mode = Mode.PROPOSE
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def heard(self, questions: int = 0, alerts: int = 0) -> None:
        """Until so many questions and alerts have arrived; TimeoutError after five seconds."""
        async with asyncio.timeout(5):
            while len(self.questions) < questions or len(self.alerts) < alerts:
                self.news.clear()
                await self.news.wait()

    async def receive(self, alerts: Sequence[Alert]) -> Sequence[Receipt]:
        if self.problem:
            raise self.problem
        self.alerts += alerts
        self.news.set()
        await self.journal.append(*(Draft(AlertReceived(alert), Actor("monitor", alert.source)) for alert in alerts))
        return [Receipt(f"inc-{alert.fingerprint}") for alert in alerts]

    async def ask(self, question: Question) -> Receipt:
        if self.problem:
            raise self.problem
        self.questions.append(question)
        self.news.set()
        incident = Incident(
            f"inc-{uuid.uuid4().hex[:8]}",
            self.journal.workspace,
            question.text[:80],
            Severity.INFO,
            Target(),
            "",
            datetime.now(UTC),
            question.channel,
            question.thread_ts,
        )
        await self.journal.append(Draft(IncidentOpened(incident), incident_id=incident.id))
        await self.chat.incident(incident)
        return Receipt(incident.id, "run-1", True)

    async def vote(self, approval_id: str, vote: Vote, *, channel: str, message_ts: str) -> Approval:
        try:
            return await self._vote(approval_id, vote, channel, message_ts)
        except NotAllowed as error:
            self.refusals.append((vote.user, str(error)))
            raise

    async def _vote(self, approval_id: str, vote: Vote, channel: str, message_ts: str) -> Approval:
        row = await self.journal.message(f"approval:{approval_id}")
        if row is None or (row.channel, row.ts) != (channel, message_ts):
            raise NotAllowed("This is not the current card.")
        approval = await self.journal.approval(approval_id)
        if approval is None or vote.digest != approval.request.digest:
            raise NotAllowed("This card is out of date.")
        await self._check_person(approval.request, vote.user)
        if self.before:
            await self.before()
        closes = ApprovalState.APPROVED if vote.verdict is Verdict.APPROVE else ApprovalState.DENIED
        run_id, incident_id = approval.request.run_id, approval.request.incident_id
        try:
            await self.journal.append(
                Draft(VoteCast(approval_id, vote, closes), Actor("person", vote.user), incident_id, run_id)
            )
        except Conflict as error:
            fresh = await self.journal.approval(approval_id)
            winner = fresh.votes[-1].name if fresh and fresh.votes else "somebody"
            raise NotAllowed(f"Already decided by {winner}.") from error
        self.executed.append(approval_id) if closes is ApprovalState.APPROVED else None
        current = await self.journal.approval(approval_id)
        assert current is not None
        await self.chat.approval(current)
        return current

    async def _check_person(self, request: ApprovalRequest, user: str) -> None:
        if self.directory is None:
            return
        try:
            person = await self.directory.person(user)
            members = await self.directory.members(self.approvers)
        except ChatError as error:
            raise NotAllowed(f"Slack cannot say who you are: {error}") from error
        if not person.full_member:
            raise NotAllowed(person.why_not)
        if user in (request.requester, request.editor):
            raise NotAllowed("You asked for it yourself.")
        if user not in members:
            raise NotAllowed(f"You are not in {self.approvers}.")

    async def propose_edit(self, approval_id: str, user: str, arguments: Mapping[str, Any]) -> ApprovalRequest | None:
        if self.before:
            await self.before()
        if self.problem:
            raise self.problem
        if arguments.get("revision") == 0:
            raise BadInput("There is no revision 0.", field="revision")
        self.edits.append((approval_id, user, dict(arguments)))
        return None

    async def propose_undo(self, reference: str, user: str) -> str:
        self.undone.append((reference, user))
        return "run-undo"

    async def may_rate(self, user: str) -> None:
        person = await self.directory.person(user) if self.directory else None
        if person and not person.full_member:
            raise NotAllowed(person.why_not)

    async def feedback(self, word: FeedbackGiven) -> None:
        await self.may_rate(word.user)
        self.words.append(word)
        await self.journal.append(Draft(word, Actor("person", word.user), "i1", word.run_id))

    async def pause(self, by: Actor, reason: str) -> None:
        self.control.append((by.id, f"pause {reason}"))

    async def resume(self, by: Actor) -> None:
        self.control.append((by.id, "resume"))

    async def set_mode(self, by: Actor, mode: Mode) -> None:
        self.mode = mode
        self.control.append((by.id, f"mode {mode}"))

    async def scan(self, user: str, channel: str, namespace: str, key: str) -> Receipt:
        if self.problem:
            raise self.problem
        self.control.append(("scan", namespace))
        return Receipt("", "run-scan")

    async def propose_finding(self, key: str, user: str) -> str:
        self.control.append(("propose", key))
        return "run-finding"

    async def snooze_finding(self, key: str, user: str, owner: str, until: date, reason: str) -> KnownFinding:
        raise BadInput("The latest scan no longer finds this.")

    async def begin_maintenance(self, by: Actor, namespace: str, minutes: int, reason: str) -> MaintenanceWindow:
        self.control.append((by.id, f"maintenance {namespace} {minutes} {reason}"))
        now = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
        return MaintenanceWindow("mnt-1", namespace, now, now + timedelta(minutes=minutes), by.id, reason)

    async def end_maintenance(self, by: Actor, window_id: str) -> MaintenanceWindow:
        self.control.append((by.id, f"maintenance end {window_id}"))
        now = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
        return MaintenanceWindow(window_id, "shop", now, now, by.id)

    async def reset_breaker(self, by: Actor, scope: str) -> str:
        self.control.append((by.id, f"reset {scope}"))
        return f"The circuit breaker of {scope} is reset."

    async def restore_autonomy(self, by: Actor, tool: str, environment: str) -> str:
        self.control.append((by.id, f"restore {tool} {environment}"))
        return f"{tool} in {environment} is restored."

    async def status(self) -> Status:
        opened = tuple(await self.journal.incidents(open_only=True))
        pending = tuple(await self.journal.approvals(pending=True))
        return Status(self.mode, "", "rules", "abc123", (), opened, pending, ())

    async def why(self, reference: str) -> str:
        if self.problem:
            raise self.problem
        return f"Rule prod-writes asked for {reference} <!channel>."

    async def explain(self, tool: str, arguments: Mapping[str, Any], user: str) -> str:
        return f"ask: {tool} {dict(arguments)}"

    def allowed_bots(self, channel: str) -> Sequence[str]:
        return self.bots.get(channel, ())

    def environment(self, *places: str) -> str:
        staging = any(place.startswith("staging") or place.endswith(":staging") for place in places)
        return "staging" if staging else "production"

    async def _events(self) -> AsyncIterator[Envelope]:
        for envelope in await self.journal.since(0):
            yield envelope

    def events(self) -> AsyncIterator[Envelope]:
        return self._events()
