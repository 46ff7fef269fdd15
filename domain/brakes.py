"""Brakes: breakers that opened, autonomy that was taken back, and the record that trust is earned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

AGENT_SCOPE = "agent"
"""The scope of the breaker that stops every tool. A tool's breaker has the tool's name as its scope."""


@dataclass(frozen=True)
class Breaker:
    """A circuit breaker that is open: what it covers only observes until a person resets it."""

    scope: str
    reason: str
    opened_at: datetime
    seq: int = 0


@dataclass(frozen=True)
class Demotion:
    """A tool that asks in an environment, whatever policy allows, until a person restores it."""

    tool: str
    environment: str
    reason: str
    since: datetime
    seq: int = 0


@dataclass(frozen=True)
class Revert:
    """An execution that was taken back, and which no demotion has answered yet."""

    tool: str
    environment: str
    execution_id: str


@dataclass(frozen=True)
class Brakes:
    """What the journal holds against acting. `failures` are the executions that count against a scope's breaker.

    A failure is an execution that failed, did not verify, is unknown, or was reverted: within the window and since the
    scope was last reset.
    """

    breakers: tuple[Breaker, ...] = ()
    demotions: tuple[Demotion, ...] = ()
    failures: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    reverts: tuple[Revert, ...] = ()


@dataclass(frozen=True)
class TrackRecord:
    """What became of one tool's proposals in one environment within a period.

    `proposed` counts questions put for the first time; `approved` those approved as they were proposed, `edited` those a
    person changed first; `verified` executions whose effect held; `reverted` those that were taken back afterwards.
    """

    tool: str
    environment: str
    effect: str = ""
    proposed: int = 0
    approved: int = 0
    edited: int = 0
    denied: int = 0
    executed: int = 0
    verified: int = 0
    failed: int = 0
    reverted: int = 0
