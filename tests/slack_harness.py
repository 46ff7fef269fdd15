"""The whole Slack side on loopback: the stand-in workspace, a real journal, the real app on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from slack_bolt.async_app import AsyncApp

from bot.evidence import of_reference
from bot.local.workspace import Workspace
from domain.actions import Action, Effect, Target, Undo
from domain.alerts import Incident, Severity
from domain.decisions import Approval, ApprovalRequest, ApprovalTerms, Decision, Outcome
from domain.events import ApprovalRequested, Draft, IncidentOpened
from domain.evidence import EvidenceOf
from handlers import recovery
from handlers.chat import SlackChat
from handlers.directory import SlackDirectory
from handlers.lane import Pace
from handlers.sender import Sender
from handlers.services import Services
from handlers.slack_app import Connection, build, connect, session
from handlers.socket_mode import SocketMode
from storage.journal import SqliteJournal, open_journal
from tests.fake_plane import FakePlane

FAST = Pace(spacing_s=0.0, edit_s=0.0, workspace_s=0.0, backoff_s=0.02, cap_s=0.2)
CHECKOUT = Target("kubernetes", "production", "shop", "Deployment", "checkout")


def redact(text: str) -> str:
    """Enough of a redactor to be seen working."""
    return text.replace("hunter2", "[redacted]")


@dataclass
class Bot:
    """Everything a test may touch."""

    w: Workspace
    journal: SqliteJournal
    connection: Connection
    sender: Sender
    chat: SlackChat
    plane: FakePlane
    services: Services
    app: AsyncApp
    socket: SocketMode

    async def settled(self) -> None:
        """Until everything caused so far has been worked off and sent."""
        await self.services.work.drain()
        await self.sender.idle()

    async def open_incident(self, incident_id: str = "i1", **more: Any) -> Incident:
        incident = incident_of(incident_id, self.w.team_id, **more)
        await self.journal.append(Draft(IncidentOpened(incident), incident_id=incident.id))
        await self.chat.incident(incident)
        await self.sender.idle()
        stored = await self.journal.incident(incident_id)
        assert stored
        return stored

    async def card(self, approval_id: str = "a1", **more: Any) -> str:
        """An approval card in the thread of i1; its ts."""
        if await self.journal.incident("i1") is None:
            await self.open_incident()
        request = request_of(approval_id, **more)
        await self.journal.append(
            Draft(ApprovalRequested(request), incident_id=request.incident_id, run_id=request.run_id)
        )
        await self.chat.approval(Approval(request))
        await self.sender.idle()
        row = await self.journal.message(f"approval:{approval_id}")
        assert row
        return row.ts

    def in_channel(self, name: str = "incidents") -> list[Mapping[str, Any]]:
        return [message for message in self.w.messages(name) if message.get("bot_id") == self.w.bot_id]

    def whispers(self, user: str) -> str:
        return "\n".join(str(message) for message in self.w.ephemerals(user))


@asynccontextmanager
async def running(
    path: Path, w: Workspace | None = None, *, bots: bool = False, pace: Pace = FAST
) -> AsyncIterator[Bot]:
    """The app, connected to a workspace of its own or to the one given."""
    async with AsyncExitStack() as stack:
        w = w or await stack.enter_async_context(Workspace())
        journal = await stack.enter_async_context(open_journal(path / "journal.db", w.team_id))
        http = await stack.enter_async_context(session())
        made = partial(of_reference, path / "journal.db", w.team_id, path / "signing.key", lambda: datetime.now(UTC))
        bot = await _assemble(w, journal, http, bots, pace, made)
        await bot.sender.start()
        await recovery.replay(bot.app, bot.services)
        await bot.socket.start()
        await bot.socket.caught_up()
        try:
            yield bot
        finally:
            await bot.socket.close()
            await bot.services.work.drain()
            await bot.sender.close()


async def _assemble(
    w: Workspace, journal: SqliteJournal, http: ClientSession, bots: bool, pace: Pace, made: EvidenceOf
) -> Bot:
    connection = await connect(w.bot_token, w.api_url, http)
    sender = Sender(journal, connection.posting, pace=pace)
    chat = SlackChat(journal, sender, w.channel("incidents"), redact, home=connection.identity.url)
    directory = SlackDirectory(connection.reading, w.team_id)
    allowed = {w.channel("alerts"): ["B07ALERTMG1"]} if bots else {}
    plane = FakePlane(journal, chat, directory, bots=allowed)
    services = Services(
        plane=plane,
        journal=journal,
        chat=chat,
        sender=sender,
        directory=directory,
        client=connection.reading,
        identity=connection.identity,
        redact=redact,
        channel=w.channel("incidents"),
        watched=(w.channel("alerts"), w.channel("incidents")),
        evidence=made,
    )
    app = build(services, connection)
    socket = SocketMode(app, services, w.app_token, w.api_url, ping_s=1.0)
    return Bot(w, journal, connection, sender, chat, plane, services, app, socket)


def incident_of(incident_id: str = "i1", workspace: str = "T1", **more: Any) -> Incident:
    fields: dict[str, Any] = {
        "title": "KubePodCrashLooping",
        "severity": Severity.CRITICAL,
        "target": CHECKOUT,
        "group": "g1",
        "opened_at": datetime.now(UTC),
        "summary": "checkout restarts again and again",
        "source": "alertmanager",
        "firing": ("f1",),
        "fingerprints": ("f1",),
    } | more
    return Incident(id=incident_id, workspace=workspace, **fields)


def action_of(**more: Any) -> Action:
    fields: dict[str, Any] = {
        "tool": "kubernetes_rollback",
        "arguments": {"name": "checkout", "namespace": "shop", "revision": 3},
        "effect": Effect.WRITE,
        "target": CHECKOUT,
        "touches": 3,
        "diff": "-  image: shop/checkout:1.9.0\n+  image: shop/checkout:1.8.4",
        "undo": Undo("kubernetes_rollback", {"name": "checkout", "namespace": "shop", "revision": 4}),
        "why": "Revision 4 crashes at start; revision 3 was ready for 6 days.",
    } | more
    return Action(**fields)


def request_of(approval_id: str = "a1", **more: Any) -> ApprovalRequest:
    terms = more.pop("terms", ApprovalTerms(("approvers",), reason=more.pop("reason", "never")))
    now = datetime.now(UTC)
    fields: dict[str, Any] = {
        "run_id": "r1",
        "incident_id": "i1",
        "call_id": f"call-{approval_id}",
        "action": action_of(),
        "digest": "d1ge57" * 10,
        "decision": Decision(Outcome.ASK, "prod-writes", "A change in production needs a person.", "policyhash", terms),
        "terms": terms,
        "requested_at": now,
        "expires_at": now + timedelta(minutes=30),
    } | more
    return ApprovalRequest(id=approval_id, **fields)
