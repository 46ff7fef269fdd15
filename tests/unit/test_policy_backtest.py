"""Back-tests: every decision that a changed policy flips, the dangerous ones first."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from domain.decisions import Decision, Outcome
from policies.backtest import EXAMPLES, backtest
from policies.gate import decide
from policies.policy import Policy
from tests.unit.policy_samples import facts, policy

BASE = """\
  - {id: reads, decision: allow, match: {effects: [read]}}
  - {id: writes, decision: ask, match: {effects: [write]}, approval: {groups: [approvers]}}
  - {id: destroy, decision: ask, match: {effects: [destructive]}, approval: {groups: [leads]}}
"""
OLD = policy(BASE)
NEW = policy(
    BASE.replace("id: destroy, decision: ask", "id: destroy, decision: allow").replace(
        ", approval: {groups: [leads]}", ""
    )
    + "  - {id: staging, decision: deny, match: {tools: [kubernetes_scale], environments: [staging]}}\n"
)


def recorded(of: Policy, *tools: str, environment: str = "staging") -> Iterator[tuple[Mapping[str, Any], Decision]]:
    for tool in tools:
        situation = facts(tool, of=of, target={"environment": environment})
        yield situation, decide(of, situation)


def test_the_same_policy_flips_nothing() -> None:
    result = backtest(OLD, OLD, recorded(OLD, "kubernetes_get", "kubernetes_scale", "kubernetes_patch"))
    assert (result.decisions, result.changed, result.flips) == (3, 0, ())


def test_newly_allowed_destruction_comes_first_with_its_examples() -> None:
    calls = ["kubernetes_scale"] * 15 + ["kubernetes_patch"] * 12 + ["kubernetes_get"]
    result = backtest(OLD, NEW, recorded(OLD, *calls))
    first, second = result.flips
    assert (first.before, first.before_rule, first.after, first.count) == (Outcome.ASK, "destroy", Outcome.ALLOW, 12)
    assert first.destructive
    assert first.loosens
    assert len(first.examples) == EXAMPLES
    assert (second.after, second.after_rule, second.count, second.loosens) == (Outcome.DENY, "staging", 15, False)
    assert result.changed == 27


def test_questions_are_counted_per_group_before_and_after() -> None:
    result = backtest(OLD, NEW, recorded(OLD, "kubernetes_scale", "kubernetes_restart", "kubernetes_patch"))
    assert result.asked_before == {"approvers": 2, "leads": 1}
    assert result.asked_after == {"approvers": 1}


def test_without_an_old_policy_the_recorded_decision_is_the_yardstick() -> None:
    assert backtest(None, NEW, recorded(OLD, "kubernetes_patch")).changed == 1
    assert backtest(None, NEW, recorded(NEW, "kubernetes_patch")).changed == 0


def test_broken_invariants_are_counted() -> None:
    never = "{name: x is left alone, match: {effects: [write]}, when: 'target.owner == \"x\"', never: [ask]}"
    guarded = policy(BASE, f"forbid_changes: [{never}]")
    situation = facts("kubernetes_scale", of=guarded, target={"environment": "staging", "owner": "x"})
    assert backtest(OLD, guarded, [(situation, decide(OLD, situation))]).broken == {"x is left alone": 1}


def test_a_broken_record_is_a_denial_and_not_a_crash() -> None:
    assert (
        backtest(None, NEW, [({}, Decision(Outcome.ALLOW, "x", "", ""))]).flips[0].after_rule == "builtin:gate-failed"
    )


def test_a_hundred_thousand_records_would_take_seconds() -> None:
    one = list(recorded(OLD, "kubernetes_scale", "kubernetes_get"))
    began = time.process_time()
    backtest(OLD, NEW, (one[number % 2] for number in range(5_000)))
    assert time.process_time() - began < 1.5  # 100,000 in less than 30 s even on a slow machine
