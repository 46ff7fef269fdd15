"""The workspace's clock, names and people, without an app."""

from __future__ import annotations

import asyncio
import dataclasses
import time

import pytest

from bot.local.workspace import DEFAULT_SEED, Clock, Person, Workspace, WorkspaceError


async def test_a_clock_can_run_faster_than_the_world() -> None:
    clock, started = Clock(speed=1000), time.monotonic()
    before = clock.now()
    await clock.sleep(60)
    assert clock.now() - before >= 60
    assert time.monotonic() - started < 5


async def test_moving_the_clock_wakes_who_waits_for_a_moment_now_past() -> None:
    clock = Clock()
    sleepers = [asyncio.ensure_future(clock.sleep(seconds)) for seconds in (10, 100)]
    await asyncio.sleep(0)
    clock.advance(11)
    await asyncio.wait_for(sleepers[0], 1)
    assert not sleepers[1].done()
    clock.advance(90)
    await asyncio.wait_for(sleepers[1], 1)


async def test_what_takes_too_long_on_the_clock_is_given_up() -> None:
    clock, never = Clock(), asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(clock.within(3, never))
    await asyncio.sleep(0)
    clock.advance(3)
    with pytest.raises(TimeoutError):
        await waiting
    assert never.cancelled()


@pytest.mark.parametrize("name", ["mara", "@mara", "Mara Lindqvist", "Mara", "U07MARA0001"])
async def test_a_person_has_several_names(name: str) -> None:
    async with Workspace() as w:
        assert w.user(name) == "U07MARA0001"


@pytest.mark.parametrize("name", ["incidents", "#incidents", "C07INCIDNT1"])
async def test_a_channel_has_a_name_and_an_id(name: str) -> None:
    async with Workspace() as w:
        assert w.channel(name) == "C07INCIDNT1"
        with pytest.raises(WorkspaceError, match=r"There is no channel called nowhere"):
            w.channel("nowhere")


async def test_message_times_are_unique_and_ordered_even_in_the_same_instant() -> None:
    async with Workspace() as w:
        ts = await asyncio.gather(*(w.say("mara", "incidents", str(n)) for n in range(200)))
        assert len(set(ts)) == 200
        assert [m["ts"] for m in w.messages("incidents")] == sorted(ts)


async def test_waiting_ends_with_the_first_true_answer_or_with_patience() -> None:
    async with Workspace() as w:
        waiting = asyncio.ensure_future(w.until(lambda: w.messages("incidents"), 5))
        await asyncio.sleep(0)
        await w.say("mara", "incidents", "now")
        assert (await waiting)[0]["text"] == "now"
        with pytest.raises(TimeoutError):
            await w.until(lambda: False, 0.01)


async def test_a_workspace_of_ones_own_can_be_seeded() -> None:
    extra = Person("U07ZOE00001", "zoe", "Zoë Zimmer", "On loan")
    seed = dataclasses.replace(DEFAULT_SEED, team_name="Other", people=(*DEFAULT_SEED.people, extra))
    async with Workspace(seed) as w:
        await w.say("Zoë Zimmer", "general", "hello")
        assert w.messages("general")[0]["user"] == "U07ZOE00001"


async def test_two_workspaces_do_not_share_tokens_or_ports() -> None:
    async with Workspace() as one, Workspace() as two:
        assert one.url != two.url
        assert (one.bot_token, one.app_token, one.signing_secret) != (two.bot_token, two.app_token, two.signing_secret)


async def test_a_port_can_be_chosen_and_is_free_again_afterwards() -> None:
    async with Workspace() as first:
        port = int(first.url.rstrip("/").rpartition(":")[2])
    async with Workspace(port=port) as second:
        assert second.url == first.url


async def test_a_name_nobody_has_stays_text() -> None:
    async with Workspace() as w:
        await w.say("mara", "incidents", "@nobody mail me@example.com <script> & <https://example.com>")
        [message] = w.messages("incidents")
    assert message["text"] == "@nobody mail me@example.com &lt;script&gt; &amp; <https://example.com>"
    assert [e["type"] for e in message["blocks"][0]["elements"][0]["elements"]] == ["text", "link"]
