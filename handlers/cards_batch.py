"""One card for several requests alike: every change is listed as it would run, and one click is a vote on each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from domain.actions import Effect
from domain.decisions import Approval, ApprovalState, open_items, shown_digest
from handlers import kit
from handlers.cards_approval import EFFECTS, needed, title_of, undo_button, who_decided, word_of
from handlers.kit import Block, Body

_LITERALS = ((450, 450), (450, 90), (280, 60), (140, 40))
"""Characters of one change that waits, and of one that does not any more: the first pair with which the card holds them all.
Requests that are longer have a card of their own."""
_ROOM = 12_800  # characters, by kit.size; Slack refuses a message of more than 13,200, and it would lose its buttons
_MOST_UNDOS = 5


def batch(items: Sequence[Approval]) -> Body:
    """The card as it stands: what can be decided together, and what became of each."""
    head = f"{_words(items)}: {len(items)} × {kit.line(items[0].request.action.tool.replace('_', ' '), 60)}"
    places = ", ".join(kit.safe(str(item.request.action.target), 80) for item in items[:3])
    text = f"{head} ({places}{' …' if len(items) > 3 else ''})"
    bodies = (Body(text, tuple(_card(items, head, *most))) for most in _LITERALS)
    return next((body for body in bodies if kit.size(body.blocks) <= _ROOM), Body(text))


def _words(items: Sequence[Approval]) -> str:
    counted = Counter(map(word_of, items))
    return next(iter(counted)) if len(counted) == 1 else ", ".join(f"{count} {word}" for word, count in counted.items())


def _card(items: Sequence[Approval], head: str, most: int, most_ended: int) -> Iterator[Block]:
    first = items[0].request
    yield kit.header(head)
    if first.observe_only:
        yield kit.context("👀 *Observe mode.* This is a record of what would have been asked. It cannot execute.")
    facts = [("Environment", kit.safe(first.action.target.environment, 60)), ("Effect", EFFECTS[first.action.effect])]
    facts += [("Touches", _touches(items)), ("Expires", kit.when(first.expires_at, "{time}"))]
    yield kit.fields(facts)
    for number, item in enumerate(items, 1):
        yield from _item(
            number, item, most if item.state in (ApprovalState.PENDING, ApprovalState.APPROVED) else most_ended
        )
    if most < _LITERALS[0][0]:
        yield kit.context(
            "⚠️ *Not all of each change fits here.* Read each with `/agent why` and its id before you approve."
        )
    yield kit.context(*_small_print(items))
    yield from _buttons(items)


def _touches(items: Sequence[Approval]) -> str:
    touched = [item.request.action.touches for item in items]
    return kit.plural(sum(touched), "object") if all(touched) else "not known"


def _item(number: int, item: Approval, most: int) -> Iterator[Block]:
    action = item.request.action
    what = f"{number}. *{kit.safe(title_of(action), 90)}* {kit.code(str(action.target), 90)}"
    decided = "" if item.state is ApprovalState.PENDING else f"{word_of(item)}: "
    why = (
        f" {kit.safe(item.closed_reason, 90)}"
        if item.closed_reason and item.state is not ApprovalState.CONSUMED
        else ""
    )
    note = f" {kit.safe(item.request.note, 90)}" if item.request.note else ""
    named = f" {kit.code(item.request.id, 40)}" if most < _LITERALS[0][0] and not decided else ""
    yield kit.context(f"{decided}{what}{why}{note}{named}")
    yield kit.preformatted("\n".join(filter(None, (kit.json_lines(action.arguments), action.diff))), most)


def _small_print(items: Sequence[Approval]) -> Iterator[str]:
    first, decision = items[0], items[0].request.decision
    rule = kit.code(decision.rule, 80) if decision.rule else "no rule"
    yield f"Rule {rule}: {kit.safe(decision.reason or 'a person must say yes', 240)}"
    yield f"Asked by {kit.person(first.request.requester) if first.request.requester else 'the agent'}"
    can_be_decided = open_items(items)
    if can_be_decided and first.state is ApprovalState.PENDING and not first.request.observe_only:
        yield needed(can_be_decided[0])
    decided = next((item for item in items if item.state is not ApprovalState.PENDING), None)
    if decided is not None:
        yield from list(who_decided(decided))[:2]
    yield f"One vote is a vote on each. Batch {kit.code(first.request.batch, 60)}, digest {kit.code(shown_digest(items)[:12])}"


def _buttons(items: Sequence[Approval]) -> Iterator[Block]:
    can_be_decided, request = open_items(items), items[0].request
    if can_be_decided and not request.observe_only:
        value = f"{request.batch} {shown_digest(items)}"
        row = [kit.button("Deny all", "approval.deny", value, style="danger")]
        if can_be_decided[0].state is ApprovalState.PENDING:
            row.insert(0, _approve(can_be_decided, value))
        if can_be_decided[0].approvers:
            row.append(kit.button("Take back", "approval.withdraw", value))
        yield kit.actions(*row, kit.button("Why?", "approval.why", value))
        return
    undoable = [
        item for item in items if word_of(item) in ("Failed", "Unknown") and item.execution and item.execution.undo
    ]
    undos = [undo_button(item.request, f"Undo {kit.line(item.request.action.target.name, 40)}") for item in undoable]
    yield kit.actions(
        *undos[:_MOST_UNDOS], kit.button("Why?", "approval.why", f"{request.batch} {shown_digest(items)}")
    )


def _approve(items: Sequence[Approval], value: str) -> Block:
    action = items[0].request.action
    said = f"{len(items)} changes with {action.tool} in {action.target.environment}, each as the card lists it."
    danger = action.effect is Effect.DESTRUCTIVE
    asks = kit.confirm(f"Approve {len(items)} changes?", said[:290], "Approve all", "Not yet", danger=danger)
    return kit.button(f"Approve all {len(items)}", "approval.approve", value, style="primary", confirm=asks)
