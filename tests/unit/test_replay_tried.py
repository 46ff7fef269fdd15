"""Another policy, another model, other code on a recorded run: what is otherwise is said, and what nobody recorded too."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from bot.models.rules import Rules
from bot.replay.compared import as_json, compare
from bot.replay.page import page_of
from bot.replay.reel import NO_OUTPUT
from bot.replay.report import report
from bot.replay.terminal import Paper
from bot.tools.spec import ReadTool
from domain.actions import Mode
from domain.errors import ModelError
from domain.events import StepPlanned
from domain.runs import Usage
from policies.redaction import Redactor
from tests.unit.journeys import ALLOWING, DENYING, RULES, Script, calling, concluded, place, policy_of
from tests.unit.replays import again, how, of_kind, record, said, untouchable

LOOK_A, LOOK_B = ("look", '{"name":"a"}'), ("look", '{"name":"b"}')
TURN_A, TURN_B = ("turn", '{"name":"a","to":1}'), ("turn", '{"name":"b","to":2}')
LEADS = RULES.replace("groups: {", 'groups: {leads: ["@leads"], ').replace("groups: [approvers]", "groups: [leads]")


async def approved(spot: Any) -> None:
    await spot.advance()
    await spot.vote()
    await spot.advance()


# --- another policy ---------------------------------------------------------------------------------------------------


async def test_a_policy_that_denies_flips_the_decision_and_what_followed_from_it(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        compared = await again(spot, DENYING)
    assert of_kind(compared, "decision") == [("ask of approvers by turn", "deny by never")]
    assert of_kind(compared, "rule") == [
        ("turn matched (ask)", "turn silent"),
        ("never silent", "never matched (deny)"),
    ]
    assert of_kind(compared, "asked") == [("consumed (approve by Person U1)", "–")]
    [(before, after)] = of_kind(compared, "execution")
    assert (before.startswith("succeeded, verified: turned a to 1"), after) == (True, "–")
    assert [kind for kind, *_ in map(str.split, said(compared))][-1] == "outcome"
    assert compared.again.unanswerable == ()


async def test_a_policy_that_allows_executes_as_it_was_executed_then(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded(), mode=Mode.ACT) as spot:
        spot.mode = Mode.ACT
        await approved(spot)
        compared = await again(spot, ALLOWING)
    assert of_kind(compared, "decision") == [("ask of approvers by turn", "allow by all")]
    assert of_kind(compared, "execution") == []
    assert (of_kind(compared, "outcome"), compared.again.ended) == ([], "")


async def test_a_question_that_nobody_answered_ends_the_replay_there(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded(), policy=ALLOWING, mode=Mode.ACT) as spot:
        spot.mode = Mode.ACT
        await spot.advance()
        compared = await again(spot, RULES)
    waits = "would wait for a person: turn on shop/deployment/a (asks approvers, for 30 min)"
    assert compared.again.ended == waits
    assert of_kind(compared, "outcome") == [("remediated, the change was executed and verified", waits)]
    assert of_kind(compared, "asked") == [("–", "pending")]


async def test_whether_a_voter_was_in_another_group_is_not_guessed(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        compared = await again(spot, LEADS)
    assert of_kind(compared, "decision") == [("ask of approvers by turn", "ask of leads by turn")]
    assert compared.again.not_known == (
        "whether Person U1 was in leads, so Person U1's approve on turn does not count",
    )
    assert compared.again.ended.startswith("would wait for a person")


async def test_a_voter_of_the_same_group_counts_whoever_else_is_asked_as_well(tmp_path: Path) -> None:
    both = LEADS.replace("groups: [leads]", "groups: [leads, approvers]")
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        compared = await again(spot, both)
    assert (of_kind(compared, "outcome"), compared.again.not_known) == ([], ())


async def test_of_two_groups_that_were_asked_nobody_knows_which_one_a_voter_was_in(tmp_path: Path) -> None:
    both = LEADS.replace("groups: [leads]", "groups: [leads, approvers]")
    async with place(tmp_path, calling(TURN_A), concluded(), policy=both) as spot:
        await approved(spot)
        assert said(await again(spot)) == []
        assert len((await again(spot, RULES)).again.not_known) == 1


async def test_a_larger_quorum_waits_for_the_second(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        compared = await again(spot, RULES.replace("groups: [approvers]", "groups: [approvers], quorum: 2"))
    assert of_kind(compared, "decision") == [("ask of approvers by turn", "ask of approvers (2) by turn")]
    assert compared.again.ended.startswith("would wait for a person")


async def test_terms_that_expire_before_the_recorded_vote_expire(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await spot.advance()
        spot.ahead = timedelta(minutes=20)
        await spot.vote()
        await spot.advance()
        compared = await again(spot, RULES.replace("expires: 30m", "expires: 10m"))
    assert of_kind(compared, "asked") == [("consumed (approve by Person U1)", "expired")]


async def test_an_approval_on_other_terms_is_otherwise_even_where_the_same_vote_decides_it(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        compared = await again(spot, RULES.replace("groups: [approvers]", "groups: [approvers], deny_quorum: 2"))
    assert of_kind(compared, "terms") == [("deny_quorum 1", "deny_quorum 2")]
    assert of_kind(compared, "outcome") == []


async def test_what_a_rule_reads_of_the_record_is_as_it_was_recorded(tmp_path: Path) -> None:
    rated = RULES.replace(
        "    reason: Turning", "    when: rate.agent_1h == 1 && trust.executed == 1\n    reason: Turning"
    )
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        await spot.start("run-2")
        spot.run_id, spot.model.turns = "run-2", [calling(("turn", '{"name":"a","to":5}')), concluded()]
        await approved(spot)
        second = await again(spot, rated)
        assert of_kind(second, "decision") == []
        assert of_kind(await again(spot, rated.replace("== 1 &&", "== 7 &&")), "decision") == [
            ("ask of approvers by turn", "deny by no rule")
        ]


# --- another model ----------------------------------------------------------------------------------------------------


async def test_another_model_gets_the_recorded_outputs_and_its_words_are_compared(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK_A), concluded("Valve a leaks.")) as spot:
        await spot.advance()
        other = Script([calling(LOOK_A), concluded("Nothing leaks.")], name="other")
        compared = await again(spot, model=other)
    assert [str(each) for each in compared.differences] == [
        "conclusion  likely by script []: Valve a leaks. → likely by script []: Nothing leaks."
    ]
    assert compared.now.run.spec.model == "other"


async def test_a_read_that_nobody_made_is_unanswerable_and_says_so_to_the_model(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK_A), concluded()) as spot:
        await spot.advance()
        compared = await again(spot, model=Script([calling(LOOK_B), concluded()], name="other"))
    assert compared.again.unanswerable == (("look", '{"lines":1,"name":"b"}'),)
    assert of_kind(compared, "call") == [("allow by look", "not made"), ("not made", "allow by look")]
    told = [call.result.text for call in compared.now.run.calls.values() if call.result]
    assert told == [f"look failed: {NO_OUTPUT}"]


async def test_the_same_read_before_and_after_a_change_is_not_the_same(tmp_path: Path) -> None:
    turns = [calling((*LOOK_A, "c1")), calling(TURN_A), calling((*LOOK_A, "c2")), concluded()]
    async with place(tmp_path, *turns) as spot:
        await approved(spot)
        assert said(await again(spot)) == []
        early = await again(spot, model=Script([calling(LOOK_A), concluded()], name="other"))
        assert "stands at 0" in str(early.now.run.calls)
        denied = await again(spot, DENYING)  # the recorded second look was made in a world that there is not now
    assert denied.again.unanswerable == ()
    late = of_kind(denied, "refused")
    assert late == [("–", "refused")], "without the change between them the second look is a repeat"


async def test_a_read_that_was_only_made_before_a_change_has_no_output_after_it(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK_A), calling(TURN_A), concluded()) as spot:
        await approved(spot)
        late = await again(spot, model=Script([calling(TURN_A), calling(LOOK_A), concluded()], name="other"))
    assert late.again.unanswerable == (("look", '{"lines":1,"name":"a"}'),)


async def test_what_today_s_settings_hold_secret_does_not_reach_a_new_model(tmp_path: Path) -> None:
    secret = "hunter2-hunter2-hunter2"
    async with place(tmp_path, calling(LOOK_A), concluded()) as spot:
        spot.plant.text = f"the password is {secret}"
        spot.world = replace(spot.world, redactor=Redactor())
        await spot.advance()
        shown = (await spot.run()).calls["c0-look"].result
        assert shown is not None
        other = Script([calling(LOOK_A), concluded()], name="other")
        tried = how(policy_of(RULES), model=other, redactor=Redactor([secret]))
        compared = await compare(await record(spot), tried)
    assert secret not in str(compared.again.own)


async def test_environments_and_a_requester_s_groups_are_as_recorded(tmp_path: Path) -> None:
    policy = RULES.replace(
        "    reason: Turning", "    when: requester.groups.exists(name, name == 'approvers')\n    reason: Turning"
    )
    policy = policy.replace("effects: [write]", "effects: [write], environments: [production]")
    async with place(tmp_path, calling(TURN_A), concluded(), policy=policy, requester="U1") as spot:
        await spot.advance()
        await spot.vote(user="U2")
        await spot.advance()
        tried = replace(how(policy_of(policy)), environment=lambda *_: "staging")
        compared = await compare(await record(spot), tried)
    assert said(compared) == []


async def test_another_change_has_no_preview_and_counts_as_proposed(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        compared = await again(spot, model=Script([calling(TURN_B), concluded()], name="other"))
    assert compared.again.unanswerable == (("turn", '{"name":"b","note":"","to":2}'),)
    assert [each.kind for each in compared.differences][:2] == ["proposal", "proposal"]
    assert compared.action.same is False


async def test_the_same_change_of_another_model_is_voted_on_and_executed_as_it_was(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        compared = await again(spot, model=Script([calling(TURN_A), concluded()], name="other"))
    assert (said(compared), compared.action.same) == ([], True)


async def test_a_new_model_hears_that_nobody_came_and_concludes(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        compared = await again(spot, LEADS, model=Script([calling(TURN_A), concluded("Nobody came.")], name="other"))
    assert of_kind(compared, "asked") == [("consumed (approve by Person U1)", "expired")]
    assert compared.again.notes == (
        "would wait for a person: turn on shop/deployment/a (asks leads, for 30 min)",
    )  # fmt: skip
    assert compared.now.run.outcome is not None


async def test_a_model_that_does_not_answer_is_a_failure_and_not_its_conclusion(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK_A), concluded()) as spot:
        await spot.advance()
        compared = await again(spot, model=Script([ModelError("could not be reached")], name="other"))
    assert compared.failure == "other: could not be reached"
    assert of_kind(compared, "model") == [("answered", "other: could not be reached")]


async def test_tokens_and_cost_are_set_against_each_other(tmp_path: Path) -> None:
    dear = replace(concluded(), usage=Usage(1000, 50, cost_micros=4000))
    cheap = replace(concluded(), usage=Usage(400, 20, cost_micros=100))
    async with place(tmp_path, dear) as spot:
        await spot.advance()
        compared = await again(spot, model=Script([cheap], name="other"))
        unpriced = await again(spot, model=Script([replace(cheap, usage=Usage(1, 1, priced=False))], name="other"))
    assert of_kind(compared, "tokens") == [("1,000 + 50", "400 + 20")]
    assert of_kind(compared, "cost") == [("$0.0040", "$0.0001")]
    assert of_kind(unpriced, "cost") == [("$0.0040", "$?")]


async def test_the_rules_can_be_tried_as_a_model(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK_A), concluded()) as spot:
        await spot.advance()
        compared = await again(spot, model=Rules())
    assert compared.now.run.spec.model == "rules"
    assert "not proven by rules" in of_kind(compared, "conclusion")[0][1]


# --- other code -------------------------------------------------------------------------------------------------------


def looking(**other: Any) -> dict[str, Any]:
    """Today's tools, with another `look`."""
    tools = dict(untouchable())
    look = tools["look"]
    assert isinstance(look, ReadTool)
    return {**tools, "look": replace(look, **other)}


