"""Channel names to ids, once at the start: people rename channels, so only ids are kept."""

from __future__ import annotations

import re
from collections.abc import Iterable

from slack_sdk.web.async_client import AsyncWebClient

from domain.errors import ChatError
from handlers.slack_errors import FAILURES, code_of

_ID = re.compile(r"[CGD][A-Z0-9]{6,}$")


async def resolve(client: AsyncWebClient, wanted: Iterable[str]) -> dict[str, str]:
    """Each wanted `#name` or id with its id; a name that no channel has is left out. Raises ChatError."""
    found = {name: name for name in wanted if _ID.match(name)}
    names = {name.removeprefix("#"): name for name in wanted if name and not _ID.match(name)}
    cursor = ""
    while names:
        try:
            page = await client.conversations_list(limit=1000, exclude_archived=True, cursor=cursor or None)
        except FAILURES as error:
            raise ChatError(f"Slack does not list its channels ({code_of(error)}).", code=code_of(error)) from error
        for channel in page["channels"]:
            name = names.pop(str(channel["name"]), "")
            if name:
                found[name] = str(channel["id"])
        cursor = str((page.get("response_metadata") or {}).get("next_cursor") or "")
        if not cursor:
            break
    return found
