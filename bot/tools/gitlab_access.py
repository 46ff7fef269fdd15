"""What GitLab says of who asks: its version, whose the token is and how long it lasts, and whether it may do too much."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from bot.tools import gitlab_facts as facts
from bot.tools.gitlab_client import GitLabClient
from bot.tools.rest import Missing

LOOKS, CHANGES = frozenset({"api", "read_api"}), "api"
POWERS = ("sudo", "admin_mode")
"""Scopes that only an administrator's token can have."""


@dataclass(frozen=True)
class Access:
    """The role in a project is a matter of each project, and is not asked for: GitLab says so to who tries.

    `scopes` is None where this GitLab does not tell them (before 15.5); `expires` is None where the token lasts for good.
    `projects` counts those that the token's user is a member of, as far as one page of them tells.
    """

    version: str
    user: str
    bot: bool
    administrator: bool
    scopes: tuple[str, ...] | None
    expires: date | None
    projects: int

    @property
    def may_look(self) -> bool:
        """Whether the token's scopes let it read anything that a tool asks for."""
        return self.scopes is None or bool(LOOKS & set(self.scopes))

    @property
    def may_change(self) -> bool:
        """Whether the token's scopes let it change anything."""
        return self.scopes is None or CHANGES in self.scopes

    @property
    def too_much(self) -> tuple[str, ...]:
        """What it could do that no tool needs, in words."""
        scopes = tuple(f"the scope {each}" for each in POWERS if each in (self.scopes or ()))
        return (*(("an administrator's rights",) if self.administrator else ()), *scopes)


async def access(client: GitLabClient) -> Access:
    """Look, by reads alone. Raises ToolError where GitLab is not reached, or does not take the token."""
    scopes, expires = await _token(client)
    if scopes is not None and not LOOKS & set(scopes):  # it would be refused whatever else is asked
        return Access("", "", bot=False, administrator=False, scopes=scopes, expires=expires, projects=0)
    version, who, projects = await asyncio.gather(
        client.get("/version", doing="say its version"),
        client.get("/user", doing="say whom it takes this agent for"),
        client.pages("/projects", {"membership": "true", "simple": "true"}, doing="list its projects"),
    )
    user = _object(who)
    return Access(
        version=facts.text(_object(version).get("version"), 40) or "of unknown version",
        user=facts.text(user.get("username"), 100),
        bot=user.get("bot") is True,
        administrator=user.get("is_admin") is True,
        scopes=scopes,
        expires=expires,
        projects=len(projects.items),
    )


async def _token(client: GitLabClient) -> tuple[tuple[str, ...] | None, date | None]:
    try:
        found = _object(await client.get("/personal_access_tokens/self", doing="say what the token may do"))
    except Missing:
        return None, None
    listed = found.get("scopes")
    scopes = tuple(each for each in listed if isinstance(each, str)) if isinstance(listed, list) else None
    try:
        return scopes, date.fromisoformat(str(found.get("expires_at")))
    except ValueError:
        return scopes, None


def _object(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}
