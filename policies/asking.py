"""How much people may be asked: attention is a budget too, and who is flooded with questions clicks."""

from __future__ import annotations

from domain.decisions import ApprovalState
from domain.runs import Run

MAX_OPEN_IN_INCIDENT = 6


def too_many_questions(run: Run, open_in_incident: int, asking: int = 0) -> str:
    """Why people are not asked more now, empty while they may be.

    `open_in_incident` counts cards; `asking` is how many requests are about to be made in the same moment. No more
    questions are open than the run has changes left; in all it asks at most twice as often as it may make changes.
    """
    asked = {call.approval.request.id: call.approval.state for call in run.calls.values() if call.approval}
    waiting = sum(state is ApprovalState.PENDING for state in asked.values()) + asking
    left = run.spec.budget.actions - len(run.executions)
    if waiting >= left:
        return f"{waiting} questions of this run wait for people already, and it may make {left} more changes."
    if len(asked) + asking >= 2 * run.spec.budget.actions:
        return f"This run has asked people {len(asked)} times. It asks no more."
    if open_in_incident >= MAX_OPEN_IN_INCIDENT:
        return f"{open_in_incident} questions of this incident wait for people already."
    return ""
