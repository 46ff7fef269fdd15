"""A recorded run taken apart: what its ports answered, what people did, and when. Pure: envelopes in, nouns out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from bot.agent.approve import MOVED, OBSERVING, UNREACHABLE
from bot.agent.step import is_write, parse_arguments
from bot.models.recorded import Turn
from domain import events
from domain.actions import Action, Effect, Mode
from domain.canonical import canonical, plain
from domain.decisions import AGENT, ApprovalRequest, ApprovalState
from domain.errors import BadInput, JournalError
from domain.events import Envelope
from domain.fold import after, fold
from domain.ports import Preview, Tool
from domain.runs import Answer, Run, RunSpec, ToolCall, ToolResult
from policies import brakes, budget
from storage.records import RunRecord

Key = tuple[str, str]
"""A tool and its canonical arguments as text."""

_BEFORE = (events.RunStarted, events.FindingsReported, events.StepPlanned)
"""What somebody else than the agent may record at a run's beginning: a person's undo brings its own first step."""
_INPUTS = (
    events.VoteCast,
    events.ApprovalClosed,
    events.ApprovalReminded,
    events.ApprovalEscalated,
    events.RunFinished,
)
"""What moves a waiting run, where somebody else than the agent did it: people, or the clock."""
_GIVEN_UP = (events.ExecutionFinished, events.RunFinished)
"""What the service records of a run that a surprise ended."""


@dataclass(frozen=True)
class Output:
    """What one read came to. `place` is its place among all of them, `phase` how many changes were begun before it."""

    place: int
    at: datetime
    phase: int
    result: ToolResult


@dataclass(frozen=True)
class Look:
    """What looking at the target of a change came to: a preview, or why there was none."""

    at: datetime
    preview: Preview | None = None
    error: str = ""


@dataclass
class Change:
    """One execution, as far as it was recorded."""

    started: events.ExecutionStarted
    probed: events.ExecutionProbed | None = None
    finished: events.ExecutionFinished | None = None
    finished_at: datetime | None = None
    verified: events.VerificationPassed | events.VerificationFailed | None = None
    verified_at: datetime | None = None


@dataclass(frozen=True)
class Counted:
    """What the journal's counts were when a change was decided."""

    at: datetime
    rates: Mapping[str, int]
    trust: Mapping[str, int]


@dataclass
class Recording:
    """One run's record by what is asked of it.

    `first` is what was recorded before the agent began, `before` what others recorded before that, `during` what they
    recorded while it went on; `inputs` are this run's own events that a waiting run goes on after; `given_up` is what the
    service recorded where a surprise ended the run.
    """

    run: Run
    workspace: str
    first: tuple[Envelope, ...]
    before: tuple[Envelope, ...]
    during: tuple[Envelope, ...]
    record: RunRecord
    inputs: tuple[Envelope, ...] = ()
    given_up: tuple[Envelope, ...] = ()
    turns: list[Turn] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    """Of the policies that decided, in order."""
    reads: dict[Key, list[Output]] = field(default_factory=dict)
    looks: dict[Key, list[Look]] = field(default_factory=dict)
    changes: dict[Key, list[Change]] = field(default_factory=dict)
    requests: dict[str, ApprovalRequest] = field(default_factory=dict)
    counted: dict[str, list[Counted]] = field(default_factory=dict)
    acted: dict[tuple[str, ...], int] = field(default_factory=dict)
    modes: list[tuple[datetime, Mode]] = field(default_factory=list)
    environments: dict[str, str] = field(default_factory=dict)
    """Of namespaces, and of targets by their key."""
    requester_groups: frozenset[str] = frozenset()
    second: events.SecondLookTaken | None = None
    second_at: datetime | None = None

    @property
    def own(self) -> tuple[Envelope, ...]:
        """The run's own events."""
        return self.record.own

    def following(self, after: Envelope) -> Envelope | None:
        """What happened next in the run: what the agent did, or what it goes on after. A refused vote is neither."""
        return next(
            (
                each
                for each in self.own
                if each.seq > after.seq and (_by_agent(each) or isinstance(each.event, _INPUTS))
            ),
            None,
        )

    @property
    def spec(self) -> RunSpec:
        """What the run was asked to do."""
        return self.run.spec

    @property
    def systems(self) -> frozenset[str]:
        """The systems whose tools the run called: what a tool's name begins with."""
        return frozenset(system_of(call.call.tool) for call in self.run.calls.values())

    @property
    def began(self) -> datetime:
        """When it was started."""
        return self.run.started_at


def system_of(tool: str) -> str:
    """kubernetes, of kubernetes_get; nothing of a name without parts."""
    return tool.partition("_")[0] if "_" in tool else ""


