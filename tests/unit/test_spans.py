"""A run as spans: the conventions' own names, the recorded times, and nothing of the content unless it was asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from opentelemetry.semconv import schemas
from opentelemetry.semconv._incubating.attributes import (
    deployment_attributes,
    gen_ai_attributes,
    k8s_attributes,
    user_attributes,
)

from bot import semconv, spans
from bot.spans import ROOT, Span, Telling, spans_of
from domain.decisions import Verdict
from domain.errors import ModelError
from domain.events import Envelope, FindingsReported, RunFinished, RunStarted
from domain.runs import Answer, RunOutcome, Usage
from tests.contracts.journal_samples import NOON
from tests.unit.journeys import ALLOWING, DENYING, Place, calling, concluded, place, spec_of

TELLING = Telling("1.2.3", "example.com")
MARK = "xyzzy-a-word-of-the-content"


async def told(spot: Place, telling: Telling = TELLING) -> dict[str, Span]:
    """The run's spans by name."""
    return {span.name: span for span in spans_of(await spot.journal.of_run("run-1"), telling)}


async def remediated(folder: Path, **more: Any) -> tuple[Sequence[Envelope], Place]:
    """A run that read, asked, was approved, turned a valve and concluded."""
    turns = (
        replace(
            calling(("look", '{"name":"a"}')), usage=Usage(100, 10, 60, 5000), response_id="resp-1", first_token_ms=30
        ),
        calling(("turn", json.dumps({"name": "a", "to": 1, "note": MARK}))),
        replace(concluded(MARK), usage=Usage(50, 5, 0, 2500)),
    )
    async with place(folder, *turns, **more) as spot:
        spot.plant.text = MARK
        await spot.advance()
        await spot.vote(Verdict.APPROVE)
        await spot.advance()
        return await spot.journal.of_run("run-1"), spot


# --- names ------------------------------------------------------------------------------------------------------------


def test_the_pinned_version_of_the_conventions_is_the_installed_one_and_has_every_name() -> None:
    assert version("opentelemetry-semantic-conventions") == semconv.VERSION
    assert semconv.SCHEMA_URL in {each.value for each in schemas.Schemas}
    modules = (gen_ai_attributes, k8s_attributes, deployment_attributes, user_attributes)
    known = {value for module in modules for value in vars(module).values() if isinstance(value, str)}
    source = "".join(Path(module.__file__ or "").read_text() for module in (semconv, spans))
    named = set(re.findall(r'"((?:gen_ai|k8s|deployment|user)\.[\w.]+)"', source))
    assert len(named) > 15
    assert named <= known


async def test_what_the_conventions_have_no_name_for_stands_under_chatops(tmp_path: Path) -> None:
    envelopes, _ = await remediated(tmp_path)
    for span in spans_of(envelopes, TELLING):
        for name in (*span.attributes, *(name for moment in span.moments for name in moment.attributes)):
            assert name.startswith(("gen_ai.", "chatops.", "k8s.", "deployment.", "user.")), name


# --- a whole run ------------------------------------------------------------------------------------------------------


async def test_a_remediation_is_told_with_its_model_its_tools_its_people_and_its_check(tmp_path: Path) -> None:
    envelopes, _ = await remediated(tmp_path, requester="U9")
    trace = spans_of(envelopes, TELLING)
    assert [span.name for span in trace if span.name != "chat script"] == [
        "invoke_agent personal-agent", "analyze", "execute_tool look", "approval turn", "execute_tool turn", "verify turn",
    ]  # fmt: skip
    assert [span.name for span in trace].count("chat script") == 3
    assert [span.key for span in trace if not span.parent] == [ROOT]
    spans = {span.name: span for span in trace}
    root = spans["invoke_agent personal-agent"].attributes
    assert root["gen_ai.usage.input_tokens"] == 150
    assert root["gen_ai.usage.cache_read.input_tokens"] == 60
    assert root["chatops.run.cost_usd"] == 0.0075
    assert (root["chatops.run.outcome"], root["user.id"]) == ("remediated", "U9")
    turned = spans["execute_tool turn"].attributes
    assert (turned["chatops.policy.decision"], turned["chatops.policy.rule.id"]) == ("ask", "turn")
    assert (turned["chatops.approval.quorum"], turned["chatops.approval.state"]) == (1, "consumed")
    assert (turned["k8s.namespace.name"], turned["k8s.deployment.name"]) == ("shop", "a")
    asked = spans["approval turn"]
    assert [(moment.name, moment.attributes["user.id"]) for moment in asked.moments] == [("vote", "U1")]
    assert asked.attributes["chatops.approval.votes"] == 1
    assert spans["verify turn"].attributes["chatops.verification.checks"] == ("position",)
    assert not any(span.error for span in trace)


async def test_a_span_s_place_in_the_journal_can_be_looked_up(tmp_path: Path) -> None:
    envelopes, _ = await remediated(tmp_path)
    by_seq = {envelope.seq: envelope for envelope in envelopes}
    for span in spans_of(envelopes, TELLING):
        seq = span.attributes["chatops.audit.seq"]
        assert isinstance(seq, int)
        assert by_seq[seq].hash == span.attributes["chatops.audit.hash"]


async def test_times_are_those_that_were_recorded(tmp_path: Path) -> None:
    envelopes, _ = await remediated(tmp_path)
    spans = {span.name: span for span in spans_of(envelopes, TELLING)}
    root = spans["invoke_agent personal-agent"]
    assert root.start == envelopes[0].at
    assert root.end == next(each.at for each in envelopes if isinstance(each.event, RunFinished))
    for span in spans.values():
        assert root.start <= span.start <= span.end <= root.end + timedelta(milliseconds=1), span.name


