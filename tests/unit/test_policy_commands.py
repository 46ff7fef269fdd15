"""`personal-agent policy …`: what it prints, what it exits with, and that no mistake of a person is a traceback."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.__main__ import main
from bot.policy_files import read_folder
from bot.tools import schemas
from domain.actions import Action, Mode, Target
from domain.decisions import ApprovalRequest, ApprovalState, ExecutionOutcome, Outcome, Verdict, Vote
from domain.events import (
    ApprovalRequested,
    DecisionMade,
    Draft,
    ExecutionFinished,
    ExecutionStarted,
    RunStarted,
    VerificationPassed,
    VoteCast,
)
from domain.runs import Origin, RunSpec
from policies.gate import decide
from policies.policy import laid_over_base, load
from policies.rules import Policy
from storage.journal import SqliteJournal, open_journal

TODAY = datetime.now(UTC)
POD = {"namespace": "web", "name": "web-0"}
WEB = {"namespace": "web", "kind": "Deployment", "name": "web"}


def shipped() -> Policy:
    return load(read_folder(""), schemas(), {"AGENT_APPROVERS": ("@sre",)})


@pytest.fixture(autouse=True)
def _here(tmp_path: Path) -> Iterator[None]:
    """Settings of this test alone, in a folder of its own."""
    before, at = dict(os.environ), Path.cwd()
    for name in [name for name in os.environ if name.startswith(("AGENT_", "SLACK_", "OPENAI_"))]:
        del os.environ[name]
    os.environ["AGENT_APPROVERS"] = "@sre"
    os.environ["AGENT_DATABASE"] = str(tmp_path / "agent.db")
    os.chdir(tmp_path)
    yield
    os.chdir(at)
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def changed(tmp_path: Path) -> Path:
    """The shipped policy, in a folder that a test may change."""
    folder = tmp_path / "new"
    folder.mkdir()
    for name, text in read_folder("").items():
        (folder / name).write_text(text)
    return folder


def edit(folder: Path, old: str, new: str) -> None:
    file = folder / "policy.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@asynccontextmanager
async def history(days_ago: float = 2) -> AsyncIterator[tuple[SqliteJournal, list[datetime]]]:
    """A journal to record into, with a clock to turn."""
    now = [TODAY - timedelta(days=days_ago)]
    async with open_journal(os.environ["AGENT_DATABASE"], "T1", clock=lambda: now[0]) as journal:
        spec = RunSpec("r1", "", Origin.ALERT, "rules", Mode.ACT, Target())
        await journal.append(Draft(RunStarted(spec), run_id="r1"))
        yield journal, now


async def decided(journal: SqliteJournal, call: str, tool: str, args: dict[str, Any], **facts: Any) -> DecisionMade:
    """Record what the shipped policy says of a call."""
    policy = shipped()
    situation = laid_over_base(policy, tool, {"args": args, "target": {"environment": "staging"}, **facts})
    target = Target("kubernetes", situation["target"]["environment"], args["namespace"], "Pod", args["name"])
    action = Action(tool, args, policy.tools[tool].effect, target)
    event = DecisionMade(call, action, decide(policy, situation), situation)
    await journal.append(Draft(event, run_id="r1"))
    return event


async def asked(journal: SqliteJournal, event: DecisionMade, now: datetime) -> ApprovalRequest:
    """The question that a decision opens."""
    assert event.decision.terms
    request = ApprovalRequest(
        f"apr-{event.call_id}", "r1", "", event.call_id, event.action, "d", event.decision, event.decision.terms,
        now, now + timedelta(minutes=30),
    )  # fmt: skip
    await journal.append(Draft(ApprovalRequested(request), run_id="r1"))
    return request


async def approved_and_done(journal: SqliteJournal, event: DecisionMade, now: datetime) -> None:
    request = await asked(journal, event, now)
    vote = VoteCast(request.id, Vote("U1", Verdict.APPROVE, now, digest="d"), ApprovalState.APPROVED)
    name = f"exe-{event.call_id}"
    started = ExecutionStarted(name, event.call_id, event.action, name, "d", request.id)
    finished = ExecutionFinished(name, ExecutionOutcome.SUCCEEDED, "done")
    for each in (vote, started, finished, VerificationPassed(name, (), 9)):
        await journal.append(Draft(each, run_id="r1"))


# --- check ------------------------------------------------------------------------------------------------------------


def test_check_says_which_rules_run_out_and_whom_to_ask(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soon, past = ((TODAY + timedelta(days=days)).date() for days in (3, -1))
    edit(changed, "  - id: no-huge-scale\n", f"  - id: no-huge-scale\n    expires_on: {soon}\n    owner: platform\n")
    (changed / "more.yaml").write_text(
        f"rules:\n  - {{id: old, decision: deny, match: {{tools: ['*']}}, when: run.cost_micros > 9, expires_on: {past}}}\n"
    )
    assert main(["policy", "check", "--policy", str(changed)]) == 0
    said = capsys.readouterr().out
    assert f"rule no-huge-scale applies until {soon} only; ask platform" in said
    assert f"more.yaml:2: rule old no longer applies since {past}" in said


def test_a_policy_with_mistakes_is_refused_with_file_line_and_the_nearest_name(
    changed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(changed, "args.replicas > 50", "args.replicsa > 50")
    assert main(["policy", "check", "--policy", str(changed)]) == 1
    assert "undefined field 'replicsa' in args; did you mean 'replicas'?" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "test", "backtest"])
def test_a_folder_that_is_not_there_is_wrong_usage(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", command, "--policy", "nowhere"]) == 2
    assert "--policy: nowhere is not a folder" in capsys.readouterr().err


# --- test -------------------------------------------------------------------------------------------------------------

UNTESTED = (
    "rules:\n  - {id: rare, decision: deny, match: {tools: [kubernetes_cordon]}, when: run.cost_micros > 5}\n"
    "  - {id: idle, decision: deny, match: {tools: [kubernetes_cordon]}, when: run.cost_micros > 500}\n"
)


def test_every_branch_of_the_shipped_policy_is_matched_by_its_own_tests(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "test"]) == 0
    said = capsys.readouterr().out
    assert "passed  destroy: deleting a pod asks in staging too" in said
    assert "note:" not in said


async def test_test_names_the_rules_that_neither_a_test_nor_a_recorded_decision_matched(
    changed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (changed / "more.yaml").write_text(UNTESTED)
    async with history() as (journal, _):
        await decided(journal, "c1", "kubernetes_cordon", {"namespace": "", "name": "n1"}, run={"cost_micros": 9})
    assert await in_thread("policy", "test", "--policy", str(changed)) == 0
    said = capsys.readouterr().out
    assert "note: more.yaml:3: no test and none of the 1 decisions of the last 30 days ever matched idle" in said
    assert "rare" not in said


def test_without_a_database_only_tests_are_looked_at(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (changed / "more.yaml").write_text(UNTESTED)
    assert main(["policy", "test", "--policy", str(changed)]) == 0
    assert "note: more.yaml:2: no test ever matched rare" in capsys.readouterr().out


# --- explain ----------------------------------------------------------------------------------------------------------


def explained(capsys: pytest.CaptureFixture[str], action: Any) -> tuple[int, str]:
    Path("action.json").write_text(action if isinstance(action, str) else json.dumps(action))
    code = main(["policy", "explain", "action.json"])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_explain_lists_the_rules_in_order_with_place_and_reason(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = explained(capsys, {"tool": "kubernetes_scale", "args": {**WEB, "replicas": 20}})
    assert code == 0
    assert said.startswith("ask (rule change-production): A change in production needs a person.")
    ids = [line.split()[1 + ("not matched" in line)] for line in said.splitlines() if line.startswith("  ")]
    assert ids.index("no-huge-scale") < ids.index("change-production") < ids.index("scale-staging")
    assert "policy.yaml:" in said
    assert "its condition is false: args.replicas > 50, where args.replicas is 20" in said
    assert "match.environments does not match" in said


def test_explain_takes_the_environment_from_the_inventory(capsys: pytest.CaptureFixture[str]) -> None:
    os.environ["AGENT_ENVIRONMENTS"] = "web=staging"
    _, said = explained(capsys, {"tool": "kubernetes_scale", "args": {**WEB, "replicas": 20}})
    assert said.startswith("ask (rule scale-staging/else)")


@pytest.mark.parametrize(
    ("where", "rule"), [("staging", "anything-else-in-staging"), ("production", "change-production")]
)
def test_explain_places_a_build_by_its_jobs_path_and_its_parameters_and_not_by_a_namespace_called_alike(
    where: str, rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    os.environ["AGENT_ENVIRONMENTS"] = "shop=staging,jenkins:shop/deploy@TARGET:staging=staging"
    _, said = explained(
        capsys, {"tool": "jenkins_trigger", "args": {"job": "shop/deploy", "parameters": {"TARGET": where}}}
    )
    assert said.startswith(f"ask (rule {rule})")


@pytest.mark.parametrize(
    ("where", "rule"), [("staging", "anything-else-in-staging"), ("production", "change-production")]
)
def test_explain_places_a_job_of_gitlab_by_the_environment_that_it_deploys_to(
    where: str, rule: str, capsys: pytest.CaptureFixture[str]
) -> None:
    os.environ["AGENT_ENVIRONMENTS"] = "shop=development,gitlab:shop/checkout@environment:staging=staging"
    args = {"project": "shop/checkout", "pipeline": 4107} if where == "production" else {
        "project": "shop/checkout", "job": 90041, "environment": where,
    }  # fmt: skip
    tool = "gitlab_retry_pipeline" if where == "production" else "gitlab_play_job"
    _, said = explained(capsys, {"tool": tool, "args": args})
    assert said.startswith(f"ask (rule {rule})")


@pytest.mark.parametrize(
    ("action", "sentence"),
    [
        ("{", "action.json: Expecting property name"),
        ("[1]", "expected an object such as"),
        ("[" * 100_000, "action.json:"),
        ({"tool": "kubernetes_scael"}, "there is no tool 'kubernetes_scael'; did you mean 'kubernetes_scale'?"),
        ({"tool": "kubernetes_scale", "traget": {}}, "'traget' is no fact; did you mean 'target'?"),
        (
            {"tool": "kubernetes_scale", "target": {"enviroment": "x"}},
            "'enviroment' is no fact of target; did you mean",
        ),
        ({"tool": "kubernetes_scale", "args": [1]}, "args is an object of facts, not [1]"),
    ],
)
def test_a_malformed_action_gets_a_sentence(action: Any, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = explained(capsys, action)
    assert code == 2
    assert sentence in said
    assert "Traceback" not in said


# --- backtest ---------------------------------------------------------------------------------------------------------


async def in_thread(*arguments: str) -> int:
    """The command starts an event loop of its own, so it gets a thread of its own."""
    return await asyncio.to_thread(main, list(arguments))


CARELESS = """
groups: {approvers: $AGENT_APPROVERS}
rules:
  - {id: looking, decision: allow, match: {effects: [read]}}
  - {id: changing, decision: ask, match: {effects: [write]}}
  - {id: destroy, decision: allow, match: {effects: [destructive]}}
