"""The ports: what the core asks of the outside (Journal, Chat, Directory, Model, Tool). What it offers: domain.plane."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from domain.actions import Action, Effect, Mode, Target, Undo
from domain.alerts import Incident
from domain.authority import BreakGlass, Delegation
from domain.brakes import Brakes, TrackRecord
from domain.decisions import Approval, Check
from domain.events import Draft, Envelope, PayloadReceived
from domain.feedback import FeedbackGiven, Quality
from domain.memory import Precedent
from domain.noise import Held, MaintenanceWindow
from domain.report import Head, Report
from domain.runs import Answer, Run, RunOutcome, RunSpec, RunStatus
from domain.scans import MOST, KnownFinding
from domain.work import Drill, Rollup, Wait

# --- the journal ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RunRow:
    """One line of the list of runs."""

    spec: RunSpec
    status: RunStatus
    started_at: datetime
    finished_at: datetime | None = None
    outcome: RunOutcome | None = None
    reason: str = ""
    steps: int = 0


@dataclass(frozen=True)
class Message:
    """The outbox row of one Slack message: what it should say (`revision`), and what Slack has (`sent_revision`, `ts`)."""

    key: str
    revision: int
    channel: str
    thread_key: str
    text: str
    blocks: tuple[Any, ...]
    priority: int
    thread_ts: str = ""
    ts: str = ""
    sent_revision: int = 0
    attempts: int = 0
    failed: str = ""
    attachments: tuple[Any, ...] = ()
    wanted_at: datetime | None = None
    shared_since: datetime | None = None


class Journal(Protocol):
    """The append-only log and what is read back from it. Every call is keyed by the workspace it was opened for."""

    @property
    def workspace(self) -> str:
        """Slack's team id, or `local`."""
        ...

    async def append(self, *drafts: Draft) -> Sequence[Envelope]:
        """Record events in one transaction with their projections; returns once they are durable.

        Raises Conflict (nothing recorded) where a projection refuses: an approval that is not approved is consumed, a
        payload is received twice (Duplicate), a vote on a closed request. Raises JournalError where the disk refuses.
        """
        ...

    def subscribe(self) -> AbstractContextManager[AsyncIterator[Envelope]]:
        """Envelopes as they are committed, from now on. A reader that falls far behind misses the oldest: `seq` shows it."""
        ...

    async def of_run(self, run_id: str) -> Sequence[Envelope]:
        """A run's events in order."""
        ...

    async def since(self, seq: int, limit: int = 1000) -> Sequence[Envelope]:
        """Events after `seq`, oldest first."""
        ...

    async def incident(self, incident_id: str) -> Incident | None:
        """One incident."""
        ...

    async def incident_at(self, channel: str, thread_ts: str) -> Incident | None:
        """The incident whose thread this is."""
        ...

    async def incidents(self, *, open_only: bool = False, limit: int = 50) -> Sequence[Incident]:
        """Incidents, newest first."""
        ...

    async def resolved_since(self, since: datetime) -> Sequence[Incident]:
        """Incidents resolved since then, in the order in which they were."""
        ...

    async def held(self) -> Sequence[Held]:
        """The alerts that wait before they may open an incident."""
        ...

    async def maintenance(self, now: datetime) -> Sequence[MaintenanceWindow]:
        """The maintenance windows that are not over."""
        ...

    async def noise(self, since: datetime, until: datetime) -> Mapping[str, int]:
        """Alerts from `since` up to before `until` that opened no incident of their own, by what became of them."""
        ...

    async def run(self, run_id: str) -> RunRow | None:
        """One run's row."""
        ...

    async def runs(self, *, incident_id: str = "", unfinished: bool = False, limit: int = 50) -> Sequence[RunRow]:
        """Runs, newest first."""
        ...

    async def approval(self, approval_id: str) -> Approval | None:
        """One approval request with its votes and execution."""
        ...

    async def approvals(
        self, *, pending: bool = False, run_id: str = "", incident_id: str = "", limit: int = 50
    ) -> Sequence[Approval]:
        """Approval requests, newest first."""
        ...

    async def of_batch(self, batch: str) -> Sequence[Approval]:
        """The requests that share a card, in the order in which it lists them."""
        ...

    async def expired(self, now: datetime) -> Sequence[Approval]:
        """Requests that still wait, or were approved and not consumed, past their expiry."""
        ...

    async def outlived(self) -> Sequence[Approval]:
        """Requests that still wait, or were approved and not consumed, although their incident was resolved since."""
        ...

    async def rates(self, target_key: str, since: datetime) -> Mapping[str, int]:
        """Executions since then: `target` (of this target), `agent` (all), `failed` (all that failed or were unverified).

        `touches` is how many things they changed altogether.
        """
        ...

    async def acted(self, problems: Sequence[str], since: datetime) -> int:
        """Executions since then that were meant to help with one of these problems and may have changed something."""
        ...

    async def brakes(self, since: datetime) -> Brakes:
        """Open breakers, standing demotions, and what counts towards the next: failures since then, unanswered reverts."""
        ...

    async def track_records(self, since: datetime) -> Sequence[TrackRecord]:
        """What became of each tool's proposals in each environment since then."""
        ...

    async def trust(self, tool: str, environment: str) -> Mapping[str, int]:
        """How often this tool on this environment was proposed, approved, edited, denied, executed, verified, failed,
        reverted. Undos that people ask for count as the reverted execution's, not as executions of their own.
        """
        ...

    async def refused(self, tool: str, target_key: str, arguments_digest: str) -> Approval | None:
        """The request for the same action on the same target that a person denied last in an open incident, if any."""
        ...

    async def break_glass(self, glass_id: str) -> BreakGlass | None:
        """One break-glass."""
        ...

    async def unreviewed(self) -> Sequence[BreakGlass]:
        """Every break-glass that nobody has reviewed yet, open ones included, oldest first."""
        ...

    async def delegations(self, now: datetime) -> Sequence[Delegation]:
        """The delegations that stand now."""
        ...

    async def control(self) -> tuple[Mode | None, str]:
        """The mode set in Slack (None: the setting's) and the reason of a pause (empty: not paused)."""
        ...

    async def message(self, key: str) -> Message | None:
        """One outbox row."""
        ...

    async def newest_message(self, kind: str) -> Message | None:
        """The outbox row whose key comes last among those of a kind: `weekly` for `weekly:2026-W48`."""
        ...

    async def unsent(self) -> Sequence[Message]:
        """Outbox rows whose wanted revision Slack does not have and that have not failed for good."""
        ...

    async def unhandled(self, since: datetime) -> Sequence[PayloadReceived]:
        """Payloads received since then that nobody has finished handling, oldest first."""
        ...

    async def message_at(self, channel: str, ts: str) -> Message | None:
        """The outbox row behind a Slack message of ours."""
        ...

    async def waits(self, run_id: str) -> Sequence[Wait]:
        """Who answered each of a run's cards, and how long after it was shown; by the journal's clock alone."""
        ...

    async def config_findings(self, run_id: str = "", limit: int = MOST) -> Sequence[KnownFinding]:
        """What scans found and is still there, as they ranked it; with `run_id` what this one was the last to see."""
        ...

    async def config_finding(self, key: str) -> KnownFinding | None:
        """One configuration finding, also one that is gone."""
        ...

    async def precedents(
        self, *, fingerprint: str = "", target_key: str = "", text: str = "", limit: int = 5
    ) -> Sequence[Precedent]:
        """Earlier runs of settled incidents about a problem alike, the most alike first."""
        ...

    async def rollup(self, since: datetime, until: datetime) -> Rollup:
        """What the work of a period cost and saved."""
        ...

    async def drill(self, figure: str, since: datetime, until: datetime) -> Drill:
        """One figure of a period with the events behind it. Raises BadInput for a name that there is not."""
        ...

    async def feedback(self, run_id: str, user: str) -> FeedbackGiven | None:
        """The word of one person on one run's diagnosis that stands."""
        ...

    async def head(self) -> Head | None:
        """The last event, and what is signed and anchored; None for an empty journal."""
        ...

    async def quality(self, since: datetime, until: datetime) -> Quality:
        """What stands of the feedback that was given in a period."""
        ...


