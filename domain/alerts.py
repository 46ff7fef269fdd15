"""Alerts and incidents: a signal that a condition holds or has ceased, and the alerts treated as one problem."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from domain.actions import Target
from domain.canonical import digest_of


class Severity(StrEnum):
    """Prometheus' conventional severities; anything else is read as warning."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True)
class Alert:
    """One alert as a monitor sent it, redacted. `group` is the monitor's own grouping key, empty where it has none.

    `replaces`: it is the newest of its group, and each is a matter of its own; an open one before it is over by this.
    """

    fingerprint: str
    firing: bool
    name: str
    source: str
    starts_at: datetime
    severity: Severity = Severity.WARNING
    summary: str = ""
    description: str = ""
    labels: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""
    target: Target = Target()
    ends_at: datetime | None = None
    url: str = ""
    runbook_url: str = ""
    replaces: bool = False


@dataclass(frozen=True)
class Incident:
    """The alerts treated as one problem: one incident, one thread.

    `thread_ts` is empty until Slack has taken the incident's message. `firing` are the fingerprints that still fire;
    `alerts` counts every alert received, repeats included.
    """

    id: str
    workspace: str
    title: str
    severity: Severity
    target: Target
    group: str
    opened_at: datetime
    channel: str = ""
    thread_ts: str = ""
    summary: str = ""
    source: str = ""
    url: str = ""
    firing: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    alerts: int = 1
    resolved_at: datetime | None = None

    @property
    def open(self) -> bool:
        """Whether the monitor still considers the problem present."""
        return self.resolved_at is None


def fingerprint(labels: Mapping[str, Any]) -> str:
    """A monitor's alert identity where it sends none: the digest of its labels (16 hex digits, as Alertmanager's)."""
    return digest_of({str(key): str(value) for key, value in labels.items()})[:16]


_KINDS = {
    "deployment": "Deployment",
    "statefulset": "StatefulSet",
    "daemonset": "DaemonSet",
    "cronjob": "CronJob",
    "job_name": "Job",
}
_OBJECTS = {
    "replicaset": "ReplicaSet",
    "horizontalpodautoscaler": "HorizontalPodAutoscaler",
    "hpa": "HorizontalPodAutoscaler",
    "poddisruptionbudget": "PodDisruptionBudget",
    "persistentvolumeclaim": "PersistentVolumeClaim",
    "resourcequota": "ResourceQuota",
    "networkpolicy": "NetworkPolicy",
    "ingress": "Ingress",
    "gateway": "Gateway",
    "httproute": "HTTPRoute",
    "configmap": "ConfigMap",
    "certificate": "Certificate",
}
"""Labels of kube-state-metrics and its kin. They come before `pod`, which may only be the exporter's own."""

_CLUSTER_WIDE = {
    "persistentvolume": "PersistentVolume",
    "validatingwebhookconfiguration": "ValidatingWebhookConfiguration",
    "mutatingwebhookconfiguration": "MutatingWebhookConfiguration",
}
_SAFE = "bcdfghjklmnpqrstvwxz2456789"  # the alphabet of Kubernetes' generated suffixes (apimachinery util/rand)
_POD_OF_DEPLOYMENT = re.compile(rf"^(?P<name>.+)-[{_SAFE}]{{6,10}}-[{_SAFE}]{{5}}$")


def target_of(labels: Mapping[str, Any], environment: str) -> Target:
    """The Kubernetes thing that an alert's labels name: a workload, else another object, the workload behind a
    pod, the pod, the node or a Service.

    Prometheus' own `job` label names a scrape job, not a Kubernetes one, so only `job_name` counts.
    """
    namespace = str(labels.get("namespace") or labels.get("exported_namespace") or "")
    for label, kind in _KINDS.items():
        if labels.get(label):
            return Target("kubernetes", environment, namespace, kind, str(labels[label]))
    if found := _object(labels, environment, namespace):
        return found
    pod = str(labels.get("pod") or "")
    if pod:
        match = _POD_OF_DEPLOYMENT.match(pod)
        kind, name = ("Deployment", match["name"]) if match else ("Pod", pod)
        return Target("kubernetes", environment, namespace, kind, name)
    if labels.get("node"):
        return Target("kubernetes", environment, "", "Node", str(labels["node"]))
    service = str(labels.get("service") or labels.get("app") or "")
    if namespace and service:
        return Target("kubernetes", environment, namespace, "Service", service)
    return Target("kubernetes" if namespace else "", environment, namespace, "", "")


def _object(labels: Mapping[str, Any], environment: str, namespace: str) -> Target | None:
    for label, kind in _OBJECTS.items() if namespace else ():
        if labels.get(label):
            return Target("kubernetes", environment, namespace, kind, str(labels[label]))
    if namespace and labels.get("issuer_name") and labels.get("name"):  # cert-manager calls its certificates so
        return Target("kubernetes", environment, namespace, "Certificate", str(labels["name"]))
    for label, kind in _CLUSTER_WIDE.items():
        if labels.get(label):
            return Target("kubernetes", environment, "", kind, str(labels[label]))
    return None


def correlate(alert: Alert, open_incidents: Iterable[Incident]) -> Incident | None:
    """The open incident that this alert belongs to, if any.

    Same fingerprint; else same group and target. Within one group, an alert that names no workload of its own (a pod
    of unknown owner, an instance, nothing) says nothing against the incident's target and joins it.
    """
    candidates = list(open_incidents)
    for incident in candidates:
        if alert.fingerprint in incident.fingerprints:
            return incident
    if alert.replaces:
        return None
    for incident in candidates:
        if alert.group and incident.group == alert.group and same_target(alert.target, incident.target):
            return incident
    return None


def same_target(one: Target, other: Target) -> bool:
    """Whether two targets may be the same problem: same key, or one of them names no workload in the same namespace.

    Never across systems: the folder of a CI job may be called like a namespace.
    """
    if one.key == other.key:
        return True
    if one.system and other.system and one.system != other.system:
        return False
    vague = {"", "Pod", "Service"}
    return one.namespace == other.namespace and (one.kind in vague or other.kind in vague)
