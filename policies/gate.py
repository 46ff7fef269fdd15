"""The gate: one action and its situation in, one decision out. Pure; deny over ask over allow; anything unclear is a deny."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from domain.actions import Action, Effect, Mode
from domain.canonical import plain
from domain.codec import encode
from domain.decisions import ApprovalTerms, Decision, Outcome, RuleVerdict
from domain.runs import RunSpec
from policies.calendars import calendar_facts
from policies.conditions import ConditionError, Facts, facts_read
from policies.rules import Branch, Invariant, Policy, Rule, default_expiry
from policies.schema import FACTS

MAX_TEXT = 16_384
MAX_ITEMS = 100
MAX_TOTAL = 32_768
MAX_DEPTH = 10
_DNS_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}(?:\.[a-z0-9.-]{1,200})?")
_REASON_RANK = {"never": 0, "on_deny": 1, "always": 2}


@dataclass(frozen=True)
class _Hit:
    """An enforced rule that matched, by which branch."""

    rule: Rule
    branch: Branch
    name: str


def decide(policy: Policy, situation: Mapping[str, Any]) -> Decision:
    """What policy says of one action. Never raises: a gate that fails denies.

    Deny wins over ask, ask over allow, and no match is a deny. A condition that cannot be evaluated counts as a match for
    deny and ask rules and as no match for allow rules. Of several asking rules the strictest sets the terms (highest
    quorum, then shortest expiry); exclusions of all of them hold.
    """
    try:
        return _decide(policy, situation)
    except Exception as error:  # noqa: BLE001 – the last guard: whatever breaks in here must not become an execution
        return Decision(
            Outcome.DENY, "builtin:gate-failed", f"The gate failed ({type(error).__name__}), so it denies.", policy.hash
        )


def _decide(policy: Policy, situation: Mapping[str, Any]) -> Decision:
    rule, sentence = _builtin(policy, situation)
    if rule:
        return Decision(Outcome.DENY, rule, sentence, policy.hash)
    hits, verdicts, warnings = _match(policy, situation)
    decision = _combine(policy, situation, hits)
    broken = _broken_invariant(policy, situation, decision.outcome)
    if broken:
        reason = f"The policy's invariant forbids it, whatever the rules say: {broken.name}."
        decision = Decision(Outcome.DENY, f"invariant:{broken.name}", reason, policy.hash)
    if decision.terms and policy.nobody_in(decision.terms):
        groups = ", ".join(decision.terms.groups)
        warnings.append(f"Nobody can approve this: no person is set for {groups}.")
    outcome, rule, reason = decision.outcome, decision.rule, decision.reason
    return Decision(outcome, rule, reason, policy.hash, decision.terms, tuple(verdicts), tuple(warnings))


# --- what no policy can override --------------------------------------------------------------------------------------


def _builtin(policy: Policy, situation: Mapping[str, Any]) -> tuple[str, str]:
    """The built-in rule that refuses, with its sentence; empty where none does."""
    tool, target, args = situation["tool"], situation["target"], situation["args"]
    known = policy.tools.get(tool["name"])
    if known is None or known.effect.value != tool["effect"]:
        return (
            "builtin:unknown-tool",
            f"There is no tool {_shown(tool['name'])} with the effect {_shown(tool['effect'])}.",
        )
    if not within_limits(args):
        return "builtin:too-large", "The arguments are larger than what policy can look at."
    if target.get("system") == "kubernetes" or tool["name"].startswith("kubernetes_"):
        return _builtin_kubernetes(policy, tool["effect"], target, args)
    return "", ""


def _builtin_kubernetes(
    policy: Policy, effect: str, target: Mapping[str, Any], args: Mapping[str, Any]
) -> tuple[str, str]:
    namespace = target.get("namespace", "")
    for name in (namespace, args.get("namespace", namespace)):
        if not isinstance(name, str) or (name and not _DNS_LABEL.fullmatch(name)):
            return "builtin:malformed", f"{_shown(name)} is not the name of a namespace."
    kinds = [kind for kind in (target.get("kind", ""), args.get("kind", "")) if kind != ""]
    if not all(isinstance(kind, str) and _KIND.fullmatch(kind) for kind in kinds):
        return "builtin:malformed", f"{_shown(kinds)} is not a kind of object."
    names = {kind.split(".")[0].lower() for kind in kinds}
    if names & {"secret", "secrets"}:
        return "builtin:secrets", "Secrets are never read and never changed."
    if effect == Effect.READ.value:
        return "", ""
    if args.get("namespace", namespace) != namespace:
        return "builtin:malformed", "The arguments name another namespace than the target."
    if namespace in policy.protected:
        return "builtin:protected-namespace", f"The namespace {namespace} is protected: nothing is changed there."
    if names & {"namespace", "namespaces"} and target.get("name") in policy.protected:
        return "builtin:protected-namespace", f"The namespace {target['name']} is protected: nothing is changed there."
    return "", ""


def within_limits(args: Any) -> bool:
    """Whether arguments are small enough to be looked at: strings, lists, maps, depth and the sum of all characters."""
    budget = [MAX_TOTAL]
    return _fits(args, budget, MAX_DEPTH)


def _fits(value: Any, budget: list[int], depth: int) -> bool:
    if isinstance(value, str):
        budget[0] -= len(value)
        return len(value) <= MAX_TEXT and budget[0] >= 0
    if isinstance(value, dict | list):
        if depth == 0 or len(value) > MAX_ITEMS:
            return False
        inner = (*value, *value.values()) if isinstance(value, dict) else value
        for item in inner:  # noqa: SIM110 – every decision comes by here, and a generator costs twice as much
            if not _fits(item, budget, depth - 1):
                return False
        return True
    return value is None or isinstance(value, int)


def _shown(value: Any) -> str:
    """Untrusted text in a sentence: escaped and short."""
    return ascii(value)[:80]


# --- rules ------------------------------------------------------------------------------------------------------------


def _match(policy: Policy, situation: Mapping[str, Any]) -> tuple[list[_Hit], list[RuleVerdict], list[str]]:
    target, run = situation["target"], situation["run"]
    where = (target["environment"], target.get("namespace", ""), run["agent"], run["origin"])
    date, facts = situation["calendar"]["date"], Facts(situation)
    hits: list[_Hit] = []
    verdicts: list[RuleVerdict] = []
    warnings: list[str] = []
    for rule in policy.candidates.get(situation["tool"]["name"], ()):
        if rule.match.miss(*where):
            continue
        if rule.expires_on and date >= rule.expires_on:
            verdicts.append(rule.expired)
            continue
        hit, seen = _apply(rule, facts)
        verdicts.extend(seen)
        if hit and rule.mode == "enforce":
            hits.append(hit)
        elif hit and rule.mode == "warn":
            warnings.append(f"{hit.name} would {hit.branch.decision.value}: {_reason(hit)}")
    return hits, verdicts, warnings


def _apply(rule: Rule, facts: Facts) -> tuple[_Hit | None, list[RuleVerdict]]:
    """The branch of a rule that matches, and the verdicts to record."""
    held, verdict = _holds(rule, rule.then, rule.id, facts)
    if held or rule.otherwise is None:
        return (_Hit(rule, rule.then, rule.id) if held else None), [verdict]
    name = f"{rule.id}/else"
    held, second = _holds(rule, rule.otherwise, name, facts)
    return (_Hit(rule, rule.otherwise, name) if held else None), [verdict, second]


def _holds(rule: Rule, branch: Branch, name: str, facts: Facts) -> tuple[bool, RuleVerdict]:
    result = branch.condition.holds(facts) if branch.condition else True
    if isinstance(result, ConditionError):
        closed = branch.decision is not Outcome.ALLOW
        return closed, RuleVerdict(name, branch.decision, "error", rule.mode, result.message)
    if result is True:
        return True, RuleVerdict(name, branch.decision, "matched", rule.mode)
    return False, rule.not_held if branch is rule.then else replace(rule.not_held, rule=name, decision=branch.decision)


def _combine(policy: Policy, situation: Mapping[str, Any], hits: list[_Hit]) -> Decision:
    for outcome in (Outcome.DENY, Outcome.ASK, Outcome.ALLOW):
        found = [hit for hit in hits if hit.branch.decision is outcome]
        if not found:
            continue
        if outcome is not Outcome.ASK:
            return Decision(outcome, found[0].name, _reason(found[0]), policy.hash)
        hit, terms = _strictest(policy, Effect(situation["tool"]["effect"]), found)
        return Decision(outcome, hit.name, _reason(hit), policy.hash, terms)
    return Decision(Outcome.DENY, "", _no_match(situation), policy.hash)


def _strictest(policy: Policy, effect: Effect, hits: list[_Hit]) -> tuple[_Hit, ApprovalTerms]:
    def terms_of(hit: _Hit) -> ApprovalTerms:
        terms = hit.branch.terms or policy.default_terms(effect)
        return terms if terms.expires_s else replace(terms, expires_s=default_expiry(effect))

    asked = [(hit, terms_of(hit)) for hit in hits]
    hit, terms = min(asked, key=lambda pair: (-pair[1].quorum, pair[1].expires_s))
    if len(asked) == 1:
        return hit, terms
    every = [other for _, other in asked]
    return hit, replace(
        terms,
        exclude=tuple(dict.fromkeys(name for other in every for name in other.exclude)),
        reason=max((other.reason for other in every), key=_REASON_RANK.__getitem__),
        deny_quorum=min(other.deny_quorum for other in every),
        window=tuple(dict.fromkeys(name for other in every for name in other.window)),
    )


def _reason(hit: _Hit) -> str:
    return hit.branch.reason or f"The rule {hit.name} says so."


def _no_match(situation: Mapping[str, Any]) -> str:
    tool, target = situation["tool"], situation["target"]
    thing = "/".join(str(target[key]) for key in ("namespace", "kind", "name") if target.get(key)) or "it"
    what = f"{tool['name']} ({tool['effect']}) on {thing} in {target['environment']}"
    return f"No rule of the policy covers {what}, and what no rule covers is denied."


def _broken_invariant(policy: Policy, situation: Mapping[str, Any], outcome: Outcome) -> Invariant | None:
    """The first invariant that this outcome breaks. One that cannot be evaluated counts as broken."""
    if outcome is Outcome.DENY:
        return None
    for invariant in policy.invariants:
        if outcome in invariant.never and concerns(policy, invariant, situation):
            return invariant
    return None


def concerns(policy: Policy, invariant: Invariant, situation: Mapping[str, Any], *, in_doubt: bool = True) -> bool:
    """Whether a situation is one that an invariant speaks of; `in_doubt` where its condition cannot be evaluated."""
    target, run = situation["target"], situation["run"]
    if not invariant.match.covers(policy.tools[situation["tool"]["name"]]):
        return False
    if invariant.match.miss(target["environment"], target.get("namespace", ""), run["agent"], run["origin"]):
        return False
    result = invariant.condition.holds(situation) if invariant.condition else True
    return result if isinstance(result, bool) else in_doubt


def explain(policy: Policy, situation: Mapping[str, Any]) -> tuple[RuleVerdict, ...]:
    """Every rule in the policy's order with why it did or did not match."""
    target, run = situation["target"], situation["run"]
    tool = policy.tools.get(situation["tool"]["name"])
    where = (target["environment"], target.get("namespace", ""), run["agent"], run["origin"])
    facts, verdicts = Facts(situation), list[RuleVerdict]()
    for rule in policy.rules:
        miss = replace(rule.not_held, detail="it is about other tools or effects")
        if tool is not None and rule.match.covers(tool):
            field = rule.match.miss(*where)
            miss = replace(miss, detail=f"match.{field} does not match" if field else "")
        if rule.expires_on and situation["calendar"]["date"] >= rule.expires_on:
            miss = rule.expired
        verdicts.extend([miss] if miss.detail else (_told(rule, each, situation) for each in _apply(rule, facts)[1]))
    return tuple(verdicts)