async def test_a_result_that_is_shown_otherwise_today_is_told_from_where_it_differs(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK_A), concluded()) as spot:
        await spot.advance()
        tried = replace(how(policy_of(RULES)), tools=looking(renderer=lambda data: f"SEEN: {data['shown']}"))
        compared = await compare(await record(spot), tried)
    assert of_kind(compared, "result") == [("E1 valve a stands at 0", "E1 SEEN: valve a stands at 0")]


async def test_a_tool_that_is_gone_is_refused(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK_A), concluded()) as spot:
        await spot.advance()
        tried = replace(how(policy_of(RULES)), tools={"turn": untouchable()["turn"]})
        compared = await compare(await record(spot), tried)
    assert of_kind(compared, "refused") == [("–", "refused")]


async def test_code_that_fails_on_a_recorded_run_is_what_the_replay_says(tmp_path: Path) -> None:
    def broken(_: Any) -> str:
        raise KeyError("shown")

    async with place(tmp_path, calling(LOOK_A), concluded()) as spot:
        await spot.advance()
        compared = await compare(await record(spot), replace(how(policy_of(RULES)), tools=looking(renderer=broken)))
    assert compared.again.ended == "today's code failed: KeyError: 'shown'"
    assert of_kind(compared, "outcome")[0][1] == "today's code failed: KeyError: 'shown'"


