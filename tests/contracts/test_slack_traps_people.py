"""Traps of what people, bots and text do in Slack, each closed: who may click, what is believed, what is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from domain.decisions import ApprovalState
from domain.diagnosis import Confidence, Diagnosis, Evidence
from domain.events import PayloadReceived
from handlers.kit import Body, section
from handlers.mentions import Turns
from tests.contracts.test_slack_traps import delivered
from tests.slack_harness import Bot, request_of, running
from tests.unit.test_cards import run_of

ALERT = "[FIRING:1] KubePodCrashLooping\nnamespace: shop\ndeployment: checkout\nseverity: critical"


async def state_of(bot: Bot, approval_id: str = "a1") -> ApprovalState:
    approval = await bot.journal.approval(approval_id)
    assert approval
    return approval.state


# 9. edited and deleted messages ---------------------------------------------------------------------------------------


async def test_9_an_edited_alert_message_is_the_same_alert_read_again(tmp_path: Path) -> None:
    async with running(tmp_path, bots=True) as bot:
        ts = await bot.w.post_as_bot("Alertmanager", "alerts", ALERT)
        await bot.plane.heard(alerts=1)
        bot.w.edit("alerts", ts, ALERT.replace("FIRING:1", "RESOLVED").replace("checkout", "checkout-v2"))
        await bot.plane.heard(alerts=2)
        first, second = bot.plane.alerts
        assert second.fingerprint == first.fingerprint
        assert (first.firing, second.firing) == (True, False)


async def test_9_a_deleted_alert_message_leaves_a_note_and_resolves_nothing(tmp_path: Path) -> None:
    async with running(tmp_path, bots=True) as bot:
        ts = await bot.w.post_as_bot("Alertmanager", "alerts", ALERT)
        await bot.plane.heard(alerts=1)
        fingerprint = bot.plane.alerts[0].fingerprint
        await bot.open_incident(fingerprints=(fingerprint,), firing=(fingerprint,))
        bot.w.delete("alerts", ts)
        await bot.w.until(lambda: "was deleted" in str(bot.in_channel()))
        assert len(bot.plane.alerts) == 1


async def test_9_a_deleted_card_is_posted_again_and_the_old_one_authorises_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        old = await bot.card()
        forged = dict(next(message for message in bot.in_channel() if message["ts"] == old))
        bot.w.delete("incidents", old)
        approval = await bot.journal.approval("a1")
        assert approval
        await bot.chat.approval(replace(approval, request=replace(approval.request, note="seen again")))
        await bot.sender.idle()
        row = await bot.journal.message("approval:a1")
        assert row
        assert row.ts != old
        bot.w._state.room("incidents").messages[old] = forged  # a click that was on its way
        await bot.w.click("mara", "incidents", old, "approval.approve")
        await bot.settled()
        assert await state_of(bot) is ApprovalState.PENDING
        await bot.w.click("mara", "incidents", row.ts, "approval.approve")
        await bot.settled()
        assert await state_of(bot) is ApprovalState.APPROVED


async def test_9_a_deleted_thread_top_is_said_again_and_replies_go_below_it(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        incident = await bot.open_incident()
        bot.w.delete("incidents", incident.thread_ts)
        await bot.chat.incident(replace(incident, alerts=5), status="Diagnosing")
        await bot.sender.idle()
        await bot.chat.notice("i1", "n", "a reply")
        await bot.sender.idle()
        top, reply = bot.in_channel()
        assert reply["thread_ts"] == top["ts"] != incident.thread_ts


# 10. archived channels, a bot that was removed ------------------------------------------------------------------------


async def test_10_a_closed_channel_is_a_problem_that_ends_when_it_opens(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await bot.open_incident()
        bot.w.archive("incidents")
        await bot.w.until(lambda: bot.sender.problems() or bot.w.messages("incidents"))
        await bot.chat.notice("i1", "n", "waits")
        await bot.sender.idle()
        assert "is_archived" in bot.sender.problems()[0]
        tries = len([c for c in bot.w.calls if c.method == "chat.postMessage"])
        bot.w.archive("incidents", False)
        await bot.w.until(lambda: "waits" in str(bot.in_channel()))
        assert bot.sender.problems() == ()
        assert len([c for c in bot.w.calls if c.method == "chat.postMessage"]) <= tries + 1, "it never spins"


@pytest.mark.parametrize("code", ["is_archived", "not_in_channel", "channel_not_found", "restricted_action"])
async def test_10_a_refused_channel_is_tried_once_even_where_no_event_told_of_it(tmp_path: Path, code: str) -> None:
    async with running(tmp_path) as bot:
        bot.w.faults.fail("chat.postMessage", times=1000, kind=code)
        await bot.chat.want("k", Body("x", (section("x"),)), channel=bot.w.channel("alerts"), priority=3)
        await bot.sender.idle()
        assert bot.sender.problems() == (
            f"Slack channel {bot.w.channel('alerts')} takes no messages ({code}); 1 waiting",
        )
        await bot.chat.want("k2", Body("y", (section("y"),)), channel=bot.w.channel("alerts"), priority=3)
        await bot.sender.idle()
        assert [call.method for call in bot.w.calls].count("chat.postMessage") == 1


async def test_10_a_revoked_token_stops_the_lanes_and_loses_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await bot.open_incident()
        bot.w._core.refusing = "token_revoked"
        await bot.chat.notice("i1", "n", "kept")
        await bot.sender.idle()
        assert "token_revoked" in bot.sender.problems()[0]
        calls = len(bot.w.calls)
        await bot.chat.notice("i1", "n2", "kept too")
        assert len(bot.w.calls) == calls
        assert len(await bot.journal.unsent()) == 2


async def test_10_the_end_of_a_users_token_stops_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w._core.events.emit({"type": "tokens_revoked", "tokens": {"oauth": [bot.w.user("mara")]}})
        await bot.w.say("mara", "incidents", f"<@{bot.w.bot_user_id}> are you there?")
        await bot.w.until(lambda: bot.plane.questions)
        await bot.open_incident()
        assert bot.sender.problems() == ()
        assert len(bot.in_channel()) == 1


# 13. who approves -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ("gita", "Guests cannot"),
        ("ext", "outside this workspace"),
        ("olaf", "deactivated"),
        ("priya", "not in @sre"),
    ],
)
async def test_13_only_full_members_of_the_group_approve_and_the_others_hear_why(
    tmp_path: Path, who: str, why: str
) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.card()
        await bot.w.click(who, "incidents", ts, "approval.approve")
        await bot.settled()
        assert await state_of(bot) is ApprovalState.PENDING
        assert why in bot.plane.refusals[0][1]
        assert why in bot.whispers(who)


async def test_13_the_requester_and_the_editor_do_not_approve_their_own(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        mara, jonas = bot.w.user("mara"), bot.w.user("jonas")
        ts = await bot.card(requester=mara, editor=jonas)
        for who in ("mara", "jonas"):
            await bot.w.click(who, "incidents", ts, "approval.approve")
        await bot.settled()
        assert await state_of(bot) is ApprovalState.PENDING


async def test_13_the_group_is_read_at_the_click_and_not_remembered(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await bot.services.directory.members("@sre")
        ts = await bot.card()
        bot.w.set_group("sre", ["jonas"])
        await bot.w.click("mara", "incidents", ts, "approval.approve")
        await bot.settled()
        assert await state_of(bot) is ApprovalState.PENDING


@pytest.mark.parametrize("method", ["users.info", "usergroups.users.list", "usergroups.list"])
async def test_13_where_slack_cannot_answer_nobody_approves(tmp_path: Path, method: str) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.card()
        bot.w.faults.fail(method, times=50, kind="500")
        await bot.w.click("mara", "incidents", ts, "approval.approve")
        await bot.settled()
        assert await state_of(bot) is ApprovalState.PENDING
        assert "Slack cannot say" in bot.whispers("mara")


async def test_13_a_button_of_another_card_or_another_digest_approves_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        first, second = await bot.card("a1"), await bot.card("a2", digest="other" * 12)
        place = bot.w._people.place("mara", "message", {"channel": "incidents", "ts": second})
        for value in ("a1 " + request_of().digest, "a2 " + "stale" * 12, "nonsense", ""):
            await bot.w._people.use("mara", place, "approval.approve", value=value)
        await bot.settled()
        assert first != second
        assert await state_of(bot, "a1") is await state_of(bot, "a2") is ApprovalState.PENDING


async def test_13_the_word_approve_and_a_reaction_approve_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.card()
        root = bot.in_channel()[0]["ts"]
        await bot.w.say("mara", "incidents", "approve a1", thread_ts=root)
        bot.w._core.events.emit({"type": "reaction_added", "user": bot.w.user("mara"), "item": {"ts": ts}})
        await bot.plane.heard(1)
        await bot.settled()
        assert await state_of(bot) is ApprovalState.PENDING
        assert not bot.plane.executed


# 14. bots -------------------------------------------------------------------------------------------------------------


async def test_14_only_allow_listed_bots_raise_alerts_and_only_in_their_channel(tmp_path: Path) -> None:
    async with running(tmp_path, bots=True) as bot:
        bot.plane.bots = {bot.w.channel("alerts"): ["B07SOMEBODY1"]}
        await bot.w.post_as_bot("Alertmanager", "alerts", ALERT)
        await delivered(bot)
        bot.plane.bots = {bot.w.channel("incidents"): ["B07ALERTMG1"]}
        await bot.w.post_as_bot("Alertmanager", "alerts", ALERT)
        await bot.w.say("mara", "alerts", ALERT)
        await delivered(bot)
        bot.plane.bots = {bot.w.channel("alerts"): ["B07ALERTMG1"]}
        await bot.w.post_as_bot("Alertmanager", "alerts", ALERT.replace("checkout", "last"))
        await bot.plane.heard(alerts=1)
        assert [alert.target.name for alert in bot.plane.alerts] == ["last"]


@pytest.mark.parametrize("webhook", [True, False])
async def test_14_both_kinds_of_bot_message_are_read_from_text_blocks_and_attachments(
    tmp_path: Path, webhook: bool
) -> None:
    async with running(tmp_path, bots=True) as bot:
        fields = [{"title": "deployment", "value": "checkout"}, {"title": "namespace", "value": "shop"}]
        attachment = {"title": "[FIRING:1] HighErrorRate", "title_link": "https://am.example/x", "fields": fields}
        await bot.w.post_as_bot("Alertmanager", "alerts", "", None, [attachment], webhook=webhook)
        await bot.plane.heard(alerts=1)
        section = {
            "type": "section",
            "text": {"type": "mrkdwn", "text": "*[FIRING]* DiskFull\n`namespace=db` pod: pg-0"},
        }
        await bot.w.post_as_bot("Alertmanager", "alerts", "fallback", [section], webhook=webhook)
        await bot.plane.heard(alerts=2)
        one, two = bot.plane.alerts
        assert (one.name, str(one.target), one.url) == (
            "HighErrorRate",
            "shop/deployment/checkout",
            "https://am.example/x",
        )
        assert (two.name, two.target.namespace, two.target.name) == ("DiskFull", "db", "pg-0")


async def test_14_a_bot_in_a_thread_is_never_answered_nor_are_we(tmp_path: Path) -> None:
    async with running(tmp_path, bots=True) as bot:
        incident = await bot.open_incident()
        bot.plane.bots = {bot.w.channel("incidents"): ["B07ALERTMG1"]}
        said = f"<@{bot.w.bot_user_id}> what is wrong?"
        bot.w._state.room("incidents").members.add("U07ALERTMG1")
        await bot.w.post_as_bot("Alertmanager", "incidents", said, thread_ts=incident.thread_ts, webhook=False)
        await bot.chat.notice("i1", "n", said)
        await bot.w.say("mara", "incidents", "@agent and now?")
        await bot.plane.heard(1)
        await bot.settled()
        assert [question.text for question in bot.plane.questions] == ["and now?"]
        assert not bot.plane.alerts


def test_14_a_thread_has_so_many_turns_an_hour_and_others_have_their_own() -> None:
    turns = Turns(most=3)
    assert [turns.allow("C1:1") for _ in range(5)] == [True, True, True, False, False]
    assert turns.allow("C1:2")


# 15, 16, 17. text that nobody vouches for -----------------------------------------------------------------------------

EVIL = (
    "<!channel> <!here> <@U07MARA0001> <#C07INCIDNT1> ``` *bold* "
    "![x](http://evil.example/p.png) [click](https://evil.example) <https://evil.example|docs>"
)


async def test_15_text_from_logs_mentions_nobody_links_nowhere_and_formats_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await bot.open_incident(title=EVIL, summary=EVIL + " ", source=EVIL)
        found = Diagnosis(EVIL, EVIL + ".", Confidence.LIKELY, "rules", (Evidence("E1", EVIL, EVIL),), note=EVIL)
        spec = replace(run_of().spec, channel=bot.w.channel("incidents"))
        await bot.chat.diagnosis(run_of(diagnosis=found, spec=spec))
        await bot.chat.notice("i1", "n", EVIL)
        bot.w.faults.fail("chat.postMessage", times=1, kind="invalid_blocks")
        await bot.sender.idle()
        for message in bot.in_channel():
            parsed = [message["text"], *mrkdwn(message)]
            for text in parsed:
                assert "<!channel" not in text
                assert "<!here" not in text
                assert "<@U07MARA" not in text
                assert "<http" not in text
                assert "](http" not in text
            assert "'type': 'link'" not in str(message)
            assert "'type': 'user'" not in str(message)
            assert "image_url" not in str(message)


def mrkdwn(value: object) -> list[str]:
    """Every string that Slack would parse."""
    if isinstance(value, dict):
        own = [str(value["text"])] if value.get("type") in ("mrkdwn", "markdown") else []
        return own + [text for inner in value.values() for text in mrkdwn(inner)]
    return [text for inner in value for text in mrkdwn(inner)] if isinstance(value, list) else []


async def test_16_a_megabyte_of_log_reaches_slack_cut_and_the_card_is_taken_as_it_is(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await bot.open_incident()
        log = "ERROR 数据库 👩‍👩‍👧 & < > \x00 refused\n" * 40_000
        pieces = tuple(Evidence(f"E{n}", log, log) for n in range(20))
        found = Diagnosis(log, log + "x", Confidence.PROVEN, "rules", pieces, note=log)
        spec = replace(run_of().spec, channel=bot.w.channel("incidents"))
        await bot.chat.diagnosis(run_of(diagnosis=found, spec=spec))
        await bot.sender.idle()
        posts = [call.answer for call in bot.w.calls if call.method == "chat.postMessage"]
        assert [answer["ok"] for answer in posts] == [True, True]
        kinds = [block["type"] for block in bot.in_channel()[-1]["blocks"]]
        assert "context_actions" in kinds
        assert "rich_text" in kinds


async def test_17_an_address_from_outside_is_shown_as_code_and_never_fetched(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await bot.open_incident(url="https://evil.example/?secret=1")
        (args,) = [call.args for call in bot.w.calls if call.method == "chat.postMessage"]
        assert "'type': 'link'" not in str(args)
        assert "image" not in {block["type"] for block in args["blocks"]}
        assert args["unfurl_links"] is False


# 27. secrets ----------------------------------------------------------------------------------------------------------


async def test_27_neither_the_journal_nor_slack_ever_holds_a_secret(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.card()
        await bot.w.say("mara", "incidents", "@agent the password is hunter2, why does it fail?")
        await bot.w.command("mara", "incidents", "diagnose hunter2")
        await bot.w.click("mara", "incidents", ts, "approval.why")
        await bot.plane.heard(2)
        await bot.settled()
        events = [envelope.event for envelope in await bot.journal.since(0)]
        assert "hunter2" not in str(events)
        assert "hunter2" not in str(bot.plane.questions)
        recorded = str([event for event in events if isinstance(event, PayloadReceived)])
        for name in ("'token'", "response_url", "trigger_id", "verification-token", "/hooks/"):
            assert name not in recorded
