"""A model that says again what was recorded. It asks as today's code asks, so that a changed prompt shows."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from domain.errors import AgentError, ModelError
from domain.ports import Checker, Model, Request, ToolOffer
from domain.runs import Answer, Run, SecondLook, Usage


class RecordingEnds(AgentError):
    """The recording holds no further answer of the model."""


@dataclass(frozen=True)
class Turn:
    """One recorded turn: the answer, or why there was none."""

    at: datetime
    answer: Answer
    failure: str = ""


class RecordedModel:
    """Satisfies domain.ports.Model. `turns` are answered in order, whatever is asked; several models may share them.

    `like` builds the requests, and never sends one. `reached` is told the time of each turn.
    """

    def __init__(
        self, name: str, turns: deque[Turn], like: Model, reached: Callable[[datetime], Awaitable[None]]
    ) -> None:
        self._name = name
        self._turns = turns
        self._like = like
        self._reached = reached

    @property
    def name(self) -> str:
        """As it was recorded."""
        return self._name

    def request(self, run: Run, tools: Sequence[ToolOffer]) -> Request:
        """Today's request. `send` raises RecordingEnds where the recording has no further turn."""
        return replace(self._like.request(run, tools), model=self._name, send=self._answer)

    def forget(self, run_id: str) -> None:
        """Nothing of a run is kept here."""
        self._like.forget(run_id)

    async def _answer(self) -> Answer:
        if not self._turns:
            raise RecordingEnds
        turn = self._turns.popleft()
        await self._reached(turn.at)
        if turn.failure and turn.answer.usage == Usage():
            raise ModelError(turn.failure)
        return turn.answer  # a failure that cost something was an answer that said nothing


class RecordedChecker:
    """Satisfies domain.ports.Checker: the second look that was recorded, asked for as today's code asks."""

    def __init__(
        self,
        name: str,
        look: SecondLook,
        usage: Usage,
        at: datetime,
        like: Checker,
        reached: Callable[[datetime], Awaitable[None]],
    ) -> None:
        self._name = name
        self._look = look
        self._usage = usage
        self._at = at
        self._like = like
        self._reached = reached

    @property
    def name(self) -> str:
        """As it was recorded."""
        return self._name

    def request(self, run: Run) -> Request:
        """Today's request."""
        return replace(self._like.request(run), model=self._name, send=self._answer)

    async def _answer(self) -> Answer:
        await self._reached(self._at)
        if self._look.verdict == "failed":
            raise ModelError(self._look.reason)
        said = json.dumps({"verdict": self._look.verdict, "reason": self._look.reason})
        return Answer(text=said, usage=self._usage)