# --- tools ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Understood:
    """A tool call's arguments, validated and canonical, and what they are about."""

    arguments: Mapping[str, Any]
    target: Target


@dataclass(frozen=True)
class Preview:
    """A write before it happens. `observed` is bound into the digest; `facts` are what policy may see of the target.

    Raises instead where the dry run refuses. `touches` counts the things that change.
    """

    observed: Mapping[str, Any]
    diff: str
    touches: int
    undo: Undo | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Probe:
    """A verification's state now: `settled` means that waiting longer changes nothing."""

    checks: tuple[Check, ...]
    settled: bool = False

    @property
    def passed(self) -> bool:
        """Whether every check holds."""
        return bool(self.checks) and all(check.passed for check in self.checks)


class ReadTool(Protocol):
    """A tool that only looks."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def effect(self) -> Effect: ...
    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON Schema of the arguments, as the model and the policy checker see it."""
        ...

    def understand(self, arguments: Mapping[str, Any]) -> Understood:
        """Validate strictly (no extra keys, no coercion). Raises ArgumentsRefused."""
        ...

    async def read(self, arguments: Mapping[str, Any]) -> Any:
        """Plain JSON without secrets' values. Raises ToolError with a plain sentence."""
        ...

    def render(self, data: Any) -> str:
        """What the model is shown of `data`: pure, so that replay shows the same."""
        ...


