"""Prometheus metrics, one place. Names follow Prometheus' conventions: base units, _total for counters.

Every label has few values: names of tools, models and states, never an id or what a stranger sent. None is called like those
that Prometheus adds (job, instance). What a metric counts is derived from the journal's events in `bot.measure`, or taken
where it happens if no event holds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    GC_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram as Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics import MetricWrapperBase

from domain.actions import Effect
from domain.alerts import Severity
from domain.decisions import ExecutionOutcome, Outcome, Verdict
from domain.noise import Suppression
from domain.runs import Origin, RunOutcome
from domain.work import WorkKind, WorkOutcome

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each of ours, which nobody asks for
REGISTRY = CollectorRegistry()
REGISTRY.register(PROCESS_COLLECTOR)
REGISTRY.register(GC_COLLECTOR)

_QUICK = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_PEOPLE = (5, 15, 30, 60, 120, 300, 600, 1800, 3600)
_INCIDENT = (5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200, 86400)
_BATCH = (1, 2, 5, 10, 20, 50, 100, 250, 500)


def _counter(name: str, words: str, *labels: str) -> Counter:
    return Counter(f"personal_agent_{name}", words, labels, registry=REGISTRY)


def _gauge(name: str, words: str, *labels: str) -> Gauge:
    return Gauge(f"personal_agent_{name}", words, labels, registry=REGISTRY)


def _histogram(name: str, words: str, *labels: str, buckets: tuple[float, ...] = _SECONDS) -> Histogram:
    return Histogram(f"personal_agent_{name}", words, labels, buckets=buckets, registry=REGISTRY)


# --- intake and incidents
http_seconds = _histogram("http_request_seconds", "One request to the HTTP server", "path", "code")
payload_seconds = _histogram("slack_payload_seconds", "A payload of Slack from durable to handled", "surface")
alerts_received = _counter("alerts_received_total", "Alerts received", "source", "state")
alerts_joined = _counter("alerts_joined_total", "Alerts that joined an open incident")
correlate_seconds = _histogram("correlate_seconds", "Finding the incident of a delivery's alerts", buckets=_QUICK)
incidents_opened = _counter("incidents_opened_total", "Incidents opened", "severity")
incidents_resolved = _counter("incidents_resolved_total", "Incidents resolved")
alerts_suppressed = _counter("alerts_suppressed_total", "Alerts that opened no incident of their own", "why")
alerts_held = _gauge("alerts_held", "Alerts that wait before they may open an incident")
incident_seconds = _histogram("incident_seconds", "Incident opened to resolved by its monitor", buckets=_INCIDENT)
open_incidents = _gauge("open_incidents", "Incidents open now")

# --- runs
runs_started = _counter("runs_started_total", "Runs started", "origin")
runs_finished = _counter("runs_finished_total", "Runs finished", "outcome")
runs_active = _gauge("runs_active", "Runs being advanced now")
runs_queued = _gauge("runs_queued", "Runs that wait for a worker now")
queue_seconds = _histogram("queue_wait_seconds", "A run's wait for a worker")
run_seconds = _histogram("run_machine_seconds", "A run's time without people")
analysis_seconds = _histogram("analysis_seconds", "The analyzers of one run")
first_finding_seconds = _histogram("first_finding_seconds", "Run start to first findings")
diagnosis_seconds = _histogram("alert_to_diagnosis_seconds", "Alert durable to diagnosis", buckets=_INCIDENT)
verified_seconds = _histogram("alert_to_verified_seconds", "Alert durable to a verified change", buckets=_INCIDENT)
budget_stops = _counter("budget_stops_total", "Runs that a budget stopped", "budget")
work_units = _counter("work_units_total", "Finished pieces of work", "kind", "outcome")

# --- tools and the model
tool_seconds = _histogram("tool_seconds", "One read", "tool", "outcome")
calls_refused = _counter("tool_calls_refused_total", "Tool calls that could not be understood, or repeated one")
redactions = _counter("redactions_total", "Secrets taken out of what was read, sent or kept", "kind")
model_seconds = _histogram("model_seconds", "One model request", "model", "outcome")
first_token_seconds = _histogram("model_first_token_seconds", "Model request to its first token", "model")
model_tokens = _counter("model_tokens_total", "Tokens used", "model", "direction")
model_cost = _counter("model_cost_dollars_total", "Model cost in US dollars", "model")

# --- policy and approvals
decisions = _counter("decisions_total", "Gate decisions", "outcome", "effect")
decision_seconds = _histogram("decision_seconds", "One decision of the gate with what it reads for it", buckets=_QUICK)
policy_loads = _counter("policy_loads_total", "Policy bundles that were read", "result")
approvals_requested = _counter("approvals_requested_total", "Approval requests", "effect")
approvals = _counter("approvals_total", "Approval requests by how they ended", "state")
approvals_pending = _gauge("approvals_pending", "Approval requests that wait for people now")
approval_seconds = _histogram("approval_seconds", "Approval requested to closed", "state", buckets=_PEOPLE)
approvals_escalated = _counter("approvals_escalated_total", "Approval requests that were passed on to others")
votes = _counter("votes_total", "Votes that counted", "verdict")
votes_refused = _counter("votes_refused_total", "Clicks by people who may not")
break_glasses = _counter("break_glasses_total", "Break-glasses opened")

# --- execution and brakes
executions = _counter("executions_total", "Executions", "tool", "outcome")
execution_seconds = _histogram("execution_seconds", "One execution", "tool")
verifications = _counter("verifications_total", "Verifications", "result")
verification_seconds = _histogram("verification_seconds", "Looking whether a change helped", "result")
breaker_open = _gauge("breaker_open", "Circuit breakers: 1 is open", "scope")
demotions = _counter("demotions_total", "Tools that lost their autonomy in an environment", "tool")
paused = _gauge("paused", "1 while the agent is paused")
mode = _gauge("mode", "1 for the mode that the agent is in", "mode")

# --- the journal and Slack
journal_events = _counter("journal_events_total", "Events recorded", "kind")
append_seconds = _histogram("journal_append_seconds", "One append until it is on disk", buckets=_SECONDS)
commit_events = _histogram("journal_commit_events", "Events of one commit", buckets=_BATCH)
append_failures = _counter("journal_append_failures_total", "Appends that recorded nothing", "reason")
database_bytes = _gauge("database_bytes", "Size of the database's files", "file")
checkpointed_events = _gauge("checkpointed_events", "Events that the last checkpoint is over")
checkpoint_failures = _counter("checkpoint_failures_total", "Checkpoints that could not be signed")
anchored_events = _gauge("anchored_events", "Events that the newest copy in a place is over", "place")
anchor_failures = _counter("anchor_failures_total", "Times that a place did not take a checkpoint", "place")
anchor_success = _gauge("anchor_last_success_timestamp_seconds", "When a place last took a checkpoint", "place")
outbox_messages = _gauge("outbox_messages", "Messages that Slack does not have in their newest revision")
outbox_oldest = _gauge("outbox_oldest_seconds", "How long the oldest of them has waited")
delivery_seconds = _histogram("outbox_delivery_seconds", "A message wanted until Slack has it")
slack_errors = _counter("slack_errors_total", "Messages that Slack did not take, by its own word", "error")
slack_seconds = _histogram("slack_request_seconds", "One call of Slack's Web API", "method", "code")

# --- the service itself
ready = _gauge("ready", "1 while /readyz says 200")
job_seconds = _histogram("job_seconds", "One turn of a scheduled job", "task")
job_failures = _counter("job_failures_total", "Turns of a scheduled job that failed", "task")
job_success = _gauge("job_last_success_timestamp_seconds", "When a scheduled job last went well", "task")
loop_lag = _histogram("event_loop_lag_seconds", "How late the event loop is", buckets=_QUICK)
traces = _counter("otlp_traces_total", "Finished runs on their way to the OTLP endpoint", "result")
errors = _counter("errors_total", "Unexpected errors, by the logger that has the traceback", "logger")
build = _gauge("build_info", "The version that runs", "version", "python")


class Few:
    """Values of a label that come from outside: the first so many keep their name, whatever comes later is `other`."""

    def __init__(self, most: int = 50) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        if value not in self._known and len(self._known) >= self._most:
            return "other"
        self._known.add(value)
        return value


_ENDS = ("approved", "denied", "expired", "cancelled", "superseded")
_KNOWN: tuple[tuple[MetricWrapperBase, tuple[Iterable[str], ...]], ...] = (
    (alerts_suppressed, (Suppression,)),
    (append_failures, (("refused", "error"),)),
    (approval_seconds, (_ENDS,)),
    (approvals, ((*_ENDS, "taken_back", "observed"),)),
    (approvals_requested, (Effect,)),
    (budget_stops, (("steps", "tokens", "cost", "seconds", "actions"),)),
    (decisions, (Outcome, Effect)),
    (incidents_opened, (Severity,)),
    (policy_loads, (("loaded", "refused"),)),
    (runs_finished, (RunOutcome,)),
    (runs_started, (Origin,)),
    (slack_errors, (("ratelimited",),)),
    (traces, (("exported", "failed", "dropped"),)),
    (verification_seconds, (("passed", "failed"),)),
    (verifications, (("passed", "failed"),)),
    (votes, (Verdict,)),
    (work_units, (WorkKind, WorkOutcome)),
)
"""What each label may be, where that is known beforehand."""


def begin(tools: Iterable[str], models: Iterable[str], jobs: Iterable[str], loggers: Iterable[str]) -> None:
    """Let what is counted begin at 0: Prometheus sees no increase from nothing to 1. `tools` change something."""
    named = (*_KNOWN, (executions, (tools, ExecutionOutcome)), (job_failures, (jobs,)), (errors, (loggers,)))
    for metric, values in (*named, (model_seconds, (models, ("ok", "error")))):
        for combination in product(*values):
            metric.labels(*combination)


def exposition() -> tuple[bytes, str]:
    """Every metric as Prometheus reads it, and the type of that text."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
