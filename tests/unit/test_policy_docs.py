"""docs/policy.md: its policies load, its conditions type-check, its fields and facts are the ones there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from domain.errors import PolicyError
from policies.conditions import compile_condition
from policies.parse import APPROVAL_KEYS, MATCH_KEYS, RULE_KEYS, SECTIONS
from policies.policy import load
from policies.schema import FACTS
from tests.unit.policy_samples import TOOLS, shipped

TEXT = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
BLOCKS = re.findall(r"```(\w+) (\w+)\n(.*?)```", TEXT, re.DOTALL)
POLICIES = [body for language, kind, body in BLOCKS if (language, kind) == ("yaml", "policy")]


@pytest.mark.parametrize("body", POLICIES)
def test_each_policy_in_the_documentation_loads(body: str) -> None:
    assert load({"policy.yaml": body}, TOOLS, {}).rules


def test_the_mistake_shown_is_the_mistake_reported() -> None:
    shown = next(body for language, kind, body in BLOCKS if kind == "problems").strip()
    broken = POLICIES[0].replace("args.replicas <= 5", "args.replicsa <= 5")
    with pytest.raises(PolicyError) as caught:
        load({"policy.yaml": broken}, TOOLS, {})
    found = re.sub(r"policy.yaml:\d+", "policy.yaml:12", caught.value.problems[0])
    assert found == shown


@pytest.mark.parametrize(("tool", "body"), [(kind, body) for language, kind, body in BLOCKS if language == "cel"])
def test_each_condition_in_the_documentation_type_checks(tool: str, body: str) -> None:
    assert compile_condition(body, next(each for each in TOOLS if each.name == tool))


def test_every_field_and_every_fact_is_documented() -> None:
    for field in (*RULE_KEYS, *APPROVAL_KEYS, *SECTIONS, *(f"match.{key}" for key in MATCH_KEYS)):
        assert f"`{field}`" in TEXT or f"\n{field}:" in TEXT, field
    for root, names in FACTS.items():
        rows = "".join(line for line in TEXT.splitlines() if line.startswith(f"| `{root}."))
        for name in names:
            assert f"`{root}.{name}`" in rows or f"`.{name}`" in rows, f"{root}.{name}"


def test_the_shipped_policy_is_documented_rule_by_rule() -> None:
    of = shipped()
    rows = re.findall(r"^\| `([a-z-]+)` \| (deny|ask|allow) \| (.+) \|$", TEXT, re.MULTILINE)
    assert [(name, says) for name, says, _ in rows] == [(rule.id, rule.then.decision.value) for rule in of.rules]
    assert all(because.endswith(".") for _, _, because in rows)
    for invariant in of.invariants:
        assert invariant.name.split(",")[0] in TEXT, invariant.name
