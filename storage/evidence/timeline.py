"""The timeline: one run as a single HTML page to read, keep and print. No script, nothing fetched, every recorded event on it.

What was recorded is text and nothing else: it becomes no tag, no attribute and no address. What is long is folded, never
left out; what is folded prints as the number of lines that are missing there.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from itertools import groupby

from domain import events
from domain.actions import Effect
from domain.decisions import Outcome
from domain.events import Envelope
from storage.evidence import words
from storage.evidence.entries_change import of_change
from storage.evidence.entries_run import of_run, tool_call
from storage.evidence.entries_slack import of_slack
from storage.evidence.entry import Entry, recorded
from storage.evidence.head import head, ref
from storage.evidence.markup import Html, code, folded, joined, pairs, table, tag
from storage.evidence.story import Story, story_of

_CHIPS = {
    "alert": "Alert",
    "run": "Run",
    "look": "Looking",
    "diagnosis": "Diagnosis",
    "model": "Model",
    "tool": "Tool",
    "policy": "Policy",
    "people": "People",
    "action": "Action",
    "slack": "Slack",
    "other": "Other",
}


@dataclass(frozen=True)
class Proof:
    """What the page says of its proof: the signed checkpoint that every event on it is included in."""

    note: str
    size: int
    root: str
    public_key: str
    exported_at: datetime


def render(envelopes: Sequence[Envelope], *, proof: Proof | None = None, run_id: str = "") -> str:
    """The page for one run: `run_id`'s, or that of the first run in `envelopes`, which are in order of `seq`."""
    story = story_of(envelopes, run_id)
    entries = _marked(woven(story, envelopes), envelopes)
    body = tag(
        "main",
        head(story),
        tag("h2", "Everything that was recorded"),
        tag("p", _how_to_read(envelopes), class_="small"),
        tag("ol", *_lines(story, entries), class_="line"),
        _proof(proof, envelopes),
    )
    return page(f"{story.title} – evidence of {story.run_id}", body)


def page(title: str, body: Html) -> str:
    """A whole page around a body, in the one style of our pages: no script, nothing fetched."""
    style = _style()
    policy = f"default-src 'none'; style-src 'sha256-{_digest(style)}'; base-uri 'none'; form-action 'none'"
    top = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        Html(f"<style>{style}</style>"),
    )
    whole = tag("html", top, tag("body", body), lang="en")
    return f"<!doctype html>\n{whole.text}\n"