class Keys:
    """Calls by what today's tools understand of them; a call that they do not understand by what it says."""

    def __init__(self, tools: Mapping[str, Tool]) -> None:
        self._tools = tools

    def of(self, tool: str, arguments: Mapping[str, Any]) -> Key:
        """The key of a call with these arguments."""
        understood = self._understood(tool, arguments)
        return tool, canonical(plain(arguments if understood is None else understood)).decode()

    def of_call(self, call: ToolCall) -> Key:
        """The key of a call as it was made: its arguments are still text."""
        try:
            return self.of(call.tool, parse_arguments(call.arguments))
        except BadInput:
            return call.tool, call.arguments

    def changes(self, call: ToolCall) -> bool:
        """Whether the call would change something, if it may be made at all: by its tool's effect."""
        return self.is_understood(call) and is_write(self._tools[call.tool])

    def is_understood(self, call: ToolCall) -> bool:
        """Whether today's tool takes the call."""
        try:
            return self._understood(call.tool, parse_arguments(call.arguments)) is not None
        except BadInput:
            return False

    def _understood(self, tool: str, arguments: Mapping[str, Any]) -> Mapping[str, Any] | None:
        try:
            return self._tools[tool].understand(arguments).arguments if tool in self._tools else None
        except BadInput:
            return None


def recording_of(record: RunRecord, tools: Mapping[str, Tool]) -> Recording:
    """The record taken apart. Raises JournalError where its beginning is not known, or its events do not fit together."""
    own = record.own
    first = tuple(own[: next((place for place, each in enumerate(own) if not _is_before(each)), len(own))])
    run = fold(own[:1])
    recording = Recording(
        run=run,
        workspace=own[0].workspace,
        first=first,
        before=tuple(each for each in record.around if each.seq < own[0].seq),
        during=tuple(each for each in record.around if each.seq > own[0].seq),
        record=record,
        modes=[(own[0].at, run.spec.mode)],
    )
    try:
        _Taking(recording, Keys(tools)).take()
    except (KeyError, ValueError, TypeError) as error:
        raise JournalError(f"run {run.id} cannot be taken apart: its events do not fit together ({error!r})") from error
    return recording


def _is_before(each: Envelope) -> bool:
    return isinstance(each.event, events.RunStarted) or (isinstance(each.event, _BEFORE) and not _by_agent(each))


def _by_agent(each: Envelope) -> bool:
    return each.actor == str(AGENT)


