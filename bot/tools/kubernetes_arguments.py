"""The arguments of the Kubernetes tools: names checked as the API server would, numbers and sizes bounded."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic.fields import FieldInfo

from bot.tools.kubernetes_kinds import KINDS, PATCHABLE, READABLE, Kind
from bot.tools.kubernetes_objects import ACTION_AT, ACTION_ID
from bot.tools.spec import Model

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"

Namespace = Annotated[str, Field(pattern=rf"^{_LABEL}$", max_length=63)]
AnyNamespace = Annotated[
    str, Field(pattern=rf"^({_LABEL})?$", max_length=63, description="empty: all namespaces, or a kind without one")
]
Name = Annotated[str, Field(pattern=rf"^{_SUBDOMAIN}$", max_length=253)]
AnyName = Annotated[str, Field(pattern=rf"^({_SUBDOMAIN})?$", max_length=253)]
Container = Annotated[str, Field(pattern=rf"^({_LABEL})?$", max_length=63, description="empty: the pod's only one")]
Quantity = Annotated[
    str,
    Field(
        pattern=r"^(none|[0-9]{1,15}(\.[0-9]{1,9})?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?)?$",
        description="such as 500m or 256Mi; empty: unchanged; none: removed",
    ),
]
Revision = Annotated[int, Field(ge=0, le=2**31)]


def _one_of(kinds: tuple[Kind, ...]) -> tuple[AfterValidator, FieldInfo]:
    names = [kind.name for kind in kinds]

    def check(name: str) -> str:
        if name in names:
            return name
        if name.lower() in ("secret", "secrets"):
            raise ValueError("Secrets are never read or changed by this agent")
        raise ValueError(f"must be one of {', '.join(names)}")

    return AfterValidator(check), Field(json_schema_extra={"enum": list(names)})


ReadableKind = Annotated[str, *_one_of(READABLE)]
PatchableKind = Annotated[str, *_one_of(PATCHABLE)]
RolledKind = Literal["Deployment", "StatefulSet", "DaemonSet"]
ScaledKind = Literal["Deployment", "StatefulSet"]

_PATCH_BYTES = 8192
_UNTOUCHABLE = ("ownerReferences", "finalizers", "managedFields", "name", "namespace", "uid", "generation",
                "resourceVersion", "generateName", "creationTimestamp", "deletionTimestamp", "selfLink")  # fmt: skip


class Get(Model):
    kind: ReadableKind
    name: Name
    namespace: AnyNamespace = ""

    @model_validator(mode="after")
    def _scope(self) -> Get:
        namespaced = KINDS[self.kind].namespaced
        if namespaced and not self.namespace:
            raise ValueError(f"namespace is required for a {self.kind}")
        if not namespaced and self.namespace:
            raise ValueError(f"a {self.kind} has no namespace; leave it empty")
        return self


class List(Model):
    kind: ReadableKind
    namespace: AnyNamespace = ""
    label_selector: Annotated[str, Field(max_length=500, pattern=r"^[-A-Za-z0-9_./=!,() ]*$")] = ""
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    troubled_first: Annotated[
        bool, Field(description="pods only: all are read and counted, those not ready or restarted come first")
    ] = False

    @model_validator(mode="after")
    def _scope(self) -> List:
        if self.troubled_first and self.kind != "Pod":
            raise ValueError("troubled_first is for pods")
        if self.namespace and not KINDS[self.kind].namespaced:
            raise ValueError(f"{self.kind}s have no namespace; leave it empty")
        return self


class Events(Model):
    namespace: Namespace
    kind: Annotated[str, Field(pattern=r"^([A-Z][A-Za-z]*)?$", max_length=63)] = ""
    name: AnyName = ""
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class Logs(Model):
    namespace: Namespace
    pod: Name
    container: Container = ""
    previous: Annotated[bool, Field(description="the run before the last restart")] = False
    tail_lines: Annotated[int, Field(ge=1, le=2000)] = 100


class History(Model):
    namespace: Namespace
    name: Name
    revision: Annotated[Revision, Field(description="compare this one with the current; 0: the last good one")] = 0


class Rollback(Model):
    namespace: Namespace
    name: Name
    to_revision: Annotated[int, Field(ge=1, le=2**31)]


class Restart(Model):
    namespace: Namespace
    kind: RolledKind
    name: Name


class Scale(Model):
    namespace: Namespace
    kind: ScaledKind
    name: Name
    replicas: Annotated[int, Field(ge=0, le=1000)]


class Amounts(Model):
    cpu: Quantity = ""
    memory: Quantity = ""


class SetResources(Model):
    namespace: Namespace
    kind: RolledKind
    name: Name
    container: Annotated[str, Field(pattern=rf"^{_LABEL}$", max_length=63)]
    requests: Amounts = Amounts()
    limits: Amounts = Amounts()

    @model_validator(mode="after")
    def _something(self) -> SetResources:
        if not any((self.requests.cpu, self.requests.memory, self.limits.cpu, self.limits.memory)):
            raise ValueError("give at least one of requests.cpu, requests.memory, limits.cpu, limits.memory")
        return self


class Cordon(Model):
    name: Name
    unschedulable: Annotated[bool, Field(description="true: no new pods; false: pods may come again")]


class DeletePod(Model):
    namespace: Namespace
    name: Name


class Patch(Model):
    namespace: Namespace
    kind: PatchableKind
    name: Name
    patch: Annotated[dict[str, Any], Field(description="a strategic merge patch", min_length=1)]

    @model_validator(mode="after")
    def _bounded(self) -> Patch:
        if len(json.dumps(self.patch)) > _PATCH_BYTES:
            raise ValueError(f"patch: at most {_PATCH_BYTES} bytes")
        metadata = self.patch.get("metadata", {})
        if type(metadata) is not dict:
            raise ValueError("patch: metadata must be a map")
        notes = metadata.get("annotations") or {}
        if type(notes) is not dict:
            raise ValueError("patch: annotations must be a map")
        refused: list[str] = [key for key in ("status", "apiVersion", "kind", "$patch") if key in self.patch]
        refused += [f"metadata.{key}" for key in metadata if key.rpartition("/")[2] in _UNTOUCHABLE or key == "$patch"]
        refused += [f"annotation {key}" for key in notes if key in (ACTION_ID, ACTION_AT)]
        if refused:
            raise ValueError(f"patch: must not touch {', '.join(refused)}")
        if _has_float(self.patch):
            raise ValueError("patch: write fractions as strings or quantities (500m), not as floats")
        return self


def _has_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_float(item) for item in value.values())
    return any(_has_float(item) for item in value) if isinstance(value, list) else isinstance(value, float)
