"""From the journal's events to metrics. What is measured here is measured from what was recorded, and from nothing else.

`committed` hears every transaction of the journal's writer, so no event is missed. What a later event is measured against (when
its approval was asked for, when its run began) is remembered meanwhile, and read from the journal once at the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot import metrics
from bot.metrics import Few, Histogram
from domain.actions import Effect
from domain.decisions import ApprovalState, Outcome
from domain.events import (
    AlertJoined,
    AlertReceived,
    AlertSuppressed,
    ApprovalClosed,
    ApprovalEscalated,
    ApprovalRequested,
    AutonomyDemoted,
    BreakerOpened,
    BreakerReset,
    BreakGlassOpened,
    DecisionMade,
    DiagnosisConcluded,
    Envelope,
    ExecutionFinished,
    ExecutionStarted,
    FindingsReported,
    IncidentOpened,
    IncidentResolved,
    MessageFailed,
    MessageSent,
    MessageWanted,
    ModelFailed,
    PayloadHandled,
    PayloadReceived,
    PolicyLoaded,
    PolicyRejected,
    RunFinished,
    RunStarted,
    StepPlanned,
    ToolCallFinished,
    ToolCallRefused,
    VerificationFailed,
    VerificationPassed,
    VoteCast,
    VoteRefused,
    WorkUnitRecorded,
)
from domain.noise import Suppression
from domain.ports import Journal
from domain.runs import Origin, Usage
from policies import brakes
from storage.journal import Commit

MOST_PAYLOADS = 10_000
"""So many payloads may be under way; older ones are not measured."""
Handler = Callable[[Envelope, Any], object]


@dataclass
class _Run:
    """A run under way: when it began, whether an alert began it, and its reads that were allowed and have not ended."""

    began: datetime
    alert: bool
    reads: dict[str, str] = field(default_factory=dict)


class Measures:
    """`committed` counts; `refresh` sets what stands now, for a scrape."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}
        self._incidents: dict[str, datetime] = {}
        self._asked: dict[str, datetime] = {}
        self._observed: set[str] = set()
        self._tools: dict[str, str] = {}
        self._wanted: dict[str, tuple[datetime, int]] = {}
        self._payloads: dict[str, tuple[datetime, str]] = {}
        self._sources, self._slack_errors, self._surfaces = Few(), Few(), Few()
        self._count: Mapping[type, Handler] = {
            **self._of_alerts(),
            **self._of_runs(),
            **self._of_people(),
            **self._of_changes(),
            **self._of_slack(),
        }
        self._remember: Mapping[type, Handler] = {
            RunStarted: self._run_began,
            RunFinished: lambda at, _: self._runs.pop(at.run_id, None),
            DecisionMade: self._read_allowed,
            ToolCallFinished: self._read_ended,
            IncidentOpened: lambda at, _: self._incidents.update({at.incident_id: at.at}),
            IncidentResolved: lambda at, _: self._incidents.pop(at.incident_id, None),
            ApprovalRequested: self._asks,
            ApprovalClosed: self._asks_no_more,
            VoteCast: self._maybe_answered,
            ExecutionStarted: lambda _, event: self._tools.update({event.execution_id: event.action.tool}),
            ExecutionFinished: lambda _, event: self._tools.pop(event.execution_id, None),
            MessageWanted: self._wanted_from,
            MessageSent: self._has,
            MessageFailed: self._gave_up,
            PayloadReceived: self._payload_began,
            PayloadHandled: lambda _, event: self._payloads.pop(event.key, None),
        }

    def committed(self, commit: Commit) -> None:
        """Count one transaction of the writer."""
        for seconds in commit.waited_s:
            metrics.append_seconds.observe(seconds)
        if commit.envelopes:
            metrics.commit_events.observe(len(commit.envelopes))
        if commit.refused:
            metrics.append_failures.labels("refused").inc(commit.refused)
        if commit.failed:
            metrics.append_failures.labels("error").inc(commit.failed)
        for envelope in commit.envelopes:
            kind = type(envelope.event)
            metrics.journal_events.labels(kind.__name__).inc()
            if kind in self._count:
                self._count[kind](envelope, envelope.event)
            if kind in self._remember:
                self._remember[kind](envelope, envelope.event)

    def recall(self, envelopes: Iterable[Envelope]) -> None:
        """Remember what was under way; count nothing of it."""
        for envelope in envelopes:
            if type(envelope.event) in self._remember:
                self._remember[type(envelope.event)](envelope, envelope.event)

    async def start(self, journal: Journal, now: datetime) -> None:
        """Remember what an earlier process left open."""
        for row in await journal.runs(unfinished=True, limit=1000):
            self.recall(await journal.of_run(row.spec.id))
        for incident in await journal.incidents(open_only=True, limit=10_000):
            self._incidents[incident.id] = incident.opened_at
        for message in await journal.unsent():
            self._wanted[message.key] = (message.wanted_at or now, message.revision)
        for breaker in (await journal.brakes(brakes.since(now))).breakers:
            metrics.breaker_open.labels(breaker.scope).set(1)

    def refresh(self, now: datetime) -> None:
        """What stands now."""
        metrics.open_incidents.set(len(self._incidents))
        metrics.approvals_pending.set(len(self._asked))
        metrics.outbox_messages.set(len(self._wanted))
        oldest = min((at for at, _ in self._wanted.values()), default=now)
        metrics.outbox_oldest.set(max(0.0, (now - oldest).total_seconds()))

    # --- alerts and incidents -----------------------------------------------------------------------------------------

    def _of_alerts(self) -> dict[type, Handler]:
        return {
            AlertReceived: self._alert,
            AlertJoined: self._joined,
            AlertSuppressed: lambda _, event: metrics.alerts_suppressed.labels(event.why.value).inc(),
            IncidentOpened: lambda _, event: metrics.incidents_opened.labels(event.incident.severity.value).inc(),
            IncidentResolved: self._resolved,
        }

    def _alert(self, _: Envelope, event: AlertReceived) -> None:
        state = "firing" if event.alert.firing else "resolved"
        metrics.alerts_received.labels(self._sources(event.alert.source), state).inc()

    def _joined(self, _: Envelope, event: AlertJoined) -> None:
        metrics.alerts_joined.inc()
        if event.storm:
            metrics.alerts_suppressed.labels(Suppression.STORM.value).inc()

    def _resolved(self, at: Envelope, _: IncidentResolved) -> None:
        metrics.incidents_resolved.inc()
        if at.incident_id in self._incidents:
            metrics.incident_seconds.observe(_seconds(self._incidents[at.incident_id], at.at))

    # --- runs ---------------------------------------------------------------------------------------------------------

    def _of_runs(self) -> dict[type, Handler]:
        return {
            RunStarted: lambda _, event: metrics.runs_started.labels(event.spec.origin.value).inc(),
            FindingsReported: self._findings,
            StepPlanned: self._answered,
            ModelFailed: self._failed,
            ToolCallRefused: lambda *_: metrics.calls_refused.inc(),
            ToolCallFinished: self._called,
            DecisionMade: self._decided,
            DiagnosisConcluded: lambda at, _: self._since_alert(at, metrics.diagnosis_seconds),
            RunFinished: self._finished,
            WorkUnitRecorded: lambda _, event: metrics.work_units.labels(
                event.unit.kind.value, event.unit.outcome.value
            ).inc(),
        }

    def _run_began(self, at: Envelope, event: RunStarted) -> None:
        self._runs[at.run_id] = _Run(at.at, event.spec.origin is Origin.ALERT)

    def _findings(self, at: Envelope, event: FindingsReported) -> None:
        metrics.analysis_seconds.observe(event.took_ms / 1000)
        if run := self._runs.get(at.run_id):
            metrics.first_finding_seconds.observe(_seconds(run.began, at.at))

    def _answered(self, _: Envelope, event: StepPlanned) -> None:
        metrics.model_seconds.labels(event.model, "ok").observe(event.took_ms / 1000)
        if event.answer.first_token_ms is not None:
            metrics.first_token_seconds.labels(event.model).observe(event.answer.first_token_ms / 1000)
        _used(event.model, event.answer.usage)

    def _failed(self, _: Envelope, event: ModelFailed) -> None:
        metrics.model_seconds.labels(event.model, "error").observe(event.took_ms / 1000)
        _used(event.model, event.usage)

    def _decided(self, _: Envelope, event: DecisionMade) -> None:
        metrics.decisions.labels(event.decision.outcome.value, event.action.effect.value).inc()

    def _read_allowed(self, at: Envelope, event: DecisionMade) -> None:
        if event.action.effect is Effect.READ and event.decision.outcome is Outcome.ALLOW and at.run_id in self._runs:
            self._runs[at.run_id].reads[event.call_id] = event.action.tool

    def _read_ended(self, at: Envelope, event: ToolCallFinished) -> None:
        if at.run_id in self._runs:
            self._runs[at.run_id].reads.pop(event.result.call_id, None)

    def _called(self, at: Envelope, event: ToolCallFinished) -> None:
        """A read; how a change ended stands in its execution."""
        run, result = self._runs.get(at.run_id), event.result
        if run is not None and (tool := run.reads.get(result.call_id)):
            metrics.tool_seconds.labels(tool, "ok" if result.ok else "error").observe(result.took_ms / 1000)

    def _finished(self, _: Envelope, event: RunFinished) -> None:
        metrics.runs_finished.labels(event.outcome.value).inc()
        metrics.run_seconds.observe(event.machine_ms / 1000)

    def _since_alert(self, at: Envelope, seconds: Histogram) -> None:
        run = self._runs.get(at.run_id)
        if run is not None and run.alert:
            seconds.observe(_seconds(run.began, at.at))

    # --- policy and people --------------------------------------------------------------------------------------------

    def _of_people(self) -> dict[type, Handler]:
        return {
            PolicyLoaded: lambda *_: metrics.policy_loads.labels("loaded").inc(),
            PolicyRejected: lambda *_: metrics.policy_loads.labels("refused").inc(),
            ApprovalRequested: lambda _, event: metrics.approvals_requested.labels(
                event.request.action.effect.value
            ).inc(),
            VoteCast: self._voted,
            VoteRefused: lambda *_: metrics.votes_refused.inc(),
            ApprovalClosed: lambda at, event: self._closed(at, event.approval_id, event.state.value),
            ApprovalEscalated: lambda *_: metrics.approvals_escalated.inc(),
            BreakGlassOpened: lambda *_: metrics.break_glasses.inc(),
        }

    def _asks(self, at: Envelope, event: ApprovalRequested) -> None:
        if event.request.observe_only:
            self._observed.add(event.request.id)
        else:
            self._asked[event.request.id] = at.at

    def _asks_no_more(self, _: Envelope, event: ApprovalClosed) -> None:
        self._asked.pop(event.approval_id, None)
        self._observed.discard(event.approval_id)

    def _voted(self, at: Envelope, event: VoteCast) -> None:
        metrics.votes.labels(event.vote.verdict.value).inc()
        if event.closes is ApprovalState.PENDING:
            metrics.approvals.labels("taken_back").inc()
        elif event.closes is not None:
            self._closed(at, event.approval_id, event.closes.value)

    def _maybe_answered(self, at: Envelope, event: VoteCast) -> None:
        if event.closes is ApprovalState.PENDING:
            self._asked[event.approval_id] = at.at  # it waits again, from now on
        elif event.closes is not None:
            self._asked.pop(event.approval_id, None)

    def _closed(self, at: Envelope, approval_id: str, state: str) -> None:
        """An approved request that then expires is counted as both; its wait for people ended at the first.

        What was only shown in observe mode nobody could answer, so that its expiry says nothing about anybody.
        """
        metrics.approvals.labels("observed" if approval_id in self._observed else state).inc()
        if approval_id in self._asked:
            metrics.approval_seconds.labels(state).observe(_seconds(self._asked[approval_id], at.at))

    # --- changes and brakes -------------------------------------------------------------------------------------------

    def _of_changes(self) -> dict[type, Handler]:
        return {
            ExecutionFinished: self._executed,
            VerificationPassed: self._verified,
            VerificationFailed: lambda at, event: self._checked("failed", event.took_ms),
            BreakerOpened: lambda _, event: metrics.breaker_open.labels(event.scope).set(1),
            BreakerReset: lambda _, event: metrics.breaker_open.labels(event.scope).set(0),
            AutonomyDemoted: lambda _, event: metrics.demotions.labels(event.tool).inc(),
        }

    def _executed(self, _: Envelope, event: ExecutionFinished) -> None:
        tool = self._tools.get(event.execution_id, "unknown")
        metrics.executions.labels(tool, event.outcome.value).inc()
        metrics.execution_seconds.labels(tool).observe(event.took_ms / 1000)

    def _verified(self, at: Envelope, event: VerificationPassed) -> None:
        self._checked("passed", event.took_ms)
        self._since_alert(at, metrics.verified_seconds)

    def _checked(self, result: str, took_ms: int) -> None:
        metrics.verifications.labels(result).inc()
        metrics.verification_seconds.labels(result).observe(took_ms / 1000)

    # --- Slack --------------------------------------------------------------------------------------------------------

    def _of_slack(self) -> dict[type, Handler]:
        return {
            MessageSent: self._delivered,
            MessageFailed: lambda _, event: metrics.slack_errors.labels(self._slack_errors(event.error)).inc(),
            PayloadHandled: self._handled,
        }

    def _wanted_from(self, at: Envelope, event: MessageWanted) -> None:
        """A newer revision waits as long as the one that it replaces before Slack had it."""
        since, _ = self._wanted.get(event.key, (at.at, 0))
        self._wanted[event.key] = (since, event.revision)

    def _delivered(self, at: Envelope, event: MessageSent) -> None:
        if event.key in self._wanted:
            metrics.delivery_seconds.observe(_seconds(self._wanted[event.key][0], at.at))

    def _has(self, at: Envelope, event: MessageSent) -> None:
        if event.key not in self._wanted:
            return
        if self._wanted[event.key][1] <= event.revision:
            del self._wanted[event.key]
        else:
            self._wanted[event.key] = (at.at, self._wanted[event.key][1])

    def _gave_up(self, _: Envelope, event: MessageFailed) -> None:
        if event.final and event.key in self._wanted and self._wanted[event.key][1] <= event.revision:
            del self._wanted[event.key]

    def _payload_began(self, at: Envelope, event: PayloadReceived) -> None:
        self._payloads[event.key] = (at.at, event.surface)
        if len(self._payloads) > MOST_PAYLOADS:
            del self._payloads[next(iter(self._payloads))]

    def _handled(self, at: Envelope, event: PayloadHandled) -> None:
        if event.key in self._payloads:
            began, surface = self._payloads[event.key]
            metrics.payload_seconds.labels(self._surfaces(surface)).observe(_seconds(began, at.at))


def _used(model: str, usage: Usage) -> None:
    metrics.model_tokens.labels(model, "input").inc(usage.input_tokens)
    metrics.model_tokens.labels(model, "output").inc(usage.output_tokens)
    metrics.model_tokens.labels(model, "cached").inc(usage.cached_tokens)
    metrics.model_cost.labels(model).inc(usage.cost_micros / 1_000_000)


def _seconds(begin: datetime, end: datetime) -> float:
    """The wall clock may be set back: no measured time is below zero."""
    return max(0.0, (end - begin).total_seconds())
