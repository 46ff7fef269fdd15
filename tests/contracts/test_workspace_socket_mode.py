"""Socket Mode and events of the stand-in workspace, driven by slack_bolt and by bare WebSocket clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from slack_bolt.async_app import AsyncApp
from slack_bolt.response import BoltResponse

from bot.local.workspace import Clock, Workspace

from .workspace_clients import bolt, client, connected, refusal


class Frames:
    """A WebSocket client that shows every frame and acknowledges only when told to."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def next(self) -> dict[str, Any]:
        return dict(await self._socket.receive_json(timeout=5))

    async def event(self, *, ack: bool = True) -> dict[str, Any]:
        envelope = await self.next()
        if ack:
            await self._socket.send_json({"envelope_id": envelope["envelope_id"]})
        return envelope

    async def send(self, text: str) -> None:
        await self._socket.send_str(text)

    async def closed(self) -> bool:
        frame = await self._socket.receive(timeout=5)
        return frame.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


@asynccontextmanager
async def frames(w: Workspace) -> AsyncIterator[Frames]:
    url = (await client(w, w.app_token).apps_connections_open(app_token=w.app_token))["url"]
    async with aiohttp.ClientSession() as http, http.ws_connect(url) as socket:
        reader = Frames(socket)
        assert (await reader.next())["type"] == "hello"
        yield reader


@pytest.fixture
async def w() -> AsyncIterator[Workspace]:
    async with Workspace(clock=Clock()) as workspace:
        yield workspace


async def test_hello_comes_first_and_counts_the_connections(w: Workspace) -> None:
    async with frames(w), aiohttp.ClientSession() as http:
        url = (await client(w).apps_connections_open(app_token=w.app_token))["url"]
        async with http.ws_connect(url) as second:
            hello = await second.receive_json()
    assert (hello["type"], hello["num_connections"]) == ("hello", 2)
    assert hello["connection_info"]["app_id"] == "A07AGENT001"


async def test_a_connection_url_works_once(w: Workspace) -> None:
    url = (await client(w).apps_connections_open(app_token=w.app_token))["url"]
    async with aiohttp.ClientSession() as http, http.ws_connect(url):
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(url)


async def test_the_eleventh_connection_is_refused(w: Workspace) -> None:
    async with aiohttp.ClientSession() as http:
        sockets = []
        for _ in range(11):
            url = (await client(w).apps_connections_open(app_token=w.app_token))["url"]
            sockets.append(await http.ws_connect(url))
        first = [await socket.receive_json() for socket in sockets]
        assert [frame["type"] for frame in first] == ["hello"] * 10 + ["disconnect"]
        assert first[10]["reason"] == "too_many_websockets"
        assert w.connections == 10


async def test_a_mention_is_two_events_about_one_message(w: Workspace) -> None:
    async with frames(w) as app:
        ts = await w.say("mara", "incidents", "@agent what is <@U07JONAS001> doing & why?")
        events = [(await app.event())["payload"] for _ in range(2)]
    assert {e["event"]["type"] for e in events} == {"message", "app_mention"}
    assert {e["event"]["ts"] for e in events} == {ts}
    assert len({e["event_id"] for e in events}) == 2
    event = next(e for e in events if e["event"]["type"] == "message")["event"]
    assert event["text"] == f"<@{w.bot_user_id}> what is <@U07JONAS001> doing &amp; why?"
    assert (event["channel_type"], event["user"], event["team"]) == ("channel", w.user("mara"), w.team_id)
    assert event["blocks"][0]["type"] == "rich_text"


async def test_the_outer_envelope_is_slacks(w: Workspace) -> None:
    async with frames(w) as app:
        await w.say("ext", "general", "hello")
        envelope = await app.event()
    outer = envelope["payload"]
    assert envelope["accepts_response_payload"] is False
    assert outer["type"] == "event_callback"
    assert (outer["team_id"], outer["api_app_id"]) == (w.team_id, "A07AGENT001")
    assert outer["is_ext_shared_channel"] is True
    assert outer["event"]["user_team"] != w.team_id
    assert outer["authorizations"][0] == {
        "enterprise_id": None,
        "team_id": w.team_id,
        "user_id": w.bot_user_id,
        "is_bot": True,
        "is_enterprise_install": False,
    }


async def test_alerts_come_as_webhook_messages_or_as_a_bot_users(w: Workspace) -> None:
    alert = [{"color": "danger", "title": "CheckoutDown", "text": "5xx"}]
    async with frames(w) as app:
        await w.post_as_bot("Alertmanager", "alerts", attachments=alert)
        await w.post_as_bot("Alertmanager", "alerts", "CheckoutDown", webhook=False)
        webhook, modern = [(await app.event())["payload"]["event"] for _ in range(2)]
    assert (webhook["subtype"], webhook["bot_id"]) == ("bot_message", "B07ALERTMG1")
    assert "user" not in webhook
    assert webhook["attachments"][0]["title"] == "CheckoutDown"
    assert "subtype" not in modern
    assert (modern["user"], modern["bot_profile"]["name"]) == ("U07ALERTMG1", "Alertmanager")