"""


def careless(folder: Path) -> None:
    """A dangerous change: the tests and the invariants that would have noticed it are gone with the rest."""
    (folder / "policy.yaml").write_text(CARELESS)


async def test_newly_allowed_destruction_stands_first_and_breaks_the_invariant_in_force(
    changed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    careless(changed)
    async with history() as (journal, now):
        for number in range(12):
            await decided(journal, f"s{number}", "kubernetes_scale", {**WEB, "replicas": 8})
        await decided(journal, "p1", "kubernetes_delete_pod", POD)
        now[0] += timedelta(days=1)
    assert await in_thread("policy", "backtest", "--policy", str(changed)) == 1
    said = capsys.readouterr().out
    assert "13 decisions since" in said
    assert said.index("NEWLY ALLOWED, DESTRUCTIVE: 1 × ask (destroy) -> allow (destroy)") < said.index("12 ×")
    assert "kubernetes_delete_pod web/web-0 (staging)" in said
    assert "BROKEN 1 ×: the invariant 'nothing is destroyed without a person, anywhere'" in said
    assert "questions to approvers: 1.0 a day before, 12.0 after" in said
    assert sum("kubernetes_scale" in line for line in said.splitlines()) == 10


async def test_json_says_the_same(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    careless(changed)
    async with history() as (journal, _):
        await decided(journal, "p1", "kubernetes_delete_pod", POD)
    assert await in_thread("policy", "backtest", "--policy", str(changed), "--json") == 1
    found = json.loads(capsys.readouterr().out)
    [flip] = found["flips"]
    assert (found["decisions"], found["changed"], flip["count"]) == (1, 1, 1)
    assert flip["before"] == {"outcome": "ask", "rule": "destroy"}
    assert flip["after"] == {"outcome": "allow", "rule": "destroy"}
    assert (flip["destructive"], flip["newly_allowed"]) == (True, True)
    assert flip["examples"][0]["situation"]["args"] == POD
    assert found["approvals_per_day"] == {"approvers": {"before": 1.0, "after": 0.0}}
    assert found["broken"] == {"nothing is destroyed without a person, anywhere": 1}


async def test_a_harmless_change_exits_with_zero(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(changed, "id: destroy", "id: destruction")
    edit(changed, "rule: destroy,", "rule: destruction,")
    async with history() as (journal, _):
        await decided(journal, "p1", "kubernetes_delete_pod", POD)
    assert await in_thread("policy", "backtest", "--policy", str(changed)) == 0
    said = capsys.readouterr().out
    assert "0 would come out otherwise, 1 the same by another rule" in said
    assert "no invariant is broken" in said


async def test_counterfactual_follows_what_an_execution_would_have_changed(
    changed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three approved restarts closed the cap; under a policy that denies them it would have stayed open."""
    (changed / "more.yaml").write_text(
        "rules:\n  - id: no-restarts\n    decision: deny\n"
        "    match: {tools: [kubernetes_restart], environments: [production], namespaces: [web]}\n"
    )
    async with history() as (journal, now):
        for number in range(3):
            event = await decided(
                journal,
                f"c{number}",
                "kubernetes_restart",
                WEB,
                target={"environment": "production", "namespace": "web"},
            )
            assert event.decision.outcome is Outcome.ASK
            await approved_and_done(journal, event, now[0])
            now[0] += timedelta(minutes=5)
        capped = await decided(
            journal, "c9", "kubernetes_rollback", {**WEB, "to_revision": 1},
            target={"environment": "production", "namespace": "web"}, rate={"target_1h": 3},
        )  # fmt: skip
        assert capped.decision.rule == "same-target-again"
    for extra, flips in (((), {"no-restarts"}), (("--counterfactual",), {"no-restarts", "change-production"})):
        assert await in_thread("policy", "backtest", "--policy", str(changed), "--json", *extra) == 0
        found = json.loads(capsys.readouterr().out)
        assert {flip["after"]["rule"] for flip in found["flips"]} == flips
        assert found["drifted"] == len(extra)


