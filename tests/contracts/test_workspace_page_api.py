"""The control API that the page uses, over HTTP as a browser would."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from bot.local.workspace import Workspace

from .workspace_clients import actions, bolt, button, client, connected, modal


class Page:
    """One person's browser: the token from the page, and the requests its scripts make."""

    def __init__(self, w: Workspace, http: aiohttp.ClientSession, user: str) -> None:
        self.w, self.http, self.user = w, http, w.user(user)
        self.token = ""

    async def load(self) -> str:
        async with self.http.get(self.w.url) as response:
            html = await response.text()
            found = re.search(r'<meta name="workspace-token" content="([^"]+)">', html)
        assert found
        self.token = found[1]
        return html

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        headers = {"X-Workspace-Token": self.token, **headers}
        async with self.http.get(f"{self.w.url}_workspace/{path}", headers=headers) as response:
            return response.status, await response.json()

    async def state(self) -> Any:
        return (await self.get(f"state?user={self.user}"))[1]

    async def post(self, action: str, **body: Any) -> Any:
        url, headers = f"{self.w.url}_workspace/{action}", {"X-Workspace-Token": self.token}
        async with self.http.post(url, headers=headers, json={"user": self.user, **body}) as response:
            return await response.json()

    async def changes(self) -> AsyncIterator[Any]:
        url = f"{self.w.url}_workspace/stream?user={self.user}&token={self.token}"
        async with self.http.get(url) as response:
            assert response.content_type == "text/event-stream"
            async for line in response.content:
                if line.startswith(b":"):
                    yield None
                elif line.startswith(b"data: "):
                    yield json.loads(line[6:])


@pytest.fixture
async def w() -> AsyncIterator[Workspace]:
    async with Workspace() as workspace:
        yield workspace


@pytest.fixture
async def mara(w: Workspace) -> AsyncIterator[Page]:
    async with aiohttp.ClientSession() as http:
        page = Page(w, http, "mara")
        await page.load()
        yield page


async def test_the_page_carries_its_token_and_runs_only_its_own_code(w: Workspace, mara: Page) -> None:
    async with mara.http.get(w.url) as response:
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]
        assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert len(mara.token) > 20
    async with mara.http.get(f"{w.url}page/api.js") as response:
        assert (response.status, response.content_type) == (200, "text/javascript")


@pytest.mark.parametrize("path", ["..%2f__init__.py", "%2e%2e/seed.py", "missing.js", "index", ".env"])
async def test_only_the_pages_own_files_are_served(w: Workspace, mara: Page, path: str) -> None:
    async with mara.http.get(f"{w.url}page/{path}") as response:
        assert response.status == 404


async def test_without_the_token_nothing_is_shown_or_done(w: Workspace, mara: Page) -> None:
    for token in ("", "wrong", "ü"):
        mara.token = token.encode().decode("latin-1")
        assert (await mara.get("state"))[0] == 403
        assert (await mara.post("say", channel="incidents", text="x"))["ok"] is False
    assert w.messages("incidents") == []


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "https://evil.example"}, {"Origin": "null"}])
async def test_another_sites_page_is_refused(w: Workspace, mara: Page, headers: dict[str, str]) -> None:
    for path in ("", "_workspace/state", "api/auth.test"):
        sent = {"X-Workspace-Token": mara.token, "Authorization": f"Bearer {w.bot_token}", **headers}
        async with mara.http.get(f"{w.url}{path}", headers=sent) as response:
            assert response.status == 403


