"""Conditions: what does not type-check is refused with a place and a suggestion; what cannot be evaluated is an error."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings, strategies as st

from policies.conditions import MAX_BYTES, Checker, ConditionError, ConditionRefused, compile_condition
from tests.unit.policy_samples import TOOLS, facts

SCALE = next(tool for tool in TOOLS if tool.name == "kubernetes_scale")
RESTART = next(tool for tool in TOOLS if tool.name == "kubernetes_restart")
RESOURCES = next(tool for tool in TOOLS if tool.name == "kubernetes_set_resources")
PATCH = next(tool for tool in TOOLS if tool.name == "kubernetes_patch")


def refused(text: str, *tools: object) -> str:
    with pytest.raises(ConditionRefused) as caught:
        compile_condition(text, *(tools or (SCALE,)))  # type: ignore[arg-type]
    return " | ".join(f"{problem.line}:{problem.column} {problem.message}" for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("args.replicsa <= 20", "1:5 undefined field 'replicsa' in args; did you mean 'replicas'?"),
        ("target.enviroment == 'x'", "1:7 undefined field 'enviroment' in target; did you mean 'environment'?"),
        ("true &&\n run.taint", "2:5 undefined field 'taint' in run; did you mean 'tainted'?"),
        ("tagret.name == 'a'", "unknown name 'tagret.name'; did you mean 'target.name'?"),
        ("target.name.startWith('a')", "unknown name 'startWith'; did you mean 'startsWith'?"),
        ("args.replicas < '3'", "no matching overload for '_<_' applied to '(int, string)'"),
        ("args.replicas == '3'", "no matching overload for '_==_' applied to '(int, string)'"),
        ("args.replicas = 3", "a single '=' compares nothing; did you mean '=='?"),
        ("target.name", "a condition says yes or no, this one is of type string"),
        ("args", "a condition says yes or no"),
        ("1 +", "1:4 Syntax error"),
        ("", "the expression is empty"),
        ("dyn(args).anything == 1", "dyn() would switch the type check off"),
        ("has(args.replicsa)", "undefined field 'replicsa' in args; did you mean 'replicas'?"),
    ],
)
def test_what_does_not_type_check_is_refused_with_place_and_suggestion(text: str, sentence: str) -> None:
    assert sentence in refused(text)


def test_a_field_that_only_some_tools_have_names_the_tools_that_lack_it() -> None:
    message = refused("args.replicas > 3", SCALE, RESTART)
    assert "[for 1 of 2 matched tools, e.g. kubernetes_restart: narrow match.tools]" in message


def test_nested_arguments_are_checked_through_references() -> None:
    assert compile_condition("args.limits.memory == '1Gi'", RESOURCES)
    assert "undefined field 'memry' in args.limits" in refused("args.limits.memry == '1Gi'", RESOURCES)


def test_an_argument_without_a_schema_may_be_read_freely() -> None:
    condition = compile_condition("args.patch.spec.replicas > 3", PATCH)
    assert condition.holds(facts("kubernetes_patch", {"patch": {"spec": {"replicas": 4}}})) is True


def test_limits_hold_for_length_nesting_and_control_characters() -> None:
    assert "longer than" in refused("true" + " " * MAX_BYTES + "|| true")
    nested = "requester.groups.all(a, requester.groups.all(b, requester.groups.exists(c, a == b)))"
    assert "at most 2" in refused(nested)
    assert compile_condition("requester.groups.all(a, requester.groups.exists(b, a == b))", SCALE)
    assert "control character" in refused("true || target.name == '\x00'")


def test_macros_in_a_row_are_not_nesting() -> None:
    assert compile_condition(" && ".join(["requester.groups.all(g, g != 'x')"] * 4), SCALE)


def test_an_error_is_never_a_yes() -> None:
    """The engine hands errors back as values that are truthy in Python."""
    situation = facts("kubernetes_scale")
    result = compile_condition("args.replicas <= 0", SCALE).holds(situation)
    assert isinstance(result, ConditionError)
    assert result.message == 'Key not found in map : "replicas"'


def test_an_absent_number_is_an_error_and_not_zero() -> None:
    condition = compile_condition("target.replicas < 5", SCALE)
    assert isinstance(condition.holds(facts("kubernetes_scale")), ConditionError)
    assert condition.holds(facts("kubernetes_scale", target={"replicas": 4})) is True


def test_loops_end_at_the_iteration_budget() -> None:
    condition = compile_condition("args.patch.a.all(x, args.patch.a.all(y, x + y >= 0))", PATCH)
    result = condition.holds(facts("kubernetes_patch", {"patch": {"a": list(range(300))}}))
    assert isinstance(result, ConditionError)
    assert "budget" in result.message


@pytest.mark.parametrize("value", ["\ud800", float("nan"), 2**70, {1, 2}, object(), {None: 1}, b"x"])
def test_a_foreign_value_is_an_error_or_an_honest_answer(value: object) -> None:
    condition = compile_condition("args.replicas > 2", SCALE)
    assert condition.holds(facts("kubernetes_scale", {"replicas": value})) is not True


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_no_text_makes_the_compiler_raise_anything_else(text: str) -> None:
    with contextlib.suppress(ConditionRefused):
        compile_condition(text, SCALE)


_EXPRESSIONS = st.text(alphabet="args.replics<>=!&|()'\"12+-? target:[]{},rue", min_size=1, max_size=60)


@settings(max_examples=300, deadline=None)
@given(_EXPRESSIONS)
def test_whatever_compiles_answers_yes_no_or_error(text: str) -> None:
    checker = Checker(TOOLS)
    try:
        condition = checker.compile(text, ["kubernetes_scale"])
    except ConditionRefused:
        return
    assert condition.holds(facts("kubernetes_scale")) in (True, False) or isinstance(
        condition.holds(facts("kubernetes_scale")), ConditionError
    )
