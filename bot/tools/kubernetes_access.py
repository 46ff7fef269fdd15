"""Which permissions the Kubernetes tools need (deploy/rbac.yaml), and which of them this agent lacks (`doctor`)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from bot.tools.kubernetes_client import KubernetesClient
from bot.tools.kubernetes_kinds import DAEMONSET, DEPLOYMENT, NODE, PATCHABLE, POD, READABLE, STATEFULSET, Kind


@dataclass(frozen=True)
class Permission:
    """One line of a Role, and the tools that need it."""

    verb: str
    kind: Kind
    part: str = ""
    tools: str = "every read"

    @property
    def rule(self) -> tuple[str, str, str]:
        """API group, resource and verb, as RBAC writes them."""
        return self.kind.group, f"{self.kind.plural}/{self.part}" if self.part else self.kind.plural, self.verb


_TOOLS = {
    DEPLOYMENT: "kubernetes_rollback, _restart, _scale, _set_resources, _patch",
    STATEFULSET: "kubernetes_restart, _scale, _set_resources, _patch",
    DAEMONSET: "kubernetes_restart, _set_resources, _patch",
}

READS: tuple[Permission, ...] = (
    *(Permission(verb, kind) for kind in READABLE for verb in ("get", "list")),
    Permission("get", POD, "log", "kubernetes_logs"),
)
WRITES: tuple[Permission, ...] = (
    *(Permission("patch", kind, tools=_TOOLS.get(kind, "kubernetes_patch")) for kind in PATCHABLE),
    Permission("delete", POD, tools="kubernetes_delete_pod"),
)
NODE_WRITES: tuple[Permission, ...] = (Permission("patch", NODE, tools="kubernetes_cordon"),)


async def lacking(
    client: KubernetesClient, permissions: tuple[Permission, ...], namespace: str = ""
) -> list[Permission]:
    """Those that the cluster would refuse, in this namespace or (empty) in all. Raises ToolError."""
    allowed = await asyncio.gather(*(_allowed(client, permission, namespace) for permission in permissions))
    return [permission for permission, yes in zip(permissions, allowed, strict=True) if not yes]


async def _allowed(client: KubernetesClient, permission: Permission, namespace: str) -> bool:
    group, _, verb = permission.rule
    attributes: dict[str, Any] = {"verb": verb, "group": group, "resource": permission.kind.plural}
    attributes |= {"subresource": permission.part} if permission.part else {}
    attributes |= {"namespace": namespace} if namespace and permission.kind.namespaced else {}
    return await client.may(attributes)