@given(st.integers(-7200, 7200))
def test_no_span_ends_before_it_begins_whatever_the_clock_did(seconds: int) -> None:
    begun = Envelope(1, "local", "", "run-1", NOON, "agent", RunStarted(spec_of()))
    later = NOON + timedelta(seconds=seconds)
    events = [FindingsReported((), 5), RunFinished(RunOutcome.DIAGNOSED, "done")]
    told = [begun, *(Envelope(2 + n, "local", "", "run-1", later, "agent", event) for n, event in enumerate(events))]
    for span in spans_of(told, TELLING):
        assert span.start <= span.end


async def test_streaming_is_told_in_seconds_and_only_where_it_was(tmp_path: Path) -> None:
    envelopes, _ = await remediated(tmp_path)
    first, second, _ = [span.attributes for span in spans_of(envelopes, TELLING) if span.name == "chat script"]
    assert (first["gen_ai.request.stream"], first["gen_ai.response.time_to_first_chunk"]) == (True, 0.03)
    assert first["gen_ai.response.id"] == "resp-1"
    assert first["gen_ai.provider.name"] == "example.com"
    assert "gen_ai.request.stream" not in second


# --- what did not go well ---------------------------------------------------------------------------------------------


async def test_a_denied_call_an_unknown_tool_and_a_model_that_fails_are_errors(tmp_path: Path) -> None:
    turns = (calling(("turn", '{"name":"a","to":1}'), ("kubectl" * 40, "{}")), ModelError("is out of quota"))
    async with place(tmp_path, *turns, policy=DENYING) as spot:
        await spot.advance()
        spans = await told(spot)
    assert spans["execute_tool turn"].error == "policy_denied"
    assert spans["execute_tool turn"].start == spans["execute_tool turn"].end
    assert spans["execute_tool turn"].attributes["chatops.policy.rule.id"] == "never"
    [refused] = spans["invoke_agent personal-agent"].moments
    assert (refused.name, len(str(refused.attributes["gen_ai.tool.name"]))) == ("tool_call_refused", 100)
    assert spans["chat script"].error == "model_error"
    assert spans["chat rules"].attributes["gen_ai.provider.name"] == "personal-agent"


async def test_a_read_that_fails_and_a_change_that_does_not_help_are_errors(tmp_path: Path) -> None:
    turns = (calling(("turn", '{"name":"a","to":1}')), calling(("look", '{"name":"a"}')), concluded())
    async with place(tmp_path, *turns, policy=ALLOWING) as spot:
        spot.mode = type(spot.mode).ACT

        async def broken(_: Any) -> None:
            spot.plant.positions["a"] = 7
            spot.plant.unreachable = "the plant does not answer"

        spot.plant.after = broken
        await spot.advance()
        spans = await told(spot)
    assert spans["verify turn"].error == "verification_failed"
    assert spans["execute_tool look"].error == "tool_error"
    assert "chatops.approval.id" not in spans["execute_tool turn"].attributes


@pytest.mark.parametrize("cut", [0, 1])
async def test_what_is_no_finished_run_is_no_trace(tmp_path: Path, cut: int) -> None:
    async with place(tmp_path) as spot:
        assert spans_of((await spot.journal.of_run("run-1"))[cut:], TELLING) == []
        assert spans_of([], TELLING) == []


# --- content ----------------------------------------------------------------------------------------------------------


def words(spans: Sequence[Span]) -> str:
    return json.dumps(
        [[span.name, dict(span.attributes), [dict(m.attributes) for m in span.moments]] for span in spans]
    )


async def test_prompts_arguments_and_results_stay_unless_they_are_asked_for(tmp_path: Path) -> None:
    envelopes, _ = await remediated(tmp_path)
    assert MARK not in words(spans_of(envelopes, TELLING))
    for name in ("messages", "arguments", "result"):
        assert f'{name}"' not in words(spans_of(envelopes, TELLING))


async def test_content_that_is_asked_for_is_redacted_once_more_and_cut(tmp_path: Path) -> None:
    envelopes, _ = await remediated(tmp_path)
    open_ = {span.name: span for span in spans_of(envelopes, replace(TELLING, content=lambda text: text))}
    assert json.loads(str(open_["execute_tool turn"].attributes["gen_ai.tool.call.arguments"]))["note"] == MARK
    assert MARK in str(open_["execute_tool look"].attributes["gen_ai.tool.call.result"])
    said = json.loads(str(open_["chat script"].attributes["gen_ai.output.messages"]))
    assert said == [{"role": "assistant", "parts": [{"type": "text", "content": MARK}]}]
    masked = spans_of(envelopes, replace(TELLING, content=lambda text: text.replace(MARK, "[masked]") * 5000))
    assert MARK not in words(masked)
    assert max(len(str(value)) for span in masked for value in span.attributes.values()) <= 16_384


def test_messages_of_chat_completions_are_told_in_the_conventions_shape() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"name":"a"}'}}
    assert semconv.message({"role": "system", "content": "Be brief."}) == {
        "role": "system",
        "parts": [{"type": "text", "content": "Be brief."}],
    }
    assert semconv.message({"role": "assistant", "content": None, "tool_calls": [call]}) == {
        "role": "assistant",
        "parts": [{"type": "tool_call", "id": "c1", "name": "look", "arguments": '{"name":"a"}'}],
    }
    assert semconv.message({"role": "tool", "tool_call_id": "c1", "content": "0"}) == {
        "role": "tool",
        "parts": [{"type": "tool_call_response", "id": "c1", "result": "0"}],
    }
    assert semconv.message({"turn": 1})["parts"] == [{"type": "text", "content": '{"turn":1}'}]
    assert semconv.answered(Answer("", ())) == [{"role": "assistant", "parts": []}]
