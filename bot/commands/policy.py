"""`personal-agent policy check | test | explain | backtest`: what a platform lead and CI ask of a policy."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.commands import backtest, suggest
from bot.config import Settings, load
from bot.policy_files import known_tools, read_folder, variables
from bot.tools import gitlab_look
from bot.tools.jenkins_reads import target_of
from domain.decisions import Decision
from domain.errors import JournalError, PolicyError, SettingsError
from policies import gate
from policies.conditions import nearest
from policies.policy import laid_over_base, load as load_policy, run_test, situation_of
from policies.rules import Policy
from policies.schema import FACTS
from storage.reader import read_journal, workspaces_in

WARN_BEFORE = timedelta(days=14)
LOOK_BACK = timedelta(days=30)


def run(options: argparse.Namespace) -> int:
    """0 when the policy holds, 1 when it does not. Raises SettingsError for a wrong path or file."""
    settings = load()
    folder = options.policy or settings.agent_policy
    if folder and not Path(folder).is_dir():
        name = "--policy" if options.policy else "AGENT_POLICY"
        raise SettingsError(f"{name}: {folder} is not a folder; name the folder that holds the policy's YAML files")
    try:
        policy = load_policy(read_folder(folder), known_tools(settings), variables(settings))
    except PolicyError as error:
        print("\n".join(error.problems), file=sys.stderr)
        print(f"refused: {len(error.problems)} problem{'s' * (len(error.problems) != 1)}", file=sys.stderr)
        return 1
    return _ACTIONS[options.action](policy, settings, options)


def _check(policy: Policy, _settings: Settings, _options: argparse.Namespace) -> int:
    tests = sum(len(rule.tests) for rule in policy.rules)
    print(f"fine: {len(policy.rules)} rules, {tests} tests passed, policy {policy.hash[:12]}")
    for name, references in policy.groups.items():
        if not references:
            print(f"note: the group {name} is empty, so nobody can approve what asks it (AGENT_APPROVERS)")
    for sentence in _expiring(policy, datetime.now(UTC).date()):
        print(f"note: {sentence}")
    return 0


def _expiring(policy: Policy, today: date) -> Iterator[str]:
    """Rules whose date has passed, or soon will."""
    for rule in policy.rules:
        if not rule.expires_on:
            continue
        ends, whom = date.fromisoformat(rule.expires_on), f"; ask {rule.owner}" if rule.owner else ""
        where = f"{rule.file}:{rule.line}: rule {rule.id}"
        if ends <= today:
            yield f"{where} no longer applies since {rule.expires_on}{whom}"
        elif ends - today <= WARN_BEFORE:
            yield f"{where} applies until {rule.expires_on} only{whom}"


# --- test -------------------------------------------------------------------------------------------------------------


def _test(policy: Policy, settings: Settings, _options: argparse.Namespace) -> int:
    failed = 0
    unmatched = dict.fromkeys(name for rule in policy.rules for name in rule.branches)
    for rule in policy.rules:
        for test in rule.tests:
            problem = run_test(policy, test)
            failed += bool(problem)
            print(f"{'FAILED' if problem else 'passed'}  {rule.id}: {test.name}{' – ' + problem if problem else ''}")
            _cross_off(unmatched, gate.decide(policy, situation_of(policy, test)))
    recorded = bool(unmatched) and Path(settings.agent_database).exists()
    looked_at = asyncio.run(_cross_off_recorded(policy, settings, unmatched)) if recorded else ""
    for name in unmatched:
        rule_of = policy.rule(name)
        where = f"{rule_of.file}:{rule_of.line}: " if rule_of else ""
        print(f"note: {where}no test{looked_at} ever matched {name}")
    return 1 if failed else 0


def _cross_off(unmatched: dict[str, None], decision: Decision) -> None:
    for verdict in decision.verdicts:
        if verdict.result == "matched":
            unmatched.pop(verdict.rule, None)


async def _cross_off_recorded(policy: Policy, settings: Settings, unmatched: dict[str, None]) -> str:
    """Try recorded decisions on the policy until every rule has matched; the words for what was looked at."""
    path = settings.agent_database
    seen, since = 0, datetime.now(UTC) - LOOK_BACK
    try:
        for workspace in workspaces_in(path):
            async with read_journal(path, workspace) as journal:
                async for each in journal.decisions(since):
                    seen += 1
                    _cross_off(unmatched, gate.decide(policy, each.situation))
                    if not unmatched:
                        return ""
    except JournalError as error:
        print(f"note: recorded decisions were not looked at: {error}", file=sys.stderr)
        return ""
    return f" and none of the {seen:,} decisions of the last {LOOK_BACK.days} days"


# --- explain ----------------------------------------------------------------------------------------------------------


def _explain(policy: Policy, settings: Settings, options: argparse.Namespace) -> int:
    situation = _situation(policy, settings, Path(options.situation))
    decision = gate.decide(policy, situation)
    rule = f" (rule {decision.rule})" if decision.rule else ""
    print(f"{decision.outcome.value}{rule}: {decision.reason}")
    for warning in decision.warnings:
        print(f"warning: {warning}")
    for verdict in gate.explain(policy, situation):
        detail = f" – {verdict.detail}" if verdict.detail else ""
        words = verdict.result.replace("_", " ")
        of = policy.rule(verdict.rule)
        where = f"{of.file}:{of.line}" if of else ""
        print(f"  {words:<12} {verdict.rule} ({verdict.decision.value}, {verdict.mode}) {where}{detail}")
    return 0


def _situation(policy: Policy, settings: Settings, path: Path) -> Mapping[str, Any]:
    """The facts of the file laid over a test's base situation. Raises SettingsError with a sentence."""
    try:
        given = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: {error}") from error
    if not isinstance(given, dict) or not isinstance(given.get("tool"), str | dict):
        raise SettingsError(f'{path}: expected an object such as {{"tool": "kubernetes_restart", "args": {{…}}}}')
    tool = given["tool"] if isinstance(given["tool"], str) else str(given["tool"].get("name", ""))
    if tool not in policy.tools:
        raise SettingsError(f"{path}: there is no tool '{tool}'{nearest(tool, policy.tools)}")
    facts = {root: values for root, values in given.items() if root != "tool"}
    _refuse_unknown(path, facts)
    situation = laid_over_base(policy, tool, facts)
    if "environment" not in facts.get("target", {}):
        situation["target"]["environment"] = _environment(settings, situation)
    return situation