@cache
def _style() -> str:
    return (files("storage.evidence") / "timeline.css").read_text("utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# --- from events to entries -------------------------------------------------------------------------------------------


def woven(story: Story, envelopes: Sequence[Envelope]) -> list[Entry]:
    """Every event in an entry, in order; a read stands with the request for it and policy's word on it."""
    results = {
        (each.run_id, each.event.result.call_id): each.event
        for each in envelopes
        if isinstance(each.event, events.ToolCallFinished)
    }
    led: dict[tuple[str, str], list[Envelope]] = {}
    seen: set[str] = set()
    entries: list[Entry] = []
    for each in envelopes:
        call = _leads_to(each)
        if call and call in results:
            led.setdefault(call, []).append(each)
            continue
        entry = _entry(story, each, led)
        if isinstance(each.event, events.AlertReceived):
            alert = each.event.alert
            entry = replace(entry, minor=not alert.firing or alert.fingerprint in seen)
            seen.add(alert.fingerprint)
        entries.append(entry)
    return entries


def _marked(entries: Sequence[Entry], envelopes: Sequence[Envelope]) -> list[Entry]:
    """Where words were erased, the entry says so and why."""
    erased = {each.event.seq: each for each in envelopes if isinstance(each.event, events.BodyErased)}

    def notes(entry: Entry) -> Iterator[Html]:
        for stone in (erased[each.seq] for each in entry.of if each.seq in erased):
            if isinstance(stone.event, events.BodyErased):
                yield tag("p", tag("b", f"Erased: {stone.event.reason}"), ref(stone.seq), class_="bad")

    return [replace(entry, body=(*notes(entry), *entry.body)) if erased else entry for entry in entries]


def _leads_to(each: Envelope) -> tuple[str, str] | None:
    """The call that an event only leads to: its being wanted by an analyzer, its being a read that policy allowed."""
    match each.event:
        case events.AnalysisPlanned(calls) if len(calls) == 1:
            return each.run_id, calls[0].id
        case events.DecisionMade(call_id, action, decision):
            if action.effect is Effect.READ and decision.outcome is Outcome.ALLOW:
                return each.run_id, call_id
    return None


def _entry(story: Story, each: Envelope, led: Mapping[tuple[str, str], Sequence[Envelope]]) -> Entry:
    if isinstance(each.event, events.ToolCallFinished):
        before = led.get((each.run_id, each.event.result.call_id), ())
        return tool_call(before, each, each.event.result)
    return of_run(story, each) or of_change(story, each) or of_slack(story, each) or _other(each)


def _other(each: Envelope) -> Entry:
    """What this page has no words for: its kind, and all that was recorded."""
    return Entry("other", code(type(each.event).__name__), (each,), (recorded(each),), minor=True)


# --- the line ---------------------------------------------------------------------------------------------------------


def _lines(story: Story, entries: Iterable[Entry]) -> Iterator[Html]:
    """Entries under the days that they belong to; minor ones in a row folded together."""
    day = ""
    for minor, group in groupby(entries, key=lambda entry: entry.minor):
        members = list(group)
        for entry in members:
            date = entry.at.at.astimezone(UTC).strftime("%A %-d %B %Y")
            if date != day:
                day = date
                yield tag("li", f"{day}, UTC", class_="day")
            if not minor:
                yield _line(story, entry)
        if minor:
            yield _minor(story, members)


def _line(story: Story, entry: Entry) -> Html:
    at, other = entry.at, entry.at.run_id not in ("", story.run_id)
    return tag(
        "li",
        _when(story, at, entry.kind),
        tag(
            "div",
            tag(
                "h3",
                tag("span", entry.title, class_="title"),
                _refs(entry.of),
            ),
            tag("p", "In run ", code(at.run_id), class_="small") if other else None,
            *entry.body,
            class_="what",
        ),
        class_=f"{entry.kind} {entry.tone}".strip(),
        id=f"e{at.seq}",
    )


def _when(story: Story, at: Envelope, kind: str = "") -> Html:
    after = at.at - story.began
    since = f"+{words.span(after)}" if after.total_seconds() >= 0 else words.span(after)
    chip = tag("span", _CHIPS[kind], class_="chip") if kind else None
    return tag(
        "div", tag("b", words.clock(at.at)), tag("p", chip, tag("small", since)) if kind else None, class_="when"
    )


def _refs(of: Iterable[Envelope]) -> Html:
    """The sequence numbers and the beginnings of the hashes of what an entry stands for."""
    return tag("span", *(joined(f"#{each.seq} ", tag("code", each.hash[:8]), " ") for each in of), class_="refs")


def _minor(story: Story, entries: Sequence[Entry]) -> Html:
    counts: dict[str, int] = {}
    for entry in entries:
        counts[_CHIPS[entry.kind]] = counts.get(_CHIPS[entry.kind], 0) + 1
    names = {
        "Slack": "Slack message event",
        "Alert": "further alert event",
        "Looking": "planned read",
        "People": "reminder",
    }
    what = ", ".join(words.plural(count, names.get(name, f"{name.lower()} event")) for name, count in counts.items())
    first, last = entries[0].of[0].seq, entries[-1].at.seq
    numbers = f"#{first}" if first == last else f"#{first}–#{last}"
    inside = tag("ul", *(_minor_line(entry) for entry in entries))
    return tag(
        "li",
        _when(story, entries[0].at),
        tag("div", folded(joined(what, " ", tag("span", numbers, class_="refs")), inside), class_="what"),
        class_="minor",
    )


def _minor_line(entry: Entry) -> Html:
    return tag(
        "li",
        tag("p", tag("span", words.clock(entry.at.at), class_="at"), " ", entry.title, " ", _refs(entry.of)),
        *entry.body,
        id=f"e{entry.at.seq}",
    )


# --- the end ----------------------------------------------------------------------------------------------------------


def _how_to_read(envelopes: Sequence[Envelope]) -> str:
    return (
        f"{words.plural(len(envelopes), 'event')}, oldest first, times in UTC. Each shows its sequence number in the journal "
        "and the beginning of its hash. What is folded is complete when it is opened; it prints as it stands on the screen."
    )


def _proof(proof: Proof | None, envelopes: Sequence[Envelope]) -> Html:
    rows = [
        (f"#{each.seq}", words.moment(each.at), type(each.event).__name__, each.actor, code(each.hash))
        for each in envelopes
    ]
    index = folded(
        f"All {words.plural(len(rows), 'event')} with their hashes",
        table(("Event", "When", "Kind", "By", "Hash (SHA-256)"), rows, "index"),
    )
    if proof is None:
        unproven = (
            "This page was made without a checkpoint. It shows what the journal holds; it proves nothing by itself."
        )
        return tag("footer", tag("h2", "Proof"), tag("p", unproven), index)
    return tag(
        "footer",
        tag("h2", "Proof"),
        tag("p", _PROVES),
        pairs(
            (
                ("Journal", f"{words.plural(proof.size, 'event')} when this was exported"),
                ("Root", code(proof.root)),
                ("Public key", code(proof.public_key)),
                ("Exported", words.moment(proof.exported_at)),
            )
        ),
        tag("h4", "Signed checkpoint"),
        tag("pre", proof.note, class_="out"),
        tag("h4", "How to verify"),
        tag("pre", _HOW, class_="out"),
        index,
    )


_PROVES = (
    "Every event above is in bundle.jsonl beside this page, with the path from its hash to the root of the journal's Merkle "
    "tree. The root stands in a checkpoint that is signed with the journal's Ed25519 key. This page is drawn from those "
    "events; the bundle is the evidence. Compare the public key with one that you were given another way."
)
_HOW = (
    "python3 verify.py bundle.jsonl             # beside this page: standard library only, no network\n"
    "personal-agent audit verify --file RUN.zip # the same, by Personal-Agent"
)
