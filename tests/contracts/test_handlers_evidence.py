"""The Evidence button: clicked by people over a real socket, the archive uploaded to a stand-in that speaks Slack's upload."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from domain.events import Draft, IncidentResolved, RunFinished, RunStarted, SurfaceShown
from domain.runs import RunOutcome
from handlers import kit
from handlers.manifest import scopes_of
from storage.evidence.check import check_file
from storage.keys import raw, read_keys
from tests.contracts.journal_samples import run_started
from tests.slack_harness import Bot, running

BUTTON = "incident.evidence"
OVER = RunFinished(RunOutcome.DIAGNOSED, "diagnosed; no change was proposed")


async def over(bot: Bot, *, resolved: bool = True, ended: bool = True) -> Mapping[str, Any]:
    """The incident's message after its run."""
    incident = await bot.open_incident()
    started = run_started("r1", "i1").event
    assert isinstance(started, RunStarted)
    await bot.journal.append(Draft(started, incident_id="i1", run_id="r1"))
    if ended:
        await bot.journal.append(Draft(OVER, incident_id="i1", run_id="r1"))
    if resolved:
        await bot.journal.append(Draft(IncidentResolved("every alert ceased"), incident_id="i1"))
    stored = await bot.journal.incident("i1")
    assert stored is not None
    await bot.chat.incident(stored)
    await bot.settled()
    return next(message for message in bot.in_channel() if message["ts"] == incident.thread_ts)


async def thread(bot: Bot, message: Mapping[str, Any]) -> list[Any]:
    await bot.settled()
    return list(bot.w.messages("incidents", message["ts"]))[1:]


