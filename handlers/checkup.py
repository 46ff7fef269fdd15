"""What `doctor` asks of Slack: tokens, scopes, clock, channels, approvers. Each answer is a sentence, with a fix where bad."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from slack_sdk.web.async_client import AsyncWebClient

from domain.errors import ChatError
from handlers.directory import SlackDirectory
from handlers.slack_app import Connection, missing_scopes
from handlers.slack_errors import FAILURES, code_of

MAX_SKEW_S = 60


@dataclass(frozen=True)
class Answer:
    """One check. `fix` is empty where all is well."""

    name: str
    ok: bool
    sentence: str
    fix: str = ""


async def check(
    connection: Connection, app_token: str, api_url: str, channels: dict[str, str], approvers: Sequence[str]
) -> AsyncIterator[Answer]:
    """Every check, one after the other: the first that fails often explains the rest."""
    yield _scopes(connection)
    yield await _clock(connection)
    if app_token:
        yield await _socket(app_token, api_url)
    for name, channel in channels.items():
        yield await _channel(connection, name, channel)
    yield await _approvers(connection, approvers)


def _scopes(connection: Connection) -> Answer:
    missing = missing_scopes(connection.identity)
    if missing:
        fix = "add them under OAuth & Permissions and reinstall (personal-agent slack manifest prints the whole app)"
        return Answer("scopes", ok=False, sentence=f"the bot token lacks {', '.join(missing)}", fix=fix)
    return Answer("scopes", ok=True, sentence="the bot token has every scope that the code uses")


async def _clock(connection: Connection) -> Answer:
    answer = await connection.reading.api_test()
    date = next((value for name, value in answer.headers.items() if name.lower() == "date"), "")
    if not date:
        return Answer("clock", ok=True, sentence="Slack did not say what time it is")
    skew = time.time() - parsedate_to_datetime(str(date)).timestamp()
    if abs(skew) > MAX_SKEW_S:
        return Answer(
            "clock", ok=False, sentence=f"this machine's clock is {skew:.0f} s off Slack's", fix="run an NTP client"
        )
    return Answer("clock", ok=True, sentence="this machine's clock agrees with Slack's")


async def _socket(app_token: str, api_url: str) -> Answer:
    client = AsyncWebClient(base_url=api_url, retry_handlers=[], timeout=15)
    try:
        await client.apps_connections_open(app_token=app_token)
    except FAILURES as error:
        fix = "create an app-level token with connections:write under Basic Information"
        return Answer("socket mode", ok=False, sentence=f"Slack refuses SLACK_APP_TOKEN ({code_of(error)})", fix=fix)
    return Answer("socket mode", ok=True, sentence="Slack gives this app a socket")


async def _channel(connection: Connection, name: str, channel: str) -> Answer:
    if not channel:
        fix = "create it or correct AGENT_CHANNEL; a private channel needs the app invited first"
        return Answer(name, ok=False, sentence="there is no such channel that the app can see", fix=fix)
    try:
        found = (await connection.reading.conversations_info(channel=channel))["channel"]
    except FAILURES as error:
        return Answer(name, ok=False, sentence=f"Slack does not show it ({code_of(error)})", fix="invite the app to it")
    if found.get("is_archived"):
        return Answer(name, ok=False, sentence="it is archived", fix="unarchive it or name another channel")
    if not found.get("is_member"):
        return Answer(name, ok=False, sentence="the app is not in it", fix=f"type /invite @<app> in {name}")
    if found.get("is_ext_shared"):
        fix = "use a channel of this workspace only: evidence would be shown to another company"
        return Answer(name, ok=False, sentence="it is shared with another workspace", fix=fix)
    return Answer(name, ok=True, sentence="the app is a member")


async def _approvers(connection: Connection, references: Sequence[str]) -> Answer:
    if not references:
        fix = "set AGENT_APPROVERS to user-group handles (@sre), e-mail addresses or user ids"
        return Answer("approvers", ok=False, sentence="AGENT_APPROVERS is empty, so nobody can approve", fix=fix)
    directory = SlackDirectory(connection.reading, connection.identity.team_id)
    able: set[str] = set()
    try:
        for reference in references:
            for user in await directory.members(reference):
                if (await directory.person(user)).full_member:
                    able.add(user)
    except ChatError as error:
        return Answer("approvers", ok=False, sentence=str(error), fix="check the handles in AGENT_APPROVERS")
    if not able:
        return Answer(
            "approvers", ok=False, sentence="none of them is a full member of this workspace", fix="name others"
        )
    people = "1 person" if len(able) == 1 else f"{len(able)} people"
    return Answer("approvers", ok=True, sentence=f"{people} can approve ({', '.join(references)})")
