"""A Prometheus and an Alertmanager in small: rules over the cluster's API, groups, webhooks, resolved alerts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import aiohttp

log = logging.getLogger(__name__)
Obj = dict[str, Any]
Labels = dict[str, str]

RUNBOOKS = "https://runbooks.prometheus-operator.dev/runbooks/kubernetes"
ALERTMANAGER = "http://alertmanager.monitoring:9093"
PROMETHEUS = "http://prometheus.monitoring:9090"
GROUP_BY = ("namespace", "deployment")
NEVER = "0001-01-01T00:00:00Z"

# In multiples of the polling interval; kube-prometheus has 15m, 30s, 5m, 12h.
PENDING, SLOW_PENDING, GROUP_WAIT, GROUP_INTERVAL, REPEAT_INTERVAL, HOLD = 1, 7, 1, 4, 240, 4


@dataclass(slots=True)
class Alert:
    """One alert by its labels. starts and ends are wall-clock times; since and quiet are monotonic seconds."""

    labels: Labels
    annotations: Labels
    since: float
    starts: str = ""
    ends: str = NEVER
    quiet: float | None = None

    def as_json(self) -> Obj:
        return {
            "status": "firing" if self.ends == NEVER else "resolved",
            "labels": self.labels,
            "annotations": self.annotations,
            "startsAt": self.starts,
            "endsAt": self.ends,
            "generatorURL": f"{PROMETHEUS}/graph?g0.expr=ALERTS%7Balertname%3D%22{self.labels['alertname']}%22%7D",
            "fingerprint": fingerprint(self.labels),
        }


@dataclass(slots=True)
class Group:
    """The alerts that are notified together. told: fingerprint -> status in the last delivered notification."""

    labels: Labels
    due: float
    alerts: dict[str, Alert] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    told_at: float = 0.0


def fingerprint(labels: Labels) -> str:
    """An alert's identity as Alertmanager makes it: FNV-1a over its sorted labels, 16 hex digits."""
    value = 0xCBF29CE484222325
    for name, text in sorted(labels.items()):
        for byte in f"{name}\xff{text}\xff".encode("latin-1", "replace"):
            value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


# --- rules


def rules(deployments: list[Obj], pods: list[Obj]) -> Iterator[tuple[Labels, Labels]]:
    """Every condition that holds now: an alert's labels and annotations."""
    for deployment in deployments:
        yield from _deployment_rules(deployment)
    for pod in pods:
        yield from _pod_rules(pod)


def _deployment_rules(deployment: Obj) -> Iterator[tuple[Labels, Labels]]:
    meta, status = deployment["metadata"], deployment.get("status") or {}
    labels = {"namespace": meta["namespace"], "deployment": meta["name"], "job": "kube-state-metrics"}
    where = f"Deployment {meta['namespace']}/{meta['name']}"
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    if (conditions.get("Progressing") or {}).get("status") == "False":
        text = f"Rollout of deployment {meta['namespace']}/{meta['name']} is not progressing."
        yield _alert("KubeDeploymentRolloutStuck", labels, "Deployment rollout is not progressing.", text)
    wanted, has = deployment["spec"].get("replicas", 1), status.get("availableReplicas", 0)
    if wanted != has:
        text = f"{where} has {has} of {wanted} replicas available."
        yield _alert("KubeDeploymentReplicasMismatch", labels, "Deployment has not matched its replicas.", text)


_WAITING = ("ImagePullBackOff", "ErrImagePull", "CreateContainerConfigError", "InvalidImageName")