async def test_the_state_is_what_this_person_sees(w: Workspace, mara: Page) -> None:
    api, channel = client(w), w.channel("incidents")
    root = await w.say("jonas", "incidents", "root")
    await api.chat_postMessage(channel=channel, text="reply", thread_ts=root)
    await api.chat_postEphemeral(channel=channel, user=w.user("mara"), text="for mara")
    await api.chat_postEphemeral(channel=channel, user=w.user("jonas"), text="for jonas")
    await api.assistant_threads_setStatus(channel_id=channel, thread_ts=root, status="looking")
    await api.views_publish(user_id=w.user("mara"), view={"type": "home", "blocks": []})
    await api.chat_postMessage(channel=w.user("jonas"), text="between us")
    uploaded = await api.files_upload_v2(channel=channel, content=b"log", filename="a.txt")
    state = await mara.state()
    assert (state["me"], state["team"]) == (w.user("mara"), {"id": w.team_id, "name": "Acme"})
    assert [m["text"] for m in state["messages"][channel]][:2] == ["root", "reply"]
    assert state["messages"][channel][0]["reply_count"] == 1
    assert [m["text"] for m in state["ephemerals"]] == ["for mara"]
    assert state["home"]["type"] == "home"
    assert state["statuses"][f"{channel}:{root}"]["status"] == "looking"
    assert "between us" not in json.dumps(state)
    assert state["app"]["user_id"] == w.bot_user_id
    assert state["app"]["commands"][0]["command"] == "/agent"
    assert state["app"]["shortcuts"][0]["callback_id"] == "diagnose_message"
    assert state["files"][uploaded["file"]["id"]]["url"].startswith(w.url)


async def test_every_person_has_a_role_and_groups(w: Workspace, mara: Page) -> None:
    users = {one["name"]: one for one in (await mara.state())["users"].values()}
    roles = {name: one["role"] for name, one in users.items()}
    assert roles == {
        "mara": "member",
        "jonas": "member",
        "priya": "member",
        "gita": "guest",
        "ext": "external",
        "olaf": "deactivated",
        "agent": "bot",
        "alertmanager": "bot",
    }
    assert users["jonas"]["groups"] == ["sre", "sre-leads"]
    assert (users["priya"]["groups"], users["mara"]["initials"]) == ([], "ML")


async def test_a_file_is_shown_to_the_page_and_to_the_app_only(w: Workspace, mara: Page) -> None:
    api = client(w)
    png = await api.files_upload_v2(channel=w.channel("incidents"), content=b"\x89PNG", filename="a.png")
    html = await api.files_upload_v2(channel=w.channel("incidents"), content=b"<script>", filename="a.html")
    url = (await mara.state())["files"][png["file"]["id"]]["url"]
    async with mara.http.get(url) as response:
        assert response.status == 403
    async with mara.http.get(url, headers={"Authorization": f"Bearer {w.bot_token}"}) as response:
        assert await response.read() == b"\x89PNG"
    async with mara.http.get(f"{url}?token={mara.token}") as response:
        assert (response.content_type, await response.read()) == ("image/png", b"\x89PNG")
    async with mara.http.get(f"{html['file']['url_private']}?token={mara.token}") as response:
        assert response.content_type == "application/octet-stream"
        assert response.headers["Content-Disposition"] == "attachment"


async def test_changes_arrive_as_they_happen_and_only_ones_own(w: Workspace, mara: Page) -> None:
    changes = mara.changes()
    assert await anext(changes) is None
    api, channel = client(w), w.channel("incidents")
    await api.chat_postEphemeral(channel=channel, user=w.user("jonas"), text="not for mara")
    await api.chat_postMessage(channel=w.user("jonas"), text="between us")
    root = await w.say("jonas", "incidents", "root")
    await api.chat_postMessage(channel=channel, text="reply", thread_ts=root)
    await api.assistant_threads_setStatus(channel_id=channel, thread_ts=root, status="looking")
    await api.chat_postEphemeral(channel=channel, user=w.user("mara"), text="for mara")
    await api.views_publish(user_id=w.user("mara"), view={"type": "home", "blocks": []})
    w.delete("incidents", w.messages("incidents")[-1]["ts"])
    w.archive("general")
    w.set_group("sre", ["mara"])
    seen = [await asyncio.wait_for(anext(changes), 5) for _ in range(11)]
    assert [change["type"] for change in seen] == [
        "message",
        "message",
        "message_changed",
        "status",
        "ephemeral",
        "home",
        "message_deleted",
        "message_changed",
        "channel",
        "user",
        "user",
    ]
    assert (seen[0]["channel"], seen[0]["message"]["text"]) == (channel, "root")
    assert seen[2]["message"]["reply_count"] == 1
    assert (seen[3]["thread_ts"], seen[3]["status"]) == (root, "looking")
    assert seen[4]["message"]["text"] == "for mara"
    assert seen[8]["channel"]["is_archived"]


