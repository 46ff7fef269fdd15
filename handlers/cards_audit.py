"""A checkpoint of the journal as a message: people who see it hold a copy."""

from __future__ import annotations

from domain.audit import CheckpointSigned
from handlers import kit
from handlers.kit import Body


def checkpoint(event: CheckpointSigned) -> Body:
    """The signed note as it is, to be copied whole."""
    head = f"Checkpoint over {event.size:,} event{'s' * (event.size != 1)}"
    how = "Saved to a file, it is what `personal-agent audit verify --anchor FILE` checks the journal against."
    return Body(
        head,
        (kit.paragraph(kit.span(head, bold=True)), kit.preformatted(event.note.rstrip("\n")), kit.context(how)),
    )
