"""Attributes under OpenTelemetry's GenAI names, as the version that is pinned here has them; everything pure.

The conventions are in development: an upgrade of opentelemetry-semantic-conventions changes the pin below together with what it
renamed, and tests/unit/test_spans.py holds every name to the installed version. What they have no name for (policy, approval,
audit) stands under `chatops.`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from domain.actions import Target
from domain.canonical import digest_of
from domain.codec import timestamp
from domain.decisions import ApprovalRequest, ApprovalState
from domain.events import DecisionMade, Envelope
from domain.runs import Answer, Usage

VERSION = "0.66b2"
"""Of opentelemetry-semantic-conventions; it goes out as the resource's `otel.semconv`."""
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
Value = str | int | float | bool | tuple[str, ...]


def audit(at: Envelope) -> dict[str, Value]:
    """Where it stands in the journal: who doubts the trace looks there."""
    return {"chatops.audit.seq": at.seq, "chatops.audit.hash": at.hash}


def policy(event: DecisionMade) -> dict[str, Value]:
    """What the gate said, by which rule of which bundle, on which input."""
    decision = event.decision
    return {
        "chatops.policy.decision": decision.outcome.value,
        "chatops.policy.rule.id": decision.rule,
        "chatops.policy.version": decision.policy_hash,
        "chatops.policy.input_hash": digest_of(dict(event.situation)),
    }


def approval(request: ApprovalRequest, state: ApprovalState) -> dict[str, Value]:
    """A question to people, and how it stands."""
    return {
        "chatops.approval.id": request.id,
        "chatops.approval.state": state.value,
        "chatops.approval.quorum": request.terms.quorum,
        "chatops.approval.groups": request.terms.groups,
        "chatops.approval.digest": request.digest,
        "chatops.approval.expires_at": timestamp(request.expires_at),
    }


def about(target: Target) -> dict[str, Value]:
    """The thing it is about, as far as it is one."""
    names = {
        "deployment.environment.name": target.environment,
        "k8s.namespace.name": target.namespace if target.system == "kubernetes" else "",
        "k8s.deployment.name": target.name if target.kind == "Deployment" else "",
        "chatops.target": target.key,
    }
    return {name: value for name, value in names.items() if value}


def usage(*parts: Usage) -> dict[str, Value]:
    """Tokens of one request, or of several together."""
    return {
        "gen_ai.usage.input_tokens": sum(part.input_tokens for part in parts),
        "gen_ai.usage.output_tokens": sum(part.output_tokens for part in parts),
        "gen_ai.usage.cache_read.input_tokens": sum(part.cached_tokens for part in parts),
    }


# --- messages: a role and parts ---------------------------------------------------------------------------------------


def text_of(value: Any) -> str:
    """Words as they are, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def said(words: str) -> list[dict[str, Any]]:
    """What the agent says at its end."""
    return [{"role": "assistant", "parts": [_words(words)]}]


def answered(answer: Answer) -> list[dict[str, Any]]:
    """A model's turn: words and calls."""
    calls = [_call(call.id, call.tool, call.arguments) for call in answer.calls]
    return [{"role": "assistant", "parts": [*([_words(answer.text)] if answer.text else []), *calls]}]


def message(given: Any) -> dict[str, Any]:
    """A message of a request, whatever shape the model that was asked gives it; chat completions' shapes are known."""
    if not isinstance(given, Mapping) or "role" not in given:
        return {"role": "user", "parts": [_words(text_of(given))]}
    role, content = str(given["role"]), given.get("content")
    if role == "tool":
        answer = {"type": "tool_call_response", "id": given.get("tool_call_id"), "result": content}
        return {"role": role, "parts": [answer]}
    made = [each.get("function") or {} for each in given.get("tool_calls") or ()]
    ids = [each.get("id") for each in given.get("tool_calls") or ()]
    calls = [_call(name, call.get("name"), call.get("arguments")) for name, call in zip(ids, made, strict=True)]
    return {"role": role, "parts": [*([_words(text_of(content))] if content else []), *calls]}


def _words(words: str) -> dict[str, Any]:
    return {"type": "text", "content": words}


def _call(call_id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}
