"""Streamed messages of the stand-in workspace, driven by slack_sdk's own chat stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from slack_sdk.models.messages.chunk import PlanUpdateChunk, TaskUpdateChunk
from slack_sdk.web.async_client import AsyncWebClient

from bot.local.workspace import Workspace
from handlers.blocks import problems

from .workspace_clients import client, refusal


@pytest.fixture
async def w() -> AsyncIterator[Workspace]:
    async with Workspace() as workspace:
        yield workspace


@pytest.fixture
def api(w: Workspace) -> AsyncWebClient:
    return client(w)


async def _where(w: Workspace) -> dict[str, str]:
    return {
        "channel": w.channel("incidents"),
        "thread_ts": await w.say("mara", "incidents", "@agent why?"),
        "recipient_team_id": w.team_id,
        "recipient_user_id": w.user("mara"),
    }


def _task(status: str, **more: Any) -> TaskUpdateChunk:
    return TaskUpdateChunk(id="1", title="Look at pods", status=status, **more)


async def test_a_plan_streams_into_one_message_and_ends_completed(w: Workspace, api: AsyncWebClient) -> None:
    where = await _where(w)
    stream = await api.chat_stream(**where, task_display_mode="plan", buffer_size=1)
    await stream.append(chunks=[PlanUpdateChunk(title="Diagnosis"), _task("in_progress")])
    message = w.messages("incidents", where["thread_ts"])[1]
    assert message["streaming_state"] == "in_progress"
    assert message["blocks"][0]["tasks"][0]["status"] == "in_progress"
    await stream.append(chunks=[_task("complete", output="3 crash")])
    await stream.append(markdown_text="The image is **missing**.")
    answer = await stream.stop(blocks=[{"type": "divider"}])
    [_, message] = w.messages("incidents", where["thread_ts"])
    assert answer["message"] == message
    assert (message["text"], message["streaming_state"]) == ("The image is **missing**.", "completed")
    assert [block["type"] for block in message["blocks"]] == ["plan", "markdown", "divider"]
    plan = message["blocks"][0]
    assert (plan["title"], len(plan["tasks"]), plan["tasks"][0]["status"]) == ("Diagnosis", 1, "complete")
    assert problems(message["blocks"]) == []


async def test_a_timeline_keeps_the_order_of_tasks_and_text(w: Workspace, api: AsyncWebClient) -> None:
    stream = await api.chat_stream(**await _where(w), buffer_size=1)
    await stream.append(chunks=[{"type": "markdown_text", "text": "First. "}, _task("complete")])
    await stream.append(markdown_text="Then.")
    message = (await stream.stop())["message"]
    assert [block["type"] for block in message["blocks"]] == ["markdown", "task_card", "markdown"]


@pytest.mark.parametrize("missing", ["recipient_team_id", "recipient_user_id"])
async def test_a_stream_in_a_channel_needs_its_reader(w: Workspace, api: AsyncWebClient, missing: str) -> None:
    where = await _where(w)
    del where[missing]
    assert (await refusal(api.chat_startStream(**where)))["error"] == f"missing_{missing}"


async def test_a_stream_keeps_the_mode_it_was_opened_in(w: Workspace, api: AsyncWebClient) -> None:
    where = await _where(w)
    channel, chunks = where["channel"], [{"type": "markdown_text", "text": "x"}]
    text = (await api.chat_startStream(**where, markdown_text="x"))["ts"]
    wrong = api.chat_appendStream(channel=channel, ts=text, chunks=chunks)
    assert (await refusal(wrong))["error"] == "streaming_mode_mismatch"
    chunked = (await api.chat_startStream(**where, chunks=chunks))["ts"]
    wrong = api.chat_appendStream(channel=channel, ts=chunked, markdown_text="x")
    assert (await refusal(wrong))["error"] == "streaming_mode_mismatch"


async def test_a_stream_ends_after_five_minutes_even_while_it_grows(w: Workspace, api: AsyncWebClient) -> None:
    where = await _where(w)
    ts = (await api.chat_startStream(**where, markdown_text="x"))["ts"]
    place = {"channel": where["channel"], "ts": ts}
    w.clock.advance(299)
    await api.chat_appendStream(**place, markdown_text="y")
    w.clock.advance(2)
    for call in (api.chat_appendStream(**place, markdown_text="z"), api.chat_stopStream(**place)):
        assert (await refusal(call))["error"] == "message_not_in_streaming_state"
    await w.until(lambda: w.messages("incidents", where["thread_ts"])[1]["streaming_state"] == "completed")
    await api.chat_update(**place, text="the whole text")
    assert w.messages("incidents", where["thread_ts"])[1]["text"] == "the whole text"


async def test_a_message_that_streams_cannot_be_updated(w: Workspace, api: AsyncWebClient) -> None:
    where = await _where(w)
    ts = (await api.chat_startStream(**where, markdown_text="x"))["ts"]
    update = api.chat_update(channel=where["channel"], ts=ts, text="y")
    assert (await refusal(update))["error"] == "streaming_state_conflict"


async def test_only_the_apps_own_streams_can_be_appended_to(w: Workspace, api: AsyncWebClient) -> None:
    where = await _where(w)
    foreign = api.chat_appendStream(channel=where["channel"], ts=where["thread_ts"], markdown_text="x")
    assert (await refusal(foreign))["error"] == "message_not_owned_by_app"
    posted = (await api.chat_postMessage(channel=where["channel"], text="x"))["ts"]
    finished = api.chat_appendStream(channel=where["channel"], ts=posted, markdown_text="x")
    assert (await refusal(finished))["error"] == "message_not_in_streaming_state"


async def test_a_person_can_stop_a_stream(w: Workspace, api: AsyncWebClient) -> None:
    where = await _where(w)
    ts = (await api.chat_startStream(**where, markdown_text="x"))["ts"]
    w.stop_stream("mara", "incidents", where["thread_ts"])
    stopped = api.chat_appendStream(channel=where["channel"], ts=ts, markdown_text="x")
    assert (await refusal(stopped))["error"] == "stopped_by_user"


@pytest.mark.parametrize(
    ("chunk", "error"),
    [
        ({"type": "unknown"}, "invalid_chunks"),
        ({"type": "task_update", "id": "1", "title": "t", "status": "done"}, "invalid_chunks"),
        ({"type": "task_update", "id": "1", "title": "t", "status": "complete", "output": {}}, "invalid_chunks"),
        ({"type": "blocks", "blocks": [{"type": "section"}]}, "invalid_blocks"),
        ({"type": "blocks", "blocks": [{"type": "file"}]}, "internal_error"),
        ("words", "invalid_chunks"),
    ],
)
async def test_a_chunk_slack_would_refuse_adds_nothing(
    w: Workspace, api: AsyncWebClient, chunk: Any, error: str
) -> None:
    where = await _where(w)
    good = {"type": "markdown_text", "text": "kept"}
    ts = (await api.chat_startStream(**where, chunks=[good]))["ts"]
    args = {"channel": where["channel"], "ts": ts, "chunks": [good, chunk]}
    assert (await refusal(api.api_call("chat.appendStream", json=args)))["error"] == error
    assert w.messages("incidents", where["thread_ts"])[1]["text"] == "kept"


async def test_one_call_brings_at_most_twelve_thousand_characters(w: Workspace, api: AsyncWebClient) -> None:
    where = await _where(w)
    too_long = api.chat_startStream(**where, markdown_text="x" * 12_001)
    assert (await refusal(too_long))["error"] == "msg_too_long"
    await api.chat_startStream(**where, markdown_text="x" * 12_000)


async def test_chunks_are_a_list(w: Workspace, api: AsyncWebClient) -> None:
    args = {**await _where(w), "chunks": "words"}
    assert (await refusal(api.api_call("chat.startStream", json=args)))["error"] == "invalid_chunks"


async def test_a_stream_starts_in_a_thread_the_app_may_write_to(w: Workspace, api: AsyncWebClient) -> None:
    where = await _where(w)
    nowhere = api.chat_startStream(**{**where, "thread_ts": "1.000001"})
    assert (await refusal(nowhere))["error"] == "thread_not_found"
    w.archive("incidents")
    assert (await refusal(api.chat_startStream(**where)))["error"] == "is_archived"


async def test_a_stream_may_carry_metadata_at_its_end(w: Workspace, api: AsyncWebClient) -> None:
    stream = await api.chat_stream(**await _where(w), buffer_size=1)
    await stream.append(markdown_text="x")
    message = (await stream.stop(metadata={"event_type": "e", "event_payload": {"id": "1"}}))["message"]
    assert message["metadata"]["event_payload"] == {"id": "1"}


async def test_a_stream_in_direct_messages_needs_no_reader_named(w: Workspace, api: AsyncWebClient) -> None:
    channel = (await api.conversations_open(users=w.user("mara")))["channel"]["id"]
    thread_ts = await w.say("mara", channel, "why?")
    started = await api.chat_startStream(channel=channel, thread_ts=thread_ts, markdown_text="because")
    assert w.messages(channel, thread_ts)[1]["ts"] == started["ts"]
