"""What the model is shown of Kubernetes data: compact text, pure, so that replay shows the same."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from bot.tools.kubernetes_client import Obj
from bot.tools.kubernetes_objects import at, images, to_yaml, when


def show_object(data: Obj) -> str:
    """An object as YAML."""
    return to_yaml(data)


def show_list(data: Obj) -> str:
    """One line per object, in the columns that matter for its kind."""
    items, now = data.get("items") or [], when(data.get("read_at"))
    row = _ROWS.get(data.get("kind", ""), _plain)
    rows = [[_named(item, data.get("namespace", "")), *row(item), _age(item, now)] for item in items]
    count = f"{len(items)} of kind {data.get('kind', '')}"
    count += f" of {data['total']}, those in trouble first" if data.get("total", 0) > len(items) else ""
    more = "; there are more: narrow it with a namespace or a label selector" if data.get("more") else ""
    return "\n".join([count + more, *_table(rows)])


def show_events(data: Obj) -> str:
    """One line per KubeEvent, newest first."""
    rows = [
        [
            str(item.get("last") or ""),
            str(item.get("type", "")),
            str(item.get("reason", "")),
            f"x{item.get('count', 1)}",
            f"{item.get('kind', '')}/{item.get('name', '')}",
            str(item.get("message", "")),
        ]
        for item in data.get("items") or []
    ]
    return "\n".join(_table(rows)) or "no events"


def show_log(data: Obj) -> str:
    """The log itself."""
    lines = data.get("lines") or []
    return "\n".join(lines) or "the log is empty"


def show_history(data: Obj) -> str:
    """The revisions as a table, then what changed."""
    rows = [
        [
            f"revision {item['revision']}" + (" (current)" if item.get("current") else ""),
            f"{item.get('ready', 0)}/{item.get('replicas', 0)} ready",
            f"{_span(item.get('age_s', 0))} old",
            ", ".join(item.get("images") or []),
            item.get("change_cause") or "",
        ]
        for item in data.get("revisions") or []
    ]
    lines = _table(rows)
    if data.get("good") is not None:
        lines.append(f"last good revision: {data['good']} ({data.get('good_basis', '')})")
    return "\n".join(lines + ([data["diff"]] if data.get("diff") else ["no other revision to compare with"]))


def _named(item: Obj, namespace: str) -> str:
    name, own = str(at(item, "metadata", "name")), str(at(item, "metadata", "namespace") or "")
    return name if namespace or not own else f"{own}/{name}"


def _pod(item: Obj) -> list[str]:
    states = at(item, "status", "containerStatuses") or []
    ready = sum(bool(state.get("ready")) for state in states)
    restarts = sum(int(state.get("restartCount") or 0) for state in states)
    return [
        f"{ready}/{len(at(item, 'spec', 'containers') or [])} ready",
        _reason(item),
        f"{restarts} restarts",
        str(at(item, "spec", "nodeName") or "no node"),
    ]


def _reason(pod: Obj) -> str:
    """Why a pod is as it is: what kubectl shows as its status."""
    if at(pod, "metadata", "deletionTimestamp"):
        return "Terminating"
    for part in ("initContainerStatuses", "containerStatuses"):
        for state in at(pod, "status", part) or []:
            if waits := at(state, "state", "waiting", "reason"):
                return str(waits)
            ended = at(state, "state", "terminated")
            if ended and ended.get("exitCode"):
                return str(ended.get("reason") or f"ExitCode:{ended['exitCode']}")
    return str(at(pod, "status", "reason") or at(pod, "status", "phase") or "Unknown")


def _workload(item: Obj) -> list[str]:
    status = item.get("status") or {}
    wanted = at(item, "spec", "replicas")
    wanted = status.get("desiredNumberScheduled", 0) if wanted is None else wanted
    ready = status.get("readyReplicas", status.get("numberReady", 0))
    return [f"{ready}/{wanted} ready", ", ".join(images(at(item, "spec", "template")))]


def _job(item: Obj) -> list[str]:
    status = item.get("status") or {}
    return [f"{status.get('succeeded', 0)} succeeded", f"{status.get('failed', 0)} failed"]


def _node(item: Obj) -> list[str]:
    bad = [
        f"{entry.get('type')}={entry.get('status')}"
        for entry in at(item, "status", "conditions") or []
        # Ready, KernelReady, StorageReady are well when True; pressures and problems when not
        if (entry.get("status") != "True") == str(entry.get("type")).endswith("Ready")
    ]
    cordoned = ["cordoned"] if at(item, "spec", "unschedulable") else []
    return [", ".join(bad + cordoned) or "Ready"]


def _service(item: Obj) -> list[str]:
    ports = ",".join(str(port.get("port")) for port in at(item, "spec", "ports") or [])
    wants = ",".join(f"{key}={value}" for key, value in (at(item, "spec", "selector") or {}).items())
    return [str(at(item, "spec", "type") or ""), f"ports {ports}", f"selects {wants or 'nothing'}"]


def _slice(item: Obj) -> list[str]:
    ends = item.get("endpoints") or []
    ready = sum(at(end, "conditions", "ready") is not False for end in ends)
    return [f"{ready}/{len(ends)} ready"]


def _endpoints(item: Obj) -> list[str]:
    parts = item.get("subsets") or []
    ready = sum(len(part.get("addresses") or []) for part in parts)
    unready = sum(len(part.get("notReadyAddresses") or []) for part in parts)
    return [f"{ready} ready", f"{unready} not ready"]


def _autoscaler(item: Obj) -> list[str]:
    target = at(item, "spec", "scaleTargetRef") or {}
    span = f"{at(item, 'spec', 'minReplicas') or 1} to {at(item, 'spec', 'maxReplicas')}"
    return [f"{target.get('kind')}/{target.get('name')}", span, f"now {at(item, 'status', 'currentReplicas') or 0}"]


def _quota(item: Obj) -> list[str]:
    hard, used = at(item, "status", "hard") or {}, at(item, "status", "used") or {}
    return [f"{name} {used.get(name, 0)}/{hard[name]}" for name in sorted(hard)]


def _claim(item: Obj) -> list[str]:
    wanted = at(item, "spec", "storageClassName")
    named = f"class {wanted}" if wanted else "no class"
    return [str(at(item, "status", "phase") or ""), named, str(at(item, "spec", "volumeName") or "no volume")]


def _ingress(item: Obj) -> list[str]:
    hosts = [str(rule.get("host") or "*") for rule in at(item, "spec", "rules") or []]
    return [f"class {at(item, 'spec', 'ingressClassName') or 'none'}", ", ".join(hosts)]


def _budget(item: Obj) -> list[str]:
    status = item.get("status") or {}
    healthy = f"{status.get('currentHealthy', 0)}/{status.get('desiredHealthy', 0)} healthy"
    return [healthy, f"{status.get('disruptionsAllowed', 0)} disruptions allowed"]


def _conditions(item: Obj) -> list[str]:
    return [f"{entry.get('type')}={entry.get('status')}" for entry in at(item, "status", "conditions") or []]


def _hooks(item: Obj) -> list[str]:
    return [f"{hook.get('name')} ({hook.get('failurePolicy', 'Fail')})" for hook in item.get("webhooks") or []]


def _plain(item: Obj) -> list[str]:
    return [str(at(item, "status", "phase") or "")]


_ROWS: dict[str, Callable[[Obj], list[str]]] = {
    "Pod": _pod,
    "Deployment": _workload,
    "ReplicaSet": _workload,
    "StatefulSet": _workload,
    "DaemonSet": _workload,
    "Job": _job,
    "Node": _node,
    "Service": _service,
    "EndpointSlice": _slice,
    "Endpoints": _endpoints,
    "HorizontalPodAutoscaler": _autoscaler,
    "ResourceQuota": _quota,
    "PersistentVolumeClaim": _claim,
    "Ingress": _ingress,
    "PodDisruptionBudget": _budget,
    "GatewayClass": _conditions,
    "Gateway": _conditions,
    "Certificate": _conditions,
    "ValidatingWebhookConfiguration": _hooks,
    "MutatingWebhookConfiguration": _hooks,
}


def _age(item: Obj, now: datetime | None) -> str:
    made = when(at(item, "metadata", "creationTimestamp"))
    return f"{_span(int((now - made).total_seconds()))} old" if made and now else ""


def _span(seconds: int) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(0, seconds)}s"


def _table(rows: list[list[Any]]) -> list[str]:
    return ["  ".join(str(cell) for cell in row if cell != "") for row in rows]
