"""Different clients against the same workspace: slack_sdk's synchronous one, signed HTTP, and bolt for JavaScript."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.async_app import AsyncApp
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from bot.local.workspace import Workspace

from .workspace_clients import actions, bolt, button, modal

JS = Path(__file__).parent / "js"


@pytest.fixture
async def w() -> AsyncIterator[Workspace]:
    async with Workspace() as workspace:
        yield workspace


# ---- the synchronous client ----


async def test_the_synchronous_client_does_its_whole_job(w: Workspace) -> None:
    channel, parent = w.channel("incidents"), await w.say("mara", "incidents", "root")

    def work() -> list[str]:
        api = WebClient(w.bot_token, base_url=w.api_url)
        assert api.auth_test()["team_id"] == w.team_id
        assert api.apps_connections_open(app_token=w.app_token)["url"].startswith("ws://127.0.0.1")
        card = api.chat_postMessage(channel=channel, text="card", blocks=actions(button()), thread_ts=parent)
        api.chat_update(channel=channel, ts=card["ts"], text="decided", blocks=[{"type": "divider"}])
        api.chat_postEphemeral(channel=channel, user=w.user("mara"), text="only you")
        api.reactions_add(channel=channel, timestamp=parent, name="eyes")
        api.files_upload_v2(channel=channel, content="evidence", filename="a.txt", thread_ts=parent)
        api.views_publish(user_id=w.user("mara"), view={"type": "home", "blocks": actions(button())})
        api.assistant_threads_setStatus(channel_id=channel, thread_ts=parent, status="thinking", loading_messages=["a"])
        api.blocks_validate(blocks=[{"type": "divider"}])
        api.chat_getPermalink(channel=channel, message_ts=parent)
        with pytest.raises(SlackApiError) as refused:
            api.views_open(trigger_id="1.2.3", view=modal())
        assert refused.value.response["error"] == "invalid_trigger_id"
        stream = api.chat_stream(
            channel=channel,
            thread_ts=parent,
            recipient_team_id=w.team_id,
            recipient_user_id=w.user("mara"),
            buffer_size=1,
        )
        stream.append(markdown_text="streamed")
        stream.stop()
        pages = api.conversations_replies(channel=channel, ts=parent, limit=2)
        return [str(message["text"]) for page in pages for message in page["messages"][1:]]

    assert await asyncio.to_thread(work) == ["decided", "", "streamed"]
    assert w.home("mara")
    assert w.ephemerals("mara")[0]["text"] == "only you"


# ---- signed requests ----


@asynccontextmanager
async def _served(app: AsyncApp, seen: list[web.Request]) -> AsyncIterator[str]:
    async def receive(request: web.Request) -> web.Response:
        seen.append(request)
        return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

    server = web.Application()
    server.router.add_post("/slack/events", receive)
    runner = web.AppRunner(server)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"
    finally:
        await runner.cleanup()


async def test_over_http_requests_are_signed_and_answered(w: Workspace) -> None:
    app, seen = bolt(w), []

    @app.event("app_mention")
    async def on_mention(event: dict[str, Any], say: Any) -> None:
        await say(text="here", blocks=actions(button()), thread_ts=event["ts"])

    @app.event("message")
    async def on_message() -> None: ...

    @app.command("/agent")
    async def on_agent(ack: Any, command: dict[str, Any]) -> None:
        await ack(f"You said {command['text']}.")

    @app.action("go")
    async def on_go(ack: Any) -> None:
        await ack()

    async with _served(app, seen) as w.events_url:
        ts = await w.say("mara", "incidents", "@agent")
        await w.until(lambda: len(w.messages("incidents", ts)) == 2)
        assert await w.command("mara", "incidents", "status") == {"text": "You said status."}
        assert await w.click("mara", "incidents", w.messages("incidents", ts)[1]["ts"], "go") == {}
        assert {"X-Slack-Signature", "X-Slack-Request-Timestamp"} <= seen[0].headers.keys()


async def test_over_http_a_wrong_secret_is_refused_and_the_event_comes_again(w: Workspace) -> None:
    app = AsyncApp(token=w.bot_token, signing_secret="another")
    seen: list[web.Request] = []
    async with _served(app, seen) as w.events_url:
        await w.say("mara", "incidents", "x")
        async with asyncio.timeout(5):
            while len(seen) < 2:
                await asyncio.sleep(0.01)
    assert "X-Slack-Retry-Num" not in seen[0].headers
    assert (seen[1].headers["X-Slack-Retry-Num"], seen[1].headers["X-Slack-Retry-Reason"]) == ("1", "http_error")


async def test_over_http_nothing_is_sent_while_slack_is_down(w: Workspace) -> None:
    app, seen = bolt(w), []

    @app.command("/agent")
    async def on_agent(ack: Any) -> None:
        await ack("here")

    async with _served(app, seen) as w.events_url:
        w.down()
        assert await w.command("mara", "incidents", "status") == {"error": "operation_timeout"}
        assert seen == []
        w.up()
        assert await w.command("mara", "incidents", "status") == {"text": "here"}


# ---- another language ----


@pytest.fixture(scope="module")
def javascript() -> Path:
    """The JavaScript app with its locked packages installed beside it, once per lock file."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("node or npm is not installed")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.removeprefix("v").partition(".")[0]) < 20:
        pytest.skip(f"@slack/bolt needs Node 20, this is {version.strip()}")
    lock = hashlib.sha256((JS / "package-lock.json").read_bytes()).hexdigest()
    installed = JS / "node_modules" / ".installed"
    if not installed.exists() or installed.read_text() != lock:
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
        subprocess.run(command, cwd=JS, check=True, timeout=100)
        installed.write_text(lock)
    return JS / "app.js"


