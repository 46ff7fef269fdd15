"""What several GitLab tools ask for: a project, commits between two, a pipeline's tests, deployments."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

from bot.tools import gitlab_facts as facts
from bot.tools.gitlab_client import Forbidden, GitLabClient, Pages, parsed, project_path
from bot.tools.rest import Missing

LARGEST_REPORT = 8 << 20
"""Bytes of a test report that are read; of a larger one its summary is."""

EVER = "2000-01-01T00:00:00Z"


async def project_json(client: GitLabClient, project: str) -> Any:
    """What GitLab says of a project. Raises Missing."""
    try:
        return await client.get(project_path(project), doing=f"read project {project}")
    except Missing as error:
        raise Missing(f"There is no project {project} in GitLab, or this agent is no member of it.") from error


async def commits_between(client: GitLabClient, project: str, old: str, new: str, size: int = 100) -> Pages:
    """What `new` has and `old` has not, newest first: one page of it. Without `old`, what `new` has."""
    asked = {"ref_name": f"{old}..{new}" if old else new}
    doing = f"list the commits of {project} up to {new[:40]}"
    return await client.pages(f"{project_path(project)}/repository/commits", asked, doing=doing, size=size)


async def test_report(client: GitLabClient, project: str, number: int, *, whole: bool) -> dict[str, Any] | None:
    """The tests of a pipeline: `whole` with the failed ones by name, else counts. None where there is no report."""
    path = f"{project_path(project)}/pipelines/{number}/test_report"
    doing = f"read the tests of pipeline {number} of {project}"
    try:
        if whole:
            reply = await client.send("GET", path, doing=doing, at_most=LARGEST_REPORT)
            if not reply.cut:
                return facts.test_facts(parsed(reply, doing))
        return facts.test_facts(await client.get(f"{path}_summary", doing=doing))
    except Missing:
        return None


async def last_deployment(client: GitLabClient, project: str, environment: str) -> dict[str, Any] | None:
    """What was last deployed to an environment with success: the last that was over, whenever it was asked for.

    GitLab orders by that time only along with a filter of it.
    """
    asked = {
        "environment": environment,
        "status": "success",
        "order_by": "finished_at",
        "finished_after": EVER,
        "sort": "desc",
    }
    found, _ = await deployments(client, project, asked, 1)
    return found[0] if found else None


async def deployments(
    client: GitLabClient, project: str, asked: Mapping[str, str], size: int
) -> tuple[list[dict[str, Any]], bool]:
    """A project's deployments, and whether the agent may see them at all."""
    doing = f"list the deployments of {project}"
    found = await maybe(client.pages(f"{project_path(project)}/deployments", asked, doing=doing, size=size))
    return [facts.deployment_facts(each) for each in facts.objects(found.items)], bool(found.items) or found.complete


async def maybe(asked: Awaitable[Pages]) -> Pages:
    """A list that this agent may not see, or that is not there: then it is empty, and not complete."""
    try:
        return await asked
    except (Missing, Forbidden):
        return Pages((), complete=False)
