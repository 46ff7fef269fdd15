"""Every finding code with its weight, and the one way in which findings are made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bot.analyzers.fields import short
from domain.actions import Target
from domain.diagnosis import Confidence, Evidence, Finding, Proposal

TITLE_LIMIT = 100
DETAIL_LIMIT = 1500

WEIGHTS = {
    "release.risk": 101,
    "deployment.bad_rollout": 100,
    "pod.oom_killed": 95,
    "image.moved_tag": 94,
    "certificate.expired": 93,
    "node.not_ready": 92,
    "deployment.scaled_to_zero": 91,
    "build.infrastructure": 91,
    "config.missing": 91,
    "quota.exceeded": 91,
    "quota.demands": 91,
    "limit_range.refuses": 91,
    "webhook.unreachable": 91,
    "admission.denied": 91,
    "account.missing": 91,
    "storage.claim_missing": 90,
    "storage.claim_lost": 90,
    "storage.class_missing": 90,
    "storage.no_class": 90,
    "storage.provisioning_failed": 90,
    "storage.volume_unusable": 90,
    "ingress.class_missing": 90,
    "ingress.no_class": 90,
    "ingress.no_such_service": 90,
    "ingress.no_such_port": 90,
    "gateway.class_missing": 90,
    "route.no_such_gateway": 90,
    "route.no_such_backend": 90,
    "pod.config_missing": 90,
    "pod.image_pull": 90,
    "service.no_matching_pods": 90,
    "storage.no_volume": 89,
    "schedule.no_such_node": 89,
    "schedule.too_big": 89,
    "autoscaler.cannot_scale": 88,
    "schedule.taints": 88,
    "node.network_unavailable": 88,
    "gateway.not_accepted": 87,
    "certificate.not_issued": 87,
    "route.not_accepted": 86,
    "deployment.cannot_create_pods": 86,
    "schedule.full": 86,
    "pod.unschedulable": 85,
    "pod.mount_failed": 85,
    "pod.sandbox_failed": 85,
    "service.no_such_port": 85,
    "needs.no_such_service": 84,
    "needs.not_ready": 84,
    "probe.wrong_port": 84,
    "network_policy.blocks": 83,
    "stateful_set.no_service": 83,
    "pod.cannot_start": 82,
    "build.flaky_test": 81,
    "build.broken_test": 81,
    "probe.wrong_path": 81,
    "pod.crash_loop": 80,
    "pod.liveness_probe": 79,
    "certificate.not_renewed": 78,
    "autoscaler.no_metrics": 77,
    "config.lacks_key": 77,
    "build.failed": 76,
    "pod.exited": 75,
    "pod.evicted": 75,
    "pod.node_lost": 74,
    "node.pressure": 73,
    "node.problem": 72,
    "pod.probe_failing": 70,
    "quota.full": 68,
    "namespace.terminating": 66,
    "storage.claim_terminating": 66,
    "pod.terminating": 65,
    "budget.never_allows": 64,
    "daemon_set.no_nodes": 63,
    "pod.not_ready": 62,
    "pod.initializing": 59,
    "build.waits": 61,
    "webhook.ignored": 60,
    "job.failed": 60,
    "storage.filling": 58,
    "autoscaler.at_maximum": 57,
    "deployment.paused": 56,
    "storage.waits": 55,
    "deployment.not_observed": 55,
    "service.no_ready_pods": 50,
    "ingress.warning": 49,
    "budget.unhealthy_pods": 48,
    "budget.selects_nothing": 47,
    "network_policy.selects_nothing": 47,
    "quota.nearly_full": 46,
    "deployment.progress_deadline": 45,
    "job.retrying": 42,
    "deployment.unready_pods": 40,
    "job.suspended": 40,
    "cron_job.suspended": 40,
    "deployment.changed": 35,
    "deployment.rolling_out": 32,
    "measured.alert": 31,
    "node.cordoned": 30,
    "pod.restarts_often": 30,
    "pod.starting": 28,
    "build.aborted": 26,
    "deployment.rollout_not_blamed": 25,
    "service.not_judged": 20,
    "deployment.recovered": 12,
    "measured.recovered": 11,
    "autoscaler.healthy": 11,
    "budget.healthy": 11,
    "ingress.healthy": 11,
    "gateway.healthy": 11,
    "route.healthy": 11,
    "certificate.healthy": 11,
    "quota.healthy": 11,
    "network_policy.told": 11,
    "config.healthy": 11,
    "namespace.healthy": 11,
    "deployment.healthy": 10,
    "pod.healthy": 10,
    "service.healthy": 10,
    "node.healthy": 10,
    "job.complete": 10,
    "job.running": 10,
    "cron_job.healthy": 10,
    "build.healthy": 10,
    "build.waits_for_people": 10,
    "build.running": 10,
    "storage.healthy": 10,
    "webhook.healthy": 10,
    "image.drift": 9,
    "known.runbook": 9,
    "known.seen_before": 8,
    "read.failed": 5,
}
"""Causes before symptoms, symptoms before circumstances, and what is well last."""


def finding(
    code: str,
    target: Target,
    title: str,
    detail: str,
    evidence: Iterable[tuple[Evidence, ...]],
    *,
    healthy: bool = False,
    proposal: Proposal | None = None,
    confidence: Confidence = Confidence.PROVEN,
    next_steps: Sequence[str] = (),
    hypotheses: Sequence[tuple[str, str]] = (),
    **facts: Any,
) -> Finding:
    """A finding with its weight. `confidence`, `next_steps` and `hypotheses` (text, next check) travel in its facts."""
    cited = {item.id: item for group in evidence for item in group}
    facts |= {"confidence": confidence.value}
    if next_steps:
        facts["next_steps"] = list(next_steps)
    if hypotheses:
        facts["hypotheses"] = [list(pair) for pair in hypotheses]
    return Finding(
        code=code,
        title=short(title, TITLE_LIMIT),
        detail=_cut(detail),
        target=target,
        evidence=tuple(cited.values()),
        weight=WEIGHTS[code],
        healthy=healthy,
        proposal=proposal,
        facts=facts,
    )


def claims(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings that may be told: a claim without stored evidence is dropped, only a failed read needs none."""
    return tuple(found for found in findings if found.evidence or found.code == "read.failed")


def _cut(detail: str) -> str:
    return detail if len(detail) <= DETAIL_LIMIT else detail[: DETAIL_LIMIT - 1] + "…"
