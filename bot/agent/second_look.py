"""The second look at what a model concluded: asked once in a run, paid from its budget, able only to lower its confidence."""

from __future__ import annotations

import asyncio
import time

from bot.agent.world import Journey, log
from bot.models.second_look import verdict_of
from domain.diagnosis import Confidence
from domain.errors import ModelError
from domain.events import ModelAsked, SecondLookTaken
from domain.runs import Run, SecondLook, Usage
from policies import budget


async def look_again(journey: Journey) -> None:
    """Ask the checker, where there is one and something is claimed. A look that cannot be had changes nothing, and says so."""
    checker, run = journey.world.checker, journey.run
    if checker is None or not wanted(run) or budget.exhausted(run, journey.world.clock()) in ("tokens", "cost"):
        return
    request = checker.request(run)
    asked = ModelAsked(run.step, request.model, request.messages, request.tools_hash, request.request_hash)
    await journey.record(asked)
    began, usage = time.perf_counter(), Usage()
    try:
        async with asyncio.timeout(journey.world.model_seconds):
            answer = await request.send()
        usage, look = answer.usage, verdict_of(answer)
    except (ModelError, TimeoutError) as error:
        reason = str(error) or f"did not answer within {journey.world.model_seconds:.0f} s"
        log.warning("no second look", extra={"run_id": run.id, "model": checker.name, "reason": reason})
        look = SecondLook("failed", reason)
    reason = journey.world.redactor.text(look.reason).text
    took = round((time.perf_counter() - began) * 1000)
    await journey.record(SecondLookTaken(checker.name, SecondLook(look.verdict, reason), usage, took))


def wanted(run: Run) -> bool:
    """Whether there is anything to doubt: a model claims a cause, and nobody has looked again yet."""
    found = run.diagnosis
    if found is None or run.second_look is not None:
        return False
    return bool(found.claims) and found.confidence is not Confidence.NOT_PROVEN
