"""The recorded model: it asks as today, answers as then, in order, and sends nothing to anybody."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.models.recorded import RecordedChecker, RecordedModel, RecordingEnds, Turn
from bot.models.second_look import Checker, verdict_of
from domain.diagnosis import Claim, Confidence, Diagnosis
from domain.errors import ModelError
from domain.events import DiagnosisConcluded, Envelope, FindingsReported, RunStarted
from domain.fold import fold
from domain.runs import Answer, Run, SecondLook, Usage
from tests.unit.journeys import calling, concluded, spec_of
from tests.unit.replays import Silent

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def run(diagnosis: Diagnosis | None = None) -> Run:
    events: list[Any] = [RunStarted(spec_of()), FindingsReported((), 0)]
    events += [DiagnosisConcluded(diagnosis)] if diagnosis else []
    return fold(Envelope(place, "local", "", "run-1", AT, "agent", event) for place, event in enumerate(events))


def model(*turns: Turn) -> tuple[RecordedModel, list[datetime]]:
    reached: list[datetime] = []

    async def reach(at: datetime) -> None:
        reached.append(at)

    return RecordedModel("gpt", deque(turns), Silent("other"), reach), reached


async def test_turns_are_answered_in_order_at_their_times_until_there_are_no_more() -> None:
    first, second = calling(("look", "{}")), concluded()
    asked, reached = model(Turn(AT, first), Turn(AT + timedelta(seconds=9), second))
    assert [await asked.request(run(), ()).send() for _ in range(2)] == [first, second]
    assert reached == [AT, AT + timedelta(seconds=9)]
    with pytest.raises(RecordingEnds, match="no further answer"):
        await asked.request(run(), ()).send()


async def test_the_request_is_today_s_under_the_recorded_name() -> None:
    asked, _ = model(Turn(AT, concluded()))
    request = asked.request(run(), ())
    assert (request.model, request.messages) == ("gpt", ({"turn": 1},))
    asked.forget("run-1")


async def test_a_turn_that_failed_fails_and_one_that_cost_something_is_paid_again() -> None:
    asked, _ = model(Turn(AT, Answer(), "did not answer"), Turn(AT, Answer(usage=Usage(9, 1)), "said nothing"))
    with pytest.raises(ModelError, match="did not answer"):
        await asked.request(run(), ()).send()
    assert await asked.request(run(), ()).send() == Answer(usage=Usage(9, 1))


async def test_models_may_share_their_turns() -> None:
    async def reach(_: datetime) -> None:
        return

    turns = deque([Turn(AT, calling(("look", "{}"))), Turn(AT, concluded())])
    one, other = (RecordedModel(name, turns, Silent(name), reach) for name in ("gpt", "rules"))
    await one.request(run(), ()).send()
    assert (await other.request(run(), ()).send()).diagnosis is not None
    assert not turns


async def nobody(_: bytes) -> Any:
    raise AssertionError("a checker was asked")


def checker(look: SecondLook) -> RecordedChecker:
    async def reach(_: datetime) -> None:
        return

    return RecordedChecker("cheap", look, Usage(5, 1), AT, Checker("cheap", nobody), reach)


CLAIMED = Diagnosis("It leaks.", "An old seal.", Confidence.LIKELY, "gpt", claims=(Claim("An old seal.", ("E1",)),))


async def test_a_second_look_says_what_it_said_and_costs_what_it_cost() -> None:
    look = SecondLook("partly", "a step is missing")
    request = checker(look).request(run(CLAIMED))
    assert "An old seal." in str(request.messages)
    answer = await request.send()
    assert (verdict_of(answer), answer.usage) == (look, Usage(5, 1))


async def test_a_second_look_that_could_not_be_had_cannot_be_had() -> None:
    with pytest.raises(ModelError, match="gave no verdict"):
        await checker(SecondLook("failed", "gave no verdict")).request(run(CLAIMED)).send()
