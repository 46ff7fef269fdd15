"""Actions: what the control plane understood a tool call to be. Verb, target, effect, and the state it was seen in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from domain.canonical import digest_of
from domain.codec import encode
from domain.releases import PLAY

CI_SYSTEMS = ("jenkins", "gitlab")
"""Their things are told by their path: nobody says what kind of thing a job of Jenkins is."""


class Effect(StrEnum):
    """What a tool does to the world. The server's own table says it, never the model."""

    READ = "read"
    WRITE = "write"
    DESTRUCTIVE = "destructive"


class Mode(StrEnum):
    """How far the agent may go. `observe` records what it would have asked and can never execute."""

    OBSERVE = "observe"
    PROPOSE = "propose"
    ACT = "act"


@dataclass(frozen=True)
class Target:
    """The thing an action or an alert is about. `environment` comes from the server's inventory; unknown = production."""

    system: str = ""
    environment: str = "production"
    namespace: str = ""
    kind: str = ""
    name: str = ""

    @property
    def key(self) -> str:
        """The same thing has the same key, whatever the environment is called."""
        return "/".join(part for part in (self.system, self.namespace, self.kind, self.name) if part)

    @property
    def place(self) -> str:
        """What AGENT_ENVIRONMENTS knows it by: a namespace in Kubernetes, elsewhere its path behind the system's name.

        The prefix keeps a pattern that was written for namespaces from saying anything of a folder that is called alike.
        """
        if self.system in ("", "kubernetes"):
            return self.namespace
        return f"{self.system}:{'/'.join(part for part in (self.namespace, self.name) if part)}"

    def __str__(self) -> str:
        if self.system in CI_SYSTEMS and self.name:
            return self.place
        thing = "/".join(part for part in (self.kind.lower(), self.name) if part) or self.system or "unknown"
        return f"{self.namespace}/{thing}" if self.namespace else thing


@dataclass(frozen=True)
class Undo:
    """The call that takes an action back, known before the action runs."""

    tool: str
    arguments: Mapping[str, Any]
    note: str = ""


@dataclass(frozen=True)
class Action:
    """A proposal that the server understood.

    `arguments` are validated and canonical. `observed` is the live identity of the target (Kubernetes: uid, generation,
    images, replicas) as plain JSON; it is part of the digest. `touches` counts the things that change (the blast radius);
    `diff` is the dry run's result as text; both are shown on the card.
    """

    tool: str
    arguments: Mapping[str, Any]
    effect: Effect
    target: Target
    observed: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    touches: int = 0
    diff: str = ""
    undo: Undo | None = None
    why: str = ""


_VERBS = {
    "kubernetes_rollback": "roll back",
    "kubernetes_restart": "restart",
    "kubernetes_scale": "scale",
    "kubernetes_set_resources": "change resources of",
    "kubernetes_cordon": "cordon",
    "kubernetes_delete_pod": "delete pod",
    "kubernetes_patch": "patch",
    "alertmanager_silence": "silence",
    "jenkins_trigger": "start build of",
    "jenkins_abort": "abort build of",
    "gitlab_retry_pipeline": "retry pipeline of",
    "gitlab_cancel_pipeline": "cancel pipeline of",
    PLAY: "play job of",
    "gitlab_open_merge_request": "open a merge request in",
}


def phrase(action: Action) -> str:
    """The action in three words: roll back checkout. The target's name is whatever somebody called it.

    A job of a CI system is called by its path: half of them are called main. A job that deploys is called by where to.
    """
    verb, target = _VERBS.get(action.tool, action.tool.replace("_", " ")), action.target
    name = target.place.partition(":")[2] if target.system in CI_SYSTEMS else target.name
    if action.tool == PLAY and (place := action.arguments.get("environment")):
        back = action.facts.get("deployed_before") is True
        return f"{'go back on' if back else 'deploy to'} {place} of {name}"
    return f"{verb} {name or target}"


def digest(action: Action, policy_hash: str) -> str:
    """What an approval binds: tool, canonical arguments, effect, target, its observed state, and the policy's hash."""
    return digest_of(
        {
            "tool": action.tool,
            "arguments": encode(action.arguments),
            "effect": action.effect.value,
            "target": encode(action.target),
            "observed": encode(action.observed),
            "policy": policy_hash,
        }
    )
