"""Events of what leaves for Slack: what a message should say, and what Slack made of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

CARD = "approval:"
"""The key of an approval card's message: this, and what the card is known by."""

PROGRESS = "progress:"
"""The key of a run's progress: this, and the run's id. A scan's list takes its place."""


@dataclass(frozen=True)
class MessageWanted:
    """What a message should say now. One `key`, one Slack message: later revisions edit it. Lower priority goes first.

    `shared_since` is set where another service may say the same under the same key: it is looked for from then on, before
    and after it is posted, and the earliest stays.
    """

    key: str
    revision: int
    channel: str
    thread_key: str
    text: str
    blocks: tuple[Any, ...]
    priority: int = 5
    thread_ts: str = ""
    attachments: tuple[Any, ...] = ()
    shared_since: datetime | None = None


@dataclass(frozen=True)
class MessageSent:
    """Slack has it: `ts` is Slack's name for the message."""

    key: str
    revision: int
    channel: str
    ts: str


@dataclass(frozen=True)
class MessageFailed:
    """Slack refused it. `final` means that it is not tried again."""

    key: str
    revision: int
    error: str
    final: bool


@dataclass(frozen=True)
class SurfaceShown:
    """Something shown to one person: an ephemeral message, a dialog, App Home, a command's answer."""

    surface: str
    user: str
    channel: str
    body: Mapping[str, Any]
