"""The shipped scenarios, each in a cluster of its own over HTTP: the rules name the causes and leave healthy things alone."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bot.commands.eval import evaluate, written
from bot.evaluation import GROUPS, Scenario, Verdict, read_folder, read_scenario, table
from domain.alerts import target_of
from domain.errors import SettingsError

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "evals"


@pytest.fixture(scope="module")
def verdicts() -> list[Verdict]:
    async def all_of_them() -> list[Verdict]:
        limit = asyncio.Semaphore(4)

        async def one(scenario: object) -> Verdict:
            async with limit:
                return await evaluate(scenario)  # type: ignore[arg-type]

        return list(await asyncio.gather(*(one(scenario) for scenario in read_folder(SHIPPED))))

    return asyncio.run(all_of_them())


def test_the_rules_name_at_least_nine_of_ten_causes(verdicts: list[Verdict]) -> None:
    assert sum(one.cause for one in verdicts) >= 0.9 * len(verdicts), "\n".join(table(verdicts))


def otherwise(scenario: Scenario, number: int) -> Scenario | None:
    """The same world, told by an alert that names its namespace, the application or a pod, or by a question."""
    target, alert = scenario.target, scenario.alert
    if alert is None or scenario.group == "red-herring" or target.kind not in ("Deployment", "StatefulSet"):
        return None
    pod = f"{target.name}-0" if target.kind == "StatefulSet" else f"{target.name}-6f7c9d4b8d-x2x4q"
    labels = ({}, {"service": target.name}, {"pod": pod})
    if number % 4 == 3:
        question = f"why is {target.kind.lower()}/{target.name} in namespace {target.namespace} unwell?"
        return replace(scenario, alert=None, question=question)
    told = {"namespace": target.namespace, **labels[number % 4]}
    return replace(scenario, alert=replace(alert, labels=told, target=target_of(told, "production")))


async def test_the_cause_is_named_however_the_target_is_told() -> None:
    found = [otherwise(scenario, number) for number, scenario in enumerate(read_folder(SHIPPED))]
    others = [scenario for scenario in found if scenario is not None]
    assert len(others) >= 20
    told = await asyncio.gather(*(evaluate(scenario) for scenario in others))
    assert [one.scenario for one in told if not one.passed] == [], "\n".join(table(told))


def test_nothing_is_proposed_where_nothing_is_wrong(verdicts: list[Verdict]) -> None:
    healthy = [one for one in verdicts if one.group == "healthy"]
    assert healthy
    assert [one.scenario for one in healthy if one.proposed or one.failed] == []


def test_no_scenario_fails_to_run_and_none_gets_a_forbidden_proposal(verdicts: list[Verdict]) -> None:
    assert [(one.scenario, one.failed) for one in verdicts if one.failed] == []
    assert [(one.scenario, one.proposed) for one in verdicts if not one.action] == []


def test_at_least_forty_scenarios_of_every_group_are_shipped(verdicts: list[Verdict]) -> None:
    assert len(verdicts) >= 40
    assert {one.group for one in verdicts} == set(GROUPS)


def test_a_third_of_them_is_more_than_one_plain_fault(verdicts: list[Verdict]) -> None:
    assert sum(one.group != "fault" for one in verdicts) >= len(verdicts) / 3


def test_no_two_scenarios_are_the_same_and_each_says_what_it_is() -> None:
    scenarios = read_folder(SHIPPED)
    assert len({one.title for one in scenarios}) == len(scenarios)
    assert all(one.world and one.title != one.name for one in scenarios)


def test_a_world_that_cannot_be_written_out_is_named() -> None:
    text = "alert: {name: A}\nexpect: {cause: x}\nworld: {workloads: [{name: a, pods: [{state: odd}]}]}"
    with pytest.raises(SettingsError, match="odd: world: a pod's state is one of running"):
        written(read_scenario("odd", text))


def test_the_command_prints_the_table_and_ends_with_one_where_a_scenario_fails(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text((SHIPPED / "oom.yaml").read_text().replace("256Mi]", "unicorn]"))
    (tmp_path / "right.yaml").write_text((SHIPPED / "oom.yaml").read_text())
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AGENT_", "OPENAI_"))}
    env["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "bot", "eval", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "not said: unicorn" in done.stdout
    assert "all           cause 1/2" in done.stdout
    told = subprocess.run(
        [*command, "--only", "right", "--json"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert (told.returncode, [one["passed"] for one in json.loads(told.stdout)]) == (0, [True])