async def test_a_prompt_that_changed_is_told_by_the_step_from_which_on(tmp_path: Path) -> None:
    class Other(Script):
        def request(self, run: Any, tools: Any) -> Any:
            return replace(super().request(run, tools), messages=({"turn": run.step + 1, "please": True},))

    async with place(tmp_path, calling(LOOK_A), concluded()) as spot:
        await spot.advance()
        tried = replace(how(policy_of(RULES)), asking=lambda name: Other(name=name))
        compared = await compare(await record(spot), tried)
    assert said(compared) == ['prompt      from step 1 on, to script: [{"turn":1}] → [{"please":true,"turn":1}]']


async def test_more_turns_than_were_recorded_end_the_replay(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK_A), concluded()) as spot:
        await spot.advance()
        found = await record(spot)
        shortened = tuple(
            each for each in found.own if not (isinstance(each.event, StepPlanned) and each.event.step == 2)
        )
        compared = await compare(replace(found, own=shortened), how(policy_of(RULES)))
    assert compared.again.ended == "The recording holds no further answer of the model."


async def test_events_that_this_version_does_not_know_are_told_and_left_out(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK_A), concluded()) as spot:
        await spot.advance()
        found = replace(await record(spot), unknown={"ValvePolished": 2})
        tried = how(policy_of(RULES))
        compared = await compare(found, tried)
    assert as_json(compared, tried)["notes"] == ["2 events of kind ValvePolished are not known to this version"]
    assert said(compared) == []


