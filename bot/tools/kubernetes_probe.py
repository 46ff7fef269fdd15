"""Whether a change took hold: the rollout complete, the pods ready, no new warnings. Facts, each as a Check."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.tools.kubernetes_client import KubernetesClient, Obj
from bot.tools.kubernetes_kinds import DEPLOYMENT, EVENT, Kind
from bot.tools.kubernetes_objects import ACTION_AT, at, when
from bot.tools.kubernetes_reads import kube_event
from bot.tools.kubernetes_workloads import current_of, pods_of, replica_sets
from domain.decisions import Check
from domain.ports import Probe

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


async def probe_rollout(client: KubernetesClient, kind: Kind, live: Obj) -> Probe:
    """Whether a Deployment, StatefulSet or DaemonSet has become what its spec says, and stays quiet."""
    since = when((at(live, "metadata", "annotations") or {}).get(ACTION_AT)) or _EPOCH
    owners, pods = await current_pods(client, kind, live)
    warnings = await _warnings(client, live, owners, pods, since)
    rollout, stuck = rollout_check(live, since)
    ready, crashing = pods_check(pods, _wanted(live))
    return Probe((rollout, ready, warnings), settled=stuck or crashing)


async def current_pods(client: KubernetesClient, kind: Kind, live: Obj) -> tuple[set[str], list[Obj]]:
    """The uids of what owns the pods of the present template, and those pods."""
    if kind is not DEPLOYMENT:
        owners = {str(at(live, "metadata", "uid"))}
        pods = await pods_of(client, live, owners)
        update = at(live, "status", "updateRevision")
        return owners, [pod for pod in pods if not update or _revision_label(pod) == update]
    current = current_of(live, await replica_sets(client, live))
    if current is None:
        return set(), []
    owners = {str(at(current, "metadata", "uid"))}
    return owners, await pods_of(client, live, owners)


def _revision_label(pod: Obj) -> str:
    return str((at(pod, "metadata", "labels") or {}).get("controller-revision-hash", ""))


def _wanted(live: Obj) -> int:
    """Pods of the present template that there should be; a StatefulSet's partition keeps the others as they are."""
    if live.get("kind") == "DaemonSet":
        return int(at(live, "status", "desiredNumberScheduled") or 0)
    replicas = at(live, "spec", "replicas")
    partition = int(at(live, "spec", "updateStrategy", "rollingUpdate", "partition") or 0)
    return max(0, (1 if replicas is None else int(replicas)) - partition)


def rollout_check(live: Obj, since: datetime) -> tuple[Check, bool]:
    """Whether the rollout is complete, and whether it is certain to stay incomplete."""
    status = live.get("status") or {}
    if int(status.get("observedGeneration") or 0) < int(at(live, "metadata", "generation") or 0):
        return Check("rollout", False, "the controller has not seen the change yet"), False
    daemon = live.get("kind") == "DaemonSet"
    wanted = _wanted(live)
    updated = int(status.get("updatedNumberScheduled" if daemon else "updatedReplicas") or 0)
    available = int(status.get("numberAvailable" if daemon else "availableReplicas") or 0)
    total = int(status.get("currentNumberScheduled" if daemon else "replicas") or 0)
    whole = wanted if daemon else int(at(live, "spec", "replicas") or 0)
    if updated >= wanted and available >= whole and total == whole:
        return Check("rollout", True, f"complete: {available} of {whole} pods are up to date and available"), False
    detail = f"{updated} of {wanted} pods are up to date, {available} available, {total} in all"
    stuck = _deadline_exceeded(status, since)
    return Check("rollout", False, f"{detail}; {stuck}" if stuck else detail), bool(stuck)


def _deadline_exceeded(status: Obj, since: datetime) -> str:
    for condition in status.get("conditions") or ():
        if condition.get("reason") == "ProgressDeadlineExceeded" and condition.get("status") == "False":
            # one that the change was to cure may still stand
            changed = when(condition.get("lastUpdateTime") or condition.get("lastTransitionTime"))
            return "the progress deadline is exceeded" if changed and changed > since else ""
    return ""


def pods_check(pods: list[Obj], wanted: int) -> tuple[Check, bool]:
    """Whether the wanted pods are ready, and whether one of them is in a crash loop."""
    ready = sum(_ready_since(pod) is not None for pod in pods)
    crashing = [str(at(pod, "metadata", "name")) for pod in pods if _waits(pod, "CrashLoopBackOff")]
    if crashing:
        return Check(
            "pods ready", False, f"{ready} of {wanted} ready; {', '.join(crashing[:3])} in CrashLoopBackOff"
        ), True
    if not wanted:
        return Check(
            "pods ready", not pods, "no pods are wanted" if not pods else f"{len(pods)} pods still there"
        ), False
    return Check("pods ready", ready >= wanted, f"{ready} of {wanted} ready"), False


def _ready_since(pod: Obj) -> datetime | None:
    for condition in at(pod, "status", "conditions") or ():
        if condition.get("type") == "Ready" and condition.get("status") == "True":
            return when(condition.get("lastTransitionTime")) or _EPOCH
    return None


def _waits(pod: Obj, reason: str) -> bool:
    states = [*(at(pod, "status", "initContainerStatuses") or ()), *(at(pod, "status", "containerStatuses") or ())]
    return any(at(state, "state", "waiting", "reason") == reason for state in states)


async def _warnings(client: KubernetesClient, live: Obj, owners: set[str], pods: list[Obj], since: datetime) -> Check:
    """Warning KubeEvents since the execution; those of a pod's start are no news once the pod has become ready."""
    namespace = at(live, "metadata", "namespace")
    found, _ = await client.objects(EVENT, namespace, fields="type=Warning", limit=2000, keep=kube_event)
    after = {str(at(pod, "metadata", "uid")): max(since, _ready_since(pod) or since) for pod in pods}
    after |= dict.fromkeys((*owners, str(at(live, "metadata", "uid"))), since)
    new = [event for event in found if event["uid"] in after and (when(event["last"]) or _EPOCH) > after[event["uid"]]]
    if not new:
        return Check("no new warnings", True, "no Warning events since the change")
    latest = max(new, key=lambda event: event["last"])
    return Check(
        "no new warnings",
        False,
        f"{len(new)} since the change; {latest['kind']}/{latest['name']}: {latest['reason']}: {latest['message'][:200]}",
    )


async def probe_replaced(client: KubernetesClient, kind: Kind | None, namespace: str, name: str) -> Probe:
    """Whether the owner of a deleted pod has all its pods ready again."""
    if kind is None:
        return Probe((Check("replacement", True, "nothing was to replace it"),))
    owner = await client.get(kind, namespace, name)
    status = owner.get("status") or {}
    wanted = at(owner, "spec", "replicas")
    wanted = int(status.get("desiredNumberScheduled") or 0) if wanted is None else int(wanted)
    ready = int(status.get("readyReplicas", status.get("numberReady")) or 0)
    pods = await pods_of(client, owner, {str(at(owner, "metadata", "uid"))})
    _, crashing = pods_check(pods, wanted)
    return Probe((Check("replacement", ready >= wanted, f"{ready} of {wanted} ready"),), settled=crashing)