def _environment(settings: Settings, situation: Mapping[str, Any]) -> str:
    """As the tool itself would place it: by its namespace, by a job's path and its parameters, or by what a job deploys to."""
    target, args = situation["target"], situation["args"]
    path = "/".join(part for part in (str(target["namespace"]), str(target["name"])) if part)
    if target.get("system") == "gitlab":
        return gitlab_look.target_of(path, settings.environment, str(args.get("environment") or "")).environment
    if target.get("system") == "jenkins":
        given = args.get("parameters")
        parameters = {name: str(value) for name, value in given.items()} if isinstance(given, dict) else {}
        return target_of(path, settings.environment, parameters).environment
    return settings.environment(str(target.get("namespace", "")))


def _refuse_unknown(path: Path, facts: Mapping[str, Any]) -> None:
    """A fact that there is none of is a typo. Raises SettingsError."""
    roots = ("args", *(root for root in FACTS if root != "tool"))
    for root, values in facts.items():
        if root not in roots:
            raise SettingsError(f"{path}: '{root}' is no fact{nearest(root, roots)}; facts are {', '.join(roots)}")
        if not isinstance(values, dict):
            raise SettingsError(f"{path}: {root} is an object of facts, not {json.dumps(values)[:60]}")
        for name in values if root != "args" else ():
            if name not in FACTS[root]:
                raise SettingsError(f"{path}: '{name}' is no fact of {root}{nearest(name, FACTS[root])}")


_ACTIONS: Mapping[str, Callable[[Policy, Settings, argparse.Namespace], int]] = {
    "check": _check,
    "test": _test,
    "explain": _explain,
    "backtest": backtest.run,
    "suggest": suggest.run,
}
