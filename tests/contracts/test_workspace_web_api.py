"""The Web API of the stand-in workspace, driven by slack_sdk's own client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.local.workspace import Clock, Workspace
from bot.local.workspace.web_api_files import PROCESSING_S
from bot.local.workspace.workspace import _METHODS

from .workspace_clients import actions, button, client, modal, refusal


@pytest.fixture
async def w() -> AsyncIterator[Workspace]:
    async with Workspace() as workspace:
        yield workspace


@pytest.fixture
def api(w: Workspace) -> AsyncWebClient:
    return client(w)


async def test_auth_test_says_who_the_app_is_and_what_it_may_do(w: Workspace, api: AsyncWebClient) -> None:
    answer = await api.auth_test()
    assert (answer["team_id"], answer["user_id"], answer["bot_id"]) == (w.team_id, w.bot_user_id, w.bot_id)
    assert "chat:write" in answer.headers["x-oauth-scopes"].split(",")


@pytest.mark.parametrize(
    ("token", "method", "error"),
    [
        ("xoxb-wrong", "auth.test", "invalid_auth"),
        ("app", "auth.test", "not_allowed_token_type"),
        ("bot", "apps.connections.open", "not_allowed_token_type"),
        ("bot", "chat.unknown", "unknown_method"),
    ],
)
async def test_a_token_opens_only_its_own_methods(w: Workspace, token: str, method: str, error: str) -> None:
    given = {"bot": w.bot_token, "app": w.app_token}.get(token, token)
    assert (await refusal(client(w, given).api_call(method)))["error"] == error


async def test_no_token_is_not_authed(w: Workspace) -> None:
    async with aiohttp.ClientSession() as http, http.post(f"{w.api_url}auth.test") as response:
        assert (response.status, await response.json()) == (200, {"ok": False, "error": "not_authed"})


async def test_a_revoked_token_is_refused_and_an_uninstalled_app_is_inactive(w: Workspace, api: AsyncWebClient) -> None:
    w.revoke_token()
    assert (await refusal(api.auth_test()))["error"] == "token_revoked"
    w.uninstall()
    assert (await refusal(api.auth_test()))["error"] == "account_inactive"


async def test_scopes_of_a_manifest_are_enforced(w: Workspace) -> None:
    manifest = {"oauth_config": {"scopes": {"bot": ["chat:write", "channels:read"]}}}
    async with Workspace(manifest=manifest) as small:
        api = client(small)
        await api.chat_postMessage(channel="incidents", text="fine")
        assert await refusal(api.conversations_history(channel=small.channel("incidents"))) == {
            "ok": False,
            "error": "missing_scope",
            "needed": "channels:history",
            "provided": "chat:write,channels:read",
        }
        assert (await api.auth_test()).headers["x-oauth-scopes"] == "chat:write,channels:read"


async def test_arguments_come_in_every_encoding(w: Workspace) -> None:
    blocks = '[{"type": "divider"}]'
    args = {"channel": w.channel("incidents"), "text": "t", "blocks": blocks, "token": w.bot_token}
    async with aiohttp.ClientSession() as http:
        for sent in (
            {"params": args},
            {"data": args},
            {"json": args},
            {"json": {**args, "blocks": [{"type": "divider"}]}},
        ):
            async with http.post(f"{w.api_url}chat.postMessage", **sent) as response:
                answer = await response.json()
            assert answer["message"]["blocks"][0]["type"] == "divider", answer
    assert all("token" not in call.args for call in w.calls)


async def test_a_posted_message_comes_back_as_slack_stores_it(w: Workspace, api: AsyncWebClient) -> None:
    metadata = {"event_type": "agent_outbox", "event_payload": {"id": "1"}}
    answer = await api.chat_postMessage(
        channel="#incidents", text="hi", blocks=actions({**button(), "action_id": "a"}), metadata=metadata
    )
    message = answer["message"]
    assert message["user"] == w.bot_user_id
    assert (message["bot_id"], message["team"], message["bot_profile"]["name"]) == (w.bot_id, w.team_id, "Agent")
    assert message["blocks"][0]["block_id"]
    assert answer["channel"] == w.channel("incidents")
    assert message["metadata"] == metadata


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"channel": "C404", "text": "x"}, "channel_not_found"),
        ({"channel": "incidents"}, "no_text"),
        ({"channel": "incidents", "text": "x" * 40_001}, "msg_too_long"),
        ({"channel": "incidents", "text": "x", "blocks": "{"}, "invalid_blocks_format"),
        ({"channel": "incidents", "text": "x", "thread_ts": "1.000001"}, "thread_not_found"),
        ({"channel": "incidents", "text": "x", "attachments": [{}] * 101}, "too_many_attachments"),
        ({"channel": "incidents", "text": "x", "metadata": {"event_type": 1}}, "invalid_metadata_schema"),
        ({"channel": "incidents", "text": "x", "metadata": "words"}, "invalid_metadata_format"),
        (
            {
                "channel": "incidents",
                "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3000}}] * 5,
            },
            "msg_blocks_too_long",
        ),
        (
            {
                "channel": "incidents",
                "text": "x",
                "blocks": [{"type": "image", "slack_file": {"id": "F0"}, "alt_text": "x"}],
            },
            "invalid_blocks",
        ),
        ({"channel": "incidents", "attachments": [{"blocks": [{"type": "plan"}]}]}, "invalid_blocks"),
    ],
)
async def test_a_message_slack_would_refuse_is_refused(api: AsyncWebClient, args: Any, error: str) -> None:
    assert (await refusal(api.api_call("chat.postMessage", json=args)))["error"] == error


async def test_invalid_blocks_say_where_and_why(api: AsyncWebClient) -> None:
    body = await refusal(api.chat_postMessage(channel="incidents", text="x", blocks=[{"type": "section"}]))
    assert body["errors"] == ["missing required field: one of text, fields [json-pointer:/blocks/0]"]
    assert body["response_metadata"]["messages"] == [f"[ERROR] {body['errors'][0]}"]


async def test_a_channel_can_close_to_the_app(w: Workspace, api: AsyncWebClient) -> None:
    w.restrict_channel("incidents")
    assert (await refusal(api.chat_postMessage(channel="incidents", text="x")))["error"] == "restricted_action"
    w.kick_bot("incidents")
    assert (await refusal(api.chat_postMessage(channel="incidents", text="x")))["error"] == "not_in_channel"
    history = api.conversations_history(channel=w.channel("incidents"))
    assert (await refusal(history))["error"] == "not_in_channel"
    w.archive("incidents")
    assert (await refusal(api.chat_postMessage(channel="incidents", text="x")))["error"] == "is_archived"
    assert (await api.conversations_info(channel=w.channel("incidents")))["channel"]["is_archived"]


async def test_a_thread_counts_its_replies_and_refuses_a_replys_ts(w: Workspace, api: AsyncWebClient) -> None:
    parent = await w.say("mara", "incidents", "help")
    reply = await api.chat_postMessage(channel="incidents", text="one", thread_ts=parent)
    await w.say("jonas", "incidents", "two", thread_ts=reply["ts"])
    root = w.messages("incidents")[0]
    assert (root["reply_count"], root["reply_users"]) == (2, [w.bot_user_id, w.user("jonas")])
    assert root["latest_reply"] == w.messages("incidents", parent)[-1]["ts"]
    again = api.chat_postMessage(channel="incidents", text="x", thread_ts=reply["ts"])
    assert (await refusal(again))["error"] == "cannot_reply_to_message"


async def test_a_deleted_parent_leaves_a_tombstone(w: Workspace, api: AsyncWebClient) -> None:
    parent = await w.say("mara", "incidents", "help")
    await api.chat_postMessage(channel="incidents", text="one", thread_ts=parent)
    w.delete("incidents", parent)
    assert [m.get("subtype") for m in w.messages("incidents", parent)] == ["tombstone", None]
    alone = await w.say("mara", "incidents", "alone")
    w.delete("incidents", alone)
    replies = api.conversations_replies(channel=w.channel("incidents"), ts=alone)
    assert (await refusal(replies))["error"] == "thread_not_found"


class TestUpdate:
    """chat.update keeps, replaces or clears blocks by what is given."""

    @pytest.fixture
    async def ts(self, api: AsyncWebClient) -> str:
        posted = await api.chat_postMessage(channel="incidents", text="old", blocks=actions(button()))
        return str(posted["ts"])

    async def _updated(self, w: Workspace, api: AsyncWebClient, ts: str, **args: Any) -> dict[str, Any]:
        # Called by name, because the client's own method warns about calls without text.
        await api.api_call("chat.update", json={"channel": w.channel("incidents"), "ts": ts, **args})
        return next(m for m in w.messages("incidents") if m["ts"] == ts)

    async def test_text_alone_takes_the_blocks_away(self, w: Workspace, api: AsyncWebClient, ts: str) -> None:
        message = await self._updated(w, api, ts, text="new")
        assert "blocks" not in message
        assert message["edited"]["user"] == w.bot_user_id

    async def test_blocks_alone_keep_the_text_and_show_no_edited_mark(
        self, w: Workspace, api: AsyncWebClient, ts: str
    ) -> None:
        message = await self._updated(w, api, ts, blocks=[{"type": "divider"}])
        assert (message["text"], message["blocks"][0]["type"]) == ("old", "divider")
        assert "edited" not in message

    async def test_metadata_alone_keeps_both(self, w: Workspace, api: AsyncWebClient, ts: str) -> None:
        metadata = {"event_type": "e", "event_payload": {}}
        message = await self._updated(w, api, ts, metadata=metadata)
        assert (message["text"], message["blocks"][0]["type"], message["metadata"]) == ("old", "actions", metadata)

    async def test_an_empty_list_clears_the_blocks(self, w: Workspace, api: AsyncWebClient, ts: str) -> None:
        assert "blocks" not in await self._updated(w, api, ts, blocks=[])

    async def test_refusals(self, w: Workspace, api: AsyncWebClient, ts: str) -> None:
        channel, foreign = w.channel("incidents"), await w.say("mara", "incidents", "mine")
        for args, error in (
            ({"ts": ts}, "no_text"),
            ({"ts": "1.000001", "text": "x"}, "message_not_found"),
            ({"ts": foreign, "text": "x"}, "cant_update_message"),
            ({"ts": ts, "blocks": [{"type": "alert"}]}, "invalid_blocks"),
        ):
            call = api.api_call("chat.update", json={"channel": channel, **args})
            assert (await refusal(call))["error"] == error
        assert (await refusal(api.chat_delete(channel=channel, ts=foreign)))["error"] == "cant_delete_message"
        await api.chat_delete(channel=channel, ts=ts)
        assert (await refusal(api.chat_update(channel=channel, ts=ts, text="x")))["error"] == "message_not_found"


async def test_metadata_is_shown_only_when_asked_for(w: Workspace, api: AsyncWebClient) -> None:
    metadata = {"event_type": "agent_outbox", "event_payload": {"id": "7"}}
    posted = await api.chat_postMessage(channel="incidents", text="root", metadata=metadata)
    channel, ts = w.channel("incidents"), posted["ts"]
    for read in (api.conversations_history, api.conversations_replies):
        args = {"channel": channel} | ({"ts": ts} if read == api.conversations_replies else {})
        assert "metadata" not in (await read(**args))["messages"][0]
        assert (await read(**args, include_all_metadata=True))["messages"][0]["metadata"] == metadata


async def test_history_is_paged_bounded_and_without_replies(w: Workspace, api: AsyncWebClient) -> None:
    channel = w.channel("incidents")
    ts = [await w.say("mara", "incidents", str(number)) for number in range(5)]
    await w.say("mara", "incidents", "reply", thread_ts=ts[0])
    seen = [
        m["text"] async for page in await api.conversations_history(channel=channel, limit=2) for m in page["messages"]
    ]
    assert seen == ["4", "3", "2", "1", "0"]
    after = await api.conversations_history(channel=channel, oldest=ts[1], latest=ts[3])
    assert [m["text"] for m in after["messages"]] == ["2"]
    both = await api.conversations_history(channel=channel, oldest=ts[1], latest=ts[3], inclusive=True)
    assert [m["text"] for m in both["messages"]] == ["3", "2", "1"]
    assert (await refusal(api.conversations_history(channel=channel, cursor="x")))["error"] == "invalid_cursor"


async def test_replies_are_found_from_any_message_of_the_thread(w: Workspace, api: AsyncWebClient) -> None:
    parent = await w.say("mara", "incidents", "root")
    replies = [await w.say("mara", "incidents", str(number), thread_ts=parent) for number in range(3)]
    answer = await api.conversations_replies(channel=w.channel("incidents"), ts=replies[1], limit=2)
    assert [m["text"] for m in answer["messages"]] == ["root", "0", "1"]
    assert answer["has_more"]


async def test_an_ephemeral_message_reaches_one_member_and_cannot_be_updated(w: Workspace, api: AsyncWebClient) -> None:
    channel = w.channel("incidents")
    answer = await api.chat_postEphemeral(channel=channel, user=w.user("mara"), text="only you")
    assert [m["text"] for m in w.ephemerals("mara")] == ["only you"]
    assert (w.ephemerals("jonas"), w.messages("incidents")) == ([], [])
    update = api.chat_update(channel=channel, ts=answer["message_ts"], text="x")
    assert (await refusal(update))["error"] == "message_not_found"
    stranger = api.chat_postEphemeral(channel=channel, user=w.user("ext"), text="x")
    assert (await refusal(stranger))["error"] == "user_not_in_channel"


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("mara", {}),
        ("gita", {"is_restricted": True}),
        ("ext", {"is_stranger": True}),
        ("olaf", {"deleted": True}),
        ("Alertmanager", {"is_bot": True}),
    ],
)
async def test_every_role_can_be_told_from_users_info(
    w: Workspace, api: AsyncWebClient, name: str, flags: dict[str, bool]
) -> None:
    user = (await api.users_info(user=w.user(name)))["user"]
    for flag in ("deleted", "is_bot", "is_restricted", "is_ultra_restricted", "is_stranger"):
        assert user.get(flag, False) is flags.get(flag, False)
    assert (user["team_id"] == w.team_id) is (name != "ext")


async def test_people_and_groups_can_be_looked_up(w: Workspace, api: AsyncWebClient) -> None:
    assert (await api.users_lookupByEmail(email="Mara@acme.example"))["user"]["id"] == w.user("mara")
    assert (await refusal(api.users_lookupByEmail(email="x@y")))["error"] == "users_not_found"
    assert (await refusal(api.users_info(user="U404")))["error"] == "user_not_found"
    groups = {g["handle"]: g["id"] for g in (await api.usergroups_list())["usergroups"]}
    assert set(groups) == {"sre", "sre-leads"}
    w.set_group("sre-leads", ["jonas", "olaf"])
    leads = groups["sre-leads"]
    assert (await api.usergroups_users_list(usergroup=leads))["users"] == [w.user("jonas")]
    everyone = (await api.usergroups_users_list(usergroup=leads, include_disabled=True))["users"]
    assert everyone == [w.user("jonas"), w.user("olaf")]
    assert (await refusal(api.usergroups_users_list(usergroup="S404")))["error"] == "no_such_subteam"


async def test_channels_say_what_they_are(w: Workspace, api: AsyncWebClient) -> None:
    listed = {c["name"]: c for c in (await api.conversations_list())["channels"]}
    assert set(listed) == {"incidents", "alerts", "general", "ops-audit"}
    assert listed["general"]["is_ext_shared"]
    w.kick_bot("alerts")
    assert not (await api.conversations_info(channel=w.channel("alerts")))["channel"]["is_member"]
    mine = (await api.users_conversations())["channels"]
    assert "alerts" not in {c["name"] for c in mine}
    members = (await api.conversations_members(channel=w.channel("ops-audit")))["members"]
    assert set(members) == {w.user("jonas"), w.bot_user_id}


async def test_the_smaller_methods_answer(w: Workspace, api: AsyncWebClient) -> None:
    assert (await api.api_test(foo="bar"))["args"] == {"foo": "bar"}
    assert (await api.team_info())["team"]["name"] == "Acme"
    assert (await api.bots_info(bot="B07ALERTMG1"))["bot"]["name"] == "Alertmanager"
    assert (await refusal(api.bots_info(bot="B404")))["error"] == "bot_not_found"
    names = [u["name"] async for page in await api.users_list(limit=3) for u in page["members"]]
    assert len(names) == len(set(names)) == 8
    w.kick_bot("alerts")
    assert (await api.conversations_join(channel=w.channel("alerts")))["channel"]["is_member"]
    w.archive("alerts")
    assert (await refusal(api.conversations_join(channel=w.channel("alerts"))))["error"] == "is_archived"
    session = {"channel_id": w.channel("incidents"), "title": "Checkout"}
    answer = await api.agents_sessions_setStatus(**session, status="suspended")
    assert (answer["agent_status"], answer["title"]) == ("suspended", "Checkout")
    assert (await refusal(api.agents_sessions_setStatus(**session, status="x")))["error"] == "invalid_arguments"
    prompts = [{"title": "Why?", "message": "Why?"}]
    await api.assistant_threads_setSuggestedPrompts(channel_id=w.channel("incidents"), prompts=prompts)


async def test_archived_channels_are_left_out_when_asked(w: Workspace, api: AsyncWebClient) -> None:
    w.archive("alerts")
    names = {c["name"] for c in (await api.conversations_list(exclude_archived=True))["channels"]}
    assert "alerts" not in names
    update = api.chat_update(channel=w.channel("alerts"), ts="1.000001", text="x")
    assert (await refusal(update))["error"] == "message_not_found"


async def test_a_message_in_an_archived_channel_cannot_be_updated(w: Workspace, api: AsyncWebClient) -> None:
    ts = (await api.chat_postMessage(channel="alerts", text="x"))["ts"]
    w.archive("alerts")
    update = api.chat_update(channel=w.channel("alerts"), ts=ts, text="y")
    assert (await refusal(update))["error"] == "is_inactive"


async def test_an_account_can_change_while_the_app_runs(w: Workspace, api: AsyncWebClient) -> None:
    w.change_user("priya", is_restricted=True)
    assert (await api.users_info(user=w.user("priya")))["user"]["is_restricted"]
    w.change_user("priya", deleted=True)
    gone = api.users_lookupByEmail(email="priya@acme.example")
    assert (await refusal(gone))["error"] == "users_not_found"


async def test_a_shared_channel_says_so(w: Workspace, api: AsyncWebClient) -> None:
    w.share_channel("incidents")
    assert (await api.conversations_info(channel=w.channel("incidents")))["channel"]["is_ext_shared"]


async def test_markdown_text_stands_alone(w: Workspace, api: AsyncWebClient) -> None:
    posted = await api.chat_postMessage(channel="incidents", markdown_text="**bold**")
    assert posted["message"]["blocks"][0]["type"] == "markdown"
    both = api.api_call("chat.postMessage", json={"channel": "incidents", "text": "x", "markdown_text": "y"})
    assert (await refusal(both))["error"] == "markdown_text_conflict"


async def test_a_message_to_a_person_opens_a_direct_channel(w: Workspace, api: AsyncWebClient) -> None:
    first = await api.chat_postMessage(channel=w.user("mara"), text="psst")
    opened = await api.conversations_open(users=w.user("mara"))
    assert first["channel"] == opened["channel"]["id"]
    assert first["channel"].startswith("D")


async def test_a_permalink_points_at_the_message(w: Workspace, api: AsyncWebClient) -> None:
    ts = await w.say("mara", "incidents", "x")
    link = (await api.chat_getPermalink(channel=w.channel("incidents"), message_ts=ts))["permalink"]
    assert link.endswith(f"/archives/{w.channel('incidents')}/p{ts.replace('.', '')}")


@pytest.mark.parametrize(
    ("method", "args", "error"),
    [
        ("chat.getPermalink", {}, "invalid_arguments"),
        ("chat.getPermalink", {"message_ts": "1.000001"}, "message_not_found"),
        ("reactions.add", {"name": "eyes", "timestamp": "1.000001"}, "message_not_found"),
        ("conversations.open", {"users": "U404"}, "user_not_found"),
        ("conversations.history", {"oldest": "yesterday"}, "invalid_ts_oldest"),
        ("conversations.history", {"limit": "many"}, "invalid_limit"),
        ("files.getUploadURLExternal", {"filename": "a", "length": 0}, "invalid_arguments"),
        ("files.completeUploadExternal", {"files": "words"}, "invalid_arguments"),
        ("files.info", {"file": "F404"}, "file_not_found"),
        ("views.publish", {"user_id": "U404", "view": {"type": "home", "blocks": []}}, "user_not_found"),
        ("views.publish", {"user_id": "U07MARA0001", "view": modal()}, "invalid_arguments"),
    ],
)
async def test_arguments_that_name_nothing_are_refused(
    api: AsyncWebClient, method: str, args: dict[str, Any], error: str
) -> None:
    call = api.api_call(method, json={"channel": "C07INCIDNT1", **args})
    assert (await refusal(call))["error"] == error


async def test_a_status_has_at_most_ten_loading_messages(w: Workspace, api: AsyncWebClient) -> None:
    place = {"channel_id": w.channel("incidents"), "thread_ts": await w.say("mara", "incidents", "x")}
    many = api.assistant_threads_setStatus(**place, status="x", loading_messages=["a"] * 11)
    assert (await refusal(many))["error"] == "invalid_arguments"


async def test_a_huge_view_is_refused(w: Workspace, api: AsyncWebClient) -> None:
    section = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2900}}
    view = {"type": "home", "blocks": [section] * 100}
    assert (await refusal(api.views_publish(user_id=w.user("mara"), view=view)))["error"] == "view_too_large"


async def test_a_reaction_counts_once(w: Workspace, api: AsyncWebClient) -> None:
    ts, channel = await w.say("mara", "incidents", "x"), w.channel("incidents")
    await api.reactions_add(channel=channel, timestamp=ts, name="eyes")
    assert w.messages("incidents")[0]["reactions"] == [{"name": "eyes", "users": [w.bot_user_id], "count": 1}]
    again = api.reactions_add(channel=channel, timestamp=ts, name="eyes")
    assert (await refusal(again))["error"] == "already_reacted"


async def test_a_file_is_uploaded_in_three_steps_and_shared_in_the_thread(w: Workspace, api: AsyncWebClient) -> None:
    parent = await w.say("mara", "incidents", "chart?")
    answer = await api.files_upload_v2(
        channel=w.channel("incidents"),
        thread_ts=parent,
        content=b"\x89PNG",
        filename="roi.png",
        title="ROI",
        initial_comment="Here",
    )
    assert "shares" not in answer["file"]
    shared = w.messages("incidents", parent)[-1]
    assert (shared["subtype"], shared["text"], shared["files"][0]["title"]) == ("file_share", "Here", "ROI")
    assert [(f["mimetype"], f["content"]) for f in w.files()] == [("image/png", b"\x89PNG")]
    info = await api.files_info(file=answer["file"]["id"])
    assert info["file"]["shares"]["public"][w.channel("incidents")][0]["ts"] == shared["ts"]


async def test_a_picture_is_shown_by_blocks_once_slack_has_processed_it(w: Workspace, api: AsyncWebClient) -> None:
    answer = await api.files_upload_v2(content=b"\x89PNG", filename="roi.png")
    assert w.messages("incidents") == [], "it stands in no channel"
    image = [{"type": "image", "slack_file": {"id": answer["file"]["id"]}, "alt_text": "ROI"}]
    too_soon = await refusal(api.chat_postMessage(channel="incidents", text="x", blocks=image))
    assert too_soon["errors"] == ["invalid slack file [json-pointer:/blocks/0/slack_file]"]
    w.clock.advance(PROCESSING_S)
    await api.chat_postMessage(channel="incidents", text="x", blocks=image)
    words = await api.files_upload_v2(content=b"words", filename="roi.txt")
    w.clock.advance(PROCESSING_S)
    image[0]["slack_file"] = {"id": words["file"]["id"]}
    refused = await refusal(api.chat_postMessage(channel="incidents", text="x", blocks=image))
    assert refused["error"] == "invalid_blocks"


async def test_an_upload_nobody_announced_is_refused(w: Workspace, api: AsyncWebClient) -> None:
    unknown = api.files_completeUploadExternal(files=[{"id": "F404", "title": "x"}])
    assert (await refusal(unknown))["error"] == "file_not_found"
    empty = await api.files_getUploadURLExternal(filename="a.txt", length=3)
    never_sent = api.files_completeUploadExternal(files=[{"id": empty["file_id"], "title": "x"}])
    assert (await refusal(never_sent))["error"] == "file_not_found"


async def test_a_home_view_is_published_for_one_person(w: Workspace, api: AsyncWebClient) -> None:
    view = {"type": "home", "blocks": [{"type": "divider"}]}
    first = (await api.views_publish(user_id=w.user("mara"), view=view))["view"]
    assert (w.home("mara"), w.home("jonas")) == (first, None)
    second = (await api.views_publish(user_id=w.user("mara"), view=view, hash=first["hash"]))["view"]
    assert second["id"] == first["id"]
    stale = api.views_publish(user_id=w.user("mara"), view=view, hash=first["hash"])
    assert (await refusal(stale))["error"] == "hash_conflict"


async def test_blocks_validate_answers_like_the_sender_would(api: AsyncWebClient) -> None:
    await api.blocks_validate(blocks=[{"type": "divider"}])
    body = await refusal(api.blocks_validate(blocks=[{"type": "section"}]))
    assert body["error"] == "invalid_blocks"
    assert body["errors"][0]["pointer"] == "/blocks/0"
    assert (await refusal(api.blocks_validate(view={**modal(), "title": None})))["error"] == "invalid_view"
    assert (await refusal(api.blocks_validate(message={"blocks": [{}]})))["error"] == "invalid_message"
    assert (await refusal(api.api_call("blocks.validate")))["error"] == "invalid_arguments"


async def test_a_status_line_ends_when_the_app_speaks_or_after_two_minutes() -> None:
    clock = Clock()
    async with Workspace(clock=clock) as w:
        api, ts = client(w), await w.say("mara", "incidents", "x")
        channel = w.channel("incidents")
        say = {"channel_id": channel, "thread_ts": ts, "status": "is looking", "loading_messages": ["a"]}
        await api.assistant_threads_setStatus(**say)
        assert w.status("incidents", ts) == {"status": "is looking", "loading_messages": ["a"]}
        await api.chat_postMessage(channel=channel, thread_ts=ts, text="found")
        assert w.status("incidents", ts) is None
        await api.assistant_threads_setStatus(**say)
        clock.advance(121)
        await w.until(lambda: w.status("incidents", ts) is None)
        unknown = api.assistant_threads_setStatus(channel_id=channel, thread_ts="1.1", status="x")
        assert (await refusal(unknown))["error"] == "invalid_thread_ts"


_NASTY: list[Any] = [None, "", "\x00", "[", 7, [], {}, [[]], {"type": []}, "C07INCIDNT1", "9" * 400, "T" * 9]


@pytest.mark.parametrize("method", sorted(_METHODS))
async def test_no_arguments_make_a_method_fail_badly(w: Workspace, method: str) -> None:
    ts = await w.say("mara", "incidents", "x")
    names = ["channel", "ts", "thread_ts", "text", "blocks", "attachments", "view", "files", "chunks", "limit", "cursor",
             "user", "users", "oldest", "hash", "view_id", "filename", "length", "status", "metadata"]  # fmt: skip
    sound = {"channel": "C07INCIDNT1", "channel_id": "C07INCIDNT1", "ts": ts, "thread_ts": ts}
    token = w.app_token if method == "apps.connections.open" else w.bot_token
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http:
        for value in _NASTY:
            for name in names:
                async with http.post(f"{w.api_url}{method}", json={**sound, name: value}) as response:
                    assert response.status == 200, (name, value)
                    assert isinstance((await response.json())["ok"], bool)


async def test_faults_fail_exactly_the_calls_they_were_meant_for(w: Workspace, api: AsyncWebClient) -> None:
    w.faults.fail("chat.postMessage", 1, "429", retry_after=7)
    with pytest.raises(SlackApiError) as limited:
        await api.chat_postMessage(channel="incidents", text="x")
    assert (limited.value.response.status_code, limited.value.response.headers["Retry-After"]) == (429, "7")
    assert limited.value.response["error"] == "ratelimited"
    w.faults.fail("chat.postMessage", 2, "is_archived")
    for _ in range(2):
        assert (await refusal(api.chat_postMessage(channel="incidents", text="x")))["error"] == "is_archived"
    await api.chat_postMessage(channel="incidents", text="through")
    assert [m["text"] for m in w.messages("incidents")] == ["through"]
    assert [call.method for call in w.calls] == ["chat.postMessage"] * 4


async def test_a_reset_after_the_commit_leaves_the_message_posted(w: Workspace, api: AsyncWebClient) -> None:
    w.faults.fail("chat.postMessage", 1, "reset_after_commit")
    with pytest.raises(aiohttp.ClientError):
        await api.chat_postMessage(channel="incidents", text="twice?")
    assert [m["text"] for m in w.messages("incidents")] == ["twice?"]


async def test_a_call_that_never_answers_runs_into_the_clients_time_limit(w: Workspace) -> None:
    w.faults.fail("*", 1, "timeout")
    impatient = AsyncWebClient(w.bot_token, base_url=w.api_url, timeout=0.05, retry_handlers=[])  # type: ignore[arg-type]
    with pytest.raises(TimeoutError):
        await impatient.chat_postMessage(channel="incidents", text="x")
    assert w.messages("incidents") == []


async def test_while_slack_is_down_every_call_fails_and_then_none(w: Workspace, api: AsyncWebClient) -> None:
    w.down()
    with pytest.raises(SlackApiError) as down:
        await api.auth_test()
    assert down.value.response.status_code == 503
    w.up()
    assert (await api.auth_test())["ok"]
