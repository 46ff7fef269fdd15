"""What an incident was worth, on the whole service: from the alert on, priced, and less than nothing once taken back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from domain.events import AlertReceived, BaselinesSet, ExecutionFinished, MessageSent, VoteCast, WorkUnitRecorded
from domain.work import Rollup
from tests.stories.telling import JONAS, MARA, Story, telling


async def week(story: Story) -> Rollup:
    now = story.watch.now() + timedelta(seconds=1)
    found: Rollup = await story.journal.rollup(now - timedelta(days=7), now)
    return found


async def moment(story: Story, kind: type, key: str = "") -> float:
    """When the first event of that kind (and message of that key) was recorded, in epoch seconds."""
    for each in await story.all_events():
        if isinstance(each.event, kind) and (not key or getattr(each.event, "key", "") == key):
            return each.at.timestamp()
    raise AssertionError(kind)


async def test_an_incident_is_worth_its_baseline_until_it_is_taken_back_and_then_costs_it(tmp_path: Path) -> None:
    async with telling(tmp_path, AGENT_BASELINES="remediation=30m", AGENT_COMPUTE_PRICE="3.6") as story:
        assert [event.seconds for event in await story.recorded(BaselinesSet)] == [{"remediation": 1800}]
        await story.begin()
        asked = await story.approval()
        story.watch.ahead += timedelta(minutes=3)
        await story.press(MARA, asked)
        row = await story.finished()
        good = await week(story)
        [unit] = [event.unit for event in await story.recorded(WorkUnitRecorded)]

        begun, carded = (
            await moment(story, AlertReceived),
            await moment(story, MessageSent, f"approval:{asked.request.id}"),
        )
        voted, done = await moment(story, VoteCast), await moment(story, ExecutionFinished)
        assert unit.started_at.timestamp() == begun
        assert abs(unit.people_ms - (voted - carded) * 1000) < 100
        assert unit.people_ms >= 180_000
        assert unit.to_approval_ms <= (done - begun) * 1000 < unit.to_verified_ms
        assert unit.compute_micros == unit.machine_ms  # 3.60 dollars an hour are a millionth a millisecond
        assert (good.estimated.net.value, good.estimated.net.note) == (
            1800 - unit.attention_s,
            "remediation 30 min (set)",
        )
        assert good.measured.compute_cost.value == unit.compute_micros

        await story.plane.propose_undo(row.spec.id, "U07MARA0001")
        undo = await story.approval(after=asked.request.id)
        await story.press(JONAS, undo)
        await story.finished()
        bad = await week(story)
        # back on the revision that crashes: the work is taken back, and the undo's own probe does not hold either
        assert {group.name: group.n for group in bad.by_outcome} == {"reverted": 1}
        assert (bad.estimated.replaced.value, bad.estimated.charged.value) == (0, 1800)
        assert bad.estimated.net.value == -1800 - (bad.estimated.attention.value or 0)
        assert bad.estimated.attention.n == 2  # the undo's card as well
        assert bad.measured.to_verified.n == 0
        assert bad.worst is not None
        assert bad.worst.run_id == row.spec.id
