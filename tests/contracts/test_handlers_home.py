"""App Home over a real socket: published when it is opened, kept current for who has it open, and quiet otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from domain.events import Draft, IncidentOpened, IncidentResolved, MessageSent, MessageWanted
from handlers.home import kept_current, publish
from handlers.visitors import LATELY_S, Visitors
from tests.slack_harness import Bot, incident_of, running


@asynccontextmanager
async def looked_at(tmp_path: Path, who: str = "mara", every_s: float = 0.01) -> AsyncIterator[Bot]:
    async with running(tmp_path) as bot, kept_current(bot.services, every_s):
        await bot.w.open_home(who)
        await bot.w.until(lambda: bot.w.home(who))
        yield bot


def shown(bot: Bot, who: str = "mara") -> str:
    return str(bot.w.home(who))


def published(bot: Bot) -> list[Any]:
    return [call for call in bot.w.calls if call.method == "views.publish"]


async def opens(bot: Bot, incident_id: str, title: str) -> None:
    prints = (f"print-{incident_id}",)
    incident = incident_of(incident_id, bot.w.team_id, title=title, firing=prints, fingerprints=prints)
    await bot.journal.append(Draft(IncidentOpened(incident), incident_id=incident_id))


async def test_it_follows_what_happens_while_somebody_looks(tmp_path: Path) -> None:
    async with looked_at(tmp_path) as bot:
        assert "All quiet" in shown(bot)
        await opens(bot, "i1", "CartDown")
        await bot.w.until(lambda: "CartDown" in shown(bot))
        await bot.journal.append(Draft(IncidentResolved("ceased"), incident_id="i1"))
        await bot.w.until(lambda: "All quiet" in shown(bot))


async def test_a_request_leads_to_its_card_and_an_incident_to_its_thread(tmp_path: Path) -> None:
    async with looked_at(tmp_path) as bot:
        ts = await bot.card()
        await bot.w.until(lambda: "home.card" in shown(bot))
        incident = await bot.journal.incident("i1")
        assert incident
        channel, root = incident.channel, incident.thread_ts
        buttons = {
            block["accessory"]["action_id"]: block["accessory"]["url"]
            for block in (bot.w.home("mara") or {})["blocks"]
            if "accessory" in block
        }
        links = [
            await bot.services.client.chat_getPermalink(channel=channel, message_ts=message_ts)
            for message_ts in (ts, root)
        ]
        assert [buttons["home.card"], buttons["home.thread"]] == [link["permalink"] for link in links]


async def test_last_week_s_message_is_linked(tmp_path: Path) -> None:
    async with looked_at(tmp_path) as bot:
        channel = bot.w.channel("incidents")
        for key, ts in (("weekly:2026-W47", "1763370000.000100"), ("weekly:2026-W48", "1763970000.000200")):
            await bot.journal.append(Draft(MessageWanted(key, 1, channel, "", "The week", ())))
            await bot.journal.append(Draft(MessageSent(key, 1, channel, ts)))
        await bot.w.until(lambda: f"/archives/{channel}/p1763970000000200|Last week" in shown(bot))


async def test_nothing_is_published_for_who_has_not_opened_it(tmp_path: Path) -> None:
    async with looked_at(tmp_path, "mara") as bot:
        await opens(bot, "i1", "CartDown")
        await bot.w.until(lambda: "CartDown" in shown(bot))
        assert bot.w.home("jonas") is None
        assert {call.args["user_id"] for call in published(bot)} == {bot.w.user("mara")}


async def test_a_burst_is_shown_once_or_twice_and_not_thirty_times(tmp_path: Path) -> None:
    async with looked_at(tmp_path, every_s=0.2) as bot:
        before = len(published(bot))
        for number in range(30):
            await opens(bot, f"i{number}", f"Alert {number}")
        await bot.w.until(lambda: "Open incidents: 30" in shown(bot))
        assert len(published(bot)) - before <= 3


async def test_what_stands_there_already_is_not_published_again(tmp_path: Path) -> None:
    async with looked_at(tmp_path) as bot:
        await opens(bot, "i1", "CartDown")
        await bot.w.until(lambda: "CartDown" in shown(bot))
        seen = len(published(bot))
        await publish(bot.services, bot.w.user("mara"))
        assert len(published(bot)) == seen


async def test_what_slack_did_not_take_is_published_with_the_next_change(tmp_path: Path) -> None:
    async with looked_at(tmp_path) as bot:
        bot.w.faults.fail("views.publish", times=1, kind="500")
        await opens(bot, "i1", "CartDown")
        await bot.w.until(lambda: any(call.answer.get("fault") for call in published(bot)))
        await opens(bot, "i2", "CartSlow")
        await bot.w.until(lambda: "CartSlow" in shown(bot))


async def test_who_looked_long_ago_is_forgotten() -> None:
    visitors = Visitors()
    visitors.came("U1")
    assert visitors.lately() == ["U1"]
    assert visitors.is_news("U1", {"a": 1})
    assert not visitors.is_news("U1", {"a": 1})
    visitors.came("U1")
    assert visitors.is_news("U1", {"a": 1}), "who opens it again sees it published again"
    visitors._seen["U1"] -= LATELY_S + 1
    assert visitors.lately() == []


async def test_opened_again_it_is_published_again(tmp_path: Path) -> None:
    async with looked_at(tmp_path) as bot:
        before = len(published(bot))
        await bot.w.open_home("mara")
        await bot.w.until(lambda: len(published(bot)) > before)
