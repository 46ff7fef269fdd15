"""The Chat port and its sender against a Slack that refuses, breaks, forgets and goes away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bot.local.workspace import Workspace
from domain.decisions import Approval, ApprovalState
from domain.events import Draft, MessageWanted
from domain.runs import Origin, Run, RunSpec, RunStatus
from handlers import kit
from handlers.kit import Body
from handlers.lane import Lane, Pace
from tests.slack_harness import FAST, Bot, request_of, running
from tests.unit.test_cards import call_of, run_of


def said(bot: Bot, text: str) -> int:
    """How many messages of ours hold this text."""
    return sum(text in str(message) for message in bot.in_channel())


async def say(bot: Bot, key: str, text: str, priority: int = 3, channel: str = "incidents") -> None:
    await bot.chat.want(key, Body(text, (kit.section(text),)), channel=bot.w.channel(channel), priority=priority)


def calls(bot: Bot, method: str) -> list[dict[str, object]]:
    return [call.args for call in bot.w.calls if call.method == method]


async def test_a_message_is_posted_once_and_then_edited(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        incident = await bot.open_incident()
        await bot.chat.incident(replace(incident, alerts=2), status="Diagnosing")
        await bot.sender.idle()
        assert len(bot.in_channel()) == 1
        assert "Diagnosing" in str(bot.in_channel()[0])


async def test_saying_the_same_again_changes_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        incident = await bot.open_incident()
        events, api = len(await bot.journal.since(0)), len(bot.w.calls)
        for _ in range(5):
            await bot.chat.incident(incident)
        await bot.sender.idle()
        assert (len(await bot.journal.since(0)), len(bot.w.calls)) == (events, api)


async def test_replies_wait_for_their_threads_first_message(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w.faults.fail("chat.postMessage", times=2, kind="500")
        from domain.events import Draft, IncidentOpened
        from tests.slack_harness import incident_of

        incident = incident_of("i1", bot.w.team_id)
        await bot.journal.append(Draft(IncidentOpened(incident), incident_id="i1"))
        await asyncio.gather(
            bot.chat.incident(incident), bot.chat.notice("i1", "n1", "a reply"), bot.chat.notice("i1", "n2", "another")
        )
        await bot.sender.idle()
        root, *replies = bot.in_channel()
        assert "KubePodCrashLooping" in str(root)
        assert len(replies) == 2
        assert {reply["thread_ts"] for reply in replies} == {root["ts"]}


async def test_posts_never_unfurl_nor_parse_and_carry_their_key(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await bot.open_incident()
        (args,) = calls(bot, "chat.postMessage")
        assert (args["unfurl_links"], args["unfurl_media"]) == (False, False)
        assert "parse" not in args
        assert "link_names" not in args
        assert args["metadata"]["event_payload"]["id"] == "incident:i1"


async def test_approvals_overtake_results_and_progress(tmp_path: Path) -> None:
    async with running(tmp_path, pace=replace(FAST, cap_s=0.5)) as bot:
        bot.w.faults.fail("chat.postMessage", times=1, kind="429", retry_after=1)
        for key, priority in (("p", 7), ("r", 3), ("a", 1)):
            await say(bot, key, f"message {key}", priority)
        await bot.sender.idle()
        assert [message["text"] for message in bot.in_channel()] == ["message a", "message r", "message p"]


async def test_only_the_newest_revision_is_sent_after_an_outage(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w.down()
        for number in range(20):
            await say(bot, "p", f"step {number}.", 7)
        bot.w.up()
        await bot.sender.idle()
        assert said(bot, "step 19.") == 1
        assert len(bot.in_channel()) == 1


async def test_a_post_whose_answer_was_lost_is_found_again_and_not_repeated(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w.faults.fail("chat.postMessage", times=1, kind="reset_after_commit")
        incident = await bot.open_incident()
        assert len(bot.in_channel()) == 1
        assert incident.thread_ts == bot.in_channel()[0]["ts"]
        bot.w.faults.fail("chat.postMessage", times=1, kind="reset_after_commit")
        await bot.chat.notice("i1", "n", "said once")
        await bot.sender.idle()
        assert said(bot, "said once") == 1


async def test_a_process_that_died_between_post_and_record_posts_nothing_twice(tmp_path: Path) -> None:
    async with Workspace() as w:
        async with running(tmp_path, w) as bot:
            # the post arrives, its answer does not, and the process is gone before it could look
            w.faults.fail("chat.postMessage", times=1, kind="reset_after_commit")
            w.faults.fail("conversations.history", times=100, kind="500")
            await say(bot, "k", "said once")
            await w.until(lambda: said(bot, "said once") == 1)
        w.faults._faults.clear()
        async with running(tmp_path, w) as bot:
            await bot.sender.idle()
            assert said(bot, "said once") == 1
            row = await bot.journal.message("k")
            assert row
            assert row.ts == bot.in_channel()[0]["ts"]


async def test_what_was_unsent_at_the_end_is_sent_after_the_next_start(tmp_path: Path) -> None:
    async with Workspace() as w:
        async with running(tmp_path, w) as bot:
            w.faults.fail("chat.postMessage", times=1000, kind="500")
            await say(bot, "k", "from before")
        w.faults._faults.clear()
        async with running(tmp_path, w) as bot:
            await bot.sender.idle()
            assert said(bot, "from before") == 1


async def test_a_rate_limit_pauses_the_lane_as_long_as_slack_says(tmp_path: Path) -> None:
    pace = replace(FAST, cap_s=5.0)
    async with running(tmp_path, pace=pace) as bot:
        bot.w.faults.fail("chat.postMessage", times=1, kind="429", retry_after=1)
        await say(bot, "a", "first")
        await say(bot, "b", "second")
        await bot.sender.idle()
        refused, *others = [call.at for call in bot.w.calls if call.method == "chat.postMessage"]
        assert len(others) == 2
        assert min(others) - refused >= 1.0


async def test_posts_in_one_channel_keep_their_distance_and_other_channels_do_not_wait(tmp_path: Path) -> None:
    async with running(tmp_path, pace=replace(FAST, spacing_s=0.15)) as bot:
        for number in range(3):
            await say(bot, f"i{number}", f"m{number}")
        await say(bot, "other", "elsewhere", channel="alerts")
        await bot.sender.idle()
        posts = [(call.args["channel"], call.at) for call in bot.w.calls if call.method == "chat.postMessage"]
        times = [at for channel, at in posts if channel == bot.w.channel("incidents")]
        assert all(later - earlier >= 0.14 for earlier, later in pairwise(times))
        elsewhere = next(at for channel, at in posts if channel == bot.w.channel("alerts"))
        assert elsewhere < times[-1]


async def test_edits_of_progress_are_spaced_and_the_last_word_stands(tmp_path: Path) -> None:
    async with running(tmp_path, pace=replace(FAST, edit_s=0.2)) as bot:
        for number in range(30):
            await say(bot, "progress:r1", f"step {number}.", 7)
            await asyncio.sleep(0.01)
        await bot.sender.idle()
        assert said(bot, "step 29.") == 1
        assert len(calls(bot, "chat.update")) <= 4


async def test_blocks_that_slack_refuses_are_said_more_simply(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await bot.open_incident()
        run = run_of(calls={"c1": call_of()}, spec=replace(run_of().spec, channel=bot.w.channel("incidents")))
        bot.w.faults.fail("chat.postMessage", times=1, kind="invalid_blocks")
        await bot.chat.progress(run)
        await bot.sender.idle()
        message = bot.in_channel()[-1]
        assert "plan" not in {block["type"] for block in message["blocks"]}
        assert "Diagnosing" in str(message["blocks"])
        bot.w.faults.fail("chat.update", times=2, kind="invalid_blocks")
        await bot.chat.progress(replace(run, status=RunStatus.FINISHED))
        await bot.sender.idle()
        assert [block["type"] for block in bot.in_channel()[-1]["blocks"]] == ["section"]


async def test_a_refusal_of_an_unknown_kind_is_tried_again(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w.faults.fail("chat.postMessage", times=2, kind="some_new_refusal")
        await say(bot, "k", "at last")
        await bot.sender.idle()
        assert said(bot, "at last") == 1
        assert bot.sender.problems() == ()


async def test_what_slack_refuses_time_and_again_is_reported_and_then_given_up(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w.faults.fail("chat.postMessage", times=8, kind="some_new_refusal")
        await say(bot, "k", "lost")
        await bot.w.until(lambda: "does not take k (some_new_refusal)" in "".join(bot.sender.problems()))
        await bot.sender.idle()
        row = await bot.journal.message("k")
        assert row
        assert row.failed == "some_new_refusal"
        assert bot.sender.problems() == ("Slack never took k (some_new_refusal); it was given up",)
        await say(bot, "k", "said anew")
        await bot.sender.idle()
        assert said(bot, "said anew") == 1
        assert bot.sender.problems() == ()


@pytest.mark.parametrize("code", ["some_new_refusal", "missing_scope", "500"])
async def test_a_message_that_slack_does_not_take_holds_up_no_other(tmp_path: Path, code: str) -> None:
    async with running(tmp_path, pace=Pace(0, 0, 0, 0.02, 600.0)) as bot:
        bot.w.faults.fail("chat.postMessage", times=4, kind=code)
        await say(bot, "stuck", "stuck", priority=1)
        await bot.w.until(lambda: bot.sender.problems())
        await bot.w.until(lambda: len(calls(bot, "chat.postMessage")) == 4)
        await say(bot, "next", "next")
        await bot.w.until(lambda: said(bot, "next"))


async def test_a_fault_of_ours_in_one_message_holds_up_no_other_and_is_given_up(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        plan = {"type": "plan", "tasks": []}  # a plan without a title
        broken = MessageWanted("stuck", 1, bot.w.channel("incidents"), "", "x", (plan,), 1)
        await bot.journal.append(Draft(broken))
        bot.sender.watched_by("stuck", "U1")
        bot.sender.wake("stuck", broken.channel, 1)
        await say(bot, "next", "next")
        await bot.w.until(lambda: said(bot, "next"))
        await bot.sender.idle()


@pytest.mark.parametrize("code", ["thread_not_found", "cannot_reply_to_message"])
async def test_a_reply_whose_thread_takes_none_goes_to_the_channel(tmp_path: Path, code: str) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.w.say("mara", "incidents", "what is wrong with checkout?")
        await bot.open_incident(channel=bot.w.channel("incidents"), thread_ts=ts)
        bot.w.faults.fail("chat.postMessage", times=1, kind=code)
        await bot.chat.notice("i1", "n", "an answer")
        await bot.sender.idle()
        (reply,) = bot.in_channel()
        assert "thread_ts" not in reply
        assert bot.sender.problems() == ()


async def test_a_thread_that_is_gone_when_it_is_looked_through_takes_no_reply_either(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.w.say("mara", "incidents", "what is wrong with checkout?")
        await bot.open_incident(channel=bot.w.channel("incidents"), thread_ts=ts)
        bot.w.faults.fail("chat.postMessage", times=1, kind="500")
        bot.w.faults.fail("conversations.replies", times=1, kind="thread_not_found")
        await bot.chat.notice("i1", "n", "an answer")
        await bot.sender.idle()
        assert said(bot, "an answer") == 1


async def test_a_message_in_doubt_is_said_where_the_history_may_not_be_read(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w.faults.fail("chat.postMessage", times=1, kind="500")
        bot.w.faults.fail("conversations.history", times=1, kind="missing_scope")
        await say(bot, "k", "in a private channel")
        await bot.sender.idle()
        assert said(bot, "in a private channel") == 1
        assert bot.sender.problems() == ()


async def test_lanes_that_a_bad_token_stopped_go_on_when_slack_knows_the_app_again(tmp_path: Path) -> None:
    async with running(tmp_path, pace=replace(FAST, probe_s=0.02)) as bot:
        bot.w.faults.fail("auth.test", times=1, kind="invalid_auth")
        bot.w.faults.fail("chat.postMessage", times=1, kind="invalid_auth")
        await say(bot, "k", "kept")
        await bot.w.until(lambda: said(bot, "kept"))
        assert bot.sender.problems() == ()
        assert len(calls(bot, "auth.test")) == 3


async def test_an_outage_is_waited_out_with_growing_patience(tmp_path: Path) -> None:
    async with running(tmp_path, pace=Pace(0, 0, 0, 0.05, 0.4)) as bot:
        bot.w.faults.fail("chat.postMessage", times=4, kind="500")
        await say(bot, "k", "at last")
        await bot.sender.idle()
        at = [call.at for call in bot.w.calls if call.method == "chat.postMessage"]
        gaps = [later - earlier for earlier, later in pairwise(at)]
        assert said(bot, "at last") == 1
        assert gaps[3] > gaps[0]


async def test_an_incident_in_a_persons_thread_has_no_message_of_ours_on_top(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.w.say("mara", "incidents", "what is wrong with checkout?")
        await bot.open_incident(channel=bot.w.channel("incidents"), thread_ts=ts)
        await bot.chat.notice("i1", "n", "an answer")
        await bot.sender.idle()
        (reply,) = bot.in_channel()
        assert reply["thread_ts"] == ts


async def test_every_state_of_a_card_is_the_same_message(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.card()
        for state in (ApprovalState.APPROVED, ApprovalState.EXPIRED):
            await bot.chat.approval(Approval(request_of(), state))
            await bot.sender.idle()
        cards = [message for message in bot.in_channel() if message["ts"] == ts]
        assert len(bot.in_channel()) == 2
        assert "Expired: roll back checkout" in str(cards)


async def test_secrets_are_out_of_the_outbox_row_before_anything_is_sent(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await bot.open_incident(summary="password=hunter2")
        row = await bot.journal.message("incident:i1")
        assert row
        assert "hunter2" not in str(row)
        assert "[redacted]" in str(row)


@pytest.mark.parametrize("turns", range(6))
async def test_a_lane_that_is_cancelled_while_it_wakes_up_is_cancelled(turns: int) -> None:
    lane = Lane("C1")
    asleep = asyncio.create_task(lane.sleep(30))
    await asyncio.sleep(0.01)
    lane.woken.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    cancelled = asleep.cancel()
    (ended,) = await asyncio.gather(asleep, return_exceptions=True)
    assert isinstance(ended, asyncio.CancelledError) is cancelled


# --- streams ----------------------------------------------------------------------------------------------------------


async def asked(bot: Bot) -> Run:
    """A run that Mara started by a mention."""
    ts = await bot.w.say("mara", "incidents", "what is wrong?")
    await bot.open_incident(channel=bot.w.channel("incidents"), thread_ts=ts)
    spec: RunSpec = replace(
        run_of().spec,
        origin=Origin.MENTION,
        requester=bot.w.user("mara"),
        channel=bot.w.channel("incidents"),
        thread_ts=ts,
    )
    return run_of(spec=spec, findings=())


async def test_a_person_who_asked_gets_a_stream_that_ends_as_an_ordinary_message(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        run = await asked(bot)
        for steps in range(3):
            await bot.chat.progress(replace(run, calls={f"c{n}": call_of(f"c{n}", n) for n in range(steps)}))
            await bot.sender.idle()
        assert len(calls(bot, "chat.startStream")) == 1
        assert calls(bot, "chat.startStream")[0]["recipient_user_id"] == bot.w.user("mara")
        assert len(calls(bot, "chat.appendStream")) == 2
        done = replace(run, calls={"c0": call_of()}, status=RunStatus.FINISHED, reason="done")
        await bot.chat.progress(done)
        await bot.sender.idle()
        assert len(calls(bot, "chat.stopStream")) == 1
        assert "Done after" in str(bot.in_channel()[-1])
        assert len(bot.in_channel()) == 1


async def test_runs_that_ended_and_messages_never_posted_leave_room_for_new_streams(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        run = await asked(bot)
        for steps in range(3):
            await bot.chat.progress(replace(run, calls={f"c{n}": call_of(f"c{n}", n) for n in range(steps)}))
            await bot.sender.idle()
        await bot.chat.progress(replace(run, status=RunStatus.FINISHED, reason="done"))
        await bot.sender.idle()
        assert bot.sender._out.streams._watchers == {}
        for number in range(1001):
            bot.sender.watched_by(f"progress:never-{number}", "U1")
        await bot.chat.progress(replace(run, spec=replace(run.spec, id="r2")))
        await bot.sender.idle()
        assert len(calls(bot, "chat.startStream")) == 2


async def test_a_refused_stream_becomes_an_edited_message(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w.faults.fail("chat.startStream", times=1, kind="channel_type_not_supported")
        run = await asked(bot)
        await bot.chat.progress(run)
        await bot.sender.idle()
        await bot.chat.progress(replace(run, calls={"c0": call_of()}))
        await bot.sender.idle()
        assert len(bot.in_channel()) == 1
        assert "Looked at kubernetes get" in str(bot.in_channel()[0])
        assert not calls(bot, "chat.appendStream")


async def test_a_stream_that_slack_ended_goes_on_as_an_edited_message(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        run = await asked(bot)
        await bot.chat.progress(run)
        await bot.sender.idle()
        bot.w.clock.advance(301)
        await bot.chat.progress(replace(run, calls={"c0": call_of()}))
        await bot.sender.idle()
        assert "Looked at kubernetes get" in str(bot.in_channel()[-1])
        assert len(bot.in_channel()) == 1


async def test_an_alerts_progress_is_never_streamed(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await bot.open_incident()
        await bot.chat.progress(run_of(calls={"c1": call_of()}))
        await bot.sender.idle()
        assert not calls(bot, "chat.startStream")