async def test_a_person_works_through_the_page(w: Workspace, mara: Page) -> None:
    app = bolt(w)

    @app.event("message")
    async def on_message() -> None: ...

    @app.action("go")
    async def on_go(ack: Any, body: dict[str, Any], client: Any) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=modal())

    @app.view("reason")
    async def on_reason(ack: Any, view: dict[str, Any]) -> None:
        reason = view["state"]["values"]["why"]["text"]["value"]
        await (ack() if reason == "good" else ack(response_action="errors", errors={"why": "Better."}))

    @app.command("/agent")
    async def on_agent(ack: Any, command: dict[str, Any]) -> None:
        await ack(f"You said {command['text']}.")

    @app.shortcut("diagnose_message")
    async def on_shortcut(ack: Any) -> None:
        await ack()

    async with connected(w, app):
        channel = w.channel("incidents")
        said = await mara.post("say", channel=channel, text="hello")
        assert said == {"ok": True, "ts": w.messages("incidents")[0]["ts"]}
        posted = await client(w).chat_postMessage(channel=channel, text="card", blocks=actions(button(value="1")))
        where = {"channel": channel, "ts": posted["ts"], "container": "message"}
        block_id = posted["message"]["blocks"][0]["block_id"]
        assert await mara.post("click", **where, block_id=block_id, action_id="go", value="1") == {"ok": True}
        [view] = await w.until(lambda: w.views("mara"))
        entered = {"why": {"text": {"type": "plain_text_input", "value": "bad"}}}
        refused = await mara.post("submit", view_id=view["id"], values=entered)
        assert refused == {"ok": True, "response_action": "errors", "errors": {"why": "Better."}}
        entered["why"]["text"]["value"] = "good"
        assert await mara.post("submit", view_id=view["id"], values=entered) == {"ok": True}
        await mara.post("click", **where, block_id=block_id, action_id="go")
        [view] = await w.until(lambda: w.views("mara"))
        assert await mara.post("close", view_id=view["id"]) == {"ok": True}
        answer = await mara.post("command", channel=channel, text="status")
        assert answer == {"ok": True, "text": "You said status."}
        used = await mara.post("shortcut", callback_id="diagnose_message", channel=channel, ts=said["ts"])
        assert used == {"ok": True}


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("say", {"channel": "C404", "text": "x"}),
        ("say", {"channel": "incidents"}),
        ("say", {"channel": "incidents", "text": "x", "thread_ts": "1.000001"}),
        ("click", {"channel": "incidents", "ts": "1.000001", "action_id": "x"}),
        ("click", {"container": "view", "view_id": "V404", "action_id": "x"}),
        ("click", {"container": "home", "action_id": "x"}),
        ("submit", {"view_id": "V404"}),
        ("shortcut", {"callback_id": "x", "channel": "incidents", "ts": 7}),
        ("dance", {}),
    ],
)
async def test_what_cannot_be_done_is_answered_with_a_sentence(mara: Page, action: str, body: dict[str, Any]) -> None:
    answer = await mara.post(action, **body)
    assert answer["ok"] is False
    assert answer["error"].endswith(".")


async def test_a_request_that_is_not_json_is_a_sentence_too(w: Workspace, mara: Page) -> None:
    headers = {"X-Workspace-Token": mara.token}
    for body in ("{", "[]", "7"):
        async with mara.http.post(f"{w.url}_workspace/say", headers=headers, data=body) as response:
            assert (response.status, (await response.json())["ok"]) == (400, False)


async def test_an_app_that_is_away_or_answers_badly_is_told_to_the_person(w: Workspace, mara: Page) -> None:
    answer = await mara.post("command", channel="incidents", text="status")
    assert answer == {"ok": False, "error": "The app did not answer in time. Try again."}
    app = bolt(w)

    @app.command("/agent")
    async def on_agent(ack: Any) -> None:
        await ack(text="x", blocks=[{"type": "section"}])

    async with connected(w, app):
        answer = await mara.post("command", channel="incidents", text="status")
    assert answer == {"ok": False, "error": "Slack refused the app's answer: invalid_blocks."}


async def test_an_archived_channel_cannot_be_written_to(w: Workspace, mara: Page) -> None:
    w.archive("general")
    answer = await mara.post("say", channel=w.channel("general"), text="x")
    assert answer == {"ok": False, "error": "#general is archived."}
