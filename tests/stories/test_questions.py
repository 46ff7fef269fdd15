"""People ask: by mention, by command, with the message shortcut, in a thread; each is answered once, where it was asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bot.local.cluster import AGENT
from domain.events import DiagnosisConcluded, RunStarted
from domain.runs import Origin, RunOutcome
from tests.stories.telling import GITA, JONAS, MARA, Story, telling
from tests.stories.test_incident import words

QUESTION = "what is wrong with deployment/checkout in shop?"


async def answered(story: Story, count: int = 1) -> list[Any]:
    """The runs of questions, once all of them are answered and said."""

    async def look() -> bool:
        return len(await story.recorded(DiagnosisConcluded)) >= count

    await story.until(look)
    row = await story.finished()
    told = f"diagnosis:{row.spec.id}"
    await story.until(lambda: story.journal.message(told))  # its message is wanted after the run's end is recorded
    await story.stage.app.services.sender.idle()
    return [event.spec for event in await story.recorded(RunStarted)]


def said_in(story: Story, channel: str, thread_ts: str) -> str:
    return words([m for m in story.stage.workspace.messages(channel, thread_ts) if m.get("bot_id")])


async def test_a_mention_is_answered_in_its_own_thread(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        room = story.stage.workspace
        ts = await room.say(MARA, "incidents", f"<@{room.bot_user_id}> {QUESTION}")
        [spec] = await answered(story)
        assert (spec.origin, spec.thread_ts, spec.requester) == (Origin.MENTION, ts, room.user(MARA))
        assert str(spec.target) == "shop/deployment/checkout"
        assert "checkout is healthy" in said_in(story, room.channel("incidents"), ts)
        assert (await story.finished()).outcome is RunOutcome.DIAGNOSED
        assert await story.journal.incidents() == []


async def test_the_same_mention_delivered_twice_is_answered_once(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        room = story.stage.workspace
        room.duplicate_next_event(2)
        ts = await room.say(MARA, "incidents", f"<@{room.bot_user_id}> {QUESTION}")
        await answered(story)
        await story.stage.app.services.work.drain()
        assert len(await story.recorded(RunStarted)) == 1
        assert len(await story.recorded(DiagnosisConcluded)) == 1
        answers = [m for m in room.messages("incidents", ts) if m.get("bot_id")]
        keys = [m["metadata"]["event_payload"]["key"] for m in answers if "key" in str(m.get("metadata"))]
        assert len(keys) == len(set(keys))


async def test_a_command_is_answered_in_a_thread_that_its_answer_links_to(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        room = story.stage.workspace
        await room.command(MARA, "incidents", f"diagnose {QUESTION}")
        [spec] = await answered(story)
        assert spec.origin is Origin.COMMAND
        shown = await room.until(lambda: re.search(r"/archives/\w+/p(\d{10})(\d{6})", str(room.ephemerals(MARA))))
        assert "checkout is healthy" in said_in(story, room.channel("incidents"), f"{shown[1]}.{shown[2]}")


async def test_the_shortcut_answers_in_the_thread_of_the_message(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        room = story.stage.workspace
        ts = await room.say(JONAS, "incidents", "deployment/checkout in shop feels slow, anybody?")
        await room.shortcut(MARA, "diagnose_message", "incidents", ts)
        [spec] = await answered(story)
        assert (spec.origin, spec.thread_ts, spec.requester) == (Origin.SHORTCUT, ts, room.user(MARA))
        assert "checkout is healthy" in said_in(story, room.channel("incidents"), ts)


async def test_a_follow_up_in_the_incidents_thread_knows_what_it_is_about(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        await story.press(MARA, await story.approval())
        await story.resolved()
        await story.finished()
        await story.stage.app.services.sender.idle()
        [incident] = await story.journal.incidents()
        await story.stage.workspace.say(JONAS, incident.channel, "is it well again?", thread_ts=incident.thread_ts)
        specs = await answered(story, 2)
        spec = specs[-1]
        assert (spec.origin, spec.incident_id) == (Origin.THREAD, incident.id)
        assert str(spec.target) == "shop/deployment/checkout"
        assert "Revision 4 of checkout is bad" in spec.context
        assert "checkout is healthy" in said_in(story, incident.channel, incident.thread_ts)


async def test_a_guest_may_ask_and_still_not_approve(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        await story.press(GITA, approval)
        room = story.stage.workspace
        await room.until(lambda: room.ephemerals(GITA))
        assert story.changes() == []


@pytest.mark.parametrize("text", ["good morning", "deployment/nothing in nowhere?"])
async def test_a_question_about_nothing_is_answered_with_what_would_help(tmp_path: Path, text: str) -> None:
    async with telling(tmp_path) as story:
        room = story.stage.workspace
        ts = await room.say(MARA, "incidents", f"<@{room.bot_user_id}> {text}")
        await answered(story)
        assert "Not proven" in said_in(story, room.channel("incidents"), ts)


async def test_who_approved_and_whether_it_helped_is_answered_from_the_journal_without_another_look(
    tmp_path: Path,
) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        await story.press(MARA, await story.approval())
        await story.finished()
        incident = await story.resolved()
        looked = len(story.stage.cluster.asked)
        room = story.stage.workspace
        await room.say(MARA, "incidents", "who approved that, and did it help?", thread_ts=incident.thread_ts)
        answer = await story.until(lambda: concluded(story, 2))
        assert answer.diagnosis.evidence[0].id == "journal"
        assert answer.diagnosis.summary.startswith("Approved: kubernetes_rollback on shop/deployment/checkout")
        assert "by mara" in answer.diagnosis.summary
        since = [asked for asked in story.stage.cluster.asked[looked:] if asked.user == AGENT]
        assert [asked for asked in since if "/pods" in asked.path] == []


async def concluded(story: Story, count: int) -> Any:
    """The latest conclusion, once there are so many."""
    found = await story.recorded(DiagnosisConcluded)
    return found[-1] if len(found) >= count else None
