"""How much people are asked, and when what they approved may run."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from domain.decisions import ApprovalState, ExecutionOutcome, Verdict
from domain.events import ApprovalRequested, ExecutionFinished, ExecutionStarted
from domain.runs import Budget
from policies.asking import MAX_OPEN_IN_INCIDENT
from tests.contracts.journal_samples import opened
from tests.unit.journeys import RULES, Place, calling, concluded, place, policy_of


def turn(name: str, to: int) -> tuple[str, str]:
    return ("turn", f'{{"name":"{name}","to":{to}}}')


def many(count: int, first: int = 1) -> list[tuple[str, str]]:
    return [turn("a", first + number) for number in range(count)]


async def asked(spot: Place) -> int:
    return len(await spot.events(ApprovalRequested))


async def answers(spot: Place) -> list[str]:
    return [call.result.text for call in (await spot.run()).calls.values() if call.result]


async def test_a_turn_of_twenty_changes_asks_no_more_than_the_run_may_make(tmp_path: Path) -> None:
    async with place(tmp_path, calling(*many(20)), concluded()) as spot:
        await spot.advance()
        assert await asked(spot) == Budget().actions == 3
        told = await answers(spot)
        assert len(told) == 17
        assert told[0].startswith("turn was not asked: 3 questions of this run wait for people already")


async def test_a_run_that_is_denied_again_and_again_stops_asking(tmp_path: Path) -> None:
    """One change after the other, each a little different: a person's patience is not what ends it."""
    turns = [calling((*turn("a", number), f"t{number}")) for number in range(1, 9)]
    async with place(tmp_path, *turns, concluded()) as spot:
        await spot.advance()
        while await spot.journal.approvals(pending=True):
            await spot.vote(Verdict.DENY, reason="no")
            await spot.advance()
        assert await asked(spot) == 2 * Budget().actions
        assert any("This run has asked people 6 times. It asks no more." in text for text in await answers(spot))
        assert await spot.events(ExecutionStarted) == []


async def test_an_incident_asks_only_so_much_at_once_however_many_runs_it_has(tmp_path: Path) -> None:
    async with place(tmp_path, incident_id="i1") as spot:
        await spot.journal.append(opened("i1"))
        for number in range(9):
            run_id = f"run-{number + 2}"
            await spot.start(run_id, incident_id="i1")
            spot.run_id, spot.model.turns = run_id, [calling(*many(3, 10 * number)), concluded()]
            await spot.advance()
        cards = {event.request.card for event in await spot.events(ApprovalRequested)}
        assert len(cards) == MAX_OPEN_IN_INCIDENT == 6


async def test_an_execution_makes_room_for_no_further_question_than_changes_are_left(tmp_path: Path) -> None:
    async with place(tmp_path, calling(turn("a", 1)), calling(*many(5, 2)), concluded()) as spot:
        await spot.advance()
        await spot.vote()
        await spot.advance()
        assert await asked(spot) == 1 + 2


# --- the change window ------------------------------------------------------------------------------------------------


def window(opens: datetime) -> str:
    """A policy whose turns run in the hour that begins then."""
    hours = f"{opens:%H}:00-{opens:%H}:59"
    days = "[mon, tue, wed, thu, fri, sat, sun]"
    calendar = f"calendars: {{window: {{days: {days}, hours: {hours}}}}}\n"
    return calendar + RULES.replace("expires: 30m", "expires: 2h, window: window")


async def test_what_was_approved_waits_for_its_window_and_then_runs_once(tmp_path: Path) -> None:
    async with place(tmp_path, calling(turn("a", 1)), concluded()) as spot:
        later = spot.now() + timedelta(hours=1)
        spot.policy = policy_of(window(later))
        await spot.advance()
        approval = await spot.pending()
        await spot.vote()
        await spot.advance()
        assert spot.plant.executed == []
        assert await spot.state(approval) is ApprovalState.APPROVED
        spot.ahead = later.replace(minute=30) - spot.now()
        await spot.advance()
        await spot.advance()
        assert spot.plant.executed == [("a", 1)]
        assert [event.outcome for event in await spot.events(ExecutionFinished)] == [ExecutionOutcome.SUCCEEDED]


async def test_a_target_is_not_looked_at_while_the_window_is_shut(tmp_path: Path) -> None:
    async with place(tmp_path, calling(turn("a", 1))) as spot:
        spot.policy = policy_of(window(spot.now() + timedelta(hours=1)))
        await spot.advance()
        approval = await spot.vote()
        spot.plant.unreachable = "the API server is down"  # whoever looked would cancel it
        await spot.advance()
        assert await spot.state(approval) is ApprovalState.APPROVED


async def test_a_window_that_opens_too_late_lets_the_approval_expire(tmp_path: Path) -> None:
    async with place(tmp_path, calling(turn("a", 1)), concluded()) as spot:
        spot.policy = policy_of(window(spot.now() + timedelta(hours=4)))
        await spot.advance()
        approval = await spot.pending()
        await spot.vote()
        spot.ahead = timedelta(hours=2, minutes=1)
        await spot.advance()
        assert spot.plant.executed == []
        assert await spot.state(approval) is ApprovalState.EXPIRED
