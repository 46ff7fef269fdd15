"""The same cause and the same action: what the words mean, held to what stands in both runs, in doubt no."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from bot.replay.cause import Share, same_action, same_cause
from bot.replay.differences import Trace, Traced, differences
from bot.replay.many import Row, totals
from bot.replay.report import summary, table
from bot.replay.terminal import Paper
from domain.actions import Target
from domain.diagnosis import Confidence, Diagnosis, Evidence, Finding
from domain.runs import Call, Run, ToolCall, ToolResult, Usage
from tests.unit.journeys import spec_of

AT = datetime(2026, 3, 10, tzinfo=UTC)
CART, WEB = Target("kubernetes", namespace="shop", name="cart"), Target("kubernetes", namespace="shop", name="web")
LIKELY, NOT_PROVEN = Confidence.LIKELY, Confidence.NOT_PROVEN


def evidence(*ids: str) -> tuple[Evidence, ...]:
    return tuple(Evidence(each, "") for each in ids)


def found(code: str, *ids: str, target: Target = CART, healthy: bool = False) -> Finding:
    return Finding(code, code, "", target, evidence(*ids), healthy=healthy)


FINDINGS = (found("rollout.bad", "E1", "E2"), found("pod.crash", "E2"), found("all.well", "E3", healthy=True))


def concluded(
    *cited: str,
    confidence: Confidence | None = LIKELY,
    findings: Sequence[Finding] = FINDINGS,
    reads: Sequence[str] = ("E1", "E2", "E3", "E4"),
    changes: Sequence[str] = (),
) -> Trace:
    """A run that cites this evidence, made of these reads, and proposes these changes."""
    calls = {}
    for each in reads:
        result = ToolResult(each, "look", True, "", each)
        calls[("look", each), 1] = Traced(Call(ToolCall(each, "look", each), 0, result=result))
    for each in changes:
        calls[("turn", each), 1] = Traced(Call(ToolCall(each, "turn", each), 1), change=True)
    diagnosis = Diagnosis("", "words", confidence, "m", evidence(*cited)) if confidence else None
    return Trace(Run(spec_of(), AT, findings=tuple(findings), diagnosis=diagnosis), calls)


@pytest.mark.parametrize(
    ("then", "now", "same"),
    [
        (concluded("E1", "E2"), concluded("E1", "E2", "E4"), True),  # the same heaviest finding, whatever else is cited
        (concluded("E1", "E2"), concluded("E2"), False),  # the cause then, only its symptom now
        (concluded("E1", "E2"), concluded("E1"), False),  # half of what the finding rests on
        (concluded("E4"), concluded("E4"), True),  # no finding, but exactly the same evidence
        (concluded("E4"), concluded("E3", "E4"), False),
        (concluded(), concluded(), False),  # both claim something and rest on nothing
        (concluded("E3"), concluded("E3"), True),
        (concluded("E3"), concluded("E3", "E4"), False),  # what is well is no cause
        (concluded("E1", "E2", confidence=NOT_PROVEN), concluded("E4", confidence=NOT_PROVEN), True),
        (concluded("E1", "E2"), concluded("E1", "E2", confidence=NOT_PROVEN), False),
        (concluded("E1", "E2"), concluded(confidence=None), None),
        (concluded(confidence=None), concluded("E1", "E2"), None),
    ],
)
def test_the_same_cause_is_the_same_finding_or_the_same_evidence(then: Trace, now: Trace, same: bool | None) -> None:
    assert same_cause(then, now).same is same


def test_the_same_finding_about_another_thing_is_another_cause() -> None:
    moved = (found("rollout.bad", "E1", "E2", target=WEB),)
    assert same_cause(concluded("E1", "E2"), concluded("E1", "E2", "E3", findings=moved)).same is False


def test_evidence_is_the_same_by_what_was_read_and_not_by_its_number() -> None:
    renumbered = concluded("E4", reads=("E1", "E2", "E3"))
    other = Call(ToolCall("x", "look", "other"), 1, result=ToolResult("x", "look", True, "", "E4"))
    calls = {**renumbered.calls, (("look", "other"), 1): Traced(other)}
    assert same_cause(concluded("E4"), Trace(renumbered.run, calls)).same is False


def test_a_verdict_says_what_it_rests_on() -> None:
    assert same_cause(concluded("E1", "E2"), concluded("E1", "E2")).why == "rollout.bad on kubernetes/shop/cart"
    said = same_cause(concluded("E1", "E2"), concluded("E4")).why
    assert said == "rollout.bad on kubernetes/shop/cart then, none of the findings now"


@pytest.mark.parametrize(
    ("then", "now", "same"),
    [
        ((), (), True),
        (("a",), ("a",), True),
        (("a", "b"), ("b", "a"), True),
        (("a",), (), False),
        (("a",), ("b",), False),
    ],
)
def test_the_same_action_is_the_same_changes(then: Sequence[str], now: Sequence[str], same: bool) -> None:
    assert same_action(concluded(changes=then), concluded(changes=now)).same is same


# --- findings ---------------------------------------------------------------------------------------------------------


def test_a_finding_that_is_new_gone_or_called_otherwise_is_a_difference() -> None:
    renamed = Finding("pod.crash", "it crashes", "", CART, evidence("E2"))
    then, now = concluded(findings=FINDINGS[:2]), concluded(findings=[renamed, found("node.down", "E4")])
    told = [each for each in differences(then, now, same_model=True) if each.kind == "finding"]
    assert [(each.about.split()[0], each.before, each.after) for each in told] == [
        ("rollout.bad", "rollout.bad", "–"),
        ("pod.crash", "pod.crash", "it crashes"),
        ("node.down", "–", "node.down"),
    ]


# --- shares -----------------------------------------------------------------------------------------------------------


def test_the_interval_is_wilsons() -> None:
    low, high = Share(8, 10).interval  # as tabulated: 0.490, 0.943
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert str(Share(8, 10)) == "8 of 10 (80%, 95 % interval 49% to 94%)"
    assert Share(0, 0).interval == (0.0, 1.0)


# --- rows -------------------------------------------------------------------------------------------------------------


def row(name: str = "run-1", **more: object) -> Row:
    yes = same_action(concluded(), concluded())
    return Row(name, **({"cause": yes, "action": yes} | more))  # type: ignore[arg-type]


NO = same_cause(concluded("E1", "E2"), concluded("E4"))
NONE = same_cause(concluded("E1", "E2"), concluded(confidence=None))


def test_totals_count_only_what_can_be_compared() -> None:
    found_rows = [
        row(then=Usage(10, 1, cost_micros=5), now=Usage(20, 2, cost_micros=1), unanswerable=2, differences=1),
        row(cause=NO, flips=1),
        row(cause=NONE),
        row(problem="other: could not be reached", then=Usage(99, 9)),
    ]
    of_all = totals(found_rows)
    assert (of_all.n, of_all.left_out, of_all.without_conclusion) == (3, 1, 1)
    assert (of_all.cause, of_all.action, of_all.neither_acts) == (Share(1, 2), Share(3, 3), 3)
    assert (of_all.then.input_tokens, of_all.now.input_tokens, of_all.unanswerable, of_all.unanswerable_in) == (
        10,
        20,
        2,
        1,
    )
    assert "same cause    1 of 2 (50%" in "\n".join(summary(of_all))
    assert "1 more left out" in "\n".join(summary(of_all))


def test_a_row_speaks_against_a_model_by_what_it_comes_to_and_against_code_by_any_difference() -> None:
    assert not row(differences=3).is_otherwise(tried_model=True)
    assert row(differences=3).is_otherwise(tried_model=False)
    for otherwise in (row(cause=NO), row(cause=NONE), row(flips=1, differences=1), row(problem="x")):
        assert otherwise.is_otherwise(tried_model=True)
    assert not row().is_otherwise(tried_model=False)


def test_the_table_has_a_line_for_each_run_and_says_why_one_is_otherwise() -> None:
    lines = list(table([row("run-1"), row("run-22", cause=NO), row("run-3", problem="it is gone\x1b[2J")], Paper()))
    assert lines[0].split()[:3] == ["run", "cause", "action"]
    assert lines[1].split()[:3] == ["run-1", "yes", "yes"]
    assert lines[2].endswith("rollout.bad on kubernetes/shop/cart then, none of the findings now")
    assert lines[3] == "run-3   it is gone\\u{1b}[2J"
