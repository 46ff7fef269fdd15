"""The Directory port: who is who, as Slack says at this moment. Where Slack cannot answer, nobody may vote."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from domain.errors import ChatError
from domain.ports import Person
from handlers.slack_errors import FAILURES, code_of

HANDLES_S = 300.0  # how long it is remembered which group a handle names
_USER_ID = re.compile(r"[UW][A-Z0-9]{2,}")
_GROUP_ID = re.compile(r"(?:<!subteam\^)?(S[A-Z0-9]{2,})(?:\|[^>]*)?>?")


class SlackDirectory:
    """`person` and `members` ask Slack every time; which group a handle names may be five minutes old.

    Concurrent questions of the same kind share one call.
    """

    def __init__(self, client: AsyncWebClient, team_id: str) -> None:
        self._client = client
        self._team = team_id
        self._flights: dict[str, asyncio.Task[Any]] = {}
        self._handles: tuple[float, dict[str, str]] = (0.0, {})

    async def person(self, user_id: str) -> Person:
        """One user. Raises ChatError where Slack cannot answer."""
        if not _USER_ID.fullmatch(user_id):
            return Person(user_id, user_id, False, "That is no Slack user.")
        person: Person = await self._shared(f"person:{user_id}", lambda: self._read_person(user_id))
        return person

    async def members(self, reference: str) -> frozenset[str]:
        """The user ids behind @handle, an e-mail address, a user id or a user group id. Raises ChatError."""
        reference = reference.strip()
        if _USER_ID.fullmatch(reference):
            return frozenset({reference})
        if "@" in reference[1:]:
            return await self._by_email(reference)
        group = _GROUP_ID.fullmatch(reference)
        group_id = group[1] if group else await self._group_id(reference.removeprefix("@"))
        members: frozenset[str] = await self._shared(f"group:{group_id}", lambda: self._read_members(group_id))
        return members

    async def mention(self, reference: str) -> str:
        """What notifies the people behind a reference when it stands in a message. Raises ChatError."""
        reference = reference.strip()
        if _USER_ID.fullmatch(reference):
            return f"<@{reference}>"
        if "@" in reference[1:]:
            return "".join(f"<@{user}>" for user in sorted(await self._by_email(reference))) or reference
        group = _GROUP_ID.fullmatch(reference)
        return f"<!subteam^{group[1] if group else await self._group_id(reference.removeprefix('@'))}>"

    def invalidate(self) -> None:
        """User groups changed."""
        self._handles = (0.0, {})

    # --- reading ------------------------------------------------------------------------------------------------------

    async def _shared(self, key: str, read: Callable[[], Awaitable[Any]]) -> Any:
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.ensure_future(read())
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        return await asyncio.shield(flight)

    async def _read_person(self, user_id: str) -> Person:
        try:
            user = (await self._client.users_info(user=user_id))["user"]
        except FAILURES as error:
            if code_of(error) in ("user_not_found", "user_not_visible"):
                return Person(user_id, user_id, False, "Slack does not know that user here.")
            raise _cannot("who you are", error) from error
        return person_of(user, self._team)

    async def _read_members(self, group_id: str) -> frozenset[str]:
        try:
            answer = await self._client.usergroups_users_list(usergroup=group_id)
        except FAILURES as error:
            raise _cannot("who is in the group of approvers", error) from error
        return frozenset(map(str, answer["users"]))

    async def _group_id(self, handle: str) -> str:
        at, handles = self._handles
        if handle not in handles or _now() - at > HANDLES_S:
            handles = await self._shared("handles", self._read_handles)
            self._handles = (_now(), handles)
        if handle not in handles:
            raise ChatError(f"There is no user group @{handle} in this workspace.", code="no_such_subteam")
        return handles[handle]

    async def _read_handles(self) -> dict[str, str]:
        try:
            answer = await self._client.usergroups_list()
        except FAILURES as error:
            raise _cannot("which user groups there are", error) from error
        return {
            str(group["handle"]): str(group["id"]) for group in answer["usergroups"] if not group.get("date_delete")
        }

    async def _by_email(self, email: str) -> frozenset[str]:
        try:
            answer = await self._client.users_lookupByEmail(email=email)
        except SlackApiError as error:
            if code_of(error) == "users_not_found":
                return frozenset()
            raise _cannot(f"who {email} is", error) from error
        except FAILURES as error:
            raise _cannot(f"who {email} is", error) from error
        return frozenset({str(answer["user"]["id"])})


def person_of(user: Mapping[str, Any], team_id: str) -> Person:
    """A user as Slack describes it. A full member is a person of this workspace: no guest, bot or stranger."""
    profile = user.get("profile") or {}
    name = str(profile.get("display_name") or user.get("real_name") or user.get("name") or user["id"])
    why_not = next((sentence for sentence, holds in _disqualifying(user, team_id) if holds), "")
    return Person(str(user["id"]), name, not why_not, why_not, str(profile.get("email") or ""))


def _disqualifying(user: Mapping[str, Any], team_id: str) -> list[tuple[str, bool]]:
    is_bot = bool(user.get("is_bot") or user.get("is_workflow_bot") or user["id"] == "USLACKBOT")
    is_guest = bool(user.get("is_restricted") or user.get("is_ultra_restricted"))
    is_outside = bool(user.get("is_stranger")) or str(user.get("team_id") or "") != team_id
    return [
        ("This account is deactivated.", bool(user.get("deleted"))),
        ("Bots cannot decide on this.", is_bot),
        ("People from outside this workspace cannot decide on this.", is_outside),
        ("Guests cannot decide on this.", is_guest),
    ]


def _cannot(what: str, error: Exception) -> ChatError:
    code = code_of(error)
    if code == "missing_scope":
        sentence = f"Slack may not tell this app {what} (missing_scope): install it again with its whole manifest."
        return ChatError(sentence, code=code)
    return ChatError(f"Slack cannot say {what} right now ({code}), so nothing was done.", code=code)


def _now() -> float:
    return asyncio.get_running_loop().time()
