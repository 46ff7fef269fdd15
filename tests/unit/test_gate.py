"""The gate: deny over ask over allow, no match and any error a deny, and what no policy can override."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from domain.actions import Effect, Mode, Target
from domain.canonical import canonical
from domain.decisions import Outcome
from policies.gate import decide, explain, situation, under_mode
from policies.policy import Policy, load, nothing_in_force
from tests.unit.policy_samples import EFFECTS, NOW, TOOLS, action, facts, policy, shipped, spec, text

ALLOW_ALL = "  - {id: all, decision: allow, match: {tools: ['*']}}"
SHIPPED = shipped()
WIDE_OPEN = policy(ALLOW_ALL)


def outcome(of: Policy, tool: str, args: dict[str, Any] | None = None, **roots: dict[str, Any]) -> tuple[Outcome, str]:
    decision = decide(of, facts(tool, args, of=of, **roots))
    return decision.outcome, decision.rule


def built(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "action": action(),
        "run": spec(),
        "mode": Mode.ACT,
        "tainted": True,
        "cost_micros": 1200,
        "requester_groups": ("leads",),
        "rate": {"target": 1, "agent": 2, "failed": 0, "touches": 5, "problem": 1},
        "trust": {"proposed": 4, "verified": 3, "not-a-fact": 9},
        "now": NOW,
        "policy": SHIPPED,
        "release": {"risk": 12, "not-a-fact": 9},
    }
    return situation(**(values | changes))


# --- combination ------------------------------------------------------------------------------------------------------


def test_deny_wins_over_ask_and_ask_over_allow() -> None:
    ask = "  - {id: asks, decision: ask, match: {effects: [write]}}"
    deny = "  - {id: denies, decision: deny, match: {tools: [kubernetes_scale]}, reason: no}"
    of = policy(f"{ALLOW_ALL}\n{ask}\n{deny}")
    assert outcome(of, "kubernetes_get") == (Outcome.ALLOW, "all")
    assert outcome(of, "kubernetes_restart") == (Outcome.ASK, "asks")
    assert outcome(of, "kubernetes_scale") == (Outcome.DENY, "denies")


def test_what_no_rule_covers_is_denied_and_the_reason_names_it() -> None:
    of = policy("  - {id: reads, decision: allow, match: {effects: [read]}}")
    decision = decide(of, facts("kubernetes_restart", of=of))
    assert (decision.outcome, decision.rule) == (Outcome.DENY, "")
    assert "kubernetes_restart (write) on shop/Deployment/checkout in production" in decision.reason


def test_without_a_policy_everything_is_denied() -> None:
    for tool in EFFECTS:
        assert decide(nothing_in_force(TOOLS), facts(tool)).outcome is Outcome.DENY


@pytest.mark.parametrize(("kind", "expected"), [("deny", Outcome.DENY), ("ask", Outcome.ASK), ("allow", Outcome.DENY)])
def test_an_error_counts_as_a_match_for_deny_and_ask_and_as_none_for_allow(kind: str, expected: Outcome) -> None:
    of = policy(f"  - {{id: r, decision: {kind}, match: {{tools: [kubernetes_scale]}}, when: target.replicas < 9}}")
    decision = decide(of, facts("kubernetes_scale", of=of))  # nobody knows target.replicas
    assert decision.outcome is expected
    assert decision.verdicts[0].result == "error"
    assert "replicas" in decision.verdicts[0].detail


def test_else_is_taken_where_the_condition_is_false_and_where_an_allow_cannot_be_evaluated() -> None:
    of = policy(
        "  - {id: r, decision: allow, match: {tools: [kubernetes_scale]}, when: target.replicas < 9,"
        " else: {decision: ask, reason: large}}"
    )
    assert outcome(of, "kubernetes_scale", target={"replicas": 3}) == (Outcome.ALLOW, "r")
    assert outcome(of, "kubernetes_scale", target={"replicas": 9}) == (Outcome.ASK, "r/else")
    assert outcome(of, "kubernetes_scale") == (Outcome.ASK, "r/else")


def test_warn_only_warns_and_shadow_only_records() -> None:
    rules = [ALLOW_ALL]
    rules += [
        f"  - {{id: {mode}-rule, decision: deny, match: {{effects: [write]}}, mode: {mode}, reason: because}}"
        for mode in ("warn", "shadow")
    ]
    decision = decide(policy("\n".join(rules)), facts("kubernetes_restart"))
    assert decision.outcome is Outcome.ALLOW
    assert decision.warnings == ("warn-rule would deny: because",)
    assert [(verdict.rule, verdict.mode) for verdict in decision.verdicts if verdict.decision is Outcome.DENY] == [
        ("warn-rule", "warn"),
        ("shadow-rule", "shadow"),
    ]


def test_of_several_asking_rules_the_strictest_sets_the_terms_and_all_exclusions_hold() -> None:
    of = policy(
        "  - {id: one, decision: ask, match: {effects: [write]}, approval: {expires: 10m, reason: always}}\n"
        "  - {id: two, decision: ask, match: {effects: [write]}, approval: {quorum: 2, exclude: [leads]}}\n"
    )
    decision = decide(of, facts("kubernetes_restart", of=of))
    assert decision.rule == "two"
    assert decision.terms is not None
    assert (decision.terms.quorum, decision.terms.expires_s, decision.terms.reason) == (2, 1800, "always")
    assert decision.terms.exclude == ("requester", "leads")


def test_terms_default_to_approvers_half_an_hour_and_a_quarter_for_what_destroys() -> None:
    of = policy("  - {id: r, decision: ask, match: {effects: [write, destructive]}}")
    for tool, expires in (("kubernetes_restart", 1800), ("kubernetes_delete_pod", 900)):
        terms = decide(of, facts(tool, of=of)).terms
        assert terms is not None
        assert (terms.groups, terms.quorum, terms.expires_s) == (("approvers",), 1, expires)


def test_a_rule_ends_on_the_day_it_expires() -> None:
    of = policy("  - {id: r, decision: allow, match: {effects: [write]}, expires_on: 2026-12-01}")
    assert outcome(of, "kubernetes_restart", calendar={"date": "2026-11-30"})[0] is Outcome.ALLOW
    decision = decide(of, facts("kubernetes_restart", of=of, calendar={"date": "2026-12-01"}))
    assert decision.outcome is Outcome.DENY
    assert decision.verdicts[0].detail == "expired on 2026-12-01"


def test_globs_narrow_by_environment_namespace_agent_and_origin() -> None:
    of = policy(
        "  - {id: r, decision: allow, match: {tools: [kubernetes_re*], environments: [stag*], namespaces: [web-?],"
        " agents: [rules], origins: [alert]}}"
    )
    fits: dict[str, Any] = {"target": {"environment": "staging", "namespace": "web-1"}}
    assert outcome(of, "kubernetes_restart", **fits)[0] is Outcome.ALLOW
    assert outcome(of, "kubernetes_scale", **fits)[0] is Outcome.DENY
    for root, field, value in (
        ("target", "environment", "production"),
        ("target", "namespace", "web-10"),
        ("run", "agent", "gpt"),
        ("run", "origin", "mention"),
    ):
        other = {**fits, root: {**fits.get(root, {}), field: value}}
        assert outcome(of, "kubernetes_restart", **other)[0] is Outcome.DENY


def test_an_ask_that_nobody_can_answer_says_so() -> None:
    decision = decide(shipped(approvers=()), facts("kubernetes_rollback"))
    assert decision.outcome is Outcome.ASK
    assert decision.warnings == ("Nobody can approve this: no person is set for approvers.",)


def test_a_gate_that_breaks_denies() -> None:
    for broken in ({}, {"tool": None}, {"tool": {"name": ["x"], "effect": "read"}, "target": {}, "args": {}}):
        decision = decide(SHIPPED, broken)
        assert (decision.outcome, decision.rule) == (Outcome.DENY, "builtin:gate-failed")


def test_an_invariant_denies_what_a_rule_would_let_through() -> None:
    of = policy(
        ALLOW_ALL.replace("match:", "when: 'target.owner == \"x\"', match:"),
        """
