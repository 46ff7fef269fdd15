"""Which kinds the Kubernetes tools know, and where the API serves them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of object: its name, and its place in the API."""

    name: str
    plural: str
    group: str = ""
    version: str = "v1"
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As objects carry it: `apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", part: str = "") -> str:
        """The URL path of the collection, of one object, or of a part of it (`log`). Names must be valid ones."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{root}{scope}/{self.plural}" + "".join(f"/{piece}" for piece in (name, part) if piece)


POD = Kind("Pod", "pods")
EVENT = Kind("Event", "events")
NODE = Kind("Node", "nodes", namespaced=False)
DEPLOYMENT = Kind("Deployment", "deployments", "apps")
REPLICASET = Kind("ReplicaSet", "replicasets", "apps")
STATEFULSET = Kind("StatefulSet", "statefulsets", "apps")
DAEMONSET = Kind("DaemonSet", "daemonsets", "apps")
JOB = Kind("Job", "jobs", "batch")
CRONJOB = Kind("CronJob", "cronjobs", "batch")
AUTOSCALER = Kind("HorizontalPodAutoscaler", "horizontalpodautoscalers", "autoscaling", "v2")

_ADMISSION = "admissionregistration.k8s.io"
_GATEWAY = "gateway.networking.k8s.io"

REVIEW = Kind("SelfSubjectAccessReview", "selfsubjectaccessreviews", "authorization.k8s.io", namespaced=False)

READABLE: tuple[Kind, ...] = (
    POD,
    DEPLOYMENT,
    REPLICASET,
    STATEFULSET,
    DAEMONSET,
    JOB,
    CRONJOB,
    Kind("Service", "services"),
    Kind("Endpoints", "endpoints"),
    Kind("EndpointSlice", "endpointslices", "discovery.k8s.io"),
    NODE,
    Kind("Namespace", "namespaces", namespaced=False),
    Kind("ConfigMap", "configmaps"),
    AUTOSCALER,
    Kind("PodDisruptionBudget", "poddisruptionbudgets", "policy"),
    Kind("PersistentVolumeClaim", "persistentvolumeclaims"),
    Kind("PersistentVolume", "persistentvolumes", namespaced=False),
    Kind("StorageClass", "storageclasses", "storage.k8s.io", namespaced=False),
    Kind("ResourceQuota", "resourcequotas"),
    Kind("LimitRange", "limitranges"),
    Kind("Ingress", "ingresses", "networking.k8s.io"),
    Kind("IngressClass", "ingressclasses", "networking.k8s.io", namespaced=False),
    Kind("NetworkPolicy", "networkpolicies", "networking.k8s.io"),
    Kind("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", _ADMISSION, namespaced=False),
    Kind("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", _ADMISSION, namespaced=False),
    Kind("GatewayClass", "gatewayclasses", _GATEWAY, namespaced=False),
    Kind("Gateway", "gateways", _GATEWAY),
    Kind("HTTPRoute", "httproutes", _GATEWAY),
    Kind("Certificate", "certificates", "cert-manager.io"),
    EVENT,
)
"""What may be read. Secrets are not among them, and roles are nobody's diagnosis.

Not every cluster serves the kinds of the Gateway API and of cert-manager: there, a read of them says so.
"""

KINDS = {kind.name: kind for kind in READABLE}

PATCHABLE: tuple[Kind, ...] = (
    DEPLOYMENT,
    STATEFULSET,
    DAEMONSET,
    CRONJOB,
    KINDS["Service"],
    AUTOSCALER,
    KINDS["PodDisruptionBudget"],
    KINDS["Ingress"],
)
"""What kubernetes_patch may change."""
