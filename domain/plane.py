"""What the core offers: the control plane, what it is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

from domain.actions import Mode
from domain.alerts import Alert, Incident
from domain.authority import BreakGlass, Delegation
from domain.decisions import Actor, Approval, ApprovalRequest, Vote
from domain.feedback import FeedbackGiven
from domain.noise import MaintenanceWindow
from domain.ports import RunRow
from domain.runs import Origin
from domain.scans import KnownFinding
from domain.work import Rollup


@dataclass(frozen=True)
class Question:
    """What a person asked. `thread_ts` is empty where no thread exists yet."""

    text: str
    user: str
    channel: str
    origin: Origin
    thread_ts: str = ""
    key: str = ""


@dataclass(frozen=True)
class Receipt:
    """What became of an alert or a question.

    An alert that waits has no incident yet: it opens one at `held_until` if it still fires. `repeats` is the resolved incident
    that it is like, `why` the reason in words. `replaced` are the incidents that the alert has brought to an end.
    """

    incident_id: str
    run_id: str = ""
    opened: bool = False
    held_until: datetime | None = None
    repeats: str = ""
    why: str = ""
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """What `/agent status` and App Home show."""

    mode: Mode
    paused: str
    model: str
    policy_hash: str
    policy_problems: tuple[str, ...]
    open_incidents: tuple[Incident, ...]
    pending: tuple[Approval, ...]
    running: tuple[RunRow, ...]
    week: Rollup | None = None
    brakes: tuple[str, ...] = ()
    maintenance: tuple[MaintenanceWindow, ...] = ()
    held: int = 0


class ControlPlane(Protocol):
    """What the world may ask of the agent."""

    async def receive(self, alerts: Sequence[Alert]) -> Sequence[Receipt]:
        """Alerts from a monitor; durable when this returns."""
        ...

    async def ask(self, question: Question) -> Receipt:
        """A question from a person; durable when this returns."""
        ...

    async def vote(self, approval_id: str, vote: Vote, *, channel: str, message_ts: str) -> Approval:
        """A click on a card. Raises NotAllowed with the sentence for the person, and records the refusal."""
        ...

    async def propose_edit(self, approval_id: str, user: str, arguments: Mapping[str, Any]) -> ApprovalRequest | None:
        """A new proposal in place of an open one, with a new digest; its editor cannot vote. Raises NotAllowed, BadInput."""
        ...

    async def propose_undo(self, reference: str, user: str) -> str:
        """Propose the stored undo of an execution in a run of its own; its id. Raises NotAllowed, BadInput.

        `reference` is the approval request's id, or the run's.
        """
        ...

    async def may_rate(self, user: str) -> None:
        """Whether this person may rate a diagnosis. Raises NotAllowed with the sentence for the person."""
        ...

    async def feedback(self, word: FeedbackGiven) -> None:
        """A person's word on a diagnosis, in place of their earlier one. Raises NotAllowed, BadInput."""
        ...

    async def break_glass(self, incident: str, user: str, minutes: int, reason: str) -> BreakGlass:
        """One person may approve alone for one incident, for a while. Raises NotAllowed, BadInput."""
        ...

    async def review(self, glass_id: str, user: str, comment: str) -> BreakGlass:
        """Somebody else has looked at a break-glass. Raises NotAllowed, BadInput."""
        ...

    async def delegate(self, user: str, to: str, hours: int) -> Delegation:
        """Let somebody else vote in this person's place. Raises NotAllowed, BadInput."""
        ...

    async def end_delegation(self, user: str) -> None:
        """Vote for oneself again. Raises BadInput where nothing was delegated."""
        ...

    async def pause(self, by: Actor, reason: str) -> None:
        """No new runs, no executions."""
        ...

    async def resume(self, by: Actor) -> None:
        """Go on."""
        ...

    async def set_mode(self, by: Actor, mode: Mode) -> None:
        """observe, propose or act. Raises NotAllowed where the setting AGENT_MODE=observe allows nothing else."""
        ...

    async def scan(self, user: str, channel: str, namespace: str, key: str) -> Receipt:
        """Scan the configuration of a namespace, or of all. Asked twice (same key), done once. Raises BadInput."""
        ...

    async def propose_finding(self, key: str, user: str) -> str:
        """Propose a configuration finding's change in a run of its own; its id. Raises NotAllowed, BadInput."""
        ...

    async def snooze_finding(self, key: str, user: str, owner: str, until: date, reason: str) -> KnownFinding:
        """Leave a configuration finding to somebody until that day. Raises NotAllowed, BadInput."""
        ...

    async def begin_maintenance(self, by: Actor, namespace: str, minutes: int, reason: str) -> MaintenanceWindow:
        """Until then, alerts of these namespaces open nothing. Raises NotAllowed, BadInput."""
        ...

    async def end_maintenance(self, by: Actor, window_id: str) -> MaintenanceWindow:
        """The work is over; what still fires opens incidents now. Raises NotAllowed, BadInput."""
        ...

    async def reset_breaker(self, by: Actor, scope: str) -> str:
        """Close a tool's breaker or the agent's; the sentence for the person. Raises NotAllowed, BadInput."""
        ...

    async def restore_autonomy(self, by: Actor, tool: str, environment: str) -> str:
        """Let policy decide again after a demotion; the sentence for the person. Raises NotAllowed, BadInput."""
        ...

    async def status(self) -> Status:
        """Where things stand."""
        ...

    async def why(self, reference: str) -> str:
        """Why an action was decided as it was: rules, facts, votes. `reference` is an approval id or a unique start of it."""
        ...

    async def explain(self, tool: str, arguments: Mapping[str, Any], user: str) -> str:
        """What policy would say of this action now, rule by rule; nothing is proposed."""
        ...

    def allowed_bots(self, channel: str) -> Sequence[str]:
        """Bot or app ids whose messages in this channel are alerts."""
        ...

    def environment(self, *places: str) -> str:
        """The environment that the server's inventory gives a namespace or another place; unlisted is production."""
        ...
