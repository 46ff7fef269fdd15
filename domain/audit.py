"""Events of the log about itself: checkpoints, the places that hold copies of them, erased bodies. Part of domain.events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

CHECKPOINT_MESSAGES = "checkpoint:"
"""How the keys of messages begin that show a checkpoint."""


@dataclass(frozen=True)
class CheckpointSigned:
    """What the first `size` events are, signed: `note` holds their Merkle root.

    `frontier` (hex) are the roots of the tree's complete subtrees, the largest first: the next checkpoint goes on from
    what was signed, not from what the database says by then.
    """

    note: str
    size: int
    frontier: tuple[str, ...]


@dataclass(frozen=True)
class AnchorWritten:
    """A checkpoint stands in a place outside the database; `reference` is that place's name for it."""

    place: str
    size: int
    reference: str = ""


@dataclass(frozen=True)
class AnchorFailed:
    """A place did not take a checkpoint. Recorded once per reason, and tried again."""

    place: str
    size: int
    reason: str


@dataclass(frozen=True)
class BodyErased:
    """The body of the event `seq` is no longer there, but for `remains`: the same body without people's words.

    The tombstone. What was hashed before cannot be had from it; the chain goes on over the hashes.
    """

    seq: int
    reason: str
    remains: Mapping[str, Any]


@dataclass(frozen=True)
class Anchor:
    """How a place outside stands: the newest checkpoint it holds, and why it takes none (empty: it does)."""

    place: str
    size: int = 0
    reference: str = ""
    written_at: datetime | None = None
    failed: str = ""
    failed_at: datetime | None = None
