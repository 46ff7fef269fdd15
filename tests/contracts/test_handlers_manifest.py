"""The manifest asks for exactly what the code uses: no scope without a call, no call or listener without its scope."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.local.workspace import Workspace
from domain.errors import BadInput
from handlers import manifest as generated
from handlers.manifest import PROFILES, manifest, scopes_of
from handlers.slack_app import connect, missing_scopes

SOURCES = {path: path.read_text() for path in Path("handlers").glob("*.py") if path.name != "manifest.py"}
_METHOD = re.compile(
    r"\b((?:assistant|auth|apps|bots|chat|conversations|files|reactions|team|usergroups|users|views)_[a-z]\w*)(?=[(,])"
)


def used_methods() -> set[str]:
    """Web API methods that the code calls or passes on."""
    return {
        name
        for text in SOURCES.values()
        for name in re.findall(r"(?:lient|reading)\.(\w+)\b", text)
        if _METHOD.match(name + "(")
    }


def used_events() -> set[str]:
    """Events that the code listens to, patterns aside."""
    text = SOURCES[Path("handlers/lifecycle.py")]
    named = {name for source in SOURCES.values() for name in re.findall(r'app\.event\("(\w+)"\)', source)}
    closing = set(re.findall(r'"(\w+)": "(?:is_archived|not_in_channel|token_revoked|account_inactive)"', text))
    return named | closing | {"subteam_members_changed", "subteam_updated"}


def test_every_method_that_is_called_is_declared_and_nothing_more() -> None:
    assert used_methods() == set(generated.METHODS)


def test_every_event_that_is_listened_to_is_subscribed_and_nothing_more() -> None:
    subscribed = {name.partition(".")[0] for name in generated.events_of("agent")}
    assert used_events() == subscribed


def test_no_scope_is_asked_for_that_nothing_uses() -> None:
    for profile in PROFILES:
        needs = {*generated.METHODS.values(), *generated.events_of(profile).values(), "commands", "assistant:write"}
        assert set(scopes_of(profile)) <= needs
    assert not set(scopes_of("minimal")) & {"chat:write.public", "channels:join", "files:read", "groups:history"}
    assert set(scopes_of("minimal")) < set(scopes_of("private")) < set(scopes_of("agent"))


def test_an_unknown_profile_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="minimal, private, agent"):
        manifest("everything")


@pytest.mark.parametrize("profile", PROFILES)
async def test_an_app_with_the_manifest_has_the_scopes_that_it_needs(profile: str) -> None:
    async with Workspace(manifest=manifest(profile)) as w:
        connection = await connect(w.bot_token, w.api_url)
        assert missing_scopes(connection.identity, profile) == ()
        assert set(connection.identity.scopes) == set(scopes_of(profile))


async def test_a_missing_scope_is_named() -> None:
    poor = manifest()
    poor["oauth_config"]["scopes"]["bot"].remove("usergroups:read")
    async with Workspace(manifest=poor) as w:
        connection = await connect(w.bot_token, w.api_url)
        assert missing_scopes(connection.identity) == ("usergroups:read",)
