"""Findings, evidence and diagnoses. Every claim cites stored evidence; a cause without it is a hypothesis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from domain.actions import Target


class Confidence(StrEnum):
    """How well a cause is supported. `not_proven` is a normal ending."""

    PROVEN = "proven"
    LIKELY = "likely"
    NOT_PROVEN = "not_proven"


@dataclass(frozen=True)
class Proposal:
    """A change that a finding suggests: a tool call that still has to pass the gate."""

    tool: str
    arguments: Mapping[str, Any]
    why: str


@dataclass(frozen=True)
class Evidence:
    """One stored observation: `id` (E1, E2 …) is the call whose result stands in the journal; `excerpt` is what was seen."""

    id: str
    title: str
    excerpt: str = ""


@dataclass(frozen=True)
class Finding:
    """What an analyzer saw. `code` is stable (`pod.crash_loop`); `weight` orders causes before symptoms, highest first."""

    code: str
    title: str
    detail: str
    target: Target
    evidence: tuple[Evidence, ...] = ()
    weight: int = 0
    healthy: bool = False
    proposal: Proposal | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Hypothesis:
    """A cause that the evidence does not prove, and what would prove or refute it.

    `supporting` and `contradicting` are ids of stored evidence for and against it.
    """

    text: str
    next_check: str = ""
    supporting: tuple[str, ...] = ()
    contradicting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Claim:
    """One sentence of a conclusion, held against what was stored.

    `evidence` are the stored results that it cites or whose values it names; `missing` are names and values in it that no
    stored result shows.
    """

    text: str
    evidence: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def supported(self) -> bool:
        """Whether it cites stored evidence and says nothing that stands nowhere in it."""
        return bool(self.evidence) and not self.missing


@dataclass(frozen=True)
class Diagnosis:
    """A run's conclusion. `by` names the model that wrote it; `note` says why, where it is not the one configured.

    `claims` are the sentences of `cause` as code found them supported, empty where the built-in rules wrote it from findings.
    Hypotheses are ranked, the likeliest first.
    """

    summary: str
    cause: str
    confidence: Confidence
    by: str
    evidence: tuple[Evidence, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    next_steps: tuple[str, ...] = ()
    note: str = ""
    claims: tuple[Claim, ...] = ()


def withheld(found: Diagnosis, redact: Callable[[str], str]) -> Diagnosis:
    """A diagnosis with every text of it redacted: what a model wrote may hold what it was never to see."""
    return replace(
        found,
        summary=redact(found.summary),
        cause=redact(found.cause),
        evidence=tuple(replace(one, title=redact(one.title), excerpt=redact(one.excerpt)) for one in found.evidence),
        hypotheses=tuple(
            replace(one, text=redact(one.text), next_check=redact(one.next_check)) for one in found.hypotheses
        ),
        next_steps=tuple(map(redact, found.next_steps)),
        note=redact(found.note),
        claims=tuple(
            replace(one, text=redact(one.text), missing=tuple(map(redact, one.missing))) for one in found.claims
        ),
    )