async def test_edits_and_deletions_are_hidden_messages(w: Workspace) -> None:
    ts = await w.post_as_bot("Alertmanager", "alerts", "firing")
    async with frames(w) as app:
        w.edit("alerts", ts, "resolved")
        changed = (await app.event())["payload"]["event"]
        w.delete("alerts", ts)
        deleted = (await app.event())["payload"]["event"]
    assert (changed["subtype"], changed["hidden"]) == ("message_changed", True)
    assert (changed["message"]["text"], changed["previous_message"]["text"]) == ("resolved", "firing")
    assert changed["message"]["ts"] == ts != changed["ts"]
    assert (deleted["subtype"], deleted["deleted_ts"]) == ("message_deleted", ts)


async def test_the_workspace_tells_of_what_happens_to_it(w: Workspace) -> None:
    async with frames(w) as app:
        for happen, expected in (
            (lambda: w.archive("alerts"), "channel_archive"),
            (lambda: w.archive("alerts", archived=False), "channel_unarchive"),
            (lambda: w.kick_bot("alerts"), "channel_left"),
            (lambda: w.invite_bot("alerts"), "member_joined_channel"),
            (lambda: w.set_group("sre", ["mara"]), "subteam_members_changed"),
            (lambda: w.revoke_token(), "tokens_revoked"),
            (lambda: w.uninstall(), "app_uninstalled"),
        ):
            happen()
            event = (await app.event())["payload"]["event"]
            assert event["type"] == expected
        await w.open_home("mara")
        event = (await app.event())["payload"]["event"]
    assert (event["type"], event["tab"], event["user"]) == ("app_home_opened", "home", w.user("mara"))


async def test_a_channel_can_get_a_new_id(w: Workspace) -> None:
    old, ts = w.channel("alerts"), await w.say("mara", "alerts", "kept")
    async with frames(w) as app:
        new = w.change_channel_id("alerts")
        event = (await app.event())["payload"]["event"]
    assert (event["type"], event["old_channel_id"], event["new_channel_id"]) == ("channel_id_changed", old, new)
    assert (w.channel("alerts"), w.messages("alerts")[0]["ts"]) == (new, ts)
    gone = client(w).chat_postMessage(channel=old, text="x")
    assert (await refusal(gone))["error"] == "channel_not_found"


async def test_only_the_manifests_events_are_sent() -> None:
    manifest = {"settings": {"event_subscriptions": {"bot_events": ["app_mention"]}}}
    async with Workspace(manifest=manifest) as w:
        w.archive("general")
        await w.say("mara", "incidents", "@agent")
        # The manifest grants no scopes, and opening a connection needs none.
        async with frames(w) as app:
            await w.say("mara", "incidents", "@agent again")
            assert (await app.event())["payload"]["event"]["type"] == "app_mention"


async def test_a_broadcast_reply_stands_in_the_channel_too(w: Workspace) -> None:
    parent, api, channel = await w.say("mara", "incidents", "root"), client(w), w.channel("incidents")
    async with frames(w) as app:
        await api.chat_postMessage(channel=channel, text="found", thread_ts=parent, reply_broadcast=True)
        event = (await app.event())["payload"]["event"]
    assert (event["subtype"], event["root"]["ts"], event["thread_ts"]) == ("thread_broadcast", parent, parent)
    history = (await api.conversations_history(channel=channel))["messages"]
    assert [m["text"] for m in history] == ["found", "root"]


async def test_a_direct_message_is_an_event_without_a_mention(w: Workspace) -> None:
    opened = (await client(w).conversations_open(users=w.user("mara")))["channel"]["id"]
    async with frames(w) as app:
        await w.say("mara", opened, "@agent psst")
        await w.say("mara", "incidents", "next")
        events = [(await app.event())["payload"]["event"] for _ in range(2)]
    assert [(e["type"], e["channel_type"]) for e in events] == [("message", "im"), ("message", "channel")]


async def test_a_stopped_stream_is_told_to_the_app(w: Workspace) -> None:
    thread = await w.say("mara", "incidents", "why?")
    place = {"channel": w.channel("incidents"), "thread_ts": thread}
    reader = {"recipient_team_id": w.team_id, "recipient_user_id": w.user("mara")}
    async with frames(w) as app:
        ts = (await client(w).chat_startStream(**place, **reader, markdown_text="x"))["ts"]
        await app.event()
        w.stop_stream("mara", "incidents", thread)
        event = (await app.event())["payload"]["event"]
    assert (event["type"], event["user"]) == ("agent_session_stopped", w.user("mara"))
    assert (event["thread_ts"], event["streaming_message_ts"]) == (thread, [ts])


async def test_a_channel_the_app_has_left_is_silent(w: Workspace) -> None:
    w.kick_bot("general")
    async with frames(w) as app:
        await w.say("mara", "general", "@agent")
        await w.say("mara", "incidents", "here")
        assert (await app.event())["payload"]["event"]["channel"] == w.channel("incidents")


