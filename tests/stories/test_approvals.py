"""Approvals over time and over people: reminders, escalation, taking back, and what a no means afterwards."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.local.workspace import Workspace
from domain.decisions import Actor, Approval, ApprovalState, Verdict, Vote
from domain.events import ApprovalEscalated, ApprovalReminded, ExecutionStarted, VoteCast, VoteDelegated
from domain.runs import RunOutcome
from tests.stories.telling import GITA, JONAS, MARA, PRIYA, Story, telling
from tests.stories.test_incident import ROLLBACK, shown, words

SOMEBODY = Actor("system")


def policy(folder: Path, approval: str = "groups: [approvers]", more: str = "") -> str:
    """A policy folder in which every change asks under these terms; returns its path."""
    (folder / "policy").mkdir()
    (folder / "policy" / "all.yaml").write_text(f"""
groups: {{approvers: $AGENT_APPROVERS, leads: ["priya@acme.example"]}}
{more}
rules:
  - {{id: look, decision: allow, match: {{effects: [read]}}, reason: Looking is free.}}
  - id: change
    decision: ask
    match: {{effects: [write]}}
    approval: {{{approval}}}
    reason: A change needs a person.
""")
    return str(folder / "policy")


async def current(story: Story, approval: Approval) -> Approval:
    found = await story.journal.approval(approval.request.id)
    assert found is not None
    return found


async def offers(story: Story, approval: Approval, what: str) -> None:
    """Once the card in Slack holds this text or button."""
    message = await story.journal.message(f"approval:{approval.request.id}")
    room: Workspace = story.stage.workspace
    incident = (await story.journal.incidents())[0]
    await room.until(
        lambda: any(
            what in str(found)
            for found in room.messages(incident.channel, incident.thread_ts)
            if found["ts"] == message.ts
        )
    )


async def give_a_reason(story: Story, who: str, reason: str) -> None:
    """Fill in the dialog that a deny opens."""
    room: Workspace = story.stage.workspace
    view = await room.until(lambda: next(iter(room.views(who)), None))
    block = next(block for block in view["blocks"] if block["type"] == "input")
    await room.submit(who, view["id"], {block["block_id"]: {block["element"]["action_id"]: reason}})


async def told(story: Story, who: str) -> str:
    """What a person was told, once they were."""
    room: Workspace = story.stage.workspace
    return words(await room.until(lambda: room.ephemerals(who)))


async def test_a_request_that_waits_calls_its_group_once_and_then_the_next_who_may_decide(tmp_path: Path) -> None:
    terms = "groups: [approvers], expires: 30m, escalate_to: [leads], escalate_after: 20m"
    async with telling(tmp_path, AGENT_POLICY=policy(tmp_path, terms)) as story:
        await story.begin()
        approval = await story.approval()
        await story.press(PRIYA, approval)
        assert "Only members of approvers" in await told(story, PRIYA)
        story.watch.ahead = timedelta(minutes=16)
        await story.plane.sweep()
        await story.plane.sweep()
        assert len(await story.recorded(ApprovalReminded)) == 1
        assert await story.recorded(ApprovalEscalated) == []
        calls = [m for m in await story.thread() if "still waits for a decision" in str(m)]
        assert len(calls) == 1
        assert "<!subteam^" in str(calls)
        story.watch.ahead = timedelta(minutes=21)
        await story.plane.sweep()
        await story.plane.sweep()
        [escalated] = await story.recorded(ApprovalEscalated)
        assert escalated.groups == ("leads",)
        assert f"<@{story.stage.workspace.user(PRIYA)}>" in words(
            [m for m in await story.thread() if "you may decide now as well" in str(m)]
        )
        assert "*Escalated*" in str(await shown(story, approval))
        assert story.changes() == [], "silence approves nothing"
        await story.press(PRIYA, approval)
        assert (await story.finished()).outcome is RunOutcome.REMEDIATED
        assert story.changes() == [ROLLBACK]


async def test_a_restart_neither_repeats_nor_forgets_a_call(tmp_path: Path) -> None:
    async with telling(tmp_path, AGENT_POLICY=policy(tmp_path)) as story:
        await story.begin()
        approval = await story.approval()
        await story.plane.stop()
        story.watch.ahead = timedelta(minutes=16)
        await story.plane.start()
        await story.plane.sweep()
        await story.plane.stop()
        await story.plane.start()
        await story.plane.sweep()
        assert len(await story.recorded(ApprovalReminded)) == 1
        assert len([m for m in await story.thread() if "still waits for a decision" in str(m)]) == 1
        assert "Reminded" in str(await shown(story, approval))


async def test_nobody_answering_is_an_expiry_and_never_an_approval(tmp_path: Path) -> None:
    terms = "groups: [approvers], expires: 30m, escalate_to: [leads]"
    async with telling(tmp_path, AGENT_POLICY=policy(tmp_path, terms)) as story:
        await story.begin()
        approval = await story.approval()
        for minutes in (16, 23, 31):
            story.watch.ahead = timedelta(minutes=minutes)
            await story.plane.sweep()
        assert (await story.finished()).outcome is RunOutcome.NOT_REMEDIATED
        assert (await current(story, approval)).state is ApprovalState.EXPIRED
        assert await story.recorded(VoteCast, ExecutionStarted) == []
        assert story.changes() == []


# --- taking back --------------------------------------------------------------------------------------------------------


async def test_an_approve_that_is_taken_back_before_it_runs_runs_nothing_until_somebody_approves_again(
    tmp_path: Path,
) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        await story.plane.pause(SOMEBODY, "wait")
        await story.press(MARA, approval)
        approval = await story.approval(ApprovalState.APPROVED)
        await offers(story, approval, "approval.withdraw")
        await story.press(JONAS, approval, "withdraw")
        assert "nothing to take back" in await told(story, JONAS)
        await story.press(MARA, approval, "withdraw")
        approval = await story.approval(ApprovalState.PENDING)
        assert approval.approvers == ()
        await story.plane.resume(SOMEBODY)
        await story.plane.sweep()
        assert story.changes() == []
        await offers(story, approval, "approval.approve")
        await story.press(JONAS, approval)
        assert (await story.finished()).outcome is RunOutcome.REMEDIATED
        assert story.changes() == [ROLLBACK]
        cast = [(event.vote.user, event.vote.verdict) for event in await story.recorded(VoteCast)]
        mara, jonas = story.stage.workspace.user(MARA), story.stage.workspace.user(JONAS)
        assert cast == [(mara, Verdict.APPROVE), (mara, Verdict.WITHDRAW), (jonas, Verdict.APPROVE)]


async def test_one_of_two_approves_is_taken_back_and_the_other_alone_is_not_enough(tmp_path: Path) -> None:
    async with telling(tmp_path, AGENT_POLICY=policy(tmp_path, "groups: [approvers], quorum: 2")) as story:
        await story.begin()
        approval = await story.approval()
        await story.press(MARA, approval)
        await offers(story, approval, "approval.withdraw")
        await story.press(MARA, approval, "withdraw")
        await story.until(lambda: cast_by(story, 2))
        await story.press(JONAS, approval)
        await story.until(lambda: cast_by(story, 3))
        assert (await current(story, approval)).state is ApprovalState.PENDING
        await offers(story, approval, "1 so far")
        assert story.changes() == []


async def test_a_deny_after_the_approval_vetoes_it(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        await story.plane.pause(SOMEBODY, "wait")
        await story.press(MARA, approval)
        await offers(story, approval, "*Approved* by")
        await story.press(JONAS, approval, "deny")
        await give_a_reason(story, JONAS, "the migration runs")
        await story.approval(ApprovalState.DENIED)
        await story.plane.resume(SOMEBODY)
        assert (await story.finished()).outcome is RunOutcome.NOT_REMEDIATED
        assert story.changes() == []


async def test_what_was_executed_is_not_taken_back(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        await story.press(MARA, approval)
        await story.finished()
        approval = await current(story, approval)
        with pytest.raises(Exception, match="approved and executed"):
            await vote(story, MARA, approval, Verdict.WITHDRAW)
        assert (await current(story, approval)).state is ApprovalState.CONSUMED


# --- lent authority -------------------------------------------------------------------------------------------------------


async def test_break_glass_is_public_lets_one_person_approve_alone_and_is_nagged_about_until_it_is_reviewed(
    tmp_path: Path,
) -> None:
    more = "break_glass: {group: leads, max_minutes: 30}"
    async with telling(tmp_path, AGENT_POLICY=policy(tmp_path, "groups: [approvers], quorum: 2", more)) as story:
        await story.begin()
        approval = await story.approval()
        room, incident = story.stage.workspace, (await story.journal.incidents())[0]
        await room.command(JONAS, "incidents", f"break-glass {incident.id} 30 nobody else is awake")
        assert "Only members of leads" in await told(story, JONAS)
        await room.command(PRIYA, "incidents", f"break-glass {incident.id} 30 nobody else is awake")
        await in_channel(story, "Break-glass open", "nobody else is awake")
        await story.press(PRIYA, approval)
        assert (await story.finished()).outcome is RunOutcome.REMEDIATED
        assert story.changes() == [ROLLBACK]
        await offers(story, approval, "alone, under break-glass")
        notice = await in_channel(story, "Break-glass open", approval.request.id)
        await story.resolved()
        story.watch.ahead = timedelta(minutes=31)
        for days in (0, 0, 1):
            story.watch.ahead = timedelta(days=days, minutes=31)
            await story.plane.sweep()
        await in_channel(story, "Break-glass over, review wanted")
        await story.stage.app.services.sender.idle()
        nags = room.messages(incident.channel, notice["ts"])[1:]
        assert len(nags) == 2, "once when it closed and once a day later"
        assert f"<@{room.user(PRIYA)}>" in str(nags)
        await room.click(MARA, incident.channel, notice["ts"], "break_glass.review")
        await give_a_reason(story, MARA, "needed; the on-call plan had a hole")
        await in_channel(story, "Break-glass reviewed", "the on-call plan had a hole")
        story.watch.ahead = timedelta(days=3)
        await story.plane.sweep()
        await story.stage.app.services.sender.idle()
        assert len(room.messages(incident.channel, notice["ts"])[1:]) == 2


async def test_a_delegate_votes_for_an_approver_and_the_card_names_both(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        room = story.stage.workspace
        await room.command(MARA, "incidents", f"delegate <@{room.user(GITA)}> 8h")
        assert "Guests cannot" in await told(story, MARA)
        await room.command(MARA, "incidents", f"delegate <@{room.user(PRIYA)}> 8h")
        await story.until(lambda: story.recorded(VoteDelegated))
        await story.press(PRIYA, approval)
        assert (await story.finished()).outcome is RunOutcome.REMEDIATED
        await offers(story, approval, f"<@{room.user(PRIYA)}> for <@{room.user(MARA)}>")


async def in_channel(story: Story, *parts: str) -> Any:
    """The message of the incident's channel that says all of this, once it is there."""
    room, incident = story.stage.workspace, (await story.journal.incidents())[0]
    return await room.until(
        lambda: next((m for m in room.messages(incident.channel) if all(part in str(m) for part in parts)), None)
    )


async def cast_by(story: Story, count: int) -> bool:
    return len(await story.recorded(VoteCast)) >= count


async def vote(story: Story, who: str, approval: Approval, verdict: Verdict, **more: Any) -> Approval:
    """A vote from the current card, past what its buttons offer."""
    message = await story.journal.message(f"approval:{approval.request.id}")
    cast = Vote(story.stage.workspace.user(who), verdict, story.watch.now(), digest=approval.request.digest, **more)
    done: Approval = await story.plane.vote(approval.request.id, cast, channel=message.channel, message_ts=message.ts)
    return done