@asynccontextmanager
async def _connected(w: Workspace, app: Path) -> AsyncIterator[None]:
    """The JavaScript app, connected; its errors are shown when it ends badly."""
    process = await asyncio.create_subprocess_exec(
        "node",
        str(app),
        env={
            "PATH": os.environ["PATH"],
            "SLACK_BOT_TOKEN": w.bot_token,
            "SLACK_APP_TOKEN": w.app_token,
            "SLACK_API_URL": w.api_url,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 20)
        assert line == b"ready\n", (line + await process.stderr.read()).decode()
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.node
@pytest.mark.xdist_group("node")
async def test_bolt_for_javascript_does_its_whole_job(w: Workspace, javascript: Path) -> None:
    async with _connected(w, javascript):
        started = time.monotonic()
        ts = await w.say("mara", "incidents", "@agent why?")
        await w.until(lambda: len(w.messages("incidents", ts)) == 2)
        card = w.messages("incidents", ts)[1]
        assert (card["text"], card["metadata"]["event_payload"]) == ("here", {"id": "js"})

        assert await w.click("jonas", "incidents", card["ts"], "go") == {}
        [view] = await w.until(lambda: w.views("jonas"))
        refused = await w.submit("jonas", view["id"], {"why": {"text": "bad"}})
        assert refused == {"response_action": "errors", "errors": {"why": "Say more."}}
        assert await w.submit("jonas", view["id"], {"why": {"text": "good"}}) == {}
        await w.until(lambda: w.messages("incidents", ts)[1]["text"] == "decided: good")
        assert "blocks" not in w.messages("incidents", ts)[1]

        assert await w.command("mara", "incidents", "status") == {"text": "You said status."}
        await w.until(lambda: w.messages("incidents")[-1]["text"] == "and later")

        alert = await w.post_as_bot("Alertmanager", "alerts", "CheckoutDown")
        await w.shortcut("mara", "diagnose_message", "alerts", alert)
        await w.until(lambda: len(w.messages("alerts", alert)) == 2)
        assert [f["content"] for f in w.files()] == [b"evidence"]

        await w.open_home("priya")
        await w.until(lambda: w.home("priya"))

        asked = await w.say("mara", "incidents", "stream")
        await w.until(lambda: [m.get("streaming_state") for m in w.messages("incidents", asked)] == [None, "completed"])
        assert w.messages("incidents", asked)[1]["text"] == "one two"

        wrong = await w.say("mara", "incidents", "refuse")
        await w.until(lambda: w.messages("incidents", wrong)[0].get("reactions"))
        assert w.messages("incidents", wrong)[0]["reactions"][0]["name"] == "invalid_blocks"

        w.drop_sockets()
        await w.until(lambda: w.connections == 0)
        await w.until(lambda: w.connections, timeout=20)
        again = await w.say("mara", "incidents", "@agent still there?")
        await w.until(lambda: len(w.messages("incidents", again)) == 2)
        assert time.monotonic() - started < 30