def _pod_rules(pod: Obj) -> Iterator[tuple[Labels, Labels]]:
    meta, status = pod["metadata"], pod.get("status") or {}
    statuses = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    for container in statuses:
        labels = {"namespace": meta["namespace"], "pod": meta["name"], "container": container["name"]}
        labels |= {"job": "kube-state-metrics"} | ({"deployment": owner} if (owner := deployment_of(pod)) else {})
        where = f"{meta['namespace']}/{meta['name']} ({container['name']})"
        waiting = (container["state"].get("waiting") or {}).get("reason", "")
        ended = [s.get("terminated") or {} for s in (container["state"], container.get("lastState") or {})]
        if not container["ready"] and any(t.get("reason") == "OOMKilled" for t in ended):
            text = f"Container {where} was killed because it used more memory than its limit."
            yield _alert("KubeContainerOOMKilled", labels, "Container was killed for its memory.", text)
        if waiting == "CrashLoopBackOff":
            text = f'Pod {where} is in waiting state (reason: "CrashLoopBackOff").'
            yield _alert("KubePodCrashLooping", labels | {"reason": waiting}, "Pod is crash looping.", text)
        elif waiting in _WAITING:
            text = f'Container {where} has been in waiting state (reason: "{waiting}").'
            # One alert for both halves of a pull that is tried again and again.
            labels |= {"reason": "ImagePullBackOff" if waiting == "ErrImagePull" else waiting}
            yield _alert("KubeContainerWaiting", labels, "Pod container waiting longer than expected.", text)


def _alert(name: str, labels: Labels, summary: str, text: str) -> tuple[Labels, Labels]:
    full = {"alertname": name, "severity": "warning", "prometheus": "monitoring/k8s", **labels}
    return full, {"summary": summary, "description": text, "runbook_url": f"{RUNBOOKS}/{name.lower()}"}


def deployment_of(pod: Obj) -> str:
    """The deployment that a pod belongs to, empty if it belongs to none."""
    meta = pod["metadata"]
    template_hash = (meta.get("labels") or {}).get("pod-template-hash", "")
    owners = (o["name"] for o in meta.get("ownerReferences") or () if o["kind"] == "ReplicaSet")
    return next((name.removesuffix(f"-{template_hash}") for name in owners), "") if template_hash else ""


def healthy(deployment: Obj) -> bool:
    """Whether a deployment's rollout is complete and all its replicas are available."""
    wanted, status = deployment["spec"].get("replicas", 1), deployment.get("status") or {}
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
    return seen and counts == {wanted}


# --- the monitor


