"""Alerts over HTTP: authenticated, bounded, durable before the answer, and never a 500 for a bad body."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from bot.local.gitlab import GitLab
from domain.errors import JournalError
from domain.events import AlertReceived
from handlers.intake import LARGEST, routes
from storage.journal import SqliteJournal, open_journal
from tests.fake_plane import FakePlane
from tests.slack_harness import redact
from tests.unit.test_hooks import notification
from tests.unit.test_intake import alert, pagerduty, webhook

TOKEN = "t0ken-of-the-webhooks"


class Intake:
    """A server, its plane and its journal."""

    def __init__(self, http: aiohttp.ClientSession, url: str, plane: FakePlane, journal: SqliteJournal) -> None:
        self.http, self.url, self.plane, self.journal = http, url, plane, journal

    async def post(
        self, body: Any, source: str = "alertmanager", token: str | None = TOKEN, **more: Any
    ) -> tuple[int, Any, Any]:
        headers = {"Content-Type": "application/json"} | more.pop("headers", {})
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        path = source if source.startswith("/") else f"/alerts/{source}"
        async with self.http.post(f"{self.url}{path}", data=io.BytesIO(data), headers=headers, **more) as answer:
            return answer.status, await answer.json(), answer.headers


@asynccontextmanager
async def intake(path: Path, token: str = TOKEN) -> AsyncIterator[Intake]:
    async with open_journal(path / "journal.db", "T1") as journal, aiohttp.ClientSession() as http:
        plane = FakePlane(journal, None)  # type: ignore[arg-type]
        app = web.Application()
        app.add_routes(routes(plane, token, redact))
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield Intake(http, f"http://127.0.0.1:{runner.addresses[0][1]}", plane, journal)
        finally:
            await runner.cleanup()


async def test_an_alert_is_in_the_journal_when_it_is_accepted(tmp_path: Path) -> None:
    async with intake(tmp_path) as one:
        status, answer, _ = await one.post(webhook(alert(), alert()))
        assert (status, answer) == (202, {"incidents": ["inc-a1b2c3d4e5f60718"]})
        stored = [envelope.event for envelope in await one.journal.since(0)]
        assert [type(event) for event in stored] == [AlertReceived, AlertReceived]


@pytest.mark.parametrize("token", [None, "", "wrong", TOKEN + "x", TOKEN.upper(), "ключ"])
async def test_without_the_token_nothing_is_read(tmp_path: Path, token: str | None) -> None:
    async with intake(tmp_path) as one:
        status, answer, headers = await one.post(b"not even JSON", token=token)
        assert status == 401
        assert "AGENT_ALERT_TOKEN" in answer["error"]
        assert headers["WWW-Authenticate"].startswith("Bearer")
        assert not one.plane.alerts


async def test_without_a_configured_token_nobody_is_asked_for_one(tmp_path: Path) -> None:
    async with intake(tmp_path, token="") as one:
        assert (await one.post(webhook(), token=None))[0] == 202


@pytest.mark.parametrize(
    ("source", "body", "field"),
    [
        ("alertmanager", b"{", "body"),
        ("alertmanager", b"[" * 200_000, "body"),
        ("alertmanager", webhook(alert(status="odd")), "alerts[0].status"),
        ("grafana", {"alerts": 1}, "alerts"),
        ("pagerduty", {}, "event"),
        ("generic", {"labels": {}}, "alerts[0].name"),
    ],
)
async def test_a_bad_body_is_400_with_the_field(tmp_path: Path, source: str, body: Any, field: str) -> None:
    async with intake(tmp_path) as one:
        status, answer, _ = await one.post(body, source)
        assert (status, answer["field"]) == (400, field)
        assert answer["error"]
        assert not one.plane.alerts


async def test_more_than_a_megabyte_is_413_however_it_is_sent(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 65536

    async with intake(tmp_path) as one:
        assert (await one.post(b" " * (LARGEST + 1)))[0] == 413
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
        async with one.http.post(f"{one.url}/alerts/generic", data=pieces(), headers=headers) as answer:
            assert answer.status == 413
        bomb = gzip.compress(b" " * (40 * LARGEST))
        assert (await one.post(bomb, headers={"Content-Encoding": "gzip"}))[0] == 413
        assert not one.plane.alerts


async def test_a_body_that_says_it_is_something_else_is_415(tmp_path: Path) -> None:
    async with intake(tmp_path) as one:
        assert (await one.post(b"a=b", headers={"Content-Type": "application/x-www-form-urlencoded"}))[0] == 415


async def test_a_journal_that_refuses_makes_the_monitor_send_again(tmp_path: Path) -> None:
    async with intake(tmp_path) as one:
        one.plane.problem = JournalError("the disk is full")
        status, answer, headers = await one.post(webhook())
        assert (status, answer["error"], headers["Retry-After"]) == (503, "the disk is full", "10")


async def test_a_payload_that_means_nothing_to_us_is_accepted_and_opens_nothing(tmp_path: Path) -> None:
    async with intake(tmp_path) as one:
        assert (await one.post(pagerduty("pagey.ping"), "pagerduty"))[:2] == (202, {"incidents": []})


async def test_a_thousand_alerts_in_ten_requests_at_once_all_arrive(tmp_path: Path) -> None:
    async with intake(tmp_path) as one:
        groups = [
            webhook(*(alert(fingerprint=f"g{group}") for _ in range(100)), groupKey=f"group {group}")
            for group in range(10)
        ]
        answers = await asyncio.gather(*(one.post(group) for group in groups))
        assert [status for status, _, _ in answers] == [202] * 10
        assert sorted(answer["incidents"][0] for _, answer, _ in answers) == [f"inc-g{group}" for group in range(10)]
        assert len(one.plane.alerts) == 1000


# --- hooks of CI systems


def _basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"jenkins:{password}".encode()).decode()}


@pytest.mark.parametrize("headers", [_basic(TOKEN), {"Authorization": f"Bearer {TOKEN}"}])
async def test_a_failed_build_is_in_the_journal_when_it_is_accepted(tmp_path: Path, headers: dict[str, str]) -> None:
    async with intake(tmp_path) as one:
        status, answer, _ = await one.post(notification(), "/hooks/jenkins", token=None, headers=headers)
        assert (status, answer) == (202, {"incidents": ["inc-jenkins:shop/checkout/main"]})
        [stored] = [envelope.event for envelope in await one.journal.since(0)]
        assert stored.alert.target.system == "jenkins"


@pytest.mark.parametrize(
    "headers", [{}, _basic(""), _basic("wrong"), _basic(TOKEN + "x"), {"Authorization": f"Basic {TOKEN}"}]
)
async def test_a_hook_without_the_token_is_not_read_and_is_told_how_to_show_it(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    async with intake(tmp_path) as one:
        status, answer, sent = await one.post(b"not even JSON", "/hooks/jenkins", token=None, headers=headers)
        assert status == 401
        assert "password in the endpoint's URL" in answer["error"]
        assert sent["WWW-Authenticate"].startswith("Basic")
        assert TOKEN not in str(answer)


async def test_a_token_in_the_query_is_none_for_it_would_stand_in_every_access_log(tmp_path: Path) -> None:
    async with intake(tmp_path) as one:
        assert (await one.post(notification(), f"/hooks/jenkins?token={TOKEN}", token=None))[0] == 401


async def test_a_password_opens_no_monitors_webhook(tmp_path: Path) -> None:
    async with intake(tmp_path) as one:
        assert (await one.post(webhook(), token=None, headers=_basic(TOKEN)))[0] == 401


async def test_a_build_that_was_stopped_is_taken_and_is_no_alert(tmp_path: Path) -> None:
    async with intake(tmp_path) as one:
        assert (await one.post(notification("ABORTED"), "/hooks/jenkins"))[:2] == (202, {"incidents": []})
        assert not one.plane.alerts


@pytest.mark.parametrize("body", [b"", b"[", b"\xff", b"7", b'{"build": {}}', b"[" * 200_000])
async def test_a_bad_build_is_400_with_a_field_and_never_500(tmp_path: Path, body: bytes) -> None:
    async with intake(tmp_path) as one:
        status, answer, _ = await one.post(body, "/hooks/jenkins")
        assert status == 400
        assert answer["field"]


async def test_what_gitlab_sends_is_taken_with_its_secret_token_and_nothing_without(tmp_path: Path) -> None:
    async with intake(tmp_path) as one, GitLab(speed=60) as gitlab:
        gitlab.add_hook(f"{one.url}/hooks/gitlab", token=TOKEN)
        gitlab.add_hook(f"{one.url}/hooks/gitlab", token="wrong")
        line = await gitlab.finished(gitlab.release_small())
        right = [each for each in gitlab.hooks.deliveries if each.headers["X-Gitlab-Token"] == TOKEN]
        wrong = [each for each in gitlab.hooks.deliveries if each not in right]
        assert {each.status for each in right} == {202}
        assert {each.status for each in wrong} == {401}
        assert "X-Gitlab-Token" in wrong[0].answer
        [waits] = [alert for alert in one.plane.alerts if alert.firing]
        assert (waits.name, waits.labels["pipeline"]) == ("DeploymentWaiting", str(line.id))


@pytest.mark.parametrize("headers", [{}, {"X-Gitlab-Token": ""}, {"X-Gitlab-Token": TOKEN + "x"}, _basic(TOKEN)])
async def test_an_event_of_gitlab_without_the_token_is_not_read(tmp_path: Path, headers: dict[str, str]) -> None:
    async with intake(tmp_path) as one:
        status, _, sent = await one.post(b"not even JSON", "/hooks/gitlab", token=None, headers=headers)
        assert (status, sent["WWW-Authenticate"]) == (401, 'Bearer realm="personal-agent"')


async def test_an_event_that_gitlab_does_not_have_is_400_with_its_field(tmp_path: Path) -> None:
    async with intake(tmp_path) as one:
        token = {"X-Gitlab-Token": TOKEN}
        assert (await one.post({"object_kind": "build"}, "/hooks/gitlab", token=None, headers=token))[0] == 202
        status, answer, _ = await one.post({"object_kind": "party"}, "/hooks/gitlab", token=None, headers=token)
        assert (status, answer["field"]) == (400, "object_kind")


async def test_a_web_page_on_this_machine_posts_no_alert_where_no_token_is_asked_for(tmp_path: Path) -> None:
    async with intake(tmp_path, token="") as one:
        page = {"Origin": "https://evil.example", "Content-Type": "text/plain"}
        status, answer, _ = await one.post(webhook(alert()), token=None, headers=page)
        assert (status, "web pages" in answer["error"]) == (403, True)
        assert (await one.post(webhook(alert()), token=None))[0] == 202
        assert len(one.plane.alerts) == 1
