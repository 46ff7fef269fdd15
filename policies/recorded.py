"""Recorded decisions as back-tests read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from domain.decisions import Outcome


@dataclass(frozen=True)
class Said:
    """A decision as it is compared: `outcome` is what the rules say, `left` what the agent's mode left of that."""

    outcome: Outcome
    rule: str
    left: Outcome
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recorded:
    """A decision of the journal and what became of its call.

    `call` names the call over all runs. `answer` is approved or denied where people answered. `executed_at`, `verified` and
    `failed` are of the execution that followed, if one did.
    """

    seq: int
    at: datetime
    situation: Mapping[str, Any]
    said: Said
    call: str = ""
    answer: str = ""
    executed_at: datetime | None = None
    verified: bool = False
    failed: bool = False

    @property
    def effect(self) -> str:
        """read, write or destructive; empty where the record is broken."""
        tool = self.situation.get("tool")
        return str(tool.get("effect", "")) if isinstance(tool, Mapping) else ""


def said_of(decision: Mapping[str, Any]) -> Said:
    """A recorded decision (plain JSON) as it is compared.

    Where the agent's mode turned a rule's allow into a question, the rule's own verdict still says allow.
    """
    left, rule = Outcome(decision["outcome"]), str(decision["rule"])
    verdicts = decision.get("verdicts") or ()
    allowed = left is Outcome.ASK and any(each["rule"] == rule and each["decision"] == "allow" for each in verdicts)
    terms = decision.get("terms") or {}
    return Said(Outcome.ALLOW if allowed else left, rule, left, tuple(terms.get("groups", ())))
