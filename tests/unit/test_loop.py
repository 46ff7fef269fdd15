"""The loop: what a call needs next, what goes back to the model, where a run ends, and what the journal keeps of it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.agent.loop import Need, need
from bot.agent.reading import TEXT_BUDGET, cut, read
from bot.agent.step import parse_arguments
from domain.actions import Action, Effect, Target
from domain.decisions import (
    Approval,
    ApprovalState,
    ApprovalTerms,
    Decision,
    Execution,
    ExecutionOutcome,
    Outcome,
    Verdict,
)
from domain.diagnosis import Claim, Confidence, Diagnosis, Evidence, Hypothesis
from domain.errors import ArgumentsRefused, ModelError
from domain.events import (
    DecisionMade,
    ExecutionStarted,
    ModelAsked,
    ModelFailed,
    RunFinished,
    RunStarted,
    StepPlanned,
    ToolCallFinished,
    ToolCallRefused,
    WorkUnitRecorded,
)
from domain.runs import Answer, Budget, Call, Run, RunOutcome, RunStatus, ToolCall, ToolResult, Usage
from tests.scraping import page
from tests.slack_harness import request_of
from tests.unit.journeys import (
    ALLOWING,
    DENYING,
    SECRET,
    Place,
    calling,
    concluded,
    forever,
    place,
    policy_of,
    spec_of,
)

NOW = datetime(2026, 3, 10, tzinfo=UTC)
LOOK_A, LOOK_B = ("look", '{"name":"a"}'), ("look", '{"name":"b"}')
TURN_A = ("turn", '{"name":"a","to":1}')


# --- what a call needs ------------------------------------------------------------------------------------------------


def call_of(**more: Any) -> Call:
    return Call(ToolCall("c", "turn", "{}"), 1, **more)


def action(effect: Effect = Effect.WRITE) -> Action:
    return Action("turn", {}, effect, Target())


def decision(outcome: Outcome) -> Decision:
    return Decision(outcome, "r", "", "p", ApprovalTerms(("approvers",)))


def decided(outcome: Outcome, effect: Effect = Effect.WRITE, **more: Any) -> Call:
    return call_of(action=action(effect), decision=decision(outcome), **more)


def asked(state: ApprovalState) -> Call:
    return decided(Outcome.ASK, approval=Approval(request_of(), state))


def executed(outcome: ExecutionOutcome | None, verified: bool | None = None) -> Call:
    execution = Execution("x", "c", action(), "k", NOW, outcome=outcome, verified=verified)
    return decided(Outcome.ASK, approval=Approval(request_of(), ApprovalState.CONSUMED), execution=execution)


@pytest.mark.parametrize(
    ("call", "needed"),
    [
        (call_of(), Need.PROPOSE),
        (decided(Outcome.ALLOW, Effect.READ), Need.READ),
        (decided(Outcome.ALLOW), Need.EXECUTE),
        (decided(Outcome.ALLOW, Effect.DESTRUCTIVE), Need.EXECUTE),
        (decided(Outcome.ASK), Need.ASK),
        (decided(Outcome.ASK, Effect.READ), Need.ASK),
        (asked(ApprovalState.PENDING), Need.PERSON),
        (asked(ApprovalState.APPROVED), Need.EXECUTE),
        (asked(ApprovalState.DENIED), Need.REPORT),
        (asked(ApprovalState.EXPIRED), Need.REPORT),
        (asked(ApprovalState.CANCELLED), Need.REPORT),
        (asked(ApprovalState.SUPERSEDED), Need.REPORT),
        (executed(None), Need.RECOVER),
        (executed(ExecutionOutcome.SUCCEEDED), Need.VERIFY),
        (executed(ExecutionOutcome.UNKNOWN), Need.VERIFY),
        (executed(ExecutionOutcome.FAILED), Need.REPORT),
        (executed(ExecutionOutcome.SUCCEEDED, True), Need.REPORT),
        (executed(ExecutionOutcome.UNKNOWN, False), Need.REPORT),
        (decided(Outcome.DENY, result=ToolResult("c", "turn", False, "no")), Need.NOTHING),
    ],
    ids=lambda value: value.name if isinstance(value, Need) else "call",  # a repr with sets in it differs per worker
)
def test_what_a_call_needs_next(call: Call, needed: Need) -> None:
    assert need(call) is needed


def test_a_call_with_a_result_needs_nothing_whatever_else_is_known_of_it() -> None:
    result = ToolResult("c", "turn", True, "done")
    assert need(replace(executed(None), result=result)) is Need.NOTHING


# --- what goes back to the model --------------------------------------------------------------------------------------


async def answers(spot: Place) -> list[str]:
    """What the model was told of its calls, in order."""
    return [call.result.text for call in (await spot.run()).calls.values() if call.result]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (("look", '{"name": "a"'), "unusable arguments: not valid JSON"),
        (("look", "[]"), "a JSON object is expected, not list"),
        (("look", '"a"'), "a JSON object is expected, not str"),
        (("look", '{"name":"a","name":"b"}'), "a key is given twice"),
        (("look", "{}"), "name is required"),
        (("look", '{"name":"a","lines":"1"}'), "lines:"),
        (("look", '{"name":"a","force":true}'), "unknown argument 'force'"),
        (("look", '{"name":"' + "a" * 40_000 + '"}'), "the limit is 32768"),
        (("look", '{"name":"a","lines":90071992547409930}'), "90071992547409930"),
        (("look", '{"name":"\\ud800"}'), "unusable arguments"),
        (("rm_rf", "{}"), "there is no tool 'rm_rf'; the tools are look, turn"),
        (("", ""), "there is no tool ''"),
    ],
)
async def test_a_call_that_cannot_be_understood_goes_back_to_the_model(
    tmp_path: Path, call: tuple[str, str], said: str
) -> None:
    async with place(tmp_path, calling(call), concluded()) as spot:
        run = await spot.advance()
        assert run.outcome is RunOutcome.DIAGNOSED
        [refused] = await spot.events(ToolCallRefused)
        assert said in refused.reason
        assert spot.plant.reads == []
        assert len(spot.model.offered) == 2


async def test_a_denied_call_goes_back_with_its_rule_and_reason_and_nothing_runs(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded(), policy=DENYING) as spot:
        run = await spot.advance()
        assert await answers(spot) == ["turn was denied by policy (rule never): Not on a Friday."]
        assert (run.outcome, spot.plant.executed) == (RunOutcome.DIAGNOSED, [])


async def test_a_change_whose_target_cannot_be_looked_at_is_not_proposed(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        spot.plant.unreachable = "The cluster does not answer."
        await spot.advance()
        assert await answers(spot) == ["turn cannot be proposed: The cluster does not answer."]
        assert await spot.journal.approvals() == []


async def test_a_repeated_call_is_refused_and_allowed_again_after_a_change(tmp_path: Path) -> None:
    turns = (calling(LOOK_A), calling(("look", '{ "name": "a" }')), calling(TURN_A), calling(LOOK_A), concluded())
    async with place(tmp_path, *turns, policy=ALLOWING) as spot:
        spot.mode = type(spot.mode).ACT
        await spot.advance()
        assert spot.plant.reads == ["a", "a"]
        [refused] = await spot.events(ToolCallRefused)
        assert "was called with these arguments before; its answer is above as E1" in refused.reason
        assert (await answers(spot))[-1] == "valve a stands at 1"


async def test_the_same_call_twice_in_one_turn_is_made_once(tmp_path: Path) -> None:
    twice = calling(("turn", '{"name":"a","to":1}', "one"), ("turn", '{"to":1,"name":"a"}', "two"))
    async with place(tmp_path, twice, concluded()) as spot:
        await spot.advance()
        assert len(await spot.journal.approvals()) == 1
        [refused] = await spot.events(ToolCallRefused)
        assert refused.call_id == "two"


async def test_call_ids_are_made_unique_whatever_the_model_sends(tmp_path: Path) -> None:
    turns = (
        calling(("look", '{"name":"a"}', "x"), ("look", '{"name":"b"}', "x")),
        calling(("look", '{"name":"a","lines":2}', "x"), ("look", '{"name":"a","lines":3}', "")),
        concluded(),
    )
    async with place(tmp_path, *turns) as spot:
        run = await spot.advance()
        assert list(run.calls) == ["x", "call-1-1", "call-2-0", "call-2-1"]
        assert all(call.result and call.result.ok for call in run.calls.values())


# --- reads ------------------------------------------------------------------------------------------------------------


async def test_reads_of_one_step_run_at_the_same_time_and_are_cited_in_the_order_asked(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK_A, LOOK_B, ("look", '{"name":"a","lines":2}')), concluded()) as spot:
        met = asyncio.Barrier(3)  # passed only where all three are under way together

        async def wait() -> None:
            async with asyncio.timeout(5):
                await met.wait()

        spot.plant.reading = wait
        run = await spot.advance()
        assert spot.plant.most_at_once == 3
        assert [call.result.evidence_id for call in run.calls.values() if call.result] == ["E1", "E2", "E3"]


async def test_a_read_that_hangs_ends_at_its_limit_and_says_so(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        spot.plant.reading = forever
        result = await read(spot.world, spot.world.tools["look"], "c1", {"name": "a", "lines": 1}, limit_s=0.05)
        assert (result.ok, result.text, result.evidence_id) == (False, "look failed: no answer within 0 s", "")


async def test_a_read_that_fails_is_a_result_without_evidence_and_the_run_goes_on(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK_A), concluded()) as spot:
        spot.plant.unreachable = f"Forbidden for token {SECRET}."
        run = await spot.advance()
        [text] = await answers(spot)
        assert text.startswith("look failed: Forbidden for token [secret:")
        assert (run.evidence, run.outcome) == (0, RunOutcome.DIAGNOSED)


async def test_oversized_output_is_cut_to_head_and_tail_and_the_journal_keeps_all_of_it(tmp_path: Path) -> None:
    async with place(tmp_path, calling(("look", '{"name":"a","lines":2000}')), concluded()) as spot:
        await spot.advance()
        [finished] = await spot.events(ToolCallFinished)
        shown, kept = finished.result.text, finished.result.data["shown"]
        assert len(shown) < TEXT_BUDGET + 200 < len(kept)
        assert finished.result.cut
        assert kept.count("\n") == 1999
        assert kept.startswith(shown.partition("\n")[0])
        assert "the journal keeps the whole text" in shown


@given(st.text(alphabet="ab\n", max_size=400), st.integers(30, 200))
def test_cut_text_keeps_its_head_and_tail_and_counts_what_it_leaves_out(text: str, budget: int) -> None:
    short = cut(text, budget)
    if len(text) <= budget:
        assert short == text
        return
    head, _, rest = short.partition("[… ")
    tail = rest.partition("…]\n")[2]
    assert text.startswith(head)
    assert text.endswith(tail)
    assert f"{len(text) - len(head) - len(tail)} characters left out" in short
    assert len(head) + len(tail) <= budget


async def test_results_are_redacted_before_the_journal_and_the_model(tmp_path: Path) -> None:
    turn = Answer(f"the password is {SECRET}", calling(("look", json.dumps({"name": SECRET}))).calls)
    async with place(tmp_path, turn, concluded()) as spot:
        spot.plant.text = f"password={SECRET}"
        run = await spot.advance()
        assert SECRET not in str(run)
        assert all(SECRET not in str(envelope.event) for envelope in await spot.journal.since(0))
        [finished] = await spot.events(ToolCallFinished)
        assert finished.result.redactions == 1
    assert SECRET.encode() not in (tmp_path / "journal.db").read_bytes()


async def test_what_a_model_concludes_is_redacted_in_every_part(tmp_path: Path) -> None:
    found = Diagnosis(
        f"It is {SECRET}.", f"Because of {SECRET}.", Confidence.LIKELY, "script",
        (Evidence("E1", SECRET, SECRET),), (Hypothesis(SECRET, SECRET),), (f"Try {SECRET}.",), SECRET,
        (Claim(SECRET, (), (SECRET,)),),
    )  # fmt: skip
    async with place(tmp_path, Answer("done", diagnosis=found)) as spot:
        run = await spot.advance()
        assert run.diagnosis is not None
        assert all(SECRET not in str(envelope.event) for envelope in await spot.journal.since(0))


async def test_a_look_that_ran_out_of_time_is_none_that_found_nothing(tmp_path: Path) -> None:
    async with place(tmp_path, concluded()) as spot:
        spot.plant.reading = forever
        target = Target("kubernetes", "production", "shop", "Deployment", "checkout")
        look = replace(spot.plant.tools()["look"], name="kubernetes_get")
        spot.world = replace(spot.world, tools={"kubernetes_get": look}, analysis_seconds=0.05)
        await spot.record(RunStarted(spec_of("run-2", target=target)), run_id="run-2")
        spot.run_id = "run-2"
        run = await spot.advance()
        assert [found.code for found in run.findings or ()] == ["read.failed"]


# --- the end of a run -------------------------------------------------------------------------------------------------


def looking_on(run: Run) -> Answer:
    """A model that never concludes by itself, and uses 100 tokens and 50 millionths of a dollar a turn."""
    arguments = json.dumps({"name": "a", "lines": run.step + 1})
    return replace(calling(("look", arguments)), usage=Usage(60, 40, cost_micros=50))


@pytest.mark.parametrize(
    ("name", "budget", "with_tools"),
    [
        ("steps", Budget(steps=3), 2),
        ("tokens", Budget(tokens=250), 3),
        ("cost", Budget(cost_micros=100), 2),
        ("seconds", Budget(seconds=0), 0),
    ],
)
async def test_at_the_end_of_a_budget_no_tools_are_offered_and_the_run_concludes(
    tmp_path: Path, name: str, budget: Budget, with_tools: int
) -> None:
    before = stops(name)
    async with place(tmp_path, *[looking_on] * 10, budget=budget) as spot:
        run = await spot.advance()
        assert spot.model.offered == [("look", "turn")] * with_tools + [()]
        assert len(spot.plant.reads) == with_tools
        assert (run.status, run.diagnosis and run.diagnosis.by) == (RunStatus.FINISHED, "rules")
        assert "neither called a tool that it was offered nor concluded" in run.model_failure
    assert stops(name) - before == 1


def stops(budget: str) -> float:
    """How often this budget stopped a run so far."""
    return page()("budget_stops_total", budget=budget)


async def test_a_model_that_concludes_on_its_last_step_is_believed(tmp_path: Path) -> None:
    async with place(tmp_path, looking_on, concluded("It leaks."), budget=Budget(steps=2)) as spot:
        run = await spot.advance()
        assert spot.model.offered == [("look", "turn"), ()]
        assert run.diagnosis is not None
        assert (run.diagnosis.summary, run.model_failure) == ("It leaks.", "")


async def test_a_run_may_make_no_more_changes_than_its_budget_also_within_one_turn(tmp_path: Path) -> None:
    turn = calling(TURN_A, ("turn", '{"name":"b","to":1}'), ("turn", '{"name":"b","to":2}'))
    before = stops("actions")
    async with place(tmp_path, turn, concluded(), policy=ALLOWING, budget=Budget(actions=1)) as spot:
        spot.mode = type(spot.mode).ACT
        await spot.advance()
        assert spot.plant.executed == [("a", 1)]
        assert (await answers(spot)).count("This run has made its 1 changes.") == 2
    assert stops("actions") - before == 2


async def test_a_second_change_beyond_the_budget_is_refused_at_its_proposal(tmp_path: Path) -> None:
    turns = (calling(TURN_A), calling(("turn", '{"name":"b","to":1}')), concluded())
    async with place(tmp_path, *turns, policy=ALLOWING, budget=Budget(actions=1)) as spot:
        spot.mode = type(spot.mode).ACT
        await spot.advance()
        assert spot.plant.executed == [("a", 1)]
        [refused] = await spot.events(ToolCallRefused)
        assert refused.reason == "This run has made its 1 changes."


async def test_waiting_for_a_person_costs_no_time_of_the_budget(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded("Turned."), budget=Budget(seconds=60)) as spot:
        await spot.advance()
        spot.ahead = timedelta(minutes=20)
        await spot.vote()
        run = await spot.advance()
        assert spot.model.offered == [("look", "turn"), ("look", "turn")]
        assert run.machine_ms < 60_000
        [unit] = await spot.events(WorkUnitRecorded)
        assert unit.unit.people_ms > 19 * 60_000


async def test_a_model_that_fails_is_replaced_by_the_rules_and_the_diagnosis_says_so(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK_A), ModelError(f"is out of quota for {SECRET}")) as spot:
        run = await spot.advance()
        [failed] = await spot.events(ModelFailed)
        assert failed.step == 2
        assert failed.reason.startswith("is out of quota for [secret:")
        assert run.diagnosis is not None
        assert (run.diagnosis.by, "is out of quota" in run.diagnosis.note) == ("rules", True)
        assert run.outcome is RunOutcome.DIAGNOSED


async def test_a_model_that_does_not_answer_in_its_time_is_replaced_by_the_rules(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:

        class Slow(type(spot.model)):  # type: ignore[misc]
            def request(self, run: Run, tools: Any) -> Any:
                return replace(super().request(run, tools), send=forever)

        spot.world = replace(spot.world, model=Slow(), model_seconds=0.05)
        run = await spot.advance()
        assert "did not answer within 0 s" in run.model_failure
        assert run.diagnosis is not None


async def test_the_request_is_in_the_journal_before_the_model_is_asked(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        seen: list[int] = []

        def turn(_run: Run) -> Answer:
            seen.append(len(spot.chat.runs))
            return concluded()

        spot.model.turns = [turn]
        await spot.advance()
        kinds = [type(each.event) for each in await spot.journal.since(0)]
        assert kinds.index(ModelAsked) < kinds.index(StepPlanned)


# --- where it stops ---------------------------------------------------------------------------------------------------


async def test_a_question_to_people_ends_the_passage_and_a_vote_takes_it_on(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded("Turned.")) as spot:
        assert (await spot.advance()).status is RunStatus.WAITING
        assert (await spot.advance()).status is RunStatus.WAITING
        assert len(await spot.journal.approvals()) == 1
        await spot.vote()
        run = await spot.advance()
        assert (run.outcome, spot.plant.executed) == (RunOutcome.REMEDIATED, [("a", 1)])
        assert [event.outcome for event in await spot.events(RunFinished)] == [RunOutcome.REMEDIATED]


async def test_a_denial_goes_to_the_model_with_its_reason_and_is_not_asked_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), calling(TURN_A), concluded("Left.")) as spot:
        await spot.advance()
        await spot.vote(Verdict.DENY, reason="not now")
        run = await spot.advance()
        assert (await answers(spot))[0] == "Denied by Person U1: not now."
        assert (run.outcome, spot.plant.executed) == (RunOutcome.NOT_REMEDIATED, [])
        assert len(await spot.journal.approvals()) == 1


async def test_a_paused_agent_takes_no_step(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A)) as spot:
        spot.pause = "too many changes"
        assert (await spot.advance()).step == 0
        assert spot.model.offered == []


async def test_an_allowed_change_that_was_held_up_is_decided_again_before_it_runs(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded(), policy=ALLOWING) as spot:
        spot.mode = type(spot.mode).ACT
        spot.model.turns[0] = calling(TURN_A)

        real = spot.plant.preview

        async def preview(arguments: Any) -> Any:
            spot.pause = "wait"  # right after it was decided the agent is paused
            return await real(arguments)

        spot.world = replace(
            spot.world, tools=spot.plant.tools() | {"turn": replace(spot.plant.tools()["turn"], previewer=preview)}
        )
        await spot.advance()
        assert [event.decision.outcome for event in await spot.events(DecisionMade)] == [Outcome.ALLOW]
        spot.pause, spot.mode = "", type(spot.mode).OBSERVE
        run = await spot.advance()
        assert spot.plant.executed == []
        assert await spot.events(ExecutionStarted) == []
        assert run.outcome is RunOutcome.NOT_REMEDIATED


async def test_an_allowed_change_that_policy_denies_meanwhile_does_not_run(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded(), policy=ALLOWING) as spot:
        spot.mode = type(spot.mode).ACT
        tool = spot.plant.tools()["turn"]

        async def preview(arguments: Any) -> Any:
            spot.pause = "wait"
            return await spot.plant.preview(arguments)

        spot.world = replace(spot.world, tools={**spot.world.tools, "turn": replace(tool, previewer=preview)})
        await spot.advance()
        spot.pause, spot.policy = "", policy_of(DENYING)
        await spot.advance()
        assert spot.plant.executed == []
        assert "Not on a Friday." in str(await answers(spot))


def test_empty_arguments_are_an_empty_object() -> None:
    assert parse_arguments("") == {}


@given(st.text(max_size=60))
def test_any_argument_text_is_an_object_or_refused(text: str) -> None:
    with suppress(ArgumentsRefused):
        assert isinstance(parse_arguments(text), dict)


def test_arguments_nested_without_end_are_refused() -> None:
    with pytest.raises(ArgumentsRefused):
        parse_arguments('{"a":' + "[" * 30_000)