async def test_an_event_nobody_acknowledges_is_sent_four_times_in_all(w: Workspace) -> None:
    async with frames(w) as app:
        await w.say("mara", "incidents", "x")
        seen = [await app.event(ack=False)]
        for wait in (3, 3 + 60, 3 + 300):
            await asyncio.sleep(0.01)
            w.clock.advance(wait if len(seen) == 1 else 3.1)
            if len(seen) > 1:
                await asyncio.sleep(0.01)
                w.clock.advance(wait)
            seen.append(await app.event(ack=False))
    assert [e.get("retry_attempt") for e in seen] == [None, 1, 2, 3]
    assert seen[1]["retry_reason"] == "timeout"
    assert len({e["payload"]["event_id"] for e in seen}) == 1
    assert len({e["envelope_id"] for e in seen}) == 4


async def test_an_acknowledged_event_is_not_sent_again(w: Workspace) -> None:
    async with frames(w) as app:
        await w.say("mara", "incidents", "one")
        await app.event()
        await asyncio.sleep(0.01)
        w.clock.advance(400)
        await w.say("mara", "incidents", "two")
        assert (await app.event())["payload"]["event"]["text"] == "two"


async def test_events_of_a_time_without_the_app_arrive_with_the_retries(w: Workspace) -> None:
    await w.say("mara", "incidents", "anybody?")
    await asyncio.sleep(0.01)
    async with frames(w) as app:
        w.clock.advance(61)
        envelope = await app.event()
    assert (envelope["retry_attempt"], envelope["retry_reason"]) == (2, "connection_failed")


async def test_each_envelope_goes_to_exactly_one_connection(w: Workspace) -> None:
    async with frames(w) as one, frames(w) as two:
        for number in range(4):
            await w.say("mara", "incidents", str(number))
        texts = [(await app.event())["payload"]["event"]["text"] for app in (one, two, one, two)]
    assert sorted(texts) == ["0", "1", "2", "3"]


async def test_garbage_from_the_app_is_ignored(w: Workspace) -> None:
    async with frames(w) as app:
        for text in ("{", "[]", '"x"', json.dumps({"envelope_id": "nobody"}), json.dumps({"envelope_id": []})):
            await app.send(text)
        await w.say("mara", "incidents", "still here")
        assert (await app.event())["type"] == "events_api"


async def test_lost_acks_cause_a_retry_that_bolt_does_not_notice(w: Workspace) -> None:
    app, seen = bolt(w), []

    @app.middleware
    async def record(body: dict[str, Any], next: Any) -> None:  # noqa: A002 - bolt names the argument
        seen.append(body["event_id"])
        await next()

    @app.event("message")
    async def on_message() -> None: ...

    async with connected(w, app):
        w.hold_acks()
        await w.say("mara", "incidents", "x")
        while not seen:
            await asyncio.sleep(0.005)
        w.clock.advance(3.1)
        while len(seen) < 2:
            await asyncio.sleep(0.005)
        w.hold_acks(False)
    assert seen[0] == seen[1]


async def test_a_duplicated_event_has_the_same_id(w: Workspace) -> None:
    w.duplicate_next_event()
    async with frames(w) as app:
        await w.say("mara", "incidents", "x")
        first, second = await app.event(), await app.event()
        assert first["payload"]["event_id"] == second["payload"]["event_id"]
        assert first["envelope_id"] != second["envelope_id"]


def _echo(w: Workspace) -> AsyncApp:
    app = bolt(w)

    @app.event("app_mention")
    async def on_mention(event: dict[str, Any], say: Any) -> None:
        await say(text="here", thread_ts=event["ts"])

    @app.event("message")
    async def on_message() -> BoltResponse:
        return BoltResponse(status=200)

    return app


async def test_bolt_answers_a_mention(w: Workspace) -> None:
    async with connected(w, _echo(w)):
        ts = await w.say("mara", "incidents", "@agent")
        await w.until(lambda: len(w.messages("incidents", ts)) == 2)
    reply = w.messages("incidents", ts)[1]
    assert (reply["text"], reply["parent_user_id"]) == ("here", w.user("mara"))


@pytest.mark.parametrize("how", ["drop", "warning", "refresh_requested"])
async def test_bolt_comes_back_after_a_broken_or_refreshed_connection(w: Workspace, how: str) -> None:
    async with connected(w, _echo(w)):
        opened = len([c for c in w.calls if c.method == "apps.connections.open"])
        if how == "drop":
            w.drop_sockets()
        else:
            await w.refresh_sockets(how)
        await w.until(lambda: len([c for c in w.calls if c.method == "apps.connections.open"]) > opened)
        await w.until(lambda: w.connections)
        ts = await w.say("mara", "incidents", "@agent")
        await w.until(lambda: len(w.messages("incidents", ts)) == 2)


async def test_while_slack_is_down_no_connection_can_be_opened(w: Workspace) -> None:
    async with frames(w) as app:
        w.down()
        assert await app.closed()
    assert w.connections == 0
    w.up()
    async with frames(w):
        assert w.connections == 1


async def test_a_wrong_app_token_is_refused_at_once(w: Workspace) -> None:
    body = await refusal(client(w).apps_connections_open(app_token="xapp-wrong"))
    assert body["error"] == "invalid_auth"
