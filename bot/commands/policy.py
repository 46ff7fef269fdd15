"""`personal-agent policy check | test | explain`: what a platform lead and CI ask of a policy."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bot.config import load
from bot.policy_files import read_folder, variables
from bot.tools import schemas
from domain.errors import PolicyError, SettingsError
from policies import gate
from policies.policy import base_situation, run_test
from policies.policy import load as load_policy
from policies.rules import Policy


def run(options: argparse.Namespace) -> int:
    """0 when the policy holds, 1 when it does not."""
    settings = load()
    try:
        policy = load_policy(read_folder(options.policy or settings.agent_policy), schemas(), variables(settings))
    except PolicyError as error:
        print("\n".join(error.problems), file=sys.stderr)
        print(f"refused: {len(error.problems)} problem{'s' * (len(error.problems) != 1)}", file=sys.stderr)
        return 1
    return {"check": _check, "test": _test, "explain": _explain}[options.action](policy, options)


def _check(policy: Policy, _options: argparse.Namespace) -> int:
    tests = sum(len(rule.tests) for rule in policy.rules)
    print(f"fine: {len(policy.rules)} rules, {tests} tests passed, policy {policy.hash[:12]}")
    for name, references in policy.groups.items():
        if not references:
            print(f"note: the group {name} is empty, so nobody can approve what asks it (AGENT_APPROVERS)")
    return 0


def _test(policy: Policy, _options: argparse.Namespace) -> int:
    failed = 0
    for rule in policy.rules:
        for test in rule.tests:
            problem = run_test(policy, test)
            failed += bool(problem)
            print(f"{'FAILED' if problem else 'passed'}  {rule.id}: {test.name}{' – ' + problem if problem else ''}")
    for rule_id in _never_matched(policy):
        print(f"note: no test ever matches rule {rule_id}")
    return 1 if failed else 0


def _never_matched(policy: Policy) -> Iterator[str]:
    expected = {str(test.expect.get("rule", "")) for rule in policy.rules for test in rule.tests}
    return (rule.id for rule in policy.rules if rule.id not in expected)


def _explain(policy: Policy, options: argparse.Namespace) -> int:
    situation = _situation(policy, Path(options.situation))
    decision = gate.decide(policy, situation)
    rule = f" (rule {decision.rule})" if decision.rule else ""
    print(f"{decision.outcome.value}{rule}: {decision.reason}")
    for verdict in gate.explain(policy, situation):
        detail = f" – {verdict.detail}" if verdict.detail else ""
        print(
            f"  {verdict.result.replace('_', ' '):<12} {verdict.rule} ({verdict.decision.value}, {verdict.mode}){detail}"
        )
    return 0


def _situation(policy: Policy, path: Path) -> Mapping[str, Any]:
    """The facts of the file laid over a test's base situation. Raises SettingsError with a sentence."""
    try:
        given = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error
    if not isinstance(given, dict) or not isinstance(given.get("tool"), str | dict):
        raise SettingsError(f'{path}: expected an object such as {{"tool": "kubernetes_restart", "args": {{…}}}}')
    tool = given["tool"] if isinstance(given["tool"], str) else str(given["tool"].get("name", ""))
    base = base_situation(policy, tool)
    for root, facts in given.items():
        if root != "tool" and isinstance(facts, dict):
            base[root] = {**base.get(root, {}), **facts}
    return base