async def test_the_archive_goes_into_the_thread_for_whoever_asked_and_verifies(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        message = await over(bot)
        assert BUTTON in str(message)
        assert await bot.w.click("mara", "incidents", message["ts"], BUTTON) == {}
        said, shared = await thread(bot, message)
        (uploaded,) = bot.w.files()
        assert (uploaded["name"], uploaded["title"]) == ("i1.zip", "Evidence of KubePodCrashLooping")
        assert shared["files"][0]["id"] == uploaded["id"]
        assert f"<@{bot.w.user('mara')}>" in shared["text"]
        assert re.search(r"📜 mara asked for the evidence: \d+ events, in i1.zip.", str(said)), said
        (tmp_path / "i1.zip").write_bytes(uploaded["content"])
        found = check_file(tmp_path / "i1.zip", read_keys(tmp_path / "signing.key").public)
        assert (found.problem, found.subject) == ("", {"incident": "i1"})
        assert found.public_key == raw(read_keys(tmp_path / "signing.key").public[0]).hex()
        assert found.public_key in shared["text"]


async def test_who_took_which_file_is_recorded_before_it_leaves(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        message = await over(bot)
        bot.w.faults.fail("files.getUploadURLExternal", kind="internal_error")
        for _ in range(2):
            await bot.w.click("mara", "incidents", message["ts"], BUTTON)
            await bot.settled()
        shown = [each for each in await bot.journal.since(0) if isinstance(each.event, SurfaceShown)]
        taken = [each for each in shown if isinstance(each.event, SurfaceShown) and each.event.surface == "evidence"]
        assert [(each.incident_id, each.actor) for each in taken] == [("i1", f"person:{bot.w.user('mara')}")] * 2
        assert taken[-1].event.body["sha256"] == sha256(bot.w.files()[-1]["content"]).hexdigest()  # type: ignore[union-attr]


@pytest.mark.parametrize(("resolved", "ended"), [(False, True), (True, False), (False, False)])
async def test_an_incident_that_is_not_over_has_no_button_and_gives_nothing(
    tmp_path: Path, resolved: bool, ended: bool
) -> None:
    async with running(tmp_path) as bot:
        message = await over(bot, resolved=resolved, ended=ended)
        assert BUTTON not in str(message)


async def test_an_old_button_on_an_incident_that_goes_on_again_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        message = await over(bot)
        again = run_started("r2", "i1").event
        await bot.journal.append(Draft(again, incident_id="i1", run_id="r2"))
        await bot.w.click("mara", "incidents", message["ts"], BUTTON)
        await bot.settled()
        assert "This incident is not over" in bot.whispers("mara")
        assert bot.w.files() == []


async def test_a_button_that_somebody_else_put_there_gives_nothing_of_an_open_incident(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await over(bot, resolved=False)
        row = kit.actions(kit.button("Evidence", BUTTON, "i1"))
        ts = (
            await bot.connection.posting.chat_postMessage(channel=bot.w.channel("incidents"), text="x", blocks=[row])
        )["ts"]
        await bot.w.click("mara", "incidents", ts, BUTTON)
        await bot.settled()
        assert "This incident is not over" in bot.whispers("mara")
        assert bot.w.files() == []


async def test_a_guest_gets_a_sentence_and_no_file(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        message = await over(bot)
        await bot.w.click("gita", "incidents", message["ts"], BUTTON)
        await bot.settled()
        assert "Only full members of this workspace may take the evidence" in bot.whispers("gita")
        assert bot.w.files() == []
        assert await thread(bot, message) == []


async def test_without_the_scope_the_thread_and_the_person_learn_what_to_do(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        message = await over(bot)
        bot.w.faults.fail("files.getUploadURLExternal", kind="missing_scope")
        await bot.w.click("mara", "incidents", message["ts"], BUTTON)
        (said,) = await thread(bot, message)
        for words in (str(said), bot.whispers("mara")):
            assert "it lacks the scope files:write" in words
            assert "personal-agent audit export i1" in words
        assert bot.w.files() == []


@pytest.mark.parametrize("method", ["files.getUploadURLExternal", "files.completeUploadExternal"])
async def test_a_refusal_of_slack_s_is_said_and_the_next_click_works(tmp_path: Path, method: str) -> None:
    async with running(tmp_path) as bot:
        message = await over(bot)
        bot.w.faults.fail(method, kind="posting_to_channel_denied")
        await bot.w.click("mara", "incidents", message["ts"], BUTTON)
        assert "Slack did not take the file (posting_to_channel_denied)" in str(await thread(bot, message))
        await bot.w.click("mara", "incidents", message["ts"], BUTTON)
        assert "in i1.zip." in str(await thread(bot, message))
        assert len(bot.w.files()) == 1


async def test_two_people_at_once_get_one_file(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        message = await over(bot)
        bot.w.faults.hold("files.getUploadURLExternal")
        await bot.w.click("mara", "incidents", message["ts"], BUTTON)
        async with asyncio.timeout(5):
            while not bot.w.faults.waiting:
                await asyncio.sleep(0.01)
        await bot.w.click("jonas", "incidents", message["ts"], BUTTON)
        await bot.w.until(lambda: bot.w.ephemerals("jonas"))
        bot.w.faults.let_go("files.getUploadURLExternal")
        await bot.settled()
        assert "on its way into its thread already" in bot.whispers("jonas")
        assert len(bot.w.files()) == 1


async def test_hostile_words_do_not_leave_their_place_in_the_comment(tmp_path: Path) -> None:
    async with running(tmp_path) as bot:
        await bot.open_incident(title="<!channel> *bold* \u202e")
        message = await over_again(bot)
        await bot.w.click("mara", "incidents", message["ts"], BUTTON)
        shared = (await thread(bot, message))[-1]
        assert "<!channel>" not in shared["text"]
        assert "\u202e" not in shared["text"] + shared["files"][0]["title"]


async def over_again(bot: Bot) -> Mapping[str, Any]:
    started = run_started("r1", "i1").event
    await bot.journal.append(Draft(started, incident_id="i1", run_id="r1"))
    hostile = RunFinished(RunOutcome.DIAGNOSED, "<!channel> says *hello* \u202e")
    await bot.journal.append(Draft(hostile, incident_id="i1", run_id="r1"))
    await bot.journal.append(Draft(IncidentResolved("x"), incident_id="i1"))
    stored = await bot.journal.incident("i1")
    assert stored is not None
    await bot.chat.incident(stored)
    await bot.settled()
    return next(message for message in bot.in_channel() if message["ts"] == stored.thread_ts)


def test_the_manifest_asks_for_the_scope() -> None:
    assert "files:write" in scopes_of("minimal")
    assert "files:read" not in scopes_of("minimal")
