"""The brakes as pure rules: what opens a breaker, what asks a person, and that nothing here ever lets more through."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from domain.actions import Action, Effect
from domain.alerts import Alert
from domain.brakes import AGENT_SCOPE, Brakes, Breaker, Demotion, Revert
from domain.decisions import Decision, Outcome
from domain.diagnosis import Finding
from domain.runs import Budget, Run
from policies import autonomy, brakes
from policies.brakes import AGENT_FAILURES, SAME_PROBLEM, TOOL_FAILURES
from tests.unit.policy_samples import NOW, action, policy, shipped, spec

ROLLBACK, RESTART = "kubernetes_rollback", "kubernetes_restart"
ALLOWED = Decision(Outcome.ALLOW, "repair", "It is safe.", "hash")
ASKED = replace(ALLOWED, outcome=Outcome.ASK, terms=shipped().default_terms(Effect.WRITE))
OPEN = Breaker(ROLLBACK, "3 failed.", NOW)
DEMOTED = Demotion(ROLLBACK, "production", "exe-1 was taken back.", NOW)


def failures(scope: str, count: int) -> Brakes:
    return Brakes(failures={scope: tuple(f"exe-{number}" for number in range(count))})


def after(decision: Decision, brake: Brakes = Brakes(), acted: int = 0, of: Action | None = None) -> Decision:  # noqa: B008 – frozen
    return brakes.braked(decision, brake, acted, of or action(), shipped())


# --- breakers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scope", "limit"), [(ROLLBACK, TOOL_FAILURES), (AGENT_SCOPE, AGENT_FAILURES)])
def test_a_breaker_trips_at_its_limit_and_not_before(scope: str, limit: int) -> None:
    assert brakes.trips(failures(scope, limit - 1)) == ()
    [trip] = brakes.trips(failures(scope, limit))
    assert (trip.scope, len(trip.executions)) == (scope, limit)
    assert f"{limit} " in trip.reason


def test_a_breaker_that_stands_open_is_not_opened_again() -> None:
    assert brakes.trips(replace(failures(ROLLBACK, 9), breakers=(OPEN,))) == ()


def test_an_open_breaker_covers_its_tool_and_the_agents_covers_all() -> None:
    own, agents = Brakes((OPEN,)), Brakes((replace(OPEN, scope=AGENT_SCOPE),))
    assert "/agent reset kubernetes_rollback" in brakes.observing(own, ROLLBACK)
    assert brakes.observing(own, RESTART) == ""
    assert "/agent reset agent" in brakes.observing(agents, RESTART)


def test_a_breaker_that_is_due_counts_as_open_before_anybody_recorded_it() -> None:
    assert brakes.observing(failures(ROLLBACK, TOOL_FAILURES), ROLLBACK)
    assert brakes.observing(failures(ROLLBACK, TOOL_FAILURES), RESTART) == ""


@pytest.mark.parametrize("decision", [ALLOWED, ASKED])
def test_under_an_open_breaker_whatever_was_decided_is_a_record_that_cannot_execute(decision: Decision) -> None:
    got = after(decision, Brakes((OPEN,)))
    assert (got.outcome, bool(got.observe), got.terms is not None) == (Outcome.ASK, True, True)
    assert "/agent reset kubernetes_rollback" in " ".join((got.reason, *got.warnings))


# --- asking instead ---------------------------------------------------------------------------------------------------


def test_a_problem_that_was_acted_on_twice_within_the_hour_asks_a_person_even_where_policy_allows() -> None:
    assert after(ALLOWED, acted=SAME_PROBLEM - 1) == ALLOWED
    got = after(ALLOWED, acted=SAME_PROBLEM)
    assert (got.outcome, got.observe) == (Outcome.ASK, "")
    assert "acted on 2 times within the hour and is back" in got.reason
    assert "The rule repair would allow it" in got.reason


def test_where_policy_asks_anyway_the_card_says_that_the_problem_is_back() -> None:
    got = after(ASKED, acted=SAME_PROBLEM)
    assert (got.outcome, got.reason, got.terms) == (Outcome.ASK, ASKED.reason, ASKED.terms)
    assert "is back" in got.warnings[0]


@pytest.mark.parametrize(
    "brake", [Brakes(demotions=(DEMOTED,)), Brakes(reverts=(Revert(ROLLBACK, "production", "exe-1"),))]
)
def test_what_was_taken_back_asks_in_that_environment_and_only_there(brake: Brakes) -> None:
    got = after(ALLOWED, brake)
    assert got.outcome is Outcome.ASK
    assert "/agent restore kubernetes_rollback production" in got.reason
    elsewhere = action()
    elsewhere = replace(elsewhere, target=replace(elsewhere.target, environment="staging"))
    assert after(ALLOWED, brake, of=elsewhere) == ALLOWED
    assert after(ALLOWED, brake, of=action(RESTART)) == ALLOWED


def test_a_card_that_nobody_can_approve_says_so() -> None:
    nobody = policy("  - {id: all, decision: allow, match: {effects: [write]}}", approvers=())
    assert "Nobody can approve this" in brakes.braked(ALLOWED, Brakes(), 9, action(), nobody).warnings[0]


# --- only ever less ---------------------------------------------------------------------------------------------------

_LOOSE = {Outcome.DENY: 0, Outcome.ASK: 1, Outcome.ALLOW: 2}
_SCOPES = st.sampled_from([ROLLBACK, RESTART, AGENT_SCOPE])
_BRAKES = st.builds(
    Brakes,
    st.lists(_SCOPES.map(lambda scope: replace(OPEN, scope=scope)), max_size=2).map(tuple),
    st.lists(st.just(DEMOTED), max_size=1).map(tuple),
    st.dictionaries(_SCOPES, st.lists(st.just("exe"), max_size=7).map(tuple)),
    st.lists(st.just(Revert(ROLLBACK, "production", "exe")), max_size=1).map(tuple),
)


@given(_BRAKES, st.integers(0, 9), st.sampled_from(Outcome), st.sampled_from(Effect))
def test_the_brakes_never_let_more_through_than_policy_did(
    brake: Brakes, acted: int, outcome: Outcome, effect: Effect
) -> None:
    before = replace(ASKED, outcome=outcome, terms=None if outcome is not Outcome.ASK else ASKED.terms)
    got = after(before, brake, acted, replace(action(), effect=effect))
    assert _LOOSE[got.outcome] <= _LOOSE[before.outcome]
    assert got == before or (effect is not Effect.READ and outcome is not Outcome.DENY)


# --- the same problem -------------------------------------------------------------------------------------------------


def run_of(*findings: Finding, undoes: str = "") -> Run:
    alert = Alert("f1", True, "CartDown", "alertmanager", NOW)
    return Run(spec(alert=alert, undoes=undoes), datetime(2026, 1, 1, tzinfo=UTC), findings=findings)


def test_a_change_is_meant_for_its_alert_and_for_the_findings_on_its_target() -> None:
    here = Finding("rollout.bad", "Bad", "", action().target)
    there = replace(here, target=replace(here.target, name="other"))
    well = replace(here, code="fine", healthy=True)
    assert brakes.problems(run_of(here, there, well, here), action()) == (
        "alert f1",
        "rollout.bad on kubernetes/shop/Deployment/checkout",
    )


def test_taking_something_back_is_meant_for_no_problem() -> None:
    assert brakes.problems(run_of(undoes="exe-1"), action()) == ()


def test_the_window_is_an_hour() -> None:
    assert NOW - brakes.since(NOW) == timedelta(hours=1)


def test_everything_that_stands_is_said_with_its_way_out() -> None:
    said = " ".join(brakes.sentences(Brakes((OPEN,), (DEMOTED,))))
    assert "3 failed." in said
    assert "/agent reset kubernetes_rollback" in said
    assert "/agent restore kubernetes_rollback production" in said


def test_the_figures_of_the_documentation_are_the_figures() -> None:
    page = (Path(__file__).parents[2] / "docs" / "brakes.md").read_text()
    budget = Budget()
    for said in (
        f"| circuit breaker of a tool | {TOOL_FAILURES} of its executions within an hour",
        f"| circuit breaker of the agent | {AGENT_FAILURES} of all tools",
        f"| the problem is back | {SAME_PROBLEM} changes within an hour",
        f"{budget.steps} steps, {budget.tokens:,} tokens, {budget.cost_micros // 1_000_000} US dollar",
        f"{budget.seconds} seconds of work, {budget.actions} changes",
        f"at\nleast {autonomy.ENOUGH} were executed",
        f"is at least {autonomy.GOOD:.0%}".replace("%", " %"),
        f"at least {autonomy.FEW} executions, and the upper end of the interval below {autonomy.POOR:.0%}".replace(
            "%", " %"
        ),
    ):
        assert said in page, said
    rules = {rule.id for rule in shipped().rules}
    assert set(re.findall(r"`([a-z]+(?:-[a-z]+)+)`", page)) <= rules