# --- as it is printed -------------------------------------------------------------------------------------------------


async def test_the_report_says_what_was_tried_every_difference_and_what_is_not_known(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded()) as spot:
        await approved(spot)
        tried = how(policy_of(LEADS))
        lines = list(report(await compare(await record(spot), tried), tried, Paper()))
        same = how(policy_of(RULES))
        fine = list(report(await compare(await record(spot), same), same, Paper()))
    assert f"policy {policy_of(LEADS).hash[:12]} (recorded: {policy_of(RULES).hash[:12]})" in lines[1]
    assert "the recorded answers of script; nothing real was touched" in lines[1]
    assert 'decision    turn(name=a, note="", to=1): ask of approvers by turn → ask of leads by turn' in lines
    assert any(line.startswith("the recording does not say: whether Person U1 was in leads") for line in lines)
    assert lines[-1].endswith("differences, 0 unanswerable calls")
    assert "(as recorded)" in fine[1]
    assert fine[-1] == "no difference: 2 steps, 1 call"


# --- as a page --------------------------------------------------------------------------------------------------------


async def test_the_page_has_both_sides_of_every_difference_and_what_is_not_known(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN_A), concluded(), question="Why does it leak?") as spot:
        await approved(spot)
        tried = how(policy_of(LEADS))
        found = await record(spot)
        page, second = page_of(await compare(found, tried), tried), page_of(await compare(found, tried), tried)
        fine = page_of(await compare(found, how(policy_of(RULES))), how(policy_of(RULES)))
    assert page == second
    for said_there in (
        "Why does it leak?", "differences</span>", "ask of approvers by turn", "ask of leads by turn", "turn(name=a,",
        "whether Person U1 was in leads", "The recording does not say", "Same cause",
    ):  # fmt: skip
        assert said_there in page
    assert "No difference" in fine
    assert "<h2>Differences</h2>" not in fine


async def test_what_was_recorded_is_text_on_the_page_and_nothing_else(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>\u202e<img src=x onerror=y>"
    async with place(tmp_path, concluded(hostile), question=hostile) as spot:
        await spot.advance()
        other = Script([concluded(f"not {hostile}")], name="<b>other</b>")
        page = page_of(await again(spot, model=other), how(policy_of(RULES), model=other))
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>other" not in page
    assert "\u202e" not in page
    assert "⟨U+202E⟩" in page
