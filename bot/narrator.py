"""Keeps each incident's message true: its counter, its state, what the agent is doing. Edits are coalesced per incident."""

from __future__ import annotations

import asyncio

from bot.agent.world import World, log
from domain.alerts import Incident
from domain.decisions import ApprovalState
from domain.runs import RunOutcome, RunStatus

EVERY_SECONDS = 0.5
"""At most this often an incident's message is looked at again; the sender spaces what Slack gets further."""


class Narrator:
    """Touched incidents are shown again soon; a storm of alerts costs one edit per interval, not one per alert."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._touched: dict[str, None] = {}
        self._introduced: set[str] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start telling."""
        self._task = asyncio.create_task(self._tell(), name="narrator")

    async def stop(self) -> None:
        """Stop; the next start touches every open incident."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def running(self) -> bool:
        """Whether incidents' messages are kept true."""
        return self._task is not None and not self._task.done()

    def touch(self, incident_id: str) -> None:
        """Something about an incident changed."""
        if incident_id:
            self._touched[incident_id] = None
            self._wake.set()

    async def introduce(self, incident_id: str) -> None:
        """See to it that an incident has its message before anything is said below it."""
        if incident_id and incident_id not in self._introduced:
            self._introduced.add(incident_id)
            await self._show(incident_id)

    async def _tell(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            touched, self._touched = list(self._touched), {}
            for incident_id in touched:
                try:
                    await self._show(incident_id)
                except Exception:  # noqa: BLE001 – one incident's surprise must not freeze the messages of all
                    log.exception("an incident could not be shown", extra={"incident_id": incident_id})
            await asyncio.sleep(EVERY_SECONDS)

    async def _show(self, incident_id: str) -> None:
        incident = await self._world.journal.incident(incident_id)
        if incident is not None:
            await self._world.chat.incident(incident, status=await self._status(incident))

    async def _status(self, incident: Incident) -> str:
        """What the agent is doing about it, in two or three words; empty where the incident's state says it all."""
        journal = self._world.journal
        approvals = await journal.approvals(incident_id=incident.id, limit=1)
        if approvals:
            execution = approvals[0].execution
            if execution is not None and execution.verified is not None:
                return "Verified" if execution.verified else "Executed, not verified"
            if execution is not None:
                return "Executing" if execution.outcome is None else "Executed, verifying"
            if approvals[0].state is ApprovalState.PENDING:
                return "Waiting for approval"
        runs = await journal.runs(incident_id=incident.id, limit=1)
        if not runs:
            return ""
        if runs[0].status is not RunStatus.FINISHED:
            return "Paused" if self._world.paused() else "Investigating"
        return {RunOutcome.FAILED: "Run failed", RunOutcome.CANCELLED: "Run cancelled"}.get(
            runs[0].outcome or RunOutcome.DIAGNOSED, "Diagnosed"
        )
