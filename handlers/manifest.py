"""The app manifest, generated from what the code uses: each method and event brings its scope, and nothing else does."""

from __future__ import annotations

from typing import Any

from domain.errors import BadInput

PROFILES = ("minimal", "private", "agent")

# Methods that handlers/ calls, with the scope each needs (empty: none). A test reads the calls from the source.
METHODS: dict[str, str] = {
    "assistant_threads_setStatus": "chat:write",
    "auth_test": "",
    "apps_connections_open": "",  # the app-level token's connections:write
    "chat_appendStream": "chat:write",
    "chat_delete": "chat:write",
    "chat_getPermalink": "",
    "chat_postEphemeral": "chat:write",
    "chat_postMessage": "chat:write",
    "chat_startStream": "chat:write",
    "chat_stopStream": "chat:write",
    "chat_update": "chat:write",
    "conversations_history": "channels:history",
    "conversations_info": "channels:read",
    "conversations_list": "channels:read",
    "conversations_replies": "channels:history",
    "files_upload_v2": "files:write",
    "usergroups_list": "usergroups:read",
    "usergroups_users_list": "usergroups:read",
    "users_info": "users:read",
    "users_lookupByEmail": "users:read.email",
    "views_open": "",
    "views_publish": "",
}
# Events that handlers/ listens to, with the scope each needs.
EVENTS: dict[str, str] = {
    "app_home_opened": "",
    "app_mention": "app_mentions:read",
    "app_uninstalled": "",
    "channel_archive": "channels:read",
    "channel_id_changed": "channels:read",
    "channel_left": "channels:read",
    "channel_unarchive": "channels:read",
    "member_joined_channel": "channels:read",
    "message.channels": "channels:history",
    "subteam_members_changed": "usergroups:read",
    "subteam_updated": "usergroups:read",
    "tokens_revoked": "",
}
PRIVATE_EVENTS: dict[str, str] = {
    "group_archive": "groups:read",
    "group_left": "groups:read",
    "message.groups": "groups:history",
}
AGENT_EVENTS: dict[str, str] = {"message.im": "im:history"}
_FEATURES = {"/agent": "commands"}


def scopes_of(profile: str = "minimal") -> tuple[str, ...]:
    """The bot token's scopes, in order."""
    needed = {*METHODS.values(), *events_of(profile).values(), *_FEATURES.values()} - {""}
    return tuple(sorted(needed | ({"assistant:write"} if profile == "agent" else set())))


def events_of(profile: str = "minimal") -> dict[str, str]:
    """The subscribed events with their scopes. Raises BadInput for a profile that there is not."""
    if profile not in PROFILES:
        raise BadInput(f"the profile is one of {', '.join(PROFILES)}", field="profile")
    private = PRIVATE_EVENTS if profile in ("private", "agent") else {}
    return EVENTS | private | (AGENT_EVENTS if profile == "agent" else {})


def manifest(profile: str = "minimal") -> dict[str, Any]:
    """Slack's app manifest. `minimal`: public channels; `private`: private ones too; `agent`: direct messages as well."""
    events = sorted(events_of(profile))
    features: dict[str, Any] = {
        "bot_user": {"display_name": "agent", "always_online": True},
        "app_home": {"home_tab_enabled": True, "messages_tab_enabled": True, "messages_tab_read_only_enabled": False},
        "slash_commands": [
            {
                "command": "/agent",
                "description": "Ask the incident agent",
                "usage_hint": "help | diagnose <alert> | status | incidents | why <action> | roi",
                "should_escape": True,
            }
        ],
        "shortcuts": [
            {
                "name": "Diagnose with agent",
                "type": "message",
                "callback_id": "diagnose_message",
                "description": "Start a diagnosis of this message",
            }
        ],
    }
    if profile == "agent":
        features["agent_view"] = {"agent_description": "Diagnoses alerts and asks before it acts."}
    return {
        "_metadata": {"major_version": 2, "minor_version": 1},
        "display_information": {"name": "Agent", "description": "Diagnoses alerts and asks before it acts"},
        "features": features,
        "oauth_config": {"scopes": {"bot": list(scopes_of(profile))}},
        "settings": {
            "event_subscriptions": {"bot_events": events},
            "interactivity": {"is_enabled": True},
            "socket_mode_enabled": True,
            "org_deploy_enabled": False,
            "token_rotation_enabled": False,
        },
    }
