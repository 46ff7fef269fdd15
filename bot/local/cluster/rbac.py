"""Who may do what: RBAC rules as a Role's YAML states them, and the sentence of a refusal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bot.local.cluster.errors import ApiError, forbidden, forbidden_path
from bot.local.cluster.resources import RESOURCES, SECRETS, Obj

ROLE_KINDS = ("Role", "ClusterRole")
_SELF = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})


@dataclass(frozen=True, slots=True)
class Attributes:
    """What one request asks to do, as the authorizer sees it."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Rule:
    """One allowance. An empty namespace is the whole cluster; no names is every name."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    names: tuple[str, ...] = ()
    namespace: str = ""

    def allows(self, asked: Attributes) -> bool:
        return (
            (not self.namespace or self.namespace == asked.namespace)
            and ("*" in self.verbs or asked.verb in self.verbs)
            and ("*" in self.groups or asked.group in self.groups)
            and self._covers(asked)
            and (not self.names or asked.name in self.names)
        )

    def _covers(self, asked: Attributes) -> bool:
        wildcard = f"*/{asked.subresource}" if asked.subresource else "*"
        return not {"*", wildcard, asked.full_resource}.isdisjoint(self.resources)

    def as_rule(self) -> Obj:
        """The rule in the form of SelfSubjectRulesReview."""
        found = {"verbs": self.verbs, "apiGroups": self.groups, "resources": self.resources}
        listed: Obj = {name: list(values) for name, values in found.items()}
        return listed | ({"resourceNames": list(self.names)} if self.names else {})


EVERYTHING = (Rule(("*",), ("*",), ("*",)),)
ALL_BUT_SECRETS = tuple(
    Rule(("*",), (r.group,), (r.plural, f"{r.plural}/*", *(f"{r.plural}/{s}" for s in r.subresources)))
    for r in RESOURCES
    if r is not SECRETS
)


@dataclass(slots=True)
class User:
    """Somebody with a bearer token."""

    name: str
    groups: tuple[str, ...]
    rules: tuple[Rule, ...] = field(default=())

    def may(self, asked: Attributes) -> bool:
        return asked.resource in _SELF or any(rule.allows(asked) for rule in self.rules)

    def authorize(self, asked: Attributes) -> None:
        """Raises ApiError 403 in the API server's words unless a rule allows it."""
        if not self.may(asked):
            raise self._refusal(asked)

    def authorize_path(self, verb: str, path: str) -> None:
        """Discovery and health are everybody's; no other path is a resource's."""
        public = ("/api", "/apis", "/version", "/openapi", "/healthz", "/livez", "/readyz")
        if not any(path == prefix or path.startswith(f"{prefix}/") for prefix in public):
            raise forbidden_path(self.name, verb, path)

    def _refusal(self, asked: Attributes) -> ApiError:
        where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
        why = (
            f'User "{self.name}" cannot {asked.verb} resource "{asked.full_resource}"'
            f' in API group "{asked.group}" {where}'
        )
        return forbidden(asked.resource, asked.group, asked.name, why)


def load_rules(path: Path) -> tuple[Rule, ...]:
    """The rules of a YAML file with Roles and ClusterRoles.

    Where the file has bindings they say which role holds where; without one a Role holds in its namespace and a
    ClusterRole everywhere.
    """
    documents = [d for d in yaml.safe_load_all(path.read_text("utf-8")) if isinstance(d, dict)]
    roles = {(d["kind"], d["metadata"]["name"]): d for d in documents if d.get("kind") in ROLE_KINDS}
    bindings = [d for d in documents if d.get("kind") in ("RoleBinding", "ClusterRoleBinding")]
    granted = [(roles[role], namespace) for role, namespace in map(_binding, bindings) if role in roles]
    if not bindings:
        granted = [(role, role["metadata"].get("namespace", "")) for role in roles.values()]
    return tuple(rule for role, namespace in granted for rule in _rules(role, namespace))


def _binding(binding: Obj) -> tuple[tuple[str, str], str]:
    namespace = binding["metadata"].get("namespace", "") if binding["kind"] == "RoleBinding" else ""
    return (binding["roleRef"]["kind"], binding["roleRef"]["name"]), namespace


def _rules(role: Obj, namespace: str) -> Iterator[Rule]:
    for rule in role.get("rules") or ():
        names: dict[str, Any] = {k: tuple(rule.get(k) or ()) for k in ("verbs", "apiGroups", "resources")}
        yield Rule(
            names["verbs"], names["apiGroups"], names["resources"], tuple(rule.get("resourceNames") or ()), namespace
        )
