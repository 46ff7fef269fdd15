"""Brakes: a run ends within its budget, does not repeat itself, and stops changing things that keep failing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from domain.decisions import Approval, Execution, ExecutionOutcome
from domain.runs import Budget, Call, Run, ToolCall, ToolResult, Usage
from policies import budget
from tests.unit.policy_samples import NOW, action, spec
from tests.unit.test_approvers import approval

BUDGET = Budget(steps=5, tokens=1000, cost_micros=500, seconds=60, actions=1)


def run(**changes: Any) -> Run:
    return replace(Run(spec(budget=BUDGET), NOW), **changes)


def call(
    call_id: str, arguments: str = "{}", *, ok: bool | None = True, tool: str = "kubernetes_get", **changes: Any
) -> Call:
    result = None if ok is None else ToolResult(call_id, tool, ok, f"said {call_id}", evidence_id="E1" if ok else "")
    return Call(ToolCall(call_id, tool, arguments), 1, result=result, **changes)


def with_calls(*calls: Call) -> Run:
    return run(calls={each.call.id: each for each in calls})


def executed() -> Execution:
    return Execution("x1", "w", action(), "key", NOW, outcome=ExecutionOutcome.SUCCEEDED)


def later(seconds: int) -> Any:
    return NOW + timedelta(seconds=seconds)


def test_a_fresh_run_may_go_on() -> None:
    assert budget.exhausted(run(), NOW) == ""
    assert budget.remaining(run(), NOW) == budget.Remaining(5, 1000, 500, 60, 1)


def test_the_last_step_is_kept_for_the_conclusion() -> None:
    assert budget.exhausted(run(step=3), NOW) == ""
    assert budget.exhausted(run(step=4), NOW) == "steps"


def test_tokens_money_and_time_end_a_run() -> None:
    assert budget.exhausted(run(usage=Usage(600, 400)), NOW) == "tokens"
    assert budget.exhausted(run(usage=Usage(1, 1, cost_micros=500)), NOW) == "cost"
    assert budget.exhausted(run(), later(59)) == ""
    assert budget.exhausted(run(), later(60)) == "seconds"


def test_nothing_remaining_is_ever_negative() -> None:
    used = budget.remaining(run(step=9, usage=Usage(9999, 9999, cost_micros=9999)), later(9999))
    assert used == budget.Remaining(0, 0, 0, 0, 1)


def test_waiting_for_people_costs_no_time_even_when_waits_overlap() -> None:
    def waiting(call_id: str, begin: int, end: int | None) -> Call:
        base = approval()
        asked = Approval(
            replace(base.request, requested_at=later(begin)), closed_at=None if end is None else later(end)
        )
        return call(call_id, ok=None, approval=asked)

    waits = with_calls(waiting("a", 10, 3010), waiting("b", 20, 3000), waiting("c", 3020, None))
    assert budget.machine_time(waits, later(9000)) == timedelta(seconds=20)
    assert budget.exhausted(waits, later(9000)) == ""


def test_a_run_makes_no_more_changes_than_its_budget() -> None:
    assert budget.out_of_actions(run()) == ""
    assert "has made its 1 changes" in budget.out_of_actions(with_calls(call("w", execution=executed())))


def test_the_same_call_is_not_made_twice_and_the_answer_is_pointed_to() -> None:
    before = with_calls(call("a", '{"kind": "Pod", "name": "x"}'))
    again = ToolCall("b", "kubernetes_get", '{"name":"x","kind":"Pod"}')
    assert "its answer is above as E1" in budget.repeated(before, again)
    assert budget.repeated(before, ToolCall("b", "kubernetes_get", '{"name":"y"}')) == ""
    assert budget.repeated(before, ToolCall("b", "kubernetes_list", again.arguments)) == ""


def test_a_change_lets_the_same_call_go_again() -> None:
    changed = with_calls(call("a"), call("w", execution=executed(), tool="kubernetes_restart"))
    assert budget.repeated(changed, ToolCall("b", "kubernetes_get", "{}")) == ""


def test_a_failed_call_may_be_tried_once_more_and_not_twice() -> None:
    asked = ToolCall("c", "kubernetes_get", "{}")
    assert budget.repeated(with_calls(call("a", ok=False)), asked) == ""
    assert "failed twice" in budget.repeated(with_calls(call("a", ok=False), call("b", ok=False)), asked)


def test_a_call_is_not_a_repeat_of_itself_or_of_one_without_answer() -> None:
    waiting = with_calls(call("a", ok=None))
    assert budget.repeated(waiting, ToolCall("a", "kubernetes_get", "{}")) == ""
    assert budget.repeated(waiting, ToolCall("b", "kubernetes_get", "{}")) == ""


def test_of_the_same_calls_in_one_turn_only_the_first_is_made() -> None:
    twins = with_calls(call("a", ok=None), call("b", ok=None))
    assert budget.repeated(twins, ToolCall("a", "kubernetes_get", "{}")) == ""
    assert "in this turn already" in budget.repeated(twins, ToolCall("b", "kubernetes_get", "{}"))


def test_arguments_that_are_no_json_are_compared_as_text() -> None:
    assert budget.repeated(with_calls(call("a", "{nonsense")), ToolCall("b", "kubernetes_get", "{nonsense"))
    assert budget.repeated(with_calls(call("a", "[" * 100_000)), ToolCall("b", "kubernetes_get", "{}")) == ""
