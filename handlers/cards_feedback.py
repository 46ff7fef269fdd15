"""Feedback on a diagnosis: the two buttons below it, the dialog behind 👎, the thanks, and what it all adds up to. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from domain.feedback import FeedbackCategory, FeedbackGiven, FeedbackVerdict, Quality, Share
from handlers import kit
from handlers.kit import Block, Body

CATEGORY, REASON = "category", "reason"
_COMPLAINTS = 3  # of them are quoted
NAMES = {
    FeedbackCategory.WRONG_CAUSE: "Wrong cause",
    FeedbackCategory.MISSED_EVIDENCE: "Missed evidence",
    FeedbackCategory.UNHELPFUL: "Unhelpful",
    FeedbackCategory.TOO_NOISY: "Too noisy",
    FeedbackCategory.OTHER: "Something else",
}
_MEANT = {
    FeedbackCategory.WRONG_CAUSE: "It was something else.",
    FeedbackCategory.MISSED_EVIDENCE: "It did not see what mattered.",
    FeedbackCategory.UNHELPFUL: "It may be right, and was of no use.",
    FeedbackCategory.TOO_NOISY: "Too much, or about nothing that matters.",
    FeedbackCategory.OTHER: "Please say what, below.",
}


def buttons(run_id: str) -> Block:
    """Was this right? The answer is counted in the weekly figures."""
    return {
        "type": "context_actions",
        "elements": [
            {
                "type": "feedback_buttons",
                "action_id": "feedback.vote",
                "positive_button": _button("Helpful", FeedbackVerdict.GOOD, run_id, "This diagnosis helped"),
                "negative_button": _button("Wrong", FeedbackVerdict.BAD, run_id, "This diagnosis was wrong"),
            }
        ],
    }


def _button(text: str, verdict: FeedbackVerdict, run_id: str, label: str) -> Block:
    return {"text": kit.plain(text, 75), "value": f"{verdict} {run_id}"[:2000], "accessibility_label": label}


def thanks(word: FeedbackGiven) -> Body:
    """What the person alone is told, and how to say more or otherwise."""
    if word.verdict is FeedbackVerdict.GOOD:
        said, more = "👍 Recorded: this diagnosis helped.", "Change the note…" if word.reason else "Add a note…"
    else:
        name = NAMES[word.category or FeedbackCategory.OTHER].lower()
        said, more = f"👎 Recorded: {name}.", "Change…"
    note = [kit.paragraph(kit.span(word.reason, 600, italic=True))] if word.reason else []
    rest = "It counts in the weekly figures. Your last word stands."
    change = kit.actions(kit.button(more, "feedback.more", f"{word.verdict} {word.run_id}"))
    return Body(f"{said} Thank you.", (kit.section(f"{said} Thank you."), *note, kit.context(rest), change))


def dialog(
    run_id: str, verdict: FeedbackVerdict, about: str, said: FeedbackGiven | None, channel: str, thread_ts: str
) -> Block:
    """What was wrong, or what helped; `said` is what stands of this person so far, `about` is what was diagnosed."""
    said = said if said and said.verdict is verdict else None
    bad = verdict is FeedbackVerdict.BAD
    metadata = {"run": run_id, "verdict": verdict.value, "channel": channel, "thread_ts": thread_ts}
    asked = [_categories(said)] if bad else []
    label = "What should it have said?" if bad else "What helped?"
    hint = "Secrets are taken out. It counts in the weekly figures, and whoever reads the run's record sees it."
    note = kit.field_input(REASON, label, value=said.reason if said else "", multiline=True, hint=hint, most=2000)
    lead = [kit.paragraph(kit.span(about, 200, bold=True))] if about else []
    return kit.modal(
        "feedback.reason",
        "Wrong diagnosis" if bad else "Helpful diagnosis",
        "Send",
        [*lead, *asked, note | {"optional": True}],
        json.dumps(metadata),
    )


def _categories(said: FeedbackGiven | None) -> Block:
    options = {one: _option(one) for one in FeedbackCategory}
    choice: Block = {"type": "radio_buttons", "action_id": "value", "options": list(options.values())}
    if said and said.category:
        choice["initial_option"] = options[said.category]
    return {"type": "input", "block_id": CATEGORY, "label": kit.plain("What was wrong?", 200), "element": choice}


def _option(category: FeedbackCategory) -> Block:
    text, meant = kit.plain(NAMES[category], 75), kit.plain(_MEANT[category], 75)
    return {"text": text, "description": meant, "value": category.value}


# --- in the figures ---------------------------------------------------------------------------------------------------


def rated(quality: Quality, links: Mapping[str, str]) -> Block:
    """How a period's diagnoses were rated: the share with its n and interval, by what, what was wrong, and who said what."""
    return kit.section("*Diagnoses rated*\n" + "\n".join(_rated(quality, links)))


def _rated(quality: Quality, links: Mapping[str, str]) -> Iterator[str]:
    if not quality.share.n:
        yield "Nobody rated one. 👍 and 👎 below a diagnosis are counted here."
        return
    yield f"👍 {shared(quality.share)}"
    parts = [f"{word}{_each(shares)}" for word, shares in (("", quality.by_kind), ("by ", quality.by_model)) if shares]
    yield " · ".join(parts)
    why = Counter(complaint.category for complaint in quality.complaints)
    if why:
        yield "👎 " + ", ".join(f"{n} {NAMES[category].lower()}" for category, n in why.most_common())
    for each in [complaint for complaint in quality.complaints if complaint.reason][:_COMPLAINTS]:
        yield f"• “{kit.safe(each.reason, 160)}”{kit.thread(links, each.incident_id, each.run_id)}"


def _each(shares: Sequence[tuple[str, Share]]) -> str:
    return ", ".join(f"{kit.safe(name.replace('_', ' '), 40)} {one.good} of {one.n}" for name, one in shares[:6])


def shared(share: Share) -> str:
    """14 of 17 (82 %, 95 % interval 59 to 94 %)."""
    low, high = share.interval
    part = f"{share.good:,} of {share.n:,}"
    whole = 100 * share.good / share.n if share.n else 0
    return f"{part} ({whole:.0f} %, 95 % interval {100 * low:.0f} to {100 * high:.0f} %)" if share.n else part
