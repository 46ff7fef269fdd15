"""Runs of the journeys gone through again: with ports behind them that must not be touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bot.models.rules import NAME as RULES, Rules
from bot.replay.compared import Compared, compare
from bot.replay.rerun import How
from domain.ports import Model, Request, Tool, ToolOffer
from domain.runs import Run
from policies.rules import Policy
from storage.records import RunRecord
from tests.unit.journeys import Place, Plant, policy_of


class Untouchable(Plant):
    """A plant whose every function that looks at or changes anything fails."""

    def __getattribute__(self, name: str) -> Any:
        if name in ("read", "preview", "execute", "arrived", "probe"):
            return _touched
        return super().__getattribute__(name)


async def _touched(*_: Any) -> Any:
    raise AssertionError("a real port was used")


class Silent:
    """A model that builds the requests of the journeys' scripted one, and must never be asked."""

    def __init__(self, name: str) -> None:
        self.name = name

    def request(self, run: Run, tools: Sequence[ToolOffer]) -> Request:
        return Request(self.name, ({"turn": run.step + 1},), "", "", _touched)

    def forget(self, run_id: str) -> None:
        """Nothing is kept."""


def untouchable() -> Mapping[str, Tool]:
    """What the tools are, with nothing behind them."""
    return Untouchable().tools()


def how(policy: Policy, **more: Any) -> How:
    """Today's code, this policy, and the recorded answers unless a model is given."""
    asking = lambda name: Rules() if name == RULES else Silent(name)  # noqa: E731
    return How(policy, untouchable(), lambda namespace: "production", asking=asking, **more)


async def record(spot: Place, run_id: str = "") -> RunRecord:
    """The run as the journal has it."""
    found = await spot.journal.record(run_id or spot.run_id)
    assert found is not None
    return found


async def again(spot: Place, policy: str | None = None, model: Model | None = None, **more: Any) -> Compared:
    """The run gone through again: with the policy it was decided by unless another is given."""
    tried = policy_of(policy) if policy is not None else spot.policy
    assert tried is not None
    return await compare(await record(spot, **more), how(tried, model=model))


def said(compared: Compared) -> list[str]:
    """The differences in words."""
    return [str(each) for each in compared.differences]


def of_kind(compared: Compared, kind: str) -> list[tuple[str, str]]:
    """Both sides of every difference of a kind."""
    return [(each.before, each.after) for each in compared.differences if each.kind == kind]
