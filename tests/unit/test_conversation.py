"""A conversation that outgrows the model's context is shortened in one go; evidence ids stay, and the front stays as it was."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from bot.models.conversation import HEAD, RECENT, TAIL, UNKNOWN, Conversation, room_for
from domain.actions import Mode, Target
from domain.runs import Answer, Call, Origin, Run, RunSpec, ToolCall, ToolResult

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SPEC = RunSpec("run-1", "", Origin.COMMAND, "m", Mode.PROPOSE, Target(), question="why?")


def stepped(run: Run, text: str) -> Run:
    step = run.step + 1
    call = ToolCall(f"c{step}", "look", json.dumps({"n": step}))
    result = ToolResult(call.id, "look", ok=True, text=text, evidence_id=f"E{step}")
    calls = {**run.calls, call.id: Call(call, step, result=result)}
    return replace(run, step=step, calls=calls, answers=(*run.answers, Answer(calls=(call,))))


def told(conversation: Conversation) -> list[dict[str, Any]]:
    return [json.loads(fragment) for fragment in conversation.fragments]


def long(step: int) -> str:
    return f"begin {step} " + "x" * 5_000 + f" end {step}"


def test_within_its_room_nothing_is_changed_and_the_front_stays_byte_by_byte() -> None:
    run, conversation = Run(SPEC, AT), Conversation()
    front: list[bytes] = []
    for step in range(1, 20):
        run = stepped(run, long(step))
        conversation.catch_up(run, 10_000_000)
        assert conversation.fragments[: len(front)] == front
        front = list(conversation.fragments)


def test_over_its_room_the_oldest_results_are_shortened_to_half_of_it_and_keep_their_evidence_ids() -> None:
    run, conversation, told_of = Run(SPEC, AT), Conversation(), []
    for step in range(1, 31):
        run = stepped(run, long(step))
        added = conversation.catch_up(run, 60_000)
        told_of += [message["content"] for message in added if message.get("name") == "journal"]
        assert conversation.size == sum(map(len, conversation.fragments)) <= 60_000
    results = [message["content"] for message in told(conversation) if message["role"] == "tool"]
    assert all(f"[E{step}] begin {step} " in text for step, text in enumerate(results, 1))
    assert all(text.endswith(f"end {step}") for step, text in enumerate(results, 1))
    assert "characters left out to keep within the model's context" in results[0]
    assert len(results[0]) < HEAD + TAIL + 200
    assert all(len(text) > 5_000 for text in results[-RECENT:]), "the latest stand whole"
    assert 1 <= len(told_of) <= 6, "rarely, in big steps"
    assert told_of[0].startswith("Shortened: E1, E2")


def test_the_hash_covers_what_is_sent_after_shortening_too() -> None:
    run, conversation = Run(SPEC, AT), Conversation()
    for step in range(1, 15):
        run = stepped(run, long(step))
        conversation.catch_up(run, 40_000)
    whole = b"".join(fragment + b"\n" for fragment in conversation.fragments)
    assert conversation.hasher.hexdigest() == hashlib.sha256(whole).hexdigest()


def test_a_conversation_rebuilt_after_a_restart_fits_as_well() -> None:
    run = Run(SPEC, AT)
    for step in range(1, 31):
        run = stepped(run, long(step))
    again = Conversation()
    again.catch_up(run, 60_000)
    assert again.size <= 60_000
    assert [message["tool_call_id"] for message in told(again) if message["role"] == "tool"] == [
        f"c{n}" for n in range(1, 31)
    ]


def test_short_results_are_never_made_longer() -> None:
    run, conversation = Run(SPEC, AT), Conversation()
    for _ in range(40):
        run = stepped(run, "small")
        conversation.catch_up(run, 2_000)
    assert all(message["content"].endswith("small") for message in told(conversation) if message["role"] == "tool")


def test_the_room_is_the_models_or_what_the_setting_says() -> None:
    assert room_for("gpt-4.1") > room_for("gpt-4o") > room_for("llama-local") == room_for("x", UNKNOWN)
    assert room_for("gpt-4o", 8_000) == 19_200
