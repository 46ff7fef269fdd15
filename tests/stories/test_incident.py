"""The main job, end to end: alert, findings, card, click, one change, verified, resolved; and every way it may not happen."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.local.scenarios import SCENARIOS
from domain.actions import Mode
from domain.decisions import Actor, Approval, ApprovalState, Check, ExecutionOutcome, Verdict, Vote
from domain.errors import NotAllowed
from domain.events import (
    AlertReceived,
    ApprovalClosed,
    ApprovalRequested,
    DiagnosisConcluded,
    ExecutionStarted,
    FindingsReported,
    IncidentOpened,
    IncidentResolved,
    RunFinished,
    RunStarted,
    VerificationPassed,
    VoteCast,
    VoteRefused,
    WorkUnitRecorded,
)
from domain.ports import Probe
from domain.runs import RunOutcome
from domain.work import WorkOutcome
from storage.verify import verify
from tests.stories.telling import GITA, JONAS, MARA, PRIYA, Story, telling

ROLLBACK = "patch /apis/apps/v1/namespaces/shop/deployments/checkout"


def words(messages: list[dict[str, object]]) -> str:
    return "\n".join(str(message) for message in messages)


async def approve_and_end(story: Story, who: str = MARA) -> None:
    await story.press(who, await story.approval())
    await story.finished()
    await story.resolved()


async def test_a_bad_rollout_is_diagnosed_approved_rolled_back_verified_and_resolved(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        await approve_and_end(story)
        assert story.changes() == [ROLLBACK]
        order = (
            AlertReceived, IncidentOpened, RunStarted, FindingsReported, ApprovalRequested, VoteCast,
            ExecutionStarted, VerificationPassed, DiagnosisConcluded, RunFinished, IncidentResolved,
        )  # fmt: skip
        firsts: dict[type, None] = dict.fromkeys(type(event) for event in await story.recorded(*order))
        assert [kind for kind in firsts if kind is not IncidentResolved] == list(order[:-1])
        assert (await story.finished()).outcome is RunOutcome.REMEDIATED
        thread = words(await story.thread())
        for said in ("Revision 4 of checkout is bad", "checkout:2.4.1", "Verified", story.stage.workspace.user(MARA)):
            assert said in thread
    assert verify(tmp_path / "personal-agent.db").ok


async def test_one_incident_is_one_message_and_one_thread_however_often_its_alerts_repeat(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        await approve_and_end(story)
        incidents = await story.journal.incidents()
        room = story.stage.workspace
        await room.until(lambda: f"received {incidents[0].alerts} times" in str(room.messages(incidents[0].channel)))
        roots = [m for m in room.messages(incidents[0].channel) if m.get("thread_ts", m["ts"]) == m["ts"]]
        assert len(incidents) == len(roots) == 1
        assert incidents[0].alerts > 1
        assert len(await story.recorded(RunStarted)) == 1


@pytest.mark.parametrize("name", [scenario.name for scenario in SCENARIOS if scenario.name != "bad-rollout"])
async def test_every_scenario_ends_resolved_with_the_right_change_or_none(tmp_path: Path, name: str) -> None:
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == name)
    async with telling(tmp_path) as story:
        await story.begin(name)
        if scenario.expected_tool:
            approval = await story.approval()
            assert approval.request.action.tool == scenario.expected_tool
            await story.press(MARA, approval)
        await story.resolved()
        row = await story.finished()
        assert len(story.changes()) == bool(scenario.expected_tool)
        assert row.outcome is (RunOutcome.REMEDIATED if scenario.expected_tool else RunOutcome.DIAGNOSED)


async def test_the_first_findings_stand_in_the_thread_in_under_two_seconds(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        await story.approval()
        [findings] = await story.recorded(FindingsReported)
        assert findings.took_ms < 2000
        assert "Revision 4 of checkout is bad" in words(await story.thread())


async def test_a_denied_change_does_not_run_and_the_thread_says_who_denied_it(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        await story.press(MARA, approval, "deny")
        view = await story.stage.workspace.until(lambda: next(iter(story.stage.workspace.views(MARA)), None))
        block = next(block["block_id"] for block in view["blocks"] if block["type"] == "input")
        element = next(block["element"]["action_id"] for block in view["blocks"] if block["type"] == "input")
        await story.stage.workspace.submit(MARA, view["id"], {block: {element: "the migration runs in a minute"}})
        row = await story.finished()
        assert row.outcome is RunOutcome.NOT_REMEDIATED
        assert story.changes() == []
        thread = words(await story.thread())
        assert "Denied" in thread
        assert "the migration runs in a minute" in thread


async def test_people_who_may_not_approve_are_told_so_and_nothing_runs(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        for who in (PRIYA, GITA):
            await story.press(who, approval)
            refusal = await story.stage.workspace.until(
                lambda who=who: next(iter(story.stage.workspace.ephemerals(who)), None)
            )
            assert refusal["text"]
        assert (await story.journal.approval(approval.request.id)).state is ApprovalState.PENDING
        assert len(await story.recorded(VoteRefused)) == 2
        assert story.changes() == []


async def test_of_two_people_who_click_at_once_one_wins_and_the_other_is_told_who(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        await asyncio.gather(*(story.press(who, approval) for who in (MARA, JONAS) for _ in range(4)))
        await story.finished()
        assert story.changes() == [ROLLBACK]
        assert len(await story.recorded(VoteCast)) == 1
        told = [str(m) for who in (MARA, JONAS) for m in story.stage.workspace.ephemerals(who)]
        assert any("already" in text for text in told)


async def test_a_target_that_moved_since_the_card_is_asked_about_again(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        await story.stage.cluster.until(
            "Deployment", "shop", "checkout", lambda found: bool(found["metadata"]["generation"])
        )
        await change_replicas(story, 4)
        await story.press(MARA, approval)
        again = await story.approval(after=approval.request.id)
        assert story.changes() == []
        assert again.request.supersedes == approval.request.id
        assert again.request.digest != approval.request.digest
        assert (await story.journal.approval(approval.request.id)).state is ApprovalState.SUPERSEDED
        await story.press(MARA, again)
        assert (await story.finished()).outcome is RunOutcome.REMEDIATED
        assert story.changes() == [ROLLBACK]


async def test_an_old_card_does_not_vote_on_the_request_that_took_its_place(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        await change_replicas(story, 4)
        await story.press(MARA, approval)
        again = await story.approval(after=approval.request.id)
        old = await story.journal.message(f"approval:{approval.request.id}")
        assert "approval.approve" not in str(await shown(story, approval))
        vote = Vote(story.stage.workspace.user(MARA), Verdict.APPROVE, story.watch.now(), digest=again.request.digest)
        with pytest.raises(NotAllowed, match="not the current card"):
            await story.plane.vote(again.request.id, vote, channel=old.channel, message_ts=old.ts)
        assert (await story.journal.approval(again.request.id)).state is ApprovalState.PENDING
        assert story.changes() == []


async def test_an_expired_card_executes_nothing(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        story.watch.ahead = timedelta(minutes=31)
        await story.press(MARA, approval)
        await story.stage.workspace.until(lambda: story.stage.workspace.ephemerals(MARA))
        await story.plane.sweep()
        row = await story.finished()
        assert (await story.journal.approval(approval.request.id)).state is ApprovalState.EXPIRED
        assert row.outcome is RunOutcome.NOT_REMEDIATED
        assert "Expired" in words(await story.thread())
        assert story.changes() == []


async def test_an_approval_that_expires_before_its_execution_executes_nothing(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        await story.plane.pause(Actor("person", story.stage.workspace.user(MARA)), "wait")
        await story.press(MARA, approval)
        await story.approval(ApprovalState.APPROVED)
        story.watch.ahead = timedelta(minutes=31)
        await story.plane.resume(Actor("person", story.stage.workspace.user(MARA)))
        assert (await story.finished()).outcome is RunOutcome.NOT_REMEDIATED
        assert (await story.journal.approval(approval.request.id)).state is ApprovalState.EXPIRED
        assert story.changes() == []


async def test_an_approver_who_left_the_group_before_the_execution_does_not_count(tmp_path: Path) -> None:
    policy = tmp_path / "policy"
    policy.mkdir()
    (policy / "all.yaml").write_text(policy_text(quorum=2))
    async with telling(tmp_path, AGENT_POLICY=str(policy)) as story:
        await story.begin()
        approval = await story.approval()
        await story.press(MARA, approval)
        await story.until(lambda: story.recorded(VoteCast))
        story.stage.workspace.set_group("sre", [JONAS])
        await story.press(JONAS, approval)
        row = await story.finished()
        assert row.outcome is RunOutcome.NOT_REMEDIATED
        assert story.changes() == []


async def test_a_recovered_incident_withdraws_its_open_question(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        await story.approval()
        await undo_the_rollout(story)
        await story.resolved()
        await story.finished()
        [closed] = await story.recorded(ApprovalClosed)
        assert closed.state is ApprovalState.CANCELLED
        assert story.changes() == []


# --- fail closed ------------------------------------------------------------------------------------------------------


async def test_in_observe_mode_the_card_says_what_it_would_have_asked_and_nothing_can_execute(tmp_path: Path) -> None:
    async with telling(tmp_path, AGENT_MODE="observe") as story:
        await story.begin()
        row = await story.finished()
        approval = (await story.journal.approvals())[0]
        await story.approval(ApprovalState.CANCELLED)
        assert "approval.approve" not in str(await shown(story, approval))
        message = await story.journal.message(f"approval:{approval.request.id}")
        vote = Vote(
            story.stage.workspace.user(MARA), Verdict.APPROVE, story.watch.now(), digest=approval.request.digest
        )
        with pytest.raises(NotAllowed):
            await story.plane.vote(approval.request.id, vote, channel=message.channel, message_ts=message.ts)
        assert approval.request.observe_only
        assert row.outcome is RunOutcome.NOT_REMEDIATED
        assert story.changes() == []


async def test_a_pause_stops_also_what_is_approved_until_it_is_resumed(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        await story.stage.workspace.command(MARA, "incidents", "pause too many changes at once")
        await story.until(lambda: paused(story))
        await story.press(MARA, approval)
        await story.approval(ApprovalState.APPROVED)
        await story.plane.sweep()
        assert story.changes() == []
        await story.stage.workspace.command(MARA, "incidents", "resume")
        assert (await story.finished()).outcome is RunOutcome.REMEDIATED
        assert story.changes() == [ROLLBACK]


async def test_who_may_not_approve_may_stop_the_agent_and_may_not_let_it_go(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        priya, gita = (Actor("person", story.stage.workspace.user(who)) for who in (PRIYA, GITA))
        for act in (story.plane.pause(gita, "boo"), story.plane.set_mode(priya, Mode.ACT), story.plane.resume(priya)):
            with pytest.raises(NotAllowed):
                await act
        await story.plane.set_mode(priya, Mode.OBSERVE)
        await story.plane.pause(priya, "it acts strangely")
        with pytest.raises(NotAllowed, match="you are not one of them"):
            await story.plane.resume(priya)
        assert (story.plane.mode, story.plane.paused) == (Mode.OBSERVE, "it acts strangely")


@pytest.mark.parametrize(
    ("settings", "because"),
    [
        ({"AGENT_POLICY": "{folder}/none"}, "unreadable"),
        ({"AGENT_POLICY": "{folder}/broken"}, "does not parse"),
        ({"AGENT_POLICY": "{folder}/reads"}, "no rule matches a write"),
        ({"AGENT_APPROVERS": ""}, "nobody may approve"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_without_a_policy_that_says_so_and_people_who_may_nothing_executes(
    tmp_path: Path, settings: dict[str, str], because: str
) -> None:
    write_policies(tmp_path)
    given = {name: value.format(folder=tmp_path) for name, value in settings.items()}
    async with telling(tmp_path, **given) as story:
        await story.begin()
        if because == "nobody may approve":
            approval = await story.approval()
            for who in (MARA, JONAS):
                await story.press(who, approval)
            await story.stage.workspace.until(lambda: story.stage.workspace.ephemerals(JONAS))
        else:
            assert (await story.finished()).outcome is RunOutcome.DIAGNOSED
        assert story.changes() == []
        assert Counter(type(event) for event in await story.recorded(ExecutionStarted)) == {}


# --- what the stories are told with -------------------------------------------------------------------------------------


async def shown(story: Story, approval: Approval) -> object:
    """The card of an approval request as it stands in Slack."""
    message = await story.journal.message(f"approval:{approval.request.id}")
    await story.stage.app.services.sender.idle()
    return next(m for m in await story.thread() if m["ts"] == message.ts)


async def paused(story: Story) -> bool:
    return bool(story.plane.paused)


async def change_replicas(story: Story, replicas: int) -> None:
    """Somebody else scales the target, which moves its state."""
    await admin_patch(story, {"spec": {"replicas": replicas}})


async def undo_the_rollout(story: Story) -> None:
    """Somebody else rolls back by hand."""
    image = {"name": "checkout", "image": "registry.acme.dev/shop/checkout:2.4.1"}
    await admin_patch(story, {"spec": {"template": {"spec": {"containers": [image]}}}})


async def admin_patch(story: Story, patch: object) -> None:
    import json

    import aiohttp

    cluster = story.stage.cluster
    headers = {
        "Authorization": f"Bearer {cluster.admin_token}",
        "Content-Type": "application/strategic-merge-patch+json",
    }
    async with (
        aiohttp.ClientSession(headers=headers, raise_for_status=True) as session,
        session.patch(f"{cluster.url}/apis/apps/v1/namespaces/shop/deployments/checkout", data=json.dumps(patch)),
    ):
        pass


def policy_text(*, expires: str = "30m", quorum: int = 1) -> str:
    return f"""
