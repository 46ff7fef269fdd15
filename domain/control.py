"""Events about the agent itself: paused, its mode, its brakes, its policy. Part of domain.events."""

from __future__ import annotations

from dataclasses import dataclass

from domain.actions import Mode


@dataclass(frozen=True)
class AgentPaused:
    """No new runs and no executions, approved ones included, until resumed."""

    reason: str


@dataclass(frozen=True)
class AgentResumed:
    """The pause is over."""

    reason: str = ""


@dataclass(frozen=True)
class ModeChanged:
    """observe, propose or act from here on."""

    mode: Mode
    reason: str = ""


@dataclass(frozen=True)
class BreakerOpened:
    """Too many executions failed or were reverted: `scope` (a tool's name, or `agent`) only observes from here on."""

    scope: str
    reason: str
    executions: tuple[str, ...] = ()


@dataclass(frozen=True)
class BreakerReset:
    """A person looked and closed the breaker; its count begins anew."""

    scope: str


@dataclass(frozen=True)
class AutonomyDemoted:
    """An execution was reverted: this tool asks in this environment from here on, whatever policy allows."""

    tool: str
    environment: str
    execution_id: str
    reason: str


@dataclass(frozen=True)
class AutonomyRestored:
    """A person gave it back: policy decides again."""

    tool: str
    environment: str


@dataclass(frozen=True)
class PolicyLoaded:
    """A policy bundle is in force."""

    policy_hash: str
    rules: tuple[str, ...]


@dataclass(frozen=True)
class PolicyRejected:
    """A policy bundle was refused; the last good one stays."""

    problems: tuple[str, ...]
