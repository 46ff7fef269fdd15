"""A run's conversation as bytes: each message serialised once and added at the end; shortened where the context is full.

What stands in front never changes while there is room, so that a server can keep its prompt cache. Where there is none, old
results are shortened in one go to half of it: rarely, and their evidence ids stay.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from bot.models.prompt import opening, tool_message
from domain.runs import Run

CONTEXT = {
    "gpt-5": 272_000,
    "gpt-5-mini": 272_000,
    "gpt-5-nano": 272_000,
    "gpt-4.1": 1_000_000,
    "gpt-4.1-mini": 1_000_000,
    "gpt-4.1-nano": 1_000_000,
    "gpt-4o": 128_000,
    "gpt-4o-mini": 128_000,
    "o4-mini": 200_000,
}
"""Tokens of input that a model takes, as OpenAI listed them in 2025."""

UNKNOWN = 32_000
"""Tokens that a model of an unknown name is taken to hold: most served models hold that much."""

BYTES_A_TOKEN = 3
"""Logs and JSON cost more tokens than prose: a token is taken to be three bytes, not four."""

SHARE = 0.8
"""The part of a model's context that a conversation may fill; the rest is for the tools' schemas and the answer."""

HEAD, TAIL, RECENT = 600, 300, 4
"""Of a shortened result its first and last characters stay; the latest are shortened only where nothing else is left."""


def room_for(model: str, context: int = 0) -> int:
    """How many bytes a conversation with this model may have; `context` overrides what its name tells, in tokens."""
    return int((context or CONTEXT.get(model, UNKNOWN)) * BYTES_A_TOKEN * SHARE)


class Conversation:
    """Messages as bytes, and how many of the run's steps they already hold."""

    def __init__(self) -> None:
        self.fragments: list[bytes] = []
        self.hasher = hashlib.sha256()
        self.steps = 0
        self.size = 0
        self._results: dict[int, tuple[str, dict[str, Any]]] = {}

    def add(self, message: Mapping[str, Any]) -> None:
        """One more message at the end."""
        fragment = _bytes(message)
        self.fragments.append(fragment)
        self.size += len(fragment)
        self._feed(fragment)

    def catch_up(self, run: Run, room: int) -> list[dict[str, Any]]:
        """Add the messages of every step since the last request; what the journal gets of them.

        That is without the results, which it holds already. Where the conversation outgrew `room`, older results are
        shortened, and the journal is told which.
        """
        added: list[dict[str, Any]] = []
        if not self.fragments:
            for message in opening(run):
                self.add(message)
                added.append(message)
        while self.steps < run.step:
            self.steps += 1
            added += self._step(run)
        if self.size > room and (shortened := self._shorten(room // 2)):
            added.append({"role": "system", "name": "journal", "content": f"Shortened: {', '.join(shortened)}"})
        return added

    def _step(self, run: Run) -> list[dict[str, Any]]:
        answer = run.answers[self.steps - 1]
        asked = {
            "role": "assistant",
            "content": answer.text or None,
            "tool_calls": [
                {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": call.arguments}}
                for call in answer.calls
            ],
        }
        self.add(asked)
        added: list[dict[str, Any]] = []
        for call in answer.calls:
            settled = run.calls[call.id]
            message = tool_message(settled)
            evidence = settled.result.evidence_id if settled.result else ""
            self._results[len(self.fragments)] = (evidence or call.id, message)
            self.add(message)
            added.append({"role": "tool", "tool_call_id": call.id})
        return added

    def _shorten(self, room: int) -> list[str]:
        """Shorten results, the oldest first and the latest last, until the conversation fits; their names."""
        shortened: list[str] = []
        places = list(self._results)
        for place in (*places[:-RECENT], *places[-RECENT:]):
            if self.size <= room:
                break
            name, message = self._results.pop(place)
            fragment = _bytes(message | {"content": _short(str(message["content"]))})
            if len(fragment) < len(self.fragments[place]):
                self.size += len(fragment) - len(self.fragments[place])
                self.fragments[place] = fragment
                shortened.append(name)
        self.hasher = hashlib.sha256()
        for fragment in self.fragments:
            self._feed(fragment)
        return shortened

    def _feed(self, fragment: bytes) -> None:
        self.hasher.update(fragment)
        self.hasher.update(b"\n")


def _short(content: str) -> str:
    """The head, which has the evidence id, and the tail."""
    left = len(content) - HEAD - TAIL
    if left <= 0:
        return content
    note = f"\n[… {left} characters left out to keep within the model's context; narrow the call to see them again …]\n"
    return content[:HEAD] + note + content[-TAIL:]


def _bytes(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
