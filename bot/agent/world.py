"""Everything that advancing a run needs from outside, and one run on its way through it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from domain.actions import Mode
from domain.decisions import AGENT, Actor
from domain.events import Draft, Event
from domain.fold import after
from domain.ports import Chat, Directory, Journal, Model, Tool
from domain.runs import Run
from policies.redaction import Redactor
from policies.rules import Policy

log = logging.getLogger("agent.run")


@dataclass(frozen=True)
class World:
    """The ports and the live settings. Callables are read at each use: they change while the service runs."""

    journal: Journal
    chat: Chat
    directory: Directory
    tools: Mapping[str, Tool]
    model: Model
    rules: Model
    redactor: Redactor
    policy: Callable[[], Policy]
    environment: Callable[[str], str]
    mode: Callable[[], Mode]
    paused: Callable[[], str]
    clock: Callable[[], datetime]

    def model_of(self, run: Run) -> Model:
        """The run's model; the rules where it asked for them or its model has failed."""
        return self.rules if run.model_failure or run.spec.model == self.rules.name else self.model


class Journey:
    """One run being advanced: what is recorded is folded in at once, so `run` is always what the journal says."""

    def __init__(self, world: World, run: Run) -> None:
        self.world = world
        self.run = run

    async def record(self, *events: Event, actor: Actor = AGENT) -> None:
        """Append events durably and fold them in. Raises Conflict where somebody else was first."""
        drafts = [Draft(event, actor, self.run.spec.incident_id, self.run.id) for event in events]
        for envelope in await self.world.journal.append(*drafts):
            self.run = after(self.run, envelope)
