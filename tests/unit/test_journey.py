"""What a run holds back for the next append, and what has to be on disk before anything gets out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from domain.errors import Conflict
from domain.events import (
    DecisionMade,
    Event,
    ModelAsked,
    ModelFailed,
    RunFinished,
    RunStarted,
    StepPlanned,
    ToolCallFinished,
)
from domain.runs import Answer, Run, RunOutcome
from tests.unit.journeys import Place, calling, concluded, place, spec_of

LOOK, TURN = ("look", '{"name":"a"}'), ("turn", '{"name":"a","to":1}')
FAILED = ModelFailed(1, "script", "silent")


class Over:
    """Another port with some of its functions in front."""

    def __init__(self, port: Any, **functions: Any) -> None:
        self._port = port
        self.__dict__.update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)


async def kinds(spot: Place) -> list[type[Event]]:
    return [type(each.event) for each in await spot.journal.since(0)]


async def test_what_is_held_is_known_at_once_and_written_first_with_the_next_append(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        journey, before = await spot.journey(), await kinds(spot)
        journey.hold(FAILED)
        assert journey.run.model_failure == "script: silent"
        assert await kinds(spot) == before
        await journey.record(StepPlanned(1, "script", calling(LOOK), 0))
        assert await kinds(spot) == [*before, ModelFailed, StepPlanned]
        assert journey.run == await spot.run(), "nothing is folded in twice"


async def test_flushing_writes_what_is_held_once(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        journey = await spot.journey()
        journey.hold(FAILED)
        await journey.flush()
        await journey.flush()
        assert (await kinds(spot)).count(ModelFailed) == 1


async def test_a_refused_append_leaves_nothing_of_what_was_held(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        journey = await spot.journey()
        await spot.record(RunFinished(RunOutcome.CANCELLED, "somebody was first"))
        journey.hold(StepPlanned(1, "script", calling(LOOK), 0))
        with pytest.raises(Conflict):
            await journey.flush()
        assert await journey.reload(), "the journal says something new"
        assert (journey.run.step, journey.run.outcome) == (0, RunOutcome.CANCELLED)
        assert StepPlanned not in await kinds(spot)


async def test_a_conflict_without_news_is_told_from_one_with(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        journey = await spot.journey()
        journey.hold(FAILED)
        with pytest.raises(Conflict):
            await journey.record(RunStarted(spec_of()))
        assert not await journey.reload(), "trying again would end the same way for ever"


async def test_looking_at_the_journal_again_drops_what_is_held(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        journey, before = await spot.journey(), await kinds(spot)
        journey.hold(FAILED)
        assert not await journey.reload()
        await journey.flush()
        assert (journey.run.model_failure, await kinds(spot)) == ("", before)


async def test_a_call_and_its_decision_are_on_disk_before_the_tool_runs(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK), concluded()) as spot:
        seen: list[list[Any]] = []

        async def look() -> None:
            seen.append(await kinds(spot))

        spot.plant.reading = look
        await spot.advance()
        assert [found[-2:] for found in seen] == [[StepPlanned, DecisionMade]]


async def test_a_turn_waits_for_the_disk_twice_and_its_result_is_there_before_the_model_sees_it(tmp_path: Path) -> None:
    turns = [calling((*LOOK, "c1")), calling(("look", '{"name":"b"}', "c2")), concluded()]
    async with place(tmp_path, *turns) as spot:
        appends: list[list[Any]] = []

        async def append(*drafts: Any) -> Any:
            appends.append([type(draft.event) for draft in drafts])
            return await spot.journal.append(*drafts)

        spot.world = replace(spot.world, journal=Over(spot.journal, append=append))
        await spot.advance()
    # the first result is shown in the thread at once, and so is written at once
    assert appends[:4] == [[ModelAsked], [StepPlanned, DecisionMade], [ToolCallFinished], [ModelAsked]]
    assert appends[4:6] == [[StepPlanned, DecisionMade], [ToolCallFinished, ModelAsked]]


async def test_the_models_answer_is_on_disk_before_the_target_of_a_change_is_looked_at(tmp_path: Path) -> None:
    async with place(tmp_path, calling(TURN)) as spot:
        tool, seen = spot.plant.tools()["turn"], list[list[Any]]()

        async def preview(arguments: Any) -> Any:
            seen.append(await kinds(spot))
            return await tool.preview(arguments)

        spot.world = replace(spot.world, tools={**spot.world.tools, "turn": Over(tool, preview=preview)})
        await spot.advance()
        assert [found[-1] for found in seen] == [StepPlanned]


async def test_what_is_told_in_the_thread_is_on_disk_first(tmp_path: Path) -> None:
    async with place(tmp_path, calling(LOOK), concluded()) as spot:
        told: list[tuple[int, int]] = []

        async def progress(run: Run) -> None:
            told.append((run.evidence, (await spot.run()).evidence))

        spot.world = replace(spot.world, chat=Over(spot.chat, progress=progress))
        await spot.advance()
        assert told
        assert all(shown == stored for shown, stored in told)


async def test_a_run_that_is_paused_leaves_nothing_held(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:

        def pausing(_run: Run) -> Answer:
            spot.pause = "a person said so"
            return calling(LOOK)

        spot.model.turns = [pausing]
        run = await spot.advance()
        assert run.step == (await spot.run()).step == 1
