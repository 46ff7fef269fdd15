"""The policy in force: rules, groups, calendars and invariants, parsed, checked, and never changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from domain.actions import Effect
from domain.decisions import ApprovalTerms, Outcome, RuleVerdict
from policies.calendars import Calendar, Freeze
from policies.conditions import Condition
from policies.globs import Globs
from policies.schema import ToolSchema

DEFAULT_GROUPS = ("approvers",)
DEFAULT_EXPIRES_S = 1800
DESTRUCTIVE_EXPIRES_S = 900
PROTECTED_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})


@dataclass(frozen=True)
class Match:
    """What a rule is about; None means anything. `tools` and `effects` are settled per tool when the policy is loaded."""

    tools: Globs | None = None
    effects: Globs | None = None
    environments: Globs | None = None
    namespaces: Globs | None = None
    agents: Globs | None = None
    origins: Globs | None = None

    def covers(self, tool: ToolSchema) -> bool:
        """Whether calls of this tool can match at all."""
        return (self.tools is None or self.tools.match(tool.name)) and (
            self.effects is None or self.effects.match(tool.effect.value)
        )

    def miss(self, environment: str, namespace: str, agent: str, origin: str) -> str:
        """Which field does not match, empty where all do."""
        if self.environments is not None and not self.environments.match(environment):
            return "environments"
        if self.namespaces is not None and not self.namespaces.match(namespace):
            return "namespaces"
        if self.agents is not None and not self.agents.match(agent):
            return "agents"
        if self.origins is not None and not self.origins.match(origin):
            return "origins"
        return ""


@dataclass(frozen=True)
class Branch:
    """What a rule says: its decision, the condition it says it under, and the terms where it asks.

    `terms.expires_s` of 0 means the default of the action's effect; no terms means the default terms.
    """

    decision: Outcome
    condition: Condition | None = None
    terms: ApprovalTerms | None = None
    reason: str = ""


@dataclass(frozen=True)
class Test:
    """An example beside a rule: facts laid over `base_situation`, and what the whole policy must say of them."""

    __test__ = False  # not a test class of pytest's

    name: str
    given: Mapping[str, Any]
    expect: Mapping[str, Any]
    line: int = 0


@dataclass(frozen=True)
class Rule:
    """One rule and where it stands. `expires_on` is an ISO date, from which on the rule no longer applies."""

    id: str
    file: str
    line: int
    match: Match
    then: Branch
    otherwise: Branch | None = None
    mode: str = "enforce"
    owner: str = ""
    expires_on: str = ""
    tests: tuple[Test, ...] = ()
    expired: RuleVerdict = field(init=False, repr=False, compare=False)
    not_held: RuleVerdict = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        miss = RuleVerdict(self.id, self.then.decision, "not_matched", self.mode)
        object.__setattr__(self, "expired", _detailed(miss, f"expired on {self.expires_on}"))
        object.__setattr__(self, "not_held", _detailed(miss, "its condition is false"))

    @property
    def branches(self) -> tuple[str, ...]:
        """What it says, by name: its id, and `id/else` where it has another side."""
        return (self.id, f"{self.id}/else") if self.otherwise else (self.id,)


def _detailed(verdict: RuleVerdict, detail: str) -> RuleVerdict:
    return RuleVerdict(verdict.rule, verdict.decision, verdict.result, verdict.mode, detail)


@dataclass(frozen=True)
class Invariant:
    """Outcomes that what matches may never have, whatever rules say: checked at load, and again for every decision."""

    name: str
    file: str
    line: int
    match: Match
    never: tuple[Outcome, ...]
    condition: Condition | None = None


@dataclass(frozen=True)
class BreakGlassRule:
    """Whose members may approve alone for one incident, and for how long at most."""

    group: str
    max_minutes: int = 60


@dataclass(frozen=True)
class Policy:
    """A bundle in force. `candidates` are the rules that can match a tool, in order; `groups` are name -> references.

    `hash` is SHA-256 over all that decides (groups' members as configured included; tests, owners and comments not).
    `protected` are the namespaces that no write may touch.
    """

    hash: str
    rules: tuple[Rule, ...] = ()
    tools: Mapping[str, ToolSchema] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    freezes: tuple[Freeze, ...] = ()
    invariants: tuple[Invariant, ...] = ()
    environments: tuple[str, ...] = ()
    protected: frozenset[str] = PROTECTED_NAMESPACES
    break_glass: BreakGlassRule | None = None
    candidates: Mapping[str, tuple[Rule, ...]] = field(default_factory=dict)

    def rule(self, rule_id: str) -> Rule | None:
        """The rule of this id; an `id/else` names the rule too."""
        return next((rule for rule in self.rules if rule.id == rule_id.removesuffix("/else")), None)

    def also_over(self, tools: Iterable[ToolSchema]) -> Policy:
        """The same policy where there are more tools, those that it knows left as they are. Its hash stays."""
        more = {tool.name: tool for tool in tools if tool.name not in self.tools}
        matched = {name: tuple(rule for rule in self.rules if rule.match.covers(tool)) for name, tool in more.items()}
        return replace(self, tools={**self.tools, **more}, candidates={**self.candidates, **matched})

    def default_terms(self, effect: Effect) -> ApprovalTerms:
        """Who is asked where no rule says: one of the group *approvers*, within 30 minutes, 15 for what destroys."""
        return ApprovalTerms(groups=DEFAULT_GROUPS, expires_s=default_expiry(effect))

    def nobody_in(self, terms: ApprovalTerms) -> bool:
        """Whether none of the groups asked has a member to resolve."""
        return not any(self.groups.get(group) for group in terms.groups)


def default_expiry(effect: Effect) -> int:
    """Seconds that an approval request of this effect waits where nothing else is said."""
    return DESTRUCTIVE_EXPIRES_S if effect is Effect.DESTRUCTIVE else DEFAULT_EXPIRES_S
