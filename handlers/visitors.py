"""Who has App Home open, as far as can be told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from domain.canonical import digest_of, plain

LATELY_S = 600.0
"""Slack says when a person opens App Home and not when they leave it: so long it is taken to be looked at."""


class Visitors:
    """Who has App Home open, as far as can be told, and what stands there."""

    def __init__(self) -> None:
        self._seen: dict[str, float] = {}
        self._shown: dict[str, str] = {}

    def came(self, user: str) -> None:
        """A person opened it: whatever stands there is published anew."""
        self._seen[user] = asyncio.get_running_loop().time()
        self._shown.pop(user, None)

    def lately(self) -> list[str]:
        """Those who opened it lately; the others are forgotten."""
        since = asyncio.get_running_loop().time() - LATELY_S
        for user in [user for user, at in self._seen.items() if at < since]:
            del self._seen[user]
            self._shown.pop(user, None)
        return list(self._seen)

    def is_news(self, user: str, view: Mapping[str, Any]) -> bool:
        """Whether it is other than what stands there; from here on it is what stands there."""
        digest = digest_of(plain(view))
        known, self._shown[user] = self._shown.get(user), digest
        return known != digest

    def failed(self, user: str) -> None:
        """Slack did not take it: the next is news again."""
        self._shown.pop(user, None)