async def test_since_bounds_what_is_looked_at(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with history(days_ago=3) as (journal, _):
        await decided(journal, "p1", "kubernetes_delete_pod", POD)
    assert await in_thread("policy", "backtest", "--policy", str(changed), "--since", "2d") == 0
    assert "0 decisions since" in capsys.readouterr().out
    assert await in_thread("policy", "backtest", "--policy", str(changed), "--since", "4d") == 0
    assert "1 decisions since" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("--since", "soon"), 2, "--since: 'soon' is not a period"),
        ((), 2, "AGENT_DATABASE: there is no database at"),
    ],
)
def test_what_cannot_be_back_tested_is_said(
    arguments: tuple[str, ...], code: int, sentence: str, changed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policy", "backtest", "--policy", str(changed), *arguments]) == code
    assert sentence in capsys.readouterr().err


def test_a_new_policy_that_is_refused_is_not_tried(changed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(changed, "decision: deny", "decision: dany")
    assert main(["policy", "backtest", "--policy", str(changed)]) == 1
    assert "decision is one of deny, ask, allow, not 'dany'" in capsys.readouterr().err


def test_backtest_needs_a_policy_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["policy", "backtest"])
    assert ended.value.code == 2


# --- docs/policy.md: ten minutes --------------------------------------------------------------------------------------

DOCUMENT = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
BLOCK = re.compile(r"```(sh tutorial|yaml own|json action|text said)\n(.*?)```", re.DOTALL)
VARIES = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME"),
    (r"policy [0-9a-f]{12}", "policy HASH"),
)