def _told(rule: Rule, verdict: RuleVerdict, situation: Mapping[str, Any]) -> RuleVerdict:
    """The verdict with its condition and what that read. The gate itself leaves this out: it decides all day."""
    branch = rule.otherwise if rule.otherwise and verdict.rule != rule.id else rule.then
    if branch.condition is None:
        return verdict
    text = " ".join(branch.condition.text.split())
    how = {"matched": "its condition is true", "error": f"its condition fails ({verdict.detail})"}
    read = facts_read(text, situation)
    detail = f"{how.get(verdict.result, verdict.detail)}: {text}{', where ' + read if read else ''}"
    return replace(verdict, detail=detail)


# --- modes ------------------------------------------------------------------------------------------------------------


def under_mode(decision: Decision, mode: Mode, action: Action, policy: Policy) -> Decision:
    """What the agent's mode leaves of a decision.

    In `propose` and `observe` an allowed write or destructive action becomes an ask (the policy's default terms, as no
    rule asked); in `observe` the caller marks the request observe_only and never executes. Reads and denies stay.
    """
    if mode is Mode.ACT or action.effect is Effect.READ or decision.outcome is not Outcome.ALLOW:
        return decision
    terms = decision.terms or policy.default_terms(action.effect)
    reason = f"In mode {mode.value} every change asks a person; the rule {decision.rule} would allow it."
    warnings = decision.warnings
    if policy.nobody_in(terms):
        warnings = (*warnings, f"Nobody can approve this: no person is set for {', '.join(terms.groups)}.")
    return replace(decision, outcome=Outcome.ASK, reason=reason, terms=terms, warnings=warnings)