class Monitor:
    """Watches a cluster for the length of an `async with` and notifies a webhook as Alertmanager does.

    interval: seconds between looks; every other delay is a multiple of it. An alert fires when its condition has held
    for an interval (a mismatch of replicas: 7) and is resolved when it has ceased and its deployment has been healthy
    for 4. `sent` is every delivered notification, `fired` those of status firing.
    """

    def __init__(
        self, cluster_url: str, token: str, webhook_url: str, webhook_token: str = "", *, interval: float = 0.5
    ) -> None:
        self._cluster, self._token = cluster_url, token
        self._webhook, self._webhook_token = webhook_url, webhook_token
        self._interval = interval
        self._alerts: dict[str, Alert] = {}
        self._groups: dict[str, Group] = {}
        self._told = asyncio.Condition()
        self.sent: list[Obj] = []

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        self._task = asyncio.create_task(self._run(), name="monitor")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._session.close()

    @property
    def fired(self) -> list[Obj]:
        return [payload for payload in self.sent if payload["status"] == "firing"]

    async def until_fired(self) -> Obj:
        """The first firing notification, once it is delivered."""
        async with self._told:
            await self._told.wait_for(lambda: self.fired)
        return self.fired[0]

    async def until_resolved(self) -> Obj:
        """Returns the last notification once something has fired and every group is reported resolved."""
        async with self._told:
            await self._told.wait_for(lambda: self.fired and not self._groups)
        return self.sent[-1]

    async def _run(self) -> None:
        while True:
            try:
                deployments, pods = await asyncio.gather(
                    self._list("/apis/apps/v1/deployments"), self._list("/api/v1/pods")
                )
            except (aiohttp.ClientError, TimeoutError) as error:
                # Without data nothing is known: alerts stay as they are.
                log.warning("the cluster's API does not answer: %s", error)
            else:
                self._evaluate(deployments, pods)
                await self._notify()
            await asyncio.sleep(self._interval)

    async def _list(self, path: str) -> list[Obj]:
        headers = {"Authorization": f"Bearer {self._token}"}
        async with self._session.get(self._cluster + path, headers=headers, raise_for_status=True) as response:
            items: list[Obj] = (await response.json())["items"]
            return items

    def _evaluate(self, deployments: list[Obj], pods: list[Obj]) -> None:
        now = time.monotonic()
        sick = {(d["metadata"]["namespace"], d["metadata"]["name"]) for d in deployments if not healthy(d)}
        holding = {fingerprint(labels): (labels, about) for labels, about in rules(deployments, pods)}
        for identity, (labels, about) in holding.items():
            alert = self._alerts.setdefault(identity, Alert(labels, about, since=now))
            alert.annotations = about
        for identity, alert in list(self._alerts.items()):
            of = (alert.labels["namespace"], alert.labels.get("deployment", ""))
            if identity in holding:
                alert.quiet = None
                self._maybe_fire(identity, alert, now)
            elif of in sick and alert.starts:
                alert.quiet = None
            else:
                self._maybe_resolve(identity, alert, now)

    def _maybe_fire(self, identity: str, alert: Alert, now: float) -> None:
        slow = alert.labels["alertname"] == "KubeDeploymentReplicasMismatch"
        if alert.starts or now - alert.since < (SLOW_PENDING if slow else PENDING) * self._interval:
            return
        alert.starts = _timestamp()
        labels = {name: alert.labels[name] for name in GROUP_BY if name in alert.labels}
        group = self._groups.setdefault(_key(labels), Group(labels, due=now + GROUP_WAIT * self._interval))
        group.alerts[identity] = alert

    def _maybe_resolve(self, identity: str, alert: Alert, now: float) -> None:
        alert.quiet = alert.quiet or now
        # A container between two crashes is not well: what ceases must stay away for the hold time.
        if now - alert.quiet >= HOLD * self._interval:
            alert.ends = _timestamp()
            del self._alerts[identity]

    async def _notify(self) -> None:
        now = time.monotonic()
        for key, group in list(self._groups.items()):
            if now < group.due:
                continue
            group.due = now + GROUP_INTERVAL * self._interval
            status = {identity: alert.as_json()["status"] for identity, alert in group.alerts.items()}
            if status == group.told and now - group.told_at < REPEAT_INTERVAL * self._interval:
                continue
            payload = _payload(key, group)
            if not await self._deliver(payload):
                group.due = now  # at the next look again
                continue
            group.told, group.told_at = {i: s for i, s in status.items() if s == "firing"}, now
            group.alerts = {i: a for i, a in group.alerts.items() if status[i] == "firing"}
            if not group.alerts:
                del self._groups[key]
            async with self._told:
                self.sent.append(payload)
                self._told.notify_all()

    async def _deliver(self, payload: Obj) -> bool:
        """Posts a notification; False when it is to be tried again (no answer, 429, 5xx)."""
        headers = {"User-Agent": "Alertmanager/0.28.1"}
        if self._webhook_token:
            headers["Authorization"] = f"Bearer {self._webhook_token}"
        try:
            async with self._session.post(self._webhook, json=payload, headers=headers) as response:
                if response.status == 429 or response.status >= 500:
                    log.warning("the webhook answered %s, trying again", response.status)
                    return False
                if response.status >= 400:
                    log.error("the webhook refused a notification: %s", response.status)
                return True
        except (aiohttp.ClientError, TimeoutError) as error:
            log.warning("the webhook does not answer: %s", error)
            return False


def _timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _key(labels: Labels) -> str:
    listed = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
    return f"{{}}:{{{listed}}}"


def _payload(key: str, group: Group) -> Obj:
    """A webhook notification of version 4."""
    alerts = list(group.alerts.values())
    firing = any(alert.ends == NEVER for alert in alerts)
    return {
        "version": "4",
        "groupKey": key,
        "truncatedAlerts": 0,
        "status": "firing" if firing else "resolved",
        "receiver": "personal-agent",
        "groupLabels": group.labels,
        "commonLabels": _common([alert.labels for alert in alerts]),
        "commonAnnotations": _common([alert.annotations for alert in alerts]),
        "externalURL": ALERTMANAGER,
        "alerts": [alert.as_json() for alert in alerts],
    }


def _common(many: list[Labels]) -> Labels:
    first: Labels = many[0]
    shared: Callable[[str], bool] = lambda name: all(other.get(name) == first[name] for other in many)  # noqa: E731
    return {name: value for name, value in first.items() if shared(name)}
