"""An entry of the timeline, before it is HTML."""

from __future__ import annotations

from dataclasses import dataclass

from domain.events import Envelope, body_of
from storage.evidence.markup import NOTHING, Child, folded, literal, pretty


@dataclass(frozen=True)
class Entry:
    """`kind` is the chip's word and colour, `of` the events that it stands for, the one that it is placed by last.

    A `minor` entry is one line; several in a row are folded together.
    """

    kind: str
    title: Child
    of: tuple[Envelope, ...]
    body: tuple[Child, ...] = ()
    tone: str = ""
    minor: bool = False

    @property
    def at(self) -> Envelope:
        """The event that it is placed by."""
        return self.of[-1]


def recorded(envelope: Envelope, summary: str = "As recorded") -> Child:
    """The event's whole body as it stands in the journal, folded."""
    return folded(summary, literal(pretty(body_of(envelope.event))))


def when(condition: object, child: Child) -> Child:
    """`child` where the condition holds."""
    return child if condition else NOTHING
