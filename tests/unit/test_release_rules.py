"""A release by the built-in rules: policy chooses the way, and nothing is asked for twice. And what policy may know of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.agent.outcome import outcome_of
from bot.agent.release import release_facts
from bot.agent.worth import Bill, work_unit
from bot.models.release import next_proposal, what_became
from bot.models.rules import answer, conclude
from domain.actions import Action, Effect, Mode, Target, Undo
from domain.canonical import canonical
from domain.decisions import Check, Decision, Execution, ExecutionOutcome, Outcome
from domain.diagnosis import Evidence, Finding
from domain.releases import PLAY
from domain.runs import Call, Origin, Run, RunOutcome, RunSpec, ToolCall, ToolResult
from domain.work import WorkOutcome
from policies.budget import remaining

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
CHECKOUT = Target("gitlab", "production", "shop", "GitLabProject", "checkout")
COMMIT = "c6d86dc654b12425e706bcf951adfe5a8627a517"
WHOLE = {"project": "shop/checkout", "job": 12, "environment": "production"}
CANARY = {"project": "shop/checkout", "job": 11, "environment": "production/canary"}
UNDO = Undo(
    PLAY, {"project": "shop/checkout", "job": 3, "environment": "production/canary"}, "Deploys what was there before."
)
RISK = Finding(
    "release.risk",
    "checkout c6d86dc654b1 to production, risk 45 of 100",
    "size 10 of 30: 180 lines",
    CHECKOUT,
    (Evidence("E1", "pipeline"),),
    facts={"risk": 45, "commit": COMMIT, "whole": WHOLE, "canary": CANARY, "confidence": "proven"},
)


def run(*calls: Call, found: Finding = RISK) -> Run:
    spec = RunSpec("run-1", "inc-1", Origin.ALERT, "rules", Mode.PROPOSE, CHECKOUT)
    return Run(spec, AT, findings=(found,), calls={f"c{number}": call for number, call in enumerate(calls)})


def called(arguments: dict[str, Any], **more: Any) -> Call:
    action = Action(PLAY, {**arguments, "variables": {}}, Effect.WRITE, CHECKOUT, facts=facts(arguments))
    return Call(ToolCall("c", PLAY, canonical(arguments).decode()), 1, action, **more)


def facts(arguments: dict[str, Any], commit: str = COMMIT) -> dict[str, Any]:
    return {"commit": commit, "canary": arguments is CANARY, "deployed_before": False}


def denied(arguments: dict[str, Any], rule: str = "release-canary-first") -> Call:
    decision = Decision(Outcome.DENY, rule, "The risk is 30 or more: a canary goes first.", "hash")
    return called(
        arguments, decision=decision, result=ToolResult("c", PLAY, ok=False, text=f"denied by policy (rule {rule})")
    )


def executed(arguments: dict[str, Any], *, verified: bool, undo: Undo | None = None) -> Call:
    call = called(arguments)
    assert call.action is not None
    checks = (Check("the canary's errors", passed=verified, detail="9 % against 0.1 % of the rest"),)
    done = Execution("exe-1", "c", call.action, "exe-1", AT, outcome=ExecutionOutcome.SUCCEEDED)
    done = replace(done, verified=verified, checks=checks, undo=undo, verified_at=AT + timedelta(minutes=20))
    return replace(call, execution=done, result=ToolResult("c", PLAY, ok=verified, text="Executed."))


def asked(of: Run) -> tuple[str, Any] | None:
    found = next_proposal(of, of.findings[0] if of.findings else RISK)
    return (found.tool, found.arguments) if found else None


def test_the_whole_deployment_is_asked_for_first() -> None:
    assert asked(run()) == (PLAY, WHOLE)


def test_where_policy_refuses_the_whole_a_canary_is_asked_for() -> None:
    assert asked(run(denied(WHOLE))) == (PLAY, CANARY)


def test_where_policy_refuses_both_the_release_is_held_and_nothing_more_is_asked() -> None:
    held = run(denied(WHOLE), denied(CANARY, "release-hold"))
    assert asked(held) is None
    assert what_became(held, RISK) == "Held"
    assert conclude(held).summary.startswith("Held: checkout c6d86dc654b1 to production, risk 45")


def test_without_a_canary_job_a_refused_release_is_held() -> None:
    found = replace(RISK, facts={**RISK.facts, "canary": None})
    assert asked(run(denied(WHOLE), found=found)) is None


def test_a_canary_that_did_well_is_followed_by_the_whole() -> None:
    assert asked(run(denied(WHOLE), executed(CANARY, verified=True))) == (PLAY, WHOLE)


def test_a_canary_that_did_not_do_well_is_followed_by_its_undo_once() -> None:
    failed = executed(CANARY, verified=False, undo=UNDO)
    assert asked(run(denied(WHOLE), failed)) == (PLAY, UNDO.arguments)
    proposed = next_proposal(run(denied(WHOLE), failed), RISK)
    assert proposed is not None
    assert "9 % against 0.1 %" in proposed.why
    again = run(denied(WHOLE), failed, denied(dict(UNDO.arguments), "change-production"))
    assert asked(again) is None
    assert what_became(again, RISK) == "Not released: it did not do well"


def test_what_was_taken_back_is_no_success_and_counts_as_reverted() -> None:
    back = executed(dict(UNDO.arguments), verified=True)
    taken = run(denied(WHOLE), executed(CANARY, verified=False, undo=UNDO), back)
    assert taken.taken_back
    assert asked(taken) is None
    assert what_became(taken, RISK) == "Taken back"
    assert outcome_of(taken) == (RunOutcome.NOT_REMEDIATED, "the change did not hold, and was taken back")
    assert work_unit(taken, RunOutcome.NOT_REMEDIATED, AT, Bill()).outcome is WorkOutcome.REVERTED
    other = run(executed(CANARY, verified=False, undo=UNDO), executed(WHOLE, verified=True))
    assert not other.taken_back


def test_a_canary_without_an_undo_leaves_it_to_people() -> None:
    assert asked(run(denied(WHOLE), executed(CANARY, verified=False))) is None


def test_a_whole_release_that_did_well_is_the_end() -> None:
    done = run(denied(WHOLE), executed(CANARY, verified=True), executed(WHOLE, verified=True))
    assert asked(done) is None
    assert what_became(done, RISK) == "Released after a canary"


def test_what_people_denied_is_not_asked_for_in_another_form() -> None:
    refused = called(WHOLE, decision=Decision(Outcome.ASK, "change-production", "", "hash"))
    refused = replace(refused, result=ToolResult("c", PLAY, ok=False, text="Denied by Ana: not today."))
    assert asked(run(refused)) is None
    assert what_became(run(refused), RISK) == "Not released"


def test_a_tool_that_is_not_offered_is_not_asked_for() -> None:
    assert answer(run(), ["gitlab_pipeline"]).diagnosis is not None
    assert [call.tool for call in answer(run(), [PLAY]).calls] == [PLAY]


# --- what policy may know -------------------------------------------------------------------------------------------------


def action(arguments: dict[str, Any] = WHOLE, commit: str = COMMIT) -> Action:
    return Action(PLAY, arguments, Effect.WRITE, CHECKOUT, facts=facts(arguments, commit))


def test_a_risk_counts_for_the_commit_that_it_was_assessed_of() -> None:
    assert release_facts(run(), action())["risk"] == 45
    assert "risk" not in release_facts(run(), action(commit="0" * 40))


def test_a_risk_counts_for_the_environments_that_it_was_assessed_of() -> None:
    assert release_facts(run(), action(CANARY))["risk"] == 45
    assert "risk" not in release_facts(run(), action({**WHOLE, "environment": "production-eu"}))


def test_a_run_that_assessed_nothing_knows_no_risk() -> None:
    assert "risk" not in release_facts(run(found=replace(RISK, code="build.healthy")), action())


def test_a_canary_counts_once_it_was_verified_and_only_for_its_commit() -> None:
    good = executed(CANARY, verified=True)
    assert release_facts(run(good), action())["canary_passed"] is True
    assert release_facts(run(good), action(commit="0" * 40))["canary_passed"] is False
    assert release_facts(run(executed(CANARY, verified=False)), action())["canary_passed"] is False
    assert release_facts(run(executed(WHOLE, verified=True)), action())["canary_passed"] is False


def test_what_deploys_nothing_has_no_facts_of_a_release() -> None:
    other = Action("kubernetes_restart", {}, Effect.WRITE, CHECKOUT)
    assert release_facts(run(), other) == {}


def test_the_time_in_which_a_release_is_watched_is_no_work_of_the_run() -> None:
    watched = run(executed(CANARY, verified=True))
    assert remaining(watched, AT + timedelta(minutes=21)).seconds == watched.spec.budget.seconds - 60