# --- the situation ----------------------------------------------------------------------------------------------------


def situation(
    *,
    action: Action,
    run: RunSpec,
    mode: Mode,
    tainted: bool,
    cost_micros: int,
    requester_groups: Iterable[str],
    rate: Mapping[str, int],
    trust: Mapping[str, int],
    now: datetime,
    policy: Policy,
    release: Mapping[str, Any],
) -> dict[str, Any]:
    """The whole input of a decision, computed by the server, as plain JSON: it is stored with the decision.

    `mode` is the agent's mode now; `rate` counts the last hour (`target`, `agent`, `failed`, `touches`, `problem`);
    `release` is what is known of a deployment. What is not known is an absent key, so that a condition that needs it fails
    closed. Arguments that are None are absent too.
    """
    target = {key: value for key, value in encode(action.target).items() if value}
    target["environment"] = action.target.environment
    target.update({key: value for key, value in action.facts.items() if _is_fact(key, value) and key not in target})
    if action.touches or action.effect is Effect.READ:
        target["touches"] = action.touches
    return {
        "tool": {"name": action.tool, "effect": action.effect.value},
        "args": {key: value for key, value in plain(action.arguments).items() if value is not None},
        "target": target,
        "run": {
            "origin": run.origin.value,
            "mode": mode.value,
            "agent": run.model,
            "tainted": tainted,
            "cost_micros": cost_micros,
        },
        "release": {key: value for key, value in release.items() if key in FACTS["release"]},
        "requester": {"id": run.requester, "groups": sorted(requester_groups)},
        "rate": {f"{key}_1h": value for key, value in rate.items() if f"{key}_1h" in FACTS["rate"]},
        "calendar": calendar_facts(policy.calendars, policy.freezes, now, action.target.environment),
        "trust": {key: value for key, value in trust.items() if key in FACTS["trust"]},
    }


_PYTHON = {"string": str, "int": int, "bool": bool}


def _is_fact(key: str, value: Any) -> bool:
    """Whether a tool's fact about its target is one that policy knows, of the right type; `owner: ""` is none known."""
    return type(value) is _PYTHON.get(FACTS["target"].get(key, "")) and value != ""
