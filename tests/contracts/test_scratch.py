"""The journal in memory is the journal: the same rows and refusals, in one thread, and what it cannot know it is told."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from hypothesis import given, settings, strategies as st

from domain.actions import Mode
from domain.errors import Conflict
from domain.events import ApprovalClosed, ApprovalState, Draft, IncidentResolved, ModeChanged, RunFinished
from domain.runs import RunOutcome
from storage.journal import SqliteJournal, open_journal
from storage.scratch import open_scratch
from tests.contracts.journal_samples import (
    NOON,
    Clock,
    denied,
    ended,
    execution,
    message,
    opened,
    requested,
    run_started,
    step,
    vote,
)


@dataclass
class Told:
    """What the rest of the record says."""

    problems: int | None = None

    def rates(self, target_key: str) -> Mapping[str, int]:
        return {"target": 3} if target_key == "known" else {}

    def trust(self, tool: str, environment: str) -> Mapping[str, int]:
        return {"executed": 5} if tool == "known" else {}

    def acted(self, problems: Sequence[str]) -> int | None:
        return self.problems


DRAFTS = st.sampled_from(
    [
        opened("i1"), opened("i1", "f1"), opened("i2", "f1"), run_started(), run_started("r2"), step(), requested(),
        requested("a2", call_id="c2"), vote(), vote(user="U2"), denied(), execution(), execution("x2", "a2"), ended(),
        message(), message(revision=2), Draft(ApprovalClosed("a1", ApprovalState.EXPIRED, "")),
        Draft(RunFinished(RunOutcome.DIAGNOSED, ""), run_id="r1"), Draft(ModeChanged(Mode.ACT)),
        Draft(IncidentResolved("over"), incident_id="i1"),
    ]
)  # fmt: skip


async def offer(journal: SqliteJournal, appends: Sequence[Sequence[Draft]]) -> list[Any]:
    """What each append came to, and what can be read afterwards."""
    came: list[Any] = []
    for drafts in appends:
        try:
            came.append([replace(each, hash="") for each in await journal.append(*drafts)])
        except Conflict as refusal:
            came.append(str(refusal))
    read = [await journal.incidents(), await journal.runs(), await journal.approvals(), await journal.control()]
    return [*came, *read, await journal.message("incident:i1"), await journal.brakes(NOON - timedelta(hours=1))]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(DRAFTS, min_size=1, max_size=3), max_size=12))
def test_it_takes_and_refuses_what_the_one_on_disk_does(appends: list[list[Draft]]) -> None:
    async def both(folder: Path) -> None:
        async with open_journal(folder / "a.db", "local", clock=Clock()) as on_disk:
            expected = await offer(on_disk, appends)
        async with open_scratch("local", clock=Clock(), beyond=Told()) as scratch:
            assert await offer(scratch, appends) == expected

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(both(Path(folder)))


async def test_it_starts_no_thread_and_leaves_no_file(tmp_path: Path) -> None:
    before = threading.active_count()
    async with open_scratch("local", clock=Clock(), beyond=Told()) as scratch:
        await scratch.append(opened(), run_started())
        assert threading.active_count() == before
    assert list(tmp_path.iterdir()) == []


async def test_each_is_empty_whatever_the_one_before_held() -> None:
    for _ in range(2):
        async with open_scratch("local", clock=Clock(), beyond=Told()) as scratch:
            assert [each.seq for each in await scratch.append(run_started())] == [1]


async def test_appends_at_the_same_time_come_in_the_order_in_which_they_were_made() -> None:
    async with open_scratch("local", clock=Clock(), beyond=Told()) as scratch:
        await asyncio.gather(*(scratch.append(run_started(f"r{number}")) for number in range(50)))
        names = [f"r{number}" for number in range(50)]
        assert [row.spec.id for row in reversed(await scratch.runs())] == names
        assert [each.run_id for each in scratch.recorded] == names


async def test_what_it_cannot_know_it_answers_as_it_was_told() -> None:
    told = Told()
    async with open_scratch("local", clock=Clock(), beyond=told) as scratch:
        assert (await scratch.rates("known", NOON), await scratch.rates("other", NOON)) == ({"target": 3}, {})
        assert (await scratch.trust("known", "production"), await scratch.trust("other", "")) == ({"executed": 5}, {})
        assert await scratch.acted(("alert f1",), NOON) == 0
        told.problems = 2
        assert await scratch.acted(("alert f1",), NOON) == 2
