"""Traps of Slack's delivery, each closed: what arrives twice, late, out of order, unasked for or not at all.

Every test is named after the fact that holds, and fails when its guard is taken away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from bot.local.workspace import Workspace
from domain.errors import ChatError, JournalError, SettingsError
from domain.events import Draft, Envelope, PayloadReceived
from handlers import kit, recovery
from handlers.cards_approval import value_of
from handlers.kit import Body
from handlers.payloads import also_of, key_of, surface_of
from handlers.slack_app import build, checked_url, connect, events_route
from handlers.socket_mode import SocketMode
from handlers.work import Work, order
from tests.slack_harness import Bot, request_of, running


async def payloads(bot: Bot, surface: str = "") -> list[PayloadReceived]:
    """What the inbox took."""
    events = [envelope.event for envelope in await bot.journal.since(0)]
    return [event for event in events if isinstance(event, PayloadReceived) and surface in ("", event.surface)]


async def delivered(bot: Bot) -> None:
    """Until Slack waits for no ack any more; an event that nobody acknowledges is sent again after three seconds."""
    async with asyncio.timeout(2.8):
        while waiting := [task for task in bot.w._delivery._tasks if "_deliver" in str(task.get_coro())]:
            await asyncio.gather(*waiting)
    await bot.settled()


# 1. nothing is deduplicated by bolt -----------------------------------------------------------------------------------


async def test_1_an_event_delivered_twice_is_handled_once(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w.duplicate_next_event(2)
        await bot.w.say("mara", "incidents", "@agent what is wrong with checkout?")
        await delivered(bot)
        assert len(bot.plane.questions) == 1


async def test_1_an_event_whose_ack_was_lost_is_handled_once(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w.hold_acks()
        await bot.w.say("mara", "incidents", "@agent what is wrong?")
        await bot.plane.heard(1)
        bot.w.clock.advance(3.1)
        await asyncio.sleep(0)
        bot.w.hold_acks(False)
        await delivered(bot)
        assert len(bot.plane.questions) == 1


# 2. one mention is two events -----------------------------------------------------------------------------------------


async def test_2_a_mention_that_arrives_as_two_events_is_one_question(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.w.say("mara", "incidents", "@agent why does checkout restart?")
        await delivered(bot)
        (question,) = bot.plane.questions
        assert question.text == "why does checkout restart?"
        assert (question.user, question.thread_ts) == (bot.w.user("mara"), ts)


async def test_2_an_alert_that_mentions_the_app_is_an_alert_whichever_event_comes_first(tmp_path: Path) -> None:
    async with running(tmp_path, bots=True) as bot:
        said = {"text": f"[FIRING:1] KubePodCrashLooping <@{bot.w.bot_user_id}>", "bot_id": "B07ALERTMG1"}
        event = said | {"channel": bot.w.channel("alerts"), "ts": "1700000000.000100", "event_ts": "1700000000.000100"}
        bot.w._core.events.emit({"type": "app_mention", **event})
        await delivered(bot)
        bot.w._core.events.emit({"type": "message", "subtype": "bot_message", "channel_type": "channel", **event})
        await bot.plane.heard(alerts=1)
        await bot.settled()
        assert len(bot.plane.alerts) == 1


# 3. events are acknowledged before listeners run ----------------------------------------------------------------------


class Gate:
    """A journal that keeps payloads waiting until it is opened."""

    def __init__(self, bot: Bot) -> None:
        self._append = bot.journal.append
        self.open = asyncio.Event()
        self.asked = asyncio.Event()

    async def append(self, *drafts: Draft) -> Sequence[Envelope]:
        if isinstance(drafts[0].event, PayloadReceived):
            self.asked.set()
            await self.open.wait()
        return await self._append(*drafts)


async def test_3_the_ack_leaves_only_after_the_payload_is_durable(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.card()
        gate = Gate(bot)
        bot.journal.append = gate.append  # type: ignore[method-assign]
        click = asyncio.create_task(bot.w.click("mara", "incidents", ts, "approval.why"))
        await gate.asked.wait()
        await asyncio.wait([click], timeout=0.2)
        assert not click.done(), "acknowledged before it was durable"
        gate.open.set()
        assert await click == {}
        assert [event.surface for event in await payloads(bot, "block_actions")] == ["block_actions"]


async def test_3_what_was_acknowledged_before_a_crash_is_handled_after_it_and_once(tmp_path: Path) -> None:
    async with Workspace() as w:
        async with running(tmp_path, w) as bot:
            ts = await bot.card()
            await w.say("mara", "incidents", "@agent answered before")
            await delivered(bot)
            for payload in (
                {"type": "event_callback", "team_id": w.team_id, "event_id": "Ev1", "event": mention(w, "lost?")},
                left_click(w, ts),
            ):
                event = PayloadReceived(key_of(payload), surface_of(payload), payload, also_of(payload))
                await bot.journal.append(Draft(event))
        for _ in range(2):
            async with running(tmp_path, w) as bot:
                await bot.settled()
                if bot.plane.questions:
                    assert [question.text for question in bot.plane.questions] == ["lost?"]
                    assert bot.plane.executed == ["a1"]
        assert not bot.plane.questions, "the second start finds nothing left"


async def test_3_what_the_journal_refuses_after_the_ack_is_taken_up_again_and_said_once(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.plane.problem = JournalError("the disk is full")
        await bot.w.say("mara", "incidents", "@agent why does checkout restart?")
        await bot.w.until(lambda: "take this up again" in bot.whispers("mara"))
        for _ in range(2):
            await bot.w.until(lambda: bot.services.left)
            await recovery.take_up(bot.app, bot.services)
        await bot.w.until(lambda: bot.services.left)
        bot.plane.problem = None
        await recovery.take_up(bot.app, bot.services)
        await bot.plane.heard(1)
        await bot.settled()
        assert [question.text for question in bot.plane.questions] == ["why does checkout restart?"]
        assert len(bot.w.ephemerals("mara")) == 1
        await recovery.take_up(bot.app, bot.services)
        await bot.settled()
        assert len(bot.plane.questions) == 1


async def test_3_a_person_hears_of_a_journal_that_refuses_everything(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        append = bot.journal.append

        async def refusing(*drafts: Draft) -> Sequence[Envelope]:
            if isinstance(drafts[0].event, PayloadReceived):
                return await append(*drafts)
            raise JournalError("the disk is full")

        bot.journal.append = refusing  # type: ignore[method-assign]
        await bot.w.say("mara", "incidents", f"<@{bot.w.bot_user_id}>")
        await bot.w.until(lambda: "take this up again" in bot.whispers("mara"))
        bot.journal.append = append  # type: ignore[method-assign]
        await bot.services.work.drain()
        await recovery.take_up(bot.app, bot.services)
        await bot.w.until(lambda: "Ask me something" in bot.whispers("mara"))


def mention(w: Workspace, text: str) -> dict[str, str]:
    said = {"text": f"<@{w.bot_user_id}> {text}", "user": w.user("mara"), "channel": w.channel("incidents")}
    return {"type": "app_mention", "ts": "1700000000.000100", "event_ts": "1700000000.000100", **said}


def left_click(w: Workspace, ts: str) -> dict[str, object]:
    """An approval that was recorded, and of which nothing came."""
    action = {"type": "button", "action_id": "approval.approve", "block_id": "b", "action_ts": "1.5"}
    return {
        "type": "block_actions",
        "team": {"id": w.team_id},
        "user": {"id": w.user("mara"), "name": "mara", "team_id": w.team_id},
        "channel": {"id": w.channel("incidents")},
        "container": {"type": "message", "message_ts": ts, "channel_id": w.channel("incidents")},
        "actions": [action | {"value": value_of(request_of())}],
    }


async def test_3_work_of_one_channel_is_done_in_the_order_of_ts_not_of_arrival() -> None:
    work, done, gate = Work(), [], asyncio.Event()

    async def job(name: str) -> None:
        await gate.wait()
        done.append(name)

    for name, ts in (("first", "5.0"), ("late", "1700000000.000900"), ("early", "1700000000.000100")):
        work.submit("C1", ts, lambda name=name: job(name))  # type: ignore[misc]
    gate.set()
    await work.drain()
    assert done == ["first", "early", "late"]


async def test_3_a_failed_job_does_not_lose_those_behind_it() -> None:
    work, done = Work(), []

    async def broken() -> None:
        raise ValueError

    async def fine() -> None:
        done.append(True)

    work.submit("C1", "1.0", broken)
    work.submit("C1", "2.0", fine)
    await work.drain()
    assert done == [True]


async def test_3_a_burst_of_slow_work_leaves_room_for_acks_and_never_holds_up_a_vote() -> None:
    work, gate, begun, voted = Work(at_once=2, patience_s=30), asyncio.Event(), [], asyncio.Event()

    async def slow() -> None:
        begun.append(True)
        await gate.wait()

    async def vote() -> None:
        voted.set()

    for number in range(10):
        work.submit(f"slow {number}", "", slow)
    work.submit("vote", "", vote, urgent=True)
    await voted.wait()
    assert len(begun) == 2
    gate.set()
    await work.drain()
    assert len(begun) == 10


async def test_3_slow_work_makes_room_for_the_next() -> None:
    work, gate, last = Work(at_once=1, patience_s=0.01), asyncio.Event(), asyncio.Event()

    async def end() -> None:
        last.set()

    async def slow() -> None:
        await gate.wait()

    for number in range(3):
        work.submit(f"slow {number}", "", slow)
    work.submit("last", "", end)
    async with asyncio.timeout(2):
        await last.wait()
    gate.set()
    await work.drain()
    assert work._slots._value == 1


# 4. what nobody listens to is not acknowledged by bolt ----------------------------------------------------------------


async def test_4_events_buttons_dialogs_and_commands_without_a_listener_are_acknowledged(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w._core.events.emit({"type": "reaction_added", "user": bot.w.user("mara"), "reaction": "eyes"})
        await delivered(bot)
        row = kit.actions(kit.button("Old", "from.an.older.version", "x"))
        await bot.chat.want("old", Body("old", (row,)), channel=bot.w.channel("incidents"), priority=1)
        await bot.sender.idle()
        assert await bot.w.click("mara", "incidents", bot.in_channel()[0]["ts"], "from.an.older.version") == {}
        assert "only know /agent" in str(await bot.w.command("mara", "incidents", "x", command="/other"))
        assert len(await payloads(bot, "reaction_added")) == 1


# 5. auth.test on the event path loses events --------------------------------------------------------------------------


async def test_5_auth_test_is_called_once_and_its_failure_later_loses_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w.faults.fail("auth.test", times=100, kind="500")
        await bot.w.say("mara", "incidents", "@agent still there?")
        await bot.w.command("mara", "incidents", "help")
        await delivered(bot)
        assert len(bot.plane.questions) == 1
        assert [call.method for call in bot.w.calls].count("auth.test") == 1


# 6. a bad app token hangs ---------------------------------------------------------------------------------------------


async def test_6_a_bad_token_is_a_sentence_at_once_and_one_call(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        before = [call.method for call in bot.w.calls].count("apps.connections.open")
        socket = SocketMode(build(bot.services, bot.connection), bot.services, "xapp-1-wrong", bot.w.api_url)
        async with asyncio.timeout(2):
            with pytest.raises(ChatError, match=r"SLACK_APP_TOKEN .*connections:write"):
                await socket.start()
        assert [call.method for call in bot.w.calls].count("apps.connections.open") == before + 1
        with pytest.raises(ChatError, match=r"SLACK_BOT_TOKEN .*invalid_auth"):
            await connect("xoxb-wrong", bot.w.api_url)
        with pytest.raises(SettingsError, match="xapp"):
            SocketMode(build(bot.services, bot.connection), bot.services, bot.w.bot_token, bot.w.api_url)


# 7. raising or acknowledging late -------------------------------------------------------------------------------------


async def test_7_a_click_and_a_command_are_acknowledged_while_their_work_still_hangs(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.card()
        hang = asyncio.Event()
        bot.plane.before = hang.wait
        async with asyncio.timeout(1):
            assert await bot.w.click("mara", "incidents", ts, "approval.approve") == {}
            assert "operation_timeout" not in str(await bot.w.command("mara", "incidents", "diagnose checkout"))
        hang.set()
        await bot.settled()


async def test_7_an_unexpected_error_reaches_the_person_as_an_id_and_no_traceback(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.card()

        async def broken() -> None:
            raise KeyError("internal detail")

        bot.plane.before = broken
        assert await bot.w.click("mara", "incidents", ts, "approval.approve") == {}
        await bot.settled()
        assert "error " in bot.whispers("mara")
        assert "internal detail" not in bot.whispers("mara")


# 8. double clicks and two approvers -----------------------------------------------------------------------------------


async def test_8_fifty_clicks_at_once_are_one_approval_and_the_others_hear_who_won(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.card()
        ready = asyncio.Barrier(50)
        bot.plane.before = ready.wait
        clicks = (bot.w.click(("mara", "jonas")[n % 2], "incidents", ts, "approval.approve") for n in range(50))
        assert await asyncio.gather(*clicks) == [{}] * 50
        await bot.settled()
        assert bot.plane.executed == ["a1"]
        assert len(bot.plane.refusals) == 49
        winner = (await bot.journal.approval("a1")).votes[0].name  # type: ignore[union-attr]
        assert {sentence for _, sentence in bot.plane.refusals} == {f"Already decided by {winner}."}


# 18. order of updates -------------------------------------------------------------------------------------------------


async def test_18_an_older_revision_never_overwrites_a_newer_one(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        for number in range(12):
            body = Body(f"v{number}", (kit.section(f"version {number}"),))
            await bot.chat.want("k", body, channel=bot.w.channel("incidents"), priority=3)
        await bot.sender.idle()
        sent = [c.args["text"] for c in bot.w.calls if c.method in ("chat.postMessage", "chat.update")]
        assert sent == sorted(sent, key=lambda text: int(text[1:]))
        assert sent[-1] == "v11"


def test_18_a_ts_is_ordered_exactly_where_a_float_is_not() -> None:
    assert order("1700000000.000001") < order("1700000000.000002") < order("1700000001.000000")
    assert order("99999999999999999.000001") < order("99999999999999999.000002")
    assert order("nonsense") == (0, 0)


# 19. reconnects -------------------------------------------------------------------------------------------------------


async def test_19_what_was_said_while_nobody_listened_is_caught_up_once(tmp_path: Path) -> None:
    async with Workspace() as w:
        async with running(tmp_path, w) as bot:
            known = await bot.open_incident()
            await w.say("mara", "incidents", "@agent before")
            await delivered(bot)
        await w.say("mara", "incidents", "@agent during the gap")
        await w.say("priya", "incidents", "and in the thread?", thread_ts=known.thread_ts)
        async with running(tmp_path, w) as bot:
            await bot.services.work.drain()
            asked = sorted(question.text for question in bot.plane.questions)
            assert asked == ["and in the thread?", "during the gap"], "and what was answered before is not asked again"


async def test_19_a_dropped_and_a_refreshed_socket_go_on_without_loss(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w.drop_sockets()
        await bot.w.say("mara", "incidents", "@agent one")
        await bot.plane.heard(1)
        await bot.w.refresh_sockets()
        await bot.w.say("mara", "incidents", "@agent two")
        await bot.plane.heard(2)
        await bot.settled()
        assert [question.text for question in bot.plane.questions] == ["one", "two"]


# 21. the signing secret -----------------------------------------------------------------------------------------------


async def test_21_http_mode_needs_its_secret_at_the_start_and_a_valid_signature_always(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        with pytest.raises(SettingsError, match="SLACK_SIGNING_SECRET"):
            events_route(build(bot.services, bot.connection), "")
        app = build(bot.services, bot.connection, signing_secret=bot.w.signing_secret)
        server = web.Application()
        server.add_routes([events_route(app, bot.w.signing_secret)])
        runner = web.AppRunner(server)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
        try:
            async with aiohttp.ClientSession() as http:
                forged = {"type": "event_callback", "event_id": "E1", "event": {"type": "app_mention"}}
                async with http.post(url, json=forged, headers={"X-Slack-Signature": "v0=00"}) as answer:
                    assert answer.status == 401
            assert await payloads(bot) == []
            bot.w.events_url = url
            await bot.w.say("mara", "incidents", "@agent by http?")
            await bot.plane.heard(1)
            assert "diagnose" in str(await bot.w.command("mara", "incidents", "help"))
            await bot.settled()
        finally:
            bot.w.events_url = None
            await runner.cleanup()


# 22. the environment --------------------------------------------------------------------------------------------------


async def test_22_nothing_is_taken_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLIENT_ID", "CLIENT_SECRET", "BOT_TOKEN", "SIGNING_SECRET", "VERIFICATION_TOKEN", "SCOPES"):
        monkeypatch.setenv(f"SLACK_{name}", "from the environment")
    async with running(tmp_path) as bot:
        app = build(bot.services, bot.connection)
        assert app.oauth_flow is None
        assert "from the environment" not in str(vars(app))
        assert await bot.w.command("mara", "incidents", "help") != {"error": "operation_timeout"}
        await bot.settled()


@pytest.mark.parametrize("url", ["http://slack.example/api/", "ftp://127.0.0.1/", "http://127.0.0.1.evil.example/"])
def test_22_another_address_of_slack_must_be_https_or_loopback(url: str) -> None:
    with pytest.raises(SettingsError, match="SLACK_API_URL"):
        checked_url(url)
    assert checked_url("http://127.0.0.1:1/api") == "http://127.0.0.1:1/api/"
