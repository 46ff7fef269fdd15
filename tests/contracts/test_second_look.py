"""The second look over the wire: it may lower a confidence, it never raises one, and what cannot be had changes nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.local.model import Fault, call, say, turns
from bot.models.second_look import Checker
from domain.diagnosis import Confidence, Diagnosis
from domain.events import ModelAsked, SecondLookTaken
from domain.fold import doubted
from domain.runs import RunOutcome, SecondLook
from tests.contracts.test_openai_model import CONCLUSION, LOOK_A, served
from tests.unit.journeys import SECRET, Place

CHECKS: list[Mapping[str, Any]] = []


@asynccontextmanager
async def checked(folder: Path, verdict: Any, *, stream: bool = False, **said: Any) -> AsyncIterator[Place]:
    """A run whose conclusion is looked at again by another model of the same server."""
    CHECKS.clear()

    def answers(request: Mapping[str, Any]) -> Any:
        if request["model"] == "cheap":
            CHECKS.append(request)
            return verdict
        return call(LOOK_A) if turns(request) == 0 else call(("conclude", CONCLUSION | said))

    async with served(folder, answers, stream=stream) as (spot, _):
        model: Any = spot.world.model
        spot.world = replace(spot.world, checker=Checker("cheap", model.complete))
        yield spot


def said(verdict: str, reason: str = "") -> Any:
    return call(("verdict", {"verdict": verdict, "reason": reason}))


@pytest.mark.parametrize("stream", [False, True], ids=["JSON", "SSE"])
@pytest.mark.parametrize(
    ("verdict", "confidence"),
    [("supported", Confidence.PROVEN), ("partly", Confidence.LIKELY), ("unsupported", Confidence.NOT_PROVEN)],
)
async def test_a_second_look_lowers_the_confidence_and_says_why(
    tmp_path: Path, verdict: str, confidence: Confidence, stream: bool
) -> None:
    async with checked(tmp_path, said(verdict, f"no {SECRET}"), stream=stream) as spot:
        run = await spot.advance()
        assert run.diagnosis is not None
        assert run.diagnosis.confidence is confidence
        assert (verdict == "supported") is (run.diagnosis.note == "")
        assert run.second_look is not None
        assert run.second_look.verdict == verdict
        assert SECRET not in str(run)
        [check] = CHECKS
        asked = check["messages"][1]["content"]
        assert "- It is old." in asked
        assert "[E1] look" in asked
        recorded = [event for event in await spot.events(ModelAsked) if event.model == "cheap"]
        assert [message["content"] for message in recorded[0].messages] == [m["content"] for m in check["messages"]]


async def test_its_tokens_are_the_runs(tmp_path: Path) -> None:
    async with checked(tmp_path, said("supported")) as spot:
        run = await spot.advance()
        [taken] = await spot.events(SecondLookTaken)
        assert taken.usage.input_tokens > 0
        assert run.usage.input_tokens > taken.usage.input_tokens


@pytest.mark.parametrize(
    "answer",
    [
        Fault(status=500),
        Fault(drop=True),
        Fault(raw="<html>"),
        say("perhaps"),
        said("excellent"),
        call(("verdict", "{")),
    ],
    ids=["down", "dropped", "nonsense", "words", "unknown verdict", "no JSON"],
)
async def test_a_look_that_cannot_be_had_changes_nothing_and_says_so(tmp_path: Path, answer: Any) -> None:
    async with checked(tmp_path, answer) as spot:
        run = await spot.advance()
        assert run.diagnosis is not None
        assert run.diagnosis.confidence is Confidence.PROVEN
        assert "cheap took no second look" in run.diagnosis.note
        assert run.outcome is RunOutcome.DIAGNOSED


async def test_a_verdict_in_words_of_json_counts_too(tmp_path: Path) -> None:
    async with checked(tmp_path, say(json.dumps({"verdict": "partly", "reason": "frost fits as well"}))) as spot:
        run = await spot.advance()
        assert run.diagnosis is not None
        assert run.diagnosis.confidence is Confidence.LIKELY
        assert run.diagnosis.note == "A second look by cheap lowered this: frost fits as well"


async def test_what_claims_nothing_is_not_looked_at_again(tmp_path: Path) -> None:
    async with checked(tmp_path, said("unsupported"), evidence=[]) as spot:
        run = await spot.advance()
        assert run.diagnosis is not None
        assert run.diagnosis.confidence is Confidence.NOT_PROVEN
        assert CHECKS == []


async def test_a_look_taken_before_a_crash_is_not_taken_again(tmp_path: Path) -> None:
    async with checked(tmp_path, said("partly")) as spot:
        await spot.advance()
        await spot.advance()
        assert len(CHECKS) == 1


ORDER = (Confidence.NOT_PROVEN, Confidence.LIKELY, Confidence.PROVEN)


@given(st.sampled_from(Confidence), st.sampled_from(["supported", "partly", "unsupported", "failed", "?"]))
def test_no_verdict_raises_a_confidence(confidence: Confidence, verdict: str) -> None:
    after = doubted(Diagnosis("s", "c", confidence, "m"), "cheap", SecondLook(verdict, "r")).confidence
    assert ORDER.index(after) <= ORDER.index(confidence)
