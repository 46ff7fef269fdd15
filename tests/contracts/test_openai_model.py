"""A served model, through the real openai package and over the wire: what it is sent, what may come back, how it fails."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from hypothesis import given, strategies as st

from bot.local.model import KEY, Fault, ModelServer, Script, call, say, turns
from bot.models.openai import OpenAIModel, connect, read_completion
from bot.models.prices import usage
from domain.canonical import canonical
from domain.codec import encode
from domain.diagnosis import Confidence
from domain.errors import ModelError
from domain.events import ModelAsked, StepPlanned
from domain.runs import Answer, Budget, Run, RunStatus
from tests.unit.journeys import SECRET, Place, place, spec_of

LOOK_A, LOOK_B = ("look", {"name": "a"}), ("look", {"name": "b", "lines": 2})
CONCLUSION = {"summary": "Valve a leaks.", "cause": "It is old.", "confidence": "proven", "evidence": ["E1"]}


def script(*replies: Any) -> Script:
    """One reply a turn."""
    return lambda request: replies[min(turns(request), len(replies) - 1)]


@asynccontextmanager
async def served(
    folder: Path, answers: Script, *, stream: bool = False, model: str = "stand-in", **spec: Any
) -> AsyncIterator[tuple[Place, ModelServer]]:
    """run-1 with a served model."""
    async with ModelServer(answers, stream=stream) as server, place(folder, **spec) as spot:
        client = connect(KEY, server.url, model, stream=stream)
        spot.world = replace(spot.world, model=client)
        try:
            yield spot, server
        finally:
            await client.aclose()


def messages(request: Mapping[str, Any]) -> list[str]:
    return [json.dumps(message) for message in request["messages"]]


@pytest.mark.parametrize("stream", [False, True], ids=["JSON", "SSE"])
async def test_a_model_reads_in_parallel_and_concludes_with_the_evidence_that_it_was_shown(
    tmp_path: Path, stream: bool
) -> None:
    said = CONCLUSION | {
        "evidence": ["E2", "E99", "E2", 7],
        "hypotheses": [{"text": "Frost", "next_check": "Look at the weather"}, "nonsense"],
        "next_steps": ["Replace it."],
    }
    answers = script(call(LOOK_A, LOOK_B, text="I look at both, über alles."), call(("conclude", said)))
    async with served(tmp_path, answers, stream=stream) as (spot, server):
        run = await spot.advance()
        assert spot.plant.reads == ["a", "b"]
        assert run.answers[0].text == "I look at both, über alles."
        diagnosis = run.diagnosis
        assert diagnosis is not None
        assert (diagnosis.summary, diagnosis.confidence, diagnosis.by) == (
            "Valve a leaks.", Confidence.PROVEN, "stand-in",
        )  # fmt: skip
        assert [item.id for item in diagnosis.evidence] == ["E2"]
        assert [(item.text, item.next_check) for item in diagnosis.hypotheses] == [("Frost", "Look at the weather")]
        assert diagnosis.next_steps == ("Replace it.",)
        told = server.requests[1]["messages"][-2:]
        assert [message["content"] for message in told] == [
            "[E1] valve a stands at 0", "[E2] valve b stands at 0\nvalve b stands at 0",
        ]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["JSON", "SSE"])
async def test_tokens_are_counted_and_a_model_without_a_price_says_so(tmp_path: Path, stream: bool) -> None:
    async with served(tmp_path, script(call(LOOK_A), call(("conclude", CONCLUSION))), stream=stream) as (spot, _):
        run = await spot.advance()
        steps = await spot.events(StepPlanned)
        used = [event.answer.usage for event in steps]
        assert all(each.input_tokens and each.output_tokens for each in used)
        assert run.usage.input_tokens == sum(each.input_tokens for each in used)
        assert (run.usage.priced, run.usage.cost_micros) == (False, 0)
        for step in steps:  # the first token of an answer is known where it was streamed
            first = step.answer.first_token_ms
            assert first is None if not stream else first is not None and 0 <= first <= step.took_ms


async def test_a_priced_model_costs_what_its_tokens_cost(tmp_path: Path) -> None:
    async with served(tmp_path, script(call(("conclude", CONCLUSION))), model="gpt-5-mini") as (spot, _):
        used = (await spot.advance()).usage
        assert used.priced
        assert used.cost_micros == round(used.input_tokens * 0.25 + used.output_tokens * 2.0)


def test_cached_tokens_cost_their_own_price_and_unknown_models_none() -> None:
    assert usage("gpt-4.1", 1000, 100, 600).cost_micros == round(400 * 2.0 + 600 * 0.5 + 100 * 8.0)
    assert usage("llama", 1000, 100, 0).priced is False


async def test_each_turn_sends_the_bytes_of_the_turn_before_and_appends(tmp_path: Path) -> None:
    def answers(request: Mapping[str, Any]) -> Any:
        turn = turns(request)
        return call(("look", {"name": "a", "lines": turn + 1})) if turn < 5 else call(("conclude", CONCLUSION))

    async with served(tmp_path, answers) as (spot, server):
        await spot.advance()
        assert len(server.requests) == 6
        for earlier, later in zip(server.requests, server.requests[1:], strict=False):
            assert messages(later)[: len(earlier["messages"])] == messages(earlier)
            assert len(later["messages"]) == len(earlier["messages"]) + 2
            assert json.dumps(later["tools"]) == json.dumps(earlier["tools"])
        asked = await spot.events(ModelAsked)
        assert len({event.request_hash for event in asked}) == 6
        assert len(canonical(encode(asked[5]))) < 1000, "the journal gets only what was added"


async def test_after_a_restart_the_conversation_is_rebuilt_byte_by_byte_from_the_run(tmp_path: Path) -> None:
    answers = script(
        call(LOOK_A, ("nonsense", "{")), call(("turn", {"name": "a", "to": 1})), call(("conclude", CONCLUSION))
    )
    async with served(tmp_path, answers) as (spot, server):
        assert (await spot.advance()).status is RunStatus.WAITING
        fresh = connect(KEY, server.url, "stand-in")
        spot.world = replace(spot.world, model=fresh)
        await spot.vote()
        assert (await spot.advance()).status is RunStatus.FINISHED
        await fresh.aclose()
        before, after = server.requests[1:]
        assert messages(after)[: len(before["messages"])] == messages(before)
        assert after["messages"][-1]["content"].startswith("Approved by Person U1. Executed: turned a to 1.")


async def test_a_step_that_a_crash_cut_off_is_asked_again_and_the_order_is_accepted(tmp_path: Path) -> None:
    failing: list[bool] = [True]

    def answers(request: Mapping[str, Any]) -> Any:
        return call(LOOK_A) if turns(request) == 0 else call(("conclude", CONCLUSION))

    async with served(tmp_path, answers) as (spot, server):

        async def crash() -> None:
            if failing.pop():
                raise RuntimeError("the process dies")

        spot.plant.reading = crash
        with pytest.raises(RuntimeError):
            await spot.advance()
        spot.plant.reading = None
        fresh = connect(KEY, server.url, "stand-in")
        spot.world = replace(spot.world, model=fresh)
        run = await spot.advance()
        await fresh.aclose()
        assert (run.status, run.model_failure) == (RunStatus.FINISHED, "")
        assert spot.plant.reads == ["a", "a"]


async def test_the_last_step_offers_only_the_conclusion_and_says_so(tmp_path: Path) -> None:
    answers = script(call(LOOK_A), call(("conclude", CONCLUSION)))
    async with served(tmp_path, answers, budget=Budget(steps=2)) as (spot, server):
        run = await spot.advance()
        names = [[tool["function"]["name"] for tool in request["tools"]] for request in server.requests]
        assert names == [["look", "turn", "conclude"], ["conclude"]]
        assert "No more tools" in server.requests[1]["messages"][-1]["content"]
        assert run.diagnosis is not None
        assert run.diagnosis.confidence is Confidence.PROVEN


async def test_a_model_that_calls_a_tool_although_none_is_offered_is_replaced_by_the_rules(tmp_path: Path) -> None:
    async with served(tmp_path, script(call(LOOK_A)), budget=Budget(steps=1)) as (spot, _):
        run = await spot.advance()
        assert spot.plant.reads == []
        assert run.diagnosis is not None
        assert run.diagnosis.by == "rules"


async def test_the_model_is_told_the_question_and_never_a_secret(tmp_path: Path) -> None:
    answers = script(call(LOOK_A), call(("conclude", CONCLUSION)))
    async with served(tmp_path, answers, question="why does it leak?") as (spot, server):
        spot.plant.text = f"token={SECRET}"
        await spot.advance()
        system, brief = server.requests[0]["messages"]
        assert (system["role"], brief["role"]) == ("system", "user")
        assert "A person asks: why does it leak?" in brief["content"]
        assert SECRET not in str(server.requests)
        assert "[secret:" in str(server.requests[1])


# --- conclusions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "confidence"),
    [
        (CONCLUSION, Confidence.PROVEN),
        (CONCLUSION | {"confidence": "likely"}, Confidence.LIKELY),
        (CONCLUSION | {"evidence": []}, Confidence.NOT_PROVEN),
        (CONCLUSION | {"evidence": ["E7"]}, Confidence.NOT_PROVEN),
        (CONCLUSION | {"evidence": "E1"}, Confidence.NOT_PROVEN),
        (CONCLUSION | {"confidence": "certain"}, Confidence.NOT_PROVEN),
        ({}, Confidence.NOT_PROVEN),
    ],
    ids=["proven", "likely", "no evidence", "unknown evidence", "evidence is no list", "unknown word", "empty"],
)
async def test_a_cause_is_as_certain_as_the_evidence_it_cites(
    tmp_path: Path, said: Mapping[str, Any], confidence: Confidence
) -> None:
    async with served(tmp_path, script(call(LOOK_A), call(("conclude", said)))) as (spot, _):
        run = await spot.advance()
        assert run.diagnosis is not None
        assert run.diagnosis.confidence is confidence


@pytest.mark.parametrize(
    ("words", "evidence", "confidence"),
    [
        ("It leaks.\nThe log [E1] shows it.", ["E1"], Confidence.LIKELY),
        ("It leaks, says E9.", [], Confidence.NOT_PROVEN),
    ],
)
async def test_plain_words_are_a_conclusion_that_cites_what_they_name(
    tmp_path: Path, words: str, evidence: list[str], confidence: Confidence
) -> None:
    async with served(tmp_path, script(call(LOOK_A), say(words))) as (spot, _):
        diagnosis = (await spot.advance()).diagnosis
        assert diagnosis is not None
        assert [item.id for item in diagnosis.evidence] == evidence
        assert diagnosis.confidence is confidence
        assert diagnosis.summary == words.partition("\n")[0]


async def test_a_conclusion_beside_other_calls_waits_until_they_are_answered(tmp_path: Path) -> None:
    answers = script(call(LOOK_A, ("conclude", CONCLUSION)), call(("conclude", CONCLUSION)))
    async with served(tmp_path, answers) as (spot, server):
        run = await spot.advance()
        assert (spot.plant.reads, len(server.requests)) == (["a"], 2)
        assert run.diagnosis is not None


# --- failures ---------------------------------------------------------------------------------------------------------

NOT_ONE = "answered with something that is not a chat completion"


@asynccontextmanager
async def impatient(url: str, key: str = KEY, *, stream: bool = False) -> AsyncIterator[OpenAIModel]:
    """A client that waits 0.3 s and tries once."""
    http = openai.DefaultAioHttpClient(timeout=0.3)
    client = openai.AsyncOpenAI(api_key=key, base_url=url, http_client=http, timeout=0.3, max_retries=0)
    model = OpenAIModel(client, "stand-in", stream=stream)
    try:
        yield model
    finally:
        await model.aclose()


@pytest.mark.parametrize("stream", [False, True], ids=["JSON", "SSE"])
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault(status=400), "answered with HTTP 400"),
        (Fault(status=403), "refused this key (403)"),
        (Fault(status=404), "does not know this model or path (404): check OPENAI_MODEL and OPENAI_BASE_URL"),
        (Fault(status=429), "is out of quota or rate limited (429)"),
        (Fault(status=500), "answered with HTTP 500"),
        (Fault(drop=True), "could not be reached"),
        (Fault(delay_s=0.8), "did not answer within"),
        (Fault(raw="<html>please log in</html>"), NOT_ONE),
        (Fault(raw=""), NOT_ONE),
        (Fault(raw="[]"), NOT_ONE),
        (Fault(raw='{"choices": []}'), NOT_ONE),
        (Fault(raw='{"choices": [{"message": null}]}'), NOT_ONE),
        (Fault(raw='{"choices": [{"message": {"tool_calls": [{"id": "x"}]}}]}'), NOT_ONE),
        (Fault(raw="[" * 100_000), NOT_ONE),
        (Fault(raw='{"choices": [{"message": {"content": "  "}}]}'), "answered with neither words nor a call"),
    ],
    ids=lambda value: (
        (value.raw[:40] or f"{value.status}{value.drop}{value.delay_s}") if isinstance(value, Fault) else ""
    ),
)
async def test_a_model_that_fails_is_a_sentence_without_its_key_or_address(
    fault: Fault, sentence: str, stream: bool
) -> None:
    async with ModelServer(lambda _: fault) as server, impatient(server.url, stream=stream) as model:
        with pytest.raises(ModelError) as caught:
            await model.request(bare_run(), ()).send()
        assert sentence in str(caught.value)
        assert KEY not in str(caught.value)
        assert "127.0.0.1" not in str(caught.value)


@pytest.mark.parametrize(
    "delta",
    [
        {"content": [{"type": "text", "text": "hello"}]},
        {"tool_calls": [{"index": 0, "id": "x", "function": {"name": "look", "arguments": {"a": 1}}}]},
        {"tool_calls": [{"index": 0, "function": "look"}]},
        {"tool_calls": "look"},
    ],
)
async def test_a_stream_whose_parts_have_other_types_is_a_model_that_failed(delta: dict[str, Any]) -> None:
    chunk = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "delta": delta}],
    }
    fault = Fault(raw=f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n")
    async with ModelServer(lambda _: fault) as server, impatient(server.url, stream=True) as model:
        with pytest.raises(ModelError, match=NOT_ONE):
            await model.request(bare_run(), ()).send()


async def test_a_wrong_key_and_a_server_that_is_down_are_sentences() -> None:
    async with ModelServer(script(say("hello"))) as server, impatient(server.url, "sk-wrong-one") as model:
        with pytest.raises(ModelError, match=r"refused the key \(401\): check OPENAI_API_KEY") as caught:
            await model.request(bare_run(), ()).send()
        assert "sk-wrong-one" not in str(caught.value)
        down = server.url
    async with impatient(down) as model:
        with pytest.raises(ModelError, match="could not be reached"):
            await model.request(bare_run(), ()).send()


async def test_a_server_that_stumbles_once_is_asked_once_more(tmp_path: Path) -> None:
    faults = [Fault(status=500)]
    answers = script(call(("conclude", CONCLUSION)))
    async with served(tmp_path, lambda request: faults.pop() if faults else answers(request)) as (spot, server):
        run = await spot.advance()
        assert (run.model_failure, len(server.requests)) == ("", 2)


async def test_a_conclusion_that_is_no_json_ends_in_the_rules_answer(tmp_path: Path) -> None:
    for number, said in enumerate(("{", "[]", "[" * 50_000, '{"a":' * 200 + "1" + "}" * 200)):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with served(folder, script(call(("conclude", said)))) as (spot, _):
            run = await spot.advance()
            assert run.model_failure.startswith("stand-in: concluded with")
            assert run.diagnosis is not None
            assert (run.diagnosis.by, run.status) == ("rules", RunStatus.FINISHED)


def bare_run() -> Run:
    from datetime import UTC, datetime

    return Run(spec_of(), datetime(2026, 3, 10, tzinfo=UTC))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["choices", "message", "content", "tool_calls", "function", "name", "arguments", "id", "usage",
                         "prompt_tokens", "prompt_tokens_details", "cached_tokens"]), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip
MESSAGE = st.fixed_dictionaries({}, optional={"content": JSON, "tool_calls": st.lists(JSON, max_size=2) | JSON})


@given(
    st.fixed_dictionaries(
        {"choices": st.lists(st.fixed_dictionaries({"message": MESSAGE | JSON}), max_size=2) | JSON},
        optional={"usage": JSON, "id": JSON},
    )
    | JSON
)
def test_whatever_a_server_sends_is_an_answer_that_the_journal_can_hold_or_a_model_error(completion: Any) -> None:
    try:
        answer = read_completion(completion, "stand-in", bare_run())
    except ModelError:
        return
    assert isinstance(answer, Answer)
    canonical(encode(answer))
    assert answer.calls or answer.diagnosis
