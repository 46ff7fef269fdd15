"""Prometheus metrics, one place. Names follow Prometheus' conventions: base units, _total for counters."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_PEOPLE = (5, 15, 30, 60, 120, 300, 600, 1800, 3600)

alerts_received = Counter(
    "personal_agent_alerts_received_total", "Alerts received", ["source", "state"], registry=REGISTRY
)
incidents_opened = Counter("personal_agent_incidents_opened_total", "Incidents opened", ["severity"], registry=REGISTRY)
incidents_resolved = Counter("personal_agent_incidents_resolved_total", "Incidents resolved", registry=REGISTRY)
alerts_suppressed = Counter(
    "personal_agent_alerts_suppressed_total", "Alerts that opened no incident of their own", ["why"], registry=REGISTRY
)
alerts_held = Gauge(
    "personal_agent_alerts_held", "Alerts that wait before they may open an incident", registry=REGISTRY
)
runs_started = Counter("personal_agent_runs_started_total", "Runs started", ["origin"], registry=REGISTRY)
runs_finished = Counter("personal_agent_runs_finished_total", "Runs finished", ["outcome"], registry=REGISTRY)
run_seconds = Histogram(
    "personal_agent_run_machine_seconds", "A run's time without people", buckets=_SECONDS, registry=REGISTRY
)
first_finding_seconds = Histogram(
    "personal_agent_first_finding_seconds", "Run start to first findings", buckets=_SECONDS, registry=REGISTRY
)
tool_seconds = Histogram(
    "personal_agent_tool_seconds", "One tool call", ["tool", "outcome"], buckets=_SECONDS, registry=REGISTRY
)
model_seconds = Histogram(
    "personal_agent_model_seconds", "One model request", ["model", "outcome"], buckets=_SECONDS, registry=REGISTRY
)
model_tokens = Counter("personal_agent_model_tokens_total", "Tokens used", ["model", "direction"], registry=REGISTRY)
model_cost = Counter(
    "personal_agent_model_cost_dollars_total", "Model cost in US dollars", ["model"], registry=REGISTRY
)
decisions = Counter("personal_agent_decisions_total", "Gate decisions", ["outcome", "effect"], registry=REGISTRY)
approvals = Counter(
    "personal_agent_approvals_total", "Approval requests by how they ended", ["state"], registry=REGISTRY
)
approval_seconds = Histogram(
    "personal_agent_approval_seconds", "Card shown to decided", buckets=_PEOPLE, registry=REGISTRY
)
votes_refused = Counter("personal_agent_votes_refused_total", "Clicks by people who may not", registry=REGISTRY)
executions = Counter("personal_agent_executions_total", "Executions", ["tool", "outcome"], registry=REGISTRY)
verifications = Counter("personal_agent_verifications_total", "Verifications", ["result"], registry=REGISTRY)
errors = Counter("personal_agent_errors_total", "Unexpected errors at a boundary", ["where"], registry=REGISTRY)
open_incidents = Gauge("personal_agent_open_incidents", "Incidents open now", registry=REGISTRY)
runs_active = Gauge("personal_agent_runs_active", "Runs being advanced now", registry=REGISTRY)