groups: {{approvers: $AGENT_APPROVERS}}
rules:
  - id: look
    decision: allow
    match: {{effects: [read]}}
    reason: Looking is free.
  - id: change
    decision: ask
    match: {{effects: [write]}}
    approval: {{groups: [approvers], quorum: {quorum}, expires: {expires}}}
    reason: A change needs a person.
"""


def write_policies(folder: Path) -> None:
    for name, text in {
        "broken": "rules: [{id: a, decision: maybe}]",
        "reads": "rules: [{id: look, decision: allow, match: {effects: [read]}, reason: Looking is free.}]",
    }.items():
        (folder / name).mkdir()
        (folder / name / "all.yaml").write_text(text)


@pytest.mark.parametrize(
    ("arrived", "outcome", "word"),
    [(None, ExecutionOutcome.UNKNOWN, "Unknown"), (False, ExecutionOutcome.FAILED, "Failed")],
)
async def test_a_call_that_ends_in_a_surprise_is_looked_for_and_shown_as_what_is_known_of_it(
    tmp_path: Path, arrived: bool | None, outcome: ExecutionOutcome, word: str
) -> None:
    async with telling(tmp_path) as story:
        world = story.plane.world

        async def surprise(_action: object, _key: str) -> str:
            raise RuntimeError("nobody thought of this")

        async def found(_action: object, _key: str) -> bool | None:
            return arrived

        async def unseen(_action: object) -> Probe:
            return Probe((Check("change in place", passed=False, detail="it is not there"),), settled=True)

        broken = replace(world.tools["kubernetes_rollback"], executor=surprise, finder=found, prober=unseen)
        story.plane.world = replace(world, tools={**world.tools, "kubernetes_rollback": broken})
        await story.begin()
        approval = await story.approval()
        await story.press(MARA, approval)
        assert (await story.finished()).outcome is RunOutcome.NOT_REMEDIATED
        [unit] = await story.recorded(WorkUnitRecorded)
        assert (unit.unit.outcome, unit.unit.worth) == (WorkOutcome.FAILED, False)  # it counts against, like any other
        [execution] = [a.execution for a in await story.journal.approvals()]
        assert execution.outcome is outcome
        await story.thread()
        assert word in str(await shown(story, approval))


async def test_an_edit_in_observe_mode_shows_what_it_would_have_asked_and_waits_for_nobody(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        await story.plane.set_mode(Actor("system"), Mode.OBSERVE)
        user = story.stage.workspace.user(MARA)
        edited = await story.plane.propose_edit(
            approval.request.id, user, {"namespace": "shop", "name": "checkout", "to_revision": 2}
        )
        assert edited.observe_only
        assert (await story.journal.approval(edited.id)).state is ApprovalState.CANCELLED
        await story.plane.sweep()
        assert (await story.finished()).outcome is RunOutcome.NOT_REMEDIATED
        assert story.changes() == []


async def test_the_findings_stand_above_the_card_that_rests_on_them(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        await story.approval()
        keys = [
            m["metadata"]["event_payload"]["id"].partition(":")[0] for m in await story.thread() if m.get("metadata")
        ]
        assert keys == ["incident", "progress", "approval"]
