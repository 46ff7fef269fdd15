"""The tools that change something in GitLab, together."""

from __future__ import annotations

from bot.tools.gitlab_cancel import cancel_tool
from bot.tools.gitlab_client import GitLabClient
from bot.tools.gitlab_look import Environment
from bot.tools.gitlab_merge_request import merge_request_tool
from bot.tools.gitlab_play import play_tool
from bot.tools.gitlab_retry import retry_tool
from bot.tools.objectives import Watch
from bot.tools.spec import WriteTool


def gitlab_writes(client: GitLabClient, environment: Environment, watch: Watch | None) -> tuple[WriteTool, ...]:
    """Every write of one GitLab. `watch` looks how a deployment does once its job has ended."""
    return (
        retry_tool(client, environment),
        cancel_tool(client, environment),
        play_tool(client, environment, watch),
        merge_request_tool(client, environment),
    )
