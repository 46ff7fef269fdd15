"""What a run rested on besides itself: other runs' noes, brakes, pauses, lent votes, a second look. All of it holds again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot import brakes, delegation, escalation, expiry, undo
from bot.agent.loop import advance
from bot.models.rules import Rules
from bot.replay.compared import compare
from bot.replay.ports import RecordedDirectory, recorded_groups, recorded_tools
from bot.replay.recording import Keys, Output, recording_of
from bot.replay.reel import Reel
from bot.replay.rerun import asking_as
from domain.actions import Mode, Target
from domain.alerts import Alert, Incident, Severity
from domain.decisions import SYSTEM, Actor, Verdict
from domain.errors import ToolError
from domain.events import (
    AgentPaused,
    AgentResumed,
    Draft,
    ExecutionStarted,
    IncidentOpened,
    IncidentResolved,
    ModeChanged,
)
from domain.runs import Answer, Budget, Run, RunOutcome, RunStatus
from storage.records import RunRecord
from tests.contracts.test_second_look import checked, said as verdict
from tests.unit.journeys import ALLOWING, RULES, Place, Script, calling, concluded, place, policy_of
from tests.unit.replays import again, how, of_kind, record, said, untouchable
from tests.unit.test_braking import NOT_HELD, acting, another, fail, take_back  # noqa: F401 – a fixture
from tests.unit.test_breakglass import GLASS, broken, emergency

TURN_A = ("turn", '{"name":"a","to":1}')


async def opened(spot: Place, incident_id: str = "inc-1") -> None:
    incident = Incident(incident_id, "local", "Valve a leaks", Severity.WARNING, Target(), "", spot.now())
    await spot.journal.append(Draft(IncidentOpened(incident), incident_id=incident_id))


async def unchanged(spot: Place, run_id: str = "run-1", policy: str | None = None) -> None:
    compared = await again(spot, policy, run_id=run_id)
    assert said(compared) == []
    assert compared.again.unanswerable == ()
    assert compared.again.not_known == ()


async def then(spot: Place, run_id: str, *turns: Any, **more: Any) -> Run:
    """One more run after the first."""
    spot.model.turns[:] = [*turns, concluded()]
    spot.run_id = run_id
    await spot.start(run_id, **more)
    return await advance(spot.world, run_id)


# --- what other runs left ---------------------------------------------------------------------------------------------


async def test_a_no_of_an_earlier_run_stands_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded(), incident_id="inc-1") as spot:
        await opened(spot)
        await spot.advance()
        await spot.vote(Verdict.DENY, reason="no")
        await spot.advance()
        second = await then(spot, "run-2", calling(TURN_A), incident_id="inc-1")
        assert "denied the same action" in str(second.calls)
        await unchanged(spot, "run-2")


async def test_a_no_in_another_incident_stands_again_as_long_as_that_was_open(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded(), incident_id="inc-1") as spot:
        await opened(spot)
        await spot.advance()
        await spot.vote(Verdict.DENY, reason="no")
        await spot.advance()
        await opened(spot, "inc-2")
        assert "denied the same action" in str((await then(spot, "run-2", calling(TURN_A), incident_id="inc-2")).calls)
        await spot.journal.append(Draft(IncidentResolved("over"), incident_id="inc-1"))
        third = await then(spot, "run-3", calling(TURN_A), incident_id="inc-2")
        assert "denied the same action" not in str(third.calls)
        for run_id in ("run-2", "run-3"):
            await unchanged(spot, run_id)


async def test_what_changed_since_a_no_is_told_again_on_the_card(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded(), incident_id="inc-1") as spot:
        await opened(spot)
        await spot.advance()
        await spot.vote(Verdict.DENY, reason="no")
        await spot.advance()
        spot.plant.version = 8
        await then(spot, "run-2", calling(TURN_A), incident_id="inc-1")
        assert "Changed since: version 1 → 8" in (await spot.pending()).request.note
        compared = await again(spot, run_id="run-2")
        assert said(compared) == []
        [asked] = [call.approval for call in compared.now.run.calls.values() if call.approval]
        assert "Changed since: version 1 → 8" in asked.request.note


async def test_a_question_of_another_run_that_was_open_is_not_asked_twice_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), incident_id="inc-1") as spot:
        await opened(spot)
        await spot.advance()
        second = await then(spot, "run-2", calling(TURN_A), incident_id="inc-1")
        assert "waits for a decision already" in str(second.calls)
        await unchanged(spot, "run-2")


# --- the agent itself -------------------------------------------------------------------------------------------------


async def test_a_breaker_that_was_open_is_open_again(acting: Place) -> None:  # noqa: F811
    await fail(acting, 3)
    run = await another(acting, 9)
    assert not run.executions
    await unchanged(acting, "run-9")
    await brakes.reset(acting.world, Actor("person", "U1"), "turn")
    assert (await another(acting, 10)).executions
    await unchanged(acting, "run-10")


async def test_the_failures_that_opened_a_breaker_fail_again(acting: Place) -> None:  # noqa: F811
    await fail(acting, 3)
    for number in (2, 3, 4):
        await unchanged(acting, f"run-{number}")


async def test_failures_that_no_breaker_answered_yet_brake_again(acting: Place) -> None:  # noqa: F811
    for number in (2, 3, 4):
        acting.plant.probes.append(NOT_HELD)
        await another(acting, number)
    found = await record(acting, "run-4")
    assert {each.run_id for each in found.around if each.run_id} == {"run-2", "run-3"}


async def test_a_problem_that_came_back_asks_again(acting: Place) -> None:  # noqa: F811
    alert = Alert("f1", True, "Leak", "alertmanager", acting.now())
    for number in (2, 3, 4):
        await another(acting, number, alert=alert)
    for number in (2, 3, 4):
        await unchanged(acting, f"run-{number}")


async def test_a_tool_that_was_demoted_asks_again(acting: Place) -> None:  # noqa: F811
    await another(acting, 2)
    [first] = await acting.events(ExecutionStarted)
    await take_back(acting, first.execution_id)
    assert (await another(acting, 3)).status is RunStatus.WAITING
    for name in ("run-3", "run-50"):
        await unchanged(acting, name)


async def test_a_model_that_took_its_time_takes_it_again(tmp_path: Path) -> None:
    async with place(tmp_path, budget=Budget(seconds=60)) as spot:

        def slowly(run: Run) -> Answer:
            spot.ahead += timedelta(seconds=45)
            return calling(("lock", f'{{"turn":{run.step}}}'))  # refused: nothing but the model takes any time

        spot.model.turns = [slowly, slowly, slowly, slowly]
        run = await spot.advance()
        assert run.step < 4, "it ran out of time, so it got no more tools"
        await unchanged(spot)


async def test_a_pause_between_the_vote_and_the_execution_pauses_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        await spot.journal.append(Draft(AgentPaused("wait"), SYSTEM))
        spot.pause = "wait"
        await spot.vote()
        await spot.advance()
        assert spot.plant.executed == []
        spot.ahead = timedelta(minutes=5)
        await spot.journal.append(Draft(AgentResumed(), SYSTEM))
        spot.pause = ""
        run = await spot.advance()
        assert run.outcome is RunOutcome.REMEDIATED
        await unchanged(spot)


async def test_what_expired_while_the_agent_was_paused_expires_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        await spot.journal.append(Draft(AgentPaused("wait"), SYSTEM))
        spot.pause = "wait"
        await spot.vote()
        spot.ahead = timedelta(minutes=31)
        await expiry.expire(spot.world)
        await spot.journal.append(Draft(AgentResumed(), SYSTEM))
        spot.pause = ""
        await spot.advance()
        assert spot.plant.executed == []
        await unchanged(spot)


async def test_a_mode_that_people_changed_meanwhile_changes_again(tmp_path: Path) -> None:
    async with place(
        tmp_path, calling(TURN_A), calling(("turn", '{"name":"a","to":4}')), concluded(), policy=ALLOWING
    ) as spot:
        spot.mode = Mode.PROPOSE
        await spot.advance()
        await spot.journal.append(Draft(ModeChanged(Mode.ACT), SYSTEM))
        spot.mode = Mode.ACT
        spot.policy = policy_of(ALLOWING)
        run = await spot.run()
        assert run.status.value == "waiting"
        await unchanged(spot)


async def test_an_undo_that_a_person_asked_for_begins_with_their_step_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        await spot.vote()
        await spot.advance()
        spot.run_id = await undo.propose_undo(spot.world, "run-1", "U2", Mode.PROPOSE)
        await spot.advance()
        await spot.vote(user="U1")
        await spot.advance()
        assert spot.plant.executed == [("a", 1), ("a", 0)]
        compared = await again(spot)
        assert said(compared) == []
        assert compared.now.run.spec.undoes
        assert said(await again(spot, model=Rules())) == []
        assert await spot.journal.runs_between(spot.now() - timedelta(hours=1), spot.now()) == ["run-1"]


# --- lent votes -------------------------------------------------------------------------------------------------------


async def test_a_vote_under_break_glass_counts_again(tmp_path: Path) -> None:
    async with emergency(tmp_path) as spot:
        await broken(spot)
        await spot.vote(user="U7")
        await spot.advance()
        assert spot.plant.executed == [("a", 1)]
        await unchanged(spot, policy=GLASS)


async def test_a_delegated_vote_counts_again(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        await delegation.delegate(spot.world, "U1", "U5", 2)
        cast = await spot.vote(user="U5")
        assert cast.votes[0].on_behalf_of == "U1"
        await spot.advance()
        await unchanged(spot)


async def test_a_vote_of_people_it_was_escalated_to_counts_again(tmp_path: Path) -> None:
    policy = RULES.replace("groups: {", 'groups: {leads: ["@leads"], ').replace(
        "expires: 30m}", "expires: 30m, escalate_to: [leads]}"
    )
    async with place(tmp_path, calling(TURN_A), concluded(), policy=policy) as spot:
        spot.club.groups["@leads"] = {"U7"}
        await spot.advance()
        spot.ahead = timedelta(minutes=24)
        await escalation.call_people(spot.world, spot.now())
        await spot.vote(user="U7")
        await spot.advance()
        assert spot.plant.executed == [("a", 1)]
        await unchanged(spot, policy=policy)
        alone = (
            await again(spot, RULES)
        ).again  # the same without escalating: was U7 one of those who were asked first?
    assert len(alone.not_known) == 1


# --- a second look ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["supported", "partly", "unsupported"])
async def test_a_second_look_is_taken_again_without_asking_anybody(tmp_path: Path, word: str) -> None:
    async with checked(tmp_path, verdict(word, "a step is missing")) as spot:
        await spot.advance()
        found = await record(spot)
    compared = await compare(found, replace(how(policy_of(RULES)), asking=asking_as))
    assert said(compared) == []
    assert compared.now.run.second_look is not None
    assert compared.now.run.second_look.verdict == word


async def test_a_new_model_s_conclusion_is_not_the_one_that_was_looked_at(tmp_path: Path) -> None:
    async with checked(tmp_path, verdict("unsupported", "no")) as spot:
        await spot.advance()
        found = await record(spot)
    compared = await compare(found, how(policy_of(RULES), model=Script([concluded()], name="other")))
    assert compared.again.notes == ("no second look was taken; the recorded one was unsupported",)
    assert of_kind(compared, "second look") == [("unsupported: no", "–")]


# --- the reel ---------------------------------------------------------------------------------------------------------


async def reads(spot: Place, *names: str) -> tuple[RunRecord, Reel]:
    """A run that read these, one after the other, and a reel of it."""
    spot.model.turns[:] = [calling(("look", f'{{"name":"{name}"}}', f"c-{name}")) for name in names]
    await spot.advance()
    found = await record(spot)
    return found, Reel(recording_of(found, untouchable()))


def key(name: str) -> tuple[str, str]:
    return "look", f'{{"lines":1,"name":"{name}"}}'


async def test_reads_asked_for_at_once_come_in_the_order_in_which_they_were_recorded(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        _, reel = await reads(spot, "a", "b", "c")
        came: list[str] = []

        async def ask(name: str, turns: int) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            assert isinstance(await reel.read(key(name)), Output)
            came.append(name)

        await asyncio.gather(ask("c", 0), ask("b", 3), ask("a", 9))
    assert came == ["a", "b", "c"]


async def test_a_read_that_nobody_asks_for_any_more_holds_nobody_up(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        _, reel = await reads(spot, "a", "b")
        found = await asyncio.wait_for(reel.read(key("b")), 5)
    assert found is not None
    assert found.result.arguments == {"name": "b", "lines": 1}


async def test_the_clock_is_the_time_of_the_last_thing_handed_out_and_never_goes_back(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        _, reel = await reads(spot, "a", "b")
        began = reel.clock()
        await reel.read(key("b"))
        late = reel.clock()
        await reel.read(key("a"))
    assert began < late
    assert reel.clock() == late


async def test_a_read_is_given_once_more_where_it_is_asked_for_once_more(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        _, reel = await reads(spot, "a")
        first, second = await reel.read(key("a")), await reel.read(key("a"))
        assert first == second
        assert await reel.read(key("z")) is None
    assert reel.unanswerable == [key("z")]


async def test_a_target_is_as_it_was_looked_at_at_that_time(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        await spot.vote()
        await spot.advance()
        found = await record(spot)
    later = tuple(
        replace(each, event=replace(each.event, action=replace(each.event.action, facts={"replicas": 9})))
        if isinstance(each.event, ExecutionStarted)
        else each
        for each in found.own
    )
    reel = Reel(recording_of(replace(found, own=later), untouchable()))
    turn = ("turn", '{"name":"a","note":"","to":1}')
    looks = [await reel.look(turn) for _ in range(3)]
    assert [look.preview.facts for look in looks if look and look.preview] == [{}, {"replicas": 9}, {"replicas": 9}]


async def test_tools_of_systems_that_the_run_did_not_call_are_not_there(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        _, reel = await reads(spot, "a")
    tools = {**untouchable(), "jenkins_builds": untouchable()["look"]}
    assert set(recorded_tools(tools, reel)) == {"look", "turn"}


async def test_a_tool_that_was_recorded_understands_as_today_and_answers_as_then(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        _, reel = await reads(spot, "a")
    tools: Any = recorded_tools(untouchable(), reel)
    assert tools["look"].understand({"name": "a"}).arguments == {"name": "a", "lines": 1}
    assert "stands at 0" in tools["look"].render(await tools["look"].read({"name": "a", "lines": 1}))
    with pytest.raises(ToolError, match="the recording has no such output"):
        await tools["turn"].preview({"name": "a", "to": 1, "note": ""})


async def test_people_are_who_the_recording_proves_they_were(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        await spot.vote()
        await spot.advance()
        recording = recording_of(await record(spot), untouchable())
    policy = recorded_groups(policy_of(RULES))
    people = RecordedDirectory(recording, Reel(recording), policy)
    assert await people.members("group:approvers") == {"U1"}
    assert await people.members("group:leads") == frozenset()
    assert (await people.person("U1")).name == "Person U1"
    assert people.proves("U1", ["approvers", "leads"])
    assert not people.proves("U1", ["leads"])
    assert not people.proves("U2", ["approvers"])


def test_calls_are_the_same_by_what_today_s_tools_understand_of_them() -> None:
    keys = Keys(untouchable())
    assert keys.of("look", {"name": "a"}) == keys.of("look", {"lines": 1, "name": "a"})
    assert keys.of("look", {"nobody": 1}) == ("look", '{"nobody":1}')
    assert keys.of("gone", {"b": 1, "a": 2}) == ("gone", '{"a":2,"b":1}')
