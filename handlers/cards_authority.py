"""What is said of break-glass: the public notice, the call for its review, the dialog of the reviewer. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime

from domain.authority import BreakGlass
from domain.decisions import Approval
from handlers import kit
from handlers.cards_approval import title_of, word_of
from handlers.kit import Block, Body

COMMENT = "reason"
_MOST = 20


def notice(glass: BreakGlass, uses: Sequence[Approval], now: datetime) -> Body:
    """The public notice, as it stands: open, over and to be reviewed, or reviewed."""
    state = "open" if glass.is_open(now) else "over"
    said = "reviewed" if glass.reviewed_at else f"{state}, review wanted" if state == "over" else state
    head = f"Break-glass {said}: {kit.line(glass.name, 60)} may approve alone"
    if state == "over":
        head = f"Break-glass {said}: {kit.line(glass.name, 60)} could approve alone"
    return Body(kit.safe(head), kit.within(_notice(glass, uses, head, is_open=state == "open")))


def _notice(glass: BreakGlass, uses: Sequence[Approval], head: str, *, is_open: bool) -> Iterator[Block]:
    until = kit.when(glass.until, "{time}" if is_open else "{date_short_pretty} {time}")
    yield kit.header(f"🧯 {head}")
    yield kit.section(
        f"{kit.person(glass.user)} {'may approve' if is_open else 'could approve'} changes for incident"
        f" {kit.code(glass.incident_id, 60)} alone until {until}. What policy denies stays denied."
    )
    yield kit.paragraph(kit.span("Reason: ", bold=True), kit.span(glass.reason, 1000))
    for approval in uses[:_MOST]:
        what, target = (
            kit.safe(title_of(approval.request.action), 120),
            kit.code(str(approval.request.action.target), 120),
        )
        yield kit.context(f"{word_of(approval)}: *{what}* on {target}, request {kit.code(approval.request.id, 60)}")
    if len(uses) > _MOST:
        yield kit.context(f"and {len(uses) - _MOST} more")
    if not uses:
        yield kit.context("Nothing was approved under it" + (" yet." if is_open else "."))
    if glass.reviewed_at:
        yield kit.paragraph(kit.span(f"Reviewed by {glass.reviewed_by}: ", bold=True), kit.span(glass.review, 2000))
    else:
        yield kit.actions(kit.button("Review…", "break_glass.review", glass.id))


def review_wanted(glass: BreakGlass, mentions: Sequence[str], day: int) -> Body:
    """The call for a review, when the glass closes and every day after. The mentions are meant to notify."""
    late = f"For {kit.plural(day, 'day')} now nobody has" if day else "Within a day, somebody else has to"
    what = "reviewed this break-glass" if day else "review this break-glass"
    said = f"{late} {what} of {kit.line(glass.name, 60)}"
    who = " ".join(mentions[:20])
    return Body(kit.safe(said), (kit.section(f"🧯 {who} {kit.safe(said)}: *Review…* on the notice above."),))


def review(glass_id: str, channel: str) -> Block:
    """The reviewer's dialog."""
    hint = "Was it needed, was what was done right, what should change? It is recorded for the auditor."
    question = kit.field_input(COMMENT, "What did you find?", multiline=True, hint=hint)
    metadata = json.dumps({"glass": glass_id, "channel": channel})
    return kit.modal("break_glass.review", "Review break-glass", "Done", [question], metadata)
