"""What nobody should send, and disks, clocks and files that misbehave: a clear error, nothing lost, never a 500."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.app import reload_policy
from domain.errors import JournalError, NewerDatabase
from domain.events import AlertReceived, IncidentOpened, PolicyRejected
from storage.verify import verify
from tests.stories.telling import MARA, Story, telling
from tests.stories.test_incident import policy_text, words

TOKEN = "the-webhooks-own-token"


def body(summary: str = "it crashes", **labels: str) -> dict[str, Any]:
    given = {
        "alertname": "KubePodCrashLooping",
        "severity": "critical",
        "namespace": "shop",
        "deployment": "web",
    } | labels
    alert = {
        "status": "firing", "labels": given, "annotations": {"summary": summary},
        "startsAt": datetime.now(UTC).isoformat(), "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "abc123",
    }  # fmt: skip
    return {"version": "4", "groupKey": "g", "status": "firing", "alerts": [alert]}


async def post(story: Story, data: Any, token: str = TOKEN, path: str = "/alerts/alertmanager") -> tuple[int, str]:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(story.stage.app.url + path, data=io.BytesIO(raw)) as answer,
    ):
        return answer.status, await answer.text()


async def get(story: Story, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(story.stage.app.url + path) as answer:
        return answer.status, await answer.text()


async def test_bodies_that_cannot_be_used_get_a_sentence_and_leave_nothing(tmp_path: Path) -> None:
    async with telling(tmp_path, AGENT_ALERT_TOKEN=TOKEN) as story:
        for data, status in (
            (b"", 400), (b"{", 400), (b"[]", 400), (b"\xff\xfe", 400), (b"[" * 50_000, 400), (b'{"alerts": NaN}', 400),
            ({"version": "4", "alerts": "many"}, 400), (b" " * (1024 * 1024 + 1), 413),
        ):  # fmt: skip
            got, text = await post(story, data)
            assert (got, "Traceback" in text) == (status, False), data[:20]
            assert json.loads(text)["error"]
        for token in ("", "wrong", TOKEN + "x"):
            assert (await post(story, body(), token))[0] == 401
        assert await story.recorded(AlertReceived) == []


async def test_odd_alerts_open_incidents_that_slack_can_show(tmp_path: Path) -> None:
    odd = "a\u0000b \u202etxt.exe\u202c <!channel> <@U1> *bold* " + "x" * 5000
    async with telling(tmp_path, AGENT_ALERT_TOKEN=TOKEN) as story:
        status, text = await post(
            story, body(odd, owner="y" * 20_000, **{f"label_{n}": "v" for n in range(300)}) | {"new": 1}
        )
        assert status in (202, 400), text
        status, text = await post(story, body(odd) | {"new_field": {"of": "tomorrow"}})
        assert status == 202
        await story.until(lambda: story.recorded(IncidentOpened))
        await story.finished()
        thread = words(await story.thread())
        for live in ("<!channel>", "<@U1>", "\u202e", "\x00"):
            assert live not in thread
        assert (await get(story, "/readyz"))[0] == 200


async def test_a_policy_that_does_not_parse_keeps_the_last_good_one_and_readyz_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "all.yaml").write_text(policy_text())
    async with telling(tmp_path, AGENT_POLICY=str(folder)) as story:
        app = story.stage.app
        good = app.policy.current.hash
        (folder / "all.yaml").write_text("rules: [{id: a, decision: maybe}]")
        await reload_policy(app.policy, app.journal)
        assert app.policy.current.hash == good
        status, text = await get(story, "/readyz")
        assert (status, "all.yaml:1" in text) == (503, True)
        assert len(await story.recorded(PolicyRejected)) == 1
        (folder / "all.yaml").write_text(policy_text())
        await reload_policy(app.policy, app.journal)
        assert (await get(story, "/readyz"))[0] == 200
        assert app.policy.current.hash == good


async def test_a_full_disk_is_told_to_the_monitor_and_nothing_is_lost_once_there_is_room(tmp_path: Path) -> None:
    async with telling(tmp_path, AGENT_ALERT_TOKEN=TOKEN) as story:
        writing = story.journal._writing  # the one connection that writes

        def limit(pages: int) -> Callable[[Any], None]:
            return lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone() and None

        await writing.run(limit(1))  # the smallest that SQLite accepts is what the file has already
        answers = [await post(story, body(f"{number}" + "x" * 4000, deployment=f"d{number}")) for number in range(30)]
        refused = [text for status, text in answers if status == 503]
        assert refused
        assert {status for status, _ in answers} <= {202, 503}
        assert "the disk is full" in refused[0]
        await writing.run(limit(1_000_000))
        assert (await post(story, body()))[0] == 202
        known = {event.alert.summary for event in await story.recorded(AlertReceived)}
        assert len(known) == 30 - len(refused) + 1
    assert verify(tmp_path / "personal-agent.db").ok


async def test_a_clock_that_jumps_back_breaks_neither_the_chain_nor_the_run(tmp_path: Path) -> None:
    async with telling(tmp_path) as story:
        await story.begin()
        approval = await story.approval()
        story.watch.ahead = -timedelta(hours=2)
        await story.press(MARA, approval)
        await story.finished()
        assert len(story.changes()) == 1
    assert verify(tmp_path / "personal-agent.db").ok


async def test_a_database_of_a_newer_version_or_of_another_program_is_refused_untouched(tmp_path: Path) -> None:
    import sqlite3

    async with telling(tmp_path):
        pass
    path = tmp_path / "personal-agent.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 9999")
    before = path.read_bytes()
    await refused(lambda: started(tmp_path), NewerDatabase, "newer version")
    assert path.read_bytes() == before


async def refused(start: Callable[[], Awaitable[None]], kind: type[JournalError], sentence: str) -> None:
    with pytest.raises(kind, match=sentence):
        await start()


async def started(folder: Path) -> None:
    async with telling(folder):
        raise AssertionError("it must not start")
