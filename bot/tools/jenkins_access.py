"""What Jenkins says of who asks: its version, whom it takes the agent for, what that one sees, and whether it is too much."""

from __future__ import annotations

from dataclasses import dataclass

from bot.tools import jenkins_facts as facts
from bot.tools.jenkins_client import JenkinsClient
from bot.tools.rest import Missing
from domain.errors import ToolError


@dataclass(frozen=True)
class Access:
    """Whether somebody may build or stop cannot be asked of Jenkins: it says so only to who tries."""

    version: str
    user: str
    anonymous: bool
    visible: int
    administrator: bool
    quieting_down: bool


async def access(client: JenkinsClient) -> Access:
    """Look, by reads alone. Raises ToolError where Jenkins is not reached, or is none."""
    root = await client.get("", "quietingDown,jobs[name]{0,1000}", doing="list its jobs")
    if not client.version:
        raise ToolError(f"What answers at {client.url} is not Jenkins: it does not say X-Jenkins.")
    who = await client.get("/whoAmI", "name,anonymous", doing="say whom it takes this agent for")
    return Access(
        version=client.version,
        user=str(who.get("name") or ""),
        anonymous=who.get("anonymous") is True,
        visible=len(facts.objects(root.get("jobs"))),
        administrator=await _may_run_scripts(client),
        quieting_down=root.get("quietingDown") is True,
    )


async def _may_run_scripts(client: JenkinsClient) -> bool:
    """Whether the script console opens, which it does for administrators only. Looking at it runs nothing."""
    try:
        reply = await client.send(
            "GET", "/script", doing="look whether this agent is an administrator", allow=(302, 403)
        )
    except Missing:
        return False
    return reply.status == 200
