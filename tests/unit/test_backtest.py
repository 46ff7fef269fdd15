"""Back-tests: every decision that a changed policy flips, the dangerous ones first, and what follows from a flip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.actions import Mode
from domain.codec import encode
from domain.decisions import Outcome
from policies.backtest import EXAMPLES, Backtest, Flips
from policies.gate import decide, under_mode
from policies.policy import Policy
from policies.recorded import Recorded, Said, said_of
from tests.unit.policy_samples import action, facts, policy

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
NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)  # a Wednesday


def one(of: Policy, tool: str, *, at: datetime = NOON, call: str = "r c", **more: Any) -> Recorded:
    """A call in staging that this policy decided."""
    history = {key: more.pop(key) for key in ("answer", "executed_at", "verified", "failed") if key in more}
    situation = facts(tool, of=of, target={"environment": "staging", **more.pop("target", {})}, **more)
    return Recorded(1, at, situation, said_of(encode(decide(of, situation))), call, **history)


def each(of: Policy, *tools: str) -> Iterator[Recorded]:
    return (one(of, tool, call=f"r c{number}") for number, tool in enumerate(tools))


def tried(new: Policy, recorded: Iterable[Recorded], **how: Any) -> Flips:
    test = Backtest(new, **how)
    for decision in recorded:
        test.take(decision)
    return test.result()


# --- recorded inputs as they were -------------------------------------------------------------------------------------


def test_the_same_policy_flips_nothing() -> None:
    result = tried(OLD, each(OLD, "kubernetes_get", "kubernetes_scale", "kubernetes_patch"))
    assert (result.decisions, result.changed, result.flips, result.broken) == (3, 0, (), {})


def test_newly_allowed_destruction_comes_first_with_at_most_ten_examples() -> None:
    calls = ["kubernetes_scale"] * 15 + ["kubernetes_patch"] * 12 + ["kubernetes_get"]
    first, second = tried(NEW, each(OLD, *calls)).flips
    assert (first.before, first.before_rule, first.after, first.count) == (Outcome.ASK, "destroy", Outcome.ALLOW, 12)
    assert first.destructive
    assert first.newly_allowed
    assert first.loosens
    assert len(first.examples) == EXAMPLES == 10
    assert (second.after, second.after_rule, second.count, second.loosens) == (Outcome.DENY, "staging", 15, False)


def test_the_same_outcome_by_another_rule_is_a_flip_that_changes_nothing() -> None:
    renamed = policy(BASE.replace("id: writes", "id: changes"))
    result = tried(renamed, each(OLD, "kubernetes_scale"))
    assert (result.changed, result.flips[0].after_rule) == (0, "changes")


def test_questions_a_day_are_counted_per_group_before_and_after() -> None:
    calls = [one(OLD, tool) for tool in ("kubernetes_scale", "kubernetes_restart", "kubernetes_patch")]
    result = tried(NEW, [*calls, one(OLD, "kubernetes_get", at=NOON + timedelta(days=4))])
    assert result.asked_before == {"approvers": 2, "leads": 1}
    assert result.asked_after == {"approvers": 1}
    assert result.days == 4.0


def test_a_policy_may_be_compared_with_another_instead_of_with_the_record() -> None:
    assert tried(NEW, each(OLD, "kubernetes_patch"), old=NEW).changed == 0
    assert tried(NEW, each(NEW, "kubernetes_patch"), old=OLD).changed == 1


def test_what_a_mode_made_of_a_decision_is_not_mistaken_for_what_the_rules_say() -> None:
    """In mode propose a newly allowed deletion still asks, and yet it is newly allowed: the mode may change tomorrow."""
    situation = facts("kubernetes_patch", of=OLD, run={"mode": "propose"})
    asked = Recorded(1, NOON, situation, said_of(encode(decide(OLD, situation))))
    [flip] = tried(NEW, [asked]).flips
    assert flip.newly_allowed
    decision = under_mode(decide(NEW, situation), Mode.PROPOSE, action("kubernetes_patch"), NEW)
    allowed_but_asked = Recorded(1, NOON, situation, said_of(encode(decision)))
    assert allowed_but_asked.said == Said(Outcome.ALLOW, "destroy", Outcome.ASK, ("approvers",))
    result = tried(NEW, [allowed_but_asked])
    assert result.flips == ()
    assert result.asked_before == result.asked_after == {"approvers": 1}


def test_a_brake_that_held_a_change_back_holds_it_under_every_policy() -> None:
    """A breaker was open, so what the rules allow was asked all the same; so it would have been of the new rules."""
    braked = replace(one(NEW, "kubernetes_patch"), said=Said(Outcome.ALLOW, "destroy", Outcome.ASK, ("approvers",)))
    result = tried(NEW, [braked])
    assert result.flips == ()
    assert result.asked_after == {"approvers": 1}


def test_calendars_belong_to_the_policy_and_a_changed_one_counts() -> None:
    rules = BASE + "  - {id: hours, decision: deny, match: {effects: [write]}, when: '!calendar.business'}\n"
    hours = "calendars: {{business: {{time_zone: Europe/Berlin, days: [wed], hours: {}}}}}"
    open_at_noon, closed_at_noon = (policy(rules, hours.format(each)) for each in ("09:00-17:00", "09:00-12:30"))
    recorded = [one(open_at_noon, "kubernetes_scale")]  # 12:00 UTC is 13:00 in Berlin
    assert tried(open_at_noon, recorded).changed == 0
    assert tried(closed_at_noon, recorded).flips[0].after_rule == "hours"


def test_broken_invariants_of_the_new_policy_and_of_the_one_in_force_are_counted() -> None:
    never = "{name: x is left alone, match: {effects: [write]}, when: 'target.owner == \"x\"', never: [ask]}"
    guarded = policy(BASE, f"forbid_changes: [{never}]")
    recorded = [one(OLD, "kubernetes_scale", target={"owner": "x"})]
    assert tried(guarded, recorded).broken == {"x is left alone": 1}
    assert tried(OLD, recorded, in_force=guarded).broken == {"x is left alone": 1}
    assert tried(OLD, recorded).broken == {}


def test_a_broken_record_is_a_denial_and_not_a_crash() -> None:
    broken = Recorded(1, NOON, {}, Said(Outcome.ALLOW, "x", Outcome.ALLOW))
    for counterfactual in (False, True):
        assert tried(NEW, [broken], counterfactual=counterfactual).flips[0].after_rule == "builtin:gate-failed"


# --- counterfactual ---------------------------------------------------------------------------------------------------

CAPPED = BASE + "  - {id: enough, decision: deny, match: {effects: [write]}, when: rate.target_1h >= 2}\n"
ALLOWED = policy(CAPPED.replace("id: writes, decision: ask", "id: writes, decision: allow").replace(
    "{effects: [write]}, approval: {groups: [approvers]}", "{effects: [write]}"
))  # fmt: skip


def minutes(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def unanswered(of: Policy, count: int, *, every: int = 10) -> list[Recorded]:
    """Questions that nobody answered, so that nothing was executed."""
    return [one(of, "kubernetes_restart", at=minutes(every * n), call=f"r c{n}") for n in range(count)]


def test_what_is_newly_allowed_counts_in_later_rates() -> None:
    """As recorded, all five would be allowed; in truth the third and later ones would have met the cap of two an hour."""
    recorded = unanswered(policy(CAPPED), 5)
    assert [flip.count for flip in tried(ALLOWED, recorded).flips] == [5]
    counted = {flip.after_rule: flip.count for flip in tried(ALLOWED, recorded, counterfactual=True).flips}
    assert counted == {"writes": 2, "enough": 3}


def test_what_is_newly_allowed_counts_in_the_blast_radius_of_its_hour() -> None:
    wide = CAPPED.replace("rate.target_1h >= 2", "rate.touches_1h >= 2")  # each touches one
    new = policy(
        wide.replace("id: writes, decision: ask", "id: writes, decision: allow").replace(
            "{effects: [write]}, approval: {groups: [approvers]}", "{effects: [write]}"
        )
    )
    counted = {
        flip.after_rule: flip.count for flip in tried(new, unanswered(policy(wide), 5), counterfactual=True).flips
    }
    assert counted == {"writes": 2, "enough": 3}


def test_rates_forget_after_an_hour() -> None:
    recorded = unanswered(policy(CAPPED), 5, every=40)
    result = tried(ALLOWED, recorded, counterfactual=True)
    assert {flip.after_rule: flip.count for flip in result.flips} == {"writes": 5}


def test_an_execution_that_a_new_rule_denies_no_longer_counts() -> None:
    frozen = policy(CAPPED + "  - {id: early, decision: deny, match: {effects: [write]}, when: calendar.hour < 12}\n")
    capped = policy(CAPPED)
    done = {"answer": "approved", "verified": True}
    recorded = [
        one(capped, "kubernetes_restart", at=minutes(-20), call="a", executed_at=minutes(-19), **done),
        one(capped, "kubernetes_restart", at=minutes(-10), call="b", executed_at=minutes(-9), **done),
        one(capped, "kubernetes_restart", at=minutes(5), call="c", rate={"target_1h": 2}),
    ]
    assert recorded[2].said.rule == "enough"
    result = tried(frozen, recorded, counterfactual=True)
    assert [(flip.before_rule, flip.after_rule, flip.count) for flip in result.flips] == [
        ("enough", "writes", 1),
        ("writes", "early", 2),
    ]
    assert result.drifted == 1
    assert tried(frozen, recorded).changed == 2


def test_another_targets_executions_leave_its_rate_alone_and_count_for_the_agent() -> None:
    agent = CAPPED.replace("rate.target_1h >= 2", "rate.agent_1h >= 2")
    for rules, outcome in ((CAPPED, "writes"), (agent, "enough")):
        old = policy(rules)
        new = policy(rules.replace("id: writes, decision: ask", "id: writes, decision: allow").replace(
            "{effects: [write]}, approval: {groups: [approvers]}", "{effects: [write]}"
        ))  # fmt: skip
        other = one(old, "kubernetes_restart", at=minutes(30), call="other", target={"name": "cart"})
        result = tried(new, [*unanswered(old, 2), other], counterfactual=True)
        assert {flip.after_rule for flip in result.flips if flip.count == 1 or outcome == "writes"} == {outcome}


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ({"answer": "approved", "executed_at": minutes(1), "verified": True}, {"proposed": 9, "approved": 9}),
        ({"answer": "denied"}, {"proposed": 9, "denied": 9, "executed": 11}),
        ({}, {"proposed": 9, "executed": 11}),
    ],
)
def test_trust_is_recomputed_from_what_was_asked_and_done(history: dict[str, Any], expected: dict[str, int]) -> None:
    """A question that is no longer asked leaves the counts of questions; what happens by itself counts as executed."""
    tens = dict.fromkeys(("proposed", "approved", "denied", "executed", "verified", "failed"), 10)
    first = one(OLD, "kubernetes_restart", call="a", trust=tens, **history)
    second = one(OLD, "kubernetes_restart", call="b", at=minutes(30), trust=tens)
    watching = BASE.replace("decision: ask, match: {effects: [write]}, approval: {groups: [approvers]}",
        "decision: allow, match: {effects: [write]}")  # fmt: skip
    conditions = " && ".join(f"trust.{name} == {value}" for name, value in {**tens, **expected}.items())
    new = policy(f"{watching}  - {{id: seen, decision: deny, match: {{effects: [write]}}, when: '{conditions}'}}\n")
    result = tried(new, [first, second], counterfactual=True)
    assert {flip.after_rule: flip.count for flip in result.flips} == {"writes": 1, "seen": 1}


def test_a_call_that_was_decided_twice_is_executed_once() -> None:
    again = replace(unanswered(policy(CAPPED), 1)[0], at=minutes(1))
    recorded = [
        *unanswered(policy(CAPPED), 1),
        again,
        one(policy(CAPPED), "kubernetes_restart", at=minutes(2), call="x"),
    ]
    result = tried(ALLOWED, recorded, counterfactual=True)
    assert {flip.after_rule: flip.count for flip in result.flips} == {"writes": 3}


def test_nothing_drifts_where_nothing_changes() -> None:
    result = tried(policy(CAPPED), unanswered(policy(CAPPED), 5), counterfactual=True)
    assert (result.drifted, result.changed) == (0, 0)


def test_memory_stays_flat_however_many_decisions_there_are() -> None:
    """Whatever is kept is bounded: examples, an hour of differences, one counter per subject, and the last calls."""
    test = Backtest(ALLOWED, counterfactual=True)
    situations: Mapping[str, Any] = one(policy(CAPPED), "kubernetes_restart").situation
    said = one(policy(CAPPED), "kubernetes_restart").said
    for number in range(3000):
        test.take(Recorded(number, NOON + timedelta(minutes=7 * number), situations, said, f"r c{number}"))
    drift = test._drift
    assert drift is not None
    assert len(drift._hour) + len(drift._ahead) < 20
    assert sum(len(flip.examples) for flip in test.result().flips) <= 2 * EXAMPLES
