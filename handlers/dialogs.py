"""The dialogs behind a card's buttons: a reason, an edit. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from domain.canonical import canonical
from domain.decisions import ApprovalRequest, Verdict
from domain.errors import BadInput
from handlers import kit
from handlers.cards_approval import title_of
from handlers.kit import Block

REASON, ARGUMENT = "reason", "argument."
LONGEST_VALUE = 3000


def reason(request: ApprovalRequest, verdict: Verdict, digest: str, channel: str, ts: str) -> Block:
    """Why? Asked of a person who denies, or who approves where the policy wants words."""
    deny = verdict is Verdict.DENY
    metadata = {"approval": request.card, "digest": digest, "verdict": verdict.value, "channel": channel, "ts": ts}
    hint = "The agent and the next person read it." if deny else "It is recorded with your vote."
    return kit.modal(
        "approval.reason",
        "Deny" if deny else "Approve",
        "Deny" if deny else "Approve",
        [
            kit.paragraph(kit.span(title_of(request.action), bold=True), kit.span(f" on {request.action.target}", 200)),
            kit.field_input(REASON, "Why not?" if deny else "Why?", multiline=True, hint=hint),
        ],
        json.dumps(metadata),
    )


def edit(request: ApprovalRequest, channel: str, thread_ts: str) -> Block:
    """The arguments, each in a field. What comes back is a new proposal, and its editor cannot approve it."""
    metadata = {"approval": request.id, "channel": channel, "thread_ts": thread_ts}
    inputs = [_argument(name, value) for name, value in list(request.action.arguments.items())[:90]]
    note = "This makes a new proposal that is checked again. You cannot approve your own edit."
    title = kit.paragraph(kit.span(title_of(request.action), bold=True), kit.span(f" on {request.action.target}", 200))
    return kit.modal("approval.edit", "Edit", "Propose", [title, *inputs, kit.context(note)], json.dumps(metadata))


def _argument(name: str, value: Any) -> Block:
    shown = as_text(value)
    if len(shown) > LONGEST_VALUE or len(name) > 200:
        return kit.context(f"{kit.code(name, 80)} is too long to be edited here and stays as it is.")
    block = kit.field_input(ARGUMENT + name, name, value=shown, multiline="\n" in shown or len(shown) > 80)
    return block | {"optional": True}


def as_text(value: Any) -> str:
    """An argument as it stands in its field: words as they are, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def edited(arguments: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with what was typed. Raises BadInput with the field's block id."""
    result = dict(arguments)
    for name, old in arguments.items():
        typed = values.get(ARGUMENT + name)
        if typed is None:
            continue
        text = str((typed.get("value") or {}).get("value") or "")
        if text != as_text(old):
            result[name] = _parsed(name, old, text)
    if canonical(result) == canonical(dict(arguments)):
        raise BadInput("Nothing was changed.", field=next(iter(values), ""))
    return result


def _parsed(name: str, old: Any, text: str) -> Any:
    if isinstance(old, str):
        return text
    try:
        value = json.loads(text)
        canonical(value)
    except (ValueError, RecursionError, BadInput) as error:
        kind = "a whole number" if isinstance(old, int) and not isinstance(old, bool) else "JSON"
        raise BadInput(f"This must be {kind}.", field=ARGUMENT + name) from error
    return value
