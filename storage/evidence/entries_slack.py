"""Entries of what went to Slack and came from it: one line each, every word behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from domain import events
from domain.events import Envelope
from storage.evidence.entry import Entry, recorded
from storage.evidence.head import person
from storage.evidence.markup import Child, code, joined, said, tag
from storage.evidence.story import Story

_WORDS = frozenset({"text", "title", "details", "alt_text"})


def of_slack(story: Story, each: Envelope) -> Entry | None:
    """The entry of a message, or of something that Slack sent; None for any other event."""
    match each.event:
        case events.MessageWanted(key, revision, _, _, text, blocks, _, _, attachments):
            title = joined(f"Message {'written' if revision == 1 else f'edited (revision {revision})'}: ", text)
            shown = "\n".join(dict.fromkeys(filter(None, _texts([*blocks, *attachments]))))
            body = (said(shown) if shown else None, recorded(each, f"As recorded ({key})"))
            return Entry("slack", title, (each,), body, minor=True)
        case events.MessageSent(key, revision, channel, ts):
            title = joined("Slack has ", code(key), f", revision {revision}, as ", code(f"{channel} {ts}"))
            return Entry("slack", title, (each,), minor=True)
        case events.MessageFailed(key, _, error, final):
            end = ", for good" if final else ""
            return Entry("slack", joined("Slack refused ", code(key), f"{end}: ", error), (each,), minor=True)
        case events.PayloadReceived(_, surface, payload):
            return Entry("slack", _came(story, surface, payload), (each,), (recorded(each),), minor=True)
        case events.SurfaceShown(surface, user, _, _):
            title = joined("Shown to ", person(story, user), f" alone: {surface}")
            return Entry("slack", title, (each,), (recorded(each),), minor=True)
    return None


def _came(story: Story, surface: str, payload: Mapping[str, Any]) -> Child:
    user = payload.get("user")
    who = person(story, str(user.get("id") or "")) if isinstance(user, Mapping) else tag("b", "Slack")
    actions = payload.get("actions")
    pressed = actions[0] if isinstance(actions, list) and actions and isinstance(actions[0], Mapping) else {}
    if pressed:
        return joined("Click of ", who, " on ", code(str(pressed.get("action_id") or "a button")))
    return joined(f"From Slack ({surface}), ", who)


def _texts(value: Any) -> Iterator[str]:
    """The words that people see in blocks, in order."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in _WORDS and isinstance(inner, str):
                yield inner
            else:
                yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)
