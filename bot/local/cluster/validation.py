"""What the API server refuses: wrong types (400), unusable values and changes of what may not change (422)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from bot.local.cluster.errors import (
    FieldError,
    bad_request,
    duplicate,
    forbidden_field,
    go,
    invalid,
    invalid_value,
    required,
    unsupported,
)
from bot.local.cluster.quantities import quantity
from bot.local.cluster.resources import Obj, Resource
from bot.local.cluster.selecting import object_selector
from bot.local.cluster.store import at

_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"(?=.{1,63}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"(?=.{0,63}$)([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_PERCENT = re.compile(r"\d+%")
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
    " and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
    " with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
QUANTITY_RULE = r"quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
NOT_NEGATIVE = "must be greater than or equal to 0"
_TEMPLATED = {"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"}
_MUTABLE_IN_POD = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds")

# Fields whose JSON type the typed server insists on: (path, Go's name for the type, Python type).
_TYPED: tuple[tuple[str, str, type], ...] = (
    ("spec.replicas", "int32", int),
    ("spec.progressDeadlineSeconds", "int32", int),
    ("spec.revisionHistoryLimit", "int32", int),
    ("spec.minReadySeconds", "int32", int),
    ("spec.paused", "bool", bool),
    ("spec.unschedulable", "bool", bool),
    ("spec.suspend", "bool", bool),
    ("spec.parallelism", "int32", int),
    ("spec.backoffLimit", "int32", int),
)


def check_types(resource: Resource, obj: Obj) -> None:
    """Raises ApiError 400 as the server's decoder does when a field has another JSON type."""
    for name in ("metadata", "spec", "status"):
        if not isinstance(obj.get(name, {}), dict):
            raise _undecodable(resource, f"json: cannot unmarshal into Go struct field {resource.kind}.{name}")
    for name in ("labels", "annotations"):
        for value in (obj.get("metadata", {}).get(name) or {}).values():
            if not isinstance(value, str):
                kind = "bool" if isinstance(value, bool) else "number"
                where = f"Go struct field ObjectMeta.metadata.{name} of type string"
                raise _undecodable(resource, f"json: cannot unmarshal {kind} into {where}")
    for path, name, type_ in _TYPED:
        value = at(obj, path)
        if value is not None and (not isinstance(value, type_) or (type_ is int and isinstance(value, bool))):
            given = "string" if isinstance(value, str) else "number" if type_ is bool else "object"
            where = f"Go struct field {resource.kind}Spec.{path} of type {name}"
            raise _undecodable(resource, f"json: cannot unmarshal {given} into {where}")
    for _, container in containers_of(obj):
        for amounts in (container.get("resources") or {}).values():
            if isinstance(amounts, dict) and any(quantity(value) is None for value in amounts.values()):
                raise _undecodable(resource, QUANTITY_RULE)