class WriteTool(Protocol):
    """A tool that changes something: it previews, executes once, can tell whether it arrived, and probes its effect."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def effect(self) -> Effect: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...
    @property
    def probe_seconds(self) -> int:
        """How long the effect may take to hold."""
        ...

    def understand(self, arguments: Mapping[str, Any]) -> Understood:
        """Validate strictly (no extra keys, no coercion). Raises ArgumentsRefused."""
        ...

    async def preview(self, arguments: Mapping[str, Any]) -> Preview:
        """Observe the target and dry-run the change. Raises ToolError."""
        ...

    async def execute(self, action: Action, key: str) -> str:
        """Do it, on the condition that the target is as observed, leaving `key` in the target; a sentence of what happened.

        Raises TargetMoved (nothing done), OutcomeUnknown (sent, no answer) or ToolError (refused, nothing done).
        """
        ...

    async def arrived(self, action: Action, key: str) -> bool | None:
        """Whether the target shows `key`: did an earlier execute take effect? None where it cannot be told."""
        ...

    async def probe(self, action: Action) -> Probe:
        """Look whether the effect holds now."""
        ...


Tool = ReadTool | WriteTool

# --- the model --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ToolOffer:
    """A tool as the model is offered it."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """A model request, built and hashed before it is sent, so that the journal holds it first."""

    model: str
    messages: tuple[Any, ...]
    tools_hash: str
    request_hash: str
    send: Callable[[], Awaitable[Answer]]


class Model(Protocol):
    """What answers for the agent."""

    @property
    def name(self) -> str:
        """As the journal and the thread say it: `rules`, or the served model's name."""
        ...

    def request(self, run: Run, tools: Sequence[ToolOffer]) -> Request:
        """The next request of this run; no tools means that it must conclude. `send` raises ModelError."""
        ...

    def forget(self, run_id: str) -> None:
        """Drop what is kept for a run that ended."""
        ...


class Checker(Protocol):
    """Another model's second look at a conclusion."""

    @property
    def name(self) -> str:
        """The served model's name."""
        ...

    def request(self, run: Run) -> Request:
        """The request about this run's conclusion; its answer's text is a verdict as JSON. `send` raises ModelError."""
        ...


# --- Slack ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """Who a Slack user is, as Slack says now. A full member is a person of this workspace: no guest, bot or stranger."""

    id: str
    name: str
    full_member: bool
    why_not: str = ""
    email: str = ""


class Directory(Protocol):
    """Who is who, read from Slack at the moment it matters. Raises ChatError where Slack cannot answer."""

    async def person(self, user_id: str) -> Person:
        """One user."""
        ...

    async def members(self, reference: str) -> frozenset[str]:
        """The user ids behind a group reference: a user-group handle (@sre), an e-mail address or a user id."""
        ...

    async def mention(self, reference: str) -> str:
        """How Slack addresses, and so notifies, the people behind a group reference."""
        ...


class Chat(Protocol):
    """Slack as the core sees it: each call says what a message should show now, and may be repeated freely."""

    async def incident(self, incident: Incident, *, status: str = "") -> None:
        """The incident's message: title, state, counter."""
        ...

    async def progress(self, run: Run) -> None:
        """The run's progress in the thread: what it looked at, first findings, what it waits for."""
        ...

    async def diagnosis(self, run: Run) -> None:
        """The run's conclusion in the thread."""
        ...

    async def scan(self, run: Run, known: Sequence[KnownFinding], now: datetime) -> None:
        """The list of a scan, as it stands now."""
        ...

    async def approval(self, approval: Approval) -> None:
        """The approval card, in whatever state it is."""
        ...

    async def call(self, approval: Approval, mentions: Sequence[str], *, escalated: bool) -> None:
        """Call people to a request that waits, in its thread; said once per request and kind."""
        ...

    async def break_glass(self, glass: BreakGlass, uses: Sequence[Approval], now: datetime) -> None:
        """The public notice of a break-glass in the incident's channel, as it stands now, with what was done under it."""
        ...

    async def review_wanted(self, glass: BreakGlass, mentions: Sequence[str], day: int) -> None:
        """Ask for the review of a break-glass; said once per day (0 is when it closed)."""
        ...

    async def picture(self, key: str, name: str, alt_text: str, content: bytes) -> str:
        """Slack's id of a PNG that the message `key` is going to show; empty where Slack refuses it for good.

        Raises ChatError where Slack may take it later.
        """
        ...

    async def weekly(self, report: Report, chart: bytes, *, patient: bool) -> None:
        """The weekly message, with its chart (PNG; empty: without one); said once per week, whichever service says it.

        Raises ChatError where Slack does not take the chart now and `patient` says that the message may wait for it.
        """
        ...

    async def chart(self, run: Run, alt_text: str, content: bytes) -> None:
        """A PNG in the run's thread, once per run. Raises ChatError where Slack may take it later."""
        ...

    async def notice(self, incident_id: str, key: str, text: str) -> None:
        """A short sentence in the incident's thread; another one under the same key takes its place."""
        ...
