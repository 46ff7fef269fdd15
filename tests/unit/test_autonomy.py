"""Earned autonomy: what the counts prove, what a proposal changes in the files, and that it only ever is a proposal."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from bot.autonomy import Report, headlines, suggest, words
from domain.actions import Effect, Target
from domain.brakes import TrackRecord
from domain.decisions import Outcome
from domain.errors import PolicyError
from domain.events import DecisionMade, Draft
from policies import amend
from policies.autonomy import ENOUGH, GOOD, Share, standings
from policies.gate import decide
from policies.policy import load
from storage.journal import SqliteJournal, open_journal
from tests.contracts.journal_samples import NOON, denied, ended, execution, requested, run_started, vote
from tests.contracts.test_journal_brakes import undoing, verified
from tests.unit.policy_samples import DEFAULT, TOOLS, action, facts, shipped

FILES = {path.name: path.read_text() for path in DEFAULT.glob("*.yaml")}
PEOPLE = {"AGENT_APPROVERS": ("@sre",)}
TODAY = date(2026, 3, 2)
RESOURCES, RESTART = "kubernetes_set_resources", "kubernetes_restart"
GOOD_RECORD = TrackRecord(RESOURCES, "staging", "write", proposed=30, approved=30, executed=30, verified=30)


# --- the bound --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("successes", "n", "lower", "upper"),
    [(20, 20, 0.8389, 1.0), (0, 20, 0.0, 0.1611), (10, 20, 0.2993, 0.7007), (81, 263, 0.2553, 0.3662)],
)
def test_the_bounds_are_wilsons(successes: int, n: int, lower: float, upper: float) -> None:
    share = Share(successes, n)
    assert (round(share.lower, 4), round(share.upper, 4)) == (lower, upper)


def test_no_counts_prove_nothing() -> None:
    assert (Share(0, 0).lower, Share(0, 0).upper) == (0.0, 1.0)


@given(st.integers(0, 300), st.integers(1, 300))
def test_the_bounds_hold_the_share_and_narrow_with_more_of_the_same(successes: int, n: int) -> None:
    share = Share(min(successes, n), n)
    more = Share(share.successes * 4, n * 4)
    assert 0.0 <= share.lower <= share.successes / n <= share.upper <= 1.0
    assert more.upper - more.lower <= share.upper - share.lower


# --- what follows from a record ---------------------------------------------------------------------------------------


def proposal(*, unasked: bool = False, **changes: Any) -> str:
    record = replace(GOOD_RECORD, **changes)
    [standing] = standings([record], frozenset([(record.tool, record.environment)] if unasked else ()))
    return standing.proposal


def test_enough_verified_and_approved_changes_could_run_unasked() -> None:
    assert proposal() == "allow"


@pytest.mark.parametrize(
    "changes",
    [
        {"executed": ENOUGH - 1, "verified": ENOUGH - 1},
        {"verified": 24},
        {"reverted": 1, "verified": 29},
        {"denied": 10},
        {"edited": 10},
        {"effect": Effect.DESTRUCTIVE.value},
        {"approved": 0},
    ],
    ids=str,
)
def test_less_than_that_changes_nothing(changes: dict[str, Any]) -> None:
    assert proposal(**changes) == ""


def test_the_bound_counts_and_not_the_bare_share() -> None:
    assert Share(27, 30).lower < GOOD < 27 / 30
    assert proposal(verified=27) == ""


def test_what_runs_unasked_and_was_taken_back_or_often_fails_should_ask() -> None:
    assert proposal(unasked=True, reverted=1) == "ask"
    assert proposal(unasked=True, executed=10, verified=4) == "ask"
    assert proposal(unasked=True, executed=4, verified=1) == ""
    assert proposal(unasked=False, executed=10, verified=4) == ""


# --- changing the files -----------------------------------------------------------------------------------------------

ASKING = [
    f"{rule.id}{other}"
    for rule in shipped().rules
    for other, branch in (("", rule.then), ("/else", rule.otherwise))
    if branch and branch.decision is Outcome.ASK
]


@pytest.mark.parametrize("rule", ASKING)
def test_any_asking_rule_is_narrowed_in_place_and_nothing_else_changes(rule: str) -> None:
    changed = amend.narrowed(FILES, rule, "target.touches == 7")
    policy = load(changed, TOOLS, PEOPLE)
    narrowed = policy.rule(rule)
    branch = narrowed.otherwise if narrowed and "/" in rule else narrowed.then if narrowed else None
    assert branch is not None
    assert branch.condition is not None
    assert branch.condition.text.endswith("!(target.touches == 7)")
    lines = amend.difference(FILES, changed).splitlines()
    assert len([line for line in lines if line.startswith("-") and not line.startswith("---")]) <= 1
    assert len([line for line in lines if line.startswith("+") and not line.startswith("+++")]) == 1


def test_a_rule_in_one_line_is_narrowed_too() -> None:
    flow = {
        "a.yaml": "rules: [{id: a, decision: ask, match: {effects: [write]}}, {id: b, decision: deny, when: 'true'}]"
    }
    once = amend.narrowed(amend.narrowed(flow, "a", "x == 'y'"), "b", "z")
    first, second = yaml.safe_load(once["a.yaml"])["rules"]
    assert (first["when"], second["when"]) == ("!(x == 'y')", "(true) && !(z)")
    assert amend.narrowed(flow, "c", "x") == flow


def test_the_diff_is_one_that_patch_takes(tmp_path: Path) -> None:
    changed = amend.with_rule(amend.narrowed(FILES, "change-production", "false"), "  - {id: x}\n")
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    diff = amend.difference(FILES, changed)
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=diff, text=True, check=True)
    assert {path.name: path.read_text() for path in tmp_path.glob("*.yaml")} == changed


# --- from a journal ---------------------------------------------------------------------------------------------------


@pytest.fixture
async def journal(tmp_path: Path) -> AsyncIterator[SqliteJournal]:
    async with open_journal(tmp_path / "agent.db", "local", clock=lambda: NOON) as opened:
        await opened.append(run_started())
        yield opened


async def worked(journal: SqliteJournal, tool: str, environment: str, times: int, *, unasked: bool = False) -> None:
    """So many decisions as the shipped policy makes them, approved where it asks, executed and verified."""
    target = Target("kubernetes", environment, "web", "Deployment", "shop")
    done = action(tool, target=target, arguments={"name": "shop"}, touches=3)
    for number in range(times):
        name = f"{tool}-{environment}-{number}"
        situation = facts(tool, target={"environment": environment, "namespace": "web", "touches": 3})
        decision = decide(shipped(), situation)
        assert (decision.outcome is Outcome.ALLOW) is unasked
        drafts = [Draft(DecisionMade(f"c-{name}", done, decision, situation), run_id="r1")]
        if not unasked:
            drafts += [requested(f"a-{name}", call_id=f"c-{name}", action=done), vote(f"a-{name}")]
        started = execution(f"x-{name}", "" if unasked else f"a-{name}", f"c-{name}", action=done)
        await journal.append(*drafts, started, ended(f"x-{name}"), verified(f"x-{name}"))


async def report_of(journal: SqliteJournal) -> Report:
    return await suggest(journal, FILES, TOOLS, PEOPLE, since=NOON - timedelta(days=90), today=TODAY)


async def test_a_good_record_becomes_a_diff_with_its_back_test(journal: SqliteJournal, tmp_path: Path) -> None:
    await worked(journal, RESOURCES, "staging", 25)
    report = await report_of(journal)
    [found] = report.suggestions
    assert found.held_back == ""
    assert found.flips is not None
    assert [(flip.before, flip.after, flip.count) for flip in found.flips.flips] == [(Outcome.ASK, Outcome.ALLOW, 25)]
    assert found.flips.broken == {}
    for part in (
        "earned-kubernetes-set-resources-staging",
        "target.touches <= 3",
        'expires_on: "2026-08-29"',
        "25 of 25",
    ):
        assert part in found.diff
    said = "\n".join(words(report))
    assert "approved as proposed 25" in said
    assert "25 would have run without asking" in said
    assert "Nothing changes until a person merges it" in said


async def test_what_was_merged_allows_what_was_seen_and_goes_on_asking_beyond_it(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    await worked(journal, RESOURCES, "staging", 25)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    diff = (await report_of(journal)).suggestions[0].diff
    subprocess.run(["git", "apply", "-"], cwd=tmp_path, input=diff, text=True, check=True)
    merged = load({path.name: path.read_text() for path in tmp_path.glob("*.yaml")}, TOOLS, PEOPLE)
    seen = {"environment": "staging", "namespace": "web", "touches": 3}
    assert decide(merged, facts(RESOURCES, of=merged, target=seen)).outcome is Outcome.ALLOW
    for target, more in (
        ({**seen, "touches": 4}, {}),
        ({**seen, "environment": "production"}, {}),
        (seen, {"calendar": {"frozen": True}}),
    ):
        assert decide(merged, facts(RESOURCES, of=merged, target=target, **more)).outcome is Outcome.ASK


async def test_a_record_in_production_is_held_back_by_the_invariant(journal: SqliteJournal) -> None:
    await worked(journal, "kubernetes_rollback", "production", 25)
    [found] = (await report_of(journal)).suggestions
    assert "nothing in production changes without a person" in found.held_back
    assert found.diff == ""


async def test_the_weekly_report_has_one_sentence_a_suggestion(journal: SqliteJournal) -> None:
    await worked(journal, RESOURCES, "staging", 25)
    await worked(journal, "kubernetes_rollback", "production", 25)
    held, ready, how = headlines(await report_of(journal))
    assert held.startswith(
        "kubernetes_rollback in production could run without asking: verified 25 of 25 (at least 87%)"
    )
    assert "Held back" in held
    assert "Held back" not in ready
    assert "policy suggest" in how
    assert headlines(Report(NOON, (), ())) == []


async def test_too_little_is_reported_as_it_is(journal: SqliteJournal) -> None:
    await worked(journal, RESOURCES, "staging", 5)
    await journal.append(requested("a9", call_id="c9"), denied("a9"))
    report = await report_of(journal)
    assert report.suggestions == ()
    assert "5 executions are too few to tell" in "\n".join(words(report))


async def test_what_runs_unasked_and_was_taken_back_is_proposed_to_ask(journal: SqliteJournal) -> None:
    await worked(journal, RESTART, "staging", 6, unasked=True)
    await journal.append(undoing("u1", f"x-{RESTART}-staging-0"), ended("u1"))
    [found] = (await report_of(journal)).suggestions
    assert (found.standing.proposal, found.held_back) == ("ask", "")
    assert found.flips is not None
    assert [(flip.before, flip.after) for flip in found.flips.flips] == [(Outcome.ALLOW, Outcome.ASK)]
    assert "1 taken back" in found.standing.why


async def test_suggesting_writes_nothing_anywhere(journal: SqliteJournal) -> None:
    await worked(journal, RESOURCES, "staging", 25)
    before = await journal.since(0, 10_000)
    await report_of(journal)
    assert await journal.since(0, 10_000) == before


async def test_a_policy_that_does_not_load_is_said_to_be_the_problem(journal: SqliteJournal) -> None:
    with pytest.raises(PolicyError):
        await suggest(journal, {"a.yaml": "rules: 7"}, TOOLS, PEOPLE, since=NOON, today=TODAY)
