"""Cards beside each other and changes on one card: each is decided, bound and executed on its own."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from bot.local.model import call
from bot.local.workspace import DEFAULT_SEED, Group, Person
from domain.actions import Action
from domain.decisions import Approval, ApprovalState, Verdict
from domain.events import ApprovalRequested, DecisionMade, ExecutionStarted, ToolCallRefused, VoteCast, VoteRefused
from domain.plane import Question
from domain.runs import Origin, RunOutcome
from tests.stories.telling import JONAS, MARA, Story, telling
from tests.stories.test_approvals import current, give_a_reason, offers, told
from tests.stories.test_incident import ROLLBACK, change_replicas, shown
from tests.stories.test_model import BACK, DONE, script, with_model

RESTARTS = [
    ("kubernetes_restart", {"kind": "Deployment", "namespace": "shop", "name": name}) for name in ("web", "cart")
]
CONCLUDED = call(("conclude", DONE))


async def waiting(story: Story, count: int) -> list[Approval]:
    """That many requests, once they wait and their cards stand in Slack, oldest first."""

    async def look() -> list[Approval]:
        found = list(await story.journal.approvals(pending=True))
        messages = [await story.journal.message(f"approval:{each.request.card}") for each in found]
        return found[::-1] if len(found) == count and all(each and each.ts for each in messages) else []

    return await story.until(look)


async def press_card(story: Story, who: str, approval: Approval, button: str = "approve") -> None:
    message = await story.journal.message(f"approval:{approval.request.card}")
    await story.stage.workspace.click(who, message.channel, message.ts, f"approval.{button}")


def changed(action: Action) -> str:
    return f"patch /apis/apps/v1/namespaces/shop/deployments/{action.target.name}"


async def test_several_cards_in_one_thread_never_touch_one_another(tmp_path: Path) -> None:
    async with with_model(tmp_path, script(call(BACK, RESTARTS[0]), CONCLUDED)) as (story, _):
        await story.begin()
        back, restart = sorted(
            await waiting(story, 2), key=lambda each: each.request.action.tool != "kubernetes_rollback"
        )
        before = str(await shown(story, back))
        await story.press(JONAS, restart, "deny")
        await give_a_reason(story, JONAS, "web is fine")
        await offers(story, restart, "web is fine")
        assert str(await shown(story, back)) == before
        assert (await current(story, back)).state is ApprovalState.PENDING
        assert story.changes() == []
        denied = str(await shown(story, restart))
        await story.press(MARA, back)
        assert (await story.finished()).outcome is RunOutcome.REMEDIATED
        assert story.changes() == [ROLLBACK]
        assert (await current(story, restart)).state is ApprovalState.DENIED
        assert str(await shown(story, restart)) == denied
        assert "web is fine" not in str(await shown(story, back))


async def test_changes_alike_share_a_card_and_one_click_approves_each_as_shown(tmp_path: Path) -> None:
    async with with_model(tmp_path, script(call(*RESTARTS), CONCLUDED)) as (story, _):
        await story.begin()
        items = await waiting(story, 2)
        [batch] = {each.request.batch for each in items}
        assert batch
        cards = [m for m in await story.thread() if "Approve all 2" in str(m)]
        assert len(cards) == 1
        for each in items:
            assert str(each.request.action.target) in str(cards)
        await press_card(story, MARA, items[0])
        await story.finished()
        assert sorted(story.changes()) == sorted(changed(each.request.action) for each in items)
        started = await story.recorded(ExecutionStarted)
        assert {event.approval_id: event.digest for event in started} == {
            each.request.id: each.request.digest for each in items
        }
        await story.stage.app.services.sender.idle()
        assert "2 × kubernetes restart" in str(await story.thread())


async def test_on_a_shared_card_a_deny_gives_its_reason_to_each(tmp_path: Path) -> None:
    async with with_model(tmp_path, script(call(*RESTARTS), CONCLUDED)) as (story, _):
        await story.begin()
        items = await waiting(story, 2)
        await press_card(story, JONAS, items[0], "deny")
        await give_a_reason(story, JONAS, "not before noon")
        await story.finished()
        for each in items:
            denied = await current(story, each)
            assert (denied.state, denied.closed_reason) == (ApprovalState.DENIED, "not before noon")
        assert story.changes() == []


# --- edit -----------------------------------------------------------------------------------------------------------------


async def test_an_edit_is_a_new_proposal_that_its_editor_cannot_approve(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        room = story.stage.workspace
        await story.press(MARA, approval, "edit")
        view = await room.until(lambda: next(iter(room.views(MARA)), None))
        for typed, sentence in (("three", "whole number"), ("0", "greater than or equal to 1"), ("99", "revision 99")):
            answer = await room.submit(MARA, view["id"], {"argument.to_revision": {"value": typed}})
            assert answer["response_action"] == "errors"
            assert sentence in answer["errors"]["argument.to_revision"], (
                "the sentence stands at the field that is wrong"
            )
        assert "Nothing was changed" in str(
            await room.submit(MARA, view["id"], {"argument.to_revision": {"value": "3"}})
        )
        answer = await room.submit(MARA, view["id"], {"argument.name": {"value": "cart"}})
        assert "target must stay the same" in answer["errors"]["argument.name"]
        assert len(await story.recorded(ApprovalRequested)) == 1
        assert await room.submit(MARA, view["id"], {"argument.to_revision": {"value": "2"}}) == {}
        edited = await story.approval(after=approval.request.id)
        assert (await current(story, approval)).state is ApprovalState.SUPERSEDED
        assert edited.request.action.arguments["to_revision"] == 2
        assert edited.request.digest != approval.request.digest
        assert len(await story.recorded(DecisionMade)) >= 2, "policy decided it anew"
        await story.press(MARA, edited)
        assert "You edited this" in await told(story, MARA)
        assert story.changes() == []
        await story.press(JONAS, edited)
        await story.finished()
        assert story.changes() == [ROLLBACK]
        [started] = await story.recorded(ExecutionStarted)
        assert started.action.arguments["to_revision"] == 2


# --- a no is remembered -----------------------------------------------------------------------------------------------------


async def test_what_somebody_denied_is_asked_again_only_when_it_changed_and_the_card_says_what(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        await story.press(MARA, approval, "deny")
        await give_a_reason(story, MARA, "the migration runs in a minute")
        await story.finished()
        incident = (await story.journal.incidents())[0]
        question = Question("Why is checkout down?", story.stage.workspace.user(JONAS), incident.channel, Origin.THREAD)
        await story.plane.ask(replace(question, thread_ts=incident.thread_ts, key="q1"))
        await story.until(lambda: story.recorded(ToolCallRefused))
        await story.finished()
        assert len(await story.recorded(ApprovalRequested)) == 1
        await change_replicas(story, 4)
        await story.plane.ask(replace(question, thread_ts=incident.thread_ts, key="q2"))
        again = await story.approval(after=approval.request.id)
        assert "denied this at" in again.request.note
        assert "the migration runs in a minute" in again.request.note
        assert "replicas 3 → 4" in again.request.note
        await offers(story, again, "replicas 3 → 4")
        assert story.changes() == []


# --- fifty at once ----------------------------------------------------------------------------------------------------------


async def test_of_fifty_people_who_click_at_once_one_approves_and_forty_nine_are_told_who(tmp_path: Path) -> None:
    people = [Person(f"U07CROWD{n:03}", f"person{n}", f"Person {n}", "SRE") for n in range(50)]
    names = tuple(person.name for person in people)
    rooms = tuple(
        replace(room, members=(*room.members, *names)) if room.name == "incidents" else room
        for room in DEFAULT_SEED.channels
    )
    groups = (Group("S07SRE00001", "sre", "Site reliability", names), *DEFAULT_SEED.groups[1:])
    seed = replace(DEFAULT_SEED, people=(*DEFAULT_SEED.people, *people), channels=rooms, groups=groups)
    async with telling(tmp_path, seed=seed) as story:
        await story.begin()
        approval = await story.approval()
        await asyncio.gather(*(story.press(name, approval) for name in names))
        assert (await story.finished()).outcome is RunOutcome.REMEDIATED
        assert story.changes() == [ROLLBACK]
        [cast] = await story.recorded(VoteCast)
        assert cast.vote.verdict is Verdict.APPROVE
        room, losers = story.stage.workspace, [n for n in names if story.stage.workspace.user(n) != cast.vote.user]
        for name in losers:
            said = await room.until(lambda name=name: room.ephemerals(name))
            assert "already approved" in str(said)
            assert cast.vote.name in str(said)
        assert room.ephemerals(cast.vote.name) == []
        assert len(await story.recorded(VoteRefused)) == len(losers) == 49
        assert len(await story.recorded(ExecutionStarted)) == 1
