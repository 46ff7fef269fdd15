"""What was approved under milder terms than policy asks for by now is asked again, not executed."""

from __future__ import annotations

from pathlib import Path

from domain.decisions import ApprovalState
from domain.events import ExecutionStarted
from tests.unit.journeys import RULES, calling, concluded, place

TURN = calling(("turn", '{"name": "a", "to": 1}'))
STRICTER = (
    RULES
    + """
  - id: busy
    decision: ask
    match: {effects: [write]}
    when: rate.agent_1h >= 1
    approval: {groups: [approvers], quorum: 2}
    reason: The agent changes much just now, so two people decide.
"""
)


async def test_an_approval_does_not_carry_a_change_that_needs_more_people_by_now(tmp_path: Path) -> None:
    async with place(tmp_path, TURN, concluded(), policy=STRICTER) as spot:
        await spot.advance()
        spot.pause = "wait"
        approved = await spot.vote()
        assert approved.state is ApprovalState.APPROVED
        elsewhere = ExecutionStarted("x9", "c9", approved.request.action, "k9", "d9")
        await spot.record(elsewhere, run_id="run-9")
        spot.pause = ""
        await spot.advance()
        assert await spot.state(approved) is ApprovalState.SUPERSEDED
        assert spot.plant.executed == []
        again = await spot.pending()
        assert again.request.terms.quorum == 2
        assert "under other terms by now (rule busy)" in again.request.note
