"""👍 and 👎 below a diagnosis, over a real socket: what is asked, what is recorded, and who only hears a no."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from domain.diagnosis import Confidence, Diagnosis
from domain.events import DiagnosisConcluded, Draft, FeedbackGiven, RunStarted
from domain.feedback import FeedbackCategory, FeedbackVerdict
from domain.fold import fold
from handlers.blocks import view_problems
from handlers.cards_feedback import CATEGORY, REASON, dialog
from tests.slack_harness import Bot, running
from tests.unit.journeys import spec_of

HEADING = "checkout crashes at start since revision 4"


async def diagnosed(bot: Bot) -> str:
    """The ts of a diagnosis of run r1 in the thread of i1."""
    incident = await bot.journal.incident("i1") or await bot.open_incident()
    spec = spec_of("r1", incident_id="i1", channel=incident.channel, thread_ts=incident.thread_ts)
    found = Diagnosis(HEADING, "A bad release.", Confidence.LIKELY, "rules")
    about = {"incident_id": "i1", "run_id": "r1"}
    await bot.journal.append(Draft(RunStarted(spec), **about), Draft(DiagnosisConcluded(found), **about))  # type: ignore[arg-type]
    await bot.chat.diagnosis(fold(await bot.journal.of_run("r1")))
    await bot.settled()
    row = await bot.journal.message("diagnosis:r1")
    assert row
    return row.ts


async def press(bot: Bot, who: str, ts: str, verdict: str) -> None:
    await bot.w.click(who, "incidents", ts, "feedback.vote", value=f"{verdict} r1")
    await bot.settled()


async def answer(bot: Bot, who: str, category: str | None, reason: str = "") -> dict[str, Any]:
    view = (await bot.w.until(lambda: bot.w.views(who)))[-1]
    values: dict[str, Any] = {REASON: {"value": reason}} | ({CATEGORY: {"value": category}} if category else {})
    said = await bot.w.submit(who, view["id"], values)
    await bot.settled()
    return said


async def test_a_thumb_up_is_recorded_at_once_and_thanked_in_the_thread_to_that_person_alone(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await diagnosed(bot)
        await press(bot, "priya", ts, "good")
        assert bot.plane.words == [FeedbackGiven("r1", bot.w.user("priya"), FeedbackVerdict.GOOD)]
        [said] = bot.w.ephemerals("priya")
        assert "Recorded: this diagnosis helped" in said["text"]
        incident = await bot.journal.incident("i1")
        assert incident
        assert said["thread_ts"] == incident.thread_ts
        assert bot.w.ephemerals("mara") == []


async def test_a_word_may_be_added_to_a_thumb_up(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await press(bot, "priya", await diagnosed(bot), "good")
        thanks = bot.w.ephemerals("priya")[-1]
        await bot.w.click("priya", "incidents", thanks["ts"], "feedback.more")
        await bot.settled()
        await answer(bot, "priya", None, "saved us an hour")
        assert bot.plane.words[-1].reason == "saved us an hour"
        assert bot.plane.words[-1].verdict is FeedbackVerdict.GOOD
        assert bot.w.ephemerals("priya")[-1]["thread_ts"] == thanks["thread_ts"]


async def test_a_thumb_down_asks_what_was_wrong_with_what_and_records_that(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await press(bot, "priya", await diagnosed(bot), "bad")
        assert bot.plane.words == []
        [view] = bot.w.views("priya")
        assert HEADING in str(view["blocks"][0])
        await answer(bot, "priya", "missed_evidence", "the *certificate* had expired <!channel>")
        [word] = bot.plane.words
        assert (word.verdict, word.category) == (FeedbackVerdict.BAD, FeedbackCategory.MISSED_EVIDENCE)
        said = bot.w.ephemerals("priya")[-1]
        assert "Recorded: missed evidence" in said["text"]
        assert said["blocks"][1]["type"] == "rich_text", "a person's words are shown literally"


async def test_something_else_has_to_be_said(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await press(bot, "priya", await diagnosed(bot), "bad")
        assert (await answer(bot, "priya", "other"))["errors"] == {REASON: "Please say what was wrong."}
        assert bot.plane.words == []
        await answer(bot, "priya", "other", "the links were broken")
        assert [word.reason for word in bot.plane.words] == ["the links were broken"]


async def test_who_changes_their_mind_finds_their_last_word_in_the_dialog(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        ts = await diagnosed(bot)
        await press(bot, "priya", ts, "bad")
        await answer(bot, "priya", "too_noisy", "three pages")
        await press(bot, "priya", ts, "bad")
        [view] = bot.w.views("priya")
        assert "three pages" in str(view["blocks"])
        assert view["blocks"][1]["element"]["initial_option"]["value"] == "too_noisy"
        await answer(bot, "priya", "wrong_cause")
        await press(bot, "priya", ts, "good")
        standing = await bot.journal.feedback("r1", bot.w.user("priya"))
        assert standing
        assert standing.verdict is FeedbackVerdict.GOOD
        assert len(bot.plane.words) == 3


@pytest.mark.parametrize("verdict", ["good", "bad"])
async def test_a_guest_hears_a_no_before_any_dialog_and_nothing_is_recorded(tmp_path: Path, verdict: str) -> None:
    async with running(tmp_path) as bot:
        await press(bot, "gita", await diagnosed(bot), verdict)
        assert "Guests cannot" in bot.whispers("gita")
        assert bot.w.views("gita") == []
        assert bot.plane.words == []


async def test_somebody_who_left_between_click_and_answer_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await press(bot, "priya", await diagnosed(bot), "bad")
        bot.w.change_user("priya", is_restricted=True)
        await answer(bot, "priya", "unhelpful")
        assert bot.plane.words == []
        assert "Guests cannot" in bot.whispers("priya")


@pytest.mark.parametrize("verdict", FeedbackVerdict)
def test_the_dialog_is_one_that_slack_opens_whatever_was_said_before(verdict: FeedbackVerdict) -> None:
    said = FeedbackGiven("r1", "U1", verdict, FeedbackCategory.OTHER, "x" * 2000)
    for earlier in (None, said):
        assert view_problems(dialog("r1", verdict, HEADING * 9, earlier, "C1", "1.2")) == []


async def test_where_slack_takes_no_pair_two_buttons_do_the_same(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await bot.open_incident()
        bot.w.faults.fail("chat.postMessage", times=1, kind="invalid_blocks")
        ts = await diagnosed(bot)
        await bot.w.click("priya", "incidents", ts, "feedback.vote.positive")
        await bot.w.click("mara", "incidents", ts, "feedback.vote.negative")
        await bot.settled()
        assert [word.verdict for word in bot.plane.words] == [FeedbackVerdict.GOOD]
        assert len(bot.w.views("mara")) == 1
