"""/agent, mentions, thread follow-ups, the message shortcut and App Home, used by people over a real socket."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.actions import Mode
from domain.errors import BadInput, ChatError
from domain.runs import Origin
from handlers.commands import action_of, parsed, period
from tests.contracts.test_slack_traps import delivered
from tests.slack_harness import Bot, running


async def run(bot: Bot, text: str, user: str = "mara", channel: str = "incidents") -> str:
    """What the person sees after a command."""
    before = len(bot.w.ephemerals(user))
    answer = await bot.w.command(user, channel, text)
    assert answer != {"error": "operation_timeout"}
    await bot.settled()
    return str(bot.w.ephemerals(user)[before:])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "/agent diagnose"),
        ("help", "/agent whoami"),
        ("HELP", "/agent whoami"),
        ("incidnts", "Did you mean incidents?"),
        ("<!channel>", "There is no command"),
        ("status", "*propose*"),
        ("incidents", "KubePodCrashLooping"),
        ("runs", "No runs yet."),
        ("why a1", "Rule prod-writes asked for a1"),
        ("why", "/agent why <the id on the card"),
        ("policy kubernetes_restart name=checkout replicas=3", "ask: kubernetes_restart"),
        ("policy kubernetes_restart {bad", "not JSON"),
        ("roi", "worth"),
        ("roi soon", "The period is a number"),
        ("mode sideways", "observe, propose, act"),
        ("diagnose", "Say what to look into"),
        ("whoami", "a full member of this workspace"),
    ],
)
async def test_a_command_answers_the_person_alone(tmp_path: Path, text: str, said: str) -> None:
    async with running(tmp_path) as bot:
        await bot.open_incident()
        posted = len(bot.in_channel())
        answer = await run(bot, text)
        assert said in answer.replace("&lt;", "<").replace("\u2060", "")
        assert "<!channel>" not in answer
        assert len(bot.in_channel()) == posted
        assert not bot.w.ephemerals("jonas")


async def test_whoami_tells_a_guest_that_they_cannot_approve(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        assert "Guests cannot" in await run(bot, "whoami", user="gita")


@pytest.mark.parametrize("text", ["runs", "status", "incidents", "why a1", "diagnose checkout", "scan shop", "roi"])
async def test_a_guest_gets_no_answer_from_a_command(tmp_path: Path, text: str) -> None:
    async with running(tmp_path) as bot:
        await bot.open_incident()
        answer = await run(bot, text, user="gita")
        assert "only full members" in answer
        assert "KubePodCrashLooping" not in answer
        assert bot.plane.questions == []


@pytest.mark.parametrize(("who", "channel"), [("gita", "incidents"), ("ext", "general")])
async def test_a_guest_or_somebody_from_outside_who_asks_gets_no_look_at_anything(
    tmp_path: Path, who: str, channel: str
) -> None:
    async with running(tmp_path) as bot:
        incident = await bot.open_incident()
        await bot.w.say(who, channel, "@agent what is wrong?")
        await bot.w.say("gita", "incidents", "and the logs?", thread_ts=incident.thread_ts)
        await delivered(bot)
        assert bot.plane.questions == []
        assert "only full members" in bot.whispers(who)


async def test_while_slack_cannot_say_who_asks_nobody_is_answered(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w.faults.fail("users.info", times=100, kind="500")
        await bot.w.say("mara", "incidents", "@agent what is wrong?")
        await delivered(bot)
        assert bot.plane.questions == []
        assert "cannot say who you are" in bot.whispers("mara")


async def test_pause_resume_and_mode_name_who_did_it(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        for text in ("pause bad night hunter2", "resume", "mode observe"):
            await run(bot, text)
        mara = bot.w.user("mara")
        assert bot.plane.control == [(mara, "pause bad night [redacted]"), (mara, "resume"), (mara, "mode observe")]
        assert bot.plane.mode is Mode.OBSERVE


async def test_diagnose_opens_a_thread_and_answers_with_its_address(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        answer = await run(bot, "diagnose checkout is slow")
        (question,) = bot.plane.questions
        assert (question.text, question.user, question.origin) == (
            "checkout is slow",
            bot.w.user("mara"),
            Origin.COMMAND,
        )
        assert question.key
        ts = bot.in_channel()[0]["ts"].replace(".", "")
        assert f"/p{ts}" in answer


async def test_where_the_agent_is_no_member_it_answers_from_its_own_channel(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w.kick_bot("general")
        answer = await run(bot, "diagnose checkout", channel="general")
        assert bot.plane.questions[0].channel == bot.w.channel("incidents")
        assert "I am not in this channel" in answer


async def test_what_a_person_was_shown_is_in_the_journal(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await run(bot, "help")
        await run(bot, "status")
        kinds = [type(envelope.event).__name__ for envelope in await bot.journal.since(0)]
        assert kinds.count("SurfaceShown") == 2


@pytest.mark.parametrize(
    ("text", "name", "rest"), [("", "help", ""), ("  WHY  a1 ", "why", "a1"), ("roi 7d", "roi", "7d")]
)
def test_a_command_is_its_first_word_and_the_rest(text: str, name: str, rest: str) -> None:
    assert parsed(text) == (name, rest)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("7d", timedelta(days=7)), ("24h", timedelta(hours=24)), ("2 w", timedelta(weeks=2)), ("3", timedelta(days=3))],
)
def test_a_period_is_a_number_and_a_unit(text: str, expected: timedelta) -> None:
    assert period(text) == expected


@pytest.mark.parametrize("text", ["", "d", "0d", "-1d", "7 days", "9999d", "٧d x"])
def test_a_period_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        period(text)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ('scale {"name": "a", "replicas": 3}', {"name": "a", "replicas": 3}),
        ("scale {“name”: “a”}", {"name": "a"}),
        ("scale name=a replicas=3 force=true", {"name": "a", "replicas": 3, "force": True}),
        ("scale", {}),
    ],
)
def test_an_action_is_written_as_json_or_as_pairs(text: str, arguments: dict[str, Any]) -> None:
    assert action_of(text) == ("scale", arguments)


# --- mentions and threads ---------------------------------------------------------------------------------------------


async def test_a_reply_in_an_incidents_thread_needs_no_mention(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        incident = await bot.open_incident()
        await bot.w.say("priya", "incidents", "did the config change?", thread_ts=incident.thread_ts)
        await delivered(bot)
        (question,) = bot.plane.questions
        assert (question.origin, question.thread_ts) == (Origin.THREAD, incident.thread_ts)


async def test_a_status_line_says_at_once_that_the_question_was_heard(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.w.faults.fail("chat.postMessage", times=1, kind="500")
        ts = await bot.w.say("mara", "incidents", "@agent what is wrong?")
        status = await bot.w.until(lambda: bot.w.status("incidents", ts))
        assert "looking into it" in str(status)
        bot.w.faults.fail("assistant.threads.setStatus", times=1, kind="500")
        await bot.w.say("mara", "incidents", "@agent and without a status line?")
        await bot.plane.heard(2)
        await bot.settled()


async def test_what_people_say_to_each_other_is_not_for_the_agent(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        incident = await bot.open_incident()
        await bot.w.say("priya", "incidents", "@jonas can you look?", thread_ts=incident.thread_ts)
        await bot.w.say("priya", "incidents", "good morning")
        other = await bot.w.say("priya", "incidents", "lunch?")
        await bot.w.say("mara", "incidents", "yes", thread_ts=other)
        await delivered(bot)
        assert bot.plane.questions == []


async def test_an_empty_mention_gets_a_hint_and_starts_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await bot.w.say("mara", "incidents", "@agent")
        await delivered(bot)
        assert bot.plane.questions == []
        assert "Ask me something" in bot.whispers("mara")


async def test_a_question_that_cannot_be_taken_is_answered_with_the_reason(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        bot.plane.problem = BadInput("The agent is paused.")
        await bot.w.say("mara", "incidents", "@agent what now?")
        await delivered(bot)
        assert "The agent is paused." in bot.whispers("mara")


async def test_the_shortcut_diagnoses_a_message_with_all_its_words(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        attachment = {"title": "DiskFull", "text": "pg-0 hunter2", "fields": [{"title": "namespace", "value": "db"}]}
        ts = await bot.w.post_as_bot("Alertmanager", "alerts", "", None, [attachment])
        assert await bot.w.shortcut("mara", "diagnose_message", "alerts", ts) == {}
        await bot.settled()
        (question,) = bot.plane.questions
        assert question.text == "DiskFull\npg-0 [redacted]\nnamespace: db"
        assert (question.origin, question.thread_ts) == (Origin.SHORTCUT, ts)


async def test_the_shortcut_works_where_the_agent_is_no_member(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await bot.w.say("mara", "general", "checkout is slow")
        bot.w.kick_bot("general")
        await bot.w.shortcut("mara", "diagnose_message", "general", ts)
        await bot.settled()
        (question,) = bot.plane.questions
        assert (question.channel, question.thread_ts) == (bot.w.channel("incidents"), "")
        assert "I am not in this channel" in bot.whispers("mara")


# --- App Home and the app's own life ----------------------------------------------------------------------------------


async def test_app_home_shows_what_waits_and_what_is_open(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await bot.card()
        await bot.w.open_home("mara")
        home = str(await bot.w.until(lambda: bot.w.home("mara")))
        for part in ("KubePodCrashLooping", "Roll back checkout", "Waiting for a vote: 1", "Open incidents: 1"):
            assert part in home
        assert bot.w.home("jonas") is None


async def test_who_cannot_be_looked_up_for_good_is_said_as_it_is(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        with pytest.raises(ChatError, match="There is no user group @nobody in this workspace"):
            await bot.services.directory.members("@nobody")
        bot.w.faults.fail("users.lookupByEmail", times=1, kind="missing_scope")
        with pytest.raises(ChatError, match="Slack may not tell this app who"):
            await bot.services.directory.members("m@acme.example")


async def test_a_changed_group_is_known_by_its_new_handle(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        directory = bot.services.directory
        assert await directory.members("@sre") == {bot.w.user("mara"), bot.w.user("jonas")}
        listed = [call.method for call in bot.w.calls].count("usergroups.list")
        await directory.members("@sre")
        assert [call.method for call in bot.w.calls].count("usergroups.list") == listed, "a handle may be remembered"
        bot.w.set_group("sre", ["priya"])
        await delivered(bot)
        assert await directory.members("@sre") == {bot.w.user("priya")}
        assert [call.method for call in bot.w.calls].count("usergroups.list") == listed + 1
