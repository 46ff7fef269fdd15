"""Many runs at once: a row each, in their order, no more at the same time than allowed, and one that fails stops no other."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from bot.replay.many import as_json, rows
from storage.records import RunRecord
from tests.unit.journeys import RULES, Place, Script, calling, concluded, place, policy_of
from tests.unit.replays import how, record

LOOK = ("look", '{"name":"a"}')


async def recorded(spot: Place, *names: str) -> dict[str, RunRecord]:
    """Runs that looked and concluded, by name."""
    found = {}
    for name in names:
        if name != "run-1":
            await spot.start(name)
        spot.run_id = name
        spot.model.turns[:] = [calling(LOOK), concluded()]
        await spot.advance()
        found[name] = await record(spot, name)
    return found


async def test_rows_come_in_the_order_of_the_runs_with_progress_after_each(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        found = await recorded(spot, "run-1", "run-2", "run-3")
    told: list[tuple[int, int]] = []

    async def read(name: str) -> RunRecord | None:
        return found.get(name)

    names = ["run-3", "run-gone", "run-1", "run-2"]
    came = await rows(names, read, how(policy_of(RULES)), 2, lambda done, total: told.append((done, total)))
    assert [row.run for row in came] == names
    assert [row.problem for row in came] == ["", "it is not there any more", "", ""]
    assert [row.differences for row in came] == [0, 0, 0, 0]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("at_once", [1, 3])
async def test_no_more_runs_go_on_at_the_same_time_than_are_allowed(tmp_path: Path, at_once: int) -> None:
    names = [f"run-{number}" for number in range(1, 7)]
    async with place(tmp_path) as spot:
        found = await recorded(spot, *names)
    now, most = 0, 0

    async def read(name: str) -> RunRecord | None:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        for _ in range(5):
            await asyncio.sleep(0)
        now -= 1
        return found[name]

    await rows(names, read, how(policy_of(RULES)), at_once, lambda *_: None)
    assert most == at_once


async def test_a_run_that_cannot_be_gone_through_is_a_row_and_the_others_go_on(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        found = await recorded(spot, "run-1", "run-2")
    found["run-1"] = replace(found["run-1"], own=found["run-1"].own[1:])

    async def read(name: str) -> RunRecord | None:
        return found[name]

    came = await rows(list(found), read, how(policy_of(RULES)), 4, lambda *_: None)
    assert "does not begin with RunStarted" in came[0].problem
    assert came[1].problem == ""


async def test_the_table_for_a_program_has_every_run_and_the_totals(tmp_path: Path) -> None:
    async with place(tmp_path) as spot:
        found = await recorded(spot, "run-1", "run-2")

    async def read(name: str) -> RunRecord | None:
        return found[name]

    tried = how(policy_of(RULES), model=Script([calling(LOOK), concluded()] * 2, name="other"))
    came = await rows(list(found), read, tried, 1, lambda *_: None)
    table = as_json("local", came, tried)
    assert (table["workspace"], table["model"], table["policy"]) == ("local", "other", policy_of(RULES).hash)
    assert [row["run"] for row in table["runs"]] == ["run-1", "run-2"]
    assert table["totals"]["n"] == 2
    assert table["totals"]["same_action"] == {"count": 2, "of": 2, "interval_95": [0.3424, 1.0], "neither_proposes": 2}


async def test_there_are_no_rows_of_no_runs() -> None:
    async def read(name: str) -> RunRecord | None:
        raise AssertionError(name)

    assert await rows([], read, how(policy_of(RULES)), 4, lambda *_: None) == []
