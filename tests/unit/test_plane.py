"""The control plane over a world in memory: control that races, what a resolved alert leaves, a sweep that goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot import expiry
from bot.agent.loop import advance
from bot.plane import Plane
from bot.voting import cast
from domain.actions import Mode
from domain.alerts import Alert
from domain.decisions import Actor, Approval, ApprovalState, Verdict, Vote
from domain.errors import NotAllowed
from domain.events import AgentPaused, ApprovalClosed, Draft, IncidentResolved, RunFinished
from domain.plane import Question
from domain.runs import Origin, RunStatus
from tests.contracts.journal_samples import opened, run_started
from tests.unit.journeys import RULES, Place, calling, place

PERSON, OTHER, GUEST = Actor("person", "U1", "Mara"), Actor("person", "U2", "Jonas"), Actor("person", "UG", "Gita")
TURN_A = ("turn", '{"name":"a","to":1}')
PIPELINE = Alert("p1", True, "PipelineFailed", "gitlab", datetime(2026, 1, 1, tzinfo=UTC), group="shop", replaces=True)


@asynccontextmanager
async def planed(folder: Path, policy: str = RULES) -> AsyncIterator[tuple[Place, Plane]]:
    """A plane that works, over the world of a Place."""
    async with place(folder, policy=policy) as spot:
        spot.club.guests.add("UG")
        plane = Plane(
            lambda plane: replace(spot.world, mode=lambda: plane.mode, paused=lambda: plane.paused),
            workers=2,
            channel=lambda: "C1",
            default_mode=Mode.PROPOSE,
            alert_bots=lambda _: (),
            policy_problems=lambda: (),
        )
        await plane.start()
        try:
            yield spot, plane
        finally:
            await plane.stop()


class Held:
    """Holds the first question to Slack until it is let go."""

    def __init__(self) -> None:
        self.came, self.let_go = asyncio.Event(), asyncio.Event()

    async def __call__(self) -> None:
        if not self.came.is_set():
            self.came.set()
            await self.let_go.wait()


# --- control that races -----------------------------------------------------------------------------------------------


async def test_a_refused_guest_does_not_lift_the_pause_of_somebody_else(tmp_path: Path) -> None:
    async with planed(tmp_path) as (spot, plane):
        spot.club.asked = held = Held()
        guest = asyncio.create_task(plane.pause(GUEST, "mischief"))
        await held.came.wait()
        member = asyncio.create_task(plane.pause(PERSON, "a fire"))
        await asyncio.wait({member}, timeout=0.1)
        held.let_go.set()
        told = await asyncio.gather(guest, member, return_exceptions=True)
        assert isinstance(told[0], NotAllowed)
        assert plane.paused == "a fire"
        assert [event.reason for event in await spot.events(AgentPaused)] == ["a fire"]


async def test_a_resume_during_a_pause_leaves_what_the_journal_has_with_its_reason(tmp_path: Path) -> None:
    async with planed(tmp_path) as (spot, plane):
        spot.club.asked = held = Held()
        pause = asyncio.create_task(plane.pause(PERSON, "a fire"))
        await held.came.wait()
        resume = asyncio.create_task(plane.resume(OTHER))
        await asyncio.wait({resume}, timeout=0.1)
        assert plane.paused == "a fire"
        held.let_go.set()
        await asyncio.gather(pause, resume)
        assert plane.paused == (await spot.journal.control())[1]
        assert [event.reason for event in await spot.events(AgentPaused)] == ["a fire"]


async def test_a_pause_waits_for_no_question_about_who_resumes(tmp_path: Path) -> None:
    async with planed(tmp_path) as (spot, plane):
        spot.club.asked = held = Held()
        resume = asyncio.create_task(plane.resume(OTHER))
        await held.came.wait()
        async with asyncio.timeout(5):
            await plane.pause(PERSON, "a fire")
        assert plane.paused == "a fire"
        held.let_go.set()
        await resume


async def test_a_question_while_paused_is_told_that_nobody_looks_yet(tmp_path: Path) -> None:
    async with planed(tmp_path) as (_, plane):
        question = Question("what is wrong with a?", "U1", "C1", Origin.COMMAND, key="k1")
        assert (await plane.ask(question)).why == ""
        await plane.pause(PERSON, "a fire")
        assert "paused (a fire)" in (await plane.ask(replace(question, key="k2"))).why


# --- what a resolved alert leaves -------------------------------------------------------------------------------------


async def asked_in(spot: Place, incident_id: str, run_id: str = "run-2") -> Approval:
    """A request that waits, of a run in this incident."""
    spot.model.turns[:] = [calling(TURN_A)]
    await spot.start(run_id, incident_id=incident_id)
    await advance(spot.world, run_id)
    return await spot.pending()


async def approve(spot: Place, approval: Approval) -> Approval:
    vote = Vote("U1", Verdict.APPROVE, spot.now(), digest=approval.request.digest)
    return await cast(spot.world, approval.request.id, vote, channel="C1", message_ts=approval.request.card)


@pytest.mark.parametrize("approved", [False, True], ids=["waits", "approved"])
async def test_what_was_asked_before_the_alert_resolved_is_withdrawn_also_after_a_crash(
    tmp_path: Path, approved: bool
) -> None:
    async with planed(tmp_path) as (spot, plane):
        await plane.pause(PERSON, "so that nothing runs meanwhile")
        [receipt] = await plane.receive([replace(PIPELINE, replaces=False)])
        approval = await asked_in(spot, receipt.incident_id)
        if approved:
            await approve(spot, approval)
        resolved = Draft(IncidentResolved("it ceased"), Actor("monitor"), receipt.incident_id)
        await spot.journal.append(resolved)  # and the process ends before it withdraws anything
        await plane.sweep()
        assert await spot.state(approval) is ApprovalState.CANCELLED
        undo = await asked_in(spot, receipt.incident_id, "run-3")
        await plane.sweep()
        assert await spot.state(undo) is ApprovalState.PENDING  # a person asked for it after the incident was over


async def test_a_newer_pipeline_withdraws_the_cards_of_the_older_and_its_message_says_that_it_is_over(
    tmp_path: Path,
) -> None:
    async with planed(tmp_path) as (spot, plane):
        await plane.pause(PERSON, "so that nothing runs meanwhile")
        [first] = await plane.receive([PIPELINE])
        approval = await asked_in(spot, first.incident_id)
        with spot.journal.subscribe() as events:
            [second] = await plane.receive([replace(PIPELINE, fingerprint="p2")])
            assert (second.replaced, second.opened) == ((first.incident_id,), True)
            async with asyncio.timeout(5):
                async for envelope in events:
                    if isinstance(envelope.event, ApprovalClosed):
                        break
        assert await spot.state(approval) is ApprovalState.CANCELLED
        async with asyncio.timeout(5):
            while not any(each.id == first.incident_id and not each.open for each, _ in spot.chat.incidents):
                await spot.chat.told.wait()
                spot.chat.told.clear()


# --- a run that nobody can carry on ------------------------------------------------------------------------------------


async def test_a_run_that_breaks_ends_with_its_open_questions_withdrawn_and_its_conversation_forgotten(
    tmp_path: Path,
) -> None:
    async with planed(tmp_path) as (spot, plane):
        long = ("turn", json.dumps({"name": "b", "to": 1, "note": "why " * 200}))  # so that it has a card of its own
        await plane.pause(PERSON, "so that nothing runs meanwhile")
        spot.model.turns[:] = [calling(TURN_A, long)]
        await advance(spot.world, "run-1")
        one, other = await spot.journal.approvals(pending=True)
        await approve(spot, one)
        del spot.plant.positions[one.request.action.arguments["name"]]  # the second look at it raises a KeyError
        with spot.journal.subscribe() as events:
            await plane.resume(OTHER)
            async with asyncio.timeout(5):
                async for envelope in events:
                    if isinstance(envelope.event, RunFinished):
                        break
        assert [await spot.state(each) for each in (one, other)] == [ApprovalState.CANCELLED] * 2
        assert (await spot.run()).status is RunStatus.FINISHED
        await plane.stop()
        assert spot.model.forgotten == ["run-1"]
        with pytest.raises(NotAllowed, match="cancelled"):
            await approve(spot, other)


# --- the narrator -----------------------------------------------------------------------------------------------------


async def test_an_incident_that_cannot_be_shown_silences_none_of_the_others(tmp_path: Path) -> None:
    async with planed(tmp_path) as (spot, plane):
        await plane.pause(PERSON, "so that nothing runs meanwhile")
        spot.chat.unshowable = RuntimeError("a bug in a message")
        await plane.receive([replace(PIPELINE, fingerprint="f1", group="one")])
        async with asyncio.timeout(5):
            await spot.chat.told.wait()
            spot.chat.unshowable = None
            spot.chat.told.clear()
            [receipt] = await plane.receive([replace(PIPELINE, fingerprint="f2", group="two")])
            while receipt.incident_id not in {incident.id for incident, _ in spot.chat.incidents}:
                await spot.chat.told.wait()
                spot.chat.told.clear()
        assert plane.narrator.running
        await plane.narrator.stop()
        assert not plane.narrator.running


# --- the sweep --------------------------------------------------------------------------------------------------------


async def test_a_step_of_the_sweep_that_fails_keeps_none_of_the_others_from_its_turn(tmp_path: Path) -> None:
    async with planed(tmp_path) as (spot, plane):
        slow = replace(PIPELINE, fingerprint="s", group="", replaces=False)
        await plane.pause(PERSON, "so that nothing runs meanwhile")
        await plane.receive([slow])
        await plane.receive([replace(slow, firing=False)])
        [held] = await plane.receive([slow])
        assert held.held_until is not None
        approval = await asked_in(spot, "")
        spot.ahead = timedelta(minutes=20)
        spot.chat.broken = RuntimeError("a bug in a card")
        with pytest.raises(ExceptionGroup, match="could not do everything"):
            await plane.sweep()
        spot.chat.broken = None
        assert len(await spot.journal.incidents(open_only=True)) == 1
        assert await expiry.end(spot.world, approval, ApprovalState.CANCELLED, "over")


async def test_the_status_counts_beyond_fifty(tmp_path: Path) -> None:
    async with planed(tmp_path) as (spot, plane):
        await plane.pause(PERSON, "so that nothing runs meanwhile")
        for number in range(60):
            await spot.journal.append(opened(f"i{number}", f"f{number}"), run_started(f"r{number}", f"i{number}"))
        now = await plane.status()
        assert (len(now.open_incidents), len(now.running)) == (60, 61)
