"""Objects as people and models should see them: without noise, without secret values, and what differs between two."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import yaml

Obj = dict[str, Any]

ACTION_ID = "personal-agent.dev/action-id"
ACTION_AT = "personal-agent.dev/action-at"
"""Where an execution leaves its idempotency key and its time: on the object's metadata, never in a pod template."""

CHANGE_CAUSE = "kubernetes.io/change-cause"
REVISION = "deployment.kubernetes.io/revision"
HIDDEN = "(hidden)"
DIFF_LINES = 80

_NOISE = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
_OURS = frozenset({ACTION_ID, ACTION_AT, REVISION})
_SECRET_NAME = re.compile(
    r"passw|passphrase|pwd|secret|token|credential|private|authorization|api_?key|dsn|connection_?string|(^|[_.-])(key|auth)($|[_.-])",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s:@]*:[^/\s@]+@", re.IGNORECASE)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_KEYS = ("name", "mountPath", "containerPort", "port", "type", "uid", "ip", "topologyKey")


def clean(obj: Obj) -> Obj:
    """A copy without managed fields, kubectl's copy of itself, and values of secret-looking variables and ConfigMaps."""
    metadata = obj.get("metadata")
    if isinstance(metadata, dict):  # before anything is copied: managed fields are half of an object
        kept = {key: value for key, value in metadata.items() if key not in ("managedFields", "selfLink")}
        if annotations := kept.get("annotations"):
            kept["annotations"] = {key: value for key, value in annotations.items() if key not in _NOISE}
        obj = {**obj, "metadata": kept}
    result: Obj = _hide(obj)
    if obj.get("kind") == "Node":  # every image on it, with all its names
        (result.get("status") or {}).pop("images", None)
    for hook in result.get("webhooks") or ():  # a certificate of some KB each
        (hook.get("clientConfig") or {}).pop("caBundle", None)
    if obj.get("kind") == "ConfigMap":
        for part in ("data", "binaryData"):
            if part in result:
                result[part] = {key: f"({len(value)} characters, not read)" for key, value in (obj[part] or {}).items()}
    return result


def listed(obj: Obj) -> Obj:
    """`clean`, and of pods and nodes only what a diagnosis looks at: a list of 500 pods is otherwise 2.6 MB."""
    if obj.get("kind") == "Pod":
        spec = obj.get("spec") or {}
        kept = {name: spec[name] for name in _POD_FIELDS if name in spec}
        for name in ("containers", "initContainers"):
            if name in spec:
                kept[name] = [_only(container, _CONTAINER_FIELDS) for container in spec[name] or ()]
        claims = [_only(volume, _CLAIM) for volume in spec.get("volumes") or () if "persistentVolumeClaim" in volume]
        kept |= {"volumes": claims} if claims else {}
        obj = {**obj, "spec": kept, "status": _pod_status(obj.get("status") or {})}
    if obj.get("kind") == "Node":
        spec, status = _only(obj.get("spec") or {}, _NODE_SPEC), _only(obj.get("status") or {}, _NODE_STATUS)
        meta = _only(obj.get("metadata") or {}, _NODE_META)
        obj = {**obj, "metadata": meta, "spec": spec, "status": status}
    return clean(obj)


_CLAIM = ("name", "persistentVolumeClaim")
_NODE_META = ("name", "labels", "creationTimestamp", "deletionTimestamp")
_NODE_SPEC = ("taints", "unschedulable")
_NODE_STATUS = ("allocatable", "conditions")


_POD_FIELDS = (
    "nodeName",
    "restartPolicy",
    "serviceAccountName",
    "nodeSelector",
    "priorityClassName",
    "schedulingGates",
)
_CONTAINER_FIELDS = (
    "name", "image", "command", "args", "resources", "ports", "livenessProbe", "readinessProbe", "startupProbe",
)  # fmt: skip
_POD_STATUS = (
    "phase", "reason", "message", "conditions", "startTime", "qosClass", "containerStatuses", "initContainerStatuses",
)  # fmt: skip
_CONTAINER_STATUS = ("name", "image", "imageID", "ready", "started", "restartCount", "state", "lastState")


def _pod_status(status: Obj) -> Obj:
    kept = _only(status, _POD_STATUS)
    for name in ("containerStatuses", "initContainerStatuses"):
        if name in kept:
            kept[name] = [_only(item, _CONTAINER_STATUS) for item in kept[name] or ()]
    return kept


def _only(value: Obj, names: tuple[str, ...]) -> Obj:
    return {name: value[name] for name in names if name in value}


