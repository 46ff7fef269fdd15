"""An API server's refusals as sentences that a person can act on."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from bot.tools.kubernetes_kinds import Kind
from domain.errors import OutcomeUnknown, TargetMoved, ToolError

_DENIED = re.compile(r'User "(?P<user>[^"]*)" cannot \w+ resource')
_UNSETTLED = re.compile(r"timed? ?out|deadline exceeded", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class Missing(ToolError):
    """There is no such object."""


class Conflicted(TargetMoved):
    """Somebody wrote the object between our read and our write."""


@dataclass(frozen=True)
class Call:
    """One request in the words of RBAC. `changes`: it changes something if it arrives (a dry run does not)."""

    verb: str
    kind: Kind
    namespace: str = ""
    name: str = ""
    part: str = ""
    changes: bool = False

    @property
    def resource(self) -> str:
        """`deployments`, or `pods/log`."""
        return f"{self.kind.plural}/{self.part}" if self.part else self.kind.plural

    @property
    def thing(self) -> str:
        """`Deployment "checkout" in namespace "shop"`, or `pods in all namespaces`."""
        what = f'{self.kind.name} "{self.name}"' if self.name else self.kind.plural
        if not self.kind.namespaced:
            return what
        return f'{what} in namespace "{self.namespace}"' if self.namespace else f"{what} in all namespaces"

    def __str__(self) -> str:
        doing = f"{self.verb} the {self.part} of" if self.part else self.verb
        return f"{doing} {self.thing}"


@dataclass(frozen=True)
class Reply:
    """An HTTP answer. `warnings` are the API server's own words about what was sent."""

    status: int
    body: bytes
    retry_after: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """The message of a `Status` body, else the start of the text, on one line."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        text = found.get("message") if isinstance(found, dict) else self.body[:2000].decode("utf-8", "replace")
        line = _CONTROL.sub(" ", str(text or f"HTTP {self.status}")).strip()
        return line if len(line) <= 600 else line[:599] + "…"


def refusal(call: Call, reply: Reply) -> ToolError:
    """The error for a status of 400 or more."""
    if reply.status == 401:
        return ToolError(
            f"Kubernetes does not accept this agent's credentials (401), so it did not {call}."
            " Renew the token or certificate of the kubeconfig or service account."
        )
    if reply.status == 403:
        return ToolError(_forbidden(call, reply.message))
    if reply.status == 404:
        return _missing(call, reply.message)
    if reply.status == 409:
        return Conflicted(f"{call.thing} changed in the meantime, so nothing was done: {reply.message}")
    if reply.status == 410:
        return ToolError(f"The list changed while it was read ({call}); ask again.", retryable=True)
    if reply.status == 429:
        return ToolError(
            f"Kubernetes is turning requests away (429) and did not {call}; try again soon.", retryable=True
        )
    if reply.status in (400, 422):
        return ToolError(f"Kubernetes refuses to {call}: {reply.message}")
    if reply.status >= 500:
        return _failed(call, reply)
    return ToolError(f"Kubernetes refuses to {call} (HTTP {reply.status}): {reply.message}")


def unreachable(url: str, error: BaseException) -> ToolError:
    """No connection, so nothing was sent."""
    return ToolError(
        f"The Kubernetes API at {url} cannot be reached ({_cause(error)}); nothing was sent.", retryable=True
    )


def unanswered(call: Call, error: BaseException) -> ToolError:
    """Sent, and no answer came."""
    if call.changes:
        return OutcomeUnknown(
            f"The request to {call} was sent and no answer came ({_cause(error)}): it may or may not have taken effect."
        )
    return ToolError(f"Kubernetes did not answer the request to {call} ({_cause(error)}).", retryable=True)


def _cause(error: BaseException) -> str:
    return "time limit" if isinstance(error, TimeoutError) else str(error)[:200] or type(error).__name__


def _forbidden(call: Call, message: str) -> str:
    denied = _DENIED.search(message)
    if denied is None:  # quota, admission, a namespace that is being deleted: RBAC would not help
        return f"Kubernetes refuses to {call}: {message}"
    role = "ClusterRole" if not (call.kind.namespaced and call.namespace) else "Role"
    rule = f'apiGroups: ["{call.kind.group}"], resources: ["{call.resource}"], verbs: ["{call.verb}"]'
    where = f' for namespace "{call.namespace}"' if role == "Role" else ""
    return (
        f'Kubernetes does not let "{denied["user"]}" {call}. Its {role}{where} lacks the rule {{{rule}}};'
        " deploy/rbac.yaml has it."
    )


def _missing(call: Call, message: str) -> ToolError:
    if "could not find the requested resource" in message:
        return ToolError(f"This cluster does not serve {call.kind.plural} ({call.kind.api_version}).")
    return Missing(f"There is no {call.thing}.") if call.name else ToolError(f"Kubernetes cannot {call}: {message}")


def _failed(call: Call, reply: Reply) -> ToolError:
    # A gateway's or etcd's time-out says nothing of the write behind it; every other 5xx is a refusal.
    unsettled = reply.status in (502, 504) or (reply.status == 500 and _UNSETTLED.search(reply.message))
    if call.changes and unsettled:
        return OutcomeUnknown(
            f"The request to {call} ended in HTTP {reply.status} ({reply.message}): it may or may not have taken effect."
        )
    return ToolError(f"The Kubernetes API failed (HTTP {reply.status}) to {call}: {reply.message}", retryable=True)