def _undecodable(resource: Resource, why: str) -> Exception:
    return bad_request(f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {why}')


def pod_spec_of(obj: Obj) -> tuple[str, Obj] | None:
    """Where an object's pod spec is and the spec itself; None when it has none."""
    for path in ("spec", "spec.template.spec", "spec.jobTemplate.spec.template.spec"):
        found = at(obj, path)
        if isinstance(found, dict) and ("containers" in found or (path == "spec") is (obj.get("kind") == "Pod")):
            return path, found
    return None


def containers_of(obj: Obj) -> Iterator[tuple[str, Obj]]:
    """Every container of an object's pod spec with its path."""
    if found := pod_spec_of(obj):
        path, spec = found
        for name in ("initContainers", "containers"):
            for i, container in enumerate(spec.get(name) or ()):
                if isinstance(container, dict):
                    yield f"{path}.{name}[{i}]", container


def check(resource: Resource, obj: Obj, before: Obj | None) -> None:
    """Raises ApiError 422 with every invalid field of a new object (`before` is None) or of a change."""
    errors = [*_metadata(resource, obj), *_spec(resource, obj)]
    if before is not None:
        errors += _changes(resource, obj, before)
    if errors:
        raise invalid(resource.kind, resource.group, obj["metadata"].get("name", ""), errors)


def _metadata(resource: Resource, obj: Obj) -> Iterator[FieldError]:
    meta = obj["metadata"]
    name = meta.get("name") or ""
    if not name:
        yield required("metadata.name", "name or generateName is required")
    elif resource.plural in ("namespaces", "services") and not _LABEL.fullmatch(name):
        yield invalid_value("metadata.name", name, _LABEL_RULE)
    elif not _SUBDOMAIN.fullmatch(name):
        yield invalid_value("metadata.name", name, _SUBDOMAIN_RULE)
    for value in (meta.get("labels") or {}).values():
        if not _LABEL_VALUE.fullmatch(value):
            yield invalid_value("metadata.labels", value, "a valid label must be an empty string or consist of"
                                " alphanumeric characters, '-', '_' or '.', and must start and end with an"
                                " alphanumeric character")  # fmt: skip
    if sum(len(k) + len(v) for k, v in (meta.get("annotations") or {}).items()) > 256 * 1024:
        yield FieldError("metadata.annotations", "FieldValueTooLong", "Too long: may not be more than 262144 bytes")


def _spec(resource: Resource, obj: Obj) -> Iterator[FieldError]:
    spec = obj.get("spec") or {}
    for name in ("replicas", "minReadySeconds", "revisionHistoryLimit", "parallelism", "backoffLimit"):
        if isinstance(spec.get(name), int) and spec[name] < 0:
            yield invalid_value(f"spec.{name}", spec[name], NOT_NEGATIVE)
    if resource.kind in _TEMPLATED:
        yield from _selector(spec)
    if resource.kind == "Deployment":
        yield from _rollout(spec)
    if found := pod_spec_of(obj):
        yield from _pod_spec(*found)
    policy = at(spec, "template.spec.restartPolicy")
    if resource.kind == "Job" and policy not in ("OnFailure", "Never"):
        yield unsupported("spec.template.spec.restartPolicy", policy, ("OnFailure", "Never"))
    if resource.kind == "Service" and not spec.get("ports") and spec.get("type") != "ExternalName":
        yield required("spec.ports")


def _selector(spec: Obj) -> Iterator[FieldError]:
    labels = at(spec, "template.metadata.labels") or {}
    if not spec.get("selector"):
        yield required("spec.selector")
    elif not object_selector(spec["selector"])(labels):
        why = "`selector` does not match template `labels`"
        yield invalid_value("spec.template.metadata.labels", labels, why)


def _rollout(spec: Obj) -> Iterator[FieldError]:
    strategy = spec.get("strategy") or {}
    if strategy.get("type") not in ("Recreate", "RollingUpdate"):
        yield unsupported("spec.strategy.type", strategy.get("type"), ("Recreate", "RollingUpdate"))
    rolling = strategy.get("rollingUpdate")
    if strategy.get("type") == "Recreate" and rolling is not None:
        yield forbidden_field("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    elif rolling is not None:
        yield from _bounds(rolling)
    deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds", 0)
    if isinstance(deadline, int) and deadline <= ready:
        yield invalid_value("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _bounds(rolling: Obj) -> Iterator[FieldError]:
    path = "spec.strategy.rollingUpdate"
    for name in ("maxSurge", "maxUnavailable"):
        value = rolling.get(name, 0)
        if isinstance(value, int) and value < 0:
            yield invalid_value(f"{path}.{name}", value, NOT_NEGATIVE)
        elif isinstance(value, str) and not _PERCENT.fullmatch(value):
            yield invalid_value(f"{path}.{name}", value, "a valid percent string must be a numeric string followed"
                                " by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')")  # fmt: skip
    if all(str(rolling.get(name, 0)).rstrip("%") == "0" for name in ("maxSurge", "maxUnavailable")):
        value = rolling.get("maxUnavailable", 0)
        yield invalid_value(f"{path}.maxUnavailable", value, "may not be 0 when `maxSurge` is 0")


def _pod_spec(path: str, spec: Obj) -> Iterator[FieldError]:
    if not spec.get("containers"):
        yield required(f"{path}.containers")
    seen: set[str] = set()
    for name in ("initContainers", "containers"):
        for i, container in enumerate(spec.get(name) or ()):
            where = f"{path}.{name}[{i}]"
            yield from _container(where, container)
            if container.get("name") in seen:
                yield duplicate(f"{where}.name", container["name"])
            seen.add(container.get("name", ""))


def _container(path: str, container: Obj) -> Iterator[FieldError]:
    name = container.get("name")
    if not name:
        yield required(f"{path}.name")
    elif not _LABEL.fullmatch(name):
        yield invalid_value(f"{path}.name", name, _LABEL_RULE)
    if not container.get("image"):
        yield required(f"{path}.image")
    elif container["image"] != container["image"].strip():
        yield invalid_value(f"{path}.image", container["image"], "must not have leading or trailing whitespace")
    resources = container.get("resources") or {}
    for kind in ("limits", "requests"):
        for unit, amount in (resources.get(kind) or {}).items():
            if (quantity(amount) or 0) < 0:
                yield invalid_value(f"{path}.resources.{kind}.{unit}", str(amount), NOT_NEGATIVE)
    for unit, amount in (resources.get("requests") or {}).items():
        limit = (resources.get("limits") or {}).get(unit)
        if limit is not None and (quantity(amount) or 0) > (quantity(limit) or 0):
            why = f"must be less than or equal to {unit} limit of {limit}"
            yield invalid_value(f"{path}.resources.requests", str(amount), why)


def _changes(resource: Resource, obj: Obj, before: Obj) -> Iterator[FieldError]:
    if resource.kind in _TEMPLATED and at(obj, "spec.selector") != at(before, "spec.selector"):
        yield invalid_value("spec.selector", at(obj, "spec.selector.matchLabels"), "field is immutable")
    if resource.kind == "Job" and at(obj, "spec.template") != at(before, "spec.template"):
        yield invalid_value("spec.template", at(obj, "metadata.name"), "field is immutable")
    if resource.kind == "Pod" and _fixed(obj) != _fixed(before):
        yield forbidden_field(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to"
            " existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was"
            " previously negative)",
        )
    if resource.kind == "Service" and (ip := at(before, "spec.clusterIP")) != at(obj, "spec.clusterIP") and ip:
        yield invalid_value("spec.clusterIPs[0]", [at(obj, "spec.clusterIP")], "may not change once set")


def _fixed(pod: Obj) -> Obj:
    spec: dict[str, Any] = {k: v for k, v in pod["spec"].items() if k not in _MUTABLE_IN_POD}
    for name in ("containers", "initContainers"):
        spec[name] = [{k: v for k, v in c.items() if k != "image"} for c in spec.get(name) or ()]
    return spec


def check_options(kind: str, dry_run: list[str], manager: str, validation: str) -> None:
    """The query options of a write: ApiError 422 for a dryRun other than All and for unusable managers."""
    errors = []
    if dry_run not in ([], ["All"]):
        errors.append(unsupported("dryRun", dry_run[0], ("All",)))
    if len(manager) > 128:
        errors.append(FieldError("fieldManager", "FieldValueTooLong", "Too long: may not be more than 128 bytes"))
    if validation not in ("", "Ignore", "Warn", "Strict"):
        errors.append(unsupported("fieldValidation", validation, ("Ignore", "Warn", "Strict")))
    if errors:
        raise invalid(kind, "meta.k8s.io", "", errors)


def same_name(obj: Obj, name: str, namespace: str) -> None:
    """ApiError 400 when a body names another object than the URL."""
    meta = obj["metadata"]
    if meta.get("name", name) != name:
        raise bad_request(f"the name of the object ({meta['name']}) does not match the name on the URL ({name})")
    if meta.get("namespace", namespace) != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")


def right_kind(resource: Resource, obj: Obj) -> None:
    """ApiError 400 when a body is of another kind or version than the URL."""
    version, kind = obj.get("apiVersion", resource.api_version), obj.get("kind", resource.kind)
    if version != resource.api_version:
        raise bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
        )
    if kind != resource.kind:
        raise bad_request(
            f'{kind} in version "{resource.version}" cannot be handled as a {resource.kind}:'
            f" no kind {go(kind)} is registered for version {go(version)}"
        )
