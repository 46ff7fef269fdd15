"""The two agents compared: the product's loop with all it keeps, and a plain openai loop that keeps nothing."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from openai import AsyncOpenAI

from bot.agent.loop import advance
from bot.agent.world import World
from bot.models.openai import connect
from bot.models.rules import Rules
from bot.policy_files import PolicyFiles
from bot.tools import schemas
from domain.actions import Effect, Mode, Target
from domain.alerts import Incident
from domain.decisions import Approval
from domain.errors import ChatError
from domain.events import Draft, RunStarted
from domain.ports import Person, Understood
from domain.runs import Budget, Origin, Run, RunOutcome, RunSpec
from domain.scans import KnownFinding
from policies.policy import ToolSchema
from policies.redaction import Redactor
from storage.journal import SqliteJournal, open_journal

TEXT = "\n".join(
    f"2026-03-01T12:{number:02}:00Z checkout-7d9f8b6c5d-x2x4z request {number} answered 503 after 1000 ms"
    for number in range(27)
)[:2048]
"""What the tool answers: 2 KB of log lines."""

PARAMETERS = {"type": "object", "properties": {"page": {"type": "integer"}}, "required": ["page"]}
BUDGET = Budget(steps=1000, tokens=10**9, cost_micros=10**9, seconds=3600)


@dataclass
class Look:
    """The one tool: it answers 2 KB at once. `marks` are the process's CPU seconds and the clock at each call."""

    marks: list[tuple[float, float]] = field(default_factory=list)
    on_call: Callable[[], None] | None = None
    name: str = "look"
    description: str = "Look at a page of the log."
    effect: Effect = Effect.READ
    parameters: Mapping[str, Any] = field(default_factory=lambda: PARAMETERS)

    def understand(self, arguments: Mapping[str, Any]) -> Understood:
        return Understood(dict(arguments), Target("kubernetes", "", "shop", "Deployment", "checkout"))

    async def read(self, arguments: Mapping[str, Any]) -> Any:
        self.marks.append((time.process_time(), time.perf_counter()))
        if self.on_call:
            self.on_call()
        return {"page": arguments["page"], "log": TEXT}

    def render(self, data: Any) -> str:
        return str(data["log"])


class NoChat:
    """Slack where nobody listens: what the loop says is dropped."""

    async def incident(self, incident: Incident, *, status: str = "") -> None: ...
    async def progress(self, run: Run) -> None: ...
    async def diagnosis(self, run: Run) -> None: ...
    async def scan(self, run: Run, known: Sequence[KnownFinding], now: datetime) -> None: ...
    async def approval(self, approval: Approval) -> None: ...
    async def notice(self, incident_id: str, key: str, text: str) -> None: ...


class NoDirectory:
    """Slack's users where there are none."""

    async def person(self, user_id: str) -> Person:
        raise ChatError

    async def members(self, reference: str) -> frozenset[str]:
        return frozenset()


@dataclass
class Ours:
    """The product's agent on a journal of its own."""

    world: World
    look: Look
    journal: SqliteJournal
    runs: int = 0

    async def run(self) -> Run:
        """One investigation, from its first row to its last."""
        self.runs += 1
        name = f"run-{self.runs}"
        spec = RunSpec(
            name, "", Origin.COMMAND, self.world.model.name, Mode.PROPOSE, Target(), question="Why?", budget=BUDGET
        )
        await self.journal.append(Draft(RunStarted(spec), run_id=name))
        run = await advance(self.world, name)
        assert run.outcome is RunOutcome.DIAGNOSED, run.reason
        assert run.step == int(self.world.model.name.removeprefix("script-")) + 1, run.step
        return run


@asynccontextmanager
async def ours(url: str, path: Path, turns: int) -> AsyncIterator[Ours]:
    """The real loop, journal, gate with the shipped policy, redactor and model client; Slack left out."""
    look, rules = Look(), Rules()
    policy = PolicyFiles(
        "", [*schemas(), ToolSchema(look.name, look.effect, PARAMETERS)], {"AGENT_APPROVERS": ("@sre",)}
    )
    policy.reload()
    assert not policy.problems, policy.problems
    model = connect("sk-bench", url, f"script-{turns}")
    async with open_journal(path, "bench") as journal, aclosing(model):
        world = World(
            journal=journal,
            chat=NoChat(),
            directory=NoDirectory(),
            tools={look.name: look},
            model=model,
            rules=rules,
            redactor=Redactor(key=b"bench"),
            policy=lambda: policy.current,
            environment=lambda namespace: "production",
            mode=lambda: Mode.PROPOSE,
            paused=lambda: "",
            clock=lambda: datetime.now(UTC),
        )
        yield Ours(world, look, journal)


class Plain:
    """What one would write first: `create()` in a loop. It keeps nothing, decides nothing, and is the floor."""

    def __init__(self, url: str, turns: int) -> None:
        self._client = AsyncOpenAI(api_key="sk-bench", base_url=url)
        self._model = f"script-{turns}"
        self.look = Look()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def run(self) -> list[Any]:
        """One investigation; its messages."""
        function: Any = {"name": "look", "description": self.look.description, "parameters": PARAMETERS}
        messages: list[Any] = [{"role": "system", "content": "Diagnose."}, {"role": "user", "content": "Why?"}]
        while True:
            completion = await self._client.chat.completions.create(
                model=self._model, messages=messages, tools=[{"type": "function", "function": function}]
            )
            message = completion.choices[0].message
            messages.append(message.model_dump(exclude_none=True))
            if not message.tool_calls:
                return messages
            for call in message.tool_calls:
                data = await self.look.read(json.loads(call.function.arguments))  # type: ignore[union-attr]
                messages.append({"role": "tool", "tool_call_id": call.id, "content": self.look.render(data)})
