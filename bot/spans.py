"""A finished run's events as spans under OpenTelemetry's GenAI names. Pure: no exporter and no clock stands here.

The journal is the record and this is a view of it: its names are mapped where they leave, and nothing in the journal is called
after them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bot import semconv
from bot.semconv import Value
from domain.actions import Action, Effect
from domain.codec import encode
from domain.decisions import ApprovalRequest, ApprovalState, ExecutionOutcome, Outcome
from domain.events import (
    ApprovalClosed,
    ApprovalEscalated,
    ApprovalRequested,
    DecisionMade,
    DiagnosisConcluded,
    Envelope,
    ExecutionFinished,
    ExecutionStarted,
    FindingsReported,
    ModelAsked,
    ModelFailed,
    RunFinished,
    RunStarted,
    StepPlanned,
    ToolCallFinished,
    ToolCallRefused,
    VerificationFailed,
    VerificationPassed,
    VoteCast,
)
from domain.runs import Answer, RunOutcome, RunSpec, ToolResult, Usage

AGENT_NAME = "personal-agent"
RULES = "rules"  # the built-in diagnostician's name among the models
LONGEST = 16_384  # characters of one content attribute
ROOT = "run"
ANALYSIS = "analysis"
LOOK = "look-"  # how the ids of the analyzers' reads begin


@dataclass(frozen=True)
class Moment:
    """Something that happened within a span."""

    name: str
    at: datetime
    attributes: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Span:
    """`key` names it within its run, `parent` is another's key (empty: the root). `error` is what kind of failure it was."""

    key: str
    name: str
    start: datetime
    end: datetime
    attributes: Mapping[str, Value]
    parent: str = ROOT
    client: bool = False
    moments: tuple[Moment, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Telling:
    """How a trace is told: this agent's version, whose model it is, and the conversation in Slack.

    `content` makes prompts, arguments and results fit to leave; None leaves them out.
    """

    version: str
    provider: str
    conversation: str = ""
    content: Callable[[str], str] | None = None


def spans_of(envelopes: Sequence[Envelope], telling: Telling) -> list[Span]:
    """The trace of a run, its root first. Empty where the events are not those of a finished run."""
    began = envelopes[0].event if envelopes else None
    ended = next((each for each in envelopes if isinstance(each.event, RunFinished)), None)
    if not isinstance(began, RunStarted) or ended is None or not isinstance(ended.event, RunFinished):
        return []
    trace = _Trace(telling)
    for envelope in envelopes:
        trace.take(envelope)
    return [trace.root(envelopes[0], began.spec, ended, ended.event), *trace.spans.values()]


@dataclass
class _Call:
    """One tool call on its way: what the gate said last, and the question to people, if there was one."""

    decided_at: datetime | None = None
    decided: DecisionMade | None = None
    asked_at: datetime | None = None
    asked: ApprovalRequest | None = None
    moments: list[Moment] = field(default_factory=list)


class _Trace:
    """Takes a run's events in order; what has come to its end is a span."""

    def __init__(self, telling: Telling) -> None:
        self.spans: dict[str, Span] = {}
        self._telling = telling
        self._calls: dict[str, _Call] = {}
        self._by_approval: dict[str, _Call] = {}
        self._executions: dict[str, tuple[Envelope, ExecutionStarted]] = {}
        self._asked: tuple[Envelope, ModelAsked] | None = None
        self._refused: list[Moment] = []
        self._usages: list[Usage] = []
        self._about: dict[str, Value] = {}

    def take(self, at: Envelope) -> None:
        """One more event."""
        match at.event:
            case FindingsReported(findings, took_ms):
                attributes = {"chatops.findings": len(findings), **semconv.audit(at)}
                self._add(Span(ANALYSIS, "analyze", _before(at, took_ms), at.at, attributes))
            case ModelAsked() | StepPlanned() | ModelFailed() | DiagnosisConcluded():
                self._of_model(at, at.event)
            case ToolCallRefused() | DecisionMade() | ToolCallFinished():
                self._of_call(at, at.event)
            case ApprovalRequested() | VoteCast() | ApprovalEscalated() | ApprovalClosed():
                self._of_people(at, at.event)
            case ExecutionStarted() | ExecutionFinished() | VerificationPassed() | VerificationFailed():
                self._of_change(at, at.event)

    def root(self, began: Envelope, spec: RunSpec, ended: Envelope, finished: RunFinished) -> Span:
        """The run itself, once every event is taken."""
        attributes: dict[str, Value] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": self._provider(spec.model),
            "gen_ai.agent.name": AGENT_NAME,
            "gen_ai.agent.version": self._telling.version,
            "gen_ai.request.model": spec.model,
            "gen_ai.conversation.id": self._telling.conversation or began.incident_id or began.run_id,
            **semconv.usage(*self._usages),
            "chatops.run.id": began.run_id,
            "chatops.run.origin": spec.origin.value,
            "chatops.run.mode": spec.mode.value,
            "chatops.run.outcome": finished.outcome.value,
            "chatops.run.machine_ms": finished.machine_ms,
            "chatops.run.cost_usd": sum(usage.cost_micros for usage in self._usages) / 1_000_000,
            **({"chatops.incident.id": began.incident_id} if began.incident_id else {}),
            **({"user.id": spec.requester} if spec.requester else {}),
            **semconv.about(spec.target),
            **semconv.audit(ended),
            "chatops.audit.first_seq": began.seq,
            **self._about,
        }
        error = "run_failed" if finished.outcome is RunOutcome.FAILED else ""
        end, name = max(began.at, ended.at), f"invoke_agent {AGENT_NAME}"
        return Span(ROOT, name, began.at, end, attributes, "", moments=tuple(self._refused), error=error)

    # --- the model ----------------------------------------------------------------------------------------------------

    def _of_model(self, at: Envelope, event: ModelAsked | StepPlanned | ModelFailed | DiagnosisConcluded) -> None:
        match event:
            case ModelAsked():
                self._asked = (at, event)
            case StepPlanned(_, model, answer, took_ms):
                self._chat(at, model, took_ms, answer)
            case ModelFailed(_, model, _, took_ms, usage):
                self._chat(at, model, took_ms, Answer(usage=usage), error="model_error")
            case DiagnosisConcluded(diagnosis):
                self._about["chatops.diagnosis.confidence"] = diagnosis.confidence.value
                self._about["chatops.diagnosis.by"] = diagnosis.by
                self._about["chatops.diagnosis.evidence"] = tuple(item.id for item in diagnosis.evidence)
                self._about |= self._content({"gen_ai.output.messages": lambda: semconv.said(diagnosis.summary)})

    def _chat(self, at: Envelope, model: str, took_ms: int, answer: Answer, error: str = "") -> None:
        """One request. Its answer may have been kept back for a later append, so its end is the request's plus its time."""
        begin, messages = (self._asked[0], self._asked[1].messages) if self._asked else (at, ())
        self._asked = None
        self._usages.append(answer.usage)
        first = answer.first_token_ms
        streamed: dict[str, Value] = {"gen_ai.request.stream": True} if first is not None else {}
        if first is not None:
            streamed["gen_ai.response.time_to_first_chunk"] = first / 1000
        attributes: dict[str, Value] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": self._provider(model),
            "gen_ai.request.model": model,
            **({"gen_ai.response.id": answer.response_id} if answer.response_id else {}),
            **streamed,
            **semconv.usage(answer.usage),
            **semconv.audit(begin),
            **self._content(
                {
                    "gen_ai.input.messages": lambda: [semconv.message(each) for each in messages],
                    "gen_ai.output.messages": lambda: semconv.answered(answer),
                }
            ),
        }
        end = begin.at + timedelta(milliseconds=took_ms)
        self._add(Span(f"chat:{begin.seq}", f"chat {model}", begin.at, end, attributes, client=True, error=error))

    # --- calls --------------------------------------------------------------------------------------------------------

    def _of_call(self, at: Envelope, event: ToolCallRefused | DecisionMade | ToolCallFinished) -> None:
        match event:
            case ToolCallRefused(call_id, tool, reason):
                refused: dict[str, Value] = {"gen_ai.tool.name": tool[:100], "gen_ai.tool.call.id": call_id}
                refused |= self._content({"chatops.refusal": lambda: reason})
                self._refused.append(Moment("tool_call_refused", at.at, refused))
            case DecisionMade(call_id):
                call = self._calls.setdefault(call_id, _Call())
                call.decided_at, call.decided = at.at, event
            case ToolCallFinished(result):
                self._called(at, result, self._calls.get(result.call_id, _Call()))

    def _called(self, at: Envelope, result: ToolResult, call: _Call) -> None:
        """A read, or a change that was denied; one that was executed has the span of its execution."""
        decided, begin = call.decided, call.decided_at
        if decided is None or begin is None:
            return
        denied = decided.decision.outcome is Outcome.DENY
        if decided.action.effect is not Effect.READ and not denied:
            return
        attributes = {
            **self._tool(result.call_id, decided.action),
            **semconv.policy(decided),
            **semconv.audit(at),
            **({"chatops.evidence.id": result.evidence_id} if result.evidence_id else {}),
            "chatops.redactions": result.redactions,
            **self._content({"gen_ai.tool.call.result": lambda: result.text}),
        }
        error = "policy_denied" if denied else "" if result.ok else "tool_error"
        end = begin if denied else begin + timedelta(milliseconds=result.took_ms)
        parent = ANALYSIS if result.call_id.startswith(LOOK) else ROOT
        name = f"execute_tool {result.tool}"
        self._add(Span(f"call:{result.call_id}", name, begin, end, attributes, parent, error=error))

    # --- people -------------------------------------------------------------------------------------------------------

    def _of_people(
        self, at: Envelope, event: ApprovalRequested | VoteCast | ApprovalEscalated | ApprovalClosed
    ) -> None:
        if isinstance(event, ApprovalRequested):
            call = self._calls.setdefault(event.request.call_id, _Call())
            call.asked_at, call.asked, call.moments = at.at, event.request, []
            self._by_approval[event.request.id] = call
            return
        asked = self._by_approval.get(event.approval_id)
        if asked is None:
            return
        match event:
            case VoteCast(_, vote, closes):
                said: dict[str, Value] = {"chatops.vote.verdict": vote.verdict.value, "user.id": vote.user}
                asked.moments.append(Moment("vote", at.at, said))
                if closes is not None and closes is not ApprovalState.PENDING:
                    self._answered(at, asked, closes)
            case ApprovalEscalated(_, groups):
                asked.moments.append(Moment("escalated", at.at, {"chatops.approval.groups": groups}))
            case ApprovalClosed(_, state):
                self._answered(at, asked, state)

    def _answered(self, at: Envelope, call: _Call, state: ApprovalState) -> None:
        """The wait for people, from the card to the word that ended it; a later word moves the end."""
        request, begin = call.asked, call.asked_at
        if request is None or begin is None:
            return
        attributes: dict[str, Value] = {
            **semconv.approval(request, state),
            "chatops.approval.votes": sum(moment.name == "vote" for moment in call.moments),
            "gen_ai.tool.name": request.action.tool,
            **semconv.audit(at),
        }
        name = f"approval {request.action.tool}"
        self._add(Span(f"approval:{request.id}", name, begin, at.at, attributes, moments=tuple(call.moments)))

    # --- changes ------------------------------------------------------------------------------------------------------

    def _of_change(
        self, at: Envelope, event: ExecutionStarted | ExecutionFinished | VerificationPassed | VerificationFailed
    ) -> None:
        if isinstance(event, ExecutionStarted):
            self._executions[event.execution_id] = (at, event)
            return
        if event.execution_id not in self._executions:
            return
        begin, started = self._executions[event.execution_id]
        if isinstance(event, ExecutionFinished):
            self._executed(at, begin, started, event)
            return
        passed, tool = isinstance(event, VerificationPassed), started.action.tool
        attributes: dict[str, Value] = {
            "gen_ai.tool.name": tool,
            "chatops.execution.id": event.execution_id,
            "chatops.verification.passed": passed,
            "chatops.verification.checks": tuple(check.name for check in event.checks),
            **semconv.audit(at),
        }
        error, key = "" if passed else "verification_failed", f"verify:{event.execution_id}"
        self._add(Span(key, f"verify {tool}", _before(at, event.took_ms), at.at, attributes, error=error))

    def _executed(self, at: Envelope, begin: Envelope, started: ExecutionStarted, event: ExecutionFinished) -> None:
        call = self._calls.get(started.call_id, _Call())
        attributes: dict[str, Value] = {
            **self._tool(started.call_id, started.action),
            "chatops.execution.id": started.execution_id,
            "chatops.execution.outcome": event.outcome.value,
            **(semconv.policy(call.decided) if call.decided else {}),
            **(semconv.approval(call.asked, ApprovalState.CONSUMED) if call.asked and started.approval_id else {}),
            **semconv.audit(begin),
            **self._content({"gen_ai.tool.call.result": lambda: event.detail}),
        }
        error = "" if event.outcome is ExecutionOutcome.SUCCEEDED else f"execution_{event.outcome.value}"
        name, key = f"execute_tool {started.action.tool}", f"call:{started.call_id}"
        self._add(Span(key, name, begin.at, at.at, attributes, error=error))

    # --- parts --------------------------------------------------------------------------------------------------------

    def _add(self, span: Span) -> None:
        """The wall clock may be set back: no span ends before it begins."""
        if span.end < span.start:
            span = Span(**{**vars(span), "end": span.start})
        self.spans[span.key] = span

    def _provider(self, model: str) -> str:
        return AGENT_NAME if model == RULES else self._telling.provider

    def _tool(self, call_id: str, action: Action) -> dict[str, Value]:
        return {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": action.tool,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": call_id,
            "chatops.action.effect": action.effect.value,
            "chatops.action.touches": action.touches,
            **semconv.about(action.target),
            **self._content({"gen_ai.tool.call.arguments": lambda: encode(action.arguments)}),
        }

    def _content(self, parts: Mapping[str, Callable[[], Any]]) -> dict[str, Value]:
        """Prompts, arguments and results, where they may leave: redacted once more, and cut."""
        clean = self._telling.content
        if clean is None:
            return {}
        return {name: clean(semconv.text_of(make()))[:LONGEST] for name, make in parts.items()}


def _before(at: Envelope, took_ms: int) -> datetime:
    return at.at - timedelta(milliseconds=took_ms)