forbid_changes:
  - {name: never unasked, match: {effects: [destructive]}, never: allow}
""",
    )
    decision = decide(of, facts("kubernetes_delete_pod", of=of, target={"owner": "x"}))
    assert (decision.outcome, decision.rule) == (Outcome.DENY, "invariant:never unasked")
    assert outcome(of, "kubernetes_restart", target={"owner": "x"})[0] is Outcome.ALLOW


def test_an_invariant_that_cannot_be_evaluated_counts_as_broken() -> None:
    of = policy(
        ALLOW_ALL,
        "forbid_changes:\n  - {name: x, match: {effects: [write]}, when: 'target.owner == \"x\"', never: allow}",
    )
    assert outcome(of, "kubernetes_restart") == (Outcome.DENY, "invariant:x")
    assert outcome(of, "kubernetes_restart", target={"owner": "y"}) == (Outcome.ALLOW, "all")


def test_explain_says_of_every_rule_why_it_did_or_did_not_match() -> None:
    verdicts = {verdict.rule: verdict for verdict in explain(SHIPPED, facts("kubernetes_rollback"))}
    assert set(verdicts) == {rule.id for rule in SHIPPED.rules}
    assert verdicts["change-production"].result == "matched"
    assert verdicts["look-anywhere"].detail == "it is about other tools or effects"
    assert verdicts["repair-staging"].detail == "match.environments does not match"
    read = "rate.target_1h >= 3, where rate.target_1h is 0"
    assert verdicts["same-target-again"].detail == f"its condition is false: {read}"
    assert verdicts["change-production"].detail.startswith("its condition is true: !(target.environment in ")


def test_explain_says_what_an_error_failed_on_and_keeps_every_value_short_and_on_one_line() -> None:
    of = policy("  - {id: r, decision: ask, match: {tools: ['kubernetes_scale']}, when: target.owner == args.name}")
    long = facts("kubernetes_scale", {"name": "a\n" * 400}, of=of)
    [verdict] = explain(of, long)
    assert verdict.result == "error"
    assert "its condition fails (" in verdict.detail
    assert 'where target.owner is absent, args.name is "a\\n' in verdict.detail
    assert "\n" not in verdict.detail
    assert len(verdict.detail) < 250


# --- what no policy can override --------------------------------------------------------------------------------------


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease"])
def test_protected_namespaces_are_never_changed_but_may_be_read(namespace: str) -> None:
    for tool, effect in EFFECTS.items():
        got = outcome(WIDE_OPEN, tool, target={"namespace": namespace})
        wanted = (Outcome.ALLOW, "all") if effect is Effect.READ else (Outcome.DENY, "builtin:protected-namespace")
        assert got == wanted


def test_the_agents_own_namespace_is_protected() -> None:
    of = load({"p": text(ALLOW_ALL)}, TOOLS, {"AGENT_NAMESPACE": ("chatops",)})
    assert outcome(of, "kubernetes_restart", target={"namespace": "chatops"})[1] == "builtin:protected-namespace"


def test_a_protected_namespace_cannot_be_changed_as_an_object_either() -> None:
    target = {"kind": "Namespace", "name": "kube-system", "namespace": ""}
    assert outcome(WIDE_OPEN, "kubernetes_patch", target=target)[1] == "builtin:protected-namespace"


@pytest.mark.parametrize("kind", ["Secret", "secret", "secrets", "SECRETS", "secrets.v1", "Secret.core"])
def test_secrets_are_never_read(kind: str) -> None:
    assert outcome(WIDE_OPEN, "kubernetes_get", {"kind": kind})[1] == "builtin:secrets"
    assert outcome(WIDE_OPEN, "kubernetes_get", target={"kind": kind})[1] == "builtin:secrets"


def test_an_unknown_tool_and_a_claimed_effect_are_denied() -> None:
    unknown = facts("kubernetes_get") | {"tool": {"name": "kubernetes_get ", "effect": "read"}}
    assert decide(WIDE_OPEN, unknown).rule == "builtin:unknown-tool"
    claimed = facts("kubernetes_patch") | {"tool": {"name": "kubernetes_patch", "effect": "read"}}
    assert decide(WIDE_OPEN, claimed).rule == "builtin:unknown-tool"


def test_arguments_that_name_another_namespace_than_the_target_are_denied() -> None:
    assert outcome(WIDE_OPEN, "kubernetes_restart", {"namespace": "other"})[1] == "builtin:malformed"


@pytest.mark.parametrize(
    "args",
    [
        {"patch": {"x": "y" * 20_000}},
        {"patch": {"x": ["y"] * 101}},
        {"patch": {str(n): n for n in range(101)}},
        {"patch": {"x": ["y" * 1000] * 40}},
        {"patch": {"x": 1.5}},
    ],
)
def test_arguments_too_large_to_look_at_are_denied(args: dict[str, Any]) -> None:
    assert outcome(WIDE_OPEN, "kubernetes_patch", args)[1] == "builtin:too-large"


# --- properties -------------------------------------------------------------------------------------------------------

_ODD = st.one_of(
    st.sampled_from(
        ["kube-system", "KUBE-SYSTEM", "kube-system\x00", " kube-system", "kube\u200b-system", "kube‐system"]
    ),
    st.sampled_from(
        ["ｋube-system", "./kube-system", "shop/../kube-system", "kube-system ", "kube-ѕystem", "", "%6bube"]
    ),
    st.text(max_size=12),
    st.integers(),
    st.none(),
    st.lists(st.text(max_size=4), max_size=2),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)
_TOOL = st.one_of(
    st.sampled_from(sorted(EFFECTS)),
    st.sampled_from(sorted(EFFECTS)).flatmap(
        lambda name: st.sampled_from([name.upper(), name + "\x00", name + " ", f"x{name}"])
    ),
    st.text(max_size=20),
)


@settings(max_examples=600, deadline=None)
@given(tool=_TOOL, namespace=_ODD, kind=_ODD, extra=st.dictionaries(st.text(max_size=8), _ODD, max_size=3), claim=_ODD)
def test_no_mutated_call_is_allowed_to_change_a_protected_target(
    tool: str, namespace: Any, kind: Any, extra: dict[str, Any], claim: Any
) -> None:
    """The target is kube-system; the model says of it what it likes, in the widest policy there is."""
    given_facts = {
        **facts("kubernetes_patch"),
        "tool": {"name": tool, "effect": EFFECTS.get(tool, Effect.WRITE).value},
        "args": {**extra, "namespace": namespace, "kind": kind, "environment": claim},
    }
    given_facts["target"] |= {"namespace": "kube-system", "environment": "production"}
    decision = decide(WIDE_OPEN, given_facts)
    if decision.outcome is Outcome.ALLOW:
        assert EFFECTS[tool] is Effect.READ


@settings(max_examples=600, deadline=None)
@given(namespace=_ODD)
def test_a_target_is_changed_only_under_a_well_formed_unprotected_name(namespace: Any) -> None:
    target = {"namespace": namespace}
    decision = decide(WIDE_OPEN, facts("kubernetes_restart", target=target))
    if decision.outcome is Outcome.ALLOW:
        assert isinstance(namespace, str)
        assert namespace == "" or (namespace.isascii() and namespace == namespace.lower().strip())
        assert namespace not in ("kube-system", "kube-public", "kube-node-lease")


_RULE = st.builds(
    lambda decision, effects, environments, when: {
        "decision": decision,
        "match": {"effects": effects, "environments": environments},
        **({"when": when} if when else {}),
    },
    st.sampled_from(["deny", "ask", "allow"]),
    st.lists(st.sampled_from(["read", "write", "destructive"]), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from(["production", "staging", "*"]), min_size=1, max_size=2, unique=True),
    st.sampled_from(["", "run.tainted", "target.replicas < 5", "rate.target_1h == 0", "!calendar.frozen"]),
)
_SITUATION = st.fixed_dictionaries(
    {
        "tool": st.sampled_from(sorted(EFFECTS)),
        "environment": st.sampled_from(["production", "staging", "qa"]),
        "replicas": st.none() | st.integers(0, 9),
        "tainted": st.booleans(),
    }
)
_STRICTNESS = {Outcome.DENY: 2, Outcome.ASK: 1, Outcome.ALLOW: 0}


def _listed(rules: list[dict[str, Any]]) -> Policy:
    return policy("\n".join(f"  - {json.dumps({'id': f'r{n}', **rule})}" for n, rule in enumerate(rules)))


def _stated(values: dict[str, Any], of: Policy) -> dict[str, Any]:
    target = {"environment": values["environment"]}
    if values["replicas"] is not None:
        target["replicas"] = values["replicas"]
    return facts(values["tool"], of=of, target=target, run={"tainted": values["tainted"]})


@settings(max_examples=120, deadline=None)
@given(rules=st.lists(_RULE, min_size=1, max_size=5), more=_RULE, values=_SITUATION)
def test_one_more_rule_that_denies_never_loosens_and_order_never_matters(
    rules: list[dict[str, Any]], more: dict[str, Any], values: dict[str, Any]
) -> None:
    before, after = _listed(rules), _listed([*rules, {**more, "decision": "deny"}])
    was, now = decide(before, _stated(values, before)), decide(after, _stated(values, after))
    assert was.outcome is Outcome.DENY or _STRICTNESS[now.outcome] >= _STRICTNESS[was.outcome]
    assert now.outcome is Outcome.DENY or was.outcome is not Outcome.DENY
    turned = _listed(rules[::-1])
    assert decide(turned, _stated(values, turned)).outcome is was.outcome


# --- modes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Mode.PROPOSE, Mode.OBSERVE])
def test_outside_act_every_allowed_change_asks(mode: Mode) -> None:
    decision = decide(WIDE_OPEN, facts("kubernetes_rollback"))
    asked = under_mode(decision, mode, action(), WIDE_OPEN)
    assert asked.outcome is Outcome.ASK
    assert asked.terms == WIDE_OPEN.default_terms(Effect.WRITE)
    assert f"In mode {mode.value}" in asked.reason
    assert under_mode(decision, Mode.ACT, action(), WIDE_OPEN) is decision


def test_modes_leave_reads_and_denials_as_they_are() -> None:
    allowed = decide(WIDE_OPEN, facts("kubernetes_get"))
    assert under_mode(allowed, Mode.OBSERVE, action("kubernetes_get"), WIDE_OPEN) is allowed
    denied = decide(nothing_in_force(), facts("kubernetes_rollback"))
    assert under_mode(denied, Mode.PROPOSE, action(), WIDE_OPEN) is denied


def test_a_destructive_action_asked_by_mode_expires_in_a_quarter_of_an_hour() -> None:
    decision = decide(WIDE_OPEN, facts("kubernetes_delete_pod"))
    asked = under_mode(decision, Mode.PROPOSE, action("kubernetes_delete_pod"), WIDE_OPEN)
    assert asked.terms is not None
    assert asked.terms.expires_s == 900


# --- the situation ----------------------------------------------------------------------------------------------------


def test_the_situation_is_plain_json_and_holds_only_known_facts() -> None:
    got = built()
    assert json.loads(canonical(got)) == got
    assert got["tool"] == {"name": "kubernetes_rollback", "effect": "write"}
    assert got["target"] == {
        "system": "kubernetes",
        "environment": "production",
        "namespace": "shop",
        "kind": "Deployment",
        "name": "checkout",
        "replicas": 3,
        "age_s": 86_400,
        "owner": "payments",
        "touches": 3,
    }
    assert got["run"] == {"origin": "alert", "mode": "act", "agent": "rules", "tainted": True, "cost_micros": 1200}
    assert got["rate"] == {"target_1h": 1, "agent_1h": 2, "failed_1h": 0, "touches_1h": 5, "problem_1h": 1}
    assert got["trust"] == {"proposed": 4, "verified": 3}
    assert got["requester"] == {"id": "", "groups": ["leads"]}
    assert got["calendar"]["business"] is True
    assert decide(SHIPPED, got).rule == "change-production"


def test_facts_come_from_the_server_and_not_from_a_tools_facts() -> None:
    lying = replace(action(), facts={"environment": "staging", "namespace": "x", "replicas": "3", "owner": ""})
    target = built(action=lying)["target"]
    assert (target["environment"], target["namespace"]) == ("production", "shop")
    assert "replicas" not in target
    assert "owner" not in target


def test_what_is_not_known_is_absent() -> None:
    got = built(
        action=replace(action(), touches=0, facts={}, arguments={"name": "x", "to_revision": None}), rate={}, trust={}
    )
    assert "touches" not in got["target"]
    assert got["args"] == {"name": "x"}
    assert got["rate"] == {}


def test_an_environment_nobody_listed_is_asked_about_like_production() -> None:
    elsewhere = replace(action(), target=Target("kubernetes", "qa", "shop", "Deployment", "checkout"))
    assert decide(SHIPPED, built(action=elsewhere)).outcome is Outcome.ASK
