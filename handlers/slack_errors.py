"""What a failed call to Slack means for the message that it carried."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from enum import Enum

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

log = logging.getLogger("agent.slack")
FAILURES = (SlackClientError, aiohttp.ClientError, asyncio.TimeoutError, OSError, ValueError, AttributeError)
"""What a call of slack_sdk raises for reasons outside this process: an answer that is no JSON is a ValueError, and one
that is plain text (a proxy's 503) an AttributeError."""


class Trouble(Enum):
    """What to do about it."""

    BUSY = "wait as long as Slack says"
    UNSURE = "it may or may not have arrived: look before sending again"
    BLOCKS = "send it in simpler blocks"
    PICTURE = "Slack has not processed the picture yet: wait a little"
    GONE = "the message is no longer there: post it again"
    THREAD_GONE = "the thread's first message is no longer there"
    STREAMING = "the message is still a stream: stop that first"
    ROUTE = "this channel cannot be written to"
    TOKEN = "Slack does not know this app any more"  # noqa: S105
    SCOPE = "this app may not make this call; it may make others"
    UNKNOWN = "nobody here knows the word: try a few times more, then never again"


@dataclass(frozen=True)
class Refusal:
    """`code` is Slack's own word; `retry_after` is seconds."""

    trouble: Trouble
    code: str
    retry_after: float = 0.0


_CODES = {
    Trouble.BUSY: {"ratelimited", "rate_limited", "message_limit_exceeded"},
    Trouble.UNSURE: {"internal_error", "fatal_error", "request_timeout", "service_unavailable", "team_added_to_org"},
    Trouble.BLOCKS: {
        "invalid_blocks",
        "invalid_blocks_format",
        "msg_blocks_too_long",
        "invalid_attachments",
        "msg_too_long",
    },
    Trouble.GONE: {"message_not_found", "cant_update_message", "edit_window_closed"},
    Trouble.THREAD_GONE: {"thread_not_found", "cannot_reply_to_message"},
    Trouble.STREAMING: {"streaming_state_conflict"},
    Trouble.ROUTE: {
        "is_archived",
        "not_in_channel",
        "channel_not_found",
        "restricted_action",
        "channel_is_limited_access",
    },
    Trouble.TOKEN: {
        "account_inactive",
        "token_revoked",
        "token_expired",
        "invalid_auth",
        "not_authed",
    },
    Trouble.SCOPE: {"missing_scope", "not_allowed_token_type"},
}
_TROUBLES = {code: trouble for trouble, codes in _CODES.items() for code in codes}


def understand(error: Exception) -> Refusal:
    """Slack's answer, or its absence, as what to do next."""
    if not isinstance(error, SlackApiError):
        return Refusal(Trouble.UNSURE, type(error).__name__)
    status = int(getattr(error.response, "status_code", 200))
    code = code_of(error)
    if status == 429 or code in _CODES[Trouble.BUSY]:
        return Refusal(Trouble.BUSY, "ratelimited", _retry_after(error))
    if status >= 500:
        return Refusal(Trouble.UNSURE, f"HTTP {status}")
    if code == "invalid_blocks" and "slack file" in str(error.response.get("errors")):
        return Refusal(Trouble.PICTURE, code)
    return Refusal(_TROUBLES.get(code, Trouble.UNKNOWN), code)


def code_of(error: Exception) -> str:
    """Slack's word for what went wrong, else the exception's name."""
    answer = getattr(getattr(error, "response", None), "data", None)
    code = answer.get("error") if isinstance(answer, dict) else None
    return str(code) if code else type(error).__name__


def _retry_after(error: SlackApiError) -> float:
    headers = getattr(error.response, "headers", None) or {}
    for name, value in headers.items():
        if name.lower() == "retry-after":
            try:
                return max(0.0, float(value))
            except ValueError:
                break
    return 1.0