def _hide(value: Any) -> Any:
    if isinstance(value, dict):
        if "name" in value and isinstance(value.get("value"), str):  # an environment variable
            return {**value, "value": _shown(str(value["name"]), value["value"])}
        return {key: _hide(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hide(item) for item in value]
    return value


def _shown(name: str, value: str) -> str:
    if value and _SECRET_NAME.search(name):
        return HIDDEN
    return _USERINFO.sub(rf"\g<scheme>{HIDDEN}@", value) if "://" in value else value


def changes(before: Any, after: Any, limit: int = 40) -> list[Obj]:
    """What differs, as `{path, before, after}` with text values; empty text where one side has nothing.

    Lists of named things are compared by name. Values of secret-looking variables are hidden, that they differ is not.
    """
    old, new = dict(_leaves(before)), dict(_leaves(after))
    paths = [path for path in [*old, *(path for path in new if path not in old)] if old.get(path) != new.get(path)]
    return [
        {"path": path, "before": _text(path, old.get(path)), "after": _text(path, new.get(path))}
        for path in paths[:limit]
    ]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}[{_name_of(item, number)}]")
    elif path:
        yield path, value


def _name_of(item: Any, number: int) -> str:
    if isinstance(item, dict):
        for key in _KEYS:
            if key in item:
                return str(item[key])
    return str(number)


def _text(path: str, value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    variable = re.search(r"\[([^\]]*)\]\.value$", path)
    shown = _shown(variable[1], text) if variable else text
    return shown if len(shown) <= 200 else shown[:199] + "…"


def difference(before: Obj, after: Obj, old: str, new: str) -> str:
    """A unified diff of two objects' YAML, cleaned, at most DIFF_LINES long."""
    lines = list(
        difflib.unified_diff(
            to_yaml(clean(before)).split("\n"), to_yaml(clean(after)).split("\n"), old, new, "", "", 3, ""
        )
    )
    lines += [
        f"# {change['path']}: a hidden value differs"
        for change in changes(before, after, 1000)
        if HIDDEN in change["before"] and change["before"] == change["after"]
    ]
    if len(lines) > DIFF_LINES:
        lines = [*lines[: DIFF_LINES - 1], f"# … {len(lines) - DIFF_LINES + 1} more lines"]
    return "\n".join(lines)


def relevant(obj: Obj) -> Obj:
    """The part of an object that a change is about: labels, annotations that others set, and everything but status."""
    metadata = obj.get("metadata") or {}
    annotations = {
        key: value for key, value in (metadata.get("annotations") or {}).items() if key not in _OURS | _NOISE
    }
    kept = {key: value for key, value in (("labels", metadata.get("labels")), ("annotations", annotations)) if value}
    rest = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    return {**({"metadata": kept} if kept else {}), **rest}


def to_yaml(value: Any) -> str:
    """YAML for people: sorted keys, no aliases, long lines kept."""
    return str(yaml.dump(_alone(value), Dumper=_DUMPER, sort_keys=True, width=1000, allow_unicode=True)).rstrip("\n")


def _alone(value: Any) -> Any:
    # a fresh copy of every part: PyYAML would write a shared one as an alias
    if isinstance(value, dict):
        return {key: _alone(item) for key, item in value.items()}
    return [_alone(item) for item in value] if isinstance(value, list) else value


def fingerprint(value: Any) -> str:
    """16 hex digits that stand for a value in an observed state."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:16]


def at(value: Any, *path: str) -> Any:
    """The value at a path of keys, None where any step is missing."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def images(template: Any) -> list[str]:
    """`container=image` of a pod template or pod, in order, init containers first."""
    spec = at(template, "spec") or {}
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return [f"{container.get('name', '')}={container.get('image', '')}" for container in containers]


def when(text: Any) -> datetime | None:
    """An RFC 3339 time, None for anything else."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def now_text() -> str:
    """The present time as Kubernetes writes one: RFC 3339, UTC, whole seconds."""
    return time_text(datetime.now(UTC))


def time_text(moment: datetime | None) -> str:
    """A time as Kubernetes writes one; empty for None."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""


def age_s(obj: Obj) -> int:
    """Whole seconds since an object was created."""
    created = when(at(obj, "metadata", "creationTimestamp"))
    return max(0, int((datetime.now(UTC) - created).total_seconds())) if created else 0


def controller_of(obj: Obj) -> Obj:
    """The owner reference that controls an object, else an empty map."""
    owners = at(obj, "metadata", "ownerReferences") or []
    found: Obj = next((owner for owner in owners if owner.get("controller")), {})
    return found


def managed_by(obj: Obj) -> str:
    """What else writes this object and may put the old state back: an owner, Argo CD, Flux or Helm; else empty."""
    if owner := controller_of(obj):
        return f"{owner.get('kind', '')}/{owner.get('name', '')}"
    labels, notes = at(obj, "metadata", "labels") or {}, at(obj, "metadata", "annotations") or {}
    if "argocd.argoproj.io/tracking-id" in notes or "argocd.argoproj.io/instance" in labels:
        return "Argo CD"
    if any(key.startswith(("kustomize.toolkit.fluxcd.io/", "helm.toolkit.fluxcd.io/")) for key in labels):
        return "Flux"
    return str(labels.get("app.kubernetes.io/managed-by") or "")