def alike(text: str) -> list[str]:
    for pattern, instead in VARIES:
        text = re.sub(pattern, instead, text)
    return [line for line in text.splitlines() if line]


async def test_the_ten_minutes_of_the_documentation_go_as_written(capsys: pytest.CaptureFixture[str]) -> None:
    """Every command of the tutorial is run as it stands there, and says what is printed there."""
    async with history() as (journal, _):
        for call, namespace in (("c1", "payments"), ("c2", "shop")):
            args = {"namespace": namespace, "kind": "Deployment", "name": "ledger"}
            await decided(journal, call, "kubernetes_restart", args, target={"environment": "production"})
        await decided(journal, "c3", "kubernetes_get", {"namespace": "shop", "kind": "Pod", "name": "x"})
    printed = ""
    for kind, body in BLOCK.findall(DOCUMENT):
        if kind == "yaml own":
            Path("my-policy/payments.yaml").write_text(body)
        elif kind == "json action":
            Path("action.json").write_text(body)
        elif kind == "sh tutorial":
            printed = await run_as_written(body.split(), capsys)
        else:
            wanted, got = alike(body), alike(printed)
            assert [line for line in got if line in wanted] == wanted, printed
    assert "no invariant is broken" in printed


async def run_as_written(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    program, *arguments = words
    if program == "cp":
        Path("my-policy").mkdir()
        for name, text in read_folder("").items():
            Path("my-policy", name).write_text(text)
        return ""
    assert program == "personal-agent"
    assert await in_thread(*arguments) == 0
    return capsys.readouterr().out