class _Taking:
    """One walk over the run's events, with the run as it stood before each."""

    def __init__(self, recording: Recording, keys: Keys) -> None:
        self._to = recording
        self._keys = keys
        self._phase = 0
        self._reads = 0
        self._open: dict[str, Change] = {}
        self._known: dict[Key, Preview] = {}
        self._moved: dict[str, Envelope] = {}

    def take(self) -> None:
        """Fill the recording."""
        for each in self._to.before:
            self._note_look_of_others(each)
        self._to.modes += [
            (each.at, each.event.mode) for each in self._to.during if isinstance(each.event, events.ModeChanged)
        ]
        run, previous = self._to.run, self._to.began
        for each in self._to.own[1:]:
            self._take(each, run, previous)
            run, previous = after(run, each), each.at
        self._to.run = run
        self._to.modes.sort(key=lambda pair: pair[0])
        began = len(self._to.first)
        others = [each for each in self._to.own[began:] if not _by_agent(each)]
        self._to.inputs = tuple(each for each in others if isinstance(each.event, _INPUTS))
        self._to.given_up = tuple(each for each in others if isinstance(each.event, _GIVEN_UP))
        self._note_vanished()

    def _take(self, each: Envelope, run: Run, previous: datetime) -> None:
        match each.event:
            case events.StepPlanned(_, model, answer) if each not in self._to.first:
                self._turn(Turn(each.at, answer), model)
            case events.ModelFailed(_, model, reason):
                self._turn(Turn(each.at, Answer(usage=each.event.usage), reason), model)
            case events.ToolCallFinished(result):
                self._result(each.at, result, run)
            case events.ToolCallRefused(call_id):
                self._refused(each.at, run, call_id)
            case events.DecisionMade(call_id, action, decision, situation):
                self._moved.pop(call_id, None)
                self._to.modes.append((previous, Mode(situation.get("run", {}).get("mode", run.spec.mode))))
                self._to.hashes += [decision.policy_hash] if decision.policy_hash not in self._to.hashes else []
                for place in (action.target.namespace, action.target.key):
                    self._to.environments.setdefault(place, action.target.environment)
                if action.effect is not Effect.READ:
                    self._decided(each.at, run, action, situation)
            case _:
                self._question(each, previous)

    def _question(self, each: Envelope, previous: datetime) -> None:
        """What people were asked, and what looking at the target again came to before an approved change."""
        match each.event:
            case events.ApprovalRequested(request):
                self._to.requests[request.id] = request
            case events.ApprovalClosed(approval_id, ApprovalState.CANCELLED, reason) if reason.startswith(UNREACHABLE):
                request = self._to.requests[approval_id]
                self._look(request.action, Look(each.at, error=reason.removeprefix(UNREACHABLE)))
            case events.ApprovalClosed(approval_id, ApprovalState.SUPERSEDED, reason) if reason == MOVED:
                action = self._to.requests[approval_id].action
                seen = _preview_of(replace(action, observed={**action.observed, "since": "another"}))
                self._look(action, Look(each.at, seen))
                self._moved[self._to.requests[approval_id].call_id] = each
            case events.ApprovalClosed(reason=reason) if reason == OBSERVING:
                self._to.modes.append((previous, Mode.OBSERVE))  # a restart may change it without an event
            case events.ApprovalClosed(approval_id, ApprovalState.CANCELLED) if _by_agent(each):
                # all was looked at again, and something else stood against it
                request = self._to.requests[approval_id]
                self._look(request.action, Look(each.at, _preview_of(request.action)))
            case _:
                self._change(each)

    def _turn(self, turn: Turn, model: str) -> None:
        self._to.turns.append(turn)
        self._to.models += [model] if model not in self._to.models else []

    def _result(self, at: datetime, result: ToolResult, run: Run) -> None:
        """A read's output. A change that could not be proposed tells that its target could not be looked at."""
        call = run.calls[result.call_id]
        key = self._keys.of_call(call.call)
        prefix = f"{result.tool} cannot be proposed: "
        if call.action is not None and call.action.effect is Effect.READ:
            self._to.reads.setdefault(key, []).append(Output(self._reads, at, self._phase, result))
            self._reads += 1
        elif call.action is None and result.text.startswith(prefix):
            self._to.looks.setdefault(key, []).append(Look(at, error=result.text.removeprefix(prefix)))

    def _refused(self, at: datetime, run: Run, call_id: str) -> None:
        """A change that was refused although it was understood and new: its target had been looked at, and was there."""
        call = run.calls[call_id].call
        if self._keys.is_understood(call) and not budget.repeated(run, call):
            key = self._keys.of_call(call)
            seen = self._known.get(key, Preview({}, "", 0))
            self._to.looks.setdefault(key, []).append(Look(at, seen))

    def _decided(self, at: datetime, run: Run, action: Action, situation: Mapping[str, Any]) -> None:
        self._look(action, Look(at, _preview_of(action)))
        rates = {name.removesuffix("_1h"): int(count) for name, count in situation.get("rate", {}).items()}
        problems = brakes.problems(run, action)
        self._to.acted[problems] = rates.pop("problem", 0)
        counted = Counted(at, rates, situation.get("trust", {}))
        for subject in (action.target.key, f"{action.tool} {action.target.environment}"):
            self._to.counted.setdefault(subject, []).append(counted)
        self._to.requester_groups |= frozenset(situation.get("requester", {}).get("groups", ()))

    def _look(self, action: Action, look: Look) -> None:
        key = self._keys.of(action.tool, action.arguments)
        self._to.looks.setdefault(key, []).append(look)
        if look.preview is not None:
            self._known[key] = look.preview

    def _note_vanished(self) -> None:
        """A target that had moved and was not decided on again could not be looked at again: else it would have been."""
        for call_id, closed in self._moved.items():
            action = self._to.run.calls[call_id].action
            if action is not None:
                self._look(action, Look(closed.at, error="the target could not be looked at again"))

    def _note_look_of_others(self, each: Envelope) -> None:
        if isinstance(each.event, events.ApprovalRequested):
            action = each.event.request.action
            self._known[self._keys.of(action.tool, action.arguments)] = _preview_of(action)

    def _change(self, each: Envelope) -> None:
        match each.event:
            case events.SecondLookTaken():
                self._to.second, self._to.second_at = each.event, each.at
            case events.ExecutionStarted(execution_id, _, action):
                change = self._open[execution_id] = Change(each.event)
                self._to.changes.setdefault(self._keys.of(action.tool, action.arguments), []).append(change)
                self._look(action, Look(each.at, _preview_of(action)))
                self._phase += 1
            case events.ExecutionProbed(execution_id):
                self._open[execution_id].probed = each.event
            case events.ExecutionFinished(execution_id) if _by_agent(each):
                self._open[execution_id].finished, self._open[execution_id].finished_at = each.event, each.at
            case events.VerificationPassed(execution_id) | events.VerificationFailed(execution_id):
                self._open[execution_id].verified, self._open[execution_id].verified_at = each.event, each.at


def _preview_of(action: Action) -> Preview:
    return Preview(action.observed, action.diff, action.touches, action.undo, action.facts)


def proofs_of(recording: Recording) -> Iterable[tuple[str, frozenset[str]]]:
    """Who is proven to have been in one of which groups: whoever's vote was taken. Break-glass is in no group here."""
    escalated: set[str] = set()
    for each in recording.own:
        match each.event:
            case events.ApprovalEscalated(approval_id):
                escalated.add(approval_id)
            case events.VoteCast(approval_id, vote) if not vote.break_glass and approval_id in recording.requests:
                terms = recording.requests[approval_id].terms
                asked = (*terms.groups, *(terms.escalate_to if approval_id in escalated else ()))
                yield vote.on_behalf_of or vote.user, frozenset(asked)
