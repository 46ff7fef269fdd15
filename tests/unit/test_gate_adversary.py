"""Mutated calls through the real tools and the gate: no change of a protected target gets an allow, by neither guard alone.

ADVERSARY_CALLS sets how many calls are made; `python -m benchmarks.adversary` makes 200,000.
"""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from benchmarks.adversary import CHANGES, PROTECTED, arena, attack, lenient, mutated, without_a_person
from bot.agent.step import parse_arguments
from bot.policy_files import read_folder
from domain.actions import Effect
from domain.decisions import Outcome
from domain.errors import ArgumentsRefused
from policies.gate import decide
from policies.globs import Globs
from policies.policy import base_situation

CALLS = int(os.environ.get("ADVERSARY_CALLS", "20000"))
RING = arena()
WRITES = sorted(name for name, tool in RING.tools.items() if tool.effect is not Effect.READ)


def test_no_mutated_call_is_allowed_to_change_a_protected_target() -> None:
    score = attack(RING, CALLS, seed=7)
    assert score.through == []
    assert score.allowed > CALLS / 50, "the attack has to reach the gate, or it says nothing"
    assert score.denied > CALLS / 50


def test_under_the_shipped_policy_no_mutated_call_changes_production_or_destroys_anything_unasked() -> None:
    score = attack(arena(*read_folder("").values()), CALLS // 4, seed=8, judge=without_a_person)
    assert score.through == []
    assert score.asked > 0
    assert score.allowed > 0


def test_the_judge_sees_what_gets_through_where_the_guard_is_missing() -> None:
    unguarded = replace(RING, policy=replace(RING.policy, protected=frozenset()))
    assert len(attack(unguarded, 2000, seed=7).through) > 10


def test_the_judge_sees_a_claimed_environment_that_is_believed() -> None:
    believing = replace(arena(*read_folder("").values()), environment=lambda _: "staging")
    assert attack(believing, 6000, seed=8, judge=without_a_person).through != []


@pytest.mark.parametrize("name", PROTECTED)
def test_the_gate_alone_refuses_every_spelling_of_a_protected_namespace(name: str) -> None:
    """The tools' own schemas are not asked here: whatever text or thing arrives, it is no way around."""
    source = random.Random(name)
    for _ in range(1500):
        spelt = source.choice(CHANGES)(source, name)
        again = source.choice(CHANGES)(source, spelt) if isinstance(spelt, str) else spelt
        situation = base_situation(RING.policy, source.choice(WRITES))
        situation["target"] |= {"system": "kubernetes", "namespace": again, "kind": "Deployment", "name": "x"}
        decision = decide(RING.policy, situation)
        if decision.outcome is Outcome.ALLOW:
            assert isinstance(again, str)
            assert lenient(again) not in PROTECTED


@pytest.mark.parametrize("tool", WRITES)
def test_the_tools_alone_take_a_namespace_in_one_spelling_only(tool: str) -> None:
    """What a tool understands is a plain label: no look-alike, no path, no list gets as far as the gate."""
    source = random.Random(tool)
    for _ in range(1500):
        attempt = replace(mutated(source, {tool: RING.tools[tool]}), tool=tool)
        try:
            understood = RING.tools[tool].understand(parse_arguments(attempt.arguments))
        except ArgumentsRefused:
            continue
        namespace = understood.target.namespace
        assert namespace == lenient(namespace)
        assert namespace.isascii()
        assert understood.arguments.get("namespace", "") == namespace
        assert set(understood.arguments) <= set(RING.tools[tool].parameters["properties"])


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(tool=st.sampled_from(WRITES), key=st.text(max_size=16), value=_JSON, raw=st.text(max_size=40))
def test_any_json_at_all_is_refused_denied_or_about_something_open(tool: str, key: str, value: Any, raw: str) -> None:
    base = {"namespace": "kube-system", "kind": "Deployment", "name": "coredns", "replicas": 1, "to_revision": 1}
    for text in (json.dumps({**base, key: value}), json.dumps({key: value}), raw):
        outcome, action = RING.decide(type(mutated(random.Random(0), RING.tools))(tool, text))
        if outcome is Outcome.ALLOW and action is not None:
            assert action.target.namespace not in PROTECTED


@settings(max_examples=300, deadline=None)
@given(name=st.text(max_size=24), known=st.sampled_from(WRITES))
def test_a_tool_goes_by_its_exact_name(name: str, known: str) -> None:
    for spelt in (name, known.upper(), f" {known}", known + "\x00", known.replace("_", "‐")):
        if spelt not in RING.tools:
            situation = base_situation(RING.policy, known)
            situation["tool"]["name"] = spelt
            assert decide(RING.policy, situation).rule in ("builtin:unknown-tool", "builtin:gate-failed")


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=30))
def test_a_glob_matches_no_look_alike(text: str) -> None:
    """`staging-*` means just these letters, whatever a name looks like."""
    if Globs(["staging-*"]).match(text):
        assert text.startswith("staging-")
