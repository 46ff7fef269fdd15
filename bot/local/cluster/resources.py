"""The kinds this API serves, and the discovery documents made from that one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Obj = dict[str, Any]

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Resource:
    """One served kind.

    fields: the field selectors it understands beside metadata.name and metadata.namespace.
    generation: what bumps metadata.generation; a Deployment's annotations do too, as in the real server.
    """

    group: str
    version: str
    kind: str
    plural: str
    short: tuple[str, ...] = ()
    namespaced: bool = True
    verbs: tuple[str, ...] = VERBS
    subresources: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    generation: tuple[str, ...] = ()
    unconditional_update: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        return self.kind.lower()


_SPEC = ("spec",)

NAMESPACES = Resource(
    "", "v1", "Namespace", "namespaces", ("ns",), namespaced=False, subresources=("status",), fields=("status.phase",)
)
NODES = Resource(
    "", "v1", "Node", "nodes", ("no",), namespaced=False, subresources=("status",), fields=("spec.unschedulable",)
)
POD_FIELDS = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
)
PODS = Resource("", "v1", "Pod", "pods", ("po",), subresources=("status", "log", "eviction"), fields=POD_FIELDS)
_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
EVENT_FIELDS = (
    *(f"involvedObject.{name}" for name in _INVOLVED),
    "reason",
    "reportingComponent",
    "source",
    "type",
)
EVENTS = Resource("", "v1", "Event", "events", ("ev",), fields=EVENT_FIELDS)
SERVICES = Resource(
    "", "v1", "Service", "services", ("svc",), subresources=("status",), fields=("spec.clusterIP", "spec.type")
)
ENDPOINTS = Resource("", "v1", "Endpoints", "endpoints", ("ep",))
CONFIGMAPS = Resource("", "v1", "ConfigMap", "configmaps", ("cm",))
SECRETS = Resource("", "v1", "Secret", "secrets", fields=("type",))
CLAIMS = Resource("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", ("pvc",), subresources=("status",))
DEPLOYMENTS = Resource(
    "apps",
    "v1",
    "Deployment",
    "deployments",
    ("deploy",),
    subresources=("status", "scale"),
    generation=("spec", "metadata.annotations"),
)
REPLICASETS = Resource(
    "apps",
    "v1",
    "ReplicaSet",
    "replicasets",
    ("rs",),
    subresources=("status", "scale"),
    fields=("status.replicas",),
    generation=_SPEC,
)
STATEFULSETS = Resource(
    "apps", "v1", "StatefulSet", "statefulsets", ("sts",), subresources=("status", "scale"), generation=_SPEC
)
DAEMONSETS = Resource("apps", "v1", "DaemonSet", "daemonsets", ("ds",), subresources=("status",), generation=_SPEC)
JOBS = Resource("batch", "v1", "Job", "jobs", subresources=("status",), fields=("status.successful",), generation=_SPEC)
CRONJOBS = Resource("batch", "v1", "CronJob", "cronjobs", ("cj",), subresources=("status",), generation=_SPEC)
BUDGETS = Resource(
    "policy",
    "v1",
    "PodDisruptionBudget",
    "poddisruptionbudgets",
    ("pdb",),
    subresources=("status",),
    generation=_SPEC,
    unconditional_update=False,
)
AUTOSCALERS = Resource(
    "autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", ("hpa",), subresources=("status",)
)
VOLUMES = Resource(
    "", "v1", "PersistentVolume", "persistentvolumes", ("pv",), namespaced=False, subresources=("status",)
)
QUOTAS = Resource("", "v1", "ResourceQuota", "resourcequotas", ("quota",), subresources=("status",))
LIMITS = Resource("", "v1", "LimitRange", "limitranges", ("limits",))
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "StorageClass", "storageclasses", ("sc",), namespaced=False)
_NET = "networking.k8s.io"
INGRESSES = Resource(_NET, "v1", "Ingress", "ingresses", ("ing",), subresources=("status",), generation=_SPEC)
INGRESS_CLASSES = Resource(_NET, "v1", "IngressClass", "ingressclasses", namespaced=False, generation=_SPEC)
NETWORK_POLICIES = Resource(_NET, "v1", "NetworkPolicy", "networkpolicies", ("netpol",), generation=_SPEC)
_ADMISSION = "admissionregistration.k8s.io"
VALIDATING = Resource(
    _ADMISSION, "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", namespaced=False
)
MUTATING = Resource(_ADMISSION, "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", namespaced=False)
# Extensions that most clusters have: the Gateway API and cert-manager.
_GATEWAY = "gateway.networking.k8s.io"
GATEWAY_CLASSES = Resource(
    _GATEWAY, "v1", "GatewayClass", "gatewayclasses", ("gc",), namespaced=False, subresources=("status",)
)
GATEWAYS = Resource(_GATEWAY, "v1", "Gateway", "gateways", ("gtw",), subresources=("status",), generation=_SPEC)
ROUTES = Resource(_GATEWAY, "v1", "HTTPRoute", "httproutes", subresources=("status",), generation=_SPEC)
CERTIFICATES = Resource(
    "cert-manager.io", "v1", "Certificate", "certificates", ("cert",), subresources=("status",), generation=_SPEC
)
SLICES = Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", generation=("endpoints", "ports"))

# Questions about oneself: posted, answered and never stored.
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectAccessReview",
    "selfsubjectaccessreviews",
    namespaced=False,
    verbs=("create",),
)
RULES_REVIEWS = Resource(
    "authorization.k8s.io",
    "v1",
    "SelfSubjectRulesReview",
    "selfsubjectrulesreviews",
    namespaced=False,
    verbs=("create",),
)
SUBJECT_REVIEWS = Resource(
    "authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", namespaced=False, verbs=("create",)
)

RESOURCES = (
    NAMESPACES,
    NODES,
    PODS,
    EVENTS,
    SERVICES,
    ENDPOINTS,
    CONFIGMAPS,
    SECRETS,
    CLAIMS,
    DEPLOYMENTS,
    REPLICASETS,
    STATEFULSETS,
    DAEMONSETS,
    JOBS,
    CRONJOBS,
    BUDGETS,
    AUTOSCALERS,
    VOLUMES,
    QUOTAS,
    LIMITS,
    STORAGE_CLASSES,
    INGRESSES,
    INGRESS_CLASSES,
    NETWORK_POLICIES,
    VALIDATING,
    MUTATING,
    GATEWAY_CLASSES,
    GATEWAYS,
    ROUTES,
    CERTIFICATES,
    SLICES,
    ACCESS_REVIEWS,
    RULES_REVIEWS,
    SUBJECT_REVIEWS,
)
BY_PATH = {(r.group, r.version, r.plural): r for r in RESOURCES}
BY_KIND = {(r.api_version, r.kind): r for r in RESOURCES}
GROUPS: dict[str, str] = {r.group: r.version for r in RESOURCES if r.group}

VERSION = {
    "major": "1",
    "minor": "33",
    "gitVersion": "v1.33.4",
    "gitCommit": "74cdb4273b2d2e5b4e0a0c1c9ad0f4d3ea0b2f5f",
    "gitTreeState": "clean",
    "buildDate": "2025-08-13T14:24:39Z",
    "goVersion": "go1.24.5",
    "compiler": "gc",
    "platform": "linux/amd64",
}

_SUBRESOURCE_KINDS: dict[str, Obj] = {
    "scale": {"kind": "Scale", "group": "autoscaling", "version": "v1", "verbs": ["get", "patch", "update"]},
    "eviction": {"kind": "Eviction", "group": "policy", "version": "v1", "verbs": ["create"]},
    "log": {"verbs": ["get"]},
    "status": {"verbs": ["get", "patch", "update"]},
}


def api_versions(host: str) -> Obj:
    """`/api`."""
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": host}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def group(name: str) -> Obj:
    """One group, as in `/apis` and at `/apis/{group}`."""
    version = {"groupVersion": f"{name}/{GROUPS[name]}", "version": GROUPS[name]}
    return {"name": name, "versions": [version], "preferredVersion": version}


def group_document(name: str) -> Obj:
    """`/apis/{group}`."""
    return {"kind": "APIGroup", "apiVersion": "v1", **group(name)}


def group_list() -> Obj:
    """`/apis`."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(name) for name in GROUPS]}


def resource_list(group: str, version: str) -> Obj:
    """`/api/v1` and `/apis/{group}/{version}`."""
    served = [r for r in RESOURCES if (r.group, r.version) == (group, version)]
    entries = [entry for r in served for entry in (_entry(r), *(_sub(r, s) for s in r.subresources))]
    name = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": name, "resources": entries}


def _entry(r: Resource) -> Obj:
    entry: Obj = {"name": r.plural, "singularName": r.singular, "namespaced": r.namespaced, "kind": r.kind}
    entry["verbs"] = list(r.verbs)
    return entry | ({"shortNames": list(r.short)} if r.short else {})


def _sub(r: Resource, name: str) -> Obj:
    entry: Obj = {"name": f"{r.plural}/{name}", "singularName": "", "namespaced": r.namespaced, "kind": r.kind}
    return entry | _SUBRESOURCE_KINDS[name]
