"""Everything that advancing a run needs from outside, and one run on its way through it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime

from domain.actions import Mode, Target
from domain.decisions import AGENT, Actor
from domain.events import Draft, Envelope, Event
from domain.fold import after, fold
from domain.ports import Chat, Checker, Directory, Journal, Model, Tool
from domain.runs import Run
from policies.redaction import Redactor
from policies.rules import Policy

log = logging.getLogger("agent.run")


@dataclass(frozen=True)
class World:
    """The ports and the live settings. Callables are read at each use: they change while the service runs.

    `hour_micros` is the price of an hour of computing in millionths of a US dollar; None means that it is not counted.
    """

    journal: Journal
    chat: Chat
    directory: Directory
    tools: Mapping[str, Tool]
    model: Model
    rules: Model
    redactor: Redactor
    policy: Callable[[], Policy]
    environment: Callable[..., str]
    mode: Callable[[], Mode]
    paused: Callable[[], str]
    clock: Callable[[], datetime]
    model_seconds: float = 90.0
    analysis_seconds: float = 20.0
    scan_seconds: float = 120.0
    aside: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    checker: Checker | None = None
    hour_micros: int | None = None

    def placed(self, target: Target) -> Target:
        """The target with its environment: by its namespace, whatever its tool said; of other systems only the tool knows."""
        if target.system in ("", "kubernetes"):
            return replace(target, environment=self.environment(target.namespace))
        return target

    def model_of(self, run: Run) -> Model:
        """The run's model; the rules where it asked for them or its model has failed."""
        return self.rules if run.model_failure or run.spec.model == self.rules.name else self.model


class Journey:
    """One run being advanced: what is recorded or held is folded in at once, so `run` is always where the run stands."""

    def __init__(self, world: World, run: Run) -> None:
        self.world = world
        self.run = run
        self._held: list[Draft] = []
        self._stored = run

    def hold(self, *events: Event) -> None:
        """Fold events in now and write them with the next append: each append waits for the disk.

        Only for what a crash may take back because doing it again harms nobody, such as a read or the model's words.
        Whoever lets anything out (to the model, to people, to a system that is changed) records or flushes first.
        """
        for draft in self._drafts(events, AGENT):
            self._held.append(draft)
            self.run = after(
                self.run, Envelope(0, "", draft.incident_id, draft.run_id, self.world.clock(), "", draft.event)
            )

    async def record(self, *events: Event, actor: Actor = AGENT) -> None:
        """Append what is held and these events durably, and fold them in. Raises Conflict where somebody else was first."""
        held, self._held = self._held, []
        recorded = await self.world.journal.append(*held, *self._drafts(events, actor))
        for envelope in recorded[len(held) :]:
            self.run = after(self.run, envelope)
        self._stored = self.run

    async def flush(self) -> None:
        """Append what is held."""
        if self._held:
            await self.record()

    async def reload(self) -> bool:
        """Look at the journal again after a Conflict, dropping what is held; whether it says anything new."""
        known, self._held = self._stored, []
        self.run = self._stored = fold(await self.world.journal.of_run(self.run.id))
        return self.run != known

    def _drafts(self, events: Iterable[Event], actor: Actor) -> list[Draft]:
        return [Draft(event, actor, self.run.spec.incident_id, self.run.id) for event in events]
